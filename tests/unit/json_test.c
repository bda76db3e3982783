/* SPDX-License-Identifier: MIT */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json/json.h"

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

/* The bytes in memory of exactly their size, so that a sanitizer sees a read behind them. */
static int canonical(const char *bytes, size_t len, struct buf *out, struct error *e)
{
	char *exact = malloc(len ? len : 1);
	memcpy(exact, bytes, len);
	buf_clear(out);
	int rc = json_canonical(exact, len, NULL, out, e);
	free(exact);
	return rc;
}

/* What is accepted, and its canonical form (NULL: as it is). */
static const struct {
	const char *text, *canonical;
} accepted[] = {
	{"null", NULL},
	{"true", NULL},
	{"false", NULL},
	{" \t\r\n null \n", "null"},
	{"[]", NULL},
	{"{}", NULL},
	{"[ ]", "[]"},
	{"{ }", "{}"},
	{"\"\"", NULL},
	{"[[],{},[[]],\"\"]", NULL},
	{"0", NULL},
	{"-1", NULL},
	{"-0", "-0.0"},
	{"-0.0", NULL},
	{"0.0", NULL},
	{"0e0", "0.0"},
	{"-0e-5", "-0.0"},
	{"1.0", NULL},
	{"1.50", "1.5"},
	{"1E2", "100.0"},
	{"1e+2", "100.0"},
	{"1e-2", "0.01"},
	{"0.0001", NULL},
	{"0.00001", "1e-5"},
	{"1e15", "1000000000000000.0"},
	{"1e16", NULL},
	{"1e22", NULL},
	{"1e300", NULL},
	{"12345678901234.5", NULL},
	{"123456789012345.5", NULL},
	{"0.1", NULL},
	{"0.3", NULL},
	{"0.30000000000000004", NULL},
	{"0.1000000000000000055511151231257827", "0.1"},
	{"2.2250738585072011e-308", "2.225073858507201e-308"},
	{"5e-324", NULL},
	{"1e-400", "0.0"},
	{"1.7976931348623157e308", NULL},
	{"9007199254740993.0", "9007199254740992.0"},
	{"9223372036854775807", NULL},
	{"-9223372036854775808", NULL},
	{"999999999999999999", NULL},
	{"9223372036854775808.0", "9.223372036854776e18"},
	{"\"\\u0000\"", NULL},
	{"\"\\u001f\\b\\f\\n\\r\\t\\\"\\\\\"", NULL},
	{"\"\\u001F\\/\\u0041\\u000a\\u0022\"", "\"\\u001f/A\\n\\\"\""},
	{"\"\\u00e9\\u20AC\\uD83D\\uDE00\"", "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\""},
	{"\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\x7F\"", NULL},
	{"\"\xEF\xBF\xBF\xEF\xBB\xBF\xF4\x8F\xBF\xBF\"", NULL},
	{"{\"b\":1,\"a\":2}", "{\"a\":2,\"b\":1}"},
	{"{\"a\":1,\"ab\":2,\"b\":3}", NULL},
	{"{\"ab\":1,\"a\":2,\"\":3}", "{\"\":3,\"a\":2,\"ab\":1}"},
	{"{\"\\u0062\":1,\"a\":[{\"d\":1,\"c\":{\"f\":[],\"e\":{}}}]}",
	 "{\"a\":[{\"c\":{\"e\":{},\"f\":[]},\"d\":1}],\"b\":1}"},
	{"{\"\\u0000\":1,\"\\n\":2,\"!\":3,\"\\\"\":4,\"\\\\\":5,\"]\":6,\"\xC3\xA9\":7}", NULL},
	{"{\"!\":1,\"\":2}", "{\"\":2,\"!\":1}"},
	{"{\"\\\\\":1,\"Z\":2}", "{\"Z\":2,\"\\\\\":1}"},
	{"{\"a\\u0000\":1,\"a\":2}", "{\"a\":2,\"a\\u0000\":1}"},
	{"[1 , 2 ]", "[1,2]"},
	{"{ \"a\" : 1 }", "{\"a\":1}"},
};

static void accepts(void **state)
{
	(void)state;
	struct buf out = {0}, again = {0};
	struct error e;
	for (size_t i = 0; i < COUNT(accepted); i++) {
		const char *text = accepted[i].text, *want = accepted[i].canonical ? accepted[i].canonical : text;
		if (canonical(text, strlen(text), &out, &e))
			fail_msg("%s: %s", text, e.message);
		assert_string_equal(out.data, want);
		assert_int_equal(canonical(out.data, out.len, &again, &e), 0);
		assert_string_equal(again.data, want);
		struct json_tape tape = {0};
		assert_int_equal(json_parse(&tape, text, strlen(text), NULL, &e), 0);
		if (tape.tree.canonical && tape.nodes->end == strlen(text) && tape.nodes->start == 0)
			assert_string_equal(text, want);
		else
			assert_string_not_equal(text, want);
		json_tape_free(&tape);
	}
	buf_free(&out);
	buf_free(&again);
}

/* What is refused, and what the message says. */
static const struct {
	const char *text, *message;
} refused[] = {
	{"", "offset 0 (line 1, column 1): the text ends, expected a value"},
	{" ", "offset 1"},
	{"nul", "found 'n', expected a value"},
	{"nulll", "found 'l', expected the end of the text"},
	{"True", "found 'T', expected a value"},
	{"NaN", "found 'N'"},
	{"Infinity", "found 'I'"},
	{"-Infinity", "found 'I', expected a digit"},
	{"'a'", "found ''', expected a value"},
	{"+1", "found '+'"},
	{".5", "found '.'"},
	{"5.", "the text ends, expected a digit"},
	{"5.e1", "found 'e', expected a digit"},
	{"1e", "expected a digit"},
	{"1e+", "expected a digit"},
	{"-", "expected a digit"},
	{"-a", "found 'a', expected a digit"},
	{"01", "can't begin with a zero"},
	{"-01", "can't begin with a zero"},
	{"0x10", "found 'x', expected the end of the text"},
	{"1 2", "offset 2 (line 1, column 3): found '2', expected the end of the text"},
	{"1e400", "too large for a double"},
	{"-1e400", "too large for a double"},
	{"9223372036854775808", "the integer 9223372036854775808 does not fit in 64 bits"},
	{"-9223372036854775809", "does not fit in 64 bits"},
	{"123456789012345678901234567890", "123456789012345678901234..."},
	{"[", "the text ends, expected a value"},
	{"[1", "the text ends, expected ',' or ']'"},
	{"[1,", "the text ends, expected a value"},
	{"[1,]", "found ']', expected a value"},
	{"[,1]", "found ',', expected a value"},
	{"[1 2]", "found '2', expected ',' or ']'"},
	{"[1}", "found '}', expected ',' or ']'"},
	{"[1]]", "found ']', expected the end of the text"},
	{"{", "expected a key in double quotes or '}'"},
	{"{,}", "found ',', expected a key"},
	{"{\"a\"", "expected ':' behind the key"},
	{"{\"a\" 1}", "found '1', expected ':'"},
	{"{\"a\":", "expected a value"},
	{"{\"a\":}", "found '}', expected a value"},
	{"{\"a\":1", "expected ',' or '}'"},
	{"{\"a\":1,}", "found '}', expected a key in double quotes"},
	{"{\"a\":1]", "found ']', expected ',' or '}'"},
	{"{a:1}", "found 'a', expected a key in double quotes"},
	{"{1:1}", "found '1', expected a key"},
	{"{\"a\":1 \"b\":2}", "expected ',' or '}'"},
	{"{\"a\":1,\"a\":2}", "offset 7 (line 1, column 8): the key \"a\" comes twice"},
	{"{\"b\":1,\"a\":2,\"b\":3}", "offset 13 (line 1, column 14): the key \"b\" comes twice"},
	{"{\"b\":{\"y\":0,\"x\":1,\"\\u0079\":3},\"a\":2}", "the key \"\\u0079\" comes twice"},
	{"{\"a\":1,\"\\u0061\":2}", "comes twice"},
	{"\"a", "the text ends, expected the \" that ends the string"},
	{"\"\\", "expected an escape"},
	{"\"\\x\"", "no such escape"},
	{"\"\\u12\"", "four hexadecimal digits"},
	{"\"\\u12G4\"", "four hexadecimal digits"},
	{"\"\\ud800\"", "\\ud800 is half of a surrogate pair"},
	{"\"\\ud800x\"", "half of a surrogate pair"},
	{"\"\\ud800\\u0041\"", "half of a surrogate pair"},
	{"\"\\udc00\\ud800\"", "\\udc00 is half"},
	{"\"\\ud83d\\ud83d\"", "half of a surrogate pair"},
	{"\"a\nb\"", "offset 2 (line 1, column 3): control character 0x0A in a string; write \\u000a"},
	{"\"a\tb\"", "control character 0x09"},
	{"\"\xFF\"", "byte 0xFF is not UTF-8"},
	{"\"\xC0\x80\"", "byte 0xC0 is not UTF-8"},
	{"\"\xED\xA0\x80\"", "byte 0xED is not UTF-8"},
	{"\"\xF4\x90\x80\x80\"", "byte 0xF4 is not UTF-8"},
	{"\"\xE2\x82", "byte 0xE2 is not UTF-8"},
	{"\"12345678901234567890\x80\"", "offset 21 (line 1, column 22): byte 0x80"},
	{"\xEF\xBB\xBF{}", "offset 0 (line 1, column 1): found '\xEF\xBB\xBF', expected a value"},
	{"\xC3\xA9", "found '\xC3\xA9', expected a value"},
	{"\xFF", "found byte 0xFF, expected a value"},
	{"[1,\n \"\xC3\xA9\", x]", "offset 11 (line 2, column 7): found 'x', expected a value"},
	{"// c\n1", "found '/'"},
	{"[1,/**/2]", "found '/'"},
	{"\f1", "found byte 0x0C"},
	{"[\v1]", "found byte 0x0B"},
	{"\xC2\xA0"
	 "1",
	 "expected a value"},
};

static void refuses(void **state)
{
	(void)state;
	struct buf out = {0};
	for (size_t i = 0; i < COUNT(refused); i++) {
		struct error e = {0};
		assert_int_equal(buf_add(&out, "kept", 4), 0);
		if (canonical(refused[i].text, strlen(refused[i].text), &out, &e) == 0)
			fail_msg("accepted: %s", refused[i].text);
		assert_int_equal(e.code, ERROR_CLIENT);
		assert_true(utf8_valid(e.message, strlen(e.message), NULL));
		if (!strstr(e.message, refused[i].message))
			fail_msg("%s: %s", refused[i].text, e.message);
	}
	struct error e;
	assert_int_equal(canonical("[1,\0]", 5, &out, &e), -1);
	assert_non_null(strstr(e.message, "found byte 0x00, expected a value"));
	assert_int_equal(canonical("\"\0\"", 3, &out, &e), -1);
	assert_int_equal(canonical("1\0", 2, &out, &e), -1);
	buf_free(&out);
}

/* Every beginning of a good text is refused, and read no further than it goes. */
static void refuses_what_is_cut(void **state)
{
	(void)state;
	static const char text[] =
		"{\"a\":[1,-2.5e3,\"x\\u00e9\xC3\xA9\\ud83d\\ude00\",true,false,null,{}],\"0\":{\"k\":\"v\"}}";
	struct buf out = {0};
	struct error e;
	assert_int_equal(canonical(text, sizeof text - 1, &out, &e), 0);
	for (size_t len = 0; len < sizeof text - 1; len++)
		assert_int_equal(canonical(text, len, &out, &e), -1);
	buf_free(&out);
}

static char *repeat(const char *open, const char *close, size_t n)
{
	size_t a = strlen(open), b = strlen(close);
	char *text = malloc(n * (a + b) + 1);
	for (size_t i = 0; i < n; i++) {
		memcpy(text + i * a, open, a);
		memcpy(text + n * a + i * b, close, b);
	}
	text[n * (a + b)] = '\0';
	return text;
}

static void limits(void **state)
{
	(void)state;
	struct json_tape tape = {0};
	struct error e;
	const struct json_limits most = {JSON_DEPTH_MAX, JSON_SIZE_MAX}, over = {JSON_DEPTH_MAX + 1, 10};
	char *deep = repeat("[", "]", 100);
	assert_int_equal(json_parse(&tape, deep, 200, NULL, &e), 0);
	assert_int_equal(tape.tree.depth, 100);
	free(deep);
	deep = repeat("{\"b\":0,\"a\":[", "]}", 500);
	assert_int_equal(json_parse(&tape, deep, strlen(deep), NULL, &e), -1);
	assert_non_null(strstr(e.message, "deeper than 100 levels"));
	assert_int_equal(json_parse(&tape, deep, strlen(deep), &most, &e), 0);
	assert_int_equal(tape.tree.depth, 1000);
	free(deep);
	deep = repeat("[", "]", 5000000);
	assert_int_equal(json_parse(&tape, deep, strlen(deep), &most, &e), -1);
	assert_int_equal(json_parse(&tape, deep, strlen(deep), NULL, &e), -1);
	assert_non_null(strstr(e.message, "10000000 bytes, more than the limit of 1048576"));
	free(deep);
	assert_int_equal(json_parse(&tape, "1", 1, &over, &e), -1);
	assert_int_equal(e.code, ERROR_ARGUMENT);
	json_tape_free(&tape);
}

static void large(void **state)
{
	(void)state;
	const struct json_limits limits = {JSON_DEPTH, 64 << 20};
	struct buf text = {0}, out = {0}, again = {0};
	struct error e;
	assert_int_equal(buf_add_str(&text, "{"), 0);
	for (int i = 0; text.len < 10 << 20; i++)
		assert_int_equal(buf_printf(&text, "%s\"k%d\":[%d,\"some text\",{\"b\":%d.25,\"a\":null}]",
					    i ? "," : "", i * 7919 % 1000003, i, i),
				 0);
	assert_int_equal(buf_add_str(&text, "}"), 0);
	assert_int_equal(json_canonical(text.data, text.len, &limits, &out, &e), 0);
	assert_int_equal(out.len, text.len);
	assert_int_equal(json_canonical(out.data, out.len, &limits, &again, &e), 0);
	assert_int_equal(memcmp(out.data, again.data, out.len), 0);
	buf_free(&text);
	buf_free(&out);
	buf_free(&again);
}

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Doubles come back as the same bits, in no more digits than needed, and the text is canonical. */
static void check_double(double value)
{
	struct buf out = {0}, again = {0};
	struct error e;
	assert_int_equal(json_write_float(&out, value), 0);
	struct json_tape tape = {0};
	assert_int_equal(json_parse(&tape, out.data, out.len, NULL, &e), 0);
	assert_int_equal(tape.nodes->kind, JSON_FLOAT);
	assert_true(tape.tree.canonical);
	double back = json_float(&tape.tree, 0);
	assert_memory_equal(&back, &value, sizeof value);
	char shortest[40];
	for (int precision = 1; precision <= 17; precision++) {
		snprintf(shortest, sizeof shortest, "%.*g", precision, value);
		if (strtod(shortest, NULL) == value)
			break;
	}
	assert_int_equal(canonical(shortest, strlen(shortest), &again, &e), 0);
	if (strpbrk(shortest, ".e"))
		assert_string_equal(out.data, again.data);
	json_tape_free(&tape);
	buf_free(&out);
	buf_free(&again);
}

static void doubles(void **state)
{
	(void)state;
	static const double edges[] = {0.0,
				       -0.0,
				       1.0,
				       -1.5,
				       0.1,
				       1e-4,
				       9.999e-5,
				       1e15,
				       1e16,
				       999999999999999.9,
				       1e21,
				       1e22,
				       1e23,
				       DBL_MAX,
				       DBL_MIN,
				       5e-324,
				       DBL_EPSILON,
				       1.0 / 3,
				       9007199254740993.0,
				       123456.789,
				       57.70887,
				       0.05,
				       4.35,
				       2.675,
				       100.0,
				       1e14 + 0.5};
	for (size_t i = 0; i < COUNT(edges); i++)
		check_double(edges[i]);
	uint64_t seed = 20240607;
	for (int i = 0; i < 20000; i++) {
		uint64_t bits = next_random(&seed);
		double value;
		memcpy(&value, &bits, sizeof value);
		if (isfinite(value))
			check_double(value);
		check_double((double)(int64_t)(bits >> 20) / 1000.0);
		check_double((double)(int64_t)(bits >> 40) / 128.0);
	}
}

static void integers(void **state)
{
	(void)state;
	uint64_t seed = 7;
	for (int i = 0; i < 20000; i++) {
		int64_t value = (int64_t)next_random(&seed) >> (i % 64);
		struct buf out = {0};
		struct error e;
		char want[32];
		snprintf(want, sizeof want, "%lld", (long long)value);
		assert_int_equal(json_write_int(&out, value), 0);
		assert_string_equal(out.data, want);
		struct json_tape tape = {0};
		assert_int_equal(json_parse(&tape, out.data, out.len, NULL, &e), 0);
		assert_int_equal(tape.nodes->kind, JSON_INT);
		assert_true(json_int(&tape.tree, 0) == value);
		json_tape_free(&tape);
		buf_free(&out);
	}
}

/* A random value as text, with spaces and escapes at random; the same value again for the same seed. */
static void random_text(struct buf *out, uint64_t *seed, bool plain, uint64_t *noise, int depth)
{
	uint64_t r = next_random(seed);
	if (!plain && next_random(noise) % 4 == 0)
		buf_add_str(out, next_random(noise) % 2 ? " " : "\n\t");
	switch (depth > 5 ? r % 5 : r % 8) {
	case 0:
		buf_add_str(out, r & 64 ? "null" : r & 128 ? "true" : "false");
		return;
	case 1:
		buf_printf(out, "%lld", (long long)r);
		return;
	case 2:
		json_write_float(out, (double)(r >> 32) / 64.0);
		return;
	case 3:
		buf_printf(out, !plain && next_random(noise) % 2 ? "\"\\u0061\\/%x\"" : "\"a/%x\"", (unsigned)r);
		return;
	case 4:
		buf_add_str(out, "\"\xC3\xA9\\n\\\"\"");
		return;
	case 5:
		buf_add_str(out, "[");
		for (uint64_t i = 0; i < r / 8 % 5; i++) {
			buf_add_str(out, i ? "," : "");
			random_text(out, seed, plain, noise, depth + 1);
		}
		buf_add_str(out, "]");
		return;
	default:
		buf_add_str(out, "{");
		for (uint64_t i = 0; i < r / 8 % 40; i++) {
			buf_printf(out, "%s\"%s%02x\":", i ? "," : "", i % 3 ? "" : "\\\"",
				   (unsigned)((i * 37 + r / 512) % 256));
			random_text(out, seed, plain, noise, depth + 1 + (i > 4) * 5);
		}
		buf_add_str(out, "}");
	}
}

static void random_values(void **state)
{
	(void)state;
	uint64_t noise = 99;
	for (uint64_t i = 1; i <= 2000; i++) {
		struct buf plain = {0}, noisy = {0}, a = {0}, b = {0}, c = {0};
		struct error e;
		uint64_t seed = i * 0x9E3779B97F4A7C15ull;
		random_text(&plain, &seed, true, &noise, 0);
		seed = i * 0x9E3779B97F4A7C15ull;
		random_text(&noisy, &seed, false, &noise, 0);
		if (canonical(plain.data, plain.len, &a, &e) || canonical(noisy.data, noisy.len, &b, &e))
			fail_msg("%s\n%s", e.message, noisy.data);
		assert_string_equal(a.data, b.data);
		assert_int_equal(canonical(a.data, a.len, &c, &e), 0);
		assert_string_equal(a.data, c.data);
		buf_free(&plain);
		buf_free(&noisy);
		buf_free(&a);
		buf_free(&b);
		buf_free(&c);
	}
}

static void finds(void **state)
{
	(void)state;
	static const char text[] = "{\"list\":[10,[],{\"x\":1},30], \"a\\u0062\":\"\\u0000y\", \"\":true}";
	struct json_tape tape = {0};
	struct error e;
	assert_int_equal(json_parse(&tape, text, sizeof text - 1, NULL, &e), 0);
	const struct json_tree *tree = &tape.tree;
	uint32_t list = json_find(tree, 0, "list", 4), ab = json_find(tree, 0, "ab", 2);
	assert_int_equal(tree->nodes[0].count, 3);
	assert_int_equal(tree->nodes[list].count, 4);
	assert_int_equal(json_int(tree, json_at(tree, list, 3)), 30);
	assert_int_equal(json_at(tree, list, 4), 0);
	assert_int_equal(json_int(tree, json_find(tree, json_at(tree, list, 2), "x", 1)), 1);
	assert_int_equal(json_find(tree, 0, "lis", 3), 0);
	assert_int_equal(tree->nodes[json_find(tree, 0, "", 0)].kind, JSON_TRUE);
	char out[16];
	assert_int_equal(json_unescape(tree, ab, out), 2);
	assert_memory_equal(out, "\0y", 2);
	json_tape_free(&tape);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts),  cmocka_unit_test(refuses),       cmocka_unit_test(refuses_what_is_cut),
		cmocka_unit_test(limits),   cmocka_unit_test(large),         cmocka_unit_test(doubles),
		cmocka_unit_test(integers), cmocka_unit_test(random_values), cmocka_unit_test(finds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
