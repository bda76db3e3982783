/* SPDX-License-Identifier: MIT
 *
 * Keys, and a merge sort of them from the bottom up: qsort would neither look at the clock nor stop in between.
 */
#include "script/key.h"

#include <string.h>

#include "script/private.h"

#define RUN   8    /* keys that are put in order by insertion first */
#define PIECE 8192 /* keys in so many runs at a time; a multiple of RUN */

struct key script_key_at(lua_State *L, int index)
{
	struct key k = {.rank = KEY_BOOLEAN};
	switch (lua_type(L, index)) {
	case LUA_TSTRING:
		k.rank = KEY_STRING;
		k.text = lua_tolstring(L, index, &k.len);
		break;
	case LUA_TNUMBER:
		k.rank = lua_isinteger(L, index) ? KEY_INTEGER : KEY_FLOAT;
		if (k.rank == KEY_INTEGER)
			k.integer = lua_tointeger(L, index);
		else
			k.number = lua_tonumber(L, index);
		break;
	case LUA_TBOOLEAN:
		k.integer = lua_toboolean(L, index);
		break;
	default:
		luaL_error(L, "a table with a key that is a %s can't be traversed: such keys have no fixed order",
			   luaL_typename(L, index));
	}
	return k;
}

int script_key_compare(const struct key *a, const struct key *b)
{
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	if (a->rank == KEY_STRING) {
		int order = memcmp(a->text, b->text, a->len < b->len ? a->len : b->len);
		return order ? order : (a->len > b->len) - (a->len < b->len);
	}
	if (a->rank == KEY_FLOAT)
		return (a->number > b->number) - (a->number < b->number);
	return (a->integer > b->integer) - (a->integer < b->integer);
}

struct key_sort *script_key_sort_new(lua_State *L, size_t n)
{
	struct key_sort *sort = lua_newuserdatauv(L, sizeof *sort + 2 * n * sizeof(struct key), 0);
	*sort = (struct key_sort){.n = n, .from = sort->keys, .to = sort->keys + n};
	return sort;
}

static size_t at_most(size_t a, size_t b)
{
	return a < b ? a : b;
}

void script_key_sort_few(struct key *keys, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct key k = keys[i];
		size_t j = i;
		for (; j > 0 && script_key_compare(&k, &keys[j - 1]) < 0; j--)
			keys[j] = keys[j - 1];
		keys[j] = k;
	}
}

static void merge(lua_State *L, const struct key_sort *t, size_t middle, size_t end)
{
	struct script *s = script_of(L);
	size_t left = t->start, right = middle;
	for (size_t out = left; out < end; out++) {
		bool take_right = left == middle ||
				  (right < end && script_key_compare(&t->from[right], &t->from[left]) < 0);
		t->to[out] = t->from[take_right ? right++ : left++];
		script_tick(L, s);
	}
}

static void next_width(struct key_sort *t, size_t width)
{
	t->start = 0;
	t->width = width;
}

bool script_key_sort_piece(lua_State *L, struct key_sort *t)
{
	if (t->width == 0) {
		for (size_t end = at_most(t->start + PIECE, t->n); t->start < end; t->start += RUN)
			script_key_sort_few(t->from + t->start, at_most(RUN, t->n - t->start));
		if (t->start < t->n)
			return false;
		next_width(t, RUN);
		return t->n <= RUN;
	}
	size_t middle = at_most(t->start + t->width, t->n), end = at_most(middle + t->width, t->n);
	merge(L, t, middle, end);
	t->start = end;
	if (end < t->n)
		return false;
	struct key *sorted = t->to;
	t->to = t->from;
	t->from = sorted;
	next_width(t, t->width * 2);
	return t->width >= t->n;
}
