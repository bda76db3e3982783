/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include "cli/cli.h"

/* Each session is an open file, and the usual 1024 are few. */
static void raise_file_limit(void)
{
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files))
		return;
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv)
{
	struct error e = {0};
	char lua_root[4096];
	signal(SIGPIPE, SIG_IGN); /* a peer that went away is an error of that write, not the end of everybody */
	signal(SIGXFSZ, SIG_IGN); /* a file at its size limit is an error of that write, as a full disk is */
	raise_file_limit();
	if (cli_lua_root(lua_root, sizeof lua_root, &e)) {
		fprintf(stderr, "srvthreds: %s\n", e.message);
		return 1;
	}
	return cli_run(lua_root, argc, argv);
}
