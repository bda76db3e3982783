/* SPDX-License-Identifier: MIT */
#include "docdb/mem.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

enum { BLOCK = 4000 };

struct mem_block {
	struct mem_block *next;
	alignas(max_align_t) char bytes[];
};

static char *take(struct mem *m, size_t size)
{
	size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	if (!m->p || (size_t)(m->end - m->p) < size) {
		size_t room = size > BLOCK / 2 ? size + BLOCK : BLOCK;
		struct mem_block *b = xmalloc(sizeof *b + room);
		b->next = m->blocks;
		m->blocks = b;
		m->p = b->bytes;
		m->end = b->bytes + room;
	}
	char *p = m->p;
	m->p += size;
	return p;
}

void *mem_take(struct mem *m, size_t size)
{
	return memset(take(m, size), 0, size);
}

char *mem_copy(struct mem *m, const void *bytes, size_t len)
{
	char *p = take(m, len + 1);
	if (len)
		memcpy(p, bytes, len);
	p[len] = '\0';
	return p;
}

void mem_free(struct mem *m)
{
	while (m->blocks) {
		struct mem_block *b = m->blocks;
		m->blocks = b->next;
		free(b);
	}
	m->p = m->end = NULL;
}
