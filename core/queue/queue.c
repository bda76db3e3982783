/* SPDX-License-Identifier: MIT
 *
 * The interface: passes on to the backend.
 */
#include "queue/queue.h"

#include "store/class.h"

int queue_accept(struct queue *q, const struct accept *a, struct accepted *out, accepted_fn fn, void *arg,
		 struct error *e)
{
	return q->class->accept(q, a, out, fn, arg, e);
}

void queue_consume(struct queue *q, struct span topic, const struct consumer *consumer)
{
	q->class->consume(q, topic, consumer);
}

int64_t queue_settle(struct queue *q, const struct store_changes *changes, struct error *e)
{
	return q->class->settle(q, changes, e);
}

void queue_on_release(struct queue *q, void (*fn)(void *arg, int ref), void *arg)
{
	q->class->on_release(q, fn, arg);
}

size_t queue_depth(struct queue *q)
{
	return q->class->depth(q);
}

size_t queue_bytes(struct queue *q)
{
	return q->class->bytes(q);
}

void queue_back(struct queue *q, int64_t n)
{
	q->class->back(q, n);
}

bool queue_empty(struct queue *q, struct span topic)
{
	return q->class->empty(q, topic);
}
