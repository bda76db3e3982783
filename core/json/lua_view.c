/* SPDX-License-Identifier: MIT
 *
 * Views: a read-only face over a live Lua table. What is read from one is a view again.
 */
#include <stdlib.h>
#include <string.h>

#include "json/lua_part.h"

enum { VALUE_TABLE = 1, VALUE_PARENT = 2, VALUE_KEY = 3, VALUE_KEYS = 4 };

struct json_view *json_to_view(lua_State *L, const struct json_state *st, int index)
{
	if (lua_type(L, index) != LUA_TUSERDATA || lua_rawlen(L, index) < sizeof(struct json_view))
		return NULL;
	struct json_view *view = lua_touserdata(L, index);
	return view->meta == st->view_pointer ? view : NULL;
}

/* A view of the table on top, in its place. */
static void wrap_table(lua_State *L, struct json_state *st)
{
	luaL_checkstack(L, 6, "view");
	struct json_view *view = lua_newuserdatauv(L, sizeof *view, 4);
	*view = (struct json_view){.meta = st->view_pointer, .table = lua_topointer(L, -2)};
	lua_rawgeti(L, LUA_REGISTRYINDEX, st->view_meta);
	lua_setmetatable(L, -2);
	lua_insert(L, -2);
	lua_setiuservalue(L, -2, VALUE_TABLE);
}

void json_wrap(lua_State *L, struct json_state *st, int index, int key)
{
	if (lua_type(L, -1) != LUA_TTABLE)
		return;
	index = lua_absindex(L, index);
	key = lua_absindex(L, key);
	wrap_table(L, st);
	lua_pushvalue(L, index);
	lua_setiuservalue(L, -2, VALUE_PARENT);
	lua_pushvalue(L, key);
	lua_setiuservalue(L, -2, VALUE_KEY);
}

void json_view_get(lua_State *L, struct json_state *st, int index, int key)
{
	index = lua_absindex(L, index);
	key = lua_absindex(L, key);
	lua_getiuservalue(L, index, VALUE_TABLE);
	lua_pushvalue(L, key);
	lua_rawget(L, -2);
	lua_remove(L, -2);
	json_wrap(L, st, index, key);
}

static int view_index(lua_State *L)
{
	json_view_get(L, json_upvalue(L), 1, 2);
	return 1;
}

static int view_len(lua_State *L)
{
	lua_pushinteger(L, json_lua_len(L, 1));
	return 1;
}

static int view_eq(lua_State *L)
{
	const struct json_view *a = json_to_view(L, json_upvalue(L), 1), *b = json_to_view(L, json_upvalue(L), 2);
	lua_pushboolean(L, a && b && a->table == b->table);
	return 1;
}

static int view_tostring(lua_State *L)
{
	struct json_state *st = json_upvalue(L);
	struct json_scratch *scratch = json_take(L, st);
	struct error e;
	buf_clear(&scratch->out);
	if (json_encode_with(L, st, scratch, 1, JSON_ENCODE_MAX, 0, &scratch->out, &e)) {
		lua_pushstring(L, "view");
	} else {
		size_t cut = scratch->out.len;
		if (cut > 60)
			for (cut = 60; (scratch->out.data[cut] & 0xC0) == 0x80;)
				cut--;
		lua_pushlstring(L, scratch->out.data, cut);
		lua_pushstring(L, cut < scratch->out.len ? "..." : "");
		lua_concat(L, 2);
	}
	json_give(st, scratch);
	return 1;
}

enum { RANK_NUMBER, RANK_STRING, RANK_OTHER };

static int compare_keys(const void *a, const void *b)
{
	const struct json_item *x = a, *y = b;
	if (x->type != y->type)
		return x->type < y->type ? -1 : 1;
	if (x->type == RANK_NUMBER)
		return (x->value.number > y->value.number) - (x->value.number < y->value.number);
	if (x->type == RANK_OTHER)
		return (x->slot > y->slot) - (x->slot < y->slot);
	int order = memcmp(x->key, y->key, x->key_len < y->key_len ? x->key_len : y->key_len);
	return order ? order : (x->key_len > y->key_len) - (x->key_len < y->key_len);
}

/* The key on top as the item that sorts it. */
static void note_key(lua_State *L, struct json_item *item, int slot)
{
	item->slot = slot;
	item->type = RANK_OTHER;
	if (lua_type(L, -1) == LUA_TSTRING) {
		item->type = RANK_STRING;
		item->key = lua_tolstring(L, -1, &item->key_len);
	} else if (lua_type(L, -1) == LUA_TNUMBER) {
		item->type = RANK_NUMBER;
		item->value.number = lua_tonumber(L, -1);
	}
}

static bool in_sequence(lua_State *L, lua_Integer n)
{
	return lua_isinteger(L, -1) && lua_tointeger(L, -1) >= 1 && lua_tointeger(L, -1) <= n;
}

/* Pushes the keys of the table at `table` that are not 1...n: numbers, strings by bytes, others. */
static void push_sorted_keys(lua_State *L, int table, lua_Integer n)
{
	int count = 0, most = 0;
	for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1))
		most++;
	struct json_item *items = lua_newuserdatauv(L, sizeof *items * ((size_t)most + 1), 0);
	lua_createtable(L, most, 0); /* keeps the keys alive while they are sorted */
	lua_createtable(L, most, 0);
	int found = lua_gettop(L) - 1;
	lua_pushnil(L);
	while (count < most && lua_next(L, table)) {
		lua_pop(L, 1);
		if (in_sequence(L, n))
			continue;
		note_key(L, &items[count], count + 1);
		lua_pushvalue(L, -1);
		lua_rawseti(L, found, ++count);
	}
	lua_settop(L, found + 1);
	qsort(items, (size_t)count, sizeof *items, compare_keys);
	for (int i = 0; i < count; i++) {
		lua_rawgeti(L, found, items[i].slot);
		lua_rawseti(L, -2, i + 1);
	}
	lua_replace(L, found - 1);
	lua_settop(L, found - 1);
}

/* Sets the cursor to the key at `key` in the sorted keys at `keys`. */
static void seek(lua_State *L, struct json_view *view, int keys, int key)
{
	lua_Integer n = (lua_Integer)lua_rawlen(L, keys);
	lua_Integer at = view->at > 0 ? view->at : 1;
	for (lua_Integer tried = 0; tried < n; tried++, at = at % n + 1) {
		lua_rawgeti(L, keys, at);
		bool same = lua_rawequal(L, -1, key);
		lua_pop(L, 1);
		if (same) {
			view->at = at;
			return;
		}
	}
	lua_error_raisef(L, ERROR_ARGUMENT, "next: there is no such key in this table");
}

/* Of the stack from `to` only the pair on top stays. */
static int keep_pair(lua_State *L, int to)
{
	lua_replace(L, to + 1);
	lua_replace(L, to);
	lua_settop(L, to + 1);
	return 1;
}

/* The keys beside 1...n. `key` at the top: where to go on; nil or in the sequence: from the first. */
static int next_named(lua_State *L, struct json_state *st, int index, int table, lua_Integer n)
{
	struct json_view *view = lua_touserdata(L, index);
	int key = lua_gettop(L);
	bool first = lua_isnil(L, key) || in_sequence(L, n);
	if (first || lua_getiuservalue(L, index, VALUE_KEYS) != LUA_TTABLE) {
		lua_settop(L, key);
		push_sorted_keys(L, table, n);
		lua_pushvalue(L, -1);
		lua_setiuservalue(L, index, VALUE_KEYS);
		view->at = 0;
	}
	if (!first)
		seek(L, view, lua_gettop(L), key);
	int keys = lua_gettop(L);
	while (lua_rawgeti(L, keys, ++view->at) != LUA_TNIL) {
		lua_pushvalue(L, -1);
		if (lua_rawget(L, table) != LUA_TNIL) {
			json_wrap(L, st, index, -2);
			return keep_pair(L, table);
		}
		lua_pop(L, 2); /* removed since */
	}
	lua_settop(L, table - 1);
	return 0;
}

int json_view_next(lua_State *L, struct json_state *st, int index)
{
	luaL_checkstack(L, 16, "view");
	index = lua_absindex(L, index);
	lua_getiuservalue(L, index, VALUE_TABLE);
	lua_insert(L, -2);
	int table = lua_gettop(L) - 1;
	lua_Integer n = (lua_Integer)lua_rawlen(L, table), i = 0;
	if (in_sequence(L, n))
		i = lua_tointeger(L, -1);
	else if (!lua_isnil(L, -1))
		return next_named(L, st, index, table, n);
	while (i < n) {
		lua_pushinteger(L, ++i);
		if (lua_rawgeti(L, table, i) != LUA_TNIL) {
			json_wrap(L, st, index, -2);
			return keep_pair(L, table);
		}
		lua_pop(L, 2);
	}
	return next_named(L, st, index, table, n);
}

static int view_iterate(lua_State *L)
{
	struct json_state *st = json_upvalue(L);
	if (!json_to_view(L, st, 1))
		return lua_error_raisef(L, ERROR_ARGUMENT, "a view expected, got %s", luaL_typename(L, 1));
	lua_settop(L, 2);
	if (json_view_next(L, st, 1))
		return 2;
	lua_pushnil(L);
	return 1;
}

static int view_pairs(lua_State *L)
{
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushcclosure(L, view_iterate, 1);
	lua_pushvalue(L, 1);
	lua_pushnil(L);
	return 3;
}

static void add_key(lua_State *L, struct json_path *path, int key)
{
	size_t len;
	if (lua_type(L, key) == LUA_TSTRING) {
		const char *text = lua_tolstring(L, key, &len);
		json_path_key(path, text, len);
	} else if (lua_isinteger(L, key)) {
		json_path_index(path, lua_tointeger(L, key));
	}
}

/* Views nest as deep as scripts like: beyond 100 levels the beginning of the path is left out. */
static void view_path(lua_State *L, int index, struct json_path *path, int depth)
{
	luaL_checkstack(L, 6, "view");
	if (depth > JSON_DEPTH || lua_getiuservalue(L, index, VALUE_PARENT) != LUA_TUSERDATA) {
		json_path_begin(path);
		return;
	}
	view_path(L, lua_gettop(L), path, depth + 1);
	lua_getiuservalue(L, index, VALUE_KEY);
	add_key(L, path, -1);
}

int json_view_refuse(lua_State *L, int index, int key)
{
	struct json_path path;
	key = lua_absindex(L, key);
	index = lua_absindex(L, index);
	view_path(L, index, &path, 0);
	add_key(L, &path, key);
	const char *name = "this value";
	while (lua_getiuservalue(L, index, VALUE_PARENT) == LUA_TUSERDATA)
		index = lua_gettop(L), luaL_checkstack(L, 4, "view");
	if (lua_getiuservalue(L, index, VALUE_KEY) == LUA_TSTRING)
		name = lua_tostring(L, -1);
	return lua_error_raisef(L, ERROR_ARGUMENT,
				"%s is read-only: %s can't be set; copy it first and change the copy", name, path.text);
}

static int view_newindex(lua_State *L)
{
	return json_view_refuse(L, 1, 2);
}

/* view(table, name?): a doc or a view is one already. The root's key is its name in messages. */
static int l_view(lua_State *L)
{
	struct json_state *st = json_upvalue(L);
	lua_settop(L, 2);
	if (json_lua_is_face(L, 1)) {
		lua_settop(L, 1);
		return 1;
	}
	if (lua_type(L, 1) != LUA_TTABLE)
		return lua_error_raisef(L, ERROR_ARGUMENT, "json.view needs a table, got %s", luaL_typename(L, 1));
	lua_insert(L, 1);
	wrap_table(L, st);
	lua_pushvalue(L, 1);
	lua_setiuservalue(L, -2, VALUE_KEY);
	return 1;
}

const luaL_Reg *json_view_functions(void)
{
	static const luaL_Reg functions[] = {{"view", l_view}, {NULL, NULL}};
	return functions;
}

void json_open_view(lua_State *L, struct json_state *st, int state)
{
	static const luaL_Reg meta[] = {
		{"__index", view_index}, {"__newindex", view_newindex}, {"__len", view_len}, {"__eq", view_eq},
		{"__pairs", view_pairs}, {"__tostring", view_tostring}, {NULL, NULL}};
	st->view_meta = json_metatable(L, "view", meta, state, &st->view_pointer);
}
