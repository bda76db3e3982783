/* SPDX-License-Identifier: MIT
 *
 * Documents and views of core/json: userdata that scripts see as tables. */
#ifndef SRVTHREDS_SCRIPT_DOCS_H
#define SRVTHREDS_SCRIPT_DOCS_H

#include "script/private.h"

#if __has_include("json/lua_json.h")
#include "json/lua_json.h"
static inline bool script_is_doc(lua_State *L, int index)
{
	return lua_type(L, index) == LUA_TUSERDATA && json_lua_is_face(L, index);
}
#else
static inline bool script_is_doc(lua_State *L, int index)
{
	(void)L;
	(void)index;
	return false;
}
static inline int json_lua_next(lua_State *L, int index)
{
	(void)L;
	(void)index;
	return 0;
}
static inline int json_lua_refuse_write(lua_State *L, int index, int key)
{
	(void)index;
	(void)key;
	return luaL_error(L, "read-only");
}
#endif

#endif
