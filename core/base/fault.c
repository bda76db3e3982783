/* SPDX-License-Identifier: MIT */
#include "base/fault.h"

#ifdef SRVTHREDS_FAULTS

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* The one place with a static: the points are of the process, as its death is. */
static atomic_int passages[FAULT_COUNT];

static const char *const names[] = {
#define X(name) #name,
	FAULT_POINTS(X)
#undef X
};

void fault_pass(enum fault_point point)
{
	const char *wanted = getenv("SRVTHREDS_FAIL");
	if (!wanted)
		return;
	size_t len = strlen(names[point]);
	if (strncmp(wanted, names[point], len) != 0 || wanted[len] != ':')
		return;
	if (atomic_fetch_add(&passages[point], 1) + 1 == atoi(wanted + len + 1))
		raise(SIGKILL);
}

int fault_number(const char *variable)
{
	const char *value = getenv(variable);
	return value ? atoi(value) : 0;
}

#else

/* ISO C wants a declaration in every file. */
typedef int fault_is_off;

#endif
