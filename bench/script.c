/* SPDX-License-Identifier: MIT
 *
 * What the sandbox costs, beside stock Lua: the meter, our string functions, a script call. Both sides take turns of half a
 * millisecond in one process and run the same bodies (bench/support/script.lua); a sample is the median of the ratios of
 * many pairs of turns, so that what others do on the machine counts little. The form of the lines: tools/bench.py.
 *   bench_script [NAME ours|stock TURNS]     with arguments: only so many turns, for callgrind
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "script/script.h"

#define SAMPLES 5
#define PAIRS   101

static void fail(lua_State *L)
{
	fprintf(stderr, "bench_script: %s\n", luaL_tolstring(L, -1, NULL));
	exit(1);
}

/* A state whose only stack value is the function that runs a body. Collects as the sandbox does. */
static lua_State *open_side(bool ours)
{
	lua_State *L = ours ? script_state_new(NULL) : luaL_newstate();
	if (!ours) {
		luaL_openlibs(L);
		lua_gc(L, LUA_GCINC, 400, 200, 0);
	}
	if (luaL_loadfile(L, "bench/support/script.lua") != LUA_OK)
		fail(L);
	if (ours)
		luaL_requiref(L, "core.script", luaopen_core_script, 0);
	else
		lua_pushnil(L);
	if (lua_pcall(L, 1, 1, 0) != LUA_OK)
		fail(L);
	return L;
}

/* Nanoseconds of CPU time. */
static double turn(lua_State *L, const char *name, int times)
{
	struct timespec a, b;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	for (int i = 0; i < times; i++) {
		lua_pushvalue(L, 1);
		lua_pushstring(L, name);
		if (lua_pcall(L, 1, 0, 0) != LUA_OK)
			fail(L);
	}
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	return (double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec);
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double middle(double *values)
{
	qsort(values, PAIRS, sizeof *values, ascending);
	return values[PAIRS / 2];
}

struct sample {
	double ratio, ours, stock; /* medians; ns */
};

static struct sample measure(lua_State *ours, lua_State *stock, const char *name, int times)
{
	double ratios[PAIRS], our_times[PAIRS], stock_times[PAIRS];
	for (int i = 0; i < PAIRS; i++) {
		if (i % 2)
			our_times[i] = turn(ours, name, times);
		stock_times[i] = turn(stock, name, times);
		if (i % 2 == 0)
			our_times[i] = turn(ours, name, times);
		ratios[i] = our_times[i] / stock_times[i];
	}
	return (struct sample){middle(ratios), middle(our_times) / times, middle(stock_times) / times};
}

static void print(const char *what, const struct sample *samples, double pass)
{
	printf("{\"bench\": \"script\", \"what\": \"%s\", \"unit\": \"x stock\", \"less\": true, \"samples\": [", what);
	for (int i = 0; i < SAMPLES; i++)
		printf("%s%.4f", i ? ", " : "", samples[i].ratio);
	printf("], \"notes\": \"%.0f ns, stock %.0f ns\"", samples[0].ours, samples[0].stock);
	if (pass > 0)
		printf(", \"pass\": %g", pass);
	printf("}\n");
	fflush(stdout);
}

static const struct bench {
	const char *name, *what;
	double pass; /* 0: another behaviour, nothing promised */
	int times;   /* in a turn */
} benches[] = {
	{"loop", "metered: arithmetic", 1.02, 1},
	{"calls", "metered: calls", 1.02, 1},
	{"tables", "metered: tables made", 1.02, 1},
	{"closures", "metered: closures made", 1.02, 1},
	{"texts", "metered: texts made by ..", 1.02, 1},
	{"coroutines", "metered: switches of coroutines", 0, 1},
	{"find", "string.find", 1.1, 1},
	{"plain", "string.find, plain", 1.1, 1},
	{"match", "string.match", 1.1, 1},
	{"gsub", "string.gsub", 1.1, 1},
	{"gmatch", "string.gmatch", 1.1, 1},
	{"format", "string.format", 1.1, 1},
	{"concat", "table.concat", 1.1, 1},
	{"rep", "string.rep", 1.1, 1},
	{"byte", "string.byte", 1.1, 1},
	{"pack", "string.pack, unpack", 1.1, 1},
	{"unpack", "table.unpack", 1.1, 1},
	{"insert", "table.insert", 1.1, 1},
	{"utf8", "utf8.codes, len", 1.1, 1},
	{"names", "a library's field, through read-only tables", 0, 1},
	{"sort", "table.sort (stable)", 0, 1},
	{"pairs", "pairs of 20 names (in order)", 0, 1},
	{"pcall", "pcall in a script", 0, 1},
	{"empty", "script.call of an empty function beside pcall", 0, 1000},
};

int main(int argc, char **argv)
{
	if (argc == 4) {
		lua_State *L = open_side(strcmp(argv[2], "ours") == 0);
		turn(L, argv[1], atoi(argv[3]));
		return 0;
	}
	lua_State *ours = open_side(true), *stock = open_side(false);
	for (size_t i = 0; i < sizeof benches / sizeof *benches; i++) {
		const struct bench *b = &benches[i];
		struct sample samples[SAMPLES];
		turn(ours, b->name, b->times), turn(stock, b->name, b->times);
		for (int n = 0; n < SAMPLES; n++)
			samples[n] = measure(ours, stock, b->name, b->times);
		print(b->what, samples, b->pass);
	}
	script_state_free(ours);
	lua_close(stock);
	return 0;
}
