/* SPDX-License-Identifier: MIT */
#include "store/locks.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

/* One claim on a name: held if it is the first of its name. */
struct store_lock {
	struct name *name;
	struct store_lock *next;
	locked_fn fn;
	void *arg;
};

struct name {
	UT_hash_handle hh;
	struct named_locks *locks; /* NULL: they are gone */
	struct store_lock *first, *last;
	size_t len;
	char text[];
};

struct named_locks {
	struct name *names;
};

struct named_locks *locks_new(void)
{
	return xcalloc(1, sizeof(struct named_locks));
}

void locks_free(struct named_locks *locks)
{
	struct name *name, *next;
	HASH_ITER (hh, locks->names, name, next) {
		HASH_DEL(locks->names, name);
		name->locks = NULL;
		while (name->first->next) {
			struct store_lock *waiting = name->first->next;
			name->first->next = waiting->next;
			free(waiting);
		}
		name->last = name->first;
	}
	free(locks);
}

int locks_take(struct named_locks *locks, struct span name, struct store_lock **out, locked_fn fn, void *arg)
{
	struct name *n = NULL;
	HASH_FIND(hh, locks->names, name.data, name.len, n);
	if (!n) {
		n = xcalloc(1, sizeof *n + name.len);
		n->locks = locks;
		n->len = name.len;
		memcpy(n->text, name.data, name.len);
		HASH_ADD_KEYPTR(hh, locks->names, n->text, n->len, n);
	}
	struct store_lock *lock = xmalloc(sizeof *lock);
	*lock = (struct store_lock){n, NULL, fn, arg};
	bool held = n->first == NULL;
	if (held)
		n->first = lock;
	else
		n->last->next = lock;
	n->last = lock;
	if (!held)
		return STORE_WAITS;
	*out = lock;
	return STORE_DONE;
}

void store_unlock(struct store_lock *lock)
{
	struct name *n = lock->name;
	struct store_lock *next = lock->next;
	n->first = next;
	free(lock);
	if (next) {
		next->fn(next->arg, next);
		return;
	}
	if (n->locks)
		HASH_DEL(n->locks->names, n);
	free(n);
}
