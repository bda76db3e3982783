/* SPDX-License-Identifier: MIT
 *
 * The Lua module core.runtime: tasks, clock, timers, channels. Files: lua_files.c; digests: lua_digest.c.
 */
#include <lauxlib.h>
#include <stdlib.h>

#include "runtime/lua_private.h"
#include "runtime/task.h"

static int l_now(lua_State *L)
{
	lua_pushinteger(L, runtime_now(lua_touserdata(L, lua_upvalueindex(1))));
	return 1;
}

static int l_ticks(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)uv_hrtime());
	return 1;
}

static int l_spawn(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	task_start(L, lua_gettop(L) - 1);
	return 0;
}

static int l_later(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	task_start_later(L, lua_gettop(L) - 1);
	return 0;
}

struct sleeper {
	struct runtime_timer timer;
	struct runtime *rt;
	struct task_wait wait;
};

static void sleep_over(struct runtime_timer *timer)
{
	struct sleeper *s = (struct sleeper *)timer;
	struct task_wait wait = s->wait;
	free(s);
	task_wake(wait, NULL, NULL);
}

static void sleep_cancel(void *arg)
{
	struct sleeper *s = arg;
	runtime_timer_stop(s->rt, &s->timer);
	task_drop(s->wait);
	free(s);
}

static int l_sleep(lua_State *L)
{
	lua_Integer ms = luaL_checkinteger(L, 1);
	luaL_argcheck(L, ms >= 0, 1, "a sleep can't be negative");
	task_check(L);
	struct sleeper *s = xcalloc(1, sizeof *s);
	s->rt = task_runtime(L);
	s->wait = task_prepare(L, sleep_cancel, s);
	runtime_timer_start(s->rt, &s->timer, runtime_now(s->rt) + ms, sleep_over);
	return task_suspend(L);
}

/* A timer is anchored in the registry under its address while it is started. */
struct lua_timer {
	struct runtime_timer timer;
	lua_State *L;
};

#define TIMER "core.runtime.timer"

static void timer_fired(struct runtime_timer *timer)
{
	struct lua_timer *t = (struct lua_timer *)timer;
	lua_State *L = t->L;
	lua_rawgetp(L, LUA_REGISTRYINDEX, t);
	lua_getiuservalue(L, -1, 1);
	lua_pushnil(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, t);
	lua_remove(L, -2);
	task_start(L, 0);
}

static int l_timer(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	struct lua_timer *t = lua_newuserdatauv(L, sizeof *t, 1);
	*t = (struct lua_timer){.L = runtime_lua_main(L)};
	luaL_setmetatable(L, TIMER);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, 1);
	return 1;
}

static int timer_start(lua_State *L)
{
	struct lua_timer *t = luaL_checkudata(L, 1, TIMER);
	lua_Integer due = luaL_checkinteger(L, 2);
	lua_pushvalue(L, 1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, t);
	runtime_timer_start(task_runtime(L), &t->timer, due, timer_fired);
	return 0;
}

static int timer_stop(lua_State *L)
{
	struct lua_timer *t = luaL_checkudata(L, 1, TIMER);
	runtime_timer_stop(task_runtime(L), &t->timer);
	lua_pushnil(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, t);
	return 0;
}

static int timer_gc(lua_State *L)
{
	struct lua_timer *t = luaL_checkudata(L, 1, TIMER);
	if (t->timer.slot)
		runtime_timer_stop(task_runtime(L), &t->timer);
	return 0;
}

static void signalled(void *arg, int number)
{
	lua_State *L = arg;
	lua_rawgetp(L, LUA_REGISTRYINDEX, (void *)(uintptr_t)signalled);
	lua_pushinteger(L, number);
	task_start(L, 1);
}

static int l_on_signal(lua_State *L)
{
	lua_settop(L, 1);
	bool on = !lua_isnil(L, 1);
	if (on)
		luaL_checktype(L, 1, LUA_TFUNCTION);
	lua_rawsetp(L, LUA_REGISTRYINDEX, (void *)(uintptr_t)signalled);
	runtime_on_signal(task_runtime(L), on ? signalled : NULL, runtime_lua_main(L));
	return 0;
}

static int l_stop(lua_State *L)
{
	runtime_stop(task_runtime(L), (int)luaL_optinteger(L, 1, 0));
	return 0;
}

static int l_stopping(lua_State *L)
{
	lua_pushboolean(L, runtime_stopping(task_runtime(L)));
	return 1;
}

static int l_virtual(lua_State *L)
{
	lua_pushboolean(L, runtime_is_virtual(task_runtime(L)));
	return 1;
}

static int l_advance(lua_State *L)
{
	lua_Integer ms = luaL_checkinteger(L, 1);
	struct runtime *rt = task_runtime(L);
	luaL_argcheck(L, ms >= 0, 1, "time never goes back");
	if (!runtime_is_virtual(rt) || task_current(L))
		return luaL_error(L, "advance works in virtual time and outside tasks only");
	runtime_advance(rt, ms);
	return 0;
}

lua_State *runtime_lua_main(lua_State *L)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
	lua_State *main = lua_tothread(L, -1);
	lua_pop(L, 1);
	return main;
}

int luaopen_core_runtime(lua_State *L)
{
	static const luaL_Reg timer[] = {
		{"start", timer_start}, {"stop", timer_stop}, {"__gc", timer_gc}, {NULL, NULL}};
	static const luaL_Reg functions[] = {
		{"ticks", l_ticks},     {"spawn", l_spawn},         {"later", l_later}, {"sleep", l_sleep},
		{"timer", l_timer},     {"on_signal", l_on_signal}, {"stop", l_stop},   {"stopping", l_stopping},
		{"virtual", l_virtual}, {"advance", l_advance},     {NULL, NULL}};
	luaL_newmetatable(L, TIMER);
	luaL_setfuncs(L, timer, 0);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
	luaL_newlib(L, functions);
	lua_pushlightuserdata(L, task_runtime(L));
	lua_pushcclosure(L, l_now, 1);
	lua_setfield(L, -2, "now");
	runtime_lua_channel(L);
	runtime_lua_digest(L);
	runtime_lua_files(L);
	runtime_lua_watch(L);
	return 1;
}
