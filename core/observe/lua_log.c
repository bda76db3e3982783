/* SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <string.h>

#include "base/lua_error.h"
#include "observe/observe.h"

#define FIELDS 47 /* of a line; what is beyond is left out */

/* Upvalues of the functions of a logger: its fields (or nil) and its module (or nil). */
enum { UP_FIELDS = 1, UP_MODULE = 2, UP_LEVEL = 3 };

struct collector {
	struct log_field fields[FIELDS + 1];
	size_t n;
};

static void add(struct collector *c, struct log_field field)
{
	if (c->n < FIELDS)
		c->fields[c->n++] = field;
}

/* An error table under `err` tells its message, its cause behind it, and its code. Leaves the text on the stack. */
static void add_error(lua_State *L, struct collector *c)
{
	struct error e;
	lua_error_from(L, -1, &e);
	lua_pushfstring(L, e.cause[0] ? "%s: %s" : "%s", e.message, e.cause);
	add(c, (struct log_field)LOG_INT("err_code", e.code));
	add(c, (struct log_field)LOG_TEXT("err", lua_tostring(L, -1)));
}

/* Any other value as text, which it leaves on the stack. */
static void add_text(lua_State *L, struct collector *c, const char *key)
{
	size_t len;
	const char *text = luaL_tolstring(L, -1, &len);
	add(c, (struct log_field){.key = key, .kind = LOG_KIND_TEXT, .len = len, .text = text});
}

/* The value on top under `key`, which stands below it; a text that was pushed goes below both: the line borrows it. */
static void add_value(lua_State *L, struct collector *c, const char *key)
{
	if (lua_type(L, -1) == LUA_TBOOLEAN) {
		add(c, (struct log_field)LOG_BOOL(key, lua_toboolean(L, -1)));
	} else if (lua_isinteger(L, -1)) {
		add(c, (struct log_field)LOG_INT(key, lua_tointeger(L, -1)));
	} else if (lua_type(L, -1) == LUA_TNUMBER) {
		add(c, (struct log_field)LOG_FLOAT(key, lua_tonumber(L, -1)));
	} else {
		if (strcmp(key, "err") == 0 && lua_error_is(L, -1))
			add_error(L, c);
		else
			add_text(L, c, key);
		lua_insert(L, -3);
	}
}

static void add_table(lua_State *L, struct collector *c, int index)
{
	if (lua_isnoneornil(L, index))
		return;
	luaL_checktype(L, index, LUA_TTABLE);
	lua_pushnil(L);
	while (lua_next(L, index)) {
		luaL_checkstack(L, 8, "too many fields");
		if (lua_type(L, -2) == LUA_TSTRING)
			add_value(L, c, lua_tostring(L, -2));
		lua_pop(L, 1);
	}
}

static int l_write(lua_State *L)
{
	enum log_level level = (enum log_level)lua_tointeger(L, lua_upvalueindex(UP_LEVEL));
	const char *module = lua_tostring(L, lua_upvalueindex(UP_MODULE));
	struct log *log = observe_log(L);
	const char *msg = luaL_checkstring(L, 1);
	if (!log_wants(log, module, level))
		return 0;
	lua_settop(L, 2);
	struct collector c;
	c.n = 0;
	lua_pushvalue(L, lua_upvalueindex(UP_FIELDS));
	add_table(L, &c, 3);
	add_table(L, &c, 2);
	c.fields[c.n] = (struct log_field){0};
	log_write(log, level, module, msg, c.fields);
	return 0;
}

static enum log_level check_level(lua_State *L, int index)
{
	struct error e;
	enum log_level level = LOG_LEVEL_INFO;
	if (log_level_named(luaL_checkstring(L, index), &level, &e))
		lua_error_raise(L, &e);
	return level;
}

/* level([module,] level) sets; level() and level(module, nil) tell. */
static int l_level(lua_State *L)
{
	struct log *log = observe_log(L);
	struct error e;
	if (lua_gettop(L) == 1) {
		if (log_set_level(log, NULL, check_level(L, 1), &e))
			return lua_error_raise(L, &e);
		return 0;
	}
	const char *module = luaL_optstring(L, 1, NULL);
	if (lua_isnoneornil(L, 2)) {
		lua_pushstring(L, log_level_name(log_level_of(log, module)));
		return 1;
	}
	if (log_set_level(log, module, check_level(L, 2), &e))
		return lua_error_raise(L, &e);
	return 0;
}

static int l_reset(lua_State *L)
{
	log_reset_levels(observe_log(L), check_level(L, 1));
	return 0;
}

static int l_levels(lua_State *L)
{
	struct buf text = {0};
	int rc = log_levels(observe_log(L), &text);
	if (rc == 0)
		lua_pushlstring(L, text.data, text.len);
	buf_free(&text);
	return rc == 0 ? 1 : luaL_error(L, "not enough memory");
}

/* Fields (or nil) and module (or nil) on top: popped. Adds debug, info, warn, error to the table below them. */
static void add_functions(lua_State *L)
{
	for (int level = LOG_LEVEL_DEBUG; level <= LOG_LEVEL_ERROR; level++) {
		lua_pushvalue(L, -2);
		lua_pushvalue(L, -2);
		lua_pushinteger(L, level);
		lua_pushcclosure(L, l_write, 3);
		lua_setfield(L, -4, log_level_name((enum log_level)level));
	}
	lua_pop(L, 2);
}

/* logger{module=, …fields}: the same functions, which add these fields to each line. */
static int l_logger(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_newtable(L);
	lua_newtable(L); /* a copy: the caller's table may change */
	lua_pushnil(L);
	while (lua_next(L, 1)) {
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		lua_rawset(L, -4);
	}
	if (lua_getfield(L, 1, "module") != LUA_TNIL)
		luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, 1, "module is to be a string");
	add_functions(L);
	return 1;
}

/* configure{format = "auto" | "text" | "json", service =, instance =} */
static int l_configure(lua_State *L)
{
	static const char *const formats[] = {"auto", "text", "json", NULL};
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	lua_getfield(L, 1, "service");
	lua_getfield(L, 1, "instance");
	lua_getfield(L, 1, "format");
	enum log_format format = (enum log_format)luaL_checkoption(L, 4, "auto", formats);
	log_configure(observe_log(L), format, lua_tostring(L, 2), lua_tostring(L, 3));
	return 0;
}

int luaopen_core_log(lua_State *L)
{
	static const luaL_Reg functions[] = {{"level", l_level},   {"levels", l_levels},       {"reset", l_reset},
					     {"logger", l_logger}, {"configure", l_configure}, {NULL, NULL}};
	luaL_newlib(L, functions);
	lua_pushnil(L);
	lua_pushnil(L);
	add_functions(L);
	return 1;
}
