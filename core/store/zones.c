/* SPDX-License-Identifier: MIT */
#include "store/zones.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"

void zones_create(struct zones *z)
{
	*z = (struct zones){.count = 0};
	uv_mutex_init(&z->mutex);
}

void zones_destroy(struct zones *z)
{
	uv_mutex_destroy(&z->mutex);
	free(z->list);
}

struct zone zones_get(struct zones *z, int64_t i)
{
	struct zone zone = {.known = false};
	uv_mutex_lock(&z->mutex);
	if (i < z->count)
		zone = z->list[i];
	uv_mutex_unlock(&z->mutex);
	return zone;
}

void zones_set(struct zones *z, int64_t i, struct zone zone)
{
	uv_mutex_lock(&z->mutex);
	if (i >= z->count) {
		int64_t count = i + i / 2 + 64;
		z->list = xrealloc(z->list, (size_t)count * sizeof *z->list);
		memset(z->list + z->count, 0, (size_t)(count - z->count) * sizeof *z->list);
		z->count = count;
	}
	z->list[i] = zone;
	z->list[i].known = true;
	uv_mutex_unlock(&z->mutex);
}
