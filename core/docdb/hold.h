/* SPDX-License-Identifier: MIT
 *
 * hold: units with scripts. One is a transaction that a dialect keeps open (class.h) while a script on the loop thread
 * decides what is done in it. Here is who decides what comes next; docdb.c and hold.c only. Loop thread.
 */
#ifndef SRVTHREDS_DOCDB_HOLD_H
#define SRVTHREDS_DOCDB_HOLD_H

#include <stdarg.h>

#include "docdb/class.h"

/* Of one docdb: which scripts there are, who runs them, the units that are held. */
struct holds {
	struct runtime *rt;                  /* borrowed, as the options */
	const struct docdb_options *options; /* of the docdb */
	struct dialect **hosts;              /* of the docdb */
	char **names;                        /* owned; NULL behind the last */
	docdb_start start;
	void *arg;
	struct hold *first;
	bool closing;
};

void holds_scripts(struct holds *all, const char *const *names, size_t count);
/* Refuses a request for a script that isn't there or that can't run there: -1 with `failure`. */
int holds_check(const struct holds *all, const struct request *r, struct docdb_failure *failure);

/* Does the unit job->from, which has scripts; job_done(job) when it is over, with job->hold NULL again. */
void hold_unit(struct holds *all, struct dialect *d, struct job *job);
/* The dialect has done what it was asked. */
void hold_done(struct hold *h);
/* Sets it unless it is set. docdb.c */
void failure_set(struct docdb_failure *f, const struct task *task, int code, const char *format, va_list args);
/* The dialects are closed: ends the units that wait for a script. */
void holds_close(struct holds *all);

#endif
