/* SPDX-License-Identifier: MIT
 *
 * What scripts see: a table of names from the whitelist, behind a proxy that refuses writing and explains a name that
 * isn't there. Library tables are proxies too, shared by all scripts.
 */
#include <string.h>

#include "script/nearest.h"
#include "script/private.h"

static const char BEHIND;   /* key in the metatable of a proxy: the table behind it */
static const char TEMPLATE; /* registry key: the globals that every environment begins with */

bool script_frozen_target(lua_State *L, int index)
{
	if (lua_type(L, index) != LUA_TTABLE || !lua_getmetatable(L, index))
		return false;
	if (lua_rawgetp(L, -1, &BEHIND) == LUA_TNIL) {
		lua_pop(L, 2);
		return false;
	}
	lua_remove(L, -2);
	return true;
}

static int refuse_library(lua_State *L)
{
	return luaL_error(L, "%s is read-only: %s.%s can't be assigned", lua_tostring(L, lua_upvalueindex(1)),
			  lua_tostring(L, lua_upvalueindex(1)),
			  lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?");
}

static int refuse_global(lua_State *L)
{
	if (lua_type(L, 2) != LUA_TSTRING)
		return luaL_error(L, "the table of globals can't be assigned to");
	return luaL_error(L, "global \"%s\" can't be assigned: make it local", lua_tostring(L, 2));
}

static int unknown_global(lua_State *L)
{
	struct nearest best = {.distance = 0};
	if (lua_type(L, 2) != LUA_TSTRING)
		return luaL_error(L, "globals have names; this is a %s", luaL_typename(L, 2));
	const char *wanted = lua_tostring(L, 2);
	lua_pushnil(L);
	while (lua_next(L, 1)) {
		lua_pop(L, 1);
		if (lua_type(L, -1) == LUA_TSTRING)
			nearest_try(&best, wanted, lua_tostring(L, -1));
	}
	if (best.name[0])
		return luaL_error(L, "global \"%s\" is not known: did you mean \"%s\"?", wanted, best.name);
	return luaL_error(L, "global \"%s\" is not known", wanted);
}

/* Replaces the table on top by a proxy; `refuse` is on top of it. */
static void freeze(lua_State *L)
{
	lua_newtable(L);
	lua_createtable(L, 0, 5); /* table, refuse, proxy, metatable */
	lua_pushvalue(L, -4);
	lua_setfield(L, -2, "__index");
	lua_pushvalue(L, -4);
	lua_rawsetp(L, -2, &BEHIND);
	lua_pushvalue(L, -3);
	lua_setfield(L, -2, "__newindex");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_setmetatable(L, -2);
	lua_replace(L, -3);
	lua_pop(L, 1);
}

static void freeze_library(lua_State *L, const char *name)
{
	lua_pushstring(L, name);
	lua_pushcclosure(L, refuse_library, 1);
	freeze(L);
}

int script_freeze(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	const char *name = luaL_optstring(L, 2, "this table");
	lua_settop(L, 2);
	lua_pushvalue(L, 1);
	freeze_library(L, name);
	return 1;
}

static void copy_all(lua_State *L, int from, int to)
{
	lua_pushnil(L);
	while (lua_next(L, from)) {
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		lua_rawset(L, to);
	}
}

/* What scripts may require, by name: upvalue 1. */
static int module_by_name(lua_State *L)
{
	lua_settop(L, 1);
	if (lua_type(L, 1) != LUA_TSTRING)
		lua_pushnil(L);
	else
		lua_rawget(L, lua_upvalueindex(1));
	return 1;
}

static void push_module(lua_State *L, const char *name, bool safe)
{
	script_push_cjson(L, safe);
	freeze_library(L, name);
	lua_setfield(L, -2, name);
}

void script_push_modules(lua_State *L)
{
	lua_createtable(L, 0, 2);
	push_module(L, "cjson", false);
	push_module(L, "cjson.safe", true);
	lua_pushcclosure(L, module_by_name, 1);
}

int script_environment(lua_State *L)
{
	lua_settop(L, 1);
	if (!lua_isnil(L, 1))
		luaL_checktype(L, 1, LUA_TTABLE);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &TEMPLATE);
	lua_createtable(L, 0, 40);
	copy_all(L, 2, 3);
	if (!lua_isnil(L, 1))
		copy_all(L, 1, 3);
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, unknown_global);
	lua_setfield(L, -2, "__index");
	lua_setmetatable(L, 3);
	lua_pushcfunction(L, refuse_global);
	freeze(L);
	return 1;
}

static void add_stock(lua_State *L, const char *const names[])
{
	for (; *names; names++) {
		lua_getglobal(L, *names);
		lua_setfield(L, -2, *names);
	}
}

static const struct {
	const char *name;
	void (*push)(lua_State *L);
} libraries[] = {
	{"coroutine", script_push_coroutine}, {"math", script_push_math},   {"os", script_push_os},
	{"string", script_push_string},       {"table", script_push_table}, {"utf8", script_push_utf8},
};

/* "text":method() is ours everywhere, so that a script reaches nothing else through it. */
static void own_string_methods(lua_State *L)
{
	lua_pushliteral(L, "");
	lua_getmetatable(L, -1);
	lua_pushvalue(L, -3);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 2);
}

void script_environment_open(lua_State *L)
{
	static const char *const stock[] = {"_VERSION", "select", "tonumber", NULL};
	lua_createtable(L, 0, 32);
	luaL_setfuncs(L, script_base_functions, 0);
	luaL_setfuncs(L, script_pcall_functions, 0);
	luaL_setfuncs(L, script_order_functions, 0);
	add_stock(L, stock);
	for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
		libraries[i].push(L);
		if (strcmp(libraries[i].name, "string") == 0)
			own_string_methods(L);
		freeze_library(L, libraries[i].name);
		lua_setfield(L, -2, libraries[i].name);
	}
	lua_rawsetp(L, LUA_REGISTRYINDEX, &TEMPLATE);
	lua_newtable(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &script_sources);
}
