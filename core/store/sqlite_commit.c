/* SPDX-License-Identifier: MIT
 *
 * commit: one changeset becomes ops of the open batch, and the cache holds the new state. Everything that can be wrong is
 * found before the first op: after that nothing fails but the batch as a whole.
 */
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "queue/local.h"
#include "store/sqlite.h"

int64_t sqlite_add_event(struct sqlite *s, const struct op_event *event, struct span rec, struct span body)
{
	struct batch *b = sqlite_batch(s);
	struct op_event *op = batch_add(b, OP_EVENT, sizeof *op);
	struct op head = op->op;
	*op = *event;
	op->op = head;
	op->n = s->next_n++;
	op->rec = arena_copy(&b->arena, rec);
	op->body = arena_copy(&b->arena, body);
	batch_by_n(b, op->n, &op->op);
	return op->n;
}

int64_t sqlite_add_queue(struct sqlite *s, const struct local_put *put, struct span topic)
{
	int64_t word = sqlite_word(s, topic)->n;
	struct batch *b = sqlite_batch(s);
	struct op_queue *op = batch_add(b, OP_QUEUE, sizeof *op);
	op->n = s->next_n++;
	op->event = put->event;
	op->at = put->at;
	op->topic = word;
	op->tries = put->tries;
	op->target = arena_copy(&b->arena, put->target);
	op->body = arena_copy(&b->arena, put->message);
	batch_by_n(b, op->n, &op->op);
	return op->n;
}

static void add_pair(struct sqlite *s, enum op_kind kind, int64_t a, int64_t b, int64_t c)
{
	struct op_pair *op = batch_add(sqlite_batch(s), kind, sizeof *op);
	op->a = a;
	op->b = b;
	op->c = c;
}

/* What one commit works on. */
struct commit {
	struct sqlite *s;
	struct sqlite_step *step; /* NULL: settle */
	struct thred *t;          /* NULL: no live thred takes part */
	struct pending *delivery;
	const struct store_changes *changes;
	int64_t now;
	int64_t pattern, reaction; /* where the step began; pattern 0: it is none */
};

static bool changes_thred(const struct store_changes *c)
{
	return c->state.data || c->pattern.data || c->version.data || c->reaction.data || c->status || c->ended ||
	       c->started || c->reacted || c->member_count;
}

/* Who commits has lost what it held: its thred's lock to a failure, or its delivery, which is settled or came again. */
static bool is_lost(const struct commit *c)
{
	if (c->s->closing)
		return false;
	if (c->step && (c->step->epoch != c->s->epoch || !c->step->thred))
		return true;
	return c->s->ready && c->changes->delivery && !c->delivery;
}

static int check(struct commit *c, struct error *e)
{
	const struct store_changes *x = c->changes;
	if (!c->s->ready || c->s->closing)
		return error_set(e, ERROR_SERVER, "can't commit a step: %s", c->s->reason.message);
	if (c->step && (c->step->epoch != c->s->epoch || !c->step->thred))
		return error_set(e, ERROR_SERVER, "the step was refused: what it was built on did not reach the disk");
	if (x->delivery && !(c->delivery = local_find(c->s->local, x->delivery)))
		return error_set(e, ERROR_SERVER,
				 "the step was refused: delivery %lld is settled already, or came again",
				 (long long)x->delivery);
	if (!changes_thred(x))
		return 0;
	if (!c->step)
		return error_set(e, ERROR_ARGUMENT, "changes of a thred need a step: use begin and commit");
	if (c->step->thred->where == WHERE_LIVE)
		return 0;
	if (!c->step->is_new)
		return error_set(e, ERROR_NO_THRED, "no live thred %s to change", c->step->thred->id);
	return x->state.data ? 0 : error_set(e, ERROR_MISSING, "a new thred needs its state");
}

static void back(struct word *pattern)
{
	if (pattern)
		pattern->live--;
}

static void remember_start(struct sqlite *s, struct word *p)
{
	struct op_pair *op = p->op;
	if (p->op_ticket != s->open->ticket || !op) {
		op = batch_add(sqlite_batch(s), OP_STARTS, sizeof *op);
		op->a = p->n;
		p->op = op;
		p->op_ticket = s->open->ticket;
	}
	op->b = p->last;
}

static void take_pattern(struct commit *c)
{
	struct thred *t = c->t;
	struct word *to = sqlite_word(c->s, c->changes->pattern);
	if (to->n != t->pattern && t->status == THRED_ACTIVE) {
		back(dict_get(&c->s->words, t->pattern));
		to->live++;
	}
	t->pattern = to->n;
}

static void create(struct commit *c)
{
	struct thred *t = c->t;
	t->n = c->s->next_thred++;
	t->where = WHERE_LIVE;
	t->status = THRED_ACTIVE;
	t->pattern = c->step->pattern->n;
	t->started = c->step->now;
	c->step->reserved = false; /* the thred itself holds the instance now */
	sqlite_thred_seen(c->s, t->hash);
	remember_start(c->s, c->step->pattern);
}

static void take_state(struct commit *c)
{
	struct thred *t = c->t;
	const struct store_changes *x = c->changes;
	if (x->state.data) {
		sqlite_thred_state(c->s, t, x->state);
		t->due = x->due;
	}
	if (x->pattern.data)
		take_pattern(c);
	if (x->version.data)
		t->version = sqlite_word(c->s, x->version)->n;
	if (x->reaction.data)
		t->reaction = sqlite_word(c->s, x->reaction)->n;
	if (x->started)
		t->started = x->started;
	if (x->reacted)
		t->reacted = x->reacted;
	int status = x->status ? x->status : t->status;
	if (x->ended && status == THRED_ACTIVE)
		status = THRED_TERMINATED;
	if (t->status == THRED_ACTIVE && status != THRED_ACTIVE)
		back(dict_get(&c->s->words, t->pattern));
	t->status = status;
	if (x->ended)
		t->due = 0;
}

/* The row of an event in, or a record of its own for a message or a timer; chained to the thred. 0: no row. */
static int64_t record(struct commit *c)
{
	struct sqlite *s = c->s;
	const struct store_changes *x = c->changes;
	int64_t thred = c->t ? c->t->n : 0, step = c->t ? c->t->step : 0, prev = c->t ? c->t->last : 0;
	if (c->delivery && c->delivery->of_event) {
		struct op_event *op = (struct op_event *)batch_find(s->open, c->delivery->d.event);
		if (!op) {
			op = batch_add(sqlite_batch(s), OP_EVENT_DONE, sizeof *op);
			op->n = c->delivery->d.event;
		}
		op->outcome = x->outcome == OUTCOME_NONE ? OUTCOME_HANDLED : x->outcome;
		op->thred = thred;
		op->step = step;
		op->prev = prev;
		op->rec = arena_copy(&s->open->arena, x->rec);
		return op->n;
	}
	if (x->outcome == OUTCOME_NONE && !x->rec.data)
		return 0;
	struct op_event row = {.source = -1,
			       .thred = thred,
			       .at = c->delivery ? c->delivery->d.at : c->now,
			       .outcome = x->outcome,
			       .step = step,
			       .prev = prev,
			       .cause = c->delivery ? c->delivery->d.event : 0};
	return sqlite_add_event(s, &row, x->rec, (struct span){NULL, 0});
}

/* An event whose every target comes later is "queued" until one of them is done: matched if any matched, else the first. */
static void late_outcome(struct commit *c)
{
	int outcome = c->changes->outcome;
	if (!c->delivery || !local_waited(c->delivery) || outcome == OUTCOME_NONE || outcome == OUTCOME_QUEUED)
		return;
	struct op_sql *op = sqlite_add_sql(c->s,
					   "update event set outcome=? where n=? and source>0 and (outcome=? or ?=?)");
	sqlite_sql_int(op, outcome);
	sqlite_sql_int(op, c->delivery->d.event);
	sqlite_sql_int(op, OUTCOME_QUEUED);
	sqlite_sql_int(op, outcome);
	sqlite_sql_int(op, OUTCOME_MATCHED);
}

static void chain(struct commit *c, int64_t n)
{
	if (c->t && n)
		c->t->last = n;
}

static void emit(struct commit *c, const struct store_event *event)
{
	struct sqlite *s = c->s;
	struct op_event row = {.hash = (int64_t)sqlite_hash(s, span_of("SYSTEM"), event->id),
			       .at = c->now,
			       .outcome = OUTCOME_NONE,
			       .thred = c->t ? c->t->n : 0,
			       .step = c->t ? c->t->step : 0,
			       .prev = c->t ? c->t->last : 0,
			       .cause = c->delivery ? c->delivery->d.event : 0};
	int64_t n = sqlite_add_event(s, &row, event->rec, event->body);
	chain(c, n);
	for (size_t i = 0; i < event->inboxes; i++) {
		struct word *who = sqlite_participant(s, event->inbox[i]);
		add_pair(s, OP_INBOX, who->n, ++who->inbox, n);
	}
	for (size_t i = 0; i < event->service_count; i++) {
		struct local_put put = {.event = n,
					.at = c->now,
					.topic = event->services[i],
					.doc = event->body,
					.id = event->id,
					.emitted = true};
		local_put(s->local, &put);
		FAULT(after_each_publish);
	}
}

static void pass_on(struct commit *c, const struct store_message *m)
{
	const struct delivery *d = c->delivery ? &c->delivery->d : NULL;
	struct local_put put = {.at = c->now, .topic = m->topic, .target = m->target, .message = m->body};
	if (d) {
		put.event = d->event;
		put.at = d->at;
		put.doc = local_doc(c->delivery);
		put.ref_of = c->delivery;
		put.id = d->id;
		put.source = d->source;
		put.emitted = c->delivery->emitted;
		put.late = m->target.data && (c->delivery->late || c->changes->outcome == OUTCOME_QUEUED);
		put.tries = span_same(m->target, d->target) ? d->tries : 0; /* the delivery itself, put aside */
	}
	local_put(c->s->local, &put);
}

static void bury(struct commit *c)
{
	struct sqlite *s = c->s;
	const struct store_dead *x = c->changes->dead;
	static const struct delivery timer; /* a timer has none: its target says what to try again */
	const struct delivery *d = c->delivery && !x->own ? &c->delivery->d : &timer;
	struct span topic = d == &timer ? span_of("engine") : local_retry_topic(c->delivery);
	struct op_sql *op = sqlite_add_sql(s, "insert into dead values(?,?,?,?,?,?,?,?,?,?,?)");
	struct batch *b = s->open;
	sqlite_sql_int(op, s->next_n++);
	sqlite_sql_int(op, d->event);
	sqlite_sql_int(op, c->now);
	sqlite_sql_int(op, sqlite_word(s, topic)->n);
	sqlite_sql_text(op, b, x->target.data ? x->target : d->target);
	sqlite_sql_blob(op, b, d->message);
	sqlite_sql_text(op, b, x->pattern);
	sqlite_sql_text(op, b, x->reaction);
	sqlite_sql_text(op, b, x->version);
	sqlite_sql_blob(op, b, x->error);
	sqlite_sql_int(op, x->attempts ? x->attempts : 1);
}

static struct op_thred *thred_op(struct sqlite *s, struct thred *t, bool fresh)
{
	if (t->op && t->dirty == s->open->ticket)
		return t->op;
	struct op_thred *op = batch_add(sqlite_batch(s), OP_THRED, sizeof *op);
	op->write = fresh ? THRED_INSERT : THRED_UPDATE;
	op->n = t->n;
	op->hash = (int64_t)t->hash;
	op->id = arena_copy(&s->open->arena, (struct span){t->id, t->id_len});
	t->op = op;
	t->dirty = s->open->ticket;
	return op;
}

static void write_thred(struct commit *c, bool fresh)
{
	struct sqlite *s = c->s;
	struct thred *t = c->t;
	struct op_thred *op = thred_op(s, t, fresh);
	op->status = t->status;
	op->step = t->step;
	op->pattern = t->pattern;
	op->version = t->version;
	op->reaction = t->reaction;
	op->started = t->started;
	op->reacted = t->reacted;
	op->due = t->due;
	op->last = t->last;
	/* The bytes may have room from an earlier write of this batch: the arena needn't hold every version. */
	if (op->state.data && op->state.len >= t->state_len) {
		memcpy((char *)op->state.data, t->state, t->state_len);
		op->state.len = t->state_len;
	} else {
		op->state = arena_copy(&s->open->arena, (struct span){t->state, t->state_len});
	}
	if (c->changes->ended) {
		op->write = op->write == THRED_INSERT ? THRED_ARCHIVE_NEW : THRED_ARCHIVE;
		op->ended = c->now;
		t->where = WHERE_ARCHIVED;
	}
	due_set(&s->due, t->n, (struct span){t->id, t->id_len}, t->due);
	sqlite_due_arm(s);
}

static void apply(struct commit *c)
{
	struct sqlite *s = c->s;
	const struct store_changes *x = c->changes;
	bool fresh = c->step && c->step->is_new && c->step->thred->where != WHERE_LIVE && x->state.data;
	c->t = c->step ? c->step->thred : NULL;
	if (fresh)
		create(c);
	else if (c->t && c->t->where != WHERE_LIVE)
		c->t = NULL;
	if (c->t && !x->no_step) {
		c->t->step++;
		c->pattern = c->t->pattern;
		c->reaction = fresh ? c->step->reaction : c->t->reaction;
	}
	if (c->t)
		take_state(c);
	chain(c, record(c));
	late_outcome(c);
	for (size_t i = 0; i < x->event_count; i++)
		emit(c, &x->events[i]);
	for (size_t i = 0; i < x->message_count; i++)
		pass_on(c, &x->messages[i]);
	for (size_t i = 0; i < x->accept_count; i++)
		local_accept_sure(s->local, &x->accepts[i]);
	for (size_t i = 0; c->t && i < x->member_count; i++)
		add_pair(s, OP_MEMBER, sqlite_participant(s, x->members[i])->n, c->t->n, 0);
	if (x->dead)
		bury(c);
	if (c->t)
		write_thred(c, fresh);
	if (c->delivery)
		local_settled(s->local, c->delivery);
	sqlite_batch(s)->steps++;
}

int64_t sqlite_apply(struct sqlite *s, struct sqlite_step *step, const struct store_changes *changes, struct error *e)
{
	struct commit c = {.s = s, .step = step, .changes = changes, .now = runtime_now(s->rt)};
	FAULT(after_lua);
	if (check(&c, e)) {
		if (is_lost(&c))
			meters_refused(&s->meters);
		return -1;
	}
	apply(&c);
	if (c.pattern)
		meters_step(&s->meters, &s->words, c.pattern, c.reaction, step->locked_at);
	return sqlite_told(s);
}

int64_t sqlite_commit(struct step *base, const struct store_changes *changes, struct error *e)
{
	struct sqlite_step *step = (struct sqlite_step *)base;
	int64_t ticket = sqlite_apply(step->s, step, changes, e);
	if (ticket < 0 || step->reserved)
		sqlite_abort(base, true); /* refused, or a start that made no thred: the instance goes back */
	else
		sqlite_step_end(step);
	return ticket;
}
