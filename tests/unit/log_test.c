/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "json/json.h"
#include "observe/observe.h"

/* A log into a pipe, whose other end is read after the log was flushed. */
struct fixture {
	int ends[2];
	struct log *log;
	struct buf text;
};

static int64_t noon(void *arg)
{
	(void)arg;
	return 1784289600123; /* 2026-07-17T12:00:00.123Z */
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	assert_int_equal(pipe2(f->ends, O_CLOEXEC), 0);
	f->log = log_new(&(struct log_options){.fd = f->ends[1],
					       .level = LOG_LEVEL_INFO,
					       .service = "engine",
					       .instance = "engine1",
					       .now = noon},
			 NULL);
	setenv("TZ", "UTC", 1);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	log_free(f->log);
	close(f->ends[0]);
	close(f->ends[1]);
	buf_free(&f->text);
	free(f);
	return 0;
}

static void *read_to_end(void *arg)
{
	struct fixture *f = arg;
	char part[65536];
	ssize_t n;
	while ((n = read(f->ends[0], part, sizeof part)) > 0)
		buf_add(&f->text, part, (size_t)n);
	return NULL;
}

/* What was logged so far; ends the log. */
static const char *logged(struct fixture *f)
{
	pthread_t reader;
	assert_int_equal(pthread_create(&reader, NULL, read_to_end, f), 0);
	assert_true(log_flush(f->log, 10000));
	close(f->ends[1]);
	pthread_join(reader, NULL);
	f->ends[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
	buf_add_str(&f->text, "");
	return f->text.data ? f->text.data : "";
}

static size_t count(const char *text, const char *part)
{
	size_t n = 0;
	for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
		n++;
	return n;
}

static void json_line_has_the_keys_in_order(void **state)
{
	struct fixture *f = *state;
	log_write(f->log, LOG_LEVEL_WARN, "store", "the disk is full",
		  (struct log_field[]){LOG_TEXT("err", "no space"),
				       LOG_INT("free_bytes", 12),
				       LOG_INT("err_code", 5000),
				       LOG_TEXT("thred_id", "t1"),
				       LOG_BOOL("again", true),
				       LOG_FLOAT("duration_s", 0.25),
				       {0}});
	assert_string_equal(logged(f), "{\"ts\":\"2026-07-17T12:00:00.123Z\",\"level\":\"warn\",\"msg\":\"the disk is "
				       "full\",\"service\":\"engine\",\"instance\":\"engine1\",\"module\":\"store\","
				       "\"thred_id\":\"t1\",\"err_code\":5000,\"err\":\"no space\",\"again\":true,"
				       "\"duration_s\":0.25,\"free_bytes\":12}\n");
}

static void text_for_people(void **state)
{
	struct fixture *f = *state;
	log_configure(f->log, LOG_FOR_PEOPLE, NULL, NULL);
	log_write(f->log, LOG_LEVEL_INFO, "net", "listens",
		  (struct log_field[]){LOG_INT("port", 3000), LOG_TEXT("host", "a b"), {0}});
	log_write(f->log, LOG_LEVEL_ERROR, NULL, "no", (struct log_field[]){LOG_TEXT("err", "one\ntwo"), {0}});
	assert_string_equal(logged(f), "12:00:00.123 info  net: listens  host=\"a b\" port=3000\n"
				       "12:00:00.123 error no  err=\n    one\n    two\n");
}

static void nothing_logged_commands_the_terminal(void **state)
{
	struct fixture *f = *state;
	log_configure(f->log, LOG_FOR_PEOPLE, NULL, NULL);
	log_write(f->log, LOG_LEVEL_INFO, NULL, "\033[2Jx\xC2\x9Bz",
		  (struct log_field[]){LOG_TEXT("a\033", "\033[0m"), {0}});
	const char *text = logged(f);
	assert_null(strchr(text, '\033'));
	assert_null(strstr(text, "\xC2\x9B"));
	assert_non_null(strstr(text, "\\x1b[2Jx\\x9bz"));
}

static void secrets_are_never_written(void **state)
{
	struct fixture *f = *state;
	log_write(f->log, LOG_LEVEL_INFO, NULL, "login",
		  (struct log_field[]){LOG_TEXT("password", "hunter2"), LOG_INT("token", 77), {0}});
	const char *text = logged(f);
	assert_non_null(strstr(text, "\"password\":\"***\""));
	assert_null(strstr(text, "hunter2"));
	assert_null(strstr(text, "77"));
}

static void every_line_is_valid_json(void **state)
{
	struct fixture *f = *state;
	char *huge = xcalloc(1, 100001);
	memset(huge, 'x', 100000);
	memcpy(huge + 8190, "\xE2\x82\xAC", 3); /* the cut falls into a character */
	log_write(f->log, LOG_LEVEL_INFO, NULL, "bad \xFF\xC3 bytes\n\"\\\001", NULL);
	log_write(f->log, LOG_LEVEL_INFO, NULL, huge,
		  (struct log_field[]){LOG_TEXT("level", "x"), LOG_FLOAT("n", 1e308 * 10), {0}});
	free(huge);
	struct buf canonical = {0};
	struct error e;
	char *rest = (char *)(uintptr_t)logged(f);
	for (char *line; (line = strtok_r(rest, "\n", &rest));)
		if (json_canonical(line, strlen(line), NULL, &canonical, &e))
			fail_msg("%s: %.200s", e.message, line);
	assert_true(canonical.len > 8192 && canonical.len < 9000);
	assert_non_null(strstr(canonical.data ? canonical.data : "", "bad \xEF\xBF\xBD\xEF\xBF\xBD bytes"));
	buf_free(&canonical);
}

static void levels_by_module(void **state)
{
	struct fixture *f = *state;
	struct error e;
	assert_false(log_wants(f->log, "store", LOG_LEVEL_DEBUG));
	assert_int_equal(log_set_level(f->log, "store", LOG_LEVEL_DEBUG, &e), 0);
	assert_true(log_wants(f->log, "store", LOG_LEVEL_DEBUG));
	assert_false(log_wants(f->log, "net", LOG_LEVEL_DEBUG));
	assert_int_equal(log_set_level(f->log, NULL, LOG_LEVEL_ERROR, &e), 0);
	assert_false(log_wants(f->log, "net", LOG_LEVEL_WARN));
	log_write(f->log, LOG_LEVEL_DEBUG, "store", "seen", NULL);
	log_write(f->log, LOG_LEVEL_WARN, "net", "unseen", NULL);
	const char *text = logged(f);
	assert_non_null(strstr(text, "\"seen\""));
	assert_null(strstr(text, "unseen"));
	struct buf levels = {0};
	assert_int_equal(log_levels(f->log, &levels), 0);
	assert_string_equal(levels.data, "error,store=debug");
	log_reset_levels(f->log, LOG_LEVEL_WARN);
	assert_false(log_wants(f->log, "store", LOG_LEVEL_INFO));
	assert_true(log_wants(f->log, "store", LOG_LEVEL_WARN));
	buf_clear(&levels);
	assert_int_equal(log_levels(f->log, &levels), 0);
	assert_string_equal(levels.data, "warn");
	buf_free(&levels);
	enum log_level level;
	assert_int_equal(log_level_named("warn", &level, &e), 0);
	assert_int_equal(level, LOG_LEVEL_WARN);
	assert_int_equal(log_level_named("loud", &level, &e), -1);
	assert_non_null(strstr(e.message, "debug, info, warn or error"));
}

/* A reader that stands still: nobody waits for it, lines are dropped, warnings longest, and the loss is told. */
static void a_full_pipe_blocks_nobody(void **state)
{
	struct fixture *f = *state;
	const int lines = 40000;
	for (int i = 0; i < lines; i++)
		log_write(f->log, LOG_LEVEL_INFO, NULL, "spam", (struct log_field[]){LOG_INT("i", i), {0}});
	log_write(f->log, LOG_LEVEL_WARN, NULL, "important", NULL);
	assert_false(log_flush(f->log, 0));
	pthread_t reader;
	assert_int_equal(pthread_create(&reader, NULL, read_to_end, f), 0);
	assert_true(log_flush(f->log, 10000));
	log_write(f->log, LOG_LEVEL_INFO, NULL, "after", NULL);
	assert_true(log_flush(f->log, 10000));
	close(f->ends[1]);
	pthread_join(reader, NULL);
	f->ends[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
	size_t spam = count(f->text.data, "\"spam\"");
	char told[64];
	snprintf(told, sizeof told, "\"dropped\":%d", lines - (int)spam);
	assert_in_range(spam, 1000, lines - 1);
	assert_int_equal(count(f->text.data, "\"important\""), 1);
	assert_non_null(strstr(f->text.data, told));
	assert_int_equal(count(f->text.data, "\"after\""), 1);
}

static void *spam(void *arg)
{
	for (int i = 0; i < 1000; i++)
		log_write(arg, LOG_LEVEL_INFO, "thread", "line", (struct log_field[]){LOG_INT("i", i), {0}});
	return NULL;
}

static void threads_write_whole_lines(void **state)
{
	struct fixture *f = *state;
	pthread_t reader, writers[4];
	assert_int_equal(pthread_create(&reader, NULL, read_to_end, f), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&writers[i], NULL, spam, f->log), 0);
	for (int i = 0; i < 4; i++) {
		log_set_level(f->log, "thread", LOG_LEVEL_INFO, NULL);
		pthread_join(writers[i], NULL);
	}
	assert_true(log_flush(f->log, 10000));
	close(f->ends[1]);
	pthread_join(reader, NULL);
	f->ends[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
	assert_int_equal(count(f->text.data, "\"i\":999}\n"), 4);
	assert_int_equal(count(f->text.data, "\n"), 4000);
	assert_int_equal(count(f->text.data, "{\"ts\":"), 4000);
}

/* It gives up after its time; the thread, which hangs in write, cleans up when the pipe breaks. */
static void freed_while_the_reader_stands_still(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 4000; i++)
		log_write(f->log, LOG_LEVEL_INFO, NULL, "a line that is never read by anybody", NULL);
	log_free(f->log);
	f->log = NULL;
	assert_int_equal(read(f->ends[0], &(char){0}, 1), 1);
	f->ends[1] = open("/dev/null", O_WRONLY | O_CLOEXEC); /* the thread may write to the pipe yet */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {TEST(json_line_has_the_keys_in_order),
					   TEST(text_for_people),
					   TEST(nothing_logged_commands_the_terminal),
					   TEST(secrets_are_never_written),
					   TEST(every_line_is_valid_json),
					   TEST(levels_by_module),
					   TEST(a_full_pipe_blocks_nobody),
					   TEST(threads_write_whole_lines),
					   TEST(freed_while_the_reader_stands_still)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
