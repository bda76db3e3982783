/* SPDX-License-Identifier: MIT
 *
 * The Lua module core.docdb (docs/interfaces.md). Loop thread only.
 */
#ifndef SRVTHREDS_LUA_DOCDB_H
#define SRVTHREDS_LUA_DOCDB_H

#include <lua.h>

#include "docdb/docdb.h"

/* Opens a database and pushes its handle; raises if it can't be opened. */
int lua_docdb_open(lua_State *L, const struct docdb_options *options);
int luaopen_core_docdb(lua_State *L);

#endif
