/* SPDX-License-Identifier: MIT
 *
 * running: DATA/running, a small shared mapping that survives a kill: the delivery whose Lua runs now, how often one was
 * running when the process ended, and which script that was in. Loop thread only. A NULL `r` (memory:) counts nothing.
 */
#ifndef SRVTHREDS_RUNNING_H
#define SRVTHREDS_RUNNING_H

#include "base/ran.h"

struct running;

struct running *running_open(const char *path, struct error *e);
void running_close(struct running *r);
void running_begin(struct running *r, uint64_t key); /* its Lua begins or goes on */
void running_end(struct running *r);                 /* it waits or has ended */
struct ran *running_ran(struct running *r);          /* for who runs scripts; it lives until running_close */
int running_attempts(const struct running *r, uint64_t key);
const struct ran *running_last(const struct running *r, uint64_t key); /* NULL: not known; valid until it is settled */
void running_settled(struct running *r, uint64_t key);

#endif
