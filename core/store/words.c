/* SPDX-License-Identifier: MIT
 *
 * The model's words and their numbers on disk.
 */
#include <string.h>

#include "store/store.h"

static const char *const outcomes[] = {
#define X(name, text) text,
	STORE_OUTCOMES(X)
#undef X
};
enum { OUTCOMES = sizeof outcomes / sizeof *outcomes };

static const char *const statuses[] = {NULL, "active", "finished", "terminated"};

static bool same(struct span a, const char *b)
{
	return strlen(b) == a.len && memcmp(a.data, b, a.len) == 0;
}

const char *outcome_name(int outcome)
{
	return outcome >= 0 && outcome < OUTCOMES ? outcomes[outcome] : NULL;
}

int outcome_number(struct span name)
{
	for (int i = 0; name.data && i < OUTCOMES; i++)
		if (same(name, outcomes[i]))
			return i;
	return OUTCOME_NONE;
}

const char *status_name(int status)
{
	return status >= THRED_ACTIVE && status <= THRED_TERMINATED ? statuses[status] : NULL;
}

int status_number(struct span name)
{
	for (int i = THRED_ACTIVE; name.data && i <= THRED_TERMINATED; i++)
		if (same(name, statuses[i]))
			return i;
	return 0;
}
