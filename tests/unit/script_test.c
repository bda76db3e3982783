/* SPDX-License-Identifier: MIT
 *
 * The sandbox. Most tests are Lua files beside this one, run as a task on a real loop:
 *   script_basics.lua script_attacks.lua script_semantics.lua script_strings.lua script_generated.lua
 *   script_environment.lua script_memory.lua script_collide.lua script_order.lua script_meters.lua
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "json/lua_json.h"
#include "runtime/task.h"
#include "script/private.h"
#include "script/script.h"

struct bench {
	struct runtime *rt;
	lua_State *L;
	int errors;
};

static void on_error(void *arg, const char *message)
{
	struct bench *b = arg;
	fprintf(stderr, "%s\n", message);
	b->errors++;
	runtime_stop(b->rt, 1);
}

/* stock(source, ...) -> what a stock Lua makes of it, as text; the arguments are texts. */
static int l_stock(lua_State *L)
{
	const char *source = luaL_checkstring(L, 1);
	lua_State *other = luaL_newstate();
	luaL_openlibs(other);
	bool ok = luaL_loadbufferx(other, source, strlen(source), "=x", "t") == LUA_OK && !lua_pcall(other, 0, 1, 0);
	size_t len;
	const char *text = luaL_tolstring(other, -1, &len);
	lua_pushstring(L, ok ? "ok:" : "error:");
	lua_pushlstring(L, text, len);
	lua_concat(L, 2);
	lua_close(other);
	return 1;
}

/* slice(us) sets the length of a slice; gives how many pre-emptions there were so far. */
static int l_slice(lua_State *L)
{
	struct script *s = script_of(L);
	s->slice_ns = luaL_checkinteger(L, 1) * 1000;
	lua_pushinteger(L, (lua_Integer)s->preempted);
	return 1;
}

static int l_cpu_ms(lua_State *L)
{
	lua_pushnumber(L, (lua_Number)clock_ns(CLOCK_THREAD_CPUTIME_ID) / 1e6);
	return 1;
}

/* Times in tests are for release builds. */
#if defined(__SANITIZE_ADDRESS__) || !defined(NDEBUG)
#define SLOWER 20
#else
#define SLOWER 1
#endif

static void open_state(struct bench *b)
{
	struct error e;
	*b = (struct bench){0};
	b->rt = runtime_new(&(struct runtime_options){0}, &e);
	assert_non_null(b->rt);
	b->L = script_state_new(b->rt);
	task_on_error(b->L, on_error, b);
	luaL_getsubtable(b->L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
	lua_pushcfunction(b->L, luaopen_core_runtime);
	lua_setfield(b->L, -2, "core.runtime");
	lua_pushcfunction(b->L, luaopen_core_json);
	lua_setfield(b->L, -2, "core.json");
	lua_pop(b->L, 1);
	lua_register(b->L, "stock", l_stock);
	lua_register(b->L, "slice", l_slice);
	lua_register(b->L, "cpu_ms", l_cpu_ms);
	lua_pushinteger(b->L, SLOWER);
	lua_setglobal(b->L, "slower");
	lua_pushboolean(b->L, getenv("SRVTHREDS_GC") != NULL);
	lua_setglobal(b->L, "hostile");
}

static void close_state(struct bench *b)
{
	assert_int_equal(task_count(b->L), 0);
	script_state_free(b->L);
	assert_int_equal(runtime_free(b->rt), 0);
	assert_int_equal(b->errors, 0);
}

static void run_in(const char *name, bool generational)
{
	static const char driver[] = "local path, stop = ... assert(loadfile(path))() stop(0)";
	struct bench b;
	char path[128];
	open_state(&b);
	if (generational)
		lua_gc(b.L, LUA_GCGEN, 0, 0);
	snprintf(path, sizeof path, "tests/unit/script_%s.lua", name);
	assert_int_equal(luaL_loadstring(b.L, driver), LUA_OK);
	lua_pushstring(b.L, path);
	luaL_requiref(b.L, "core.runtime", luaopen_core_runtime, 0);
	lua_getfield(b.L, -1, "stop");
	lua_remove(b.L, -2);
	task_start_later(b.L, 2);
	runtime_run(b.rt);
	close_state(&b);
}

static void run_file(const char *name)
{
	run_in(name, false);
}

/* What hangs on the collector, in its other mode. */
static void test_generational(void **state)
{
	if (getenv("SRVTHREDS_GC"))
		skip(); /* full collections, whatever the mode */
	(void)state;
	run_in("memory", true);
	run_in("attacks", true);
	run_in("basics", true);
}

#define LUA_TEST(name)                                                                                                 \
	static void test_##name(void **state)                                                                          \
	{                                                                                                              \
		(void)state;                                                                                           \
		run_file(#name);                                                                                       \
	}
LUA_TEST(basics)
LUA_TEST(attacks)
LUA_TEST(semantics)
LUA_TEST(strings)
LUA_TEST(generated)
LUA_TEST(environment)
LUA_TEST(memory)
LUA_TEST(collide)
LUA_TEST(order)
LUA_TEST(meters)

/* Outside any task a script runs to its end under the same limits. */
static void test_outside_tasks(void **state)
{
	(void)state;
	struct bench b;
	open_state(&b);
	int failed = luaL_dostring(
		b.L, "local script = require 'core.script'\n"
		     "local env = script.environment()\n"
		     "local sum = assert(script.load('local s = 0 for i = 1, 2e6 do s = s + i end return s', '@a.lua', "
		     "env))\n"
		     "local ok, n = script.call({}, {cpu = 2000, wall = 60000}, sum)\n"
		     "assert(ok and n == 2000001000000, n)\n"
		     "local loop = assert(script.load('while true do end', '@b.lua', env))\n"
		     "local ok, e = script.call({}, {cpu = 10, wall = 60000}, loop)\n"
		     "assert(not ok and e.kind == 'cpu' and e.file == 'b.lua' and e.line == 1, e.message)\n");
	if (failed)
		fail_msg("%s", lua_tostring(b.L, -1));
	assert_true(script_of(b.L)->preempted > 0);
	close_state(&b);
}

static int open_here(lua_State *L)
{
	return luaopen_core_script(L);
}

static void test_foreign_state(void **state)
{
	(void)state;
	lua_State *L = luaL_newstate();
	lua_pushcfunction(L, open_here);
	assert_int_not_equal(lua_pcall(L, 0, 1, 0), LUA_OK);
	assert_non_null(strstr(lua_tostring(L, -1), "script_state_new"));
	lua_close(L);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_basics),        cmocka_unit_test(test_attacks),
		cmocka_unit_test(test_semantics),     cmocka_unit_test(test_strings),
		cmocka_unit_test(test_generated),     cmocka_unit_test(test_environment),
		cmocka_unit_test(test_memory),        cmocka_unit_test(test_collide),
		cmocka_unit_test(test_order),         cmocka_unit_test(test_meters),
		cmocka_unit_test(test_generational),  cmocka_unit_test(test_outside_tasks),
		cmocka_unit_test(test_foreign_state),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
