/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <lauxlib.h>
#include <lualib.h>

#include "regex/lua_regex.h"
#include "regex/regex.h"

static int search(const char *source, bool caseless, const char *text)
{
	struct error e;
	struct regex *re = regex_new(source, strlen(source), caseless, &e);
	assert_non_null(re);
	int found = regex_search(re, text, strlen(text), &e);
	regex_free(re);
	return found;
}

static void finds_anywhere(void **state)
{
	(void)state;
	assert_int_equal(search("sensor\\d+", false, "a sensor12"), 1);
	assert_int_equal(search("^sensor", false, "a sensor12"), 0);
	assert_int_equal(search("SENSOR", false, "a sensor12"), 0);
	assert_int_equal(search("SENSOR", true, "a sensor12"), 1);
	assert_int_equal(search("", false, ""), 1);
}

static void knows_utf8(void **state)
{
	(void)state;
	assert_int_equal(search("^.$", false, "\xC3\xA9"), 1);
	assert_int_equal(search("\xC3\x89", true, "caf\xC3\xA9"), 1);
	assert_int_equal(search("\\w{4}", false, "caf\xC3\xA9"), 1);
	assert_int_equal(search("b", false, "\xFF b"), 1); /* bad bytes are no error */
	assert_int_equal(search("\\x{ff}", false, "\xFF"), 0);
}

static void names_the_position_of_a_mistake(void **state)
{
	(void)state;
	struct error e;
	assert_null(regex_new("caf\xC3\xA9(x", 7, false, &e));
	assert_int_equal(e.code, ERROR_ARGUMENT);
	assert_non_null(strstr(e.message, "missing closing parenthesis"));
	assert_non_null(strstr(e.message, "character 7"));
	assert_null(regex_new("\xFF", 1, false, &e));
	assert_non_null(strstr(e.message, "UTF-8"));
	assert_null(regex_new("\\C", 2, false, &e));
	char *big = malloc(5000);
	memset(big, 'a', 5000);
	assert_null(regex_new(big, 5000, false, &e));
	assert_non_null(strstr(e.message, "5000 bytes"));
	free(big);
}

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Each explodes without limits. */
static void is_bounded_in_time(void **state)
{
	(void)state;
	static const char *const sources[] = {"(a+)+$",
					      "^(a|aa)+$",
					      "(a*)*b",
					      "(.*.*.*.*)*x",
					      "(?:a?){60}a{60}$",
					      "(\\w+\\s?)*!$",
					      ".+\\d",
					      "[a-z]+[0-9]",
					      "a+[0-9]",
					      "(?=(a+))*$",
					      "(?>a+)b",
					      "(?<!b)a++\\d",
					      "(?:(?=a*\\d)|a)+$",
					      "\\Ba*?x"};
	size_t len = 1 << 20;
	char *text = malloc(len);
	memset(text, 'a', len);
	double worst = 0;
	int refused = 0;
	for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
		for (size_t n = 60; n <= len; n = n < 60000 ? n * 1000 : n * 17) {
			struct error e;
			struct regex *re = regex_new(sources[i], strlen(sources[i]), false, &e);
			assert_non_null(re);
			text[n - 1] = '?';
			double start = seconds();
			int found = regex_search(re, text, n, &e);
			double used = seconds() - start;
			text[n - 1] = 'a';
			if (used > worst)
				worst = used;
			if (found < 0) {
				refused++;
				assert_int_equal(e.code, ERROR_ARGUMENT);
				assert_non_null(strstr(e.message, "takes too long"));
			}
			regex_free(re);
		}
	free(text);
	assert_true(refused > 0);
	print_message("worst search: %.1f ms\n", worst * 1e3);
	assert_true(worst < 1.0);
}

static void lua_face(void **state)
{
	(void)state;
	lua_State *L = luaL_newstate();
	luaL_openlibs(L);
	luaL_requiref(L, "core.regex", luaopen_core_regex, 1);
	static const char chunk[] =
		"local regex = require 'core.regex'\n"
		"local re = regex.compile('^SENSOR', {caseless = true})\n"
		"assert(re:search 'sensor1' == true and re:search 'a sensor' == false and re:source() == '^SENSOR')\n"
		"local ok, err = pcall(regex.compile, 'a(b')\n"
		"assert(not ok and err.code == 4200 and err.message:find 'character 4', tostring(err))\n"
		"local ok, err = pcall(function() return regex.compile('(a+)+$'):search(('a'):rep(5000) .. '?') end)\n"
		"assert(not ok and err.code == 4200, tostring(err))\n"
		"assert(getmetatable(re) == false)\n";
	if (luaL_dostring(L, chunk) != LUA_OK)
		fail_msg("%s", lua_tostring(L, -1));
	lua_close(L);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_anywhere),
		cmocka_unit_test(knows_utf8),
		cmocka_unit_test(names_the_position_of_a_mistake),
		cmocka_unit_test(is_bounded_in_time),
		cmocka_unit_test(lua_face),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
