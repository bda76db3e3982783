/* SPDX-License-Identifier: MIT
 *
 * Tables whose keys collide. Lua places integers, floats and addresses in a table without a seed, so that a script can
 * choose keys that share one place in the next larger size. The instruction that makes the table larger then takes the
 * square of their number: 65,536 keys 6 s, and nothing can interrupt it. The same with one long chain and many keys that
 * each find their place taken by a member of it, which moves away at the cost of the whole chain.
 *
 * So Lua's rehash is done once more, without the chains: of each only its length is known, and that is what one look or
 * one move costs. So the steps come out as they are, and it takes as long as there are keys. See ltable.c of Lua 5.4.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "script/nodes.h"

_Static_assert(sizeof(struct node) == NODE_SIZE && sizeof(struct value) == 16, "values and nodes of Lua 5.4");

#define SIZES     32        /* of an array: 2^0 and up */
#define MOVE_NS   (12 * MS) /* to go along chains in one instruction */
#define STEPS_KEY 5         /* and so many steps more for each key: about what it takes to move it at all */
#define TEXTS     2         /* in one chain; a seed says which, so that no more are met on the whole */

enum {
	KEY_INTEGER = LUA_TNUMBER,
	KEY_FLOAT = LUA_TNUMBER | 16,
	KEY_TRUE = LUA_TBOOLEAN | 16,
	KEY_DEAD = LUA_NUMTYPES + 2
};

struct place {
	uint32_t main; /* where the key that is here belongs, from 1; 0: free */
	uint32_t len;  /* of the chain of those that belong here */
};

struct simulation {
	struct place *places;
	uint32_t size, free; /* all from there on are taken, as far as Lua looked */
	uint64_t array;      /* integers up to it go there */
	struct moving all;
};

static bool is_nil(uint8_t type)
{
	return (type & 15) == LUA_TNIL;
}

static uint32_t float_hash(double number)
{
	int exponent;
	double n = frexp(number, &exponent) * 2147483648.0;
	if (!(n >= -9223372036854775808.0 && n < 9223372036854775808.0))
		return 0; /* infinite */
	uint32_t u = (uint32_t)exponent + (uint32_t)(int64_t)n;
	return u <= INT32_MAX ? u : ~u;
}

/* n % (size - 1), which a division would take most of the time for. */
static uint32_t folded(uint64_t n, uint32_t size)
{
	const int bits = __builtin_ctz(size);
	const uint64_t mask = size - 1;
	while (n > mask)
		n = (n & mask) + (n >> bits);
	return n == mask ? 0 : (uint32_t)n;
}

uint32_t script_place_of(const struct node *n, uint32_t size)
{
	switch (n->key_type & 63) {
	case KEY_INTEGER:
		return folded(n->key.integer, size);
	case KEY_FLOAT:
		return folded(float_hash(n->key.number), size);
	case LUA_TSTRING:
	case LUA_TSTRING | 16:
		return n->key.text->hash & (size - 1);
	case LUA_TBOOLEAN:
	case KEY_TRUE:
		return n->key_type == KEY_TRUE;
	default:
		return folded((uint32_t)n->key.integer, size);
	}
}

/* A new key looks along the chain of who is in its place. If that one is there by right, the key goes to a free place;
 * else the one moves there, for which its chain is gone along from the beginning up to it: both together are the chain. */
static void put(struct simulation *m, uint32_t at)
{
	struct place *p = &m->places[at];
	m->all.keys++;
	if (p->main) {
		m->all.steps += m->places[p->main - 1].len;
		while (m->places[--m->free].main)
			;
		m->places[m->free].main = p->main;
		if (p->main == at + 1) {
			p->len++;
			return;
		}
	}
	p->main = at + 1;
	p->len = 1;
}

static bool in_array(const struct node *n, uint64_t size)
{
	return n->key_type == KEY_INTEGER && n->key.integer - 1 < size;
}

static struct moving simulate(const struct table *t, size_t room, uint64_t array)
{
	struct simulation m = {.size = (uint32_t)room, .free = (uint32_t)room, .array = array};
	m.places = xcalloc(room, sizeof *m.places);
	for (uint64_t i = array; i < t->array_len; i++) /* an array that becomes smaller goes first */
		if (!is_nil(t->array[i].type))
			put(&m, (uint32_t)((i + 1) % (room - 1)));
	for (size_t i = 0; i < (size_t)1 << t->log_nodes; i++)
		if (!is_nil(t->nodes[i].type) && !in_array(&t->nodes[i], array))
			put(&m, script_place_of(&t->nodes[i], m.size));
	free(m.places);
	return m.all;
}

static int log2_up(uint64_t n)
{
	return n <= 1 ? 0 : 64 - __builtin_clzll(n - 1);
}

static bool is_text(const struct node *n)
{
	return (n->key_type & 15) == LUA_TSTRING;
}

bool script_census(const struct table *t, struct census *c)
{
	*c = (struct census){0};
	for (size_t i = 0; i < (size_t)1 << t->log_nodes; i++) {
		const struct node *n = &t->nodes[i];
		if (n->key_type == LUA_TNIL)
			return false;
		if (is_nil(n->type))
			continue;
		c->keys++;
		c->chosen += !is_text(n);
		if (in_array(n, UINT64_C(1) << (SIZES - 1)))
			c->below[log2_up(n->key.integer)]++;
	}
	for (uint64_t i = 0; i < t->array_len; i++)
		if (!is_nil(t->array[i].type))
			c->keys++, c->below[log2_up(i + 1)]++;
	for (int i = 1; i < SIZES; i++)
		c->below[i] += c->below[i - 1];
	return true;
}

/* The largest array that is more than half full, -1: none; `more`: with so many integers that aren't in the table yet. */
static int array_of(const struct census *c, uint64_t more)
{
	for (int i = SIZES - 1; i >= 0; i--)
		if (c->below[i] + more > (UINT64_C(1) << i) / 2)
			return i;
	return -1;
}

/* The array that the table gets if it grows to `room` nodes; -1: none; -2: it gets others. `more`: the key for which it
 * grows, which isn't known, is one of those for the array. */
static int explains(const struct census *c, size_t room, uint64_t more)
{
	const int array = array_of(c, more);
	const uint64_t keys = c->keys - (array < 0 ? 0 : c->below[array]);
	return log2_up(keys) == log2_up(room) || log2_up(keys + 1) == log2_up(room) ? array : -2;
}

static uint64_t array_size(int array)
{
	return array < 0 ? 0 : UINT64_C(1) << array;
}

struct moving script_growth(const struct table *t, const struct census *c, size_t room)
{
	struct moving most = {0};
	const int arrays[] = {explains(c, room, 0), explains(c, room, 1)};
	for (int i = 0; i < 2; i++) {
		if (arrays[i] == -2 || (i == 1 && arrays[1] == arrays[0]))
			continue;
		const struct moving m = simulate(t, room, array_size(arrays[i]));
		most = m.steps > most.steps ? m : most;
	}
	return most;
}

/* One step, as it was measured: where nodes are in a near cache, in a far one, in none. */
static uint64_t step_ns(size_t room)
{
	return room <= 1u << 15 ? 3 : room <= 1u << 17 ? 6 : 20;
}

uint64_t script_steps_free(size_t room, uint64_t keys)
{
	return MOVE_NS / (int64_t)step_ns(room) + STEPS_KEY * keys;
}

struct lengths {
	uint8_t *chains; /* by place; small, so that they lie in a near cache */
	uint64_t steps, longest;
};

static bool lengthen(struct lengths *l, uint32_t at)
{
	const uint8_t len = l->chains[at]++;
	l->steps += len;
	l->longest = len >= l->longest ? len + 1u : l->longest;
	return len < UINT8_MAX;
}

static bool all_lengths(struct lengths *l, const struct table *t, size_t room, uint64_t array)
{
	for (uint64_t i = array; i < t->array_len; i++)
		if (!is_nil(t->array[i].type) && !lengthen(l, folded(i + 1, (uint32_t)room)))
			return false;
	for (size_t i = 0; i < (size_t)1 << t->log_nodes; i++) {
		const struct node *n = &t->nodes[i];
		if (!is_nil(n->type) && !is_text(n) && !in_array(n, array) &&
		    !lengthen(l, script_place_of(n, (uint32_t)room)))
			return false;
	}
	return true;
}

/* Even if each key found its place taken by a member of the longest chain. */
bool script_harmless(const struct table *t, const struct census *c, size_t room)
{
	const int without = explains(c, room, 0), with = explains(c, room, 1);
	const uint64_t free_steps = script_steps_free(room, c->keys);
	if ((without == -2 && with == -2) || c->chosen + t->array_len == 0)
		return true;
	struct lengths l = {.chains = xcalloc(room, 1)};
	const uint64_t array = without == -2 ? array_size(with) : array_size(without); /* the smaller one */
	const bool known = all_lengths(&l, t, room, array);
	free(l.chains);
	if (c->chosen < c->keys)
		l.longest += TEXTS;
	return known && l.steps + c->keys * l.longest <= free_steps;
}

struct moving script_rebuild(const struct table *t)
{
	return simulate(t, (size_t)1 << t->log_nodes, t->array_len);
}

static bool stands_in(const struct table *t, struct node n)
{
	const struct node *at = &t->nodes[script_place_of(&n, 8)];
	return t->log_nodes == 3 && at->type == KEY_TRUE && at->key_type == n.key_type &&
	       at->key.integer == n.key.integer;
}

/* The integer and the float have the places 0 and 5 among 8 nodes. */
void script_check_nodes(lua_State *L)
{
	const struct node integer = {.key_type = KEY_INTEGER, .key.integer = (UINT64_C(1) << 40) + 12},
			  number = {.key_type = KEY_FLOAT, .key.number = 0.75};
	struct node text = {.key_type = LUA_TSTRING | 64};
	bool known = true;
	lua_createtable(L, 3, 8);
	const struct table *t = lua_topointer(L, -1);
	lua_pushboolean(L, 1);
	lua_rawseti(L, -2, 2);
	known = known && t->array_len == 3 && is_nil(t->array[0].type) && t->array[1].type == KEY_TRUE;
	lua_pushboolean(L, 1);
	lua_rawseti(L, -2, (lua_Integer)integer.key.integer);
	lua_pushnumber(L, number.key.number);
	lua_pushboolean(L, 1);
	lua_rawset(L, -3);
	known = known && stands_in(t, integer) && stands_in(t, number);
	lua_createtable(L, 0, 8);
	const struct table *texts = lua_topointer(L, -1);
	lua_pushliteral(L, "__newindex");
	text.key.text = lua_topointer(L, -1);
	lua_pushboolean(L, 1);
	lua_rawset(L, -3);
	known = known && text.key.text->len == 10 && stands_in(texts, text);
	lua_pop(L, 2);
	if (known)
		return;
	fprintf(stderr, "srvthreds: this Lua lays out its tables in an unknown way\n");
	abort();
}
