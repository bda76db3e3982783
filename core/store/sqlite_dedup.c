/* SPDX-License-Identifier: MIT
 *
 * Have we seen this id? The last 64 k exactly, with text; all others by a filter, and where that says "maybe" by the runs.
 */
#define XXH_STATIC_LINKING_ONLY
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdlib.h>
#include <string.h>

#include "store/sqlite.h"

/* Keyed: without the key nobody can make ids that collide. The length of `a` keeps ("ab","c") and ("a","bc") apart. */
uint64_t sqlite_hash(const struct sqlite *s, struct span a, struct span b)
{
	char small[512], *text = small;
	size_t size = sizeof a.len + a.len + b.len;
	if (size > sizeof small)
		text = xmalloc(size);
	memcpy(text, &a.len, sizeof a.len);
	memcpy(text + sizeof a.len, a.data, a.len);
	memcpy(text + sizeof a.len + a.len, b.data, b.len);
	uint64_t hash = XXH3_64bits_withSecret(text, size, s->secret, sizeof s->secret);
	if (text != small)
		free(text);
	return hash ? hash : 1; /* 0 is NULL on disk */
}

static void late(uint64_t **list, size_t *len, size_t *cap, uint64_t hash)
{
	if (*len == *cap) {
		*cap = *cap ? *cap * 2 : 1024;
		*list = xrealloc(*list, *cap * sizeof **list);
	}
	(*list)[(*len)++] = hash;
}

static struct seen *find(struct sqlite *s, uint64_t hash, struct span id, int64_t source)
{
	struct seen_set *set = &s->seen;
	if (!set->ring)
		return NULL;
	for (uint32_t i = set->buckets[hash % SEEN_BUCKETS]; i; i = set->ring[i - 1].next) {
		struct seen *x = &set->ring[i - 1];
		if (x->hash == hash && x->source == source && span_same((struct span){x->id, x->id_len}, id))
			return x;
	}
	return NULL;
}

enum seen_answer sqlite_seen(struct sqlite *s, uint64_t hash, const struct accept *a, int64_t source, int64_t content,
			     int64_t *n)
{
	struct seen *x = find(s, hash, a->id, source);
	if (x) {
		*n = x->n;
		return x->content == content ? SEEN_SAME : SEEN_OTHER;
	}
	return s->events_seen.count && !filter_maybe(&s->events_seen, hash) ? SEEN_NEVER : SEEN_ASK;
}

static void unlink_oldest(struct seen_set *set, uint32_t place)
{
	struct seen *old = &set->ring[place];
	uint32_t *at = &set->buckets[old->hash % SEEN_BUCKETS];
	while (*at != place + 1)
		at = &set->ring[*at - 1].next;
	*at = old->next;
	free(old->id);
}

static void not_in_a_run(struct sqlite *s, struct run_entry entry)
{
	if (s->no_run_len == s->no_run_cap) {
		s->no_run_cap = s->no_run_cap ? s->no_run_cap * 2 : 1024;
		s->no_run = xrealloc(s->no_run, s->no_run_cap * sizeof *s->no_run);
	}
	s->no_run[s->no_run_len++] = entry;
}

/* The newest event is in the open batch: its run is in the same transaction. */
void sqlite_add_run(struct sqlite *s)
{
	if (s->no_run_len < RUN_EVENTS)
		return;
	struct batch *b = sqlite_batch(s);
	struct op_run *op = batch_add(b, OP_RUN, sizeof *op);
	op->sequence = ++s->run_sequence;
	op->upto = s->no_run[s->no_run_len - 1].n;
	op->swept = s->swept;
	op->count = s->no_run_len;
	op->entries = arena_take(&b->arena, op->count * sizeof *op->entries);
	memcpy(op->entries, s->no_run, op->count * sizeof *op->entries);
	s->no_run_len = 0;
}

void sqlite_seen_add(struct sqlite *s, uint64_t hash, const struct accept *a, int64_t source, int64_t content,
		     int64_t n)
{
	struct seen_set *set = &s->seen;
	if (!set->ring) {
		set->ring = xcalloc(SEEN_RING, sizeof *set->ring);
		set->buckets = xcalloc(SEEN_BUCKETS, sizeof *set->buckets);
	}
	uint32_t place = set->next++ % SEEN_RING;
	if (set->count == SEEN_RING)
		unlink_oldest(set, place);
	else
		set->count++;
	struct seen *x = &set->ring[place];
	char *id = xmalloc(a->id.len + 1);
	memcpy(id, a->id.data, a->id.len);
	uint32_t *bucket = &set->buckets[hash % SEEN_BUCKETS];
	*x = (struct seen){hash, n, content, source, *bucket, (uint32_t)a->id.len, id};
	*bucket = place + 1;
	if (s->events_seen.count)
		filter_add(&s->events_seen, hash);
	else
		late(&s->late_events, &s->late_events_len, &s->late_events_cap, hash);
	not_in_a_run(s, (struct run_entry){(int64_t)hash, n});
}

void sqlite_seen_clear(struct sqlite *s)
{
	for (uint32_t i = 0; i < s->seen.count; i++)
		free(s->seen.ring[i].id);
	free(s->seen.ring);
	free(s->seen.buckets);
	memset(&s->seen, 0, sizeof s->seen);
	free(s->no_run);
	s->no_run = NULL;
	s->no_run_len = s->no_run_cap = 0;
}

bool sqlite_thred_maybe(const struct sqlite *s, uint64_t hash)
{
	return !s->threds_seen.count || filter_maybe(&s->threds_seen, hash);
}

void sqlite_thred_seen(struct sqlite *s, uint64_t hash)
{
	if (s->threds_seen.count)
		filter_add(&s->threds_seen, hash);
	else
		late(&s->late_threds, &s->late_threds_len, &s->late_threds_cap, hash);
}
