/* SPDX-License-Identifier: MIT
 *
 * script.call: runs a function of a script in a pooled coroutine. The frame of the caller holds
 *   1 context   2 limits   3 the call (userdata; its user value 1 is the coroutine)
 * and stays as it is while the script waits, so that the context is found from there.
 */
#include <string.h>

#include "runtime/task.h"
#include "script/private.h"

#define POOL_MAX 64

enum { CONTEXT = 1, LIMITS, CALL };

static int script_resumed(lua_State *L, int status, lua_KContext ctx);

static struct call *call_new(lua_State *L, struct script *s)
{
	struct call *call = lua_newuserdatauv(L, sizeof *call, 1);
	memset(call, 0, sizeof *call);
	call->script = s;
	call->co = script_new_thread(L);
	*thread_block(call->co) = (struct block){.owner = thread_block(call->co)->owner, .marks = MARK_OUTERMOST};
	lua_setiuservalue(L, -2, 1);
	return call;
}

/* Pushes a call that is free. */
static struct call *call_take(lua_State *L, struct script *s)
{
	if (s->pool_len == 0)
		return call_new(L, s);
	lua_rawgeti(L, lua_upvalueindex(1), s->pool_len--);
	return lua_touserdata(L, -1);
}

static void call_give_back(lua_State *L, struct script *s)
{
	if (s->pool_len >= POOL_MAX)
		return;
	lua_pushvalue(L, CALL);
	lua_rawseti(L, lua_upvalueindex(1), ++s->pool_len);
}

/* A call that was taken still stands in its place: one that is dropped must not be kept by that. */
static void forget_taken(lua_State *L, const struct script *s)
{
	for (int i = POOL_MAX; i > s->pool_len; i--) {
		lua_pushnil(L);
		lua_rawseti(L, lua_upvalueindex(1), i);
	}
}

static void call_begin(lua_State *L, struct call *call, struct owner *owner)
{
	call->from = L;
	call->running = call->co;
	call->owner = owner;
	call->nonyield = call->trusted = call->closing = 0;
	call->started = 0;
	call->kill = KILL_NONE;
	call->file[0] = 0;
	call->seen_line = 0;
	if (call->script->told == call)
		call->script->told = NULL;
	script_count_begin(call);
}

static int failed(lua_State *L)
{
	lua_pushboolean(L, 0);
	lua_insert(L, -2);
	return 2;
}

/* Its coroutine is dropped as it is, the call with it. What it waits for is waited for: the task stays sound. */
static int killed(lua_State *L, struct script *s, struct call *call)
{
	lua_settop(L, CALL);
	if (s->rt && task_suspending(L))
		return task_relay(L, 0, script_resumed);
	script_count_end(call);
	forget_taken(L, s);
	lua_pushnil(L);
	script_failure(L, call, LUA_OK);
	return failed(L);
}

/* Closes the `<close>` variables of a script that failed, under its limits. True if one of them failed otherwise: its
 * error value is on top of L then. */
static bool close_pending(lua_State *L, struct script *s, struct call *call)
{
	call->running = call->co;
	call->nonyield++;
	script_enter(s, call);
	int status = lua_resetthread(call->co);
	script_leave(s, call);
	if (call->kill || status == LUA_OK || lua_gettop(call->co) == 0)
		return false;
	lua_xmove(call->co, L, 1);
	lua_getfield(L, -2, "value");
	bool other = !lua_rawequal(L, -1, -2);
	lua_pop(L, other ? 1 : 2);
	return other;
}

static int errored(lua_State *L, struct script *s, struct call *call, int status)
{
	lua_settop(L, CALL);
	lua_pushvalue(call->co, -1);
	lua_xmove(call->co, L, 1);
	script_failure(L, call, status);
	if (close_pending(L, s, call))
		script_failure(L, call, LUA_ERRRUN);
	if (call->kill)
		return killed(L, s, call);
	script_count_end(call);
	thread_block(call->co)->depth = 0;
	lua_settop(call->co, 0);
	call_give_back(L, s);
	return failed(L);
}

static int finished(lua_State *L, struct script *s, struct call *call, int nresults)
{
	script_count_end(call);
	lua_settop(L, CALL);
	luaL_checkstack(L, nresults + 2, "too many results of a script");
	lua_pushboolean(L, 1);
	lua_xmove(call->co, L, nresults);
	call_give_back(L, s);
	return nresults + 1;
}

static int run(lua_State *L, struct script *s, struct call *call, int nargs)
{
	for (;;) {
		int nresults;
		script_enter(s, call);
		s->signal = SIGNAL_NONE;
		int status = lua_resume(call->co, L, nargs, &nresults);
		enum script_signal signal = s->signal;
		s->signal = SIGNAL_NONE; /* it was meant for this call */
		script_leave(s, call);
		if (call->kill)
			return killed(L, s, call);
		if (status == LUA_OK)
			return finished(L, s, call, nresults);
		if (status != LUA_YIELD)
			return errored(L, s, call, status);
		lua_pop(call->co, nresults);
		nargs = 0;
		if (s->rt && signal == SIGNAL_NONE && task_suspending(L))
			return task_relay(L, 0, script_resumed);
		if (s->rt && task_current(L) && lua_isyieldable(L))
			return task_pause(L, 0, script_resumed);
	}
}

/* The task goes on: what lies above the frame are the results of what the script waited for. */
static int script_resumed(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	struct script *s = script_of(L);
	struct call *call = lua_touserdata(L, CALL);
	if (call->kill)
		return killed(L, s, call);
	int nargs = lua_gettop(L) - CALL;
	if (!lua_checkstack(call->co, nargs))
		return luaL_error(L, "too many results of a wait");
	lua_xmove(L, call->co, nargs);
	return run(L, s, call, nargs);
}

int script_call(lua_State *L)
{
	struct script *s = script_of(L);
	luaL_checktype(L, CONTEXT, LUA_TTABLE);
	luaL_checkany(L, 3);
	int nargs = lua_gettop(L) - 3;
	struct owner *owner = script_owner_of(L, s, CONTEXT);
	script_limits(L, s, owner, LIMITS);
	struct call *call = call_take(L, s);
	lua_insert(L, CALL);
	if (!lua_checkstack(call->co, nargs + 1))
		return luaL_error(L, "too many arguments of a script");
	lua_xmove(L, call->co, nargs + 1);
	call_begin(L, call, owner);
	return run(L, s, call, nargs);
}
