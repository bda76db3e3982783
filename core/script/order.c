/* SPDX-License-Identifier: MIT
 *
 * pairs and next in a fixed order, so that a step gives the same result whenever it is run: integers ascending, strings
 * by bytes, other numbers, false, true. Keys of other kinds have no order that is the same in the next process.
 */
#include "script/docs.h"
#include "script/key.h"
#include "script/private.h"

#define FEW 32 /* keys that are sorted on the stack */

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
		n++;
		script_tick(L, s);
	}
	*sequence = *sequence && n == border;
	return n;
}

/* Pushes the array of few keys in order, by way of the stack. */
static void push_few(lua_State *L, int table)
{
	struct key keys[FEW];
	int base = lua_gettop(L), n = 0;
	lua_pushnil(L);
	while (n < FEW && lua_next(L, table)) {
		lua_pop(L, 1);
		keys[n] = script_key_at(L, -1);
		n++;
		keys[n - 1].place = base + n;
		lua_pushvalue(L, -1); /* one stays, the other is for lua_next */
	}
	script_key_sort_few(keys, (size_t)n);
	lua_createtable(L, n, 0);
	for (int i = 0; i < n; i++) {
		lua_pushvalue(L, keys[i].place);
		lua_rawseti(L, -2, i + 1);
	}
	lua_replace(L, base + 1);
	lua_settop(L, base + 1);
}

/* The place of what is sorted on the stack, from below: the keys as they came, their struct key_sort. */
enum { KEYS = 1, SORT, SORT_SLOTS = SORT };

/* Pushes both for the keys of the table, which are `n` at most: a collection may take some out of it. */
static void push_keys(lua_State *L, int table, size_t n)
{
	struct script *s = script_of(L);
	lua_createtable(L, (int)n, 0);
	struct key_sort *sort = script_key_sort_new(L, n);
	size_t found = 0;
	lua_pushnil(L);
	while (found < n && lua_next(L, table)) {
		lua_pop(L, 1);
		struct key *k = &sort->from[found];
		*k = script_key_at(L, -1);
		k->place = (int)++found;
		lua_pushvalue(L, -1);
		lua_rawseti(L, -4, k->place);
		script_tick(L, s);
	}
	if (found == n)
		lua_pop(L, 1); /* the last key; else lua_next took it */
	sort->n = found;
}

/* Replaces both by the array of the keys in order. */
static void push_array(lua_State *L, const struct key_sort *sort)
{
	int keys = lua_gettop(L) - SORT_SLOTS + KEYS;
	lua_createtable(L, (int)sort->n, 0);
	for (size_t i = 0; i < sort->n; i++) {
		lua_rawgeti(L, keys, sort->from[i].place);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	lua_replace(L, keys);
	lua_settop(L, keys);
}

/* Upvalue 1: the last index when the traversal began. Like all of these it may be called with whatever a script has. */
static int next_of_sequence(lua_State *L)
{
	struct script *s = script_of(L);
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_Integer n = lua_tointeger(L, lua_upvalueindex(1)), i = luaL_optinteger(L, 2, 0);
	if (i < 0 || i > n)
		return luaL_argerror(L, 2, "not a key of this traversal");
	while (++i <= n) {
		if (lua_rawgeti(L, 1, i) != LUA_TNIL) {
			lua_pushinteger(L, i);
			lua_insert(L, -2);
			return 2;
		}
		lua_pop(L, 1);
		script_tick(L, s);
	}
	lua_pushnil(L);
	return 1;
}

/* Upvalues: the sorted keys, how many were passed, and for a read-only table what is behind it: who traverses it isn't
 * given that. */
static int next_of_keys(lua_State *L)
{
	struct script *s = script_of(L);
	if (!lua_isnone(L, lua_upvalueindex(3))) {
		lua_settop(L, 0);
		lua_pushvalue(L, lua_upvalueindex(3));
	}
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_Integer i = lua_tointeger(L, lua_upvalueindex(2));
	for (;;) {
		if (lua_rawgeti(L, lua_upvalueindex(1), ++i) == LUA_TNIL)
			return 1;
		lua_pushvalue(L, -1);
		if (lua_rawget(L, 1) != LUA_TNIL)
			break;
		lua_pop(L, 2);
		script_tick(L, s);
	}
	lua_pushinteger(L, i);
	lua_replace(L, lua_upvalueindex(2));
	return 2;
}

static int next_of_doc(lua_State *L)
{
	lua_settop(L, 2);
	luaL_argexpected(L, script_is_doc(L, 1), 1, "table");
	return json_lua_next(L, 1) ? 2 : (lua_pushnil(L), 1);
}

/* What `pairs` returns for the table at 1, when the array of its keys is on top; at 2: what is behind a read-only one. */
static int give_keys(lua_State *L)
{
	bool behind = lua_gettop(L) == 3;
	lua_pushinteger(L, 0);
	if (behind)
		lua_pushvalue(L, 2);
	lua_pushcclosure(L, next_of_keys, behind ? 3 : 2);
	lua_pushvalue(L, 1);
	lua_pushnil(L);
	return 3;
}

/* Many keys: in pieces, between which others run. */
static int sort_on(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	struct key_sort *sort = lua_touserdata(L, -1);
	while (!script_key_sort_piece(L, sort))
		if (script_may_pause(L, script_of(L)))
			return script_pause(L, 0, sort_on);
	push_array(L, sort);
	return give_keys(L);
}

static int order_keys(lua_State *L, int table, size_t n)
{
	luaL_checkstack(L, FEW + 8, "no room to sort keys");
	if (n > FEW) {
		push_keys(L, table, n);
		return sort_on(L, LUA_OK, 0);
	}
	push_few(L, table);
	return give_keys(L);
}

static int pairs_of_table(lua_State *L)
{
	bool sequence;
	lua_settop(L, 1);
	if (script_frozen_target(L, 1))
		return order_keys(L, 2, count_keys(L, 2, &sequence));
	size_t n = count_keys(L, 1, &sequence);
	if (sequence) {
		lua_pushinteger(L, (lua_Integer)n);
		lua_pushcclosure(L, next_of_sequence, 1);
		lua_pushvalue(L, 1);
		lua_pushnil(L);
		return 3;
	}
	return order_keys(L, 1, n);
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
