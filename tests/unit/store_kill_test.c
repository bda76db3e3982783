/* SPDX-License-Identifier: MIT
 *
 * kill -9 at the named points and at random: a child loads a store, dies, and another goes on with the same file. At the
 * end the file is compared with what was acknowledged.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/fault.h"
#include "queue/queue.h"

enum { EVENTS = 300, THREDS = 20, SOURCES = 8, OVERLAP = 80 };

/* The child -------------------------------------------------------------------------------------------------------- */

struct load {
	struct runtime *rt;
	struct store *store;
	struct queue *queue;
	int out, first, last, next;
	bool drain;
	uint64_t idle_since;
	struct ack {
		int64_t ticket;
		int number;
	} acks[4 * EVENTS];
	size_t ack_count, acked;
};

static struct span text(const char *s)
{
	return (struct span){s, strlen(s)};
}

static void durable(void *arg, int64_t ticket)
{
	struct load *l = arg;
	while (l->acked < l->ack_count && l->acks[l->acked].ticket <= ticket) {
		if (write(l->out, &l->acks[l->acked].number, sizeof(int)) < 0)
			_exit(3);
		l->acked++;
	}
}

static void failed(void *arg, const struct error *e)
{
	(void)arg;
	fprintf(stderr, "%s\n", e->message);
	_exit(4);
}

struct job {
	struct load *l;
	int64_t delivery;
	char id[32], source[16], thred[16];
};

static void commit(struct job *j, struct step *step)
{
	const struct thred_view *v = step_thred(step);
	char state[64], out[48], body[600];
	snprintf(state, sizeof state, "{\"count\":%d}", v ? atoi(v->state.data + 9) + 1 : 1);
	snprintf(out, sizeof out, "out-%s", j->id);
	int head = snprintf(body, sizeof body, "{\"id\":\"%s\",\"pad\":\"", out);
	memset(body + head, 'x', 400);
	snprintf(body + head + 400, 8, "\"}");
	struct span inbox = text(j->source), service = text("robot");
	struct store_event event = {.id = text(out),
				    .body = text(body),
				    .inbox = &inbox,
				    .inboxes = 1,
				    .services = &service,
				    .service_count = 1};
	struct store_changes c = {.delivery = j->delivery,
				  .outcome = OUTCOME_MATCHED,
				  .rec = text("{}"),
				  .state = text(state),
				  .events = &event,
				  .event_count = 1};
	struct error e;
	if (store_commit(step, &c, &e) < 0)
		failed(NULL, &e);
}

static void begin(struct job *j);

static void begun_new(void *arg, const struct begun *x, const struct error *e)
{
	struct job *j = arg;
	if (e)
		failed(NULL, e);
	if (!x->step) { /* another made it meanwhile */
		begin(j);
		return;
	}
	commit(j, x->step);
	free(j);
}

static void begun(void *arg, const struct begun *x, const struct error *e)
{
	struct job *j = arg;
	if (e)
		failed(NULL, e);
	if (step_thred(x->step)) {
		commit(j, x->step);
		free(j);
		return;
	}
	struct reservation r = {.pattern = text("p"), .now = runtime_now(j->l->rt)};
	struct begun now;
	store_abort(x->step);
	struct error why;
	int rc = store_begin_new(j->l->store, text(j->thred), &r, &now, begun_new, j, &why);
	if (rc < 0)
		failed(NULL, &why);
	if (rc == STORE_DONE)
		begun_new(j, &now, NULL);
}

static void begin(struct job *j)
{
	struct begun x;
	struct error e;
	int rc = store_begin(j->l->store, text(j->thred), &x, begun, j, &e);
	if (rc < 0)
		failed(NULL, &e);
	if (rc == STORE_DONE)
		begun(j, &x, NULL);
}

static void deliver(void *arg, const struct delivery *d)
{
	struct load *l = arg;
	struct job *j = calloc(1, sizeof *j);
	j->l = l;
	j->delivery = d->n;
	l->idle_since = uv_hrtime();
	snprintf(j->id, sizeof j->id, "%.*s", (int)d->id.len, d->id.data);
	snprintf(j->source, sizeof j->source, "%.*s", (int)d->source.len, d->source.data);
	snprintf(j->thred, sizeof j->thred, "t%d", atoi(j->id + 1) % THREDS);
	begin(j);
}

/* The service: handled, nothing more. */
static void handle(void *arg, const struct delivery *d)
{
	struct load *l = arg;
	struct store_changes c = {.delivery = d->n, .outcome = OUTCOME_NONE};
	struct error e;
	l->idle_since = uv_hrtime();
	if (queue_settle(l->queue, &c, &e) < 0)
		failed(NULL, &e);
}

struct answer {
	struct load *l;
	int number;
};

static void answered(struct load *l, int number, const struct accepted *r)
{
	if (r->kind == ACCEPT_CONFLICT)
		_exit(5);
	l->acks[l->ack_count++] = (struct ack){r->ticket, number};
}

static void accepted(void *arg, const struct accepted *r, const struct error *e)
{
	struct answer *a = arg;
	if (e)
		failed(NULL, e);
	answered(a->l, a->number, r);
	free(a);
}

static void send_event(struct load *l, int number)
{
	char id[32], source[16], body[700];
	snprintf(id, sizeof id, "e%d", number);
	snprintf(source, sizeof source, "s%d", number % SOURCES);
	int head = snprintf(body, sizeof body, "{\"id\":\"%s\",\"pad\":\"", id);
	memset(body + head, 'y', 450);
	snprintf(body + head + 450, 8, "\"}");
	struct accept a = {.source = text(source), .id = text(id), .body = text(body), .at = runtime_now(l->rt)};
	struct answer *waits = malloc(sizeof *waits);
	*waits = (struct answer){l, number};
	struct accepted now;
	struct error e;
	int rc = queue_accept(l->queue, &a, &now, accepted, waits, &e);
	if (rc < 0)
		failed(NULL, &e);
	if (rc == STORE_WAITS)
		return;
	free(waits);
	answered(l, number, &now);
}

static void child(const char *url, int out, int first, bool drain)
{
	static struct load l;
	struct error e;
	struct runtime_options ro = {0};
	l.out = out;
	l.next = first;
	l.last = first + EVENTS;
	l.rt = runtime_new(&ro, &e);
	struct store_options options = {.wal_limit = 400000}; /* so that checkpoints happen, too */
	l.store = store_open(l.rt, url, &options, &e);
	if (!l.store)
		failed(NULL, &e);
	l.queue = store_queue(l.store);
	store_listen(l.store, &(struct store_listener){&l, durable, failed, NULL});
	queue_consume(l.queue, text("engine"), &(struct consumer){&l, deliver, 0});
	queue_consume(l.queue, text("robot"), &(struct consumer){&l, handle, 0});
	l.idle_since = uv_hrtime();
	while (l.next < l.last || l.acked < l.ack_count || uv_hrtime() - l.idle_since < 300000000u ||
	       queue_depth(l.queue)) {
		for (int i = 0; i < 7 && l.next < l.last; i++, l.next++) {
			send_event(&l, l.next);
			if (l.next % 3 == 0)
				send_event(&l, l.next); /* twice */
			l.idle_since = uv_hrtime();
		}
		uv_run(runtime_loop(l.rt), UV_RUN_NOWAIT);
	}
	if (drain) {
		store_close(l.store);
		uv_run(runtime_loop(l.rt), UV_RUN_NOWAIT);
		_exit(runtime_free(l.rt) == 0 ? 0 : 6);
	}
	_exit(0);
}

/* The parent ------------------------------------------------------------------------------------------------------- */

struct world {
	char folder[64], url[128], path[96];
	bool acked[100000];
	int sent_to, rounds, killed;
};

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	snprintf(w->folder, sizeof w->folder, "/tmp/srvthreds-kill-XXXXXX");
	if (!mkdtemp(w->folder))
		return -1;
	snprintf(w->path, sizeof w->path, "%s/s.db", w->folder);
	snprintf(w->url, sizeof w->url, "sqlite:%s", w->path);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	static const char *const names[] = {"s.db", "s.db-wal", "s.db-shm", "lock", "running"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char path[192];
		snprintf(path, sizeof path, "%s/%s", w->folder, names[i]);
		unlink(path);
	}
	int rc = rmdir(w->folder);
	free(w);
	return rc;
}

/* kill_us < 0: none. Reads the acknowledgements until the child is gone. */
static int round_of(struct world *w, const char *fail, long kill_us, bool drain)
{
	int ends[2], first = w->rounds++ * (EVENTS - OVERLAP);
	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(ends[0]);
		if (fail)
			setenv("SRVTHREDS_FAIL", fail, 1);
		child(w->url, ends[1], first, drain);
	}
	close(ends[1]);
	w->sent_to = first + EVENTS;
	if (kill_us >= 0) {
		usleep((useconds_t)kill_us); /* the moment is the point: it is drawn, not waited for */
		kill(pid, SIGKILL);
	}
	int number, status;
	while (read(ends[0], &number, sizeof number) == (ssize_t)sizeof number)
		w->acked[number] = true;
	close(ends[0]);
	waitpid(pid, &status, 0);
	w->killed += WIFSIGNALED(status);
	if (!WIFSIGNALED(status) && WEXITSTATUS(status))
		fail_msg("round %d (%s): the child ended with %d", w->rounds, fail ? fail : "", WEXITSTATUS(status));
	return WIFSIGNALED(status);
}

static int64_t count(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *st;
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	int64_t n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return n;
}

static void compare(struct world *w)
{
	sqlite3 *db;
	sqlite3_stmt *st;
	assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
	sqlite3_prepare_v2(db, "pragma integrity_check", -1, &st, NULL);
	sqlite3_step(st);
	assert_string_equal((const char *)sqlite3_column_text(st, 0), "ok");
	sqlite3_finalize(st);
	/* Acknowledged: there, once, processed. */
	assert_int_equal(sqlite3_exec(db,
				      "create temp table had as select json_extract(body,'$.id') id from event "
				      "where source>0 and outcome is not null;create index temp.had_id on had(id)",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	sqlite3_prepare_v2(db, "select count(*) from had where id=?", -1, &st, NULL);
	int acked = 0;
	for (int i = 0; i < w->sent_to; i++) {
		char id[16];
		if (!w->acked[i])
			continue;
		acked++;
		snprintf(id, sizeof id, "e%d", i);
		sqlite3_reset(st);
		sqlite3_bind_text(st, 1, id, -1, SQLITE_TRANSIENT);
		sqlite3_step(st);
		if (sqlite3_column_int(st, 0) != 1)
			fail_msg("%s was acknowledged and is there %d times", id, sqlite3_column_int(st, 0));
	}
	sqlite3_finalize(st);
	assert_true(acked > 100);
	int64_t in = count(db, "select count(*) from event where source>0");
	assert_int_equal(
		count(db, "select count(distinct source||json_extract(body,'$.id')) from event where source>0"), in);
	assert_int_equal(count(db, "select count(*) from event where source>0 and (outcome is null or thred is null)"),
			 0);
	/* Every event moved its thred once: counters, step numbers, chains. */
	assert_int_equal(count(db, "select sum(json_extract(state,'$.count')) from thred"), in);
	assert_int_equal(count(db, "select sum(step) from thred"), in);
	assert_int_equal(
		count(db,
		      "select count(*) from event e where source>0 and not exists"
		      "(select 1 from event o where o.source=0 and o.prev=e.n and o.thred=e.thred and o.step=e.step)"),
		0);
	assert_int_equal(count(db, "select count(*) from event where source=0"), in);
	assert_int_equal(count(db, "select count(*) from inbox"), in);
	assert_int_equal(count(db, "select sum(m) from (select max(k) m from inbox group by who)"), in);
	assert_int_equal(count(db, "select count(*) from queue"), 0);
	sqlite3_close(db);
}

static void killed_at_every_point(void **state)
{
	struct world *w = *state;
#ifdef SRVTHREDS_FAULTS
	static const char *const points[] = {
#define X(name) #name,
		FAULT_POINTS(X)
#undef X
	};
	static const int passages[] = {1, 7, 40};
	for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
		if (strncmp(points[i], "docdb_", 6) == 0)
			continue; /* no step of the store comes there */
		for (size_t k = 0; k < sizeof passages / sizeof *passages; k++) {
			char fail[64];
			snprintf(fail, sizeof fail, "%s:%d", points[i], passages[k]);
			int killed = round_of(w, fail, -1, false);
			if (passages[k] == 1)
				assert_true(killed);
		}
	}
#endif
	round_of(w, NULL, -1, true);
	compare(w);
}

static void killed_at_random(void **state)
{
	struct world *w = *state;
	uint64_t seed = 88172645463325252u;
	for (int i = 0; i < 30; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		round_of(w, NULL, (long)(seed % 60000), false);
	}
	assert_true(w->killed > 10);
	round_of(w, NULL, -1, true);
	compare(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(killed_at_every_point, set_up, tear_down),
		cmocka_unit_test_setup_teardown(killed_at_random, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
