/* SPDX-License-Identifier: MIT
 *
 * Matchers -> MongoDB's filters. Values stand behind an operator or can't be taken for one: no name in them begins with $.
 */
#include <stdio.h>

#include "docdb/mongo.h"

enum { BSON_REGEX = 11, MERGE_MAX = 8 };

static int add_int(struct buf *b, const char *name, int64_t n, uint8_t type)
{
	char bit = n != 0;
	if (type == VALUE_BOOL)
		return value_name(b, type, name, strlen(name)) || buf_add(b, &bit, 1) ? -1 : 0;
	return value_add_int64(b, name, strlen(name), type, n);
}

static int add_text(struct buf *b, const char *name, const char *text)
{
	return value_add_text(b, name, strlen(name), text, strlen(text));
}

static int add_value(struct buf *b, const char *name, struct value v)
{
	return value_add(b, name, strlen(name), v);
}

/* Classes as \w mean all of Unicode here; the prefix says so, and is left away where it changes nothing. */
static const char *prefix(const char *source)
{
	for (const char *p = source; (p = strpbrk(p, "\\[")); p++) {
		if (*p == '\\' && p[1] && strchr("wWdDsSbB", p[1]))
			return "(*UCP)";
		if (*p == '[' && p[1] == ':')
			return "(*UCP)";
		if (*p == '\\' && p[1])
			p++;
	}
	return "";
}

static int add_regex_operator(struct buf *b, const struct match *m)
{
	struct buf source = {0};
	const char *text = regex_source(m->regex);
	int rc = buf_printf(&source, "%s%s", prefix(text), text);
	if (rc == 0)
		rc = add_text(b, "$regex", source.data) || add_text(b, "$options", "i") ? -1 : 0;
	buf_free(&source);
	return rc;
}

/* As a value, inside $in and $all. */
static int add_regex(struct buf *b, const char *name, const struct match *m)
{
	const char *text = regex_source(m->regex);
	if (value_name(b, BSON_REGEX, name, strlen(name)) || buf_add_str(b, prefix(text)))
		return -1;
	return buf_add(b, text, strlen(text) + 1) || buf_add(b, "i", 2) ? -1 : 0;
}

static int add_list(struct buf *b, const char *name, const struct match *m)
{
	char index[12];
	uint32_t n = 0;
	if (value_name(b, VALUE_ARRAY, name, strlen(name)))
		return -1;
	size_t open = value_open(b);
	for (size_t i = 0; m->kind == MATCH_IN && i < m->count; i++) {
		value_index_name(n++, index);
		if (add_value(b, index, m->values[i]))
			return -1;
	}
	for (const struct match *c = m->children; c; c = c->next) {
		value_index_name(n++, index);
		if (c->kind == MATCH_RE ? add_regex(b, index, c) : add_value(b, index, c->value))
			return -1;
	}
	return value_close(b, open);
}

/* About one element or field: members of an object of operators. ------------------------------------------------- */

struct operators {
	struct buf *b;
	bool nin; /* is there already */
};

static int operators_into(struct operators *o, const struct match *m);

static int nested(struct buf *b, const char *name, const struct match *m)
{
	struct operators o = {b, false};
	if (value_name(b, VALUE_OBJECT, name, strlen(name)))
		return -1;
	size_t open = value_open(b);
	return operators_into(&o, m) ? -1 : value_close(b, open);
}

static bool is_all(const struct match *m)
{
	for (const struct match *c = m->children; c; c = c->next)
		if (c->kind != MATCH_EQ && c->kind != MATCH_RE)
			return false;
	return m->children != NULL;
}

static int negation(struct operators *o, const struct match *m)
{
	if (m->kind == MATCH_EQ)
		return add_value(o->b, "$ne", m->value);
	if (m->kind == MATCH_IN && !o->nin) {
		o->nin = true;
		return add_list(o->b, "$nin", m);
	}
	return nested(o->b, "$not", m);
}

static int element_into(struct buf *b, const struct match *m);

static int operators_into(struct operators *o, const struct match *m)
{
	static const char *const names[] = {
		[MATCH_EQ] = "$eq", [MATCH_LT] = "$lt", [MATCH_LTE] = "$lte", [MATCH_GT] = "$gt", [MATCH_GTE] = "$gte"};
	switch (m->kind) {
	case MATCH_AND:
		if (is_all(m))
			return add_list(o->b, "$all", m);
		for (const struct match *c = m->children; c; c = c->next)
			if (operators_into(o, c))
				return -1;
		return 0;
	case MATCH_NOT:
		return negation(o, m->children);
	case MATCH_IN:
		return add_list(o->b, "$in", m);
	case MATCH_RE:
		return add_regex_operator(o->b, m);
	case MATCH_EXISTS:
		return add_int(o->b, "$exists", m->number, VALUE_BOOL);
	case MATCH_SIZE:
		return add_int(o->b, "$size", m->number, VALUE_INT64);
	case MATCH_ELEM:
	case MATCH_ELEM_VALUE:
		return element_into(o->b, m);
	case MATCH_NEVER:
	case MATCH_OR: /* never about an element */
		return add_list(o->b, "$all", &(struct match){.kind = MATCH_NEVER});
	default:
		return add_value(o->b, names[m->kind], m->value);
	}
}

int mongo_operators(const struct match *m, struct buf *out, const char *name, size_t len)
{
	struct operators o = {out, false};
	if (value_name(out, VALUE_OBJECT, name, len))
		return -1;
	size_t open = value_open(out);
	return operators_into(&o, m) ? -1 : value_close(out, open);
}

static int element_into(struct buf *b, const struct match *m)
{
	if (m->kind == MATCH_ELEM_VALUE)
		return nested(b, "$elemMatch", m->children);
	return value_name(b, VALUE_OBJECT, "$elemMatch", 10) || mongo_filter(m->children, b) ? -1 : 0;
}

/* Documents --------------------------------------------------------------------------------------------------------- */

static bool is_leaf(const struct match *m)
{
	return m->path && m->kind >= MATCH_EQ;
}

/* Conditions on fields, none of them twice: they can stand side by side. */
static bool can_merge(const struct match *m)
{
	if (m->count > MERGE_MAX)
		return false;
	for (const struct match *c = m->children; c; c = c->next) {
		if (!is_leaf(c))
			return false;
		for (const struct match *d = c->next; d; d = d->next)
			if (d->path && d->path->text.len == c->path->text.len &&
			    memcmp(d->path->text.data, c->path->text.data, c->path->text.len) == 0)
				return false;
	}
	return true;
}

static int into(struct buf *b, const struct match *m);

static int document(struct buf *b, const struct match *m)
{
	size_t open = value_open(b);
	return into(b, m) ? -1 : value_close(b, open);
}

static int combine(struct buf *b, const char *name, const struct match *children, bool all)
{
	char index[12];
	uint32_t n = 0;
	if (value_name(b, VALUE_ARRAY, name, strlen(name)))
		return -1;
	size_t open = value_open(b);
	for (const struct match *c = children; c; c = all ? c->next : NULL) {
		size_t len = value_index_name(n++, index);
		if (value_name(b, VALUE_OBJECT, index, len) || document(b, c))
			return -1;
	}
	return value_close(b, open);
}

static int leaf(struct buf *b, const struct match *m, bool negated)
{
	struct bytes path = m->path->text;
	struct operators o = {b, false};
	struct value one = m->kind == MATCH_IN && m->count == 1 && !m->children ? m->values[0] : m->value;
	bool equal = m->kind == MATCH_EQ || (m->kind == MATCH_IN && one.type);
	if (equal && !negated && !value_is_container(one.type))
		return value_add(b, path.data, path.len, one);
	if (value_name(b, VALUE_OBJECT, path.data, path.len))
		return -1;
	size_t open = value_open(b);
	int rc = negated ? negation(&o, m) : operators_into(&o, m);
	return rc ? -1 : value_close(b, open);
}

static int into(struct buf *b, const struct match *m)
{
	switch (m->kind) {
	case MATCH_AND:
		if (!can_merge(m))
			return combine(b, "$and", m->children, true);
		for (const struct match *c = m->children; c; c = c->next)
			if (leaf(b, c, false))
				return -1;
		return 0;
	case MATCH_OR:
		return combine(b, "$or", m->children, true);
	case MATCH_NOT:
		if (is_leaf(m->children) && (m->children->kind == MATCH_EQ || m->children->kind == MATCH_IN))
			return leaf(b, m->children, true);
		return combine(b, "$nor", m->children, false);
	case MATCH_NEVER:
		return mongo_operators(&(const struct match){.kind = MATCH_IN}, b, "_id", 3);
	default:
		return leaf(b, m, false);
	}
}

int mongo_filter(const struct match *m, struct buf *out)
{
	return document(out, m);
}

bool mongo_has_regex(const struct match *m)
{
	if (m->kind == MATCH_RE)
		return true;
	for (const struct match *c = m->children; c; c = c->next)
		if (mongo_has_regex(c))
			return true;
	return false;
}
