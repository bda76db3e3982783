/* SPDX-License-Identifier: MIT
 *
 * Looking: one query a kind, on a reader; the result is copied into one block of cells.
 */
#include <stdlib.h>
#include <string.h>

#include "store/sqlite.h"

#define THRED_COLUMNS                                                                                                  \
	"t.id,t.status,t.step,(select text from word where n=t.pattern) pattern,"                                      \
	"(select text from word where n=t.version) version,(select text from word where n=t.reaction) reaction,"       \
	"t.started,t.reacted,t.due,t.n"
#define THRED_FILTER                                                                                                   \
	"t.n>?7 and (?3 is null or t.pattern=(select n from word where text=?3)) "                                     \
	"and (?4 is null or t.reaction=(select n from word where text=?4)) "                                           \
	"and (?5=0 or t.status=?5) and (?6=0 or coalesce(t.reacted,t.started)<?6) order by t.n limit ?8"
#define EVENT_COLUMNS                                                                                                  \
	"e.n,e.at,case when e.source>0 then 'in' when e.source=0 then 'out' else 'record' end kind,"                   \
	"case when e.source>0 then (select id from participant where n=e.source) end source,e.outcome,e.step,e.cause," \
	"e.rec,e.body,coalesce((select id from thred t where t.n=e.thred),(select id from archive a where "            \
	"a.n=e.thred)) thred"

/* Parameters: 1 id, 2 source, 3 pattern, 4 reaction, 5 status, 6 older_than, 7 after, 8 limit, 9 after_id, 10 hash,
 * 11 hash of (SYSTEM, id), 12 hash of (SYSTEM, after_id), or of the thred after_id. A column is shown as its name says; see cell_kind. */
static const char *const queries[] = {
	[LOOK_THREDS] = "select " THRED_COLUMNS " from thred t where " THRED_FILTER,
	[LOOK_ENDED] = "select " THRED_COLUMNS ",t.ended from archive t where " THRED_FILTER,
	[LOOK_THRED] = "select " THRED_COLUMNS ",t.state,null ended from thred t where t.h=?10 and t.id=?1 union all "
		       "select " THRED_COLUMNS ",t.state,t.ended from archive t where t.h=?10 and t.id=?1 limit 1",
	[LOOK_RECORDS] =
		"with recursive tip(n) as (select last from (select last from thred where h=?10 and id=?1 union all "
		"select last from archive where h=?10 and id=?1) limit 1),"
		"c(n,prev) as (select e.n,e.prev from event e,tip where e.n=tip.n union all "
		"select e.n,e.prev from event e join c on e.n=c.prev) "
		"select " EVENT_COLUMNS " from c join event e on e.n=c.n where e.n>?7 order by e.n limit ?8",
	[LOOK_EVENT] = "select " EVENT_COLUMNS " from event e where e.n in (select n from seen where h=?10) and "
		       "e.h=?10 and source=(select n from participant where id=?2)",
	[LOOK_ROW] = "select " EVENT_COLUMNS " from event e where e.n=?7",
	[LOOK_FIND] = "select " EVENT_COLUMNS " from event e where e.n=?7",
	[LOOK_THRED_EVENT] =
		"with recursive tip(n) as (select last from (select last from thred where h=?12 and id=?9 union all "
		"select last from archive where h=?12 and id=?9) limit 1),"
		"c(n,prev) as (select e.n,e.prev from event e,tip where e.n=tip.n union all "
		"select e.n,e.prev from event e join c on e.n=c.prev limit 500000) "
		"select " EVENT_COLUMNS
		" from c join event e on e.n=c.n where e.source=0 and e.h=?11 or e.source>0 and "
		"json_extract(e.body,'$.id')=?1 limit 1",
	[LOOK_PARTICIPANT_THREDS] = "select " THRED_COLUMNS ",0 archived from member m join thred t on t.n=m.thred "
				    "where m.who=(select n from participant where id=?1) union all "
				    "select " THRED_COLUMNS ",1 archived from member m join archive t on t.n=m.thred "
				    "where m.who=(select n from participant where id=?1) order by 10",
	[LOOK_LAST_EVENT] = "select " EVENT_COLUMNS " from event e where e.n=(select event from inbox where "
			    "who=(select n from participant where id=?1) order by k desc limit 1)",
	[LOOK_DEAD] = "select d.n id,d.at,d.target,d.pattern,d.reaction,d.version,d.error,e.n event,e.body,"
		      "(select id from participant where n=e.source) source,d.message,coalesce(d.attempts,1) attempts "
		      "from dead d "
		      "left join event e on e.n=d.event where d.n>?7 and (?1 is null or d.n=cast(?1 as int)) order by "
		      "d.n limit ?8",
	[LOOK_INBOX] = "select i.k,json_extract(e.body,'$.id') id,e.body from inbox i join event e on e.n=i.event "
		       "where i.who=(select n from participant where id=?1) and i.k>?7 order by i.k limit ?8",
	[LOOK_CURSOR] = "select p.seen k,(select json_extract(e.body,'$.id') from inbox i join event e on e.n=i.event "
			"where i.who=p.n and i.k=p.seen) id from participant p where p.id=?1",
	[LOOK_COUNTS] =
		"select (select count(*) from thred where status=1) active,(select count(*) from thred where status=2) "
		"finished,(select count(*) from archive) archived,(select count(*) from queue) queue,"
		"(select count(*) from dead) dead,(select max(n) from event) events,"
		"(select count(*) from event indexed by event_open where outcome is null and source>0) pending,"
		"(select min(at) from event indexed by event_open where outcome is null and source>0) oldest",
	[LOOK_THRED_COUNTS] = "select (select text from word where n=t.pattern) pattern,"
			      "(select text from word where n=t.version) version,"
			      "(select text from word where n=t.reaction) reaction,"
			      "t.status,count(*) count,min(coalesce(t.reacted,t.started)) oldest from thred t "
			      "group by t.pattern,t.version,t.reaction,t.status order by 1,2,3,t.status",
	[LOOK_QUEUE_COUNTS] = "select (select text from word where n=q.topic) topic,count(*) count,min(q.at) oldest "
			      "from queue q group by q.topic order by 1",
	[LOOK_ACTIVE_PATTERNS] =
		"select a.id,a.hash,a.at,a.enabled,p.file from active a join pattern p on p.hash=a.hash order by a.id",
	[LOOK_ACTIVE_FILES] = "select f.hash,f.path,f.source from active a join pattern_file f on f.hash=a.hash",
	[LOOK_PATTERNS] = "select p.id,p.hash,p.at,exists(select 1 from active a where a.id=p.id and a.hash=p.hash) "
			  "active,p.file "
			  "from pattern p order by p.id,p.at",
	[LOOK_PATTERN] = "select id,hash,at,file from pattern where hash=?1",
	[LOOK_PATTERN_FILES] = "select path,source from pattern_file where hash=?1 order by path",
	[LOOK_META] = "select value from meta where key='user:'||?1",
	[LOOK_AUDIT] = "select n,at,record from audit where n>?7 order by n limit ?8",
};

struct looking {
	struct sqlite_read read;
	struct look look;
	rows_fn fn;
	void *arg;
	int64_t hash, system_hash, after_hash;
	struct rows rows;
	struct cell *cells; /* owned, as are their texts */
	const char **names; /* owned */
	size_t cap;
	char bytes[];
};

static int kind_of(const char *name, int type)
{
	static const struct {
		const char *name;
		int kind;
	} special[] = {
		{"outcome", CELL_OUTCOME}, {"status", CELL_STATUS}, {"rec", CELL_JSON},    {"body", CELL_JSON},
		{"error", CELL_JSON},      {"message", CELL_JSON},  {"record", CELL_JSON}, {"state", CELL_JSON},
	};
	if (type == SQLITE_NULL)
		return CELL_NULL;
	for (size_t i = 0; i < sizeof special / sizeof *special; i++)
		if (strcmp(name, special[i].name) == 0)
			return special[i].kind;
	return type == SQLITE_INTEGER ? CELL_INT : type == SQLITE_TEXT ? CELL_TEXT : CELL_BYTES;
}

static void take_row(struct looking *l, sqlite3_stmt *st)
{
	size_t at = l->rows.count++ * l->rows.columns;
	if (at + l->rows.columns > l->cap) {
		l->cap = l->cap ? l->cap * 2 : 16 * l->rows.columns;
		l->cells = xrealloc(l->cells, l->cap * sizeof *l->cells);
	}
	for (size_t i = 0; i < l->rows.columns; i++) {
		struct cell *c = &l->cells[at + i];
		int type = sqlite3_column_type(st, (int)i);
		*c = (struct cell){.kind = kind_of(l->names[i], type)};
		if (type == SQLITE_INTEGER)
			c->number = sqlite3_column_int64(st, (int)i);
		else
			c->text = sqlite_column_copy(st, (int)i);
	}
}

static void bind_span(sqlite3_stmt *st, int at, struct span s)
{
	if (s.data)
		sqlite3_bind_text64(st, at, s.data, s.len, SQLITE_STATIC, SQLITE_UTF8);
}

static void bind_look(struct looking *l, sqlite3_stmt *st)
{
	const struct look *x = &l->look;
	bind_span(st, 1, x->id);
	bind_span(st, 2, x->source);
	bind_span(st, 3, x->pattern);
	bind_span(st, 4, x->reaction);
	sqlite3_bind_int(st, 5, x->status);
	sqlite3_bind_int64(st, 6, x->older_than);
	sqlite3_bind_int64(st, 7, x->after);
	sqlite3_bind_int64(st, 8, x->limit ? x->limit : -1);
	bind_span(st, 9, x->after_id);
	sqlite3_bind_int64(st, 10, l->hash);
	sqlite3_bind_int64(st, 11, l->system_hash);
	sqlite3_bind_int64(st, 12, l->after_hash);
}

/* Where in who's inbox is the event that was seen last? Emitted events have no index by id: the inbox is walked back. */
static int find_after(struct looking *l, sqlite3 *db)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(
		db,
		"select i.k from inbox i join event e on e.n=i.event where i.who="
		"(select n from participant where id=?1) and e.h=?2 and e.source=0 order by i.k desc limit 1",
		-1, &st, NULL);
	if (rc != SQLITE_OK)
		return rc;
	bind_span(st, 1, l->look.id);
	sqlite3_bind_int64(st, 2, l->after_hash);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		l->look.after = sqlite3_column_int64(st, 0);
	else
		l->rows.gone = rc == SQLITE_DONE;
	sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int64_t first_int(sqlite3 *db, const char *sql, const int64_t in[3], int *rc)
{
	sqlite3_stmt *st;
	int64_t value = 0;
	*rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
	if (*rc != SQLITE_OK)
		return 0;
	for (int i = 0; i < sqlite3_bind_parameter_count(st); i++)
		sqlite3_bind_int64(st, i + 1, in[i]);
	*rc = sqlite3_step(st);
	if (*rc == SQLITE_ROW)
		value = sqlite3_column_int64(st, 0);
	*rc = *rc == SQLITE_ROW || *rc == SQLITE_DONE ? SQLITE_OK : *rc;
	sqlite3_finalize(st);
	return value;
}

/* From whom may it be? By the index, for one part of the participants. The row; 0 = from none of them. */
static int64_t find_in(struct looking *l, sqlite3 *db, int64_t *last, int *rc)
{
	sqlite3_stmt *people, *events = NULL;
	int64_t n = 0;
	*rc = sqlite3_prepare_v2(db, "select n,id from participant where n>? order by n limit 512", -1, &people, NULL);
	if (*rc == SQLITE_OK)
		*rc = sqlite3_prepare_v2(
			db, "select n from event where n in (select n from seen where h=?1) and h=?1 and source=?2", -1,
			&events, NULL);
	if (*rc == SQLITE_OK)
		sqlite3_bind_int64(people, 1, l->look.after);
	while (*rc == SQLITE_OK && !n && (*rc = sqlite3_step(people)) == SQLITE_ROW) {
		*last = sqlite3_column_int64(people, 0);
		sqlite3_bind_int64(events, 1, (int64_t)sqlite_hash(l->read.s, sqlite_column(people, 1), l->look.id));
		sqlite3_bind_int64(events, 2, *last);
		*rc = sqlite3_step(events);
		n = *rc == SQLITE_ROW ? sqlite3_column_int64(events, 0) : 0;
		*rc = sqlite3_reset(events);
	}
	*rc = *rc == SQLITE_DONE ? SQLITE_OK : *rc;
	sqlite3_finalize(events);
	sqlite3_finalize(people);
	return n;
}

/* What was emitted has no index by id, which every step would pay for: the newest rows first, a part at a time. */
static int find_part(struct looking *l, sqlite3 *db)
{
	enum { PART = 8192 };
	int rc = SQLITE_OK;
	int64_t from = l->look.after, last = 0, n = 0;
	if (from >= 0) {
		n = find_in(l, db, &last, &rc);
		l->rows.next = last ? last : -first_int(db, "select max(n) from event", NULL, &rc);
	} else {
		int64_t low = -from > PART ? -from - PART : 0;
		n = first_int(db, "select n from event where n>? and n<=? and h=? and source=0",
			      (int64_t[]){low, -from, l->system_hash}, &rc);
		l->rows.next = -low;
	}
	l->look.after = n;
	if (n)
		l->rows.next = 0;
	return rc;
}

static void look_work(struct sqlite_read *read, struct sqlite_reader *r)
{
	struct looking *l = (struct looking *)read;
	if (l->look.kind == LOOK_FIND) {
		read->rc = find_part(l, r->db);
		if (read->rc != SQLITE_OK)
			return;
	}
	if (l->look.kind == LOOK_INBOX && l->look.after_id.data) {
		read->rc = find_after(l, r->db);
		if (read->rc != SQLITE_OK || l->rows.gone)
			return;
	}
	sqlite3_stmt *st;
	read->rc = sqlite3_prepare_v2(r->db, queries[l->look.kind], -1, &st, NULL);
	if (read->rc != SQLITE_OK)
		return;
	bind_look(l, st);
	l->rows.columns = (size_t)sqlite3_column_count(st);
	l->names = xcalloc(l->rows.columns, sizeof *l->names);
	for (size_t i = 0; i < l->rows.columns; i++)
		l->names[i] = xstrdup(sqlite3_column_name(st, (int)i));
	int rc;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		take_row(l, st);
	read->rc = rc == SQLITE_DONE ? SQLITE_OK : rc;
	sqlite3_finalize(st);
}

static void look_done(struct sqlite_read *read)
{
	struct looking *l = (struct looking *)read;
	l->rows.cells = l->cells;
	l->rows.names = l->names;
	l->fn(l->arg, &l->rows, read->rc == SQLITE_OK ? NULL : &read->error);
	for (size_t i = 0; i < l->rows.count * l->rows.columns; i++)
		free((char *)l->cells[i].text.data);
	for (size_t i = 0; i < l->rows.columns; i++)
		free((char *)l->names[i]);
	free(l->names);
	free(l->cells);
	free(l);
}

static struct span keep(char **at, struct span s)
{
	if (!s.data)
		return s;
	char *to = *at;
	memcpy(to, s.data, s.len);
	*at += s.len + 1;
	return (struct span){to, s.len};
}

/* Who reads an inbox, or asks where it was, is there. */
static void alive(struct sqlite *s, const struct look *look)
{
	bool is_there = look->kind == LOOK_INBOX || look->kind == LOOK_CURSOR;
	struct word *who = is_there ? dict_find(&s->participants, look->id) : NULL;
	if (who && s->ready && !s->closing)
		sqlite_alive(s, who);
}

void sqlite_look(struct store *base, const struct look *look, rows_fn fn, void *arg)
{
	struct sqlite *s = (struct sqlite *)base;
	alive(s, look);
	struct span none = {"", 0};
	struct looking *l = xcalloc(1, sizeof *l + look->id.len + look->source.len + look->pattern.len +
					       look->reaction.len + look->after_id.len + 5);
	char *at = l->bytes;
	l->look = *look;
	if (look->kind == LOOK_THREDS && look->status == THRED_TERMINATED)
		l->look.kind = LOOK_ENDED;
	l->look.id = keep(&at, look->id);
	l->look.source = keep(&at, look->source);
	l->look.pattern = keep(&at, look->pattern);
	l->look.reaction = keep(&at, look->reaction);
	l->look.after_id = keep(&at, look->after_id);
	if (look->id.data) {
		l->hash = (int64_t)(look->source.data ? sqlite_hash(s, look->source, look->id)
						      : sqlite_hash(s, look->id, none));
		l->system_hash = (int64_t)sqlite_hash(s, span_of("SYSTEM"), look->id);
	}
	if (look->after_id.data)
		l->after_hash = (int64_t)(look->kind == LOOK_THRED_EVENT
						  ? sqlite_hash(s, look->after_id, none)
						  : sqlite_hash(s, span_of("SYSTEM"), look->after_id));
	l->fn = fn;
	l->arg = arg;
	l->read.work = look_work;
	l->read.done = look_done;
	sqlite_read(s, &l->read);
}
