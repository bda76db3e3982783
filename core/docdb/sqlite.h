/* SPDX-License-Identifier: MIT
 *
 * sqlite: what the files of the SQLite dialect share (prefix lite_); nobody else includes it.
 *
 *   loop thread      submit, completions                                          sqlite.c
 *   writer thread    all jobs that wait in one transaction, a savepoint a unit    sqlite_write.c
 *                    or one held unit, until it ends, is undone or is late        sqlite_hold.c
 *   reader threads   a job at a time, each on a connection of its own, which a    sqlite_read.c
 *                    new thread takes over behind a long job
 *
 * Inline ("memory:", or virtual time): the same on the loop thread, at the end of the turn, on one connection; so while
 * a unit is held, who only reads waits as well.
 */
#ifndef SRVTHREDS_DOCDB_SQLITE_H
#define SRVTHREDS_DOCDB_SQLITE_H

#include <sqlite3.h>
#include <stdatomic.h>
#include <uthash.h>

#include "docdb/class.h"
#include "docdb/eval.h"

enum { LITE_SCHEMA = 1, LITE_READERS = 4, LITE_BATCH = 1024, LITE_KEY_MAX = 400, LITE_INDEXES = 16 };
/* A row's number: the collection's above, a sequence below, so that a collection is a range of rows. */
#define LITE_ROWS (INT64_C(1) << 40)

struct lite_index {
	int64_t i;
	struct path *path; /* owned, with its parts */
};

struct lite_collection {
	UT_hash_handle hh;
	int64_t c, next; /* next row: the writer's */
	struct lite_index indexes[LITE_INDEXES];
	size_t index_count;
	size_t key_len;
	char key[]; /* database NUL name */
};

enum lite_result { LITE_DOCUMENTS, LITE_NUMBERS, LITE_COUNT, LITE_RESULTS };
enum lite_source { LITE_SCAN, LITE_ID, LITE_IDS, LITE_EQUAL, LITE_IN, LITE_RANGE, LITE_SOURCES };

enum lite_statement {
	LITE_BEGIN,
	LITE_BEGIN_WRITE,
	LITE_COMMIT,
	LITE_ROLLBACK,
	LITE_SAVEPOINT,
	LITE_RELEASE,
	LITE_BACK,
	LITE_FIND_COLLECTION,
	LITE_FIND_INDEXES,
	LITE_ADD_COLLECTION,
	LITE_ADD_INDEX,
	LITE_LAST_ROW,
	LITE_INSERT,
	LITE_UPDATE,
	LITE_DELETE,
	LITE_BODY,
	LITE_ADD_ENTRY,
	LITE_DELETE_ENTRY,
	LITE_FIND_MARK,
	LITE_ADD_MARK,
	LITE_SWEEP_MARKS,
	LITE_STATEMENTS
};

struct lite_conn {
	struct lite *s;
	sqlite3 *db;
	sqlite3_stmt *statements[LITE_STATEMENTS];
	sqlite3_stmt *plans[LITE_RESULTS * LITE_SOURCES * 4];
	struct lite_collection *collections; /* a uthash; what is known here */
	unsigned catalog;                    /* of which version */
	bool made;                           /* a collection or index in this transaction */
	uint64_t deadline;
	struct eval ev;
	struct buf key, document;
	/* readers: */
	bool in_transaction;
	bool nice; /* its thread is, and ends after the job; another one waits for `handed` */
	uv_sem_t handed;
	uint64_t long_at; /* when the job is a long one, uv_hrtime; 0: never */
	unsigned snapshot;
};

/* Who pushes never waits: the loop would stand still while a reader that has the mutex has no processor. */
struct lite_queue {
	_Atomic(struct job *) inbox; /* the newest first */
	struct job *first, **last;   /* what was gathered from there, the oldest first: of who takes */
	uv_sem_t pushed;             /* where a thread takes: once a push, and LITE_READERS times at the stop */
	uv_mutex_t mutex; /* to_read: of the readers. to_write: of `held`; the loop takes it for a wish only */
	uv_cond_t wake;   /* of `held` */
	atomic_bool stop;
};

/* Who holds the transaction, and what it waits for; under to_write's mutex. */
enum lite_wish { LITE_NO_WISH, LITE_EXEC, LITE_KEEP, LITE_UNDO };
struct lite_held {
	struct job *job; /* NULL: nobody */
	enum lite_wish wish;
	const struct unit *unit; /* LITE_EXEC */
	const struct task *task;
};

struct lite {
	struct dialect base;
	struct runtime *rt;
	char *path;
	bool inline_, deferred, closed, threads;
	struct lite_conn *writer, *readers[LITE_READERS];
	uv_thread_t thread; /* the writer's */
	uv_sem_t ended;     /* a reader has, for good */
	int reading;        /* how many were started */
	struct lite_queue to_write, to_read, finished;
	struct lite_held held;
	uv_async_t done;
	atomic_uint commits, catalog; /* how many so far */
	atomic_bool stopping;
	int64_t mark_ms;
	int64_t swept;      /* when marks were last */
	atomic_bool broken; /* the last commit failed */
};

int lite_fail(struct lite_conn *c, struct job *job, const struct task *task);
sqlite3_stmt *lite_statement(struct lite_conn *c, enum lite_statement which);
int lite_run(struct lite_conn *c, enum lite_statement which); /* without parameters, to its end; SQLite's code */
int lite_finish(sqlite3_stmt *st);                            /* steps to the end and resets */

/* sqlite_schema.c */
struct lite_conn *lite_connect(struct lite *s, bool writes, struct error *e);
void lite_disconnect(struct lite_conn *c);

/* sqlite_catalog.c: NULL: there is none (error.code of the job set if that is an error). */
struct lite_collection *lite_collection(struct lite_conn *c, struct bytes database, struct bytes type);
struct lite_collection *lite_collection_made(struct lite_conn *c, struct bytes database, struct bytes type);
void lite_forget(struct lite_conn *c);
int lite_make_index(struct lite_conn *c, struct job *job);

/* sqlite_plan.c: a bound statement that gives what the matcher asks for; NULL: SQLite failed. Reset it afterwards. */
sqlite3_stmt *lite_plan(struct lite_conn *c, const struct lite_collection *in, const struct task *task,
			enum lite_result result);
int lite_functions(struct lite_conn *c);
/* An entry's key, cut at LITE_KEY_MAX, in c->key. */
struct bytes lite_key(struct lite_conn *c, struct value v);

/* One unit on this connection; its result and a comma are appended to the job's. -1 with the job's failure. */
int lite_unit(struct lite_conn *c, struct job *job, size_t unit);
/* Appends the result of one task. -1 with the failure, or without: no memory. */
int lite_task(struct lite_conn *c, struct job *job, const struct unit *unit, const struct task *task);
int lite_write_task(struct lite_conn *c, struct job *job, const struct unit *unit, const struct task *task);
int lite_entries(struct lite_conn *c, const struct lite_collection *in, int64_t n, const char *document, bool add);

void lite_write_batch(struct lite_conn *c, struct job *jobs);
/* 1: this unit was done before, and what it gave is appended. -1 with the failure. */
int lite_done_before(struct lite_conn *c, struct job *job, size_t unit);
/* Leaves the unit's mark, if it has one: with its result, all of `out` from `start`. */
int lite_add_mark(struct lite_conn *c, struct job *job, size_t unit, size_t start);
/* Ends the transaction of these jobs: commits if `rc` is SQLITE_OK, else all of them fail. */
void lite_commit(struct lite_conn *c, struct job *jobs, int rc, int64_t now);

/* sqlite_hold.c */
void lite_hold(struct lite_conn *c, struct job *job); /* from begin to end, waiting for wishes: the writer's */
void lite_hold_open(struct lite_conn *c, struct job *job);
void lite_hold_serve(struct lite_conn *c); /* the wish that waits, if one does */
/* True: who holds will be served. False: it was undone, and the job has the failure. */
bool lite_hold_wish(struct lite *s, struct job *job, enum lite_wish wish, const struct unit *unit,
		    const struct task *task);

void lite_read_job(struct lite_conn *c, struct job *job);
void lite_writer(void *arg);
int lite_start_reader(struct lite_conn *c); /* 0, or libuv's error */
void lite_reader(void *arg);
/* Of a reader's job that turns out to be a long one: others who want the processor go first from now on. */
void lite_step_back(struct lite_conn *c, uint64_t now);

void lite_push(struct lite_queue *q, struct job *jobs); /* a list; any thread */
void lite_gather(struct lite_queue *q);                 /* what was pushed goes behind `first` */
struct job *lite_take(struct lite_queue *q);            /* gathers; the first, or NULL */
void lite_finished(struct lite *s, struct job *jobs);   /* a list; any thread */

#endif
