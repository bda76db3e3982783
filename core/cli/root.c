/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "cli/cli.h"

static bool has_main(const char *root)
{
	char file[4200];
	int n = snprintf(file, sizeof file, "%s/srvthreds/cli/main.lua", root);
	return n > 0 && (size_t)n < sizeof file && access(file, R_OK) == 0;
}

static int taken(char *path, size_t size, const char *root, struct error *e)
{
	char real[4096]; /* PATH_MAX */
	if (!realpath(root, real) || strlen(real) >= size)
		return error_set(e, ERROR_SERVER, "the path %s can't be used", root);
	memcpy(path, real, strlen(real) + 1);
	return 0;
}

int cli_lua_root(char *path, size_t size, struct error *e)
{
	static const char *const beside[] = {"../share/srvthreds/lua", "../lua"};
	const char *told = getenv("SRVTHREDS_LUA");
	if (told && *told) {
		if (!has_main(told))
			return error_set(e, ERROR_NOT_FOUND,
					 "SRVTHREDS_LUA is %s, but there is no srvthreds/cli/main.lua in it", told);
		return taken(path, size, told, e);
	}
	char program[4096];
	size_t len = sizeof program;
	int rc = uv_exepath(program, &len);
	if (rc)
		return error_set(e, ERROR_SERVER, "can't find out where this program is: %s", uv_strerror(rc));
	char *slash = strrchr(program, '/');
	if (slash)
		*slash = '\0';
	for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
		char root[4200];
		snprintf(root, sizeof root, "%s/%s", program, beside[i]);
		if (has_main(root))
			return taken(path, size, root, e);
	}
	return error_set(
		e, ERROR_NOT_FOUND,
		"can't find the Lua files: neither %s/%s nor %s/%s has them; set SRVTHREDS_LUA to their folder",
		program, beside[0], program, beside[1]);
}
