/* SPDX-License-Identifier: MIT
 *
 * json: strict JSON <-> an index of its values, and the canonical form. Pure functions over bytes, any thread, no Lua.
 *
 * A parse checks everything once (grammar, UTF-8, sizes, 64-bit integers, duplicate keys) and fills a tree: one node a
 * value in one array, a container's children behind it, an object's as key, value, key, value in byte order of the keys.
 * The tree borrows the bytes; who keeps it keeps them.
 *
 *   struct json_tape tape = {0};
 *   if (json_parse(&tape, bytes, len, NULL, &e) == 0)
 *           node = json_find(&tape.tree, 0, "id", 2);      // 0 = not there: the root is nobody's child
 *   json_tape_free(&tape);                                  // or parse again into it: the memory is reused
 *
 * Canonical: keys in byte order, no spaces, only what must be escaped is, integers without a fraction (64 bit, signed),
 * other numbers as the shortest text that reads back as the same double, always with a fraction or an exponent (1.0).
 * LC_NUMERIC must be "C".
 */
#ifndef SRVTHREDS_JSON_H
#define SRVTHREDS_JSON_H

#include "base/base.h"

enum { JSON_DEPTH = 100, JSON_DEPTH_MAX = 1000, JSON_SIZE = 1 << 20, JSON_SIZE_MAX = 1 << 28 };

struct json_limits {
	size_t depth, size; /* containers in containers; bytes. Not above the MAX of each */
};

enum json_kind { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_INT, JSON_FLOAT, JSON_STRING, JSON_ARRAY, JSON_OBJECT };
/* Flags: a string with escapes. The others only while parsing: keys that aren't in order, in it or in one below it. */
enum { JSON_ESCAPED = 1, JSON_UNSORTED = 2, JSON_UNSORTED_BELOW = 4 };

struct json_node {
	uint32_t start, end; /* its bytes, with the quotes of a string */
	uint32_t next;       /* the first node behind it and all below it */
	uint32_t count;      /* elements of an array, pairs of an object */
	uint8_t kind, flags;
};

struct json_tree {
	const char *bytes;
	const struct json_node *nodes;
	uint32_t len, count, depth;
	bool canonical; /* every node's bytes are its canonical form */
};

struct json_tape {
	struct json_tree tree;
	struct json_node *nodes, *spare; /* owned */
	uint32_t *order;
	size_t cap, spare_cap;
};

/* NULL limits: the defaults. 0, or -1 with `e` = 4000: offset, line, column, what was found and expected. */
int json_parse(struct json_tape *tape, const char *bytes, size_t len, const struct json_limits *limits,
	       struct error *e);
void json_tape_free(struct json_tape *tape);

/* Appends the canonical form. -1 with `e` when the bytes are refused, or memory is exhausted (5000). */
int json_canonical(const char *bytes, size_t len, const struct json_limits *limits, struct buf *out, struct error *e);
/* The same for one node of a tree; -1 only when memory is exhausted. */
int json_write(const struct json_tree *tree, uint32_t node, struct buf *out);

/* Children: 0 = none such. `i` counts from 0. */
uint32_t json_find(const struct json_tree *tree, uint32_t object, const char *key, size_t len);
uint32_t json_at(const struct json_tree *tree, uint32_t array, uint32_t i);

int64_t json_int(const struct json_tree *tree, uint32_t node);
double json_float(const struct json_tree *tree, uint32_t node);
/* The text of a string node without escapes (JSON_ESCAPED not set), borrowed from the bytes. */
static inline const char *json_text(const struct json_tree *tree, uint32_t node, size_t *len)
{
	*len = tree->nodes[node].end - tree->nodes[node].start - 2;
	return tree->bytes + tree->nodes[node].start + 1;
}
/* The text of any string node into `out`, which has room for end - start bytes; the length. */
size_t json_unescape(const struct json_tree *tree, uint32_t node, char *out);
/* Byte order of two string nodes, as memcmp. */
int json_compare(const struct json_tree *tree, uint32_t a, uint32_t b);

/* The parts of an encoder. -1: memory; json_write_string also returns -2 at bad UTF-8. `value` must be finite. */
int json_write_string(struct buf *out, const char *text, size_t len);
int json_write_int(struct buf *out, int64_t value);
int json_write_float(struct buf *out, double value);

#endif
