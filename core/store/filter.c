/* SPDX-License-Identifier: MIT */
#include "store/filter.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"

enum { BLOCK_WORDS = 8, BITS_PER_HASH = 12, PROBES = 6, SMALLEST = 65536 };

static void layer_add(struct filter *f, size_t room)
{
	struct filter_layer *l = &f->layers[f->count++];
	l->room = room;
	l->blocks = room * BITS_PER_HASH / (BLOCK_WORDS * 64) + 1;
	l->bits = xcalloc(l->blocks, BLOCK_WORDS * sizeof *l->bits);
}

void filter_create(struct filter *f, size_t expected)
{
	memset(f, 0, sizeof *f);
	layer_add(f, expected < SMALLEST ? SMALLEST : expected);
}

void filter_destroy(struct filter *f)
{
	for (int i = 0; i < f->count; i++)
		free(f->layers[i].bits);
	memset(f, 0, sizeof *f);
}

static uint64_t *block_of(const struct filter_layer *l, uint64_t hash)
{
	return l->bits + (size_t)(((hash >> 32) * l->blocks) >> 32) * BLOCK_WORDS;
}

/* Nine bits of the mixed hash a probe: 3 for the word, 6 for the bit. */
static uint64_t mix(uint64_t hash)
{
	hash = (hash ^ (hash >> 31)) * 0x9E3779B97F4A7C15u;
	return hash ^ (hash >> 29);
}

void filter_add(struct filter *f, uint64_t hash)
{
	struct filter_layer *l = &f->layers[f->count - 1];
	if (l->room == 0 && f->count < FILTER_LAYERS) {
		layer_add(f, (l->blocks * BLOCK_WORDS * 64 / BITS_PER_HASH) * 2);
		l = &f->layers[f->count - 1];
	}
	if (l->room)
		l->room--;
	uint64_t *block = block_of(l, hash), m = mix(hash);
	for (int i = 0; i < PROBES; i++, m >>= 9)
		block[(m >> 6) & 7] |= UINT64_C(1) << (m & 63);
}

bool filter_maybe(const struct filter *f, uint64_t hash)
{
	for (int k = f->count - 1; k >= 0; k--) {
		const uint64_t *block = block_of(&f->layers[k], hash);
		uint64_t m = mix(hash);
		int i = 0;
		while (i < PROBES && (block[(m >> 6) & 7] >> (m & 63) & 1)) {
			i++;
			m >>= 9;
		}
		if (i == PROBES)
			return true;
	}
	return false;
}
