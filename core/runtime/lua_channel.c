/* SPDX-License-Identifier: MIT
 *
 * A channel: values put without waiting, taken by tasks that wait, first come, first served.
 */
#include <lauxlib.h>
#include <stdlib.h>

#include "runtime/lua_private.h"
#include "runtime/task.h"

#define CHANNEL "core.runtime.channel"

struct taker {
	struct runtime_timer timer; /* the time-out */
	struct taker *next;
	struct channel *channel;
	struct task_wait wait;
	struct runtime *rt;
};

struct channel {
	lua_Integer head, tail; /* the user value's table holds [head, tail) */
	struct taker *first, **last;
};

static struct channel *check(lua_State *L)
{
	return luaL_checkudata(L, 1, CHANNEL);
}

static int l_channel(lua_State *L)
{
	struct channel *c = lua_newuserdatauv(L, sizeof *c, 1);
	*c = (struct channel){0};
	c->last = &c->first;
	luaL_setmetatable(L, CHANNEL);
	lua_newtable(L);
	lua_setiuservalue(L, -2, 1);
	return 1;
}

static void unlink_taker(struct taker *taker)
{
	struct channel *c = taker->channel;
	for (struct taker **at = &c->first; *at; at = &(*at)->next)
		if (*at == taker) {
			*at = taker->next;
			if (!*at)
				c->last = at;
			break;
		}
	runtime_timer_stop(taker->rt, &taker->timer);
}

static int push_value(lua_State *L, void *arg)
{
	int *value = arg; /* by reference: the stack of the putter may be the one that runs this */
	lua_rawgeti(L, LUA_REGISTRYINDEX, *value);
	return 1;
}

static int channel_put(lua_State *L)
{
	struct channel *c = check(L);
	luaL_checkany(L, 2);
	lua_settop(L, 2);
	if (c->first) {
		struct taker *taker = c->first;
		unlink_taker(taker);
		struct task_wait wait = taker->wait;
		free(taker);
		int value = luaL_ref(L, LUA_REGISTRYINDEX);
		task_wake(wait, push_value, &value);
		luaL_unref(L, LUA_REGISTRYINDEX, value);
		return 0;
	}
	lua_getiuservalue(L, 1, 1);
	lua_pushvalue(L, 2);
	lua_rawseti(L, -2, c->tail++);
	return 0;
}

static void take_timed_out(struct runtime_timer *timer)
{
	struct taker *taker = (struct taker *)timer;
	unlink_taker(taker);
	struct task_wait wait = taker->wait;
	free(taker);
	task_wake(wait, NULL, NULL);
}

static void take_cancelled(void *arg)
{
	struct taker *taker = arg;
	unlink_taker(taker);
	task_drop(taker->wait);
	free(taker);
}

static int channel_take(lua_State *L)
{
	struct channel *c = check(L);
	lua_Integer timeout = luaL_optinteger(L, 2, -1);
	if (c->head < c->tail) {
		lua_getiuservalue(L, 1, 1);
		lua_rawgeti(L, -1, c->head);
		lua_pushnil(L);
		lua_rawseti(L, -3, c->head++);
		return 1;
	}
	task_check(L);
	struct taker *taker = xcalloc(1, sizeof *taker);
	taker->rt = task_runtime(L);
	taker->channel = c;
	taker->wait = task_prepare(L, take_cancelled, taker);
	*c->last = taker;
	c->last = &taker->next;
	if (timeout >= 0)
		runtime_timer_start(taker->rt, &taker->timer, runtime_now(taker->rt) + timeout, take_timed_out);
	return task_suspend(L); /* the channel stays on this stack, so it is not collected while somebody waits */
}

static int channel_len(lua_State *L)
{
	struct channel *c = check(L);
	lua_pushinteger(L, c->tail - c->head);
	return 1;
}

void runtime_lua_channel(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{"put", channel_put}, {"take", channel_take}, {"__len", channel_len}, {NULL, NULL}};
	luaL_newmetatable(L, CHANNEL);
	luaL_setfuncs(L, methods, 0);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
	lua_pushcfunction(L, l_channel);
	lua_setfield(L, -2, "channel");
}
