/* SPDX-License-Identifier: MIT
 *
 * For the files that build libraries of scripts, while the environment is opened and nobody has changed the stock ones.
 */
#ifndef SRVTHREDS_SCRIPT_LIBRARY_H
#define SRVTHREDS_SCRIPT_LIBRARY_H

#include <lua.h>

/* Copies the named functions (NULL ends the list) of a stock library into the table on top. */
void script_copy_stock(lua_State *L, const char *library, const char *const names[]);
/* Pushes one of them. */
void script_push_stock(lua_State *L, const char *library, const char *name);

#endif
