/* SPDX-License-Identifier: MIT
 *
 * Documents: translation alone, and through the loop on a file of SQLite, with many requests under way as in a server.
 *   bench_docdb [FOLDER]
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "docdb/tree.h"

enum { RUNS = 5, WINDOW = 512, FEW = 32, DOCUMENTS = 20000, GROUP = 100, BATCHES = 8, SLOW_S = 5, TURNS = 3 };

struct bench {
	struct runtime *rt;
	struct docdb *db;
	char (*texts)[640];
	size_t sent, finished, total, window;
	bool bad;
};

static double now(void)
{
	return (double)uv_hrtime() / 1e9;
}

/* Of this thread alone: others at work on the machine don't count. */
static double cpu(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void print_some(const char *what, const char *unit, const double *samples, int count, double pass, bool less,
		       const char *notes)
{
	printf("{\"what\": \"%s\", \"unit\": \"%s\", \"samples\": [", what, unit);
	for (int i = 0; i < count; i++)
		printf("%s%.4g", i ? ", " : "", samples[i]);
	printf("]");
	if (pass > 0)
		printf(", \"pass\": %g", pass);
	printf("%s, \"notes\": \"%s\"}\n", less ? ", \"less\": true" : "", notes);
	fflush(stdout);
}

static void print(const char *what, const char *unit, const double *samples, double pass, const char *notes)
{
	print_some(what, unit, samples, RUNS, pass, false, notes);
}

static const char *const names[] = {"bench"};

static struct docdb_options options(const struct docdb_host *host)
{
	return (struct docdb_options){.hosts = host, .host_count = 1, .databases = names, .database_count = 1};
}

/* Translation ------------------------------------------------------------------------------------------------------ */

static void translate(void)
{
	static const char *const tasks[] = {
		"[{\"op\":\"getOne\",\"params\":{\"type\":\"cars\",\"matcher\":{\"id\":\"c1234\"}}}]",
		"[{\"op\":\"get\",\"params\":{\"type\":\"cars\",\"matcher\":{\"owner\":\"ann\",\"doors\":{\"$gte\":3},"
		"\"color\":{\"$in\":[\"red\",\"blue\"]}},\"collector\":{\"sort\":[{\"field\":\"price\",\"desc\":true}],"
		"\"limit\":10}}}]",
		"[{\"op\":\"put\",\"params\":{\"type\":\"cars\",\"values\":{\"owner\":\"ann\",\"doors\":5,\"color\":"
		"\"red\","
		"\"price\":12345.5,\"extras\":[\"radio\",\"hook\"],\"at\":{\"lat\":52.1,\"lon\":13.2}}}}]",
		"[{\"op\":\"update\",\"params\":{\"type\":\"cars\",\"matcher\":{\"id\":\"c1234\"},\"values\":{"
		"\"color\":"
		"\"green\",\"$inc\":{\"n\":1},\"$push\":{\"extras\":\"roof\"}}}}]",
	};
	const struct docdb_host host = {"main", "memory:"};
	struct docdb_options o = options(&host);
	struct parse_room room = {.scratch = {0}}; /* docdb has one, too */
	o.random[0] = 1;                           /* as docdb_open does */
	double samples[RUNS];
	for (int run = 0; run < RUNS; run++) {
		double begun = cpu();
		for (int i = 0; i < 400000; i++) {
			const char *text = tasks[i & 3];
			struct docdb_failure failure;
			const struct docdb_request r = {.tasks = {text, strlen(text)}};
			struct request *request = request_parse(&o, &r, 1790000000000, &room, &failure);
			if (!request)
				abort();
			request_free(request);
		}
		samples[run] = 400000 / (cpu() - begun);
	}
	parse_room_free(&room);
	print("tasks translated", "1/s", samples, 500000, "getOne, get with 3 conditions, put of 9 fields, update");
}

/* Through the loop ------------------------------------------------------------------------------------------------- */

static void fill(struct bench *b);

static void done(void *arg, const struct docdb_answer *answer)
{
	struct bench *b = arg;
	if (answer->failure) {
		fprintf(stderr, "%s\n", answer->failure->error.message);
		b->bad = true;
	}
	b->finished++;
	fill(b);
}

static void fill(struct bench *b)
{
	while (b->sent < b->total && b->sent - b->finished < b->window) {
		struct docdb_failure failure;
		const char *text = b->texts[b->sent % DOCUMENTS];
		const struct docdb_request r = {.tasks = {text, strlen(text)}};
		b->sent++;
		if (docdb_run(b->db, &r, done, b, &failure))
			abort();
	}
}

static double measure(struct bench *b, size_t total)
{
	b->sent = b->finished = 0;
	b->total = total;
	double begun = now();
	fill(b);
	while (b->finished < total)
		uv_run(runtime_loop(b->rt), UV_RUN_NOWAIT);
	return (double)total / (now() - begun);
}

static void puts_of(struct bench *b, int run)
{
	for (int i = 0; i < DOCUMENTS; i++)
		snprintf(b->texts[i], sizeof *b->texts,
			 "[{\"op\":\"put\",\"params\":{\"type\":\"cars%d\",\"values\":{\"id\":\"c%d\",\"group\":%d,"
			 "\"owner\":"
			 "\"owner of this "
			 "car\",\"doors\":5,\"color\":\"red\",\"price\":%d.5,\"extras\":[\"radio\",\"hook\"],"
			 "\"text\":\"%0100d\"}}}]",
			 run, i, i / GROUP, i, i);
}

static void reads_of(struct bench *b, bool one)
{
	for (int i = 0; i < DOCUMENTS; i++) {
		int k = (int)((unsigned)i * 7919u % DOCUMENTS);
		if (one)
			snprintf(b->texts[i], sizeof *b->texts,
				 "[{\"op\":\"getOne\",\"params\":{\"type\":\"cars0\",\"matcher\":{\"id\":\"c%d\"}}}]",
				 k);
		else
			snprintf(b->texts[i], sizeof *b->texts,
				 "[{\"op\":\"get\",\"params\":{\"type\":\"cars0\",\"matcher\":{\"group\":%d}}}]",
				 k / GROUP);
	}
}

static void index_group(struct bench *b)
{
	struct docdb_failure failure;
	b->finished = b->sent = b->total = 0;
	if (docdb_index(b->db, (struct bytes){NULL, 0}, (struct bytes){"cars0", 5}, (struct bytes){"group", 5}, done, b,
			&failure))
		abort();
	while (!b->finished)
		uv_run(runtime_loop(b->rt), UV_RUN_NOWAIT);
}

struct slow {
	struct bench *b;
	double end;
	bool under_way;
};

static void ask_slowly(struct slow *s);

static void slow_done(void *arg, const struct docdb_answer *answer)
{
	struct slow *s = arg;
	(void)answer; /* searches end after 0.6 s: then it is refused */
	s->under_way = false;
	if (now() < s->end)
		ask_slowly(s);
}

static void ask_slowly(struct slow *s)
{
	static const char text[] =
		"[{\"op\":\"count\",\"params\":{\"type\":\"cars0\",\"matcher\":{\"$not\":{\"text\":{\"$re\":"
		"\"1.*2.*3.*4.*x\"},\"owner\":{\"$re\":\"(o|w|n)+x\"}}}}}]";
	const struct docdb_request r = {.tasks = {text, sizeof text - 1}, .timeout_ms = 5000};
	struct docdb_failure failure;
	s->under_way = true;
	if (docdb_run(s->b->db, &r, slow_done, s, &failure))
		abort();
}

/* The longest turn of the loop in 5 s while slow queries run, `count` at a time (0: none), beside 32 small ones. */
static double longest_turn(struct bench *b, size_t count, double *wall)
{
	struct slow all[BATCHES] = {{NULL, 0, false}};
	const double end = now() + SLOW_S;
	bool slow = true;
	double worst = 0;
	*wall = 0;
	b->window = FEW;
	reads_of(b, true);
	b->sent = b->finished = 0;
	b->total = SIZE_MAX;
	for (size_t i = 0; i < count; i++) {
		all[i] = (struct slow){b, end, false};
		ask_slowly(&all[i]);
	}
	while (slow || b->finished < b->sent) {
		double begun = cpu(), then = now();
		if (slow)
			fill(b);
		uv_run(runtime_loop(b->rt), UV_RUN_NOWAIT);
		double took = cpu() - begun, passed = now() - then;
		worst = took > worst ? took : worst;
		*wall = passed > *wall ? passed : *wall;
		usleep(200);
		slow = count == 0 && now() < end;
		for (size_t i = 0; i < count; i++)
			slow = slow || all[i].under_way;
		if (!slow)
			b->total = b->sent;
	}
	*wall *= 1e3;
	return worst * 1e3;
}

/* What the machine itself does to a thread: another that only counts, on the same processors. */
static void count_on(void *arg)
{
	atomic_bool *over = arg;
	while (!atomic_load_explicit(over, memory_order_relaxed))
		;
}

static double turn_beside_counting(struct bench *b, double *wall)
{
	uv_thread_t thread;
	atomic_bool over = false;
	if (uv_thread_create(&thread, count_on, &over))
		abort();
	double worst = longest_turn(b, 0, wall);
	atomic_store(&over, true);
	uv_thread_join(&thread);
	return worst;
}

static void print_turns(struct bench *b)
{
	double turns[4][TURNS], walls[4][TURNS];
	for (int run = 0; run < TURNS; run++) {
		turns[0][run] = longest_turn(b, 0, &walls[0][run]);
		turns[1][run] = turn_beside_counting(b, &walls[1][run]);
		turns[2][run] = longest_turn(b, 1, &walls[2][run]);
		turns[3][run] = longest_turn(b, BATCHES, &walls[3][run]);
	}
	print_some("longest turn of the loop while a query runs for 5 s", "ms", turns[2], TURNS, 2, true,
		   "SQLite, 32 getOne beside it; by its processor time");
	print_some("the same by the clock", "ms", walls[2], TURNS, 2, true, "with what the machine gives to others");
	print_some("by the clock with no query", "ms", walls[0], TURNS, 0, true, "32 getOne alone");
	print_some("by the clock with a thread that only counts, no query", "ms", walls[1], TURNS, 0, true,
		   "what the machine itself does");
	print_some("longest turn of the loop beside 8 such queries", "ms", turns[3], TURNS, 2, true,
		   "by its processor time");
	print_some("the same by the clock", "ms", walls[3], TURNS, 0, true,
		   "4 readers at work on the machine's cores, with the loop");
}

static void through_loop(const char *folder)
{
	char url[320], path[300];
	snprintf(path, sizeof path, "%s/bench-docdb.db", folder);
	snprintf(url, sizeof url, "sqlite:%s", path);
	const struct docdb_host host = {"main", url};
	const struct docdb_options o = options(&host);
	const struct runtime_options ro = {.virtual_time = false};
	struct error e;
	struct bench b = {.rt = runtime_new(&ro, &e), .window = WINDOW};
	double puts[RUNS], ones[RUNS], lists[RUNS];
	b.texts = xmalloc(DOCUMENTS * sizeof *b.texts);
	b.db = docdb_open(b.rt, &o, &e);
	if (!b.db) {
		fprintf(stderr, "%s\n", e.message);
		exit(1);
	}
	for (int run = 0; run < RUNS; run++) {
		puts_of(&b, run);
		puts[run] = measure(&b, DOCUMENTS);
	}
	index_group(&b);
	for (int run = 0; run < RUNS; run++) {
		reads_of(&b, true);
		ones[run] = measure(&b, 3 * DOCUMENTS);
		reads_of(&b, false);
		lists[run] = measure(&b, DOCUMENTS / 4);
	}
	print("documents put, durable", "1/s", puts, 20000, "SQLite, 512 under way, 250 B each");
	print("getOne by id", "1/s", ones, 60000, "SQLite, 512 under way");
	print("get of 100 documents by an indexed field", "1/s", lists, 5000, "SQLite, 512 under way, 25 kB each");
	print_turns(&b);
	docdb_close(b.db);
	uv_run(runtime_loop(b.rt), UV_RUN_NOWAIT);
	runtime_free(b.rt);
	free(b.texts);
	static const char *const ends[] = {"", "-wal", "-shm"};
	for (size_t i = 0; i < 3; i++) {
		snprintf(url, sizeof url, "%s%s", path, ends[i]);
		unlink(url);
	}
}

int main(int argc, char **argv)
{
	char folder[] = "bench-docdb-XXXXXX";
	translate();
	if (argc > 1) {
		through_loop(argv[1]);
		return 0;
	}
	if (!mkdtemp(folder))
		return 1;
	through_loop(folder);
	return rmdir(folder) != 0;
}
