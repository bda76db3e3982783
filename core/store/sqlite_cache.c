/* SPDX-License-Identifier: MIT
 *
 * Live threds as bytes: by id, the least recently used go when they take more than their share. What is held, or not yet
 * durable, stays: the disk doesn't know it.
 */
#include <stdlib.h>
#include <string.h>

#include "store/sqlite.h"

static size_t cost(const struct thred *t)
{
	return sizeof *t + t->id_len + 1 + t->state_len;
}

static void list_remove(struct sqlite *s, struct thred *t)
{
	if (!t->listed)
		return;
	*(t->newer ? &t->newer->older : &s->newest) = t->older;
	*(t->older ? &t->older->newer : &s->oldest) = t->newer;
	t->listed = false;
}

static void list_add(struct sqlite *s, struct thred *t)
{
	t->newer = NULL;
	t->older = s->newest;
	*(t->older ? &t->older->newer : &s->oldest) = t;
	s->newest = t;
	t->listed = true;
}

static void drop(struct sqlite *s, struct thred *t)
{
	list_remove(s, t);
	HASH_DEL(s->threds, t);
	s->cache_bytes -= cost(t);
	free(t->state);
	free(t);
}

static void evict(struct sqlite *s)
{
	size_t room = s->options.cache_bytes;
	struct thred *t = s->oldest;
	for (int tries = 64; s->cache_bytes > room && t && tries > 0; tries--) {
		struct thred *newer = t->newer;
		if (t->dirty <= s->durable)
			drop(s, t);
		t = newer;
	}
}

struct thred *sqlite_thred(struct sqlite *s, struct span id)
{
	uint64_t hash = sqlite_hash(s, id, (struct span){"", 0});
	struct thred *t = NULL;
	HASH_FIND_BYHASHVALUE(hh, s->threds, id.data, id.len, (unsigned)hash, t);
	if (t)
		return t;
	t = xcalloc(1, sizeof *t + id.len + 1);
	memcpy(t->id, id.data, id.len);
	t->id_len = id.len;
	t->hash = hash;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, s->threds, t->id, t->id_len, (unsigned)hash, t);
	s->cache_bytes += cost(t);
	list_add(s, t);
	return t;
}

void sqlite_thred_use(struct sqlite *s, struct thred *t)
{
	list_remove(s, t);
}

void sqlite_thred_unuse(struct sqlite *s, struct thred *t)
{
	if (t->where == WHERE_LIVE || t->dirty > s->durable)
		list_add(s, t);
	else
		drop(s, t); /* nothing to remember: the next one looks again */
	if (s->cache_bytes > s->options.cache_bytes)
		evict(s);
}

void sqlite_thred_state(struct sqlite *s, struct thred *t, struct span state)
{
	s->cache_bytes -= t->state_len;
	if (!t->state || state.len > t->state_len || state.len < t->state_len / 2)
		t->state = xrealloc(t->state, state.len + 1);
	if (state.len)
		memcpy(t->state, state.data, state.len);
	t->state[state.len] = '\0';
	t->state_len = state.len;
	s->cache_bytes += state.len;
}

/* A failure: what is in memory may be ahead of the disk. Holders keep their step without its thred; who waits is told. */
void sqlite_threds_forget(struct sqlite *s, const struct error *e)
{
	struct sqlite_step *waiting = NULL, **tail = &waiting;
	struct thred *t, *next;
	HASH_ITER (hh, s->threds, t, next) {
		struct sqlite_step *step = t->holder;
		while (step) {
			struct sqlite_step *after = step == t->holder ? t->first_waiting : step->next;
			step->thred = NULL;
			step->base.view = (struct thred_view){0}; /* it points into what goes */
			step->next = NULL;
			if (!step->told) {
				*tail = step;
				tail = &step->next;
			}
			step = after;
		}
		drop(s, t);
	}
	while (waiting) {
		struct sqlite_step *step = waiting;
		waiting = step->next;
		struct begun begun = {NULL, REFUSED_NOT};
		step->fn(step->arg, &begun, e);
		free(step);
	}
}
