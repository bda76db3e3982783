/* SPDX-License-Identifier: MIT
 *
 * The modules "cjson" and "cjson.safe" for scripts, with the manners of lua-cjson 2.1: what is an array, sparse arrays,
 * numbers as keys, the texts of its errors. Reading is core/json's; `null` is the same value as everywhere here.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script/strings.h"

#define DEPTH        100
#define SPARSE_RATIO 2 /* an array of more than SPARSE_SAFE places, of which less than half are filled, is refused */
#define SPARSE_SAFE  10

struct encoder {
	lua_State *L;
	struct script *script;
	int box, pairs; /* places on the stack: the bytes so far, a userdata; our `pairs` */
	size_t len, cap;
};

static void encode(struct encoder *e, int index, int depth);

/* The bytes are the script's memory: a userdata, freed by whatever ends it. */
static void put(struct encoder *e, const char *bytes, size_t len)
{
	if (len > e->cap - e->len) {
		script_check_text(e->L, e->script, "cjson.encode", e->len + len);
		size_t cap = e->cap * 2 > e->len + len ? e->cap * 2 : e->len + len;
		char *larger = lua_newuserdatauv(e->L, cap, 0);
		memcpy(larger, lua_touserdata(e->L, e->box), e->len);
		lua_replace(e->L, e->box);
		e->cap = cap;
	}
	memcpy((char *)lua_touserdata(e->L, e->box) + e->len, bytes, len);
	e->len += len;
}

static void put_text(struct encoder *e, const char *text)
{
	put(e, text, strlen(text));
}

static void encode_string(struct encoder *e, int index)
{
	static const char special[] = "\b\t\n\f\r\"\\", letters[] = "btnfr\"\\";
	size_t len, from = 0;
	const char *s = lua_tolstring(e->L, index, &len);
	script_check_text(e->L, e->script, "cjson.encode", len);
	if (!utf8_valid(s, len, NULL))
		luaL_error(e->L, "Cannot serialise string: it is not UTF-8");
	put(e, "\"", 1);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];
		char escape[8];
		if (c >= ' ' && c != '"' && c != '\\')
			continue;
		put(e, s + from, i - from);
		from = i + 1;
		const char *place = memchr(special, c, sizeof special - 1);
		if (place)
			snprintf(escape, sizeof escape, "\\%c", letters[place - special]);
		else
			snprintf(escape, sizeof escape, "\\u%04x", c);
		put_text(e, escape);
	}
	put(e, s + from, len - from);
	put(e, "\"", 1);
}

/* Integers without a fraction, also where they are floats; others by the fewest digits that give them back. */
static void push_number(lua_State *L, int index)
{
	char text[40];
	lua_Number n = lua_tonumber(L, index);
	if (lua_isinteger(L, index)) {
		snprintf(text, sizeof text, LUA_INTEGER_FMT, lua_tointeger(L, index));
	} else if (!isfinite(n)) {
		luaL_error(L, "Cannot serialise number: must not be NaN or Infinity");
	} else {
		for (int digits = 15; digits <= 17; digits++) {
			snprintf(text, sizeof text, "%.*g", digits, n);
			if (strtod(text, NULL) == n)
				break;
		}
	}
	lua_pushstring(L, text);
}

static void encode_number(struct encoder *e, int index)
{
	size_t len;
	push_number(e->L, index);
	const char *text = lua_tolstring(e->L, -1, &len);
	put(e, text, len);
	lua_pop(e->L, 1);
}

/* The highest index if all keys are positive integers, else -1. */
static lua_Integer array_length(struct encoder *e, int index)
{
	lua_State *L = e->L;
	lua_Integer max = 0, count = 0;
	lua_pushnil(L);
	while (lua_next(L, index)) {
		lua_pop(L, 1);
		script_tick(L, e->script);
		lua_Integer key = lua_type(L, -1) == LUA_TNUMBER ? lua_tointeger(L, -1) : 0;
		if (key < 1) {
			lua_pop(L, 1);
			return -1;
		}
		max = key > max ? key : max;
		count++;
	}
	if (max > SPARSE_SAFE && max / SPARSE_RATIO > count)
		luaL_error(L, "Cannot serialise table: excessively sparse array");
	return max;
}

static void encode_array(struct encoder *e, int index, lua_Integer n, int depth)
{
	put(e, "[", 1);
	for (lua_Integer i = 1; i <= n; i++) {
		if (i > 1)
			put(e, ",", 1);
		if (lua_type(e->L, index) == LUA_TTABLE)
			lua_rawgeti(e->L, index, i);
		else
			json_lua_geti(e->L, index, i);
		encode(e, lua_gettop(e->L), depth);
		lua_pop(e->L, 1);
	}
	put(e, "]", 1);
}

static void encode_key(struct encoder *e, int index)
{
	int type = lua_type(e->L, index);
	if (type == LUA_TNUMBER)
		push_number(e->L, index);
	else if (type == LUA_TSTRING)
		lua_pushvalue(e->L, index);
	else
		luaL_error(e->L, "Cannot serialise %s: table key must be a number or string", lua_typename(e->L, type));
	encode_string(e, lua_gettop(e->L));
	put(e, ":", 1);
	lua_pop(e->L, 1);
}

/* In the order of `pairs`, but without its metamethod. */
static void encode_object(struct encoder *e, int index, int depth)
{
	lua_State *L = e->L;
	int top = lua_gettop(L), count = 0;
	lua_pushvalue(L, e->pairs);
	lua_pushvalue(L, index);
	lua_call(L, 1, 3);
	put(e, "{", 1);
	for (;; count++) {
		lua_pushvalue(L, top + 1);
		lua_pushvalue(L, top + 2);
		lua_pushvalue(L, top + 3);
		lua_call(L, 2, 2);
		if (lua_isnil(L, -2))
			break;
		if (count > 0)
			put(e, ",", 1);
		encode_key(e, lua_gettop(L) - 1);
		encode(e, lua_gettop(L), depth);
		lua_pop(L, 1);
		lua_replace(L, top + 3);
	}
	put(e, "}", 1);
	lua_settop(L, top);
}

static void encode_table(struct encoder *e, int index, int depth)
{
	lua_State *L = e->L;
	if (depth > DEPTH)
		luaL_error(L, "Cannot serialise, excessive depth (%d)", depth);
	luaL_checkstack(L, 16, "no room to encode");
	bool array = json_lua_kind(L, index) == JSON_LUA_ARRAY;
	if (lua_type(L, index) == LUA_TUSERDATA) {
		if (array)
			encode_array(e, index, json_lua_len(L, index), depth);
		else
			encode_object(e, index, depth);
		return;
	}
	lua_Integer n = array_length(e, index);
	if (n > 0 || (n == 0 && array))
		encode_array(e, index, n, depth);
	else
		encode_object(e, index, depth);
}

static void encode(struct encoder *e, int index, int depth)
{
	lua_State *L = e->L;
	int type = lua_type(L, index);
	script_tick(L, e->script);
	if (type == LUA_TTABLE || script_is_doc(L, index))
		encode_table(e, index, depth + 1);
	else if (type == LUA_TSTRING)
		encode_string(e, index);
	else if (type == LUA_TNUMBER)
		encode_number(e, index);
	else if (type == LUA_TBOOLEAN)
		put_text(e, lua_toboolean(L, index) ? "true" : "false");
	else if (type == LUA_TNIL || (type == LUA_TLIGHTUSERDATA && !lua_touserdata(L, index)))
		put_text(e, "null");
	else
		luaL_error(L, "Cannot serialise %s: type not supported", lua_typename(L, type));
}

static int c_encode(lua_State *L)
{
	struct encoder e = {.L = L, .script = script_of(L), .box = 3, .pairs = 2, .cap = 256};
	luaL_argcheck(L, lua_gettop(L) == 1, 1, "expected 1 argument");
	lua_pushcfunction(L, script_raw_pairs);
	lua_newuserdatauv(L, e.cap, 0);
	encode(&e, 1, 0);
	script_check_text(L, e.script, "cjson.encode", e.len);
	lua_pushlstring(L, lua_touserdata(L, e.box), e.len);
	return 1;
}

/* Pushes the value, or nothing and false with what is wrong. */
static bool decode(lua_State *L, struct error *error)
{
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);
	struct json_limits limits = {JSON_DEPTH, JSON_SIZE};
	lua_settop(L, 1); /* the text stays while it is read */
	return json_lua_push_value(L, text, len, &limits, error) == 0;
}

static int c_decode(lua_State *L)
{
	struct error error = {0};
	if (!decode(L, &error))
		return luaL_error(L, "%s", error.message);
	return 1;
}

static int safe_decode(lua_State *L)
{
	struct error error = {0};
	if (decode(L, &error))
		return 1;
	lua_pushnil(L);
	lua_pushstring(L, error.message);
	return 2;
}

static int safe_encode(lua_State *L)
{
	lua_pushcfunction(L, c_encode);
	lua_insert(L, 1);
	int status = lua_pcall(L, lua_gettop(L) - 1, 1, 0);
	if (script_killed(script_of(L)))
		return script_die(L);
	if (status == LUA_OK)
		return 1;
	lua_pushnil(L);
	lua_insert(L, -2);
	return 2;
}

/* What lua-cjson sets for everybody. Upvalue: its name. */
static int refuse_setting(lua_State *L)
{
	return luaL_error(L, "%s is not available: modules are shared, so their settings can't be changed",
			  lua_tostring(L, lua_upvalueindex(1)));
}

void script_push_cjson(lua_State *L, bool safe)
{
	static const char *const settings[] = {
		"decode_array_with_array_mt", "decode_invalid_numbers",
		"decode_max_depth",           "encode_empty_table_as_object",
		"encode_invalid_numbers",     "encode_keep_buffer",
		"encode_max_depth",           "encode_number_precision",
		"encode_sparse_array",        "new",
	};
	lua_createtable(L, 0, 16);
	lua_pushcfunction(L, safe ? safe_decode : c_decode);
	lua_setfield(L, -2, "decode");
	lua_pushcfunction(L, safe ? safe_encode : c_encode);
	lua_setfield(L, -2, "encode");
	json_lua_push_null(L);
	lua_setfield(L, -2, "null");
	lua_pushliteral(L, "cjson");
	lua_setfield(L, -2, "_NAME");
	lua_pushliteral(L, "2.1.0");
	lua_setfield(L, -2, "_VERSION");
	for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
		lua_pushfstring(L, "cjson.%s", settings[i]);
		lua_pushcclosure(L, refuse_setting, 1);
		lua_setfield(L, -2, settings[i]);
	}
}
