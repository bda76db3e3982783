/* SPDX-License-Identifier: MIT
 *
 * locks: named locks in memory, first come, first served. Loop thread only.
 */
#ifndef SRVTHREDS_LOCKS_H
#define SRVTHREDS_LOCKS_H

#include "store/store.h"

struct named_locks;
struct named_locks *locks_new(void);
void locks_free(struct named_locks *locks); /* waits are dropped; locks held may still be released */
int locks_take(struct named_locks *locks, struct span name, struct store_lock **out, locked_fn fn, void *arg);

#endif
