/* SPDX-License-Identifier: MIT
 *
 * docdb: lists of tasks (put, getOne, get, update, upsert, replace, delete, count, run) on a document database chosen by URL:
 * "sqlite:PATH", "memory:", "mongodb://HOST/?replicaSet=NAME", "mongodb+srv://HOST". Loop thread only; databases work on
 * threads of their own and never hold the loop up.
 *
 *   request.tasks = {"[{\"op\":\"count\",\"params\":{\"type\":\"cars\",\"matcher\":{}}}]", …};
 *   if (docdb_run(db, &request, done, arg, &failure) < 0) … refused: nothing was done, `failure` says which task
 *   done(arg, answer): answer->result.data is "[3]"
 *
 * A list item is a task or a list of tasks; each item is one transaction, done in order; the first that fails ends the
 * list, and the earlier ones stay done. With a `mark` an item that wrote is done once only: asked for again, even after a
 * crash, it gives what it gave. Errors: 4200, 4202 (the task is wrong), 4101 (host, database), 5202 (the id exists),
 * 5200 (time is over, the documents don't allow it, too much), 5000 (the database can't).
 */
#ifndef SRVTHREDS_DOCDB_H
#define SRVTHREDS_DOCDB_H

#include "docdb/value.h"
#include "runtime/runtime.h"

struct docdb;
struct docdb_view; /* view.h */

struct docdb_host {
	const char *name, *url;
};

struct docdb_options {
	const struct docdb_host *hosts; /* the first is the one that is used if a task names none */
	size_t host_count;
	const char *const *databases; /* the same */
	size_t database_count;
	int64_t timeout_ms;            /* of a request that says nothing; 0 = 30 s */
	int64_t mark_ms;               /* how long marks are kept; 0 = 7 days */
	size_t result_max;             /* bytes of an answer; 0 = 16 MB */
	const char *folder;            /* where a database notes what the next run must know; NULL: nowhere */
	uint64_t random[2];            /* docdb_open's own: of the ids that are made */
	const struct docdb_view *view; /* what the URL "view:" stands for; kept until its `close`; NULL: nothing */
};

/* Copies the options. NULL with `e` set. close: requests that wait end with an error; memory goes in later turns. */
struct docdb *docdb_open(struct runtime *rt, const struct docdb_options *options, struct error *e);
void docdb_close(struct docdb *db);
bool docdb_ready(struct docdb *db, struct error *reason);

struct docdb_request {
	struct bytes tasks; /* JSON; borrowed until docdb_run returns */
	struct bytes mark;  /* names the event; absent: no mark */
	int64_t timeout_ms; /* 0 = the option's */
};

struct docdb_failure {
	struct error error;
	int item, inner; /* which task, from 0; -1 = none, not in a nested list */
	char name[64];   /* the task's, "" if it has none */
};

struct docdb_answer {
	struct bytes result; /* JSON: a list with the results of the items that were done; absent if refused */
	size_t done;         /* how many */
	const struct docdb_failure *failure; /* NULL: all were */
};
typedef void (*docdb_done)(void *arg, const struct docdb_answer *answer);

/* 0: `fn` comes, later, once. -1: refused before anything was done, `failure` is set and `fn` never comes. Tasks of more
 * than 64 kB are checked on a worker thread: what is refused then comes to `fn`. */
int docdb_run(struct docdb *db, const struct docdb_request *request, docdb_done fn, void *arg,
	      struct docdb_failure *failure);

/* Scripts, for the op run: who runs them is told by `start`, on the loop thread, when the transaction of their item is
 * open. It calls docdb_script_run as often as it likes, one at a time, and then docdb_script_end, once, in any case;
 * both may be called from within `start`. The call's texts live until then. */
struct docdb_script;
struct docdb_script_call {
	struct bytes script, args; /* its name; JSON */
	int64_t now;               /* ms: the time of the request */
	uint64_t seed;             /* for random numbers; follows from the mark, if there is one */
};
typedef void (*docdb_start)(void *arg, struct docdb_script *script, const struct docdb_script_call *call);

/* Which scripts there are, by their names (copied), from now on. */
void docdb_scripts(struct docdb *db, const char *const *names, size_t count, docdb_start start, void *arg);

/* Tasks within the script's transaction, as docdb_run, but for `run`; of a list that fails there is no result. When
 * one fails that was not refused, the transaction is undone, and nothing can be done in it any more; the same when its
 * time is over. At most 1 MB of tasks. */
int docdb_script_run(struct docdb_script *script, struct bytes tasks, docdb_done fn, void *arg,
		     struct docdb_failure *failure);
/* The script's result, JSON, or its error: then the transaction is undone. Frees the script. */
void docdb_script_end(struct docdb_script *script, struct bytes result, const struct error *e);

/* Declares that `field` of the collection is looked for: makes an index, if there is none, of what is there and comes. */
int docdb_index(struct docdb *db, struct bytes database, struct bytes type, struct bytes field, docdb_done fn,
		void *arg, struct docdb_failure *failure);

#endif
