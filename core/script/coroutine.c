/* SPDX-License-Identifier: MIT
 *
 * The coroutine library for scripts. A coroutine may yield for three reasons: the script asked for it, its slice is
 * over, or it waits. The last two travel outward to the call and back without the script seeing them.
 *
 * The outermost coroutine of a call is the script's main program: it can't be resumed, closed or yielded from.
 */
#include "runtime/task.h"
#include "script/private.h"

enum { BY_RESUME, BY_WRAP };

static int resume_again(lua_State *L, int status, lua_KContext by);

static lua_State *check_thread(lua_State *L)
{
	lua_State *co = lua_tothread(L, 1);
	luaL_argexpected(L, co, 1, "thread");
	return co;
}

static bool outermost(lua_State *L)
{
	return thread_block(L)->marks & MARK_OUTERMOST;
}

static const char *state_of(lua_State *L, lua_State *co)
{
	lua_Debug ar;
	if (co == L)
		return "running";
	if (thread_block(co)->marks & MARK_BUSY)
		return "normal";
	if (lua_status(co) == LUA_YIELD)
		return outermost(co) ? "normal" : "suspended";
	if (lua_status(co) != LUA_OK)
		return "dead";
	if (lua_getstack(co, 0, &ar))
		return "normal";
	return lua_gettop(co) == 0 || outermost(co) ? "dead" : "suspended";
}

/* The error value is on top. */
static int fail(lua_State *L, int by)
{
	if (by == BY_WRAP)
		return lua_error(L);
	lua_pushboolean(L, 0);
	lua_insert(L, -2);
	return 2;
}

static int give_results(lua_State *L, lua_State *co, int nresults, int by)
{
	if (!lua_checkstack(L, nresults + 1)) {
		lua_pop(co, nresults);
		lua_pushliteral(L, "too many results to resume");
		return fail(L, by);
	}
	if (by == BY_RESUME)
		lua_pushboolean(L, 1);
	lua_xmove(co, L, nresults);
	return by == BY_RESUME ? nresults + 1 : nresults;
}

/* Lua counts nested C calls anew for each coroutine that it closes, so that many closings in each other would come to the
 * end of the C stack. */
static size_t stack_used(const struct call *call)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	return here < call->stack ? call->stack - here : here - call->stack;
}

static int close_thread(lua_State *L, struct script *s, lua_State *co)
{
	struct call *call = script_metered(s);
	if (!call)
		return lua_resetthread(co);
	if (stack_used(call) > C_STACK_MAX)
		return luaL_error(L, "C stack overflow (%d coroutines that are closed in each other)", call->closing);
	call->nonyield++;
	call->closing++;
	script_running(s, call, co);
	int status = lua_resetthread(co);
	if (!call->kill)
		script_running(s, call, L);
	call->closing--;
	call->nonyield--;
	return status;
}

/* The coroutine ended by an error, which lies on its stack. wrap closes it and adds where it was called. */
static int give_error(lua_State *L, struct script *s, lua_State *co, int by)
{
	if (by == BY_RESUME) {
		lua_xmove(co, L, 1);
		return fail(L, by);
	}
	int status = lua_status(co);
	if (status != LUA_OK && status != LUA_YIELD) {
		status = close_thread(L, s, co);
		if (script_killed(s))
			return script_die(L);
	}
	lua_xmove(co, L, 1);
	if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
		luaL_where(L, 1);
		lua_insert(L, -2);
		lua_concat(L, 2);
	}
	return lua_error(L);
}

/* True if what made the coroutine yield must travel on; *result is what to return. */
static bool travels(lua_State *L, struct script *s, struct call *call, bool solid, int by, int *result)
{
	if (s->signal == SIGNAL_PREEMPT) {
		*result = lua_yieldk(L, 0, by, resume_again);
		return true;
	}
	if (!s->rt || !task_suspending(L))
		return false;
	if (!solid) {
		*result = task_relay(L, by, resume_again);
		return true;
	}
	script_kill(call, KILL_WAIT,
		    "it can't wait inside a comparator, a replacement of gsub or a metamethod that a "
		    "library function calls");
	*result = script_die(L);
	return true;
}

static int resume(lua_State *L, lua_State *co, int nargs, int by)
{
	struct script *s = script_of(L);
	struct call *call = s->call;
	if (script_killed(s))
		return script_die(L);
	bool solid = !lua_isyieldable(L);
	int nresults, result;
	call->nonyield += solid;
	thread_block(co)->marks |= MARK_BUSY;
	script_running(s, call, co);
	int status = lua_resume(co, L, nargs, &nresults);
	call->nonyield -= solid;
	if (call->kill) {
		script_arm(L); /* `running` stays: that is where it was killed */
		return script_die(L);
	}
	if (status == LUA_YIELD && travels(L, s, call, solid, by, &result))
		return result;
	thread_block(co)->marks &= (uint16_t)~MARK_BUSY;
	script_running(s, call, L);
	if (status == LUA_OK || status == LUA_YIELD)
		return give_results(L, co, nresults, by);
	return give_error(L, s, co, by);
}

/* What was waited for lies above the arguments, which for `resume` are the coroutine alone. */
static int resume_again(lua_State *L, int status, lua_KContext by)
{
	(void)status;
	int base = by == BY_RESUME;
	lua_State *co = by == BY_RESUME ? lua_tothread(L, 1) : lua_tothread(L, lua_upvalueindex(1));
	int nargs = lua_gettop(L) - base;
	if (!lua_checkstack(co, nargs))
		return luaL_error(L, "too many results of a wait");
	lua_xmove(L, co, nargs);
	return resume(L, co, nargs, (int)by);
}

static int start(lua_State *L, lua_State *co, int nargs, int by)
{
	const char *state = state_of(L, co);
	if (!script_metered(script_of(L)))
		return luaL_error(L, "a coroutine of a script can only run in a script call");
	if (state[0] != 's') {
		lua_pushfstring(L, state[0] == 'd' ? "cannot resume dead coroutine"
						   : "cannot resume non-suspended coroutine");
		if (by == BY_WRAP) {
			luaL_where(L, 1);
			lua_insert(L, -2);
			lua_concat(L, 2);
		}
		return fail(L, by);
	}
	if (!lua_checkstack(co, nargs)) {
		lua_pushliteral(L, "too many arguments to resume");
		return fail(L, by);
	}
	lua_xmove(L, co, nargs);
	return resume(L, co, nargs, by);
}

static int co_resume(lua_State *L)
{
	return start(L, check_thread(L), lua_gettop(L) - 1, BY_RESUME);
}

static int wrapped(lua_State *L)
{
	return start(L, lua_tothread(L, lua_upvalueindex(1)), lua_gettop(L), BY_WRAP);
}

static int co_create(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	lua_State *co = script_new_thread(L);
	lua_pushvalue(L, 1);
	lua_xmove(L, co, 1);
	return 1;
}

static int co_wrap(lua_State *L)
{
	co_create(L);
	lua_pushcclosure(L, wrapped, 1);
	return 1;
}

static int co_yield (lua_State *L)
{
	if (outermost(L))
		return luaL_error(L, "attempt to yield from outside a coroutine");
	return lua_yield(L, lua_gettop(L));
}

static int co_isyieldable(lua_State *L)
{
	lua_State *co = lua_isnone(L, 1) ? L : check_thread(L);
	lua_pushboolean(L, lua_isyieldable(co) && !outermost(co));
	return 1;
}

static int co_running(lua_State *L)
{
	lua_pushthread(L);
	lua_pushboolean(L, outermost(L));
	return 2;
}

static int co_status(lua_State *L)
{
	lua_pushstring(L, state_of(L, check_thread(L)));
	return 1;
}

static int co_close(lua_State *L)
{
	struct script *s = script_of(L);
	lua_State *co = check_thread(L);
	const char *state = state_of(L, co);
	if (script_killed(s))
		return script_die(L);
	if (state[0] == 'r' || state[0] == 'n' || outermost(co))
		return luaL_error(L, "cannot close a %s coroutine", state);
	if (s->call && s->call->closing >= CLOSE_DEPTH_MAX)
		return luaL_error(L, "stack overflow (%d nested coroutine.close)", CLOSE_DEPTH_MAX);
	int status = close_thread(L, s, co);
	if (script_killed(s))
		return script_die(L);
	lua_pushboolean(L, status == LUA_OK);
	if (status == LUA_OK)
		return 1;
	lua_xmove(co, L, 1);
	return 2;
}

void script_push_coroutine(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"close", co_close},   {"create", co_create},   {"isyieldable", co_isyieldable},
		{"resume", co_resume}, {"running", co_running}, {"status", co_status},
		{"wrap", co_wrap},     {"yield", co_yield },    {NULL, NULL},
	};
	luaL_newlib(L, functions);
}
