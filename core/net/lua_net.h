/* SPDX-License-Identifier: MIT
 *
 * The Lua module core.net: docs/interfaces.md. lua_net.c has listen, lua_net_request.c the request,
 * lua_net_stream.c the streamed answer, lua_net_ws.c the WebSocket, lua_net_client.c request and connect.
 */
#ifndef SRVTHREDS_LUA_NET_H
#define SRVTHREDS_LUA_NET_H

#include <lua.h>

#include "net/net.h"

int luaopen_core_net(lua_State *L);

/* Private to the five: */

struct lua_path {                 /* the handlers of one WebSocket path */
	lua_State *L;             /* the main one; NULL: closed */
	int open, message, close; /* in the registry, or LUA_NOREF */
};

lua_State *net_main_state(lua_State *L);
/* For the start of a task: calls the handler below its `nargs` arguments; `ended` is called with the result of the call
 * (an error on top) and what came after the handler at 3 and up; errors it leaves on top go to the task's handler. */
int net_handle(lua_State *L, lua_KFunction ended);

void net_lua_request(lua_State *L); /* makes the metatables */
void net_lua_stream(lua_State *L);
void net_lua_ws(lua_State *L);
void net_lua_client(lua_State *L); /* adds to the module on top */
/* Pushes a request; the userdata owns it. */
void net_push_request(lua_State *L, struct net_request *req);
/* Pushes the stream that answers `req`, which is spent; `on_close` is the index of a function or of nothing. */
int net_push_stream(lua_State *L, struct net_request *req, int status, const struct net_header *headers, size_t count,
		    int on_close);
/* Cuts the stream on top, if it is open. */
void net_cut_stream(lua_State *L);
void net_request_arrived(lua_State *L, int handler, struct net_request *req);
/* Fills the handlers' C side for a path. */
void net_ws_handlers(struct net_websocket *w, struct lua_path *path);

#endif
