/* SPDX-License-Identifier: MIT
 *
 * Updates, selectors and sorts -> MongoDB's.
 */
#include "docdb/mongo.h"

/* Updates --------------------------------------------------------------------------------------------------------- */

static const char *const operators[] = {[UPDATE_SET] = "$set",        [UPDATE_SET_ON_INSERT] = "$setOnInsert",
					[UPDATE_UNSET] = "$unset",    [UPDATE_INC] = "$inc",
					[UPDATE_MUL] = "$mul",        [UPDATE_MIN] = "$min",
					[UPDATE_MAX] = "$max",        [UPDATE_ADD] = "$addToSet",
					[UPDATE_PUSH] = "$push",      [UPDATE_PULL] = "$pull",
					[UPDATE_NOW] = "$currentDate"};
enum { UPDATE_KINDS = sizeof operators / sizeof *operators };

static int add_pull(const struct update *u, struct buf *b)
{
	struct bytes path = u->path->text;
	if (u->pull_kind == PULL_EQUAL)
		return value_add(b, path.data, path.len, u->value);
	if (u->pull_kind == PULL_WHERE)
		return mongo_operators(u->pull, b, path.data, path.len);
	return value_name(b, VALUE_OBJECT, path.data, path.len) || mongo_filter(u->pull, b) ? -1 : 0;
}

static int add_update(const struct update *u, struct buf *b)
{
	struct bytes path = u->path->text;
	switch (u->kind) {
	case UPDATE_UNSET:
		return value_add_text(b, path.data, path.len, "", 0);
	case UPDATE_NOW:
		return value_add(b, path.data, path.len, (struct value){"\1", VALUE_BOOL});
	case UPDATE_PULL:
		return add_pull(u, b);
	default:
		return value_add(b, path.data, path.len, u->value);
	}
}

static bool sets_id(const struct task *task)
{
	for (const struct update *u = task->updates; u; u = u->next)
		if (path_is_id(u->path))
			return true;
	return false;
}

/* All updates of one kind, and the id of a document that has to be made. */
static int add_kind(const struct task *task, enum update_kind kind, bool id, struct buf *out)
{
	size_t open = SIZE_MAX;
	for (const struct update *u = task->updates; u; u = u->next) {
		if (u->kind != kind)
			continue;
		if (open == SIZE_MAX) {
			if (value_name(out, VALUE_OBJECT, operators[kind], strlen(operators[kind])))
				return -1;
			open = value_open(out);
		}
		if (add_update(u, out))
			return -1;
	}
	if (id && value_add_text(out, "_id", 3, task->made_id.data, task->made_id.len))
		return -1;
	return open == SIZE_MAX ? 0 : value_close(out, open);
}

int mongo_update(const struct task *task, struct buf *out)
{
	/* There is always a created to be set on insert, behind which the id finds its place. */
	bool make = task->op == TASK_UPSERT && !match_id(task->match).type && !sets_id(task);
	size_t open = value_open(out);
	for (int kind = 0; kind < UPDATE_KINDS; kind++)
		if (add_kind(task, (enum update_kind)kind, make && kind == UPDATE_SET_ON_INSERT, out))
			return -1;
	return value_close(out, open);
}

/* Selectors and sorts --------------------------------------------------------------------------------------------- */

static void add_picks(const struct pick *pick, bool exclude, struct buf *path, bson_t *out)
{
	size_t len = path->len;
	for (const struct pick *p = pick->children; p; p = p->next) {
		path->len = len;
		if (len)
			buf_add(path, ".", 1);
		buf_add(path, p->name.data, p->name.len);
		if (p->whole)
			bson_append_int32(out, path->data, (int)path->len, !exclude);
		else
			add_picks(p, exclude, path, out);
	}
	path->len = len;
}

void mongo_projection(const struct task *task, struct buf *scratch, bson_t *out)
{
	bson_init(out);
	scratch->len = 0;
	if (task->pick)
		add_picks(task->pick, task->pick_exclude, scratch, out);
	if (task->drop_id)
		bson_append_int32(out, "_id", 3, 0);
}

void mongo_sort(const struct task *task, bson_t *out)
{
	bson_init(out);
	for (size_t i = 0; i < task->sort_count; i++)
		bson_append_int32(out, task->sort[i].path->text.data, (int)task->sort[i].path->text.len,
				  task->sort[i].down ? -1 : 1);
}
