/* SPDX-License-Identifier: MIT
 *
 * A full disk loses nothing and heals; a failed sync ends the process; a newer file and a second process are refused.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "queue/queue.h"
#include "store/folder.h"
#include "store/running.h"

struct place {
	char folder[64], url[96], path[96];
};

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof *p);
	snprintf(p->folder, sizeof p->folder, "/tmp/srvthreds-fault-XXXXXX");
	if (!mkdtemp(p->folder))
		return -1;
	snprintf(p->path, sizeof p->path, "%.60s/s.db", p->folder);
	snprintf(p->url, sizeof p->url, "sqlite:%.80s", p->path);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = {"s.db", "s.db-wal", "s.db-shm", "lock", "running"};
	struct place *p = *state;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char path[128];
		snprintf(path, sizeof path, "%s/%s", p->folder, names[i]);
		unlink(path);
	}
	int rc = rmdir(p->folder);
	free(p);
	return rc;
}

struct load {
	struct runtime *rt;
	struct store *store;
	struct queue *queue;
	int64_t durable, tickets[4000];
	bool acked[4000];
	int failures, delivered;
};

static struct span text(const char *s)
{
	return (struct span){s, strlen(s)};
}

static void durable(void *arg, int64_t ticket)
{
	((struct load *)arg)->durable = ticket;
}

static void failed(void *arg, const struct error *e)
{
	struct load *l = arg;
	l->failures++;
	assert_non_null(strstr(e->message, "can't be written"));
	memset(l->tickets, 0, sizeof l->tickets);
}

static void deliver(void *arg, const struct delivery *d)
{
	struct load *l = arg;
	struct store_changes c = {.delivery = d->n, .outcome = OUTCOME_NO_PATTERN};
	struct error e;
	l->delivered++;
	queue_settle(l->queue, &c, &e);
}

static void accepted(void *arg, const struct accepted *r, const struct error *e)
{
	if (!e)
		*(int64_t *)arg = r->ticket;
}

static void open_load(struct load *l, const char *url, const struct store_options *o)
{
	struct error e = {0};
	struct runtime_options ro = {0};
	memset(l, 0, sizeof *l);
	l->rt = runtime_new(&ro, &e);
	l->store = store_open(l->rt, url, o, &e);
	if (!l->store)
		fail_msg("%s", e.message);
	l->queue = store_queue(l->store);
	store_listen(l->store, &(struct store_listener){l, durable, failed, NULL});
	queue_consume(l->queue, text("engine"), &(struct consumer){l, deliver, 0});
}

static void close_load(struct load *l)
{
	store_close(l->store);
	uv_run(runtime_loop(l->rt), UV_RUN_NOWAIT);
	assert_int_equal(runtime_free(l->rt), 0);
}

/* False: refused, with a reason. */
static bool send_event(struct load *l, int number)
{
	char id[16], body[1100];
	snprintf(id, sizeof id, "e%d", number);
	int head = snprintf(body, sizeof body, "{\"id\":\"%s\",\"pad\":\"", id);
	memset(body + head, 'y', 1000);
	snprintf(body + head + 1000, 8, "\"}");
	struct accept a = {.source = text("ann"), .id = text(id), .body = text(body), .at = runtime_now(l->rt)};
	struct accepted r;
	struct error e;
	int rc = queue_accept(l->queue, &a, &r, accepted, &l->tickets[number], &e);
	if (rc == STORE_DONE)
		l->tickets[number] = r.ticket;
	return rc >= 0;
}

static void turn(struct load *l)
{
	uv_run(runtime_loop(l->rt), UV_RUN_NOWAIT);
	for (size_t i = 0; i < sizeof l->tickets / sizeof *l->tickets; i++)
		if (l->tickets[i] && l->tickets[i] <= l->durable)
			l->acked[i] = true;
}

static int64_t count(const char *path, const char *sql)
{
	sqlite3 *db;
	sqlite3_stmt *st;
	sqlite3_open(path, &db);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	int64_t n = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return n;
}

struct pending {
	int64_t count;
	bool done;
};

static void counts(void *arg, const struct rows *rows, const struct error *e)
{
	struct pending *p = arg;
	assert_null(e);
	for (size_t i = 0; i < rows->columns; i++)
		if (strcmp(rows->names[i], "pending") == 0)
			p->count = rows->cells[i].number;
	p->done = true;
}

/* Events on disk that no step has taken yet. */
static int64_t pending(struct load *l)
{
	struct pending p = {-1, false};
	store_look(l->store, &(struct look){.kind = LOOK_COUNTS}, counts, &p);
	while (!p.done)
		turn(l);
	return p.count;
}

static int acks(const struct load *l)
{
	int n = 0;
	for (size_t i = 0; i < sizeof l->acked / sizeof *l->acked; i++)
		n += l->acked[i];
	return n;
}

static void a_full_disk_heals(void **state)
{
	struct place *p = *state;
	static struct load l;
	struct rlimit was, small;
	signal(SIGXFSZ, SIG_IGN);
	open_load(&l, p->url, NULL);
	getrlimit(RLIMIT_FSIZE, &was);
	small = was;
	small.rlim_cur = 600000;
	setrlimit(RLIMIT_FSIZE, &small);
	int sent = 0;
	for (uint64_t t0 = uv_hrtime(); !l.failures && sent < 3000;) {
		send_event(&l, sent++);
		do
			turn(&l);
		while (sent % 50 == 0 && !l.acked[sent - 1] && !l.failures);
		assert_true(uv_hrtime() - t0 < 20000000000u);
	}
	assert_int_equal(l.failures, 1);
	struct error reason = {0};
	assert_false(store_ready(l.store, &reason));
	assert_non_null(strstr(reason.message, "tried again"));
	assert_false(send_event(&l, sent));
	int before = acks(&l);
	assert_true(before > 0);
	assert_true(before < sent);
	setrlimit(RLIMIT_FSIZE, &was);
	for (uint64_t t0 = uv_hrtime(); !store_ready(l.store, NULL);) {
		turn(&l);
		assert_true(uv_hrtime() - t0 < 10000000000u);
	}
	/* Everything again: who was acknowledged is a duplicate, the others are new. */
	for (int i = 0; i < sent; i++) {
		l.tickets[i] = 0;
		send_event(&l, i);
		turn(&l);
	}
	for (uint64_t t0 = uv_hrtime(); acks(&l) < sent || pending(&l);) {
		turn(&l);
		assert_true(uv_hrtime() - t0 < 10000000000u);
	}
	close_load(&l);
	assert_int_equal(count(p->path, "select count(*) from event where source>0"), sent);
	assert_int_equal(count(p->path, "select count(*) from event where source>0 and outcome is null"), 0);
	assert_int_equal(count(p->path, "select count(*) from pragma_integrity_check where integrity_check='ok'"), 1);
}

static void a_failed_sync_ends_the_process(void **state)
{
#ifdef SRVTHREDS_FAULTS
	struct place *p = *state;
	int status, ends[2];
	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	if (pid == 0) {
		static struct load l;
		dup2(ends[1], 2);
		setenv("SRVTHREDS_FAULT_FSYNC", "40", 1);
		open_load(&l, p->url, NULL);
		for (int i = 0; i < 1000; i++) {
			send_event(&l, i);
			while (!l.acked[i])
				turn(&l);
		}
		_exit(0);
	}
	close(ends[1]);
	char message[2000] = "";
	size_t len = 0;
	ssize_t n;
	while ((n = read(ends[0], message + len, sizeof message - 1 - len)) > 0)
		len += (size_t)n;
	close(ends[0]);
	waitpid(pid, &status, 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 74);
	assert_non_null(strstr(message, "refused to sync"));
	static struct load l;
	open_load(&l, p->url, NULL);
	close_load(&l);
#else
	(void)state;
	skip();
#endif
}

static void a_newer_file_is_refused(void **state)
{
	struct place *p = *state;
	static struct load l;
	open_load(&l, p->url, NULL);
	close_load(&l);
	count(p->path, "select 1");
	sqlite3 *db;
	sqlite3_open(p->path, &db);
	assert_int_equal(sqlite3_exec(db, "pragma user_version=99", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	struct error e = {0};
	struct runtime_options ro = {0};
	struct runtime *rt = runtime_new(&ro, &e);
	assert_null(store_open(rt, p->url, NULL, &e));
	assert_non_null(strstr(e.message, p->path));
	assert_non_null(strstr(e.message, "99"));
	assert_int_equal(runtime_free(rt), 0);
}

static void the_folder_is_for_one(void **state)
{
	struct place *p = *state;
	char path[128], pid[32];
	struct error e = {0};
	snprintf(path, sizeof path, "%s/lock", p->folder);
	int fd = folder_lock(path, &e);
	assert_true(fd >= 0);
	assert_int_equal(folder_lock(path, &e), -1);
	snprintf(pid, sizeof pid, "%ld", (long)getpid());
	assert_non_null(strstr(e.message, pid));
	close(fd);
	fd = folder_lock(path, &e);
	assert_true(fd >= 0);
	close(fd);
}

static void a_kill_is_counted_for_what_ran(void **state)
{
	struct place *p = *state;
	char path[128];
	snprintf(path, sizeof path, "%s/running", p->folder);
	for (int i = 0; i < 3; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			struct running *r = running_open(path, NULL);
			if (running_attempts(r, 7) != i || running_attempts(r, 8) != 0)
				_exit(1);
			running_begin(r, 8);
			running_end(r);
			running_begin(r, 7);
			if (i < 2) { /* the third time it dies before its script: the second is what is known */
				RAN_SET(running_ran(r), pattern, i ? "door" : "hall");
				running_ran(r)->line = 12;
				running_ran(r)->state = RAN_INSIDE;
			}
			raise(SIGKILL);
		}
		int status;
		waitpid(pid, &status, 0);
		assert_true(WIFSIGNALED(status));
	}
	struct running *r = running_open(path, NULL);
	assert_int_equal(running_attempts(r, 7), 3);
	assert_string_equal(running_last(r, 7)->pattern, "door");
	assert_int_equal(running_last(r, 7)->line, 12);
	assert_int_equal(running_ran(r)->state, RAN_NOTHING);
	running_settled(r, 7);
	assert_int_equal(running_attempts(r, 7), 0);
	assert_null(running_last(r, 7));
	running_close(r);
}

/* One of another version, or of nobody: what can be read of it is, the rest is as if nothing had run. */
static void a_foreign_table_of_what_ran(void **state)
{
	struct place *p = *state;
	char path[128];
	unsigned char bytes[5000];
	snprintf(path, sizeof path, "%s/running", p->folder);
	memset(bytes, 0xFF, sizeof bytes);
	FILE *f = fopen(path, "wb");
	assert_non_null(f);
	memcpy(bytes, &(uint64_t){7}, sizeof(uint64_t));
	fwrite(bytes, sizeof bytes, 1, f);
	fclose(f);
	struct running *r = running_open(path, NULL);
	assert_int_equal(running_attempts(r, 7), 1);
	assert_int_equal(running_attempts(r, UINT64_MAX), 0);
	assert_null(running_last(r, 7));
	running_close(r);
	struct ran ran;
	RAN_SET(&ran, pattern, "");
	assert_false(ran_text(ran.pattern, sizeof ran.pattern));
	memset(ran.pattern, 'a', sizeof ran.pattern);
	assert_false(ran_text(ran.pattern, sizeof ran.pattern));
	char long_name[2 * sizeof ran.pattern];
	for (size_t i = 0; i < sizeof long_name; i += 2)
		memcpy(long_name + i, i < sizeof long_name - 2 ? "\xC3\xA4" : "a", 2);
	RAN_SET(&ran, pattern, long_name);
	assert_true(ran_text(ran.pattern, sizeof ran.pattern));
	assert_int_equal(strlen(ran.pattern), sizeof ran.pattern - 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_full_disk_heals),     TEST(a_failed_sync_ends_the_process), TEST(a_newer_file_is_refused),
		TEST(the_folder_is_for_one), TEST(a_kill_is_counted_for_what_ran), TEST(a_foreign_table_of_what_ran)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
