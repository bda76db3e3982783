/* SPDX-License-Identifier: MIT
 *
 * The Lua module core.docdb (docs/interfaces.md). Loop thread only.
 */
#ifndef SRVTHREDS_LUA_DOCDB_H
#define SRVTHREDS_LUA_DOCDB_H

#include <lua.h>

int luaopen_core_docdb(lua_State *L);

#endif
