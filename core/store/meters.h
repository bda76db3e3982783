/* SPDX-License-Identifier: MIT
 *
 * meters: what a backend of the store tells the metrics; for backends only. A step costs two looks at the clock and series
 * that are at hand: nothing is allocated or locked. Without metrics every call does nothing. Loop thread, but
 * meters_committed, which the writer calls.
 */
#ifndef SRVTHREDS_STORE_METERS_H
#define SRVTHREDS_STORE_METERS_H

#include "observe/observe.h"
#include "store/dict.h"

enum { METERS_PLACES = 256 };

struct meters {
	struct metrics *metrics; /* borrowed; NULL = none, and nothing else is set */
	struct metrics_series *lock_wait, *timers, *timer_lag, *commit, *refused;
	/* The series of a pattern and a reaction, by the numbers of their words: who comes to a place takes it over. */
	struct {
		int64_t pattern, reaction;
		struct metrics_series *series; /* NULL: free */
	} steps[METERS_PLACES];
};

void meters_init(struct meters *m, struct metrics *metrics, const char *backend); /* copied */
void meters_forget(struct meters *m); /* before the numbers of words are given anew */

uint64_t meters_now(const struct meters *m);             /* ns of a steady clock; 0 without metrics */
void meters_locked(struct meters *m, uint64_t asked_at); /* 0: it didn't wait */
void meters_step(struct meters *m, const struct dict *words, int64_t pattern, int64_t reaction, uint64_t locked_at);
void meters_refused(struct meters *m); /* a commit */
void meters_timers(struct meters *m, size_t pending);
void meters_fired(struct meters *m, int64_t late_ms);
void meters_committed(struct meters *m, uint64_t begun_at); /* any thread */

#endif
