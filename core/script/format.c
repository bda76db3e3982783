/* SPDX-License-Identifier: MIT
 *
 * string.format: no addresses, texts within the limit. What it takes and refuses, in which order and in which words, is
 * that of lstrlib.c of Lua 5.4 (MIT, Copyright (C) 1994-2022 Lua.org, PUC-Rio), which it stands in for.
 */
#include <ctype.h>
#include <float.h>
#include <stdio.h>
#include <string.h>

#include "script/strings.h"

#define ITEM_MAX  120                    /* bytes of any conversion but %f and texts */
#define FLOAT_MAX (110 + DBL_MAX_10_EXP) /* of %f */
#define FORM_MAX  32
#define FORM_ROOM 10 /* of it for what is added to a conversion */

struct format {
	lua_State *L;
	luaL_Buffer b;
	int argument;
	unsigned work;       /* bytes quoted */
	size_t len;          /* of `form` */
	char form[FORM_MAX]; /* the conversion, from its % to its letter */
};

/* Reads flags, width, precision and letter, which begin at `p`; gives what comes behind. */
static const char *read_form(struct format *f, const char *p)
{
	size_t len = isalpha((unsigned char)*p) ? 1 : strspn(p, "-+ #0123456789.") + 1;
	if (len >= FORM_MAX - FORM_ROOM)
		luaL_error(f->L, "invalid format string to 'format'");
	f->form[0] = '%';
	memcpy(f->form + 1, p, len);
	f->len = len + 1;
	f->form[f->len] = 0;
	return p + len;
}

static const char *two_digits(const char *p)
{
	for (int i = 0; i < 2 && isdigit((unsigned char)*p); i++)
		p++;
	return p;
}

/* Refuses what this conversion doesn't take. */
static void check_form(const struct format *f, const char *flags, bool precision)
{
	const char *p = f->form + 1;
	p += strspn(p, flags);
	if (*p != '0') {
		p = two_digits(p);
		if (*p == '.' && precision)
			p = two_digits(p + 1);
	}
	if (!isalpha((unsigned char)*p))
		luaL_error(f->L, "invalid conversion specification: '%s'", f->form);
}

static bool bare(const struct format *f)
{
	return f->len == 2;
}

static void add_printed(struct format *f, size_t room, int printed)
{
	if (printed > 0 && (size_t)printed < room)
		luaL_addsize(&f->b, (size_t)printed);
}

static void add_char(struct format *f)
{
	check_form(f, "-", false);
	char *to = luaL_prepbuffsize(&f->b, ITEM_MAX);
	add_printed(f, ITEM_MAX, snprintf(to, ITEM_MAX, f->form, (int)luaL_checkinteger(f->L, f->argument)));
}

/* %d alone, the most frequent one. */
static void add_decimal(struct format *f, lua_Integer n)
{
	char digits[24], *p = digits + sizeof digits;
	lua_Unsigned rest = n < 0 ? 0u - (lua_Unsigned)n : (lua_Unsigned)n;
	do
		*--p = (char)('0' + rest % 10);
	while ((rest /= 10));
	if (n < 0)
		*--p = '-';
	script_add(&f->b, p, (size_t)(digits + sizeof digits - p));
}

static void add_integer(struct format *f, char letter, const char *flags)
{
	lua_Integer n = luaL_checkinteger(f->L, f->argument);
	if (bare(f) && (letter == 'd' || letter == 'i')) {
		add_decimal(f, n);
		return;
	}
	check_form(f, flags, true);
	memcpy(f->form + f->len - 1, (char[]){'l', 'l', letter, 0}, 4);
	char *to = luaL_prepbuffsize(&f->b, ITEM_MAX);
	add_printed(f, ITEM_MAX, snprintf(to, ITEM_MAX, f->form, (long long)n));
}

static void add_float(struct format *f, char letter)
{
	bool hex = letter == 'a' || letter == 'A';
	size_t room = letter == 'f' ? FLOAT_MAX : ITEM_MAX;
	if (hex)
		check_form(f, "-+ #0", true);
	lua_Number n = luaL_checknumber(f->L, f->argument);
	if (!hex)
		check_form(f, "-+ #0", true);
	char *to = luaL_prepbuffsize(&f->b, room);
	add_printed(f, room, snprintf(to, room, f->form, n));
}

/* With flags or a width; the text is on top of the stack. */
static void add_formed_text(struct format *f, const char *text, size_t len)
{
	luaL_argcheck(f->L, len == strlen(text), f->argument, "string contains zeros");
	check_form(f, "-", true);
	if (!strchr(f->form, '.') && len >= 100) {
		luaL_addvalue(&f->b);
		return;
	}
	char item[ITEM_MAX];
	int printed = snprintf(item, sizeof item, f->form, text);
	lua_pop(f->L, 1);
	if (printed > 0 && (size_t)printed < sizeof item)
		script_add(&f->b, item, (size_t)printed);
}

static void add_text(struct format *f)
{
	size_t len;
	int type = lua_type(f->L, f->argument);
	if (bare(f) && (type == LUA_TSTRING || type == LUA_TNUMBER)) {
		const char *text = lua_tolstring(f->L, f->argument, &len);
		script_add(&f->b, text, len);
		return;
	}
	const char *text = script_tostring(f->L, f->argument, &len);
	if (bare(f))
		luaL_addvalue(&f->b);
	else
		add_formed_text(f, text, len);
}

static void add_quoted(struct format *f)
{
	struct script *s = script_of(f->L);
	size_t len;
	const char *text = lua_tolstring(f->L, f->argument, &len);
	luaL_addchar(&f->b, '"');
	for (const char *p = text; p < text + len; p++) {
		char *to = luaL_prepbuffsize(&f->b, 8);
		unsigned char c = (unsigned char)*p;
		if (c == '"' || c == '\\' || c == '\n')
			luaL_addsize(&f->b, (to[0] = '\\', to[1] = (char)c, 2));
		else if (iscntrl(c))
			luaL_addsize(&f->b, (size_t)sprintf(to, isdigit((unsigned char)p[1]) ? "\\%03d" : "\\%d", c));
		else
			luaL_addsize(&f->b, (to[0] = (char)c, 1));
		if ((++f->work & 63) == 0)
			script_tick(f->L, s);
	}
	luaL_addchar(&f->b, '"');
}

static void add_literal(struct format *f)
{
	int type = lua_type(f->L, f->argument);
	if (!bare(f))
		luaL_error(f->L, "specifier '%%q' cannot have modifiers");
	if (type == LUA_TSTRING) {
		add_quoted(f);
		return;
	}
	if (type != LUA_TNIL && type != LUA_TBOOLEAN && type != LUA_TNUMBER && type != LUA_TSTRING)
		luaL_argerror(f->L, f->argument, "value has no literal form");
	lua_pushvalue(f->L, lua_upvalueindex(1)); /* the stock function knows how */
	lua_pushliteral(f->L, "%q");
	lua_pushvalue(f->L, f->argument);
	lua_call(f->L, 2, 1);
	luaL_addvalue(&f->b);
}

static void add_conversion(struct format *f)
{
	char letter = f->form[f->len - 1];
	switch (letter) {
	case 'c':
		add_char(f);
		break;
	case 'd':
	case 'i':
		add_integer(f, letter, "-+ 0");
		break;
	case 'u':
		add_integer(f, letter, "-0");
		break;
	case 'o':
	case 'x':
	case 'X':
		add_integer(f, letter, "-#0");
		break;
	case 'a':
	case 'A':
	case 'e':
	case 'E':
	case 'f':
	case 'g':
	case 'G':
		add_float(f, letter);
		break;
	case 'q':
		add_literal(f);
		break;
	case 's':
		add_text(f);
		break;
	default:
		luaL_error(f->L, "invalid conversion '%s' to 'format'", f->form);
	}
}

int script_format(lua_State *L)
{
	struct script *s = script_of(L);
	struct format f = {.L = L, .argument = 1};
	size_t len;
	int top = lua_gettop(L);
	const char *p = luaL_checklstring(L, 1, &len), *end = p + len;
	luaL_buffinit(L, &f.b);
	while (p < end) {
		const char *percent = memchr(p, '%', (size_t)(end - p));
		script_add(&f.b, p, (size_t)((percent ? percent : end) - p));
		if (!percent)
			break;
		p = percent + 1;
		if (*p == '%') {
			luaL_addchar(&f.b, '%');
			p++;
			script_tick(L, s);
			continue;
		}
		if (++f.argument > top)
			return luaL_argerror(L, f.argument, "no value");
		p = read_form(&f, p);
		add_conversion(&f);
		if (luaL_bufflen(&f.b) > STRING_MAX)
			script_check_text(L, s, "string.format", luaL_bufflen(&f.b));
		script_tick(L, s);
	}
	script_check_text(L, s, "string.format", luaL_bufflen(&f.b));
	luaL_pushresult(&f.b);
	return 1;
}
