/* SPDX-License-Identifier: MIT
 *
 * What is older than it must be kept, in small batches, oldest first. Stays: what is not processed, queued or dead; the last
 * row of an inbox (its number must not be given twice).
 */
#include <stdlib.h>

#include "store/sqlite.h"

enum { SWEEP_ROWS = 256, PAUSE_BUSY_MS = 200, PAUSE_MS = 60000 };

struct sweep {
	struct sqlite_read read;
	int64_t from, to, cutoff, inbox_cutoff;
};

static void sweep_work(struct sqlite_read *read, struct sqlite_reader *r)
{
	struct sweep *w = (struct sweep *)read;
	sqlite3_stmt *st;
	read->rc = sqlite3_prepare_v2(
		r->db, "select max(n),max(at) from (select n,at from event where n>? order by n limit ?)", -1, &st,
		NULL);
	if (read->rc != SQLITE_OK)
		return;
	sqlite3_bind_int64(st, 1, w->from);
	sqlite3_bind_int(st, 2, SWEEP_ROWS);
	if (sqlite3_step(st) == SQLITE_ROW && sqlite3_column_type(st, 0) == SQLITE_INTEGER &&
	    sqlite3_column_int64(st, 1) < w->cutoff)
		w->to = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
}

static void sweep_rows(struct sqlite *s, int64_t from, int64_t to)
{
	struct op_sql *op = sqlite_add_sql(
		s, "delete from event where n>?1 and n<=?2 and not(outcome is null and source>0) and "
		   "n not in (select event from dead where event>?1 and event<=?2) and "
		   "n not in (select event from queue where event>?1 and event<=?2)");
	sqlite_sql_int(op, from);
	sqlite_sql_int(op, to);
}

static void sweep_done(struct sqlite_read *read);

static void sweep(struct runtime_timer *timer)
{
	struct sqlite *s = (struct sqlite *)((char *)timer - offsetof(struct sqlite, sweep_timer));
	if (s->closing)
		return;
	struct sweep *w = xcalloc(1, sizeof *w);
	int64_t now = runtime_now(s->rt);
	w->read.work = sweep_work;
	w->read.done = sweep_done;
	w->from = s->sweep_event;
	w->cutoff = now - s->options.dedup_keep_ms;
	w->inbox_cutoff = now - s->options.inbox_keep_ms;
	sqlite_read(s, &w->read);
}

static void sweep_others(struct sqlite *s, const struct sweep *w)
{
	struct op_sql *op = sqlite_add_sql(
		s, "delete from inbox where (who,k) in (select i.who,i.k from inbox i left join event e on e.n=i.event "
		   "where i.k<(select max(k) from inbox where who=i.who) and (e.at is null or e.at<?1) limit 256)");
	sqlite_sql_int(op, w->inbox_cutoff);
	op = sqlite_add_sql(s, "delete from archive where n in (select n from archive where ended<? limit 256)");
	sqlite_sql_int(op, w->cutoff);
	/* Numbers are never given twice, though their rows may be gone. */
	op = sqlite_add_sql(s, "insert or replace into meta values('last_n',?)");
	sqlite_sql_int(op, s->next_n - 1);
	op = sqlite_add_sql(s, "insert or replace into meta values('last_thred',?)");
	sqlite_sql_int(op, s->next_thred - 1);
}

static void sweep_done(struct sqlite_read *read)
{
	struct sweep *w = (struct sweep *)read;
	struct sqlite *s = read->s;
	if (!s->closing) {
		bool more = read->rc == SQLITE_OK && w->to && s->ready;
		if (more) {
			sweep_rows(s, w->from, w->to);
			s->sweep_event = w->to;
		} else if (s->ready && s->sweep_event) {
			sweep_others(s, w);
			s->sweep_event = 0;
		}
		int64_t pause = more ? PAUSE_BUSY_MS : PAUSE_MS;
		runtime_timer_start(s->rt, &s->sweep_timer, runtime_now(s->rt) + pause, sweep);
	}
	free(w);
}

void sqlite_sweep_start(struct sqlite *s)
{
	runtime_timer_start(s->rt, &s->sweep_timer, runtime_now(s->rt) + PAUSE_MS, sweep);
}
