/* SPDX-License-Identifier: MIT
 *
 * The Lua module core.store: docs/decisions/store.md.
 */
#include "store/lua_store.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/lua_error.h"
#include "observe/observe.h"
#include "script/script.h"
#include "store/lua_face.h"

/* Waits --------------------------------------------------------------------------------------------------------- */

static void wait_cancel(void *arg)
{
	struct lua_wait *w = arg;
	if (w->over)
		free(w);
	else
		w->cancelled = true;
}

void *lua_wait_new(struct lua_store *o, size_t size, size_t clear)
{
	struct lua_wait *w = xmalloc(size);
	memset(w, 0, clear);
	w->owner = o;
	return w;
}

int lua_wait_suspend(lua_State *L, struct lua_wait *w)
{
	w->task = task_prepare(L, wait_cancel, w);
	return task_suspend(L);
}

void lua_wait_wake(struct lua_wait *w, int (*push)(lua_State *L, void *arg))
{
	struct lua_store *o = w->owner;
	if (w->cancelled) {
		free(w);
		return;
	}
	if (o->dying) {
		w->over = true; /* the task's own end frees it */
		return;
	}
	task_wake(w->task, push, w);
	free(w);
}

/* What follows a commit ------------------------------------------------------------------------------------------ */

void lua_store_after(lua_State *L, struct lua_store *o, int64_t ticket, int index)
{
	if (lua_isnoneornil(L, index))
		return;
	struct lua_after *last = o->after_len ? &o->after[o->after_len - 1] : NULL;
	if (!last || last->ticket != ticket) {
		if (o->after_len == o->after_cap) {
			o->after_cap = o->after_cap ? o->after_cap * 2 : 8;
			o->after = xrealloc(o->after, o->after_cap * sizeof *o->after);
		}
		lua_createtable(L, 64, 0);
		last = &o->after[o->after_len++];
		*last = (struct lua_after){ticket, luaL_ref(L, LUA_REGISTRYINDEX), 0};
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, last->ref);
	lua_pushvalue(L, index);
	lua_rawseti(L, -2, ++last->count);
	lua_pop(L, 1);
}

/* Pushes what waits for tickets up to this one as one list; takes it out. False: nothing (and nothing pushed). */
static bool take_after(struct lua_store *o, int64_t ticket)
{
	size_t n = 0;
	while (n < o->after_len && o->after[n].ticket <= ticket)
		n++;
	if (n == 0)
		return false;
	lua_rawgeti(o->L, LUA_REGISTRYINDEX, o->after[0].ref);
	lua_Integer count = o->after[0].count;
	luaL_unref(o->L, LUA_REGISTRYINDEX, o->after[0].ref);
	for (size_t i = 1; i < n; i++) {
		lua_rawgeti(o->L, LUA_REGISTRYINDEX, o->after[i].ref);
		for (lua_Integer k = 1; k <= o->after[i].count; k++) {
			lua_rawgeti(o->L, -1, k);
			lua_rawseti(o->L, -3, ++count);
		}
		lua_pop(o->L, 1);
		luaL_unref(o->L, LUA_REGISTRYINDEX, o->after[i].ref);
	}
	memmove(o->after, o->after + n, (o->after_len - n) * sizeof *o->after);
	o->after_len -= n;
	return true;
}

static void on_durable(void *arg, int64_t ticket)
{
	struct lua_store *o = arg;
	if (o->dying || !take_after(o, ticket))
		return;
	if (o->on_durable == LUA_NOREF) {
		lua_pop(o->L, 1);
		return;
	}
	lua_rawgeti(o->L, LUA_REGISTRYINDEX, o->on_durable);
	lua_insert(o->L, -2);
	task_start(o->L, 1);
}

static void on_failed(void *arg, const struct error *e)
{
	struct lua_store *o = arg;
	if (!take_after(o, INT64_MAX))
		lua_newtable(o->L);
	if (o->on_failed == LUA_NOREF) {
		lua_pop(o->L, 1);
		return;
	}
	lua_rawgeti(o->L, LUA_REGISTRYINDEX, o->on_failed);
	lua_insert(o->L, -2);
	lua_error_push(o->L, e);
	task_start_later(o->L, 2);
}

void lua_store_running(void *arg, uint64_t key)
{
	struct lua_store *o = arg;
	if (o->store)
		store_running(o->store, key);
}

/* What ended the process is told as {key, attempts, ran}, anything else as nil. */
static void on_due(void *arg, struct span id, int64_t due)
{
	struct lua_store *o = arg;
	struct store_timer timer = store_timer(o->store, id, due);
	lua_rawgeti(o->L, LUA_REGISTRYINDEX, o->on_due);
	lua_pushlstring(o->L, id.data, id.len);
	lua_pushinteger(o->L, due);
	if (!timer.attempts) {
		lua_pushnil(o->L);
	} else {
		lua_createtable(o->L, 0, 3);
		lua_pushinteger(o->L, (lua_Integer)timer.key);
		lua_setfield(o->L, -2, "key");
		lua_pushinteger(o->L, timer.attempts);
		lua_setfield(o->L, -2, "attempts");
		if (timer.ran) {
			lua_ran_push(o->L, timer.ran);
			lua_setfield(o->L, -2, "ran");
		}
	}
	task_start_marked(o->L, 3, &(struct task_mark){lua_store_running, o, timer.key});
}

/* store:timer_over(key): it ends the process no more. */
static int l_timer_over(lua_State *L)
{
	struct lua_store *o = lua_store_check(L, 1);
	store_timer_over(o->store, (uint64_t)luaL_checkinteger(L, 2));
	return 0;
}

static void listen_again(struct lua_store *o)
{
	struct store_listener l = {o, on_durable, on_failed, o->on_due == LUA_NOREF ? NULL : on_due};
	store_listen(o->store, &l);
}

static int set_handler(lua_State *L, int *ref, struct lua_store *o)
{
	luaL_checktype(L, 2, LUA_TFUNCTION);
	lua_settop(L, 2);
	luaL_unref(L, LUA_REGISTRYINDEX, *ref);
	*ref = luaL_ref(L, LUA_REGISTRYINDEX);
	listen_again(o);
	return 0;
}

static int l_on_durable(lua_State *L)
{
	struct lua_store *o = lua_store_check(L, 1);
	return set_handler(L, &o->on_durable, o);
}

static int l_on_failed(lua_State *L)
{
	struct lua_store *o = lua_store_check(L, 1);
	return set_handler(L, &o->on_failed, o);
}

static int l_on_due(lua_State *L)
{
	struct lua_store *o = lua_store_check(L, 1);
	return set_handler(L, &o->on_due, o);
}

/* Locks ---------------------------------------------------------------------------------------------------------- */

#define LUA_LOCK_NAME "core.store.lock"

struct lock_wait {
	struct lua_wait wait;
	struct store_lock *lock;
};

static int push_lock(lua_State *L, void *arg)
{
	struct lock_wait *w = arg;
	struct store_lock **lock = lua_newuserdatauv(L, sizeof(struct store_lock *), 0);
	*lock = w->lock;
	luaL_setmetatable(L, LUA_LOCK_NAME);
	return 1;
}

static void locked(void *arg, struct store_lock *lock)
{
	struct lock_wait *w = arg;
	w->lock = lock;
	if (w->wait.cancelled || w->wait.owner->dying)
		store_unlock(lock);
	lua_wait_wake(&w->wait, push_lock);
}

static int l_lock(lua_State *L)
{
	struct lua_store *o = lua_store_check(L, 1);
	size_t len;
	const char *name = luaL_checklstring(L, 2, &len);
	task_check(L);
	struct lock_wait *w = lua_wait_new(o, sizeof *w, sizeof *w);
	if (store_lock(o->store, (struct span){name, len}, &w->lock, locked, w) == STORE_WAITS)
		return lua_wait_suspend(L, &w->wait);
	struct lock_wait now = *w;
	free(w);
	return push_lock(L, &now);
}

static int lock_release(lua_State *L)
{
	struct store_lock **lock = luaL_checkudata(L, 1, LUA_LOCK_NAME), *held = *lock;
	*lock = NULL;
	if (held)
		store_unlock(held);
	return 0;
}

/* The store ------------------------------------------------------------------------------------------------------ */

struct lua_store *lua_store_check(lua_State *L, int index)
{
	struct lua_store **o = luaL_testudata(L, index, LUA_STORE_NAME);
	if (!o)
		o = luaL_checkudata(L, index, LUA_QUEUE_NAME);
	if (!*o || !(*o)->store)
		lua_error_raisef(L, ERROR_SERVER, "the store is closed");
	return *o;
}

struct store *lua_store_of(lua_State *L, int index)
{
	return lua_store_check(L, index)->store;
}

static void release_ref(void *arg, int ref)
{
	struct lua_store *o = arg;
	if (!o->dying)
		luaL_unref(o->L, LUA_REGISTRYINDEX, ref);
}

static int64_t duration_field(lua_State *L, int table, const char *key)
{
	struct span text = lua_span_field(L, table, key);
	int64_t ms;
	struct error e;
	if (!text.data)
		return lua_int_field(L, table, key, 0);
	if (duration_parse(text.data, &ms, &e))
		lua_error_raise(L, &e);
	return ms;
}

static int l_open(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	struct span url = lua_span_field(L, 1, "url"), queue = lua_span_field(L, 1, "queue");
	if (!url.data)
		return lua_error_raisef(L, ERROR_MISSING, "opening a store needs its url");
	if (queue.data && strcmp(queue.data, "local:") != 0)
		return lua_error_raisef(L, ERROR_ARGUMENT, "no queue \"%s\": expected local:", queue.data);
	struct store_options options = {
		.dedup_keep_ms = duration_field(L, 1, "dedup_keep"),
		.inbox_keep_ms = duration_field(L, 1, "inbox_keep"),
		.records_keep_ms = duration_field(L, 1, "records_keep"),
		.wal_limit = lua_int_field(L, 1, "wal_limit", 0),
		.cache_bytes = (size_t)lua_int_field(L, 1, "cache_bytes", 0),
		.queue_bytes = (size_t)lua_int_field(L, 1, "queue_bytes", 0),
		.max_pages = lua_int_field(L, 1, "max_pages", 0),
		.metrics = observe_metrics(L),
	};
	struct lua_store **slot = lua_newuserdatauv(L, sizeof(struct lua_store *), 0);
	*slot = NULL;
	luaL_setmetatable(L, LUA_STORE_NAME);
	struct error e;
	struct store *store = store_open(task_runtime(L), url.data, &options, &e);
	if (!store)
		return lua_error_raise(L, &e);
	struct lua_store *o = *slot = xcalloc(1, sizeof *o);
	lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
	o->L = lua_tothread(L, -1);
	lua_pop(L, 1);
	o->store = store;
	o->queue = store_queue(store);
	o->on_durable = o->on_failed = o->on_due = LUA_NOREF;
	queue_on_release(o->queue, release_ref, o);
	script_tell(o->L, store_ran(store), NULL);
	listen_again(o);
	lua_pushvalue(L, -1);
	luaL_ref(L, LUA_REGISTRYINDEX);
	lua_queue_open(L, -1);
	return 2;
}

static void close_now(struct lua_store *o)
{
	struct store *store = o->store;
	if (!store)
		return;
	script_tell(o->L, NULL, store_ran(store));
	store_close(store);
	o->store = NULL;
	o->queue = NULL;
}

static int l_close(lua_State *L)
{
	struct lua_store **o = luaL_checkudata(L, 1, LUA_STORE_NAME);
	if (*o)
		close_now(*o);
	return 0;
}

/* At the state's end only (open anchors it): steps and locks are finalized before, being younger. */
static int l_gc(lua_State *L)
{
	struct lua_store **slot = luaL_checkudata(L, 1, LUA_STORE_NAME), *o = *slot;
	if (!o)
		return 0;
	o->on_durable = o->on_failed = o->on_due = LUA_NOREF;
	o->dying = true;
	close_now(o);
	arena_free(&o->scratch);
	buf_free(&o->text);
	free(o->after);
	free(o);
	*slot = NULL;
	return 0;
}

static int l_ready(lua_State *L)
{
	struct lua_store *o = lua_store_check(L, 1);
	struct error reason;
	bool ready = store_ready(o->store, &reason);
	lua_pushboolean(L, ready);
	if (ready)
		return 1;
	lua_pushstring(L, reason.message);
	return 2;
}

static int l_key(lua_State *L)
{
	struct lua_store *o = lua_store_check(L, 1);
	unsigned char key[32];
	store_key(o->store, key);
	lua_pushlstring(L, (const char *)key, sizeof key);
	return 1;
}

void lua_store_class(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc)
{
	luaL_newmetatable(L, name);
	lua_newtable(L);
	luaL_setfuncs(L, methods, 0);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, gc);
	lua_setfield(L, -2, "__gc");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
}

int luaopen_core_store(lua_State *L)
{
	static const luaL_Reg store[] = {{"on_durable", l_on_durable},
					 {"on_failed", l_on_failed},
					 {"on_due", l_on_due},
					 {"timer_over", l_timer_over},
					 {"ready", l_ready},
					 {"key", l_key},
					 {"begin", lua_step_begin},
					 {"begin_new", lua_step_begin_new},
					 {"lock", l_lock},
					 {"close", l_close},
					 {NULL, NULL}};
	static const luaL_Reg lock[] = {{"release", lock_release}, {NULL, NULL}};
	lua_store_class(L, LUA_STORE_NAME, store, l_gc);
	lua_getfield(L, -1, "__index");
	lua_store_looks(L);
	lua_pop(L, 2);
	lua_step_open(L);
	lua_store_class(L, LUA_LOCK_NAME, lock, lock_release);
	lua_pop(L, 1);
	lua_newtable(L);
	lua_pushcfunction(L, l_open);
	lua_setfield(L, -2, "open");
	return 1;
}
