/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "observe/observe.h"

struct fixture {
	struct metrics *m;
	struct buf text;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	f->m = metrics_new();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	metrics_free(f->m);
	buf_free(&f->text);
	free(f);
	return 0;
}

static bool shows(struct fixture *f, const char *line)
{
	buf_clear(&f->text);
	assert_int_equal(metrics_text(f->m, &f->text), 0);
	return strstr(f->text.data, line) != NULL;
}

static struct metrics_series *one(struct fixture *f, enum metric metric, const char *value)
{
	return metrics_series(f->m, metric, (const char *const[]){value, value});
}

static void counters_and_gauges(void **state)
{
	struct fixture *f = *state;
	assert_true(shows(f, "# TYPE srvthreds_commits_refused_total counter\nsrvthreds_commits_refused_total 0\n"));
	assert_false(shows(f, "srvthreds_events_received_total"));
	metrics_add(one(f, METRIC_EVENTS_RECEIVED, "org.wt.tell"), 2);
	metrics_add(one(f, METRIC_EVENTS_RECEIVED, "org.wt.tell"), 1);
	metrics_add(one(f, METRIC_EVENTS_RECEIVED, "org.wt.tell"), -7); /* a counter never goes down */
	assert_true(shows(f, "\nsrvthreds_events_received_total{type=\"org.wt.tell\"} 3\n"));
	metrics_set(one(f, METRIC_SESSIONS, NULL), 5);
	metrics_add(one(f, METRIC_SESSIONS, NULL), -2);
	assert_true(shows(f, "\nsrvthreds_sessions 3\n"));
	assert_true(shows(f, "\nsrvthreds_build_info{version=\"" SRVTHREDS_VERSION "\",revision=\""));
}

static void histograms_are_cumulative(void **state)
{
	struct fixture *f = *state;
	const char *const values[] = {"p", "r"};
	struct metrics_series *s = metrics_series(f->m, METRIC_STEP_DURATION, values);
	metrics_observe(s, 0.0001);
	metrics_observe(s, 0.003);
	metrics_observe(s, 60);
	assert_true(shows(f, "_bucket{pattern=\"p\",reaction=\"r\",le=\"0.0001\"} 1\n"));
	assert_true(shows(f, "_bucket{pattern=\"p\",reaction=\"r\",le=\"0.0025\"} 1\n"));
	assert_true(shows(f, "_bucket{pattern=\"p\",reaction=\"r\",le=\"0.005\"} 2\n"));
	assert_true(shows(f, "_bucket{pattern=\"p\",reaction=\"r\",le=\"10\"} 2\n"));
	assert_true(shows(f, "_bucket{pattern=\"p\",reaction=\"r\",le=\"+Inf\"} 3\n"));
	assert_true(shows(f, "srvthreds_step_duration_seconds_sum{pattern=\"p\",reaction=\"r\"} 60.0031\n"));
	assert_true(shows(f, "srvthreds_step_duration_seconds_count{pattern=\"p\",reaction=\"r\"} 3\n"));
	assert_true(shows(f, "srvthreds_event_latency_seconds_bucket{le=\"+Inf\"} 0\n"));
}

/* Who names types from outside can neither fill the memory nor break the text. */
static void values_from_outside_are_capped_and_escaped(void **state)
{
	struct fixture *f = *state;
	char type[300];
	for (int i = 0; i < 1000; i++) {
		snprintf(type, sizeof type, "type%d", i);
		metrics_add(one(f, METRIC_EVENTS_RECEIVED, type), 1);
	}
	assert_true(shows(f, "{type=\"type99\"} 1\n"));
	assert_false(shows(f, "{type=\"type100\"}"));
	assert_true(shows(f, "{type=\"other\"} 900\n"));
	metrics_add(one(f, METRIC_PATTERN_RELOADS, "a\"b\\c\nd\xFF"), 1);
	assert_true(shows(f, "{result=\"a\\\"b\\\\c\\nd\"} 1\n"));
	memset(type, 'x', sizeof type - 1);
	type[sizeof type - 1] = '\0';
	metrics_add(one(f, METRIC_PATTERN_RELOADS, type), 1);
	assert_false(shows(f, type));
}

static void hidden_until_changed(void **state)
{
	struct fixture *f = *state;
	const char *const values[] = {"p", "1"};
	struct metrics_series *s = metrics_series(f->m, METRIC_PATTERN_INFO, values);
	metrics_set(s, 1);
	assert_true(shows(f, "srvthreds_pattern_info{pattern=\"p\",version=\"1\"} 1\n"));
	metrics_hide(s);
	assert_false(shows(f, "srvthreds_pattern_info"));
	metrics_set(s, 1);
	assert_true(shows(f, "srvthreds_pattern_info{pattern=\"p\",version=\"1\"} 1\n"));
}

static void *work(void *arg)
{
	struct fixture *f = arg;
	for (int i = 0; i < 10000; i++) {
		metrics_add(one(f, METRIC_EVENTS_PROCESSED, i % 2 ? "matched" : "partial"), 1);
		metrics_observe(one(f, METRIC_LOCK_WAIT, NULL), 0.5);
	}
	return NULL;
}

static void threads_lose_no_count(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, f), 0);
	for (int i = 0; i < 4; i++) {
		shows(f, "");
		pthread_join(threads[i], NULL);
	}
	assert_true(shows(f, "{outcome=\"matched\"} 20000\n"));
	assert_true(shows(f, "{outcome=\"partial\"} 20000\n"));
	assert_true(shows(f, "srvthreds_lock_wait_seconds_sum 20000\n"));
	assert_true(shows(f, "srvthreds_lock_wait_seconds_count 40000\n"));
}

static double value_of(struct fixture *f, const char *name)
{
	char line[80];
	snprintf(line, sizeof line, "\n%s ", name);
	assert_true(shows(f, line));
	return strtod(strstr(f->text.data, line) + strlen(line), NULL);
}

static void the_process(void **state)
{
	struct fixture *f = *state;
	assert_true(value_of(f, "process_resident_memory_bytes") > 100e3);
	assert_true(value_of(f, "process_virtual_memory_bytes") > value_of(f, "process_resident_memory_bytes"));
	assert_true(value_of(f, "process_cpu_seconds_total") >= 0);
	assert_true(value_of(f, "process_start_time_seconds") > 1.7e9);
	double fds = value_of(f, "process_open_fds");
	FILE *more = fopen("/dev/null", "r");
	assert_true(value_of(f, "process_open_fds") == fds + 1);
	fclose(more);
	assert_true(value_of(f, "process_max_fds") >= fds);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {TEST(counters_and_gauges),
					   TEST(histograms_are_cumulative),
					   TEST(values_from_outside_are_capped_and_escaped),
					   TEST(hidden_until_changed),
					   TEST(threads_lose_no_count),
					   TEST(the_process)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
