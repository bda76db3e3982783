/* SPDX-License-Identifier: MIT */
#include "store/running.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PLACES = 255 };

#define FORM UINT64_C(0x32676e696e6e7572) /* "running2": of the table, so that an older one isn't misread */

struct ended {
	uint64_t key, attempts;
	struct ran ran; /* at the last end */
};

struct table {
	_Atomic uint64_t now;
	uint64_t form;
	uint64_t next; /* the place that is overwritten when all are taken */
	struct ran ran;
	struct ended ended[PLACES];
};

struct running {
	struct table *table; /* shared mapping */
	bool any;            /* ended[] holds somebody: seldom, and each delivery asks */
};

static void count_last(struct table *t)
{
	uint64_t key = atomic_load(&t->now);
	if (t->form != FORM) {
		memset(t, 0, sizeof *t);
		t->form = FORM;
	}
	if (!key)
		return;
	size_t place = PLACES;
	for (size_t i = 0; i < PLACES; i++) {
		if (t->ended[i].key == key) {
			place = i;
			break;
		}
		if (!t->ended[i].key && place == PLACES)
			place = i;
	}
	if (place == PLACES)
		place = t->next++ % PLACES;
	struct ended *ended = &t->ended[place];
	if (ended->key != key)
		memset(ended, 0, sizeof *ended);
	ended->key = key;
	ended->attempts++;
	if (t->ran.state != RAN_NOTHING) /* else what is known from the end before */
		ended->ran = t->ran;
	atomic_store(&t->now, 0);
}

struct running *running_open(const char *path, struct error *e)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(struct table)) < 0) {
		error_set(e, ERROR_SERVER, "can't open %s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	struct table *t = mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (t == MAP_FAILED) {
		error_set(e, ERROR_SERVER, "can't map %s: %s", path, strerror(errno));
		return NULL;
	}
	count_last(t);
	memset(&t->ran, 0, sizeof t->ran);
	struct running *r = xmalloc(sizeof *r);
	*r = (struct running){.table = t};
	for (size_t i = 0; i < PLACES; i++)
		r->any |= t->ended[i].key != 0;
	return r;
}

void running_close(struct running *r)
{
	if (!r)
		return;
	running_end(r);
	munmap(r->table, sizeof *r->table);
	free(r);
}

void running_begin(struct running *r, uint64_t key)
{
	if (!r)
		return;
	atomic_store_explicit(&r->table->ran.state, RAN_NOTHING, memory_order_relaxed);
	atomic_store_explicit(&r->table->now, key, memory_order_release);
}

void running_end(struct running *r)
{
	if (r)
		atomic_store_explicit(&r->table->now, 0, memory_order_release);
}

struct ran *running_ran(struct running *r)
{
	return r ? &r->table->ran : NULL;
}

static size_t find(const struct running *r, uint64_t key)
{
	size_t i = 0;
	while (i < PLACES && r->table->ended[i].key != key)
		i++;
	return i;
}

int running_attempts(const struct running *r, uint64_t key)
{
	if (!r || !key || !r->any)
		return 0;
	size_t i = find(r, key);
	return i < PLACES ? (int)r->table->ended[i].attempts : 0;
}

const struct ran *running_last(const struct running *r, uint64_t key)
{
	if (!r || !key || !r->any)
		return NULL;
	size_t i = find(r, key);
	return i < PLACES && r->table->ended[i].ran.state != RAN_NOTHING ? &r->table->ended[i].ran : NULL;
}

void running_settled(struct running *r, uint64_t key)
{
	if (!r || !key || !r->any)
		return;
	size_t i = find(r, key);
	if (i < PLACES)
		r->table->ended[i].key = 0;
}
