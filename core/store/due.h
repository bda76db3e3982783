/* SPDX-License-Identifier: MIT
 *
 * due: the threds' timers: a heap by time with one entry a thred, found by the thred's n. No libuv handle per timer.
 */
#ifndef SRVTHREDS_DUE_H
#define SRVTHREDS_DUE_H

#include <uthash.h>

#include "store/store.h"

struct due {
	UT_hash_handle hh;
	int64_t due, n;
	int64_t at;  /* when it fires: at its due time, or later when that came to nothing */
	size_t slot; /* in the heap */
	size_t len;
	char id[];
};

struct due_heap {
	struct due **heap, *by_n; /* owned */
	size_t len, cap;
};

void due_set(struct due_heap *h, int64_t n, struct span id, int64_t due);               /* due 0 takes the entry out */
void due_again(struct due_heap *h, int64_t n, struct span id, int64_t due, int64_t at); /* fires later than it is due */
bool due_has(const struct due_heap *h, int64_t n);
const struct due *due_first(const struct due_heap *h); /* NULL if empty */
void due_clear(struct due_heap *h);

#endif
