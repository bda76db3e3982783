/* SPDX-License-Identifier: MIT
 *
 * Values -> documents and updates.
 */
#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

#include "docdb/parse.h"

enum { ID_LEN = 32 };

static const char *const operators[] = {"$add", "$push", "$remove", "$now",   "$inc",
					"$min", "$max",  "$mul",    "$unset", NULL};

static bool is_stamp(struct bytes name)
{
	return parse_is(name, "created") || parse_is(name, "modified");
}

static char *hex(char *out, uint64_t n, int digits)
{
	for (int i = digits - 1; i >= 0; i--, n >>= 4)
		out[i] = "0123456789abcdef"[n & 15];
	return out + digits;
}

void parse_random(uint64_t random[2])
{
	if (getrandom(random, 16, 0) != 16)
		abort(); /* 16 bytes are always there */
}

/* What nobody else has: the database's random bytes and what no other request of it has. To ask the kernel for each
 * request would cost a tenth of a put. */
static void seed(struct parse *p)
{
	const struct docdb_options *o = p->options;
	const uint64_t own[2] = {uv_hrtime(), (uintptr_t)p->request};
	if (!o->random[0] && !o->random[1]) {
		parse_random(p->seed);
	} else {
		XXH128_hash_t h = XXH3_128bits_withSeed(own, sizeof own, o->random[0]);
		p->seed[0] = h.low64 ^ o->random[1];
		p->seed[1] = h.high64;
	}
	p->seeded = true;
}

struct bytes parse_make_id(struct parse *p)
{
	if (!p->seeded)
		seed(p);
	/* Time first, so that new ids lie together in the index; then what nobody else makes. */
	uint64_t x = p->seed[0] ^ (p->seed[1] + ++p->made * 0x9E3779B97F4A7C15ull);
	x ^= x >> 30;
	x *= 0xBF58476D1CE4E5B9ull;
	x ^= x >> 27;
	x *= 0x94D049BB133111EBull;
	x ^= x >> 31;
	char *text = mem_take(&p->request->mem, ID_LEN + 1), *at = hex(text, (uint64_t)p->request->now, 12);
	hex(hex(at, x, 16), p->seed[1] ^ p->made, 4);
	return (struct bytes){text, ID_LEN};
}

/* The id among the values, checked; data NULL: there is none. */
static int values_id(struct parse *p, const struct place *at, uint32_t node, struct bytes *id)
{
	struct place here = {at, "id", 2, 0};
	uint32_t found = json_find(p->tree, node, "id", 2);
	*id = (struct bytes){NULL, 0};
	if (!found)
		return 0;
	if (parse_node(p, found)->kind != JSON_STRING)
		return parse_refuse(p, &here, ERROR_ARGUMENT, "an id is a text, not %s", parse_kind(p, found));
	*id = parse_text(p, found);
	return id->len ? 0 : parse_refuse(p, &here, ERROR_ARGUMENT, "an id can't be empty");
}

static int add_fields(struct parse *p, const struct place *at, uint32_t node, struct buf *b)
{
	const struct json_node *n = parse_node(p, node);
	for (uint32_t key = node + 1; key < n->next; key = parse_node(p, key + 1)->next) {
		struct bytes name = parse_glance(p, key);
		struct place here = {at, name.data, name.len, 0};
		if (parse_is(name, "id") || parse_is(name, "_id") || is_stamp(name))
			continue;
		if (name.len && *name.data == '$')
			return parse_refuse(p, &here, ERROR_ARGUMENT, "a document has no operators");
		if (memchr(name.data, '.', name.len) || memchr(name.data, 0, name.len))
			return parse_refuse(p, &here, ERROR_ARGUMENT, "a field's name can't contain a dot or NUL");
		if (parse_add(p, &here, key + 1, b, name.data, name.len))
			return -1;
	}
	return 0;
}

static int add_document(struct parse *p, const struct place *at, uint32_t node, struct task *task)
{
	struct buf *b = &p->scratch;
	struct bytes id;
	bool whole = task->op == TASK_PUT;
	if (parse_node(p, node)->kind != JSON_OBJECT)
		return parse_refuse(p, at, ERROR_ARGUMENT, "a document is an object, not %s", parse_kind(p, node));
	if (values_id(p, at, node, &id))
		return -1;
	b->len = 0;
	size_t open = value_open(b);
	if (whole) {
		if (!id.data)
			id = parse_make_id(p);
		value_add_text(b, "_id", 3, id.data, id.len);
	} else {
		task->values_id = id;
	}
	if (add_fields(p, at, node, b))
		return -1;
	if (whole && (value_add_int64(b, "created", 7, VALUE_DATE, p->request->now) ||
		      value_add_int64(b, "modified", 8, VALUE_DATE, p->request->now)))
		return -1;
	if (value_close(b, open))
		return -1;
	task->documents[task->document_count++] = mem_copy(&p->request->mem, b->data, b->len);
	b->len = 0;
	return 0;
}

int parse_documents(struct parse *p, const struct place *at, uint32_t node, struct task *task)
{
	const struct json_node *n = parse_node(p, node);
	task->list = n->kind == JSON_ARRAY && task->op == TASK_PUT;
	task->documents = mem_take(&p->request->mem, (task->list ? n->count : 1) * sizeof *task->documents);
	if (!task->list)
		return add_document(p, at, node, task);
	for (uint32_t child = node + 1; child < n->next; child = parse_node(p, child)->next) {
		struct place here = {at, NULL, 0, task->document_count};
		if (add_document(p, &here, child, task))
			return -1;
	}
	return 0;
}

/* Updates -------------------------------------------------------------------------------------------------------- */

struct updates {
	struct update **list; /* in the arena */
	size_t count, cap;
	struct task *task;
};

static struct update *push(struct parse *p, struct updates *u, enum update_kind kind, const struct path *path)
{
	if (u->count == u->cap) {
		struct update **more = mem_take(&p->request->mem, (u->cap = u->cap * 2 + 8) * sizeof *more);
		if (u->count)
			memcpy(more, u->list, u->count * sizeof *more);
		u->list = more;
	}
	struct update *one = mem_take(&p->request->mem, sizeof *one);
	one->kind = kind;
	one->path = path;
	u->list[u->count++] = one;
	return one;
}

static int pull_value(struct parse *p, const struct place *at, uint32_t node, struct update *u)
{
	const struct json_node *n = parse_node(p, node);
	if (n->kind != JSON_OBJECT || parse_is_date(p, node)) {
		u->pull_kind = PULL_EQUAL;
		return parse_value(p, at, node, &u->value);
	}
	if (parse_has_operators(p, node) && !json_find(p->tree, node, "$or", 3) &&
	    !json_find(p->tree, node, "$and", 4)) {
		u->pull_kind = PULL_WHERE;
		u->pull = parse_operators(p, at, node, mem_take(&p->request->mem, sizeof(struct path)));
	} else {
		u->pull_kind = PULL_DOCUMENTS;
		u->pull = parse_matcher(p, at, node, false);
	}
	return u->pull ? 0 : -1;
}

static int update_value(struct parse *p, const struct place *at, uint32_t node, struct update *u)
{
	const struct json_node *n = parse_node(p, node);
	switch (u->kind) {
	case UPDATE_UNSET:
		return 0;
	case UPDATE_NOW:
		return n->kind == JSON_TRUE ? 0 : parse_refuse(p, at, ERROR_ARGUMENT, "$now takes true for each field");
	case UPDATE_INC:
	case UPDATE_MUL:
		if (n->kind != JSON_INT && n->kind != JSON_FLOAT)
			return parse_refuse(p, at, ERROR_ARGUMENT, "takes a number, not %s", parse_kind(p, node));
		break;
	case UPDATE_PULL:
		return pull_value(p, at, node, u);
	default:
		break;
	}
	if (parse_has_operators(p, node)) {
		uint32_t first = node + 1;
		struct bytes name = parse_text(p, first);
		return parse_refuse(p, at, ERROR_ARGUMENT, "%.*s: an operator can't stand in a value",
				    name.len > 60 ? 60 : (int)name.len, name.data);
	}
	return parse_value(p, at, node, &u->value);
}

static int add_update(struct parse *p, const struct place *at, uint32_t node, struct updates *u, enum update_kind kind,
		      struct bytes name)
{
	const struct path *path = parse_path(p, at, name, true);
	if (!path)
		return -1;
	bool id = parse_is(path->parts[0].name, "_id");
	if (is_stamp(path->parts[0].name) || (id && name.data[0] == '_'))
		return 0;
	if (id && (kind != UPDATE_SET || path->count > 1))
		return parse_refuse(p, at, ERROR_ARGUMENT, "an id can't be changed");
	if (id && parse_node(p, node)->kind != JSON_STRING)
		return parse_refuse(p, at, ERROR_ARGUMENT, "an id is a text, not %s", parse_kind(p, node));
	return update_value(p, at, node, push(p, u, kind, path));
}

static int add_operator(struct parse *p, const struct place *at, uint32_t node, struct updates *u, struct bytes name)
{
	static const enum update_kind kinds[] = {UPDATE_ADD, UPDATE_PUSH, UPDATE_PULL, UPDATE_NOW,  UPDATE_INC,
						 UPDATE_MIN, UPDATE_MAX,  UPDATE_MUL,  UPDATE_UNSET};
	size_t i = 0;
	while (operators[i] && !parse_is(name, operators[i]))
		i++;
	if (!operators[i])
		return parse_unknown(p, at, name, operators);
	const struct json_node *n = parse_node(p, node);
	if (n->kind != JSON_OBJECT)
		return parse_refuse(p, at, ERROR_ARGUMENT, "takes an object of fields, not %s", parse_kind(p, node));
	for (uint32_t key = node + 1; key < n->next; key = parse_node(p, key + 1)->next) {
		struct bytes field = parse_text(p, key);
		struct place here = {at, field.data, field.len, 0};
		if (add_update(p, &here, key + 1, u, kinds[i], field))
			return -1;
	}
	return 0;
}

static int compare_updates(const void *a, const void *b)
{
	return path_compare((*(struct update *const *)a)->path, (*(struct update *const *)b)->path);
}

static int link_updates(struct parse *p, const struct place *at, struct updates *u)
{
	qsort(u->list, u->count, sizeof *u->list, compare_updates);
	for (size_t i = 0; i < u->count; i++) {
		struct update *one = u->list[i];
		if (i && path_begins(one->path, u->list[i - 1]->path))
			return parse_refuse(p, at, ERROR_ARGUMENT, "%s and %s can't be changed in one update",
					    u->list[i - 1]->path->text.data, one->path->text.data);
		one->next = i + 1 < u->count ? u->list[i + 1] : NULL;
	}
	u->task->updates = u->list[0];
	return 0;
}

static void stamp(struct parse *p, struct updates *u, enum update_kind kind, const char *name)
{
	const struct path *path = parse_path(p, NULL, (struct bytes){name, strlen(name)}, false);
	struct update *one = push(p, u, kind, path);
	one->value = (struct value){mem_copy(&p->request->mem, &p->request->now, 8), VALUE_DATE};
}

int parse_updates(struct parse *p, const struct place *at, uint32_t node, struct task *task)
{
	struct updates u = {.task = task};
	const struct json_node *n = parse_node(p, node);
	if (n->kind != JSON_OBJECT)
		return parse_refuse(p, at, ERROR_ARGUMENT, "values are an object, not %s", parse_kind(p, node));
	for (uint32_t key = node + 1; key < n->next; key = parse_node(p, key + 1)->next) {
		struct bytes name = parse_text(p, key);
		struct place here = {at, name.data, name.len, 0};
		bool is_operator = name.len && *name.data == '$';
		int rc = is_operator ? add_operator(p, &here, key + 1, &u, name)
				     : add_update(p, &here, key + 1, &u, UPDATE_SET, name);
		if (rc)
			return -1;
	}
	stamp(p, &u, UPDATE_SET, "modified");
	if (task->op == TASK_UPSERT)
		stamp(p, &u, UPDATE_SET_ON_INSERT, "created");
	return link_updates(p, at, &u);
}
