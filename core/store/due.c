/* SPDX-License-Identifier: MIT */
#include "store/due.h"

#include <stdlib.h>
#include <string.h>

static void put(struct due_heap *h, size_t slot, struct due *d)
{
	h->heap[slot] = d;
	d->slot = slot;
}

static bool before(const struct due *a, const struct due *b)
{
	return a->at < b->at || (a->at == b->at && a->n < b->n);
}

static void rise(struct due_heap *h, struct due *d)
{
	size_t i = d->slot;
	while (i > 0 && before(d, h->heap[(i - 1) / 2])) {
		put(h, i, h->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	put(h, i, d);
}

static void sink(struct due_heap *h, struct due *d)
{
	size_t i = d->slot;
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= h->len)
			break;
		if (child + 1 < h->len && before(h->heap[child + 1], h->heap[child]))
			child++;
		if (!before(h->heap[child], d))
			break;
		put(h, i, h->heap[child]);
		i = child;
	}
	put(h, i, d);
}

static void take_out(struct due_heap *h, struct due *d)
{
	struct due *last = h->heap[--h->len];
	if (last != d) {
		put(h, d->slot, last);
		rise(h, last);
		sink(h, last);
	}
	HASH_DEL(h->by_n, d);
	free(d);
}

static struct due *find(const struct due_heap *h, int64_t n)
{
	struct due *d = NULL;
	HASH_FIND(hh, h->by_n, &n, sizeof n, d);
	return d;
}

void due_again(struct due_heap *h, int64_t n, struct span id, int64_t due, int64_t at)
{
	struct due *d = find(h, n);
	if (due == 0) {
		if (d)
			take_out(h, d);
		return;
	}
	if (d) {
		d->due = due;
		d->at = at;
		rise(h, d);
		sink(h, d);
		return;
	}
	if (h->len == h->cap) {
		h->cap = h->cap ? h->cap * 2 : 64;
		h->heap = xrealloc(h->heap, h->cap * sizeof *h->heap);
	}
	d = xmalloc(sizeof *d + id.len + 1);
	memset(d, 0, sizeof *d);
	d->due = due;
	d->at = at;
	d->n = n;
	d->len = id.len;
	memcpy(d->id, id.data, id.len);
	d->id[id.len] = '\0';
	HASH_ADD(hh, h->by_n, n, sizeof d->n, d);
	put(h, h->len++, d);
	rise(h, d);
}

void due_set(struct due_heap *h, int64_t n, struct span id, int64_t due)
{
	due_again(h, n, id, due, due);
}

bool due_has(const struct due_heap *h, int64_t n)
{
	return find(h, n) != NULL;
}

const struct due *due_first(const struct due_heap *h)
{
	return h->len ? h->heap[0] : NULL;
}

void due_clear(struct due_heap *h)
{
	HASH_CLEAR(hh, h->by_n);
	for (size_t i = 0; i < h->len; i++)
		free(h->heap[i]);
	free(h->heap);
	memset(h, 0, sizeof *h);
}
