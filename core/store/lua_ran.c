/* SPDX-License-Identifier: MIT */
#include "store/lua_store.h"

static void set_text(lua_State *L, const char *key, const char *field, size_t size)
{
	if (!ran_text(field, size))
		return;
	lua_pushstring(L, field);
	lua_setfield(L, -2, key);
}

void lua_ran_push(lua_State *L, const struct ran *ran)
{
	lua_createtable(L, 0, 7);
	set_text(L, "pattern", ran->pattern, sizeof ran->pattern);
	set_text(L, "reaction", ran->reaction, sizeof ran->reaction);
	set_text(L, "version", ran->version, sizeof ran->version);
	set_text(L, "why", ran->why, sizeof ran->why);
	lua_pushboolean(L, ran->state == RAN_INSIDE);
	lua_setfield(L, -2, "inside");
	if (!ran->line || ran->line > INT32_MAX)
		return;
	set_text(L, "file", ran->file, sizeof ran->file);
	lua_pushinteger(L, ran->line);
	lua_setfield(L, -2, "line");
}
