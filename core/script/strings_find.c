/* SPDX-License-Identifier: MIT
 *
 * find, match, gmatch and gsub on our matcher.
 */
#include <string.h>

#include "script/match.h"
#include "script/strings.h"

/* The start that `init` at `index` means, from 0; above `len`: behind the text. */
static size_t start_at(lua_State *L, int index, size_t len)
{
	lua_Integer init = luaL_optinteger(L, index, 1);
	if (init > 0)
		return (size_t)init - 1;
	if (init == 0 || init < -(lua_Integer)len)
		return 0;
	return len + (size_t)init;
}

static bool is_plain(const char *pattern, size_t len)
{
	for (const char *end = pattern + len; pattern < end; pattern++) {
		switch (*pattern) {
		case '^':
		case '$':
		case '*':
		case '+':
		case '?':
		case '.':
		case '(':
		case '[':
		case '%':
		case '-':
			return false;
		}
	}
	return true;
}

#define PIECE ((size_t)256 << 10) /* that is searched before somebody looks at the clock */

/* memmem in pieces that overlap. */
static const char *find_far(lua_State *L, const char *text, const char *end, const char *what, size_t len)
{
	struct script *s = script_of(L);
	while ((size_t)(end - text) > PIECE + len) {
		const char *found = memmem(text, PIECE + len - 1, what, len);
		if (found)
			return found;
		text += PIECE;
		script_tick(L, s);
	}
	return memmem(text, (size_t)(end - text), what, len);
}

/* Most searches end at one of the first candidates; memmem takes longer to begin, but its time is linear. */
static const char *find_text(lua_State *L, const char *text, size_t text_len, const char *what, size_t len)
{
	const char *end = text + text_len;
	if (len == 0)
		return text;
	for (int tries = 0; tries < 32; tries++) {
		if ((size_t)(end - text) < len)
			return NULL;
		text = memchr(text, *what, (size_t)(end - text) - len + 1);
		if (!text || memcmp(text, what, len) == 0)
			return text;
		text++;
	}
	return find_far(L, text, end, what, len);
}

static int find_plain(lua_State *L, const char *text, size_t text_len, size_t from, const char *what, size_t len)
{
	const char *at = find_text(L, text + from, text_len - from, what, len);
	if (!at) {
		lua_pushnil(L);
		return 1;
	}
	lua_pushinteger(L, at - text + 1);
	lua_pushinteger(L, (lua_Integer)(at - text) + (lua_Integer)len);
	return 2;
}

static int find_pattern(lua_State *L, struct match *m, const char *at, const char *pattern, bool want_place)
{
	bool anchored = *pattern == '^' && pattern < m->pattern_end;
	pattern += anchored;
	do {
		const char *end = match_at(m, at, pattern);
		if (!end)
			continue;
		if (!want_place)
			return match_push_captures(m, at, end);
		lua_pushinteger(L, at - m->text + 1);
		lua_pushinteger(L, end - m->text);
		return match_push_captures(m, NULL, NULL) + 2;
	} while (at++ < m->text_end && !anchored);
	lua_pushnil(L);
	return 1;
}

static int search(lua_State *L, bool want_place)
{
	size_t text_len, pattern_len;
	const char *text = luaL_checklstring(L, 1, &text_len), *pattern = luaL_checklstring(L, 2, &pattern_len);
	size_t from = start_at(L, 3, text_len);
	if (from > text_len) {
		lua_pushnil(L);
		return 1;
	}
	if (want_place && (lua_toboolean(L, 4) || is_plain(pattern, pattern_len)))
		return find_plain(L, text, text_len, from, pattern, pattern_len);
	struct match m;
	match_init(&m, L, text, text_len, pattern, pattern_len);
	return find_pattern(L, &m, text + from, pattern, want_place);
}

static int s_find(lua_State *L)
{
	return search(L, true);
}

static int s_match(lua_State *L)
{
	return search(L, false);
}

/* Upvalues: this, text, pattern. */
struct all {
	const char *text, *pattern; /* borrowed from the upvalues */
	size_t text_len, pattern_len;
	const char *from, *last; /* where to go on; the end of the last match */
};

static int next_match(lua_State *L)
{
	struct all *all = lua_touserdata(L, lua_upvalueindex(1));
	struct match m;
	match_init(&m, L, all->text, all->text_len, all->pattern, all->pattern_len);
	for (const char *at = all->from; at <= m.text_end; at++) {
		const char *end = match_at(&m, at, all->pattern);
		if (!end || end == all->last)
			continue;
		all->from = all->last = end;
		return match_push_captures(&m, at, end);
	}
	return 0;
}

static int s_gmatch(lua_State *L)
{
	struct all all = {0};
	all.text = luaL_checklstring(L, 1, &all.text_len);
	all.pattern = luaL_checklstring(L, 2, &all.pattern_len);
	size_t from = start_at(L, 3, all.text_len);
	all.from = all.text + (from <= all.text_len ? from : all.text_len + 1);
	lua_settop(L, 2);
	*(struct all *)lua_newuserdatauv(L, sizeof all, 0) = all;
	lua_insert(L, 1);
	lua_pushcclosure(L, next_match, 3);
	return 1;
}

/* The replacement text at 3, with its %0 to %9. */
static void add_template(struct match *m, luaL_Buffer *b, const char *start, const char *end)
{
	size_t len;
	const char *news = lua_tolstring(m->L, 3, &len), *stop = news + len, *p;
	while ((p = memchr(news, '%', (size_t)(stop - news)))) {
		luaL_addlstring(b, news, (size_t)(p - news));
		p++;
		if (*p == '%') {
			luaL_addchar(b, '%');
		} else if (*p == '0') {
			luaL_addlstring(b, start, (size_t)(end - start));
		} else if (*p >= '1' && *p <= '9') {
			match_push_capture(m, *p - '1', start, end);
			luaL_tolstring(m->L, -1, NULL);
			lua_remove(m->L, -2);
			luaL_addvalue(b);
		} else {
			luaL_error(m->L, "invalid use of '%%' in replacement string");
		}
		news = p + 1;
	}
	luaL_addlstring(b, news, (size_t)(stop - news));
}

/* Adds what stands for the match start..end; false if that is the match itself. */
static bool add_value(struct match *m, luaL_Buffer *b, const char *start, const char *end, int type)
{
	lua_State *L = m->L;
	if (type == LUA_TFUNCTION) {
		lua_pushvalue(L, 3);
		lua_call(L, match_push_captures(m, start, end), 1);
	} else if (type == LUA_TSTRING || type == LUA_TNUMBER) {
		add_template(m, b, start, end);
		return true;
	} else {
		match_push_capture(m, 0, start, end);
		lua_gettable(L, 3);
	}
	if (!lua_toboolean(L, -1)) {
		lua_pop(L, 1);
		luaL_addlstring(b, start, (size_t)(end - start));
		return false;
	}
	if (!lua_isstring(L, -1))
		luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
	luaL_addvalue(b);
	return true;
}

static void check_size(lua_State *L, const struct script *s, size_t len)
{
	if (len > STRING_MAX)
		script_check_text(L, s, "gsub", len);
}

static int s_gsub(lua_State *L)
{
	size_t text_len, pattern_len;
	const char *text = luaL_checklstring(L, 1, &text_len), *pattern = luaL_checklstring(L, 2, &pattern_len);
	const char *at = text, *last = NULL;
	int type = lua_type(L, 3);
	lua_Integer most = luaL_optinteger(L, 4, (lua_Integer)text_len + 1), n = 0;
	bool anchored = *pattern == '^' && pattern_len > 0, changed = false;
	luaL_argexpected(L,
			 type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION || script_is_table(L, 3),
			 3, "string/function/table");
	struct match m;
	luaL_Buffer b;
	luaL_buffinit(L, &b);
	match_init(&m, L, text, text_len, pattern, pattern_len);
	while (n < most) {
		const char *end = match_at(&m, at, pattern + anchored);
		if (end && end != last) {
			n++;
			changed = add_value(&m, &b, at, end, type) || changed;
			check_size(L, m.script, luaL_bufflen(&b));
			at = last = end;
		} else if (at < m.text_end) {
			luaL_addchar(&b, *at++);
		} else {
			break;
		}
		if (anchored)
			break;
	}
	if (changed) {
		luaL_addlstring(&b, at, (size_t)(m.text_end - at));
		luaL_pushresult(&b);
	} else {
		lua_pushvalue(L, 1);
	}
	lua_pushinteger(L, n);
	return 2;
}

const luaL_Reg script_find_functions[] = {
	{"find", s_find}, {"gmatch", s_gmatch}, {"gsub", s_gsub}, {"match", s_match}, {NULL, NULL},
};
