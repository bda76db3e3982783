/* SPDX-License-Identifier: MIT
 *
 * Docs: a root userdata holds the index of the bytes, children point into it and keep it alive by a user value.
 */
#include <string.h>

#include "json/lua_part.h"

struct root {
	struct json_doc doc;
	struct json_tree tree;
	struct json_node nodes[];
};

enum { VALUE_BYTES = 1, VALUE_CLASS = 2, VALUE_CONTEXT = 3 };

struct json_doc *json_to_doc(lua_State *L, const struct json_state *st, int index)
{
	if (lua_type(L, index) != LUA_TUSERDATA || lua_rawlen(L, index) < sizeof(struct json_doc))
		return NULL;
	struct json_doc *doc = lua_touserdata(L, index);
	return doc->meta == st->doc_pointer ? doc : NULL;
}

static struct json_doc *check_doc(lua_State *L, int index)
{
	struct json_doc *doc = json_to_doc(L, json_upvalue(L), index);
	if (!doc)
		lua_error_raisef(L, ERROR_ARGUMENT, "a JSON doc expected, got %s", luaL_typename(L, index));
	return doc;
}

/* Pushes the root of the doc at `index`. */
static void push_root(lua_State *L, int index)
{
	const struct json_doc *doc = lua_touserdata(L, index);
	if (doc->root)
		lua_pushvalue(L, index);
	else
		lua_getiuservalue(L, index, 1);
}

static struct json_doc *new_doc(lua_State *L, const struct json_state *st, size_t size, int values)
{
	struct json_doc *doc = lua_newuserdatauv(L, size, values);
	memset(doc, 0, sizeof *doc);
	doc->meta = st->doc_pointer;
	lua_rawgeti(L, LUA_REGISTRYINDEX, st->doc_meta);
	lua_setmetatable(L, -2);
	return doc;
}

void json_push_child(lua_State *L, struct json_state *st, int index, uint32_t node)
{
	const struct json_doc *from = lua_touserdata(L, index);
	if (from->tree->nodes[node].kind < JSON_ARRAY) {
		json_push_scalar(L, from->tree, node);
		return;
	}
	index = lua_absindex(L, index);
	struct json_doc *doc = new_doc(L, st, sizeof *doc, 1);
	if (from->root)
		lua_pushvalue(L, index);
	else
		lua_getiuservalue(L, index, 1);
	lua_setiuservalue(L, -2, 1);
	doc->tree = from->tree;
	doc->node = node;
}

int json_make_doc(lua_State *L, struct json_state *st, int text, const struct json_limits *limits, struct error *e)
{
	size_t len;
	const char *bytes = lua_tolstring(L, text, &len);
	text = lua_absindex(L, text);
	struct json_scratch *scratch = json_take(L, st);
	int rc = json_parse(&scratch->tape, bytes, len, limits, e);
	const struct json_tree *tree = &scratch->tape.tree;
	if (rc == 0 && tree->nodes->kind < JSON_ARRAY) {
		json_push_plain(L, st, tree, 0);
	} else if (rc == 0) {
		struct root *root = (struct root *)new_doc(L, st, sizeof *root + tree->count * sizeof *root->nodes, 3);
		root->tree = *tree;
		root->tree.nodes = root->nodes;
		memcpy(root->nodes, tree->nodes, tree->count * sizeof *root->nodes);
		root->doc.tree = &root->tree;
		root->doc.root = true;
		lua_pushvalue(L, text);
		lua_setiuservalue(L, -2, VALUE_BYTES);
	}
	lua_remove(L, rc ? -1 : -2);
	json_give(st, scratch);
	return rc;
}

int json_lua_push_doc_of(lua_State *L, int index, const struct json_limits *limits, struct error *e)
{
	return json_make_doc(L, json_state(L), lua_absindex(L, index), limits, e);
}

int json_lua_push_doc(lua_State *L, const char *bytes, size_t len, const struct json_limits *limits, struct error *e)
{
	lua_pushlstring(L, bytes, len);
	int rc = json_make_doc(L, json_state(L), lua_gettop(L), limits, e);
	lua_remove(L, rc ? -1 : -2);
	return rc;
}

const char *json_lua_bytes(lua_State *L, int index, size_t *len)
{
	const struct json_doc *doc = json_to_doc(L, json_state(L), index);
	if (!doc || !doc->tree->canonical)
		return NULL;
	const struct json_node *n = &doc->tree->nodes[doc->node];
	*len = n->end - n->start;
	return doc->tree->bytes + n->start;
}

/* The node at this path; UINT32_MAX: none. */
static uint32_t node_at(const struct json_doc *doc, const char *const *path)
{
	uint32_t node = doc->node;
	for (; *path; path++) {
		node = doc->tree->nodes[node].kind == JSON_OBJECT ? json_find(doc->tree, node, *path, strlen(*path))
								  : 0;
		if (!node)
			return UINT32_MAX;
	}
	return node;
}

int json_lua_text_at(lua_State *L, int index, const char *const *path, const char **text, size_t *len)
{
	const struct json_doc *doc = lua_touserdata(L, index);
	uint32_t node = node_at(doc, path);
	if (node == UINT32_MAX)
		return 0;
	const struct json_node *n = &doc->tree->nodes[node];
	if (n->kind != JSON_STRING || n->flags & JSON_ESCAPED)
		return -1;
	*text = json_text(doc->tree, node, len);
	return 1;
}

int json_lua_bytes_at(lua_State *L, int index, const char *const *path, const char **bytes, size_t *len)
{
	const struct json_doc *doc = lua_touserdata(L, index);
	uint32_t node = node_at(doc, path);
	if (node == UINT32_MAX)
		return 0;
	const struct json_node *n = &doc->tree->nodes[node];
	*bytes = doc->tree->bytes + n->start;
	*len = n->end - n->start;
	return 1;
}

bool json_lua_has_class(lua_State *L, int index)
{
	const struct json_doc *doc = json_to_doc(L, json_state(L), index);
	if (!doc || !doc->root)
		return false;
	bool has = lua_getiuservalue(L, index, VALUE_CLASS) == LUA_TTABLE;
	lua_pop(L, 1);
	return has;
}

void json_lua_set_class(lua_State *L, int index)
{
	lua_pushvalue(L, index);
	lua_setiuservalue(L, -2, VALUE_CLASS);
}

/* The node under a key or index (from 1), 0 = none. Moves the cursor, so that loops by index or key don't begin anew. */
static uint32_t find_index(struct json_doc *doc, lua_Integer i)
{
	const struct json_node *nodes = doc->tree->nodes, *n = &nodes[doc->node];
	if (n->kind != JSON_ARRAY || i < 1 || i > (lua_Integer)n->count)
		return 0;
	uint32_t want = (uint32_t)(i - 1), at = doc->node + 1, k = 0;
	if (doc->key && doc->index <= want) {
		at = doc->key;
		k = doc->index;
	}
	for (; k < want; k++)
		at = nodes[at].next;
	doc->key = at;
	doc->index = want;
	return at;
}

static uint32_t find_key(const struct json_doc *doc, const char *key, size_t len)
{
	return doc->tree->nodes[doc->node].kind == JSON_OBJECT ? json_find(doc->tree, doc->node, key, len) : 0;
}

/* The value under the key at `key` is pushed, nil if there is none; names of a class aside. */
void json_doc_get(lua_State *L, struct json_state *st, int index, int key)
{
	struct json_doc *doc = lua_touserdata(L, index);
	uint32_t node = 0;
	if (lua_type(L, key) == LUA_TSTRING) {
		size_t len;
		const char *text = lua_tolstring(L, key, &len);
		node = find_key(doc, text, len);
	} else if (lua_type(L, key) == LUA_TNUMBER) {
		int whole;
		lua_Integer i = lua_tointegerx(L, key, &whole);
		node = whole ? find_index(doc, i) : 0;
	}
	if (node)
		json_push_child(L, st, index, node);
	else
		lua_pushnil(L);
}

/* Follows the list of keys on top from the root doc at `index`; the value in its place. */
static void follow(lua_State *L, struct json_state *st, int index)
{
	const struct json_doc *doc = lua_touserdata(L, index);
	uint32_t node = doc->node;
	lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
	for (lua_Integer i = 1; i <= n; i++) {
		size_t len;
		lua_rawgeti(L, -1, i);
		const char *key = lua_tolstring(L, -1, &len);
		node = doc->tree->nodes[node].kind == JSON_OBJECT ? json_find(doc->tree, node, key, len) : 0;
		lua_pop(L, 1);
		if (!node)
			break;
	}
	lua_pop(L, 1);
	if (node)
		json_push_child(L, st, index, node);
	else
		lua_pushnil(L);
}

static int doc_index(lua_State *L)
{
	struct json_state *st = json_upvalue(L);
	const struct json_doc *doc = lua_touserdata(L, 1);
	if (doc->root && lua_type(L, 2) == LUA_TSTRING && lua_getiuservalue(L, 1, VALUE_CLASS) == LUA_TTABLE) {
		lua_pushvalue(L, 2);
		int type = lua_rawget(L, -2);
		if (type == LUA_TTABLE)
			follow(L, st, 1);
		if (type != LUA_TNIL)
			return 1;
	}
	json_doc_get(L, st, 1, 2);
	return 1;
}

static int doc_len(lua_State *L)
{
	lua_pushinteger(L, json_lua_len(L, 1));
	return 1;
}

static int doc_eq(lua_State *L)
{
	const struct json_doc *a = json_to_doc(L, json_upvalue(L), 1), *b = json_to_doc(L, json_upvalue(L), 2);
	lua_pushboolean(L, a && b && a->tree == b->tree && a->node == b->node);
	return 1;
}

static int doc_tostring(lua_State *L)
{
	const struct json_doc *doc = lua_touserdata(L, 1);
	const struct json_node *n = &doc->tree->nodes[doc->node];
	const char *text = doc->tree->bytes + n->start;
	size_t len = n->end - n->start, cut = 60;
	if (len <= cut) {
		lua_pushlstring(L, text, len);
		return 1;
	}
	while ((text[cut] & 0xC0) == 0x80)
		cut--;
	lua_pushlstring(L, text, cut);
	lua_pushliteral(L, "...");
	lua_concat(L, 2);
	return 1;
}

/* The next key node behind the one at `key` (nil: the first); 0 = the end. */
static uint32_t next_key(lua_State *L, struct json_doc *doc, int key)
{
	const struct json_tree *tree = doc->tree;
	const struct json_node *n = &tree->nodes[doc->node];
	if (lua_isnil(L, key))
		return n->count ? doc->node + 1 : 0;
	size_t len;
	const char *text = lua_type(L, key) == LUA_TSTRING ? lua_tolstring(L, key, &len) : NULL;
	uint32_t at = doc->key;
	if (text && at) {
		const struct json_node *k = &tree->nodes[at];
		if ((k->flags & JSON_ESCAPED) || k->end - k->start - 2 != len ||
		    memcmp(tree->bytes + k->start + 1, text, len) != 0)
			at = 0;
	}
	if (text && !at) {
		uint32_t value = find_key(doc, text, len);
		at = value ? value - 1 : 0;
	}
	if (!text || !at)
		lua_error_raisef(L, ERROR_ARGUMENT, "next: there is no such key in this object");
	at = tree->nodes[at + 1].next;
	return at < n->next ? at : 0;
}

int json_doc_next(lua_State *L, struct json_state *st, int index)
{
	struct json_doc *doc = lua_touserdata(L, index);
	index = lua_absindex(L, index);
	if (doc->tree->nodes[doc->node].kind == JSON_OBJECT) {
		uint32_t key = next_key(L, doc, -1);
		lua_pop(L, 1);
		if (!key)
			return 0;
		doc->key = key;
		json_push_text(L, doc->tree, key);
		json_push_child(L, st, index, key + 1);
		return 1;
	}
	int whole = 1;
	lua_Integer i = lua_isnil(L, -1) ? 0 : lua_tointegerx(L, -1, &whole);
	if (!whole || i < 0 || i > (lua_Integer)doc->tree->nodes[doc->node].count)
		lua_error_raisef(L, ERROR_ARGUMENT, "next: there is no such index in this array");
	lua_pop(L, 1);
	uint32_t node = find_index(doc, i + 1);
	if (!node)
		return 0;
	lua_pushinteger(L, i + 1);
	json_push_child(L, st, index, node);
	return 1;
}

/* The path of a node: at each level the child whose subtree holds it. */
static void doc_path(const struct json_doc *doc, struct json_path *path)
{
	const struct json_node *nodes = doc->tree->nodes;
	uint32_t at = 0;
	json_path_begin(path);
	while (at != doc->node) {
		bool object = nodes[at].kind == JSON_OBJECT;
		lua_Integer i = 1;
		uint32_t child = at + 1 + object;
		while (nodes[child].next <= doc->node) {
			child = nodes[child].next + object;
			i++;
		}
		if (object)
			json_path_key(path, doc->tree->bytes + nodes[child - 1].start + 1,
				      nodes[child - 1].end - nodes[child - 1].start - 2);
		else
			json_path_index(path, i);
		at = child;
	}
}

/* What the root's class calls itself; pushed. */
static const char *push_name(lua_State *L, int index)
{
	push_root(L, index);
	if (lua_getiuservalue(L, -1, VALUE_CLASS) == LUA_TTABLE && lua_rawgeti(L, -1, 1) == LUA_TSTRING)
		return lua_tostring(L, -1);
	return "the event";
}

int json_doc_refuse(lua_State *L, int index, int key)
{
	struct json_path path;
	doc_path(lua_touserdata(L, index), &path);
	size_t len;
	if (lua_type(L, key) == LUA_TSTRING) {
		const char *text = lua_tolstring(L, key, &len);
		json_path_key(&path, text, len);
	} else if (lua_isinteger(L, key)) {
		json_path_index(&path, lua_tointeger(L, key));
	}
	return lua_error_raisef(L, ERROR_ARGUMENT,
				"%s is read-only: %s can't be set; copy it first and change the copy",
				push_name(L, lua_absindex(L, index)), path.text);
}

static int doc_newindex(lua_State *L)
{
	return json_doc_refuse(L, 1, 2);
}

/* The functions of the module. */

static int l_doc(lua_State *L)
{
	struct json_state *st = json_upvalue(L);
	struct json_limits limits = {JSON_DEPTH, JSON_SIZE};
	struct error e;
	if (lua_type(L, 1) != LUA_TSTRING)
		return lua_error_raisef(L, ERROR_ARGUMENT, "JSON bytes expected, got %s", luaL_typename(L, 1));
	lua_settop(L, 3);
	if (!lua_isnil(L, 2)) {
		bool good = lua_getmetatable(L, 2) && lua_topointer(L, -1) == st->class_pointer;
		if (!good)
			return lua_error_raisef(L, ERROR_ARGUMENT, "a class of json.doc_class expected, got %s",
						luaL_typename(L, 2));
	}
	json_check_limits(L, 3, &limits);
	if (json_make_doc(L, st, 1, &limits, &e))
		return lua_error_raise(L, &e);
	if (!lua_isnil(L, 2) && json_to_doc(L, st, -1)) {
		lua_pushvalue(L, 2);
		lua_setiuservalue(L, -2, VALUE_CLASS);
	}
	return 1;
}

/* Another root over the same index; the old one keeps bytes and index alive. */
static int l_with(lua_State *L)
{
	struct json_state *st = json_upvalue(L);
	const struct json_doc *from = check_doc(L, 1);
	lua_settop(L, 2);
	push_root(L, 1);
	struct json_doc *doc = new_doc(L, st, sizeof *doc, 3);
	doc->tree = from->tree;
	doc->node = from->node;
	doc->root = true;
	lua_getiuservalue(L, 3, VALUE_CLASS);
	if (!from->root)
		lua_pushnil(L);
	lua_setiuservalue(L, 4, VALUE_CLASS);
	lua_settop(L, 4);
	if (lua_getiuservalue(L, 3, VALUE_BYTES) !=
	    LUA_TUSERDATA) { /* else itself a second root: keep only the first */
		lua_pop(L, 1);
		lua_pushvalue(L, 3);
	}
	lua_setiuservalue(L, 4, VALUE_BYTES);
	lua_pushvalue(L, 2);
	lua_setiuservalue(L, 4, VALUE_CONTEXT);
	return 1;
}

static int l_context(lua_State *L)
{
	check_doc(L, 1);
	push_root(L, 1);
	lua_getiuservalue(L, -1, VALUE_CONTEXT);
	return 1;
}

/* bytes(doc [, key]): of the whole, or of that member; nil: it has none. */
static int l_bytes(lua_State *L)
{
	const struct json_doc *doc = check_doc(L, 1);
	if (!lua_isnoneornil(L, 2)) {
		size_t len;
		const char *key = luaL_checklstring(L, 2, &len);
		uint32_t child = find_key(doc, key, len);
		if (!child)
			return 0;
		const struct json_node *c = &doc->tree->nodes[child];
		lua_pushlstring(L, doc->tree->bytes + c->start, c->end - c->start);
		return 1;
	}
	const struct json_node *n = &doc->tree->nodes[doc->node];
	if (doc->root && n->start == 0 && n->end == doc->tree->len &&
	    lua_getiuservalue(L, 1, VALUE_BYTES) == LUA_TSTRING)
		return 1;
	lua_pushlstring(L, doc->tree->bytes + n->start, n->end - n->start);
	return 1;
}

static int l_size(lua_State *L)
{
	const struct json_doc *doc = check_doc(L, 1);
	lua_pushinteger(L, doc->tree->nodes[doc->node].end - doc->tree->nodes[doc->node].start);
	return 1;
}

static void check_name(lua_State *L, int index)
{
	if (lua_type(L, index) != LUA_TSTRING)
		lua_error_raisef(L, ERROR_ARGUMENT, "json.doc_class: names must be strings, got %s",
				 luaL_typename(L, index));
}

/* Copies the list of keys on top, in its place. */
static void copy_path(lua_State *L)
{
	lua_Integer n = lua_type(L, -1) == LUA_TTABLE ? (lua_Integer)lua_rawlen(L, -1) : 0;
	if (n == 0)
		lua_error_raisef(L, ERROR_ARGUMENT,
				 "json.doc_class: a path is a list of keys such as {\"data\", \"content\"}");
	lua_createtable(L, (int)n, 0);
	for (lua_Integer i = 1; i <= n; i++) {
		lua_rawgeti(L, -2, i);
		check_name(L, -1);
		lua_rawseti(L, -2, i);
	}
	lua_remove(L, -2);
}

/* doc_class{methods=, paths=, name=?} -> {NAME = fn or list of keys, [1] = what the doc is called in messages} */
static int l_doc_class(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	lua_newtable(L);
	lua_getfield(L, 1, "name");
	lua_rawseti(L, 2, 1);
	static const char *const parts[] = {"paths", "methods"};
	for (int part = 0; part < 2; part++) {
		if (lua_getfield(L, 1, parts[part]) == LUA_TNIL)
			continue;
		luaL_checktype(L, -1, LUA_TTABLE);
		int from = lua_gettop(L);
		lua_pushnil(L);
		while (lua_next(L, from)) {
			check_name(L, -2);
			lua_pushvalue(L, -2);
			lua_insert(L, -2);
			if (part == 0)
				copy_path(L);
			else if (!lua_isfunction(L, -1))
				return lua_error_raisef(L, ERROR_ARGUMENT, "json.doc_class: methods.%s is no function",
							lua_tostring(L, -2));
			lua_rawset(L, 2);
		}
	}
	lua_settop(L, 2);
	lua_rawgeti(L, LUA_REGISTRYINDEX, ((struct json_state *)json_upvalue(L))->class_meta);
	lua_setmetatable(L, 2);
	return 1;
}

static int doc_iterate(lua_State *L)
{
	struct json_state *st = json_upvalue(L);
	check_doc(L, 1);
	lua_settop(L, 2);
	if (json_doc_next(L, st, 1))
		return 2;
	lua_pushnil(L);
	return 1;
}

static int doc_pairs(lua_State *L)
{
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_pushcclosure(L, doc_iterate, 1);
	lua_pushvalue(L, 1);
	lua_pushnil(L);
	return 3;
}

const luaL_Reg *json_doc_functions(void)
{
	static const luaL_Reg functions[] = {{"doc", l_doc},     {"with", l_with}, {"context", l_context},
					     {"bytes", l_bytes}, {"size", l_size}, {"doc_class", l_doc_class},
					     {NULL, NULL}};
	return functions;
}

void json_open_doc(lua_State *L, struct json_state *st, int state)
{
	static const luaL_Reg meta[] = {
		{"__index", doc_index}, {"__newindex", doc_newindex}, {"__len", doc_len}, {"__eq", doc_eq},
		{"__pairs", doc_pairs}, {"__tostring", doc_tostring}, {NULL, NULL}};
	st->doc_meta = json_metatable(L, "doc", meta, state, &st->doc_pointer);
}
