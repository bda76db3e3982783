/* SPDX-License-Identifier: MIT
 *
 * lua_build: the Lua module core.build, what this program was made of.
 */
#ifndef SRVTHREDS_LUA_BUILD_H
#define SRVTHREDS_LUA_BUILD_H

#include <lua.h>

int luaopen_core_build(lua_State *L);

#endif
