/* SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <lualib.h>

#include "cli/lua_modules.h"
#include "script/script.h"

/* A module is one line: core.NAME is opened by luaopen_core_NAME. */
#define MODULES(X)                                                                                                     \
	X(runtime)                                                                                                     \
	X(json)                                                                                                        \
	X(script)                                                                                                      \
	X(regex)                                                                                                       \
	X(log)                                                                                                         \
	X(metrics)                                                                                                     \
	X(store)                                                                                                       \
	X(docdb)                                                                                                       \
	X(records)                                                                                                     \
	X(net)                                                                                                         \
	X(terminal)                                                                                                    \
	X(build)

#define X(name) int luaopen_core_##name(lua_State *L);
MODULES(X)
#undef X

static void preload(lua_State *L)
{
	static const luaL_Reg modules[] = {
#define X(name) {"core." #name, luaopen_core_##name},
		MODULES(X)
#undef X
			{NULL, NULL}};
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
	luaL_setfuncs(L, modules, 0);
	lua_pop(L, 1);
}

static void set_path(lua_State *L, const char *root)
{
	lua_getglobal(L, LUA_LOADLIBNAME);
	lua_pushfstring(L, "%s/?.lua;%s/?/init.lua", root, root);
	lua_setfield(L, -2, "path");
	lua_pushliteral(L, "");
	lua_setfield(L, -2, "cpath");
	lua_pop(L, 1);
}

lua_State *modules_state_new(struct runtime *rt, const char *lua_root)
{
	lua_State *L = script_state_new(rt);
	preload(L);
	set_path(L, lua_root);
	return L;
}

void modules_state_free(lua_State *L)
{
	script_state_free(L);
}
