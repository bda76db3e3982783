/* SPDX-License-Identifier: MIT
 *
 * running: DATA/running, a small shared mapping that survives a kill: the delivery whose Lua runs now, and how often one
 * was running when the process ended. Loop thread only. A NULL `r` (memory:) counts nothing.
 */
#ifndef SRVTHREDS_RUNNING_H
#define SRVTHREDS_RUNNING_H

#include "base/base.h"

struct running;

struct running *running_open(const char *path, struct error *e);
void running_close(struct running *r);
void running_begin(struct running *r, uint64_t key); /* its Lua begins or goes on */
void running_end(struct running *r);                 /* it waits or has ended */
int running_attempts(const struct running *r, uint64_t key);
void running_settled(struct running *r, uint64_t key);

#endif
