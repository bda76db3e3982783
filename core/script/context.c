/* SPDX-License-Identifier: MIT
 *
 * A context is a step: its table carries what its calls have used so far, under a key that only C can make.
 */
#include <string.h>

#include "script/private.h"

struct owner *script_owner_of(lua_State *L, struct script *s, int context)
{
	if (lua_rawgetp(L, context, s) == LUA_TUSERDATA) {
		struct owner *known = *(struct owner **)lua_touserdata(L, -1);
		lua_pop(L, 1);
		return known;
	}
	lua_pop(L, 1);
	/* The userdata is charged to the owner itself: so the owner goes when the last of its blocks does. */
	struct owner *o = script_owner_new(s);
	struct owner *before = script_charge(s, o);
	*(struct owner **)lua_newuserdatauv(L, sizeof o, 0) = o;
	script_charge(s, before);
	lua_rawsetp(L, context, s);
	return o;
}

void script_limits(lua_State *L, struct script *s, struct owner *o, int limits)
{
	const void *address = lua_topointer(L, limits);
	if (o->cap && o->limits == address)
		return;
	struct meter plain;
	const struct meter *m = script_meter_at(L, limits);
	if (!m) {
		script_read_limits(L, limits, &plain);
		m = &plain;
	}
	o->account = m->account;
	o->cpu_max = m->cpu_max < s->cpu_max ? m->cpu_max : s->cpu_max;
	o->wall_max = m->wall_max < s->wall_max ? m->wall_max : s->wall_max;
	o->cap = m->cap < s->cap_max ? m->cap : s->cap_max;
	memcpy(o->version, m->version, sizeof o->version);
	o->limits = address;
}

void script_push_context(lua_State *L, const char *who)
{
	const struct call *call = script_of(L)->call;
	if (!call)
		luaL_error(L, "%s can only be used while a script runs", who);
	lua_pushvalue(call->from, 1); /* `from` waits in its script.call, whose arguments are its first values */
	lua_xmove(call->from, L, 1);
}

struct owner *script_context_owner(lua_State *L, const char *who)
{
	const struct call *call = script_of(L)->call;
	if (!call)
		luaL_error(L, "%s can only be used while a script runs", who);
	return call->owner;
}

int script_context(lua_State *L)
{
	script_push_context(L, "core.script.context");
	return 1;
}

/* What the calls with this context have used: {cpu = ms, wall = ms, memory = bytes now, peak = bytes}. */
int script_used(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	const struct owner *o = script_owner_of(L, script_of(L), 1);
	lua_createtable(L, 0, 4);
	lua_pushnumber(L, (lua_Number)o->cpu_ns / 1e6);
	lua_setfield(L, -2, "cpu");
	lua_pushnumber(L, (lua_Number)o->wall_ns / 1e6);
	lua_setfield(L, -2, "wall");
	lua_pushinteger(L, (lua_Integer)o->used);
	lua_setfield(L, -2, "memory");
	lua_pushinteger(L, (lua_Integer)o->peak);
	lua_setfield(L, -2, "peak");
	return 1;
}
