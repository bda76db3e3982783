/* SPDX-License-Identifier: MIT
 *
 * dict: texts with small numbers 1, 2, 3 … (participants; words: pattern ids, versions, reactions, topics), all in memory.
 * Loop thread only. Words live as long as their dict, or until they are removed; a number is not given again.
 */
#ifndef SRVTHREDS_DICT_H
#define SRVTHREDS_DICT_H

#include <uthash.h>

#include "store/store.h"

struct word {
	UT_hash_handle hh;
	int64_t n;
	int64_t inbox, seen; /* participants: last number in their inbox, and the last they have seen */
	int64_t at;          /* participants: last sign of life, to the day */
	uint32_t waiting;    /* participants: accepts that wait */
	uint32_t pass;       /* the walk of the waiting accepts that found one of this source still waiting */
	int64_t live, last;  /* patterns: threds that hold an instance, last start */
	void *op;            /* patterns: the op that writes `last`, if op_ticket is the open batch */
	int64_t op_ticket;
	size_t len;
	char text[];
};

struct dict {
	struct word *by_text, **by_n; /* owned */
	size_t count, cap;            /* count: the highest number */
};

struct word *dict_find(const struct dict *d, struct span text);
struct word *dict_add(struct dict *d, struct span text);            /* takes the next number */
struct word *dict_put(struct dict *d, int64_t n, struct span text); /* n: higher than any before */
void dict_remove(struct dict *d, struct word *w);
struct word *dict_get(const struct dict *d, int64_t n); /* NULL for 0 or unknown */
struct span dict_text(const struct dict *d, int64_t n); /* absent for 0 or unknown */
void dict_clear(struct dict *d);

#endif
