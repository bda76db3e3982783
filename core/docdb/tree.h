/* SPDX-License-Identifier: MIT
 *
 * tree: tasks after they were checked, for the dialects. Everything lives in the request's arena and is read-only but for
 * the regexes, which belong to one thread at a time. Field paths are the database's: the document's own id is _id.
 */
#ifndef SRVTHREDS_DOCDB_TREE_H
#define SRVTHREDS_DOCDB_TREE_H

#include "docdb/docdb.h"
#include "docdb/mem.h"
#include "json/json.h"
#include "regex/regex.h"

enum { PATH_PARTS = 64 };

struct path_part {
	struct bytes name;
	int32_t index; /* the number that it is, else -1 */
};

struct path {
	struct bytes text; /* NUL behind it */
	struct path_part *parts;
	uint32_t count;
};

enum match_kind {
	MATCH_AND, /* of its children; without: everything */
	MATCH_OR,
	MATCH_NOT, /* none of its children */
	MATCH_NEVER,
	MATCH_EQ, /* from here on: with a path, or about the element itself ($elem with operators, $remove) */
	MATCH_LT,
	MATCH_LTE,
	MATCH_GT,
	MATCH_GTE,
	MATCH_IN, /* one of `values`, in order, or one of the children, which are MATCH_RE */
	MATCH_RE,
	MATCH_EXISTS,    /* `number` 1 or 0 */
	MATCH_SIZE,      /* `number` */
	MATCH_ELEM,      /* an element that is an object for which the children, as for a document, hold */
	MATCH_ELEM_VALUE /* an element for which the children hold: about the element itself */
};

struct match {
	enum match_kind kind;
	const struct path *path;       /* NULL: the element itself, or a kind without */
	struct match *children, *next; /* a list */
	struct value value;
	struct value *values; /* MATCH_IN: in value_compare's order, none twice */
	size_t count;
	int64_t number;
	struct regex *regex; /* caseless, over all of Unicode; its source by regex_source */
};

/* In the order in which they are done: by path, as MongoDB does. */
enum update_kind {
	UPDATE_SET,
	UPDATE_SET_ON_INSERT,
	UPDATE_UNSET,
	UPDATE_INC,
	UPDATE_MUL,
	UPDATE_MIN,
	UPDATE_MAX,
	UPDATE_ADD, /* $addToSet */
	UPDATE_PUSH,
	UPDATE_PULL, /* see pull_kind */
	UPDATE_NOW
};

enum pull_kind {
	PULL_EQUAL, /* elements equal to `value` */
	PULL_WHERE, /* elements for which `pull` holds: its paths have no parts, the element is looked at as a field */
	PULL_DOCUMENTS /* elements that are objects for which `pull`, a matcher, holds */
};

struct update {
	enum update_kind kind;
	const struct path *path;
	struct value value;
	struct match *pull;
	enum pull_kind pull_kind;
	struct update *next;
};

/* A projection as a tree of names. */
struct pick {
	struct bytes name;
	struct pick *children, *next;
	bool whole; /* the field itself, not some below it */
};

struct sort {
	const struct path *path;
	bool down;
};

enum task_op {
	TASK_PUT,
	TASK_GET_ONE,
	TASK_GET,
	TASK_UPDATE,
	TASK_UPSERT,
	TASK_REPLACE,
	TASK_DELETE,
	TASK_COUNT,
	TASK_RUN, /* a script: hold.c's, never a dialect's */
	TASK_OPS
};

struct task {
	enum task_op op;
	int item, inner; /* as in docdb_failure */
	struct bytes name, type;
	struct match *match;    /* never NULL but for put */
	const char **documents; /* put: whole, with _id first, created and modified last; replace: one, without these */
	size_t document_count;
	bool list;              /* put: the values were a list */
	struct bytes made_id;   /* upsert, replace: the id if neither the matcher nor the values say one */
	struct bytes values_id; /* replace: the id that the values say */
	struct update *updates; /* update, upsert; with modified, and created (on insert) */
	struct pick *pick;      /* NULL: all fields */
	bool pick_exclude, drop_id;
	const struct sort *sort;
	size_t sort_count;
	int64_t skip, limit;       /* limit 0 = none */
	struct bytes script, args; /* run: its name; JSON */
};

/* One transaction. */
struct unit {
	struct task *tasks;
	size_t count;
	bool nested, writes;
	bool runs; /* has scripts: to be held */
	size_t host;
	struct bytes database;
};

struct request {
	struct mem mem; /* owns everything below */
	struct unit *units;
	size_t count;
	bool runs;   /* one of the units does */
	int64_t now; /* ms: the stamps */
	unsigned char mark[16];
	bool marked;
	uint64_t deadline;      /* uv_hrtime */
	struct regex **regexes; /* to be freed */
	size_t regex_count;
	alignas(max_align_t) char room[]; /* where `mem` begins */
};

/* Memory that the check of one request leaves to the next, on one thread; {0} to begin with. */
struct parse_room {
	struct json_tape tape;
	struct buf scratch;
};
void parse_room_free(struct parse_room *room);

/* Checks the tasks. NULL with `failure` set; free with request_free. `room` may be NULL. */
struct request *request_parse(const struct docdb_options *options, const struct docdb_request *from, int64_t now,
			      struct parse_room *room, struct docdb_failure *failure);
void request_free(struct request *r);
/* Tasks of a script: in the host and database of `task`, one of `unit`, with its `type` unless they say another one, and
 * with the time of `outer`. `made` counts the ids that were made. */
struct request *request_parse_within(const struct docdb_options *options, const struct request *outer,
				     const struct unit *unit, const struct task *task, struct bytes tasks,
				     uint64_t *made, struct docdb_failure *failure);

/* The equalities of a matcher that a new document begins with: calls fn for each path and value. */
void match_equalities(const struct match *m, void (*fn)(void *arg, const struct path *path, struct value v), void *arg);
bool path_is_id(const struct path *path);
/* The id that the matcher asks for by equality, type 0 if none. */
struct value match_id(const struct match *m);

#endif
