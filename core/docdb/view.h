/* SPDX-License-Identifier: MIT
 *
 * view: a read-only dialect over what somebody else keeps. A provider makes the documents as they are read and narrows by
 * the keys that a collection declares; matching, sorting and projecting are the same as everywhere. One query at a time.
 *
 *   docdb                                     provider
 *   start(arg, query)         loop thread  →  looks at query->keys, begins to read
 *   view_document(query, d)   any thread   ←  each candidate, one thread at a time; more than what is asked for is no harm
 *   view_done(query, e)       loop thread  ←  once, never from within start
 */
#ifndef SRVTHREDS_DOCDB_VIEW_H
#define SRVTHREDS_DOCDB_VIEW_H

#include "docdb/docdb.h"

enum { VIEW_KEYS = 6 };

struct view_collection {
	const char *name;
	const char *keys[VIEW_KEYS + 1]; /* paths that narrow; ends with NULL */
	const char *order;               /* the field by which it can be read in order; NULL: none */
	const char *change;              /* for the error of who would write: what changes it instead */
};

/* What the matcher surely asks of the field; nothing where count is 0 and both ends are missing. */
struct view_key {
	const struct value *values; /* it is one of these texts */
	size_t count;
	struct value low, high; /* it is a date between; both ends belong to it; type 0: open */
};

struct view_query {
	const struct view_collection *collection;
	struct view_key keys[VIEW_KEYS]; /* as the collection's; borrowed until view_done */
	int order;                       /* asked for by `order`: 1 upward, -1 downward, 0 not */
	bool ordered;                    /* set by start: the documents come in that order */
	void *state;                     /* the provider's */
};

struct docdb_view {
	void *arg;
	const struct view_collection *collections;
	size_t count;
	void (*start)(void *arg, struct view_query *query);
	void (*close)(void *arg); /* after the last view_done */
};

/* False: no more is wanted. NULL: no document, but is more wanted? */
bool view_document(struct view_query *query, const char *document);
void view_done(struct view_query *query, const struct error *e);

#endif
