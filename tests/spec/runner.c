/* SPDX-License-Identifier: MIT
 *
 * spec_runner FILE_spec.lua: runs the file with the program's own modules, in virtual time that begins at START_MS.
 * The file's chunk runs outside tasks, so that it may call advance. It fails by an error, by an error in a task that
 * nobody caught, by a handle left open, or by the exit code that it is to return or gives to runtime.stop.
 * Lua files: $SRVTHREDS_LUA, or ./lua; helpers of the specs: tests/spec/.
 */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/lua_modules.h"
#include "runtime/task.h"

#define START_MS 1790000000000

static void task_failed(void *arg, const char *message)
{
	fprintf(stderr, "error in a task: %s\n", message);
	*(int *)arg = 1;
}

static int traceback(lua_State *L)
{
	luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
	return 1;
}

static void find_helpers(lua_State *L)
{
	lua_getglobal(L, "package");
	lua_getfield(L, -1, "path");
	lua_pushliteral(L, ";tests/spec/?.lua");
	lua_concat(L, 2);
	lua_setfield(L, -2, "path");
	lua_pop(L, 1);
}

static int run_file(lua_State *L, const char *file)
{
	lua_pushcfunction(L, traceback);
	if (luaL_loadfilex(L, file, "t") != LUA_OK || lua_pcall(L, 0, 1, -2) != LUA_OK) {
		fprintf(stderr, "%s\n", lua_tostring(L, -1));
		return 1;
	}
	if (!lua_isinteger(L, -1)) {
		fprintf(stderr, "%s returns no exit code: end it with return t.finish()\n", file);
		return 1;
	}
	return (int)lua_tointeger(L, -1);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: spec_runner FILE_spec.lua\n");
		return 2;
	}
	const char *root = getenv("SRVTHREDS_LUA");
	struct error e = {0};
	struct runtime *rt = runtime_new(&(struct runtime_options){.virtual_time = true, .start_ms = START_MS}, &e);
	if (!rt) {
		fprintf(stderr, "%s\n", e.message);
		return 1;
	}
	lua_State *L = modules_state_new(rt, root && *root ? root : "lua");
	int failed = 0;
	task_on_error(L, task_failed, &failed);
	find_helpers(L);
	int code = run_file(L, argv[1]);
	int stopped = runtime_run(rt);
	modules_state_free(L);
	if (runtime_free(rt)) {
		fprintf(stderr, "%s: something was left open on the event loop\n", argv[1]);
		failed = 1;
	}
	return code ? code : stopped ? stopped : failed;
}
