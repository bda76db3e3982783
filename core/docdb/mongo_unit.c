/* SPDX-License-Identifier: MIT
 *
 * One unit: its transaction, its mark, and trying again while its time lasts.
 *
 * A marked unit doesn't look its mark up before: it is rarely there. It does its work, adds the mark and commits; what comes
 * again fails at the latest at the mark, and then the mark's result is the answer.
 */
#include <stdio.h>

#include "base/fault.h"
#include "docdb/mongo.h"

enum { DUPLICATE = 11000, MARK_MAX = 15 << 20, SWEEP_MS = 60000, SWEEP_MOST_MS = 5000 };

/* {_id: the unit's mark} */
static void mark_id(bson_t *b, const struct job *job, size_t n)
{
	unsigned char mark[MARK_SIZE];
	job_mark(job, n, mark);
	bson_init(b);
	bson_append_binary(b, "_id", 3, BSON_SUBTYPE_BINARY, mark, MARK_SIZE);
}

static const struct bytes marks = {MONGO_MARKS, sizeof MONGO_MARKS - 1};

int mongo_add_mark(struct mongo_worker *w, struct job *job, size_t n, size_t start)
{
	bson_t opts, document, reply = BSON_INITIALIZER;
	bson_error_t e;
	size_t len = job->out.len - start;
	if (len > MARK_MAX)
		return job_fail(job, NULL, ERROR_TASK,
				"a transaction that writes can give at most %d MB: read less in it (collector.limit)",
				MARK_MAX >> 20);
	mark_id(&document, job, n);
	bson_append_date_time(&document, "at", 2, job->request->now);
	bson_append_utf8(&document, "result", 6, job->out.data + start, (int)len);
	int rc = mongo_options(w, job, NULL, &opts);
	if (rc == 0) {
		mongoc_collection_t *in = mongo_collection(w, job->request->units[n].database, marks);
		bson_append_bool(&opts, "validate", 8, false);
		if (!mongoc_collection_insert_one(in, &document, &opts, &reply, &e)) {
			w->known = e.code == DUPLICATE;
			rc = w->known ? -1 : mongo_fail(w, job, NULL, &e, &reply);
		}
		mongoc_collection_destroy(in);
	}
	bson_destroy(&reply);
	bson_destroy(&opts);
	bson_destroy(&document);
	return rc;
}

int mongo_find_mark(struct mongo_worker *w, struct job *job, size_t n, bson_error_t *e)
{
	bson_t filter, opts, concern;
	const bson_t *found;
	bson_iter_t i;
	int rc = 0;
	*e = (bson_error_t){0};
	mark_id(&filter, job, n);
	bson_init(&opts);
	bson_append_document_begin(&opts, "readConcern", 11, &concern);
	bson_append_utf8(&concern, "level", 5, "majority", 8);
	bson_append_document_end(&opts, &concern);
	w->wire = 0;
	mongoc_collection_t *in = mongo_collection(w, job->request->units[n].database, marks);
	mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(in, &filter, &opts, NULL);
	if (mongoc_cursor_next(cursor, &found) && bson_iter_init_find(&i, found, "result")) {
		uint32_t len;
		const char *text = bson_iter_utf8(&i, &len);
		rc = text && buf_add(&job->out, text, len) == 0 ? 1 : -1;
	} else if (mongoc_cursor_error(cursor, e)) {
		rc = -1;
	}
	mongoc_cursor_destroy(cursor);
	mongoc_collection_destroy(in);
	bson_destroy(&opts);
	bson_destroy(&filter);
	return rc;
}

/* Transactions ---------------------------------------------------------------------------------------------------- */

int mongo_begin(struct mongo_worker *w, struct job *job)
{
	bson_error_t e;
	mongoc_transaction_opt_t *opts = mongoc_transaction_opts_new();
	mongoc_read_concern_t *read = mongoc_read_concern_new();
	mongoc_write_concern_t *write = mongoc_write_concern_new();
	const mongoc_write_concern_t *said = mongoc_uri_get_write_concern(w->m->uri);
	mongoc_read_concern_set_level(read, MONGOC_READ_CONCERN_LEVEL_SNAPSHOT);
	mongoc_write_concern_set_w(write, MONGOC_WRITE_CONCERN_W_MAJORITY);
	mongoc_transaction_opts_set_read_concern(opts, read);
	mongoc_transaction_opts_set_write_concern(opts, mongoc_write_concern_is_default(said) ? write : said);
	w->wire = 0; /* mongo_end may have left that nothing is waited for: a session asks for a server */
	w->session = mongoc_client_start_session(w->client, NULL, &e);
	bool ok = w->session && mongoc_client_session_start_transaction(w->session, opts, &e);
	w->cut = false;
	if (ok)
		mongo_session_begins(w->m, w->session);
	mongoc_transaction_opts_destroy(opts);
	mongoc_read_concern_destroy(read);
	mongoc_write_concern_destroy(write);
	return ok ? 0 : mongo_fail(w, job, NULL, &e, NULL);
}

void mongo_end(struct mongo_worker *w)
{
	w->wire = w->cut; /* on a broken connection nothing is waited for: see mongo_session_lost */
	if (w->session && mongoc_client_session_in_transaction(w->session))
		mongoc_client_session_abort_transaction(w->session, NULL);
	if (w->session && w->cut)
		mongo_session_lost(w->m, w->session);
	if (w->session)
		mongoc_client_session_destroy(w->session);
	w->session = NULL;
}

/* 1: committed, 0: not, and it may be tried again from the start; -1: not, for good; -2: that isn't known. */
static int try_commit(struct mongo_worker *w, struct job *job)
{
	bson_error_t e;
	bson_t reply;
	int rc = 1;
	w->wire = w->regex = false;
	if (!mongoc_client_session_commit_transaction(w->session, &reply, &e)) {
		if (mongoc_error_has_label(&reply, "UnknownTransactionCommitResult")) {
			rc = -2;
			w->cut = true;
		} else {
			rc = mongo_fail(w, job, NULL, &e, &reply) && w->again ? 0 : -1;
		}
		snprintf(w->why, sizeof w->why, "%s", e.message);
	}
	bson_destroy(&reply);
	return rc;
}

int mongo_commit(struct mongo_worker *w, struct job *job, size_t n)
{
	bson_error_t e;
	size_t len = job->out.len;
	FAULT(docdb_before_commit);
	for (unsigned tries = 0;; tries++) {
		int rc = try_commit(w, job);
		if (rc == 1)
			FAULT(docdb_after_commit);
		if (rc > -2)
			return rc == 1 ? 0 : -1;
		job->out.len = 0; /* the mark's result is the same */
		if (tries && job->request->marked && mongo_find_mark(w, job, n, &e) == 1)
			return 0;
		job->out.len = len;
		if (!mongo_wait(w, tries))
			return job_fail(job, NULL, ERROR_SERVER,
					"the document database didn't say whether it has written: %s", w->why);
	}
}

/* Tasks ----------------------------------------------------------------------------------------------------------- */

int mongo_task(struct mongo_worker *w, struct job *job, const struct unit *unit, const struct task *task)
{
	if (task->op == TASK_GET || task->op == TASK_GET_ONE || task->op == TASK_COUNT)
		return mongo_read_task(w, job, unit, task);
	return mongo_write_task(w, job, unit, task);
}

static int tasks(struct mongo_worker *w, struct job *job, const struct unit *unit)
{
	int rc = unit->nested ? buf_add(&job->out, "[", 1) : 0;
	for (size_t i = 0; rc == 0 && i < unit->count; i++) {
		if (i)
			rc = buf_add(&job->out, ",", 1);
		if (rc == 0)
			rc = mongo_task(w, job, unit, &unit->tasks[i]);
	}
	return rc || buf_add_str(&job->out, unit->nested ? "]," : ",") ? -1 : 0;
}

/* One command that the server does wholly or not at all, and that may be sent twice. */
static bool needs_transaction(const struct request *r, const struct unit *unit)
{
	if (unit->count > 1)
		return true;
	return unit->writes && (r->marked || unit->tasks->op != TASK_PUT || unit->tasks->document_count != 1);
}

static int in_transaction(struct mongo_worker *w, struct job *job, size_t n)
{
	const struct unit *unit = &job->request->units[n];
	size_t start = job->out.len;
	int rc = mongo_begin(w, job);
	if (rc == 0)
		rc = tasks(w, job, unit);
	if (rc == 0 && unit->writes && job->request->marked)
		rc = mongo_add_mark(w, job, n, start);
	if (rc == 0)
		rc = mongo_commit(w, job, n);
	mongo_end(w);
	return rc;
}

int mongo_ask_mark(struct mongo_worker *w, struct job *job, size_t n)
{
	bson_error_t e;
	if (mongo_find_mark(w, job, n, &e) == 1) {
		job->failure.error.code = 0;
		return 0;
	}
	if (w->known && !job->failure.error.code) /* somebody else's, who then gave up */
		return mongo_again(w, "the same event is being done elsewhere");
	return -1;
}

static int try(struct mongo_worker *w, struct job *job, size_t n)
{
	const struct unit *unit = &job->request->units[n];
	size_t start = job->out.len;
	w->again = w->known = false;
	int rc = needs_transaction(job->request, unit) ? in_transaction(w, job, n) : tasks(w, job, unit);
	if (rc == 0)
		return 0;
	job->out.len = start;
	return unit->writes && job->request->marked && !w->again ? mongo_ask_mark(w, job, n) : rc;
}

int mongo_unit(struct mongo_worker *w, struct job *job, size_t n)
{
	w->unsure = false;
	for (w->tries = 0; try(w, job, n); w->tries++) {
		if (!w->again)
			return job_fail(job, NULL, ERROR_SERVER, "no memory for the answer");
		if (!mongo_wait(w, w->tries))
			return job_fail(job, NULL, ERROR_SERVER, "the document database can't do it just now: %s",
					w->why);
		mongo_end_lost_sessions(w, true);
	}
	return 0;
}

/* Beside the units ------------------------------------------------------------------------------------------------ */

static int create_index(struct mongo_worker *w, struct bytes database, struct bytes type, const char *field,
			bson_t *reply, bson_error_t *e)
{
	bson_t command = BSON_INITIALIZER, list, one, key;
	char name[1100];
	snprintf(name, sizeof name, "%s_1", field);
	bson_append_utf8(&command, "createIndexes", 13, type.data, (int)type.len);
	bson_append_array_begin(&command, "indexes", 7, &list);
	bson_append_document_begin(&list, "0", 1, &one);
	bson_append_document_begin(&one, "key", 3, &key);
	bson_append_int32(&key, field, -1, 1);
	bson_append_document_end(&one, &key);
	bson_append_utf8(&one, "name", 4, name, -1);
	bson_append_document_end(&list, &one);
	bson_append_array_end(&command, &list);
	bool ok = mongoc_client_write_command_with_opts(w->client, database.data, &command, NULL, reply, e);
	bson_destroy(&command);
	return ok ? 0 : -1;
}

int mongo_make_index(struct mongo_worker *w, struct job *job)
{
	bson_t reply;
	bson_error_t e;
	int rc;
	for (unsigned tries = 0;; tries++) {
		w->wire = w->again = w->regex = false;
		rc = create_index(w, job->database, job->type, job->index.data, &reply, &e);
		if (rc)
			rc = mongo_fail(w, job, NULL, &e, &reply);
		bson_destroy(&reply);
		if (!rc || !w->again)
			return rc;
		if (!mongo_wait(w, tries))
			return job_fail(job, NULL, ERROR_SERVER, "can't make an index: %s", w->why);
	}
}

static struct mongo_database *database_of(struct mongo *m, struct bytes name)
{
	for (size_t i = 0; i < m->database_count; i++)
		if (m->databases[i].name == name.data)
			return &m->databases[i];
	return NULL;
}

/* Once a minute, by whoever comes first; the first time it also makes the index that this needs. */
void mongo_sweep(struct mongo_worker *w, struct bytes database, int64_t now)
{
	struct mongo_database *d = database_of(w->m, database);
	long long before = d ? atomic_load(&d->swept) : 0;
	bson_t filter = BSON_INITIALIZER, old, reply;
	bson_error_t e;
	if (!d || now - before < SWEEP_MS || !atomic_compare_exchange_strong(&d->swept, &before, now))
		return;
	w->wire = 0;
	w->deadline = uv_hrtime() + SWEEP_MOST_MS * UINT64_C(1000000);
	if (before == 0) {
		create_index(w, database, marks, "at", &reply, &e);
		bson_destroy(&reply);
	}
	bson_append_document_begin(&filter, "at", 2, &old);
	bson_append_date_time(&old, "$lt", 3, now - w->m->mark_ms);
	bson_append_document_end(&filter, &old);
	mongoc_collection_t *in = mongo_collection(w, database, marks);
	mongoc_collection_delete_many(in, &filter, NULL, NULL, &e);
	mongoc_collection_destroy(in);
	bson_destroy(&filter);
}
