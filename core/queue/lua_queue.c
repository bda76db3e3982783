/* SPDX-License-Identifier: MIT
 *
 * The queue's Lua face: the second result of core.store.open; docs/decisions/store.md.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/lua_error.h"
#include "json/lua_json.h"
#include "store/lua_store.h"

struct accept_wait {
	struct lua_wait wait;
	struct accepted result; /* its spans only while the task is woken */
	bool failed;
	int after; /* ref */
	struct error error;
};

/* What became of the first one. */
static void push_first(lua_State *L, const struct accepted *a)
{
	lua_createtable(L, 0, 4);
	lua_pushinteger(L, a->n);
	lua_setfield(L, -2, "n");
	lua_pushstring(L, outcome_name(a->outcome));
	lua_setfield(L, -2, "outcome");
	if (a->rec.data) {
		lua_pushlstring(L, a->rec.data, a->rec.len);
		lua_setfield(L, -2, "rec");
	}
	lua_newtable(L);
	if (a->thred.data) {
		lua_pushlstring(L, a->thred.data, a->thred.len);
		lua_rawseti(L, -2, 1);
	}
	lua_setfield(L, -2, "threds");
}

static int push_result(lua_State *L, const struct accepted *a)
{
	static const char *const kinds[] = {"accepted", "duplicate", "conflict"};
	lua_pushstring(L, kinds[a->kind]);
	if (a->kind == ACCEPT_NEW)
		lua_pushinteger(L, a->n);
	else
		push_first(L, a);
	return 2;
}

static int push_accepted(lua_State *L, void *arg)
{
	struct accept_wait *w = arg;
	if (!w->failed)
		return push_result(L, &w->result);
	lua_error_push(L, &w->error);
	return -1;
}

static void accepted(void *arg, const struct accepted *result, const struct error *e)
{
	struct accept_wait *w = arg;
	struct lua_store *o = w->wait.owner;
	if (w->wait.cancelled || o->dying) {
		lua_wait_wake(&w->wait, NULL);
		return;
	}
	w->failed = e != NULL;
	if (e) {
		w->error = *e;
	} else {
		w->result = *result;
		lua_rawgeti(o->L, LUA_REGISTRYINDEX, w->after);
		lua_store_after(o->L, o, result->ticket, lua_gettop(o->L));
		lua_pop(o->L, 1);
	}
	luaL_unref(o->L, LUA_REGISTRYINDEX, w->after);
	lua_wait_wake(&w->wait, push_accepted);
}

/* `after` on top. The doc at 2 is what the consumer gets, if it has a class; else that makes its own of the bytes. */
static int accept_now(lua_State *L, struct lua_store *o, struct accept *a)
{
	if (json_lua_has_class(L, 2)) {
		lua_pushvalue(L, 2);
		a->ref = luaL_ref(L, LUA_REGISTRYINDEX);
	}
	struct accept_wait *w = lua_wait_new(o, sizeof *w, offsetof(struct accept_wait, error));
	int rc = queue_accept(o->queue, a, &w->result, accepted, w, &w->error);
	if (rc == STORE_WAITS) {
		w->after = luaL_ref(L, LUA_REGISTRYINDEX);
		return lua_wait_suspend(L, &w->wait);
	}
	if (rc < 0) {
		struct error e = w->error;
		free(w);
		luaL_unref(L, LUA_REGISTRYINDEX, a->ref ? a->ref : LUA_NOREF);
		return lua_error_raise(L, &e);
	}
	struct accepted result = w->result;
	free(w);
	lua_store_after(L, o, result.ticket, lua_gettop(L));
	return push_result(L, &result);
}

static int l_accept(lua_State *L)
{
	struct lua_store *o = lua_store_check(L, 1);
	struct accept a;
	lua_settop(L, 4);
	task_check(L);
	arena_clear(&o->scratch);
	lua_accept(L, o, 3, 2, &a);
	return accept_now(L, o, &a);
}

static void hash_part(XXH3_state_t *state, struct span part)
{
	uint64_t size = part.len;
	XXH3_128bits_update(state, &size, sizeof size);
	XXH3_128bits_update(state, part.data ? part.data : "", part.len);
}

/* As runtime.hash128 of the four. */
static void hash_content(const struct span parts[4], unsigned char content[16])
{
	XXH3_state_t state;
	XXH3_128bits_reset(&state);
	for (int i = 0; i < 4; i++)
		hash_part(&state, parts[i]);
	XXH128_canonical_t bytes;
	XXH128_canonicalFromHash(&bytes, XXH3_128bits_digest(&state));
	memcpy(content, bytes.digest, 16);
}

/* The fields of a canonical event; false: it isn't as most are. */
static bool read_event(lua_State *L, struct accept *a)
{
	static const char *const source[] = {"source", "id", NULL}, *const id[] = {"id", NULL},
				 *const type[] = {"type", NULL}, *const thred[] = {"thredId", NULL},
				 *const re[] = {"re", NULL}, *const data[] = {"data", NULL};
	struct span content[4] = {{NULL, 0}};
	a->body.data = json_lua_bytes(L, 2, &a->body.len);
	if (!a->body.data || json_lua_text_at(L, 2, source, &a->source.data, &a->source.len) != 1 ||
	    json_lua_text_at(L, 2, id, &a->id.data, &a->id.len) != 1 ||
	    json_lua_text_at(L, 2, type, &content[0].data, &content[0].len) != 1 ||
	    json_lua_text_at(L, 2, thred, &a->thred.data, &a->thred.len) < 0 ||
	    json_lua_text_at(L, 2, re, &content[2].data, &content[2].len) < 0)
		return false;
	content[1] = a->thred;
	json_lua_bytes_at(L, 2, data, &content[3].data, &content[3].len);
	hash_content(content, a->content);
	return true;
}

/* queue:accept_event(doc, at, after) -> what accept gives, or nothing: then accept must be told its fields. */
static int l_accept_event(lua_State *L)
{
	struct lua_store *o = lua_store_check(L, 1);
	struct accept a = {0};
	lua_settop(L, 4);
	task_check(L);
	a.at = luaL_checkinteger(L, 3);
	if (!read_event(L, &a))
		return 0;
	return accept_now(L, o, &a);
}

static int l_settle(lua_State *L)
{
	struct lua_store *o = lua_store_check(L, 1);
	struct store_changes changes;
	struct error e;
	lua_settop(L, 4);
	luaL_checktype(L, 2, LUA_TTABLE);
	lua_changes(L, o, 3, &changes);
	changes.delivery = lua_int_field(L, 2, "n", 0);
	int64_t ticket = queue_settle(o->queue, &changes, &e);
	if (ticket < 0)
		return lua_error_raise(L, &e);
	lua_store_after(L, o, ticket, 4);
	return 0;
}

static void set_span(lua_State *L, const char *key, struct span s)
{
	if (!s.data)
		return;
	lua_pushlstring(L, s.data, s.len);
	lua_setfield(L, -2, key);
}

static void set_int(lua_State *L, const char *key, int64_t n)
{
	lua_pushinteger(L, n);
	lua_setfield(L, -2, key);
}

/* `class`: a reference, or LUA_NOREF. */
static void set_doc(lua_State *L, const char *key, struct span s, int class)
{
	struct error e;
	if (!s.data || json_lua_push_doc(L, s.data, s.len, NULL, &e))
		return;
	if (class != LUA_NOREF && json_lua_is_doc(L, -1)) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, class);
		lua_insert(L, -2);
		json_lua_set_class(L, -2);
		lua_remove(L, -2);
	}
	lua_setfield(L, -2, key);
}

/* `class`: of docs that are made of the bytes. */
static void push_delivery(lua_State *L, const struct delivery *d, int class)
{
	lua_createtable(L, 0, 16);
	set_int(L, "n", d->n);
	set_int(L, "event", d->event);
	set_int(L, "at", d->at);
	set_int(L, "attempts", d->attempts);
	if (d->ran) {
		lua_ran_push(L, d->ran);
		lua_setfield(L, -2, "ran");
	}
	if (d->tries)
		set_int(L, "tries", d->tries);
	set_span(L, "topic", d->topic);
	set_span(L, "target", d->target);
	set_span(L, "source", d->source);
	set_span(L, "id", d->id);
	set_doc(L, "message", d->message, LUA_NOREF);
	if (d->ref) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, d->ref);
		lua_setfield(L, -2, "doc");
	} else {
		set_doc(L, "doc", d->doc, class);
	}
}

struct lua_consumer {
	struct lua_store *owner;
	int fn, class; /* references */
};

static void consumer_free(lua_State *L, struct lua_consumer *c)
{
	luaL_unref(L, LUA_REGISTRYINDEX, c->fn);
	luaL_unref(L, LUA_REGISTRYINDEX, c->class);
	c->fn = c->class = LUA_NOREF;
}

/* Pushes the table of this queue's consumers, by topic. */
static void push_consumers(lua_State *L, struct lua_store *o)
{
	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &o->queue) == LUA_TTABLE)
		return;
	lua_pop(L, 1);
	lua_newtable(L);
	lua_pushvalue(L, -1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &o->queue);
}

static void deliver(void *arg, const struct delivery *d)
{
	struct lua_consumer *c = arg;
	struct lua_store *o = c->owner;
	lua_rawgeti(o->L, LUA_REGISTRYINDEX, c->fn);
	push_delivery(o->L, d, c->class);
	task_start_marked(o->L, 1, &(struct task_mark){lua_store_running, o, d->key});
}

static int l_consume(lua_State *L)
{
	struct lua_store *o = lua_store_check(L, 1);
	size_t len;
	const char *topic = luaL_checklstring(L, 2, &len);
	lua_settop(L, 4);
	if (!lua_isnil(L, 3))
		luaL_checktype(L, 3, LUA_TFUNCTION);
	push_consumers(L, o); /* 5 */
	lua_pushvalue(L, 2);
	if (lua_rawget(L, 5) == LUA_TUSERDATA) /* 6 */
		consumer_free(L, lua_touserdata(L, 6));
	if (lua_isnil(L, 3)) {
		queue_consume(o->queue, (struct span){topic, len}, NULL);
		lua_pushvalue(L, 2);
		lua_pushnil(L);
		lua_rawset(L, 5);
		return 0;
	}
	struct lua_consumer *c = lua_newuserdatauv(L, sizeof *c, 0);
	*c = (struct lua_consumer){o, LUA_NOREF, LUA_NOREF};
	lua_pushvalue(L, 2);
	lua_insert(L, -2);
	lua_rawset(L, 5);
	lua_pushvalue(L, 3);
	c->fn = luaL_ref(L, LUA_REGISTRYINDEX);
	if (!lua_isnil(L, 4)) {
		lua_pushvalue(L, 4);
		c->class = luaL_ref(L, LUA_REGISTRYINDEX);
	}
	queue_consume(o->queue, (struct span){topic, len}, &(struct consumer){.arg = c, .deliver = deliver});
	return 0;
}

static int l_depth(lua_State *L)
{
	struct lua_store *o = lua_store_check(L, 1);
	lua_pushinteger(L, (lua_Integer)queue_depth(o->queue));
	return 1;
}

static int l_bytes(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)queue_bytes(lua_store_check(L, 1)->queue));
	return 1;
}

static int l_back(lua_State *L)
{
	struct lua_store *o = lua_store_check(L, 1);
	luaL_checktype(L, 2, LUA_TTABLE);
	queue_back(o->queue, lua_int_field(L, 2, "n", 0));
	return 0;
}

static int l_empty(lua_State *L)
{
	struct lua_store *o = lua_store_check(L, 1);
	size_t len;
	const char *topic = luaL_checklstring(L, 2, &len);
	lua_pushboolean(L, queue_empty(o->queue, (struct span){topic, len}));
	return 1;
}

void lua_queue_open(lua_State *L, int store)
{
	static const luaL_Reg methods[] = {{"accept", l_accept}, {"accept_event", l_accept_event},
					   {"settle", l_settle}, {"consume", l_consume},
					   {"depth", l_depth},   {"back", l_back},
					   {"empty", l_empty},   {"bytes", l_bytes},
					   {NULL, NULL}};
	int owner = lua_absindex(L, store);
	struct lua_store **queue = lua_newuserdatauv(L, sizeof *queue, 1);
	*queue = *(struct lua_store **)lua_touserdata(L, owner);
	lua_pushvalue(L, owner); /* keeps the store alive */
	lua_setiuservalue(L, -2, 1);
	if (luaL_newmetatable(L, LUA_QUEUE_NAME)) {
		lua_newtable(L);
		luaL_setfuncs(L, methods, 0);
		lua_setfield(L, -2, "__index");
		lua_pushboolean(L, 0);
		lua_setfield(L, -2, "__metatable");
	}
	lua_setmetatable(L, -2);
}
