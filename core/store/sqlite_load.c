/* SPDX-License-Identifier: MIT
 *
 * What memory knows of the disk: numbers, dictionaries, instance counters, timers; and the filters, which a worker builds
 * while the store works already. Read at a start, and again after a failure.
 */
#define XXH_STATIC_LINKING_ONLY
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdlib.h>
#include <string.h>

#include "store/sqlite.h"

typedef void row_fn(struct sqlite *s, sqlite3_stmt *st);

static int each(struct sqlite *s, const char *sql, row_fn *fn, struct error *e)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(s->writer.db, sql, -1, &st, NULL);
	if (rc != SQLITE_OK)
		return sqlite_fail(s->writer.db, e, "read", s->path);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		fn(s, st);
	if (rc != SQLITE_DONE)
		sqlite_fail(s->writer.db, e, "read", s->path);
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? 0 : -1;
}

static void numbers(struct sqlite *s, sqlite3_stmt *st)
{
	s->next_n = sqlite3_column_int64(st, 0) + 1;
	s->next_thred = sqlite3_column_int64(st, 1) + 1;
}

static void participant(struct sqlite *s, sqlite3_stmt *st)
{
	struct word *w = dict_put(&s->participants, sqlite3_column_int64(st, 3), sqlite_column(st, 0));
	w->at = sqlite3_column_int64(st, 4);
	w->seen = sqlite3_column_int64(st, 1);
	w->inbox = sqlite3_column_int64(st, 2);
	if (w->inbox < w->seen)
		w->inbox = w->seen;
}

static void word(struct sqlite *s, sqlite3_stmt *st)
{
	dict_add(&s->words, sqlite_column(st, 0));
}

static void start(struct sqlite *s, sqlite3_stmt *st)
{
	struct word *w = dict_get(&s->words, sqlite3_column_int64(st, 0));
	if (w)
		w->last = sqlite3_column_int64(st, 1);
}

static void thred(struct sqlite *s, sqlite3_stmt *st)
{
	struct word *w = dict_get(&s->words, sqlite3_column_int64(st, 2));
	if (w && sqlite3_column_int(st, 3) == THRED_ACTIVE)
		w->live++;
	int64_t due = sqlite3_column_int64(st, 4);
	if (due)
		due_set(&s->due, sqlite3_column_int64(st, 0), sqlite_column(st, 1), due);
}

/* An event that stands in no run yet. */
static void recent(struct sqlite *s, sqlite3_stmt *st)
{
	struct accept a = {.id = sqlite_column(st, 4)};
	sqlite_seen_add(s, (uint64_t)sqlite3_column_int64(st, 1), &a, sqlite3_column_int64(st, 2),
			sqlite3_column_int64(st, 3), sqlite3_column_int64(st, 0));
}

static void run_number(struct sqlite *s, sqlite3_stmt *st)
{
	s->run_sequence = sqlite3_column_int64(st, 0);
}

int sqlite_load(struct sqlite *s, struct error *e)
{
	XXH3_generateSecret(s->secret, sizeof s->secret, s->key, sizeof s->key);
	if (each(s,
		 "select max(coalesce((select max(n) from event),0),coalesce((select max(n) from queue),0),"
		 "coalesce((select max(n) from dead),0),coalesce((select value from meta where key='last_n'),0)),"
		 "max(coalesce((select max(n) from thred),0),coalesce((select max(n) from archive),0),"
		 "coalesce((select value from meta where key='last_thred'),0))",
		 numbers, e) ||
	    each(s, "select id,seen,(select max(k) from inbox where who=p.n),n,at from participant p order by n",
		 participant, e) ||
	    each(s, "select text from word order by n", word, e) ||
	    each(s, "select pattern,last from starts", start, e) ||
	    each(s, "select n,id,pattern,status,due from thred", thred, e) ||
	    each(s, "select value from meta where key='runs'", run_number, e) ||
	    each(s,
		 "select n,h,source,content,json_extract(body,'$.id') from event where source>0 and "
		 "n>coalesce((select value from meta where key='indexed'),0) order by n",
		 recent, e))
		return -1;
	s->durable_n = s->next_n - 1;
	return 0;
}

void sqlite_forget(struct sqlite *s)
{
	dict_clear(&s->participants);
	dict_clear(&s->words);
	meters_forget(&s->meters);
	due_clear(&s->due);
	sqlite_seen_clear(s);
	memset(s->retried, 0, sizeof s->retried);
	filter_destroy(&s->events_seen);
	filter_destroy(&s->threds_seen);
	free(s->late_events);
	free(s->late_threds);
	s->late_events = s->late_threds = NULL;
	s->late_events_len = s->late_events_cap = s->late_threds_len = s->late_threds_cap = 0;
}

struct build {
	struct sqlite_read read;
	struct filter events, threds;
};

static int fill_from_runs(sqlite3 *db, struct filter *f)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(db, "select body from run", -1, &st, NULL);
	if (rc != SQLITE_OK)
		return rc;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		const char *body = sqlite3_column_blob(st, 0);
		size_t len = (size_t)sqlite3_column_bytes(st, 0);
		struct run_entry e;
		for (size_t i = 0; i + sizeof e <= len; i += sizeof e) {
			memcpy(&e, body + i, sizeof e);
			filter_add(f, (uint64_t)e.hash);
		}
	}
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int fill(sqlite3 *db, const char *sql, struct filter *f)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
	if (rc != SQLITE_OK)
		return rc;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		filter_add(f, (uint64_t)sqlite3_column_int64(st, 0));
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static void build_work(struct sqlite_read *read, struct sqlite_reader *r)
{
	struct build *b = (struct build *)read;
	filter_create(&b->events, 0);
	filter_create(&b->threds, 0);
	read->rc = fill_from_runs(r->db, &b->events); /* the others are in memory since the start */
	if (read->rc == SQLITE_OK)
		read->rc = fill(r->db, "select h from thred union all select h from archive", &b->threds);
}

static void install(struct filter *to, struct filter *from, uint64_t **late, size_t *len)
{
	*to = *from;
	for (size_t i = 0; i < *len; i++)
		filter_add(to, (*late)[i]);
	free(*late);
	*late = NULL;
	*len = 0;
}

static void build_done(struct sqlite_read *read)
{
	struct build *b = (struct build *)read;
	struct sqlite *s = read->s;
	/* On an error the filters stay unbuilt: slower, not wrong. */
	if (read->rc == SQLITE_OK && read->epoch == s->epoch && !s->closed) {
		install(&s->events_seen, &b->events, &s->late_events, &s->late_events_len);
		install(&s->threds_seen, &b->threds, &s->late_threds, &s->late_threds_len);
		s->late_events_cap = s->late_threds_cap = 0;
	} else {
		filter_destroy(&b->events);
		filter_destroy(&b->threds);
	}
	free(b);
}

void sqlite_load_filters(struct sqlite *s)
{
	struct build *b = xcalloc(1, sizeof *b);
	b->read.work = build_work;
	b->read.done = build_done;
	sqlite_read(s, &b->read);
}
