/* SPDX-License-Identifier: MIT
 *
 * By what a document sorts: the smallest of the keys that an index over the fields would have for it. An array gives a
 * key an element (ascending the least counts, descending the greatest); an empty one sorts before null.
 */
#include <stdlib.h>

#include "docdb/eval.h"

enum { SORT_FIELDS = 32, RANK_UNDEFINED = 1 };

struct cursor {
	struct value v;
	uint32_t part;
	bool final, empty; /* an element of an array that isn't taken apart again; the array was empty */
};

struct keys {
	struct eval *ev;
	const struct sort *sort;
	size_t count;
	struct buf *out, now;
	size_t start;
	bool any;
};

static int emit(struct keys *k, const struct cursor *at)
{
	k->now.len = 0;
	for (size_t i = 0; i < k->count; i++) {
		bool down = k->sort[i].down;
		char undefined = (char)(down ? ~RANK_UNDEFINED : RANK_UNDEFINED);
		if (at[i].empty ? buf_add(&k->now, &undefined, 1) : value_key(&k->now, at[i].v, down))
			return error_set(&k->ev->error, ERROR_SERVER, "no memory to sort");
	}
	size_t have = k->out->len - k->start, n = k->now.len;
	if (k->any) {
		int c = memcmp(k->now.data, k->out->data + k->start, n < have ? n : have);
		if (c > 0 || (c == 0 && n >= have))
			return 0;
	}
	k->any = true;
	k->out->len = k->start;
	return buf_add(k->out, k->now.data, n) ? error_set(&k->ev->error, ERROR_SERVER, "no memory to sort") : 0;
}

static struct value element(struct value array, int32_t index)
{
	struct field f;
	const char *p = value_first(array.data);
	while (value_next(&p, &f))
		if (index-- == 0)
			return f.value;
	return (struct value){NULL, VALUE_MISSING};
}

/* Along the path as far as it goes without a choice. */
static void advance(const struct path *path, struct cursor *c)
{
	while (!c->final && c->part < path->count) {
		const struct path_part *part = &path->parts[c->part];
		struct value v = {NULL, VALUE_MISSING};
		if (c->v.type == VALUE_OBJECT)
			v = value_find(c->v.data, part->name.data, part->name.len);
		else if (c->v.type == VALUE_ARRAY && (part->index < 0 || !(v = element(c->v, part->index)).type))
			return;
		c->v = v;
		c->part = v.type ? c->part + 1 : path->count;
	}
}

static int expand(struct keys *k, const struct cursor *from);

static int expand_array(struct keys *k, const struct cursor *at, struct value array)
{
	struct cursor next[SORT_FIELDS];
	struct field f = {{NULL, VALUE_MISSING}, NULL, 0};
	const char *p = value_first(array.data);
	bool more = value_next(&p, &f), empty = !more;
	do {
		for (size_t i = 0; i < k->count; i++) {
			next[i] = at[i];
			if (at[i].final || at[i].v.data != array.data || at[i].v.type != VALUE_ARRAY)
				continue;
			bool end = at[i].part == k->sort[i].path->count;
			next[i].empty = end && empty;
			next[i].final = end || f.value.type != VALUE_OBJECT;
			next[i].v = end || !next[i].final ? f.value : (struct value){NULL, VALUE_MISSING};
		}
		if (expand(k, next))
			return -1;
	} while (more && (more = value_next(&p, &f)));
	return 0;
}

static int expand(struct keys *k, const struct cursor *from)
{
	struct cursor at[SORT_FIELDS];
	struct value array = {NULL, VALUE_MISSING};
	memcpy(at, from, k->count * sizeof *at);
	for (size_t i = 0; i < k->count; i++) {
		advance(k->sort[i].path, &at[i]);
		if (at[i].final || at[i].v.type != VALUE_ARRAY)
			continue;
		if (array.data && array.data != at[i].v.data)
			return error_set(&k->ev->error, ERROR_TASK,
					 "can't sort by two lists of one document: %s is one",
					 k->sort[i].path->text.data);
		array = at[i].v;
	}
	return array.data ? expand_array(k, at, array) : emit(k, at);
}

int eval_sort_key(struct eval *ev, const struct sort *sort, size_t count, const char *document, struct buf *out)
{
	struct keys k = {.ev = ev, .sort = sort, .count = count, .out = out, .start = out->len};
	struct cursor at[SORT_FIELDS];
	for (size_t i = 0; i < count; i++)
		at[i] = (struct cursor){.v = {document, VALUE_OBJECT}};
	int rc = expand(&k, at);
	buf_free(&k.now);
	return rc;
}
