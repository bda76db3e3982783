/* SPDX-License-Identifier: MIT
 *
 * A request in Lua: one userdata whose fields are made when they are asked for.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/lua_error.h"
#include "net/lua_net.h"
#include "runtime/task.h"

#define REQUEST "core.net.request"
enum { HEADERS_MAX = 32 };

struct lua_request {
	struct net_request *req; /* NULL: answered */
};

void net_push_request(lua_State *L, struct net_request *req)
{
	struct lua_request *r = lua_newuserdatauv(L, sizeof *r, 2); /* the query, the stream */
	r->req = req;
	luaL_setmetatable(L, REQUEST);
}

static struct net_request *check(lua_State *L)
{
	struct lua_request *r = luaL_checkudata(L, 1, REQUEST);
	if (!r->req)
		lua_error_raisef(L, ERROR_ARGUMENT, "this request was answered: read what you need before req:respond");
	return r->req;
}

static int hex(int c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* %41 -> A; a broken escape stays as it is. */
static void push_decoded(lua_State *L, const char *text, size_t len, bool plus)
{
	luaL_Buffer b;
	char *to = luaL_buffinitsize(L, &b, len), *begin = to;
	for (size_t i = 0; i < len; i++) {
		int high = text[i] == '%' && i + 2 < len ? hex(text[i + 1]) : -1;
		int low = high >= 0 ? hex(text[i + 2]) : -1;
		if (low >= 0) {
			*to++ = (char)(high << 4 | low);
			i += 2;
		} else {
			*to++ = plus && text[i] == '+' ? ' ' : text[i];
		}
	}
	luaL_pushresultsize(&b, (size_t)(to - begin));
}

static const char *path_of(struct net_request *req)
{
	const char *url = net_request_url(req);
	if (*url == '/')
		return url;
	const char *at = strstr(url, "://");
	at = at ? strchr(at + 3, '/') : NULL;
	return at ? at : url;
}

static int push_query(lua_State *L, struct net_request *req)
{
	if (lua_getiuservalue(L, 1, 1) == LUA_TTABLE)
		return 1;
	const char *at = strchr(net_request_url(req), '?');
	lua_newtable(L);
	for (at = at ? at + 1 : ""; *at;) {
		size_t len = strcspn(at, "&");
		const char *equals = memchr(at, '=', len);
		size_t name = equals ? (size_t)(equals - at) : len;
		if (name) {
			push_decoded(L, at, name, true);
			push_decoded(L, equals ? equals + 1 : "", equals ? len - name - 1 : 0, true);
			lua_rawset(L, -3);
		}
		at += len + (at[len] == '&');
	}
	lua_pushvalue(L, -1);
	lua_setiuservalue(L, 1, 1);
	return 1;
}

static int request_header(lua_State *L)
{
	lua_pushstring(L, net_request_header(check(L), luaL_checkstring(L, 2)));
	return 1;
}

static size_t read_headers(lua_State *L, int index, struct net_header *headers)
{
	size_t n = 0;
	if (lua_isnoneornil(L, index))
		return 0;
	luaL_checktype(L, index, LUA_TTABLE);
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		if (lua_type(L, -2) != LUA_TSTRING || !lua_isstring(L, -1) || n == HEADERS_MAX)
			lua_error_raisef(L, ERROR_ARGUMENT, "headers are up to %d names with text", HEADERS_MAX);
		if (lua_type(L, -1) == LUA_TNUMBER) {
			lua_pushvalue(L, -1);
			headers[n].value = lua_tostring(L, -1);
			lua_pushvalue(L, -3);
			lua_insert(L, -2);
			lua_rawset(L, index); /* the table keeps the text alive */
		} else {
			headers[n].value = lua_tostring(L, -1);
		}
		headers[n++].name = lua_tostring(L, -2);
	}
	return n;
}

static int check_status(lua_State *L)
{
	int status = (int)luaL_checkinteger(L, 2);
	if (status < 200 || status > 599)
		lua_error_raisef(L, ERROR_ARGUMENT, "%d is no status of an answer", status);
	return status;
}

static int request_respond(lua_State *L)
{
	struct lua_request *r = luaL_checkudata(L, 1, REQUEST);
	struct net_request *req = check(L);
	int status = check_status(L);
	size_t len;
	const char *body = luaL_optlstring(L, 3, "", &len);
	struct net_header headers[HEADERS_MAX];
	size_t n = read_headers(L, 4, headers);
	r->req = NULL;
	net_respond(req, status, headers, n, body, len);
	return 0;
}

static int request_stream(lua_State *L)
{
	struct lua_request *r = luaL_checkudata(L, 1, REQUEST);
	struct net_request *req = check(L);
	int status = check_status(L);
	struct net_header headers[HEADERS_MAX];
	if (status == 204 || status == 304)
		return lua_error_raisef(L, ERROR_ARGUMENT, "an answer of status %d has no body to stream", status);
	if (!lua_isnoneornil(L, 4))
		luaL_checktype(L, 4, LUA_TFUNCTION);
	lua_settop(L, 4);
	size_t n = read_headers(L, 3, headers);
	net_push_stream(L, req, status, headers, n, 4);
	r->req = NULL;
	lua_pushvalue(L, -1);
	lua_setiuservalue(L, 1, 2);
	return 1;
}

static int request_index(lua_State *L)
{
	const char *key = luaL_checkstring(L, 2);
	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(1)) == LUA_TFUNCTION)
		return 1;
	struct net_request *req = check(L);
	size_t len;
	const char *body;
	switch (key[0]) {
	case 'b':
		if (strcmp(key, "body") != 0)
			return 0;
		body = net_request_body(req, &len);
		lua_pushlstring(L, body, len);
		return 1;
	case 'm':
		if (strcmp(key, "method") != 0)
			return 0;
		lua_pushstring(L, net_request_method(req));
		return 1;
	case 'p':
		if (strcmp(key, "path") == 0)
			push_decoded(L, path_of(req), strcspn(path_of(req), "?"), false);
		else if (strcmp(key, "peer") == 0)
			lua_pushstring(L, net_request_peer(req));
		else
			return 0;
		return 1;
	case 'q':
		return strcmp(key, "query") == 0 ? push_query(L, req) : 0;
	case 'u':
		if (strcmp(key, "url") != 0)
			return 0;
		lua_pushstring(L, net_request_url(req));
		return 1;
	default:
		return 0;
	}
}

static int request_gc(lua_State *L)
{
	struct lua_request *r = luaL_checkudata(L, 1, REQUEST);
	if (r->req)
		net_request_free(r->req);
	r->req = NULL;
	return 0;
}

static int status_of(const struct error *e)
{
	switch (e->code) {
	case ERROR_UNAUTHORIZED:
	case ERROR_LOGIN:
		return 401;
	case ERROR_NOT_FOUND:
	case ERROR_NO_THRED:
		return 404;
	default:
		return e->code >= 4000 && e->code < 5000 ? 400 : 500;
	}
}

/* A handler that ended without an answer: its error is the answer. If nobody was told, or only that the server is at
 * fault, it is the task's error too. A stream of its own is cut. */
static int answered(lua_State *L, int status, lua_KContext context)
{
	(void)context;
	struct lua_request *r = lua_touserdata(L, 3);
	struct net_request *req = r->req;
	r->req = NULL;
	if (status == LUA_OK || status == LUA_YIELD) {
		if (req)
			net_respond_error(req, 500, ERROR_SERVER, "the request was not answered");
		return 0;
	}
	struct error e;
	if (lua_getiuservalue(L, 3, 2) == LUA_TUSERDATA)
		net_cut_stream(L);
	lua_pop(L, 1);
	lua_error_from(L, -1, &e);
	int code = lua_error_is(L, -1) ? status_of(&e) : 500;
	if (req)
		net_respond_error(req, code, code == 500 ? ERROR_SERVER : e.code,
				  code == 500 ? "server error" : e.message);
	return req && code != 500 ? 0 : lua_error(L);
}

static int handle(lua_State *L)
{
	return net_handle(L, answered);
}

void net_request_arrived(lua_State *L, int handler, struct net_request *req)
{
	lua_pushcfunction(L, handle);
	lua_rawgeti(L, LUA_REGISTRYINDEX, handler);
	net_push_request(L, req);
	task_start(L, 2);
}

void net_lua_request(lua_State *L)
{
	luaL_newmetatable(L, REQUEST);
	lua_pushcfunction(L, request_gc);
	lua_setfield(L, -2, "__gc");
	lua_createtable(L, 0, 3);
	lua_pushcfunction(L, request_header);
	lua_setfield(L, -2, "header");
	lua_pushcfunction(L, request_respond);
	lua_setfield(L, -2, "respond");
	lua_pushcfunction(L, request_stream);
	lua_setfield(L, -2, "stream");
	lua_pushcclosure(L, request_index, 1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
}
