/* SPDX-License-Identifier: MIT
 *
 * What the codec does with a realistic 481-byte event, on one core; with the keys in order as the store keeps them, and
 * in disorder as clients send them. The form of the lines: tools/bench.py.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "json/lua_json.h"

static const char chunk[] = "local json, what, event, n = ...\n"
			    "local value, class = json.decode(event), json.doc_class { paths = { values = { 'data', "
			    "'content', 'values' } } }\n"
			    "local run = {}\n"
			    "function run.decode_whole() local f = json.decode for _ = 1, n do f(event) end end\n"
			    "function run.encode() local f = json.encode for _ = 1, n do f(value) end end\n"
			    "function run.canonical() local f = json.canonical for _ = 1, n do f(event) end end\n"
			    "function run.lazy() local f, x = json.doc for _ = 1, n do local d = f(event, class)\n"
			    "  x = d.type x = d.thredId x = d.values.response end return x end\n"
			    "local clock = os.clock local t = clock() run[what]() return n / (clock() - t)";

static const char sorted_event[] = "{\"data\":{\"advice\":{\"eventType\":\"org.wt.client.tell\",\"template\":{\"name\":"
				   "\"confirm\"}},\"content\":{\"tasks\":"
				   "[{\"name\":\"inspect\",\"op\":\"create\",\"params\":{\"lat\":57.70887,\"lon\":11."
				   "97456}}],\"values\":{\"confidence\":"
				   "0.8725,\"contactId\":\"c-48213\",\"count\":3,\"response\":\"yes\",\"seen\":true,"
				   "\"tags\":[]},\"valuesType\":\"sensorContact\"},"
				   "\"title\":\"Contact north gate\"},\"id\":\"e-00000000-0042\",\"source\":{\"id\":"
				   "\"participant0\",\"name\":\"Ann\"},\"thredId\":\"t-7f3a9c0212\",\"time\":"
				   "1732381200123,\"type\":\"org.wt.client.tell\"}";

/* The same with the keys as a client would write them. */
static const char client_event[] =
	"{\"id\":\"e-00000000-0042\",\"type\":\"org.wt.client.tell\",\"time\":1732381200123,\"source\":{\"id\":"
	"\"participant0\","
	"\"name\":\"Ann\"},\"thredId\":\"t-7f3a9c0212\",\"data\":{\"title\":\"Contact north gate\","
	"\"advice\":{\"eventType\":\"org.wt.client.tell\",\"template\":{\"name\":\"confirm\"}},\"content\":{"
	"\"valuesType\":"
	"\"sensorContact\",\"values\":{\"contactId\":\"c-48213\",\"response\":\"yes\",\"seen\":true,\"count\":3,"
	"\"confidence\":0.8725,"
	"\"tags\":[]},\"tasks\":[{\"name\":\"inspect\",\"op\":\"create\",\"params\":{\"lat\":57.70887,\"lon\":11.97456}"
	"}]}}}";

static double round_of(lua_State *L, const char *what, const char *event, long n)
{
	if (luaL_loadstring(L, chunk)) {
		fprintf(stderr, "%s\n", lua_tostring(L, -1));
		exit(1);
	}
	lua_getglobal(L, "json");
	lua_pushstring(L, what);
	lua_pushstring(L, event);
	lua_pushinteger(L, n);
	if (lua_pcall(L, 4, 1, 0)) {
		fprintf(stderr, "%s\n", luaL_tolstring(L, -1, NULL));
		exit(1);
	}
	double rate = lua_tonumber(L, -1);
	lua_settop(L, 0);
	return rate;
}

static void measure(lua_State *L, const char *what, const char *name, const char *event, double pass, double aim)
{
	printf("{\"what\":\"%s\",\"unit\":\"1/s\",\"samples\":[", name);
	for (int i = 0; i < 5; i++)
		printf("%s%.0f", i ? "," : "", round_of(L, what, event, 200000));
	printf("]");
	if (pass > 0)
		printf(",\"pass\":%.0f,\"aim\":%.0f", pass, aim);
	printf(",\"notes\":\"%zu B\"}\n", strlen(event));
	fflush(stdout);
}

int main(void)
{
	lua_State *L = luaL_newstate();
	luaL_openlibs(L);
	luaL_requiref(L, "json", luaopen_core_json, 1);
	lua_settop(L, 0);
	measure(L, "decode_whole", "JSON: bytes to Lua whole", sorted_event, 250e3, 350e3);
	measure(L, "lazy", "JSON: lazily, three fields read", sorted_event, 700e3, 1.5e6);
	measure(L, "encode", "JSON: Lua to bytes", sorted_event, 350e3, 500e3);
	measure(L, "canonical", "JSON: check what is canonical", sorted_event, 0, 0);
	measure(L, "decode_whole", "JSON: bytes to Lua whole, keys in disorder", client_event, 250e3, 350e3);
	measure(L, "lazy", "JSON: lazily, three fields read, keys in disorder", client_event, 700e3, 1.5e6);
	measure(L, "canonical", "JSON: make canonical", client_event, 0, 0);
	lua_close(L);
	return 0;
}
