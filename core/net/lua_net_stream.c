/* SPDX-License-Identifier: MIT
 *
 * A streamed answer in Lua: one userdata, kept alive by the registry while it is open.
 */
#include <lauxlib.h>
#include <string.h>

#include "base/lua_error.h"
#include "net/lua_net.h"
#include "runtime/task.h"

#define STREAM "core.net.stream"

struct lua_stream {
	struct net_request *req; /* NULL: closed */
	lua_State *L;            /* the main one */
	int self, on_close;      /* in the registry while open */
};

static struct lua_stream *check(lua_State *L)
{
	return luaL_checkudata(L, 1, STREAM);
}

static void forget(struct lua_stream *s)
{
	s->req = NULL;
	luaL_unref(s->L, LUA_REGISTRYINDEX, s->self);
	luaL_unref(s->L, LUA_REGISTRYINDEX, s->on_close);
	s->self = s->on_close = LUA_NOREF;
}

static int stream_send(lua_State *L)
{
	struct lua_stream *s = check(L);
	size_t len;
	const char *bytes = luaL_checklstring(L, 2, &len);
	long waiting = s->req ? net_stream_send(s->req, bytes, len) : -1;
	if (waiting < 0)
		return 0;
	lua_pushinteger(L, waiting);
	return 1;
}

static int stream_queued(lua_State *L)
{
	struct lua_stream *s = check(L);
	lua_pushinteger(L, s->req ? (lua_Integer)net_stream_queued(s->req) : 0);
	return 1;
}

static int stream_close(lua_State *L)
{
	struct lua_stream *s = check(L);
	struct net_request *req = s->req;
	if (!req)
		return 0;
	forget(s);
	net_stream_end(req);
	return 0;
}

static int stream_index(lua_State *L)
{
	struct lua_stream *s = check(L);
	const char *key = luaL_checkstring(L, 2);
	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(1)) == LUA_TFUNCTION)
		return 1;
	if (strcmp(key, "open") != 0)
		return 0;
	lua_pushboolean(L, s->req != NULL);
	return 1;
}

/* Open still: only when the whole state goes, and the registry with it. */
static int stream_gc(lua_State *L)
{
	struct lua_stream *s = check(L);
	if (s->req)
		net_stream_end(s->req);
	s->req = NULL;
	return 0;
}

static void on_closed(void *arg, enum net_end why)
{
	static const char *const names[] = {[NET_GONE] = "gone", [NET_SLOW] = "slow", [NET_STOPPED] = "stopped"};
	struct lua_stream *s = arg;
	lua_State *L = s->L;
	lua_rawgeti(L, LUA_REGISTRYINDEX, s->on_close);
	lua_rawgeti(L, LUA_REGISTRYINDEX, s->self);
	lua_pushstring(L, names[why]);
	bool wanted = s->on_close != LUA_NOREF;
	forget(s);
	if (wanted)
		task_start(L, 2);
	else
		lua_pop(L, 3);
}

int net_push_stream(lua_State *L, struct net_request *req, int status, const struct net_header *headers, size_t count,
		    int on_close)
{
	struct lua_stream *s = lua_newuserdatauv(L, sizeof *s, 0);
	*s = (struct lua_stream){.L = net_main_state(L), .self = LUA_NOREF, .on_close = LUA_NOREF};
	luaL_setmetatable(L, STREAM);
	lua_pushvalue(L, -1);
	s->self = luaL_ref(L, LUA_REGISTRYINDEX);
	if (!lua_isnoneornil(L, on_close)) {
		lua_pushvalue(L, on_close);
		s->on_close = luaL_ref(L, LUA_REGISTRYINDEX);
	}
	if (net_stream(req, status, headers, count, on_closed, s))
		s->req = req;
	else
		forget(s);
	return 1;
}

void net_cut_stream(lua_State *L)
{
	struct lua_stream *s = lua_touserdata(L, -1);
	if (s->req)
		net_stream_cut(s->req);
}

void net_lua_stream(lua_State *L)
{
	static const luaL_Reg methods[] = {
		{"send", stream_send}, {"queued", stream_queued}, {"close", stream_close}, {NULL, NULL}};
	luaL_newmetatable(L, STREAM);
	lua_pushcfunction(L, stream_gc);
	lua_setfield(L, -2, "__gc");
	luaL_newlib(L, methods);
	lua_pushcclosure(L, stream_index, 1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
}
