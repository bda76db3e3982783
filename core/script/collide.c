/* SPDX-License-Identifier: MIT
 *
 * Tables whose keys collide. Lua places integers, floats and addresses in a table without a seed, so that a script can
 * choose keys that share one place in the next larger size. The instruction that makes the table larger then takes the
 * square of their number: 65,536 keys 6 s, and nothing can interrupt it. The same with one long chain and many keys that
 * each find their place taken by a member of it, which moves away at the cost of the whole chain. So before a large table
 * may move, what it takes is counted.
 *
 * The nodes of a table are one block of 24 bytes times a power of two. Which table it is that grows, an allocator is not
 * told, but a table only grows when each of its nodes has a key (a removed one as well; none becomes nil again): among
 * all large tables that is hardly ever another one.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script/private.h"

#define STEPS_MAX    4000000 /* along chains, in one instruction: some 11 ms at 2.8 ns each, measured */
#define STEPS_KEY    20 /* and so many a key; keys at random need 13 to 16, since the longest chain counts for all */
#define ARRAY_LIKELY (UINT64_C(1) << 22) /* keys up to it may go to the array; by themselves 2^21 steps in any size */

/* As Lua 5.4 has it in lobject.h. */
struct node {
	uint64_t value;
	uint8_t type, key_type;
	int32_t next;
	union {
		uint64_t integer;
		double number;
	} key;
};
_Static_assert(sizeof(struct node) == NODE_SIZE, "a node of a table of Lua 5.4");

enum {
	KEY_INTEGER = LUA_TNUMBER,
	KEY_FLOAT = LUA_TNUMBER | 16,
	KEY_DEAD = LUA_NUMTYPES + 2,
	VALUE_TRUE = LUA_TBOOLEAN | 16
};

static uint32_t float_hash(double number)
{
	int exponent;
	double n = frexp(number, &exponent) * 2147483648.0;
	if (!(n >= -9223372036854775808.0 && n < 9223372036854775808.0))
		return 0; /* infinite */
	uint32_t u = (uint32_t)exponent + (uint32_t)(int64_t)n;
	return u <= INT32_MAX ? u : ~u;
}

static uint32_t place_of(const struct node *n, uint32_t divisor)
{
	switch (n->key_type) {
	case KEY_INTEGER:
		return (uint32_t)(n->key.integer % divisor);
	case KEY_FLOAT:
		return float_hash(n->key.number) % divisor;
	default:
		return (uint32_t)n->key.integer % divisor;
	}
}

/* It moves with the others, to a place that its script may have chosen: those of texts have a seed. */
static bool is_chosen(const struct node *n)
{
	int kind = n->key_type & 15;
	return (n->type & 15) != LUA_TNIL && n->key_type != KEY_DEAD && kind != LUA_TSTRING && kind != LUA_TBOOLEAN &&
	       !(n->key_type == KEY_INTEGER && n->key.integer - 1 < ARRAY_LIKELY);
}

/* How many keys with chosen places a table has that may be growing; 0: it isn't, or this is no table. */
static size_t chosen_keys(const struct node *nodes, size_t count)
{
	size_t chosen = 0;
	for (size_t i = 0; i < count; i++) {
		const int64_t next = (int64_t)i + nodes[i].next;
		if (nodes[i].key_type == LUA_TNIL || next < 0 || next >= (int64_t)count)
			return 0;
		chosen += is_chosen(&nodes[i]);
	}
	return chosen;
}

/* The most that it can take to put these keys one after another into a table of `size` nodes. Each goes along the chain
 * of those before it in its place. The first of a place may find a member of another chain there, and goes along that
 * chain twice: it looks for itself, and then for who points at that member. */
static uint64_t steps_to_move(const struct node *nodes, size_t count, size_t size)
{
	uint32_t *chains = xcalloc(size, sizeof *chains);
	uint64_t steps = 0, places = 0, longest = 0;
	for (size_t i = 0; i < count; i++) {
		if (!is_chosen(&nodes[i]))
			continue;
		uint32_t *chain = &chains[place_of(&nodes[i], (uint32_t)size - 1)];
		places += *chain == 0;
		steps += (*chain)++;
		longest = *chain > longest ? *chain : longest;
	}
	free(chains);
	return steps + (longest > 1 ? 2 * longest * places : 0);
}

bool script_collides(struct script *s, size_t size)
{
	const size_t room = size / NODE_SIZE;
	if (s->call->kill) /* Lua asks once more, with all collected */
		return true;
	for (size_t i = 0; i < s->tables.len; i++) {
		const size_t count = s->tables.blocks[i].size / NODE_SIZE;
		const struct node *nodes = (const struct node *)(s->tables.blocks[i].block + 1);
		const size_t chosen = chosen_keys(nodes, count);
		if (chosen < NODES_FROM / 2 || chosen > room)
			continue;
		const uint64_t steps = steps_to_move(nodes, count, room),
			       most = STEPS_MAX + STEPS_KEY * (uint64_t)chosen;
		if (steps <= most)
			continue;
		script_kill(s->call, KILL_CPU,
			    "a table whose keys collide: up to %llu steps in one instruction to make it larger, the "
			    "limit is %llu",
			    (unsigned long long)steps, (unsigned long long)most);
		return true;
	}
	return false;
}

void script_table_add(struct script *s, struct block *b, size_t size)
{
	struct tables *t = &s->tables;
	/* An array of so many bytes writes no keys: with nil ones it doesn't look like a table that grows. */
	memset(b + 1, 0, size);
	if (t->len == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 64;
		t->blocks = xrealloc(t->blocks, t->cap * sizeof *t->blocks);
	}
	b->marks |= MARK_NODES;
	t->blocks[t->len++] = (struct table_block){b, size};
}

void script_table_drop(struct script *s, struct block *b)
{
	struct tables *t = &s->tables;
	size_t i = t->len;
	while (i-- > 0 && t->blocks[i].block != b)
		;
	b->marks &= (uint16_t)~MARK_NODES;
	t->blocks[i] = t->blocks[--t->len];
}

void script_tables_free(struct script *s)
{
	free(s->tables.blocks);
}

/* In a table of 8 nodes these two have the places 0 and 5. */
void script_check_nodes(lua_State *L, struct script *s)
{
	lua_createtable(L, 0, 8);
	const struct node *nodes = (const struct node *)(s->newest + 1);
	struct node integer = {VALUE_TRUE, VALUE_TRUE, KEY_INTEGER, 0, {.integer = (UINT64_C(1) << 40) + 12}};
	struct node number = {VALUE_TRUE, VALUE_TRUE, KEY_FLOAT, 0, {.number = 0.75}};
	lua_pushboolean(L, 1);
	lua_rawseti(L, -2, (lua_Integer)integer.key.integer);
	lua_pushnumber(L, number.key.number);
	lua_pushboolean(L, 1);
	lua_rawset(L, -3);
	const struct node *a = &nodes[place_of(&integer, 7)], *b = &nodes[place_of(&number, 7)];
	bool known = a->type == VALUE_TRUE && a->key_type == KEY_INTEGER && a->key.integer == integer.key.integer &&
		     b->type == VALUE_TRUE && b->key_type == KEY_FLOAT && b->key.integer == number.key.integer;
	lua_pop(L, 1);
	if (known)
		return;
	fprintf(stderr, "srvthreds: this Lua lays out its tables in an unknown way\n");
	abort();
}
