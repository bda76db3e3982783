/* SPDX-License-Identifier: MIT
 *
 * seen: the table-valued function by which SQL finds events by the hash of their source and id.
 *   select n from seen where h=?            numbers of rows that may be it
 *   select n from seen where h=? and old=1  of those only that stand in runs: whoever knows the others already
 * It looks into the runs (sqlite_runs.c), then at the events that no run holds yet: those of one connection are read once
 * and kept until a run has them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "store/sqlite_runs.h"

enum { COLUMN_N, COLUMN_H, COLUMN_OLD };

struct seen_table {
	sqlite3_vtab base;
	sqlite3 *db;
	sqlite3_stmt *runs, *indexed, *events;
	struct run_entry *tail; /* owned; by n */
	size_t len, cap;
};

struct seen_cursor {
	sqlite3_vtab_cursor base;
	int64_t *found; /* owned */
	size_t len, cap, at;
};

static int seen_connect(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **message)
{
	(void)aux;
	(void)argc;
	(void)argv;
	(void)message;
	int rc = sqlite3_declare_vtab(db, "create table seen(n int,h int hidden,old int hidden)");
	if (rc != SQLITE_OK)
		return rc;
	struct seen_table *t = xcalloc(1, sizeof *t);
	t->db = db;
	*out = &t->base;
	return SQLITE_OK;
}

static int seen_disconnect(sqlite3_vtab *base)
{
	struct seen_table *t = (struct seen_table *)base;
	sqlite3_finalize(t->runs);
	sqlite3_finalize(t->indexed);
	sqlite3_finalize(t->events);
	free(t->tail);
	free(t);
	return SQLITE_OK;
}

/* Argument 1 is h, argument 2, if there is one, is `old`. */
static int seen_plan(sqlite3_vtab *base, sqlite3_index_info *info)
{
	(void)base;
	int h = -1, old = -1;
	for (int i = 0; i < info->nConstraint; i++) {
		if (info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ || !info->aConstraint[i].usable)
			continue;
		if (info->aConstraint[i].iColumn == COLUMN_H)
			h = i;
		else if (info->aConstraint[i].iColumn == COLUMN_OLD)
			old = i;
	}
	if (h < 0)
		return SQLITE_CONSTRAINT; /* another plan, please: there is no list of all */
	info->aConstraintUsage[h].argvIndex = 1;
	info->aConstraintUsage[h].omit = 1;
	if (old >= 0) {
		info->aConstraintUsage[old].argvIndex = 2;
		info->aConstraintUsage[old].omit = 1;
	}
	info->estimatedCost = 100;
	info->estimatedRows = 1;
	return SQLITE_OK;
}

static int seen_open(sqlite3_vtab *base, sqlite3_vtab_cursor **out)
{
	(void)base;
	struct seen_cursor *c = xcalloc(1, sizeof *c);
	*out = &c->base;
	return SQLITE_OK;
}

static int seen_close(sqlite3_vtab_cursor *base)
{
	free(((struct seen_cursor *)base)->found);
	free(base);
	return SQLITE_OK;
}

static void found(struct seen_cursor *c, int64_t n)
{
	if (c->len == c->cap) {
		c->cap = c->cap ? c->cap * 2 : 4;
		c->found = xrealloc(c->found, c->cap * sizeof *c->found);
	}
	c->found[c->len++] = n;
}

static int use(sqlite3 *db, sqlite3_stmt **st, const char *sql)
{
	return *st ? SQLITE_OK : sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, st, NULL);
}

static int ended(sqlite3_stmt *st, int rc)
{
	int reset = sqlite3_reset(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : reset;
}

/* They lie in SQLite's page, at any address. */
static struct run_entry entry_at(const char *body, size_t i)
{
	struct run_entry e;
	memcpy(&e, body + i * sizeof e, sizeof e);
	return e;
}

static void look_into_run(struct seen_cursor *c, const char *body, size_t len, int64_t hash)
{
	size_t low = 0, high = len;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if ((uint64_t)entry_at(body, middle).hash < (uint64_t)hash)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < len && entry_at(body, low).hash == hash; low++)
		found(c, entry_at(body, low).n);
}

static int look_into_runs(struct seen_table *t, struct seen_cursor *c, int64_t hash)
{
	int rc = use(t->db, &t->runs, "select body from run where k between ?1 and ?2");
	if (rc != SQLITE_OK)
		return rc;
	sqlite3_bind_int64(t->runs, 1, run_key(hash, 0));
	sqlite3_bind_int64(t->runs, 2, run_key(hash, RUN_SEQUENCES - 1));
	while ((rc = sqlite3_step(t->runs)) == SQLITE_ROW) {
		const char *body = sqlite3_column_blob(t->runs, 0);
		look_into_run(c, body, (size_t)sqlite3_column_bytes(t->runs, 0) / sizeof(struct run_entry), hash);
	}
	return ended(t->runs, rc);
}

static void forget_up_to(struct seen_table *t, int64_t n)
{
	size_t gone = 0;
	while (gone < t->len && t->tail[gone].n <= n)
		gone++;
	if (!gone)
		return;
	t->len -= gone;
	memmove(t->tail, t->tail + gone, t->len * sizeof *t->tail);
}

/* What was written since the last look. */
static int read_tail(struct seen_table *t)
{
	int64_t from = 0;
	int rc = use(t->db, &t->indexed, "select value from meta where key='indexed'");
	if (rc == SQLITE_OK)
		rc = use(t->db, &t->events, "select n,h from event where n>? and source>0 order by n");
	if (rc != SQLITE_OK)
		return rc;
	rc = sqlite3_step(t->indexed);
	if (rc == SQLITE_ROW)
		from = sqlite3_column_int64(t->indexed, 0);
	rc = ended(t->indexed, rc);
	if (rc != SQLITE_OK)
		return rc;
	forget_up_to(t, from);
	sqlite3_bind_int64(t->events, 1, t->len ? t->tail[t->len - 1].n : from);
	while ((rc = sqlite3_step(t->events)) == SQLITE_ROW) {
		if (t->len == t->cap) {
			t->cap = t->cap ? t->cap * 2 : 1024;
			t->tail = xrealloc(t->tail, t->cap * sizeof *t->tail);
		}
		t->tail[t->len++] = (struct run_entry){sqlite3_column_int64(t->events, 1),
						       sqlite3_column_int64(t->events, 0)};
	}
	return ended(t->events, rc);
}

static int seen_filter(sqlite3_vtab_cursor *base, int plan, const char *name, int argc, sqlite3_value **argv)
{
	(void)plan;
	(void)name;
	struct seen_cursor *c = (struct seen_cursor *)base;
	struct seen_table *t = (struct seen_table *)base->pVtab;
	int64_t hash = sqlite3_value_int64(argv[0]);
	c->len = c->at = 0;
	int rc = look_into_runs(t, c, hash);
	if (rc != SQLITE_OK || (argc > 1 && sqlite3_value_int(argv[1])))
		return rc;
	rc = read_tail(t);
	for (size_t i = 0; rc == SQLITE_OK && i < t->len; i++)
		if (t->tail[i].hash == hash)
			found(c, t->tail[i].n);
	return rc;
}

static int seen_next(sqlite3_vtab_cursor *base)
{
	((struct seen_cursor *)base)->at++;
	return SQLITE_OK;
}

static int seen_eof(sqlite3_vtab_cursor *base)
{
	struct seen_cursor *c = (struct seen_cursor *)base;
	return c->at >= c->len;
}

static int seen_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
	struct seen_cursor *c = (struct seen_cursor *)base;
	if (column == COLUMN_N)
		sqlite3_result_int64(context, c->found[c->at]);
	return SQLITE_OK;
}

static int seen_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *row)
{
	*row = (sqlite3_int64)((struct seen_cursor *)base)->at;
	return SQLITE_OK;
}

int sqlite_seen_define(sqlite3 *db)
{
	static const sqlite3_module module = {
		.xConnect = seen_connect,
		.xBestIndex = seen_plan,
		.xDisconnect = seen_disconnect,
		.xOpen = seen_open,
		.xClose = seen_close,
		.xFilter = seen_filter,
		.xNext = seen_next,
		.xEof = seen_eof,
		.xColumn = seen_column,
		.xRowid = seen_rowid,
	};
	return sqlite3_create_module(db, "seen", &module, NULL);
}
