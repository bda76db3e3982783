/* SPDX-License-Identifier: MIT
 *
 * The cases with scripts against each document database: memory:, a file, and the one of SRVTHREDS_DOCDB_URL if that is
 * set. tests/conformance/docdb_run.lua runs them, in the program's own runtime, in real time.
 */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/lua_modules.h"
#include "runtime/task.h"

static void task_failed(void *arg, const char *message)
{
	fprintf(stderr, "%s\n", message);
	runtime_stop(arg, 1);
}

static int check(const char *url)
{
	struct error e;
	struct runtime *rt = runtime_new(&(struct runtime_options){0}, &e);
	lua_State *L = modules_state_new(rt, "lua");
	int failed = 1;
	task_on_error(L, task_failed, rt);
	if (luaL_loadfilex(L, "tests/conformance/docdb_run.lua", "t") == LUA_OK) {
		lua_pushstring(L, url);
		task_start(L, 1);
		failed = runtime_run(rt);
	} else {
		fprintf(stderr, "%s\n", lua_tostring(L, -1));
	}
	modules_state_free(L);
	return failed | runtime_free(rt);
}

static int check_file(void)
{
	static const char *const names[] = {"d.db", "d.db-wal", "d.db-shm"};
	char folder[] = "/tmp/srvthreds-docdb-XXXXXX", path[96];
	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof path, "sqlite:%s/d.db", folder);
	int bad = check(path);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", folder, names[i]);
		unlink(path);
	}
	return (rmdir(folder) != 0) | bad;
}

int main(void)
{
	const char *url = getenv("SRVTHREDS_DOCDB_URL");
	int bad = check("memory:") | check_file();
	return url ? bad | check(url) : bad;
}
