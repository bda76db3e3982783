/* SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/private.h"
#include "runtime/task.h"

#define YOUNG 1 /* pauses of a task that may be short: it goes on before those that take long */

enum task_state { TASK_FREE, TASK_READY, TASK_RUNNING, TASK_WAITING };

struct task {
	struct tasks *tasks;
	struct task *link; /* in the list of free ones */
	lua_State *co;     /* borrowed: anchored in tasks->anchor under this struct's address */
	enum task_state state;
	uint32_t generation; /* counts waits: a wake of an older one is late */
	unsigned pauses;     /* since it began */
	unsigned refs;       /* waits handed out and not given back */
	int nresults;        /* on top of co's stack when it is resumed */
	bool suspending, failed, ended;
	void (*cancel)(void *arg);
	void *cancel_arg;
	struct task_mark mark; /* of who started it */
};

struct tasks {
	struct runtime *rt;
	lua_State *L; /* the main state */
	int anchor;   /* registry: task address -> its coroutine */
	struct task *free, *running;
	struct task **all; /* owned, for task_close */
	size_t all_len, all_cap, alive;
	void (*on_error)(void *arg, const char *message);
	void *on_error_arg;
};

static const char TASKS_KEY; /* its address is the registry key */

static struct tasks *tasks_of(lua_State *L)
{
	lua_rawgetp(L, LUA_REGISTRYINDEX, &TASKS_KEY);
	struct tasks *tasks = lua_touserdata(L, -1);
	lua_pop(L, 1);
	return tasks;
}

struct runtime *task_runtime(lua_State *L)
{
	return tasks_of(L)->rt;
}

struct task *task_current(lua_State *L)
{
	return tasks_of(L)->running;
}

size_t task_count(lua_State *L)
{
	return tasks_of(L)->alive;
}

void task_on_error(lua_State *L, void (*fn)(void *arg, const char *message), void *arg)
{
	struct tasks *tasks = tasks_of(L);
	tasks->on_error = fn;
	tasks->on_error_arg = arg;
}

static void resume_deferred(void *arg);

/* When the state closes: what waits is cancelled, nothing is run any more. */
static int tasks_gc(lua_State *L)
{
	struct tasks *tasks = lua_touserdata(L, 1);
	runtime_defer_cancel(tasks->rt, resume_deferred);
	for (size_t i = 0; i < tasks->all_len; i++) {
		struct task *t = tasks->all[i];
		t->generation++;
		if (t->cancel)
			t->cancel(t->cancel_arg);
		free(t);
	}
	free(tasks->all);
	return 0;
}

void task_open(struct runtime *rt, lua_State *L)
{
	struct tasks *tasks = lua_newuserdatauv(L, sizeof *tasks, 0);
	*tasks = (struct tasks){.rt = rt, .L = L};
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, tasks_gc);
	lua_setfield(L, -2, "__gc");
	lua_setmetatable(L, -2);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &TASKS_KEY);
	lua_newtable(L);
	tasks->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
}

static struct task *task_new(struct tasks *tasks)
{
	struct task *t = tasks->free;
	if (t) {
		tasks->free = t->link;
	} else {
		t = xcalloc(1, sizeof *t);
		t->tasks = tasks;
		lua_rawgeti(tasks->L, LUA_REGISTRYINDEX, tasks->anchor);
		t->co = lua_newthread(tasks->L);
		lua_rawsetp(tasks->L, -2, t);
		lua_pop(tasks->L, 1);
		if (tasks->all_len == tasks->all_cap) {
			tasks->all_cap = tasks->all_cap ? tasks->all_cap * 2 : 64;
			tasks->all = xrealloc(tasks->all, tasks->all_cap * sizeof(struct task *));
		}
		tasks->all[tasks->all_len++] = t;
	}
	t->ended = t->failed = t->suspending = false;
	t->pauses = 0;
	tasks->alive++;
	return t;
}

static void give_back(struct task *t)
{
	if (!t->ended || t->refs)
		return;
	t->state = TASK_FREE;
	t->link = t->tasks->free;
	t->tasks->free = t;
}

static void report(struct tasks *tasks, lua_State *co)
{
	luaL_traceback(tasks->L, co, luaL_tolstring(co, -1, NULL), 0);
	lua_pop(co, 1);
	const char *message = lua_tostring(tasks->L, -1);
	if (tasks->on_error)
		tasks->on_error(tasks->on_error_arg, message);
	else
		fprintf(stderr, "srvthreds: error in a task: %s\n", message);
	lua_pop(tasks->L, 1);
}

static void set_mark(const struct task *t, bool on)
{
	if (t && t->mark.set)
		t->mark.set(t->mark.arg, on ? t->mark.key : 0);
}

static void resume(struct task *t)
{
	struct tasks *tasks = t->tasks;
	struct task *outer = tasks->running;
	lua_State *from = outer ? outer->co : tasks->L;
	int nresults;
	tasks->running = t;
	t->state = TASK_RUNNING;
	t->suspending = false;
	set_mark(t, true);
	int status = lua_resume(t->co, from, t->nresults, &nresults);
	set_mark(t, false);
	set_mark(outer, true);
	tasks->running = outer;
	if (status == LUA_YIELD) {
		lua_pop(t->co, nresults);
		if (t->state == TASK_RUNNING) { /* a plain coroutine.yield: nobody could ever wake it */
			lua_pushliteral(t->co, "a task called coroutine.yield outside a coroutine of its own");
			status = LUA_ERRRUN;
		} else {
			return;
		}
	}
	if (status != LUA_OK) {
		report(tasks, t->co);
		lua_resetthread(t->co); /* runs its <close> variables */
	}
	lua_settop(t->co, 0);
	t->ended = true;
	t->generation++;
	tasks->alive--;
	give_back(t);
}

static void resume_deferred(void *arg)
{
	resume(arg);
}

static struct task *task_from(lua_State *L, int nargs)
{
	struct task *t = task_new(tasks_of(L));
	luaL_checkstack(t->co, nargs + 1, "too many arguments of a task");
	lua_xmove(L, t->co, nargs + 1);
	t->nresults = nargs;
	t->state = TASK_READY;
	t->mark = (struct task_mark){0};
	return t;
}

void task_start(lua_State *L, int nargs)
{
	resume(task_from(L, nargs));
}

void task_start_marked(lua_State *L, int nargs, const struct task_mark *mark)
{
	struct task *t = task_from(L, nargs);
	t->mark = *mark;
	resume(t);
}

void task_start_later(lua_State *L, int nargs)
{
	struct task *t = task_from(L, nargs);
	runtime_defer(t->tasks->rt, resume_deferred, t);
}

void task_check(lua_State *L)
{
	struct task *t = task_current(L);
	if (!t)
		luaL_error(L,
			   "this call waits, so it needs a task: use it inside core.runtime.spawn(function() ... end)");
	if (t->state != TASK_RUNNING)
		luaL_error(L, "a task can wait for one thing at a time");
	if (!lua_isyieldable(L))
		luaL_error(L, "this call waits, which can't be done inside a comparator, a replacement of gsub or a "
			      "metamethod that a library function calls");
}

struct task_wait task_prepare(lua_State *L, void (*cancel)(void *arg), void *arg)
{
	task_check(L);
	struct task *t = task_current(L);
	t->state = TASK_WAITING;
	t->cancel = cancel;
	t->cancel_arg = arg;
	t->refs++;
	t->nresults = 0;
	t->failed = false;
	return (struct task_wait){t, ++t->generation};
}

int task_results(lua_State *L)
{
	return task_current(L)->nresults;
}

static int woken(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	struct task *t = task_current(L);
	if (t->failed) {
		t->failed = false;
		return lua_error(L);
	}
	return t->nresults;
}

int task_suspend(lua_State *L)
{
	task_current(L)->suspending = true;
	return lua_yieldk(L, 0, 0, woken);
}

struct push {
	int (*push)(lua_State *L, void *arg);
	void *arg;
	int n;
};

static int call_push(lua_State *L)
{
	struct push *p = lua_touserdata(L, 1);
	lua_settop(L, 0);
	p->n = p->push(L, p->arg);
	return p->n < 0 ? 1 : p->n;
}

/* Results are made at once, while `arg` lives, and lie on the coroutine until it is resumed. */
static void push_results(struct task *t, int (*push)(lua_State *L, void *arg), void *arg)
{
	lua_State *L = t->tasks->L;
	struct push p = {push, arg, 0};
	int top = lua_gettop(L);
	luaL_checkstack(L, 3, NULL);
	lua_pushcfunction(L, call_push);
	lua_pushlightuserdata(L, &p);
	t->failed = lua_pcall(L, 1, LUA_MULTRET, 0) != LUA_OK || p.n < 0;
	t->nresults = lua_gettop(L) - top;
	luaL_checkstack(t->co, t->nresults, NULL);
	lua_xmove(L, t->co, t->nresults);
}

void task_wake(struct task_wait wait, int (*push)(lua_State *L, void *arg), void *arg)
{
	struct task *t = wait.task;
	bool late = t->ended || t->generation != wait.generation || t->state != TASK_WAITING;
	t->refs--;
	if (late) {
		give_back(t);
		return;
	}
	t->generation++;
	t->cancel = NULL;
	t->state = TASK_READY;
	if (push)
		push_results(t, push, arg);
	if (t->tasks->running)
		runtime_defer(t->tasks->rt, resume_deferred, t);
	else
		resume(t);
}

void task_drop(struct task_wait wait)
{
	wait.task->refs--;
	give_back(wait.task);
}

int task_pause(lua_State *L, lua_KContext ctx, lua_KFunction k)
{
	struct task *t = task_current(L);
	t->state = TASK_READY;
	t->suspending = true;
	t->nresults = 0;
	runtime_defer_slice(t->tasks->rt, resume_deferred, t, t->pauses < YOUNG);
	t->pauses++;
	return lua_yieldk(L, 0, ctx, k);
}

bool task_suspending(lua_State *L)
{
	struct task *t = task_current(L);
	return t && t->suspending;
}

int task_relay(lua_State *L, lua_KContext ctx, lua_KFunction k)
{
	return lua_yieldk(L, 0, ctx, k);
}
