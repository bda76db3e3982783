/* SPDX-License-Identifier: MIT
 *
 * What the codec costs on a realistic 481-byte event, one core: JSON lines, 5 rounds.
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
				   "\"title\":\"Contact at the north "
				   "fence\"},\"id\":\"e-00000000-0042\",\"re\":\"e-00000000-0041\",\"source\":{\"id\":"
				   "\"participant0\",\"name\":\"Ann\"},\"thredId\":\"t-7f3a9c0212\",\"time\":"
				   "1732381200123,\"type\":\"org.wt.client.tell\"}";

/* The same with the keys as a client would write them. */
static const char client_event[] = "{\"id\":\"e-00000000-0042\",\"type\":\"org.wt.client.tell\",\"time\":1732381200123,"
				   "\"source\":{\"id\":\"participant0\","
				   "\"name\":\"Ann\"},\"thredId\":\"t-7f3a9c0212\",\"re\":\"e-00000000-0041\",\"data\":"
				   "{\"title\":\"Contact at the north fence\","
				   "\"advice\":{\"eventType\":\"org.wt.client.tell\",\"template\":{\"name\":"
				   "\"confirm\"}},\"content\":{\"valuesType\":"
				   "\"sensorContact\",\"values\":{\"contactId\":\"c-48213\",\"response\":\"yes\","
				   "\"seen\":true,\"count\":3,\"confidence\":0.8725,"
				   "\"tags\":[]},\"tasks\":[{\"name\":\"inspect\",\"op\":\"create\",\"params\":{"
				   "\"lat\":57.70887,\"lon\":11.97456}}]}}}";

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

static void measure(lua_State *L, const char *what, const char *order, const char *event, double least, double aim)
{
	double rates[5];
	for (int i = 0; i < 5; i++)
		rates[i] = round_of(L, what, event, 200000);
	printf("{\"what\":\"json %s, keys %s, %zu bytes\",\"unit\":\"1/s\",\"samples\":[%.0f,%.0f,%.0f,%.0f,%.0f]",
	       what, order, strlen(event), rates[0], rates[1], rates[2], rates[3], rates[4]);
	if (least > 0)
		printf(",\"pass\":%.0f,\"aim\":%.0f", least, aim);
	printf("}\n");
	fflush(stdout);
}

int main(void)
{
	lua_State *L = luaL_newstate();
	luaL_openlibs(L);
	luaL_requiref(L, "json", luaopen_core_json, 1);
	lua_settop(L, 0);
	measure(L, "decode_whole", "sorted", sorted_event, 250e3, 350e3);
	measure(L, "lazy", "sorted", sorted_event, 700e3, 1.5e6);
	measure(L, "encode", "sorted", sorted_event, 350e3, 500e3);
	measure(L, "canonical", "sorted", sorted_event, 0, 0);
	measure(L, "decode_whole", "client", client_event, 250e3, 350e3);
	measure(L, "lazy", "client", client_event, 700e3, 1.5e6);
	measure(L, "canonical", "client", client_event, 0, 0);
	lua_close(L);
	return 0;
}
