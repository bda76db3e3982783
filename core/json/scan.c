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

/* The parts below take the place where they begin and return the one behind, or NULL with the error set: so it stays in
 * a register. */
typedef const unsigned char *place_t;

static place_t skip_some(struct scan *s, place_t p)
{
	while (p < s->end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) {
		s->canonical = false;
		p++;
	}
	return p;
}

static inline place_t skip_space(struct scan *s, place_t p)
{
	return p < s->end && *p <= ' ' ? skip_some(s, p) : p;
}

static inline struct json_node *add_node(struct scan *s, place_t p)
{
	if (s->count == s->tape->cap && grow(s))
		return NULL;
	struct json_node *node = &s->tape->nodes[s->count++];
	node->start = (uint32_t)(p - s->begin);
	node->next = s->count;
	node->count = 0;
	node->flags = 0;
	return node;
}

static inline place_t scan_string(struct scan *s, place_t p, struct json_node *node)
{
	node->kind = JSON_STRING;
	p = json_plain(p + 1, s->end);
	if (p < s->end && *p == '"')
		return p + 1;
	s->p = p;
	return scan_string_rest(s, node) ? NULL : s->p;
}

/* Short integers here, the rest in number.c. */
static inline place_t scan_digits(struct scan *s, place_t p, struct json_node *node)
{
	place_t at = p, most = s->end - p > 16 ? p + 16 : s->end;
	while (p < most && *p >= '0' && *p <= '9')
		p++;
	if (p > at && p < most && *p != '.' && (*p | 0x20) != 'e' && (*at != '0' || p == at + 1)) {
		node->kind = JSON_INT;
		return p;
	}
	s->p = at;
	return scan_number(s, node) ? NULL : s->p;
}

static place_t scan_word(struct scan *s, place_t p, struct json_node *node)
{
	static const struct {
		const char *word;
		uint8_t len, kind;
	} words[] = {{"null", 4, JSON_NULL}, {"false", 5, JSON_FALSE}, {"true", 4, JSON_TRUE}};
	for (size_t i = 0; i < 3; i++)
		if ((size_t)(s->end - p) >= words[i].len && memcmp(p, words[i].word, words[i].len) == 0) {
			node->kind = words[i].kind;
			return p + words[i].len;
		}
	scan_fail(s, p, "a value");
	return NULL;
}

static place_t open_container(struct scan *s, place_t p, struct json_node *node)
{
	if (++s->depth > s->depth_limit) {
		scan_refuse(s, p, "deeper than %zu levels", s->depth_limit);
		return NULL;
	}
	if (s->depth > s->tape->tree.depth)
		s->tape->tree.depth = s->depth;
	node->kind = *p == '{' ? JSON_OBJECT : JSON_ARRAY;
	node->next = s->parent; /* until it is closed */
	s->parent = s->count - 1;
	return p + 1;
}

/* The next value, or the beginning of one that holds others. */
static place_t scan_value(struct scan *s, place_t p)
{
	if (p == s->end) {
		scan_fail(s, p, "a value");
		return NULL;
	}
	struct json_node *node = add_node(s, p);
	if (!node)
		return NULL;
	if (*p == '"')
		p = scan_string(s, p, node);
	else if (*p == '{' || *p == '[')
		return open_container(s, p, node);
	else if (*p == '-' || (*p >= '0' && *p <= '9'))
		p = scan_digits(s, p, node);
	else
		p = scan_word(s, p, node);
	node->end = p ? (uint32_t)(p - s->begin) : 0;
	return p;
}

static int refuse_twice(struct scan *s, uint32_t key)
{
	const struct json_node *n = &s->tape->nodes[key];
	uint32_t len = n->end - n->start;
	const unsigned char *at = s->begin + n->start;
	bool cut = len > 80;
	if (cut)
		for (len = 80; (at[len] & 0xC0) == 0x80;)
			len--;
	return scan_refuse(s, at, "the key %.*s%s comes twice in this object", (int)len, (const char *)at,
			   cut ? "..." : "");
}

/* In most objects keys come in order: then one comparison each finds both duplicates and disorder. */
static int check_order(struct scan *s, uint32_t last, uint32_t key)
{
	struct json_node *nodes = s->tape->nodes;
	const unsigned char *a = s->begin + nodes[last].start + 1, *b = s->begin + nodes[key].start + 1;
	if (*a < *b && *a != '\\' && *b != '\\' && *b != '"')
		return 0;
	const struct json_tree tree = {.bytes = (const char *)s->begin, .nodes = nodes};
	int order = json_compare(&tree, last, key);
	if (order == 0)
		return refuse_twice(s, key);
	if (order > 0) {
		nodes[s->parent].flags |= JSON_UNSORTED;
		s->unsorted = true;
		s->canonical = false;
	}
	return 0;
}

/* `last` is the key before, 0 if there is none. */
static inline place_t scan_key(struct scan *s, place_t p, uint32_t last, const char *expected)
{
	p = skip_space(s, p);
	if (p == s->end || *p != '"') {
		scan_fail(s, p, expected);
		return NULL;
	}
	uint32_t key = s->count;
	struct json_node *node = add_node(s, p);
	if (!node || !(p = scan_string(s, p, node)))
		return NULL;
	node->end = (uint32_t)(p - s->begin);
	struct json_node *object = &s->tape->nodes[s->parent];
	if (last && !(object->flags & JSON_UNSORTED) && check_order(s, last, key))
		return NULL;
	object->end = key; /* the key before, until it is closed */
	p = skip_space(s, p);
	if (p == s->end || *p != ':') {
		scan_fail(s, p, "':' behind the key");
		return NULL;
	}
	return p + 1;
}

static inline place_t close_container(struct scan *s, place_t p)
{
	struct json_node *node = &s->tape->nodes[s->parent];
	s->parent = node->next;
	if (node->flags && s->parent != UINT32_MAX)
		s->tape->nodes[s->parent].flags |= JSON_UNSORTED_BELOW;
	s->depth--;
	node->next = s->count;
	node->end = (uint32_t)(p + 1 - s->begin);
	return p + 1;
}

/* Behind a '{' or '[': `complete` if it is empty and closed again. */
static place_t enter(struct scan *s, place_t p, bool *complete)
{
	struct json_node *node = &s->tape->nodes[s->parent];
	bool object = node->kind == JSON_OBJECT;
	p = skip_space(s, p);
	if (p < s->end && *p == (object ? '}' : ']')) {
		*complete = true;
		return close_container(s, p);
	}
	node->count = 1;
	return object ? scan_key(s, p, 0, "a key in double quotes or '}'") : p;
}

/* Behind a value: closes what ends here. `complete` if the text does. */
static place_t leave(struct scan *s, place_t p, bool *complete)
{
	while (s->parent != UINT32_MAX) {
		struct json_node *parent = &s->tape->nodes[s->parent];
		bool object = parent->kind == JSON_OBJECT;
		p = skip_space(s, p);
		if (p < s->end && *p == ',') {
			parent->count++;
			return object ? scan_key(s, p + 1, parent->end, "a key in double quotes") : p + 1;
		}
		if (p == s->end || *p != (object ? '}' : ']')) {
			scan_fail(s, p, object ? "',' or '}'" : "',' or ']'");
			return NULL;
		}
		p = close_container(s, p);
	}
	*complete = true;
	return p;
}

static int scan_document(struct scan *s)
{
	place_t p = s->begin;
	for (bool complete = false; !complete;) {
		uint32_t at = s->count;
		p = scan_value(s, skip_space(s, p));
		bool value = p && s->tape->nodes[at].kind < JSON_ARRAY;
		if (p && !value)
			p = enter(s, p, &value);
		if (p && value)
			p = leave(s, p, &complete);
		if (!p)
			return -1;
	}
	p = skip_space(s, p);
	return p == s->end ? 0 : scan_fail(s, p, "the end of the text");
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
