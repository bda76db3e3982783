/* SPDX-License-Identifier: MIT
 *
 * error, pcall and xpcall for scripts: like the stock ones, but they let go of a script that was killed. Nested pcalls
 * have a limit of their own, since Lua's depends on how often the script was interrupted.
 */
#include "script/private.h"

static int leave(lua_State *L, int status, lua_KContext hidden)
{
	thread_block(L)->depth--;
	if (script_killed(script_of(L)))
		return script_die(L);
	if (status != LUA_OK && status != LUA_YIELD) {
		lua_pushboolean(L, 0);
		lua_pushvalue(L, -2);
		return 2;
	}
	return lua_gettop(L) - (int)hidden;
}

static void nest(lua_State *L)
{
	if (thread_block(L)->depth >= PCALL_DEPTH_MAX)
		luaL_error(L, "stack overflow (%d nested pcalls)", PCALL_DEPTH_MAX);
	thread_block(L)->depth++;
}

static int script_pcall(lua_State *L)
{
	luaL_checkany(L, 1);
	if (script_killed(script_of(L)))
		return script_die(L);
	nest(L);
	lua_pushboolean(L, 1);
	lua_insert(L, 1);
	return leave(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, leave), 0);
}

static int handle(lua_State *L)
{
	if (script_killed(script_of(L)))
		return 1;
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, 1, 1);
	return 1;
}

static int script_xpcall(lua_State *L)
{
	int n = lua_gettop(L);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	if (script_killed(script_of(L)))
		return script_die(L);
	nest(L);
	lua_pushvalue(L, 2);
	lua_pushcclosure(L, handle, 1);
	lua_replace(L, 2);
	lua_pushboolean(L, 1);
	lua_pushvalue(L, 1);
	lua_rotate(L, 3, 2);
	return leave(L, lua_pcallk(L, n - 2, LUA_MULTRET, 2, 2, leave), 2);
}

static int script_error(lua_State *L)
{
	int level = (int)luaL_optinteger(L, 2, 1);
	lua_settop(L, 1);
	if (lua_type(L, 1) == LUA_TSTRING && level > 0) {
		luaL_where(L, level);
		lua_insert(L, 1);
		lua_concat(L, 2);
	}
	return lua_error(L);
}

static int script_assert(lua_State *L)
{
	if (lua_toboolean(L, 1))
		return lua_gettop(L);
	luaL_checkany(L, 1);
	lua_remove(L, 1);
	lua_pushliteral(L, "assertion failed!");
	lua_settop(L, 1);
	return script_error(L);
}

const luaL_Reg script_pcall_functions[] = {
	{"assert", script_assert},
	{"error", script_error},
	{"pcall", script_pcall},
	{"xpcall", script_xpcall},
	{NULL, NULL},
};
