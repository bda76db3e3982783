/* SPDX-License-Identifier: MIT */
#include "regex/lua_regex.h"

#include <lauxlib.h>

#include "base/lua_error.h"
#include "regex/regex.h"

#define TYPE "core.regex"

static struct regex *check(lua_State *L)
{
	struct regex **box = luaL_checkudata(L, 1, TYPE);
	if (!*box)
		luaL_argerror(L, 1, "the regex is closed");
	return *box;
}

static int l_compile(lua_State *L)
{
	size_t len;
	const char *source = luaL_checklstring(L, 1, &len);
	bool caseless = false;
	if (!lua_isnoneornil(L, 2)) {
		luaL_checktype(L, 2, LUA_TTABLE);
		lua_getfield(L, 2, "caseless");
		caseless = lua_toboolean(L, -1);
		lua_pop(L, 1);
	}
	struct regex **box = lua_newuserdatauv(L, sizeof *box, 0);
	*box = NULL;
	luaL_setmetatable(L, TYPE);
	struct error e;
	*box = regex_new(source, len, caseless, &e);
	return *box ? 1 : lua_error_raise(L, &e);
}

static int l_search(lua_State *L)
{
	struct regex *re = check(L);
	size_t len;
	const char *text = luaL_checklstring(L, 2, &len);
	struct error e;
	int found = regex_search(re, text, len, &e);
	if (found < 0)
		return lua_error_raise(L, &e);
	lua_pushboolean(L, found);
	return 1;
}

static int l_source(lua_State *L)
{
	lua_pushstring(L, regex_source(check(L)));
	return 1;
}

static int l_gc(lua_State *L)
{
	struct regex **box = luaL_checkudata(L, 1, TYPE);
	regex_free(*box);
	*box = NULL;
	return 0;
}

int luaopen_core_regex(lua_State *L)
{
	static const luaL_Reg methods[] = {{"search", l_search}, {"source", l_source}, {NULL, NULL}};
	static const luaL_Reg functions[] = {{"compile", l_compile}, {NULL, NULL}};
	if (luaL_newmetatable(L, TYPE)) {
		luaL_newlib(L, methods);
		lua_setfield(L, -2, "__index");
		lua_pushcfunction(L, l_gc);
		lua_setfield(L, -2, "__gc");
		lua_pushboolean(L, 0);
		lua_setfield(L, -2, "__metatable");
	}
	lua_pop(L, 1);
	luaL_newlib(L, functions);
	return 1;
}
