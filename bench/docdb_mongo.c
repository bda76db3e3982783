/* SPDX-License-Identifier: MIT
 *
 * Documents on MongoDB: one task at a time through the loop against libmongoc alone with the same commands, in turns; and
 * the loop while a query of 5 s runs. bench/docdb_mongo.py gives it a server.
 */
#include <mongoc/mongoc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "docdb/docdb.h"
#include "runtime/runtime.h"

enum { ROUNDS = 5, DOCUMENTS = 2000, GROUP = 100, TIMES = 300, SLOW_MS = 5000, RUNS = 3 };

struct bench {
	struct runtime *rt;
	struct docdb *db;
	mongoc_client_t *client;
	mongoc_collection_t *cars, *puts;
	int finished, put;
};

struct kind {
	const char *name;
	int count;
	void (*ours)(struct bench *b, int i);
	void (*bare)(struct bench *b, int i);
};

static double now(void)
{
	return (double)uv_hrtime() / 1e9;
}

static double cpu(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(bool ok, const char *why)
{
	if (ok)
		return;
	fprintf(stderr, "%s\n", why);
	exit(1);
}

static void print(const char *what, const char *after, const char *unit, const double *samples, int count,
		  const char *rest)
{
	printf("{\"what\": \"%s%s\", \"unit\": \"%s\", \"samples\": [", what, after, unit);
	for (int i = 0; i < count; i++)
		printf("%s%.4g", i ? ", " : "", samples[i]);
	printf("]%s}\n", rest);
	fflush(stdout);
}

/* Ours ------------------------------------------------------------------------------------------------------------- */

static void done(void *arg, const struct docdb_answer *answer)
{
	struct bench *b = arg;
	must(!answer->failure, answer->failure ? answer->failure->error.message : "");
	b->finished++;
}

static void ask(struct bench *b, const char *text)
{
	struct docdb_failure failure;
	const struct docdb_request r = {.tasks = {text, strlen(text)}};
	must(docdb_run(b->db, &r, done, b, &failure) == 0, failure.error.message);
}

static void run(struct bench *b, const char *text)
{
	const int before = b->finished;
	ask(b, text);
	while (b->finished == before)
		uv_run(runtime_loop(b->rt), UV_RUN_ONCE);
}

static const char values[] = "\"owner\":\"owner of this car\",\"doors\":5,\"color\":\"red\",\"price\":12.5";

static void our_put(struct bench *b, int i)
{
	char text[400];
	(void)i;
	snprintf(text, sizeof text, "[{\"op\":\"put\",\"params\":{\"type\":\"puts\",\"values\":{\"id\":\"o%d\",%s}}}]",
		 b->put++, values);
	run(b, text);
}

static void get_one(char *text, size_t size, int i)
{
	snprintf(text, size, "[{\"op\":\"getOne\",\"params\":{\"type\":\"cars\",\"matcher\":{\"id\":\"c%d\"}}}]",
		 i * 7 % DOCUMENTS);
}

static void our_one(struct bench *b, int i)
{
	char text[200];
	get_one(text, sizeof text, i);
	run(b, text);
}

static void our_list(struct bench *b, int i)
{
	char text[200];
	snprintf(text, sizeof text, "[{\"op\":\"get\",\"params\":{\"type\":\"cars\",\"matcher\":{\"group\":%d}}}]",
		 i % (DOCUMENTS / GROUP));
	run(b, text);
}

static void our_update(struct bench *b, int i)
{
	char text[200];
	snprintf(text, sizeof text,
		 "[{\"op\":\"update\",\"params\":{\"type\":\"cars\",\"matcher\":{\"id\":\"c%d\"},\"values\":{\"$inc\":{"
		 "\"n\":1}}}}]",
		 i * 7 % DOCUMENTS);
	run(b, text);
}

static void fill(struct bench *b)
{
	struct docdb_failure failure;
	char text[400];
	for (int i = 0; i < DOCUMENTS; i++) {
		snprintf(
			text, sizeof text,
			"[{\"op\":\"put\",\"params\":{\"type\":\"cars\",\"values\":{\"id\":\"c%d\",\"group\":%d,%s}}}]",
			i, i / GROUP, values);
		ask(b, text);
	}
	must(docdb_index(b->db, (struct bytes){NULL, 0}, (struct bytes){"cars", 4}, (struct bytes){"group", 5}, done, b,
			 &failure) == 0,
	     failure.error.message);
	while (b->finished <= DOCUMENTS)
		uv_run(runtime_loop(b->rt), UV_RUN_ONCE);
}

/* libmongoc alone -------------------------------------------------------------------------------------------------- */

static void bare_put(struct bench *b, int i)
{
	char id[20];
	bson_error_t e;
	(void)i;
	snprintf(id, sizeof id, "b%d", b->put++);
	bson_t *document = BCON_NEW("_id", BCON_UTF8(id), "owner", BCON_UTF8("owner of this car"), "doors",
				    BCON_INT32(5), "color", BCON_UTF8("red"), "price", BCON_DOUBLE(12.5), "created",
				    BCON_DATE_TIME(1790000000000), "modified", BCON_DATE_TIME(1790000000000));
	must(mongoc_collection_insert_one(b->puts, document, NULL, NULL, &e), e.message);
	bson_destroy(document);
}

static void bare_find(struct bench *b, bson_t *filter, bson_t *opts, int expected)
{
	const bson_t *found;
	mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(b->cars, filter, opts, NULL);
	while (mongoc_cursor_next(cursor, &found))
		expected--;
	must(expected == 0, "libmongoc found something else");
	mongoc_cursor_destroy(cursor);
	bson_destroy(filter);
	bson_destroy(opts);
}

static bson_t *by_id(int i)
{
	char id[20];
	snprintf(id, sizeof id, "c%d", i * 7 % DOCUMENTS);
	return BCON_NEW("_id", BCON_UTF8(id));
}

static void bare_one(struct bench *b, int i)
{
	bare_find(b, by_id(i), BCON_NEW("limit", BCON_INT64(1), "maxTimeMS", BCON_INT64(30000)), 1);
}

static void bare_list(struct bench *b, int i)
{
	bare_find(b, BCON_NEW("group", BCON_INT32(i % (DOCUMENTS / GROUP))), BCON_NEW("maxTimeMS", BCON_INT64(30000)),
		  GROUP);
}

static mongoc_transaction_opt_t *safely(void)
{
	mongoc_transaction_opt_t *opts = mongoc_transaction_opts_new();
	mongoc_read_concern_t *read = mongoc_read_concern_new();
	mongoc_write_concern_t *write = mongoc_write_concern_new();
	mongoc_read_concern_set_level(read, MONGOC_READ_CONCERN_LEVEL_SNAPSHOT);
	mongoc_write_concern_set_w(write, MONGOC_WRITE_CONCERN_W_MAJORITY);
	mongoc_transaction_opts_set_read_concern(opts, read);
	mongoc_transaction_opts_set_write_concern(opts, write);
	mongoc_read_concern_destroy(read);
	mongoc_write_concern_destroy(write);
	return opts;
}

static void bare_update(struct bench *b, int i)
{
	bson_error_t e;
	mongoc_transaction_opt_t *safe = safely();
	mongoc_client_session_t *session = mongoc_client_start_session(b->client, NULL, &e);
	must(session && mongoc_client_session_start_transaction(session, safe, &e), e.message);
	bson_t *filter = by_id(i), *opts = bson_new();
	bson_t *change = BCON_NEW("$inc", "{", "n", BCON_INT32(1), "}", "$set", "{", "modified",
				  BCON_DATE_TIME(1790000000000), "}");
	must(mongoc_client_session_append(session, opts, &e) &&
		     mongoc_collection_update_many(b->cars, filter, change, opts, NULL, &e) &&
		     mongoc_client_session_commit_transaction(session, NULL, &e),
	     e.message);
	bson_destroy(filter);
	bson_destroy(change);
	bson_destroy(opts);
	mongoc_client_session_destroy(session);
	mongoc_transaction_opts_destroy(safe);
}

/* In turns --------------------------------------------------------------------------------------------------------- */

static double took(struct bench *b, int i, void (*one)(struct bench *, int))
{
	const double begun = now();
	one(b, i);
	return now() - begun;
}

static int by_size(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double middle(double *times, int count)
{
	qsort(times, (size_t)count, sizeof *times, by_size);
	return times[count / 2];
}

/* One of each in turns, since others are at work on the machine; the medians of a round. */
static void compare(struct bench *b, const struct kind *k)
{
	double ours[ROUNDS], bare[ROUNDS], part[ROUNDS], our_times[TIMES], bare_times[TIMES];
	for (int r = 0; r < ROUNDS; r++) {
		for (int i = 0; i < k->count; i++) {
			if (i % 2)
				bare_times[i] = took(b, i, k->bare);
			our_times[i] = took(b, i, k->ours);
			if (i % 2 == 0)
				bare_times[i] = took(b, i, k->bare);
		}
		ours[r] = middle(our_times, k->count) * 1e3;
		bare[r] = middle(bare_times, k->count) * 1e3;
		part[r] = ours[r] / bare[r];
	}
	print(k->name, ", one at a time", "ms", ours, ROUNDS, ", \"less\": true");
	print(k->name, ", libmongoc alone", "ms", bare, ROUNDS, ", \"less\": true");
	print(k->name, ", times libmongoc's time", "", part, ROUNDS, ", \"less\": true, \"pass\": 1.15");
}

/* The server lets its next query wait: MongoDB ends long searches for regular expressions after 0.9 s. */
static void make_slow(struct bench *b)
{
	bson_error_t e;
	bson_t *command = BCON_NEW("configureFailPoint", "failCommand", "mode", "{", "times", BCON_INT32(1), "}",
				   "data", "{", "failCommands", "[", "find", "]", "blockConnection", BCON_BOOL(true),
				   "blockTimeMS", BCON_INT32(SLOW_MS), "}");
	must(mongoc_client_command_simple(b->client, "admin", command, NULL, NULL, &e), e.message);
	bson_destroy(command);
}

/* The longest turn of the loop while one query takes 5 s and others come and go beside it. */
static void longest_turn(struct bench *b, double *worst, double *clock)
{
	char text[200];
	const int before = b->finished;
	int sent = 0;
	const double begun = now();
	*worst = *clock = 0;
	make_slow(b);
	do {
		const double at = cpu(), then = now();
		if (sent < 8 || (b->finished - before > sent - 8 && then - begun < SLOW_MS / 1e3)) {
			get_one(text, sizeof text, sent++);
			ask(b, text);
		}
		uv_run(runtime_loop(b->rt), UV_RUN_NOWAIT);
		*worst = cpu() - at > *worst ? cpu() - at : *worst;
		*clock = now() - then > *clock ? now() - then : *clock;
		uv_sleep(1);
	} while (b->finished - before < sent);
	*worst *= 1e3;
	*clock *= 1e3;
	must(now() - begun > SLOW_MS / 1e3, "the query wasn't slow");
}

static void loop_turns(struct bench *b)
{
	double worst[RUNS], clock[RUNS];
	for (int i = 0; i < RUNS; i++)
		longest_turn(b, &worst[i], &clock[i]);
	print("longest turn of the loop while a query of 5 s runs", "", "ms", worst, RUNS,
	      ", \"pass\": 2, \"less\": true, \"notes\": \"MongoDB, 7 getOne beside it\"");
	print("the same by the clock", "", "ms", clock, RUNS,
	      ", \"less\": true, \"notes\": \"on a busy machine: how long others were let run\"");
}

int main(void)
{
	static const struct kind kinds[] = {{"put", TIMES, our_put, bare_put},
					    {"getOne by id", TIMES, our_one, bare_one},
					    {"get of 100", 60, our_list, bare_list},
					    {"update", 100, our_update, bare_update}};
	static const char *const names[] = {"bench"};
	const char *url = getenv("SRVTHREDS_DOCDB_URL");
	must(url, "SRVTHREDS_DOCDB_URL isn't set: ./dev bench docdb_mongo");
	const struct docdb_host host = {"main", url};
	const struct docdb_options o = {.hosts = &host, .host_count = 1, .databases = names, .database_count = 1};
	struct error e;
	struct bench b = {.rt = runtime_new(&(struct runtime_options){0}, &e)};
	b.db = docdb_open(b.rt, &o, &e);
	must(b.db, e.message);
	mongoc_uri_t *uri = mongoc_uri_new(url);
	mongoc_client_pool_t *pool = mongoc_client_pool_new(uri);
	b.client = mongoc_client_pool_pop(pool);
	b.cars = mongoc_client_get_collection(b.client, "bench", "cars");
	b.puts = mongoc_client_get_collection(b.client, "bench", "puts");
	fill(&b);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		compare(&b, &kinds[i]);
	loop_turns(&b);
	mongoc_collection_destroy(b.cars);
	mongoc_collection_destroy(b.puts);
	mongoc_client_pool_push(pool, b.client);
	mongoc_client_pool_destroy(pool);
	mongoc_uri_destroy(uri);
	docdb_close(b.db);
	uv_run(runtime_loop(b.rt), UV_RUN_NOWAIT);
	return runtime_free(b.rt);
}
