/* SPDX-License-Identifier: MIT
 *
 * What a scan is in SQL, and strides: rows by their numbers, zone by zone.
 */
#include "store/sqlite_scan.h"

enum { PART_LEAST = 64 };

#define SOURCE     "(select id from participant where n=nullif(e.source,0))"
#define THRED_TEXT "coalesce((select id from thred t where t.n=e.thred),(select id from archive a where a.n=e.thred))"
#define PATTERN_OF                                                                                                     \
	"(select text from word where n=coalesce((select pattern from thred t where t.n=e.thred),"                     \
	"(select pattern from archive a where a.n=e.thred)))"
#define EVENT_CELLS "e.n,e.at," SOURCE ",e.outcome,e.step," THRED_TEXT ",e.rec,e.body,null"
#define LOG_CELLS                                                                                                      \
	"e.n,e.at," SOURCE ",e.outcome,e.step," THRED_TEXT ",e.rec,"                                                   \
	"coalesce(e.body,(select body from event c where c.n=e.cause))," PATTERN_OF
#define WORD(column) "(select text from word where n=e." #column ")"
#define THRED_CELLS                                                                                                    \
	"e.id,e.n," WORD(pattern) "," WORD(version) "," WORD(reaction) ",e.status,e.step,e.started,e.reacted,e.due,"   \
								       "e.state"

#define AT_BETWEEN " and e.at>=?3 and e.at<=?4"
#define OF_THRED   " and (?5 is null or e.pattern=(select n from word where text=?5)) and (?6=0 or e.status=?6)"
const struct scan_sql scan_tables[SCAN_TABLES] = {
	[SCAN_EVENTS] = {EVENT_CELLS, "event", " and e.source is not null" AT_BETWEEN, EVENT_COLUMNS},
	[SCAN_LOG] = {LOG_CELLS, "event", " and e.rec is not null" AT_BETWEEN, EVENT_COLUMNS},
	[SCAN_THREDS] = {THRED_CELLS ",null", "thred", OF_THRED, THRED_COLUMNS},
	[SCAN_ARCHIVE] = {THRED_CELLS ",e.ended", "archive", OF_THRED, THRED_COLUMNS},
	[SCAN_DEAD] = {"e.n,e.at,e.target,e.pattern,e.reaction,e.version,e.error,coalesce(e.attempts,1),"
		       "(select id from participant where n=(select nullif(source,0) from event where n=e.event)),"
		       "(select body from event where n=e.event)",
		       "dead", AT_BETWEEN, DEAD_COLUMNS},
	[SCAN_AUDIT] = {"e.n,e.at,e.record", "audit", AT_BETWEEN, AUDIT_COLUMNS},
	[SCAN_PATTERNS] = {NULL,
			   "select p.hash,p.id,p.at,p.file,a.id is not null,coalesce(a.enabled,0),"
			   "(select json_group_array(json_object('path',path,'source',cast(source as text))) from "
			   "pattern_file where hash=p.hash) from pattern p left join active a on a.id=p.id and "
			   "a.hash=p.hash order by p.at desc,p.id",
			   NULL, PATTERN_COLUMNS},
	[SCAN_USERS] = {NULL,
			"with d(v) as (select cast(value as text) from meta where key='user:directory'),"
			"m(who,name) as materialized(select x.value,g.key from d,json_each(d.v,'$.groups') g,"
			"json_each(g.value) x),"
			"u(id,facts) as (select p.key,p.value from d,json_each(d.v,'$.participants') p union all "
			"select distinct who,'{}' from m where who not in (select p.key from d,"
			"json_each(d.v,'$.participants') p)) "
			"select u.id,u.facts,(select json_group_array(name) from m where who=u.id),"
			"p.at from u left join participant p on p.id=u.id",
			NULL, USER_COLUMNS},
	/* Only what is known to hold no secret. */
	[SCAN_CONFIG] = {NULL,
			 "select substr(key,6),cast(value as text) from meta where key in "
			 "('user:profile','user:patterns.off','user:patterns.paused')",
			 NULL, CONFIG_COLUMNS},
};

static struct cell cell_of(sqlite3_stmt *st, int at)
{
	struct cell c = {.kind = CELL_NULL};
	switch (sqlite3_column_type(st, at)) {
	case SQLITE_NULL:
		break;
	case SQLITE_INTEGER:
		c.kind = CELL_INT;
		c.number = sqlite3_column_int64(st, at);
		break;
	default:
		c.kind = CELL_TEXT;
		c.text = sqlite_column(st, at);
	}
	return c;
}

bool scan_tell(struct scanning *x, sqlite3_stmt *st)
{
	struct cell cells[THRED_COLUMNS];
	for (int i = 0; i < scan_tables[x->scan.table].columns; i++)
		cells[i] = cell_of(st, i);
	if (!x->scan.row(x->scan.arg, cells))
		x->over = true;
	return !x->over && (++x->rows < PART_LEAST || uv_hrtime() < x->until);
}

int scan_ended(sqlite3_stmt *st, int rc)
{
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int scan_prepare(sqlite3 *db, const char *format, const struct scan_sql *t, const char *more, sqlite3_stmt **st)
{
	char sql[1600];
	sqlite3_snprintf(sizeof sql, sql, format, t->cells, t->name, more);
	return sqlite3_prepare_v2(db, sql, -1, st, NULL);
}

void scan_bind_text(sqlite3_stmt *st, int at, struct span s)
{
	if (s.data)
		sqlite3_bind_text64(st, at, s.data, s.len, SQLITE_STATIC, SQLITE_UTF8);
}

int scan_numbers(sqlite3 *db, const char *sql, struct span text, int64_t n, int64_t out[2])
{
	sqlite3_stmt *st;
	out[0] = out[1] = 0;
	int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
	if (rc != SQLITE_OK)
		return rc;
	scan_bind_text(st, 1, text);
	sqlite3_bind_int64(st, 2, n);
	rc = sqlite3_step(st);
	for (int i = 0; rc == SQLITE_ROW && i < sqlite3_column_count(st); i++)
		out[i] = sqlite3_column_int64(st, i);
	sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Strides -------------------------------------------------------------------------------------------------------- */

static int bounds(struct scanning *x, sqlite3 *db)
{
	char sql[120];
	int64_t found[2];
	const char *name =
		scan_tables[x->scan.table].name; /* each end by itself: both in one select would read all rows */
	sqlite3_snprintf(sizeof sql, sql, "select (select min(n)-1 from %s),(select max(n) from %s)", name, name);
	int rc = scan_numbers(db, sql, (struct span){NULL, 0}, 0, found);
	x->low = found[0];
	x->high = found[1];
	x->place = x->scan.upward ? x->low : x->high;
	x->placed = true;
	return rc;
}

/* What is left of the zone in which the scan is: low < n <= high. */
static void next_stride(const struct scanning *x, int64_t *low, int64_t *high)
{
	if (x->scan.upward) {
		int64_t end = (x->place / ZONE_ROWS + 1) * ZONE_ROWS;
		*low = x->place;
		*high = end < x->high ? end : x->high;
	} else {
		int64_t begin = x->place ? (x->place - 1) / ZONE_ROWS * ZONE_ROWS : 0;
		*high = x->place;
		*low = begin > x->low ? begin : x->low;
	}
}

/* The zone of these rows, looked at if it is full and hasn't been yet; else unknown. */
static struct zone zone_of(struct scanning *x, sqlite3 *db, int64_t high)
{
	int64_t i = (high - 1) / ZONE_ROWS, found[2];
	struct zone zone = zones_get(&x->read.s->zones, i);
	if (zone.known || (i + 1) * ZONE_ROWS > x->high)
		return zone;
	char sql[160];
	sqlite3_snprintf(sizeof sql, sql,
			 "select coalesce(min(at),1),coalesce(max(at),0) from event where n>%lld and n<=%lld",
			 (long long)i * ZONE_ROWS, (long long)(i + 1) * ZONE_ROWS);
	if (scan_numbers(db, sql, (struct span){NULL, 0}, 0, found) != SQLITE_OK)
		return zone;
	zone = (struct zone){found[0], found[1], true};
	zones_set(&x->read.s->zones, i, zone);
	return zone;
}

/* Is none of these rows of the time that is asked for? */
static bool is_elsewhen(struct scanning *x, sqlite3 *db, int64_t high)
{
	const struct store_scan *scan = &x->scan;
	if ((scan->table != SCAN_EVENTS && scan->table != SCAN_LOG) || high <= x->low ||
	    (scan->from == INT64_MIN && scan->to == INT64_MAX))
		return false;
	struct zone zone = zone_of(x, db, high);
	return zone.known && (zone.first > zone.last || zone.last < scan->from || zone.first > scan->to);
}

static void bind_stride(struct scanning *x, sqlite3_stmt *st, int64_t low, int64_t high)
{
	const struct store_scan *scan = &x->scan;
	sqlite3_bind_int64(st, 1, low);
	sqlite3_bind_int64(st, 2, high);
	sqlite3_bind_int64(st, 3, scan->from);
	sqlite3_bind_int64(st, 4, scan->to);
	scan_bind_text(st, 5, scan->pattern);
	sqlite3_bind_int64(st, 6, scan->status);
	for (size_t i = 0; x->hashes && i < SCAN_IDS_MAX; i++)
		sqlite3_bind_int64(st, (int)(7 + i), x->hashes[scan->value_count + (i < scan->value_count ? i : 0)]);
}

int scan_strides(struct scanning *x, sqlite3 *db, const char *more)
{
	const struct scan_sql *t = &scan_tables[x->scan.table];
	char where[360];
	sqlite3_stmt *st = NULL;
	int at_n = x->scan.table == SCAN_THREDS || x->scan.table == SCAN_ARCHIVE ? THRED_N : EVENT_N;
	int rc = x->placed ? SQLITE_OK : bounds(x, db);
	sqlite3_snprintf(sizeof where, where, "%s%s order by e.n%s", t->where, more, x->scan.upward ? "" : " desc");
	if (rc == SQLITE_OK)
		rc = scan_prepare(db, "select %s from %s e where e.n>?1 and e.n<=?2%s", t, where, &st);
	bool goes_on = rc == SQLITE_OK;
	while (goes_on && !x->over) {
		int64_t low, high, last = 0;
		next_stride(x, &low, &high);
		bind_stride(x, st, low, high);
		rc = is_elsewhen(x, db, high) ? SQLITE_DONE : sqlite3_step(st);
		for (; rc == SQLITE_ROW; rc = sqlite3_step(st)) {
			last = sqlite3_column_int64(st, at_n);
			if (!(goes_on = scan_tell(x, st)))
				break;
		}
		goes_on = goes_on && rc == SQLITE_DONE && uv_hrtime() < x->until;
		if (rc == SQLITE_DONE)
			x->place = x->scan.upward ? high : low;
		else
			x->place = x->scan.upward ? last : last - 1;
		rc = scan_ended(st, rc);
		x->over |= x->scan.upward ? x->place >= x->high : x->place <= x->low;
	}
	sqlite3_finalize(st);
	return rc;
}
