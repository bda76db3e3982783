/* SPDX-License-Identifier: MIT
 *
 * mem: an arena; everything in it goes at once. Never NULL (it aborts, as xmalloc).
 */
#ifndef SRVTHREDS_DOCDB_MEM_H
#define SRVTHREDS_DOCDB_MEM_H

#include <stddef.h>

struct mem_block;
struct mem {
	struct mem_block *blocks;
	char *p, *end;
};

void *mem_take(struct mem *m, size_t size);                   /* zeroed, for any type */
char *mem_copy(struct mem *m, const void *bytes, size_t len); /* and a NUL */
void mem_free(struct mem *m);

#endif
