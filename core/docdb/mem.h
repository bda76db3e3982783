/* SPDX-License-Identifier: MIT
 *
 * mem: an arena; everything in it goes at once. Never NULL (it aborts, as xmalloc). It may begin in memory of its owner's:
 * mem_begin, before anything else.
 */
#ifndef SRVTHREDS_DOCDB_MEM_H
#define SRVTHREDS_DOCDB_MEM_H

#include <stdalign.h>
#include <stddef.h>
#include <string.h>

struct mem_block;
struct mem {
	struct mem_block *blocks;
	char *p, *end;
};

void *mem_more(struct mem *m, size_t size); /* mem's own: a block that has room */
void mem_free(struct mem *m);

/* `room`, aligned for any type, is `size` bytes long and stays the owner's. */
static inline void mem_begin(struct mem *m, void *room, size_t size)
{
	*m = (struct mem){NULL, room, (char *)room + size};
}

/* Not zeroed, for any type. */
static inline void *mem_raw(struct mem *m, size_t size)
{
	size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	if (!m->p || (size_t)(m->end - m->p) < size)
		return mem_more(m, size);
	char *p = m->p;
	m->p += size;
	return p;
}

/* Zeroed. */
static inline void *mem_take(struct mem *m, size_t size)
{
	return memset(mem_raw(m, size), 0, size);
}

/* And a NUL. */
static inline char *mem_copy(struct mem *m, const void *bytes, size_t len)
{
	char *p = (char *)mem_raw(m, len + 1);
	if (len)
		memcpy(p, bytes, len);
	p[len] = '\0';
	return p;
}

#endif
