/* SPDX-License-Identifier: MIT
 *
 * What every store must do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conformance/conformance.h"

static struct bed *open_bed(void **state)
{
	struct bed *b = *state;
	bed_open(b, NULL);
	return b;
}

static void steps_build_on_each_other(void **state)
{
	struct bed *b = open_bed(state);
	struct error e = {0};
	struct begun nobody = bed_begin(b, "nobody");
	assert_null(step_thred(nobody.step));
	store_abort(nobody.step);
	bed_thred(b, "t1", "p", "{\"n\":0}", 0);
	int64_t ticket = 0;
	for (int i = 1; i <= 50; i++) {
		struct begun x = bed_begin(b, "t1");
		const struct thred_view *v = step_thred(x.step);
		assert_non_null(v);
		char want[32], next[32];
		snprintf(want, sizeof want, "{\"n\":%d}", i - 1);
		snprintf(next, sizeof next, "{\"n\":%d}", i);
		assert_int_equal(v->step, i);
		assert_memory_equal(v->state.data, want, strlen(want));
		struct store_changes c = no_changes();
		c.state = text(next);
		c.outcome = OUTCOME_MATCHED;
		ticket = store_commit(x.step, &c, &e);
	}
	bed_durable(b, ticket);
	if (b->durable)
		bed_reopen(b);
	struct begun x = bed_begin(b, "t1");
	assert_int_equal(step_thred(x.step)->step, 51);
	assert_memory_equal(step_thred(x.step)->state.data, "{\"n\":50}", 8);
	assert_int_equal(step_thred(x.step)->status, THRED_ACTIVE);
	assert_memory_equal(step_thred(x.step)->reaction.data, "first", 5);
	store_abort(x.step);
	bed_close(b);
}

struct order {
	struct bed *b;
	int ran[8];
	int64_t count;
};
struct waiter {
	struct order *order;
	int number;
};

static void in_turn(void *arg, const struct begun *x, const struct error *e)
{
	struct waiter *w = arg;
	assert_null(e);
	w->order->ran[w->order->count++] = w->number;
	store_abort(x->step);
}

static void locks_are_first_come_first_served(void **state)
{
	struct bed *b = open_bed(state);
	struct order o = {.b = b};
	struct waiter w[5];
	bed_thred(b, "t1", "p", "{}", 0);
	struct begun first = bed_begin(b, "t1"), x;
	for (int i = 0; i < 5; i++) {
		w[i] = (struct waiter){&o, i};
		assert_int_equal(store_begin(b->store, text("t1"), &x, in_turn, &w[i], NULL), STORE_WAITS);
	}
	bed_turn(b);
	assert_int_equal(o.count, 0);
	store_abort(first.step);
	bed_until(b, &o.count, 5);
	for (int i = 0; i < 5; i++)
		assert_int_equal(o.ran[i], i);
	bed_close(b);
}

static void abort_leaves_no_trace(void **state)
{
	struct bed *b = open_bed(state);
	bed_thred(b, "t1", "p", "{\"a\":1}", 0);
	store_abort(bed_begin(b, "t1").step);
	struct begun x = bed_begin(b, "t1");
	assert_int_equal(step_thred(x.step)->step, 1);
	store_abort(x.step);
	bed_close(b);
}

static void instances_are_reserved(void **state)
{
	struct bed *b = open_bed(state);
	struct error e = {0};
	struct begun x = bed_begin_new(b, "a", "p", 1, 0);
	assert_non_null(x.step);
	assert_int_equal(bed_begin_new(b, "b", "p", 1, 0).refusal, REFUSED_MAX);
	store_abort(x.step); /* the place is given back */
	bed_thred(b, "c", "p", "{}", 0);
	assert_int_equal(bed_begin_new(b, "d", "p", 1, 0).refusal, REFUSED_MAX);
	assert_int_equal(bed_begin_new(b, "c", "p", 0, 0).refusal, REFUSED_EXISTS);
	if (b->durable) {
		bed_reopen(b);
		assert_int_equal(bed_begin_new(b, "d", "p", 1, 0).refusal, REFUSED_MAX);
		assert_int_equal(bed_begin_new(b, "c", "p", 0, 0).refusal, REFUSED_EXISTS);
	}
	assert_int_equal(bed_begin_new(b, "d", "p", 0, 3600000).refusal, REFUSED_INTERVAL);
	struct store_changes c = no_changes();
	c.ended = true;
	bed_durable(b, store_commit(bed_begin(b, "c").step, &c, &e));
	assert_int_equal(bed_begin_new(b, "c", "p", 1, 0).refusal, REFUSED_EXISTS); /* archived */
	x = bed_begin(b, "c");
	assert_null(step_thred(x.step));
	store_abort(x.step);
	x = bed_begin_new(b, "d", "p", 1, 0);
	assert_non_null(x.step);
	store_abort(x.step);
	bed_close(b);
}

static void timers_fire_once_and_come_back(void **state)
{
	struct bed *b = open_bed(state);
	struct error e = {0};
	bed_consume(b, "engine");
	int64_t due = runtime_now(b->rt) + 60;
	bed_thred(b, "t1", "p", "{}", due);
	bed_thred(b, "t2", "p", "{}", due + 3600000);
	if (b->durable) {
		bed_reopen(b);
		bed_consume(b, "engine");
	}
	for (uint64_t begun = uv_hrtime(); b->due_count == 0;) {
		if (b->virtual_time)
			runtime_advance(b->rt, 10);
		bed_turn(b);
		if (b->due_count)
			assert_true(runtime_now(b->rt) >= due);
		assert_true(uv_hrtime() - begun < 10000000000u);
	}
	assert_string_equal(b->due_id, "t1");
	assert_true(b->due == due);
	/* The step moves the timer. */
	struct begun x = bed_begin(b, "t1");
	assert_true(step_thred(x.step)->due == due);
	struct store_changes c = no_changes();
	c.state = text("{}");
	bed_durable(b, store_commit(x.step, &c, &e));
	x = bed_begin(b, "t1");
	assert_true(step_thred(x.step)->due == 0);
	store_abort(x.step);
	assert_int_equal(b->due_count, 1);
	bed_close(b);
}

struct seen_rows {
	int64_t done;
	size_t count;
	bool gone;
	char first[64];
};

static void take_rows(void *arg, const struct rows *rows, const struct error *e)
{
	struct seen_rows *r = arg;
	if (e)
		fail_msg("%s", e->message);
	r->count = rows->count;
	r->gone = rows->gone;
	for (size_t i = 0; rows->count && i < rows->columns; i++)
		if (strcmp(rows->names[i], "id") == 0)
			snprintf(r->first, sizeof r->first, "%.*s", (int)rows->cells[i].text.len,
				 rows->cells[i].text.data);
	r->done = 1;
}

static struct seen_rows look(struct bed *b, const struct look *x)
{
	struct seen_rows r = {0};
	store_look(b->store, x, take_rows, &r);
	bed_until(b, &r.done, 1);
	return r;
}

static void records_and_inboxes_are_read_in_order(void **state)
{
	struct bed *b = open_bed(state);
	struct error e = {0};
	bed_thred(b, "t1", "p", "{}", 0);
	struct span who[] = {text("ann")};
	int64_t ticket = 0;
	for (int i = 0; i < 3; i++) {
		char id[16], body[32];
		snprintf(id, sizeof id, "o%d", i);
		snprintf(body, sizeof body, "{\"id\":\"o%d\"}", i);
		struct store_event event = {.id = text(id), .body = text(body), .inbox = who, .inboxes = 1};
		struct store_changes c = no_changes();
		c.outcome = OUTCOME_MATCHED;
		c.rec = text("{}");
		c.members = who;
		c.member_count = 1;
		c.events = &event;
		c.event_count = 1;
		ticket = store_commit(bed_begin(b, "t1").step, &c, &e);
	}
	bed_durable(b, ticket);
	assert_int_equal(look(b, &(struct look){.kind = LOOK_RECORDS, .id = text("t1")}).count, 6);
	assert_int_equal(look(b, &(struct look){.kind = LOOK_INBOX, .id = text("ann")}).count, 3);
	struct seen_rows r = look(b, &(struct look){.kind = LOOK_INBOX, .id = text("ann"), .after_id = text("o0")});
	assert_int_equal(r.count, 2);
	assert_string_equal(r.first, "o1");
	assert_true(look(b, &(struct look){.kind = LOOK_INBOX, .id = text("ann"), .after_id = text("zz")}).gone);
	assert_int_equal(look(b, &(struct look){.kind = LOOK_PARTICIPANT_THREDS, .id = text("ann")}).count, 1);
	assert_string_equal(look(b, &(struct look){.kind = LOOK_THREDS, .pattern = text("p")}).first, "t1");
	assert_int_equal(look(b, &(struct look){.kind = LOOK_THREDS, .pattern = text("q")}).count, 0);
	for (int i = 0; i < 4; i++) {
		char id[16];
		snprintf(id, sizeof id, "o%d", i);
		struct look in_thred = {.kind = LOOK_THRED_EVENT, .id = text(id), .after_id = text("t1")};
		assert_int_equal(look(b, &in_thred).count, i < 3);
	}
	assert_int_equal(
		look(b, &(struct look){.kind = LOOK_THRED_EVENT, .id = text("o2"), .after_id = text("t2")}).count, 0);
	bed_close(b);
}

static void a_wrong_commit_changes_nothing(void **state)
{
	struct bed *b = open_bed(state);
	struct error e = {0};
	struct store_changes c = no_changes();
	c.state = text("{}");
	assert_int_equal(store_commit(bed_begin(b, "nobody").step, &c, &e), -1);
	assert_int_equal(e.code, ERROR_NO_THRED);
	c = no_changes();
	c.delivery = 4711;
	bed_thred(b, "t1", "p", "{}", 0);
	assert_int_equal(store_commit(bed_begin(b, "t1").step, &c, &e), -1);
	struct begun x = bed_begin(b, "t1"); /* the lock is free */
	assert_int_equal(step_thred(x.step)->step, 1);
	store_abort(x.step);
	bed_close(b);
}

static void many_threds_in_a_small_cache(void **state)
{
	struct bed *b = *state;
	struct store_options o = {.cache_bytes = 20000};
	struct error e = {0};
	bed_open(b, &o);
	char id[32], data[256];
	int64_t ticket = 0;
	memset(data, 'x', sizeof data);
	data[0] = data[250] = '"';
	for (int i = 0; i < 500; i++) {
		snprintf(id, sizeof id, "thred%d", i);
		struct store_changes c = no_changes();
		c.state = (struct span){data, 251};
		ticket = store_commit(bed_begin_new(b, id, "p", 0, 0).step, &c, &e);
	}
	bed_durable(b, ticket);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 500; i++) {
			snprintf(id, sizeof id, "thred%d", i);
			struct begun x = bed_begin(b, id);
			assert_int_equal(step_thred(x.step)->step, round + 1);
			assert_int_equal(step_thred(x.step)->state.len, 251);
			struct store_changes c = no_changes();
			c.state = (struct span){data, 251};
			ticket = store_commit(x.step, &c, &e);
		}
	}
	bed_durable(b, ticket);
	bed_close(b);
}

/* What isn't on disk yet can't be evicted, however small the cache. */
static void the_newest_state_stays(void **state)
{
	struct bed *b = *state;
	struct store_options o = {.cache_bytes = 1};
	struct error e = {0};
	bed_open(b, &o);
	bed_thred(b, "t1", "p", "{}", 0);
	bed_thred(b, "t2", "p", "{}", 0);
	int64_t ticket = 0;
	for (int i = 1; i <= 100; i++) {
		for (int k = 1; k <= 2; k++) {
			struct begun x = bed_begin(b, k == 1 ? "t1" : "t2");
			assert_int_equal(step_thred(x.step)->step, i);
			struct store_changes c = no_changes();
			c.state = text("{\"new\":1}");
			ticket = store_commit(x.step, &c, &e);
		}
	}
	bed_durable(b, ticket);
	bed_close(b);
}

int store_conformance(const char *scheme, bool durable, bool virtual_time)
{
	struct bed bed = {.scheme = scheme, .durable = durable, .virtual_time = virtual_time};
	const struct CMUnitTest tests[] = {
		BED_TEST(steps_build_on_each_other),      BED_TEST(locks_are_first_come_first_served),
		BED_TEST(abort_leaves_no_trace),          BED_TEST(instances_are_reserved),
		BED_TEST(timers_fire_once_and_come_back), BED_TEST(records_and_inboxes_are_read_in_order),
		BED_TEST(a_wrong_commit_changes_nothing), BED_TEST(many_threds_in_a_small_cache),
		BED_TEST(the_newest_state_stays),
	};
	return cmocka_run_group_tests_name(scheme, tests, NULL, NULL);
}
