/* SPDX-License-Identifier: MIT
 *
 * The store without Lua: durable steps/s (481 B in, 450 B out, 10 k threds at random, 150 k old events) against the same rows
 * in bare SQLite: prepared statements, batches as large as the store's, checkpoints on a connection and thread of their own
 * as the store has them. Both on files of the same age, in turns, the order alternating.
 *   bench_store [FOLDER [SECONDS]]
 *   bench_store bare FOLDER     fills a file, then for each line "SECONDS BATCH IN OUT STATE REC_IN REC_OUT" that it reads
 *                               writes so and prints {"per_second":, "p50_ms":}; for bench/ratio.py
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue/queue.h"

/* clang-format off */
enum {
	SOURCES = 256, THREDS = 10000, OLD = 150000, /* as the benchmark of the whole engine */
	IN = 481, OUT = 450, STATE = 400, REC = 120, /* bytes */
	SAMPLES = 200000, RUNS = 5, WAL_PAGES = 4096
};
/* clang-format on */

static uint64_t seed = 88172645463325252u;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static double now(void)
{
	return (double)uv_hrtime() / 1e9;
}

static char filler[4096];
static struct span text(const char *s)
{
	return (struct span){s, strlen(s)};
}

/* Bare ------------------------------------------------------------------------------------------------------------- */

struct sizes { /* bytes of each blob */
	int in, out, state, rec_in, rec_out;
};

struct bare {
	sqlite3 *db, *copier;
	sqlite3_stmt *event, *inbox, *thred;
	int64_t n, k[SOURCES];
	struct sizes sizes;
	uv_thread_t thread;
	uv_mutex_t mutex, gate; /* gate: held during a transaction */
	uv_cond_t wake;
	int pages;
	bool stop;
};

static void run(sqlite3_stmt *st)
{
	if (sqlite3_step(st) != SQLITE_DONE)
		abort();
	sqlite3_reset(st);
}

static void sql(sqlite3 *db, const char *q)
{
	char *error = NULL;
	if (sqlite3_exec(db, q, NULL, NULL, &error) != SQLITE_OK) {
		fprintf(stderr, "%s: %s\n", q, error);
		exit(1);
	}
}

static void bare_event(struct bare *b, int64_t hash, int source, int64_t thred, int outcome, int rec, int body)
{
	sqlite3_stmt *st = b->event;
	sqlite3_bind_int64(st, 1, ++b->n);
	sqlite3_bind_int64(st, 2, hash);
	sqlite3_bind_int(st, 3, source);
	sqlite3_bind_int64(st, 4, thred);
	sqlite3_bind_int64(st, 5, 1790000000000 + b->n);
	if (outcome)
		sqlite3_bind_int(st, 6, outcome);
	else
		sqlite3_bind_null(st, 6);
	sqlite3_bind_int(st, 7, 5);
	sqlite3_bind_int64(st, 8, b->n > 2 ? b->n - 2 : 0);
	if (source)
		sqlite3_bind_int64(st, 10, (int64_t)rnd());
	else
		sqlite3_bind_null(st, 10);
	sqlite3_bind_blob(st, 11, filler, rec, SQLITE_STATIC);
	sqlite3_bind_blob(st, 12, filler, body, SQLITE_STATIC);
	run(st);
}

static void bare_step(struct bare *b)
{
	int who = (int)(rnd() % SOURCES);
	int64_t thred = (int64_t)(rnd() % THREDS) + 1;
	bare_event(b, (int64_t)rnd(), who + 1, thred, 1, b->sizes.rec_in, b->sizes.in);
	bare_event(b, (int64_t)rnd(), 0, thred, 0, b->sizes.rec_out, b->sizes.out);
	sqlite3_bind_int(b->inbox, 1, who + 1);
	sqlite3_bind_int64(b->inbox, 2, ++b->k[who]);
	sqlite3_bind_int64(b->inbox, 3, b->n);
	run(b->inbox);
	sqlite3_bind_int64(b->thred, 1, b->n);
	sqlite3_bind_int64(b->thred, 2, b->n);
	sqlite3_bind_blob(b->thred, 3, filler, b->sizes.state, SQLITE_STATIC);
	sqlite3_bind_int64(b->thred, 4, thred);
	run(b->thred);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static double bare_run(struct bare *b, int batch, double seconds, double *p50)
{
	static double took[SAMPLES];
	size_t commits = 0;
	long steps = 0;
	double t0 = now();
	while (now() - t0 < seconds && commits < SAMPLES) {
		double t = now();
		uv_mutex_lock(&b->gate);
		sql(b->db, "begin");
		for (int i = 0; i < batch; i++, steps++)
			bare_step(b);
		sql(b->db, "commit");
		uv_mutex_unlock(&b->gate);
		took[commits++] = now() - t;
	}
	double elapsed = now() - t0;
	qsort(took, commits, sizeof *took, by_value);
	*p50 = took[commits / 2] * 1e3;
	return (double)steps / elapsed;
}

static void copy_log(struct bare *b)
{
	int log = 0, copied = 0, before = WAL_PAGES;
	for (int round = 0; round < 4; round++) {
		sqlite3_wal_checkpoint_v2(b->copier, NULL, SQLITE_CHECKPOINT_PASSIVE, &log, &copied);
		if (log - copied < 64 || log - copied > before / 2)
			break;
		before = log - copied;
	}
	uv_mutex_lock(&b->gate);
	sqlite3_wal_checkpoint_v2(b->copier, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	uv_mutex_unlock(&b->gate);
}

static void copier_main(void *arg)
{
	struct bare *b = arg;
	uv_mutex_lock(&b->mutex);
	while (!b->stop) {
		if (b->pages < WAL_PAGES) {
			uv_cond_wait(&b->wake, &b->mutex);
			continue;
		}
		b->pages = 0;
		uv_mutex_unlock(&b->mutex);
		copy_log(b);
		uv_mutex_lock(&b->mutex);
	}
	uv_mutex_unlock(&b->mutex);
}

static int committed(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct bare *b = arg;
	(void)db;
	(void)name;
	uv_mutex_lock(&b->mutex);
	b->pages = pages;
	uv_cond_signal(&b->wake);
	uv_mutex_unlock(&b->mutex);
	return SQLITE_OK;
}

static sqlite3 *connect_as_store(const char *path)
{
	sqlite3 *db;
	int on = 1;
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		abort();
	sqlite3_file_control(db, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
	sql(db, "pragma journal_mode=wal;pragma synchronous=full;pragma cache_size=-65536;pragma wal_autocheckpoint=0");
	return db;
}

/* The file that the store itself made and filled, so that both write the same rows; what the store's runs are for is an
 * index here, as anybody would have it. */
static void bare_open(struct bare *b, const char *path)
{
	b->db = connect_as_store(path);
	b->copier = connect_as_store(path);
	b->sizes = (struct sizes){IN, OUT, STATE, REC, REC};
	sql(b->db, "create index event_h on event(h) where source>0");
	uv_mutex_init(&b->mutex);
	uv_mutex_init(&b->gate);
	uv_cond_init(&b->wake);
	sqlite3_wal_hook(b->db, committed, b);
	uv_thread_create(&b->thread, copier_main, b);
	sqlite3_prepare_v2(b->db, "insert into event values(?,?,?,?,?,?,?,?,?,?,?,?)", -1, &b->event, NULL);
	sqlite3_prepare_v2(b->db, "insert into inbox values(?,?,?)", -1, &b->inbox, NULL);
	sqlite3_prepare_v2(b->db, "update thred set step=?,last=?,state=? where n=?", -1, &b->thred, NULL);
	sqlite3_stmt *st;
	sqlite3_prepare_v2(b->db, "select max(n) from event", -1, &st, NULL);
	sqlite3_step(st);
	b->n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_prepare_v2(b->db, "select who,max(k) from inbox group by who", -1, &st, NULL);
	while (sqlite3_step(st) == SQLITE_ROW)
		if (sqlite3_column_int(st, 0) <= SOURCES)
			b->k[sqlite3_column_int(st, 0) - 1] = sqlite3_column_int64(st, 1);
	sqlite3_finalize(st);
}

static void bare_close(struct bare *b)
{
	uv_mutex_lock(&b->mutex);
	b->stop = true;
	uv_cond_signal(&b->wake);
	uv_mutex_unlock(&b->mutex);
	uv_thread_join(&b->thread);
	uv_mutex_destroy(&b->mutex);
	uv_mutex_destroy(&b->gate);
	uv_cond_destroy(&b->wake);
	sqlite3_finalize(b->event);
	sqlite3_finalize(b->inbox);
	sqlite3_finalize(b->thred);
	sqlite3_close(b->copier);
	sqlite3_close(b->db);
}

/* Through the store ------------------------------------------------------------------------------------------------ */

struct bench {
	struct runtime *rt;
	struct store *store;
	struct queue *queue;
	long sent, done, batches;
	int width;
	bool filling, stop;
	struct {
		int64_t ticket;
		int source;
		double begun;
	} under_way[4096];
	size_t head, len;
	double took[SAMPLES];
	size_t samples;
	bool closing; /* what still waits then is told so */
};

static void fail(const struct error *e)
{
	fprintf(stderr, "%s: %s\n", e->message, e->cause), exit(1);
}

static void accepted(void *arg, const struct accepted *r, const struct error *e)
{
	struct bench *b = arg;
	if (e && b->closing)
		return;
	if (e)
		fail(e);
	size_t i = (b->head + b->len++) % 4096;
	b->under_way[i].ticket = r->ticket;
	b->under_way[i].source = (int)(rnd() % SOURCES);
	b->under_way[i].begun = now();
}

static void send_one(struct bench *b, int source)
{
	char id[40], name[16], body[IN + 1];
	int id_len = snprintf(id, sizeof id, "bench-%016lx-%012ld", (unsigned long)rnd(), b->sent++);
	int name_len = snprintf(name, sizeof name, "source%d", source);
	int head = snprintf(body, sizeof body, "{\"id\":\"%s\",\"pad\":\"", id);
	memset(body + head, 'x', (size_t)(IN - head));
	body[IN - 2] = '"';
	body[IN - 1] = '}';
	struct accept a = {.source = {name, (size_t)name_len},
			   .id = {id, (size_t)id_len},
			   .body = {body, IN},
			   .at = runtime_now(b->rt)};
	memcpy(a.content, body + 10, 16);
	struct accepted r;
	struct error e;
	int rc = queue_accept(b->queue, &a, &r, accepted, b, &e);
	if (rc < 0)
		fail(&e);
	if (rc == STORE_DONE)
		accepted(b, &r, NULL);
}

struct job {
	struct bench *b;
	int64_t delivery;
	char source[16];
};

static void begun(void *arg, const struct begun *x, const struct error *e)
{
	struct job *j = arg;
	char id[40], body[OUT + 1];
	if (e && j->b->closing)
		return;
	if (e)
		fail(e);
	int id_len = snprintf(id, sizeof id, "%016lx%016lx", (unsigned long)rnd(), (unsigned long)j->delivery);
	int head = snprintf(body, sizeof body, "{\"id\":\"%s\",\"pad\":\"", id);
	memset(body + head, 'y', (size_t)(OUT - head));
	body[OUT - 2] = '"';
	body[OUT - 1] = '}';
	struct span inbox = text(j->source);
	struct store_event out = {
		.id = {id, (size_t)id_len}, .body = {body, OUT}, .rec = {filler, REC}, .inbox = &inbox, .inboxes = 1};
	struct store_changes c = {.delivery = j->delivery,
				  .outcome = OUTCOME_MATCHED,
				  .rec = {filler, REC},
				  .state = {filler, STATE},
				  .events = &out,
				  .event_count = 1};
	struct error why;
	if (store_commit(x->step, &c, &why) < 0)
		fail(&why);
	free(j);
}

static void deliver(void *arg, const struct delivery *d)
{
	struct bench *b = arg;
	struct job *j = malloc(sizeof *j);
	char thred[40];
	j->b = b;
	j->delivery = d->n;
	snprintf(j->source, sizeof j->source, "%.*s", (int)d->source.len, d->source.data);
	int len = snprintf(thred, sizeof thred, "%032d", (int)(rnd() % THREDS));
	struct begun x;
	struct error e;
	int rc = store_begin(b->store, (struct span){thred, (size_t)len}, &x, begun, j, &e);
	if (rc < 0)
		fail(&e);
	if (rc == STORE_DONE)
		begun(j, &x, NULL);
}

static void durable(void *arg, int64_t ticket)
{
	struct bench *b = arg;
	b->batches++;
	double t = now();
	while (b->len && b->under_way[b->head].ticket <= ticket) {
		int source = b->under_way[b->head].source;
		if (b->samples < SAMPLES)
			b->took[b->samples++] = t - b->under_way[b->head].begun;
		b->head = (b->head + 1) % 4096;
		b->len--;
		b->done++;
		if (!b->stop)
			send_one(b, source);
	}
}

static void turn(struct bench *b)
{
	uv_run(runtime_loop(b->rt), UV_RUN_ONCE);
}

static void threds(struct bench *b)
{
	int64_t ticket = 0;
	for (int i = 0; i < THREDS; i++) {
		char id[40];
		int len = snprintf(id, sizeof id, "%032d", i);
		struct reservation r = {.pattern = text("bench"), .now = 1};
		struct begun x = {NULL, 0};
		struct error e;
		while (store_begin_new(b->store, (struct span){id, (size_t)len}, &r, &x, NULL, NULL, &e) != STORE_DONE)
			abort();
		struct store_changes c = {
			.outcome = OUTCOME_NONE, .state = {filler, STATE}, .version = text("v"), .reaction = text("r")};
		if ((ticket = store_commit(x.step, &c, &e)) < 0)
			fail(&e);
		if (i % 500 == 0)
			uv_run(runtime_loop(b->rt), UV_RUN_NOWAIT);
	}
	while (store_durable(b->store) < ticket)
		turn(b);
}

static void load(struct bench *b, int width, long total, double seconds)
{
	b->stop = false;
	b->done = b->batches = 0;
	b->samples = 0;
	double t0 = now();
	for (int i = 0; i < width; i++)
		send_one(b, i % SOURCES);
	while (total ? b->done < total : now() - t0 < seconds)
		turn(b);
	b->stop = true;
	while (b->len)
		turn(b);
}

/* The file: what the store has made when it was closed, and so often its copy is. */
static void open_store(struct bench *b, const char *path)
{
	struct error e;
	char url[400];
	snprintf(url, sizeof url, "sqlite:%s", path);
	b->store = store_open(b->rt, url, NULL, &e);
	if (!b->store)
		fail(&e);
	b->queue = store_queue(b->store);
	store_listen(b->store, &(struct store_listener){b, durable, NULL, NULL});
	queue_consume(b->queue, text("engine"), &(struct consumer){b, deliver, 0});
	b->closing = false;
	for (int i = 0; i < 50; i++) /* the filters are built meanwhile */
		uv_run(runtime_loop(b->rt), UV_RUN_NOWAIT), usleep(2000);
}

static void close_store(struct bench *b)
{
	b->closing = true;
	store_close(b->store);
	uv_run(runtime_loop(b->rt), UV_RUN_NOWAIT);
}

static void fill(struct bench *b, const char *path)
{
	open_store(b, path);
	threds(b);
	load(b, 1024, OLD, 0);
	close_store(b);
}

static void copy_file(const char *from, const char *to)
{
	sqlite3 *db;
	char q[700];
	snprintf(q, sizeof q, "vacuum into '%s'", to);
	sqlite3_open(from, &db);
	sql(db, q);
	sqlite3_close(db);
}

/* One in turn: how many a second, and what one at a time takes, of both. */
struct turn {
	double store, bare, one, bare_one, commit, batch;
};

static void store_turn(struct bench *b, double seconds, struct turn *t)
{
	load(b, SOURCES, 0, seconds / 4);
	double t0 = now();
	load(b, SOURCES, 0, seconds);
	t->store = (double)b->done / (now() - t0);
	t->batch = (double)b->done / (double)b->batches;
	load(b, 1, 0, seconds / 4);
	qsort(b->took, b->samples, sizeof *b->took, by_value);
	t->one = b->samples ? b->took[b->samples / 2] * 1e3 : 0;
}

static void bare_turn(struct bare *bare, double seconds, int batch, struct turn *t)
{
	bare_run(bare, batch, seconds / 4, &t->commit);
	t->bare = bare_run(bare, batch, seconds, &t->commit);
	bare_run(bare, 1, seconds / 4, &t->bare_one);
}

static void report(const char *what, const struct turn *turns, double (*value)(const struct turn *t), const char *rest)
{
	printf("{\"what\":\"%s\",\"samples\":[", what);
	for (int i = 0; i < RUNS; i++)
		printf("%s%.3f", i ? "," : "", value(&turns[i]));
	printf("],%s}\n", rest);
	fflush(stdout);
}

static double of_store(const struct turn *t)
{
	return t->store;
}
static double of_bare(const struct turn *t)
{
	return t->bare;
}
static double ratio(const struct turn *t)
{
	return t->store / t->bare * 100;
}
static double of_one(const struct turn *t)
{
	return t->one;
}
static double one_ratio(const struct turn *t)
{
	return t->one / t->bare_one;
}

static void compare(struct bench *b, const char *path, const char *copy, double seconds)
{
	struct turn turns[RUNS];
	struct bare bare = {0};
	char rest[400];
	int batch = 128;
	copy_file(path, copy);
	bare_open(&bare, copy);
	open_store(b, path);
	for (int i = 0; i < RUNS; i++) {
		if (i % 2)
			bare_turn(&bare, seconds, batch, &turns[i]);
		store_turn(b, seconds, &turns[i]);
		batch = (int)(turns[i].batch + 0.5);
		if (i % 2 == 0)
			bare_turn(&bare, seconds, batch, &turns[i]);
	}
	close_store(b);
	bare_close(&bare);
	struct turn *last = &turns[RUNS - 1];
	snprintf(rest, sizeof rest,
		 "\"unit\":\"1/s\",\"notes\":\"C API, %d sources, batch %.0f, 4 rows and %d bytes a step\"", SOURCES,
		 last->batch, IN + OUT + STATE + 2 * REC);
	report("durable steps/s through the store", turns, of_store, rest);
	snprintf(rest, sizeof rest, "\"unit\":\"1/s\",\"notes\":\"batch %d, commit p50 %.2f ms\"", batch, last->commit);
	report("the same rows in bare SQLite", turns, of_bare, rest);
	report("store / bare", turns, ratio, "\"unit\":\"%\"");
	report("one event at a time: store p50", turns, of_one, "\"unit\":\"ms\",\"less\":true");
	snprintf(rest, sizeof rest, "\"unit\":\"times\",\"less\":true,\"notes\":\"bare commit p50 %.3f ms\"",
		 last->bare_one);
	report("one event at a time: store / bare, p50", turns, one_ratio, rest);
}

static void bare_on_request(const char *path)
{
	struct bare b = {0};
	struct sizes *r = &b.sizes;
	double seconds, p50;
	int batch;
	bare_open(&b, path);
	while (scanf("%lf %d %d %d %d %d %d", &seconds, &batch, &r->in, &r->out, &r->state, &r->rec_in, &r->rec_out) ==
	       7) {
		bare_run(&b, batch, seconds / 4, &p50);
		double rate = bare_run(&b, batch, seconds, &p50);
		printf("{\"per_second\":%.1f,\"p50_ms\":%.4f}\n", rate, p50);
		fflush(stdout);
	}
	bare_close(&b);
}

static int clean(const char *folder)
{
	static const char *const names[] = {"s.db", "s.db-wal", "s.db-shm", "lock",
					    "bare", "bare-wal", "bare-shm", "running"};
	char path[400];
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", folder, names[i]);
		unlink(path);
	}
	return rmdir(folder);
}

int main(int argc, char **argv)
{
	static struct bench b;
	struct error e;
	char folder[256], path[300], copy[300];
	bool on_request = argc > 2 && strcmp(argv[1], "bare") == 0;
	snprintf(folder, sizeof folder, "%s/bench-store-XXXXXX", on_request ? argv[2] : argc > 1 ? argv[1] : ".");
	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof path, "%s/s.db", folder);
	snprintf(copy, sizeof copy, "%s/bare", folder);
	memset(filler, 'z', sizeof filler);
	struct runtime_options ro = {0};
	b.rt = runtime_new(&ro, &e);
	fill(&b, path);
	if (on_request)
		bare_on_request(path);
	else
		compare(&b, path, copy, argc > 2 ? atof(argv[2]) : 2);
	runtime_free(b.rt);
	return clean(folder);
}
