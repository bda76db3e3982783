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
/* Has each node a key, as in a table that grows? A removed one stands there as well; none becomes nil again. */
bool script_nodes_full(const struct table *t);
/* What Lua does when it moves the keys of a table. */
struct moving {
	uint64_t steps, keys; /* along chains, in all */
};
/* Into `room` nodes; nothing if so many keys wouldn't get these. */
struct moving script_growth(const struct table *t, size_t room);
/* The same when the nodes become no more; only its array grows. */
struct moving script_rebuild(const struct table *t);

#endif
