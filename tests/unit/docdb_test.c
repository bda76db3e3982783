/* SPDX-License-Identifier: MIT
 *
 * What the conformance suite can't show: time limits, threads, marks after a restart, closing, order as bytes.
 */
#include <dirent.h>
#include <sched.h>

#include "docdb_bed.h"

/* `count` documents whose text is `len` times the letter a and an exclamation mark, in lists of 100. */
static void fill(struct bed *b, int count, int len)
{
	char *text = malloc((size_t)len * 100 + 20000);
	for (int i = 0; i < count;) {
		int n = sprintf(text, "[{\"op\":\"put\",\"params\":{\"type\":\"c\",\"values\":[");
		for (int k = 0; k < 100 && i < count; k++, i++)
			n += sprintf(
				text + n, "%s{\"n\":%d,\"v\":\"%.*s!\"}", k ? "," : "", i, len,
				"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
		strcpy(text + n, "]}}]");
		run(b, text, NULL, 0);
		assert_int_equal(b->failures, 0);
	}
	free(text);
}

static void a_mark_outlives_a_restart(void **state)
{
	static const char tasks[] =
		"[{\"op\":\"put\",\"params\":{\"type\":\"c\",\"values\":{\"v\":1}}},"
		"[{\"op\":\"upsert\",\"params\":{\"type\":\"c\",\"matcher\":{\"id\":\"n\"},\"values\":{\"$inc\":"
		"{\"n\":1}}}},{\"op\":\"count\",\"params\":{\"type\":\"c\",\"matcher\":{}}}]]";
	struct bed *b = *state;
	char first[4096];
	begin(b);
	run(b, tasks, "event 1", 0);
	snprintf(first, sizeof first, "%s", b->result);
	assert_non_null(strstr(first, ",2]]"));
	end(b);
	begin(b);
	run(b, tasks, "event 1", 0);
	assert_string_equal(b->result, first);
	run(b, "[{\"op\":\"count\",\"params\":{\"type\":\"c\",\"matcher\":{}}}]", NULL, 0);
	assert_string_equal(b->result, "[2]");
	run(b, tasks, "event 2", 0);
	assert_string_not_equal(b->result, first);
	end(b);
}

/* What failed leaves no mark: asked again it is tried again. */
static void a_failure_leaves_no_mark(void **state)
{
	static const char tasks[] = "[{\"op\":\"put\",\"params\":{\"type\":\"c\",\"values\":{\"id\":\"a\"}}}]";
	struct bed *b = *state;
	begin(b);
	run(b, tasks, NULL, 0);
	run(b, tasks, "event", 0);
	assert_int_equal(b->failure.error.code, ERROR_EXISTS);
	run(b, "[{\"op\":\"delete\",\"params\":{\"type\":\"c\",\"matcher\":{}}}]", NULL, 0);
	run(b, tasks, "event", 0);
	assert_string_equal(b->result, "[\"a\"]");
	end(b);
}

/* Some reach the limit of one search; others are slow on each document, and only their sum ends them. */
static void an_exploding_pattern_ends(void **state)
{
	static const char *const patterns[] = {"(a+)+$",          "^(a|aa)+$",   "(a*)*[bc]",
					       "(.*.*.*.*)*[bc]", ".*.*.*[bc]$", "a*a*a*a*[bc]"};
	struct bed *b = *state;
	begin(b);
	fill(b, 2000, 78);
	for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
		char tasks[TEXT];
		snprintf(tasks, sizeof tasks,
			 "[{\"op\":\"count\",\"params\":{\"type\":\"c\",\"matcher\":{\"v\":{\"$re\":\"%s\"}}}}]",
			 patterns[i]);
		double seconds = 9;
		for (int try = 0; try < 3 && seconds > 1.1; try++) { /* others may be at work on the machine */
			uint64_t begun = uv_hrtime();
			b->failure.error.code = 0;
			run(b, tasks, NULL, 0);
			seconds = (double)(uv_hrtime() - begun) / 1e9;
		}
		print_message("%s: %.3f s, %s\n", patterns[i], seconds, b->failure.error.code ? "an error" : b->result);
		assert_true(seconds < 1.1);
		if (b->failure.error.code) {
			assert_int_equal(b->failure.error.code, ERROR_ARGUMENT);
			assert_non_null(strstr(b->failure.error.message, "takes too long"));
		} else {
			assert_string_equal(b->result, "[0]");
		}
	}
	assert_true(b->failures > 3);
	end(b);
}

static void a_long_pattern_is_refused(void **state)
{
	struct bed *b = *state;
	char tasks[6000] = "[{\"op\":\"count\",\"params\":{\"type\":\"c\",\"matcher\":{\"v\":{\"$re\":\"";
	begin(b);
	memset(tasks + strlen(tasks), 'a', 5000);
	strcat(tasks, "\"}}}}]");
	const struct docdb_request r = {.tasks = {tasks, strlen(tasks)}};
	assert_int_equal(docdb_run(b->db, &r, done, b, &b->failure), -1);
	assert_int_equal(b->failure.error.code, ERROR_ARGUMENT);
	assert_non_null(strstr(b->failure.error.message, "5000 bytes"));
	end(b);
}

static const char slow[] =
	"[{\"op\":\"count\",\"params\":{\"type\":\"c\",\"matcher\":{\"$or\":[{\"v\":1},{\"a.b\":1},{\"c.d\":2},"
	"{\"n\":{\"$lt\":-1}},{\"n\":-3}]}}},{\"op\":\"get\",\"params\":{\"type\":\"c\",\"matcher\":{\"n\":{\"$ne\":"
	"-1}},\"collector\":{\"sort\":[{\"field\":\"v\"},{\"field\":\"n\",\"desc\":true}],\"limit\":1}}}]";

static void time_over_ends_a_query(void **state)
{
	struct bed *b = *state;
	begin(b);
	fill(b, 30000, 60);
	uint64_t begun = uv_hrtime();
	run(b, slow, NULL, 3);
	assert_int_equal(b->failure.error.code, ERROR_TASK);
	assert_non_null(strstr(b->failure.error.message, "time"));
	print_message("ended after %.1f ms of 3\n", (double)(uv_hrtime() - begun) / 1e6);
	b->failure.error.code = 0;
	run(b, slow, NULL, 0);
	assert_int_equal(b->failure.error.code, 0);
	begun = uv_hrtime();
	b->failures = 0;
	run(b, "[{\"op\":\"update\",\"params\":{\"type\":\"c\",\"matcher\":{},\"values\":{\"w\":1}}}]", NULL, 5);
	assert_int_equal(b->failure.error.code, ERROR_TASK);
	run(b, "[{\"op\":\"count\",\"params\":{\"type\":\"c\",\"matcher\":{\"w\":1}}}]", NULL, 0);
	assert_string_equal(b->result, "[0]"); /* nothing of it stayed */
	end(b);
}

/* Slow ones on all but one reader: small ones and writes go through meanwhile. */
static void slow_queries_hold_nobody_up(void **state)
{
	struct bed *b = *state;
	begin(b);
	fill(b, 30000, 60);
	int before = b->answers;
	for (int i = 0; i < 3; i++)
		start_task(b, slow, NULL, 0);
	run(b, "[{\"op\":\"put\",\"params\":{\"type\":\"d\",\"values\":{\"id\":\"x\"}}}]", NULL, 0);
	assert_string_equal(b->result, "[\"x\"]");
	run(b,
	    "[{\"op\":\"getOne\",\"params\":{\"type\":\"d\",\"matcher\":{\"id\":\"x\"},\"selector\":{\"include\":["
	    "\"id\"]}}}]",
	    NULL, 0);
	until(b, before + 5);
	assert_int_equal(b->failures, 0);
	end(b);
}

/* How many threads of this process are nice and SCHED_BATCH: fields 19 and 41 of stat, counted from the one behind the name. */
static int threads_aside(void)
{
	int found = 0;
	DIR *all = opendir("/proc/self/task");
	assert_non_null(all);
	for (struct dirent *one; (one = readdir(all));) {
		char path[300], text[1024];
		long nice, policy;
		snprintf(path, sizeof path, "/proc/self/task/%s/stat", one->d_name);
		FILE *file = *one->d_name == '.' ? NULL : fopen(path, "r");
		char *rest = file && fgets(text, sizeof text, file) ? strrchr(text, ')') : NULL;
		if (rest &&
		    sscanf(rest,
			   ") %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %ld %*s %*s %*s %*s %*s "
			   "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %ld",
			   &nice, &policy) == 2)
			found += nice == 10 && policy == SCHED_BATCH;
		if (file)
			fclose(file);
	}
	closedir(all);
	return found;
}

static void until_aside(int threads)
{
	for (int i = 0; i < 1000 && threads_aside() != threads; i++)
		usleep(5000);
	assert_int_equal(threads_aside(), threads);
}

/* Who searches for long leaves the processor to others, and only as long as he does. */
static void long_searches_step_back(void **state)
{
	struct bed *b = *state;
	begin(b);
	until_aside(0);
	fill(b, 30000, 60);
	int before = b->answers;
	for (int round = 0; round < 3; round++) {
		start_task(b, slow, NULL, 0);
		start_task(b, slow, NULL, 0);
		until_aside(2);
		until(b, before += 2);
		until_aside(0);
	}
	start_task(b, slow, NULL, 0);
	until_aside(1);
	end(b);
	until_aside(0);
}

static void closing_answers_everybody(void **state)
{
	struct bed *b = *state;
	begin(b);
	fill(b, 5000, 60);
	int before = b->answers;
	for (int i = 0; i < 20; i++) {
		start_task(b, slow, NULL, 0);
		start_task(b, "[{\"op\":\"put\",\"params\":{\"type\":\"d\",\"values\":{\"v\":1}}}]", NULL, 0);
	}
	docdb_close(b->db);
	b->db = NULL;
	assert_int_equal(b->answers, before + 40);
	end(b);
	begin(b);
	run(b, "[{\"op\":\"count\",\"params\":{\"type\":\"d\",\"matcher\":{}}}]", NULL, 0);
	assert_string_equal(b->result, "[20]"); /* what was asked to be written is */
	end(b);
}

/* More than the loop checks by itself: done, refused, and under way while closing. */
static void large_lists(void **state)
{
	struct bed *b = *state;
	struct buf tasks = {0};
	begin(b);
	for (int i = 0; i < 3000; i++)
		buf_printf(&tasks, "%s{\"op\":\"put\",\"params\":{\"type\":\"c\",\"values\":{\"n\":%d}}}",
			   i ? "," : "[", i);
	size_t len = tasks.len;
	buf_add_str(&tasks, "]");
	run(b, tasks.data, "event", 0);
	assert_int_equal(b->failures, 0);
	run(b, "[{\"op\":\"count\",\"params\":{\"type\":\"c\",\"matcher\":{}}}]", NULL, 0);
	assert_string_equal(b->result, "[3000]");
	run(b, tasks.data, "event", 0);
	tasks.len = len;
	buf_add_str(&tasks, ",{\"op\":\"putt\",\"params\":{}}]");
	run(b, tasks.data, NULL, 0);
	assert_int_equal(b->failures, 1);
	assert_int_equal(b->failure.error.code, ERROR_ARGUMENT);
	assert_int_equal(b->failure.item, 3000);
	assert_string_equal(b->result, "");
	run(b, "[{\"op\":\"count\",\"params\":{\"type\":\"c\",\"matcher\":{}}}]", NULL, 0);
	assert_string_equal(b->result, "[3000]");
	int before = b->answers;
	tasks.len = len;
	buf_add_str(&tasks, "]");
	for (int i = 0; i < 5; i++)
		start_task(b, tasks.data, NULL, 0);
	docdb_close(b->db);
	b->db = NULL;
	until(b, before + 5);
	buf_free(&tasks);
	end(b);
}

static void refused(struct bed *b, const char *tasks)
{
	const struct docdb_request r = {.tasks = {tasks, strlen(tasks)}};
	assert_int_equal(docdb_run(b->db, &r, done, b, &b->failure), -1);
}

/* The words of a task may be written with escapes; wherever they stand, they mean the same. */
static void words_with_escapes(void **state)
{
	struct bed *b = *state;
	begin(b);
	run(b,
	    "[{\"\\u006fp\":\"p\\u0075t\",\"params\":{\"valu\\u0065s\":{\"\\u0069d\":\"a\",\"v\":\"\\u0041\"},"
	    "\"typ\\u0065\":\"c\"},\"options\":{\"dbn\\u0061me\":\"test\",\"\\u0068ostString\":\"main\"}}]",
	    NULL, 0);
	assert_string_equal(b->result, "[\"a\"]");
	run(b,
	    "[{\"p\\u0061rams\":{\"type\":\"c\",\"m\\u0061tcher\":{\"v\":\"A\"},\"select\\u006fr\":{\"include\":[\"v\"]"
	    "}},\"op\":\"getOne\"}]",
	    NULL, 0);
	assert_string_equal(b->result, "[{\"id\":\"a\",\"v\":\"A\"}]");
	refused(b, "[{\"n\\u0061me\":\"my\\u0020task\",\"op\":\"c\\u006funts\",\"params\":{\"type\":\"c\"}}]");
	assert_string_equal(b->failure.name, "my task");
	assert_non_null(strstr(b->failure.error.message, "did you mean count?"));
	end(b);
}

/* The check of one request leaves its memory to the next: nothing of what it was about, and not more than some. */
static void one_check_after_another(void **state)
{
	static const char small[] =
		"[{\"op\":\"get\",\"params\":{\"type\":\"c\",\"matcher\":{\"z\":1,\"a\":{\"$in\":[2,1]}},"
		"\"selector\":{\"include\":[\"a\"],\"exclude\":[\"id\"]}}}]";
	struct bed *b = *state;
	struct buf tasks = {0};
	begin(b);
	run(b, "[{\"op\":\"put\",\"params\":{\"values\":{\"z\":1,\"a\":2},\"type\":\"c\"}}]", NULL, 0);
	for (int count = 1; count < 8000; count *= 3) {
		tasks.len = 0;
		buf_add_str(&tasks, "[{\"op\":\"count\",\"params\":{\"type\":\"c\",\"matcher\":{\"z\":{\"$in\":[");
		for (int i = 0; i < count; i++)
			buf_printf(&tasks, "%s%d", i ? "," : "", count - i);
		buf_add_str(&tasks, "]}}}}]");
		run(b, tasks.data, NULL, 0);
		assert_string_equal(b->result, "[1]");
		run(b, small, NULL, 0);
		assert_string_equal(b->result, "[[{\"a\":2}]]");
		refused(b, "[{\"op\":\"get\",\"params\":{\"type\":\"c\",\"matcher\":{\"b\":1,\"a\":[{\"c\":}}}]");
		assert_int_equal(b->failure.error.code, ERROR_CLIENT);
		run(b, small, NULL, 0);
		assert_string_equal(b->result, "[[{\"a\":2}]]");
	}
	buf_free(&tasks);
	end(b);
}

static void too_much_is_an_error(void **state)
{
	struct bed *b = *state;
	begin(b);
	fill(b, 100, 60);
	docdb_close(b->db);
	static const char *const names[] = {"test"};
	const struct docdb_host host = {"main", b->url};
	const struct docdb_options options = {
		.hosts = &host, .host_count = 1, .databases = names, .database_count = 1, .result_max = 2000};
	struct error e;
	b->db = docdb_open(b->rt, &options, &e);
	run(b, "[{\"op\":\"get\",\"params\":{\"type\":\"c\",\"matcher\":{}}}]", NULL, 0);
	assert_int_equal(b->failure.error.code, ERROR_TASK);
	assert_non_null(strstr(b->failure.error.message, "2000 bytes"));
	assert_string_equal(b->result, "[]");
	end(b);
}

static void bad_urls(void **state)
{
	static const char *const urls[] = {"mysql:x", "", "sqlite:", "sqlite:/nowhere/at/all/d.db"};
	static const char *const names[] = {"test"};
	(void)state;
	const struct runtime_options ro = {.virtual_time = false};
	struct error e;
	struct runtime *rt = runtime_new(&ro, &e);
	for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
		const struct docdb_host host = {"main", urls[i]};
		const struct docdb_options options = {
			.hosts = &host, .host_count = 1, .databases = names, .database_count = 1};
		e.code = 0;
		assert_null(docdb_open(rt, &options, &e));
		assert_true(e.code != 0 && e.message[0]);
	}
	uv_run(runtime_loop(rt), UV_RUN_NOWAIT);
	assert_int_equal(runtime_free(rt), 0);
}

static uint64_t rnd(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void random_value(struct buf *b, uint64_t *seed, const char *name, int depth)
{
	static const int64_t ints[] = {0,  1, -1, 2, INT64_MAX, INT64_MIN, (1ll << 53) + 1, 1ll << 53, -(1ll << 53) - 1,
				       255};
	static const double reals[] = {0.0, -0.0, 1.0, 0.5, -1.5, 0x1p53, 0x1p63, -0x1p63, 1e300, 5e-324};
	static const char *const texts[] = {"", "a", "ab", "b", "a\0b", "a\0", "\xC3\xA9", "\1", "\xFF"};
	static const uint8_t lens[] = {0, 1, 2, 1, 3, 2, 2, 1, 1};
	size_t len = strlen(name), i = rnd(seed) % 9;
	switch (rnd(seed) % (depth ? 8 : 6)) {
	case 0:
		value_name(b, VALUE_NULL, name, len);
		break;
	case 1:
		value_add_int64(b, name, len, VALUE_INT64, ints[rnd(seed) % 10]);
		break;
	case 2:
		value_name(b, VALUE_DOUBLE, name, len);
		buf_add(b, &reals[rnd(seed) % 10], 8);
		break;
	case 3:
		value_add_text(b, name, len, texts[i], lens[i]);
		break;
	case 4:
		value_name(b, VALUE_BOOL, name, len);
		buf_add(b, i & 1 ? "\1" : "", 1);
		break;
	case 5:
		value_add_int64(b, name, len, VALUE_DATE, ints[rnd(seed) % 10]);
		break;
	default: {
		bool object = rnd(seed) & 1;
		value_name(b, object ? VALUE_OBJECT : VALUE_ARRAY, name, len);
		size_t open = value_open(b);
		static const char *const names[] = {"a", "b", "ab"}, *const places[] = {"0", "1", "2"};
		for (size_t n = rnd(seed) % 3, k = 0; k < n; k++)
			random_value(b, seed, object ? names[rnd(seed) % 3] : places[k], depth - 1);
		value_close(b, open);
	}
	}
}

static int sign(int n)
{
	return (n > 0) - (n < 0);
}

/* The bytes of a key sort as the values do, up and down, and no key is the beginning of another. */
static void keys_sort_as_values(void **state)
{
	uint64_t seed = 88172645463325252u;
	(void)state;
	for (int i = 0; i < 200000; i++) {
		struct buf pair[2] = {{0}, {0}}, keys[2] = {{0}, {0}}, down[2] = {{0}, {0}};
		struct value v[2];
		for (int k = 0; k < 2; k++) {
			random_value(&pair[k], &seed, "", 3);
			v[k] = (struct value){pair[k].data + 2, (uint8_t)pair[k].data[0]};
			value_key(&keys[k], v[k], false);
			value_key(&down[k], v[k], true);
		}
		size_t n = keys[0].len < keys[1].len ? keys[0].len : keys[1].len;
		int expected = sign(value_compare(v[0], v[1]));
		assert_int_equal(sign(value_compare(v[1], v[0])), -expected);
		assert_int_equal(sign(memcmp(keys[0].data, keys[1].data, n)), expected);
		assert_int_equal(sign(memcmp(down[0].data, down[1].data, n)), -expected);
		if (expected == 0)
			assert_int_equal(keys[0].len, keys[1].len);
		for (int k = 0; k < 2; k++) {
			buf_free(&pair[k]);
			buf_free(&keys[k]);
			buf_free(&down[k]);
		}
	}
}

static void dates_there_and_back(void **state)
{
	(void)state;
	uint64_t seed = 12345;
	for (int i = 0; i < 100000; i++) {
		char text[DATE_TEXT];
		int64_t ms = (int64_t)(rnd(&seed) % 315569520000000u) - 62167219200000, back;
		size_t len = date_write(ms, text);
		assert_true(date_parse(text, len, &back));
		assert_true(back == ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_mark_outlives_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(a_failure_leaves_no_mark, setup, teardown),
		cmocka_unit_test_setup_teardown(an_exploding_pattern_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(a_long_pattern_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(time_over_ends_a_query, setup, teardown),
		cmocka_unit_test_setup_teardown(slow_queries_hold_nobody_up, setup, teardown),
		cmocka_unit_test_setup_teardown(long_searches_step_back, setup, teardown),
		cmocka_unit_test_setup_teardown(closing_answers_everybody, setup, teardown),
		cmocka_unit_test_setup_teardown(large_lists, setup, teardown),
		cmocka_unit_test_setup_teardown(words_with_escapes, setup, teardown),
		cmocka_unit_test_setup_teardown(one_check_after_another, setup, teardown),
		cmocka_unit_test_setup_teardown(too_much_is_an_error, setup, teardown),
		cmocka_unit_test(bad_urls),
		cmocka_unit_test(keys_sort_as_values),
		cmocka_unit_test(dates_there_and_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
