/* SPDX-License-Identifier: MIT
 *
 * What is older than it must be kept, in small batches, oldest first. Stays: what is not processed, queued or dead; the last
 * row of an inbox and of the audit (its number must not be given twice), of an inbox until its participant goes: one who gave
 * no sign of life for as long as anything is kept, takes part in no thred, and has nothing under way.
 */
#include <stdlib.h>

#include "store/sqlite.h"

enum { SWEEP_ROWS = 1024, OTHER_ROWS = 256, PEOPLE = 64, PAUSE_BUSY_MS = 100, FIRST_MS = 60000, PAUSE_MS = 15 * 60000 };

/* A part of a table behind what was swept in this pass; `to` is 0 when nothing is left. */
struct sweep {
	struct sqlite_read read;
	int64_t cutoff, inbox_cutoff;
	int64_t from, to;                 /* events, all of them too old */
	int64_t archive_from, archive_to; /* of any age */
	int64_t audit_to;                 /* the oldest of them that are too old */
	int64_t who, thred, to_who, to_thred;
	int64_t person, to_person, person_cutoff; /* participants of any age */
	int64_t gone[PEOPLE];
	size_t gone_count;
};

/* The first two columns of the first row; 0 if it has none. */
static int ask(sqlite3 *db, const char *sql, const int64_t in[2], int64_t out[2])
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
	out[0] = out[1] = 0;
	if (rc != SQLITE_OK)
		return rc;
	sqlite3_bind_int64(st, 1, in[0]);
	sqlite3_bind_int64(st, 2, in[1]);
	rc = sqlite3_step(st);
	for (int i = 0; rc == SQLITE_ROW && i < 2; i++)
		out[i] = sqlite3_column_int64(st, i);
	sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* The participants of the next part of the table who can go; the highest number stays, so that none is given twice. */
static const char leaving[] =
	"select n from participant p where n>?1 and n<=?2 and at<?3 and n<(select max(n) from participant) and "
	"not exists(select 1 from member where who=p.n) and "
	"(select count(*) from (select 1 from inbox where who=p.n limit 2))<2 and "
	"n not in (select source from event indexed by event_open where outcome is null and source>0) and "
	"n not in (select e.source from dead d join event e on e.n=d.event) and "
	"n not in (select e.source from queue q join event e on e.n=q.event)";

static int sweep_people_work(struct sweep *w, sqlite3 *db)
{
	int64_t found[2];
	sqlite3_stmt *st;
	int rc = ask(db, "select max(n),0 from (select n from participant where n>?1 order by n limit ?2)",
		     (int64_t[]){w->person, PEOPLE}, found);
	w->to_person = found[0];
	if (rc != SQLITE_OK || !w->to_person)
		return rc;
	rc = sqlite3_prepare_v2(db, leaving, -1, &st, NULL);
	if (rc != SQLITE_OK)
		return rc;
	sqlite3_bind_int64(st, 1, w->person);
	sqlite3_bind_int64(st, 2, w->to_person);
	sqlite3_bind_int64(st, 3, w->person_cutoff);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		w->gone[w->gone_count++] = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static void sweep_work(struct sqlite_read *read, struct sqlite_reader *r)
{
	struct sweep *w = (struct sweep *)read;
	int64_t found[2];
	read->rc = ask(r->db, "select max(n),max(at) from (select n,at from event where n>?1 order by n limit ?2)",
		       (int64_t[]){w->from, SWEEP_ROWS}, found);
	if (found[1] < w->cutoff)
		w->to = found[0];
	if (read->rc == SQLITE_OK)
		read->rc = ask(r->db, "select max(n),0 from (select n from archive where n>?1 order by n limit ?2)",
			       (int64_t[]){w->archive_from, OTHER_ROWS}, found);
	w->archive_to = found[0];
	if (read->rc == SQLITE_OK)
		read->rc = ask(r->db,
			       "select max(n),0 from (select n,at from audit where n<(select max(n) from audit) "
			       "order by n limit ?2) where at<?1",
			       (int64_t[]){w->cutoff, OTHER_ROWS}, found);
	w->audit_to = found[0];
	if (read->rc == SQLITE_OK)
		read->rc = ask(r->db,
			       "select who,thred from (select who,thred from member where (who,thred)>(?1,?2) "
			       "order by who,thred limit 256) order by who desc,thred desc limit 1",
			       (int64_t[]){w->who, w->thred}, found);
	w->to_who = found[0];
	w->to_thred = found[1];
	if (read->rc == SQLITE_OK)
		read->rc = sweep_people_work(w, r->db);
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
	w->archive_from = s->sweep_archive;
	w->who = s->sweep_member[0];
	w->thred = s->sweep_member[1];
	w->cutoff = now - s->options.records_keep_ms;
	w->inbox_cutoff = now - s->options.inbox_keep_ms;
	w->person = s->sweep_person;
	w->person_cutoff = (w->cutoff < w->inbox_cutoff ? w->cutoff : w->inbox_cutoff) - DURATION_DAY;
	sqlite_read(s, &w->read);
}

static void sweep_archive(struct sqlite *s, const struct sweep *w)
{
	struct op_sql *op = sqlite_add_sql(s, "delete from archive where n>? and n<=? and ended<?");
	sqlite_sql_int(op, w->archive_from);
	sqlite_sql_int(op, w->archive_to);
	sqlite_sql_int(op, w->cutoff);
}

static void sweep_audit(struct sqlite *s, const struct sweep *w)
{
	struct op_sql *op = sqlite_add_sql(s, "delete from audit where n<=? and at<?");
	sqlite_sql_int(op, w->audit_to);
	sqlite_sql_int(op, w->cutoff);
}

/* Who took part in a thred that is gone. */
static void sweep_members(struct sqlite *s, const struct sweep *w)
{
	struct op_sql *op = sqlite_add_sql(s, "delete from member where (who,thred)>(?,?) and (who,thred)<=(?,?) and "
					      "not exists(select 1 from thred where n=member.thred) and "
					      "not exists(select 1 from archive where n=member.thred)");
	sqlite_sql_int(op, w->who);
	sqlite_sql_int(op, w->thred);
	sqlite_sql_int(op, w->to_who);
	sqlite_sql_int(op, w->to_thred);
}

/* What memory knows is newer than what was read. */
static void sweep_people(struct sqlite *s, const struct sweep *w)
{
	for (size_t i = 0; i < w->gone_count; i++) {
		struct word *who = dict_get(&s->participants, w->gone[i]);
		if (!who || who->at >= w->person_cutoff || who->waiting)
			continue;
		sqlite_sql_int(sqlite_add_sql(s, "delete from inbox where who=?"), who->n);
		sqlite_sql_int(sqlite_add_sql(s, "delete from participant where n=?"), who->n);
		dict_remove(&s->participants, who);
	}
}

/* Once in a pass. */
static void sweep_inbox(struct sqlite *s, const struct sweep *w)
{
	struct op_sql *op = sqlite_add_sql(
		s, "delete from inbox where (who,k) in (select i.who,i.k from inbox i left join event e on e.n=i.event "
		   "where i.k<(select max(k) from inbox where who=i.who) and (e.at is null or e.at<?1) limit 256)");
	sqlite_sql_int(op, w->inbox_cutoff);
	/* Numbers are never given twice, though their rows may be gone. */
	op = sqlite_add_sql(s, "insert or replace into meta values('last_n',?)");
	sqlite_sql_int(op, s->next_n - 1);
	op = sqlite_add_sql(s, "insert or replace into meta values('last_thred',?)");
	sqlite_sql_int(op, s->next_thred - 1);
}

/* True if something is left for this pass. */
static bool sweep_found(struct sqlite *s, const struct sweep *w)
{
	if (w->to) {
		sweep_rows(s, w->from, w->to);
		s->swept = w->to > s->swept ? w->to : s->swept;
	}
	if (w->archive_to)
		sweep_archive(s, w);
	if (w->audit_to)
		sweep_audit(s, w);
	if (w->to_who)
		sweep_members(s, w);
	sweep_people(s, w);
	if (w->to || w->archive_to || w->audit_to || w->to_who || w->to_person) {
		s->sweep_event = w->to ? w->to : w->from;
		s->sweep_archive = w->archive_to ? w->archive_to : w->archive_from;
		s->sweep_member[0] = w->to_who ? w->to_who : w->who;
		s->sweep_member[1] = w->to_who ? w->to_thred : w->thred;
		s->sweep_person = w->to_person ? w->to_person : w->person;
		return true;
	}
	if (s->sweep_event || s->sweep_archive || s->sweep_member[0] || s->sweep_person)
		sweep_inbox(s, w);
	s->sweep_event = s->sweep_archive = s->sweep_member[0] = s->sweep_member[1] = s->sweep_person = 0;
	return false;
}

static void sweep_done(struct sqlite_read *read)
{
	struct sweep *w = (struct sweep *)read;
	struct sqlite *s = read->s;
	if (!s->closing) {
		bool more = read->rc == SQLITE_OK && s->ready && sweep_found(s, w);
		int64_t pause = more ? PAUSE_BUSY_MS : PAUSE_MS;
		runtime_timer_start(s->rt, &s->sweep_timer, runtime_now(s->rt) + pause, sweep);
	}
	free(w);
}

void sqlite_sweep_start(struct sqlite *s)
{
	runtime_timer_start(s->rt, &s->sweep_timer, runtime_now(s->rt) + FIRST_MS, sweep);
}
