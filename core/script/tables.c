/* SPDX-License-Identifier: MIT
 *
 * The table library for scripts: like the stock one, over documents and read-only tables as well, and looking at the
 * clock while it works.
 */
#include "script/sort.h"
#include "script/strings.h"

/* Which argument of remove the stock function blames. */
#define REMOVE_PLACE (LUA_VERSION_RELEASE_NUM >= 50406 ? 2 : 1)

/* A table, or what stands in for one: `does` names the metamethods it needs, with a NULL behind them. */
static void check_table(lua_State *L, int index, const char *const does[])
{
	if (script_is_table(L, index))
		return;
	for (; *does; does++) {
		if (luaL_getmetafield(L, index, *does) == LUA_TNIL)
			luaL_checktype(L, index, LUA_TTABLE);
		lua_pop(L, 1);
	}
}

static const char *const reads[] = {"__index", NULL}, *const writes[] = {"__newindex", NULL};
static const char *const reads_len[] = {"__index", "__len", NULL};
static const char *const reads_writes_len[] = {"__index", "__newindex", "__len", NULL};

/* A text that fits is copied where it is: luaL_addvalue would look after the stack. */
static void add_item(lua_State *L, luaL_Buffer *b, lua_Integer i)
{
	size_t len;
	if (lua_geti(L, 1, i) == LUA_TSTRING) {
		const char *text = lua_tolstring(L, -1, &len);
		if (b->size - b->n >= len) {
			memcpy(b->b + b->n, text, len);
			b->n += len;
			lua_pop(L, 1);
			return;
		}
	}
	if (!lua_isstring(L, -1))
		luaL_error(L, "invalid value (%s) at index %I in table for 'concat'", luaL_typename(L, -1),
			   (LUAI_UACINT)i);
	luaL_addvalue(b);
}

static int t_concat(lua_State *L)
{
	struct script *s = script_of(L);
	size_t sep_len;
	luaL_Buffer b;
	check_table(L, 1, reads_len);
	lua_Integer last = luaL_len(L, 1);
	const char *sep = luaL_optlstring(L, 2, "", &sep_len);
	lua_Integer i = luaL_optinteger(L, 3, 1);
	last = luaL_optinteger(L, 4, last);
	luaL_buffinit(L, &b);
	for (; i < last; i++) {
		add_item(L, &b, i);
		script_add(&b, sep, sep_len);
		if (luaL_bufflen(&b) > STRING_MAX)
			script_check_text(L, s, "table.concat", luaL_bufflen(&b));
		script_tick(L, s);
	}
	if (i == last)
		add_item(L, &b, i);
	script_check_text(L, s, "table.concat", luaL_bufflen(&b));
	luaL_pushresult(&b);
	return 1;
}

/* Moves what stands from `at` on one place up. */
static void make_room(lua_State *L, lua_Integer at, lua_Integer end)
{
	struct script *s = script_of(L);
	for (lua_Integer i = end; i > at; i--) {
		lua_geti(L, 1, i - 1);
		lua_seti(L, 1, i);
		script_tick(L, s);
	}
}

static int t_insert(lua_State *L)
{
	check_table(L, 1, reads_writes_len);
	lua_Integer end = (lua_Integer)((lua_Unsigned)luaL_len(L, 1) + 1), at = end;
	switch (lua_gettop(L)) {
	case 2:
		break;
	case 3:
		at = luaL_checkinteger(L, 2);
		luaL_argcheck(L, (lua_Unsigned)at - 1u < (lua_Unsigned)end, 2, "position out of bounds");
		make_room(L, at, end);
		break;
	default:
		return luaL_error(L, "wrong number of arguments to 'insert'");
	}
	lua_seti(L, 1, at);
	return 0;
}

static int t_remove(lua_State *L)
{
	struct script *s = script_of(L);
	check_table(L, 1, reads_writes_len);
	lua_Integer size = luaL_len(L, 1), at = luaL_optinteger(L, 2, size);
	if (at != size)
		luaL_argcheck(L, (lua_Unsigned)at - 1u <= (lua_Unsigned)size, REMOVE_PLACE, "position out of bounds");
	lua_geti(L, 1, at);
	for (; at < size; at++) {
		lua_geti(L, 1, at + 1);
		lua_seti(L, 1, at);
		script_tick(L, s);
	}
	lua_pushnil(L);
	lua_seti(L, 1, at);
	return 1;
}

static void move_item(lua_State *L, struct script *s, lua_Integer from, int to, lua_Integer at)
{
	lua_geti(L, 1, from);
	lua_seti(L, to, at);
	script_tick(L, s);
}

static int t_move(lua_State *L)
{
	struct script *s = script_of(L);
	lua_Integer first = luaL_checkinteger(L, 2), last = luaL_checkinteger(L, 3), at = luaL_checkinteger(L, 4);
	int to = lua_isnoneornil(L, 5) ? 1 : 5;
	lua_settop(L, 5); /* what is more isn't written to; see grow.c */
	check_table(L, 1, reads);
	check_table(L, to, writes);
	if (last >= first) {
		luaL_argcheck(L, first > 0 || last < LUA_MAXINTEGER + first, 3, "too many elements to move");
		lua_Integer n = last - first + 1;
		luaL_argcheck(L, at <= LUA_MAXINTEGER - n + 1, 4, "destination wrap around");
		if (at > last || at <= first || (to != 1 && !lua_compare(L, 1, to, LUA_OPEQ)))
			for (lua_Integer i = 0; i < n; i++)
				move_item(L, s, first + i, to, at + i);
		else
			for (lua_Integer i = n - 1; i >= 0; i--)
				move_item(L, s, first + i, to, at + i);
	}
	lua_pushvalue(L, to);
	return 1;
}

static int t_pack(lua_State *L)
{
	int n = lua_gettop(L);
	lua_createtable(L, n, 1);
	lua_insert(L, 1);
	for (int i = n; i >= 1; i--)
		lua_seti(L, 1, i);
	lua_pushinteger(L, n);
	lua_setfield(L, 1, "n");
	return 1;
}

static int t_unpack(lua_State *L)
{
	struct script *s = script_of(L);
	lua_Integer i = luaL_optinteger(L, 2, 1);
	lua_Integer last = lua_isnoneornil(L, 3) ? luaL_len(L, 1) : luaL_checkinteger(L, 3);
	if (i > last)
		return 0;
	lua_Unsigned n = (lua_Unsigned)last - (lua_Unsigned)i;
	if (n >= VALUES_MAX && n < INT32_MAX)
		script_check_values(L, s, "table.unpack", (lua_Integer)n + 1);
	if (n >= INT32_MAX || !lua_checkstack(L, (int)n + 1))
		return luaL_error(L, "too many results to unpack");
	for (; i < last; i++) {
		lua_geti(L, 1, i);
		script_tick(L, s);
	}
	lua_geti(L, 1, last);
	return (int)n + 1;
}

void script_push_table(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{"concat", t_concat}, {"insert", t_insert},  {"move", t_move},     {"pack", t_pack},
		{"remove", t_remove}, {"sort", script_sort}, {"unpack", t_unpack}, {NULL, NULL},
	};
	luaL_newlib(L, functions);
}
