/* SPDX-License-Identifier: MIT
 *
 * Small writes beside the steps.
 */
#include <stdlib.h>
#include <string.h>

#include "queue/local.h"
#include "store/sqlite.h"

static int check(struct sqlite *s, struct error *e)
{
	if (s->ready && !s->closing)
		return 0;
	return error_set(e, ERROR_SERVER, "can't write: %s", s->reason.message);
}

int64_t sqlite_put_pattern(struct store *base, const struct store_pattern *p, struct error *e)
{
	struct sqlite *s = (struct sqlite *)base;
	if (check(s, e))
		return -1;
	struct op_sql *op = sqlite_add_sql(s, "insert or ignore into pattern values(?,?,?,?)");
	struct batch *b = s->open;
	sqlite_sql_text(op, b, p->hash);
	sqlite_sql_text(op, b, p->id);
	sqlite_sql_int(op, p->at);
	sqlite_sql_text(op, b, p->file);
	for (size_t i = 0; i < p->file_count; i++) {
		op = sqlite_add_sql(s, "insert or ignore into pattern_file values(?,?,?)");
		sqlite_sql_text(op, b, p->hash);
		sqlite_sql_text(op, b, p->files[i].path);
		sqlite_sql_blob(op, b, p->files[i].source);
	}
	if (p->activate) {
		op = sqlite_add_sql(s, "insert or replace into active values(?,?,?,?)");
		sqlite_sql_text(op, b, p->id);
		sqlite_sql_text(op, b, p->hash);
		sqlite_sql_int(op, p->at);
		sqlite_sql_int(op, !p->disabled);
	}
	return sqlite_told(s);
}

int64_t sqlite_put_meta(struct store *base, struct span key, struct span value, struct error *e)
{
	struct sqlite *s = (struct sqlite *)base;
	if (check(s, e))
		return -1;
	struct op_sql *op = sqlite_add_sql(s, value.data ? "insert or replace into meta values('user:'||?,?)"
							 : "delete from meta where key='user:'||?");
	sqlite_sql_text(op, s->open, key);
	if (value.data)
		sqlite_sql_blob(op, s->open, value);
	return sqlite_told(s);
}

int64_t sqlite_put_audit(struct store *base, int64_t at, struct span record, struct error *e)
{
	struct sqlite *s = (struct sqlite *)base;
	if (check(s, e))
		return -1;
	struct op_sql *op = sqlite_add_sql(s, "insert into audit(at,record) values(?,?)");
	sqlite_sql_int(op, at);
	sqlite_sql_blob(op, s->open, record);
	return sqlite_told(s);
}

int64_t sqlite_dead_drop(struct store *base, int64_t id, struct error *e)
{
	struct sqlite *s = (struct sqlite *)base;
	if (check(s, e))
		return -1;
	sqlite_sql_int(sqlite_add_sql(s, "delete from dead where n=?"), id);
	return sqlite_told(s);
}

/* What has to be read before it is written. */
struct first {
	struct sqlite_read read;
	ticket_fn fn;
	void *arg;
	int64_t id, at, hash, event, event_at, source, who, k;
	int tries;
	bool found;
	struct span topic, target, message, body, event_id; /* owned */
	size_t len;
	char text[];
};

static void tell(struct first *f, int64_t ticket, const struct error *e)
{
	f->fn(f->arg, ticket, e);
	free((char *)f->topic.data);
	free((char *)f->target.data);
	free((char *)f->message.data);
	free((char *)f->body.data);
	free((char *)f->event_id.data);
	free(f);
}

/* False: told already that it can't be done. */
static bool may_go_on(struct first *f)
{
	struct sqlite *s = f->read.s;
	struct error e = f->read.error;
	if (f->read.rc == SQLITE_OK && f->read.epoch == s->epoch && check(s, &e) == 0) {
		if (f->found)
			return true;
		tell(f, 0, NULL);
	} else {
		tell(f, -1, &e);
	}
	return false;
}

static void dead_work(struct sqlite_read *read, struct sqlite_reader *r)
{
	struct first *f = (struct first *)read;
	sqlite3_stmt *st;
	read->rc = sqlite3_prepare_v2(
		r->db,
		"select d.event,d.target,d.message,(select text from word where n=d.topic),e.body,e.source,"
		"json_extract(e.body,'$.id'),coalesce(d.attempts,1) from dead d left join event e on e.n=d.event where "
		"d.n=?",
		-1, &st, NULL);
	if (read->rc != SQLITE_OK)
		return;
	sqlite3_bind_int64(st, 1, f->id);
	int rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		f->found = true;
		f->event = sqlite3_column_int64(st, 0);
		f->target = sqlite_column_copy(st, 1);
		f->message = sqlite_column_copy(st, 2);
		f->topic = sqlite_column_copy(st, 3);
		f->body = sqlite_column_copy(st, 4);
		f->source = sqlite3_column_int64(st, 5);
		f->event_id = sqlite_column_copy(st, 6);
		f->tries = sqlite3_column_int(st, 7);
	}
	read->rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
	sqlite3_finalize(st);
}

static void dead_done(struct sqlite_read *read)
{
	struct first *f = (struct first *)read;
	struct sqlite *s = read->s;
	for (size_t i = 0; i < sizeof s->retried / sizeof *s->retried; i++)
		f->found = f->found && s->retried[i] != f->id;
	if (!may_go_on(f))
		return;
	s->retried[s->retried_next++ % (sizeof s->retried / sizeof *s->retried)] = f->id;
	sqlite_sql_int(sqlite_add_sql(s, "delete from dead where n=?"), f->id);
	struct local_put put = {.event = f->event,
				.at = f->at,
				.tries = f->tries,
				.topic = f->topic,
				.target = f->target,
				.message = f->message,
				.doc = f->body,
				.id = f->event_id,
				.source = dict_text(&s->participants, f->source),
				.emitted = f->source == 0};
	local_put(s->local, &put);
	tell(f, sqlite_told(s), NULL);
}

void sqlite_dead_retry(struct store *base, int64_t id, int64_t at, ticket_fn fn, void *arg)
{
	struct first *f = xcalloc(1, sizeof *f);
	f->read.work = dead_work;
	f->read.done = dead_done;
	f->fn = fn;
	f->arg = arg;
	f->id = id;
	f->at = at;
	sqlite_read((struct sqlite *)base, &f->read);
}

static void seen_work(struct sqlite_read *read, struct sqlite_reader *r)
{
	struct first *f = (struct first *)read;
	sqlite3_stmt *st;
	read->rc = sqlite3_prepare_v2(r->db,
				      "select i.k from inbox i join event e on e.n=i.event where i.who=?1 and e.h=?2 "
				      "and e.source=0 order by i.k desc limit 1",
				      -1, &st, NULL);
	if (read->rc != SQLITE_OK)
		return;
	sqlite3_bind_int64(st, 1, f->who);
	sqlite3_bind_int64(st, 2, f->hash);
	int rc = sqlite3_step(st);
	f->found = rc == SQLITE_ROW;
	f->k = f->found ? sqlite3_column_int64(st, 0) : 0;
	read->rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
	sqlite3_finalize(st);
}

static void seen_done(struct sqlite_read *read)
{
	struct first *f = (struct first *)read;
	struct sqlite *s = read->s;
	if (!may_go_on(f))
		return;
	struct word *who = dict_get(&s->participants, f->who);
	if (who && f->k > who->seen) {
		who->seen = f->k;
		struct op_sql *op = sqlite_add_sql(s, "update participant set seen=? where n=?");
		sqlite_sql_int(op, f->k);
		sqlite_sql_int(op, f->who);
	}
	tell(f, sqlite_told(s), NULL);
}

void sqlite_put_seen(struct store *base, struct span who, struct span event_id, ticket_fn fn, void *arg)
{
	struct sqlite *s = (struct sqlite *)base;
	struct word *w = dict_find(&s->participants, who);
	if (w && s->ready && !s->closing)
		sqlite_alive(s, w);
	struct first *f = xcalloc(1, sizeof *f);
	f->read.work = seen_work;
	f->read.done = seen_done;
	f->fn = fn;
	f->arg = arg;
	f->who = w ? w->n : 0;
	f->hash = (int64_t)sqlite_hash(s, span_of("SYSTEM"), event_id);
	sqlite_read(s, &f->read);
}
