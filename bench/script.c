/* SPDX-License-Identifier: MIT
 *
 * What the sandbox costs: a script call beside a pcall, a long script with and without slices, our string functions
 * beside the stock ones (ratios of their times). The form of the lines: tools/bench.py.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script/script.h"

#define ROUNDS 5

/* Gives ns for one turn of `what`: in the sandbox if `inside`, else in plain Lua. */
static const char chunk[] =
	"local script, what, inside = ...\n"
	"local bodies = {\n"
	"  loop = 'local s = 0 for i = 1, 20000000 do s = s + i % 7 end return 20000000',\n"
	"  calls = 'local function f(n) if n < 2 then return n end return f(n - 1) + f(n - 2) end f(27) return "
	"832040',\n"
	"  find = 'local s = (\"x\"):rep(200) .. \"key=value\" for i = 1, 100000 do s:find(\"(%w+)=(%w+)\", 150) end "
	"return 100000',\n"
	"  plain = 'local s = (\"x\"):rep(200) .. \"key=value\" for i = 1, 300000 do s:find(\"key\", 1, true) end "
	"return 300000',\n"
	"  match = 'for i = 1, 300000 do (\"2026-11-23\"):match(\"^(%d+)%-(%d+)%-(%d+)$\") end return 300000',\n"
	"  gsub = 'local s = (\"hello world \"):rep(20) for i = 1, 10000 do s:gsub(\"%w+\", \"<%0>\") end return "
	"10000',\n"
	"  gmatch = 'local s = (\"hello world \"):rep(20) for i = 1, 10000 do for w in s:gmatch(\"%a+\") do end end "
	"return 10000',\n"
	"  format = 'for i = 1, 300000 do (\"%s has %d at %.2f\"):format(\"it\", i, i / 3) end return 300000',\n"
	"  concat = 'local t = {} for i = 1, 100 do t[i] = \"item\" .. i end for i = 1, 20000 do table.concat(t, \", "
	"\") "
	"end return 20000',\n"
	"  sort = 'for i = 1, 200 do local t = {} for j = 1, 500 do t[j] = j * 7919 % 1009 end table.sort(t) end "
	"return "
	"200',\n"
	"  pairs = 'local t = {} for i = 1, 20 do t[\"k\" .. i] = i end for i = 1, 100000 do for k, v in pairs(t) do "
	"end "
	"end return 100000',\n"
	"  pcall = 'local f = function() end for i = 1, 2000000 do pcall(f) end return 2000000',\n"
	"}\n"
	"local clock, turns, t = os.clock\n"
	"if what == 'call' then\n"
	"  local n, env, limits = 500000, script and script.environment {}, {}\n"
	"  if inside then\n"
	"    local fn, context, call = script.load('return 1', '@x', env), {}, script.call\n"
	"    t = clock() for _ = 1, n do call(context, limits, fn) end\n"
	"  else\n"
	"    local fn, call = load 'return 1', pcall\n"
	"    t = clock() for _ = 1, n do call(fn) end\n"
	"  end\n"
	"  return (clock() - t) / n * 1e9\n"
	"end\n"
	"if inside then\n"
	"  local fn = script.load(bodies[what], '@x', script.environment {})\n"
	"  t = clock() local ok, n = script.call({}, { cpu = 1e9, wall = 1e9 }, fn)\n"
	"  if not ok then error(n) end turns = n\n"
	"else\n"
	"  local fn = load(bodies[what], '@x') t = clock() turns = fn()\n"
	"end\n"
	"return (clock() - t) / turns * 1e9\n";

static double turn(lua_State *L, const char *what, bool inside)
{
	if (luaL_loadstring(L, chunk) != LUA_OK)
		goto bad;
	if (inside)
		luaL_requiref(L, "core.script", luaopen_core_script, 0);
	else
		lua_pushnil(L);
	lua_pushstring(L, what);
	lua_pushboolean(L, inside);
	if (lua_pcall(L, 3, 1, 0) != LUA_OK)
		goto bad;
	double ns = lua_tonumber(L, -1);
	lua_settop(L, 0);
	return ns;
bad:
	fprintf(stderr, "%s\n", luaL_tolstring(L, -1, NULL));
	exit(1);
}

static double measure(const char *what, bool inside)
{
	lua_State *L = inside ? script_state_new(NULL) : luaL_newstate();
	if (!inside)
		luaL_openlibs(L);
	double ns = turn(L, what, inside);
	if (inside)
		script_state_free(L);
	else
		lua_close(L);
	return ns;
}

static void print_samples(const double *samples)
{
	for (int i = 0; i < ROUNDS; i++)
		printf("%s%.3f", i ? ", " : "", samples[i]);
}

/* Our time over the stock one's of the same round. */
static void ratio(const char *what, const char *label, double pass)
{
	double samples[ROUNDS], ours = 0, stock = 0;
	for (int i = 0; i < ROUNDS; i++) {
		stock = measure(what, false);
		ours = measure(what, true);
		samples[i] = ours / stock;
	}
	printf("{\"bench\": \"script\", \"what\": \"%s\", \"unit\": \"x stock\", \"less\": true, \"samples\": [",
	       label);
	print_samples(samples);
	printf("], \"notes\": \"last: %.0f ns, stock %.0f ns\"", ours, stock);
	if (pass > 0)
		printf(", \"pass\": %g", pass);
	printf("}\n");
	fflush(stdout);
}

static void call_cost(bool inside, const char *label)
{
	double samples[ROUNDS];
	for (int i = 0; i < ROUNDS; i++)
		samples[i] = measure("call", inside);
	printf("{\"bench\": \"script\", \"what\": \"%s\", \"unit\": \"ns\", \"less\": true, \"samples\": [", label);
	print_samples(samples);
	printf("]}\n");
	fflush(stdout);
}

int main(void)
{
	call_cost(true, "script.call of an empty function");
	call_cost(false, "pcall of an empty function, stock");
	ratio("loop", "a loop in slices", 1.02);
	ratio("calls", "recursion in slices", 1.02);
	static const char *const functions[] = {"find", "plain", "match", "gsub", "gmatch", "format", "concat"};
	for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
		ratio(functions[i], functions[i], 1.1);
	ratio("sort", "sort (stable)", 0);
	ratio("pairs", "pairs of 20 names (in order)", 0);
	ratio("pcall", "pcall in a script", 0);
	return 0;
}
