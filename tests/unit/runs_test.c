/* SPDX-License-Identifier: MIT
 *
 * Runs against a list of everything that was ever written: what is found, what is not, and how many rows it takes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/sqlite_runs.h"

enum { RUNS = 160, EACH = 96, ALL = RUNS * EACH };

static sqlite3 *db;
static struct run_entry all[ALL];
static int64_t seed = 88172645463325252;

static int64_t rnd(void)
{
	uint64_t x = (uint64_t)seed;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return seed = (int64_t)x;
}

static void sql(const char *text)
{
	char *message = NULL;
	if (sqlite3_exec(db, text, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s: %s", text, message);
}

static int64_t number(const char *text)
{
	sqlite3_stmt *st;
	assert_int_equal(sqlite3_prepare_v2(db, text, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	int64_t n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return n;
}

static int setup(void **state)
{
	(void)state;
	assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
	assert_int_equal(sqlite_seen_define(db), SQLITE_OK);
	sql("create table event(n integer primary key,h int,source int);create table run(k integer primary key,body "
	    "blob);"
	    "create table meta(key text primary key,value blob)without rowid");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return sqlite3_close(db);
}

static void put_event(const struct run_entry *e)
{
	char text[128];
	sqlite3_snprintf(sizeof text, text, "insert into event values(%lld,%lld,1)", (long long)e->n,
			 (long long)e->hash);
	sql(text);
}

/* Eight buckets only, and some hashes twice. */
static int64_t a_hash(int i)
{
	if (i && rnd() % 50 == 0)
		return all[(uint64_t)rnd() % (uint64_t)i].hash;
	return (int64_t)((uint64_t)rnd() >> RUN_BUCKET_BITS | (uint64_t)rnd() << 61);
}

static void write_run(int64_t sequence, int first, int64_t swept)
{
	struct run_entry entries[EACH];
	memcpy(entries, all + first, sizeof entries);
	struct op_run run = {.sequence = sequence,
			     .upto = all[first + EACH - 1].n,
			     .swept = swept,
			     .count = EACH,
			     .entries = entries};
	sql("begin");
	assert_int_equal(sqlite_runs_write(db, &run), SQLITE_OK);
	sql("commit");
}

static int64_t rows_of(int64_t hash, const char *more)
{
	char text[160];
	sqlite3_snprintf(sizeof text, text, "select count(*) from seen where h=%lld%s", (long long)hash, more);
	return number(text);
}

static bool finds(const struct run_entry *e, const char *more)
{
	char text[160];
	sqlite3_snprintf(sizeof text, text, "select count(*) from seen where h=%lld and n=%lld%s", (long long)e->hash,
			 (long long)e->n, more);
	return number(text) == 1;
}

static void what_was_written_is_found(void **state)
{
	(void)state;
	for (int i = 0; i < ALL; i++) {
		all[i] = (struct run_entry){a_hash(i), 2 * i + 1};
		put_event(&all[i]);
		if (i % EACH == EACH - 1)
			write_run(i / EACH + 1, i - EACH + 1, 0);
	}
	for (int i = 0; i < ALL; i++) {
		assert_true(finds(&all[i], ""));
		assert_true(finds(&all[i], " and old=1"));
		assert_int_equal(rows_of(all[i].hash + 1, ""), 0);
	}
	assert_int_equal(number("select value from meta where key='indexed'"), all[ALL - 1].n);
	assert_int_equal(number("select value from meta where key='runs'"), RUNS);
	/* 8 buckets, 12 entries of each a run: a merged row becomes large after six merges. */
	assert_int_equal(number("select sum(length(body))/16 from run"), ALL);
	assert_in_range(number("select count(*) from run"), 8, 8 * (16 + 3));
}

static void what_is_in_no_run_is_found_as_well(void **state)
{
	(void)state;
	for (int i = 0; i < 2 * EACH; i++) {
		all[i] = (struct run_entry){a_hash(i), i + 1};
		put_event(&all[i]);
		if (i == 0) {
			assert_true(finds(&all[0], ""));
			assert_int_equal(rows_of(all[0].hash, " and old=1"), 0);
		}
	}
	write_run(1, 0, 0);
	for (int i = 0; i < 2 * EACH; i++) {
		assert_true(finds(&all[i], ""));
		assert_int_equal(finds(&all[i], " and old=1"), i < EACH);
	}
	sql("insert into event values(100000,77,null),(100001,77,0)"); /* no events in */
	assert_int_equal(rows_of(77, ""), 0);
}

static void what_was_swept_goes_at_a_merge(void **state)
{
	(void)state;
	for (int i = 0; i < ALL; i++) {
		all[i] = (struct run_entry){a_hash(i), i + 1};
		put_event(&all[i]);
	}
	int half = ALL / 2;
	for (int r = 0; r < RUNS / 2; r++)
		write_run(r + 1, r * EACH, 0);
	char text[128];
	sqlite3_snprintf(sizeof text, text, "delete from event where n<=%d and n%%100<>0", half);
	sql(text);
	for (int r = RUNS / 2; r < RUNS; r++)
		write_run(r + 1, r * EACH, half);
	for (int i = 0; i < ALL; i++)
		if (i >= half || (i + 1) % 100 == 0)
			assert_true(finds(&all[i], ""));
	int64_t kept = number("select sum(length(body))/16 from run");
	assert_in_range(kept, ALL - half, ALL - half + half / 100 + 8 * 1024);
	assert_true(kept < ALL - half + half / 2);
}

static void an_index_becomes_runs(void **state)
{
	(void)state;
	for (int i = 0; i < ALL; i++) {
		all[i] = (struct run_entry){a_hash(i), i + 1};
		put_event(&all[i]);
	}
	sql("create index event_h on event(h) where source>0");
	sql("begin");
	assert_int_equal(sqlite_runs_build(db), SQLITE_OK);
	sql("commit");
	for (int i = 0; i < ALL; i++)
		assert_true(finds(&all[i], " and old=1"));
	assert_int_equal(number("select value from meta where key='indexed'"), ALL);
	assert_int_equal(number("select count(*) from sqlite_schema where name='event_h'"), 0);
	write_run(number("select value from meta where key='runs'") + 1, 0, 0);
	assert_int_equal(rows_of(all[0].hash, " and old=1") >= 2, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_written_is_found, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_in_no_run_is_found_as_well, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_swept_goes_at_a_merge, setup, teardown),
		cmocka_unit_test_setup_teardown(an_index_becomes_runs, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
