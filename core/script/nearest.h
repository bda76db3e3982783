/* SPDX-License-Identifier: MIT
 *
 * The nearest of several names, for messages. Start with a zeroed struct; `name` stays "" if none is near. Pure.
 */
#ifndef SRVTHREDS_SCRIPT_NEAREST_H
#define SRVTHREDS_SCRIPT_NEAREST_H

struct nearest {
	char name[48];
	int distance;
};

void nearest_try(struct nearest *best, const char *wanted, const char *name);

#endif
