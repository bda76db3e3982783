/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "json/part.h"

struct sorter {
	struct scan *scan;
	const struct json_tree *tree;
	const struct json_node *from;
	struct json_node *to;
	uint32_t *order, used, out;
};

static int compare_keys(const void *a, const void *b, void *tree)
{
	return json_compare(tree, *(const uint32_t *)a, *(const uint32_t *)b);
}

/* Most keys differ in their first byte. */
static inline bool later(const struct json_tree *tree, uint32_t a, uint32_t b)
{
	unsigned char x = (unsigned char)tree->bytes[tree->nodes[a].start + 1];
	unsigned char y = (unsigned char)tree->bytes[tree->nodes[b].start + 1];
	if (x != y && x != '\\' && y != '\\' && x != '"' && y != '"')
		return x > y;
	return json_compare(tree, a, b) > 0;
}

static void sort_keys(const struct json_tree *tree, uint32_t *keys, uint32_t count)
{
	if (count > 24) {
		qsort_r(keys, count, sizeof *keys, compare_keys, (void *)(uintptr_t)tree);
		return;
	}
	for (uint32_t i = 1; i < count; i++) {
		uint32_t key = keys[i], at = i;
		for (; at > 0 && later(tree, keys[at - 1], key); at--)
			keys[at] = keys[at - 1];
		keys[at] = key;
	}
}

/* Without escapes, texts of different lengths aren't the same. */
static inline bool same(const struct json_tree *tree, uint32_t a, uint32_t b)
{
	const struct json_node *x = &tree->nodes[a], *y = &tree->nodes[b];
	if (x->end - x->start != y->end - y->start && !((x->flags | y->flags) & JSON_ESCAPED))
		return false;
	return json_compare(tree, a, b) == 0;
}

static int find_double(struct sorter *s, const uint32_t *keys, uint32_t count)
{
	for (uint32_t i = 1; i < count; i++)
		if (same(s->tree, keys[i - 1], keys[i])) {
			uint32_t key = keys[i - 1] > keys[i] ? keys[i - 1] : keys[i];
			const struct json_node *n = &s->from[key];
			const unsigned char *at = s->scan->begin + n->start;
			return scan_refuse(s->scan, at, "the key %.*s comes twice in this object",
					   n->end - n->start < 80 ? (int)(n->end - n->start) : 80, (const char *)at);
		}
	return 0;
}

/* Nodes that stay as they are, in another place. */
static inline void copy_run(struct sorter *s, uint32_t node, uint32_t end)
{
	const struct json_node *from = &s->from[node], *last = &s->from[end];
	struct json_node *to = &s->to[s->out];
	const uint32_t shift = s->out - node;
	for (; from < last; from++, to++) {
		*to = *from;
		to->next += shift;
	}
	s->out += end - node;
}

static inline bool in_order(const struct json_node *n)
{
	return !(n->flags & (JSON_UNSORTED | JSON_UNSORTED_BELOW));
}

static int copy_node(struct sorter *s, uint32_t node);

static int copy_pairs(struct sorter *s, uint32_t node)
{
	uint32_t count = s->from[node].count, *keys = s->order + s->used;
	uint32_t key = node + 1;
	for (uint32_t i = 0; i < count; i++, key = s->from[key + 1].next)
		keys[i] = key;
	if (s->from[node].flags & JSON_UNSORTED) {
		sort_keys(s->tree, keys, count);
		if (find_double(s, keys, count))
			return -1;
	}
	s->used += count;
	int rc = 0;
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		const struct json_node *value = &s->from[keys[i] + 1];
		bool plain = in_order(value);
		copy_run(s, keys[i], plain ? value->next : keys[i] + 1);
		if (!plain)
			rc = copy_node(s, keys[i] + 1);
	}
	s->used -= count;
	return rc;
}

/* As deep as the text, which json_parse has limited. */
static int copy_node(struct sorter *s, uint32_t node)
{
	const struct json_node *from = &s->from[node];
	int rc = 0;
	if (in_order(from)) {
		copy_run(s, node, from->next);
		return 0;
	}
	struct json_node *to = &s->to[s->out++];
	*to = *from;
	to->flags &= JSON_ESCAPED;
	if (from->kind == JSON_OBJECT) {
		rc = copy_pairs(s, node);
	} else {
		for (uint32_t child = node + 1; rc == 0 && child < from->next; child = s->from[child].next)
			rc = copy_node(s, child);
	}
	to->next = s->out;
	return rc;
}

static int reserve(struct json_tape *tape)
{
	if (tape->spare_cap >= tape->cap)
		return 0;
	struct json_node *spare = realloc(tape->spare, tape->cap * sizeof *spare);
	if (!spare)
		return -1;
	tape->spare = spare;
	uint32_t *order = realloc(tape->order, tape->cap * sizeof *order);
	if (!order)
		return -1;
	tape->order = order;
	tape->spare_cap = tape->cap;
	return 0;
}

int json_sort(struct scan *scan)
{
	struct json_tape *tape = scan->tape;
	if (reserve(tape))
		return error_set(scan->e, ERROR_SERVER, "no memory for a JSON text of %u bytes", tape->tree.len);
	struct sorter s = {
		.scan = scan, .tree = &tape->tree, .from = tape->nodes, .to = tape->spare, .order = tape->order};
	if (copy_node(&s, 0))
		return -1;
	size_t cap = tape->cap;
	tape->spare = tape->nodes;
	tape->nodes = s.to;
	tape->cap = tape->spare_cap;
	tape->spare_cap = cap;
	tape->tree.nodes = tape->nodes;
	return 0;
}
