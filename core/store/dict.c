/* SPDX-License-Identifier: MIT */
#include "store/dict.h"

#include <stdlib.h>
#include <string.h>

struct word *dict_find(const struct dict *d, struct span text)
{
	struct word *w = NULL;
	HASH_FIND(hh, d->by_text, text.data, text.len, w);
	return w;
}

struct word *dict_put(struct dict *d, int64_t n, struct span text)
{
	if ((size_t)n >= d->cap) {
		while ((size_t)n >= d->cap)
			d->cap = d->cap ? d->cap * 2 : 64;
		d->by_n = xrealloc(d->by_n, d->cap * sizeof *d->by_n);
	}
	while (d->count < (size_t)n)
		d->by_n[++d->count] = NULL;
	struct word *w = xcalloc(1, sizeof *w + text.len + 1);
	w->n = n;
	w->len = text.len;
	memcpy(w->text, text.data, text.len);
	d->by_n[w->n] = w;
	HASH_ADD_KEYPTR(hh, d->by_text, w->text, w->len, w);
	return w;
}

struct word *dict_add(struct dict *d, struct span text)
{
	return dict_put(d, (int64_t)d->count + 1, text);
}

void dict_remove(struct dict *d, struct word *w)
{
	HASH_DEL(d->by_text, w);
	d->by_n[w->n] = NULL;
	free(w);
}

struct word *dict_get(const struct dict *d, int64_t n)
{
	return n > 0 && (size_t)n <= d->count ? d->by_n[n] : NULL;
}

struct span dict_text(const struct dict *d, int64_t n)
{
	struct word *w = dict_get(d, n);
	return w ? (struct span){w->text, w->len} : (struct span){NULL, 0};
}

void dict_clear(struct dict *d)
{
	HASH_CLEAR(hh, d->by_text);
	for (size_t i = 1; i <= d->count; i++)
		free(d->by_n[i]);
	free(d->by_n);
	memset(d, 0, sizeof *d);
}
