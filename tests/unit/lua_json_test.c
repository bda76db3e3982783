/* SPDX-License-Identifier: MIT
 *
 * Runs lua_json_test.lua, also under a hostile collector; then what only C can do: no memory, finalizers, the C face.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <lauxlib.h>
#include <lualib.h>

#include "json/lua_json.h"

static int traceback(lua_State *L)
{
	luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
	return 1;
}

static void run(lua_State *L, const char *mode)
{
	luaL_openlibs(L);
	luaL_requiref(L, "core.json", luaopen_core_json, 0);
	lua_settop(L, 0);
	lua_pushcfunction(L, traceback);
	if (luaL_loadfile(L, "tests/unit/lua_json_test.lua"))
		fail_msg("%s", lua_tostring(L, -1));
	lua_pushstring(L, mode);
	if (lua_pcall(L, 1, 0, 1))
		fail_msg("%s", lua_tostring(L, -1));
	assert_int_equal(lua_gettop(L), 1);
}

static void in_lua(void **state)
{
	(void)state;
	lua_State *L = luaL_newstate();
	run(L, "whole");
	lua_close(L);
}

/* Every block moves at every resize, and a full collection runs as often as Lua lets it. */
static void *moving(void *arg, void *block, size_t old, size_t size)
{
	(void)arg;
	void *fresh = size ? malloc(size) : NULL;
	if (block && fresh)
		memcpy(fresh, block, old < size ? old : size);
	if (fresh || size == 0)
		free(block);
	return fresh;
}

static void under_a_hostile_collector(void **state)
{
	(void)state;
	lua_State *L = lua_newstate(moving, NULL);
	lua_gc(L, LUA_GCINC, 1, 1000, 1);
	lua_gc(L, LUA_GCSETPAUSE, 0);
	run(L, "hostile");
	lua_close(L);
}

/* A finalizer that uses the codec in the middle of the codec's own work. */
static void in_finalizers(void **state)
{
	(void)state;
	lua_State *L = lua_newstate(moving, NULL);
	luaL_openlibs(L);
	luaL_requiref(L, "json", luaopen_core_json, 1);
	lua_gc(L, LUA_GCINC, 1, 1000, 1);
	static const char chunk[] =
		"local text = '{\"b\":[1,2,{\"x\":\"y\\\\n\"}],\"a\":{\"k\":[{}]}}'\n"
		"local want, runs = json.canonical(text), 0\n"
		"local function arm() setmetatable({}, {__gc = function() runs = runs + 1\n"
		"  assert(json.encode(json.decode(text)) == want and json.encode(json.doc(text)) == want) end}) end\n"
		"for _ = 1, 500 do arm() assert(json.encode(json.decode(text)) == want)\n"
		"  arm() assert(json.canonical(text) == want) arm() assert(json.doc(text).b[3].x == 'y\\n')\n"
		"  arm() assert(json.value_named(json.doc(text), 'k')) end\n"
		"assert(runs > 100)";
	if (luaL_dostring(L, chunk))
		fail_msg("%s", luaL_tolstring(L, -1, NULL));
	lua_close(L);
}

struct budget {
	size_t left;
};

static void *limited(void *arg, void *block, size_t old, size_t size)
{
	struct budget *budget = arg;
	if (size > (block ? old : 0)) {
		if (budget->left == 0)
			return NULL;
		budget->left--;
	}
	return moving(NULL, block, old, size);
}

static int try_all(lua_State *L)
{
	luaL_requiref(L, "json", luaopen_core_json, 1);
	static const char chunk[] = "local text = '{\"b\":[1,2,{\"x\":\"y\\\\n\"}],\"a\":{\"k\":[{}]}}'\n"
				    "local v, d = json.decode(text), json.doc(text)\n"
				    "for k, x in pairs(d) do json.view(v)[k] = nil end";
	static const char more[] =
		"local text = '{\"b\":[1,2,{\"x\":\"y\\\\n\"}],\"a\":{\"k\":[{}]}}'\n"
		"local v, d = json.decode(text), json.doc(text)\n"
		"json.encode(v) json.canonical(text) json.copy(d) json.equal(v, d) json.value_named(v, 'k')\n"
		"return json.view(v), d";
	if (luaL_dostring(L, chunk) == LUA_OK)
		return luaL_error(L, "writing was allowed");
	if (luaL_loadstring(L, more))
		return lua_error(L);
	lua_call(L, 0, 2);
	for (int i = -2; i < 0; i++) {
		int face = lua_absindex(L, i);
		lua_pushnil(L);
		while (json_lua_next(L, face))
			lua_pop(L, 1);
	}
	return 0;
}

/* Every allocation fails once: an error, never a crash or a leak. */
static void without_memory(void **state)
{
	(void)state;
	bool done = false;
	for (size_t n = 20; !done && n < 5000; n++) {
		struct budget budget = {SIZE_MAX};
		lua_State *L = lua_newstate(limited, &budget);
		lua_pushcfunction(L, try_all);
		budget.left = n;
		int rc = lua_pcall(L, 0, 0, 0);
		done = rc == LUA_OK;
		assert_true(rc == LUA_OK || rc == LUA_ERRMEM || rc == LUA_ERRRUN);
		budget.left = SIZE_MAX;
		lua_settop(L, 0);
		lua_pushcfunction(L, try_all);
		if (lua_pcall(L, 0, 0, 0))
			fail_msg("after a failure at %zu: %s", n, luaL_tolstring(L, -1, NULL));
		lua_close(L);
	}
	assert_true(done);
}

/* The face for other C files. */
static void from_c(void **state)
{
	(void)state;
	lua_State *L = luaL_newstate();
	struct error e;
	struct buf out = {0};
	static const char text[] = "{\"b\":[5,6],\"a\":null,\"c\":\"s\"}";
	assert_int_equal(json_lua_push_doc(L, text, sizeof text - 1, NULL, &e), 0);
	assert_int_equal(lua_gettop(L), 1);
	assert_true(json_lua_is_doc(L, 1) && json_lua_is_face(L, 1));
	assert_int_equal(json_lua_kind(L, 1), JSON_LUA_OBJECT);
	size_t len;
	assert_null(json_lua_bytes(L, 1, &len));
	assert_int_equal(json_lua_encode(L, 1, &out, &e), 0);
	assert_string_equal(out.data, "{\"a\":null,\"b\":[5,6],\"c\":\"s\"}");
	lua_pushnil(L);
	int n = 0;
	while (json_lua_next(L, 1)) {
		n++;
		lua_pop(L, 1);
	}
	assert_int_equal(n, 3);
	json_lua_getfield(L, 1, "b", 1);
	assert_int_equal(json_lua_len(L, -1), 2);
	json_lua_geti(L, -1, 2);
	assert_int_equal(lua_tointeger(L, -1), 6);
	lua_settop(L, 0);
	assert_int_equal(json_lua_push_doc(L, "{", 1, NULL, &e), -1);
	assert_int_equal(lua_gettop(L), 0);
	assert_int_equal(json_lua_push_value(L, "[1,]", 4, NULL, &e), -1);
	assert_int_equal(lua_gettop(L), 0);
	assert_int_equal(json_lua_push_value(L, "[1,{}]", 6, NULL, &e), 0);
	assert_int_equal(lua_gettop(L), 1);
	assert_int_equal(lua_rawlen(L, 1), 2);
	lua_pushcfunction(L, luaopen_core_json);
	lua_rawseti(L, 1, 3);
	size_t before = out.len;
	assert_int_equal(json_lua_encode(L, 1, &out, &e), -1);
	assert_int_equal(out.len, before);
	assert_int_equal(e.code, ERROR_ARGUMENT);
	assert_int_equal(lua_gettop(L), 1);
	buf_free(&out);
	lua_close(L);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(in_lua), cmocka_unit_test(under_a_hostile_collector),
					   cmocka_unit_test(in_finalizers), cmocka_unit_test(without_memory),
					   cmocka_unit_test(from_c)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
