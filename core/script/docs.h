/* SPDX-License-Identifier: MIT
 *
 * Documents and views of core/json: userdata that scripts see as tables.
 */
#ifndef SRVTHREDS_SCRIPT_DOCS_H
#define SRVTHREDS_SCRIPT_DOCS_H

#include "json/lua_json.h"
#include "script/private.h"

static inline bool script_is_doc(lua_State *L, int index)
{
	return lua_type(L, index) == LUA_TUSERDATA && json_lua_is_face(L, index);
}

#endif
