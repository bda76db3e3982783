/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"

static void durations(void **state)
{
	(void)state;
	int64_t ms;
	struct error e;
	assert_int_equal(duration_parse("250ms", &ms, NULL), 0);
	assert_int_equal(ms, 250);
	assert_int_equal(duration_parse("5m", &ms, NULL), 0);
	assert_int_equal(ms, 300000);
	assert_int_equal(duration_parse("7d", &ms, NULL), 0);
	assert_int_equal(ms, 604800000);
	assert_int_equal(duration_parse("1.5s", &ms, NULL), 0);
	assert_int_equal(ms, 1500);
	assert_int_equal(duration_parse("5 minutes", &ms, &e), -1);
	assert_int_equal(e.code, ERROR_ARGUMENT);
	assert_non_null(strstr(e.message, "5 minutes"));
	assert_int_equal(duration_parse("-1s", &ms, NULL), -1);
	assert_int_equal(duration_parse("", &ms, NULL), -1);
}

static void utf8(void **state)
{
	(void)state;
	size_t at = 99;
	assert_true(utf8_valid("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 10, &at));
	assert_false(utf8_valid("ab\xC0\x80", 4, &at)); /* overlong */
	assert_int_equal(at, 2);
	assert_false(utf8_valid("\xED\xA0\x80", 3, &at));     /* surrogate */
	assert_false(utf8_valid("\xF4\x90\x80\x80", 4, &at)); /* beyond U+10FFFF */
	assert_false(utf8_valid("\xE2\x82", 2, &at));         /* cut */
}

static void errors_keep_their_cause(void **state)
{
	(void)state;
	struct error e;
	error_set(&e, ERROR_NOT_FOUND, "no file %s", "x");
	error_wrap(&e, ERROR_TASK, "load");
	assert_int_equal(e.code, ERROR_TASK);
	assert_string_equal(e.message, "load");
	assert_string_equal(e.cause, "no file x");
}

static void buffers(void **state)
{
	(void)state;
	struct buf b = {0};
	for (int i = 0; i < 100; i++)
		assert_int_equal(buf_printf(&b, "%d,", i), 0);
	assert_int_equal(b.len, 290);
	assert_int_equal(strlen(b.data), 290);
	buf_clear(&b);
	assert_int_equal(buf_add(&b, "x", 1), 0);
	assert_string_equal(b.data, "x");
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(durations), cmocka_unit_test(utf8),
					   cmocka_unit_test(errors_keep_their_cause), cmocka_unit_test(buffers)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
