/* SPDX-License-Identifier: MIT
 *
 * pool: small blocks for Lua, one free list per 16 bytes of size. Lua tells the size when it frees, so that a block needs
 * no header of ours. Memory is kept for the next blocks until pool_free; larger blocks go to malloc. One thread.
 * Under AddressSanitizer every block is malloc's, so that it sees what is wrong.
 */
#ifndef SRVTHREDS_SCRIPT_POOL_H
#define SRVTHREDS_SCRIPT_POOL_H

#include <stddef.h>

#define POOL_STEP    16
#define POOL_LARGEST 512 /* bytes */
#define POOL_CLASSES (POOL_LARGEST / POOL_STEP)

struct pool_slot {
	struct pool_slot *next;
};

struct pool {
	struct pool_slot *slots[POOL_CLASSES];
	char *room; /* of the newest chunk: not handed out yet */
	size_t room_len;
	struct pool_slot *chunks; /* owned */
	size_t chunk_bytes;
	size_t large; /* bytes of blocks that are no pool's */
};

/* Zeroed is empty. NULL when memory is exhausted. */
void *pool_take(struct pool *pool, size_t size);
void pool_give(struct pool *pool, void *p, size_t size);
/* Keeps the content up to the smaller size; NULL when memory is exhausted (p is unchanged then). */
void *pool_resize(struct pool *pool, void *p, size_t old_size, size_t new_size);
void pool_free(struct pool *pool);

#endif
