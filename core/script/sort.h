/* SPDX-License-Identifier: MIT
 *
 * table.sort of scripts: stable, so that equal elements have an order that is always the same; interrupted like any
 * other code of a script while its comparator runs.
 */
#ifndef SRVTHREDS_SCRIPT_SORT_H
#define SRVTHREDS_SCRIPT_SORT_H

#include <lua.h>

int script_sort(lua_State *L);

#endif
