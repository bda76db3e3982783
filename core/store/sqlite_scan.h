/* SPDX-License-Identifier: MIT
 *
 * sqlite_scan: what the files of a scan (store/sqlite_scan*.c) share; nobody else includes it. Worker threads, one at a time.
 */
#ifndef SRVTHREDS_SQLITE_SCAN_H
#define SRVTHREDS_SQLITE_SCAN_H

#include "store/scan.h"
#include "store/sqlite.h"

/* What a scan is in SQL. Strides: ?1 < n <= ?2, at between ?3 and ?4, pattern ?5, status ?6. */
struct scan_sql {
	const char *cells, *name, *where;
	int columns;
};
extern const struct scan_sql scan_tables[SCAN_TABLES];

struct scanning {
	struct sqlite_read read;
	struct store_scan scan;
	int64_t low, high, place; /* strides: of the table; where it goes on; else what the phase remembers */
	int64_t *hashes;          /* of the values, (SYSTEM, value) behind them, of the sources' behind those; owned */
	int64_t cutoff;           /* SCAN_PERSON of events: what is older may have left the inbox */
	size_t value;             /* which of the values, of the sources */
	int phase;
	bool placed, over, refused;
	uint64_t until; /* the part's end, but for the first few rows: a busy machine may let no time pass for it */
	unsigned rows;  /* of the part */
	int64_t *told;  /* events with several threds, each told once; sorted, owned */
	size_t told_count, told_cap;
};

/* sqlite_scan_rows.c. Those that return an int give a SQLite code. */
bool scan_tell(struct scanning *x, sqlite3_stmt *st); /* hands the row over; false: the part, or the scan, is over */
int scan_ended(sqlite3_stmt *st, int rc);             /* resets; a row or the end is no error */
int scan_prepare(sqlite3 *db, const char *format, const struct scan_sql *t, const char *more, sqlite3_stmt **st);
void scan_bind_text(sqlite3_stmt *st, int at, struct span s);
/* Two numbers, 0 if there is no row. */
int scan_numbers(sqlite3 *db, const char *sql, struct span text, int64_t n, int64_t out[2]);
/* One stride after another of a table with row numbers, until the time of the part is over. */
int scan_strides(struct scanning *x, sqlite3 *db, const char *more);

/* sqlite_scan_by.c: a part of what the scan's `by` asks for */
int scan_chains(struct scanning *x, sqlite3 *db);
int scan_threds_by_id(struct scanning *x, sqlite3 *db);
int scan_events_by_id(struct scanning *x, sqlite3 *db);
int scan_threds_of_person(struct scanning *x, sqlite3 *db);
int scan_events_of_person(struct scanning *x, sqlite3 *db);

#endif
