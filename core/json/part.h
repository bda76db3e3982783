/* SPDX-License-Identifier: MIT
 *
 * What the files of json/ share and nobody else includes.
 */
#ifndef SRVTHREDS_JSON_PART_H
#define SRVTHREDS_JSON_PART_H

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "json/json.h"

struct scan {
	const unsigned char *begin, *p, *end; /* p: where the part that is at work stands */
	struct json_tape *tape;
	uint32_t count, parent, depth;
	size_t depth_limit;
	bool canonical, unsorted;
	struct error *e;
};

/* Sets 4000 with the place of `at`; returns -1. */
int scan_fail(const struct scan *s, const unsigned char *at, const char *expected);
int scan_refuse(const struct scan *s, const unsigned char *at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Begins at the first byte of the value, leaves s->p behind it and fills kind and flags. */
int scan_number(struct scan *s, struct json_node *node);
/* Goes on at the first byte of a string that isn't plain, to behind its end. */
int scan_string_rest(struct scan *s, struct json_node *node);

/* Puts the pairs of every unsorted object in order; finds the keys that come twice. */
int json_sort(struct scan *s);

/* The first byte that can't stand in a string as it is: a control character, '"', '\\', or >= 0x80 that begins no valid
 * UTF-8 character; or `end`. */
const unsigned char *json_plain_slow(const unsigned char *p, const unsigned char *end);

#ifdef __SSE2__
/* Which of the 16 bytes are < 0x20, '"', '\\' or >= 0x80 (negative when signed). */
static inline unsigned json_special(const unsigned char *p)
{
	__m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
	__m128i low = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));
	__m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')), slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
	return (unsigned)_mm_movemask_epi8(_mm_or_si128(low, _mm_or_si128(quote, slash)));
}
#endif

static inline const unsigned char *json_plain(const unsigned char *p, const unsigned char *end)
{
#ifdef __SSE2__
	while (end - p >= 16) {
		unsigned hit = json_special(p);
		if (hit) {
			p += __builtin_ctz(hit);
			return *p < 0x80 ? p : json_plain_slow(p, end);
		}
		p += 16;
	}
#endif
	return json_plain_slow(p, end);
}

/* Steps over one character of the inside of a checked string; its UTF-8 bytes into `out` (4); their number. */
size_t json_character(const unsigned char **p, char *out);

double json_double(const char *text, size_t len);
/* Room for 32 bytes; the length. */
size_t json_format_double(char *out, double value);

#endif
