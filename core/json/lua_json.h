/* SPDX-License-Identifier: MIT
 *
 * The Lua module core.json (docs/interfaces.md), and what other C files need of it. The thread of the lua_State only.
 *
 * A doc is a read-only userdata over checked bytes, a view one over a live Lua table. To scripts both are tables: what
 * stands in for `type`, `next`, `rawget`, `rawlen`, `table.*` asks json_lua_is_face first and then goes through here.
 * Whatever pushes may raise a memory error; nothing else raises unless it says so.
 */
#ifndef SRVTHREDS_LUA_JSON_H
#define SRVTHREDS_LUA_JSON_H

#include <lua.h>

#include "json/json.h"

int luaopen_core_json(lua_State *L);

/* `tick` is called now and then while a value is copied or decoded; it may raise. */
void json_lua_on_work(lua_State *L, void (*tick)(lua_State *L));

enum json_lua_kind {
	JSON_LUA_NONE, /* nil, a function, a thread, a foreign userdata */
	JSON_LUA_NULL,
	JSON_LUA_BOOLEAN,
	JSON_LUA_NUMBER,
	JSON_LUA_STRING,
	JSON_LUA_ARRAY,
	JSON_LUA_OBJECT,
};

/* Of any value; a plain table is an array if it has the mark or #t > 0. */
enum json_lua_kind json_lua_kind(lua_State *L, int index);
bool json_lua_is_doc(lua_State *L, int index);
bool json_lua_is_face(lua_State *L, int index); /* a doc or a view */

void json_lua_push_null(lua_State *L);
/* Gives the table on top the array mark. */
void json_lua_mark_array(lua_State *L);

/* Pushes a doc (a scalar text: the value) over a copy of the bytes, or nothing and -1 with `e`. `limits` may be NULL. */
int json_lua_push_doc(lua_State *L, const char *bytes, size_t len, const struct json_limits *limits, struct error *e);
/* The same over the Lua string at `index`, which is shared. */
int json_lua_push_doc_of(lua_State *L, int index, const struct json_limits *limits, struct error *e);
/* Pushes plain Lua values, or nothing and -1 with `e`. The bytes must not be a Lua string that may be collected. */
int json_lua_push_value(lua_State *L, const char *bytes, size_t len, const struct json_limits *limits, struct error *e);
/* The members of a JSON object into the table at `table`, without metamethods; -1 with `e`, and nothing set. Likewise. */
int json_lua_set_members(lua_State *L, int table, const char *bytes, size_t len, struct error *e);
/* Pushes a string that comes again and again (keys, ids, hashes of up to 71 bytes): from a small cache. */
void json_lua_push_word(lua_State *L, const char *text, size_t len);

/* Appends the canonical form of any value; -1 with `e` = 4200 and the path, `out` as before. Allocates nothing in Lua. */
int json_lua_encode(lua_State *L, int index, struct buf *out, struct error *e);

/* The canonical bytes of a doc if they stand ready (borrowed while the doc lives), else NULL. */
const char *json_lua_bytes(lua_State *L, int index, size_t *len);

/* Of a doc: the string at this path of keys, NULL-terminated; borrowed while the doc lives. 1; 0: nothing is there;
 * -1: something else is, or a text with escapes. */
int json_lua_text_at(lua_State *L, int index, const char *const *path, const char **text, size_t *len);
/* The same for the bytes of any value: 1 or 0. */
int json_lua_bytes_at(lua_State *L, int index, const char *const *path, const char **bytes, size_t *len);
/* A doc of a class, whatever that is? */
bool json_lua_has_class(lua_State *L, int index);
/* Gives the doc on top the class at `index`; not to children of a doc. */
void json_lua_set_class(lua_State *L, int index);

/* Of docs and views only, like their Lua namesakes without metamethods: arrays by index, objects in byte order of keys. */
int json_lua_next(lua_State *L, int index); /* pops a key, pushes the next pair; 0 = end; raises at a bad key */
void json_lua_get(lua_State *L, int index); /* pops a key, pushes the value or nil */
void json_lua_geti(lua_State *L, int index, lua_Integer i); /* pushes the value or nil */
void json_lua_getfield(lua_State *L, int index, const char *key, size_t len);
lua_Integer json_lua_len(lua_State *L, int index);
/* Raises the error of who writes to the doc or view at `index`, under the key at `key`. */
int json_lua_refuse_write(lua_State *L, int index, int key);

#endif
