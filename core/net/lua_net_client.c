/* SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/lua_error.h"
#include "net/client.h"
#include "net/lua_net.h"
#include "runtime/task.h"

#define SOCKET "core.net.socket"
enum { HEADERS_MAX = 32 };

/* The headers of the table at `index`; the strings are the table's. */
static size_t read_headers(lua_State *L, int index, struct net_header *headers)
{
	size_t n = 0;
	if (!lua_istable(L, index))
		return 0;
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING || n == HEADERS_MAX)
			lua_error_raisef(L, ERROR_ARGUMENT, "headers are up to %d names with text", HEADERS_MAX);
		headers[n++] = (struct net_header){lua_tostring(L, -2), lua_tostring(L, -1)};
	}
	return n;
}

struct fetch {
	struct net_fetch *f;
	struct task_wait wait;
	const struct net_answer *answer;
	const struct error *error;
};

static int push_answer(lua_State *L, void *arg)
{
	const struct fetch *fetch = arg;
	const struct net_answer *a = fetch->answer;
	if (!a) {
		lua_error_push(L, fetch->error);
		return -1;
	}
	lua_createtable(L, 0, 3);
	lua_pushinteger(L, a->status);
	lua_setfield(L, -2, "status");
	lua_createtable(L, 0, (int)a->header_count);
	for (size_t i = 0; i < a->header_count; i++) {
		lua_pushstring(L, a->headers[2 * i + 1]);
		lua_setfield(L, -2, a->headers[2 * i]);
	}
	lua_setfield(L, -2, "headers");
	lua_pushlstring(L, a->body, a->len);
	lua_setfield(L, -2, "body");
	return 1;
}

static void fetched(void *arg, const struct net_answer *answer, const struct error *e)
{
	struct fetch *fetch = arg;
	fetch->answer = answer;
	fetch->error = e;
	task_wake(fetch->wait, push_answer, fetch);
	free(fetch);
}

static void fetch_cancelled(void *arg)
{
	struct fetch *fetch = arg;
	net_fetch_cancel(fetch->f);
	task_drop(fetch->wait);
	free(fetch);
}

static int l_request(lua_State *L)
{
	struct net_header headers[HEADERS_MAX];
	struct error e;
	size_t len = 0;
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	lua_getfield(L, 1, "method");
	lua_getfield(L, 1, "url");
	lua_getfield(L, 1, "body");
	lua_getfield(L, 1, "timeout_ms");
	lua_getfield(L, 1, "headers");
	const char *method = luaL_optstring(L, 2, "GET"), *url = luaL_checkstring(L, 3);
	const char *body = luaL_optlstring(L, 4, "", &len);
	lua_Integer timeout = luaL_optinteger(L, 5, 30000);
	size_t n = read_headers(L, 6, headers);
	task_check(L);
	struct fetch *fetch = xcalloc(1, sizeof *fetch);
	fetch->f = net_fetch(runtime_loop(task_runtime(L)), method, url, headers, n, body, len,
			     timeout > 0 ? (uint64_t)timeout : 0, fetched, fetch, &e);
	if (!fetch->f) {
		free(fetch);
		return lua_error_raise(L, &e);
	}
	fetch->wait = task_prepare(L, fetch_cancelled, fetch);
	return task_suspend(L);
}

/* The WebSocket of a task: messages that came are kept in the user value's table [head, tail) until received. */
struct socket {
	struct net_socket *s; /* NULL: ended */
	lua_State *L;
	int self; /* in the registry while the connection lives */
	lua_Integer head, tail;
	bool waiting, opening, opened, collected;
	struct task_wait wait;
	struct runtime *rt;
	struct runtime_timer timer; /* of a receive */
	int code;
	struct error error;
};

static struct socket *check(lua_State *L)
{
	return *(struct socket **)luaL_checkudata(L, 1, SOCKET);
}

static int push_socket(lua_State *L, void *arg)
{
	struct socket *s = arg;
	if (!s->opened) {
		lua_error_push(L, &s->error);
		return -1;
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, s->self);
	return 1;
}

/* The next message, or nil and why there is none. */
static int push_received(lua_State *L, void *arg)
{
	struct socket *s = arg;
	if (s->head == s->tail) {
		lua_pushnil(L);
		if (s->s)
			lua_pushliteral(L, "timeout");
		else
			lua_pushfstring(L, "closed %d%s%s", s->code, s->error.code ? ": " : "", s->error.message);
		return 2;
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, s->self);
	lua_getiuservalue(L, -1, 1);
	lua_rawgeti(L, -1, s->head);
	lua_pushnil(L);
	lua_rawseti(L, -3, s->head++);
	return 1;
}

static void wake(struct socket *s, int (*push)(lua_State *L, void *arg))
{
	if (!s->waiting)
		return;
	s->waiting = false;
	runtime_timer_stop(s->rt, &s->timer);
	task_wake(s->wait, push, s);
}

static void on_opened(void *arg)
{
	struct socket *s = arg;
	s->opened = true;
	s->opening = false;
	wake(s, push_socket);
}

static void on_message(void *arg, const char *bytes, size_t len)
{
	struct socket *s = arg;
	if (s->collected)
		return;
	lua_rawgeti(s->L, LUA_REGISTRYINDEX, s->self);
	lua_getiuservalue(s->L, -1, 1);
	lua_pushlstring(s->L, bytes, len);
	lua_rawseti(s->L, -2, s->tail++);
	lua_pop(s->L, 2);
	wake(s, push_received);
}

static void on_ended(void *arg, int code, const struct error *e)
{
	struct socket *s = arg;
	s->s = NULL;
	s->code = code;
	if (e)
		s->error = *e;
	else if (s->opening)
		error_set(&s->error, ERROR_SERVER, "the connection was closed");
	if (s->collected) {
		free(s);
		return;
	}
	wake(s, s->opening ? push_socket : push_received);
	luaL_unref(s->L, LUA_REGISTRYINDEX, s->self);
	s->self = LUA_NOREF;
}

static void wait_cancelled(void *arg)
{
	struct socket *s = arg;
	s->waiting = false;
	runtime_timer_stop(s->rt, &s->timer);
	task_drop(s->wait);
}

static int l_connect(lua_State *L)
{
	static const struct net_socket_events events = {NULL, on_opened, on_message, on_ended};
	struct net_header headers[HEADERS_MAX];
	struct net_socket_events mine = events;
	struct error e;
	const char *url = luaL_checkstring(L, 1);
	if (lua_isnoneornil(L, 2)) {
		lua_settop(L, 1);
		lua_newtable(L);
	}
	lua_settop(L, 2);
	lua_getfield(L, 2, "protocol");
	lua_getfield(L, 2, "timeout_ms");
	lua_getfield(L, 2, "headers");
	const char *protocol = luaL_optstring(L, 3, NULL);
	lua_Integer timeout = luaL_optinteger(L, 4, 10000);
	size_t n = read_headers(L, 5, headers);
	task_check(L);
	struct socket **box = lua_newuserdatauv(L, sizeof *box, 1);
	*box = NULL;
	luaL_setmetatable(L, SOCKET);
	lua_newtable(L);
	lua_setiuservalue(L, -2, 1);
	struct socket *s = *box = mine.arg = xcalloc(1, sizeof *s);
	s->L = net_main_state(L);
	s->rt = task_runtime(L);
	s->self = LUA_NOREF;
	s->s = net_connect(runtime_loop(s->rt), url, protocol, headers, n, timeout > 0 ? (uint64_t)timeout : 0, &mine,
			   &e);
	if (!s->s)
		return lua_error_raise(L, &e);
	s->self = luaL_ref(L, LUA_REGISTRYINDEX);
	s->opening = s->waiting = true;
	s->wait = task_prepare(L, wait_cancelled, s);
	return task_suspend(L);
}

static int socket_send(lua_State *L)
{
	struct socket *s = check(L);
	size_t len;
	const char *bytes = luaL_checklstring(L, 2, &len);
	lua_pushboolean(L, s->s && net_socket_send(s->s, bytes, len) == 0);
	return 1;
}

static void receive_late(struct runtime_timer *timer)
{
	wake((struct socket *)((char *)timer - offsetof(struct socket, timer)), push_received);
}

static int socket_receive(lua_State *L)
{
	struct socket *s = check(L);
	lua_Integer timeout = luaL_optinteger(L, 2, -1);
	if (s->head < s->tail) {
		lua_getiuservalue(L, 1, 1);
		lua_rawgeti(L, -1, s->head);
		lua_pushnil(L);
		lua_rawseti(L, -3, s->head++);
		return 1;
	}
	if (!s->s)
		return push_received(L, s);
	if (s->waiting)
		return lua_error_raisef(L, ERROR_ARGUMENT, "another task waits for this connection's messages");
	task_check(L);
	s->wait = task_prepare(L, wait_cancelled, s);
	s->waiting = true;
	if (timeout >= 0)
		runtime_timer_start(s->rt, &s->timer, runtime_now(s->rt) + timeout, receive_late);
	return task_suspend(L);
}

static int socket_close(lua_State *L)
{
	struct socket *s = check(L);
	if (s->s)
		net_socket_close(s->s, (int)luaL_optinteger(L, 2, 1000));
	return 0;
}

static int socket_gc(lua_State *L)
{
	struct socket **box = luaL_checkudata(L, 1, SOCKET), *s = *box;
	*box = NULL;
	if (!s)
		return 0;
	if (!s->s) {
		free(s);
		return 0;
	}
	s->collected = true;
	s->waiting = false;
	net_socket_close(s->s, 1001);
	return 0;
}

void net_lua_client(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{"send", socket_send}, {"receive", socket_receive}, {"close", socket_close}, {NULL, NULL}};
	luaL_newmetatable(L, SOCKET);
	lua_pushcfunction(L, socket_gc);
	lua_setfield(L, -2, "__gc");
	luaL_newlib(L, methods);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
	lua_pushcfunction(L, l_request);
	lua_setfield(L, -2, "request");
	lua_pushcfunction(L, l_connect);
	lua_setfield(L, -2, "connect");
}
