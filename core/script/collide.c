/* SPDX-License-Identifier: MIT
 *
 * Tables whose keys collide. Lua places integers, floats and addresses in a table without a seed, so that a script can
 * choose keys that share one place in the next larger size. The instruction that makes the table larger then takes the
 * square of their number: 65,536 keys 6 s, and nothing can interrupt it. So the keys of large tables are looked at before
 * one of them may move to a new size.
 *
 * The nodes of a table are one block of 24 bytes times a power of two. Which table it is that grows, an allocator is not
 * told: all that scripts have are looked at, a sample of each.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script/private.h"

#define STEPS_MAX  4000000 /* along chains, in one instruction: some 11 ms at 2.8 ns each */
#define SAMPLE_MIN 256
#define SAMPLE_OF  256 /* one of so many nodes */

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

struct slot {
	uint32_t place, count; /* 0: free */
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

static bool is_live(const struct node *n)
{
	return (n->type & 15) != LUA_TNIL && n->key_type != LUA_TNIL && n->key_type != KEY_DEAD;
}

/* The places of texts have a seed: no script knows it. */
static bool has_chosen_place(const struct node *n)
{
	int type = n->key_type & 15;
	return type != LUA_TSTRING && type != LUA_TBOOLEAN;
}

/* Which nodes are looked at must be nobody's guess. */
static uint64_t next_random(struct script *s)
{
	struct tables *t = &s->tables;
	if (!t->random)
		t->random = (uint64_t)clock_ns(CLOCK_MONOTONIC) ^ (uint64_t)(uintptr_t)s ^ 0x9e3779b97f4a7c15U;
	t->random ^= t->random << 13;
	t->random ^= t->random >> 7;
	t->random ^= t->random << 17;
	return t->random * 0x2545f4914f6cdd1dU >> 16;
}

/* Empty room for that many places; how many slots it has, a power of two. */
static uint32_t clear_slots(struct tables *t, size_t places)
{
	uint32_t slots = 2 * SAMPLE_MIN;
	while (slots < 2 * places)
		slots *= 2;
	if (slots > t->slots_cap) {
		t->slots = xrealloc(t->slots, slots * sizeof *t->slots);
		t->slots_cap = slots;
	}
	memset(t->slots, 0, slots * sizeof *t->slots);
	return slots;
}

/* One more key in that place; how many were there before. */
static uint32_t add_place(struct slot *slots, uint32_t mask, uint32_t place)
{
	uint32_t at = place * 0x9e3779b1U & mask;
	while (slots[at].count && slots[at].place != place)
		at = (at + 1) & mask;
	slots[at].place = place;
	return slots[at].count++;
}

/* What it takes to put the live nodes of this block one after another into a table of `size` nodes: each goes along the
 * chain of those before it in its place. Estimated from a sample. */
static double steps_to_move(struct script *s, const struct node *nodes, size_t count, size_t size)
{
	size_t sample = count / SAMPLE_OF > SAMPLE_MIN ? count / SAMPLE_OF : SAMPLE_MIN;
	size_t stride = count / sample, live = 0;
	uint32_t mask = clear_slots(&s->tables, sample) - 1;
	double pairs = 0;
	for (size_t i = 0; i < sample; i++) {
		const struct node *n = &nodes[i * stride + next_random(s) % stride];
		if (!is_live(n))
			continue;
		live++;
		if (has_chosen_place(n))
			pairs += add_place(s->tables.slots, mask, place_of(n, (uint32_t)size - 1));
	}
	if (live < 2)
		return 0;
	double keys = (double)live / (double)sample * (double)count, sampled = (double)live * (double)(live - 1) / 2;
	if (keys > 1.25 * (double)size)
		return 0; /* it has no room for all of them: another table grows */
	return pairs / sampled * keys * keys / 2;
}

bool script_collides(struct script *s, size_t size)
{
	struct tables *t = &s->tables;
	for (size_t i = 0; i < t->len; i++) {
		size_t count = t->blocks[i].size / NODE_SIZE;
		const struct node *nodes = (const struct node *)(t->blocks[i].block + 1);
		double steps = steps_to_move(s, nodes, count, size / NODE_SIZE);
		if (steps <= STEPS_MAX)
			continue;
		script_kill(s->call, KILL_CPU,
			    "%.0f steps in one instruction, as keys of a table collide, the limit is %d", steps,
			    STEPS_MAX);
		return true;
	}
	return false;
}

void script_table_add(struct script *s, struct block *b, size_t size)
{
	struct tables *t = &s->tables;
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
	free(s->tables.slots);
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
