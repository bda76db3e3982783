/* SPDX-License-Identifier: MIT */
#include "docdb/mem.h"

#include <stdlib.h>

#include "base/base.h"

enum { BLOCK = 4000 };

struct mem_block {
	struct mem_block *next;
	alignas(max_align_t) char bytes[];
};

void *mem_more(struct mem *m, size_t size)
{
	size_t room = size > BLOCK / 2 ? size + BLOCK : BLOCK;
	struct mem_block *b = xmalloc(sizeof *b + room);
	b->next = m->blocks;
	m->blocks = b;
	m->p = b->bytes + size;
	m->end = b->bytes + room;
	return b->bytes;
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
