/* SPDX-License-Identifier: MIT
 *
 * local: the queue on the store's own file, as the store sees it. Loop thread only; for store/sqlite_*.c.
 *
 * What is ready lies in memory up to a limit, beyond that on disk only ("spilled"): then a page is read when there is room.
 * A topic begins spilled, so that a start, a late consumer and an overflow are one case.
 */
#ifndef SRVTHREDS_QUEUE_LOCAL_H
#define SRVTHREDS_QUEUE_LOCAL_H

#include <uthash.h>

#include "store/class.h"

struct sqlite;
struct local_queue;

/* A delivery that isn't settled. */
struct pending {
	struct delivery d;
	UT_hash_handle hh; /* by d.n */
	struct pending *next;
	struct topic *topic;
	struct shared_ref *shared; /* counted holder of d.ref */
	int64_t ticket;            /* held back until this is durable; 0 = not */
	size_t bytes;              /* that it keeps in memory */
	bool of_event;             /* settling it completes the event's row */
	bool emitted;              /* its event is one that a step emitted */
	bool late;                 /* a target of an event that has no outcome before one of them has */
	bool old;                  /* of the backlog of this start */
	bool running;
};

struct local_put {
	int64_t event, at;
	int tries; /* how often it was a dead letter before */
	struct span topic, target, message, doc, id, source;
	const struct pending *ref_of; /* whose ref holds the doc */
	bool emitted, late;
};

struct local_queue *local_new(struct sqlite *s);
void local_free(struct local_queue *q);
struct queue *local_base(struct local_queue *q);

struct pending *local_find(struct local_queue *q, int64_t n);
struct span local_doc(const struct pending *p);
bool local_waited(
	const struct pending *p); /* a target of an event whose outcome may be told by it: late or put aside */
struct span local_retry_topic(const struct pending *p); /* where it comes again after it was a dead letter */
void local_put(struct local_queue *q, const struct local_put *put);
/* An accept that can't wait (it is part of a commit): duplicates are looked up at once. */
void local_accept_sure(struct local_queue *q, const struct accept *a);
void local_settled(struct local_queue *q, struct pending *p);

void local_durable(struct local_queue *q);                       /* what was held back may go */
void local_room(struct local_queue *q);                          /* accepts that wait may go on */
void local_failed(struct local_queue *q, const struct error *e); /* forgets everything */
void local_resume(struct local_queue *q);                        /* reads again */
bool local_backlog_done(const struct local_queue *q);            /* of this start */

#endif
