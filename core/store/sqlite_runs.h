/* SPDX-License-Identifier: MIT
 *
 * Runs: the index of events by the hash of (source, id), as sorted runs beside the events. Row numbers of event n up to
 * meta's 'indexed' stand in runs; later ones are in memory (the last 64 k ids, of which those not in a run are a part) and
 * are read again at a start. Why no index in SQL: each of its entries is a page of its own to be written, to the log and
 * from there to the file: a fifth of what a step wrote to the log, with 10,000 threds and 100,000 events.
 *
 * Each RUN_EVENTS events their entries, sorted, are written at once: a row for each bucket (the hash's first bits), so that
 * a look-up reads one range of keys. Rows of one bucket are merged while they are small; what housekeeping took away goes
 * at a merge.
 */
#ifndef SRVTHREDS_SQLITE_RUNS_H
#define SRVTHREDS_SQLITE_RUNS_H

#include <sqlite3.h>
#include <stdint.h>

#include "store/batch.h"

/* As it stands in a row: of a machine with the lowest byte first, as all are that we run on. */
struct run_entry {
	int64_t hash, n;
};

enum { RUN_EVENTS = 16384, RUN_BUCKET_BITS = 10 };
#define RUN_SEQUENCES ((int64_t)1 << 40)

/* Rows of a bucket lie side by side, by their sequence numbers. */
static inline int64_t run_key(int64_t hash, int64_t sequence)
{
	return (int64_t)((uint64_t)hash >> (64 - RUN_BUCKET_BITS)) * RUN_SEQUENCES + sequence;
}

/* A run on its way to disk. Rows of event up to `swept` may be gone. */
struct op_run {
	struct op op;
	int64_t sequence, upto, swept;
	size_t count;
	struct run_entry *entries; /* any order; in the batch's arena, sorted there by the writer */
};

/* Writer thread, within its transaction. A SQLite code. */
int sqlite_runs_write(sqlite3 *db, struct op_run *run);
/* What an older file's index event_h holds, in its place; at the upgrade, within its transaction. */
int sqlite_runs_build(sqlite3 *db);
/* For each connection that looks events up. */
int sqlite_seen_define(sqlite3 *db);

#endif
