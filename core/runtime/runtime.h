/* SPDX-License-Identifier: MIT
 *
 * runtime: one loop thread with its libuv loop, clock, timers, worker threads and signals.
 * Everything here is called on the loop thread unless it says otherwise. No statics: a process may hold many runtimes.
 *
 * Two kinds, chosen at runtime_new:
 *   real     the clock is the wall clock at the start plus monotonic time since; timers are libuv's; work runs on threads
 *   virtual  the clock stands until runtime_advance; due timers and finished work run in a fixed order, on this thread
 *
 * What waits in Lua is a task: see runtime/task.h.
 */
#ifndef SRVTHREDS_RUNTIME_H
#define SRVTHREDS_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/base.h"

struct runtime;

struct runtime_options {
	bool virtual_time;
	int64_t start_ms; /* virtual: the first value of the clock, ms since epoch; real: ignored */
	int64_t skew_ms;  /* real: added to the clock, for tests of a moved wall clock */
};

struct runtime *runtime_new(const struct runtime_options *options, struct error *e);
/* Every handle and timer must have been closed by its owner; returns what uv_loop_close said (0 = nothing leaked). */
int runtime_free(struct runtime *rt);

uv_loop_t *runtime_loop(struct runtime *rt);
bool runtime_is_virtual(const struct runtime *rt);

/* Runs until runtime_stop and everything deferred is done (real), or until nothing is ready (virtual). The exit code. */
int runtime_run(struct runtime *rt);
void runtime_stop(struct runtime *rt, int exit_code);
bool runtime_stopping(const struct runtime *rt);

/* Counts the turns of the loop; any thread may read it, while the runtime lives. */
const _Atomic uint64_t *runtime_turns(const struct runtime *rt);

/* ms since epoch. Never goes back. */
int64_t runtime_now(const struct runtime *rt);
/* Virtual only: runs what is ready, then moves the clock by `ms`, stopping at each timer that falls due, in order. */
void runtime_advance(struct runtime *rt, int64_t ms);

/* A timer lives in its owner's struct, zeroed before first use. It fires once, never early, then is stopped.
 * Same due time: in the order they were started. 10^5 of them cost a heap entry each, not a libuv handle. */
struct runtime_timer {
	int64_t due; /* ms since epoch */
	uint64_t order;
	size_t slot; /* place in the heap + 1; 0 = stopped */
	void (*fire)(struct runtime_timer *timer);
};
void runtime_timer_start(struct runtime *rt, struct runtime_timer *timer, int64_t due_ms,
			 void (*fire)(struct runtime_timer *timer)); /* restarts a started one */
void runtime_timer_stop(struct runtime *rt, struct runtime_timer *timer);

/* Runs fn(arg) once at the end of this turn of the loop: after the callbacks of the sockets that were readable, before
 * the loop waits again. What is deferred from within runs in the same turn. */
void runtime_defer(struct runtime *rt, void (*fn)(void *arg), void *arg);
/* Likewise in the next turn, so that sockets get their share. */
void runtime_defer_next(struct runtime *rt, void (*fn)(void *arg), void *arg);

/* work(arg) on a worker thread, then done(arg) on the loop thread. Virtual: both on this thread, in order. */
void runtime_work(struct runtime *rt, void (*work)(void *arg), void (*done)(void *arg), void *arg);

/* SIGTERM, SIGINT and SIGHUP call `fn` on the loop thread (real only); NULL ends that. */
void runtime_on_signal(struct runtime *rt, void (*fn)(void *arg, int signal), void *arg);

#endif
