/* SPDX-License-Identifier: MIT
 *
 * queue: events in, deliveries out. Loop thread only. The local queue lives on the store's file, so that acceptance, the
 * step and "handled" share a commit (store_commit settles `changes.delivery`).
 *
 * A delivery belongs to the queue: it is valid until it is settled, or until the store says `failed` (then it comes again).
 * Deliveries of one topic start in the order of their n.
 *
 * The engine's own topics ("engine", "engine/…", "engine/KIND/ID" for what it puts aside) are delivered before they are durable, all
 * others after that. A topic without a consumer holds nothing in memory once it has been consumed, or never was.
 */
#ifndef SRVTHREDS_QUEUE_H
#define SRVTHREDS_QUEUE_H

#include "store/store.h"

struct accept {
	struct span source, id, thred, body; /* body: canonical JSON whose "id" is `id` */
	struct span topic;                   /* absent = "engine" */
	int64_t at;                          /* ms since epoch */
	unsigned char content[16]; /* hash of type, thredId, re and data: the same id with another is a conflict */
	int ref;                   /* the caller's; comes back as delivery.ref; 0 = none, then the body is copied */
};

enum accept_kind { ACCEPT_NEW, ACCEPT_DUPLICATE, ACCEPT_CONFLICT };

struct accepted {
	int kind;
	int64_t n;              /* of the event, or of the first one */
	int64_t ticket;         /* durable when this answer may leave */
	int outcome;            /* of the first one; OUTCOME_NONE: not processed yet */
	struct span thred, rec; /* of the first one, if there are */
};
typedef void (*accepted_fn)(void *arg, const struct accepted *result, const struct error *e);

struct delivery {
	int64_t n, event, at; /* event: n of the event; equal to n for one that was accepted */
	struct span topic, target, message, source, id;
	struct span doc;       /* absent if `ref` holds it */
	int attempts;          /* how often it ended the process before */
	const struct ran *ran; /* the script that it was in then; NULL: not known. Only while the delivery begins */
	int tries;             /* attempts before it was a dead letter that somebody tried again; 0 = it was none */
	int ref;
	uint64_t key; /* of (source, id, target), for store_running */
};

struct consumer {
	void *arg;
	void (*deliver)(void *arg, const struct delivery *d);
	size_t limit; /* deliveries not settled at a time; 0 = 1024 */
};

/* Waits while the store's open batch is full; duplicates are looked up. */
int queue_accept(struct queue *q, const struct accept *a, struct accepted *out, accepted_fn fn, void *arg,
		 struct error *e);
/* One consumer a topic; NULL ends it. The first deliveries come at the end of this turn. */
void queue_consume(struct queue *q, struct span topic, const struct consumer *consumer);
/* What a router or an agent did: changes without a thred. The ticket, or -1. */
int64_t queue_settle(struct queue *q, const struct store_changes *changes, struct error *e);
/* Told of a ref that nobody needs any more. */
void queue_on_release(struct queue *q, void (*fn)(void *arg, int ref), void *arg);
/* Deliveries known and not settled, of all topics; for metrics. */
size_t queue_depth(struct queue *q);
/* What they and the accepts that wait hold in memory. */
size_t queue_bytes(struct queue *q);
/* Gives a delivery back, unsettled: it comes again, in its place by n. End the consumer first, or it comes at once. */
void queue_back(struct queue *q, int64_t n);
/* Nothing of this topic waits or runs, in memory or on disk. False while that isn't known: before it is consumed. */
bool queue_empty(struct queue *q, struct span topic);

#endif
