/* SPDX-License-Identifier: MIT
 *
 * metrics_table: every metric, once. Name without the prefix srvthreds_; labels separated by commas; cap = how many
 * combinations of label values are kept apart.
 */
#ifndef SRVTHREDS_METRICS_TABLE_H
#define SRVTHREDS_METRICS_TABLE_H

#define METRICS(X)                                                                                                     \
	X(EVENTS_RECEIVED, COUNTER, "events_received_total", "type", 100, "Events accepted")                           \
	X(EVENTS_REFUSED, COUNTER, "events_refused_total", "", 1, "Events refused at the edge, never queued")          \
	X(EVENTS_PROCESSED, COUNTER, "events_processed_total", "outcome", 32, "Events processed, by outcome")          \
	X(EVENT_LATENCY, HISTOGRAM, "event_latency_seconds", "", 1, "From accepted to committed")                      \
	X(STEP_DURATION, HISTOGRAM, "step_duration_seconds", "pattern,reaction", 200, "A step, lock to commit")        \
	X(THREDS, GAUGE, "threds", "pattern,reaction", 1000, "Live threds")                                            \
	X(THRED_WAIT_AGE, GAUGE, "thred_wait_age_seconds_max", "pattern,reaction", 1000,                               \
	  "The longest that a live thred has been in its reaction")                                                    \
	X(LOCK_WAIT, HISTOGRAM, "lock_wait_seconds", "", 1, "Waiting for a thred's lock")                              \
	X(TIMERS_PENDING, GAUGE, "timers_pending", "", 1, "Timers that have not fired")                                \
	X(TIMER_LAG, HISTOGRAM, "timer_lag_seconds", "", 1, "How late timers fire")                                    \
	X(QUEUE_MESSAGES, GAUGE, "queue_messages", "queue", 100, "Messages not settled")                               \
	X(QUEUE_OLDEST_AGE, GAUGE, "queue_oldest_age_seconds", "", 1, "Age of the oldest message not settled")         \
	X(DEAD_LETTERS, GAUGE, "dead_letters", "", 1, "Dead letters waiting for somebody")                             \
	X(STORE_COMMIT, HISTOGRAM, "store_commit_seconds", "backend", 8, "A commit of the store")                      \
	X(COMMITS_REFUSED, COUNTER, "commits_refused_total", "", 1, "Commits refused to holders of a lost lock")       \
	X(SESSIONS, GAUGE, "sessions", "", 1, "Open sessions of participants")                                         \
	X(SEND_QUEUE, GAUGE, "session_send_queue_bytes", "", 1, "Bytes waiting to be sent to sessions")                \
	X(PATTERN_RELOADS, COUNTER, "pattern_reloads_total", "result", 8, "Reloads of pattern files, by result")       \
	X(PATTERN_INFO, GAUGE, "pattern_info", "pattern,version", 1000, "1 for each active version of a pattern")      \
	X(LUA_MEMORY, GAUGE, "lua_memory_bytes", "", 1, "Memory held by Lua")                                          \
	X(BUDGET_EXCEEDED, COUNTER, "script_budget_exceeded_total", "pattern,reaction,kind", 1000,                     \
	  "Scripts stopped by their limits of cpu, wall, memory or stack")                                             \
	X(PATTERNS_PAUSED, GAUGE, "patterns_paused", "", 1, "Patterns that are paused")                                \
	X(AGENTS_PAUSED, GAUGE, "agents_paused", "", 1, "Agents that are paused")                                      \
	X(AGENT_WAITING, GAUGE, "agent_messages_waiting", "agent", 200, "Messages that wait for a paused agent")       \
	X(PATTERN_WAITING, GAUGE, "pattern_events_waiting", "pattern", 200, "Events that wait for a paused pattern")   \
	X(HEAP, GAUGE, "heap_bytes", "", 1, "Memory that the process has allocated, of Lua and all else")              \
	X(QUEUE_BYTES, GAUGE, "queue_bytes", "", 1, "Memory of events that are not processed yet")                     \
	X(MEMORY_PRESSURE, GAUGE, "memory_pressure", "", 1, "1 while accepting waits for memory")                      \
	X(BUILD_INFO, GAUGE, "build_info", "version,revision", 4, "1, with what was built")

enum metric {
#define X(name, kind, text, labels, cap, help) METRIC_##name,
	METRICS(X)
#undef X
		METRIC_COUNT
};

#endif
