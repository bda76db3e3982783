/* SPDX-License-Identifier: MIT */
#include "observe/part.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct process {
	double cpu_s, start_s, virtual_bytes, resident_bytes, fds, max_fds;
};

/* The numbers behind the name in /proc/self/stat, which may itself hold blanks and brackets: proc(5). */
static bool read_stat(struct process *p)
{
	char text[1024];
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	const char *behind = strrchr(text, ')');
	unsigned long long start;
	unsigned long virtual;
	long resident;
	if (!behind ||
	    sscanf(behind + 1,
		   " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu %lu %ld", &start,
		   &virtual, &resident) != 3)
		return false;
	struct timespec wall, boot;
	clock_gettime(CLOCK_REALTIME, &wall);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	p->start_s = (double)(wall.tv_sec - boot.tv_sec) + (double)start / (double)sysconf(_SC_CLK_TCK);
	p->virtual_bytes = (double)virtual;
	p->resident_bytes = (double)resident * (double)sysconf(_SC_PAGESIZE);
	return true;
}

static void count_fds(struct process *p)
{
	DIR *folder = opendir("/proc/self/fd");
	if (!folder)
		return;
	while (readdir(folder))
		p->fds++;
	p->fds -= 3; /* ".", ".." and the folder's own */
	closedir(folder);
}

static double seconds(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static int add(struct buf *out, const char *name, const char *kind, const char *help, double value)
{
	return buf_printf(out, "# HELP process_%s %s\n# TYPE process_%s %s\nprocess_%s %.17g\n", name, help, name, kind,
			  name, value);
}

int metrics_process_text(struct buf *out)
{
	struct process p = {0};
	struct rusage used;
	struct rlimit files;
	if (getrusage(RUSAGE_SELF, &used) == 0)
		p.cpu_s = seconds(used.ru_utime) + seconds(used.ru_stime);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0)
		p.max_fds = (double)files.rlim_cur;
	count_fds(&p);
	int rc = add(out, "cpu_seconds_total", "counter", "User and system time", p.cpu_s) ||
		 add(out, "open_fds", "gauge", "Open file descriptors", p.fds) ||
		 add(out, "max_fds", "gauge", "The limit of open file descriptors", p.max_fds);
	if (rc == 0 && read_stat(&p))
		rc = add(out, "resident_memory_bytes", "gauge", "Resident memory", p.resident_bytes) ||
		     add(out, "virtual_memory_bytes", "gauge", "Virtual memory", p.virtual_bytes) ||
		     add(out, "start_time_seconds", "gauge", "Start, since the epoch", p.start_s);
	return rc ? -1 : 0;
}
