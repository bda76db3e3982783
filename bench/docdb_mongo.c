/* SPDX-License-Identifier: MIT
 *
 * Documents on MongoDB: tasks through the loop against libmongoc alone with the same commands, in turns: 16 under way (there
 * on 16 threads with a connection of a pool each), and one at a time (there on a thread that is woken and wakes the loop, and,
 * to be seen beside it, on the loop itself); and the loop while a query of 5 s runs. bench/docdb_mongo.py gives it a server.
 *   bench_docdb_mongo [KIND]
 */
#include <mongoc/mongoc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "docdb/docdb.h"
#include "runtime/runtime.h"

enum {
	ROUNDS = 5,
	DOCUMENTS = 2000,
	GROUP = 100,
	SLOW_MS = 5000,
	RUNS = 3,
	UNDER_WAY = 16,
	TEXT = 400,
	PAIRS = 5,
	MOST = 400
};

struct bare {
	mongoc_client_t *client;
	mongoc_collection_t *cars, *puts;
};

struct bench {
	struct runtime *rt;
	struct docdb *db;
	struct bare bare; /* of this thread */
	const struct kind *kind;
	int finished, put;
	/* threads of libmongoc: */
	uv_thread_t threads[UNDER_WAY];
	mongoc_client_pool_t *pool;
	atomic_int next, end;
	uv_sem_t begin, done;
	atomic_bool over;
	/* one that is handed a command and wakes the loop: */
	uv_sem_t handed;
	uv_async_t answered;
};

struct kind {
	const char *name;
	int count; /* a round */
	void (*ours)(char *text, int i);
	void (*bare)(const struct bare *b, int i);
};

static double now(void)
{
	return (double)uv_hrtime() / 1e9;
}

/* Of this thread. */
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

static void run(struct bench *b, int i)
{
	char text[TEXT];
	const int before = b->finished;
	b->kind->ours(text, i);
	ask(b, text);
	while (b->finished == before)
		uv_run(runtime_loop(b->rt), UV_RUN_ONCE);
}

static const char values[] = "\"owner\":\"owner of this car\",\"doors\":5,\"color\":\"red\",\"price\":12.5";

static void our_put(char *text, int i)
{
	snprintf(text, TEXT, "[{\"op\":\"put\",\"params\":{\"type\":\"puts\",\"values\":{\"id\":\"o%d\",%s}}}]", i,
		 values);
}

static void our_one(char *text, int i)
{
	snprintf(text, TEXT, "[{\"op\":\"getOne\",\"params\":{\"type\":\"cars\",\"matcher\":{\"id\":\"c%d\"}}}]",
		 i * 7 % DOCUMENTS);
}

static void our_list(char *text, int i)
{
	snprintf(text, TEXT, "[{\"op\":\"get\",\"params\":{\"type\":\"cars\",\"matcher\":{\"group\":%d}}}]",
		 i % (DOCUMENTS / GROUP));
}

static void our_update(char *text, int i)
{
	snprintf(text, TEXT,
		 "[{\"op\":\"update\",\"params\":{\"type\":\"cars\",\"matcher\":{\"id\":\"c%d\"},\"values\":{\"$inc\":{"
		 "\"n\":1}}}}]",
		 i * 7 % DOCUMENTS);
}

static void fill(struct bench *b)
{
	struct docdb_failure failure;
	char text[TEXT];
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

static void bare_put(const struct bare *b, int i)
{
	char id[20];
	bson_error_t e;
	snprintf(id, sizeof id, "b%d", i);
	bson_t *document = BCON_NEW("_id", BCON_UTF8(id), "owner", BCON_UTF8("owner of this car"), "doors",
				    BCON_INT32(5), "color", BCON_UTF8("red"), "price", BCON_DOUBLE(12.5), "created",
				    BCON_DATE_TIME(1790000000000), "modified", BCON_DATE_TIME(1790000000000));
	must(mongoc_collection_insert_one(b->puts, document, NULL, NULL, &e), e.message);
	bson_destroy(document);
}

static void bare_find(const struct bare *b, bson_t *filter, bson_t *opts, int expected)
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

static void bare_one(const struct bare *b, int i)
{
	bare_find(b, by_id(i), BCON_NEW("limit", BCON_INT64(1), "maxTimeMS", BCON_INT64(30000)), 1);
}

static void bare_list(const struct bare *b, int i)
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

static void bare_update(const struct bare *b, int i)
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

static struct bare bare_of(mongoc_client_pool_t *pool)
{
	struct bare b = {.client = mongoc_client_pool_pop(pool)};
	b.cars = mongoc_client_get_collection(b.client, "bench", "cars");
	b.puts = mongoc_client_get_collection(b.client, "bench", "puts");
	return b;
}

static void push_bare(mongoc_client_pool_t *pool, struct bare *b)
{
	mongoc_collection_destroy(b->cars);
	mongoc_collection_destroy(b->puts);
	mongoc_client_pool_push(pool, b->client);
}

static void bare_thread(void *arg)
{
	struct bench *b = arg;
	struct bare bare = bare_of(b->pool);
	for (;;) {
		uv_sem_wait(&b->begin);
		if (b->over)
			break;
		for (int i; (i = atomic_fetch_add(&b->next, 1)) < b->end;)
			b->kind->bare(&bare, i);
		uv_sem_post(&b->done);
	}
	push_bare(b->pool, &bare);
}

static void many_bare(struct bench *b, int count)
{
	b->next = b->put;
	b->end = b->put + count;
	for (int i = 0; i < UNDER_WAY; i++)
		uv_sem_post(&b->begin);
	for (int i = 0; i < UNDER_WAY; i++)
		uv_sem_wait(&b->done);
}

static void many_ours(struct bench *b, int count)
{
	char text[TEXT];
	int sent = 0;
	b->finished = 0;
	while (b->finished < count) {
		for (; sent < count && sent - b->finished < UNDER_WAY; sent++) {
			b->kind->ours(text, b->put + sent);
			ask(b, text);
		}
		uv_run(runtime_loop(b->rt), UV_RUN_ONCE);
	}
}

static void one_ours(struct bench *b, int count)
{
	(void)count;
	run(b, b->put);
}

static void one_bare(struct bench *b, int count)
{
	(void)count;
	b->kind->bare(&b->bare, b->put);
}

/* The least that it costs not to hold the loop up: a thread is woken, and wakes the loop. */
static void handed_thread(void *arg)
{
	struct bench *b = arg;
	struct bare bare = bare_of(b->pool);
	for (uv_sem_wait(&b->handed); !b->over; uv_sem_wait(&b->handed)) {
		b->kind->bare(&bare, b->put);
		uv_async_send(&b->answered);
	}
	push_bare(b->pool, &bare);
}

static void handed_back(uv_async_t *handle)
{
	((struct bench *)handle->data)->finished++;
}

static void one_handed(struct bench *b, int count)
{
	const int before = b->finished;
	(void)count;
	uv_sem_post(&b->handed);
	while (b->finished == before)
		uv_run(runtime_loop(b->rt), UV_RUN_ONCE);
}

static double took(struct bench *b, void (*way)(struct bench *, int), int count)
{
	const double begun = now();
	way(b, count);
	b->put += count;
	return now() - begun;
}

struct way {
	const char *name, *other;
	void (*ours)(struct bench *b, int count);
	void (*bare)(struct bench *b, int count);
	int count;
	const char *notes; /* NULL: it has the mark */
};

/* In turns, since others are at work on the machine: of each pair the quotient, of a round the medians. */
static void compare(struct bench *b, const char *kind, const struct way *way, int pairs)
{
	double ours[ROUNDS], bare[ROUNDS], part[ROUNDS], x[MOST], y[MOST], q[MOST];
	char after[80];
	for (int r = 0; r < ROUNDS; r++) {
		for (int i = 0; i < pairs; i++) {
			if (i % 2)
				y[i] = took(b, way->bare, way->count);
			x[i] = took(b, way->ours, way->count);
			if (i % 2 == 0)
				y[i] = took(b, way->bare, way->count);
			q[i] = x[i] / y[i];
		}
		ours[r] = middle(x, pairs) * 1e3 / way->count;
		bare[r] = middle(y, pairs) * 1e3 / way->count;
		part[r] = middle(q, pairs);
	}
	snprintf(after, sizeof after, ", %s", way->name);
	print(kind, after, "ms", ours, ROUNDS, ", \"less\": true");
	snprintf(after, sizeof after, ", %s, %s", way->name, way->other);
	print(kind, after, "ms", bare, ROUNDS, ", \"less\": true");
	snprintf(after, sizeof after, ", %s: times %s", way->name, way->other);
	print(kind, after, "", part, ROUNDS, way->notes ? way->notes : ", \"less\": true, \"pass\": 1.15");
}

/* The server lets its next query wait: MongoDB ends long searches for regular expressions after 0.9 s. */
static void make_slow(struct bench *b)
{
	bson_error_t e;
	bson_t *command = BCON_NEW("configureFailPoint", "failCommand", "mode", "{", "times", BCON_INT32(1), "}",
				   "data", "{", "failCommands", "[", "find", "]", "blockConnection", BCON_BOOL(true),
				   "blockTimeMS", BCON_INT32(SLOW_MS), "}");
	must(mongoc_client_command_simple(b->bare.client, "admin", command, NULL, NULL, &e), e.message);
	bson_destroy(command);
}

/* The longest turn of the loop while one query takes 5 s and others come and go beside it. */
static void longest_turn(struct bench *b, double *worst, double *clock)
{
	char text[TEXT];
	const int before = b->finished;
	int sent = 0;
	const double begun = now();
	*worst = *clock = 0;
	make_slow(b);
	do {
		const double at = cpu(), then = now();
		if (sent < 8 || (b->finished - before > sent - 8 && then - begun < SLOW_MS / 1e3)) {
			our_one(text, sent++);
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

static void compare_all(struct bench *b, const char *only)
{
	static const struct kind kinds[] = {{"put", 320, our_put, bare_put},
					    {"getOne by id", 640, our_one, bare_one},
					    {"get of 100", 64, our_list, bare_list},
					    {"update", 96, our_update, bare_update}};
	const struct way ways[] = {{"16 under way", "libmongoc", many_ours, many_bare, 0, NULL},
				   {"one at a time", "libmongoc on a thread", one_ours, one_handed, 1, NULL},
				   {"one at a time", "libmongoc on the loop", one_ours, one_bare, 1,
				    ", \"less\": true, \"notes\": \"which stands still meanwhile\""}};
	uv_thread_t handed;
	b->answered.data = b;
	uv_async_init(runtime_loop(b->rt), &b->answered, handed_back);
	uv_sem_init(&b->handed, 0);
	must(uv_thread_create(&handed, handed_thread, b) == 0, "no thread");
	uv_sem_init(&b->begin, 0);
	uv_sem_init(&b->done, 0);
	for (int i = 0; i < UNDER_WAY; i++)
		must(uv_thread_create(&b->threads[i], bare_thread, b) == 0, "no thread");
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		const struct kind *k = b->kind = &kinds[i];
		if (only && strcmp(only, k->name) != 0)
			continue;
		compare(b, k->name, &(struct way){ways[0].name, ways[0].other, many_ours, many_bare, k->count, NULL},
			PAIRS);
		compare(b, k->name, &ways[1], k->count / 2);
		compare(b, k->name, &ways[2], k->count / 2);
	}
	b->over = true;
	uv_sem_post(&b->handed);
	uv_thread_join(&handed);
	uv_close((uv_handle_t *)&b->answered, NULL);
	for (int i = 0; i < UNDER_WAY; i++)
		uv_sem_post(&b->begin);
	for (int i = 0; i < UNDER_WAY; i++)
		uv_thread_join(&b->threads[i]);
	uv_sem_destroy(&b->begin);
	uv_sem_destroy(&b->done);
}

int main(int argc, char **argv)
{
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
	mongoc_uri_set_option_as_bool(uri, MONGOC_URI_RETRYREADS, false); /* as ours: else puts are other commands */
	mongoc_uri_set_option_as_bool(uri, MONGOC_URI_RETRYWRITES, false);
	b.pool = mongoc_client_pool_new(uri);
	b.bare = bare_of(b.pool);
	fill(&b);
	compare_all(&b, argc > 1 ? argv[1] : NULL);
	if (argc == 1)
		loop_turns(&b);
	push_bare(b.pool, &b.bare);
	mongoc_client_pool_destroy(b.pool);
	mongoc_uri_destroy(uri);
	docdb_close(b.db);
	uv_run(runtime_loop(b.rt), UV_RUN_NOWAIT);
	return runtime_free(b.rt);
}
