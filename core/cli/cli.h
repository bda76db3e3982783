/* SPDX-License-Identifier: MIT
 *
 * cli: the program around the Lua files. Every verb of the command line is Lua, in lua/srvthreds/cli/.
 */
#ifndef SRVTHREDS_CLI_H
#define SRVTHREDS_CLI_H

#include <stddef.h>

#include "base/base.h"

/* The folder that holds srvthreds/cli/main.lua: $SRVTHREDS_LUA, or beside the program: ../share/srvthreds/lua when it is
 * installed, ../lua in a build tree. Returns 0, or -1 with the places that were looked at. */
int cli_lua_root(char *path, size_t size, struct error *e);

/* Runs main.lua as a task, with the arguments behind the program's name, until the runtime stops. The exit code; 1 if it
 * could not run, with a message on stderr. */
int cli_run(const char *lua_root, int argc, char **argv);

#endif
