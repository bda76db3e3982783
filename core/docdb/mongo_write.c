/* SPDX-License-Identifier: MIT
 *
 * Writing tasks. All but a put of one document without a mark are in a transaction of their unit.
 */
#include <stdlib.h>

#include "docdb/mongo.h"

enum { DUPLICATE = 11000, TRIES_AGAINST_OTHERS = 3 };

struct command {
	struct mongo_worker *w;
	struct job *job;
	const struct task *task;
	const char *database;
	mongoc_collection_t *in;
	bson_t opts;
};

static int64_t number_of(const bson_t *reply, const char *name)
{
	bson_iter_t i;
	return bson_iter_init_find(&i, reply, name) && BSON_ITER_HOLDS_NUMBER(&i) ? bson_iter_as_int64(&i) : 0;
}

static struct bytes id_of(const char *document)
{
	return value_text(value_find(document, "_id", 3));
}

/* Put ------------------------------------------------------------------------------------------------------------- */

/* Which of the documents the server didn't take. */
static size_t refused(const bson_t *reply)
{
	bson_iter_t i, list, error;
	if (bson_iter_init_find(&i, reply, "writeErrors") && BSON_ITER_HOLDS_ARRAY(&i) &&
	    bson_iter_recurse(&i, &list) && bson_iter_next(&list) && bson_iter_recurse(&list, &error) &&
	    bson_iter_find(&error, "index"))
		return (size_t)bson_iter_as_int64(&error);
	return 0;
}

/* A put whose answer was lost and that was sent again: is what is there what we wrote? */
static bool is_ours(const struct command *c)
{
	struct bytes id = id_of(c->task->documents[0]);
	const bson_t *found;
	bson_t filter = BSON_INITIALIZER, wanted;
	mongo_borrow(&wanted, c->task->documents[0]);
	bson_append_utf8(&filter, "_id", 3, id.data, (int)id.len);
	mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(c->in, &filter, NULL, NULL);
	bool ours = mongoc_cursor_next(cursor, &found) && bson_equal(found, &wanted);
	mongoc_cursor_destroy(cursor);
	bson_destroy(&filter);
	return ours;
}

static int exists(const struct command *c, struct bytes id)
{
	const struct task *task = c->task;
	return job_fail(c->job, task, ERROR_EXISTS, "%.*s: there is a document with the id %.*s already",
			(int)task->type.len, task->type.data, id.len > 100 ? 100 : (int)id.len, id.data);
}

static int put_failed(const struct command *c, const bson_error_t *e, const bson_t *reply)
{
	const struct task *task = c->task;
	if (e->code != DUPLICATE || !strstr(e->message, "_id_"))
		return mongo_fail(c->w, c->job, task, e, reply);
	size_t n = refused(reply);
	return exists(c, id_of(task->documents[n < task->document_count ? n : 0]));
}

static int insert(struct command *c)
{
	const struct task *task = c->task;
	size_t n = task->document_count;
	bson_t *documents = xcalloc(n, sizeof *documents), reply;
	const bson_t **list = xcalloc(n, sizeof *list);
	bson_error_t e;
	for (size_t i = 0; i < n; i++) {
		mongo_borrow(&documents[i], task->documents[i]);
		list[i] = &documents[i];
	}
	bson_append_bool(&c->opts, "validate", 8, false);
	bool ok = mongoc_collection_insert_many(c->in, list, n, &c->opts, &reply, &e);
	if (!ok && c->w->unsure && e.code == DUPLICATE)
		ok = is_ours(c);
	int rc = ok ? 0 : put_failed(c, &e, &reply);
	c->w->unsure = rc && c->w->again && !c->w->session;
	bson_destroy(&reply);
	free(list);
	free(documents);
	return rc;
}

static int write_id(struct buf *out, const char *document)
{
	return value_write(out, value_find(document, "_id", 3));
}

static int put(struct command *c)
{
	const struct task *task = c->task;
	struct buf *out = &c->job->out;
	if (task->document_count && insert(c))
		return -1;
	if (task->list && buf_add(out, "[", 1))
		return -1;
	for (size_t i = 0; i < task->document_count; i++)
		if ((i && buf_add(out, ",", 1)) || write_id(out, task->documents[i]))
			return -1;
	return task->list ? buf_add(out, "]", 1) : 0;
}

/* Update, upsert, delete ------------------------------------------------------------------------------------------ */

/* Somebody else made the document between our look and our write: look again, a few times. */
static int update_failed(const struct command *c, const bson_error_t *e, const bson_t *reply)
{
	if (e->code == DUPLICATE && c->task->op != TASK_UPDATE && c->w->tries < TRIES_AGAINST_OTHERS)
		return mongo_again(c->w, e->message);
	struct value id = c->task->match ? match_id(c->task->match) : (struct value){NULL, VALUE_MISSING};
	if (e->code == DUPLICATE && id.type == VALUE_STRING && strstr(e->message, "_id_"))
		return exists(c, value_text(id));
	return mongo_fail(c->w, c->job, c->task, e, reply);
}

static int write_made(struct buf *out, struct value id)
{
	return buf_add_str(out, "{\"id\":") || value_write(out, id) ||
			       buf_add_str(out, ",\"matched\":0,\"modified\":0}")
		       ? -1
		       : 0;
}

/* Each that matched was modified: it has a new stamp. */
static int write_matched(struct buf *out, int64_t n)
{
	return buf_printf(out, "{\"matched\":%lld,\"modified\":%lld}", (long long)n, (long long)n);
}

/* The first of the write errors that a reply has, whose command as such went well. */
static bool has_write_error(const bson_t *reply, bson_error_t *e)
{
	bson_iter_t list, error, field;
	if (!bson_iter_init_find(&field, reply, "writeErrors") || !bson_iter_recurse(&field, &list) ||
	    !bson_iter_next(&list) || !bson_iter_recurse(&list, &error))
		return false;
	bson_set_error(e, MONGOC_ERROR_SERVER, 1, "the document database refused it");
	while (bson_iter_next(&error))
		if (strcmp(bson_iter_key(&error), "code") == 0)
			e->code = (uint32_t)bson_iter_as_int64(&error);
		else if (strcmp(bson_iter_key(&error), "errmsg") == 0 && BSON_ITER_HOLDS_UTF8(&error))
			bson_strncpy(e->message, bson_iter_utf8(&error, NULL), sizeof e->message);
	return true;
}

/* libmongoc's own functions would put maxTimeMS where no server takes it. */
bool mongo_send_update(struct mongo_worker *w, const char *database, struct bytes type, const bson_t *filter,
		       const bson_t *change, struct mongo_update_kind kind, const bson_t *opts, bson_t *reply,
		       bson_error_t *e)
{
	bson_t command = BSON_INITIALIZER, list, one;
	bson_append_utf8(&command, "update", 6, type.data, (int)type.len);
	bson_append_array_begin(&command, "updates", 7, &list);
	bson_append_document_begin(&list, "0", 1, &one);
	bool fits = bson_append_document(&one, "q", 1, filter) && bson_append_document(&one, "u", 1, change);
	bson_append_bool(&one, "upsert", 6, kind.upsert);
	bson_append_bool(&one, "multi", 5, kind.multi);
	bson_append_document_end(&list, &one);
	bson_append_array_end(&command, &list);
	bson_set_error(e, MONGOC_ERROR_BSON, MONGOC_ERROR_BSON_INVALID, "the update is too large");
	bool ok = fits && mongoc_client_write_command_with_opts(w->client, database, &command, opts, reply, e);
	bson_destroy(&command);
	return ok && !has_write_error(reply, e);
}

static int send_update(struct command *c, const bson_t *filter, const bson_t *change, bson_t *reply)
{
	const struct mongo_update_kind kind = {.upsert = c->task->op == TASK_UPSERT,
					       .multi = c->task->op == TASK_UPDATE};
	bson_error_t e;
	return mongo_send_update(c->w, c->database, c->task->type, filter, change, kind, &c->opts, reply, &e)
		       ? 0
		       : update_failed(c, &e, reply);
}

/* The id of the document that an upsert made; type 0: it made none. */
static struct value made_by(const bson_t *reply)
{
	struct value list = value_find((const char *)bson_get_data(reply), "upserted", 8);
	struct value first = list.type == VALUE_ARRAY ? value_find(list.data, "0", 1)
						      : (struct value){NULL, VALUE_MISSING};
	return first.type == VALUE_OBJECT ? value_find(first.data, "_id", 3) : (struct value){NULL, VALUE_MISSING};
}

static int write_update(struct command *c, const bson_t *reply)
{
	struct value made = made_by(reply);
	return made.type ? write_made(&c->job->out, made) : write_matched(&c->job->out, number_of(reply, "n"));
}

static int update(struct command *c)
{
	bson_t filter, change, reply = BSON_INITIALIZER;
	c->w->update.len = 0;
	if (mongo_update(c->task, &c->w->update))
		return -1;
	mongo_borrow(&filter, c->w->filter.data);
	mongo_borrow(&change, c->w->update.data);
	int rc = send_update(c, &filter, &change, &reply);
	if (rc == 0)
		rc = write_update(c, &reply);
	bson_destroy(&reply);
	return rc;
}

static int delete_all(struct command *c)
{
	bson_t filter, reply;
	bson_error_t e;
	mongo_borrow(&filter, c->w->filter.data);
	int rc = mongoc_collection_delete_many(c->in, &filter, &c->opts, &reply, &e)
			 ? buf_printf(&c->job->out, "%lld", (long long)number_of(&reply, "deletedCount"))
			 : mongo_fail(c->w, c->job, c->task, &e, &reply);
	bson_destroy(&reply);
	return rc;
}

/* Replace --------------------------------------------------------------------------------------------------------- */

/* The document that will be, in w->update, from what is there. 1: there was one, its id is in `filter`. */
static int look(struct command *c, bson_t *filter)
{
	bson_t wanted, opts, fields = BSON_INITIALIZER;
	const bson_t *found, *reply;
	struct eval ev = {0};
	bson_error_t e;
	int rc = 0;
	mongo_borrow(&wanted, c->w->filter.data);
	bson_copy_to(&c->opts, &opts);
	bson_append_int32(&fields, "created", 7, 1);
	bson_append_document(&opts, "projection", 10, &fields);
	bson_append_int64(&opts, "limit", 5, 1);
	mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(c->in, &wanted, &opts, NULL);
	bool any = mongoc_cursor_next(cursor, &found);
	if (!any && mongoc_cursor_error_document(cursor, &e, &reply))
		rc = mongo_fail(c->w, c->job, c->task, &e, reply);
	bson_iter_t id;
	if (any && bson_iter_init_find(&id, found, "_id"))
		bson_append_iter(filter, "_id", 3, &id);
	c->w->update.len = 0;
	if (rc == 0 && eval_replace(&ev, c->task, any ? (const char *)bson_get_data(found) : NULL, c->job->request->now,
				    &c->w->update))
		rc = job_fail(c->job, c->task, ev.error.code, "%s", ev.error.message);
	mongoc_cursor_destroy(cursor);
	bson_destroy(&fields);
	bson_destroy(&opts);
	return rc ? rc : any;
}

static int insert_whole(struct command *c, const bson_t *whole)
{
	bson_t reply;
	bson_error_t e;
	bson_append_bool(&c->opts, "validate", 8, false);
	int rc = mongoc_collection_insert_one(c->in, whole, &c->opts, &reply, &e)
			 ? write_made(&c->job->out, value_find(c->w->update.data, "_id", 3))
			 : update_failed(c, &e, &reply);
	bson_destroy(&reply);
	return rc;
}

static int replace(struct command *c)
{
	bson_t filter = BSON_INITIALIZER, whole, reply = BSON_INITIALIZER;
	int there = look(c, &filter), rc = there < 0 ? -1 : 0;
	if (rc == 0) {
		mongo_borrow(&whole, c->w->update.data);
		rc = there ? send_update(c, &filter, &whole, &reply) : insert_whole(c, &whole);
		if (rc == 0 && there)
			rc = write_update(c, &reply);
	}
	bson_destroy(&reply);
	bson_destroy(&filter);
	return rc;
}

int mongo_write_task(struct mongo_worker *w, struct job *job, const struct unit *unit, const struct task *task)
{
	struct command c = {.w = w, .job = job, .task = task, .database = unit->database.data};
	w->filter.len = 0;
	int rc = mongo_options(w, job, task, &c.opts);
	if (rc == 0 && task->match)
		rc = mongo_filter(task->match, &w->filter);
	if (rc == 0) {
		c.in = mongo_collection(w, unit->database, task->type);
		rc = task->op == TASK_PUT       ? put(&c)
		     : task->op == TASK_DELETE  ? delete_all(&c)
		     : task->op == TASK_REPLACE ? replace(&c)
						: update(&c);
		mongoc_collection_destroy(c.in);
	}
	bson_destroy(&c.opts);
	return rc;
}
