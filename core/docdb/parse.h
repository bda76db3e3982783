/* SPDX-License-Identifier: MIT
 *
 * parse: what the files that check tasks share; nobody else includes it.
 */
#ifndef SRVTHREDS_DOCDB_PARSE_H
#define SRVTHREDS_DOCDB_PARSE_H

#include "docdb/tree.h"
#include "json/json.h"

/* Where in the tasks we are: a list on the stack, written out only for a message. */
struct place {
	const struct place *up;
	const char *key; /* NULL: `index` */
	size_t len;
	size_t index;
};

struct parse {
	const struct json_tree *tree;
	struct request *request;
	const struct docdb_options *options;
	struct docdb_failure *failure;
	struct buf scratch;
	uint64_t made; /* ids */
	uint64_t seed[2];
	bool seeded;
	const struct unit *within; /* a script's tasks: the unit that it belongs to, and the type of its task */
	struct bytes type;
};

/* "PLACE: what is wrong"; returns -1. */
int parse_refuse(struct parse *p, const struct place *at, int code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* Refuses the operator `key`, naming the nearest of those that are known (a list ending in NULL). */
int parse_unknown(struct parse *p, const struct place *at, struct bytes key, const char *const *known);

static inline const struct json_node *parse_node(const struct parse *p, uint32_t node)
{
	return &p->tree->nodes[node];
}
/* Of each name the value's node in the object, 0 if it isn't there. */
void parse_members(const struct parse *p, uint32_t object, const struct bytes *names, size_t count, uint32_t *nodes);
struct bytes parse_text(struct parse *p, uint32_t node);   /* of a string node, in the arena, NUL behind it */
struct bytes parse_glance(struct parse *p, uint32_t node); /* the same, borrowed from the tasks if it can be */
static inline bool parse_is(struct bytes text, const char *word)
{
	return text.len == strlen(word) && memcmp(text.data, word, text.len) == 0;
}
#define PARSE_WORD(text)                                                                                               \
	{                                                                                                              \
		(text), sizeof(text) - 1                                                                               \
	} /* struct bytes */
static inline bool parse_same(struct bytes a, struct bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}
const char *parse_kind(const struct parse *p, uint32_t node); /* "a number", for messages */

/* Children of an object: for (at = node + 1; at < end; at = next of at + 1). */
bool parse_has_operators(const struct parse *p, uint32_t object);
bool parse_is_date(const struct parse *p, uint32_t node);

/* A value without operators, in the arena. */
int parse_value(struct parse *p, const struct place *at, uint32_t node, struct value *v);
/* The same, appended under a name. */
int parse_add(struct parse *p, const struct place *at, uint32_t node, struct buf *b, const char *name, size_t len);

/* `own`: a path of the document itself, whose id is _id. */
const struct path *parse_path(struct parse *p, const struct place *at, struct bytes text, bool own);
int path_compare(const struct path *a, const struct path *b); /* numbers before and by value, then by name */
bool path_begins(const struct path *path, const struct path *with);

struct match *parse_matcher(struct parse *p, const struct place *at, uint32_t node, bool own);
/* Operators about what `path` leads to (NULL: the element itself). */
struct match *parse_operators(struct parse *p, const struct place *at, uint32_t node, const struct path *path);
int parse_updates(struct parse *p, const struct place *at, uint32_t node, struct task *task);
int parse_select(struct parse *p, const struct place *at, uint32_t node, struct task *task);
int parse_collect(struct parse *p, const struct place *at, uint32_t node, struct task *task);
int parse_documents(struct parse *p, const struct place *at, uint32_t node, struct task *task);
struct bytes parse_make_id(struct parse *p);
void parse_random(uint64_t random[2]);
int parse_run(struct parse *p, const struct place *at, uint32_t params, struct task *task);
/* That of `known` (a list ending in NULL) which `key` may have been meant to be, or NULL. */
const char *parse_nearest(struct bytes key, const char *const *known);
/* Only with options->view: is it one of its collections, and not to be written to? */
int parse_viewed(struct parse *p, const struct place *at, const struct task *task, bool writes);

#endif
