/* SPDX-License-Identifier: MIT
 *
 * The interface: chooses the backend by URL and passes on.
 */
#include <string.h>

#include "store/class.h"
#include "store/locks.h"

static const struct store_class *const classes[] = {&store_sqlite, &store_memory};

struct store *store_open(struct runtime *rt, const char *url, const struct store_options *options, struct error *e)
{
	static const struct store_options none;
	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
		size_t len = strlen(classes[i]->scheme);
		if (strncmp(url, classes[i]->scheme, len) != 0)
			continue;
		struct store *s = classes[i]->open(rt, url + len, options ? options : &none, e);
		if (s)
			s->locks = locks_new();
		return s;
	}
	error_set(e, ERROR_ARGUMENT, "no store \"%s\": expected sqlite:PATH or memory:", url);
	return NULL;
}

void store_close(struct store *s)
{
	locks_free(s->locks);
	s->class->close(s);
}

struct queue *store_queue(struct store *s)
{
	return s->queue;
}

void store_listen(struct store *s, const struct store_listener *listener)
{
	s->class->listen(s, listener);
}

bool store_ready(struct store *s, struct error *reason)
{
	return s->class->ready(s, reason);
}

void store_key(struct store *s, unsigned char key[32])
{
	s->class->key(s, key);
}

int64_t store_ticket(struct store *s)
{
	return s->class->ticket(s);
}

int64_t store_durable(struct store *s)
{
	return s->class->durable(s);
}

void store_running(struct store *s, uint64_t key)
{
	s->class->running(s, key);
}

struct store_timer store_timer(struct store *s, struct span thred_id, int64_t due)
{
	return s->class->timer(s, thred_id, due);
}

void store_timer_over(struct store *s, uint64_t key)
{
	s->class->timer_over(s, key);
}

struct ran *store_ran(struct store *s)
{
	return s->class->ran(s);
}

int store_begin(struct store *s, struct span id, struct begun *out, begun_fn fn, void *arg, struct error *e)
{
	return s->class->begin(s, id, NULL, out, fn, arg, e);
}

int store_begin_new(struct store *s, struct span id, const struct reservation *r, struct begun *out, begun_fn fn,
		    void *arg, struct error *e)
{
	return s->class->begin(s, id, r, out, fn, arg, e);
}

const struct thred_view *step_thred(struct step *step)
{
	return step->view.n ? &step->view : NULL;
}

int64_t store_commit(struct step *step, const struct store_changes *changes, struct error *e)
{
	return step->store->class->commit(step, changes, e);
}

void store_abort(struct step *step)
{
	step->store->class->abort(step, true);
}

void store_put_off(struct step *step)
{
	step->store->class->abort(step, false);
}

int store_lock(struct store *s, struct span name, struct store_lock **out, locked_fn fn, void *arg)
{
	return locks_take(s->locks, name, out, fn, arg);
}

void store_look(struct store *s, const struct look *look, rows_fn fn, void *arg)
{
	s->class->look(s, look, fn, arg);
}

int64_t store_put_pattern(struct store *s, const struct store_pattern *pattern, struct error *e)
{
	return s->class->put_pattern(s, pattern, e);
}

int64_t store_put_meta(struct store *s, struct span key, struct span value, struct error *e)
{
	return s->class->put_meta(s, key, value, e);
}

int64_t store_put_audit(struct store *s, int64_t at, struct span record, struct error *e)
{
	return s->class->put_audit(s, at, record, e);
}

int64_t store_dead_drop(struct store *s, int64_t id, struct error *e)
{
	return s->class->dead_drop(s, id, e);
}

void store_dead_retry(struct store *s, int64_t id, int64_t at, ticket_fn fn, void *arg)
{
	s->class->dead_retry(s, id, at, fn, arg);
}

void store_seen(struct store *s, struct span who, struct span event_id, ticket_fn fn, void *arg)
{
	s->class->seen(s, who, event_id, fn, arg);
}

void store_scan(struct store *s, const struct store_scan *scan)
{
	s->class->scan(s, scan);
}

void store_hold(struct store *s)
{
	s->class->hold(s);
}

void store_release(struct store *s)
{
	s->class->release(s);
}
