/* SPDX-License-Identifier: MIT
 *
 * Matchers -> match trees. What MongoDB says in several ways has one form here: $ne and $nin are a NOT, $all an AND.
 */
#include <stdlib.h>

#include "docdb/parse.h"

static const char *const operators[] = {"$not", "$in", "$nin",    "$gt",  "$gte",  "$lt",   "$lte",
					"$ne",  "$re", "$exists", "$all", "$size", "$elem", NULL};
static const char *const combiners[] = {"$or", "$and", "$not", NULL};

static struct match *new_match(struct parse *p, enum match_kind kind, const struct path *path)
{
	struct match *m = mem_take(&p->request->mem, sizeof *m);
	m->kind = kind;
	m->path = path;
	return m;
}

/* Appends to the children of `parent`, in order. */
static void adopt(struct match *parent, struct match *child)
{
	struct match **at = &parent->children;
	while (*at)
		at = &(*at)->next;
	*at = child;
	parent->count++;
}

static struct place below(const struct place *at, struct bytes key)
{
	return (struct place){at, key.data, key.len, 0};
}

static struct match *refuse_null(int ignored)
{
	(void)ignored;
	return NULL;
}

static struct match *regex_match(struct parse *p, const struct place *at, uint32_t node, const struct path *path)
{
	if (parse_node(p, node)->kind != JSON_STRING)
		return refuse_null(
			parse_refuse(p, at, ERROR_ARGUMENT, "$re takes a text, not %s", parse_kind(p, node)));
	struct bytes source = parse_text(p, node);
	struct match *m = new_match(p, MATCH_RE, path);
	struct error e;
	if (memchr(source.data, 0, source.len))
		return refuse_null(parse_refuse(p, at, ERROR_ARGUMENT, "a regular expression can't contain NUL"));
	m->regex = regex_new(source.data, source.len, true, &e);
	if (!m->regex)
		return refuse_null(parse_refuse(p, at, ERROR_ARGUMENT, "%s", e.message));
	struct request *r = p->request;
	if ((r->regex_count & (r->regex_count + 1)) == 0)
		r->regexes = xrealloc(r->regexes, (r->regex_count + 1) * 2 * sizeof *r->regexes);
	r->regexes[r->regex_count++] = m->regex;
	return m;
}

static struct match *value_match(struct parse *p, const struct place *at, uint32_t node, enum match_kind kind,
				 const struct path *path)
{
	struct match *m = new_match(p, kind, path);
	if (parse_has_operators(p, node))
		return refuse_null(parse_refuse(p, at, ERROR_ARGUMENT, "takes a value, not operators"));
	return parse_value(p, at, node, &m->value) ? NULL : m;
}

/* The node of the text if it is {"$re": text}, else 0. */
static uint32_t regex_of(const struct parse *p, uint32_t node)
{
	const struct json_node *n = parse_node(p, node);
	return n->kind == JSON_OBJECT && n->count == 1 ? json_find(p->tree, node, "$re", 3) : 0;
}

static int compare_values(const void *a, const void *b)
{
	return value_compare(*(const struct value *)a, *(const struct value *)b);
}

static void sort_values(struct match *m)
{
	size_t kept = 0;
	qsort(m->values, m->count, sizeof *m->values, compare_values);
	for (size_t i = 0; i < m->count; i++)
		if (i == 0 || value_compare(m->values[i], m->values[kept - 1]) != 0)
			m->values[kept++] = m->values[i];
	m->count = kept;
}

static int check_list(struct parse *p, const struct place *at, uint32_t node)
{
	if (parse_node(p, node)->kind == JSON_ARRAY)
		return 0;
	return parse_refuse(p, at, ERROR_ARGUMENT, "takes a list, not %s", parse_kind(p, node));
}

static struct match *in_match(struct parse *p, const struct place *at, uint32_t node, const struct path *path)
{
	if (check_list(p, at, node))
		return NULL;
	const struct json_node *n = parse_node(p, node);
	struct match *m = new_match(p, MATCH_IN, path), **tail = &m->children;
	m->values = mem_take(&p->request->mem, n->count * sizeof *m->values);
	size_t i = 0;
	for (uint32_t child = node + 1; child < n->next; child = parse_node(p, child)->next, i++) {
		struct place here = {at, NULL, 0, i};
		uint32_t source = regex_of(p, child);
		if (source) {
			if (!(*tail = regex_match(p, &here, source, path)))
				return NULL;
			tail = &(*tail)->next;
		} else {
			struct match *v = value_match(p, &here, child, MATCH_EQ, NULL);
			if (!v)
				return NULL;
			m->values[m->count++] = v->value;
		}
	}
	sort_values(m);
	return m;
}

static struct match *all_match(struct parse *p, const struct place *at, uint32_t node, const struct path *path)
{
	if (check_list(p, at, node))
		return NULL;
	const struct json_node *n = parse_node(p, node);
	if (n->count == 0) /* MongoDB: matches nothing */
		return new_match(p, MATCH_NEVER, NULL);
	struct match *m = new_match(p, MATCH_AND, NULL), **tail = &m->children;
	for (uint32_t child = node + 1; child < n->next; child = parse_node(p, child)->next, m->count++) {
		struct place here = {at, NULL, 0, m->count};
		uint32_t source = regex_of(p, child);
		*tail = source ? regex_match(p, &here, source, path) : value_match(p, &here, child, MATCH_EQ, path);
		if (!*tail)
			return NULL;
		tail = &(*tail)->next;
	}
	return m;
}

static struct match *size_match(struct parse *p, const struct place *at, uint32_t node, const struct path *path)
{
	struct match *m = new_match(p, MATCH_SIZE, path);
	if (parse_node(p, node)->kind == JSON_INT && (m->number = json_int(p->tree, node)) >= 0)
		return m;
	return refuse_null(parse_refuse(p, at, ERROR_ARGUMENT, "takes a whole number from 0"));
}

static struct match *exists_match(struct parse *p, const struct place *at, uint32_t node, const struct path *path)
{
	struct match *m = new_match(p, MATCH_EXISTS, path);
	uint8_t kind = parse_node(p, node)->kind;
	if (kind != JSON_TRUE && kind != JSON_FALSE)
		return refuse_null(parse_refuse(p, at, ERROR_ARGUMENT, "takes true or false"));
	m->number = kind == JSON_TRUE;
	return m;
}

/* Are these operators about an element itself, or a matcher for elements that are objects? As MongoDB, by the first. */
static bool about_element(const struct parse *p, uint32_t node)
{
	if (!parse_has_operators(p, node))
		return false;
	if (json_find(p->tree, node, "$or", 3) || json_find(p->tree, node, "$and", 4))
		return false;
	uint32_t inner = json_find(p->tree, node, "$not", 4);
	return !inner || about_element(p, inner);
}

static struct match *elem_match(struct parse *p, const struct place *at, uint32_t node, const struct path *path)
{
	if (parse_node(p, node)->kind != JSON_OBJECT)
		return refuse_null(parse_refuse(p, at, ERROR_ARGUMENT, "takes an object, not %s", parse_kind(p, node)));
	bool element = about_element(p, node);
	struct match *m = new_match(p, element ? MATCH_ELEM_VALUE : MATCH_ELEM, path);
	struct match *inner = element ? parse_operators(p, at, node, NULL) : parse_matcher(p, at, node, false);
	if (!inner)
		return NULL;
	adopt(m, inner);
	return m;
}

static struct match *negate(struct parse *p, struct match *inner)
{
	if (!inner)
		return NULL;
	struct match *m = new_match(p, MATCH_NOT, NULL);
	adopt(m, inner);
	return m;
}

static struct match *not_match(struct parse *p, const struct place *at, uint32_t node, const struct path *path)
{
	if (!parse_has_operators(p, node))
		return refuse_null(parse_refuse(p, at, ERROR_ARGUMENT,
						"takes operators, as {\"$gt\": 5}; for \"is not\" "
						"there is $ne"));
	return negate(p, parse_operators(p, at, node, path));
}

static struct match *operator_match(struct parse *p, const struct place *at, struct bytes key, uint32_t node,
				    const struct path *path)
{
	static const struct {
		const char *name;
		enum match_kind kind;
	} plain[] = {{"$gt", MATCH_GT}, {"$gte", MATCH_GTE}, {"$lt", MATCH_LT}, {"$lte", MATCH_LTE}};
	for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
		if (parse_is(key, plain[i].name))
			return value_match(p, at, node, plain[i].kind, path);
	if (parse_is(key, "$ne"))
		return negate(p, value_match(p, at, node, MATCH_EQ, path));
	if (parse_is(key, "$in"))
		return in_match(p, at, node, path);
	if (parse_is(key, "$nin"))
		return negate(p, in_match(p, at, node, path));
	if (parse_is(key, "$re"))
		return regex_match(p, at, node, path);
	if (parse_is(key, "$not"))
		return not_match(p, at, node, path);
	if (parse_is(key, "$exists"))
		return exists_match(p, at, node, path);
	if (parse_is(key, "$all"))
		return all_match(p, at, node, path);
	if (parse_is(key, "$size"))
		return size_match(p, at, node, path);
	if (parse_is(key, "$elem"))
		return elem_match(p, at, node, path);
	return refuse_null(parse_unknown(p, at, key, operators));
}

struct match *parse_operators(struct parse *p, const struct place *at, uint32_t node, const struct path *path)
{
	const struct json_node *n = parse_node(p, node);
	struct match *all = new_match(p, MATCH_AND, NULL), **tail = &all->children;
	for (uint32_t key = node + 1; key < n->next; key = parse_node(p, key + 1)->next) {
		struct bytes name = parse_text(p, key);
		struct place here = below(at, name);
		if (name.len == 0 || *name.data != '$')
			return refuse_null(parse_refuse(p, &here, ERROR_ARGUMENT,
							"a field among operators: either operators or a value"));
		if (!(*tail = operator_match(p, &here, name, key + 1, path)))
			return NULL;
		tail = &(*tail)->next;
		all->count++;
	}
	return all->count == 1 ? all->children : all;
}

static struct match *combine(struct parse *p, const struct place *at, struct bytes key, uint32_t node, bool own)
{
	const char *const *known = combiners;
	while (*known && !parse_is(key, *known))
		known++;
	if (!*known)
		return refuse_null(parse_unknown(p, at, key, combiners));
	if (parse_is(key, "$not"))
		return negate(p, parse_matcher(p, at, node, own));
	if (check_list(p, at, node))
		return NULL;
	const struct json_node *n = parse_node(p, node);
	if (n->count == 0)
		return refuse_null(parse_refuse(p, at, ERROR_ARGUMENT, "takes a list with at least one matcher"));
	struct match *m = new_match(p, parse_is(key, "$or") ? MATCH_OR : MATCH_AND, NULL), **tail = &m->children;
	for (uint32_t child = node + 1; child < n->next; child = parse_node(p, child)->next, m->count++) {
		struct place here = {at, NULL, 0, m->count};
		if (!(*tail = parse_matcher(p, &here, child, own)))
			return NULL;
		tail = &(*tail)->next;
	}
	return m;
}

struct match *parse_matcher(struct parse *p, const struct place *at, uint32_t node, bool own)
{
	const struct json_node *n = parse_node(p, node);
	if (n->kind != JSON_OBJECT)
		return refuse_null(
			parse_refuse(p, at, ERROR_ARGUMENT, "a matcher is an object, not %s", parse_kind(p, node)));
	struct match *all = new_match(p, MATCH_AND, NULL), **tail = &all->children;
	for (uint32_t key = node + 1; key < n->next; key = parse_node(p, key + 1)->next) {
		struct bytes name = parse_text(p, key);
		struct place here = below(at, name);
		if (name.len && *name.data == '$') {
			*tail = combine(p, &here, name, key + 1, own);
		} else {
			const struct path *path = parse_path(p, &here, name, own);
			*tail = !path                             ? NULL
				: parse_has_operators(p, key + 1) ? parse_operators(p, &here, key + 1, path)
								  : value_match(p, &here, key + 1, MATCH_EQ, path);
		}
		if (!*tail)
			return NULL;
		tail = &(*tail)->next;
		all->count++;
	}
	/* One condition stands for itself: a list of them is never shared, so `next` is free. */
	return all->count == 1 ? all->children : all;
}

void match_equalities(const struct match *m, void (*fn)(void *arg, const struct path *path, struct value v), void *arg)
{
	if (m->kind == MATCH_EQ && m->path)
		fn(arg, m->path, m->value);
	else if (m->kind == MATCH_IN && m->path && m->count == 1 && !m->children)
		fn(arg, m->path, m->values[0]);
	else if (m->kind == MATCH_AND || (m->kind == MATCH_OR && m->count == 1))
		for (const struct match *c = m->children; c; c = c->next)
			match_equalities(c, fn, arg);
}

static void find_id(void *arg, const struct path *path, struct value v)
{
	struct value *id = arg;
	if (path_is_id(path))
		*id = v;
}

struct value match_id(const struct match *m)
{
	struct value id = {NULL, VALUE_MISSING};
	match_equalities(m, find_id, &id);
	return id;
}
