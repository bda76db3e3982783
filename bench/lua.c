/* SPDX-License-Identifier: MIT
 *
 * bench_lua FILE.lua [ARGS]: runs a benchmark that is written in Lua inside the program's own runtime, in real time. The
 * chunk runs as a task; it ends the program with core.runtime.stop.
 */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/lua_modules.h"
#include "runtime/task.h"

static void task_failed(void *arg, const char *message)
{
	fprintf(stderr, "%s\n", message);
	runtime_stop(arg, 1);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: bench_lua FILE.lua [ARGS]\n");
		return 2;
	}
	const char *root = getenv("SRVTHREDS_LUA");
	struct error e = {0};
	struct runtime *rt = runtime_new(&(struct runtime_options){0}, &e);
	if (!rt) {
		fprintf(stderr, "%s\n", e.message);
		return 1;
	}
	lua_State *L = modules_state_new(rt, root ? root : "lua");
	task_on_error(L, task_failed, rt);
	int code = 1;
	if (luaL_loadfilex(L, argv[1], "t") != LUA_OK) {
		fprintf(stderr, "%s\n", lua_tostring(L, -1));
	} else {
		for (int i = 2; i < argc; i++)
			lua_pushstring(L, argv[i]);
		task_start(L, argc - 2);
		code = runtime_run(rt);
	}
	modules_state_free(L);
	runtime_free(rt);
	return code;
}
