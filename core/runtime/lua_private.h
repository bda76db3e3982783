/* SPDX-License-Identifier: MIT
 *
 * The parts of the module core.runtime: each adds its functions to the table on top.
 */
#ifndef SRVTHREDS_RUNTIME_LUA_PRIVATE_H
#define SRVTHREDS_RUNTIME_LUA_PRIVATE_H

#include <lua.h>

lua_State *runtime_lua_main(lua_State *L);

void runtime_lua_channel(lua_State *L);
void runtime_lua_digest(lua_State *L);
void runtime_lua_files(lua_State *L);
void runtime_lua_watch(lua_State *L);

#endif
