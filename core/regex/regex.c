/* SPDX-License-Identifier: MIT */
#include "regex/regex.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

struct regex {
	pcre2_code *code;             /* owned */
	pcre2_match_data *match;      /* owned */
	pcre2_match_context *context; /* owned: the limits */
	char *source;                 /* owned */
	uint64_t steps, most;         /* of the search under way */
	size_t at;
};

/* Called before each item is tried, again after each step back. PCRE2's own limit counts from each place of the text anew,
 * and one item may go over all of it: so what lies between two items counts as well. */
static int count(pcre2_callout_block *block, void *arg)
{
	struct regex *re = arg;
	const size_t at = block->current_position;
	re->steps += 1 + (at > re->at ? at - re->at : 0);
	re->at = at;
	return re->steps > re->most ? PCRE2_ERROR_MATCHLIMIT : 0;
}

/* Offsets of PCRE2 are bytes; people count characters from 1. */
static size_t character_at(const char *text, size_t bytes)
{
	size_t n = 1;
	for (size_t i = 0; i < bytes; i++)
		n += ((unsigned char)text[i] & 0xC0) != 0x80;
	return n;
}

static pcre2_code *compile(const char *source, size_t len, bool caseless, struct error *e)
{
	uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C |
			   PCRE2_AUTO_CALLOUT | (caseless ? PCRE2_CASELESS : 0);
	int number;
	PCRE2_SIZE at;
	size_t bad;
	if (len > REGEX_SOURCE_LIMIT) {
		error_set(e, ERROR_ARGUMENT, "a regular expression of %zu bytes: at most %d are allowed", len,
			  REGEX_SOURCE_LIMIT);
		return NULL;
	}
	if (!utf8_valid(source, len, &bad)) {
		error_set(e, ERROR_ARGUMENT, "the regular expression isn't UTF-8 at byte %zu", bad + 1);
		return NULL;
	}
	pcre2_code *code = pcre2_compile((PCRE2_SPTR)source, len, options, &number, &at, NULL);
	if (!code) {
		char text[256];
		pcre2_get_error_message(number, (PCRE2_UCHAR *)text, sizeof text);
		error_set(e, ERROR_ARGUMENT, "%s at character %zu of the regular expression", text,
			  character_at(source, at <= len ? at : len));
	}
	return code;
}

struct regex *regex_new(const char *source, size_t len, bool caseless, struct error *e)
{
	pcre2_code *code = compile(source, len, caseless, e);
	if (!code)
		return NULL;
	struct regex *re = xcalloc(1, sizeof *re);
	re->code = code;
	re->source = xmalloc(len + 1);
	memcpy(re->source, source, len);
	re->source[len] = '\0';
	re->match = pcre2_match_data_create(1, NULL); /* where, without groups: nobody asks for them */
	re->context = pcre2_match_context_create(NULL);
	if (!re->match || !re->context) {
		error_set(e, ERROR_SERVER, "out of memory for a regular expression");
		regex_free(re);
		return NULL;
	}
	pcre2_set_match_limit(re->context, REGEX_MATCH_LIMIT);
	pcre2_set_depth_limit(re->context, REGEX_DEPTH_LIMIT);
	pcre2_set_heap_limit(re->context, REGEX_HEAP_LIMIT);
	pcre2_set_callout(re->context, count, re);
	return re;
}

void regex_free(struct regex *re)
{
	if (!re)
		return;
	pcre2_match_context_free(re->context);
	pcre2_match_data_free(re->match);
	pcre2_code_free(re->code);
	free(re->source);
	free(re);
}

int regex_search(struct regex *re, const char *text, size_t len, struct error *e)
{
	re->steps = re->at = 0;
	re->most = REGEX_STEPS + REGEX_STEPS_BYTE * (uint64_t)len;
	int result = pcre2_match(re->code, (PCRE2_SPTR)text, len, 0, 0, re->match, re->context);
	if (result >= 0)
		return 1;
	if (result == PCRE2_ERROR_NOMATCH)
		return 0;
	char why[256];
	pcre2_get_error_message(result, (PCRE2_UCHAR *)why, sizeof why);
	return error_set(e, ERROR_ARGUMENT,
			 "the regular expression /%.120s/ takes too long on a text of %zu bytes (%s): make it simpler, "
			 "usually a repetition inside a repetition",
			 re->source, len, why);
}

const char *regex_source(const struct regex *re)
{
	return re->source;
}
