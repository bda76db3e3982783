/* SPDX-License-Identifier: MIT
 *
 * Runs lua_json_test.lua: once as it is, once with a full collection at every allocation.
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

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(in_lua)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
