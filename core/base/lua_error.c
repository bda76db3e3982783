/* SPDX-License-Identifier: MIT */
#include "base/lua_error.h"

#include <lauxlib.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int error_tostring(lua_State *L)
{
	if (lua_type(L, 1) != LUA_TTABLE) {
		lua_pushliteral(L, "error");
		return 1;
	}
	lua_pushliteral(L, "message");
	if (lua_rawget(L, 1) != LUA_TSTRING)
		lua_pushliteral(L, "error without a message");
	return 1;
}

void lua_error_metatable(lua_State *L)
{
	if (luaL_getmetatable(L, LUA_ERROR_NAME) == LUA_TTABLE)
		return;
	lua_pop(L, 1);
	lua_createtable(L, 0, 3);
	lua_pushliteral(L, LUA_ERROR_NAME);
	lua_setfield(L, -2, "__name");
	lua_pushliteral(L, LUA_ERROR_NAME);
	lua_setfield(L, -2, "__metatable");
	lua_pushcfunction(L, error_tostring);
	lua_setfield(L, -2, "__tostring");
	lua_pushvalue(L, -1);
	lua_setfield(L, LUA_REGISTRYINDEX, LUA_ERROR_NAME);
}

void lua_error_push(lua_State *L, const struct error *e)
{
	luaL_checkstack(L, 4, "no room for an error");
	lua_createtable(L, 0, 3);
	lua_pushinteger(L, e->code);
	lua_setfield(L, -2, "code");
	lua_pushstring(L, e->message);
	lua_setfield(L, -2, "message");
	if (e->cause[0]) {
		lua_pushstring(L, e->cause);
		lua_setfield(L, -2, "cause");
	}
	lua_error_metatable(L);
	lua_setmetatable(L, -2);
}

int lua_error_raise(lua_State *L, const struct error *e)
{
	lua_error_push(L, e);
	return lua_error(L);
}

int lua_error_raisef(lua_State *L, int code, const char *format, ...)
{
	struct error e;
	char message[ERROR_MESSAGE_SIZE];
	va_list args;
	va_start(args, format);
	vsnprintf(message, sizeof message, format, args);
	va_end(args);
	error_set(&e, code, "%s", message);
	return lua_error_raise(L, &e);
}

bool lua_error_is(lua_State *L, int index)
{
	if (lua_type(L, index) != LUA_TTABLE || !lua_getmetatable(L, index))
		return false;
	luaL_getmetatable(L, LUA_ERROR_NAME);
	bool same = lua_rawequal(L, -1, -2);
	lua_pop(L, 2);
	return same;
}

/* Pushes the value under `key`, or nothing and returns false. Walks the table, since pushing the key could raise. */
static bool raw_find(lua_State *L, int index, const char *key)
{
	lua_pushnil(L);
	while (lua_next(L, index)) {
		if (lua_type(L, -2) == LUA_TSTRING && strcmp(lua_tostring(L, -2), key) == 0) {
			lua_remove(L, -2);
			return true;
		}
		lua_pop(L, 1);
	}
	return false;
}

/* A text field of an error table; `cause` may be an error table itself, of which the message is taken. */
static bool raw_text(lua_State *L, int index, const char *key, char *out)
{
	if (!raw_find(L, index, key))
		return false;
	bool found = lua_type(L, -1) == LUA_TSTRING;
	if (lua_type(L, -1) == LUA_TTABLE && raw_find(L, lua_gettop(L), "message")) {
		lua_remove(L, -2);
		found = lua_type(L, -1) == LUA_TSTRING;
	}
	if (found)
		snprintf(out, ERROR_MESSAGE_SIZE, "%s", lua_tostring(L, -1));
	lua_pop(L, 1);
	return found;
}

static int raw_code(lua_State *L, int index)
{
	if (!raw_find(L, index, "code"))
		return ERROR_SERVER;
	lua_Integer code = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : 0;
	lua_pop(L, 1);
	return code > 0 && code <= INT32_MAX ? (int)code : ERROR_SERVER;
}

void lua_error_from(lua_State *L, int index, struct error *e)
{
	index = lua_absindex(L, index);
	char message[ERROR_MESSAGE_SIZE] = "", cause[ERROR_MESSAGE_SIZE] = "";
	int code = ERROR_SERVER;
	if (lua_type(L, index) == LUA_TTABLE && lua_checkstack(L, 6)) {
		code = raw_code(L, index);
		if (!raw_text(L, index, "message", message))
			snprintf(message, sizeof message, "an error object without a message");
		raw_text(L, index, "cause", cause);
	} else if (lua_type(L, index) == LUA_TSTRING) {
		snprintf(message, sizeof message, "%s", lua_tostring(L, index));
	} else {
		snprintf(message, sizeof message, "an error object that is a %s value",
			 lua_typename(L, lua_type(L, index)));
	}
	error_set(e, 0, "%s", cause);
	error_wrap(e, code, "%s", message);
}
