/* SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <stdio.h>

#include "base/fault.h"
#include "cli/cli.h"
#include "cli/lua_modules.h"
#include "runtime/task.h"

static int start(lua_State *L, const char *lua_root, int argc, char **argv)
{
	const char *file = lua_pushfstring(L, "%s/srvthreds/cli/main.lua", lua_root);
	if (luaL_loadfilex(L, file, "t") != LUA_OK) {
		fprintf(stderr, "srvthreds: %s\n", lua_tostring(L, -1));
		return -1;
	}
	luaL_checkstack(L, argc, "too many arguments");
	for (int i = 1; i < argc; i++)
		lua_pushstring(L, argv[i]);
	task_start_later(L, argc > 1 ? argc - 1 : 0); /* a stop counts while the loop runs only */
	return 0;
}

int cli_run(const char *lua_root, int argc, char **argv)
{
	struct error e = {0};
	struct runtime_options options = {0};
#ifdef SRVTHREDS_FAULTS
	options.skew_ms = fault_number("SRVTHREDS_FAULT_SKEW_MS");
#endif
	struct runtime *rt = runtime_new(&options, &e);
	if (!rt) {
		fprintf(stderr, "srvthreds: %s\n", e.message);
		return 1;
	}
	lua_State *L = modules_state_new(rt, lua_root);
	int code = start(L, lua_root, argc, argv) ? 1 : runtime_run(rt);
	modules_state_free(L);
	runtime_free(rt);
	return code;
}
