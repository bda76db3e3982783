/* SPDX-License-Identifier: MIT
 *
 * lua_modules: the one list of the C modules that Lua can require, and where it finds the Lua files. For main.c and the
 * spec runner. Loop thread only; may raise a memory error, so to be called in a protected call or right at the start.
 */
#ifndef SRVTHREDS_LUA_MODULES_H
#define SRVTHREDS_LUA_MODULES_H

#include <lua.h>

struct runtime;

/* A state with the standard libraries, its tasks (task_open) and every module preloaded as `core.NAME`; `require` looks
 * in the folder `lua_root` and nowhere else, and never loads a shared library. */
lua_State *modules_state_new(struct runtime *rt, const char *lua_root);
void modules_state_free(lua_State *L);

#endif
