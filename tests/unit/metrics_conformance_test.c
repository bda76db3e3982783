/* SPDX-License-Identifier: MIT
 *
 * What a store tells the metrics: as many steps, waits, commits and timers as there were, each under its own name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conformance/conformance.h"
#include "observe/observe.h"

static struct bed bed;

/* The value behind this name and labels, -1 if it isn't shown. */
static double shown(struct metrics *m, const char *name)
{
	struct buf out = {0};
	char line[300];
	assert_int_equal(metrics_text(m, &out), 0);
	assert_int_equal(buf_add(&out, "", 1), 0);
	snprintf(line, sizeof line, "\nsrvthreds_%s ", name);
	const char *at = strstr(out.data, line);
	double value = at ? strtod(at + strlen(line), NULL) : -1;
	buf_free(&out);
	return value;
}

static double steps(struct metrics *m, const char *pattern, const char *reaction)
{
	char name[200];
	snprintf(name, sizeof name, "step_duration_seconds_count{pattern=\"%s\",reaction=\"%s\"}", pattern, reaction);
	return shown(m, name);
}

static int64_t move(struct step *step, const char *state, const char *reaction, int64_t due)
{
	struct store_changes c = no_changes();
	struct error e = {0};
	c.state = text(state);
	c.reaction = text(reaction);
	c.due = due;
	return store_commit(step, &c, &e);
}

static void granted(void *arg, const struct begun *begun, const struct error *e)
{
	assert_null(e);
	*(struct step **)arg = begun->step;
}

static void steps_and_locks_are_counted(void **state)
{
	struct bed *b = *state;
	struct metrics *m = metrics_new();
	bed_open(b, &(struct store_options){.metrics = m});
	bed_turn(b); /* it knows now that there are no threds */
	struct reservation r = {.pattern = text("p"), .reaction = text("zero"), .now = runtime_now(b->rt)};
	struct begun x, second;
	struct error e = {0};
	assert_int_equal(store_begin_new(b->store, text("t1"), &r, &x, NULL, NULL, &e), STORE_DONE);
	struct step *waits = NULL;
	assert_int_equal(store_begin(b->store, text("t1"), &second, granted, &waits, &e), STORE_WAITS);
	assert_true(shown(m, "lock_wait_seconds_count") == 1);
	assert_true(shown(m, "lock_wait_seconds_sum") == 0);
	move(x.step, "{}", "first", 0);
	assert_non_null(waits);
	assert_true(shown(m, "lock_wait_seconds_count") == 2);
	assert_true(shown(m, "lock_wait_seconds_sum") > 0);
	move(waits, "{}", "second", 0);
	bed_durable(b, move(bed_begin(b, "t1").step, "{}", "second", 0));
	struct store_changes no_step = no_changes();
	no_step.no_step = true;
	bed_durable(b, store_commit(bed_begin(b, "t1").step, &no_step, &e));
	store_abort(bed_begin(b, "t1").step);
	assert_true(steps(m, "p", "zero") == 1);
	assert_true(steps(m, "p", "first") == 1);
	assert_true(steps(m, "p", "second") == 1);
	const char *commits = strcmp(b->scheme, "memory:") == 0 ? "store_commit_seconds_count{backend=\"memory\"}"
								: "store_commit_seconds_count{backend=\"sqlite\"}";
	assert_true(shown(m, commits) == 2); /* the first three steps shared one */
	assert_true(shown(m, "commits_refused_total") == 0);
	bed_close(b);
	metrics_free(m);
}

/* Names whose numbers lie so far apart that they meet in one place: each has its own count. */
static void many_names_are_kept_apart(void **state)
{
	enum { APART = 256, ROUNDS = 5 };
	struct bed *b = *state;
	struct metrics *m = metrics_new();
	struct error e = {0};
	bed_open(b, &(struct store_options){.metrics = m});
	move(bed_begin_new(b, "t0", "p0", 0, 0).step, "{}", "r0", 0);
	for (int i = 0; i < APART - 2; i++) {
		char version[32];
		snprintf(version, sizeof version, "v%d", i);
		struct store_changes c = no_changes();
		c.version = text(version);
		c.no_step = true;
		store_commit(bed_begin(b, "t0").step, &c, &e);
	}
	move(bed_begin_new(b, "t1", "p1", 0, 0).step, "{}", "r1", 0);
	for (int i = 0; i < ROUNDS * 4; i++) {
		bool there = i % 4 == 0 || i % 4 == 3;
		move(bed_begin(b, i % 4 < 2 ? "t0" : "t1").step, "{}", there ? "r1" : "r0", 0);
	}
	for (int i = 0; i < 4; i++)
		assert_true(steps(m, i % 2 ? "p1" : "p0", i < 2 ? "r0" : "r1") == ROUNDS);
	bed_close(b);
	metrics_free(m);
}

static void timers_are_counted(void **state)
{
	struct bed *b = *state;
	struct metrics *m = metrics_new();
	struct store_options o = {.metrics = m};
	bed_open(b, &o);
	bed_consume(b, "engine");
	bed_turn(b);
	int64_t now = runtime_now(b->rt);
	bed_thred(b, "t1", "p", "{}", now + 1000);
	bed_thred(b, "t2", "p", "{}", now + 1000000);
	assert_true(shown(m, "timers_pending") == 2);
	runtime_advance(b->rt, 1000);
	assert_int_equal(b->due_count, 1);
	assert_true(shown(m, "timers_pending") == 1);
	assert_true(shown(m, "timer_lag_seconds_count") == 1);
	assert_true(shown(m, "timer_lag_seconds_sum") == 0);
	bed_durable(b, move(bed_begin(b, "t2").step, "{}", "second", 0));
	assert_true(shown(m, "timers_pending") == 0);
	move(bed_begin(b, "t2").step, "{}", "second", now - 4000);
	runtime_advance(b->rt, 0);
	assert_true(shown(m, "timer_lag_seconds_count") == 2);
	assert_true(shown(m, "timer_lag_seconds_sum") == 5);
	bed_close(b);
	metrics_free(m);
}

static void on_failure(void *arg, const struct error *e)
{
	(void)e;
	*(int64_t *)arg += 1;
}

/* A failed commit takes the numbers of words with it: the next words get them, and not the names of those before. */
static void what_failed_is_refused(void **state)
{
	enum { SIZE = 3000000 };
	struct bed *b = *state;
	struct metrics *m = metrics_new();
	struct error e = {0};
	int64_t failures = 0;
	char *big = test_malloc(SIZE);
	snprintf(big, SIZE, "{\"%*s\":1}", SIZE - 10, "");
	bed_open(b, &(struct store_options){.metrics = m, .max_pages = 300});
	bed_thred(b, "t1", "p", "{}", 0);
	bed_thred(b, "t2", "p", "{}", 0);
	bed_thred(b, "t3", "p", "{}", 0);
	store_listen(b->store, &(struct store_listener){.arg = &failures, .failed = on_failure});
	struct step *holds = bed_begin(b, "t1").step;
	move(bed_begin(b, "t2").step, big, "lost", 0);
	move(bed_begin(b, "t2").step, big, "lost", 0);
	assert_true(steps(m, "p", "lost") == 1);
	bed_until(b, &failures, 1);
	assert_int_equal(move(holds, "{}", "first", 0), -1);
	assert_true(shown(m, "commits_refused_total") == 1);
	runtime_advance(b->rt, 1000);
	assert_true(store_ready(b->store, NULL));
	move(bed_begin(b, "t3").step, "{}", "kept", 0);
	move(bed_begin(b, "t3").step, "{}", "kept", 0);
	assert_true(steps(m, "p", "kept") == 1);
	assert_true(steps(m, "p", "lost") == 1);
	struct store_changes gone = no_changes();
	gone.delivery = 4711;
	assert_int_equal(queue_settle(b->queue, &gone, &e), -1);
	assert_true(shown(m, "commits_refused_total") == 2);
	bed_close(b);
	test_free(big);
	metrics_free(m);
}

static int run(const char *scheme)
{
	bed = (struct bed){.scheme = scheme, .durable = strcmp(scheme, "memory:") != 0, .virtual_time = true};
	const struct CMUnitTest tests[] = {BED_TEST(steps_and_locks_are_counted), BED_TEST(many_names_are_kept_apart),
					   BED_TEST(timers_are_counted), BED_TEST(what_failed_is_refused)};
	return cmocka_run_group_tests_name(scheme, tests, NULL, NULL);
}

int main(void)
{
	return run("memory:") + run("sqlite:");
}
