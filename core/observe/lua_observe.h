/* SPDX-License-Identifier: MIT
 *
 * lua_observe: what lua_log.c and lua_metrics.c share: the log and the metrics that a state is bound to.
 */
#ifndef SRVTHREDS_LUA_OBSERVE_H
#define SRVTHREDS_LUA_OBSERVE_H

#include <lua.h>

#include "observe/observe.h"

/* Make one of the state's own if none is bound; what they return outlives the state's Lua code. */
struct log *observe_log(lua_State *L);
struct metrics *observe_metrics(lua_State *L);

#endif
