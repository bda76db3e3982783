/* SPDX-License-Identifier: MIT */
#include "store/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MS = 5000, STEP_MS = 25 };

static int refuse(int fd, const char *path, struct error *e)
{
	char pid[32] = "";
	ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
	pid[n > 0 ? n : 0] = '\0';
	pid[strcspn(pid, "\n")] = '\0';
	close(fd);
	return error_set(e, ERROR_EXISTS,
			 "the data folder is in use: process %s holds %s; stop it, or use another --data folder",
			 pid[0] ? pid : "(unknown)", path);
}

int folder_lock(const char *path, struct error *e)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(e, ERROR_SERVER, "can't open %s: %s", path, strerror(errno));
	/* At start only, before anything runs: blocking is fine. */
	for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited += STEP_MS) {
		if (errno != EWOULDBLOCK && errno != EINTR) {
			error_set(e, ERROR_SERVER, "can't lock %s: %s", path, strerror(errno));
			close(fd);
			return -1;
		}
		if (waited >= WAIT_MS)
			return refuse(fd, path, e);
		nanosleep(&(struct timespec){0, STEP_MS * 1000000L}, NULL);
	}
	char pid[32];
	int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
		error_set(e, ERROR_SERVER, "can't write %s: %s", path, strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}
