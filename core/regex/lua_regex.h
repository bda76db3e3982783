/* SPDX-License-Identifier: MIT
 *
 * lua_regex: the Lua module core.regex.
 *   compile(source, {caseless=}?) -> re     raises 4200 with the position
 *   re:search(text) -> bool                 raises 4200 when a limit is reached
 *   re:source() -> source
 */
#ifndef SRVTHREDS_LUA_REGEX_H
#define SRVTHREDS_LUA_REGEX_H

#include <lua.h>

int luaopen_core_regex(lua_State *L);

#endif
