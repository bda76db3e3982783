/* SPDX-License-Identifier: MIT
 *
 * lua_face: the store behind its Lua handle, for other folders' Lua faces. Loop thread only.
 */
#ifndef SRVTHREDS_LUA_FACE_H
#define SRVTHREDS_LUA_FACE_H

#include <lua.h>

#include "store/store.h"

struct store *lua_store_of(lua_State *L, int index); /* raises when it is none, or closed */

#endif
