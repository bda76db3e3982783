/* SPDX-License-Identifier: MIT
 *
 * What the Lua files of json/ share and nobody else includes.
 */
#ifndef SRVTHREDS_JSON_LUA_PART_H
#define SRVTHREDS_JSON_LUA_PART_H

#include <lauxlib.h>

#include "base/lua_error.h"
#include "json/lua_json.h"
#include "json/part.h"

/* One pair or element that an encoder must look at again, in byte order of the keys. */
struct json_item {
	uint64_t prefix; /* the first 8 bytes of the key, big-endian: most comparisons end there */
	const char *key; /* borrowed from the table */
	size_t key_len;
	int slot; /* where its value is on the Lua stack; 0 = scalar below */
	int type; /* LUA_T...; integers are -LUA_TNUMBER */
	union {
		lua_Integer integer;
		lua_Number number;
		const char *text;
	} value;
	size_t text_len;
};

/* Memory that outlives a call so that the next one needs none. A userdata, so that an error can't lose it. */
struct json_scratch {
	struct json_tape tape;
	struct buf out;
	struct json_item *items;
	size_t items_cap;
};

enum { KEYS = 512, KEY_SIZE = 71, JSON_ENCODE_MAX = 64 << 20 };

/* One per Lua state: upvalue 1 of all functions here, and in the registry. */
struct json_state {
	int doc_meta, view_meta, array_meta, class_meta, scratch_meta, key_table, scratch_ref; /* registry references */
	const void *doc_pointer, *view_pointer, *array_pointer, *class_pointer;
	void (*tick)(lua_State *L); /* or NULL; may raise */
	struct json_scratch *scratch;
	bool busy; /* also after an error: then the next user makes a new one */
	struct {
		unsigned char len;
		char text[KEY_SIZE];
	} keys[KEYS]; /* what the strings in key_table are, so that known keys need no interning */
};

struct json_state *json_state(lua_State *L);
static inline struct json_state *json_upvalue(lua_State *L)
{
	return lua_touserdata(L, lua_upvalueindex(1));
}

/* Pushes the scratch memory; whoever took it gives it back, unless it raises. */
struct json_scratch *json_take(lua_State *L, struct json_state *st);
void json_give(struct json_state *st, struct json_scratch *scratch);

/* Its first word is its metatable's address, which tells it from any other userdata. */
struct json_doc {
	const void *meta;
	const struct json_tree *tree;
	uint32_t node;
	uint32_t key;   /* cursor: the key node (object) or element (array) that was found last, 0 = none */
	uint32_t index; /* its number, from 0 */
	bool root;      /* user values: bytes (or the doc that keeps them), class, context; else 1: its root */
};

struct json_view {
	const void *meta, *table; /* user values: table, parent view, key in the parent, keys in order */
	lua_Integer at;           /* cursor into the keys */
};

struct json_doc *json_to_doc(lua_State *L, const struct json_state *st, int index);
struct json_view *json_to_view(lua_State *L, const struct json_state *st, int index);

void json_push_key(lua_State *L, struct json_state *st, int cache, const char *text, size_t len);
void json_push_text(lua_State *L, const struct json_tree *tree, uint32_t node);
void json_push_scalar(lua_State *L, const struct json_tree *tree, uint32_t node);
/* Scalars as values, containers as new plain tables. The tree must stay; the stack is checked. */
void json_push_plain(lua_State *L, struct json_state *st, const struct json_tree *tree, uint32_t node);
/* A node of the doc at `index`: scalars as values, containers as docs. */
void json_push_child(lua_State *L, struct json_state *st, int index, uint32_t node);
int json_make_doc(lua_State *L, struct json_state *st, int text, const struct json_limits *limits, struct error *e);
/* A value from inside the view at `index`, in its place on top: a table becomes a view. `key` names it. */
void json_wrap(lua_State *L, struct json_state *st, int index, int key);

int json_doc_refuse(lua_State *L, int index, int key);
int json_view_refuse(lua_State *L, int index, int key);
/* Pushes the raw value under the key at `key`. */
void json_doc_get(lua_State *L, struct json_state *st, int index, int key);
void json_view_get(lua_State *L, struct json_state *st, int index, int key);
int json_doc_next(lua_State *L, struct json_state *st, int index);
int json_view_next(lua_State *L, struct json_state *st, int index);

/* Path such as $.values.items[3].x, cut with "..." when it is too long. */
struct json_path {
	char text[200];
	size_t len;
	bool full;
};
void json_path_begin(struct json_path *path);
void json_path_key(struct json_path *path, const char *key, size_t len);
void json_path_index(struct json_path *path, lua_Integer i);
/* Fails beyond `max` bytes, and where it is too deep with `depth` levels around it. */
int json_encode_with(lua_State *L, const struct json_state *st, struct json_scratch *scratch, int index, size_t max,
		     size_t depth, struct buf *out, struct error *e);
int json_items(lua_State *L, struct json_scratch *scratch, size_t base, int index, bool containers_only);

/* The parts of the module and of the state. */
void json_open_doc(lua_State *L, struct json_state *st, int state);
void json_open_view(lua_State *L, struct json_state *st, int state);
const luaL_Reg *json_doc_functions(void);
const luaL_Reg *json_view_functions(void);
const luaL_Reg *json_deep_functions(void);
/* A metatable on top with these functions, closed to scripts; its registry reference; popped. */
int json_metatable(lua_State *L, const char *name, const luaL_Reg *functions, int state, const void **pointer);
/* limits = {depth=, size=} at `index`, or nothing there. Raises 4200. */
void json_check_limits(lua_State *L, int index, struct json_limits *limits);

#endif
