/* SPDX-License-Identifier: MIT
 *
 * Matchers over documents: MongoDB's rules of type brackets, null and missing, arrays (manual: "Query an Array", "Query for
 * Null or Missing Fields").
 */
#include <stdlib.h>
#include <uv.h>

#include "docdb/eval.h"

struct visit {
	const char *object;
	uint32_t part;
};

struct walk {
	const struct path *path;
	bool traverse;
	int (*fn)(void *arg, struct value v);
	void *arg;
	uint32_t objects;     /* entered so far */
	struct visit *visits; /* a hash of `room`, a power of two; owned */
	size_t room, count;
};

#define VISITS_FROM 10000 /* objects that are entered without a look whether they were before */

static struct visit *visit_at(const struct walk *w, const char *object, uint32_t part)
{
	size_t i = (((uintptr_t)object << 8) + part) * UINT64_C(0x9E3779B97F4A7C15) >> 20;
	while (w->visits[i & (w->room - 1)].object) {
		struct visit *v = &w->visits[i++ & (w->room - 1)];
		if (v->object == object && v->part == part)
			return v;
	}
	return &w->visits[i & (w->room - 1)];
}

/* An element that has the number which the path wants next is entered for it and for the same number as a key: of lists in
 * lists that is two to the power of their depth. What was looked through before has nothing new. */
static bool is_visited(struct walk *w, const char *object, uint32_t part)
{
	if (w->objects++ < VISITS_FROM)
		return false;
	if (w->count * 2 >= w->room) {
		struct walk old = *w;
		w->room = old.room ? old.room * 2 : 4096;
		w->visits = xcalloc(w->room, sizeof *w->visits);
		for (size_t i = 0; i < old.room; i++)
			if (old.visits[i].object)
				*visit_at(w, old.visits[i].object, old.visits[i].part) = old.visits[i];
		free(old.visits);
	}
	struct visit *v = visit_at(w, object, part);
	if (v->object)
		return true;
	*v = (struct visit){object, part};
	w->count++;
	return false;
}

static int walk_value(struct walk *w, struct value v, uint32_t part);

static int walk_object(struct walk *w, struct value v, uint32_t part)
{
	if (is_visited(w, v.data, part))
		return 0;
	struct bytes name = w->path->parts[part].name;
	return walk_value(w, value_find(v.data, name.data, name.len), part + 1);
}

/* The path goes on: into each element that is an object, and to the one whose number the next part is. An array in an
 * array is entered by its number only; what a number leads to isn't taken apart again. */
static int walk_array(struct walk *w, struct value v, uint32_t part)
{
	struct field f;
	int32_t i = 0, wanted = w->path->parts[part].index;
	bool last = part + 1 == w->path->count;
	for (const char *p = value_first(v.data); value_next(&p, &f); i++) {
		int rc = f.value.type == VALUE_OBJECT ? walk_object(w, f.value, part) : 0;
		if (rc == 0 && i == wanted) {
			if (last)
				rc = w->fn(w->arg, f.value);
			else if (f.value.type == VALUE_OBJECT)
				rc = walk_object(w, f.value, part + 1);
			else if (f.value.type == VALUE_ARRAY)
				rc = walk_array(w, f.value, part + 1);
		}
		if (rc)
			return rc;
	}
	return 0;
}

static int walk_value(struct walk *w, struct value v, uint32_t part)
{
	struct field f;
	if (part < w->path->count) {
		if (v.type == VALUE_OBJECT)
			return walk_object(w, v, part);
		if (v.type == VALUE_ARRAY)
			return walk_array(w, v, part);
		return w->fn(w->arg, (struct value){NULL, VALUE_MISSING});
	}
	if (v.type == VALUE_ARRAY && w->traverse)
		for (const char *p = value_first(v.data); value_next(&p, &f);) {
			int rc = w->fn(w->arg, f.value);
			if (rc)
				return rc;
		}
	return w->fn(w->arg, v);
}

int eval_walk(const struct path *path, struct value document, bool traverse, int (*fn)(void *arg, struct value v),
	      void *arg)
{
	struct walk w = {.path = path, .traverse = traverse, .fn = fn, .arg = arg};
	int rc = path->count && value_is_container(document.type) ? walk_object(&w, document, 0)
								  : walk_value(&w, document, 0);
	free(w.visits);
	return rc;
}

static int search(struct eval *ev, struct regex *re, struct value v)
{
	if (v.type != VALUE_STRING)
		return 0;
	struct bytes t = value_text(v);
	uint64_t begun = uv_hrtime();
	int found = regex_search(re, t.data, t.len, &ev->error);
	ev->regex_ns += uv_hrtime() - begun;
	if (found >= 0 && ev->regex_ns > EVAL_REGEX_NS)
		return error_set(
			&ev->error, ERROR_ARGUMENT,
			"the regular expression /%.120s/ takes too long: make it simpler, or narrow the matcher "
			"by other fields",
			regex_source(re));
	return found;
}

static bool is_in(const struct match *m, struct value v)
{
	size_t low = 0, high = m->count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		int c = value_compare(v, m->values[middle]);
		if (c == 0)
			return true;
		if (c < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}

static int any_in(struct eval *ev, const struct match *m, struct value v)
{
	int found = is_in(m, v);
	for (const struct match *re = m->children; found == 0 && re; re = re->next)
		found = search(ev, re->regex, v);
	return found;
}

static bool has_size(struct value v, int64_t wanted)
{
	struct field f;
	int64_t n = 0;
	if (v.type != VALUE_ARRAY)
		return false;
	for (const char *p = value_first(v.data); n <= wanted && value_next(&p, &f);)
		n++;
	return n == wanted;
}

static int any_element(struct eval *ev, const struct match *m, struct value v)
{
	struct field f;
	if (v.type != VALUE_ARRAY)
		return 0;
	for (const char *p = value_first(v.data); value_next(&p, &f);) {
		if (m->kind == MATCH_ELEM && !value_is_container(f.value.type))
			continue;
		int found = eval_match_value(ev, m->children, f.value);
		if (found)
			return found;
	}
	return 0;
}

/* One value, which may be missing: that counts as null, and is of its bracket. */
static int match_one(struct eval *ev, const struct match *m, struct value v)
{
	int order = 0;
	if (m->kind <= MATCH_GTE) {
		if (value_rank(v.type) != value_rank(m->value.type))
			return 0;
		order = value_compare(v, m->value);
	}
	switch (m->kind) {
	case MATCH_EQ:
		return order == 0;
	case MATCH_LT:
		return order < 0;
	case MATCH_LTE:
		return order <= 0;
	case MATCH_GT:
		return order > 0;
	case MATCH_GTE:
		return order >= 0;
	case MATCH_IN:
		return any_in(ev, m, v);
	case MATCH_RE:
		return search(ev, m->regex, v);
	case MATCH_EXISTS:
		return v.type != VALUE_MISSING;
	case MATCH_SIZE:
		return has_size(v, m->number);
	default:
		return any_element(ev, m, v);
	}
}

struct one {
	struct eval *ev;
	const struct match *m;
};

static int each(void *arg, struct value v)
{
	const struct one *one = arg;
	return match_one(one->ev, one->m, v);
}

static int match_field(struct eval *ev, const struct match *m, struct value v)
{
	int found;
	if (m->path) {
		struct one one = {ev, m};
		bool traverse = m->kind != MATCH_SIZE && m->kind != MATCH_ELEM && m->kind != MATCH_ELEM_VALUE;
		found = eval_walk(m->path, v, traverse, each, &one);
	} else {
		found = match_one(ev, m, v);
	}
	return m->kind == MATCH_EXISTS && !m->number ? !found : found;
}

int eval_match_value(struct eval *ev, const struct match *m, struct value v)
{
	int found;
	switch (m->kind) {
	case MATCH_NEVER:
		return 0;
	case MATCH_AND:
		for (const struct match *c = m->children; c; c = c->next)
			if ((found = eval_match_value(ev, c, v)) != 1)
				return found;
		return 1;
	case MATCH_OR:
	case MATCH_NOT:
		for (const struct match *c = m->children; c; c = c->next)
			if ((found = eval_match_value(ev, c, v)) != 0)
				return found < 0 ? found : m->kind == MATCH_OR;
		return m->kind == MATCH_NOT;
	default:
		return match_field(ev, m, v);
	}
}

int eval_match(struct eval *ev, const struct match *m, const char *document)
{
	return eval_match_value(ev, m, (struct value){document, VALUE_OBJECT});
}
