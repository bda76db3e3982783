/* SPDX-License-Identifier: MIT
 *
 * Topics and deliveries of the local queue.
 */
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "queue/local_private.h"
#include "store/running.h"

#define SHARE_NS 4000000 /* of a turn of the loop, for deliveries that begin */

static struct span keep(char **at, struct span s)
{
	if (!s.data)
		return s;
	char *copy = *at;
	memcpy(copy, s.data, s.len);
	copy[s.len] = '\0';
	*at += s.len + 1;
	return (struct span){copy, s.len};
}

struct pending *pending_new(struct local_queue *q, struct topic *t, const struct delivery *d)
{
	size_t size = sizeof(struct pending) + d->target.len + d->message.len + d->id.len + d->source.len + d->doc.len +
		      5;
	struct pending *p = xmalloc(size);
	memset(p, 0, sizeof *p);
	char *at = (char *)(p + 1);
	p->d = *d;
	p->d.topic = (struct span){t->name, t->len};
	p->d.target = keep(&at, d->target);
	p->d.message = keep(&at, d->message);
	p->d.id = keep(&at, d->id);
	p->d.source = keep(&at, d->source);
	p->d.doc = keep(&at, d->doc);
	p->topic = t;
	pending_charge(p, size);
	HASH_ADD(hh, q->by_n, d.n, sizeof p->d.n, p);
	return p;
}

void pending_charge(struct pending *p, size_t bytes)
{
	p->bytes += bytes;
	p->topic->bytes += bytes;
}

void pending_free(struct local_queue *q, struct pending *p)
{
	p->topic->bytes -= p->bytes;
	HASH_DEL(q->by_n, p);
	if (p->shared && --p->shared->count == 0) {
		if (q->release)
			q->release(q->release_arg, p->shared->ref);
		free(p->shared);
	}
	if (p->old)
		q->old--;
	free(p);
}

struct topic *topic_get(struct local_queue *q, struct span name)
{
	struct topic *t = NULL;
	HASH_FIND(hh, q->topics, name.data, name.len, t);
	if (t)
		return t;
	t = xcalloc(1, sizeof *t + name.len + 1);
	t->q = q;
	t->len = name.len;
	memcpy(t->name, name.data, name.len);
	t->engine = span_same(name, span_of("engine"));
	t->at_once = t->engine || (name.len > 7 && memcmp(name.data, "engine/", 7) == 0);
	t->spilled = true;
	t->spill_last = q->s->next_n - 1;
	HASH_ADD_KEYPTR(hh, q->topics, t->name, t->len, t);
	return t;
}

static void run(struct pending *p)
{
	struct sqlite *s = p->topic->q->s;
	p->running = true;
	p->topic->running++;
	p->d.key = sqlite_hash(s, p->d.source.data ? p->d.source : span_of(""), p->d.id.data ? p->d.id : span_of(""));
	if (p->d.target.data)
		p->d.key ^= sqlite_hash(s, p->d.target, span_of(""));
	p->d.attempts = running_attempts(s->running, p->d.key);
	p->d.ran = p->d.attempts ? running_last(s->running, p->d.key) : NULL;
	FAULT(after_consume);
	p->topic->consumer.deliver(p->topic->consumer.arg, &p->d);
}

static void topic_run(void *arg)
{
	struct topic *t = arg;
	struct sqlite *s = t->q->s;
	size_t limit = t->consumer.limit ? t->consumer.limit : TOPIC_RUNNING;
	uint64_t until = runtime_is_virtual(s->rt) ? UINT64_MAX : uv_hrtime() + SHARE_NS;
	bool more = true;
	t->kicked = false;
	while (t->first && t->consumer.deliver && t->running < limit && s->ready && !s->closing && more) {
		struct pending *p = t->first;
		t->first = p->next;
		if (!t->first)
			t->last = NULL;
		t->ready--;
		p->next = NULL;
		run(p);
		more = uv_hrtime() < until;
	}
	if (!more && !t->kicked) {
		t->kicked = true;
		s->refs++;
		runtime_defer_next(s->rt, topic_run, t);
	}
	topic_read(t);
	sqlite_unref(s);
}

void topic_kick(struct topic *t)
{
	if (t->kicked || !t->consumer.deliver || (!t->first && !t->spilled))
		return;
	t->kicked = true;
	t->q->s->refs++;
	runtime_defer(t->q->s->rt, topic_run, t);
}

void topic_offer(struct topic *t, struct pending *p)
{
	if (t->last)
		t->last->next = p;
	else
		t->first = p;
	t->last = p;
	t->ready++;
	topic_kick(t);
}

/* A delivery that is new, or no longer held back: to the end of what is ready, or left on disk. */
void local_arrive(struct topic *t, struct pending *p)
{
	bool full = t->ready >= TOPIC_READY || (!t->engine && t->bytes > t->q->s->options.queue_bytes / 4);
	if (!t->spilled && full && t->last) {
		t->spilled = true;
		t->cursor = t->last->d.n;
	}
	if (!t->spilled || p->d.n <= t->cursor) { /* the second: a page passed it while it was held back */
		topic_offer(t, p);
		return;
	}
	if (p->d.n > t->spill_last)
		t->spill_last = p->d.n;
	pending_free(t->q, p);
	topic_kick(t);
}

struct span local_doc(const struct pending *p)
{
	return p->d.doc;
}

/* Topics of what was put aside: engine/KIND/ID. */
static bool is_aside(const struct topic *t)
{
	return t->at_once && !t->engine && memchr(t->name + 7, '/', t->len - 7);
}

bool local_waited(const struct pending *p)
{
	return (p->late || is_aside(p->topic)) && p->d.target.data && p->d.event && !p->emitted;
}

struct span local_retry_topic(const struct pending *p)
{
	return p->topic->at_once ? span_of("engine") : p->d.topic;
}

void local_put(struct local_queue *q, const struct local_put *put)
{
	struct topic *t = topic_get(q, put->topic.data ? put->topic : span_of("engine"));
	struct delivery d = {.event = put->event,
			     .at = put->at,
			     .target = put->target,
			     .message = put->message,
			     .source = put->source,
			     .id = put->id,
			     .doc = put->doc,
			     .tries = put->tries};
	d.n = sqlite_add_queue(q->s, put, (struct span){t->name, t->len});
	struct pending *p = pending_new(q, t, &d);
	p->emitted = put->emitted;
	p->late = put->late;
	if (put->ref_of && put->ref_of->shared) {
		p->shared = put->ref_of->shared;
		p->shared->count++;
		p->d.ref = p->shared->ref;
	}
	p->of_event = !p->emitted && !put->target.data && !put->message.data && put->event;
	if (t->at_once) {
		local_arrive(t, p);
		return;
	}
	p->ticket = q->s->open->ticket;
	*(q->held ? &q->held_last->next : &q->held) = p;
	q->held_last = p;
}

void local_durable(struct local_queue *q)
{
	while (q->held && q->held->ticket <= q->s->durable) {
		struct pending *p = q->held;
		q->held = p->next;
		p->next = NULL;
		struct topic *t = p->topic;
		local_arrive(t, p);
	}
	for (struct topic *t = q->topics; t; t = t->hh.next)
		if (t->spilled)
			topic_kick(t);
}

struct pending *local_find(struct local_queue *q, int64_t n)
{
	struct pending *p = NULL;
	HASH_FIND(hh, q->by_n, &n, sizeof n, p);
	return p && p->running ? p : NULL;
}

void local_settled(struct local_queue *q, struct pending *p)
{
	struct sqlite *s = q->s;
	struct topic *t = p->topic;
	if (p->d.n != p->d.event) {
		struct op *op = batch_find(s->open, p->d.n);
		if (op) {
			op->merged = true;
		} else {
			struct op_pair *done = batch_add(sqlite_batch(s), OP_QUEUE_DONE, sizeof *done);
			done->a = p->d.n;
		}
	}
	running_settled(s->running, p->d.key);
	t->running--;
	pending_free(q, p);
	topic_kick(t);
	if (!s->due_on)
		sqlite_due_arm(s);
}

bool local_backlog_done(const struct local_queue *q)
{
	struct topic *t = NULL;
	HASH_FIND(hh, q->topics, "engine", 6, t);
	return t && q->old == 0 && (!t->spilled || t->cursor >= q->start_n - 1);
}

static void consume(struct queue *base, struct span topic, const struct consumer *consumer)
{
	struct local_queue *q = (struct local_queue *)base;
	struct topic *t = topic_get(q, topic);
	t->consumer = consumer ? *consumer : (struct consumer){0};
	if (!consumer && !t->spilled) { /* what comes from now on stays on disk */
		t->spilled = true;
		t->cursor = t->last ? t->last->d.n : q->s->next_n - 1;
	}
	topic_kick(t);
}

static void back(struct queue *base, int64_t n)
{
	struct local_queue *q = (struct local_queue *)base;
	struct pending *p = local_find(q, n);
	if (!p)
		return;
	struct topic *t = p->topic;
	struct pending **at = &t->first;
	while (*at && (*at)->d.n < n)
		at = &(*at)->next;
	p->next = *at;
	*at = p;
	if (!p->next)
		t->last = p;
	p->running = false;
	running_settled(q->s->running, p->d.key);
	t->running--;
	t->ready++;
	topic_kick(t);
}

static bool is_empty(struct queue *base, struct span topic)
{
	struct topic *t = topic_get((struct local_queue *)base, topic);
	return !t->first && !t->running && !t->spilled;
}

static int64_t settle(struct queue *base, const struct store_changes *changes, struct error *e)
{
	return sqlite_apply(((struct local_queue *)base)->s, NULL, changes, e);
}

static void on_release(struct queue *base, void (*fn)(void *arg, int ref), void *arg)
{
	struct local_queue *q = (struct local_queue *)base;
	q->release = fn;
	q->release_arg = arg;
}

static size_t depth(struct queue *base)
{
	return HASH_COUNT(((struct local_queue *)base)->by_n);
}

static size_t bytes(struct queue *base)
{
	struct local_queue *q = (struct local_queue *)base;
	size_t sum = q->waiting_bytes;
	for (struct topic *t = q->topics; t; t = t->hh.next)
		sum += t->bytes;
	return sum;
}

static const struct queue_class queue_local = {local_accept, consume, settle, on_release, depth, back, is_empty, bytes};

struct local_queue *local_new(struct sqlite *s)
{
	struct local_queue *q = xcalloc(1, sizeof *q);
	q->base.class = &queue_local;
	q->s = s;
	q->start_n = s->next_n;
	return q;
}

struct queue *local_base(struct local_queue *q)
{
	return &q->base;
}

static void forget(struct local_queue *q)
{
	struct pending *p, *next;
	HASH_ITER (hh, q->by_n, p, next)
		pending_free(q, p);
	q->held = q->held_last = NULL;
	for (struct topic *t = q->topics; t; t = t->hh.next) {
		t->first = t->last = NULL;
		t->ready = t->running = 0;
		t->spilled = true;
		t->reading = false; /* a page that still comes is of the old epoch */
		t->cursor = 0;
	}
}

void local_failed(struct local_queue *q, const struct error *e)
{
	forget(q);
	local_accept_failed(q, e);
}

void local_resume(struct local_queue *q)
{
	q->start_n = q->s->next_n;
	for (struct topic *t = q->topics; t; t = t->hh.next) {
		t->spill_last = q->s->next_n - 1;
		topic_kick(t);
	}
}

void local_free(struct local_queue *q)
{
	struct error e = {.code = ERROR_SERVER, .message = "the store was closed"};
	local_failed(q, &e);
	struct topic *t, *next;
	HASH_ITER (hh, q->topics, t, next) {
		HASH_DEL(q->topics, t);
		free(t);
	}
	free(q);
}
