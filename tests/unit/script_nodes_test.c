/* SPDX-License-Identifier: MIT
 *
 * What collide.c counts, beside a copy of what Lua does, node by node; and that copy beside what Lua did.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>

#include "base/base.h"
#include "script/nodes.h"

#define ROUNDS 3000

struct copy {
	struct table table;
	struct node *nodes;
	struct value *array;
};

static struct copy copy_of(const struct table *t)
{
	struct copy c = {.table = *t};
	const size_t count = (size_t)1 << t->log_nodes, len = t->array_len;
	c.nodes = xmalloc(count * sizeof *c.nodes);
	c.array = xcalloc(len + 1, sizeof *c.array);
	memcpy(c.nodes, t->nodes, count * sizeof *c.nodes);
	if (len)
		memcpy(c.array, t->array, len * sizeof *c.array);
	c.table.nodes = c.nodes;
	c.table.array = c.array;
	return c;
}

static void copy_free(struct copy *c)
{
	free(c->nodes);
	free(c->array);
}

struct lua {
	struct node *nodes;
	uint32_t size, free;
	uint64_t steps;
};

static bool taken(const struct node *n)
{
	return n->key_type != LUA_TNIL;
}

/* luaH_get and luaH_newkey of a key that isn't there. */
static void insert(struct lua *l, struct node key)
{
	struct node *at = &l->nodes[script_place_of(&key, l->size)];
	key.next = 0;
	if (taken(at)) {
		for (const struct node *n = at;; n += n->next) {
			l->steps++;
			if (!n->next)
				break;
		}
		while (taken(&l->nodes[--l->free]))
			;
		struct node *to = &l->nodes[l->free], *other = &l->nodes[script_place_of(at, l->size)];
		if (other == at) {
			key.next = at->next ? (int32_t)(at + at->next - to) : 0;
			at->next = (int32_t)(to - at);
			*to = key;
			return;
		}
		for (l->steps++; other + other->next != at; other += other->next)
			l->steps++;
		other->next = (int32_t)(to - other);
		*to = *at;
		if (at->next)
			to->next += (int32_t)(at - to);
	}
	*at = key;
}

static struct lua moved(const struct table *t, size_t room, uint64_t array)
{
	struct lua l = {xcalloc(room, sizeof *l.nodes), (uint32_t)room, (uint32_t)room, 0};
	for (uint64_t i = array; i < t->array_len; i++)
		if ((t->array[i].type & 15) != LUA_TNIL)
			insert(&l, (struct node){1, LUA_TNUMBER, LUA_TNUMBER, 0, {.integer = i + 1}});
	for (size_t i = 0; i < (size_t)1 << t->log_nodes; i++) {
		const struct node *n = &t->nodes[i];
		const bool in_array = n->key_type == LUA_TNUMBER && n->key.integer - 1 < array;
		if ((n->type & 15) != LUA_TNIL && !in_array)
			insert(&l, *n);
	}
	return l;
}

/* As t has them, but for the key that was new: it may stand anywhere, and one of the others in its place. */
static size_t elsewhere(const struct lua *l, const struct table *t)
{
	size_t n = 0;
	for (size_t i = 0; i < l->size; i++) {
		const struct node *a = &l->nodes[i], *b = &t->nodes[i];
		n += taken(a) && (a->key_type != b->key_type || a->key.integer != b->key.integer);
	}
	return n;
}

static void push_key(lua_State *L, int kind)
{
	const int r = rand();
	switch (kind) {
	case 0:
		lua_pushinteger(L, r % 64 + 1);
		break;
	case 1:
		lua_pushinteger(L, (lua_Integer)(r % 200) * 127 * (1 + r % 3));
		break;
	case 2:
		lua_pushnumber(L, 1 + r % 200 * 0x1p-45);
		break;
	case 3:
		lua_pushfstring(L, "k%d", r % 200);
		break;
	case 4:
		lua_pushboolean(L, r & 1);
		break;
	case 5:
		lua_newtable(L);
		break;
	case 6:
		lua_pushlightuserdata(L, (void *)(uintptr_t)((unsigned)r % 100 * 127 + 1));
		break;
	default:
		lua_pushinteger(L, -(lua_Integer)r);
	}
}

/* One more key; true if for it the table became another one. */
static bool grows(lua_State *L, const struct table *t, int kind)
{
	const struct node *nodes = t->nodes;
	push_key(L, kind);
	if (rand() % 8)
		lua_pushboolean(L, 1);
	else
		lua_pushnil(L);
	lua_rawset(L, -3);
	return t->nodes != nodes;
}

static void fill(lua_State *L, uint64_t *moves)
{
	const int kinds = 1 + rand() % 3, first = rand() % 8, n = 1 << rand() % 10;
	const struct table *t = lua_topointer(L, -1);
	for (int i = 0; i < n; i++) {
		struct copy before = copy_of(t);
		if (grows(L, t, (first + rand() % kinds) % 8) && t->log_nodes > 1) {
			const size_t room = (size_t)1 << t->log_nodes;
			struct lua l = moved(&before.table, room, t->array_len);
			struct census c;
			assert_true(script_census(&before.table, &c));
			assert_true(elsewhere(&l, t) <= 1);
			const struct moving m = script_growth(&before.table, &c, room);
			assert_true(m.steps >= l.steps);
			assert_true(m.steps <= l.steps + 2 * m.keys); /* the array may be one or the other */
			*moves += m.steps == l.steps;
			free(l.nodes);
		}
		copy_free(&before);
	}
}

static void test_moves_as_lua_does(void **state)
{
	(void)state;
	uint64_t moves = 0;
	lua_State *L = luaL_newstate();
	lua_gc(L, LUA_GCSTOP);
	srand(7);
	for (int i = 0; i < ROUNDS; i++) {
		lua_newtable(L);
		fill(L, &moves);
		lua_pop(L, 1);
		if (i % 100 == 0)
			lua_gc(L, LUA_GCCOLLECT);
	}
	lua_close(L);
	assert_true(moves > ROUNDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_moves_as_lua_does)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
