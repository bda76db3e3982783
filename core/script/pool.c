/* SPDX-License-Identifier: MIT */
#include "script/pool.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* A huge page: a step touches garbage of thousands of others, and small pages cost a fifth more by TLB misses. */
#define CHUNK ((size_t)2 << 20)

#if defined(__SANITIZE_ADDRESS__)
#define POOLED(size) ((void)(size), 0)
#else
#define POOLED(size) ((size) <= POOL_LARGEST)
#endif

static inline size_t class_of(size_t size)
{
	return (size - 1) / POOL_STEP;
}

static void *carve(struct pool *pool, size_t size)
{
	if (pool->room_len < size) { /* the rest of the old chunk is less than POOL_LARGEST: given up */
		struct pool_slot *chunk = aligned_alloc(CHUNK, CHUNK);
		if (!chunk)
			return NULL;
		madvise(chunk, CHUNK, MADV_HUGEPAGE); /* advice: where it fails, small pages do */
		chunk->next = pool->chunks;
		pool->chunks = chunk;
		pool->chunk_bytes += CHUNK;
		pool->room = (char *)chunk + POOL_STEP;
		pool->room_len = CHUNK - POOL_STEP;
	}
	void *p = pool->room;
	pool->room += size;
	pool->room_len -= size;
	return p;
}

static void *take_large(struct pool *pool, size_t size)
{
	void *p = malloc(size);
	if (p)
		pool->large += size;
	return p;
}

void *pool_take(struct pool *pool, size_t size)
{
	if (!POOLED(size))
		return take_large(pool, size);
	size_t class = class_of(size);
	struct pool_slot *slot = pool->slots[class];
	if (!slot)
		return carve(pool, (class + 1) * POOL_STEP);
	pool->slots[class] = slot->next;
	__builtin_prefetch(
		slot->next); /* what was swept long ago is in no cache: on its way when the next one is taken */
	return slot;
}

void pool_give(struct pool *pool, void *p, size_t size)
{
	if (!POOLED(size)) {
		pool->large -= size;
		free(p);
		return;
	}
	struct pool_slot *slot = p;
	slot->next = pool->slots[class_of(size)];
	pool->slots[class_of(size)] = slot;
}

void *pool_resize(struct pool *pool, void *p, size_t old_size, size_t new_size)
{
	if (!POOLED(old_size) && !POOLED(new_size)) {
		void *grown = realloc(p, new_size);
		if (grown)
			pool->large += new_size - old_size;
		return grown;
	}
	if (POOLED(old_size) && POOLED(new_size) && class_of(old_size) == class_of(new_size))
		return p;
	void *moved = pool_take(pool, new_size);
	if (!moved)
		return NULL;
	memcpy(moved, p, old_size < new_size ? old_size : new_size);
	pool_give(pool, p, old_size);
	return moved;
}

void pool_free(struct pool *pool)
{
	while (pool->chunks) {
		struct pool_slot *chunk = pool->chunks;
		pool->chunks = chunk->next;
		free(chunk);
	}
	*pool = (struct pool){0};
}
