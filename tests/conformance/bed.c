/* SPDX-License-Identifier: MIT */
#include "conformance/conformance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void durable(void *arg, int64_t ticket)
{
	struct bed *b = arg;
	assert_true(ticket > b->told);
	b->told = ticket;
}

static void failed(void *arg, const struct error *e)
{
	(void)arg;
	fail_msg("the store failed: %s", e->message);
}

static void due(void *arg, struct span id, int64_t at)
{
	struct bed *b = arg;
	snprintf(b->due_id, sizeof b->due_id, "%.*s", (int)id.len, id.data);
	b->due = at;
	b->due_count++;
}

static void start(struct bed *b, const struct store_options *options)
{
	struct error e = {0};
	struct runtime_options ro = {.virtual_time = b->virtual_time, .start_ms = 1700000000000};
	b->rt = runtime_new(&ro, &e);
	assert_non_null(b->rt);
	b->store = store_open(b->rt, b->url, options, &e);
	if (!b->store)
		fail_msg("%s", e.message);
	b->queue = store_queue(b->store);
	b->told = 0;
	b->count = 0;
	b->due_count = 0;
	struct store_listener l = {b, durable, failed, due};
	store_listen(b->store, &l);
}

void bed_open(struct bed *b, const struct store_options *options)
{
	start(b, options);
}

void bed_close(struct bed *b)
{
	store_close(b->store);
	bed_turn(b);
	assert_int_equal(runtime_free(b->rt), 0);
}

void bed_reopen(struct bed *b)
{
	bed_close(b);
	start(b, NULL);
}

void bed_turn(struct bed *b)
{
	if (b->virtual_time)
		runtime_advance(b->rt, 0);
	else
		uv_run(runtime_loop(b->rt), UV_RUN_NOWAIT);
}

void bed_until(struct bed *b, const volatile int64_t *value, int64_t wanted)
{
	for (uint64_t begun = uv_hrtime(); *value < wanted;) {
		bed_turn(b);
		if (uv_hrtime() - begun > 10000000000u)
			fail_msg("waited 10 s: %lld of %lld", (long long)*value, (long long)wanted);
	}
}

void bed_durable(struct bed *b, int64_t ticket)
{
	assert_true(ticket > 0);
	bed_until(b, &b->told, ticket);
}

static void copy(char *to, size_t size, struct span s)
{
	snprintf(to, size, "%.*s", (int)s.len, s.data ? s.data : "");
}

static void deliver(void *arg, const struct delivery *d)
{
	struct bed *b = arg;
	assert_true(b->count < sizeof b->got / sizeof *b->got);
	struct delivery_copy *c = &b->got[b->count];
	c->n = d->n;
	c->event = d->event;
	c->attempts = d->attempts;
	c->tries = d->tries;
	copy(c->source, sizeof c->source, d->source);
	copy(c->id, sizeof c->id, d->id);
	copy(c->target, sizeof c->target, d->target);
	copy(c->doc, sizeof c->doc, d->doc);
	copy(c->message, sizeof c->message, d->message);
	b->count++;
}

void bed_consume(struct bed *b, const char *topic)
{
	struct consumer c = {.arg = b, .deliver = deliver, .limit = 4096};
	queue_consume(b->queue, text(topic), &c);
}

int bed_setup(void **state)
{
	struct bed *b = *state;
	if (strcmp(b->scheme, "sqlite:") != 0) {
		snprintf(b->url, sizeof b->url, "%s", b->scheme);
		return 0;
	}
	snprintf(b->folder, sizeof b->folder, "%s", "/tmp/srvthreds-store-XXXXXX");
	if (!mkdtemp(b->folder))
		return -1;
	snprintf(b->url, sizeof b->url, "sqlite:%s/s.db", b->folder);
	return 0;
}

int bed_teardown(void **state)
{
	static const char *const names[] = {"s.db", "s.db-wal", "s.db-shm", "lock", "running"};
	struct bed *b = *state;
	for (size_t i = 0; b->folder[0] && i < sizeof names / sizeof *names; i++) {
		char path[128];
		snprintf(path, sizeof path, "%s/%s", b->folder, names[i]);
		unlink(path);
	}
	int rc = b->folder[0] ? rmdir(b->folder) : 0;
	b->folder[0] = '\0';
	return rc;
}

struct span text(const char *s)
{
	return s ? (struct span){s, strlen(s)} : (struct span){NULL, 0};
}

struct accept an_event(const char *source, const char *id, const char *content)
{
	static char body[256];
	snprintf(body, sizeof body, "{\"id\":\"%s\",\"source\":{\"id\":\"%s\"},\"type\":\"t\"}", id, source);
	struct accept a = {.source = text(source), .id = text(id), .body = text(body), .at = 1700000000000};
	snprintf((char *)a.content, sizeof a.content, "%s", content);
	return a;
}

struct answer {
	struct accepted accepted;
	struct begun begun;
	int64_t done;
};

static void accepted(void *arg, const struct accepted *result, const struct error *e)
{
	struct answer *x = arg;
	if (e)
		fail_msg("%s", e->message);
	x->accepted = *result;
	x->done = 1;
}

struct accepted bed_accept(struct bed *b, const struct accept *a)
{
	struct answer x = {0};
	struct error e = {0};
	int rc = queue_accept(b->queue, a, &x.accepted, accepted, &x, &e);
	if (rc < 0)
		fail_msg("%s", e.message);
	if (rc == STORE_WAITS)
		bed_until(b, &x.done, 1);
	return x.accepted;
}

static void begun(void *arg, const struct begun *result, const struct error *e)
{
	struct answer *x = arg;
	if (e)
		fail_msg("%s", e->message);
	x->begun = *result;
	x->done = 1;
}

static struct begun begin(struct bed *b, const char *id, const struct reservation *r)
{
	struct answer x = {0};
	struct error e = {0};
	int rc = r ? store_begin_new(b->store, text(id), r, &x.begun, begun, &x, &e)
		   : store_begin(b->store, text(id), &x.begun, begun, &x, &e);
	if (rc < 0)
		fail_msg("%s", e.message);
	if (rc == STORE_WAITS)
		bed_until(b, &x.done, 1);
	return x.begun;
}

struct begun bed_begin(struct bed *b, const char *id)
{
	return begin(b, id, NULL);
}

struct begun bed_begin_new(struct bed *b, const char *id, const char *pattern, int64_t max, int64_t interval)
{
	struct reservation r = {text(pattern), max, interval, runtime_now(b->rt), {NULL, 0}};
	return begin(b, id, &r);
}

struct store_changes no_changes(void)
{
	return (struct store_changes){.outcome = OUTCOME_NONE};
}

void bed_thred(struct bed *b, const char *id, const char *pattern, const char *state, int64_t due_ms)
{
	struct begun x = bed_begin_new(b, id, pattern, 0, 0);
	assert_non_null(x.step);
	struct store_changes c = no_changes();
	struct error e = {0};
	c.state = text(state);
	c.version = text("v1");
	c.reaction = text("first");
	c.due = due_ms;
	bed_durable(b, store_commit(x.step, &c, &e));
}
