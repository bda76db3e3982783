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
	lua_gc(L, LUA_GCINC, 400, 200, 0); /* little lives long here: marking it less often is worth the room */
	check_layout(s);
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
