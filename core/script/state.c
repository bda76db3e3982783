/* SPDX-License-Identifier: MIT
 *
 * The main state and what belongs to it.
 */
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

#include "json/lua_json.h"
#include "runtime/task.h"
#include "script/private.h"
#include "script/script.h"

static int panic(lua_State *L)
{
	const char *message = lua_tostring(L, -1);
	fprintf(stderr, "srvthreds: error outside any protected call: %s\n", message ? message : "not a text");
	return 0; /* Lua aborts */
}

static void tick(lua_State *L)
{
	script_tick(L, script_of(L));
}

static int open_all(lua_State *L)
{
	struct script *s = script_of(L);
	luaL_openlibs(L);
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
	lua_pushcfunction(L, luaopen_core_script);
	lua_setfield(L, -2, "core.script");
	if (s->rt)
		task_open(s->rt, L);
	script_environment_open(L);
	json_lua_on_work(L, tick);
	return 0;
}

/* The marks of a coroutine lie in its block: true as long as a thread begins with its extra space, as in all of 5.4. */
static void check_layout(struct script *s)
{
	if (s->owners[thread_block(s->main)->owner] == s->root && thread_block(s->main)->depth == 0)
		return;
	fprintf(stderr, "srvthreds: this Lua lays out its threads in an unknown way\n");
	abort();
}

const char script_mode;

/* Weak tables show when something was collected, and a long chain of weak keys takes the collector seconds. It looks for
 * `__mode` in a metatable each time, so that setmetatable can't refuse it. Therefore the name that it looks for becomes
 * another one, which no script can write: a text with those bytes is another text to Lua, which keeps each one once. */
static void hide_weak_tables(lua_State *L)
{
	char *name = (char *)(uintptr_t)lua_pushliteral(L, "__mode");
	name[0] = '\1';
	lua_rawsetp(L, LUA_REGISTRYINDEX, &script_mode);
}

int script_weak(lua_State *L)
{
	static const char *const modes[] = {"k", "v", "kv", NULL};
	luaL_checkoption(L, 1, NULL, modes);
	if (!lua_isnoneornil(L, 2))
		luaL_checktype(L, 2, LUA_TTABLE);
	lua_settop(L, 2);
	lua_newtable(L);
	lua_pushvalue(L, 2);
	if (lua_isnil(L, -1))
		lua_newtable(L), lua_replace(L, -2);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &script_mode);
	lua_pushvalue(L, 1);
	lua_rawset(L, -3);
	lua_setmetatable(L, -2);
	return 1;
}

lua_State *script_state_new(struct runtime *rt)
{
	struct script *s = xcalloc(1, sizeof *s);
	s->rt = rt;
	s->slice_ns = SLICE_NS;
	script_owners_init(s);
	script_meters_init(s);
	lua_State *L = s->main = lua_newstate(script_alloc, s);
	if (!L)
		abort();
	lua_atpanic(L, panic);
	/* Little lives long here: marking it less often is worth the room. A step: 2 KiB taken are answered with work on some
	 * 5,000 objects. Lua's own would be 8 KiB and 100,000, which is 10 ms where they are in no cache. */
	lua_gc(L, LUA_GCINC, 400, 20, 11);
	check_layout(s);
	script_check_nodes(L);
	script_grow_open(L);
	hide_weak_tables(L);
	script_hostile(s);
	lua_pushcfunction(L, open_all);
	if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
		fprintf(stderr, "srvthreds: no Lua state: %s\n", lua_tostring(L, -1));
		abort();
	}
	return L;
}

void script_state_free(lua_State *L)
{
	struct script *s = script_of(L);
	if (s->sweep.slot)
		runtime_timer_stop(s->rt, &s->sweep);
	script_unwatch(s);
	lua_close(s->main);
	script_timer_free(s);
	script_meters_free(s);
	script_owners_free(s);
	pool_free(&s->pool);
	free(s);
}
