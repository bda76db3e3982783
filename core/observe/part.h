/* SPDX-License-Identifier: MIT
 *
 * part: what the files of observe/ share.
 */
#ifndef SRVTHREDS_OBSERVE_PART_H
#define SRVTHREDS_OBSERVE_PART_H

#include <stdatomic.h>

#include "observe/observe.h"

#define METRIC_LABELS  3
#define METRIC_BUCKETS 16

/* A line about to be written; fields are sorted, keys of the line's own removed. */
struct log_line {
	int64_t now;
	enum log_level level;
	const char *service, *instance, *module, *msg;
	const struct log_field *fields;
	size_t n;
	bool colour;
};
/* Append the line with its end; -1: memory. */
int log_format_json(struct buf *out, const struct log_line *line);
int log_format_people(struct buf *out, const struct log_line *line);

/* The thread that writes. sink_put never waits for it. */
struct sink;
struct sink *sink_new(int fd);
void sink_put(struct sink *s, const struct buf *line, bool important);
bool sink_flush(struct sink *s, int timeout_ms);
void sink_free(struct sink *s, int timeout_ms);
/* How many lines were dropped since this was asked last. */
uint64_t sink_dropped(struct sink *s);

enum metric_kind { METRIC_KIND_COUNTER, METRIC_KIND_GAUGE, METRIC_KIND_HISTOGRAM };
struct metric_class {
	enum metric_kind kind;
	const char *name, *labels, *help;
	size_t cap, n_labels;
};
const struct metric_class *metric_class(enum metric metric);
const double *metric_bounds(void); /* upper bounds of the buckets, METRIC_BUCKETS of them; +Inf follows */

int metrics_process_text(struct buf *out);

#endif
