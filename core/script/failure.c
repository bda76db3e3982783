/* SPDX-License-Identifier: MIT
 *
 * What the caller learns about a script that failed. Error values of scripts are read raw: no code of theirs runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/lua_error.h"
#include "script/private.h"

#define DEEP   500 /* calls in each other, of which only the innermost are told */
#define TRACED 20

static const char *source_name(const lua_Debug *ar)
{
	return ar->source[0] == '@' || ar->source[0] == '=' ? ar->source + 1 : ar->short_src;
}

/* Trusted functions stand between the script and what it called: the mistake isn't theirs. */
static bool is_script(lua_State *L, const lua_Debug *ar)
{
	lua_rawgetp(L, LUA_REGISTRYINDEX, &script_sources);
	bool known = lua_getfield(L, -1, ar->source) != LUA_TNIL;
	lua_pop(L, 2);
	return known;
}

void script_where(lua_State *L, char *file, size_t size, int *line)
{
	lua_Debug ar;
	if (!lua_checkstack(L, 4))
		return;
	for (int level = 0; lua_getstack(L, level, &ar); level++) {
		lua_getinfo(L, "Sl", &ar);
		if (ar.currentline > 0 && is_script(L, &ar)) {
			snprintf(file, size, "%s", source_name(&ar));
			*line = ar.currentline;
			return;
		}
	}
}

/* Does the text begin with "SOURCE:LINE: "? Then the line. */
static int line_at(const char *text, const char *short_src)
{
	size_t n = strlen(short_src);
	if (strncmp(text, short_src, n) != 0 || text[n] != ':')
		return 0;
	char *end;
	long line = strtol(text + n + 1, &end, 10);
	return end > text + n + 1 && end[0] == ':' && line > 0 && line < INT32_MAX ? (int)line : 0;
}

/* Where the message says the error is: error("...", 2) blames a caller. Looks at the functions on the stack. */
static bool where_in_message(lua_State *co, const char *message, struct call *call)
{
	lua_Debug ar;
	for (int level = 0; level < 30 && lua_getstack(co, level, &ar); level++) {
		lua_getinfo(co, "S", &ar);
		int line = line_at(message, ar.short_src);
		if (line) {
			snprintf(call->file, sizeof call->file, "%s", source_name(&ar));
			call->line = line;
			return true;
		}
	}
	return false;
}

static const char *kind_of(const struct call *call, int status, const char *text)
{
	if (call->kill)
		return script_kill_names[call->kill];
	if (status == LUA_ERRMEM)
		return "memory";
	if (status == LUA_ERRERR || strstr(text, "stack overflow"))
		return "stack";
	return "error";
}

/* The text of the error value on top. */
static void push_text(lua_State *L)
{
	int type = lua_type(L, -1);
	if (type == LUA_TTABLE) {
		lua_pushliteral(L, "message");
		if (lua_rawget(L, -2) == LUA_TSTRING)
			return;
		lua_pop(L, 1);
	}
	if (type == LUA_TSTRING || type == LUA_TNUMBER) {
		size_t len;
		lua_pushvalue(L, -1);
		lua_tolstring(L, -1, &len);
		return;
	}
	lua_pushfstring(L, "an error value that is a %s", luaL_typename(L, -1));
}

static void push_killed_text(lua_State *L, const struct call *call)
{
	static const char *const what[] = {"", "it used ", "it took ", "it holds ", "it made ", ""};
	lua_pushfstring(L, "the script was ended: %s%s", what[call->kill], call->why);
}

/* Adds "file:line: " unless the message says it. The text is on top. */
static void place(lua_State *L, struct call *call, lua_State *co)
{
	bool said = !call->kill && where_in_message(co, lua_tostring(L, -1), call);
	if (!call->file[0])
		script_where(co, call->file, sizeof call->file, &call->line);
	if (said || !call->file[0])
		return;
	lua_pushfstring(L, "%s:%d: ", call->file, call->line);
	lua_insert(L, -2);
	lua_concat(L, 2);
}

static void set_where(lua_State *L, int err, const struct call *call)
{
	if (!call->file[0])
		return;
	lua_pushstring(L, call->file);
	lua_setfield(L, err, "file");
	lua_pushinteger(L, call->line);
	lua_setfield(L, err, "line");
}

static void set_code(lua_State *L, int err, int value)
{
	if (lua_type(L, value) != LUA_TTABLE)
		return;
	lua_pushliteral(L, "code");
	lua_rawget(L, value);
	lua_setfield(L, err, "code");
}

/* luaL_traceback looks for the end of the stack, and at each level from its top on: after thousands of calls, whose records
 * lie anywhere in memory, that keeps everybody waiting. */
static void push_deep_traceback(lua_State *L, lua_State *co)
{
	lua_Debug ar;
	int begin = lua_gettop(L);
	lua_pushliteral(L, "stack traceback:");
	for (int level = 0; level < TRACED && lua_getstack(co, level, &ar); level++) {
		lua_getinfo(co, "Sln", &ar);
		lua_pushfstring(L, "\n\t%s:", ar.short_src);
		if (ar.currentline > 0)
			lua_pushfstring(L, "%d:", ar.currentline);
		lua_pushfstring(L, " in %s '%s'", *ar.namewhat ? ar.namewhat : ar.what, ar.name ? ar.name : "?");
		lua_concat(L, lua_gettop(L) - begin);
	}
	lua_pushfstring(L, "\n\t...\t(more than %d levels)", DEEP);
	lua_concat(L, 2);
}

static void push_traceback(lua_State *L, lua_State *co)
{
	lua_Debug ar;
	if (lua_getstack(co, DEEP, &ar))
		push_deep_traceback(L, co);
	else
		luaL_traceback(L, co, NULL, 0);
}

/* On top: the error value (nil for a killed script). Leaves the error table instead. */
void script_failure(lua_State *L, struct call *call, int status)
{
	lua_State *co = call->kill && call->running ? call->running : call->co;
	luaL_checkstack(L, 8, "no room for an error");
	int value = lua_gettop(L), err = value + 1;
	lua_createtable(L, 0, 8);
	lua_pushvalue(L, value);
	if (call->kill)
		push_killed_text(L, call);
	else
		push_text(L);
	lua_pushstring(L, kind_of(call, status, lua_tostring(L, -1)));
	lua_setfield(L, err, "kind");
	place(L, call, co);
	lua_setfield(L, err, "message");
	lua_settop(L, err);
	set_code(L, err, value);
	set_where(L, err, call);
	push_traceback(L, co);
	lua_setfield(L, err, "traceback");
	lua_insert(L, value);
	lua_setfield(L, value, "value");
	lua_error_metatable(L);
	lua_setmetatable(L, value);
}

/* "CHUNK:LINE: text" on top. */
void script_syntax_failure(lua_State *L, const char *chunkname)
{
	const char *text = lua_tostring(L, -1);
	bool named = chunkname[0] == '@' || chunkname[0] == '=';
	lua_createtable(L, 0, 6);
	lua_pushinteger(L, ERROR_ARGUMENT), lua_setfield(L, -2, "code");
	lua_pushliteral(L, "syntax"), lua_setfield(L, -2, "kind");
	const char *colon = text;
	while ((colon = strchr(colon, ':')) && !(colon[1] >= '0' && colon[1] <= '9'))
		colon++;
	if (colon)
		lua_pushinteger(L, strtol(colon + 1, NULL, 10)), lua_setfield(L, -2, "line");
	lua_pushstring(L, named ? chunkname + 1 : chunkname), lua_setfield(L, -2, "file");
	lua_pushvalue(L, -2), lua_setfield(L, -2, "message");
	lua_error_metatable(L);
	lua_setmetatable(L, -2);
	lua_remove(L, -2);
}
