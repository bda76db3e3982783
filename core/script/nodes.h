/* SPDX-License-Identifier: MIT
 *
 * Lua's tables as they lie in memory: lobject.h of Lua 5.4. collide.c checks at the start that this Lua has them so.
 */
#ifndef SRVTHREDS_SCRIPT_NODES_H
#define SRVTHREDS_SCRIPT_NODES_H

#include "script/private.h"

struct value {
	uint64_t bits;
	uint8_t type;
};

struct node {
	uint64_t value;
	uint8_t type, key_type;
	int32_t next;
	union {
		uint64_t integer;
		double number;
		const struct text *text;
	} key;
};

struct text {
	void *next;
	uint8_t type, marked, extra, len;
	uint32_t hash;
};

struct table {
	void *next;
	uint8_t type, marked, flags, log_nodes;
	uint32_t array_len; /* while the table grows: of the whole array */
	const struct value *array;
	const struct node *nodes;
};

/* Where a key belongs among `size` nodes. */
uint32_t script_place_of(const struct node *n, uint32_t size);
/* What is counted of a table first. */
struct census {
	uint64_t keys, chosen; /* of these: all but texts, whose places have a seed */
	uint64_t below[32];    /* integers up to 2^i */
};
/* False: a node has no key yet, so that the table doesn't grow. A removed key stands there as well; none becomes nil. */
bool script_census(const struct table *t, struct census *c);
/* Steps along chains that nobody minds where `keys` move to `room` nodes. */
uint64_t script_steps_free(size_t room, uint64_t keys);
/* Surely no more than these? Takes a fraction of the time of the move. */
bool script_harmless(const struct table *t, const struct census *c, size_t room);
/* What Lua does when it moves the keys of a table. */
struct moving {
	uint64_t steps, keys; /* along chains, in all */
};
/* Into `room` nodes; nothing if so many keys wouldn't get these. */
struct moving script_growth(const struct table *t, const struct census *c, size_t room);
/* The same when the nodes become no more; only its array grows. */
struct moving script_rebuild(const struct table *t);

#endif
