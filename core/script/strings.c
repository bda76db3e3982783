/* SPDX-License-Identifier: MIT
 *
 * The rest of the string library, and utf8: the stock functions, with limits where a short call makes something long.
 * Also trusted code reaches them through a string; it isn't limited.
 */
#include "script/strings.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "script/library.h"

#define FORM_MAX (64 << 10) /* bytes of what says how to pack */

/* The stock function in upvalue 1, on the same arguments. */
static int stock(lua_State *L)
{
	return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* How long `n` times a text of `len` bytes is; raises if that is too long. */
static size_t repeated(lua_State *L, size_t len, size_t sep_len, size_t n)
{
	double total = (double)(len + sep_len) * (double)n;
	script_check_text(L, script_of(L), "string.rep", total < 1e18 ? (size_t)total : (size_t)1e18);
	if (len + sep_len < len || total > (double)(SIZE_MAX >> 2))
		luaL_error(L, "resulting string too large");
	return len * n + sep_len * (n - 1);
}

static int s_rep(lua_State *L)
{
	size_t len, sep_len;
	const char *text = luaL_checklstring(L, 1, &len);
	lua_Integer n = luaL_checkinteger(L, 2);
	const char *sep = luaL_optlstring(L, 3, "", &sep_len);
	if (n <= 0 || len + sep_len == 0) { /* nothing, n times */
		lua_pushliteral(L, "");
		return 1;
	}
	luaL_Buffer b;
	size_t total = repeated(L, len, sep_len, (size_t)n);
	char *to = luaL_buffinitsize(L, &b, total);
	memcpy(to, text, len);
	if (n > 1)
		memcpy(to + len, sep, sep_len);
	for (size_t done = len + sep_len, more; done < total; done += more) { /* what is there, again */
		more = done < total - done ? done : total - done;
		memcpy(to + done, to, more);
	}
	luaL_pushresultsize(&b, total);
	return 1;
}

/* Places in a text or list, as string.sub has them. */
static lua_Integer from_end(lua_Integer i, size_t len)
{
	return i >= 0 ? i : (lua_Integer)len + i + 1;
}

static void check_range(lua_State *L, const char *who, size_t len)
{
	lua_Integer first = from_end(luaL_optinteger(L, 2, 1), len);
	lua_Integer last = from_end(luaL_optinteger(L, 3, first), len);
	if (last > first)
		script_check_values(L, script_of(L), who, last < (lua_Integer)len ? last - first : (lua_Integer)len);
}

static int s_byte(lua_State *L)
{
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);
	lua_Integer from = luaL_optinteger(L, 2, 1), to = luaL_optinteger(L, 3, from);
	lua_Integer first = from_end(from, len), last = from_end(to, len);
	if (first < 1)
		first = 1;
	if (last > (lua_Integer)len)
		last = (lua_Integer)len;
	if (first > last)
		return 0;
	lua_Integer n = last - first + 1;
	if (n > VALUES_MAX)
		script_check_values(L, script_of(L), "string.byte", n);
	luaL_argcheck(L, n < INT_MAX, 1, "string slice too long");
	luaL_checkstack(L, (int)n, "string slice too long");
	for (lua_Integer i = first; i <= last; i++)
		lua_pushinteger(L, (unsigned char)text[i - 1]);
	return (int)n;
}

static int u_codepoint(lua_State *L)
{
	size_t len;
	luaL_checklstring(L, 1, &len);
	if (len > VALUES_MAX)
		check_range(L, "utf8.codepoint", len);
	return stock(L);
}

/* The stock functions read what says how to pack without looking at the clock. Gives its length. */
static inline size_t check_form(lua_State *L, const char *who)
{
	size_t len = lua_rawlen(L, 1);
	if (len > FORM_MAX && lua_type(L, 1) == LUA_TSTRING && script_metered(script_of(L)))
		luaL_error(L, "%s: a format of %I KiB is longer than the limit of %d", who, (LUAI_UACINT)(len >> 10),
			   FORM_MAX >> 10);
	return len;
}

/* Called often for little: the stock functions stand where they are found soonest. */
static int s_unpack(lua_State *L)
{
	check_form(L, "string.unpack");
	return script_of(L)->unpack(L);
}

static int s_packsize(lua_State *L)
{
	check_form(L, "string.packsize");
	return stock(L);
}

/* What its texts of fixed length ask for. */
static void check_packed(lua_State *L)
{
	size_t total = 0;
	for (const char *form = luaL_checkstring(L, 1); (form = strchr(form, 'c'));) {
		size_t n = strtoul(++form, NULL, 10);
		total += n < STRING_MAX * 2 ? n : STRING_MAX * 2;
	}
	script_check_text(L, script_of(L), "string.pack", total);
}

static int s_pack(lua_State *L)
{
	if (check_form(L, "string.pack") >= sizeof "c1048577" - 1)
		check_packed(L);
	return script_of(L)->pack(L);
}

static const luaL_Reg guarded[] = {
	{"byte", s_byte},
	{"format", script_format},
	{"lower", script_lower},
	{"packsize", s_packsize},
	{"rep", s_rep},
	{"upper", script_upper},
	{NULL, NULL},
};
static const luaL_Reg packing[] = {{"pack", s_pack}, {"unpack", s_unpack}, {NULL, NULL}};

static lua_CFunction stock_of(lua_State *L, const char *name)
{
	script_push_stock(L, "string", name);
	lua_CFunction f = lua_tocfunction(L, -1);
	lua_pop(L, 1);
	return f;
}

static void add_guarded(lua_State *L, const char *library, const luaL_Reg *f)
{
	for (; f->name; f++) {
		script_push_stock(L, library, f->name);
		lua_pushcclosure(L, f->func, 1);
		lua_setfield(L, -2, f->name);
	}
}

void script_push_string(lua_State *L)
{
	static const char *const same[] = {
		"char", "len", "reverse", "sub", NULL,
	};
	lua_createtable(L, 0, 18);
	script_copy_stock(L, "string", same);
	luaL_setfuncs(L, script_find_functions, 0);
	add_guarded(L, "string", guarded);
	luaL_setfuncs(L, packing, 0);
	script_of(L)->pack = stock_of(L, "pack");
	script_of(L)->unpack = stock_of(L, "unpack");
}

void script_push_utf8(lua_State *L)
{
	static const char *const same[] = {"char", "charpattern", "codes", "offset", NULL};
	static const luaL_Reg limited[] = {{"codepoint", u_codepoint}, {"len", script_utf8_len}, {NULL, NULL}};
	lua_createtable(L, 0, 6);
	script_copy_stock(L, "utf8", same);
	add_guarded(L, "utf8", limited);
}
