/* SPDX-License-Identifier: MIT
 *
 * What is the same for plain tables, docs and views: kinds, raw access, and functions that walk a whole value.
 */
#include <string.h>

#include "json/lua_part.h"

/* Values: a table that holds itself many times over must neither fill the memory nor be searched for ever. */
enum { COPY_MAX = 1 << 20, SEARCH_MAX = 1 << 18, TICK = 256 };

bool json_lua_is_doc(lua_State *L, int index)
{
	return lua_type(L, index) == LUA_TUSERDATA && json_to_doc(L, json_state(L), index);
}

bool json_lua_is_face(lua_State *L, int index)
{
	if (lua_type(L, index) != LUA_TUSERDATA)
		return false;
	index = lua_absindex(L, index);
	const struct json_state *st = json_state(L);
	return json_to_doc(L, st, index) || json_to_view(L, st, index);
}

static enum json_lua_kind table_kind(lua_State *L, const struct json_state *st, int index)
{
	bool array = lua_rawlen(L, index) > 0;
	if (!array && lua_getmetatable(L, index)) {
		array = lua_topointer(L, -1) == st->array_pointer;
		lua_pop(L, 1);
	}
	return array ? JSON_LUA_ARRAY : JSON_LUA_OBJECT;
}

static enum json_lua_kind face_kind(lua_State *L, const struct json_state *st, int index)
{
	const struct json_doc *doc = json_to_doc(L, st, index);
	if (doc)
		return doc->tree->nodes[doc->node].kind == JSON_ARRAY ? JSON_LUA_ARRAY : JSON_LUA_OBJECT;
	if (!json_to_view(L, st, index))
		return JSON_LUA_NONE;
	lua_getiuservalue(L, index, 1);
	enum json_lua_kind kind = table_kind(L, st, -1);
	lua_pop(L, 1);
	return kind;
}

enum json_lua_kind json_lua_kind(lua_State *L, int index)
{
	index = lua_absindex(L, index);
	switch (lua_type(L, index)) {
	case LUA_TLIGHTUSERDATA:
		return lua_touserdata(L, index) ? JSON_LUA_NONE : JSON_LUA_NULL;
	case LUA_TBOOLEAN:
		return JSON_LUA_BOOLEAN;
	case LUA_TNUMBER:
		return JSON_LUA_NUMBER;
	case LUA_TSTRING:
		return JSON_LUA_STRING;
	case LUA_TTABLE:
		return table_kind(L, json_state(L), index);
	case LUA_TUSERDATA:
		return face_kind(L, json_state(L), index);
	default:
		return JSON_LUA_NONE;
	}
}

int json_lua_next(lua_State *L, int index)
{
	struct json_state *st = json_state(L);
	return json_to_doc(L, st, index) ? json_doc_next(L, st, index) : json_view_next(L, st, index);
}

void json_lua_get(lua_State *L, int index)
{
	struct json_state *st = json_state(L);
	if (json_to_doc(L, st, index))
		json_doc_get(L, st, index, -1);
	else
		json_view_get(L, st, index, -1);
	lua_remove(L, -2);
}

void json_lua_geti(lua_State *L, int index, lua_Integer i)
{
	index = lua_absindex(L, index);
	lua_pushinteger(L, i);
	json_lua_get(L, index);
}

void json_lua_getfield(lua_State *L, int index, const char *key, size_t len)
{
	index = lua_absindex(L, index);
	lua_pushlstring(L, key, len);
	json_lua_get(L, index);
}

lua_Integer json_lua_len(lua_State *L, int index)
{
	const struct json_doc *doc = json_to_doc(L, json_state(L), index);
	if (doc) {
		const struct json_node *n = &doc->tree->nodes[doc->node];
		return n->kind == JSON_ARRAY ? n->count : 0;
	}
	lua_getiuservalue(L, index, 1);
	lua_Integer len = (lua_Integer)lua_rawlen(L, -1);
	lua_pop(L, 1);
	return len;
}

int json_lua_refuse_write(lua_State *L, int index, int key)
{
	return json_lua_is_doc(L, index) ? json_doc_refuse(L, index, key) : json_view_refuse(L, index, key);
}

/* The same for plain tables too; `index` and `key` absolute. */
static void any_get(lua_State *L, int index, int key)
{
	lua_pushvalue(L, key);
	if (lua_type(L, index) == LUA_TTABLE)
		lua_rawget(L, index);
	else
		json_lua_get(L, index);
}

static int any_next(lua_State *L, int index)
{
	return lua_type(L, index) == LUA_TTABLE ? lua_next(L, index) : json_lua_next(L, index);
}

static lua_Integer any_len(lua_State *L, int index)
{
	return lua_type(L, index) == LUA_TTABLE ? (lua_Integer)lua_rawlen(L, index) : json_lua_len(L, index);
}

static bool equal(lua_State *L, int a, int b, int depth);

static bool equal_arrays(lua_State *L, int a, int b, int depth)
{
	lua_Integer n = any_len(L, a);
	bool same = n == any_len(L, b);
	for (lua_Integer i = 1; same && i <= n; i++) {
		lua_pushinteger(L, i);
		any_get(L, a, lua_gettop(L));
		any_get(L, b, lua_gettop(L) - 1);
		same = equal(L, lua_gettop(L) - 1, lua_gettop(L), depth);
		lua_pop(L, 3);
	}
	return same;
}

static bool equal_objects(lua_State *L, int a, int b, int depth)
{
	int top = lua_gettop(L);
	bool same = true;
	lua_Integer count = 0;
	for (lua_pushnil(L); same && any_next(L, a); lua_settop(L, top + 1)) {
		any_get(L, b, top + 1);
		same = equal(L, top + 2, top + 3, depth);
		count++;
	}
	lua_settop(L, top);
	for (lua_pushnil(L); same && any_next(L, b); lua_pop(L, 1))
		same = --count >= 0;
	lua_settop(L, top);
	return same && count == 0;
}

/* Docs that are the same place, or the same canonical bytes. */
static bool same_bytes(lua_State *L, int a, int b)
{
	size_t a_len, b_len;
	const char *x = json_lua_bytes(L, a, &a_len), *y = x ? json_lua_bytes(L, b, &b_len) : NULL;
	return y && a_len == b_len && memcmp(x, y, a_len) == 0;
}

static bool equal(lua_State *L, int a, int b, int depth)
{
	if (lua_rawequal(L, a, b))
		return true;
	enum json_lua_kind kind = json_lua_kind(L, a);
	if (kind < JSON_LUA_ARRAY || kind != json_lua_kind(L, b))
		return false;
	if (same_bytes(L, a, b))
		return true;
	if (depth >= JSON_DEPTH)
		lua_error_raisef(L, ERROR_ARGUMENT, "json.equal: deeper than %d levels", JSON_DEPTH);
	luaL_checkstack(L, 12, "json.equal");
	return kind == JSON_LUA_ARRAY ? equal_arrays(L, a, b, depth + 1) : equal_objects(L, a, b, depth + 1);
}

static int l_equal(lua_State *L)
{
	lua_settop(L, 2);
	lua_pushboolean(L, equal(L, 1, 2, 0));
	return 1;
}

/* Charges `n` values to a copy. */
static void charge(lua_State *L, const struct json_state *st, int *left, uint32_t n)
{
	if (n > (uint32_t)*left)
		lua_error_raisef(L, ERROR_ARGUMENT, "json.copy: more than %d values", COPY_MAX);
	*left -= (int)n;
	if (st->tick && (n > 1 || *left % TICK == 0))
		st->tick(L);
}

/* A mutable copy of the value on top, in its place. */
static void copy(lua_State *L, struct json_state *st, int depth, int *left)
{
	const struct json_doc *doc = json_to_doc(L, st, -1);
	if (doc) {
		charge(L, st, left, doc->tree->nodes[doc->node].next - doc->node);
		json_push_plain(L, st, doc->tree, doc->node);
		lua_remove(L, -2);
		return;
	}
	if (json_to_view(L, st, -1)) {
		lua_getiuservalue(L, -1, 1);
		lua_remove(L, -2);
	}
	if (lua_type(L, -1) != LUA_TTABLE)
		return;
	if (depth >= JSON_DEPTH)
		lua_error_raisef(L, ERROR_ARGUMENT, "json.copy: deeper than %d levels, or a table that contains itself",
				 JSON_DEPTH);
	luaL_checkstack(L, 10, "json.copy");
	int from = lua_gettop(L), to = from + 1;
	lua_createtable(L, (int)lua_rawlen(L, from), 0);
	if (lua_getmetatable(L, from)) {
		if (lua_topointer(L, -1) == st->array_pointer)
			lua_setmetatable(L, to);
		lua_settop(L, to);
	}
	for (lua_pushnil(L); lua_next(L, from); lua_settop(L, to + 1)) {
		charge(L, st, left, 1);
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		copy(L, st, depth + 1, left);
		lua_rawset(L, to);
	}
	lua_replace(L, from);
	lua_settop(L, from);
}

static int l_copy(lua_State *L)
{
	int left = COPY_MAX;
	lua_settop(L, 1);
	copy(L, json_upvalue(L), 0, &left);
	return 1;
}

static int l_kind(lua_State *L)
{
	static const char *const names[] = {NULL, "null", "boolean", "number", "string", "array", "object"};
	luaL_checkany(L, 1);
	lua_pushstring(L, names[json_lua_kind(L, 1)]);
	return 1;
}

/* valueNamed (model 1). The parts below push what they find and return 1, or push nothing and return 0; -1: an error. */
struct named {
	struct json_state *st;
	struct json_scratch *scratch;
	size_t used;
	int name, left; /* tables that may still be looked into */
	const char *text;
	size_t len;
	struct error *e;
};

static uint32_t named_node(const struct json_tree *tree, uint32_t node, const char *name, size_t len)
{
	const struct json_node *n = &tree->nodes[node];
	bool object = n->kind == JSON_OBJECT;
	uint32_t found = object ? json_find(tree, node, name, len) : 0;
	if (found && tree->nodes[found].kind != JSON_NULL)
		return found;
	found = 0;
	for (uint32_t child = node + 1 + object; !found && child < n->next; child = tree->nodes[child].next + object)
		if (tree->nodes[child].kind >= JSON_ARRAY)
			found = named_node(tree, child, name, len);
	return found;
}

static int named(lua_State *L, struct named *search, int index, int depth);

static int named_in_array(lua_State *L, struct named *search, int index, int depth)
{
	lua_Integer n = (lua_Integer)lua_rawlen(L, index);
	int found = 0;
	for (lua_Integer i = 1; !found && i <= n; i++) {
		lua_rawgeti(L, index, i);
		found = named(L, search, lua_gettop(L), depth);
		lua_remove(L, found == 1 ? -2 : -1);
	}
	return found;
}

static int named_in_members(lua_State *L, struct named *search, int index, int depth)
{
	int top = lua_gettop(L), found = 0;
	size_t base = search->used;
	int count = json_items(L, search->scratch, base, index, true);
	if (count < 0) {
		lua_settop(L, top);
		return error_set(search->e, count == -2 ? ERROR_ARGUMENT : ERROR_SERVER, "json.value_named: %s",
				 count == -2 ? "values must be JSON; a table has a key that is no string"
					     : "no memory");
	}
	search->used += (size_t)count;
	for (int i = 0; !found && i < count; i++)
		found = named(L, search, search->scratch->items[base + (size_t)i].slot, depth);
	search->used = base;
	if (found == 1)
		lua_replace(L, top + 1);
	lua_settop(L, top + (found == 1));
	return found;
}

static int named_in_table(lua_State *L, struct named *search, int index, int depth)
{
	if (depth >= JSON_DEPTH)
		return error_set(search->e, ERROR_ARGUMENT,
				 "json.value_named: deeper than %d levels, or a table that contains itself",
				 JSON_DEPTH);
	if (--search->left < 0)
		return error_set(search->e, ERROR_ARGUMENT, "json.value_named: more than %d tables", SEARCH_MAX);
	if (!lua_checkstack(L, 12))
		return error_set(search->e, ERROR_SERVER, "json.value_named: no memory");
	if (table_kind(L, search->st, index) == JSON_LUA_ARRAY)
		return named_in_array(L, search, index, depth + 1);
	lua_pushvalue(L, search->name);
	lua_rawget(L, index);
	if (!lua_isnil(L, -1) && !(lua_islightuserdata(L, -1) && !lua_touserdata(L, -1)))
		return 1;
	lua_pop(L, 1);
	return named_in_members(L, search, index, depth + 1);
}

static int named(lua_State *L, struct named *search, int index, int depth)
{
	if (lua_type(L, index) == LUA_TTABLE)
		return named_in_table(L, search, index, depth);
	const struct json_doc *doc = json_to_doc(L, search->st, index);
	if (doc) {
		uint32_t node = named_node(doc->tree, doc->node, search->text, search->len);
		if (node)
			json_push_child(L, search->st, index, node);
		return node != 0;
	}
	if (!json_to_view(L, search->st, index))
		return 0;
	lua_getiuservalue(L, index, 1);
	int found = named_in_table(L, search, lua_gettop(L), depth);
	if (found == 1)
		json_wrap(L, search->st, index, search->name);
	lua_remove(L, found == 1 ? -2 : -1);
	return found;
}

static int l_value_named(lua_State *L)
{
	struct error e;
	lua_settop(L, 2);
	if (lua_type(L, 2) != LUA_TSTRING)
		return lua_error_raisef(L, ERROR_ARGUMENT, "json.value_named: the name must be a string, got %s",
					luaL_typename(L, 2));
	struct named search = {.st = json_upvalue(L), .name = 2, .left = SEARCH_MAX, .e = &e};
	search.text = lua_tolstring(L, 2, &search.len);
	search.scratch = json_take(L, search.st);
	int found = named(L, &search, 1, 0);
	json_give(search.st, search.scratch);
	if (found < 0)
		return lua_error_raise(L, &e);
	if (!found)
		lua_pushnil(L);
	return 1;
}

const luaL_Reg *json_deep_functions(void)
{
	static const luaL_Reg functions[] = {
		{"equal", l_equal}, {"copy", l_copy}, {"kind", l_kind}, {"value_named", l_value_named}, {NULL, NULL}};
	return functions;
}
