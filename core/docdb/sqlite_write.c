/* SPDX-License-Identifier: MIT
 *
 * Writing tasks, and the thread that writes: what came while the last commit ran is one transaction.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fault.h"
#include "docdb/sqlite.h"

struct entry {
	struct lite_conn *c;
	sqlite3_stmt *st;
	int rc;
};

static int each_entry(void *arg, struct value v)
{
	struct entry *e = arg;
	struct bytes key = lite_key(e->c, v);
	sqlite3_bind_blob64(e->st, 2, key.data, key.len, SQLITE_STATIC);
	e->rc = lite_finish(e->st);
	return e->rc != SQLITE_OK;
}

int lite_entries(struct lite_conn *c, const struct lite_collection *in, int64_t n, const char *document, bool add)
{
	for (size_t i = 0; i < in->index_count; i++) {
		struct entry e = {c, lite_statement(c, add ? LITE_ADD_ENTRY : LITE_DELETE_ENTRY), SQLITE_OK};
		sqlite3_bind_int64(e.st, 1, in->indexes[i].i);
		sqlite3_bind_int64(e.st, 3, n);
		if (eval_walk(in->indexes[i].path, (struct value){document, VALUE_OBJECT}, true, each_entry, &e))
			return e.rc;
	}
	return SQLITE_OK;
}

static int insert(struct lite_conn *c, struct job *job, const struct task *task, struct lite_collection *in,
		  const char *document)
{
	struct bytes id = value_text(value_find(document, "_id", 3));
	sqlite3_stmt *st = lite_statement(c, LITE_INSERT);
	sqlite3_bind_int64(st, 1, in->next);
	sqlite3_bind_int64(st, 2, in->c);
	sqlite3_bind_text64(st, 3, id.data, id.len, SQLITE_STATIC, SQLITE_UTF8);
	sqlite3_bind_blob64(st, 4, document, (sqlite3_uint64)value_int32(document), SQLITE_STATIC);
	int rc = lite_finish(st);
	if (rc == SQLITE_CONSTRAINT_UNIQUE)
		return job_fail(job, task, ERROR_EXISTS, "%.*s: there is a document with the id %.*s already",
				(int)task->type.len, task->type.data, id.len > 100 ? 100 : (int)id.len, id.data);
	if (rc == SQLITE_OK)
		rc = lite_entries(c, in, in->next++, document, true);
	return rc == SQLITE_OK ? 0 : lite_fail(c, job, task);
}

static int write_id(struct job *job, const char *document)
{
	return value_write(&job->out, value_find(document, "_id", 3));
}

static int put(struct lite_conn *c, struct job *job, const struct task *task, struct lite_collection *in)
{
	if (task->list && buf_add(&job->out, "[", 1))
		return -1;
	for (size_t i = 0; i < task->document_count; i++) {
		if (insert(c, job, task, in, task->documents[i]))
			return -1;
		if ((i && buf_add(&job->out, ",", 1)) || write_id(job, task->documents[i]))
			return -1;
	}
	return task->list ? buf_add(&job->out, "]", 1) : 0;
}

/* What to change is settled before anything is. */
struct numbers {
	int64_t *list; /* owned */
	size_t count, cap;
};

static int find(struct lite_conn *c, struct job *job, const struct task *task, struct lite_collection *in,
		struct numbers *found)
{
	int rc;
	sqlite3_stmt *st = lite_plan(c, in, task, LITE_NUMBERS);
	if (!st)
		return lite_fail(c, job, task);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		if (found->count == found->cap) {
			found->cap = found->cap ? found->cap * 2 : 16;
			found->list = xrealloc(found->list, found->cap * sizeof *found->list);
		}
		found->list[found->count++] = sqlite3_column_int64(st, 0);
	}
	if (rc != SQLITE_DONE)
		rc = lite_fail(c, job, task);
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? 0 : -1;
}

/* The row's document, valid until the statement is reset; NULL with the failure. */
static const char *body(struct lite_conn *c, struct job *job, const struct task *task, int64_t n)
{
	sqlite3_stmt *st = lite_statement(c, LITE_BODY);
	sqlite3_bind_int64(st, 1, n);
	if (sqlite3_step(st) == SQLITE_ROW)
		return sqlite3_column_blob(st, 0);
	lite_fail(c, job, task);
	return NULL;
}

static int change(struct lite_conn *c, struct job *job, const struct task *task, struct lite_collection *in, int64_t n)
{
	const char *old = body(c, job, task, n);
	sqlite3_stmt *st = lite_statement(c, LITE_UPDATE);
	int64_t now = job->request->now;
	c->document.len = 0;
	int rc = !old                       ? -1
		 : task->op == TASK_REPLACE ? eval_replace(&c->ev, task, old, now, &c->document)
					    : eval_update(&c->ev, task, old, now, &c->document);
	if (rc == 0 && in->index_count)
		rc = lite_entries(c, in, n, old, false);
	sqlite3_reset(lite_statement(c, LITE_BODY));
	sqlite3_bind_blob64(st, 1, c->document.data, c->document.len, SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, n);
	if (rc == 0)
		rc = lite_finish(st);
	if (rc == 0)
		rc = lite_entries(c, in, n, c->document.data, true);
	return rc ? lite_fail(c, job, task) : 0;
}

static int make(struct lite_conn *c, struct job *job, const struct task *task, struct lite_collection *in)
{
	int64_t now = job->request->now;
	c->document.len = 0;
	int rc = task->op == TASK_REPLACE ? eval_replace(&c->ev, task, NULL, now, &c->document)
					  : eval_update(&c->ev, task, NULL, now, &c->document);
	if (rc)
		return lite_fail(c, job, task);
	if (insert(c, job, task, in, c->document.data))
		return -1;
	return buf_add_str(&job->out, "{\"id\":") || write_id(job, c->document.data) ||
			       buf_add_str(&job->out, ",\"matched\":0,\"modified\":0}")
		       ? -1
		       : 0;
}

static int change_all(struct lite_conn *c, struct job *job, const struct task *task, struct lite_collection *in,
		      const struct numbers *found)
{
	for (size_t i = 0; i < found->count; i++)
		if (change(c, job, task, in, found->list[i]))
			return -1;
	return buf_printf(&job->out, "{\"matched\":%zu,\"modified\":%zu}", found->count, found->count);
}

static int delete_all(struct lite_conn *c, struct job *job, const struct task *task, struct lite_collection *in,
		      const struct numbers *found)
{
	for (size_t i = 0; i < found->count; i++) {
		sqlite3_stmt *st = lite_statement(c, LITE_DELETE);
		const char *old = in->index_count ? body(c, job, task, found->list[i]) : "";
		int rc = old ? SQLITE_OK : SQLITE_ERROR;
		if (rc == SQLITE_OK && in->index_count)
			rc = lite_entries(c, in, found->list[i], old, false);
		sqlite3_reset(lite_statement(c, LITE_BODY));
		sqlite3_bind_int64(st, 1, found->list[i]);
		if (rc == SQLITE_OK)
			rc = lite_finish(st);
		if (rc != SQLITE_OK)
			return lite_fail(c, job, task);
	}
	return buf_printf(&job->out, "%zu", found->count);
}

int lite_write_task(struct lite_conn *c, struct job *job, const struct unit *unit, const struct task *task)
{
	bool makes = task->op != TASK_UPDATE && task->op != TASK_DELETE;
	struct lite_collection *in = makes ? lite_collection_made(c, unit->database, task->type)
					   : lite_collection(c, unit->database, task->type);
	struct numbers found = {0};
	if (!in && makes)
		return lite_fail(c, job, task);
	if (task->op == TASK_PUT)
		return put(c, job, task, in);
	int rc = in ? find(c, job, task, in, &found) : 0;
	if (rc == 0 && task->op == TASK_DELETE)
		rc = delete_all(c, job, task, in, &found);
	else if (rc == 0 && makes && found.count == 0)
		rc = make(c, job, task, in);
	else if (rc == 0)
		rc = change_all(c, job, task, in, &found);
	free(found.list);
	return rc;
}

/* Batches ---------------------------------------------------------------------------------------------------------- */

int lite_done_before(struct lite_conn *c, struct job *job, size_t unit)
{
	unsigned char mark[MARK_SIZE];
	if (!job->request->marked)
		return 0;
	job_mark(job, unit, mark);
	sqlite3_stmt *st = lite_statement(c, LITE_FIND_MARK);
	sqlite3_bind_blob(st, 1, mark, MARK_SIZE, SQLITE_STATIC);
	int rc = sqlite3_step(st), found = rc == SQLITE_ROW;
	if (found && buf_add(&job->out, sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0)))
		found = job_fail(job, NULL, ERROR_SERVER, "no memory for the answer");
	else if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		found = lite_fail(c, job, NULL);
	sqlite3_reset(st);
	return found;
}

int lite_add_mark(struct lite_conn *c, struct job *job, size_t unit, size_t start)
{
	unsigned char mark[MARK_SIZE];
	if (!job->request->marked)
		return 0;
	job_mark(job, unit, mark);
	sqlite3_stmt *st = lite_statement(c, LITE_ADD_MARK);
	sqlite3_bind_blob(st, 1, mark, MARK_SIZE, SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, job->request->now);
	sqlite3_bind_blob64(st, 3, job->out.data + start, job->out.len - start, SQLITE_STATIC);
	return lite_finish(st) == SQLITE_OK ? 0 : lite_fail(c, job, NULL);
}

static int write_unit(struct lite_conn *c, struct job *job, size_t unit)
{
	size_t start = job->out.len;
	int found = lite_done_before(c, job, unit);
	if (found)
		return found < 0 ? -1 : 0;
	return lite_unit(c, job, unit) || lite_add_mark(c, job, unit, start) ? -1 : 0;
}

static void undo(struct lite_conn *c)
{
	lite_run(c, LITE_BACK);
	lite_run(c, LITE_RELEASE);
	if (c->made) /* perhaps undone with it: what is still true is read again */
		lite_forget(c);
}

static void write_job(struct lite_conn *c, struct job *job)
{
	c->deadline = job->request ? job->request->deadline : 0;
	for (size_t i = job->from; i < job->to; i++) {
		size_t start = job->out.len;
		lite_run(c, LITE_SAVEPOINT);
		if (job->index.data ? lite_make_index(c, job) : write_unit(c, job, i)) {
			c->deadline = 0;
			undo(c);
			job->out.len = start;
			break;
		}
		lite_run(c, LITE_RELEASE);
		job->done++;
	}
	c->deadline = 0;
}

static void sweep(struct lite_conn *c, int64_t now)
{
	struct lite *s = c->s;
	if (now - s->swept < 60000)
		return;
	s->swept = now;
	sqlite3_stmt *st = lite_statement(c, LITE_SWEEP_MARKS);
	sqlite3_bind_int64(st, 1, now - s->mark_ms);
	lite_finish(st);
}

static void exit_on_fsync(const struct lite *s, int rc)
{
	if (rc != SQLITE_IOERR_FSYNC && rc != SQLITE_IOERR_DIR_FSYNC)
		return;
	/* What the kernel said it could not write may be gone from its cache: a second try would lie. */
	fprintf(stderr,
		"srvthreds: the disk refused to sync %s; what was acknowledged is safe, the rest is not on disk. "
		"Stopping: check the disk, then start again.\n",
		s->path);
	_exit(74);
}

static void fail_all(struct lite_conn *c, struct job *jobs)
{
	char why[200];
	snprintf(why, sizeof why, "%s", sqlite3_errmsg(c->db));
	if (!sqlite3_get_autocommit(c->db))
		lite_run(c, LITE_ROLLBACK);
	lite_forget(c);
	for (struct job *job = jobs; job; job = job->next) {
		job->done = 0;
		job->out.len = 0;
		job->failure.error.code = 0;
		job_fail(job, NULL, ERROR_SERVER, "can't write the document database %s: %s", c->s->path, why);
	}
}

void lite_commit(struct lite_conn *c, struct job *jobs, int rc, int64_t now)
{
	struct lite *s = c->s;
	if (rc == SQLITE_OK && now)
		sweep(c, now);
	FAULT(docdb_before_commit);
	if (rc == SQLITE_OK)
		rc = lite_run(c, LITE_COMMIT);
	exit_on_fsync(s, rc);
	if (rc != SQLITE_OK)
		fail_all(c, jobs);
	else
		FAULT(docdb_after_commit);
	atomic_store(&s->broken, rc != SQLITE_OK);
	if (c->made)
		atomic_fetch_add(&s->catalog, 1);
	atomic_fetch_add(&s->commits, 1);
}

void lite_write_batch(struct lite_conn *c, struct job *jobs)
{
	int64_t now = 0;
	c->made = false;
	int rc = lite_run(c, LITE_BEGIN_WRITE);
	for (struct job *job = jobs; rc == SQLITE_OK && job; job = job->next) {
		write_job(c, job);
		now = job->request ? job->request->now : now;
		if (sqlite3_get_autocommit(c->db)) /* a full disk undid everything */
			rc = SQLITE_FULL;
	}
	lite_commit(c, jobs, rc, now);
}

/* What waits: some jobs, or one that is to be held. */
static struct job *take_batch(struct lite_queue *q)
{
	struct job *jobs = q->first, *last = jobs;
	for (int n = 1; !jobs->hold && n < LITE_BATCH && last->next && !last->next->hold; n++)
		last = last->next;
	q->first = last->next;
	if (!q->first)
		q->last = &q->first;
	last->next = NULL;
	return jobs;
}

void lite_writer(void *arg)
{
	struct lite_conn *c = arg;
	struct lite_queue *q = &c->s->to_write;
	for (;;) {
		while (uv_sem_trywait(&q->pushed) == 0)
			;            /* what these tell of is gathered below */
		bool stop = q->stop; /* nothing is pushed after it */
		lite_gather(q);
		if (!q->first && stop)
			return;
		if (!q->first) {
			uv_sem_wait(&q->pushed);
			continue;
		}
		struct job *jobs = take_batch(q);
		if (jobs->hold) {
			lite_hold(c, jobs);
		} else {
			lite_write_batch(c, jobs);
			lite_finished(c->s, jobs);
		}
	}
}
