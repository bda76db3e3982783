/* SPDX-License-Identifier: MIT
 *
 * Basic functions for scripts. They show no addresses and no metatable but the script's own, and know the read-only
 * tables: those of the environment and the documents and views of core/json.
 */
#include <string.h>

#include "script/docs.h"
#include "script/private.h"

static int b_type(lua_State *L)
{
	luaL_checkany(L, 1);
	lua_pushstring(L, script_is_doc(L, 1) ? "table" : luaL_typename(L, 1));
	return 1;
}

const char *script_tostring(lua_State *L, int index, size_t *len)
{
	index = lua_absindex(L, index);
	int type = lua_type(L, index);
	if (luaL_callmeta(L, index, "__tostring")) {
		if (!lua_isstring(L, -1))
			luaL_error(L, "'__tostring' must return a string");
		return lua_tolstring(L, -1, len);
	}
	if (type == LUA_TSTRING || type == LUA_TNUMBER || type == LUA_TBOOLEAN || type == LUA_TNIL)
		return luaL_tolstring(L, index, len);
	int named = luaL_getmetafield(L, index, "__name");
	if (named == LUA_TSTRING)
		return lua_tolstring(L, -1, len);
	if (named != LUA_TNIL)
		lua_pop(L, 1);
	if (type == LUA_TLIGHTUSERDATA && !lua_touserdata(L, index)) {
		lua_pushliteral(L, "null");
		return lua_tolstring(L, -1, len);
	}
	lua_pushstring(L, script_is_doc(L, index) ? "table" : lua_typename(L, type));
	return lua_tolstring(L, -1, len);
}

static int b_tostring(lua_State *L)
{
	luaL_checkany(L, 1);
	script_tostring(L, 1, NULL);
	return 1;
}

static int b_getmetatable(lua_State *L)
{
	luaL_checkany(L, 1);
	if (lua_type(L, 1) != LUA_TTABLE || !lua_getmetatable(L, 1)) {
		if (lua_type(L, 1) != LUA_TTABLE && lua_getmetatable(L, 1))
			lua_pushboolean(L, 0); /* strings and documents: there is one, and it isn't shown */
		else
			lua_pushnil(L);
		return 1;
	}
	luaL_getmetafield(L, 1, "__metatable");
	return 1;
}

static void refuse_field(lua_State *L, const char *name)
{
	lua_pushstring(L, name);
	if (lua_rawget(L, 2) != LUA_TNIL)
		luaL_error(L, "a metatable of a script can't have %s", name);
	lua_pop(L, 1);
}

static int b_setmetatable(lua_State *L)
{
	int type = lua_type(L, 2);
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
	if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
		return luaL_error(L, "cannot change a protected metatable");
	if (type == LUA_TTABLE) {
		refuse_field(L, "__gc");
		refuse_field(L, "__mode");
	}
	lua_settop(L, 2);
	lua_setmetatable(L, 1);
	return 1;
}

static int b_rawequal(lua_State *L)
{
	luaL_checkany(L, 1);
	luaL_checkany(L, 2);
	lua_pushboolean(L, lua_rawequal(L, 1, 2));
	return 1;
}

/* Replaces a read-only table of the environment at index 1 by what is behind it. */
static void look_behind(lua_State *L)
{
	if (script_frozen_target(L, 1))
		lua_replace(L, 1);
}

static int b_rawget(lua_State *L)
{
	if (!script_is_doc(L, 1))
		luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checkany(L, 2);
	lua_settop(L, 2);
	if (script_is_doc(L, 1)) {
		lua_gettable(L, 1);
		return 1;
	}
	look_behind(L);
	lua_rawget(L, 1);
	return 1;
}

static int b_rawset(lua_State *L)
{
	if (script_is_doc(L, 1) || script_frozen_target(L, 1))
		return luaL_error(L, "rawset: this table is read-only");
	luaL_checktype(L, 1, LUA_TTABLE);
	luaL_checkany(L, 2);
	luaL_checkany(L, 3);
	lua_settop(L, 3);
	lua_rawset(L, 1);
	return 1;
}

static int b_rawlen(lua_State *L)
{
	if (script_is_doc(L, 1)) {
		lua_pushinteger(L, luaL_len(L, 1));
		return 1;
	}
	int type = lua_type(L, 1);
	luaL_argexpected(L, type == LUA_TTABLE || type == LUA_TSTRING, 1, "table or string");
	if (type == LUA_TTABLE)
		look_behind(L);
	lua_pushinteger(L, (lua_Integer)lua_rawlen(L, 1));
	return 1;
}

static int ipairs_next(lua_State *L)
{
	lua_Integer i = luaL_checkinteger(L, 2);
	i = (lua_Integer)((lua_Unsigned)i + 1);
	lua_pushinteger(L, i);
	return lua_geti(L, 1, i) == LUA_TNIL ? 1 : 2;
}

static int b_ipairs(lua_State *L)
{
	luaL_checkany(L, 1);
	lua_pushcfunction(L, ipairs_next);
	lua_pushvalue(L, 1);
	lua_pushinteger(L, 0);
	return 3;
}

static void charge_log(lua_State *L, size_t len)
{
	struct owner *o = script_context_owner(L, "log");
	if (o->log_lines >= LOG_LINES_MAX)
		luaL_error(L, "log: a step writes %d lines at most", LOG_LINES_MAX);
	if (len > LOG_BYTES_MAX - o->log_bytes)
		luaL_error(L, "log: a step writes %d KiB at most", (int)(LOG_BYTES_MAX >> 10));
	o->log_lines++;
	o->log_bytes += (uint32_t)len;
}

/* What scripts write; the library's text comes from the context's list. */
static int b_log(lua_State *L)
{
	int n = lua_gettop(L);
	luaL_Buffer b;
	luaL_buffinit(L, &b);
	for (int i = 1; i <= n; i++) {
		if (i > 1)
			luaL_addchar(&b, ' ');
		script_tostring(L, i, NULL);
		luaL_addvalue(&b);
		luaL_argcheck(L, luaL_bufflen(&b) <= STRING_MAX, i, "a line of the log can't be longer than 1 MiB");
	}
	luaL_pushresult(&b);
	charge_log(L, lua_rawlen(L, -1));
	script_push_context(L, "log");
	if (lua_getfield(L, -1, "log") != LUA_TTABLE) {
		lua_pop(L, 1);
		lua_newtable(L);
		lua_pushvalue(L, -1);
		lua_setfield(L, -3, "log");
	}
	lua_pushvalue(L, n + 1);
	lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
	return 0;
}

const luaL_Reg script_base_functions[] = {
	{"getmetatable", b_getmetatable},
	{"ipairs", b_ipairs},
	{"log", b_log},
	{"rawequal", b_rawequal},
	{"rawget", b_rawget},
	{"rawlen", b_rawlen},
	{"rawset", b_rawset},
	{"setmetatable", b_setmetatable},
	{"tostring", b_tostring},
	{"type", b_type},
	{NULL, NULL},
};
