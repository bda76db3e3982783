/* SPDX-License-Identifier: MIT
 *
 * lua_terminal: the Lua module core.terminal, lines of stdin without blocking the loop.
 */
#ifndef SRVTHREDS_LUA_TERMINAL_H
#define SRVTHREDS_LUA_TERMINAL_H

#include <lua.h>

int luaopen_core_terminal(lua_State *L);

#endif
