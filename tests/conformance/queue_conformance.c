/* SPDX-License-Identifier: MIT
 *
 * What every queue must do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conformance/conformance.h"

static struct bed *open_bed(void **state)
{
	struct bed *b = *state;
	bed_open(b, NULL);
	return b;
}

static void until_count(struct bed *b, size_t wanted)
{
	for (uint64_t begun = uv_hrtime(); b->count < wanted;) {
		bed_turn(b);
		if (uv_hrtime() - begun > 10000000000u)
			fail_msg("waited 10 s: %zu of %zu deliveries", b->count, wanted);
	}
}

static int64_t settle(struct bed *b, int64_t n, int outcome)
{
	struct store_changes c = no_changes();
	struct error e = {0};
	c.delivery = n;
	c.outcome = outcome;
	int64_t ticket = queue_settle(b->queue, &c, &e);
	if (ticket < 0)
		fail_msg("%s", e.message);
	return ticket;
}

static void accepted_in_order_and_delivered_once(void **state)
{
	struct bed *b = open_bed(state);
	bed_consume(b, "engine");
	for (int i = 0; i < 100; i++) {
		char id[16];
		snprintf(id, sizeof id, "e%d", i);
		struct accept a = an_event("ann", id, "x");
		assert_int_equal(bed_accept(b, &a).kind, ACCEPT_NEW);
	}
	until_count(b, 100);
	int64_t ticket = 0;
	for (int i = 0; i < 100; i++) {
		char id[16];
		snprintf(id, sizeof id, "e%d", i);
		assert_string_equal(b->got[i].id, id);
		assert_string_equal(b->got[i].source, "ann");
		ticket = settle(b, b->got[i].n, OUTCOME_MATCHED);
	}
	bed_durable(b, ticket);
	struct store_changes c = no_changes();
	struct error e;
	c.delivery = b->got[0].n;
	assert_int_equal(queue_settle(b->queue, &c, &e), -1); /* settled already */
	if (b->durable) {
		bed_reopen(b);
		bed_consume(b, "engine");
		struct accept a = an_event("ann", "last", "x");
		bed_accept(b, &a);
		until_count(b, 1);
		assert_string_equal(b->got[0].id, "last"); /* and none of the settled ones */
	}
	bed_close(b);
}

static void what_is_not_settled_comes_again(void **state)
{
	struct bed *b = open_bed(state);
	if (!b->durable) {
		bed_close(b);
		return;
	}
	int64_t ticket = 0;
	for (int i = 0; i < 1500; i++) {
		char id[16];
		snprintf(id, sizeof id, "e%d", i);
		struct accept a = an_event(i % 2 ? "ann" : "bob", id, "x");
		ticket = bed_accept(b, &a).ticket;
	}
	bed_durable(b, ticket);
	bed_reopen(b);
	bed_consume(b, "engine");
	until_count(b, 1500);
	for (int i = 0; i < 1500; i++) {
		char id[16];
		snprintf(id, sizeof id, "e%d", i);
		assert_string_equal(b->got[i].id, id);
		assert_string_equal(b->got[i].source, i % 2 ? "ann" : "bob");
		assert_non_null(strstr(b->got[i].doc, id));
	}
	bed_close(b);
}

static void duplicates_and_conflicts(void **state)
{
	struct bed *b = open_bed(state);
	bed_consume(b, "engine");
	struct accept a = an_event("ann", "e1", "one");
	int64_t n = bed_accept(b, &a).n;
	struct accepted again = bed_accept(b, &a);
	assert_int_equal(again.kind, ACCEPT_DUPLICATE);
	assert_int_equal(again.n, n);
	a = an_event("ann", "e1", "other");
	assert_int_equal(bed_accept(b, &a).kind, ACCEPT_CONFLICT);
	a = an_event("bob", "e1", "other");
	assert_int_equal(bed_accept(b, &a).kind, ACCEPT_NEW);
	until_count(b, 2);
	bed_durable(b, settle(b, n, OUTCOME_MATCHED));
	a = an_event("ann", "e1", "one");
	assert_int_equal(bed_accept(b, &a).outcome, OUTCOME_MATCHED);
	if (b->durable) {
		bed_reopen(b); /* nothing in memory now */
		again = bed_accept(b, &a);
		assert_int_equal(again.kind, ACCEPT_DUPLICATE);
		assert_int_equal(again.n, n);
		assert_int_equal(again.outcome, OUTCOME_MATCHED);
		a = an_event("ann", "e1", "other");
		assert_int_equal(bed_accept(b, &a).kind, ACCEPT_CONFLICT);
		a = an_event("ann", "e2", "one");
		assert_int_equal(bed_accept(b, &a).kind, ACCEPT_NEW);
	}
	assert_int_equal(b->count, b->durable ? 0 : 2);
	bed_close(b);
}

static void messages_and_services(void **state)
{
	struct bed *b = open_bed(state);
	struct error e = {0};
	bed_consume(b, "engine");
	struct accept a = an_event("ann", "e1", "x");
	bed_accept(b, &a);
	until_count(b, 1);
	bed_thred(b, "t1", "p", "{}", 0);
	struct span services[] = {text("robot")};
	struct store_event event = {
		.id = text("o1"), .body = text("{\"id\":\"o1\"}"), .services = services, .service_count = 1};
	struct store_message m = {.topic = text("engine"), .target = text("start:q"), .body = text("{\"m\":1}")};
	struct store_changes c = no_changes();
	c.delivery = b->got[0].n;
	c.outcome = OUTCOME_MATCHED;
	c.events = &event;
	c.event_count = 1;
	c.messages = &m;
	c.message_count = 1;
	int64_t ticket = store_commit(bed_begin(b, "t1").step, &c, &e);
	until_count(b, 2);
	assert_string_equal(b->got[1].target, "start:q");
	assert_string_equal(b->got[1].message, "{\"m\":1}");
	assert_string_equal(b->got[1].id, "e1"); /* the event that caused it */
	assert_int_equal(b->got[1].event, b->got[0].event);
	bed_durable(b, ticket);
	if (b->durable) {
		bed_reopen(b);
		bed_consume(b, "engine");
		until_count(b, 1); /* the message, not the event */
		assert_string_equal(b->got[0].target, "start:q");
		settle(b, b->got[0].n, OUTCOME_REFUSED);
	}
	size_t before = b->count;
	bed_consume(b, "robot");
	until_count(b, before + 1);
	assert_string_equal(b->got[before].id, "o1");
	assert_string_equal(b->got[before].doc, "{\"id\":\"o1\"}");
	/* The agent's answer and "handled" are one commit. */
	struct accept answer = an_event("robot", "a1", "y");
	c = no_changes();
	c.delivery = b->got[before].n;
	c.accepts = &answer;
	c.accept_count = 1;
	bed_durable(b, queue_settle(b->queue, &c, &e));
	until_count(b, before + 2);
	assert_string_equal(b->got[before + 1].source, "robot");
	bed_close(b);
}

struct retried {
	int64_t ticket, done;
};

static void retried(void *arg, int64_t ticket, const struct error *e)
{
	struct retried *r = arg;
	assert_null(e);
	r->ticket = ticket;
	r->done = 1;
}

struct dead_id {
	int64_t id, done;
	size_t count;
};

static void dead_rows(void *arg, const struct rows *rows, const struct error *e)
{
	struct dead_id *d = arg;
	assert_null(e);
	d->count = rows->count;
	d->id = rows->count ? rows->cells[0].number : 0;
	d->done = 1;
}

static void dead_letters_are_kept_and_retried(void **state)
{
	struct bed *b = open_bed(state);
	struct error e = {0};
	bed_consume(b, "engine");
	struct accept a = an_event("ann", "e1", "x");
	bed_accept(b, &a);
	until_count(b, 1);
	struct store_dead dead = {.target = text("thred:t1"), .error = text("{\"code\":5000}"), .attempts = 3};
	struct store_changes c = no_changes();
	c.delivery = b->got[0].n;
	c.outcome = OUTCOME_ERROR;
	assert_int_equal(b->got[0].tries, 0);
	c.dead = &dead;
	bed_durable(b, queue_settle(b->queue, &c, &e));
	struct dead_id d = {0};
	store_look(b->store, &(struct look){.kind = LOOK_DEAD}, dead_rows, &d);
	bed_until(b, &d.done, 1);
	assert_int_equal(d.count, 1);
	struct retried r = {0};
	store_dead_retry(b->store, d.id, 1700000009999, retried, &r);
	struct retried twice = {0};
	store_dead_retry(b->store, d.id, 1700000009999, retried, &twice);
	bed_until(b, &r.done, 1);
	bed_until(b, &twice.done, 1);
	assert_true((r.ticket == 0) != (twice.ticket == 0)); /* one of the two */
	r.ticket += twice.ticket;
	bed_durable(b, r.ticket);
	until_count(b, 2);
	assert_string_equal(b->got[1].id, "e1");
	assert_string_equal(b->got[1].target, "thred:t1");
	assert_int_equal(b->got[1].tries, 3);
	r = (struct retried){0};
	store_dead_retry(b->store, d.id, 1, retried, &r);
	bed_until(b, &r.done, 1);
	assert_int_equal(r.ticket, 0); /* no such dead letter */
	d = (struct dead_id){0};
	store_look(b->store, &(struct look){.kind = LOOK_DEAD}, dead_rows, &d);
	bed_until(b, &d.done, 1);
	assert_int_equal(d.count, 0);
	if (b->durable) {
		bed_reopen(b);
		bed_consume(b, "engine");
		until_count(b, 1);
		assert_string_equal(b->got[0].target, "thred:t1");
		assert_int_equal(b->got[0].tries, 3);
	}
	bed_close(b);
}

static void more_than_memory_holds(void **state)
{
	struct bed *b = open_bed(state);
	struct error e = {0};
	enum { COUNT = 3000, EACH = 4 };
	int64_t ticket = 0;
	/* Nobody consumes: it all lies on disk. */
	for (int i = 0; i < COUNT / EACH; i++) {
		struct store_message m[EACH];
		char target[EACH][16];
		for (int k = 0; k < EACH; k++) {
			snprintf(target[k], sizeof target[k], "m%d", i * EACH + k);
			m[k] = (struct store_message){.topic = text("other"), .target = text(target[k])};
		}
		struct store_changes c = no_changes();
		c.messages = m;
		c.message_count = EACH;
		ticket = queue_settle(b->queue, &c, &e);
		if (i % 100 == 0)
			bed_turn(b);
	}
	bed_durable(b, ticket);
	assert_int_equal(queue_depth(b->queue), 0);
	bed_consume(b, "other");
	until_count(b, COUNT);
	for (int i = 0; i < COUNT; i++) {
		char target[16];
		snprintf(target, sizeof target, "m%d", i);
		assert_string_equal(b->got[i].target, target);
	}
	bed_close(b);
}

struct sizes {
	int64_t done;
	size_t inbox, records;
};

/* Puts delivery n aside: the event itself (no target), or a target of it. */
static void put_aside(struct bed *b, int64_t n, const char *topic, const char *target)
{
	struct store_message m = {text(topic), text(target), {NULL, 0}};
	struct store_changes c = no_changes();
	struct error e = {0};
	c.delivery = n;
	c.outcome = target ? OUTCOME_NONE : OUTCOME_QUEUED;
	c.messages = &m;
	c.message_count = 1;
	bed_durable(b, queue_settle(b->queue, &c, &e));
}

static void ask_outcome(void *arg, const struct rows *rows, const struct error *e)
{
	int64_t *outcome = arg;
	assert_null(e);
	assert_int_equal(rows->count, 1);
	for (size_t i = 0; i < rows->columns; i++)
		if (strcmp(rows->names[i], "outcome") == 0)
			*outcome = 100 + rows->cells[i].number;
}

static int64_t outcome_of(struct bed *b, const char *id)
{
	int64_t outcome = 0;
	struct look look = {.kind = LOOK_EVENT, .id = text(id), .source = text("ann")};
	store_look(b->store, &look, ask_outcome, &outcome);
	bed_until(b, &outcome, 1);
	return outcome - 100;
}

static void put_aside_and_given_back(void **state)
{
	struct bed *b = open_bed(state);
	struct span aside = text("engine/aside");
	bed_consume(b, "engine");
	for (int i = 0; i < 5; i++) {
		char id[16];
		snprintf(id, sizeof id, "e%d", i);
		struct accept a = an_event("ann", id, "x");
		bed_accept(b, &a);
	}
	until_count(b, 5);
	for (size_t i = 0; i < 5; i++)
		put_aside(b, b->got[i].n, "engine/aside", NULL);
	assert_int_equal(queue_depth(b->queue), 0); /* nobody consumes them: on disk only */
	assert_false(queue_empty(b->queue, aside));
	assert_int_equal(outcome_of(b, "e3"), OUTCOME_QUEUED);
	if (b->durable)
		bed_reopen(b);
	b->count = 0;
	bed_consume(b, "engine");
	bed_consume(b, "engine/aside");
	until_count(b, 5);
	settle(b, b->got[0].n, OUTCOME_MATCHED);
	queue_consume(b->queue, aside, NULL);
	int64_t ns[4];
	for (size_t i = 0; i < 4; i++)
		ns[i] = b->got[i + 1].n;
	queue_back(b->queue, ns[2]);
	for (size_t i = 0; i < 4; i++) /* in any order, the third twice */
		queue_back(b->queue, ns[3 - i]);
	b->count = 0;
	bed_consume(b, "engine/aside");
	until_count(b, 4);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(b->got[i].n, ns[i]);
		assert_int_equal(b->got[i].event, b->got[0].event + (int64_t)i);
		assert_false(queue_empty(b->queue, aside));
		bed_durable(b, settle(b, b->got[i].n, OUTCOME_NO_PATTERN));
	}
	assert_true(queue_empty(b->queue, aside));
	assert_int_equal(outcome_of(b, "e0"), OUTCOME_MATCHED);
	assert_int_equal(outcome_of(b, "e3"), OUTCOME_NO_PATTERN);
	bed_close(b);
}

/* An event whose targets are all put aside has no outcome before one of them has: matched, if any matched. */
static void outcome_of_what_was_put_aside(void **state)
{
	struct bed *b = open_bed(state);
	bed_consume(b, "engine");
	struct accept a = an_event("ann", "e", "x");
	bed_accept(b, &a);
	until_count(b, 1);
	struct store_message list[] = {{text("engine/aside/one"), text("a"), {NULL, 0}},
				       {text("engine/aside/two"), text("b"), {NULL, 0}}};
	struct store_changes c = no_changes();
	struct error e = {0};
	c.delivery = b->got[0].n;
	c.outcome = OUTCOME_QUEUED;
	c.messages = list;
	c.message_count = 2;
	bed_durable(b, queue_settle(b->queue, &c, &e));
	assert_int_equal(outcome_of(b, "e"), OUTCOME_QUEUED);
	bed_consume(b, "engine/aside/one");
	until_count(b, 2);
	bed_durable(b, settle(b, b->got[1].n, OUTCOME_ERROR));
	assert_int_equal(outcome_of(b, "e"), OUTCOME_ERROR);
	bed_consume(b, "engine/aside/two");
	until_count(b, 3);
	bed_durable(b, settle(b, b->got[2].n, OUTCOME_MATCHED));
	assert_int_equal(outcome_of(b, "e"), OUTCOME_MATCHED);
	bed_close(b);
}

/* The same when its pattern resumes before they are put aside: they run where targets run, and may move once more. */
static void outcome_of_what_runs_after_all(void **state)
{
	struct bed *b = open_bed(state);
	bed_consume(b, "engine");
	struct accept a = an_event("ann", "e", "x");
	bed_accept(b, &a);
	until_count(b, 1);
	struct store_message list[] = {{text("engine/targets"), text("a"), {NULL, 0}},
				       {text("engine/targets"), text("b"), {NULL, 0}}};
	struct store_changes c = no_changes();
	struct error e = {0};
	c.delivery = b->got[0].n;
	c.outcome = OUTCOME_QUEUED;
	c.messages = list;
	c.message_count = 2;
	bed_durable(b, queue_settle(b->queue, &c, &e));
	if (b->durable)
		bed_reopen(b);
	b->count = 0;
	bed_consume(b, "engine");
	bed_consume(b, "engine/targets");
	until_count(b, 2);
	c = no_changes();
	c.delivery = b->got[0].n;
	c.messages = &(struct store_message){text("engine"), text("a"), {NULL, 0}};
	c.message_count = 1;
	bed_durable(b, queue_settle(b->queue, &c, &e));
	until_count(b, 3);
	assert_int_equal(outcome_of(b, "e"), OUTCOME_QUEUED);
	bed_durable(b, settle(b, b->got[2].n, OUTCOME_NO_PATTERN));
	assert_int_equal(outcome_of(b, "e"), OUTCOME_NO_PATTERN);
	bed_durable(b, settle(b, b->got[1].n, OUTCOME_MATCHED));
	assert_int_equal(outcome_of(b, "e"), OUTCOME_MATCHED);
	bed_close(b);
}

static void told(void *arg, const struct accepted *result, const struct error *e)
{
	assert_null(e);
	*(int64_t *)arg = result->n;
}

/* Beyond so many bytes of events that aren't processed accepting waits; what a start finds comes in no larger portions. */
static void bytes_in_memory_are_bounded(void **state)
{
	enum { SIZE = 900, ALL = 60, ROOM = 30 };
	struct bed *b = *state;
	bed_open(b, &(struct store_options){.queue_bytes = (size_t)ROOM * SIZE});
	bed_consume(b, "engine");
	struct accept first = an_event("ann", "first", "x");
	bed_accept(b, &first);
	until_count(b, 1);
	bed_durable(b, settle(b, b->got[0].n, OUTCOME_MATCHED));
	while (!queue_empty(b->queue, text("engine"))) /* until that is known, what comes stays on disk */
		bed_turn(b);
	b->count = 0;
	int64_t waited = 0;
	size_t accepted = 0;
	for (; accepted < ALL && !waited; accepted++) {
		char id[16], body[SIZE + 100];
		struct accepted out;
		struct error e = {0};
		snprintf(id, sizeof id, "e%zu", accepted);
		struct accept a = an_event("ann", id, "x");
		snprintf(body, sizeof body, "{\"id\":\"%s\",\"pad\":\"%0*d\"}", id, SIZE, 0);
		a.body = text(body);
		bool full = queue_bytes(b->queue) >= (size_t)ROOM * SIZE;
		waited = queue_accept(b->queue, &a, &out, told, &waited, &e) == STORE_WAITS ? -1 : 0;
		assert_true(waited || !full);
		if (waited && !full) { /* only for a look at the disk */
			bed_until(b, &waited, 1);
			waited = 0;
		}
	}
	assert_in_range(accepted, ROOM / 2, ROOM + 1);
	until_count(b, accepted - 1);
	assert_int_equal(waited, -1);
	assert_true(queue_bytes(b->queue) > (size_t)(accepted - 1) * SIZE);
	settle(b, b->got[0].n, OUTCOME_MATCHED);
	settle(b, b->got[1].n, OUTCOME_MATCHED);
	bed_until(b, &waited, 1);
	until_count(b, accepted);
	for (size_t i = 2; i < b->count; i++)
		bed_durable(b, settle(b, b->got[i].n, OUTCOME_MATCHED));
	assert_int_equal(queue_bytes(b->queue), 0);
	bed_close(b);
}

static void inbox_rows(void *arg, const struct rows *rows, const struct error *e)
{
	struct sizes *x = arg;
	assert_null(e);
	x->inbox = rows->count;
	x->done++;
}

static void record_rows(void *arg, const struct rows *rows, const struct error *e)
{
	struct sizes *x = arg;
	assert_null(e);
	x->records = rows->count;
	x->done++;
}

/* What is older than it must be kept goes; an event that nobody took stays. */
static void old_things_are_swept(void **state)
{
	struct bed *b = open_bed(state);
	struct error e = {0};
	if (b->virtual_time) {
		bed_consume(b, "engine");
		bed_thred(b, "t1", "p", "{}", 0);
		for (int i = 0; i < 300; i++) {
			char id[16], out[16], body[32];
			snprintf(id, sizeof id, "e%d", i);
			snprintf(out, sizeof out, "o%d", i);
			snprintf(body, sizeof body, "{\"id\":\"%s\"}", out);
			struct accept a = an_event("ann", id, "x");
			bed_accept(b, &a);
			until_count(b, (size_t)i + 1);
			if (i == 299)
				break;
			struct span who = text("ann");
			struct store_event event = {.id = text(out), .body = text(body), .inbox = &who, .inboxes = 1};
			struct store_changes c = no_changes();
			c.delivery = b->got[i].n;
			c.outcome = OUTCOME_MATCHED;
			c.events = &event;
			c.event_count = 1;
			assert_true(store_commit(bed_begin(b, "t1").step, &c, &e) > 0);
		}
		for (int hour = 0; hour < 9 * 24; hour++)
			runtime_advance(b->rt, 3600000);
		struct sizes x = {0};
		store_look(b->store, &(struct look){.kind = LOOK_INBOX, .id = text("ann")}, inbox_rows, &x);
		store_look(b->store, &(struct look){.kind = LOOK_EVENT, .id = text("e299"), .source = text("ann")},
			   record_rows, &x);
		bed_until(b, &x.done, 2);
		assert_true(x.inbox <= 1);
		assert_int_equal(x.records, 1);
		x = (struct sizes){0};
		store_look(b->store, &(struct look){.kind = LOOK_RECORDS, .id = text("t1")}, record_rows, &x);
		bed_until(b, &x.done, 1);
		assert_int_equal(x.records, 0);
	}
	bed_close(b);
}

int queue_conformance(const char *scheme, bool durable, bool virtual_time)
{
	struct bed bed = {.scheme = scheme, .durable = durable, .virtual_time = virtual_time};
	const struct CMUnitTest tests[] = {
		BED_TEST(accepted_in_order_and_delivered_once),
		BED_TEST(what_is_not_settled_comes_again),
		BED_TEST(duplicates_and_conflicts),
		BED_TEST(messages_and_services),
		BED_TEST(dead_letters_are_kept_and_retried),
		BED_TEST(more_than_memory_holds),
		BED_TEST(bytes_in_memory_are_bounded),
		BED_TEST(put_aside_and_given_back),
		BED_TEST(outcome_of_what_was_put_aside),
		BED_TEST(outcome_of_what_runs_after_all),
		BED_TEST(old_things_are_swept),
	};
	return cmocka_run_group_tests_name(scheme, tests, NULL, NULL);
}
