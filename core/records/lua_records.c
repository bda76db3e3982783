/* SPDX-License-Identifier: MIT */
#include "records/lua_records.h"

#include <lauxlib.h>

#include "docdb/lua_docdb.h"
#include "records/fields.h"
#include "records/records.h"
#include "store/lua_face.h"

/* (store, {timeout=, result_max=}?) -> a core.docdb of the system's own collections */
static int l_open(lua_State *L)
{
	struct store *store = lua_store_of(L, 1);
	lua_settop(L, 2);
	if (lua_isnil(L, 2))
		lua_newtable(L);
	luaL_checktype(L, -1, LUA_TTABLE);
	lua_getfield(L, -1, "timeout");
	lua_getfield(L, -2, "result_max");
	struct docdb_options options = {.timeout_ms = lua_tointeger(L, -2), .result_max = (size_t)lua_tointeger(L, -1)};
	records_options(&options);
	options.view = records_view(store);
	return lua_docdb_open(L, &options);
}

static void push_list(lua_State *L, const char *const *names)
{
	lua_newtable(L);
	for (lua_Integer i = 0; names[i]; i++) {
		lua_pushstring(L, strcmp(names[i], "_id") == 0 ? "id" : names[i]);
		lua_rawseti(L, -2, i + 1);
	}
}

/* () -> name -> {fields = {…}, keys = {…}, order = field or nil} */
static int l_collections(lua_State *L)
{
	size_t count;
	lua_newtable(L);
	for (int table = 0; table < SCAN_TABLES; table++) {
		const struct view_collection *c = records_collection(table);
		const struct record_field *fields = record_fields((enum scan_table)table, &count);
		lua_newtable(L);
		lua_newtable(L);
		for (size_t i = 0; i < count; i++) {
			lua_pushstring(L, i ? fields[i].name : "id");
			lua_rawseti(L, -2, (lua_Integer)i + 1);
		}
		lua_setfield(L, -2, "fields");
		push_list(L, c->keys);
		lua_setfield(L, -2, "keys");
		lua_pushstring(L, c->order);
		lua_setfield(L, -2, "order");
		lua_setfield(L, -2, c->name);
	}
	return 1;
}

int luaopen_core_records(lua_State *L)
{
	static const luaL_Reg functions[] = {{"open", l_open}, {"collections", l_collections}, {NULL, NULL}};
	luaL_newlib(L, functions);
	lua_pushliteral(L, RECORDS_DATABASE);
	lua_setfield(L, -2, "database");
	return 1;
}
