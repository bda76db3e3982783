/* SPDX-License-Identifier: MIT
 *
 * A WebSocket in Lua: one userdata from on_open to on_close, kept alive by the registry meanwhile.
 */
#include <lauxlib.h>
#include <string.h>

#include "net/lua_net.h"
#include "runtime/task.h"

#define WS "core.net.ws"

struct lua_ws {
	struct net_ws *ws; /* NULL: closed */
	struct lua_path *path;
	int self;       /* in the registry while open */
	size_t working; /* tasks of its messages */
	bool paused, full;
};

static struct lua_ws *check(lua_State *L)
{
	return luaL_checkudata(L, 1, WS);
}

static void update_reading(struct lua_ws *w)
{
	if (w->ws)
		net_ws_pause(w->ws, w->paused || w->full);
}

static int ws_send(lua_State *L)
{
	struct lua_ws *w = check(L);
	size_t len;
	const char *bytes = luaL_checklstring(L, 2, &len);
	long waiting = w->ws ? net_ws_send(w->ws, bytes, len) : -1;
	if (waiting < 0)
		return 0;
	lua_pushinteger(L, waiting);
	return 1;
}

static int ws_queued(lua_State *L)
{
	struct lua_ws *w = check(L);
	lua_pushinteger(L, w->ws ? (lua_Integer)net_ws_queued(w->ws) : 0);
	return 1;
}

static int ws_close(lua_State *L)
{
	struct lua_ws *w = check(L);
	lua_Integer code = luaL_optinteger(L, 2, 1000);
	const char *reason = luaL_optstring(L, 3, NULL);
	luaL_argcheck(L, code >= 1000 && code <= 4999, 2, "a close code is 1000 to 4999");
	if (w->ws)
		net_ws_close(w->ws, (int)code, reason);
	return 0;
}

static int ws_pause(lua_State *L)
{
	struct lua_ws *w = check(L);
	w->paused = true;
	update_reading(w);
	return 0;
}

static int ws_resume(lua_State *L)
{
	struct lua_ws *w = check(L);
	w->paused = false;
	update_reading(w);
	return 0;
}

static int ws_index(lua_State *L)
{
	struct lua_ws *w = check(L);
	const char *key = luaL_checkstring(L, 2);
	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(1)) == LUA_TFUNCTION)
		return 1;
	if (strcmp(key, "data") == 0)
		lua_getiuservalue(L, 1, 1);
	else if (strcmp(key, "peer") == 0)
		lua_getiuservalue(L, 1, 2);
	else if (strcmp(key, "open") == 0)
		lua_pushboolean(L, w->ws != NULL);
	else
		return 0;
	return 1;
}

static int ws_newindex(lua_State *L)
{
	check(L);
	if (strcmp(luaL_checkstring(L, 2), "data") != 0)
		return luaL_error(L, "a WebSocket has one field for its owner: data");
	lua_settop(L, 3);
	lua_setiuservalue(L, 1, 1);
	return 0;
}

/* Open still: only when the whole state goes. */
static int ws_gc(lua_State *L)
{
	struct lua_ws *w = check(L);
	if (w->ws)
		net_ws_set_data(w->ws, NULL);
	w->ws = NULL;
	return 0;
}

static int ended(lua_State *L, int status, lua_KContext context)
{
	(void)context;
	return status == LUA_OK || status == LUA_YIELD ? 0 : lua_error(L);
}

static int message_ended(lua_State *L, int status, lua_KContext context)
{
	struct lua_ws *w = lua_touserdata(L, 3);
	w->working--;
	w->full = w->full && w->ws && w->working >= net_ws_limits(w->ws)->messages;
	update_reading(w);
	return ended(L, status, context);
}

static int handle(lua_State *L)
{
	return net_handle(L, ended);
}

static int handle_message(lua_State *L)
{
	return net_handle(L, message_ended);
}

static void on_open(void *arg, struct net_ws *ws, struct net_request *req)
{
	struct lua_path *path = arg;
	lua_State *L = path->L;
	if (!L) {
		net_request_free(req);
		net_ws_close(ws, 1012, NULL);
		return;
	}
	lua_pushcfunction(L, handle);
	lua_rawgeti(L, LUA_REGISTRYINDEX, path->open);
	struct lua_ws *w = lua_newuserdatauv(L, sizeof *w, 2);
	*w = (struct lua_ws){.ws = ws, .path = path};
	luaL_setmetatable(L, WS);
	lua_pushstring(L, net_ws_peer(ws));
	lua_setiuservalue(L, -2, 2);
	lua_pushvalue(L, -1);
	w->self = luaL_ref(L, LUA_REGISTRYINDEX);
	net_ws_set_data(ws, w);
	net_push_request(L, req);
	if (path->open == LUA_NOREF)
		lua_pop(L, 4);
	else
		task_start(L, 3);
}

static void on_message(struct net_ws *ws, const char *bytes, size_t len, bool binary)
{
	struct lua_ws *w = net_ws_data(ws);
	lua_State *L = w ? w->path->L : NULL;
	if (!L || w->path->message == LUA_NOREF)
		return;
	lua_pushcfunction(L, handle_message);
	lua_rawgeti(L, LUA_REGISTRYINDEX, w->path->message);
	lua_rawgeti(L, LUA_REGISTRYINDEX, w->self);
	lua_pushlstring(L, bytes, len);
	lua_pushboolean(L, binary);
	if (++w->working >= net_ws_limits(ws)->messages) {
		w->full = true;
		update_reading(w);
	}
	task_start(L, 4);
}

static void on_close(struct net_ws *ws, int code)
{
	struct lua_ws *w = net_ws_data(ws);
	lua_State *L = w ? w->path->L : NULL;
	if (!L)
		return;
	w->ws = NULL;
	lua_pushcfunction(L, handle);
	lua_rawgeti(L, LUA_REGISTRYINDEX, w->path->close);
	lua_rawgeti(L, LUA_REGISTRYINDEX, w->self);
	luaL_unref(L, LUA_REGISTRYINDEX, w->self);
	lua_pushinteger(L, code);
	if (w->path->close == LUA_NOREF)
		lua_pop(L, 4);
	else
		task_start(L, 3);
}

void net_ws_handlers(struct net_websocket *w, struct lua_path *path)
{
	w->arg = path;
	w->open = on_open;
	w->message = on_message;
	w->close = on_close;
}

void net_lua_ws(lua_State *L)
{
	static const luaL_Reg methods[] = {{"send", ws_send},   {"queued", ws_queued}, {"close", ws_close},
					   {"pause", ws_pause}, {"resume", ws_resume}, {NULL, NULL}};
	luaL_newmetatable(L, WS);
	lua_pushcfunction(L, ws_gc);
	lua_setfield(L, -2, "__gc");
	lua_pushcfunction(L, ws_newindex);
	lua_setfield(L, -2, "__newindex");
	luaL_newlib(L, methods);
	lua_pushcclosure(L, ws_index, 1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
}
