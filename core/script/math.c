/* SPDX-License-Identifier: MIT
 *
 * math for scripts. `random` draws from the context's seed: xoshiro256** by David Blackman and Sebastiano Vigna
 * (public domain), filled by splitmix64.
 */
#include "script/library.h"
#include <xxhash.h>

#include "script/private.h"

static uint64_t rotate(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static uint64_t draw(uint64_t s[4])
{
	uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

static uint64_t split(uint64_t *seed)
{
	uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* The context's `seed`, an integer or a text, and its `number`: the step's place in its thred. */
static uint64_t seed_of(lua_State *L)
{
	size_t len = 0;
	lua_getfield(L, -1, "seed");
	const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
	uint64_t seed = text ? XXH3_64bits(text, len) : (uint64_t)lua_tointeger(L, -1);
	lua_getfield(L, -2, "number");
	seed += (uint64_t)lua_tointeger(L, -1);
	lua_pop(L, 2);
	return seed;
}

static uint64_t *generator(lua_State *L)
{
	struct owner *o = script_context_owner(L, "math.random");
	if (!o->seeded) {
		script_push_context(L, "math.random");
		uint64_t seed = seed_of(L);
		lua_pop(L, 1);
		for (int i = 0; i < 4; i++)
			o->random[i] = split(&seed);
		o->seeded = true;
	}
	return o->random;
}

/* Evenly from 0..n; draws again what would make some numbers likelier. */
static uint64_t below_or_at(uint64_t state[4], uint64_t n)
{
	uint64_t mask = n, r;
	for (int shift = 1; shift < 64; shift *= 2)
		mask |= mask >> shift;
	while ((r = draw(state) & mask) > n)
		;
	return r;
}

static int m_random(lua_State *L)
{
	uint64_t *state = generator(L);
	lua_Integer low = 1, high;
	switch (lua_gettop(L)) {
	case 0:
		lua_pushnumber(L, (lua_Number)(draw(state) >> 11) * 0x1p-53);
		return 1;
	case 1:
		high = luaL_checkinteger(L, 1);
		if (high == 0) {
			lua_pushinteger(L, (lua_Integer)draw(state));
			return 1;
		}
		break;
	case 2:
		low = luaL_checkinteger(L, 1);
		high = luaL_checkinteger(L, 2);
		break;
	default:
		return luaL_error(L, "wrong number of arguments");
	}
	luaL_argcheck(L, low <= high, lua_gettop(L), "interval is empty");
	lua_pushinteger(L, (lua_Integer)((uint64_t)low + below_or_at(state, (uint64_t)high - (uint64_t)low)));
	return 1;
}

static int m_randomseed(lua_State *L)
{
	return luaL_error(L, "math.randomseed is not available: the seed is the step's, so that it can be run again");
}

void script_push_math(lua_State *L)
{
	static const char *const names[] = {
		"abs",  "acos", "asin",      "atan", "ceil", "cos",  "deg", "exp",        "floor",
		"fmod", "huge", "log",       "max",  "min",  "modf", "pi",  "maxinteger", "mininteger",
		"rad",  "sin",  "tointeger", "sqrt", "tan",  "type", "ult", NULL,
	};
	lua_createtable(L, 0, 28);
	script_copy_stock(L, "math", names);
	lua_pushcfunction(L, m_random);
	lua_setfield(L, -2, "random");
	lua_pushcfunction(L, m_randomseed);
	lua_setfield(L, -2, "randomseed");
}
