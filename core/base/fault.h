/* SPDX-License-Identifier: MIT
 *
 * fault: named points at which a debug build ends the process as a kill -9 would.
 *   SRVTHREDS_FAIL=point:n     at the n-th passage of the point
 *   SRVTHREDS_FAULT_FSYNC=n    the n-th sync of the store fails (store/)
 *   SRVTHREDS_FAULT_SKEW_MS=n  the clock of the process is n ms off (cli/)
 *   SRVTHREDS_FAULT_STUCK=n    at the n-th interruption a script is stuck where nothing can interrupt it (script/)
 *   SRVTHREDS_GC=n             all garbage is collected with each n new Lua objects (script/)
 * Compiled in only with SRVTHREDS_FAULTS; any thread.
 */
#ifndef SRVTHREDS_FAULT_H
#define SRVTHREDS_FAULT_H

#define FAULT_POINTS(X)                                                                                                \
	X(after_consume)                                                                                               \
	X(after_lock_and_load)                                                                                         \
	X(after_lua)                                                                                                   \
	X(before_commit)                                                                                               \
	X(mid_batch)                                                                                                   \
	X(after_commit)                                                                                                \
	X(docdb_before_commit)                                                                                         \
	X(docdb_after_commit)                                                                                          \
	X(docdb_in_run)                                                                                                \
	X(after_each_publish)                                                                                          \
	X(after_all_confirms)                                                                                          \
	X(before_ack)                                                                                                  \
	X(after_ack)

enum fault_point {
#define X(name) FAULT_##name,
	FAULT_POINTS(X)
#undef X
		FAULT_COUNT
};

#ifdef SRVTHREDS_FAULTS
void fault_pass(enum fault_point point);
/* The number in the environment variable, 0 if none. */
int fault_number(const char *variable);
#define FAULT(name) fault_pass(FAULT_##name)
#else
#define FAULT(name) ((void)0)
#endif

#endif
