/* SPDX-License-Identifier: MIT
 *
 * Which table grows? An allocator that is asked for nodes is not told. But an instruction or a C function reaches what it
 * writes to by its own frame: a register or argument, an upvalue, or by `__newindex` from one of these. What stands
 * elsewhere is not looked at, be it the script's own or a neighbour's.
 *
 * This runs inside of Lua's instruction: nothing here may take memory, and 4 values are the most that may be pushed.
 */
#include <string.h>

#include "script/nodes.h"

#define NEAR_ROOM   (1u << 15) /* nodes that lie in a near cache */
#define NEAR_NS     3          /* a step along a chain there, measured; */
#define FAR_NS      20         /* and where each is in another line of a far one */
#define MOVE_NS     (12 * MS)  /* to go along chains in one instruction */
#define STEPS_KEY   2          /* and so many steps more for each key; those at random need one */
#define FRAME_MAX   256        /* values at either end of a frame: a function of Lua has 255 at most, ours use few */
#define BEHIND_MAX  2000       /* tables behind each other that Lua writes through */
#define VISITED_MAX 10000
#define LARGE_MAX   512

static const char newindex; /* its address is the key of that text in the registry */

struct search {
	struct script *s;
	lua_State *L;
	size_t room;
	struct moving worst;
	int visited, large_len;
	const struct table *large[LARGE_MAX]; /* those that were looked at */
};

void script_grow_open(lua_State *L)
{
	lua_pushliteral(L, "__newindex");
	lua_rawsetp(L, LUA_REGISTRYINDEX, &newindex);
}

static bool is_new(struct search *g, const struct table *t)
{
	for (int i = 0; i < g->large_len; i++)
		if (g->large[i] == t)
			return false;
	if (g->large_len == LARGE_MAX) {
		g->visited = VISITED_MAX;
		return false;
	}
	g->large[g->large_len++] = t;
	return true;
}

static void count(struct search *g, struct moving m)
{
	if (m.steps > g->worst.steps)
		g->worst = m;
}

/* A constructor that ends with many values makes its array larger and moves its keys, though there is room for more. */
static void judge(struct search *g, const struct table *t, bool may_be_constructed)
{
	if (((size_t)1 << t->log_nodes) < NODES_FROM / 2 || !is_new(g, t))
		return;
	if (script_nodes_full(t))
		count(g, script_growth(t, g->room));
	if (may_be_constructed && (size_t)1 << t->log_nodes == g->room)
		count(g, script_rebuild(t));
}

/* Replaces the table on top by the one that is written to in its place; false: there is none. */
static bool go_behind(lua_State *L)
{
	if (!lua_getmetatable(L, -1))
		return false;
	lua_rawgetp(L, LUA_REGISTRYINDEX, &newindex);
	lua_rawget(L, -2);
	lua_replace(L, -3);
	lua_pop(L, 1);
	return lua_type(L, -1) == LUA_TTABLE;
}

/* The value on top, which is popped. */
static void look(struct search *g, bool is_register)
{
	lua_State *L = g->L;
	if (lua_type(L, -1) == LUA_TTABLE) {
		const struct table *first = lua_topointer(L, -1), *t = first;
		int n = 0;
		do {
			judge(g, t, is_register && n == 0);
			n++;
		} while (++g->visited < VISITED_MAX && n < BEHIND_MAX && go_behind(L) &&
			 (t = lua_topointer(L, -1)) != first);
	}
	lua_pop(L, 1);
}

static void look_at_values(struct search *g)
{
	int top = lua_gettop(g->L);
	for (int i = 1; i <= top && g->visited < VISITED_MAX; i++) {
		if (i > FRAME_MAX && i <= top - FRAME_MAX)
			i = top - FRAME_MAX + 1;
		lua_pushvalue(g->L, i);
		look(g, true);
	}
}

static void look_at_upvalues(struct search *g)
{
	lua_Debug ar;
	if (!lua_getstack(g->L, 0, &ar))
		return;
	lua_getinfo(g->L, "f", &ar);
	for (int i = 1; g->visited < VISITED_MAX && lua_getupvalue(g->L, -1, i); i++)
		look(g, false);
	lua_pop(g->L, 1);
}

bool script_collides(struct script *s, size_t size)
{
	if (s->call->kill) /* Lua asks once more, with all collected */
		return true;
	struct search g = {.s = s, .L = s->running, .room = size / NODE_SIZE};
	look_at_values(&g);
	look_at_upvalues(&g);
	if (g.visited >= VISITED_MAX) {
		script_kill(s->call, KILL_CPU, "more than %d tables to which one instruction may write", VISITED_MAX);
		return true;
	}
	const uint64_t step = g.room <= NEAR_ROOM ? NEAR_NS : FAR_NS;
	const uint64_t most = MOVE_NS / step + STEPS_KEY * g.worst.keys;
	if (g.worst.steps <= most)
		return false;
	script_kill(s->call, KILL_CPU,
		    "a table whose keys collide: %llu steps in one instruction to make it larger, the limit is %llu",
		    (unsigned long long)g.worst.steps, (unsigned long long)most);
	return true;
}
