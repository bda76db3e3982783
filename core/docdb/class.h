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
};

/* First member of a dialect's own struct. */
struct dialect {
	const struct dialect_class *class;
};

void job_done(struct job *job);
/* Sets the failure of the job, keeps what is set already; returns -1. */
int job_fail(struct job *job, const struct task *task, int code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* The key of a unit's mark: 16 bytes of the event and the unit's number. */
enum { MARK_SIZE = 20 };
void job_mark(const struct job *job, size_t unit, unsigned char mark[MARK_SIZE]);

extern const struct dialect_class dialect_sqlite, dialect_memory;

#endif
