/* SPDX-License-Identifier: MIT
 *
 * The watchdog, which ends the process, and what is known of it afterwards: what a script did, in shared memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>
#include <lauxlib.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

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

static int l_stuck(lua_State *L)
{
	for (volatile int on = 1; on;)
		;
	return lua_gettop(L);
}

static int l_slice(lua_State *L)
{
	script_of(L)->slice_ns = luaL_checkinteger(L, 1) * 1000;
	return 0;
}

static void open_state(struct bench *b, struct ran *ran)
{
	struct error e;
	*b = (struct bench){.rt = runtime_new(&(struct runtime_options){0}, &e)};
	assert_non_null(b->rt);
	b->L = script_state_new(b->rt);
	task_on_error(b->L, on_error, b);
	luaL_requiref(b->L, "core.runtime", luaopen_core_runtime, 0);
	lua_setglobal(b->L, "runtime");
	luaL_requiref(b->L, "core.script", luaopen_core_script, 0);
	lua_setglobal(b->L, "script");
	lua_register(b->L, "stuck", l_stuck);
	lua_register(b->L, "slice", l_slice);
	script_tell(b->L, ran, NULL);
}

/* Runs it as a task until it stops the loop. Gives the exit code. */
static int run(struct bench *b, const char *source)
{
	if (luaL_loadstring(b->L, source) != LUA_OK)
		fail_msg("%s", lua_tostring(b->L, -1));
	task_start_later(b->L, 0);
	return runtime_run(b->rt);
}

static void close_state(struct bench *b)
{
	assert_int_equal(b->errors, 0);
	script_state_free(b->L);
	assert_int_equal(runtime_free(b->rt), 0);
}

static struct ran *shared_ran(void)
{
	struct ran *ran = mmap(NULL, sizeof *ran, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(ran, MAP_FAILED);
	return ran;
}

static void read_all(int from, char *into, size_t size)
{
	memset(into, 0, size);
	for (size_t n = 0; n < size - 1;) {
		ssize_t got = read(from, into + n, size - 1 - n);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	close(from);
}

/* Runs `source` in a process of its own, which the watchdog ends; gives what that says. */
static void bitten(const char *source, struct ran *ran, char *said, size_t size)
{
	int out[2], status;
	assert_int_equal(pipe(out), 0);
	pid_t child = fork();
	if (child == 0) {
		struct bench b;
		dup2(out[1], STDERR_FILENO);
		alarm(60);
		open_state(&b, ran);
		_exit(run(&b, source));
	}
	close(out[1]);
	read_all(out[0], said, size);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != WATCHDOG_EXIT)
		fail_msg("it ended with %x: %s", status, said);
}

#ifdef __SANITIZE_THREAD__ /* which keeps the signal back until the thread calls something: the place isn't known */
#define PLACE_KNOWN 0
#else
#define PLACE_KNOWN 1
#endif

/* A script that nothing can interrupt: whose it is, where it is and what it took survives the process. */
static void test_a_script(void **state)
{
	(void)state;
	char said[700];
	struct ran *ran = shared_ran();
	bitten("script.watch(200)\n"
	       "local env = script.environment { stuck = stuck }\n"
	       "local long = script.load('for i = 1, 4e7 do end return 1', '@l.lua', env)\n"
	       "assert(script.call({}, { cpu = 60000, wall = 60000 }, long))\n"
	       "local meter = script.meter { pattern = 'door', reaction = 'ring', version = 'abc', cpu = 10 }\n"
	       "script.call({}, meter, script.load('\\n\\nstuck()', '@s.lua', env))",
	       ran, said, sizeof said);
	assert_non_null(strstr(said, "a script could not be interrupted for 0."));
	assert_non_null(strstr(said, "the limit is 0.2 s"));
	assert_non_null(strstr(said, "pattern \"door\", reaction \"ring\""));
	assert_int_equal(ran->state, RAN_INSIDE);
	assert_string_equal(ran->pattern, "door");
	assert_string_equal(ran->reaction, "ring");
	assert_string_equal(ran->version, "abc");
	assert_non_null(strstr(ran->why, "could not be interrupted for 0."));
	if (PLACE_KNOWN) {
		assert_non_null(strstr(said, ", at s.lua:3\n"));
		assert_string_equal(ran->file, "s.lua");
		assert_int_equal(ran->line, 3);
	}
	munmap(ran, sizeof *ran);
}

static const char after_a_script[] = "script.watch(100, true)\n"
				     "local meter = script.meter { pattern = 'door', reaction = 'ring' }\n"
				     "local fn = script.load('return 1', '@s.lua', script.environment {})\n"
				     "assert(script.call({}, meter, fn))\n";

static void behind_a_script(const char *rest)
{
	char source[800], said[700];
	struct ran *ran = shared_ran();
	snprintf(source, sizeof source, "%s%s", after_a_script, rest);
	bitten(source, ran, said, sizeof said);
	assert_non_null(strstr(said, "one turn of its loop went on for 0."));
	assert_non_null(strstr(said, "the last script: pattern \"door\", reaction \"ring\""));
	assert_int_equal(ran->state, RAN_LEFT);
	assert_string_equal(ran->pattern, "door");
	assert_non_null(strstr(ran->why, "one turn of its loop"));
	munmap(ran, sizeof *ran);
}

static void test_trusted_code(void **state)
{
	(void)state;
	behind_a_script("stuck()");
}

static void test_a_full_collection(void **state)
{
	(void)state;
	behind_a_script("local keep = {}\n"
			"for i = 1, 100 do\n"
			"  for k = 1, 10000 do keep[#keep + 1] = { i } end\n"
			"  runtime.sleep(1)\n"
			"end\n"
			"for _ = 1, 1000 do collectgarbage() end");
}

/* A long time with a turn now and then, in a script and beside it, is none of its business. */
static void test_it_lets_live(void **state)
{
	(void)state;
	struct bench b;
	open_state(&b, NULL);
	assert_int_equal(run(&b, "script.watch(300, true)\n"
				 "local long = script.load('for i = 1, 1e9 do local _ = tostring(i) end', '@l.lua', "
				 "script.environment {})\n"
				 "local _, e = script.call({}, { cpu = 700, wall = 60000 }, long)\n"
				 "assert(e.kind == 'cpu')\n"
				 "local last = os.clock() + 0.7\n"
				 "while os.clock() < last do\n"
				 "  local some = os.clock() + 0.01\n"
				 "  while os.clock() < some do end\n"
				 "  runtime.sleep(0)\n"
				 "end\n"
				 "runtime.stop(0)"),
			 0);
	close_state(&b);
}

static int l_told(lua_State *L)
{
	const struct ran *ran = script_of(L)->ran;
	lua_pushfstring(L, "%s/%s/%s:%d", ran->pattern, ran->reaction, ran->version, (int)ran->line);
	lua_pushinteger(L, (lua_Integer)ran->state);
	return 2;
}

/* What is told of scripts that wait for each other's slices is of the one that runs. */
static void test_what_runs_is_told(void **state)
{
	(void)state;
	struct bench b;
	struct ran ran = {0};
	open_state(&b, &ran);
	lua_register(b.L, "told", l_told);
	assert_int_equal(
		run(&b,
		    "slice(200)\n"
		    "local env = script.environment {\n"
		    "  told = script.trusted(told), inside = told, sleep = script.trusted(runtime.sleep) }\n"
		    "local function meter(p, v)\n"
		    "  return script.meter { pattern = p, reaction = 'r' .. p, version = v, cpu = 9e6, wall = 9e6 }\n"
		    "end\n"
		    "local source = [[for i = 1, 3 do\n"
		    "  for i = 1, 1e5 do local _ = tostring(i) end\n"
		    "  local t, state = told()\n"
		    "  sleep(0)\n"
		    "  if t ~= ... or state ~= 2 then error(t) end\n"
		    "  t, state = inside()\n"
		    "  if t ~= ... or state ~= 1 then error(t) end\n"
		    "end]]\n"
		    "local running = 0\n"
		    "for _, one in ipairs { {'a', '1'}, {'b', '1'}, {'a', '2'} } do\n"
		    "  runtime.spawn(function()\n"
		    "    running = running + 1\n"
		    "    local want = one[1] .. '/r' .. one[1] .. '/' .. one[2] .. ':2'\n"
		    "    local fn = script.load(source, '@w.lua', env)\n"
		    "    local ok, e = script.call({}, meter(one[1], one[2]), fn, want)\n"
		    "    assert(ok, ok or e.message .. ' instead of ' .. want)\n"
		    "    running = running - 1\n"
		    "  end)\n"
		    "end\n"
		    "while running > 0 do runtime.sleep(1) end\n"
		    "assert(select(2, told()) == 2)\n"
		    "assert(script.call({}, nil, script.load('return 1', '@w.lua', env)))\n"
		    "assert(told() == '//:0', told())\n"
		    "runtime.stop(0)"),
		0);
	close_state(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_script),          cmocka_unit_test(test_trusted_code),
		cmocka_unit_test(test_a_full_collection), cmocka_unit_test(test_it_lets_live),
		cmocka_unit_test(test_what_runs_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
