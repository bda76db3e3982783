/* SPDX-License-Identifier: MIT
 *
 * filter: "never seen" or "maybe seen" for 64-bit hashes: a blocked Bloom filter (one cache line a look) that grows by
 * adding filters of twice the size. About 1 % of the unseen are said to be maybe seen. No locks: one thread at a time.
 */
#ifndef SRVTHREDS_FILTER_H
#define SRVTHREDS_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FILTER_LAYERS = 24 };

struct filter {
	struct filter_layer {
		uint64_t *bits; /* owned */
		size_t blocks, room;
	} layers[FILTER_LAYERS];
	int count;
};

void filter_create(struct filter *f, size_t expected);
void filter_destroy(struct filter *f);
void filter_add(struct filter *f, uint64_t hash);
bool filter_maybe(const struct filter *f, uint64_t hash);

#endif
