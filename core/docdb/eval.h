/* SPDX-License-Identifier: MIT
 *
 * eval: matchers, updates, projections and sort keys over documents, as MongoDB does them; for dialects whose database
 * doesn't. Pure but for the clock, any thread.
 */
#ifndef SRVTHREDS_DOCDB_EVAL_H
#define SRVTHREDS_DOCDB_EVAL_H

#include "docdb/tree.h"

/* What regexes may take of one task, all documents together. */
#define EVAL_REGEX_NS 600000000u

struct eval {
	uint64_t regex_ns;  /* used so far */
	struct error error; /* of what returned -1 */
};

/* 1, 0, or -1 (a regex took too long). */
int eval_match(struct eval *ev, const struct match *m, const char *document);
int eval_match_value(struct eval *ev, const struct match *m, struct value v); /* v stands for the document */

/* What a path leads to, as a matcher sees it: elements of arrays, then the array if `traverse`; type 0 where a document
 * lacks it. Ends when fn returns something other than 0, with that. */
int eval_walk(const struct path *path, struct value document, bool traverse, int (*fn)(void *arg, struct value v),
	      void *arg);

/* Appends the bytes by which the document sorts. -1 with ev->error: two arrays side by side, or no memory. */
int eval_sort_key(struct eval *ev, const struct sort *sort, size_t count, const char *document, struct buf *out);

/* The document after the updates (an insert: from `document` NULL, with the matcher's equalities), appended to `out`.
 * -1 with ev->error when a value doesn't allow it. */
int eval_update(struct eval *ev, const struct task *task, const char *document, int64_t now, struct buf *out);
/* The same for replace: created is kept. */
int eval_replace(struct eval *ev, const struct task *task, const char *document, int64_t now, struct buf *out);

/* Appends the document as JSON, with what the selector leaves of it. -1: no memory. */
int eval_project(const struct task *task, const char *document, struct buf *out);

#endif
