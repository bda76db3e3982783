/* SPDX-License-Identifier: MIT
 *
 * The Lua module core.script.
 */
#include <string.h>

#include "script/private.h"
#include "script/script.h"

static const char POOL; /* registry key: the calls that are free */
const char script_sources;

static int l_load(lua_State *L)
{
	size_t len;
	const char *source = luaL_checklstring(L, 1, &len);
	const char *name = luaL_checkstring(L, 2);
	luaL_checktype(L, 3, LUA_TTABLE);
	if (luaL_loadbufferx(L, source, len, name, "t") != LUA_OK) {
		script_syntax_failure(L, name);
		lua_pushnil(L);
		lua_insert(L, -2);
		return 2;
	}
	lua_pushvalue(L, 3);
	lua_setupvalue(L, -2, 1);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &script_sources);
	lua_pushboolean(L, 1);
	lua_setfield(L, -2, name);
	lua_pop(L, 1);
	return 1;
}

static int l_memory(lua_State *L)
{
	struct script_memory m = script_memory(L);
	lua_createtable(L, 0, 3);
	lua_pushinteger(L, (lua_Integer)m.total);
	lua_setfield(L, -2, "total");
	lua_pushinteger(L, (lua_Integer)m.scripts);
	lua_setfield(L, -2, "scripts");
	lua_pushinteger(L, (lua_Integer)m.contexts);
	lua_setfield(L, -2, "contexts");
	lua_pushinteger(L, (lua_Integer)m.heap);
	lua_setfield(L, -2, "heap");
	return 1;
}

int luaopen_core_script(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"accounts", script_accounts},
		{"context", script_context},
		{"environment", script_environment},
		{"freeze", script_freeze},
		{"load", l_load},
		{"maxima", script_maxima},
		{"memory", l_memory},
		{"meter", script_meter},
		{"trusted", script_trusted},
		{"used", script_used},
		{"watch", script_watch},
		{"weak", script_weak},
		{NULL, NULL},
	};
	if (lua_getallocf(L, NULL) != script_alloc)
		return luaL_error(L, "core.script needs a state that script_state_new made");
	script_meters_open(L);
	luaL_newlib(L, functions);
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &POOL) == LUA_TNIL) {
		lua_pop(L, 1);
		lua_newtable(L);
		lua_pushvalue(L, -1);
		lua_rawsetp(L, LUA_REGISTRYINDEX, &POOL);
	}
	lua_pushcclosure(L, script_call, 1);
	lua_setfield(L, -2, "call");
	script_push_modules(L);
	lua_setfield(L, -2, "module");
	return 1;
}
