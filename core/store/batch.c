/* SPDX-License-Identifier: MIT */
#include "store/batch.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK_SIZE = 256 * 1024, ALIGN = 8 };

struct chunk {
	struct chunk *next;
	size_t size, used;
	_Alignas(ALIGN) char bytes[];
};

static struct chunk *chunk_new(size_t size)
{
	struct chunk *c = xmalloc(sizeof *c + size);
	c->next = NULL;
	c->size = size;
	c->used = 0;
	return c;
}

static char *arena_raw(struct arena *a, size_t size)
{
	size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	struct chunk *c = a->current;
	while (c && c->size - c->used < size && c->next)
		c = c->next;
	if (!c || c->size - c->used < size) {
		struct chunk *fresh = chunk_new(size > CHUNK_SIZE ? size : CHUNK_SIZE);
		if (c)
			c->next = fresh;
		else
			a->first = fresh;
		c = fresh;
	}
	a->current = c;
	char *p = c->bytes + c->used;
	c->used += size;
	a->used += size;
	return p;
}

void *arena_take(struct arena *a, size_t size)
{
	return memset(arena_raw(a, size), 0, size);
}

struct span arena_copy(struct arena *a, struct span s)
{
	if (!s.data)
		return s;
	char *p = arena_raw(a, s.len + 1);
	memcpy(p, s.data, s.len);
	p[s.len] = '\0';
	return (struct span){p, s.len};
}

void arena_clear(struct arena *a)
{
	/* Chunks of unusual size go back: one big batch must not hold its memory for ever. */
	struct chunk **at = &a->first;
	while (*at) {
		struct chunk *c = *at;
		if (c->size > CHUNK_SIZE) {
			*at = c->next;
			free(c);
		} else {
			c->used = 0;
			at = &c->next;
		}
	}
	a->current = a->first;
	a->used = 0;
}

void arena_free(struct arena *a)
{
	while (a->first) {
		struct chunk *next = a->first->next;
		free(a->first);
		a->first = next;
	}
	a->current = NULL;
	a->used = 0;
}

void batch_init(struct batch *b)
{
	memset(b, 0, sizeof *b);
	batch_clear(b, 0, 0);
}

void batch_clear(struct batch *b, int64_t ticket, int64_t first_n)
{
	arena_clear(&b->arena);
	for (int i = 0; i < OP_KINDS; i++) {
		b->first[i] = NULL;
		b->tail[i] = &b->first[i];
	}
	b->by_n_len = 0;
	b->first_n = first_n;
	b->ticket = ticket;
	b->steps = b->ops = 0;
	b->told = false;
}

void batch_free(struct batch *b)
{
	arena_free(&b->arena);
	free(b->by_n);
	b->by_n = NULL;
}

bool batch_is_empty(const struct batch *b)
{
	return b->ops == 0 && !b->told;
}

void *batch_add(struct batch *b, enum op_kind kind, size_t size)
{
	struct op *op = arena_take(&b->arena, size);
	op->kind = kind;
	*b->tail[kind] = op;
	b->tail[kind] = &op->next;
	b->ops++;
	return op;
}

void batch_by_n(struct batch *b, int64_t n, struct op *op)
{
	size_t i = (size_t)(n - b->first_n);
	if (i >= b->by_n_cap) {
		b->by_n_cap = b->by_n_cap ? b->by_n_cap * 2 : 1024;
		while (i >= b->by_n_cap)
			b->by_n_cap *= 2;
		b->by_n = xrealloc(b->by_n, b->by_n_cap * sizeof *b->by_n);
	}
	for (; b->by_n_len <= i; b->by_n_len++)
		b->by_n[b->by_n_len] = NULL;
	b->by_n[i] = op;
}

struct op *batch_find(const struct batch *b, int64_t n)
{
	if (n < b->first_n || (size_t)(n - b->first_n) >= b->by_n_len)
		return NULL;
	return b->by_n[n - b->first_n];
}
