/* SPDX-License-Identifier: MIT
 *
 * Acceptance: duplicates, back-pressure, and one order for each source.
 */
#include <stdlib.h>
#include <string.h>

#include "queue/local_private.h"

/* A look at the disk for the first event of an id. */
struct ask {
	struct sqlite_read read;
	struct waiting *w; /* borrowed */
	uint64_t hash;
	int64_t source, known_n; /* known_n: the row, if memory has the id: so it has all that stand in no run */
	size_t id_len;
	bool found;
	int64_t n, content;
	int outcome;
	struct span thred, rec; /* owned */
	char id[];
};

static void ask_work(struct sqlite_read *read, struct sqlite_reader *r)
{
	struct ask *ask = (struct ask *)read;
	if (!r->seen)
		read->rc = sqlite3_prepare_v3(
			r->db,
			"select n,json_extract(body,'$.id'),content,outcome,coalesce((select id "
			"from thred t where t.n=e.thred),"
			"(select id from archive a where a.n=e.thred)),rec from event e where n in "
			"(select ?3 where ?3>0 union all select n from seen where h=?1 and old=1 "
			"and ?3=0) and h=?1 and source=?2",
			-1, SQLITE_PREPARE_PERSISTENT, &r->seen, NULL);
	if (read->rc != SQLITE_OK)
		return;
	sqlite3_bind_int64(r->seen, 1, (int64_t)ask->hash);
	sqlite3_bind_int64(r->seen, 2, ask->source);
	sqlite3_bind_int64(r->seen, 3, ask->known_n);
	int rc;
	while ((rc = sqlite3_step(r->seen)) == SQLITE_ROW) {
		if (!span_same(sqlite_column(r->seen, 1), (struct span){ask->id, ask->id_len}))
			continue;
		ask->found = true;
		ask->n = sqlite3_column_int64(r->seen, 0);
		ask->content = sqlite3_column_int64(r->seen, 2);
		bool open = sqlite3_column_type(r->seen, 3) == SQLITE_NULL ||
			    sqlite3_column_int(r->seen, 3) == OUTCOME_QUEUED;
		ask->outcome = open ? OUTCOME_NONE : sqlite3_column_int(r->seen, 3);
		ask->thred = sqlite_column_copy(r->seen, 4);
		ask->rec = sqlite_column_copy(r->seen, 5);
		break;
	}
	read->rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
	sqlite3_reset(r->seen);
}

static struct ask *ask_new(uint64_t hash, int64_t source, struct span id)
{
	struct ask *ask = xcalloc(1, sizeof *ask + id.len);
	ask->hash = hash;
	ask->source = source;
	ask->id_len = id.len;
	ask->outcome = OUTCOME_NONE;
	memcpy(ask->id, id.data, id.len);
	return ask;
}

static void ask_free(struct ask *ask)
{
	free((char *)ask->thred.data);
	free((char *)ask->rec.data);
	free(ask);
}

static int64_t content_of(const struct accept *a)
{
	int64_t content;
	memcpy(&content, a->content, sizeof content);
	return content;
}

static int64_t take(struct local_queue *q, const struct accept *a, struct word *source, uint64_t hash)
{
	struct sqlite *s = q->s;
	struct topic *t = topic_get(q, a->topic.data ? a->topic : span_of("engine"));
	struct op_event row = {.hash = (int64_t)hash,
			       .source = source->n,
			       .at = a->at,
			       .content = content_of(a),
			       .outcome = t->engine ? OUTCOME_NONE : OUTCOME_QUEUED};
	int64_t n = sqlite_add_event(s, &row, (struct span){NULL, 0}, a->body);
	sqlite_seen_add(s, hash, a, source->n, row.content, n);
	sqlite_add_run(s);
	s->open->steps++;
	if (!t->engine) {
		struct local_put put = {
			.event = n, .at = a->at, .topic = a->topic, .doc = a->body, .id = a->id, .source = a->source};
		local_put(q, &put);
		if (a->ref && q->release)
			q->release(q->release_arg, a->ref);
		return n;
	}
	struct delivery d = {.n = n,
			     .event = n,
			     .at = a->at,
			     .source = (struct span){source->text, source->len},
			     .id = a->id,
			     .doc = a->ref ? (struct span){NULL, 0} : a->body,
			     .ref = a->ref};
	struct pending *p = pending_new(q, t, &d);
	p->of_event = true;
	if (a->ref) {
		pending_charge(p, a->body.len);
		p->shared = xmalloc(sizeof *p->shared);
		*p->shared = (struct shared_ref){a->ref, 1};
	}
	local_arrive(t, p);
	return n;
}

static void fill(struct local_queue *q, struct accepted *out, int kind, int64_t n)
{
	*out = (struct accepted){.kind = kind, .n = n, .outcome = OUTCOME_NONE, .ticket = sqlite_told(q->s)};
}

/* STORE_WAITS: `w->known_n` is set and the disk must be asked. */
static int attempt(struct local_queue *q, const struct accept *a, struct word *source, struct accepted *out,
		   int64_t *known_n)
{
	uint64_t hash = sqlite_hash(q->s, a->source, a->id);
	*known_n = 0;
	switch (sqlite_seen(q->s, hash, a, source->n, content_of(a), known_n)) {
	case SEEN_NEVER:
		fill(q, out, ACCEPT_NEW, take(q, a, source, hash));
		return STORE_DONE;
	case SEEN_OTHER:
		fill(q, out, ACCEPT_CONFLICT, *known_n);
		return STORE_DONE;
	default:
		return STORE_WAITS;
	}
}

static void drop_ref(struct local_queue *q, const struct accept *a)
{
	if (a->ref && q->release)
		q->release(q->release_arg, a->ref);
}

static struct span copy_span(char **at, struct span s)
{
	if (!s.data)
		return s;
	char *to = *at;
	memcpy(to, s.data, s.len);
	*at += s.len;
	return (struct span){to, s.len};
}

static struct waiting *wait_add(struct local_queue *q, const struct accept *a, struct word *source, accepted_fn fn,
				void *arg)
{
	struct waiting *w = xmalloc(sizeof *w + a->source.len + a->id.len + a->thred.len + a->body.len + a->topic.len +
				    1);
	memset(w, 0, sizeof *w);
	char *at = w->bytes;
	w->q = q;
	w->a = *a;
	w->a.source = copy_span(&at, a->source);
	w->a.id = copy_span(&at, a->id);
	w->a.thred = copy_span(&at, a->thred);
	w->a.body = copy_span(&at, a->body);
	w->a.topic = copy_span(&at, a->topic);
	w->source = source;
	w->fn = fn;
	w->arg = arg;
	q->waiting_bytes += w->a.body.len;
	*(q->waiting ? &q->waiting_last->next : &q->waiting) = w;
	q->waiting_last = w;
	source->waiting++;
	return w;
}

/* Out of the list, told, gone. */
static void wait_end(struct local_queue *q, struct waiting *w, const struct accepted *result, const struct error *e)
{
	struct waiting **at = &q->waiting, *before = NULL;
	for (; *at != w; at = &(*at)->next)
		before = *at;
	*at = w->next;
	if (q->waiting_last == w)
		q->waiting_last = before;
	w->source->waiting--;
	q->waiting_bytes -= w->a.body.len;
	if (e || result->kind != ACCEPT_NEW)
		drop_ref(q, &w->a);
	w->fn(w->arg, result, e);
	free(w);
}

static void walk(struct local_queue *q);

static void ask_done(struct sqlite_read *read)
{
	struct ask *ask = (struct ask *)read;
	struct sqlite *s = read->s;
	if (read->epoch == s->epoch && !s->closed) {
		struct local_queue *q = s->local;
		struct waiting *w = ask->w;
		struct accepted result;
		if (read->rc == SQLITE_OK) {
			if (!ask->found && !w->known_n) {
				fill(q, &result, ACCEPT_NEW, take(q, &w->a, w->source, ask->hash));
			} else {
				bool same = !ask->found || ask->content == content_of(&w->a);
				fill(q, &result, same ? ACCEPT_DUPLICATE : ACCEPT_CONFLICT,
				     ask->found ? ask->n : w->known_n);
				result.outcome = ask->outcome;
				result.thred = ask->thred;
				result.rec = ask->rec;
			}
		}
		wait_end(q, w, &result, read->rc == SQLITE_OK ? NULL : &read->error);
		walk(q);
	}
	ask_free(ask);
}

static void ask(struct local_queue *q, struct waiting *w, int64_t known_n)
{
	struct ask *ask = ask_new(sqlite_hash(q->s, w->a.source, w->a.id), w->source->n, w->a.id);
	ask->known_n = known_n;
	ask->read.work = ask_work;
	ask->read.done = ask_done;
	ask->w = w;
	w->known_n = known_n;
	w->asking = true;
	sqlite_read(q->s, &ask->read);
}

static bool is_full(const struct local_queue *q)
{
	struct topic *t = NULL;
	HASH_FIND(hh, q->topics, "engine", 6, t);
	return sqlite_is_full(q->s) ||
	       (t && t->consumer.deliver && (t->ready >= TOPIC_READY / 2 || t->bytes >= q->s->options.queue_bytes));
}

static void walk(struct local_queue *q)
{
	uint32_t pass = ++q->pass;
	struct waiting *next;
	for (struct waiting *w = q->waiting; w && !is_full(q); w = next) {
		next = w->next;
		struct accepted result;
		int64_t known_n;
		if (w->asking || w->source->pass == pass) {
			w->source->pass = pass;
		} else if (attempt(q, &w->a, w->source, &result, &known_n) == STORE_DONE) {
			wait_end(q, w, &result, NULL);
		} else {
			w->source->pass = pass;
			ask(q, w, known_n);
		}
	}
}

void local_room(struct local_queue *q)
{
	if (q->waiting)
		walk(q);
}

int local_accept(struct queue *base, const struct accept *a, struct accepted *out, accepted_fn fn, void *arg,
		 struct error *e)
{
	struct local_queue *q = (struct local_queue *)base;
	struct sqlite *s = q->s;
	if (!s->ready || s->closing)
		return error_set(e, ERROR_SERVER, "can't accept an event: %s", s->reason.message);
	struct word *source = sqlite_participant(s, a->source);
	if (source->waiting || is_full(q)) {
		wait_add(q, a, source, fn, arg);
		return STORE_WAITS;
	}
	int64_t known_n;
	if (attempt(q, a, source, out, &known_n) == STORE_DONE) {
		if (out->kind != ACCEPT_NEW)
			drop_ref(q, a);
		return STORE_DONE;
	}
	ask(q, wait_add(q, a, source, fn, arg), known_n);
	return STORE_WAITS;
}

void local_accept_failed(struct local_queue *q, const struct error *e)
{
	struct waiting *list = q->waiting;
	q->waiting = q->waiting_last = NULL;
	q->waiting_bytes = 0;
	while (list) {
		struct waiting *w = list;
		list = w->next;
		drop_ref(q, &w->a);
		w->fn(w->arg, NULL, e);
		free(w);
	}
}

void local_accept_sure(struct local_queue *q, const struct accept *a)
{
	struct word *source = sqlite_participant(q->s, a->source);
	struct accepted out;
	int64_t known_n;
	if (attempt(q, a, source, &out, &known_n) == STORE_DONE || known_n)
		return;
	uint64_t hash = sqlite_hash(q->s, a->source, a->id);
	struct ask *ask = ask_new(hash, source->n, a->id);
	sqlite_read_now(q->s, &ask->read, ask_work);
	if (!ask->found)
		take(q, a, source, hash);
	ask_free(ask);
}
