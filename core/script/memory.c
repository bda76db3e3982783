/* SPDX-License-Identifier: MIT
 *
 * Every block carries the number of its owner, so that memory is charged exactly and given back to who took it,
 * whoever frees it. A block keeps its owner when it grows.
 */
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "script/private.h"
#include "script/script.h"

/* The collector would answer a block of this size with as much work at once. */
#define HALT_FROM ((size_t)128 << 10)
/* Whoever asks for so much may be a stack that grows: some 30,000 values, as one with DEPTH_MAX calls may have. */
#define STACK_FROM ((size_t)1 << 19)

static void owner_release(struct script *s, struct owner *o)
{
	s->spare[s->spare_len++] = o;
}

static void owners_grow(struct script *s)
{
	s->owners_cap = s->owners_cap ? s->owners_cap * 2 : 64;
	s->owners = xrealloc(s->owners, s->owners_cap * sizeof *s->owners);
	s->spare = xrealloc(s->spare, s->owners_cap * sizeof *s->spare);
}

struct owner *script_owner_new(struct script *s)
{
	struct owner *o;
	if (s->spare_len) {
		o = s->spare[--s->spare_len];
	} else {
		if (s->owners_len == s->owners_cap)
			owners_grow(s);
		o = xmalloc(sizeof *o);
		s->owners[s->owners_len] = o;
		o->index = s->owners_len++;
	}
	*o = (struct owner){.index = o->index};
	return o;
}

void script_owners_init(struct script *s)
{
	s->root = s->owner = script_owner_new(s);
	s->root->blocks = 1; /* its own hold: never released */
}

void script_owners_free(struct script *s)
{
	for (uint32_t i = 0; i < s->owners_len; i++)
		free(s->owners[i]);
	free(s->owners);
	free(s->spare);
}

/* Unbounded recursion ends here, however much else the script holds and however long the collector took. */
static void judge_depth(struct script *s, size_t size)
{
	lua_Debug ar;
	lua_State *L = s->running;
	if (size >= STACK_FROM && L && !s->call->kill && lua_getstack(L, DEPTH_MAX, &ar))
		script_kill(s->call, KILL_STACK, "more than %d calls in each other", DEPTH_MAX);
}

/* One instruction that never ends: the `__call` of a value leads to itself, which puts more and more into one frame. The
 * stack grows by a new block or by the old one (see script_new_thread). */
static bool endless(struct script *s, size_t size)
{
	if (size < HALT_FROM || !s->running || (size_t)lua_gettop(s->running) < size / 64 || !script_stuck(s))
		return false;
	script_kill(s->call, KILL_CPU, "more than %.1f ms in one instruction", (double)INSTRUCTION_NS / 1e6);
	return true;
}

/* All scripts together hold too much, and this one more than others do. */
bool script_crowded(const struct script *s, const struct owner *o)
{
	size_t scripts = s->total - s->root->used, contexts = s->owners_len - s->spare_len - 1;
	return s->total_max && scripts > s->total_max && contexts && o->used >= scripts / contexts;
}

static inline bool wants_look(const struct script *s, const struct owner *o, size_t more)
{
	return o->cap && (more >= HALT_FROM || o->used + more > (o->large ? o->cap : SCRIPT_LARGE) ||
			  o->used + more > o->cap || script_crowded(s, o));
}

/* Over the cap: the hook collects and then judges. Only a block larger than the cap itself is refused, since that costs
 * a full collection; such a script ends in any case. */
static bool refused(struct script *s, struct owner *o, size_t more)
{
	struct call *call = s->call;
	if (!call || !s->running)
		return false;
	if (more >= HALT_FROM)
		script_halt(s);
	if (o->used + more > SCRIPT_LARGE)
		o->large = true;
	s->over = 1;
	script_arm(s->running);
	if (call->owner != o || (o->used + more <= o->cap && !script_crowded(s, o)))
		return false;
	o->pressed = true;
	if (more <= o->cap)
		return false;
	script_kill(call, KILL_MEMORY, "%zu more bytes beside %zu in use, the limit is %zu", more, o->used, o->cap);
	return true;
}

static inline void charge(struct script *s, struct owner *o, size_t old_size, size_t new_size)
{
	if (new_size > old_size)
		o->taken += new_size - old_size;
	o->used += new_size - old_size;
	s->total += new_size - old_size;
	if (o->used > o->peak)
		o->peak = o->used;
}

static void judge_text(struct script *s, size_t size)
{
	if (s->running && !s->call->kill)
		script_kill(s->call, KILL_MEMORY, "a text of %zu bytes, the limit is %zu", size, TEXT_MAX);
}

static bool block_too_large(struct script *s, size_t size)
{
	if (size <= BLOCK_MAX || !s->running)
		return false;
	script_kill(s->call, KILL_MEMORY, "a block of %zu bytes, the limit is %zu", size, BLOCK_MAX);
	return true;
}

/* `kind` of a new object, else 0. */
static void *grow_new(struct script *s, size_t kind, size_t size)
{
	struct owner *o = s->owner;
	judge_depth(s, size);
	if (kind == 0 && endless(s, size))
		return NULL;
	if (kind == 0 && s->running && script_is_nodes(size) && script_collides(s, size))
		return NULL;
	if (kind == LUA_TSTRING && size > TEXT_MAX)
		judge_text(s, size);
	if (block_too_large(s, size) || (wants_look(s, o, size) && refused(s, o, size)))
		return NULL;
	struct block *b = pool_take(&s->pool, sizeof *b + size);
	if (!b)
		return NULL;
	*b = (struct block){.owner = o->index};
	s->newest = b;
	o->blocks++;
	charge(s, o, 0, size);
	return b + 1;
}

lua_State *script_new_thread(lua_State *L)
{
	lua_State *co = lua_newthread(L);
	script_of(L)->newest->marks |= MARK_STACK; /* its stack is the last that it takes */
	return co;
}

static void give_back(struct script *s, struct owner *o, size_t size)
{
	charge(s, o, size, 0);
	if (--o->blocks == 0)
		owner_release(s, o);
}

static struct owner *adopt(struct script *s, struct block *b, size_t size)
{
	give_back(s, s->owners[b->owner], size);
	b->owner = s->owner->index;
	s->owner->blocks++;
	charge(s, s->owner, 0, size);
	return s->owner;
}

static void *resize(struct script *s, struct block *b, size_t old_size, size_t new_size)
{
	struct owner *o = s->owners[b->owner];
	if (new_size > old_size)
		judge_depth(s, new_size);
	if (new_size > old_size && block_too_large(s, new_size))
		return NULL;
	if ((b->marks & MARK_STACK) && new_size > old_size && endless(s, new_size))
		return NULL;
	if ((b->marks & MARK_STACK) && o != s->owner && s->owner != s->root && new_size > old_size)
		o = adopt(s, b, old_size);
	if (new_size > old_size && wants_look(s, o, new_size - old_size) && refused(s, o, new_size - old_size))
		return NULL;
	struct block *moved = pool_resize(&s->pool, b, sizeof *b + old_size, sizeof *b + new_size);
	if (!moved)
		return NULL;
	charge(s, o, old_size, new_size);
	return moved + 1;
}

#ifdef SRVTHREDS_FAULTS
void script_hostile(struct script *s)
{
	int every = fault_number("SRVTHREDS_GC");
	s->hostile = s->until_hostile = every > 0 ? (unsigned)every : 0;
	int stuck = fault_number("SRVTHREDS_FAULT_STUCK");
	s->until_stuck = stuck > 0 ? (unsigned)stuck : 0;
}

/* A new object (its kind is in old_size) that is refused once: Lua collects everything and asks again. */
static bool refused_to_collect(struct script *s, size_t kind, size_t size)
{
	if (!kind || size >= HALT_FROM || !s->hostile || --s->until_hostile)
		return false;
	s->until_hostile = s->hostile;
	return true;
}
#else
void script_hostile(struct script *s)
{
	(void)s;
}

static inline bool refused_to_collect(struct script *s, size_t kind, size_t size)
{
	(void)s;
	(void)kind;
	(void)size;
	return false;
}
#endif

void *script_alloc(void *script, void *p, size_t old_size, size_t new_size)
{
	struct script *s = script;
	if (!p)
		return new_size && !refused_to_collect(s, old_size, new_size) ? grow_new(s, old_size, new_size) : NULL;
	struct block *b = (struct block *)p - 1;
	if (new_size)
		return resize(s, b, old_size, new_size);
	give_back(s, s->owners[b->owner], old_size);
	pool_give(&s->pool, b, sizeof *b + old_size);
	return NULL;
}

/* jemalloc's, where it is linked (no sanitizer). */
extern int mallctl(const char *name, void *old, size_t *old_len, void *new, size_t new_len) __attribute__((weak));

/* What the pool has taken but not handed out is not counted: it will be used again. */
static size_t heap_of(const struct script *s)
{
	uint64_t epoch = 1;
	size_t allocated = 0, len = sizeof allocated, in_pool = s->total > s->pool.large ? s->total - s->pool.large : 0;
	if (!mallctl || mallctl("epoch", NULL, NULL, &epoch, sizeof epoch) ||
	    mallctl("stats.allocated", &allocated, &len, NULL, 0))
		return s->total;
	return allocated > s->pool.chunk_bytes ? allocated - s->pool.chunk_bytes + in_pool : s->total;
}

struct script_memory script_memory(lua_State *L)
{
	struct script *s = script_of(L);
	return (struct script_memory){s->total, s->total - s->root->used, s->owners_len - s->spare_len - 1, heap_of(s)};
}
