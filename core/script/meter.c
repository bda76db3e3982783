/* SPDX-License-Identifier: MIT
 *
 * Meters: limits under a pair of names, by which what scripts use is counted. A reaction keeps its account when its
 * pattern is loaded again, so an account is found by its names.
 */
#include <stdlib.h>
#include <string.h>

#include "script/private.h"

static const char ACCOUNTS; /* registry key: names -> account */
static const char METER[] = "core.script.meter";

const char *const script_kill_names[KILL_COUNT] = {"error", "cpu", "wall", "memory", "stack", "error"};

void script_meters_init(struct script *s)
{
	s->cpu_max = s->wall_max = INT64_MAX;
	s->cap_max = SIZE_MAX;
}

void script_meters_free(struct script *s)
{
	for (uint32_t i = 0; i < s->accounts_len; i++) {
		free(s->accounts[i]->names);
		free(s->accounts[i]);
	}
	free(s->accounts);
}

static int64_t limit(lua_State *L, int limits, const char *key, int64_t otherwise)
{
	lua_Number n = (lua_Number)otherwise;
	if (lua_getfield(L, limits, key) != LUA_TNIL) {
		if (lua_type(L, -1) != LUA_TNUMBER || !((n = lua_tonumber(L, -1)) > 0))
			luaL_error(L, "limits.%s must be a number above 0", key);
		n = n < 1e12 ? n : 1e12;
	}
	lua_pop(L, 1);
	return (int64_t)n;
}

void script_read_limits(lua_State *L, int index, struct meter *into)
{
	*into = (struct meter){.cpu_max = CPU_MS * MS, .wall_max = WALL_MS * MS, .cap = MEMORY_BYTES};
	if (lua_isnil(L, index))
		return;
	luaL_checktype(L, index, LUA_TTABLE);
	into->cpu_max = limit(L, index, "cpu", CPU_MS) * MS;
	into->wall_max = limit(L, index, "wall", WALL_MS) * MS;
	into->cap = (size_t)limit(L, index, "memory", MEMORY_BYTES);
}

static struct account *account_new(struct script *s, const char *names, size_t len, size_t split)
{
	if ((s->accounts_len & (s->accounts_len - 1)) == 0)
		s->accounts = xrealloc(s->accounts, (s->accounts_len * 2 + 1) * sizeof(struct account *));
	struct account *a = xcalloc(1, sizeof *a);
	a->names = xmalloc(len + 1);
	memcpy(a->names, names, len + 1);
	a->split = split;
	s->accounts[s->accounts_len++] = a;
	a->id = s->accounts_len;
	return a;
}

/* The names are the texts at -2 and -1. */
static struct account *account_of(lua_State *L, struct script *s)
{
	size_t pattern_len, len;
	if (s->accounts_len >= ACCOUNTS_MAX - 1) {
		lua_pushliteral(L, "(others)");
		lua_replace(L, -3);
		lua_pushliteral(L, "");
		lua_replace(L, -2);
	}
	lua_tolstring(L, -2, &pattern_len);
	lua_pushvalue(L, -2);
	lua_pushlstring(L, "", 1);
	lua_pushvalue(L, -3);
	lua_concat(L, 3);
	const char *names = lua_tolstring(L, -1, &len);
	lua_rawgetp(L, LUA_REGISTRYINDEX, &ACCOUNTS);
	lua_pushvalue(L, -2);
	struct account *a = lua_rawget(L, -2) == LUA_TNIL ? NULL : lua_touserdata(L, -1);
	lua_pop(L, 1);
	if (!a) {
		a = account_new(s, names, len, pattern_len + 1);
		lua_pushvalue(L, -2);
		lua_pushlightuserdata(L, a);
		lua_rawset(L, -3);
	}
	lua_pop(L, 2);
	return a;
}

int script_meter(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	luaL_argcheck(L, lua_getfield(L, 1, "pattern") == LUA_TSTRING, 1, "the field `pattern` must be a text");
	if (lua_getfield(L, 1, "reaction") != LUA_TSTRING) {
		lua_pop(L, 1);
		lua_pushliteral(L, "");
	}
	struct meter m;
	script_read_limits(L, 1, &m);
	m.account = account_of(L, script_of(L));
	if (lua_getfield(L, 1, "version") == LUA_TSTRING)
		ran_set(m.version, sizeof m.version, lua_tostring(L, -1));
	*(struct meter *)lua_newuserdatauv(L, sizeof m, 0) = m;
	luaL_setmetatable(L, METER);
	return 1;
}

struct meter *script_meter_at(lua_State *L, int index)
{
	return luaL_testudata(L, index, METER);
}

void script_count_begin(struct call *call)
{
	const struct owner *o = call->owner;
	call->account = o->account;
	call->cpu_before = o->cpu_ns;
	call->taken_before = o->taken;
}

void script_count_end(struct call *call)
{
	struct owner *o = call->owner;
	struct account *a = call->account;
	int64_t wall = clock_ns(CLOCK_MONOTONIC) - call->started;
	o->wall_ns += wall;
	if (o->large && (call->kill || call->script->generational))
		script_sweep(call->script);
	if (!a)
		return;
	a->calls++;
	a->wall_ns += wall;
	a->cpu_ns += o->cpu_ns - call->cpu_before;
	a->bytes += o->taken - call->taken_before;
	a->killed[call->kill]++;
	if (o->peak > a->peak)
		a->peak = o->peak;
}

static void set_integer(lua_State *L, const char *key, uint64_t n)
{
	lua_pushinteger(L, (lua_Integer)n);
	lua_setfield(L, -2, key);
}

static void push_account(lua_State *L, const struct account *a)
{
	lua_createtable(L, 0, 8);
	lua_pushstring(L, a->names);
	lua_setfield(L, -2, "pattern");
	if (a->names[a->split]) {
		lua_pushstring(L, a->names + a->split);
		lua_setfield(L, -2, "reaction");
	}
	set_integer(L, "calls", a->calls);
	set_integer(L, "bytes", a->bytes);
	set_integer(L, "peak", a->peak);
	lua_pushnumber(L, (lua_Number)a->cpu_ns / 1e6);
	lua_setfield(L, -2, "cpu");
	lua_pushnumber(L, (lua_Number)a->wall_ns / 1e6);
	lua_setfield(L, -2, "wall");
	lua_createtable(L, 0, 4);
	for (int kill = KILL_CPU; kill <= KILL_STACK; kill++)
		if (a->killed[kill])
			set_integer(L, script_kill_names[kill], a->killed[kill]);
	lua_setfield(L, -2, "exceeded");
}

/* Those of one pattern, or all; in the order in which they were first made. */
int script_accounts(lua_State *L)
{
	const struct script *s = script_of(L);
	const char *pattern = luaL_optstring(L, 1, NULL);
	lua_Integer n = 0;
	lua_newtable(L);
	for (uint32_t i = 0; i < s->accounts_len; i++) {
		if (pattern && strcmp(s->accounts[i]->names, pattern) != 0)
			continue;
		push_account(L, s->accounts[i]);
		lua_rawseti(L, -2, ++n);
	}
	return 1;
}

static int m_used(lua_State *L)
{
	const struct meter *m = luaL_checkudata(L, 1, METER);
	push_account(L, m->account);
	return 1;
}

static void push_maximum(lua_State *L, const char *key, int64_t value)
{
	if (value > 0) /* there is one */
		set_integer(L, key, value);
}

/* What is not given stays as it is. Gives those that hold now. */
int script_maxima(lua_State *L)
{
	struct script *s = script_of(L);
	luaL_checktype(L, 1, LUA_TTABLE);
	int64_t cpu = limit(L, 1, "cpu", 0), wall = limit(L, 1, "wall", 0);
	int64_t memory = limit(L, 1, "memory", 0), total = limit(L, 1, "total", 0);
	if (cpu)
		s->cpu_max = cpu * MS;
	if (wall)
		s->wall_max = wall * MS;
	if (memory)
		s->cap_max = (size_t)memory;
	if (total)
		s->total_max = (size_t)total;
	lua_createtable(L, 0, 4);
	push_maximum(L, "cpu", s->cpu_max == INT64_MAX ? 0 : s->cpu_max / MS);
	push_maximum(L, "wall", s->wall_max == INT64_MAX ? 0 : s->wall_max / MS);
	push_maximum(L, "memory", (int64_t)s->cap_max);
	push_maximum(L, "total", (int64_t)s->total_max);
	return 1;
}

void script_meters_open(lua_State *L)
{
	static const luaL_Reg methods[] = {{"used", m_used}, {NULL, NULL}};
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &ACCOUNTS) != LUA_TNIL) {
		lua_pop(L, 1);
		return;
	}
	lua_pop(L, 1);
	lua_newtable(L);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &ACCOUNTS);
	luaL_newmetatable(L, METER);
	luaL_newlib(L, methods);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
}
