/* SPDX-License-Identifier: MIT
 *
 * The system's own collections on a file, with threads: beside steps that go on, with a deadline, while it closes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conformance/conformance.h"
#include "records/records.h"

enum { THREDS = 100, EVENTS = 40 };

struct asked {
	volatile int64_t answers;
	int codes[16];
	char results[16][256], message[ERROR_MESSAGE_SIZE];
};

static struct docdb *open_records(struct bed *b)
{
	struct error e;
	struct docdb_options options = {.view = records_view(b->store)};
	records_options(&options);
	struct docdb *db = docdb_open(b->rt, &options, &e);
	assert_non_null(db);
	return db;
}

static void answered(void *arg, const struct docdb_answer *answer)
{
	struct asked *a = arg;
	int64_t i = a->answers;
	a->codes[i] = answer->failure ? answer->failure->error.code : 0;
	snprintf(a->message, sizeof a->message, "%s", answer->failure ? answer->failure->error.message : "");
	snprintf(a->results[i], sizeof a->results[i], "%.*s", (int)answer->result.len, answer->result.data);
	a->answers++;
}

static void ask(struct docdb *db, struct asked *a, const char *op, const char *params, int64_t timeout_ms)
{
	char tasks[512];
	struct docdb_failure failure = {.item = -1};
	int n = snprintf(tasks, sizeof tasks, "[{\"op\":\"%s\",\"params\":{%s}}]", op, params);
	const struct docdb_request request = {.tasks = {tasks, (size_t)n}, .timeout_ms = timeout_ms};
	assert_int_equal(docdb_run(db, &request, answered, a, &failure), 0);
}

/* A step of a thred that sends some events; the ticket. */
static int64_t step(struct bed *b, int thred, int step)
{
	char id[32], ids[EVENTS][32], bodies[EVENTS][128];
	struct store_event events[EVENTS];
	struct error e;
	snprintf(id, sizeof id, "thred %d", thred);
	struct begun begun = step ? bed_begin(b, id) : bed_begin_new(b, id, "p", 0, 0);
	assert_non_null(begun.step);
	for (int i = 0; i < EVENTS; i++) {
		snprintf(ids[i], sizeof ids[i], "%d.%d.%d", thred, step, i);
		snprintf(bodies[i], sizeof bodies[i],
			 "{\"data\":{\"title\":\"%d of %d\"},\"id\":\"%.31s\",\"type\":\"t\"}", i, step, ids[i]);
		events[i] = (struct store_event){
			.id = text(ids[i]), .body = text(bodies[i]), .rec = text("{\"to\":[\"ann\"]}")};
	}
	struct store_changes x = no_changes();
	x.state = text("{}");
	x.events = events;
	x.event_count = EVENTS;
	int64_t ticket = store_commit(begun.step, &x, &e);
	assert_true(ticket > 0);
	return ticket;
}

static void fill(struct bed *b)
{
	int64_t ticket = 0;
	for (int i = 0; i < THREDS; i++)
		ticket = step(b, i, 0);
	bed_durable(b, ticket);
}

#define ALL "\"type\":\"events\",\"matcher\":{\"type\":\"t\"}"

static void counts_while_steps_go_on(void **state)
{
	struct bed *b = *state;
	struct asked a = {0};
	bed_open(b, NULL);
	fill(b);
	struct docdb *db = open_records(b);
	int64_t last = THREDS * EVENTS, ticket = 0;
	for (int i = 0; i < 10; i++) {
		ask(db, &a, "count", ALL, 0);
		for (int k = 0; k < 10; k++)
			ticket = step(b, k, i + 1);
		bed_until(b, &a.answers, i + 1);
		int64_t count = strtoll(a.results[i] + 1, NULL, 10);
		assert_int_equal(a.codes[i], 0);
		assert_true(count >= last && count % EVENTS == 0); /* whole steps, and none is lost again */
		last = count;
	}
	bed_durable(b, ticket);
	ask(db, &a, "count", ALL, 0);
	bed_until(b, &a.answers, 11);
	assert_int_equal(strtoll(a.results[10] + 1, NULL, 10), (THREDS + 100) * EVENTS);
	ask(db, &a, "count", "\"type\":\"events\",\"matcher\":{\"threds\":\"thred 3\"}", 0);
	bed_until(b, &a.answers, 12);
	assert_int_equal(strtoll(a.results[11] + 1, NULL, 10), 11 * EVENTS);
	docdb_close(db);
	bed_turn(b);
	bed_close(b);
}

static void many_are_answered_in_order(void **state)
{
	struct bed *b = *state;
	struct asked a = {0};
	bed_open(b, NULL);
	fill(b);
	struct docdb *db = open_records(b);
	for (int i = 0; i < 12; i++) {
		char params[200];
		snprintf(params, sizeof params,
			 "\"type\":\"events\",\"matcher\":{\"id\":\"%d.0.%d\"},\"selector\":{\"include\":[\"threds\"]}",
			 i * 7, i);
		ask(db, &a, "getOne", params, 0);
	}
	bed_until(b, &a.answers, 12);
	for (int i = 0; i < 12; i++) {
		char expected[100];
		snprintf(expected, sizeof expected, "[{\"id\":\"%d.0.%d\",\"threds\":[\"thred %d\"]}]", i * 7, i,
			 i * 7);
		assert_string_equal(a.results[i], expected);
	}
	docdb_close(db);
	bed_turn(b);
	bed_close(b);
}

static void a_deadline_ends_a_scan(void **state)
{
	struct bed *b = *state;
	struct asked a = {0};
	bed_open(b, NULL);
	for (int i = 0; i < 10; i++)
		for (int k = 0; k < THREDS; k++)
			step(b, k, i);
	bed_durable(b, store_ticket(b->store));
	struct docdb *db = open_records(b);
	ask(db, &a, "count", "\"type\":\"events\",\"matcher\":{\"event.data.title\":{\"$re\":\"(a|b|[0-9])+x\"}}", 5);
	ask(db, &a, "count", "\"type\":\"threds\",\"matcher\":{}", 0);
	bed_until(b, &a.answers, 2);
	assert_int_equal(a.codes[0], ERROR_TASK);
	assert_string_equal(a.results[0], "[]");
	assert_string_equal(a.results[1], "[100]");
	docdb_close(db);
	bed_turn(b);
	bed_close(b);
}

static void closing_ends_what_is_under_way(void **state)
{
	struct bed *b = *state;
	struct asked a = {0};
	bed_open(b, NULL);
	fill(b);
	struct docdb *db = open_records(b);
	for (int i = 0; i < 3; i++)
		ask(db, &a, "get", ALL, 0);
	bed_turn(b);
	docdb_close(db);
	bed_until(b, &a.answers, 3);
	assert_int_equal(a.codes[1], ERROR_SERVER);
	assert_int_equal(a.codes[2], ERROR_SERVER);
	db = open_records(b);
	store_close(b->store);
	ask(db, &a, "count", "\"type\":\"config\",\"matcher\":{}", 0);
	bed_until(b, &a.answers, 4);
	assert_int_equal(a.codes[3], ERROR_SERVER);
	assert_string_equal(a.message, "the store was closed");
	docdb_close(db);
	for (int i = 0; i < 3; i++)
		bed_turn(b);
	assert_int_equal(runtime_free(b->rt), 0);
}

static int64_t count_between(struct bed *b, struct docdb *db, int64_t from, int64_t to, const char *collector)
{
	struct asked a = {0};
	char params[300];
	snprintf(params, sizeof params,
		 "\"type\":\"events\",\"matcher\":{\"at\":{\"$gte\":{\"$date\":%lld},\"$lt\":{\"$date\":%lld}}}%s",
		 (long long)from, (long long)to, collector);
	ask(db, &a, *collector ? "getOne" : "count", params, 0);
	bed_until(b, &a.answers, 1);
	assert_int_equal(a.codes[0], 0);
	const char *n = strstr(a.results[0], "\"n\":");
	return strtoll(*collector ? n + 4 : a.results[0] + 1, NULL, 10);
}

/* Hours of 4,000 rows each; asked twice, because the first time tells where a time is. */
static void a_time_is_found(void **state)
{
	enum { HOURS = 4, HOUR = 3600000, PER_HOUR = THREDS * EVENTS };
	static const char last[] =
		",\"collector\":{\"sort\":[{\"field\":\"n\",\"desc\":true}]},\"selector\":{\"include\":[\"n\"]}";
	static const char first[] = ",\"collector\":{\"sort\":[{\"field\":\"n\"}]},\"selector\":{\"include\":[\"n\"]}";
	struct bed *b = *state;
	bed_open(b, NULL);
	int64_t begin = runtime_now(b->rt);
	struct docdb *db = open_records(b);
	for (int hour = 0; hour < HOURS; hour++) {
		for (int i = 0; i < THREDS; i++)
			step(b, i, hour);
		runtime_advance(b->rt, HOUR);
		for (int again = 0; again < 2; again++)
			for (int from = 0; from <= hour; from++) {
				int64_t at = begin + (int64_t)from * HOUR, n = (int64_t)from * PER_HOUR;
				assert_int_equal(count_between(b, db, at, at + HOUR, ""), PER_HOUR);
				assert_int_equal(count_between(b, db, at + 1, at + HOUR, ""), 0);
				assert_int_equal(count_between(b, db, at, at + HOUR, first), n + 1);
				assert_int_equal(count_between(b, db, at, at + HOUR, last), n + PER_HOUR);
			}
	}
	docdb_close(db);
	bed_turn(b);
	bed_close(b);
}

int main(void)
{
	static struct bed later = {.scheme = "sqlite:", .durable = true, .virtual_time = true};
	static struct bed bed = {.scheme = "sqlite:", .durable = true};
	const struct CMUnitTest tests[] = {
		BED_TEST(counts_while_steps_go_on),
		BED_TEST(many_are_answered_in_order),
		BED_TEST(a_deadline_ends_a_scan),
		BED_TEST(closing_ends_what_is_under_way),
		cmocka_unit_test_prestate_setup_teardown(a_time_is_found, bed_setup, bed_teardown, &later),
	};
	return cmocka_run_group_tests_name("records", tests, NULL, NULL);
}
