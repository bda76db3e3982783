/* SPDX-License-Identifier: MIT
 *
 * task: a Lua coroutine that may wait for a C callback. For lua_*.c files and script/ only. Loop thread only.
 *
 * A Lua C function that waits:
 *
 *   static int push_rows(lua_State *L, void *arg) { ...push results...; return n; }   // or push an error, return -1
 *   static void loaded(void *arg) { struct load *l = arg; task_wake(l->wait, push_rows, l); free(l); }
 *   static int l_load(lua_State *L) {
 *       ... check arguments ...
 *       task_check(L);                                 // raises if this isn't a task or it waits already
 *       struct load *l = ...;
 *       l->wait = task_prepare(L, load_cancel, l);
 *       start_loading(l, loaded);                      // may call task_wake at once
 *       return task_suspend(L);
 *   }
 *
 * A wake that comes late or twice (the task was killed, or woken before) is a no-op: a wait carries its generation.
 * The coroutine that calls may be one that a script made inside the task: the wait travels outward to the task and the
 * results come back to it (script/ does that for the coroutines of scripts).
 */
#ifndef SRVTHREDS_TASK_H
#define SRVTHREDS_TASK_H

#include <lua.h>

#include "runtime/runtime.h"

struct task;

struct task_wait {
	struct task *task; /* counted: given back by task_wake or task_drop, one of which must be called exactly once */
	uint32_t generation;
};

/* Binds the runtime to a main lua_State, once, before anything else here. */
void task_open(struct runtime *rt, lua_State *L);
struct runtime *task_runtime(lua_State *L);

/* Starts the function below its `nargs` arguments (popped) as a task and runs it until it first waits or ends. An error
 * that nobody caught goes to the handler. Called from outside any Lua call, or from within another task. */
void task_start(lua_State *L, int nargs);
/* The same; `set(arg, key)` is called whenever the task begins or goes on, also after a pause, and `set(arg, 0)` whenever
 * it waits, pauses or has ended. `arg` outlives the task. */
struct task_mark {
	void (*set)(void *arg, uint64_t key);
	void *arg;
	uint64_t key;
};
void task_start_marked(lua_State *L, int nargs, const struct task_mark *mark);
/* As task_start, at the end of this turn of the loop. */
void task_start_later(lua_State *L, int nargs);
/* Told of errors that end a task: message with traceback. Default: stderr. */
void task_on_error(lua_State *L, void (*fn)(void *arg, const char *message), void *arg);

/* The task that is running now, or NULL. */
struct task *task_current(lua_State *L);
/* How many tasks exist that have not ended. */
size_t task_count(lua_State *L);

/* Raises if L isn't in a task, or it waits already: to be called before anything is acquired. */
void task_check(lua_State *L);
/* `cancel` (may be NULL) is called if the task is killed while it waits; it must not call task_wake. */
struct task_wait task_prepare(lua_State *L, void (*cancel)(void *arg), void *arg);
int task_suspend(lua_State *L);
/* push: pushes the results of the wait on L and returns their number, or pushes an error value and returns -1. Runs the
 * task at once if no task is running, else at the end of this turn. */
void task_wake(struct task_wait wait, int (*push)(lua_State *L, void *arg), void *arg);
/* Gives a wait back without waking (its owner dies first). */
void task_drop(struct task_wait wait);

/* For script/: gives the loop to others and goes on later in `k`; `return task_pause(L, ctx, k)`. */
int task_pause(lua_State *L, lua_KContext ctx, lua_KFunction k);
/* For script/: is the running task about to be suspended by task_suspend or task_pause (so a yield travels outward)? */
bool task_suspending(lua_State *L);
/* For script/: passes on outward a yield for which task_suspending is true; `k` gets the wake's results on top. */
int task_relay(lua_State *L, lua_KContext ctx, lua_KFunction k);
/* For script/: how many results of the wake lie on top of the stack in that `k`. To be moved to the inner coroutine,
 * whose own continuation raises if the wake pushed an error. */
int task_results(lua_State *L);

/* The Lua module core.runtime. */
int luaopen_core_runtime(lua_State *L);

#endif
