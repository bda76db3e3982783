/* SPDX-License-Identifier: MIT
 *
 * The writer: one transaction a batch. On its own thread, or inline.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "store/sqlite.h"

enum statement {
	ST_BEGIN,
	ST_COMMIT,
	ST_ROLLBACK,
	ST_WORD,
	ST_PARTICIPANT,
	ST_EVENT,
	ST_EVENT_DONE,
	ST_THRED,
	ST_THRED_UPDATE,
	ST_THRED_DELETE,
	ST_ARCHIVE,
	ST_MEMBER,
	ST_INBOX,
	ST_QUEUE,
	ST_QUEUE_DONE,
	ST_STARTS,
	ST_COUNT
};
_Static_assert((int)ST_COUNT <= (int)STATEMENTS, "room for the statements");

static const char *const sql[ST_COUNT] = {
	[ST_BEGIN] = "begin immediate",
	[ST_COMMIT] = "commit",
	[ST_ROLLBACK] = "rollback",
	[ST_WORD] = "insert into word values(?,?)",
	[ST_PARTICIPANT] = "insert into participant values(?,?,null,?)",
	[ST_EVENT] = "insert into event values(?,?,?,?,?,?,?,?,?,?,?,?)",
	[ST_EVENT_DONE] = "update event set thred=?,outcome=?,step=?,prev=?,rec=? where n=?",
	[ST_THRED] = "insert into thred values(?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[ST_THRED_UPDATE] =
		("update thred set status=?,step=?,pattern=?,version=?,reaction=?,started=?,reacted=?,due=?,last=?,"
		 "state=? where n=?"),
	[ST_THRED_DELETE] = "delete from thred where n=?",
	[ST_ARCHIVE] = "insert into archive values(?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[ST_MEMBER] = "insert or ignore into member values(?,?)",
	[ST_INBOX] = "insert into inbox values(?,?,?)",
	[ST_QUEUE] = "insert into queue values(?,?,?,?,?,?,?)",
	[ST_QUEUE_DONE] = "delete from queue where n=?",
	[ST_STARTS] = "insert into starts values(?1,?2) on conflict do update set last=?2",
};

static int run(sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);
	sqlite3_reset(st);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

/* 0 stands for "none" in our structs and for NULL on disk (one byte less a column). */
static void bind_or_null(sqlite3_stmt *st, int at, int64_t value)
{
	if (value)
		sqlite3_bind_int64(st, at, value);
	else
		sqlite3_bind_null(st, at);
}

static void bind_blob(sqlite3_stmt *st, int at, struct span s)
{
	if (s.data)
		sqlite3_bind_blob64(st, at, s.data, s.len, SQLITE_STATIC);
	else
		sqlite3_bind_null(st, at);
}

static void bind_text(sqlite3_stmt *st, int at, struct span s)
{
	if (s.data)
		sqlite3_bind_text64(st, at, s.data, s.len, SQLITE_STATIC, SQLITE_UTF8);
	else
		sqlite3_bind_null(st, at);
}

static int write_text(sqlite3_stmt **all, struct op *op)
{
	struct op_text *o = (struct op_text *)op;
	sqlite3_stmt *st = all[op->kind == OP_WORD ? ST_WORD : ST_PARTICIPANT];
	sqlite3_bind_int64(st, 1, o->n);
	bind_text(st, 2, o->text);
	if (op->kind == OP_PARTICIPANT)
		sqlite3_bind_int64(st, 3, o->at);
	return run(st);
}

static void bind_outcome(sqlite3_stmt *st, int at, int64_t outcome)
{
	if (outcome == OUTCOME_NONE)
		sqlite3_bind_null(st, at);
	else
		sqlite3_bind_int64(st, at, outcome);
}

static int write_event(sqlite3_stmt **all, struct op *op)
{
	struct op_event *o = (struct op_event *)op;
	sqlite3_stmt *st = all[ST_EVENT];
	sqlite3_bind_int64(st, 1, o->n);
	bind_or_null(st, 2, o->hash);
	if (o->source < 0) /* a record that is no event */
		sqlite3_bind_null(st, 3);
	else
		sqlite3_bind_int64(st, 3, o->source);
	bind_or_null(st, 4, o->thred);
	sqlite3_bind_int64(st, 5, o->at);
	bind_outcome(st, 6, o->outcome);
	bind_or_null(st, 7, o->step);
	bind_or_null(st, 8, o->prev);
	bind_or_null(st, 9, o->cause);
	bind_or_null(st, 10, o->content);
	bind_blob(st, 11, o->rec);
	bind_blob(st, 12, o->body);
	return run(st);
}

static int write_event_done(sqlite3_stmt **all, struct op *op)
{
	struct op_event *o = (struct op_event *)op;
	sqlite3_stmt *st = all[ST_EVENT_DONE];
	bind_or_null(st, 1, o->thred);
	bind_outcome(st, 2, o->outcome);
	bind_or_null(st, 3, o->step);
	bind_or_null(st, 4, o->prev);
	bind_blob(st, 5, o->rec);
	sqlite3_bind_int64(st, 6, o->n);
	return run(st);
}

/* The columns status … state, which all three tables of a thred have in this order. */
static int bind_thred(sqlite3_stmt *st, int at, const struct op_thred *o)
{
	const int64_t values[] = {o->status,  o->step,    o->pattern, o->version, o->reaction,
				  o->started, o->reacted, o->due,     o->last};
	for (size_t i = 0; i < sizeof values / sizeof *values; i++)
		bind_or_null(st, at++, values[i]);
	bind_blob(st, at++, o->state);
	return at;
}

static int write_thred(sqlite3_stmt **all, struct op *op)
{
	struct op_thred *o = (struct op_thred *)op;
	if (o->write == THRED_UPDATE) {
		sqlite3_stmt *st = all[ST_THRED_UPDATE];
		sqlite3_bind_int64(st, bind_thred(st, 1, o), o->n);
		return run(st);
	}
	if (o->write == THRED_ARCHIVE) {
		sqlite3_bind_int64(all[ST_THRED_DELETE], 1, o->n);
		int rc = run(all[ST_THRED_DELETE]);
		if (rc != SQLITE_OK)
			return rc;
	}
	sqlite3_stmt *st = all[o->write == THRED_INSERT ? ST_THRED : ST_ARCHIVE];
	sqlite3_bind_int64(st, 1, o->n);
	sqlite3_bind_int64(st, 2, o->hash);
	bind_text(st, 3, o->id);
	int next = bind_thred(st, 4, o);
	if (o->write != THRED_INSERT)
		sqlite3_bind_int64(st, next, o->ended);
	return run(st);
}

static int write_pair(sqlite3_stmt **all, struct op *op)
{
	static const unsigned char which[OP_KINDS] = {[OP_MEMBER] = ST_MEMBER,
						      [OP_INBOX] = ST_INBOX,
						      [OP_QUEUE_DONE] = ST_QUEUE_DONE,
						      [OP_STARTS] = ST_STARTS};
	struct op_pair *o = (struct op_pair *)op;
	sqlite3_stmt *st = all[which[op->kind]];
	sqlite3_bind_int64(st, 1, o->a);
	if (op->kind != OP_QUEUE_DONE)
		sqlite3_bind_int64(st, 2, o->b);
	if (op->kind == OP_INBOX)
		sqlite3_bind_int64(st, 3, o->c);
	return run(st);
}

static int write_queue(sqlite3_stmt **all, struct op *op)
{
	struct op_queue *o = (struct op_queue *)op;
	sqlite3_stmt *st = all[ST_QUEUE];
	sqlite3_bind_int64(st, 1, o->n);
	bind_or_null(st, 2, o->event);
	sqlite3_bind_int64(st, 3, o->at);
	sqlite3_bind_int64(st, 4, o->topic);
	bind_blob(st, 5, o->target);
	bind_blob(st, 6, o->body);
	bind_or_null(st, 7, o->tries);
	return run(st);
}

static int write_sql(sqlite3 *db, struct op *op)
{
	struct op_sql *o = (struct op_sql *)op;
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(db, o->sql, -1, &st, NULL);
	if (rc != SQLITE_OK)
		return rc;
	for (int i = 0; i < o->count; i++) {
		const struct sql_value *v = &o->values[i];
		if (v->kind == VALUE_INT)
			sqlite3_bind_int64(st, i + 1, v->number);
		else if (v->kind == VALUE_TEXT)
			bind_text(st, i + 1, v->text);
		else if (v->kind == VALUE_BLOB)
			bind_blob(st, i + 1, v->text);
	}
	do
		rc = sqlite3_step(st);
	while (rc == SQLITE_ROW);
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int write_op(struct sqlite_writer *w, struct op *op)
{
	switch (op->kind) {
	case OP_WORD:
	case OP_PARTICIPANT:
		return write_text(w->statements, op);
	case OP_EVENT:
		return write_event(w->statements, op);
	case OP_EVENT_DONE:
		return write_event_done(w->statements, op);
	case OP_THRED:
		return write_thred(w->statements, op);
	case OP_QUEUE:
		return write_queue(w->statements, op);
	case OP_RUN:
		return sqlite_runs_write(w->db, (struct op_run *)op);
	case OP_SQL:
		return write_sql(w->db, op);
	default:
		return write_pair(w->statements, op);
	}
}

static int write_ops(struct sqlite_writer *w, struct batch *batch)
{
	for (int kind = 0; kind < (int)OP_KINDS; kind++) {
		for (struct op *op = batch->first[kind]; op; op = op->next) {
			int rc = op->merged ? SQLITE_OK : write_op(w, op);
			if (rc != SQLITE_OK)
				return rc;
		}
		if (kind == OP_EVENT)
			FAULT(mid_batch);
	}
	return SQLITE_OK;
}

int sqlite_write(struct sqlite_writer *w, struct batch *batch)
{
	int rc = run(w->statements[ST_BEGIN]);
	if (rc == SQLITE_OK)
		rc = write_ops(w, batch);
	FAULT(before_commit);
	if (rc == SQLITE_OK)
		rc = run(w->statements[ST_COMMIT]);
	if (rc == SQLITE_OK) {
		FAULT(after_commit);
		return rc;
	}
	snprintf(w->message, sizeof w->message, "%s", sqlite3_errmsg(w->db));
	if (!sqlite3_get_autocommit(w->db))
		run(w->statements[ST_ROLLBACK]);
	return rc;
}

void sqlite_exit_on_fsync(int rc, const char *path)
{
	if (rc != SQLITE_IOERR_FSYNC && rc != SQLITE_IOERR_DIR_FSYNC)
		return;
	/* What the kernel said it could not write may be gone from its cache: a second try would lie. */
	fprintf(stderr,
		"srvthreds: the disk refused to sync %s; what was acknowledged is safe, the rest is not on disk. "
		"Stopping: check the disk, then start again.\n",
		path);
	_exit(74);
}

static void writer_main(void *arg)
{
	struct sqlite *s = arg;
	struct sqlite_writer *w = &s->writer;
	uv_mutex_lock(&w->mutex);
	for (;;) {
		while (!w->batch && !w->stop)
			uv_cond_wait(&w->wake, &w->mutex);
		struct batch *batch = w->batch;
		if (!batch)
			break;
		uv_mutex_unlock(&w->mutex);
		uint64_t begun_at = meters_now(&s->meters);
		uv_mutex_lock(&s->checkpoint.gate);
		int rc = sqlite_write(w, batch);
		uv_mutex_unlock(&s->checkpoint.gate);
		if (rc == SQLITE_OK)
			meters_committed(&s->meters, begun_at);
		sqlite_exit_on_fsync(rc, s->path);
		uv_mutex_lock(&w->mutex);
		w->rc = rc;
		w->batch = NULL;
		w->finished = true;
		uv_async_send(&w->done);
		uv_cond_signal(&w->wake);
	}
	uv_mutex_unlock(&w->mutex);
}

static void writer_done(uv_async_t *handle)
{
	struct sqlite *s = handle->data;
	uv_mutex_lock(&s->writer.mutex);
	bool finished = s->writer.finished;
	s->writer.finished = false;
	int rc = s->writer.rc;
	uv_mutex_unlock(&s->writer.mutex);
	if (finished)
		sqlite_written(s, rc);
}

int sqlite_writer_start(struct sqlite *s, struct error *e)
{
	struct sqlite_writer *w = &s->writer;
	for (int i = 0; i < ST_COUNT; i++)
		if (sqlite3_prepare_v3(w->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &w->statements[i], NULL) !=
		    SQLITE_OK)
			return sqlite_fail(w->db, e, "use", s->path);
	if (s->inline_)
		return 0;
	uv_mutex_init(&w->mutex);
	uv_cond_init(&w->wake);
	int rc = uv_async_init(runtime_loop(s->rt), &w->done, writer_done);
	w->done.data = s;
	if (rc == 0) {
		s->refs++;
		rc = uv_thread_create(&w->thread, writer_main, s);
		w->started = true;
	}
	return rc ? error_set(e, ERROR_SERVER, "can't start the store's writer: %s", uv_strerror(rc)) : 0;
}

static void handle_closed(uv_handle_t *handle)
{
	sqlite_unref(handle->data);
}

void sqlite_writer_stop(struct sqlite *s)
{
	struct sqlite_writer *w = &s->writer;
	if (w->started) {
		uv_mutex_lock(&w->mutex);
		w->stop = true;
		uv_cond_signal(&w->wake);
		uv_mutex_unlock(&w->mutex);
		uv_thread_join(&w->thread);
		uv_mutex_destroy(&w->mutex);
		uv_cond_destroy(&w->wake);
		uv_close((uv_handle_t *)&w->done, handle_closed);
		w->started = false;
	}
	for (int i = 0; i < ST_COUNT; i++)
		sqlite3_finalize(w->statements[i]);
	memset(w->statements, 0, sizeof w->statements);
}
