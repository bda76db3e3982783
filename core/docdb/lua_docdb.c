/* SPDX-License-Identifier: MIT */
#include "docdb/lua_docdb.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/lua_error.h"
#include "docdb/lua_wait.h"
#include "json/lua_json.h"

#define TYPE "core.docdb"

enum { NAMES = 64 };

static struct lua_docdb *check(lua_State *L)
{
	struct lua_docdb *o = luaL_checkudata(L, 1, TYPE);
	if (!o->db)
		lua_error_raisef(L, ERROR_SERVER, "the document database is closed");
	return o;
}

static void set_int(lua_State *L, const char *key, int64_t n)
{
	lua_pushinteger(L, n);
	lua_setfield(L, -2, key);
}

/* The error table, with which task it was: item and inner count from 0, as paths in messages do. */
static void push_failure(lua_State *L, const struct docdb_failure *f, size_t done)
{
	lua_error_push(L, &f->error);
	set_int(L, "done", (int64_t)done);
	if (f->item >= 0)
		set_int(L, "item", f->item);
	if (f->item >= 0 && f->inner >= 0)
		set_int(L, "inner", f->inner);
	if (f->name[0]) {
		lua_pushstring(L, f->name);
		lua_setfield(L, -2, "name");
	}
}

static int push_answer(lua_State *L, void *arg)
{
	const struct docdb_answer *a = ((struct wait *)arg)->answer;
	const struct json_limits limits = {.depth = JSON_DEPTH_MAX, .size = JSON_SIZE_MAX};
	struct error e;
	if (!a->result.data) {
		lua_pushnil(L);
		push_failure(L, a->failure, 0);
		return 2;
	}
	if (json_lua_push_doc(L, a->result.data, a->result.len, &limits, &e)) {
		lua_error_push(L, &e);
		return -1;
	}
	if (!a->failure)
		return 1;
	push_failure(L, a->failure, a->done);
	return 2;
}

static int push_indexed(lua_State *L, void *arg)
{
	const struct docdb_answer *a = ((struct wait *)arg)->answer;
	if (!a->failure)
		return 0;
	push_failure(L, a->failure, 0);
	return -1;
}

static void cancel(void *arg)
{
	struct wait *w = arg;
	if (w->over)
		free(w);
	else
		w->cancelled = true;
}

static void wake(struct wait *w, const struct docdb_answer *answer, int (*push)(lua_State *L, void *arg))
{
	if (!w->cancelled && w->owner->dying) {
		w->over = true; /* the task's own end frees it */
		return;
	}
	w->answer = answer;
	if (!w->cancelled)
		task_wake(w->task, push, w);
	free(w);
}

void lua_docdb_answered(void *arg, const struct docdb_answer *answer)
{
	wake(arg, answer, push_answer);
}

struct wait *lua_docdb_wait(struct lua_docdb *owner)
{
	struct wait *w = xcalloc(1, sizeof *w);
	w->owner = owner;
	return w;
}

int lua_docdb_suspend(lua_State *L, struct wait *w)
{
	w->task = task_prepare(L, cancel, w);
	return task_suspend(L);
}

int lua_docdb_refused(lua_State *L, struct wait *w, const struct docdb_failure *failure)
{
	free(w);
	lua_pushnil(L);
	push_failure(L, failure, 0);
	return 2;
}

static void indexed(void *arg, const struct docdb_answer *answer)
{
	wake(arg, answer, push_indexed);
}

static struct bytes text_field(lua_State *L, int table, const char *key)
{
	struct bytes t = {NULL, 0};
	if (lua_istable(L, table)) {
		if (lua_getfield(L, table, key) == LUA_TSTRING)
			t.data = lua_tolstring(L, -1, &t.len);
		lua_pop(L, 1); /* the table holds it */
	}
	return t;
}

static int64_t int_field(lua_State *L, int table, const char *key)
{
	int64_t n = 0;
	if (lua_istable(L, table)) {
		lua_getfield(L, table, key);
		n = lua_tointeger(L, -1);
		lua_pop(L, 1);
	}
	return n;
}

struct bytes lua_docdb_tasks(lua_State *L, struct lua_docdb *o, int index)
{
	struct bytes t;
	struct error e;
	if (lua_type(L, index) == LUA_TSTRING) {
		t.data = lua_tolstring(L, index, &t.len);
		return t;
	}
	luaL_checkany(L, index);
	t.data = json_lua_bytes(L, index, &t.len);
	if (t.data)
		return t;
	buf_clear(&o->tasks);
	if (json_lua_encode(L, index, &o->tasks, &e))
		lua_error_raise(L, &e);
	return (struct bytes){o->tasks.data, o->tasks.len};
}

static int l_run(lua_State *L)
{
	struct lua_docdb *o = check(L);
	struct docdb_failure failure;
	task_check(L);
	const struct docdb_request request = {.tasks = lua_docdb_tasks(L, o, 2),
					      .mark = text_field(L, 3, "mark"),
					      .timeout_ms = int_field(L, 3, "timeout")};
	struct wait *w = lua_docdb_wait(o);
	if (docdb_run(o->db, &request, lua_docdb_answered, w, &failure))
		return lua_docdb_refused(L, w, &failure);
	return lua_docdb_suspend(L, w);
}

static int l_index(lua_State *L)
{
	struct lua_docdb *o = check(L);
	struct docdb_failure failure;
	struct bytes type, field;
	luaL_checktype(L, 2, LUA_TTABLE);
	task_check(L);
	type = text_field(L, 2, "type");
	field = text_field(L, 2, "field");
	struct wait *w = lua_docdb_wait(o);
	if (docdb_index(o->db, text_field(L, 2, "database"), type, field, indexed, w, &failure)) {
		free(w);
		return lua_error_raise(L, &failure.error);
	}
	return lua_docdb_suspend(L, w);
}

/* db:scripts(names, fn) */
static int l_scripts(lua_State *L)
{
	struct lua_docdb *o = check(L);
	luaL_checktype(L, 2, LUA_TTABLE);
	luaL_checktype(L, 3, LUA_TFUNCTION);
	const lua_Integer count = luaL_len(L, 2);
	const char **names = lua_newuserdatauv(L, (size_t)count * sizeof *names + 1, 0);
	for (lua_Integer i = 0; i < count; i++) {
		if (lua_geti(L, 2, i + 1) != LUA_TSTRING)
			return lua_error_raisef(L, ERROR_ARGUMENT, "db:scripts takes a list of names");
		names[i] = lua_tostring(L, -1); /* the list holds it */
		lua_pop(L, 1);
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
	o->L = lua_tothread(L, -1);
	lua_pushvalue(L, 3);
	lua_setiuservalue(L, 1, LUA_DOCDB_SCRIPTS);
	lua_pushvalue(L, 1); /* a call from the loop finds the function through it */
	lua_rawsetp(L, LUA_REGISTRYINDEX, o);
	docdb_scripts(o->db, names, (size_t)count, lua_docdb_start, o);
	return 0;
}

static int l_ready(lua_State *L)
{
	struct lua_docdb *o = luaL_checkudata(L, 1, TYPE);
	struct error reason = {.code = ERROR_SERVER, .message = "the document database is closed"};
	bool ready = o->db && docdb_ready(o->db, &reason);
	lua_pushboolean(L, ready);
	if (ready)
		return 1;
	lua_pushstring(L, reason.message);
	return 2;
}

static int l_close(lua_State *L)
{
	struct lua_docdb *o = luaL_checkudata(L, 1, TYPE);
	struct docdb *db = o->db;
	o->db = NULL;
	if (db)
		docdb_close(db);
	if (o->L) {
		lua_pushnil(L);
		lua_rawsetp(L, LUA_REGISTRYINDEX, o);
	}
	return 0;
}

static int l_gc(lua_State *L)
{
	struct lua_docdb *o = luaL_checkudata(L, 1, TYPE);
	o->dying = true;
	buf_free(&o->tasks);
	return l_close(L);
}

static size_t read_hosts(lua_State *L, struct docdb_host *hosts)
{
	size_t count = 0;
	if (lua_getfield(L, 1, "hosts") == LUA_TTABLE)
		for (; count < NAMES && lua_geti(L, -1, (lua_Integer)count + 1) == LUA_TTABLE; lua_pop(L, 1), count++) {
			hosts[count].name = text_field(L, lua_gettop(L), "name").data;
			hosts[count].url = text_field(L, lua_gettop(L), "url").data;
			if (!hosts[count].name || !hosts[count].url)
				lua_error_raisef(L, ERROR_MISSING, "a host of docdb.open needs name and url");
		}
	lua_settop(L, 1);
	return count;
}

static size_t read_names(lua_State *L, const char **names)
{
	size_t count = 0;
	if (lua_getfield(L, 1, "databases") == LUA_TTABLE)
		for (; count < NAMES && lua_geti(L, -1, (lua_Integer)count + 1) == LUA_TSTRING; lua_pop(L, 1))
			names[count++] = lua_tostring(L, -1);
	lua_settop(L, 1);
	return count;
}

static void push_class(lua_State *L)
{
	static const luaL_Reg methods[] = {{"run", l_run},     {"index", l_index}, {"scripts", l_scripts},
					   {"ready", l_ready}, {"close", l_close}, {NULL, NULL}};
	if (!luaL_newmetatable(L, TYPE))
		return;
	luaL_newlib(L, methods);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, l_gc);
	lua_setfield(L, -2, "__gc");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
}

int lua_docdb_open(lua_State *L, const struct docdb_options *options)
{
	struct error e;
	struct lua_docdb *o = lua_newuserdatauv(L, sizeof *o, 1);
	*o = (struct lua_docdb){0};
	push_class(L);
	lua_setmetatable(L, -2);
	o->db = docdb_open(task_runtime(L), options, &e);
	return o->db ? 1 : lua_error_raise(L, &e);
}

static int l_open(lua_State *L)
{
	struct docdb_host hosts[NAMES];
	const char *names[NAMES];
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	const struct docdb_options options = {.hosts = hosts,
					      .host_count = read_hosts(L, hosts),
					      .databases = names,
					      .database_count = read_names(L, names),
					      .timeout_ms = int_field(L, 1, "timeout"),
					      .mark_ms = int_field(L, 1, "keep"),
					      .folder = text_field(L, 1, "folder").data,
					      .result_max = (size_t)int_field(L, 1, "result_max")};
	return lua_docdb_open(L, &options);
}

int luaopen_core_docdb(lua_State *L)
{
	static const luaL_Reg functions[] = {{"open", l_open}, {NULL, NULL}};
	lua_docdb_script_type(L);
	luaL_newlib(L, functions);
	return 1;
}
