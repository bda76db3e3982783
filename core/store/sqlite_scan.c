/* SPDX-License-Identifier: MIT
 *
 * Scans: a part of some ms on a reader, then the loop, then the next part.
 */
#include <stdlib.h>

#include "store/sqlite_scan.h"

enum { PART_NS = 15000000 };

/* A few rows of a query, all at once. */
static int whole(struct scanning *x, sqlite3 *db)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(db, scan_tables[x->scan.table].name, -1, &st, NULL);
	if (rc != SQLITE_OK)
		return rc;
	x->until = UINT64_MAX;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW && scan_tell(x, st))
		;
	x->over = true;
	rc = scan_ended(st, rc);
	sqlite3_finalize(st);
	return rc;
}

/* Parts ---------------------------------------------------------------------------------------------------------- */

static int part(struct scanning *x, sqlite3 *db)
{
	bool events = x->scan.table == SCAN_EVENTS;
	if (!scan_tables[x->scan.table].cells)
		return whole(x, db);
	switch (x->scan.by) {
	case SCAN_IDS:
		return events ? scan_events_by_id(x, db) : scan_threds_by_id(x, db);
	case SCAN_CHAIN:
		return scan_chains(x, db);
	case SCAN_PERSON:
		return events ? scan_events_of_person(x, db) : scan_threds_of_person(x, db);
	default:
		return scan_strides(x, db, "");
	}
}

static void work(struct sqlite_read *read, struct sqlite_reader *r)
{
	struct scanning *x = (struct scanning *)read;
	x->until = uv_hrtime() + PART_NS;
	x->rows = 0;
	x->over = !x->scan.row(x->scan.arg, NULL);
	read->rc = x->refused ? SQLITE_INTERRUPT : x->over ? SQLITE_OK : part(x, r->db);
}

static void done(struct sqlite_read *read)
{
	struct scanning *x = (struct scanning *)read;
	struct sqlite *s = read->s;
	if (read->rc == SQLITE_OK && !x->over && !s->closing) {
		sqlite_read(s, read);
		return;
	}
	bool failed = read->rc != SQLITE_OK || !x->over;
	x->scan.done(x->scan.arg, !failed ? NULL : s->closing ? &s->reason : &read->error);
	free(x->told);
	free(x->hashes);
	free(x);
}

/* Everything that needs the store's memory is worked out here, on the loop. */
static void hash_values(struct sqlite *s, struct scanning *x)
{
	struct store_scan *scan = &x->scan;
	struct span none = {"", 0};
	size_t n = scan->value_count;
	if (!n)
		return;
	x->hashes = xcalloc(n * (2 + scan->source_count), sizeof *x->hashes);
	for (size_t i = 0; i < n; i++) {
		x->hashes[i] = (int64_t)sqlite_hash(s, scan->values[i], none);
		x->hashes[n + i] = (int64_t)sqlite_hash(s, span_of("SYSTEM"), scan->values[i]);
		for (size_t k = 0; k < scan->source_count; k++)
			x->hashes[(2 + k) * n + i] = (int64_t)sqlite_hash(s, scan->sources[k], scan->values[i]);
	}
}

void sqlite_scan(struct store *base, const struct store_scan *scan)
{
	struct sqlite *s = (struct sqlite *)base;
	struct scanning *x = xcalloc(1, sizeof *x);
	x->scan = *scan;
	hash_values(s, x);
	x->cutoff = runtime_now(s->rt) - s->options.inbox_keep_ms;
	x->refused = s->closing;
	x->read.work = work;
	x->read.done = done;
	sqlite_read(s, &x->read);
}

void sqlite_hold(struct store *base)
{
	((struct sqlite *)base)->refs++;
}

void sqlite_release(struct store *base)
{
	sqlite_unref((struct sqlite *)base);
}
