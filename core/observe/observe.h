/* SPDX-License-Identifier: MIT
 *
 * observe: log lines and metrics. Every function may be called on any thread; none waits for the disk or the terminal.
 *
 *   log_write(log, LOG_LEVEL_WARN, "store", "the disk is full",
 *             (struct log_field[]){LOG_TEXT("path", path), LOG_INT("free_bytes", n), {0}});
 *   metrics_add(metrics_series(m, METRIC_COMMITS_REFUSED, NULL), 1);
 */
#ifndef SRVTHREDS_OBSERVE_H
#define SRVTHREDS_OBSERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "observe/metrics_table.h"

struct log;
struct lua_State;

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_AUTO, LOG_FOR_PEOPLE, LOG_JSON }; /* auto: for people on a terminal, JSON lines otherwise */
enum log_kind { LOG_KIND_TEXT, LOG_KIND_INT, LOG_KIND_FLOAT, LOG_KIND_BOOL };

struct log_options {
	int fd; /* borrowed; written by a thread of the log's own */
	enum log_format format;
	enum log_level level;
	const char *service, *instance; /* in every line; may be NULL; copied */
	int64_t (*now)(void *arg);      /* ms since epoch, callable on any thread; NULL: the wall clock */
	void *arg;
};

/* A list of fields ends with one without a key. Keys as in the operations page; units in names (duration_s). */
struct log_field {
	const char *key;
	enum log_kind kind;
	size_t len; /* of a text; 0: up to its NUL */
	union {
		const char *text;
		int64_t integer; /* and bool */
		double number;
	};
};
#define LOG_TEXT(k, v)                                                                                                 \
	{                                                                                                              \
		.key = (k), .kind = LOG_KIND_TEXT, .text = (v)                                                         \
	}
#define LOG_INT(k, v)                                                                                                  \
	{                                                                                                              \
		.key = (k), .kind = LOG_KIND_INT, .integer = (v)                                                       \
	}
#define LOG_FLOAT(k, v)                                                                                                \
	{                                                                                                              \
		.key = (k), .kind = LOG_KIND_FLOAT, .number = (v)                                                      \
	}
#define LOG_BOOL(k, v)                                                                                                 \
	{                                                                                                              \
		.key = (k), .kind = LOG_KIND_BOOL, .integer = (v)                                                      \
	}

struct log *log_new(const struct log_options *options, struct error *e);
void log_free(struct log *log); /* writes what is pending, for 2 s at most */
/* What the configuration says comes later than the first lines: takes format, service and instance (NULL: as they are). */
void log_configure(struct log *log, enum log_format format, const char *service, const char *instance);
/* Waits until all that was logged before is written; false after `timeout_ms`. Before an abort. */
bool log_flush(struct log *log, int timeout_ms);

/* `module` NULL: the level of all modules that have none of their own. -1 with `e` for an unknown name. */
const char *log_level_name(enum log_level level);
int log_level_named(const char *name, enum log_level *level, struct error *e);
int log_set_level(struct log *log, const char *module, enum log_level level, struct error *e);
enum log_level log_level_of(struct log *log, const char *module);
void log_reset_levels(struct log *log, enum log_level level); /* of all modules: none has its own any more */
int log_levels(struct log *log, struct buf *out);             /* adds "info,store=debug"; -1: no memory */
bool log_wants(struct log *log, const char *module, enum log_level level);

/* One line. `module` and `fields` may be NULL. When whoever reads the log stands still, lines are dropped and counted. */
void log_write(struct log *log, enum log_level level, const char *module, const char *msg,
	       const struct log_field *fields);

struct metrics;
struct metrics_series; /* one metric with its label values; lives as long as the metrics */

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);
/* `values`: as many as the metric has labels, NULL if none. Beyond the metric's cap every value becomes "other". */
struct metrics_series *metrics_series(struct metrics *m, enum metric metric, const char *const *values);
void metrics_add(struct metrics_series *s, double n);           /* counters (n >= 0), gauges */
void metrics_set(struct metrics_series *s, double value);       /* gauges */
void metrics_observe(struct metrics_series *s, double seconds); /* histograms */
void metrics_hide(struct metrics_series *s);                    /* not shown until it is changed again */
/* Appends the Prometheus text, with process_*. -1: memory. */
int metrics_text(struct metrics *m, struct buf *out);

/* Which log and metrics core.log and core.metrics of this state use; they must outlive it. Unbound, they make their own
 * (stderr, info), closed with the state. */
void observe_bind(struct lua_State *L, struct log *log, struct metrics *metrics);
/* The state's own: made if none is bound; what they return outlives the state's Lua code, and what was opened since. */
struct log *observe_log(struct lua_State *L);
struct metrics *observe_metrics(struct lua_State *L);
int luaopen_core_log(struct lua_State *L);
int luaopen_core_metrics(struct lua_State *L);

#endif
