/* SPDX-License-Identifier: MIT
 *
 * What the files of the string library share.
 */
#ifndef SRVTHREDS_SCRIPT_STRINGS_H
#define SRVTHREDS_SCRIPT_STRINGS_H

#include <string.h>

#include "script/docs.h"
#include "script/private.h"

extern const luaL_Reg script_find_functions[];
/* strings_long.c: those that are the stock functions but for the clock. */
int script_upper(lua_State *L);
int script_lower(lua_State *L);
int script_utf8_len(lua_State *L); /* upvalue 1 is the stock one */
/* string.format; upvalue 1 is the stock one. */
int script_format(lua_State *L);

/* luaL_addlstring, for what is mostly short: without a call where there is room. */
static inline void script_add(luaL_Buffer *b, const char *text, size_t len)
{
	if (b->size - b->n < len) {
		luaL_addlstring(b, text, len);
		return;
	}
	memcpy(b->b + b->n, text, len);
	b->n += len;
}

/* Raises if a script would get a text of `len` bytes, which is more than our functions build for it. */
static inline void script_check_text(lua_State *L, const struct script *s, const char *who, size_t len)
{
	if (len > STRING_MAX && script_metered(s))
		luaL_error(L, "%s: a text of %I KiB is longer than the limit of %d", who, (LUAI_UACINT)(len >> 10),
			   (int)(STRING_MAX >> 10));
}

/* Raises if a script would get `n` values at once. */
static inline void script_check_values(lua_State *L, const struct script *s, const char *who, lua_Integer n)
{
	if (n > VALUES_MAX && script_metered(s))
		luaL_error(L, "%s: %I values are more than the limit of %d", who, (LUAI_UACINT)n, VALUES_MAX);
}

static inline bool script_is_table(lua_State *L, int index)
{
	return lua_type(L, index) == LUA_TTABLE || script_is_doc(L, index);
}

#endif
