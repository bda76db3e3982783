/* SPDX-License-Identifier: MIT
 *
 * What only the SQLite store has: housekeeping of participants, files of an older schema.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "conformance/conformance.h"
#include "store/sqlite.h"
#include "store/sqlite_runs.h"

enum { DAY = 86400000 };

static struct bed bed;

static sqlite3 *file(const struct bed *b)
{
	sqlite3 *db;
	assert_int_equal(sqlite3_open(b->url + strlen("sqlite:"), &db), SQLITE_OK);
	return db;
}

/* The first column of all rows, joined. */
static const char *ask(const struct bed *b, const char *sql)
{
	static char answer[512];
	sqlite3 *db = file(b);
	sqlite3_stmt *st;
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	answer[0] = '\0';
	while (sqlite3_step(st) == SQLITE_ROW) {
		strcat(answer, answer[0] ? " " : "");
		strcat(answer, (const char *)sqlite3_column_text(st, 0));
	}
	sqlite3_finalize(st);
	sqlite3_close(db);
	return answer;
}

static void say(struct bed *b, const char *source, const char *id, const struct store_changes *changes)
{
	struct error e = {0};
	struct accept a = an_event(source, id, "x");
	struct store_changes c = *changes;
	a.at = runtime_now(b->rt);
	size_t before = b->count;
	bed_accept(b, &a);
	for (int i = 0; i < 100 && b->count == before; i++)
		bed_turn(b);
	c.delivery = b->got[before].n;
	bed_durable(b, queue_settle(b->queue, &c, &e));
}

static void nothing(void *arg, const struct rows *rows, const struct error *e)
{
	(void)rows;
	assert_null(e);
	*(int64_t *)arg += 1;
}

static void days(struct bed *b, int count, const char *reader)
{
	for (int i = 0; i < count; i++) {
		int64_t done = 0;
		runtime_advance(b->rt, DAY);
		store_look(b->store, &(struct look){.kind = LOOK_CURSOR, .id = text(reader)}, nothing, &done);
		bed_until(b, &done, 1);
	}
}

static struct store_changes of(int outcome)
{
	struct store_changes c = no_changes();
	c.outcome = outcome;
	return c;
}

static void who_has_gone_is_dropped(void **state)
{
	struct bed *b = *state;
	struct error e = {0};
	struct store_options o = {.dedup_keep_ms = 2LL * DAY, .inbox_keep_ms = 2LL * DAY, .records_keep_ms = 2LL * DAY};
	bed_open(b, &o);
	bed_consume(b, "engine");
	struct store_changes handled = of(OUTCOME_HANDLED);
	say(b, "idle", "e1", &handled);
	struct span boxes[] = {text("box"), text("reader")};
	struct store_event out = {.id = text("o1"), .body = text("{\"id\":\"o1\"}"), .inbox = boxes, .inboxes = 2};
	struct store_changes sends = handled;
	sends.events = &out;
	sends.event_count = 1;
	say(b, "sender", "e2", &sends);
	struct store_dead dead = {.target = text("thred:x"), .error = text("{\"code\":5000}")};
	struct store_changes fails = of(OUTCOME_ERROR);
	fails.dead = &dead;
	say(b, "failed", "e3", &fails);
	struct accept open = an_event("waits", "e4", "x");
	bed_accept(b, &open);
	struct span member = text("member");
	struct begun x = bed_begin_new(b, "t1", "p", 0, 0);
	struct store_changes c = no_changes();
	c.state = text("{}");
	c.members = &member;
	c.member_count = 1;
	bed_durable(b, store_commit(x.step, &c, &e));
	days(b, 2, "reader");
	const char all[] = "box failed idle member reader sender waits";
	assert_string_equal(ask(b, "select id from participant order by id"), all);
	days(b, 3, "reader");
	assert_string_equal(ask(b, "select id from participant order by id"), "failed member reader waits");
	assert_string_equal(ask(b, "select count(*) from inbox"), "1"); /* the reader's: it may come back for more */
	say(b, "idle", "e5", &handled);                                 /* back again, under another number */
	bed_close(b);
	bed_open(b, &o);
	bed_consume(b, "engine");
	say(b, "idle", "e6", &sends);
	assert_string_equal(ask(b, "select p.id from event e join participant p on p.n=e.source order by e.n"),
			    "failed waits idle idle");
	assert_string_equal(ask(b, "select p.id||i.k from inbox i join participant p on p.n=i.who order by 1"),
			    "box1 reader1 reader2");
	bed_close(b);
}

static void the_audit_goes_with_time_but_for_its_last_number(void **state)
{
	enum { OLD = 600 };
	struct bed *b = *state;
	struct error e = {0};
	struct store_options o = {.dedup_keep_ms = 2LL * DAY, .inbox_keep_ms = 2LL * DAY, .records_keep_ms = 2LL * DAY};
	bed_open(b, &o);
	for (int i = 0; i < OLD; i++)
		bed_durable(b, store_put_audit(b->store, runtime_now(b->rt), text("{}"), &e));
	days(b, 1, "reader");
	bed_durable(b, store_put_audit(b->store, runtime_now(b->rt), text("{}"), &e));
	assert_string_equal(ask(b, "select count(*)||' '||min(n)||' '||max(n) from audit"), "601 1 601");
	days(b, 2, "reader");
	assert_string_equal(ask(b, "select count(*)||' '||min(n)||' '||max(n) from audit"), "1 601 601");
	days(b, 4, "reader");
	bed_durable(b, store_put_audit(b->store, runtime_now(b->rt), text("{}"), &e));
	assert_string_equal(ask(b, "select n from audit"), "601 602");
	bed_close(b);
}

static void an_older_file_is_upgraded(void **state)
{
	struct bed *b = *state;
	struct error e = {0};
	bed_open(b, NULL);
	bed_consume(b, "engine");
	struct store_dead dead = {.target = text("thred:x"), .error = text("{\"code\":5000}")};
	struct store_changes fails = of(OUTCOME_ERROR);
	fails.dead = &dead;
	say(b, "ann", "e1", &fails);
	struct store_message message = {.topic = text("engine"), .target = text("offer:t"), .body = text("{}")};
	struct store_changes sends = no_changes();
	sends.messages = &message;
	sends.message_count = 1;
	bed_durable(b, queue_settle(b->queue, &sends, &e));
	bed_close(b);
	sqlite3 *db = file(b);
	assert_int_equal(sqlite3_exec(db,
				      "alter table queue drop column tries;alter table dead drop column attempts;"
				      "alter table participant drop column at;drop table run;"
				      "create index event_h on event(h) where source>0;"
				      "delete from meta where key in ('runs','indexed');pragma user_version=1",
				      NULL, NULL, NULL),
			 SQLITE_OK);
	sqlite3_close(db);
	bed_open(b, NULL);
	bed_consume(b, "engine");
	assert_string_equal(ask(b, "pragma user_version"), "3");
	assert_string_equal(ask(b, "select coalesce(attempts,1) from dead"), "1");
	assert_string_equal(ask(b, "select at from participant"), "1700000000000");
	for (int i = 0; i < 100 && b->count == 0; i++)
		bed_turn(b);
	assert_string_equal(b->got[0].target, "offer:t");
	struct accept again = an_event("ann", "e1", "x");
	again.at = runtime_now(b->rt);
	assert_int_equal(bed_accept(b, &again).kind, ACCEPT_DUPLICATE);
	say(b, "ann", "e2", &fails);
	assert_string_equal(ask(b, "select coalesce(attempts,1) from dead"), "1 1");
	bed_close(b);
}

/* Enough of them that most stand in a run, and are in memory no more after a start. */
static void a_duplicate_of_a_run_is_known(void **state)
{
	enum { EVENTS = RUN_EVENTS + 1000 };
	struct bed *b = *state;
	char id[32];
	bed_open(b, NULL);
	for (int i = 0; i < EVENTS; i++) {
		snprintf(id, sizeof id, "e%d", i);
		struct accept a = an_event("ann", id, "x");
		a.at = runtime_now(b->rt);
		assert_int_equal(bed_accept(b, &a).kind, ACCEPT_NEW);
	}
	bed_reopen(b);
	assert_string_equal(ask(b, "select value from meta where key='runs'"), "1");
	for (int i = 0; i < EVENTS; i += 97) {
		snprintf(id, sizeof id, "e%d", i);
		struct accept a = an_event("ann", id, "x"), other = an_event("ann", id, "y");
		a.at = other.at = runtime_now(b->rt);
		assert_int_equal(bed_accept(b, &a).kind, ACCEPT_DUPLICATE);
		assert_int_equal(bed_accept(b, &other).kind, ACCEPT_CONFLICT);
	}
	struct accept fresh = an_event("ann", "another", "x");
	fresh.at = runtime_now(b->rt);
	assert_int_equal(bed_accept(b, &fresh).kind, ACCEPT_NEW);
	bed_close(b);
}

struct found {
	int64_t done, next, n;
	char source[32];
};

static void on_found(void *arg, const struct rows *rows, const struct error *e)
{
	struct found *f = arg;
	assert_null(e);
	f->next = rows->next;
	f->n = rows->count ? rows->cells[0].number : 0;
	f->source[0] = '\0';
	if (rows->count && rows->cells[3].text.data)
		snprintf(f->source, sizeof f->source, "%.*s", (int)rows->cells[3].text.len, rows->cells[3].text.data);
	f->done = 1;
}

/* How many parts were looked at. */
static int find(struct bed *b, const char *id, struct found *f)
{
	int parts = 0;
	*f = (struct found){0};
	do {
		f->done = 0;
		store_look(b->store, &(struct look){.kind = LOOK_FIND, .id = text(id), .after = f->next}, on_found, f);
		bed_until(b, &f->done, 1);
		parts++;
	} while (!f->n && f->next);
	return parts;
}

static void an_event_is_found_by_its_id_in_parts(void **state)
{
	enum { PEOPLE = 1100, EMITTED = 20000, EACH = 1000 };
	struct bed *b = *state;
	struct error e = {0};
	struct found f;
	static struct store_event events[EACH];
	static char ids[EACH][16], bodies[EACH][32];
	bed_open(b, NULL);
	bed_consume(b, "engine");
	assert_int_equal(find(b, "e1", &f), 1); /* an empty store */
	for (int i = 0; i < PEOPLE; i++) {
		char who[16];
		snprintf(who, sizeof who, "p%d", i);
		struct store_changes handled = of(OUTCOME_HANDLED);
		say(b, who, i == PEOPLE - 1 ? "last" : "same", &handled);
	}
	for (int i = 0; i < EMITTED; i += EACH) {
		struct store_changes c = no_changes();
		for (int k = 0; k < EACH; k++) {
			snprintf(ids[k], sizeof ids[k], "o%d", i + k);
			snprintf(bodies[k], sizeof bodies[k], "{\"id\":\"o%d\"}", i + k);
			events[k] = (struct store_event){.id = text(ids[k]), .body = text(bodies[k])};
		}
		c.events = events;
		c.event_count = EACH;
		bed_durable(b, queue_settle(b->queue, &c, &e));
	}
	assert_int_equal(find(b, "same", &f), 1);
	assert_string_equal(f.source, "p0");
	assert_int_equal(find(b, "last", &f), 3);
	assert_string_equal(f.source, "p1099");
	assert_int_equal(find(b, "o19999", &f), 5); /* behind the participants */
	assert_int_equal(find(b, "o0", &f), 7);
	assert_string_equal(f.source, "");
	assert_int_equal(f.n, PEOPLE + 1);
	assert_int_equal(find(b, "nothing", &f), 7);
	assert_int_equal(f.n, 0);
	bed_close(b);
}

/* What threds of 4 KiB leave in the cache of live threds and in SQLite's pages: several times the cap is offered. */
static void caches_keep_to_their_caps(void **state)
{
	enum { CAP = 400000, THREDS = 500, SIZE = 4096 };
	struct bed *b = *state;
	struct store_options o = {.cache_bytes = CAP};
	struct error e = {0};
	char data[SIZE], id[32];
	int64_t ticket = 0;
	int pages = 0, highest = 0;
	bed_open(b, &o);
	const struct sqlite *s = (struct sqlite *)b->store;
	memset(data, 'x', sizeof data);
	data[0] = data[SIZE - 1] = '"';
	for (int i = 0; i < THREDS; i++) {
		snprintf(id, sizeof id, "thred%d", i);
		struct store_changes c = no_changes();
		c.state = (struct span){data, SIZE};
		ticket = store_commit(bed_begin_new(b, id, "p", 0, 0).step, &c, &e);
		if (i % 10 == 0)
			bed_durable(b, ticket);
	}
	bed_durable(b, ticket);
	store_abort(bed_begin(b, "thred0").step); /* who leaves makes room */
	assert_in_range(s->cache_bytes, CAP / 2, CAP);
	assert_int_equal(sqlite3_db_status(s->writer.db, SQLITE_DBSTATUS_CACHE_USED, &pages, &highest, 0), SQLITE_OK);
	assert_in_range(pages, CAP / 2, CAP + CAP / 4);
	bed_close(b);
}

int main(void)
{
	bed = (struct bed){.scheme = "sqlite:", .durable = true, .virtual_time = true};
	const struct CMUnitTest tests[] = {
		BED_TEST(who_has_gone_is_dropped),
		BED_TEST(the_audit_goes_with_time_but_for_its_last_number),
		BED_TEST(an_older_file_is_upgraded),
		BED_TEST(a_duplicate_of_a_run_is_known),
		BED_TEST(an_event_is_found_by_its_id_in_parts),
		BED_TEST(caches_keep_to_their_caps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
