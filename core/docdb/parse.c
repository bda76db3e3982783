/* SPDX-License-Identifier: MIT
 *
 * What all parts of the check use: messages with their place, texts, values, paths.
 */
#include "docdb/parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { PATH_BYTES = 1024 };

static void write_place(struct buf *out, const struct place *at)
{
	if (!at)
		return;
	write_place(out, at->up);
	if (!at->key)
		buf_printf(out, "[%zu]", at->index);
	else
		buf_printf(out, "%s%.*s", at->up ? "." : "", at->len > 80 ? 80 : (int)at->len, at->key);
}

int parse_refuse(struct parse *p, const struct place *at, int code, const char *format, ...)
{
	char what[ERROR_MESSAGE_SIZE];
	struct buf where = {0};
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof what, format, args);
	va_end(args);
	write_place(&where, at);
	error_set(&p->failure->error, code, "%s: %s", where.data ? where.data : "", what);
	buf_free(&where);
	return -1;
}

/* Edit distance of two short words. */
static unsigned distance(const char *a, size_t n, const char *b, size_t m)
{
	unsigned row[32];
	if (n > 24 || m > 24)
		return 99;
	for (unsigned j = 0; j <= m; j++)
		row[j] = j;
	for (size_t i = 1; i <= n; i++) {
		unsigned before = row[0]++;
		for (size_t j = 1; j <= m; j++) {
			unsigned change = before + (a[i - 1] != b[j - 1]);
			before = row[j];
			unsigned step = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
			row[j] = change < step ? change : step;
		}
	}
	return row[m];
}

const char *parse_nearest(struct bytes key, const char *const *known)
{
	const char *best = NULL;
	unsigned least = 4;
	for (; *known; known++) {
		unsigned d = distance(key.data, key.len, *known, strlen(*known));
		if (d < least) {
			least = d;
			best = *known;
		}
	}
	return best;
}

int parse_unknown(struct parse *p, const struct place *at, struct bytes key, const char *const *known)
{
	const char *best = parse_nearest(key, known);
	int shown = key.len > 60 ? 60 : (int)key.len;
	if (best)
		return parse_refuse(p, at, ERROR_ARGUMENT, "%.*s isn't known here: did you mean %s?", shown, key.data,
				    best);
	return parse_refuse(p, at, ERROR_ARGUMENT, "%.*s isn't allowed here", shown, key.data);
}

void parse_members(const struct parse *p, uint32_t object, const struct bytes *names, size_t count, uint32_t *nodes)
{
	const struct json_node *n = parse_node(p, object);
	memset(nodes, 0, count * sizeof *nodes);
	for (uint32_t key = object + 1; key < n->next; key = parse_node(p, key + 1)->next) {
		const struct json_node *k = parse_node(p, key);
		if (k->flags & JSON_ESCAPED) { /* no hurry */
			for (size_t i = 0; i < count; i++)
				nodes[i] = nodes[i] ? nodes[i]
						    : json_find(p->tree, object, names[i].data, names[i].len);
			return;
		}
		struct bytes text;
		text.data = json_text(p->tree, key, &text.len);
		size_t i = 0;
		while (i < count && !parse_same(text, names[i]))
			i++;
		if (i < count)
			nodes[i] = key + 1;
	}
}

struct bytes parse_text(struct parse *p, uint32_t node)
{
	const struct json_node *n = parse_node(p, node);
	if (n->flags & JSON_ESCAPED) {
		char *text = mem_take(&p->request->mem, n->end - n->start);
		return (struct bytes){text, json_unescape(p->tree, node, text)};
	}
	struct bytes t;
	const char *text = json_text(p->tree, node, &t.len);
	t.data = mem_copy(&p->request->mem, text, t.len);
	return t;
}

struct bytes parse_glance(struct parse *p, uint32_t node)
{
	struct bytes t;
	if (parse_node(p, node)->flags & JSON_ESCAPED)
		return parse_text(p, node);
	t.data = json_text(p->tree, node, &t.len);
	return t;
}

const char *parse_kind(const struct parse *p, uint32_t node)
{
	static const char *const kinds[] = {"null",     "a boolean", "a boolean", "a number",
					    "a number", "a text",    "a list",    "an object"};
	return kinds[parse_node(p, node)->kind];
}

static bool begins_with_dollar(const struct parse *p, uint32_t key)
{
	const char *text = p->tree->bytes + parse_node(p, key)->start + 1;
	return *text == '$' || (*text == '\\' && memcmp(text, "\\u0024", 6) == 0);
}

bool parse_has_operators(const struct parse *p, uint32_t object)
{
	const struct json_node *n = parse_node(p, object);
	if (n->kind != JSON_OBJECT || parse_is_date(p, object))
		return false;
	for (uint32_t at = object + 1; at < n->next; at = parse_node(p, at + 1)->next)
		if (begins_with_dollar(p, at))
			return true;
	return false;
}

bool parse_is_date(const struct parse *p, uint32_t node)
{
	const struct json_node *n = parse_node(p, node);
	return n->kind == JSON_OBJECT && n->count == 1 && json_find(p->tree, node, "$date", 5);
}

static int parse_date(struct parse *p, const struct place *at, uint32_t node, int64_t *ms)
{
	uint32_t inner = node + 2;
	const struct json_node *n = parse_node(p, inner);
	if (n->kind == JSON_INT) {
		*ms = json_int(p->tree, inner);
		if (*ms >= -62167219200000 && *ms <= 253402300799999)
			return 0;
		return parse_refuse(p, at, ERROR_ARGUMENT, "$date is outside the years 0 to 9999");
	}
	struct bytes text = {"", 0};
	if (n->kind == JSON_STRING) {
		text = parse_text(p, inner);
		if (date_parse(text.data, text.len, ms))
			return 0;
	}
	return parse_refuse(
		p, at, ERROR_ARGUMENT,
		"$date takes ISO 8601 text, as 2026-01-31T12:00:00.000Z, or milliseconds since 1970%s%.*s%s",
		text.len ? ", not \"" : "", text.len > 40 ? 40 : (int)text.len, text.data, text.len ? "\"" : "");
}

static int check_key(struct parse *p, const struct place *at, struct bytes key)
{
	if (key.len && *key.data == '$')
		return parse_refuse(p, at, ERROR_ARGUMENT, "an operator can't stand in a value");
	if (memchr(key.data, '.', key.len))
		return parse_refuse(p, at, ERROR_ARGUMENT, "a field's name can't contain a dot");
	if (memchr(key.data, 0, key.len))
		return parse_refuse(p, at, ERROR_ARGUMENT, "a field's name can't contain NUL");
	return 0;
}

static int add_container(struct parse *p, const struct place *at, uint32_t node, struct buf *b)
{
	const struct json_node *n = parse_node(p, node);
	size_t open = value_open(b);
	uint32_t i = 0;
	for (uint32_t child = node + 1; child < n->next; child = parse_node(p, child)->next, i++) {
		struct place here = {at, NULL, 0, i};
		char index[12];
		struct bytes key = {index, 0};
		if (n->kind == JSON_OBJECT) {
			key = parse_glance(p, child++);
			here.key = key.data;
			here.len = key.len;
			if (check_key(p, &here, key))
				return -1;
		} else {
			key.len = value_index_name(i, index);
		}
		if (parse_add(p, &here, child, b, key.data, key.len))
			return -1;
	}
	return value_close(b, open);
}

int parse_add(struct parse *p, const struct place *at, uint32_t node, struct buf *b, const char *name, size_t len)
{
	const struct json_node *n = parse_node(p, node);
	int64_t number;
	double real;
	switch (n->kind) {
	case JSON_NULL:
		return value_name(b, VALUE_NULL, name, len);
	case JSON_TRUE:
	case JSON_FALSE:
		return value_name(b, VALUE_BOOL, name, len) || buf_add(b, n->kind == JSON_TRUE ? "\1" : "", 1) ? -1 : 0;
	case JSON_INT:
		return value_add_int64(b, name, len, VALUE_INT64, json_int(p->tree, node));
	case JSON_FLOAT:
		real = json_float(p->tree, node);
		return value_name(b, VALUE_DOUBLE, name, len) || buf_add(b, &real, sizeof real) ? -1 : 0;
	case JSON_STRING: {
		struct bytes text = parse_glance(p, node);
		return value_add_text(b, name, len, text.data, text.len);
	}
	default:
		break;
	}
	if (parse_is_date(p, node))
		return parse_date(p, at, node, &number) ? -1 : value_add_int64(b, name, len, VALUE_DATE, number);
	if (value_name(b, n->kind == JSON_OBJECT ? VALUE_OBJECT : VALUE_ARRAY, name, len))
		return -1;
	return add_container(p, at, node, b);
}

int parse_value(struct parse *p, const struct place *at, uint32_t node, struct value *v)
{
	struct buf *b = &p->scratch;
	size_t start = b->len;
	if (parse_add(p, at, node, b, "", 0))
		return -1;
	v->type = (uint8_t)b->data[start];
	v->data = mem_copy(&p->request->mem, b->data + start + 2, b->len - start - 2);
	b->len = start;
	return 0;
}

/* Paths ---------------------------------------------------------------------------------------------------------- */

/* Only as an array's element would be called: no sign, no leading zero. */
static int32_t as_index(struct bytes name)
{
	int64_t n = 0;
	if (name.len == 0 || *name.data > '9' || name.len > 9 || (name.len > 1 && *name.data == '0'))
		return -1;
	for (size_t i = 0; i < name.len; i++) {
		if (name.data[i] < '0' || name.data[i] > '9')
			return -1;
		n = n * 10 + (name.data[i] - '0');
	}
	return (int32_t)n;
}

static int check_part(struct parse *p, const struct place *at, struct bytes part)
{
	if (part.len == 0)
		return parse_refuse(p, at, ERROR_ARGUMENT, "a field's path has an empty part");
	if (*part.data == '$')
		return parse_refuse(p, at, ERROR_ARGUMENT, "%.*s in a path isn't allowed",
				    part.len > 40 ? 40 : (int)part.len, part.data);
	return 0;
}

static int split_path(struct parse *p, const struct place *at, struct path *path)
{
	const char *text = path->text.data, *end = text + path->text.len;
	uint32_t count = 1;
	bool nul = false;
	for (const char *c = text; c < end; c++) {
		count += *c == '.';
		nul |= *c == 0;
	}
	if (path->text.len > PATH_BYTES || count > PATH_PARTS)
		return parse_refuse(p, at, ERROR_ARGUMENT, "a path has at most %d parts and %d bytes", PATH_PARTS,
				    PATH_BYTES);
	if (nul)
		return parse_refuse(p, at, ERROR_ARGUMENT, "a path can't contain NUL");
	path->parts = mem_raw(&p->request->mem, count * sizeof *path->parts);
	for (path->count = 0; path->count < count; path->count++) {
		const char *dot = count > 1 ? memchr(text, '.', (size_t)(end - text)) : NULL;
		struct bytes part = {text, (size_t)((dot ? dot : end) - text)};
		if (check_part(p, at, part))
			return -1;
		path->parts[path->count] = (struct path_part){part, as_index(part)};
		text = dot ? dot + 1 : end;
	}
	return 0;
}

const struct path *parse_path(struct parse *p, const struct place *at, struct bytes text, bool own)
{
	struct mem *mem = &p->request->mem;
	struct path *path = mem_take(mem, sizeof *path);
	if (own && text.len >= 2 && memcmp(text.data, "id", 2) == 0 && (text.len == 2 || text.data[2] == '.')) {
		char *longer = mem_take(mem, text.len + 2);
		longer[0] = '_';
		memcpy(longer + 1, text.data, text.len);
		text = (struct bytes){longer, text.len + 1};
	}
	path->text = text;
	return split_path(p, at, path) ? NULL : path;
}

bool path_is_id(const struct path *path)
{
	return path->count == 1 && parse_is(path->text, "_id");
}

static int compare_parts(const struct path_part *a, const struct path_part *b)
{
	if (a->index >= 0 && b->index >= 0)
		return (a->index > b->index) - (a->index < b->index);
	if (a->index >= 0 || b->index >= 0)
		return a->index >= 0 ? -1 : 1;
	int c = memcmp(a->name.data, b->name.data, a->name.len < b->name.len ? a->name.len : b->name.len);
	return c ? c : (a->name.len > b->name.len) - (a->name.len < b->name.len);
}

int path_compare(const struct path *a, const struct path *b)
{
	for (uint32_t i = 0; i < a->count && i < b->count; i++) {
		int c = compare_parts(&a->parts[i], &b->parts[i]);
		if (c)
			return c;
	}
	return (a->count > b->count) - (a->count < b->count);
}

bool path_begins(const struct path *path, const struct path *with)
{
	if (with->count > path->count)
		return false;
	for (uint32_t i = 0; i < with->count; i++)
		if (compare_parts(&path->parts[i], &with->parts[i]))
			return false;
	return true;
}
