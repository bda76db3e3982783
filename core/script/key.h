/* SPDX-License-Identifier: MIT
 *
 * Values that have an order: integers, then texts by bytes, then floats, then booleans.
 */
#ifndef SRVTHREDS_SCRIPT_KEY_H
#define SRVTHREDS_SCRIPT_KEY_H

#include <lua.h>
#include <stddef.h>

struct key {
	enum { KEY_INTEGER, KEY_STRING, KEY_FLOAT, KEY_BOOLEAN } rank;
	int place; /* where it was found; orders what is equal otherwise */
	size_t len;
	union {
		lua_Integer integer;
		lua_Number number;
		const char *text; /* borrowed from the Lua value */
	};
};

/* Raises for a value of another kind. */
struct key script_key_at(lua_State *L, int index);
/* For qsort. */
int script_key_compare(const void *left, const void *right);

#endif
