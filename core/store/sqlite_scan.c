/* SPDX-License-Identifier: MIT
 *
 * Scans: strides of row numbers, chains, look-ups by index; a part of each on a reader, then the loop, then the next part.
 */
#include <stdlib.h>

#include "store/scan.h"
#include "store/sqlite.h"

enum { PART_NS = 15000000, PART_LEAST = 64, FEW = 16 };

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

/* What a scan is in SQL. Strides: ?1 < n <= ?2, at between ?3 and ?4, pattern ?5, status ?6. */
struct table {
	const char *cells, *name, *where;
	int columns;
};
#define AT_BETWEEN " and e.at>=?3 and e.at<=?4"
#define OF_THRED   " and (?5 is null or e.pattern=(select n from word where text=?5)) and (?6=0 or e.status=?6)"
static const struct table tables[] = {
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

/* Hands the row over. False: the part, or the scan, is over. */
static bool tell(struct scanning *x, sqlite3_stmt *st)
{
	struct cell cells[THRED_COLUMNS];
	for (int i = 0; i < tables[x->scan.table].columns; i++)
		cells[i] = cell_of(st, i);
	if (!x->scan.row(x->scan.arg, cells))
		x->over = true;
	return !x->over && (++x->rows < PART_LEAST || uv_hrtime() < x->until);
}

static int ended(sqlite3_stmt *st, int rc)
{
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int prepare(sqlite3 *db, const char *format, const struct table *t, const char *more, sqlite3_stmt **st)
{
	char sql[1600];
	sqlite3_snprintf(sizeof sql, sql, format, t->cells, t->name, more);
	return sqlite3_prepare_v2(db, sql, -1, st, NULL);
}

static void bind_text(sqlite3_stmt *st, int at, struct span s)
{
	if (s.data)
		sqlite3_bind_text64(st, at, s.data, s.len, SQLITE_STATIC, SQLITE_UTF8);
}

/* Two numbers, 0 if there is no row. */
static int numbers(sqlite3 *db, const char *sql, struct span text, int64_t n, int64_t out[2])
{
	sqlite3_stmt *st;
	out[0] = out[1] = 0;
	int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
	if (rc != SQLITE_OK)
		return rc;
	bind_text(st, 1, text);
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
	const char *name = tables[x->scan.table].name; /* each end by itself: both in one select would read all rows */
	sqlite3_snprintf(sizeof sql, sql, "select (select min(n)-1 from %s),(select max(n) from %s)", name, name);
	int rc = numbers(db, sql, (struct span){NULL, 0}, 0, found);
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
	if (numbers(db, sql, (struct span){NULL, 0}, 0, found) != SQLITE_OK)
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
	bind_text(st, 5, scan->pattern);
	sqlite3_bind_int64(st, 6, scan->status);
	for (size_t i = 0; x->hashes && i < SCAN_IDS_MAX; i++)
		sqlite3_bind_int64(st, (int)(7 + i), x->hashes[scan->value_count + (i < scan->value_count ? i : 0)]);
}

/* One stride after another of a table with row numbers, until the time of the part is over. */
static int strides(struct scanning *x, sqlite3 *db, const char *more)
{
	const struct table *t = &tables[x->scan.table];
	char where[360];
	sqlite3_stmt *st = NULL;
	int at_n = x->scan.table == SCAN_THREDS || x->scan.table == SCAN_ARCHIVE ? THRED_N : EVENT_N;
	int rc = x->placed ? SQLITE_OK : bounds(x, db);
	sqlite3_snprintf(sizeof where, where, "%s%s order by e.n%s", t->where, more, x->scan.upward ? "" : " desc");
	if (rc == SQLITE_OK)
		rc = prepare(db, "select %s from %s e where e.n>?1 and e.n<=?2%s", t, where, &st);
	bool goes_on = rc == SQLITE_OK;
	while (goes_on && !x->over) {
		int64_t low, high, last = 0;
		next_stride(x, &low, &high);
		bind_stride(x, st, low, high);
		rc = is_elsewhen(x, db, high) ? SQLITE_DONE : sqlite3_step(st);
		for (; rc == SQLITE_ROW; rc = sqlite3_step(st)) {
			last = sqlite3_column_int64(st, at_n);
			if (!(goes_on = tell(x, st)))
				break;
		}
		goes_on = goes_on && rc == SQLITE_DONE && uv_hrtime() < x->until;
		if (rc == SQLITE_DONE)
			x->place = x->scan.upward ? high : low;
		else
			x->place = x->scan.upward ? last : last - 1;
		rc = ended(st, rc);
		x->over |= x->scan.upward ? x->place >= x->high : x->place <= x->low;
	}
	sqlite3_finalize(st);
	return rc;
}

/* A few rows of a query, all at once. */
static int whole(struct scanning *x, sqlite3 *db)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(db, tables[x->scan.table].name, -1, &st, NULL);
	if (rc != SQLITE_OK)
		return rc;
	x->until = UINT64_MAX;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW && tell(x, st))
		;
	x->over = true;
	rc = ended(st, rc);
	sqlite3_finalize(st);
	return rc;
}

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
	int rc = prepare(db, x->scan.table == SCAN_EVENTS ? chained_events : chained_rows, &tables[x->scan.table], "",
			 &st);
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
			tell(x, st);
	}
	x->place = next;
	rc = ended(st, rc);
	sqlite3_finalize(st);
	return rc;
}

static int chains(struct scanning *x, sqlite3 *db)
{
	static const char tip[] =
		"select last from thred where h=?2 and id=?1 union all select last from archive where h=?2 and "
		"id=?1 limit 1";
	int rc = SQLITE_OK;
	while (rc == SQLITE_OK && !x->over && uv_hrtime() < x->until) {
		if (!x->placed) {
			int64_t found[2];
			rc = numbers(db, tip, x->scan.values[x->value], x->hashes[x->value], found);
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
	bind_text(st, 2, text);
	sqlite3_bind_int64(st, 3, number);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW && !x->over)
		tell(x, st);
	return ended(st, rc);
}

static int threds_by_id(struct scanning *x, sqlite3 *db)
{
	sqlite3_stmt *st;
	int rc = prepare(db, "select %s from %s e where e.h=?1 and e.id=?2%s", &tables[x->scan.table], "", &st);
	for (; rc == SQLITE_OK && !x->over && uv_hrtime() < x->until; x->over |= x->value == x->scan.value_count) {
		rc = by_hash(x, st, x->hashes[x->value], x->scan.values[x->value], 0);
		x->value++;
	}
	sqlite3_finalize(st);
	return rc;
}

static const char event_by_hash[] =
	"select %s from %s e indexed by event_h where e.h=?1 and e.source>0 and e.source=%s";

/* From whom may it be? From those that are asked for, else from each participant. */
static int events_from(struct scanning *x, sqlite3 *db)
{
	sqlite3_stmt *st;
	const struct store_scan *scan = &x->scan;
	size_t pairs = scan->value_count * scan->source_count;
	int rc = prepare(db, event_by_hash, &tables[SCAN_EVENTS], "(select n from participant where id=?2)", &st);
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
		rc = prepare(db, event_by_hash, &tables[SCAN_EVENTS], "?3", &st);
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
static int events_by_id(struct scanning *x, sqlite3 *db)
{
	bool sent = !x->scan.source_count;
	for (size_t i = 0; i < x->scan.source_count; i++)
		sent |= span_same(x->scan.sources[i], span_of("SYSTEM"));
	if (x->phase == 0)
		return x->scan.source_count ? events_from(x, db) : events_from_anybody(x, db);
	x->over = !sent;
	return sent ? strides(x, db, " and e.source=0 and e.h in (?7,?8,?9,?10,?11,?12,?13,?14)") : SQLITE_OK;
}

static int threds_of_person(struct scanning *x, sqlite3 *db)
{
	sqlite3_stmt *st;
	int rc = prepare(db,
			 "select %s from member m join %s e on e.n=m.thred where m.who=(select n from participant "
			 "where id=?1) and m.thred<?2 order by m.thred desc%s",
			 &tables[x->scan.table], "", &st);
	if (rc != SQLITE_OK)
		return rc;
	bind_text(st, 1, x->scan.values[0]);
	sqlite3_bind_int64(st, 2, x->placed ? x->place : INT64_MAX);
	x->placed = true;
	bool goes_on = true;
	while (goes_on && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		x->place = sqlite3_column_int64(st, THRED_N);
		goes_on = tell(x, st);
	}
	x->over |= rc == SQLITE_DONE;
	rc = ended(st, rc);
	sqlite3_finalize(st);
	return rc;
}

static int inbox_of_person(struct scanning *x, sqlite3 *db)
{
	sqlite3_stmt *st;
	int64_t known[2];
	int rc = numbers(db, "select n from participant where id=?1", x->scan.values[0], 0, known);
	bool is_known = known[0] != 0; /* else nobody told them anything that is still there */
	if (rc == SQLITE_OK)
		rc = prepare(
			db,
			"select %s,i.k from inbox i join %s e on e.n=i.event where i.who=(select n from participant "
			"where id=?1) and i.k<?2 and e.at>=?3 order by i.k desc%s",
			&tables[SCAN_EVENTS], "", &st);
	if (rc != SQLITE_OK)
		return rc;
	bind_text(st, 1, x->scan.values[0]);
	sqlite3_bind_int64(st, 2, x->placed ? x->place : INT64_MAX);
	sqlite3_bind_int64(st, 3, x->cutoff);
	x->placed = true;
	bool goes_on = true;
	while (goes_on && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		x->place = sqlite3_column_int64(st, EVENT_COLUMNS);
		goes_on = tell(x, st);
	}
	if (rc == SQLITE_DONE) {
		x->phase = 1;
		x->placed = false;
		x->scan.to = x->cutoff - 1;
		x->over |= !is_known;
	}
	rc = ended(st, rc);
	sqlite3_finalize(st);
	return rc;
}

/* Inboxes forget sooner than records do: what may have left them is looked for among all. */
static int events_of_person(struct scanning *x, sqlite3 *db)
{
	return x->phase == 0 ? inbox_of_person(x, db) : strides(x, db, " and e.source=0");
}

/* Parts ---------------------------------------------------------------------------------------------------------- */

static int part(struct scanning *x, sqlite3 *db)
{
	bool events = x->scan.table == SCAN_EVENTS;
	if (!tables[x->scan.table].cells)
		return whole(x, db);
	switch (x->scan.by) {
	case SCAN_IDS:
		return events ? events_by_id(x, db) : threds_by_id(x, db);
	case SCAN_CHAIN:
		return chains(x, db);
	case SCAN_PERSON:
		return events ? events_of_person(x, db) : threds_of_person(x, db);
	default:
		return strides(x, db, "");
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
