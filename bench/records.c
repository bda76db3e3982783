/* SPDX-License-Identifier: MIT
 *
 * The system's own collections over 150 k events of 1,500 threds on a file of SQLite: one thred's by its key, the last for
 * somebody, and searches through all of them.
 *   bench_records [FOLDER]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "records/records.h"

enum { RUNS = 5, THREDS = 1500, STEPS = 10, EACH = 10, EVENTS = THREDS * STEPS * EACH };

struct bench {
	struct runtime *rt;
	struct store *store;
	struct docdb *db;
	size_t answers;
	int64_t durable;
	bool bad;
};

static double now(void)
{
	return (double)uv_hrtime() / 1e9;
}

static struct span text(const char *s)
{
	return (struct span){s, strlen(s)};
}

static void durable(void *arg, int64_t ticket)
{
	((struct bench *)arg)->durable = ticket;
}

static void failed(void *arg, const struct error *e)
{
	(void)arg;
	fprintf(stderr, "%s\n", e->message);
	exit(1);
}

/* Filling ---------------------------------------------------------------------------------------------------------- */

struct emitted {
	char id[40], body[600], rec[40];
	struct span inbox;
};

static void make(struct emitted *m, struct store_event *event, int thred, int step, int i)
{
	snprintf(m->id, sizeof m->id, "event %d.%d.%d", thred, step, i);
	snprintf(m->rec, sizeof m->rec, "{\"to\":[\"p%d\"]}", thred);
	snprintf(m->body, sizeof m->body,
		 "{\"data\":{\"content\":{\"values\":{\"n\":%d,\"text\":\"%0240d\",\"where\":{\"lat\":52.1,\"lon\":13."
		 "2}}},"
		 "\"title\":\"Title %d\"},\"id\":\"%.39s\",\"source\":{\"id\":\"SYSTEM\"},\"time\":1790000000000,"
		 "\"type\":\"org.wt.tell\"}",
		 i, thred, step, m->id);
	m->inbox = (struct span){m->rec + 8, strlen(m->rec) - 11};
	*event = (struct store_event){
		.id = text(m->id), .body = text(m->body), .rec = text(m->rec), .inbox = &m->inbox, .inboxes = 1};
}

struct beginning {
	struct begun begun;
	bool done;
};

static void begun_now(void *arg, const struct begun *begun, const struct error *e)
{
	struct beginning *b = arg;
	(void)e;
	b->begun = *begun;
	b->done = true;
}

static struct step *begin(struct bench *b, struct span id, bool fresh)
{
	struct error e = {0};
	struct beginning x = {.done = false};
	const struct reservation r = {.pattern = text("p"), .now = 1790000000000};
	int rc = fresh ? store_begin_new(b->store, id, &r, &x.begun, begun_now, &x, &e)
		       : store_begin(b->store, id, &x.begun, begun_now, &x, &e);
	while (rc == STORE_WAITS && !x.done)
		uv_run(runtime_loop(b->rt), UV_RUN_NOWAIT);
	return x.begun.step;
}

static void one_step(struct bench *b, int thred, int step)
{
	char id[32];
	struct emitted made[EACH];
	struct store_event events[EACH];
	struct error e = {0};
	snprintf(id, sizeof id, "thred %d", thred);
	struct step *begun = begin(b, text(id), step == 0);
	for (int i = 0; i < EACH; i++)
		make(&made[i], &events[i], thred, step, i);
	const struct store_changes x = {.outcome = OUTCOME_NONE,
					.state = text("{\"locals\":{\"n\":1}}"),
					.events = events,
					.event_count = EACH};
	if (!begun || store_commit(begun, &x, &e) < 0) {
		fprintf(stderr, "can't fill: %s\n", e.message);
		exit(1);
	}
}

static void fill(struct bench *b)
{
	for (int step = 0; step < STEPS; step++)
		for (int thred = 0; thred < THREDS; thred++) {
			one_step(b, thred, step);
			if (thred % 500 == 0)
				uv_run(runtime_loop(b->rt), UV_RUN_NOWAIT);
		}
	for (int64_t ticket = store_ticket(b->store); b->durable < ticket;)
		uv_run(runtime_loop(b->rt), UV_RUN_NOWAIT);
}

/* Asking ----------------------------------------------------------------------------------------------------------- */

static void answered(void *arg, const struct docdb_answer *answer)
{
	struct bench *b = arg;
	b->answers++;
	if (answer->failure)
		fprintf(stderr, "%s\n", answer->failure->error.message);
	b->bad |= answer->failure != NULL;
}

static double ask(struct bench *b, const char *op, const char *params, int times)
{
	char tasks[400];
	struct docdb_failure failure;
	double begun = now();
	b->answers = 0;
	for (int i = 0; i < times; i++) {
		int n = snprintf(tasks, sizeof tasks, "[{\"op\":\"%s\",\"params\":{\"type\":\"events\",", op);
		n += snprintf(tasks + n, sizeof tasks - (size_t)n, params, i * 7919 % THREDS);
		n += snprintf(tasks + n, sizeof tasks - (size_t)n, "}}]");
		const struct docdb_request request = {.tasks = {tasks, (size_t)n}};
		if (docdb_run(b->db, &request, answered, b, &failure))
			abort();
	}
	while (b->answers < (size_t)times)
		uv_run(runtime_loop(b->rt), UV_RUN_ONCE);
	return times / (now() - begun);
}

static void measure(struct bench *b, const char *what, const char *op, const char *params, int times, double each,
		    const char *notes)
{
	printf("{\"what\": \"%s\", \"unit\": \"1/s\", \"samples\": [", what);
	for (int run = 0; run < RUNS; run++)
		printf("%s%.4g", run ? ", " : "", each * ask(b, op, params, times));
	printf("], \"notes\": \"%s\"}\n", notes);
	fflush(stdout);
}

static void measure_all(struct bench *b)
{
	measure(b, "all events of a thred", "get",
		"\"matcher\":{\"threds\":\"thred %d\"},\"collector\":{\"sort\":[{\"field\":\"n\"}]}", 500, 1,
		"100 of 150,000, by its chain, sorted");
	measure(b, "the last event for a participant", "getOne",
		"\"matcher\":{\"people\":\"p%d\"},\"collector\":{\"sort\":[{\"field\":\"n\",\"desc\":true}]}", 2000, 1,
		"by the inbox");
	measure(b, "events looked through", "count", "\"matcher\":{\"event.data.content.values.n\":{\"$gt\":%d}}", 2,
		EVENTS, "count by a field inside the event: each is read, made a document, matched");
	measure(b, "events looked through by their time", "count", "\"matcher\":{\"at\":{\"$lt\":{\"$date\":%d}}}", 200,
		EVENTS, "none is made a document");
}

static void in_folder(const char *folder)
{
	char url[300], path[320];
	static const char *const files[] = {"r.db", "r.db-wal", "r.db-shm", "lock", "running"};
	const struct runtime_options ro = {.virtual_time = false};
	struct error e;
	struct bench b = {.rt = runtime_new(&ro, &e)};
	snprintf(url, sizeof url, "sqlite:%s/r.db", folder);
	if (!(b.store = store_open(b.rt, url, NULL, &e))) {
		fprintf(stderr, "%s\n", e.message);
		exit(1);
	}
	const struct store_listener listener = {&b, durable, failed, NULL};
	store_listen(b.store, &listener);
	fill(&b);
	struct docdb_options options = {.view = records_view(b.store), .timeout_ms = 600000};
	records_options(&options);
	b.db = docdb_open(b.rt, &options, &e);
	measure_all(&b);
	docdb_close(b.db);
	store_close(b.store);
	uv_run(runtime_loop(b.rt), UV_RUN_NOWAIT);
	runtime_free(b.rt);
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		snprintf(path, sizeof path, "%s/%s", folder, files[i]);
		unlink(path);
	}
	if (b.bad)
		exit(1);
}

int main(int argc, char **argv)
{
	char folder[] = "bench-records-XXXXXX";
	if (argc > 1) {
		in_folder(argv[1]);
		return 0;
	}
	if (!mkdtemp(folder))
		return 1;
	in_folder(folder);
	return rmdir(folder) != 0;
}
