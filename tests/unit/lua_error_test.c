/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <lauxlib.h>
#include <lualib.h>

#include "base/lua_error.h"

static int setup(void **state)
{
	lua_State *L = luaL_newstate();
	luaL_openlibs(L);
	*state = L;
	return 0;
}

static int teardown(void **state)
{
	lua_close(*state);
	return 0;
}

static int raises(lua_State *L)
{
	struct error e;
	error_set(&e, ERROR_NOT_FOUND, "no file %s", "x");
	error_wrap(&e, ERROR_TASK, "loading");
	return lua_error_raise(L, &e);
}

static void keeps_code_message_and_cause(void **state)
{
	lua_State *L = *state;
	lua_pushcfunction(L, raises);
	assert_int_equal(lua_pcall(L, 0, 0, 0), LUA_ERRRUN);
	assert_true(lua_error_is(L, -1));
	struct error e;
	lua_error_from(L, -1, &e);
	assert_int_equal(e.code, ERROR_TASK);
	assert_string_equal(e.message, "loading");
	assert_string_equal(e.cause, "no file x");
	assert_int_equal(lua_gettop(L), 1);
	assert_string_equal(luaL_tolstring(L, -1, NULL), "loading");
	lua_settop(L, 0);
}

static void takes_anything(void **state)
{
	static const struct {
		const char *chunk, *message, *cause;
		int code;
	} rows[] = {
		{"return 'text'", "text", "", ERROR_SERVER},
		{"return 12", "an error object that is a number value", "", ERROR_SERVER},
		{"return nil", "an error object that is a nil value", "", ERROR_SERVER},
		{"return {}", "an error object without a message", "", ERROR_SERVER},
		{"return {code = 'x', message = {}}", "an error object without a message", "", ERROR_SERVER},
		{"return {code = 4200, message = 'm', cause = {message = 'below'}}", "m", "below", ERROR_ARGUMENT},
		{"local t = {code = 4000, message = 'm'} t.cause = t return t", "m", "m", ERROR_CLIENT},
		{"return setmetatable({message = 'm'}, {__index = error, __tostring = error})", "m", "", ERROR_SERVER},
		{"return {message = ('x'):rep(477) .. '\\u{20ac}'}", NULL, "", ERROR_SERVER},
	};
	lua_State *L = *state;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		assert_int_equal(luaL_dostring(L, rows[i].chunk), LUA_OK);
		struct error e;
		assert_false(lua_error_is(L, -1));
		lua_error_from(L, -1, &e);
		assert_int_equal(e.code, rows[i].code);
		assert_string_equal(e.cause, rows[i].cause);
		if (rows[i].message)
			assert_string_equal(e.message, rows[i].message);
		else
			assert_true(utf8_valid(e.message, strlen(e.message), NULL));
		lua_settop(L, 0);
	}
}

static void metatable_is_closed(void **state)
{
	lua_State *L = *state;
	struct error e;
	error_set(&e, ERROR_CLIENT, "bad");
	lua_error_push(L, &e);
	lua_setglobal(L, "e");
	assert_int_equal(luaL_dostring(L, "assert(getmetatable(e) == 'srvthreds.error' and tostring(e) == 'bad')"
					  "assert(not pcall(setmetatable, e, {}))"),
			 LUA_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(keeps_code_message_and_cause),
					   cmocka_unit_test(takes_anything), cmocka_unit_test(metatable_is_closed)};
	return cmocka_run_group_tests(tests, setup, teardown);
}
