/* SPDX-License-Identifier: MIT
 *
 * class: what a dialect implements; docdb.c calls it. For dialects only.
 */
#ifndef SRVTHREDS_DOCDB_CLASS_H
#define SRVTHREDS_DOCDB_CLASS_H

#include "docdb/tree.h"

/* Units from..to of a request, all of them writing or all reading, to be done in order until one fails. The dialect owns
 * the job until it calls job_done, on the loop thread, never from within submit. */
struct job {
	struct request *request;
	size_t from, to;
	/* Filled by the dialect, on any thread: */
	size_t done;                  /* units that are done (durable, if they write) */
	struct buf out;               /* their results, JSON, each followed by a comma */
	struct docdb_failure failure; /* error.code 0: none */
	struct job *next;             /* for the dialect's queues */
	bool again; /* set with a failure of a held unit: it is due to chance, so the unit is begun anew while there is time */
	unsigned tries;    /* of a held unit: for the dialect to count, 0 at first */
	struct hold *hold; /* hold.c's: the unit is held */
	/* docdb_index instead of units, if `index` is set: */
	struct bytes index, database, type;
	size_t result_max;
	void *owner; /* docdb.c's */
};

struct dialect_class {
	const char *scheme; /* of the URL, with the colon */
	struct dialect *(*open)(struct runtime *rt, const char *rest, const struct docdb_options *o, struct error *e);
	void (*close)(struct dialect *d); /* ends its jobs; job_done still comes for each */
	bool (*ready)(struct dialect *d, struct error *reason);
	void (*submit)(struct dialect *d, struct job *job);
	/* A held unit, with scripts in it: one transaction that stays open while the loop decides what is done next. The job is
	 * one unit, job->from. Each call is answered by job_done, and the next one comes after that; all NULL: this dialect
	 * can't. No deadline but request->deadline: past it the dialect undoes the transaction by itself, whatever the
	 * loop is at, and fails what it is asked then.
	 *   begin   opens it. A mark that is there: its result -> out, done = 1, and nothing is held. A failure: neither.
	 *   exec    does one task, reading or writing; appends its result to out, without a comma. The task may be of another
	 *           request than the job's, which lives until the answer. A failure: abort follows.
	 *   commit  `out` holds the unit's result and a comma: written under the mark, if there is one. done = 1 when all is
	 *           durable. A failure: nothing of it stays.
	 *   abort   undoes it; also what the dialect undid already. Adds no failure.
	 * close() undoes what is held; after it only job_done is called, if it was due. */
	void (*begin)(struct dialect *d, struct job *job);
	void (*exec)(struct dialect *d, struct job *job, const struct unit *unit, const struct task *task);
	void (*commit)(struct dialect *d, struct job *job);
	void (*abort)(struct dialect *d, struct job *job);
};

/* First member of a dialect's own struct. */
struct dialect {
	const struct dialect_class *class;
};

void job_done(struct job *job);
/* Sets the failure of the job, keeps what is set already; returns -1. */
int job_fail(struct job *job, const struct task *task, int code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Fails the job if its answer is larger than it may be; 0 or -1. */
int job_too_large(struct job *job, const struct task *task);
/* The key of a unit's mark: 16 bytes of the event and the unit's number. */
enum { MARK_SIZE = 20 };
void job_mark(const struct job *job, size_t unit, unsigned char mark[MARK_SIZE]);

extern const struct dialect_class dialect_sqlite, dialect_memory, dialect_view, dialect_mongo, dialect_mongo_srv;

#endif
