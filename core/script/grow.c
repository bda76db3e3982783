/* SPDX-License-Identifier: MIT
 *
 * Which table grows? An allocator that is asked for nodes is not told. But the instruction that runs names what it writes
 * to, and a C function has it among its arguments. So neither other tables of the script nor those of neighbours matter.
 *
 * This runs inside of Lua's instruction: nothing here may take memory, and 4 values are the most that may be pushed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "script/nodes.h"

#define ARGUMENTS  5    /* of our functions, up to where there may be a table that they write to; */
#define OWN        4    /* and the last values, where they have their own */
#define BEHIND_MAX 2000 /* tables behind each other that Lua writes through */

/* As Lua 5.4 has it in lstate.h. */
struct frame {
	void *function, *top, *previous, *next;
	const uint32_t *pc; /* of the instruction after the one that runs */
};
enum { OP_SETTABUP = 15, OP_SETTABLE, OP_SETI, OP_SETFIELD, OP_SETLIST = 78 };

static int op_of(uint32_t instruction)
{
	return (int)(instruction & 127);
}

static int register_of(uint32_t instruction)
{
	return (int)(instruction >> 7 & 255);
}

static const char newindex; /* its address is the key of that text in the registry */

struct search {
	lua_State *L;
	size_t room;
	struct moving worst;
};

static void count(struct search *g, struct moving m)
{
	if (m.steps > g->worst.steps)
		g->worst = m;
}

static void judge_top(struct search *g)
{
	const struct table *t = lua_topointer(g->L, -1);
	struct census c;
	if (script_census(t, &c) && !script_harmless(t, &c, g->room))
		count(g, script_growth(t, &c, g->room));
}

/* Replaces the table on top by the one that is written to in its place; false: there is none. */
static bool go_behind(lua_State *L)
{
	if (!lua_getmetatable(L, -1))
		return false;
	lua_rawgetp(L, LUA_REGISTRYINDEX, &newindex);
	if (lua_rawget(L, -2) != LUA_TTABLE) {
		lua_pop(L, 2);
		return false;
	}
	lua_replace(L, -3);
	lua_pop(L, 1);
	return true;
}

/* The value on top, which is popped. `raw`: it may be written to without its metamethods, too. Who has a `__newindex`
 * gets no new key by itself, so that only the last one grows. */
static void look(struct search *g, bool raw)
{
	lua_State *L = g->L;
	if (lua_type(L, -1) == LUA_TTABLE) {
		const void *first = lua_topointer(L, -1);
		if (raw)
			judge_top(g);
		for (int i = 0; i < BEHIND_MAX && go_behind(L); i++)
			;
		if (!raw || lua_topointer(L, -1) != first)
			judge_top(g);
	}
	lua_pop(L, 1);
}

static void look_at_arguments(struct search *g)
{
	int top = lua_gettop(g->L) - 1; /* without the function itself, which was pushed */
	for (int i = 1; i <= top; i++)
		if (i <= ARGUMENTS || i > top - OWN) {
			lua_pushvalue(g->L, i);
			look(g, true);
		}
}

/* A constructor that ends with many values makes its array larger and moves its keys, though there is room for more. It
 * says nothing about where it is; but what gave the values did, and stands before it. */
static void look_at_constructed(struct search *g, int index)
{
	const struct table *t = lua_type(g->L, index) == LUA_TTABLE ? lua_topointer(g->L, index) : NULL;
	if (t && (size_t)1 << t->log_nodes == g->room)
		count(g, script_rebuild(t));
}

static void look_at_instruction(struct search *g, const uint32_t *pc)
{
	lua_State *L = g->L;
	const int a = register_of(pc[-1]);
	switch (op_of(pc[-1])) {
	case OP_SETTABUP:
		if (lua_getupvalue(L, -1, a + 1))
			look(g, false);
		break;
	case OP_SETTABLE:
	case OP_SETI:
	case OP_SETFIELD:
		lua_pushvalue(L, a + 1);
		look(g, false);
		break;
	default:
		if (op_of(*pc) == OP_SETLIST)
			look_at_constructed(g, register_of(*pc) + 1);
	}
}

bool script_collides(struct script *s, size_t size)
{
	if (s->call->kill) /* Lua asks once more, with all collected */
		return true;
	lua_Debug ar;
	struct search g = {.L = s->running, .room = size / NODE_SIZE};
	if (!lua_getstack(g.L, 0, &ar))
		return false;
	lua_getinfo(g.L, "f", &ar);
	if (lua_iscfunction(g.L, -1))
		look_at_arguments(&g);
	else
		look_at_instruction(&g, ((const struct frame *)ar.i_ci)->pc);
	lua_pop(g.L, 1);
	const uint64_t most = script_steps_free(g.room, g.worst.keys);
	if (g.worst.steps <= most)
		return false;
	script_kill(s->call, KILL_CPU,
		    "a table whose keys collide: %llu steps in one instruction to make it larger, the limit is %llu",
		    (unsigned long long)g.worst.steps, (unsigned long long)most);
	return true;
}

struct seen {
	int n, ops[5], registers[5];
};

static int see(lua_State *L)
{
	lua_Debug ar;
	struct seen *seen = lua_touserdata(L, lua_upvalueindex(1));
	lua_getstack(L, 1, &ar);
	const uint32_t *pc = ((const struct frame *)ar.i_ci)->pc;
	const uint32_t instruction = seen->n < 4 ? pc[-1] : *pc;
	seen->ops[seen->n] = op_of(instruction);
	seen->registers[seen->n++] = register_of(instruction);
	return 0;
}

void script_grow_open(lua_State *L)
{
	static const char source[] =
		"local x, k, t, see = 0, ... t[k] = 1 t[1] = 1 t.x = 1 _ENV.x = 1 return { see() }";
	static const int ops[] = {OP_SETTABLE, OP_SETI, OP_SETFIELD, OP_SETTABUP, OP_SETLIST}, at[] = {2, 2, 2, 0, 4};
	struct seen seen = {0};
	lua_pushliteral(L, "__newindex");
	lua_rawsetp(L, LUA_REGISTRYINDEX, &newindex);
	luaL_loadstring(L, source);
	lua_pushliteral(L, "k");
	lua_newtable(L); /* is its own metatable, and what is global */
	lua_pushlightuserdata(L, &seen);
	lua_pushcclosure(L, see, 1);
	lua_pushvalue(L, -1);
	lua_setfield(L, -3, "__newindex");
	lua_pushvalue(L, -2);
	lua_setmetatable(L, -3);
	lua_pushvalue(L, -2);
	lua_setupvalue(L, -5, 1);
	lua_call(L, 3, 0);
	bool known = seen.n == 5;
	for (int i = 0; i < seen.n; i++)
		known = known && seen.ops[i] == ops[i] && seen.registers[i] == at[i];
	if (known)
		return;
	fprintf(stderr, "srvthreds: this Lua has its instructions in an unknown way\n");
	abort();
}
