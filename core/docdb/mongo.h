/* SPDX-License-Identifier: MIT
 *
 * mongo: what the files of the MongoDB dialect share; nobody else includes it.
 *
 *   loop thread   submit, completions                                             mongo.c
 *   workers       a job at a time, each with a connection of its own, started as jobs wait
 *                 units: transactions, marks, trying again                        mongo_unit.c
 *                 or a held unit, until it ends, is undone or is late             mongo_hold.c
 *                 sessions that nobody ends                                       mongo_session.c
 *                 connections that are given up in time                           mongo_wire.c, mongo_connect.c
 *                 tasks -> commands                                               mongo_read.c, mongo_write.c
 *                 the tree -> BSON                                                mongo_filter.c, mongo_shape.c
 *                 what an error means                                             mongo_error.c
 *   monitors      libmongoc's, one a server: who is there
 */
#ifndef SRVTHREDS_DOCDB_MONGO_H
#define SRVTHREDS_DOCDB_MONGO_H

#include <mongoc/mongoc.h>
#include <stdatomic.h>

#include "docdb/class.h"
#include "docdb/eval.h"

/* Of the workers, those that scripts may hold: who only reads always finds one of the others. */
enum { MONGO_WORKERS = 16, MONGO_HOLDERS = 12 };

enum { MONGO_SESSIONS = 512, MONGO_REGEX_MS = 900, MONGO_SLACK_MS = 150 };

/* No task can name it: see check_type. */
#define MONGO_MARKS "srvthreds.marks"
#define MONGO_LOCKS "srvthreds.locks"

struct mongo_database {
	const char *name; /* one of the options', the same address */
	atomic_llong swept;
};

struct mongo_sessions {
	struct {
		uint8_t id[16];
		uint64_t lost; /* when, uv_hrtime; 0: it isn't */
	} all[MONGO_SESSIONS];
	size_t count, next;
	bool due, busy; /* one was lost since they were ended last; that is being done */
	uint64_t ended; /* when that was */
	int file;       /* where the ids stand; -1: nowhere */
	uv_mutex_t mutex;
};

struct mongo {
	struct dialect base;
	struct runtime *rt;
	mongoc_uri_t *uri;
	mongoc_client_pool_t *pool; /* made by a worker: to look SRV records up may take seconds */
	struct mongo_worker *workers[MONGO_WORKERS];
	uv_mutex_t pool_mutex;
	size_t started, idle, waiting, holders;
	struct mongo_worker *resting; /* a stack; `idle` counts also who was woken and has not looked yet */
	struct job *first, **last;    /* what waits */
	struct job *finished, **finished_last;
	uv_mutex_t mutex; /* of all from `started` to here, and of `why` */
	uv_cond_t stopped;
	uv_async_t done;
	atomic_ullong closing;       /* since when, uv_hrtime; 0: it isn't */
	atomic_bool stopping, there; /* a server that takes writes */
	char why[504];               /* there isn't */
	int64_t mark_ms;
	struct mongo_database *databases;
	size_t database_count;
	struct mongo_sessions sessions;
};

/* What the holder of a worker's transaction waits for. */
enum mongo_wish { MONGO_NO_WISH, MONGO_EXEC, MONGO_KEEP, MONGO_UNDO };

struct mongo_held {
	struct job *job; /* NULL: nobody */
	enum mongo_wish wish;
	const struct unit *unit;
	const struct task *task;
};

struct mongo_worker {
	struct mongo *m;
	uv_thread_t thread;
	mongoc_client_t *client;
	mongoc_client_session_t *session; /* the transaction that is under way, or NULL */
	uint64_t deadline;                /* of the job, uv_hrtime */
	uint64_t wire;                    /* of the command: the connection is given up then */
	bool regex;                       /* the command has one */
	bool again;                       /* what failed left nothing behind: it may be tried again */
	bool unsure;                      /* a put without transaction failed on the way back */
	bool cut;                         /* the connection broke while the transaction was open */
	bool known;                       /* the mark is there already */
	unsigned tries;                   /* of the unit, so far */
	char why[504];                    /* the last reason to try again */
	uint64_t random;
	struct buf filter, update, scratch;
	struct buf locks;       /* names of collections, each with a NUL: see mongo_hold.c */
	uint64_t holds;         /* under the mutex of `m`: what its holder's scripts are about, 0: nobody holds */
	struct mongo_held held; /* under the mutex of `m`, as is what tells of it, or of a job: */
	uv_cond_t wished;
	bool resting;
	struct mongo_worker *next_resting;
};

/* mongo.c */
void mongo_finish(struct mongo *m, struct job *job); /* job_done, on the loop */
void mongo_worker(void *arg);
/* Waits, longer with each try. false: the job's time is over, or the database is being closed. */
bool mongo_wait(struct mongo_worker *w, unsigned tries);

/* mongo_filter.c, mongo_shape.c: whole documents, appended. -1: no memory. */
int mongo_filter(const struct match *m, struct buf *out);
int mongo_operators(const struct match *m, struct buf *out, const char *name, size_t len);
bool mongo_has_regex(const struct match *m);
int mongo_update(const struct task *task, struct buf *out);
void mongo_projection(const struct task *task, struct buf *scratch, bson_t *out);
void mongo_sort(const struct task *task, bson_t *out);

/* mongo_unit.c: one unit, until it is done, has failed, or its time is over. */
int mongo_unit(struct mongo_worker *w, struct job *job, size_t n);
int mongo_begin(struct mongo_worker *w, struct job *job); /* -1: mongo_end is still to come */
void mongo_end(struct mongo_worker *w);                   /* undoes what isn't committed */
int mongo_task(struct mongo_worker *w, struct job *job, const struct unit *unit, const struct task *task);
int mongo_commit(struct mongo_worker *w, struct job *job, size_t n);
/* What job->out has from `start` is the unit's result. */
int mongo_add_mark(struct mongo_worker *w, struct job *job, size_t n, size_t start);
/* 1: the unit was done before, and what it gave is appended. 0: there is no such mark. -1: it can't be said. */
int mongo_find_mark(struct mongo_worker *w, struct job *job, size_t n, bson_error_t *e);
/* What failed may have been done before: 0, then the mark says what it gave. */
int mongo_ask_mark(struct mongo_worker *w, struct job *job, size_t n);
void mongo_sweep(struct mongo_worker *w, struct bytes database, int64_t now);
int mongo_make_index(struct mongo_worker *w, struct job *job);

/* mongo_hold.c */
uint64_t mongo_holds(const struct job *job);              /* what the scripts of a held unit are about; never 0 */
void mongo_hold(struct mongo_worker *w, struct job *job); /* from begin to end, waiting for wishes */
void mongo_hold_exec(struct dialect *d, struct job *job, const struct unit *unit, const struct task *task);
void mongo_hold_commit(struct dialect *d, struct job *job);
void mongo_hold_abort(struct dialect *d, struct job *job);

/* mongo_connect.c: to one of the servers, in `ms` at most; NULL with `e` set. */
mongoc_stream_t *mongo_connect(const mongoc_uri_t *uri, const mongoc_host_list_t *host, int32_t ms, bson_error_t *e);

/* mongo_wire.c: the worker's connections are given up at its `wire`, if that is set, and at its deadline. */
void mongo_wire(struct mongo_worker *w);

/* mongo_session.c. Open: those that stand in the folder's file are lost; NULL: no file. */
void mongo_sessions_open(struct mongo *m, const char *folder);
void mongo_sessions_close(struct mongo *m);
void mongo_session_begins(struct mongo *m, const mongoc_client_session_t *session);
void mongo_session_lost(struct mongo *m, const mongoc_client_session_t *session);
/* Ends on the server those that were lost since; after a conflict also the others, from time to time. */
void mongo_end_lost_sessions(struct mongo_worker *w, bool conflict);

/* mongo_read.c, mongo_write.c: results are appended to the job's. -1: the job's failure is set, or w->again. */
int mongo_read_task(struct mongo_worker *w, struct job *job, const struct unit *unit, const struct task *task);
int mongo_write_task(struct mongo_worker *w, struct job *job, const struct unit *unit, const struct task *task);
struct mongo_update_kind {
	bool upsert, multi;
};
/* One update; false with `e`, also for what the reply says of it. `reply` is to be destroyed either way. */
bool mongo_send_update(struct mongo_worker *w, const char *database, struct bytes type, const bson_t *filter,
		       const bson_t *change, struct mongo_update_kind kind, const bson_t *opts, bson_t *reply,
		       bson_error_t *e);
/* Options with the time that is left and the session; -1: the time is over. Destroy them either way. */
int mongo_options(struct mongo_worker *w, struct job *job, const struct task *task, bson_t *opts);
mongoc_collection_t *mongo_collection(struct mongo_worker *w, struct bytes database, struct bytes type);
/* Borrows the bytes of a document; it knows its own address, so never copy it. */
void mongo_borrow(bson_t *b, const char *document);

/* mongo_error.c. `reply` may be NULL. Returns -1. */
int mongo_fail(struct mongo_worker *w, struct job *job, const struct task *task, const bson_error_t *e,
	       const bson_t *reply);
bool mongo_is_away(const bson_error_t *e);
int mongo_again(struct mongo_worker *w, const char *why);

#endif
