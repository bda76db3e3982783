/* SPDX-License-Identifier: MIT
 *
 * The Lua module core.records (docs/interfaces.md). Loop thread only.
 */
#ifndef SRVTHREDS_LUA_RECORDS_H
#define SRVTHREDS_LUA_RECORDS_H

#include <lua.h>

int luaopen_core_records(lua_State *L);

#endif
