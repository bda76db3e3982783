/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "json/lua_part.h"

static const char STATE_KEY; /* its address is the key in the registry */

enum { KEEP_NODES = 1 << 14, KEEP_BYTES = 1 << 18, KEEP_ITEMS = 1 << 12 };

static int scratch_gc(lua_State *L)
{
	struct json_scratch *scratch = lua_touserdata(L, 1);
	json_tape_free(&scratch->tape);
	buf_free(&scratch->out);
	free(scratch->items);
	scratch->items = NULL;
	scratch->items_cap = 0;
	return 0;
}

struct json_scratch *json_take(lua_State *L, struct json_state *st)
{
	luaL_checkstack(L, 8, "JSON");
	if (!st->busy) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, st->scratch_ref);
		st->busy = true;
		return st->scratch;
	}
	struct json_scratch *scratch = lua_newuserdatauv(L, sizeof *scratch, 0);
	memset(scratch, 0, sizeof *scratch);
	lua_rawgeti(L, LUA_REGISTRYINDEX, st->scratch_meta);
	lua_setmetatable(L, -2);
	lua_pushvalue(L, -1);
	lua_rawseti(L, LUA_REGISTRYINDEX, st->scratch_ref);
	st->scratch = scratch;
	return scratch;
}

void json_give(struct json_state *st, struct json_scratch *scratch)
{
	if (scratch->tape.cap > KEEP_NODES)
		json_tape_free(&scratch->tape);
	if (scratch->out.cap > KEEP_BYTES)
		buf_free(&scratch->out);
	if (scratch->items_cap > KEEP_ITEMS) {
		free(scratch->items);
		scratch->items = NULL;
		scratch->items_cap = 0;
	}
	if (scratch == st->scratch)
		st->busy = false;
}

int json_metatable(lua_State *L, const char *name, const luaL_Reg *functions, int state, const void **pointer)
{
	lua_createtable(L, 0, 8);
	lua_pushvalue(L, state);
	luaL_setfuncs(L, functions, 1);
	lua_pushstring(L, name);
	lua_setfield(L, -2, "__name");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	if (pointer)
		*pointer = lua_topointer(L, -1);
	return luaL_ref(L, LUA_REGISTRYINDEX);
}

void json_push_key(lua_State *L, struct json_state *st, int cache, const char *text, size_t len)
{
	if (len == 0 || len > KEY_SIZE) {
		lua_pushlstring(L, text, len);
		return;
	}
	const unsigned char *p = (const unsigned char *)text;
	uint32_t slot = (uint32_t)len * 0x9E3779B1u + p[0] * 0x85EBCA6Bu + p[len - 1] * 0xC2B2AE35u +
			p[len / 2] * 0x27D4EB2Fu;
	slot = (slot ^ slot >> 15) % KEYS;
	if (st->keys[slot].len == len && memcmp(st->keys[slot].text, text, len) == 0) {
		lua_rawgeti(L, cache, slot + 1);
		return;
	}
	st->keys[slot].len = 0; /* what follows may raise or run a finalizer that comes here */
	lua_pushlstring(L, text, len);
	lua_pushvalue(L, -1);
	lua_rawseti(L, cache, slot + 1);
	memcpy(st->keys[slot].text, text, len);
	st->keys[slot].len = (unsigned char)len;
}

void json_push_text(lua_State *L, const struct json_tree *tree, uint32_t node)
{
	const struct json_node *n = &tree->nodes[node];
	size_t len;
	if (!(n->flags & JSON_ESCAPED)) {
		const char *text = json_text(tree, node, &len);
		lua_pushlstring(L, text, len);
		return;
	}
	luaL_Buffer b;
	char *out = luaL_buffinitsize(L, &b, n->end - n->start);
	luaL_pushresultsize(&b, json_unescape(tree, node, out));
}

struct builder {
	struct json_state *st;
	const struct json_tree *tree;
	int cache, array_meta;
};

static void build(lua_State *L, const struct builder *b, uint32_t node);

/* Called with each child: a value that a script has asked for counts as its time. */
static inline void count_child(lua_State *L, const struct builder *b, lua_Integer i)
{
	if ((i & 255) == 0 && b->st->tick)
		b->st->tick(L);
}

static void build_array(lua_State *L, const struct builder *b, uint32_t node)
{
	const struct json_node *n = &b->tree->nodes[node];
	lua_Integer i = 0;
	lua_createtable(L, (int)n->count, 0);
	for (uint32_t child = node + 1; child < n->next; child = b->tree->nodes[child].next) {
		build(L, b, child);
		lua_rawseti(L, -2, ++i);
		count_child(L, b, i);
	}
	lua_pushvalue(L, b->array_meta);
	lua_setmetatable(L, -2);
}

/* The members of an object, into the table on top. */
static void build_members(lua_State *L, const struct builder *b, uint32_t node)
{
	const struct json_tree *tree = b->tree;
	const struct json_node *n = &tree->nodes[node];
	lua_Integer i = 0;
	for (uint32_t key = node + 1; key < n->next; key = tree->nodes[key + 1].next) {
		if (tree->nodes[key].flags & JSON_ESCAPED) {
			json_push_text(L, tree, key);
		} else {
			size_t len;
			const char *text = json_text(tree, key, &len);
			json_push_key(L, b->st, b->cache, text, len);
		}
		build(L, b, key + 1);
		lua_rawset(L, -3);
		count_child(L, b, ++i);
	}
}

static void build_object(lua_State *L, const struct builder *b, uint32_t node)
{
	lua_createtable(L, 0, (int)b->tree->nodes[node].count);
	build_members(L, b, node);
}

void json_push_scalar(lua_State *L, const struct json_tree *tree, uint32_t node)
{
	switch (tree->nodes[node].kind) {
	case JSON_NULL:
		lua_pushlightuserdata(L, NULL);
		break;
	case JSON_INT:
		lua_pushinteger(L, json_int(tree, node));
		break;
	case JSON_FLOAT:
		lua_pushnumber(L, json_float(tree, node));
		break;
	case JSON_STRING:
		json_push_text(L, tree, node);
		break;
	default:
		lua_pushboolean(L, tree->nodes[node].kind == JSON_TRUE);
	}
}

static void build(lua_State *L, const struct builder *b, uint32_t node)
{
	uint8_t kind = b->tree->nodes[node].kind;
	if (kind == JSON_OBJECT)
		build_object(L, b, node);
	else if (kind == JSON_ARRAY)
		build_array(L, b, node);
	else
		json_push_scalar(L, b->tree, node);
}

/* Pushes two values, which what is built then replaces. */
static struct builder builder(lua_State *L, struct json_state *st, const struct json_tree *tree)
{
	luaL_checkstack(L, 3 * (int)tree->depth + 16, "JSON");
	lua_rawgeti(L, LUA_REGISTRYINDEX, st->key_table);
	lua_rawgeti(L, LUA_REGISTRYINDEX, st->array_meta);
	return (struct builder){.st = st, .tree = tree, .cache = lua_gettop(L) - 1, .array_meta = lua_gettop(L)};
}

void json_push_plain(lua_State *L, struct json_state *st, const struct json_tree *tree, uint32_t node)
{
	if (tree->nodes[node].kind < JSON_ARRAY) {
		json_push_scalar(L, tree, node);
		return;
	}
	const struct builder b = builder(L, st, tree);
	build(L, &b, node);
	lua_replace(L, b.cache);
	lua_settop(L, b.cache);
}

int json_lua_push_value(lua_State *L, const char *bytes, size_t len, const struct json_limits *limits, struct error *e)
{
	struct json_state *st = json_state(L);
	struct json_scratch *scratch = json_take(L, st);
	int rc = json_parse(&scratch->tape, bytes, len, limits, e);
	if (rc == 0) {
		json_push_plain(L, st, &scratch->tape.tree, 0);
		lua_remove(L, -2);
	} else {
		lua_pop(L, 1);
	}
	json_give(st, scratch);
	return rc;
}

int json_lua_set_members(lua_State *L, int table, const char *bytes, size_t len, struct error *e)
{
	struct json_state *st = json_state(L);
	table = lua_absindex(L, table);
	struct json_scratch *scratch = json_take(L, st);
	int rc = json_parse(&scratch->tape, bytes, len, NULL, e);
	const struct json_tree *tree = &scratch->tape.tree;
	if (rc == 0 && tree->nodes->kind != JSON_OBJECT)
		rc = error_set(e, ERROR_ARGUMENT, "a JSON object expected");
	if (rc == 0) {
		const struct builder b = builder(L, st, tree);
		lua_pushvalue(L, table);
		build_members(L, &b, 0);
		lua_settop(L, b.cache - 1);
	}
	lua_pop(L, 1);
	json_give(st, scratch);
	return rc;
}

void json_lua_push_word(lua_State *L, const char *text, size_t len)
{
	struct json_state *st = json_state(L);
	luaL_checkstack(L, 4, "JSON");
	lua_rawgeti(L, LUA_REGISTRYINDEX, st->key_table);
	json_push_key(L, st, lua_gettop(L), text, len);
	lua_remove(L, -2);
}

void json_check_limits(lua_State *L, int index, struct json_limits *limits)
{
	static const char *const names[] = {"depth", "size"};
	size_t *const fields[] = {&limits->depth, &limits->size}, most[] = {JSON_DEPTH_MAX, JSON_SIZE_MAX};
	if (lua_isnoneornil(L, index))
		return;
	luaL_checktype(L, index, LUA_TTABLE);
	for (int i = 0; i < 2; i++) {
		lua_getfield(L, index, names[i]);
		if (!lua_isnil(L, -1)) {
			lua_Integer value = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : -1;
			if (value < 0 || (size_t)value > most[i])
				lua_error_raisef(L, ERROR_ARGUMENT, "limits.%s must be an integer from 0 to %zu",
						 names[i], most[i]);
			*fields[i] = (size_t)value;
		}
		lua_pop(L, 1);
	}
}

static const char *check_bytes(lua_State *L, int index, size_t *len)
{
	if (lua_type(L, index) != LUA_TSTRING)
		lua_error_raisef(L, ERROR_ARGUMENT, "JSON bytes expected, got %s", luaL_typename(L, index));
	return lua_tolstring(L, index, len);
}

static int l_decode(lua_State *L)
{
	struct json_state *st = json_upvalue(L);
	struct json_limits limits = {JSON_DEPTH, JSON_SIZE};
	size_t len;
	const char *bytes = check_bytes(L, 1, &len);
	json_check_limits(L, 2, &limits);
	struct error e;
	struct json_scratch *scratch = json_take(L, st);
	if (json_parse(&scratch->tape, bytes, len, &limits, &e)) {
		json_give(st, scratch);
		return lua_error_raise(L, &e);
	}
	json_push_plain(L, st, &scratch->tape.tree, 0);
	json_give(st, scratch);
	return 1;
}

static int l_canonical(lua_State *L)
{
	struct json_state *st = json_upvalue(L);
	struct json_limits limits = {JSON_DEPTH, JSON_SIZE};
	size_t len;
	const char *bytes = check_bytes(L, 1, &len);
	json_check_limits(L, 2, &limits);
	struct error e;
	struct json_scratch *scratch = json_take(L, st);
	buf_clear(&scratch->out);
	int rc = json_parse(&scratch->tape, bytes, len, &limits, &e);
	if (rc == 0 && scratch->tape.tree.canonical && scratch->tape.nodes->end - scratch->tape.nodes->start == len) {
		json_give(st, scratch);
		lua_pushvalue(L, 1);
		return 1;
	}
	if (rc == 0 && json_write(&scratch->tape.tree, 0, &scratch->out))
		rc = error_set(&e, ERROR_SERVER, "no memory for a JSON text of %zu bytes", len);
	if (rc) {
		json_give(st, scratch);
		return lua_error_raise(L, &e);
	}
	lua_pushlstring(L, scratch->out.data, scratch->out.len);
	json_give(st, scratch);
	return 1;
}

static int l_encode(lua_State *L)
{
	struct json_state *st = json_upvalue(L);
	luaL_checkany(L, 1);
	lua_Integer max = luaL_optinteger(L, 2, JSON_ENCODE_MAX);
	luaL_argcheck(L, max > 0 && max <= JSON_ENCODE_MAX, 2, "the most bytes, up to 64 MiB");
	lua_Integer depth = luaL_optinteger(L, 3, 0);
	luaL_argcheck(L, depth >= 0 && depth <= JSON_DEPTH, 3, "the levels around it, up to 100");
	struct error e;
	struct json_scratch *scratch = json_take(L, st);
	buf_clear(&scratch->out);
	if (json_encode_with(L, st, scratch, 1, (size_t)max, (size_t)depth, &scratch->out, &e)) {
		json_give(st, scratch);
		return lua_error_raise(L, &e);
	}
	lua_pushlstring(L, scratch->out.data, scratch->out.len);
	json_give(st, scratch);
	return 1;
}

int json_lua_encode(lua_State *L, int index, struct buf *out, struct error *e)
{
	struct json_scratch scratch = {0};
	size_t before = out->len;
	int rc = json_encode_with(L, json_state(L), &scratch, index, JSON_ENCODE_MAX, 0, out, e);
	free(scratch.items);
	if (rc)
		out->len = before;
	return rc;
}

void json_lua_push_null(lua_State *L)
{
	lua_pushlightuserdata(L, NULL);
}

void json_lua_mark_array(lua_State *L)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, json_state(L)->array_meta);
	lua_setmetatable(L, -2);
}

static int l_array(lua_State *L)
{
	if (lua_isnoneornil(L, 1)) {
		lua_settop(L, 0);
		lua_newtable(L);
	} else if (lua_type(L, 1) != LUA_TTABLE) {
		return lua_error_raisef(L, ERROR_ARGUMENT, "json.array needs a plain table, got %s",
					luaL_typename(L, 1));
	}
	lua_settop(L, 1);
	lua_rawgeti(L, LUA_REGISTRYINDEX, ((struct json_state *)json_upvalue(L))->array_meta);
	lua_setmetatable(L, 1);
	return 1;
}

static int l_is_array(lua_State *L)
{
	lua_pushboolean(L, json_lua_kind(L, 1) == JSON_LUA_ARRAY);
	return 1;
}

static const luaL_Reg functions[] = {{"decode", l_decode}, {"encode", l_encode},     {"canonical", l_canonical},
				     {"array", l_array},   {"is_array", l_is_array}, {NULL, NULL}};

/* Pushes the state's userdata, made at first use. */
static struct json_state *push_state(lua_State *L)
{
	static const luaL_Reg none[] = {{NULL, NULL}}, collect[] = {{"__gc", scratch_gc}, {NULL, NULL}};
	luaL_checkstack(L, 12, "JSON");
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &STATE_KEY) == LUA_TUSERDATA)
		return lua_touserdata(L, -1);
	lua_pop(L, 1);
	struct json_state *st = lua_newuserdatauv(L, sizeof *st, 0);
	int state = lua_gettop(L);
	memset(st, 0, sizeof *st);
	st->busy = true;
	st->array_meta = json_metatable(L, "array", none, state, &st->array_pointer);
	st->class_meta = json_metatable(L, "class", none, state, &st->class_pointer);
	st->scratch_meta = json_metatable(L, "scratch", collect, state, NULL);
	lua_createtable(L, KEYS, 0);
	for (int i = 1; i <= KEYS; i++) {
		lua_pushboolean(L, 0);
		lua_rawseti(L, -2, i);
	}
	st->key_table = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_newtable(L);
	st->scratch_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	json_open_doc(L, st, state);
	json_open_view(L, st, state);
	json_give(st, json_take(L, st));
	lua_settop(L, state);
	lua_pushvalue(L, state);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &STATE_KEY);
	return st;
}

struct json_state *json_state(lua_State *L)
{
	struct json_state *st = push_state(L);
	lua_pop(L, 1);
	return st;
}

void json_lua_on_work(lua_State *L, void (*tick)(lua_State *L))
{
	json_state(L)->tick = tick;
}

int luaopen_core_json(lua_State *L)
{
	push_state(L);
	int state = lua_gettop(L);
	lua_createtable(L, 0, 20);
	lua_pushvalue(L, state);
	luaL_setfuncs(L, functions, 1);
	lua_pushvalue(L, state);
	luaL_setfuncs(L, json_doc_functions(), 1);
	lua_pushvalue(L, state);
	luaL_setfuncs(L, json_view_functions(), 1);
	lua_pushvalue(L, state);
	luaL_setfuncs(L, json_deep_functions(), 1);
	lua_pushlightuserdata(L, NULL);
	lua_setfield(L, -2, "null");
	return 1;
}
