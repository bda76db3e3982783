/* SPDX-License-Identifier: MIT
 *
 * What the files of the local queue share; nobody else includes it.
 */
#ifndef SRVTHREDS_QUEUE_LOCAL_PRIVATE_H
#define SRVTHREDS_QUEUE_LOCAL_PRIVATE_H

#include "queue/local.h"
#include "store/sqlite.h"

enum { TOPIC_READY = 4096, TOPIC_PAGE = 512, TOPIC_RUNNING = 1024, PAGE_BYTES = 4 << 20 };

struct shared_ref {
	int ref, count;
};

struct topic {
	UT_hash_handle hh;
	struct local_queue *q;
	struct consumer consumer; /* deliver NULL: none */
	struct pending *first, *last;
	size_t ready, running;
	size_t bytes;       /* of all its deliveries in memory */
	int64_t cursor;     /* spilled: rows up to this n are in memory or settled */
	int64_t spill_last; /* the last row that is on disk only */
	bool engine;        /* holds events that were accepted */
	bool at_once;       /* delivered before it is durable: the engine's own topics */
	bool spilled, reading, kicked;
	size_t len;
	char name[];
};

/* An accept that waits: for room, for an earlier one of its source, or for a look at the disk. */
struct waiting {
	struct waiting *next;
	struct local_queue *q;
	struct accept a; /* its spans are copies */
	struct word *source;
	uint64_t hash;
	int64_t content, known_n;
	bool asking;
	accepted_fn fn;
	void *arg;
	char bytes[];
};

struct local_queue {
	struct queue base;
	struct sqlite *s;
	struct topic *topics;
	struct pending *by_n;             /* all that aren't settled */
	struct pending *held, *held_last; /* until they are durable, in order */
	struct waiting *waiting, *waiting_last;
	size_t waiting_bytes;
	uint32_t pass;
	int64_t start_n; /* rows below are of the backlog of this start */
	size_t old;
	void (*release)(void *arg, int ref);
	void *release_arg;
};

struct topic *topic_get(struct local_queue *q, struct span name);
void topic_read(struct topic *t); /* a page, if there is one to read and room for it */
void topic_offer(struct topic *t, struct pending *p);
void topic_kick(struct topic *t);
void local_arrive(struct topic *t, struct pending *p); /* new, or no longer held back */
struct pending *pending_new(struct local_queue *q, struct topic *t, const struct delivery *d);
void pending_charge(struct pending *p, size_t bytes);
void pending_free(struct local_queue *q, struct pending *p);

int local_accept(struct queue *base, const struct accept *a, struct accepted *out, accepted_fn fn, void *arg,
		 struct error *e);
void local_accept_failed(struct local_queue *q, const struct error *e);

#endif
