/* SPDX-License-Identifier: MIT
 *
 * What the files of runtime/ share; nobody else includes it.
 */
#ifndef SRVTHREDS_RUNTIME_PRIVATE_H
#define SRVTHREDS_RUNTIME_PRIVATE_H

#include "runtime/runtime.h"

struct deferred {
	void (*fn)(void *arg);
	void *arg;
};

/* A list that is run front to back; what is added while it runs goes to its end. */
struct deferred_list {
	struct deferred *items; /* owned */
	size_t head, len, cap;
};

struct runtime {
	uv_loop_t loop;
	uv_timer_t timer; /* armed for the first entry of the heap */
	uv_check_t turn;  /* the end of a turn */
	uv_idle_t hurry;  /* started while something is deferred, so that the loop does not wait */
	uv_signal_t signals[3];
	_Atomic uint64_t turns;
	bool is_virtual, stop, signals_on;
	bool firing; /* in libuv's timer */
	int exit_code;
	int64_t start_ms;            /* the clock's value at start_ns; virtual: the clock itself */
	uint64_t start_ns;           /* monotonic */
	struct runtime_timer **heap; /* owned array, borrowed timers */
	size_t heap_len, heap_cap;
	uint64_t timer_order;
	int64_t armed_for;              /* due time the libuv timer is set to, 0 = none */
	struct deferred_list now, next; /* this turn; the following one */
	struct deferred_list slices[2]; /* young, old; a part of them in each turn */
	void (*on_signal)(void *arg, int signal);
	void *on_signal_arg;
};

void runtime_timers_fire(struct runtime *rt);
void runtime_timers_arm(struct runtime *rt);
/* For what takes a while, and comes again and again: in its order, but only so many in a turn as share a part of it. */
void runtime_defer_slice(struct runtime *rt, void (*fn)(void *arg), void *arg, bool young);
/* Forgets what was deferred with `fn`: its owner is going away. */
void runtime_defer_cancel(struct runtime *rt, void (*fn)(void *arg));

#endif
