/* SPDX-License-Identifier: MIT
 *
 * pairs and next in a fixed order, so that a step gives the same result whenever it is run: integers ascending, strings
 * by bytes, other numbers, false, true. Keys of other kinds have no order that is the same in the next process.
 */
#include <stdlib.h>
#include <string.h>

#include "script/docs.h"
#include "script/key.h"
#include "script/private.h"

#define FEW 32 /* keys that are sorted on the stack */

struct key script_key_at(lua_State *L, int index)
{
	struct key k = {.rank = KEY_BOOLEAN};
	switch (lua_type(L, index)) {
	case LUA_TSTRING:
		k.rank = KEY_STRING;
		k.text = lua_tolstring(L, index, &k.len);
		break;
	case LUA_TNUMBER:
		k.rank = lua_isinteger(L, index) ? KEY_INTEGER : KEY_FLOAT;
		if (k.rank == KEY_INTEGER)
			k.integer = lua_tointeger(L, index);
		else
			k.number = lua_tonumber(L, index);
		break;
	case LUA_TBOOLEAN:
		k.integer = lua_toboolean(L, index);
		break;
	default:
		luaL_error(L, "a table with a key that is a %s can't be traversed: such keys have no fixed order",
			   luaL_typename(L, index));
	}
	return k;
}

int script_key_compare(const void *left, const void *right)
{
	const struct key *a = left, *b = right;
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	if (a->rank == KEY_STRING) {
		int order = memcmp(a->text, b->text, a->len < b->len ? a->len : b->len);
		return order ? order : (a->len > b->len) - (a->len < b->len);
	}
	if (a->rank == KEY_FLOAT)
		return (a->number > b->number) - (a->number < b->number);
	return (a->integer > b->integer) - (a->integer < b->integer);
}

/* The number of keys; *sequence: they are 1..n. */
static size_t count_keys(lua_State *L, int table, bool *sequence)
{
	struct script *s = script_of(L);
	size_t n = 0, border = lua_rawlen(L, table);
	*sequence = true;
	lua_pushnil(L);
	while (lua_next(L, table)) {
		lua_pop(L, 1);
		if (*sequence && !(lua_isinteger(L, -1) && (lua_Unsigned)lua_tointeger(L, -1) - 1 < border))
			*sequence = false;
		if ((++n & 63) == 0)
			script_tick(L, s);
	}
	return n;
}

/* Few keys, of which most are in place: tables that a constructor made. */
static void sort_few(struct key *keys, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct key k = keys[i];
		size_t j = i;
		for (; j > 0 && script_key_compare(&k, &keys[j - 1]) < 0; j--)
			keys[j] = keys[j - 1];
		keys[j] = k;
	}
}

/* Pushes the sorted array of a few keys, by way of the stack. */
static void push_few(lua_State *L, int table, size_t n)
{
	struct key keys[FEW];
	int base = lua_gettop(L);
	lua_pushnil(L);
	for (int i = 0; lua_next(L, table); i++) {
		lua_pop(L, 1);
		keys[i] = script_key_at(L, -1);
		keys[i].place = base + i + 1;
		lua_pushvalue(L, -1); /* one stays, the other is for lua_next */
	}
	sort_few(keys, n);
	lua_createtable(L, (int)n, 0);
	for (size_t i = 0; i < n; i++) {
		lua_pushvalue(L, keys[i].place);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_replace(L, base + 1);
	lua_settop(L, base + 1);
}

/* Pushes the sorted array of many keys. */
static void push_many(lua_State *L, int table, size_t n)
{
	struct script *s = script_of(L);
	struct key *keys = lua_newuserdatauv(L, n * sizeof *keys, 0);
	lua_createtable(L, (int)n, 0);
	lua_pushnil(L);
	for (int i = 1; lua_next(L, table); i++) {
		lua_pop(L, 1);
		keys[i - 1] = script_key_at(L, -1);
		keys[i - 1].place = i;
		lua_pushvalue(L, -1);
		lua_rawseti(L, -3, i);
		if ((i & 63) == 0)
			script_tick(L, s);
	}
	qsort(keys, n, sizeof *keys, script_key_compare);
	lua_createtable(L, (int)n, 0);
	for (size_t i = 0; i < n; i++) {
		lua_rawgeti(L, -2, keys[i].place);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_replace(L, -3); /* over the sort keys */
	lua_pop(L, 1);
}

static void push_sorted_keys(lua_State *L, int table, size_t n)
{
	luaL_checkstack(L, FEW + 8, "no room to sort keys");
	if (n > 0 && n <= FEW)
		push_few(L, table, n);
	else
		push_many(L, table, n);
}

/* Upvalue 1: the last index when the traversal began. */
static int next_of_sequence(lua_State *L)
{
	lua_Integer i = lua_tointeger(L, 2), n = lua_tointeger(L, lua_upvalueindex(1));
	while (++i <= n) {
		if (lua_rawgeti(L, 1, i) != LUA_TNIL) {
			lua_pushinteger(L, i);
			lua_insert(L, -2);
			return 2;
		}
		lua_pop(L, 1);
	}
	lua_pushnil(L);
	return 1;
}

/* Upvalues: the sorted keys, how many were passed, and for a read-only table what is behind it: who traverses it isn't
 * given that. */
static int next_of_keys(lua_State *L)
{
	if (!lua_isnone(L, lua_upvalueindex(3))) {
		lua_settop(L, 0);
		lua_pushvalue(L, lua_upvalueindex(3));
	}
	lua_Integer i = lua_tointeger(L, lua_upvalueindex(2));
	for (;;) {
		if (lua_rawgeti(L, lua_upvalueindex(1), ++i) == LUA_TNIL)
			return 1;
		lua_pushvalue(L, -1);
		if (lua_rawget(L, 1) != LUA_TNIL)
			break;
		lua_pop(L, 2);
	}
	lua_pushinteger(L, i);
	lua_replace(L, lua_upvalueindex(2));
	return 2;
}

static int next_of_doc(lua_State *L)
{
	lua_settop(L, 2);
	return json_lua_next(L, 1) ? 2 : (lua_pushnil(L), 1);
}

static int pairs_of_table(lua_State *L)
{
	bool sequence;
	lua_settop(L, 1);
	if (script_frozen_target(L, 1)) {
		push_sorted_keys(L, 2, count_keys(L, 2, &sequence));
		lua_pushinteger(L, 0);
		lua_pushvalue(L, 2);
		lua_pushcclosure(L, next_of_keys, 3);
		lua_pushvalue(L, 1);
		lua_pushnil(L);
		return 3;
	}
	size_t n = count_keys(L, 1, &sequence);
	if (sequence) {
		lua_pushinteger(L, (lua_Integer)n);
		lua_pushcclosure(L, next_of_sequence, 1);
	} else {
		push_sorted_keys(L, 1, n);
		lua_pushinteger(L, 0);
		lua_pushcclosure(L, next_of_keys, 2);
	}
	lua_pushvalue(L, 1);
	lua_pushnil(L);
	return 3;
}

static int pairs_done(lua_State *L, int status, lua_KContext ctx)
{
	(void)L;
	(void)status;
	(void)ctx;
	return 3;
}

int script_raw_pairs(lua_State *L)
{
	if (!script_is_doc(L, 1)) {
		luaL_checktype(L, 1, LUA_TTABLE);
		return pairs_of_table(L);
	}
	lua_pushcfunction(L, next_of_doc);
	lua_pushvalue(L, 1);
	lua_pushnil(L);
	return 3;
}

static int b_pairs(lua_State *L)
{
	luaL_checkany(L, 1);
	if (script_is_doc(L, 1) || luaL_getmetafield(L, 1, "__pairs") == LUA_TNIL)
		return script_raw_pairs(L);
	lua_pushvalue(L, 1);
	lua_callk(L, 1, 3, 0, pairs_done);
	return 3;
}

/* The smallest key of the table at 1 that is above the key at 2 (nil: above nothing), and its value. */
static int next_pair(lua_State *L)
{
	struct script *s = script_of(L);
	bool first = lua_isnil(L, 2), found = false;
	struct key after = {.rank = KEY_INTEGER}, best = after;
	int n = 0;
	if (!first)
		after = script_key_at(L, 2);
	lua_pushnil(L); /* 3: the best key */
	lua_pushnil(L);
	while (lua_next(L, 1)) {
		lua_pop(L, 1);
		struct key k = script_key_at(L, -1);
		if ((first || script_key_compare(&k, &after) > 0) && (!found || script_key_compare(&k, &best) < 0)) {
			best = k;
			found = true;
			lua_pushvalue(L, -1);
			lua_replace(L, 3);
		}
		if ((++n & 63) == 0)
			script_tick(L, s);
	}
	if (!found)
		return 1;
	lua_pushvalue(L, 3);
	lua_rawget(L, 1);
	return 2;
}

static int b_next(lua_State *L)
{
	if (script_is_doc(L, 1))
		return next_of_doc(L);
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 2);
	if (script_frozen_target(L, 1))
		lua_replace(L, 1);
	return next_pair(L);
}

const luaL_Reg script_order_functions[] = {{"next", b_next}, {"pairs", b_pairs}, {NULL, NULL}};
