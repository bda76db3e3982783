/* SPDX-License-Identifier: MIT
 *
 * A merge sort from the bottom up. Its state lies in a userdata, since a comparator may yield at any comparison.
 */
#include "script/sort.h"

#include "script/key.h"
#include "script/strings.h"

enum { TABLE = 1, COMPARE, STATE, FROM, TO, PLAIN };

struct sort {
	struct script *script;
	lua_Integer n, width; /* elements; length of the runs that are sorted */
	lua_Integer start;    /* of the two runs that are merged: start..middle-1 and middle..end-1, from 1 */
	lua_Integer middle, end;
	lua_Integer left, right, out; /* next of each, and where it goes */
};

static int merge_on(lua_State *L, struct sort *t);

static void begin_merge(struct sort *t, lua_Integer start)
{
	t->start = t->left = t->out = start;
	t->middle = t->right = start + t->width < t->n + 1 ? start + t->width : t->n + 1;
	t->end = t->middle + t->width < t->n + 1 ? t->middle + t->width : t->n + 1;
}

static void take(lua_State *L, struct sort *t, lua_Integer *from)
{
	lua_rawgeti(L, FROM, (*from)++);
	lua_rawseti(L, TO, t->out++);
}

/* The result of the comparison "right element < left element" is on top. */
static void take_smaller(lua_State *L, struct sort *t)
{
	bool right = lua_toboolean(L, -1);
	lua_pop(L, 1);
	take(L, t, right ? &t->right : &t->left);
}

static int compared(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	struct sort *t = lua_touserdata(L, STATE);
	take_smaller(L, t);
	return merge_on(L, t);
}

static void compare(lua_State *L, struct sort *t)
{
	if (lua_isnil(L, COMPARE)) {
		lua_rawgeti(L, FROM, t->right);
		lua_rawgeti(L, FROM, t->left);
		lua_pushboolean(L, lua_compare(L, -2, -1, LUA_OPLT));
		lua_replace(L, -3);
		lua_pop(L, 1);
		return;
	}
	lua_pushvalue(L, COMPARE);
	lua_rawgeti(L, FROM, t->right);
	lua_rawgeti(L, FROM, t->left);
	lua_callk(L, 2, 1, 0, compared);
}

static void merge(lua_State *L, struct sort *t)
{
	while (t->left < t->middle && t->right < t->end) {
		script_tick(L, t->script);
		compare(L, t);
		take_smaller(L, t);
	}
	while (t->left < t->middle)
		take(L, t, &t->left);
	while (t->right < t->end)
		take(L, t, &t->right);
}

static int merge_on(lua_State *L, struct sort *t)
{
	while (t->width < t->n) {
		merge(L, t);
		if (t->end <= t->n) {
			begin_merge(t, t->end);
			continue;
		}
		t->width *= 2;
		begin_merge(t, 1);
		lua_pushvalue(L, FROM);
		lua_copy(L, TO, FROM);
		lua_replace(L, TO);
	}
	for (lua_Integer i = 1; i <= t->n; i++) {
		lua_rawgeti(L, FROM, i);
		lua_seti(L, TABLE, i);
		script_tick(L, t->script);
	}
	return 0;
}

/* Can the values be sorted without asking Lua? All integers, all floats (no NaN) or all texts. */
static bool plain_keys(lua_State *L, struct key *keys, lua_Integer n)
{
	for (int i = 0; i < n; i++) {
		int type = lua_rawgeti(L, FROM, i + 1);
		if (type != LUA_TNUMBER && type != LUA_TSTRING) {
			lua_pop(L, 1);
			return false;
		}
		keys[i] = script_key_at(L, -1); /* its text stays alive in FROM */
		keys[i].place = i + 1;
		lua_pop(L, 1);
		if (keys[i].rank != keys[0].rank || (keys[i].rank == KEY_FLOAT && keys[i].number != keys[i].number))
			return false;
	}
	return true;
}

/* In pieces, between which others run. */
static int sort_keys_on(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	struct script *s = script_of(L);
	struct key_sort *keys = lua_touserdata(L, PLAIN);
	while (!script_key_sort_piece(L, keys))
		if (script_may_pause(L, s))
			return script_pause(L, 0, sort_keys_on);
	for (size_t i = 0; i < keys->n; i++) {
		lua_rawgeti(L, FROM, keys->from[i].place);
		lua_seti(L, TABLE, (lua_Integer)i + 1);
		script_tick(L, s);
	}
	return 0;
}

int script_sort(lua_State *L)
{
	if (!script_is_table(L, TABLE))
		luaL_checktype(L, TABLE, LUA_TTABLE);
	lua_Integer n = luaL_len(L, TABLE);
	if (n < 2)
		return 0;
	luaL_argcheck(L, n < INT32_MAX, 1, "array too big");
	if (!lua_isnoneornil(L, COMPARE))
		luaL_checktype(L, COMPARE, LUA_TFUNCTION);
	lua_settop(L, COMPARE);
	struct sort *t = lua_newuserdatauv(L, sizeof *t, 0);
	*t = (struct sort){.script = script_of(L), .n = n, .width = 1};
	lua_createtable(L, (int)n, 0);
	lua_createtable(L, (int)n, 0);
	for (lua_Integer i = 1; i <= n; i++) {
		lua_geti(L, TABLE, i);
		lua_rawseti(L, FROM, i);
		script_tick(L, t->script);
	}
	if (lua_isnil(L, COMPARE) && plain_keys(L, script_key_sort_new(L, (size_t)n)->from, n))
		return sort_keys_on(L, LUA_OK, 0);
	lua_settop(L, TO);
	begin_merge(t, 1);
	return merge_on(L, t);
}
