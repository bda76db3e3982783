/* SPDX-License-Identifier: MIT
 *
 * Updates: the document becomes a tree as far as the paths reach, is changed there, and is written again.
 */
#include <math.h>
#include <stdlib.h>

#include "docdb/eval.h"

enum { PAD_MAX = 1500000 }; /* MongoDB's limit on nulls before a new element */

struct node {
	struct bytes name;
	struct value value; /* unless open */
	struct node *children, *last, *next;
	uint32_t count;
	bool open, gone;
};

struct work {
	struct mem mem;
	struct eval *ev;
	const struct task *task;
	int64_t now;
	bool inserting;
	struct node root;
};

static struct node *append(struct work *w, struct node *to, struct bytes name, struct value v)
{
	struct node *n = mem_take(&w->mem, sizeof *n);
	n->name = name;
	n->value = v;
	if (to->last)
		to->last->next = n;
	else
		to->children = n;
	to->last = n;
	to->count++;
	return n;
}

static void open_node(struct work *w, struct node *n)
{
	struct field f;
	if (n->open)
		return;
	n->open = true;
	for (const char *p = value_first(n->value.data); value_next(&p, &f);)
		append(w, n, (struct bytes){f.name, f.name_len}, f.value);
}

static struct node *child(struct node *of, const struct path_part *part)
{
	if (of->value.type == VALUE_ARRAY) {
		struct node *n = part->index >= 0 && (uint32_t)part->index < of->count ? of->children : NULL;
		for (int32_t i = 0; n && i < part->index; i++)
			n = n->next;
		return n;
	}
	for (struct node *n = of->children; n; n = n->next)
		if (!n->gone && n->name.len == part->name.len &&
		    memcmp(n->name.data, part->name.data, n->name.len) == 0)
			return n;
	return NULL;
}

static struct value empty_object(struct work *w)
{
	int32_t len = 5;
	char *data = mem_take(&w->mem, (size_t)len);
	memcpy(data, &len, sizeof len);
	return (struct value){data, VALUE_OBJECT};
}

static int refuse(struct work *w, const struct path *path, const char *why)
{
	return error_set(&w->ev->error, ERROR_TASK, "%s: %s", path->text.data, why);
}

/* What the path leads to, NULL if nothing. */
static struct node *look(struct work *w, const struct path *path)
{
	struct node *n = &w->root;
	for (uint32_t i = 0; n && i < path->count; i++) {
		if (!value_is_container(n->value.type))
			return NULL;
		open_node(w, n);
		n = child(n, &path->parts[i]);
	}
	return n;
}

static struct node *make_child(struct work *w, struct node *of, const struct path *path, uint32_t i)
{
	static const struct value null = {"", VALUE_NULL};
	const struct path_part *part = &path->parts[i];
	if (of->value.type == VALUE_ARRAY) {
		if (part->index < 0) {
			refuse(w, path, "a list has no such field");
			return NULL;
		}
		if (part->index - (int64_t)of->count > PAD_MAX) {
			refuse(w, path, "too far behind the end of the list");
			return NULL;
		}
		while (of->count < (uint32_t)part->index)
			append(w, of, (struct bytes){"", 0}, null);
	}
	return append(w, of, part->name, (struct value){NULL, VALUE_MISSING});
}

/* The same; makes what is missing (type 0, to be set by the caller). NULL with the error if it can't be. */
static struct node *reach(struct work *w, const struct path *path)
{
	struct node *n = &w->root;
	for (uint32_t i = 0; i < path->count; i++) {
		if (n->value.type == VALUE_MISSING)
			n->value = empty_object(w);
		if (!value_is_container(n->value.type)) {
			refuse(w, path, "can't be made: something on the way is neither an object nor a list");
			return NULL;
		}
		open_node(w, n);
		struct node *next = child(n, &path->parts[i]);
		if (!next && !(next = make_child(w, n, path, i)))
			return NULL;
		n = next;
	}
	return n;
}

static void set(struct node *n, struct value v)
{
	n->value = v;
	n->open = false;
	n->children = n->last = NULL;
	n->count = 0;
}

/* Only what is open can differ from `value`. */
static int pack(struct work *w, struct node *n);

static int set_number(struct work *w, struct node *n, uint8_t type, const void *bits)
{
	set(n, (struct value){mem_copy(&w->mem, bits, 8), type});
	return 0;
}

static int calculate(struct work *w, const struct update *u, struct node *n)
{
	static const int64_t zero = 0;
	bool multiply = u->kind == UPDATE_MUL;
	if (n->value.type == VALUE_MISSING) { /* $mul: zero of the kind of the number, whose bits are the same */
		set(n, multiply ? (struct value){(const char *)&zero, u->value.type} : u->value);
		return 0;
	}
	if (!value_is_number(n->value.type))
		return refuse(w, u->path, "isn't a number");
	if (n->value.type != VALUE_DOUBLE && u->value.type != VALUE_DOUBLE) {
		int64_t a = n->value.type == VALUE_INT32 ? value_int32(n->value.data) : value_int64(n->value.data), sum;
		int64_t b = value_int64(u->value.data);
		if (multiply ? __builtin_mul_overflow(a, b, &sum) : __builtin_add_overflow(a, b, &sum))
			return refuse(w, u->path, "the result has more than 64 bits");
		return set_number(w, n, VALUE_INT64, &sum);
	}
	double a = n->value.type == VALUE_DOUBLE ? value_double(n->value.data) : (double)value_int64(n->value.data);
	double b = u->value.type == VALUE_DOUBLE ? value_double(u->value.data) : (double)value_int64(u->value.data);
	double result = multiply ? a * b : a + b;
	if (!isfinite(result))
		return refuse(w, u->path, "the result is too large");
	return set_number(w, n, VALUE_DOUBLE, &result);
}

static int extreme(struct update const *u, struct node *n)
{
	int c = n->value.type == VALUE_MISSING ? 0 : value_compare(u->value, n->value);
	if (n->value.type == VALUE_MISSING || (u->kind == UPDATE_MIN ? c < 0 : c > 0))
		set(n, u->value);
	return 0;
}

static int to_list(struct work *w, const struct update *u, struct node *n)
{
	static const struct value empty = {"\5\0\0\0\0", VALUE_ARRAY};
	if (n->value.type == VALUE_MISSING)
		set(n, empty);
	if (n->value.type != VALUE_ARRAY)
		return refuse(w, u->path, "isn't a list");
	open_node(w, n);
	if (u->kind == UPDATE_ADD)
		for (struct node *e = n->children; e; e = e->next) {
			if (pack(w, e))
				return -1;
			if (value_compare(e->value, u->value) == 0)
				return 0;
		}
	append(w, n, (struct bytes){"", 0}, u->value);
	return 0;
}

static int pulls(struct work *w, const struct update *u, struct value v)
{
	if (u->pull_kind == PULL_EQUAL)
		return value_compare(v, u->value) == 0;
	if (u->pull_kind == PULL_DOCUMENTS && v.type != VALUE_OBJECT)
		return 0;
	return eval_match_value(w->ev, u->pull, v);
}

static int pull(struct work *w, const struct update *u)
{
	struct node *n = look(w, u->path), **at;
	if (!n)
		return 0;
	if (n->value.type != VALUE_ARRAY)
		return refuse(w, u->path, "isn't a list");
	open_node(w, n);
	for (n->last = NULL, at = &n->children; *at;) {
		int out = pulls(w, u, (*at)->value);
		if (out < 0)
			return -1;
		if (out) {
			*at = (*at)->next;
			n->count--;
		} else {
			n->last = *at;
			at = &(*at)->next;
		}
	}
	return 0;
}

static int unset(struct work *w, const struct path *path)
{
	static const struct value null = {"", VALUE_NULL};
	struct node *n = look(w, path), *parent = &w->root;
	if (!n)
		return 0;
	for (uint32_t i = 0; i + 1 < path->count; i++)
		parent = child(parent, &path->parts[i]);
	if (parent->value.type == VALUE_ARRAY) /* places behind it stay what they are */
		set(n, null);
	else
		n->gone = true;
	return 0;
}

static int assign(struct work *w, const struct update *u, struct node *n)
{
	if (path_is_id(u->path) && n->value.type && value_compare(n->value, u->value) != 0)
		return error_set(&w->ev->error, ERROR_TASK, "id: an id can't be changed");
	set(n, u->value);
	return 0;
}

static int apply(struct work *w, const struct update *u)
{
	if (u->kind == UPDATE_UNSET)
		return unset(w, u->path);
	if (u->kind == UPDATE_PULL)
		return pull(w, u);
	if (u->kind == UPDATE_SET_ON_INSERT && !w->inserting)
		return 0;
	struct node *n = reach(w, u->path);
	if (!n)
		return -1;
	switch (u->kind) {
	case UPDATE_INC:
	case UPDATE_MUL:
		return calculate(w, u, n);
	case UPDATE_MIN:
	case UPDATE_MAX:
		return extreme(u, n);
	case UPDATE_ADD:
	case UPDATE_PUSH:
		return to_list(w, u, n);
	case UPDATE_NOW:
		return set_number(w, n, VALUE_DATE, &w->now);
	default:
		return assign(w, u, n);
	}
}

static int write_node(struct work *w, const struct node *n, struct buf *out, int depth);

static int write_children(struct work *w, const struct node *n, struct buf *out, int depth)
{
	size_t open = value_open(out);
	uint32_t i = 0;
	for (const struct node *c = n->children; c; c = c->next) {
		char index[12];
		struct bytes name = c->name;
		if (c->gone)
			continue;
		if (n->value.type == VALUE_ARRAY)
			name = (struct bytes){index, value_index_name(i++, index)};
		if (value_name(out, c->value.type, name.data, name.len) || write_node(w, c, out, depth + 1))
			return -1;
	}
	return value_close(out, open);
}

static int write_node(struct work *w, const struct node *n, struct buf *out, int depth)
{
	if (depth > VALUE_DEPTH)
		return error_set(&w->ev->error, ERROR_TASK, "the document would be deeper than %d levels", VALUE_DEPTH);
	return n->open ? write_children(w, n, out, depth) : buf_add(out, n->value.data, value_size(n->value));
}

static int pack(struct work *w, struct node *n)
{
	struct buf b = {0};
	if (!n->open)
		return 0;
	int rc = write_node(w, n, &b, 0);
	if (rc == 0)
		set(n, (struct value){mem_copy(&w->mem, b.data, b.len), n->value.type});
	buf_free(&b);
	return rc;
}

static int finish(struct work *w, struct buf *out)
{
	size_t start = out->len;
	int rc = write_node(w, &w->root, out, 0);
	if (rc == 0 && out->len - start > VALUE_DOCUMENT_MAX)
		rc = error_set(&w->ev->error, ERROR_TASK, "the document would have more than %d MB",
			       VALUE_DOCUMENT_MAX >> 20);
	if (rc && !w->ev->error.code)
		error_set(&w->ev->error, ERROR_SERVER, "no memory for a document");
	mem_free(&w->mem);
	return rc ? -1 : 0;
}

/* Inserting -------------------------------------------------------------------------------------------------------- */

struct given {
	struct work *w;
	const struct path *paths[64];
	size_t count;
	int rc;
};

static bool overlaps(const struct path *a, const struct path *b)
{
	size_t n = a->text.len < b->text.len ? a->text.len : b->text.len;
	return memcmp(a->text.data, b->text.data, n) == 0 &&
	       (a->text.len == b->text.len || (a->text.len > n ? a : b)->text.data[n] == '.');
}

/* The id stands first; the others come as the matcher, whose keys are in order, has them. */
static void give(void *arg, const struct path *path, struct value v)
{
	struct given *g = arg;
	for (size_t i = 0; i < g->count && g->rc == 0; i++)
		if (overlaps(g->paths[i], path))
			g->rc = refuse(g->w, path, "the matcher says it twice: no new document can be made of it");
	if (g->rc || path_is_id(path))
		return;
	if (g->count < sizeof g->paths / sizeof *g->paths)
		g->paths[g->count++] = path;
	struct node *n = reach(g->w, path);
	if (n)
		set(n, v);
	else
		g->rc = -1;
}

static const struct value *set_id(const struct task *task)
{
	for (const struct update *u = task->updates; u; u = u->next)
		if (path_is_id(u->path))
			return &u->value;
	return NULL;
}

static struct value text_value(struct work *w, struct bytes t)
{
	struct buf b = {0};
	value_add_text(&b, "", 0, t.data, t.len);
	struct value v = {mem_copy(&w->mem, b.data + 2, b.len - 2), VALUE_STRING};
	buf_free(&b);
	return v;
}

static struct value new_id(struct work *w)
{
	const struct task *task = w->task;
	struct value id = match_id(task->match);
	const struct value *said = set_id(task);
	if (id.type)
		return id;
	if (said)
		return *said;
	return text_value(w, task->values_id.data ? task->values_id : task->made_id);
}

int eval_update(struct eval *ev, const struct task *task, const char *document, int64_t now, struct buf *out)
{
	struct work w = {.ev = ev, .task = task, .now = now, .inserting = !document};
	w.root.value = document ? (struct value){document, VALUE_OBJECT} : empty_object(&w);
	open_node(&w, &w.root);
	int rc = 0;
	if (!document) {
		append(&w, &w.root, (struct bytes){"_id", 3}, new_id(&w));
		struct given g = {.w = &w};
		match_equalities(task->match, give, &g);
		rc = g.rc;
	}
	for (const struct update *u = task->updates; rc == 0 && u; u = u->next)
		rc = apply(&w, u);
	if (rc == 0)
		return finish(&w, out);
	mem_free(&w.mem);
	return -1;
}

int eval_replace(struct eval *ev, const struct task *task, const char *document, int64_t now, struct buf *out)
{
	struct work w = {.ev = ev, .task = task, .now = now, .inserting = !document};
	struct field f;
	struct value id = document ? value_find(document, "_id", 3) : new_id(&w);
	struct value created = {(const char *)&w.now, VALUE_DATE}, modified = created;
	if (document) {
		struct value before = value_find(document, "created", 7);
		created = before.type ? before : created;
	}
	w.root.value = empty_object(&w);
	w.root.open = true;
	append(&w, &w.root, (struct bytes){"_id", 3}, id);
	for (const char *p = value_first(task->documents[0]); value_next(&p, &f);)
		append(&w, &w.root, (struct bytes){f.name, f.name_len}, f.value);
	append(&w, &w.root, (struct bytes){"created", 7}, created);
	append(&w, &w.root, (struct bytes){"modified", 8}, modified);
	if (task->values_id.data && value_compare(id, text_value(&w, task->values_id)) != 0) {
		mem_free(&w.mem);
		return error_set(&ev->error, ERROR_TASK, "id: an id can't be changed");
	}
	return finish(&w, out);
}
