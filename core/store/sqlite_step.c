/* SPDX-License-Identifier: MIT
 *
 * begin: lock, load, and for a new thred the reservation of an instance; abort.
 */
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "store/sqlite.h"

/* A thred that isn't in memory, from a reader. */
struct load {
	struct sqlite_read read;
	struct sqlite_step *step;
	uint64_t hash;
	struct thred *found; /* a plain copy of the row; owned */
	size_t id_len;
	char id[];
};

static void load_row(struct load *l, sqlite3_stmt *st)
{
	struct thred *t = xcalloc(1, sizeof *t);
	t->n = sqlite3_column_int64(st, 0);
	t->status = sqlite3_column_int(st, 2);
	t->step = sqlite3_column_int64(st, 3);
	t->pattern = sqlite3_column_int64(st, 4);
	t->version = sqlite3_column_int64(st, 5);
	t->reaction = sqlite3_column_int64(st, 6);
	t->started = sqlite3_column_int64(st, 7);
	t->reacted = sqlite3_column_int64(st, 8);
	t->due = sqlite3_column_int64(st, 9);
	t->last = sqlite3_column_int64(st, 10);
	struct span state = sqlite_column_copy(st, 11);
	t->state = (char *)state.data;
	t->state_len = state.len;
	t->where = WHERE_LIVE;
	l->found = t;
}

static int load_find(struct load *l, struct sqlite_reader *r, sqlite3_stmt **st, const char *sql, bool live)
{
	int rc = SQLITE_OK;
	if (!*st)
		rc = sqlite3_prepare_v3(r->db, sql, -1, SQLITE_PREPARE_PERSISTENT, st, NULL);
	if (rc != SQLITE_OK)
		return rc;
	sqlite3_bind_int64(*st, 1, (int64_t)l->hash);
	while (!l->found && (rc = sqlite3_step(*st)) == SQLITE_ROW) {
		if (!span_same(sqlite_column(*st, 1), (struct span){l->id, l->id_len}))
			continue;
		if (live) {
			load_row(l, *st);
		} else {
			l->found = xcalloc(1, sizeof *l->found);
			l->found->where = WHERE_ARCHIVED;
		}
	}
	sqlite3_reset(*st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static void load_work(struct sqlite_read *read, struct sqlite_reader *r)
{
	struct load *l = (struct load *)read;
	read->rc = load_find(
		l, r, &r->thred,
		"select n,id,status,step,pattern,version,reaction,started,reacted,due,last,state from thred "
		"where h=?",
		true);
	if (read->rc == SQLITE_OK && !l->found)
		read->rc = load_find(l, r, &r->archived, "select n,id from archive where h=?", false);
}

static void tell(struct sqlite_step *step, const struct begun *begun, const struct error *e)
{
	begun_fn fn = step->fn;
	void *arg = step->arg;
	step->told = true;
	fn(arg, begun, e);
}

static void view_fill(struct sqlite_step *step)
{
	struct thred *t = step->thred;
	struct thred_view *v = &step->base.view;
	memset(v, 0, sizeof *v);
	if (t->where != WHERE_LIVE)
		return;
	v->id = (struct span){t->id, t->id_len};
	v->state = (struct span){t->state ? t->state : "", t->state_len};
	v->pattern = dict_text(&step->s->words, t->pattern);
	v->version = dict_text(&step->s->words, t->version);
	v->reaction = dict_text(&step->s->words, t->reaction);
	v->n = t->n;
	v->step = t->step;
	v->started = t->started;
	v->reacted = t->reacted;
	v->due = t->due;
	v->status = t->status;
}

static int reserve(struct sqlite_step *step)
{
	if (step->thred->where != WHERE_NOWHERE)
		return REFUSED_EXISTS;
	struct word *p = step->pattern;
	if (step->max && p->live >= step->max)
		return REFUSED_MAX;
	if (step->interval && p->last && step->now - p->last < step->interval)
		return REFUSED_INTERVAL;
	step->last_before = p->last;
	p->live++;
	p->last = step->now;
	step->reserved = true;
	return REFUSED_NOT;
}

/* The thred is locked and known: true if the step may go on, else it has ended and `begun` says why. */
static bool ready_to_run(struct sqlite_step *step, struct begun *begun)
{
	begun->step = &step->base;
	begun->refusal = step->is_new ? reserve(step) : REFUSED_NOT;
	if (begun->refusal) {
		begun->step = NULL;
		return false;
	}
	view_fill(step);
	FAULT(after_lock_and_load);
	return true;
}

static void run(struct sqlite_step *step)
{
	struct begun begun;
	bool runs = ready_to_run(step, &begun);
	tell(step, &begun, NULL);
	if (!runs)
		sqlite_step_end(step);
}

static void load_take(struct sqlite *s, struct thred *t, struct load *l)
{
	struct thred *f = l->found;
	t->where = f ? f->where : WHERE_NOWHERE;
	if (!f || f->where != WHERE_LIVE)
		return;
	t->n = f->n;
	t->step = f->step;
	t->status = f->status;
	t->pattern = f->pattern;
	t->version = f->version;
	t->reaction = f->reaction;
	t->started = f->started;
	t->reacted = f->reacted;
	t->due = f->due;
	t->last = f->last;
	t->state = f->state;
	t->state_len = f->state_len;
	s->cache_bytes += t->state_len;
	f->state = NULL;
}

static void load_done(struct sqlite_read *read)
{
	struct load *l = (struct load *)read;
	struct sqlite *s = read->s;
	/* After a failure the step is gone already: it was told then. */
	if (read->epoch == s->epoch && !s->closing) {
		struct sqlite_step *step = l->step;
		if (read->rc == SQLITE_OK) {
			load_take(s, step->thred, l);
			run(step);
		} else {
			struct begun begun = {NULL, REFUSED_NOT};
			tell(step, &begun, &read->error);
			sqlite_step_end(step);
		}
	}
	if (l->found)
		free(l->found->state);
	free(l->found);
	free(l);
}

static void load(struct sqlite_step *step)
{
	struct thred *t = step->thred;
	struct load *l = xcalloc(1, sizeof *l + t->id_len);
	l->read.work = load_work;
	l->read.done = load_done;
	l->step = step;
	l->hash = t->hash;
	l->id_len = t->id_len;
	memcpy(l->id, t->id, t->id_len);
	sqlite_read(step->s, &l->read);
}

/* Is it known without a look at the disk what this thred is? */
static bool is_known(struct sqlite *s, struct thred *t)
{
	if (t->where == WHERE_UNKNOWN && !sqlite_thred_maybe(s, t->hash))
		t->where = WHERE_NOWHERE;
	return t->where != WHERE_UNKNOWN;
}

static struct sqlite_step *step_new(struct sqlite *s, struct thred *t, const struct reservation *r)
{
	struct sqlite_step *step = xcalloc(1, sizeof *step);
	step->base.store = &s->base;
	step->s = s;
	step->thred = t;
	step->epoch = s->epoch;
	if (r) {
		step->is_new = true;
		step->pattern = sqlite_word(s, r->pattern);
		step->reaction = r->reaction.data ? sqlite_word(s, r->reaction)->n : 0;
		step->max = r->max;
		step->interval = r->interval;
		step->now = r->now;
	}
	return step;
}

static void locked(struct sqlite_step *step)
{
	struct meters *m = &step->s->meters;
	meters_locked(m, step->asked_at);
	step->locked_at = meters_now(m);
}

int sqlite_begin(struct store *base, struct span id, const struct reservation *r, struct begun *out, begun_fn fn,
		 void *arg, struct error *e)
{
	struct sqlite *s = (struct sqlite *)base;
	if (!s->ready || s->closing)
		return error_set(e, ERROR_SERVER, "can't begin a step: %s", s->reason.message);
	struct thred *t = sqlite_thred(s, id);
	struct sqlite_step *step = step_new(s, t, r);
	step->fn = fn;
	step->arg = arg;
	if (t->holder) {
		*(t->first_waiting ? &t->last_waiting->next : &t->first_waiting) = step;
		t->last_waiting = step;
		step->asked_at = meters_now(&s->meters);
		return STORE_WAITS;
	}
	t->holder = step;
	locked(step);
	sqlite_thred_use(s, t);
	if (!is_known(s, t)) {
		load(step);
		return STORE_WAITS;
	}
	step->told = true;
	if (!ready_to_run(step, out))
		sqlite_step_end(step);
	return STORE_DONE;
}

/* Who gets a lock runs from here, not from deep within the commit that gave it. */
static void grant(struct sqlite *s)
{
	if (s->granting)
		return;
	s->granting = true;
	while (s->granted) {
		struct sqlite_step *step = s->granted;
		s->granted = step->next;
		if (!s->granted)
			s->granted_tail = &s->granted;
		step->next = NULL;
		if (!step->thred) {
			free(step); /* a failure came first, and told it */
			continue;
		}
		locked(step);
		if (is_known(s, step->thred))
			run(step);
		else
			load(step);
	}
	s->granting = false;
}

void sqlite_step_end(struct sqlite_step *step)
{
	struct sqlite *s = step->s;
	struct thred *t = step->thred;
	if (t) {
		struct sqlite_step *next = t->first_waiting;
		t->holder = next;
		if (next) {
			t->first_waiting = next->next;
			next->next = NULL;
			*s->granted_tail = next;
			s->granted_tail = &next->next;
		} else {
			sqlite_thred_unuse(s, t);
		}
	}
	free(step);
	grant(s);
}

void sqlite_abort(struct step *base, bool fires_again)
{
	struct sqlite_step *step = (struct sqlite_step *)base;
	struct sqlite *s = step->s;
	struct thred *t = step->thred;
	if (step->reserved && t) {
		step->pattern->live--;
		if (step->pattern->last == step->now)
			step->pattern->last = step->last_before;
	}
	/* A timer that fired and whose step failed comes again, but not at once. */
	if (fires_again && t && t->where == WHERE_LIVE && t->due && !due_has(&s->due, t->n)) {
		int64_t again = runtime_now(s->rt) + 1000;
		due_again(&s->due, t->n, (struct span){t->id, t->id_len}, t->due, t->due > again ? t->due : again);
		sqlite_due_arm(s);
	}
	sqlite_step_end(step);
}
