/* SPDX-License-Identifier: MIT
 *
 * os for scripts: time and date alone. The clock is the context's `now` and the time zone always UTC, so that a step
 * gives the same result wherever and whenever it is run; os.date("%H") and os.date("!%H") are the same.
 */
#include <string.h>
#include <time.h>

#include "script/library.h"
#include "script/private.h"

static lua_Integer now_seconds(lua_State *L, const char *who)
{
	script_push_context(L, who);
	lua_getfield(L, -1, "now");
	lua_Integer ms = (lua_Integer)lua_tonumber(L, -1);
	lua_pop(L, 2);
	return ms >= 0 ? ms / 1000 : -((-ms + 999) / 1000);
}

static int field(lua_State *L, const char *name, int otherwise, int offset)
{
	int is_integer, type = lua_getfield(L, 1, name);
	lua_Integer n = lua_tointegerx(L, -1, &is_integer);
	if (!is_integer) {
		if (type != LUA_TNIL)
			return luaL_error(L, "field '%s' is not an integer", name);
		if (otherwise < 0)
			return luaL_error(L, "field '%s' missing in date table", name);
		n = otherwise;
	} else if (n < INT32_MIN / 2 + offset || n > INT32_MAX / 2 + offset) {
		return luaL_error(L, "field '%s' is out-of-bound", name);
	}
	lua_pop(L, 1);
	return (int)n - offset;
}

static void set_field(lua_State *L, const char *name, int value)
{
	lua_pushinteger(L, value);
	lua_setfield(L, 1, name);
}

/* What the table said in its way, as a calendar has it. */
static void normalise(lua_State *L, const struct tm *t)
{
	set_field(L, "year", t->tm_year + 1900);
	set_field(L, "month", t->tm_mon + 1);
	set_field(L, "day", t->tm_mday);
	set_field(L, "hour", t->tm_hour);
	set_field(L, "min", t->tm_min);
	set_field(L, "sec", t->tm_sec);
	set_field(L, "yday", t->tm_yday + 1);
	set_field(L, "wday", t->tm_wday + 1);
}

static int os_time(lua_State *L)
{
	if (lua_isnoneornil(L, 1)) {
		lua_pushinteger(L, now_seconds(L, "os.time"));
		return 1;
	}
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	struct tm t = {
		.tm_year = field(L, "year", -1, 1900),
		.tm_mon = field(L, "month", -1, 1),
		.tm_mday = field(L, "day", -1, 0),
		.tm_hour = field(L, "hour", 12, 0),
		.tm_min = field(L, "min", 0, 0),
		.tm_sec = field(L, "sec", 0, 0),
	};
	time_t seconds = timegm(&t);
	normalise(L, &t);
	lua_pushinteger(L, seconds);
	return 1;
}

/* Upvalue: the stock function, which is asked for UTC and given the time. */
static int os_date(lua_State *L)
{
	const char *format = luaL_optstring(L, 1, "%c");
	lua_Integer seconds = lua_isnoneornil(L, 2) ? now_seconds(L, "os.date") : luaL_checkinteger(L, 2);
	luaL_argcheck(L, strlen(format) <= 1000, 1, "format is longer than 1000 characters");
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushfstring(L, "%s%s", format[0] == '!' ? "" : "!", format);
	lua_pushinteger(L, seconds);
	lua_call(L, 2, 1);
	return 1;
}

void script_push_os(lua_State *L)
{
	lua_createtable(L, 0, 2);
	lua_pushcfunction(L, os_time);
	lua_setfield(L, -2, "time");
	script_push_stock(L, "os", "date");
	lua_pushcclosure(L, os_date, 1);
	lua_setfield(L, -2, "date");
}
