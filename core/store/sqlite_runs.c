/* SPDX-License-Identifier: MIT
 *
 * Writing runs: a few thousand entries at once, into rows of their buckets.
 */
#include "store/sqlite_runs.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"

/* A bucket's rows are merged at every 16th run, 64 buckets with each; a row of 1,024 entries is left as it is. */
enum { MERGE_EVERY = 16, LARGE = 1024 };

struct entries {
	struct run_entry *list; /* owned */
	size_t len, cap;
};

struct writing {
	sqlite3 *db;
	sqlite3_stmt *insert, *rows, *drop, *exists;
	int64_t swept;
	struct entries merged;
	int64_t *gone; /* keys of the rows that were merged; owned */
	size_t gone_len, gone_cap;
};

static int by_hash(const void *a, const void *b)
{
	const struct run_entry *x = a, *y = b;
	if (x->hash != y->hash)
		return (uint64_t)x->hash < (uint64_t)y->hash ? -1 : 1;
	return x->n < y->n ? -1 : x->n > y->n;
}

static void add(struct entries *e, const void *list, size_t count)
{
	if (e->len + count > e->cap) {
		e->cap = (e->len + count) * 2;
		e->list = xrealloc(e->list, e->cap * sizeof *e->list);
	}
	memcpy(e->list + e->len, list, count * sizeof *e->list); /* SQLite's lie at any address */
	e->len += count;
}

static int done(sqlite3_stmt *st)
{
	int rc = sqlite3_step(st), reset = sqlite3_reset(st);
	return rc == SQLITE_DONE ? SQLITE_OK : reset;
}

static int put_row(sqlite3_stmt *insert, int64_t key, const struct run_entry *list, size_t count)
{
	sqlite3_bind_int64(insert, 1, key);
	sqlite3_bind_blob64(insert, 2, list, count * sizeof *list, SQLITE_STATIC);
	return done(insert);
}

/* Drops what housekeeping took away from the end of the list, from `from` on. */
static int keep_living(struct writing *w, struct entries *e, size_t from)
{
	size_t kept = from;
	for (size_t i = from; i < e->len; i++) {
		if (e->list[i].n <= w->swept) {
			sqlite3_bind_int64(w->exists, 1, e->list[i].n);
			int rc = sqlite3_step(w->exists), reset = sqlite3_reset(w->exists);
			if (rc == SQLITE_DONE)
				continue;
			if (rc != SQLITE_ROW)
				return reset;
		}
		e->list[kept++] = e->list[i];
	}
	e->len = kept;
	return SQLITE_OK;
}

static void remember_gone(struct writing *w, int64_t key)
{
	if (w->gone_len == w->gone_cap) {
		w->gone_cap = w->gone_cap ? w->gone_cap * 2 : 64;
		w->gone = xrealloc(w->gone, w->gone_cap * sizeof *w->gone);
	}
	w->gone[w->gone_len++] = key;
}

/* A row: into the merged ones, if it is small or half of it is gone. */
static int take_row(struct writing *w)
{
	const void *list = sqlite3_column_blob(w->rows, 1);
	size_t count = (size_t)sqlite3_column_bytes(w->rows, 1) / sizeof(struct run_entry), before = w->merged.len;
	if (count >= LARGE && !w->swept)
		return SQLITE_OK;
	add(&w->merged, list, count);
	int rc = keep_living(w, &w->merged, before);
	size_t living = w->merged.len - before;
	if (count >= LARGE && living > count / 2)
		w->merged.len = before;
	else
		remember_gone(w, sqlite3_column_int64(w->rows, 0));
	return rc;
}

static int take_rows(struct writing *w, int64_t hash)
{
	int rc;
	sqlite3_bind_int64(w->rows, 1, run_key(hash, 0));
	sqlite3_bind_int64(w->rows, 2, run_key(hash, RUN_SEQUENCES - 1));
	while ((rc = sqlite3_step(w->rows)) == SQLITE_ROW) {
		rc = take_row(w);
		if (rc != SQLITE_OK)
			break;
	}
	int reset = sqlite3_reset(w->rows);
	return rc == SQLITE_DONE ? SQLITE_OK : rc != SQLITE_OK ? rc : reset;
}

/* The bucket's rows and these entries become one row. */
static int merge(struct writing *w, const struct run_entry *list, size_t count, int64_t key)
{
	w->merged.len = w->gone_len = 0;
	int rc = take_rows(w, list->hash);
	for (size_t i = 0; rc == SQLITE_OK && i < w->gone_len; i++) {
		sqlite3_bind_int64(w->drop, 1, w->gone[i]);
		rc = done(w->drop);
	}
	if (rc != SQLITE_OK)
		return rc;
	add(&w->merged, list, count);
	qsort(w->merged.list, w->merged.len, sizeof *w->merged.list, by_hash);
	return put_row(w->insert, key, w->merged.list, w->merged.len);
}

static int write_buckets(struct writing *w, const struct op_run *run)
{
	int rc = SQLITE_OK;
	for (size_t i = 0, end; rc == SQLITE_OK && i < run->count; i = end) {
		int64_t key = run_key(run->entries[i].hash, run->sequence);
		for (end = i + 1; end < run->count && run_key(run->entries[end].hash, run->sequence) == key;)
			end++;
		if ((key / RUN_SEQUENCES - run->sequence) % MERGE_EVERY == 0)
			rc = merge(w, run->entries + i, end - i, key);
		else
			rc = put_row(w->insert, key, run->entries + i, end - i);
	}
	return rc;
}

static int prepare(struct writing *w)
{
	const struct {
		sqlite3_stmt **st;
		const char *sql;
	} all[] = {
		{&w->insert, "insert into run values(?,?)"},
		{&w->rows, "select k,body from run where k between ? and ?"},
		{&w->drop, "delete from run where k=?"},
		{&w->exists, "select 1 from event where n=?"},
	};
	int rc = SQLITE_OK;
	for (size_t i = 0; rc == SQLITE_OK && i < sizeof all / sizeof *all; i++)
		rc = sqlite3_prepare_v2(w->db, all[i].sql, -1, all[i].st, NULL);
	return rc;
}

static int put_number(sqlite3 *db, const char *key, int64_t value)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(db, "insert or replace into meta values(?,?)", -1, &st, NULL);
	if (rc != SQLITE_OK)
		return rc;
	sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, value);
	rc = done(st);
	sqlite3_finalize(st);
	return rc;
}

static int put_numbers(sqlite3 *db, int64_t upto, int64_t sequence)
{
	int rc = put_number(db, "indexed", upto);
	return rc == SQLITE_OK ? put_number(db, "runs", sequence) : rc;
}

int sqlite_runs_write(sqlite3 *db, struct op_run *run)
{
	struct writing w = {.db = db, .swept = run->swept};
	qsort(run->entries, run->count, sizeof *run->entries, by_hash);
	int rc = prepare(&w);
	if (rc == SQLITE_OK)
		rc = write_buckets(&w, run);
	if (rc == SQLITE_OK)
		rc = put_numbers(db, run->upto, run->sequence);
	sqlite3_finalize(w.insert);
	sqlite3_finalize(w.rows);
	sqlite3_finalize(w.drop);
	sqlite3_finalize(w.exists);
	free(w.merged.list);
	free(w.gone);
	return rc;
}

/* Rows of buckets from entries in the order of their hashes: as many as are needed. */
static int build_rows(sqlite3_stmt *from, sqlite3_stmt *insert, int64_t *sequence, int64_t *upto)
{
	struct run_entry list[LARGE];
	size_t count = 0;
	int rc, wrote = SQLITE_OK;
	while (wrote == SQLITE_OK && (rc = sqlite3_step(from)) == SQLITE_ROW) {
		struct run_entry e = {sqlite3_column_int64(from, 0), sqlite3_column_int64(from, 1)};
		if (count == LARGE || (count && run_key(e.hash, 0) != run_key(list->hash, 0))) {
			wrote = put_row(insert, run_key(list->hash, ++*sequence), list, count);
			count = 0;
		}
		list[count++] = e;
		*upto = e.n > *upto ? e.n : *upto;
	}
	if (wrote != SQLITE_OK || rc != SQLITE_DONE)
		return wrote != SQLITE_OK ? wrote : rc;
	return count ? put_row(insert, run_key(list->hash, ++*sequence), list, count) : SQLITE_OK;
}

int sqlite_runs_build(sqlite3 *db)
{
	/* In the order of the index, so that nothing is sorted; as unsigned numbers those below 0 come last. */
	static const char *const halves[] = {
		"select h,n from event indexed by event_h where source>0 and h>=0 order by h",
		"select h,n from event indexed by event_h where source>0 and h<0 order by h",
	};
	sqlite3_stmt *insert = NULL;
	int64_t sequence = 0, upto = 0;
	int rc = sqlite3_prepare_v2(db, "insert into run values(?,?)", -1, &insert, NULL);
	for (size_t i = 0; rc == SQLITE_OK && i < 2; i++) {
		sqlite3_stmt *from = NULL;
		rc = sqlite3_prepare_v2(db, halves[i], -1, &from, NULL);
		if (rc == SQLITE_OK)
			rc = build_rows(from, insert, &sequence, &upto);
		sqlite3_finalize(from);
	}
	sqlite3_finalize(insert);
	if (rc == SQLITE_OK)
		rc = put_numbers(db, upto, sequence);
	return rc == SQLITE_OK ? sqlite3_exec(db, "drop index event_h", NULL, NULL, NULL) : rc;
}
