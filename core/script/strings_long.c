/* SPDX-License-Identifier: MIT
 *
 * What the stock functions do with a text in one go, in pieces: of the longest texts that a script can make it would take
 * them 10 ms. The results are theirs.
 */
#include <ctype.h>

#include "script/strings.h"

#define PIECE ((size_t)64 << 10)

static int change_case(lua_State *L, int (*change)(int c))
{
	struct script *s = script_of(L);
	size_t len;
	const char *from = luaL_checklstring(L, 1, &len);
	luaL_Buffer b;
	char *to = luaL_buffinitsize(L, &b, len), changed[256];
	if (len < sizeof changed) {
		for (size_t i = 0; i < len; i++)
			to[i] = (char)change((unsigned char)from[i]);
		luaL_pushresultsize(&b, len);
		return 1;
	}
	for (int c = 0; c < 256; c++)
		changed[c] = (char)change(c);
	for (size_t begin = 0; begin < len; begin += PIECE) {
		size_t end = len - begin > PIECE ? begin + PIECE : len;
		for (size_t i = begin; i < end; i++)
			to[i] = changed[(unsigned char)from[i]];
		script_tick(L, s);
	}
	luaL_pushresultsize(&b, len);
	return 1;
}

int script_upper(lua_State *L)
{
	return change_case(L, toupper);
}

int script_lower(lua_State *L)
{
	return change_case(L, tolower);
}

/* The end of a piece that begins at `begin`: a sequence isn't cut, unless it has more bytes than any has. */
static size_t piece_end(const char *text, size_t begin, size_t len)
{
	size_t end = begin + PIECE;
	if (end >= len)
		return len;
	for (int i = 0; i < 8 && end < len && ((unsigned char)text[end] & 0xC0) == 0x80; i++)
		end++;
	return end;
}

/* The stock function in upvalue 1, from the byte `begin` to before `end`; its results stay on the stack. */
static bool count_piece(lua_State *L, size_t begin, size_t end, lua_Integer *count)
{
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushvalue(L, 1);
	lua_pushinteger(L, (lua_Integer)begin + 1);
	lua_pushinteger(L, (lua_Integer)end);
	lua_pushvalue(L, 4);
	lua_call(L, 4, 2);
	if (!lua_isinteger(L, -2))
		return false;
	*count += lua_tointeger(L, -2);
	lua_pop(L, 2);
	return true;
}

/* Where the stock function goes through the whole of a long text, else the stock function. */
int script_utf8_len(lua_State *L)
{
	struct script *s = script_of(L);
	size_t len = 0;
	const char *text = luaL_checklstring(L, 1, &len);
	lua_Integer count = 0;
	if (len <= 2 * PIECE || luaL_optinteger(L, 2, 1) != 1 || luaL_optinteger(L, 3, -1) != -1)
		return lua_tocfunction(L, lua_upvalueindex(1))(L);
	lua_settop(L, 4);
	for (size_t begin = 0, end; begin < len; begin = end) {
		end = piece_end(text, begin, len);
		if (!count_piece(L, begin, end, &count))
			return 2;
		script_tick(L, s);
	}
	lua_pushinteger(L, count);
	return 1;
}
