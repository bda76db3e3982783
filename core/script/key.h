/* SPDX-License-Identifier: MIT
 *
 * Values that have an order: integers, then texts by bytes, then floats, then booleans.
 */
#ifndef SRVTHREDS_SCRIPT_KEY_H
#define SRVTHREDS_SCRIPT_KEY_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

struct key {
	enum { KEY_INTEGER, KEY_STRING, KEY_FLOAT, KEY_BOOLEAN } rank;
	int place; /* where it was found */
	size_t len;
	union {
		lua_Integer integer;
		lua_Number number;
		const char *text; /* borrowed from the Lua value */
	};
};

/* Raises for a value of another kind. */
struct key script_key_at(lua_State *L, int index);
int script_key_compare(const struct key *a, const struct key *b);
/* Stable; for those of which most are in place, as in a table that a constructor made. */
void script_key_sort_few(struct key *keys, size_t n);

/* A stable sort that can stop between two of its pieces and go on later. */
struct key_sort {
	size_t n;            /* may be lowered before the first piece */
	size_t width, start; /* of the runs that are sorted; of the next two to merge */
	struct key *from, *to;
	struct key keys[]; /* n, and as much room again */
};

/* Pushes a userdata with room for n keys, to be filled in from[0…n-1]. */
struct key_sort *script_key_sort_new(lua_State *L, size_t n);
/* Sorts a piece; true when all is done: the keys stand in from[] then. Raises when the script is over its limits. */
bool script_key_sort_piece(lua_State *L, struct key_sort *sort);

#endif
