/* SPDX-License-Identifier: MIT
 *
 * Scans that know what they look for: chains of threds' rows, look-ups by hash, inboxes, members.
 */
#include <stdlib.h>

#include "store/sqlite_scan.h"

enum { FEW = 16 };

/* Chains --------------------------------------------------------------------------------------------------------- */

/* True the first time. */
static bool is_news(struct scanning *x, int64_t n)
{
	size_t low = 0, high = x->told_count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (x->told[middle] == n)
			return false;
		if (x->told[middle] < n)
			low = middle + 1;
		else
			high = middle;
	}
	if (x->told_count == x->told_cap) {
		x->told_cap = x->told_cap ? x->told_cap * 2 : FEW;
		x->told = xrealloc(x->told, x->told_cap * sizeof *x->told);
	}
	for (size_t i = x->told_count++; i > low; i--)
		x->told[i] = x->told[i - 1];
	x->told[low] = n;
	return true;
}

#define CHAIN                                                                                                          \
	"with recursive c(n,prev,source,cause,k) as (select n,prev,source,cause,1 from event where n=?1 union all "    \
	"select e.n,e.prev,e.source,e.cause,c.k+1 from event e join c on e.n=c.prev where c.k<256) "
/* An event with several threds is in no chain: the row of its part is, and names it. */
static const char chained_events[] = CHAIN
	"select %s,c.k,coalesce(c.prev,0),c.source is null from c left join %s e on e.n=case when c.source is null "
	"then (select n from event x where x.n=c.cause and x.thred is null) else c.n end%s";
static const char chained_rows[] = CHAIN "select %s,c.k,coalesce(c.prev,0),0 from c join %s e on e.n=c.n%s";

/* The next rows of a thred's chain, which ends where there is no row before. */
static int links(struct scanning *x, sqlite3 *db)
{
	sqlite3_stmt *st;
	int rc = scan_prepare(db, x->scan.table == SCAN_EVENTS ? chained_events : chained_rows,
			      &scan_tables[x->scan.table], "", &st);
	if (rc != SQLITE_OK)
		return rc;
	int64_t deepest = 0, next = 0;
	int columns = EVENT_COLUMNS;
	sqlite3_bind_int64(st, 1, x->place);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW && !x->over) {
		if (sqlite3_column_int64(st, columns) > deepest) {
			deepest = sqlite3_column_int64(st, columns);
			next = sqlite3_column_int64(st, columns + 1);
		}
		bool has = sqlite3_column_type(st, EVENT_N) != SQLITE_NULL;
		bool skip = x->scan.table == SCAN_LOG && sqlite3_column_type(st, EVENT_REC) == SQLITE_NULL;
		if (has && !skip &&
		    (!sqlite3_column_int(st, columns + 2) || is_news(x, sqlite3_column_int64(st, EVENT_N))))
			scan_tell(x, st);
	}
	x->place = next;
	rc = scan_ended(st, rc);
	sqlite3_finalize(st);
	return rc;
}

int scan_chains(struct scanning *x, sqlite3 *db)
{
	static const char tip[] =
		"select last from thred where h=?2 and id=?1 union all select last from archive where h=?2 and "
		"id=?1 limit 1";
	int rc = SQLITE_OK;
	while (rc == SQLITE_OK && !x->over && uv_hrtime() < x->until) {
		if (!x->placed) {
			int64_t found[2];
			rc = scan_numbers(db, tip, x->scan.values[x->value], x->hashes[x->value], found);
			x->place = found[0];
			x->placed = true;
		}
		if (rc == SQLITE_OK && x->place)
			rc = links(x, db);
		if (!x->place) {
			x->placed = false;
			x->over |= ++x->value == x->scan.value_count;
		}
	}
	return rc;
}

/* Look-ups ------------------------------------------------------------------------------------------------------- */

static int by_hash(struct scanning *x, sqlite3_stmt *st, int64_t hash, struct span text, int64_t number)
{
	int rc;
	sqlite3_bind_int64(st, 1, hash);
	scan_bind_text(st, 2, text);
	sqlite3_bind_int64(st, 3, number);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW && !x->over)
		scan_tell(x, st);
	return scan_ended(st, rc);
}

int scan_threds_by_id(struct scanning *x, sqlite3 *db)
{
	sqlite3_stmt *st;
	int rc = scan_prepare(db, "select %s from %s e where e.h=?1 and e.id=?2%s", &scan_tables[x->scan.table], "",
			      &st);
	for (; rc == SQLITE_OK && !x->over && uv_hrtime() < x->until; x->over |= x->value == x->scan.value_count) {
		rc = by_hash(x, st, x->hashes[x->value], x->scan.values[x->value], 0);
		x->value++;
	}
	sqlite3_finalize(st);
	return rc;
}

static const char event_by_hash[] =
	"select %s from %s e where e.n in (select n from seen where h=?1) and e.h=?1 and e.source=%s";

/* From whom may it be? From those that are asked for, else from each participant. */
static int events_from(struct scanning *x, sqlite3 *db)
{
	sqlite3_stmt *st;
	const struct store_scan *scan = &x->scan;
	size_t pairs = scan->value_count * scan->source_count;
	int rc = scan_prepare(db, event_by_hash, &scan_tables[SCAN_EVENTS], "(select n from participant where id=?2)",
			      &st);
	for (; rc == SQLITE_OK && !x->over && x->value < pairs && uv_hrtime() < x->until; x->value++)
		rc = by_hash(x, st, x->hashes[2 * scan->value_count + x->value],
			     scan->sources[x->value / scan->value_count], 0);
	sqlite3_finalize(st);
	if (x->value == pairs)
		x->phase = 1;
	return rc;
}

static int events_from_anybody(struct scanning *x, sqlite3 *db)
{
	sqlite3_stmt *people, *st = NULL;
	int rc = sqlite3_prepare_v2(db, "select n,id from participant where n>? order by n", -1, &people, NULL);
	if (rc == SQLITE_OK)
		rc = scan_prepare(db, event_by_hash, &scan_tables[SCAN_EVENTS], "?3", &st);
	sqlite3_bind_int64(people, 1, x->place);
	int stepped = SQLITE_ROW;
	while (rc == SQLITE_OK && !x->over && uv_hrtime() < x->until &&
	       (stepped = sqlite3_step(people)) == SQLITE_ROW) {
		x->place = sqlite3_column_int64(people, 0);
		for (size_t i = 0; rc == SQLITE_OK && i < x->scan.value_count; i++)
			rc = by_hash(x, st,
				     (int64_t)sqlite_hash(x->read.s, sqlite_column(people, 1), x->scan.values[i]),
				     (struct span){NULL, 0}, x->place);
	}
	if (stepped == SQLITE_DONE)
		x->phase = 1;
	else if (rc == SQLITE_OK && stepped != SQLITE_ROW)
		rc = stepped;
	sqlite3_finalize(st);
	sqlite3_finalize(people);
	return rc;
}

/* What went out has no index by its id. */
int scan_events_by_id(struct scanning *x, sqlite3 *db)
{
	bool sent = !x->scan.source_count;
	for (size_t i = 0; i < x->scan.source_count; i++)
		sent |= span_same(x->scan.sources[i], span_of("SYSTEM"));
	if (x->phase == 0)
		return x->scan.source_count ? events_from(x, db) : events_from_anybody(x, db);
	x->over = !sent;
	return sent ? scan_strides(x, db, " and e.source=0 and e.h in (?7,?8,?9,?10,?11,?12,?13,?14)") : SQLITE_OK;
}

int scan_threds_of_person(struct scanning *x, sqlite3 *db)
{
	sqlite3_stmt *st;
	int rc = scan_prepare(db,
			      "select %s from member m join %s e on e.n=m.thred where m.who=(select n from participant "
			      "where id=?1) and m.thred<?2 order by m.thred desc%s",
			      &scan_tables[x->scan.table], "", &st);
	if (rc != SQLITE_OK)
		return rc;
	scan_bind_text(st, 1, x->scan.values[0]);
	sqlite3_bind_int64(st, 2, x->placed ? x->place : INT64_MAX);
	x->placed = true;
	bool goes_on = true;
	while (goes_on && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		x->place = sqlite3_column_int64(st, THRED_N);
		goes_on = scan_tell(x, st);
	}
	x->over |= rc == SQLITE_DONE;
	rc = scan_ended(st, rc);
	sqlite3_finalize(st);
	return rc;
}

static int inbox_of_person(struct scanning *x, sqlite3 *db)
{
	sqlite3_stmt *st;
	int64_t known[2];
	int rc = scan_numbers(db, "select n from participant where id=?1", x->scan.values[0], 0, known);
	bool is_known = known[0] != 0; /* else nobody told them anything that is still there */
	if (rc == SQLITE_OK)
		rc = scan_prepare(
			db,
			"select %s,i.k from inbox i join %s e on e.n=i.event where i.who=(select n from participant "
			"where id=?1) and i.k<?2 and e.at>=?3 order by i.k desc%s",
			&scan_tables[SCAN_EVENTS], "", &st);
	if (rc != SQLITE_OK)
		return rc;
	scan_bind_text(st, 1, x->scan.values[0]);
	sqlite3_bind_int64(st, 2, x->placed ? x->place : INT64_MAX);
	sqlite3_bind_int64(st, 3, x->cutoff);
	x->placed = true;
	bool goes_on = true;
	while (goes_on && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		x->place = sqlite3_column_int64(st, EVENT_COLUMNS);
		goes_on = scan_tell(x, st);
	}
	if (rc == SQLITE_DONE) {
		x->phase = 1;
		x->placed = false;
		x->scan.to = x->cutoff - 1;
		x->over |= !is_known;
	}
	rc = scan_ended(st, rc);
	sqlite3_finalize(st);
	return rc;
}

/* Inboxes forget sooner than records do: what may have left them is looked for among all. */
int scan_events_of_person(struct scanning *x, sqlite3 *db)
{
	return x->phase == 0 ? inbox_of_person(x, db) : scan_strides(x, db, " and e.source=0");
}
