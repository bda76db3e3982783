/* SPDX-License-Identifier: MIT
 *
 * script.trusted: a function that scripts may call and whose body is not metered: it is never interrupted, its memory
 * is not the script's. It may wait.
 */
#include "script/private.h"

static int trusted_done(lua_State *L, int status, lua_KContext ctx)
{
	(void)ctx;
	struct script *s = script_of(L);
	script_trusted_end(s, s->call, L);
	if (status != LUA_OK && status != LUA_YIELD)
		return lua_error(L);
	return lua_gettop(L);
}

static int trusted_call(lua_State *L)
{
	struct script *s = script_of(L);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	if (!s->call) {
		lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
		return lua_gettop(L);
	}
	if (script_metered(s) && script_killed(s))
		return script_die(L); /* the `__close` of a script that was ended */
	script_trusted_begin(s, s->call);
	return trusted_done(L, lua_pcallk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, 0, trusted_done), 0);
}

int script_trusted(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	lua_settop(L, 1);
	lua_pushcclosure(L, trusted_call, 1);
	return 1;
}
