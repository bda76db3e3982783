/* SPDX-License-Identifier: MIT
 *
 * lua_observe: what lua_log.c and lua_metrics.c share: the log and the metrics that a state is bound to.
 */
#ifndef SRVTHREDS_LUA_OBSERVE_H
#define SRVTHREDS_LUA_OBSERVE_H

#include <lua.h>

#include "observe/observe.h"

struct metrics *observe_metrics(lua_State *L); /* as observe_log */

#endif
