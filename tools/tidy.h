/* SPDX-License-Identifier: MIT
 *
 * Seen by clang-tidy only, before each file: Lua's functions that raise don't return, which its header doesn't say. */
#ifndef SRVTHREDS_TIDY_H
#define SRVTHREDS_TIDY_H

#include <lauxlib.h>
#include <lua.h>

__attribute__((noreturn)) int luaL_error(lua_State *L, const char *format, ...);
__attribute__((noreturn)) int luaL_argerror(lua_State *L, int argument, const char *message);
__attribute__((noreturn)) int luaL_typeerror(lua_State *L, int argument, const char *type);
__attribute__((noreturn)) int lua_error(lua_State *L);

#endif
