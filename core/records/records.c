/* SPDX-License-Identifier: MIT
 *
 * The view's provider: which way of the store's is the cheapest for what a query asks.
 */
#include "records/records.h"

#include <stdlib.h>

#include "records/fields.h"

/* The place of a key in a collection's list. */
enum { KEY_ID, KEY_AT, KEY_SOURCE, KEY_THRED, KEY_PEOPLE };
enum { KEY_PATTERN = 1, KEY_STATUS, KEY_PARTICIPANTS };
enum { LOG_THRED, LOG_AT };

#define CHANGE_THREDS  "srvthreds threds terminate and transition do"
#define CHANGE_NOTHING "what happened is not changed"
#define CHANGE_PROFILE "the profile says it; srvthreds bootstrap loads it"

static const struct view_collection collections[SCAN_TABLES] = {
	[SCAN_EVENTS] = {"events", {"_id", "at", "source", "threds", "people"}, "n", CHANGE_NOTHING},
	[SCAN_LOG] = {"log", {"thred", "at"}, "n", CHANGE_NOTHING},
	[SCAN_THREDS] = {"threds", {"_id", "pattern", "status", "participants"}, "n", CHANGE_THREDS},
	[SCAN_ARCHIVE] = {"archive", {"_id", "pattern", "status", "participants"}, "n", CHANGE_NOTHING},
	[SCAN_DEAD] = {"dead", {NULL}, "n", "srvthreds dead retry and drop do"},
	[SCAN_AUDIT] = {"audit", {NULL}, "n", CHANGE_NOTHING},
	[SCAN_PATTERNS] = {"patterns", {NULL}, NULL, "saving a pattern's file and srvthreds patterns do"},
	[SCAN_USERS] = {"users", {NULL}, NULL, CHANGE_PROFILE},
	[SCAN_CONFIG] = {"config", {NULL}, NULL, CHANGE_PROFILE},
};

struct records {
	struct docdb_view view;
	struct store *store; /* held */
	/* Of the query under way: */
	struct view_query *query;
	struct store_scan scan;
	struct span *values, *sources; /* owned */
	struct record_maker maker;
};

static bool take(void *arg, const char *document)
{
	struct records *r = arg;
	return document && view_document(r->query, document);
}

static bool row(void *arg, const struct cell *cells)
{
	struct records *r = arg;
	return cells ? record_make(&r->maker, r->scan.table, cells, take, r) : view_document(r->query, NULL);
}

static void done(void *arg, const struct error *e)
{
	struct records *r = arg;
	free(r->values);
	free(r->sources);
	r->values = r->sources = NULL;
	view_done(r->query, e);
}

static struct span *spans(const struct view_key *key, size_t *count)
{
	struct span *list = xcalloc(key->count ? key->count : 1, sizeof *list);
	for (size_t i = 0; i < key->count; i++) {
		struct bytes t = value_text(key->values[i]);
		list[i] = (struct span){t.data, t.len};
	}
	*count = key->count;
	return list;
}

static void by(struct records *r, enum scan_by by, const struct view_key *key)
{
	r->scan.by = by;
	r->scan.values = r->values = spans(key, &r->scan.value_count);
}

static void between(struct records *r, const struct view_key *at)
{
	if (at->low.type)
		r->scan.from = value_int64(at->low.data);
	if (at->high.type)
		r->scan.to = value_int64(at->high.data);
}

static void plan_events(struct records *r, const struct view_key *keys)
{
	between(r, &keys[KEY_AT]);
	if (keys[KEY_THRED].count) {
		by(r, SCAN_CHAIN, &keys[KEY_THRED]);
	} else if (keys[KEY_ID].count && keys[KEY_ID].count <= SCAN_IDS_MAX) {
		by(r, SCAN_IDS, &keys[KEY_ID]);
		r->scan.sources = r->sources = spans(&keys[KEY_SOURCE], &r->scan.source_count);
	} else if (keys[KEY_PEOPLE].count == 1) {
		by(r, SCAN_PERSON, &keys[KEY_PEOPLE]);
	}
}

static void plan_threds(struct records *r, const struct view_key *keys)
{
	if (keys[KEY_ID].count) {
		by(r, SCAN_IDS, &keys[KEY_ID]);
	} else if (keys[KEY_PARTICIPANTS].count == 1) {
		by(r, SCAN_PERSON, &keys[KEY_PARTICIPANTS]);
	} else {
		const struct view_key *status = &keys[KEY_STATUS];
		if (keys[KEY_PATTERN].count == 1)
			r->scan.pattern = (struct span){value_text(*keys[KEY_PATTERN].values).data,
							value_text(*keys[KEY_PATTERN].values).len};
		if (status->count == 1)
			r->scan.status = status_number(
				(struct span){value_text(*status->values).data, value_text(*status->values).len});
	}
}

static void start(void *arg, struct view_query *query)
{
	struct records *r = arg;
	r->query = query;
	r->scan = (struct store_scan){.table = (enum scan_table)(query->collection - collections),
				      .from = INT64_MIN,
				      .to = INT64_MAX,
				      .row = row,
				      .done = done,
				      .arg = r};
	switch (r->scan.table) {
	case SCAN_EVENTS:
		plan_events(r, query->keys);
		break;
	case SCAN_LOG:
		between(r, &query->keys[LOG_AT]);
		if (query->keys[LOG_THRED].count)
			by(r, SCAN_CHAIN, &query->keys[LOG_THRED]);
		break;
	case SCAN_THREDS:
	case SCAN_ARCHIVE:
		plan_threds(r, query->keys);
		break;
	default:
		break;
	}
	r->scan.upward = r->scan.by == SCAN_ALL && query->order > 0;
	query->ordered = query->order && (r->scan.by == SCAN_ALL || (r->scan.by == SCAN_PERSON && query->order < 0));
	store_scan(r->store, &r->scan);
}

static void close_records(void *arg)
{
	struct records *r = arg;
	store_release(r->store);
	record_maker_free(&r->maker);
	free(r);
}

struct docdb_view *records_view(struct store *store)
{
	struct records *r = xcalloc(1, sizeof *r);
	store_hold(store);
	r->store = store;
	r->view = (struct docdb_view){r, collections, SCAN_TABLES, start, close_records};
	return &r->view;
}

const struct view_collection *records_collection(int place)
{
	return &collections[place];
}

void records_options(struct docdb_options *options)
{
	static const struct docdb_host host = {"default", "view:"};
	static const char *const databases[] = {RECORDS_DATABASE};
	options->hosts = &host;
	options->host_count = 1;
	options->databases = databases;
	options->database_count = 1;
}
