/* SPDX-License-Identifier: MIT
 *
 * The Lua module core.store: docs/decisions/store.md.
 */
#include "store/lua_store.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/lua_error.h"
#include "json/lua_json.h"

struct lua_step {
	struct step *step; /* NULL: ended */
	struct lua_store *owner;
};

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

static void on_due(void *arg, struct span id, int64_t due)
{
	struct lua_store *o = arg;
	lua_rawgeti(o->L, LUA_REGISTRYINDEX, o->on_due);
	lua_pushlstring(o->L, id.data, id.len);
	lua_pushinteger(o->L, due);
	task_start(o->L, 2);
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

/* Steps ---------------------------------------------------------------------------------------------------------- */

struct begin_wait {
	struct lua_wait wait;
	bool is_new, failed;
	struct begun begun;
	struct error error;
};

static void set_span(lua_State *L, const char *key, struct span s)
{
	if (!s.data)
		return;
	lua_pushlstring(L, s.data, s.len);
	lua_setfield(L, -2, key);
}

static void set_int(lua_State *L, const char *key, int64_t n)
{
	if (!n)
		return;
	lua_pushinteger(L, n);
	lua_setfield(L, -2, key);
}

static void set_word(lua_State *L, const char *key, struct span s)
{
	json_lua_push_word(L, s.data, s.len);
	lua_setfield(L, -2, key);
}

/* The columns, in room for the members of its state as well. */
static void push_thred(lua_State *L, const struct thred_view *v)
{
	lua_createtable(L, 0, 16);
	struct error e;
	if (v->state.data && json_lua_set_members(L, -1, v->state.data, v->state.len, &e))
		lua_error_raise(L, &e);
	set_span(L, "id", v->id);
	set_word(L, "pattern", v->pattern);
	set_word(L, "version", v->version);
	set_word(L, "reaction", v->reaction);
	lua_pushinteger(L, v->step);
	lua_setfield(L, -2, "step");
	set_int(L, "started", v->started);
	set_int(L, "reacted", v->reacted);
	set_int(L, "due", v->due);
	lua_pushstring(L, status_name(v->status));
	lua_setfield(L, -2, "status");
}

static const struct thred_view *view_of(const struct lua_step *s)
{
	return s->step && s->owner->store ? step_thred(s->step) : NULL;
}

/* The thred as a new table; nil: there is none, or the step has ended. */
static int step_take_thred(lua_State *L)
{
	const struct thred_view *v = view_of(luaL_checkudata(L, 1, LUA_STEP_NAME));
	if (!v)
		return 0;
	push_thred(L, v);
	return 1;
}

static void push_text(lua_State *L, struct span s)
{
	if (s.data)
		lua_pushlstring(L, s.data, s.len);
	else
		lua_pushnil(L);
}

static void push_number(lua_State *L, int64_t n)
{
	if (n)
		lua_pushinteger(L, n);
	else
		lua_pushnil(L);
}

/* A column of the thred by its name, while the step lasts; most steps ask for two or three of them. */
static int step_index(lua_State *L)
{
	enum { DUE, ID, N, PATTERN, REACTED, REACTION, STARTED, STATE, STATUS, STEP, VERSION };
	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNUMBER)
		return 1; /* a method, or nil */
	const struct thred_view *v = view_of(luaL_checkudata(L, 1, LUA_STEP_NAME));
	if (!v)
		return lua_error_raisef(L, ERROR_SERVER, "the step has ended: its thred's %s can't be read any more",
					lua_tostring(L, 2));
	switch (lua_tointeger(L, -1)) {
	case DUE:
		push_number(L, v->due);
		break;
	case ID:
		push_text(L, v->id);
		break;
	case N:
		push_number(L, v->n);
		break;
	case PATTERN:
		push_text(L, v->pattern);
		break;
	case REACTED:
		push_number(L, v->reacted);
		break;
	case REACTION:
		push_text(L, v->reaction);
		break;
	case STARTED:
		push_number(L, v->started);
		break;
	case STATE:
		push_text(L, v->state);
		break;
	case STATUS:
		lua_pushstring(L, status_name(v->status));
		break;
	case STEP:
		lua_pushinteger(L, v->step);
		break;
	case VERSION:
		push_text(L, v->version);
		break;
	default:
		lua_pushnil(L);
	}
	return 1;
}

static int push_begun(lua_State *L, void *arg)
{
	static const char *const refusals[] = {"", "exists", "max", "interval"};
	struct begin_wait *w = arg;
	if (w->failed) {
		lua_error_push(L, &w->error);
		return -1;
	}
	if (!w->begun.step) {
		lua_pushnil(L);
		lua_pushstring(L, refusals[w->begun.refusal]);
		return 2;
	}
	struct lua_step *s = lua_newuserdatauv(L, sizeof *s, 0);
	*s = (struct lua_step){w->begun.step, w->wait.owner};
	luaL_setmetatable(L, LUA_STEP_NAME);
	const struct thred_view *v = step_thred(w->begun.step);
	if (!v || w->is_new)
		lua_pushnil(L);
	else
		lua_pushvalue(L, -1);
	return 2;
}

static void begun(void *arg, const struct begun *result, const struct error *e)
{
	struct begin_wait *w = arg;
	w->begun = *result;
	w->failed = e != NULL;
	if (e)
		w->error = *e;
	if ((w->wait.cancelled || w->wait.owner->dying) && w->begun.step) {
		store_abort(w->begun.step);
		w->begun.step = NULL;
	}
	lua_wait_wake(&w->wait, push_begun);
}

static int begin(lua_State *L, const struct reservation *r)
{
	struct lua_store *o = lua_store_check(L, 1);
	size_t len;
	const char *id = luaL_checklstring(L, 2, &len);
	task_check(L);
	struct begin_wait *w = lua_wait_new(o, sizeof *w, offsetof(struct begin_wait, error));
	w->is_new = r != NULL;
	int rc = r ? store_begin_new(o->store, (struct span){id, len}, r, &w->begun, begun, w, &w->error)
		   : store_begin(o->store, (struct span){id, len}, &w->begun, begun, w, &w->error);
	if (rc == STORE_WAITS)
		return lua_wait_suspend(L, &w->wait);
	struct begin_wait now = {.wait = w->wait, .is_new = w->is_new, .failed = rc < 0, .begun = w->begun};
	if (now.failed)
		now.error = w->error;
	free(w);
	int n = push_begun(L, &now);
	return n < 0 ? lua_error(L) : n;
}

static int l_begin(lua_State *L)
{
	return begin(L, NULL);
}

static int l_begin_new(lua_State *L)
{
	luaL_checktype(L, 3, LUA_TTABLE);
	struct reservation r = {lua_span_field(L, 3, "pattern"), lua_int_field(L, 3, "max", 0),
				lua_int_field(L, 3, "interval", 0), lua_int_field(L, 3, "now", 0)};
	if (!r.pattern.data)
		return lua_error_raisef(L, ERROR_MISSING, "begin_new needs the pattern's id");
	return begin(L, &r);
}

static struct lua_step *step_check(lua_State *L)
{
	return luaL_checkudata(L, 1, LUA_STEP_NAME);
}

static int step_commit(lua_State *L)
{
	struct lua_step *s = step_check(L);
	if (!s->step || !s->owner->store)
		return lua_error_raisef(L, ERROR_SERVER, "the step has ended already");
	lua_settop(L, 3);
	struct store_changes changes;
	lua_changes(L, s->owner, 2, &changes);
	struct step *step = s->step;
	struct error e;
	s->step = NULL;
	int64_t ticket = store_commit(step, &changes, &e);
	if (ticket < 0)
		return lua_error_raise(L, &e);
	lua_store_after(L, s->owner, ticket, 3);
	return 0;
}

/* step:advance(delivery number, outcome, …): the same for the usual step, whose values come without a table. */
static int step_advance(lua_State *L)
{
	struct lua_step *s = step_check(L);
	if (!s->step || !s->owner->store)
		return lua_error_raisef(L, ERROR_SERVER, "the step has ended already");
	struct store_changes changes;
	lua_settop(L, ADVANCE_AFTER);
	lua_advance(L, s->owner, &changes);
	struct step *step = s->step;
	struct error e;
	s->step = NULL;
	int64_t ticket = store_commit(step, &changes, &e);
	if (ticket < 0)
		return lua_error_raise(L, &e);
	lua_store_after(L, s->owner, ticket, ADVANCE_AFTER);
	return 0;
}

/* Also when the step is collected; after a commit or an abort: nothing. */
static int step_abort(lua_State *L)
{
	struct lua_step *s = step_check(L);
	struct step *step = s->step;
	s->step = NULL;
	if (step && s->owner->store)
		store_abort(step);
	return 0;
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

static void make_class(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc)
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

/* A step shows the columns of its thred: their numbers lie among its methods. */
static void add_columns(lua_State *L)
{
	static const char *const names[] = {"due",     "id",    "n",      "pattern", "reacted", "reaction",
					    "started", "state", "status", "step",    "version"};
	lua_getfield(L, -1, "__index");
	for (int i = 0; i < (int)(sizeof names / sizeof *names); i++) {
		lua_pushinteger(L, i);
		lua_setfield(L, -2, names[i]);
	}
	lua_pushcclosure(L, step_index, 1);
	lua_setfield(L, -2, "__index");
}

int luaopen_core_store(lua_State *L)
{
	static const luaL_Reg store[] = {{"on_durable", l_on_durable},
					 {"on_failed", l_on_failed},
					 {"on_due", l_on_due},
					 {"ready", l_ready},
					 {"key", l_key},
					 {"begin", l_begin},
					 {"begin_new", l_begin_new},
					 {"lock", l_lock},
					 {"close", l_close},
					 {NULL, NULL}};
	static const luaL_Reg step[] = {{"commit", step_commit},
					{"advance", step_advance},
					{"abort", step_abort},
					{"thred", step_take_thred},
					{NULL, NULL}};
	static const luaL_Reg lock[] = {{"release", lock_release}, {NULL, NULL}};
	make_class(L, LUA_STORE_NAME, store, l_gc);
	lua_getfield(L, -1, "__index");
	lua_store_looks(L);
	lua_pop(L, 2);
	make_class(L, LUA_STEP_NAME, step, step_abort);
	add_columns(L);
	lua_pop(L, 1);
	make_class(L, LUA_LOCK_NAME, lock, lock_release);
	lua_pop(L, 1);
	lua_newtable(L);
	lua_pushcfunction(L, l_open);
	lua_setfield(L, -2, "open");
	return 1;
}
