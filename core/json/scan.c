/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json/part.h"

/* Line and column (in characters) of a byte, both from 1. */
static void place(const struct scan *s, const unsigned char *at, size_t *line, size_t *column)
{
	*line = *column = 1;
	for (const unsigned char *p = s->begin; p < at; p++) {
		if (*p == '\n') {
			++*line;
			*column = 1;
		} else if ((*p & 0xC0) != 0x80) {
			++*column;
		}
	}
}

int scan_refuse(const struct scan *s, const unsigned char *at, const char *format, ...)
{
	char what[ERROR_MESSAGE_SIZE];
	size_t line, column;
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof what, format, args);
	va_end(args);
	place(s, at, &line, &column);
	return error_set(s->e, ERROR_CLIENT, "invalid JSON at offset %zu (line %zu, column %zu): %s",
			 (size_t)(at - s->begin), line, column, what);
}

int scan_fail(const struct scan *s, const unsigned char *at, const char *expected)
{
	if (at >= s->end)
		return scan_refuse(s, s->end, "the text ends, expected %s", expected);
	if (*at > 0x20 && *at < 0x7F)
		return scan_refuse(s, at, "found '%c', expected %s", *at, expected);
	const unsigned char *next = *at < 0x80 ? at : json_plain(at, s->end);
	if (next > at) {
		int len = *at < 0xE0 ? 2 : *at < 0xF0 ? 3 : 4;
		return scan_refuse(s, at, "found '%.*s', expected %s", len, (const char *)at, expected);
	}
	return scan_refuse(s, at, "found byte 0x%02X, expected %s", *at, expected);
}

static int grow(struct scan *s)
{
	size_t cap = s->tape->cap ? s->tape->cap * 2 : 64;
	struct json_node *nodes = realloc(s->tape->nodes, cap * sizeof *nodes);
	if (!nodes)
		return error_set(s->e, ERROR_SERVER, "no memory for a JSON text of %zu bytes",
				 (size_t)(s->end - s->begin));
	s->tape->nodes = nodes;
	s->tape->cap = cap;
	return 0;
}

static inline void skip_space(struct scan *s)
{
	while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t')) {
		s->canonical = false;
		s->p++;
	}
}

static int scan_word(struct scan *s, struct json_node *node, const char *word, size_t len, uint8_t kind)
{
	if ((size_t)(s->end - s->p) < len || memcmp(s->p, word, len) != 0)
		return scan_fail(s, s->p, "a value");
	s->p += len;
	node->kind = kind;
	node->flags = 0;
	return 0;
}

static int open_container(struct scan *s, struct json_node *node)
{
	if (++s->depth > s->depth_limit)
		return scan_refuse(s, s->p, "deeper than %zu levels", s->depth_limit);
	if (s->depth > s->tape->tree.depth)
		s->tape->tree.depth = s->depth;
	node->kind = *s->p == '{' ? JSON_OBJECT : JSON_ARRAY;
	node->flags = 0;
	node->next = s->parent; /* until it is closed */
	s->parent = s->count - 1;
	s->p++;
	return 0;
}

/* The next value, or the beginning of one that holds others. */
static int scan_value(struct scan *s)
{
	if (s->count == s->tape->cap && grow(s))
		return -1;
	struct json_node *node = &s->tape->nodes[s->count++];
	int rc;
	if (s->p == s->end)
		return scan_fail(s, s->p, "a value");
	node->start = (uint32_t)(s->p - s->begin);
	node->count = 0;
	node->next = s->count;
	switch (*s->p) {
	case '{':
	case '[':
		return open_container(s, node);
	case '"':
		rc = scan_string(s, node);
		break;
	case 't':
		rc = scan_word(s, node, "true", 4, JSON_TRUE);
		break;
	case 'f':
		rc = scan_word(s, node, "false", 5, JSON_FALSE);
		break;
	case 'n':
		rc = scan_word(s, node, "null", 4, JSON_NULL);
		break;
	default:
		rc = *s->p == '-' || (*s->p >= '0' && *s->p <= '9') ? scan_number(s, node)
								    : scan_fail(s, s->p, "a value");
	}
	node->end = (uint32_t)(s->p - s->begin);
	return rc;
}

/* In most objects keys come in order: then one comparison each finds both duplicates and disorder. */
static int check_order(struct scan *s, uint32_t last, uint32_t key)
{
	s->tape->tree.bytes = (const char *)s->begin;
	s->tape->tree.nodes = s->tape->nodes;
	int order = json_compare(&s->tape->tree, last, key);
	if (order < 0)
		return 0;
	const struct json_node *n = &s->tape->nodes[key];
	if (order == 0)
		return scan_refuse(s, s->begin + n->start, "the key %.*s comes twice in this object",
				   n->end - n->start < 80 ? (int)(n->end - n->start) : 80,
				   (const char *)s->begin + n->start);
	s->tape->nodes[s->parent].flags |= JSON_UNSORTED;
	s->unsorted = true;
	s->canonical = false;
	return 0;
}

/* `last` is the key before, 0 if there is none. */
static int scan_key(struct scan *s, uint32_t last, const char *expected)
{
	skip_space(s);
	if (s->p == s->end || *s->p != '"')
		return scan_fail(s, s->p, expected);
	uint32_t key = s->count;
	if (scan_value(s))
		return -1;
	struct json_node *object = &s->tape->nodes[s->parent];
	if (last && !(object->flags & JSON_UNSORTED) && check_order(s, last, key))
		return -1;
	s->tape->nodes[s->parent].end = key; /* the key before, until it is closed */
	skip_space(s);
	if (s->p == s->end || *s->p != ':')
		return scan_fail(s, s->p, "':' behind the key");
	s->p++;
	return 0;
}

static void close_container(struct scan *s)
{
	struct json_node *node = &s->tape->nodes[s->parent];
	s->p++;
	s->parent = node->next;
	s->depth--;
	node->next = s->count;
	node->end = (uint32_t)(s->p - s->begin);
}

/* Behind a '{' or '[': 1 = it is empty and closed again. */
static int enter(struct scan *s)
{
	bool object = s->tape->nodes[s->parent].kind == JSON_OBJECT;
	skip_space(s);
	if (s->p < s->end && *s->p == (object ? '}' : ']')) {
		close_container(s);
		return 1;
	}
	s->tape->nodes[s->parent].count = 1;
	return object ? scan_key(s, 0, "a key in double quotes or '}'") : 0;
}

/* Behind a value: closes what ends here. 1 = the text is complete. */
static int leave(struct scan *s)
{
	while (s->parent != UINT32_MAX) {
		struct json_node *parent = &s->tape->nodes[s->parent];
		bool object = parent->kind == JSON_OBJECT;
		skip_space(s);
		if (s->p < s->end && *s->p == ',') {
			s->p++;
			parent->count++;
			return object ? scan_key(s, parent->end, "a key in double quotes") : 0;
		}
		if (s->p == s->end || *s->p != (object ? '}' : ']'))
			return scan_fail(s, s->p, object ? "',' or '}'" : "',' or ']'");
		close_container(s);
	}
	return 1;
}

static int scan_document(struct scan *s)
{
	int rc = 0;
	while (rc == 0) {
		skip_space(s);
		uint32_t at = s->count;
		rc = scan_value(s);
		if (rc == 0 && s->tape->nodes[at].kind >= JSON_ARRAY)
			rc = enter(s);
		else if (rc == 0)
			rc = 1;
		if (rc == 1)
			rc = leave(s);
	}
	if (rc < 0)
		return -1;
	skip_space(s);
	return s->p == s->end ? 0 : scan_fail(s, s->p, "the end of the text");
}

static int check_limits(const struct json_limits *limits, size_t len, struct error *e)
{
	if (limits->depth > JSON_DEPTH_MAX || limits->size > JSON_SIZE_MAX)
		return error_set(e, ERROR_ARGUMENT, "JSON limits: at most %d levels and %d bytes", JSON_DEPTH_MAX,
				 JSON_SIZE_MAX);
	if (len > limits->size)
		return error_set(e, ERROR_CLIENT, "the JSON text has %zu bytes, more than the limit of %zu", len,
				 limits->size);
	return 0;
}

int json_parse(struct json_tape *tape, const char *bytes, size_t len, const struct json_limits *limits, struct error *e)
{
	const struct json_limits defaults = {.depth = JSON_DEPTH, .size = JSON_SIZE};
	struct json_limits use = limits ? *limits : defaults;
	if (check_limits(&use, len, e))
		return -1;
	const unsigned char *begin = (const unsigned char *)(bytes ? bytes : "");
	struct scan s = {.begin = begin,
			 .p = begin,
			 .end = begin + len,
			 .tape = tape,
			 .parent = UINT32_MAX,
			 .depth_limit = use.depth,
			 .canonical = true,
			 .e = e};
	tape->tree.depth = 0;
	if (scan_document(&s))
		return -1;
	tape->tree = (struct json_tree){.bytes = (const char *)begin,
					.nodes = tape->nodes,
					.len = (uint32_t)len,
					.count = s.count,
					.depth = tape->tree.depth,
					.canonical = s.canonical};
	return s.unsorted ? json_sort(&s) : 0;
}

void json_tape_free(struct json_tape *tape)
{
	free(tape->nodes);
	free(tape->spare);
	free(tape->order);
	*tape = (struct json_tape){0};
}
