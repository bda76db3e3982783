/* SPDX-License-Identifier: MIT
 *
 * The rest of the string library, and utf8: the stock functions, with limits where a short call makes something long.
 * Also trusted code reaches them through a string; it isn't limited.
 */
#include "script/strings.h"

#include <stdlib.h>
#include <string.h>

#include "script/library.h"

#define FORM_MAX (64 << 10) /* bytes of what says how to pack */

/* The stock function in upvalue 1, on the same arguments. */
static int stock(lua_State *L)
{
	return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

static int s_rep(lua_State *L)
{
	size_t len, sep_len;
	luaL_checklstring(L, 1, &len);
	lua_Integer n = luaL_checkinteger(L, 2);
	luaL_optlstring(L, 3, "", &sep_len);
	if (len + sep_len == 0) { /* the stock function would copy nothing n times */
		lua_pushliteral(L, "");
		return 1;
	}
	if (n > 0) {
		double total = (double)(len + sep_len) * (double)n;
		script_check_text(L, script_of(L), "string.rep", total < 1e18 ? (size_t)total : (size_t)1e18);
	}
	return stock(L);
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
	luaL_checklstring(L, 1, &len);
	if (len > VALUES_MAX)
		check_range(L, "string.byte", len);
	return stock(L);
}

static int u_codepoint(lua_State *L)
{
	size_t len;
	luaL_checklstring(L, 1, &len);
	if (len > VALUES_MAX)
		check_range(L, "utf8.codepoint", len);
	return stock(L);
}

/* The stock functions read it without looking at the clock. */
static void check_form(lua_State *L, const char *who)
{
	size_t len;
	luaL_checklstring(L, 1, &len);
	if (len > FORM_MAX && script_metered(script_of(L)))
		luaL_error(L, "%s: a format of %I KiB is longer than the limit of %d", who, (LUAI_UACINT)(len >> 10),
			   FORM_MAX >> 10);
}

static int s_unpack(lua_State *L)
{
	check_form(L, "string.unpack");
	return stock(L);
}

static int s_packsize(lua_State *L)
{
	check_form(L, "string.packsize");
	return stock(L);
}

static int s_pack(lua_State *L)
{
	size_t total = 0;
	check_form(L, "string.pack");
	for (const char *p = luaL_checkstring(L, 1); *p; p++)
		if (*p == 'c')
			total += strtoul(p + 1, NULL, 10) < STRING_MAX * 2 ? strtoul(p + 1, NULL, 10) : STRING_MAX * 2;
	script_check_text(L, script_of(L), "string.pack", total);
	return stock(L);
}

static const luaL_Reg guarded[] = {
	{"byte", s_byte}, {"format", script_format}, {"pack", s_pack}, {"packsize", s_packsize},
	{"rep", s_rep},   {"unpack", s_unpack},      {NULL, NULL},
};

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
		"char", "len", "lower", "reverse", "sub", "upper", NULL,
	};
	lua_createtable(L, 0, 18);
	script_copy_stock(L, "string", same);
	luaL_setfuncs(L, script_find_functions, 0);
	add_guarded(L, "string", guarded);
}

void script_push_utf8(lua_State *L)
{
	static const char *const same[] = {"char", "charpattern", "codes", "len", "offset", NULL};
	static const luaL_Reg limited[] = {{"codepoint", u_codepoint}, {NULL, NULL}};
	lua_createtable(L, 0, 6);
	script_copy_stock(L, "utf8", same);
	add_guarded(L, "utf8", limited);
}
