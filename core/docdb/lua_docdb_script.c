/* SPDX-License-Identifier: MIT
 *
 * A script that runs: a task that calls fn(script, call) of db:scripts; its result or error ends the script.
 */
#include <lauxlib.h>
#include <stdlib.h>

#include "base/lua_error.h"
#include "docdb/lua_wait.h"
#include "json/lua_json.h"

#define TYPE "core.docdb.script"

struct lua_docdb_script {
	struct docdb_script *script; /* NULL: ended */
	struct lua_docdb *owner;     /* user value 1 holds it */
	struct wait *wait;           /* for what it asked, or NULL */
};

enum { FUNCTION = 1, SCRIPT, CALL };

static void end_with(struct lua_docdb_script *r, struct bytes result, const struct error *e)
{
	struct docdb_script *script = r->script;
	r->script = NULL;
	if (script)
		docdb_script_end(script, result, e);
}

static int ended(lua_State *L, int status, lua_KContext ctx)
{
	struct lua_docdb_script *r = lua_touserdata(L, SCRIPT);
	struct buf result = {0};
	struct error e;
	(void)ctx;
	bool failed = status != LUA_OK && status != LUA_YIELD;
	if (failed)
		lua_error_from(L, -1, &e);
	else
		failed = json_lua_encode(L, -1, &result, &e) != 0;
	end_with(r, (struct bytes){result.data, result.len}, failed ? &e : NULL);
	buf_free(&result);
	return 0;
}

static int run_script(lua_State *L)
{
	lua_pushvalue(L, FUNCTION);
	lua_pushvalue(L, SCRIPT);
	lua_pushvalue(L, CALL);
	return ended(L, lua_pcallk(L, 2, 1, 0, 0, ended), 0);
}

/* On top; -1 with `e`. */
static int push_call(lua_State *L, const struct docdb_script_call *call, struct error *e)
{
	const struct json_limits limits = {.depth = JSON_DEPTH_MAX, .size = JSON_SIZE_MAX};
	lua_createtable(L, 0, 4);
	lua_pushlstring(L, call->script.data, call->script.len);
	lua_setfield(L, -2, "script");
	lua_pushinteger(L, call->now);
	lua_setfield(L, -2, "now");
	lua_pushinteger(L, (lua_Integer)call->seed);
	lua_setfield(L, -2, "seed");
	if (json_lua_push_doc(L, call->args.data, call->args.len, &limits, e))
		return -1;
	lua_setfield(L, -2, "args");
	return 0;
}

void lua_docdb_start(void *arg, struct docdb_script *script, const struct docdb_script_call *call)
{
	struct lua_docdb *o = arg;
	lua_State *L = o->L;
	const int top = lua_gettop(L);
	struct error e;
	luaL_checkstack(L, 8, "no room for a script");
	lua_pushcfunction(L, run_script);
	lua_rawgetp(L, LUA_REGISTRYINDEX, o);
	lua_getiuservalue(L, -1, LUA_DOCDB_SCRIPTS);
	struct lua_docdb_script *r = lua_newuserdatauv(L, sizeof *r, 1);
	*r = (struct lua_docdb_script){script, o, NULL};
	luaL_setmetatable(L, TYPE);
	lua_rotate(L, -3, -1); /* function, script, database */
	lua_setiuservalue(L, -2, 1);
	if (push_call(L, call, &e)) {
		end_with(r, (struct bytes){NULL, 0}, &e);
		lua_settop(L, top);
		return;
	}
	task_start(L, CALL);
}

static void answered(void *arg, const struct docdb_answer *answer)
{
	struct lua_docdb_script *r = arg;
	struct wait *w = r->wait;
	r->wait = NULL;
	lua_docdb_answered(w, answer);
}

/* script:run(tasks): as db:run, within the transaction. */
static int l_run(lua_State *L)
{
	struct lua_docdb_script *r = luaL_checkudata(L, 1, TYPE);
	struct docdb_failure failure;
	task_check(L);
	if (!r->script)
		return lua_error_raisef(L, ERROR_ARGUMENT, "the script has ended: nothing can be done in its name");
	const struct bytes tasks = lua_docdb_tasks(L, r->owner, 2);
	r->wait = lua_docdb_wait(r->owner);
	if (docdb_script_run(r->script, tasks, answered, r, &failure)) {
		struct wait *w = r->wait;
		r->wait = NULL;
		return lua_docdb_refused(L, w, &failure);
	}
	return lua_docdb_suspend(L, r->wait);
}

/* The state closes: its task, which goes later, frees the wait if it is there still. */
static int l_gc(lua_State *L)
{
	struct lua_docdb_script *r = luaL_checkudata(L, 1, TYPE);
	const struct error e = {.code = ERROR_SERVER, .message = "the script was ended: the process stops"};
	if (r->wait && r->wait->cancelled)
		free(r->wait);
	else if (r->wait)
		r->wait->over = true;
	r->wait = NULL;
	end_with(r, (struct bytes){NULL, 0}, &e);
	return 0;
}

void lua_docdb_script_type(lua_State *L)
{
	static const luaL_Reg methods[] = {{"run", l_run}, {NULL, NULL}};
	if (luaL_newmetatable(L, TYPE)) {
		luaL_newlib(L, methods);
		lua_setfield(L, -2, "__index");
		lua_pushcfunction(L, l_gc);
		lua_setfield(L, -2, "__gc");
		lua_pushboolean(L, 0);
		lua_setfield(L, -2, "__metatable");
	}
	lua_pop(L, 1);
}
