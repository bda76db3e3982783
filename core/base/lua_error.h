/* SPDX-License-Identifier: MIT
 *
 * lua_error: struct error <-> the error table {code=, message=, cause=?} of Lua. Its metatable stands in the registry
 * under LUA_ERROR_NAME (made at first use); `tostring` gives the message, `getmetatable` the name, nothing more.
 * What pushes may raise a memory error, so the caller must own nothing that only it can free.
 */
#ifndef SRVTHREDS_LUA_ERROR_H
#define SRVTHREDS_LUA_ERROR_H

#include <lua.h>

#include "base/base.h"

#define LUA_ERROR_NAME "srvthreds.error"

/* Pushes the metatable, for who builds error tables in another way. */
void lua_error_metatable(lua_State *L);

/* Pushes `e` as a new error table. */
void lua_error_push(lua_State *L, const struct error *e);

/* Pushes and raises. Never returns; the int is for `return lua_error_raise(...)`. */
int lua_error_raise(lua_State *L, const struct error *e);
int lua_error_raisef(lua_State *L, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Is the value an error table of ours? */
bool lua_error_is(lua_State *L, int index);

/* Any error value -> `e`: an error table keeps code, message and cause; a string (or anything else) becomes the message
 * under `ERROR_SERVER`. Raw access only: runs no Lua code and never raises. */
void lua_error_from(lua_State *L, int index, struct error *e);

#endif
