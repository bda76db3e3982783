/* SPDX-License-Identifier: MIT */
#include "net/lua_net.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/lua_error.h"
#include "observe/observe.h"
#include "runtime/task.h"

#define LISTENER "core.net.listener"
enum { PATHS_MAX = 8, ORIGINS_MAX = 32 };

/* Lives until the C listener is gone, which may be after the Lua state. */
struct server {
	struct net_listener *l; /* NULL: gone */
	lua_State *L;           /* the main one; NULL: closed */
	int request, self;      /* in the registry */
	struct task_wait closer;
	bool closing, draining, awaited, dropped; /* dropped: the userdata is gone */
	size_t path_count;
	struct lua_path paths[PATHS_MAX];
};

lua_State *net_main_state(lua_State *L)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
	lua_State *main = lua_tothread(L, -1);
	lua_pop(L, 1);
	return main;
}

static int with_traceback(lua_State *L)
{
	if (lua_type(L, 1) == LUA_TSTRING)
		luaL_traceback(L, L, lua_tostring(L, 1), 1);
	return 1;
}

int net_handle(lua_State *L, lua_KFunction ended)
{
	int nargs = lua_gettop(L) - 1;
	lua_pushcfunction(L, with_traceback);
	lua_insert(L, 1);
	luaL_checkstack(L, nargs + 1, NULL);
	for (int i = 2; i <= nargs + 2; i++) /* the arguments stay for `ended` */
		lua_pushvalue(L, i);
	return ended(L, lua_pcallk(L, nargs, 0, 1, 0, ended), 0);
}

static void on_request(void *arg, struct net_request *req)
{
	struct server *s = arg;
	if (s->L)
		net_request_arrived(s->L, s->request, req);
	else
		net_request_free(req);
}

static const struct {
	const char *name;
	size_t offset;
} sizes[] = {
#define SIZE(field)                                                                                                    \
	{                                                                                                              \
#field, offsetof(struct net_limits, field)                                                             \
	}
	SIZE(connections), SIZE(header_size), SIZE(body_size), SIZE(message_size), SIZE(send_queue),
	SIZE(answer_size), SIZE(pipelined),   SIZE(messages),  SIZE(header_ms),    SIZE(body_ms),
	SIZE(idle_ms),     SIZE(write_ms),    SIZE(ping_ms),
};
_Static_assert(sizeof(size_t) == sizeof(uint64_t), "limits are read the same way");

static void read_limit(lua_State *L, struct net_limits *limits)
{
	const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
		if (strcmp(name, sizes[i].name) == 0) {
			lua_Integer n = lua_tointeger(L, -1);
			if (n <= 0)
				lua_error_raisef(L, ERROR_ARGUMENT, "limit %s is a number above 0", name);
			memcpy((char *)limits + sizes[i].offset, &n, sizeof n);
			return;
		}
	lua_error_raisef(L, ERROR_ARGUMENT, "net.listen knows no limit \"%s\"", name);
}

static void read_limits(lua_State *L, struct net_limits *limits)
{
	if (lua_getfield(L, 1, "limits") == LUA_TTABLE)
		for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
			read_limit(L, limits);
	lua_pop(L, 1);
}

static size_t read_origins(lua_State *L, const char **origins)
{
	size_t n = 0;
	if (lua_getfield(L, 1, "origins") == LUA_TTABLE)
		for (; n < ORIGINS_MAX && lua_rawgeti(L, -1, (lua_Integer)n + 1) == LUA_TSTRING; lua_pop(L, 1))
			origins[n++] = lua_tostring(L, -1); /* kept by the table */
	lua_settop(L, 2);
	return n;
}

static int handler(lua_State *L, const char *name)
{
	if (lua_getfield(L, -1, name) == LUA_TFUNCTION)
		return luaL_ref(L, LUA_REGISTRYINDEX);
	lua_pop(L, 1);
	return LUA_NOREF;
}

/* Reads websockets = {["/ws"] = {…}}; the strings are kept by the tables. */
static void read_paths(lua_State *L, struct server *s, struct net_websocket *paths)
{
	if (lua_getfield(L, 1, "websockets") == LUA_TTABLE)
		for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
			if (s->path_count == PATHS_MAX || lua_type(L, -2) != LUA_TSTRING || !lua_istable(L, -1))
				lua_error_raisef(L, ERROR_ARGUMENT, "websockets are up to %d paths with tables",
						 PATHS_MAX);
			struct lua_path *p = &s->paths[s->path_count];
			struct net_websocket *w = &paths[s->path_count++];
			*p = (struct lua_path){s->L, handler(L, "on_open"), handler(L, "on_message"),
					       handler(L, "on_close")};
			net_ws_handlers(w, p);
			w->path = lua_tostring(L, -2);
			lua_getfield(L, -1, "protocol");
			w->protocol = lua_tostring(L, -1);
			lua_pop(L, 1);
		}
	lua_settop(L, 2);
}

static void forget_handlers(struct server *s)
{
	lua_State *L = s->L;
	if (!L)
		return;
	s->L = NULL;
	luaL_unref(L, LUA_REGISTRYINDEX, s->request);
	for (size_t i = 0; i < s->path_count; i++) {
		luaL_unref(L, LUA_REGISTRYINDEX, s->paths[i].open);
		luaL_unref(L, LUA_REGISTRYINDEX, s->paths[i].message);
		luaL_unref(L, LUA_REGISTRYINDEX, s->paths[i].close);
		s->paths[i].L = NULL;
	}
}

static struct server *check(lua_State *L)
{
	return *(struct server **)luaL_checkudata(L, 1, LISTENER);
}

static void read_config(lua_State *L, struct server *s, struct net_config *config, struct net_websocket *paths)
{
	config->arg = s;
	lua_getfield(L, 1, "host");
	config->host = lua_tostring(L, -1);
	lua_getfield(L, 1, "port");
	config->port = (int)lua_tointeger(L, -1);
	lua_settop(L, 2);
	read_limits(L, &config->limits);
	read_paths(L, s, paths);
	config->websocket_count = s->path_count;
	if (lua_getfield(L, 1, "on_request") != LUA_TFUNCTION)
		lua_error_raisef(L, ERROR_MISSING, "net.listen needs on_request = function(req)");
	s->request = luaL_ref(L, LUA_REGISTRYINDEX);
}

static int l_listen(lua_State *L)
{
	struct net_websocket paths[PATHS_MAX] = {0};
	const char *origins[ORIGINS_MAX];
	struct net_config config = {.request = on_request, .websockets = paths, .origins = origins};
	struct error e;
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	config.log = observe_log(L);
	struct server **box = lua_newuserdatauv(L, sizeof *box, 0);
	*box = NULL;
	luaL_setmetatable(L, LISTENER);
	struct server *s = *box = xcalloc(1, sizeof *s);
	s->L = net_main_state(L);
	s->request = s->self = LUA_NOREF;
	read_config(L, s, &config, paths);
	config.origin_count = read_origins(L, origins);
	s->l = net_listen(runtime_loop(task_runtime(L)), &config, &e);
	if (!s->l)
		return lua_error_raise(L, &e);
	lua_pushvalue(L, 2);
	s->self = luaL_ref(L, LUA_REGISTRYINDEX); /* it serves whether or not somebody holds it */
	return 1;
}

static int no_results(lua_State *L, void *arg)
{
	(void)L;
	(void)arg;
	return 0;
}

static void on_gone(void *arg)
{
	struct server *s = arg;
	s->l = NULL;
	if (s->L)
		luaL_unref(s->L, LUA_REGISTRYINDEX, s->self);
	forget_handlers(s);
	bool awaited = s->awaited;
	struct task_wait wait = s->closer;
	s->awaited = false;
	if (s->dropped)
		free(s);
	if (awaited)
		task_wake(wait, no_results, NULL);
}

static void close_cancelled(void *arg)
{
	struct server *s = arg;
	s->awaited = false;
	task_drop(s->closer);
}

static void on_drained(void *arg)
{
	struct server *s = arg;
	bool awaited = s->awaited;
	s->awaited = false;
	if (awaited)
		task_wake(s->closer, no_results, NULL);
}

static int stop(lua_State *L, void (*how)(struct net_listener *, uint64_t, void (*)(void *), void *),
		void (*then)(void *))
{
	struct server *s = check(L);
	lua_Integer grace = luaL_optinteger(L, 2, 0);
	bool wait = task_current(L) != NULL;
	if (wait)
		task_check(L);
	how(s->l, grace > 0 ? (uint64_t)grace : 0, then, s);
	if (!wait)
		return 0;
	s->closer = task_prepare(L, close_cancelled, s);
	s->awaited = true;
	return task_suspend(L);
}

/* Within a task it waits until everything is closed. */
static int server_close(lua_State *L)
{
	struct server *s = check(L);
	if (!s->l || s->closing)
		return 0;
	s->closing = true;
	return stop(L, net_close, on_gone);
}

/* Within a task it waits until the connections are gone; close must follow. */
static int server_drain(lua_State *L)
{
	struct server *s = check(L);
	if (!s->l || s->closing || s->draining)
		return 0;
	s->draining = true;
	return stop(L, net_drain, on_drained);
}

static int server_pause(lua_State *L)
{
	struct server *s = check(L);
	if (s->l && !s->closing)
		net_pause(s->l, lua_isnoneornil(L, 2) || lua_toboolean(L, 2));
	return 0;
}

static int server_index(lua_State *L)
{
	struct server *s = check(L);
	const char *key = luaL_checkstring(L, 2);
	size_t connections = 0, websockets = 0;
	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(1)) == LUA_TFUNCTION)
		return 1;
	if (s->l)
		net_counts(s->l, &connections, &websockets);
	if (strcmp(key, "port") == 0 && s->l)
		lua_pushinteger(L, net_port(s->l));
	else if (strcmp(key, "connections") == 0)
		lua_pushinteger(L, (lua_Integer)connections);
	else if (strcmp(key, "too_large") == 0)
		lua_pushinteger(L, s->l ? (lua_Integer)net_too_large(s->l) : 0);
	else if (strcmp(key, "websockets") == 0)
		lua_pushinteger(L, (lua_Integer)websockets);
	else
		return 0;
	return 1;
}

static int server_gc(lua_State *L)
{
	struct server **box = luaL_checkudata(L, 1, LISTENER), *s = *box;
	*box = NULL;
	if (!s)
		return 0;
	forget_handlers(s);
	s->dropped = true;
	if (s->l)
		net_forget_log(s->l);
	if (!s->l)
		free(s);
	else if (!s->closing)
		net_close(s->l, 0, on_gone, s);
	return 0;
}

int luaopen_core_net(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{"close", server_close}, {"drain", server_drain}, {"pause", server_pause}, {NULL, NULL}};
	static const luaL_Reg functions[] = {{"listen", l_listen}, {NULL, NULL}};
	net_lua_request(L);
	net_lua_stream(L);
	net_lua_ws(L);
	luaL_newmetatable(L, LISTENER);
	lua_pushcfunction(L, server_gc);
	lua_setfield(L, -2, "__gc");
	luaL_newlib(L, methods);
	lua_pushcclosure(L, server_index, 1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
	luaL_newlib(L, functions);
	net_lua_client(L);
	return 1;
}
