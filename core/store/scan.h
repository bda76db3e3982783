/* SPDX-License-Identifier: MIT
 *
 * scan: the store's rows, read for who wants to look through them: newest first, a part of some ms at a time, each on a
 * worker thread with a snapshot of its own, so that neither writer nor loop nor checkpoint waits. Committed rows only.
 *
 *   store_scan(s, &scan)     loop thread; copied, but what `values` and `sources` point to is kept until `done`
 *   scan.row(arg, cells)     worker thread: a row, its cells as the table's columns, borrowed; NULL before each part; false:
 *                            no more
 *   scan.done(arg, e)        loop thread, once, never from within store_scan
 */
#ifndef SRVTHREDS_STORE_SCAN_H
#define SRVTHREDS_STORE_SCAN_H

#include "store/store.h"

enum scan_table {
	SCAN_EVENTS, /* what came in or went out */
	SCAN_LOG,    /* event rows with a record, of messages and timers too */
	SCAN_THREDS,
	SCAN_ARCHIVE,
	SCAN_DEAD,
	SCAN_AUDIT,
	SCAN_PATTERNS,
	SCAN_USERS,
	SCAN_CONFIG,
	SCAN_TABLES
};

/* The columns, in the order of a row's cells. */
enum {
	EVENT_N,
	EVENT_AT,
	EVENT_SOURCE, /* absent: it went out */
	EVENT_OUTCOME,
	EVENT_STEP,
	EVENT_THRED,
	EVENT_REC,
	EVENT_BODY, /* SCAN_LOG: of the event it is about */
	EVENT_PATTERN,
	EVENT_COLUMNS
};
enum {
	THRED_ID,
	THRED_N,
	THRED_PATTERN,
	THRED_VERSION,
	THRED_REACTION,
	THRED_STATUS,
	THRED_STEP,
	THRED_STARTED,
	THRED_REACTED,
	THRED_DUE,
	THRED_STATE,
	THRED_ENDED,
	THRED_COLUMNS
};
enum {
	DEAD_N,
	DEAD_AT,
	DEAD_TARGET,
	DEAD_PATTERN,
	DEAD_REACTION,
	DEAD_VERSION,
	DEAD_ERROR,
	DEAD_ATTEMPTS,
	DEAD_SOURCE,
	DEAD_BODY,
	DEAD_COLUMNS
};
enum { AUDIT_N, AUDIT_AT, AUDIT_RECORD, AUDIT_COLUMNS };
enum {
	PATTERN_HASH,
	PATTERN_ID,
	PATTERN_AT,
	PATTERN_FILE,
	PATTERN_ACTIVE,
	PATTERN_ENABLED,
	PATTERN_FILES,
	PATTERN_COLUMNS
};
enum { USER_ID, USER_FACTS, USER_GROUPS, USER_AT, USER_COLUMNS };
enum { CONFIG_KEY, CONFIG_VALUE, CONFIG_COLUMNS };

enum scan_by {
	SCAN_ALL,
	SCAN_IDS,   /* events, threds, archive */
	SCAN_CHAIN, /* events, log: of these threds; SCAN_EVENTS also what had several threds, of which one is it */
	SCAN_PERSON /* events: told to; threds, archive: takes part. One value only */
};

struct store_scan {
	enum scan_table table;
	enum scan_by by;
	const struct span *values;  /* what `by` asks for */
	const struct span *sources; /* SCAN_IDS of events: from these only */
	size_t value_count, source_count;
	int64_t from, to;    /* SCAN_ALL: `at` between, both ends included; not of threds */
	struct span pattern; /* SCAN_ALL of threds: only of this one */
	int status;          /* the same; 0 = any */
	bool upward;         /* SCAN_ALL: oldest first */
	bool (*row)(void *arg, const struct cell *cells);
	void (*done)(void *arg, const struct error *e);
	void *arg;
};
/* SCAN_IDS of events takes so many values at most. */
enum { SCAN_IDS_MAX = 8 };

void store_scan(struct store *s, const struct store_scan *scan);
/* Keeps the memory of the store, so that a scan may be asked for when it is closed, and is told so. */
void store_hold(struct store *s);
void store_release(struct store *s);

#endif
