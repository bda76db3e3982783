/* SPDX-License-Identifier: MIT
 *
 * Lua values to canonical bytes. Nothing here allocates in Lua or calls into it, so no collector runs, and the keys of a
 * table can be borrowed while it is encoded.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "json/lua_part.h"

struct frame {
	const struct frame *up;
	const void *table;
	const char *key; /* of the value being encoded inside this table; NULL: the index */
	size_t key_len;
	lua_Integer index;
};

struct encoder {
	lua_State *L;
	const struct json_state *st;
	struct json_scratch *scratch;
	struct buf *out;
	size_t start, used; /* length of `out` before, items in use */
	size_t max;         /* bytes */
	struct error *e;
};

static int encode(struct encoder *enc, int index, const struct frame *up, size_t depth);

static void make_path(const struct frame *frame, struct json_path *path)
{
	if (!frame) {
		json_path_begin(path);
		return;
	}
	make_path(frame->up, path);
	if (frame->key)
		json_path_key(path, frame->key, frame->key_len);
	else
		json_path_index(path, frame->index);
}

static int fail(struct encoder *enc, const struct frame *frame, const char *what)
{
	struct json_path path;
	make_path(frame, &path);
	return error_set(enc->e, ERROR_ARGUMENT, "%s %s", path.text, what);
}

static int too_large(struct encoder *enc, const struct frame *frame)
{
	char what[80];
	if (enc->max >= 1 << 20)
		snprintf(what, sizeof what, "makes the JSON larger than %zu MiB", enc->max >> 20);
	else
		snprintf(what, sizeof what, "makes the JSON larger than %zu KiB", enc->max >> 10);
	return fail(enc, frame, what);
}

static int no_memory(struct encoder *enc)
{
	return error_set(enc->e, ERROR_SERVER, "no memory to encode JSON of %zu bytes", enc->out->len - enc->start);
}

static int encode_text(struct encoder *enc, const struct frame *frame, const char *text, size_t len)
{
	if (len + (enc->out->len - enc->start) > enc->max)
		return too_large(enc, frame);
	int rc = json_write_string(enc->out, text, len);
	return rc == 0 ? 0 : rc == -2 ? fail(enc, frame, "is a string that is not UTF-8") : no_memory(enc);
}

static int encode_number(struct encoder *enc, const struct frame *frame, lua_Number number)
{
	if (!isfinite(number))
		return fail(enc, frame,
			    isnan(number) ? "is NaN, which JSON can't hold" : "is infinite, which JSON can't hold");
	return json_write_float(enc->out, number) ? no_memory(enc) : 0;
}

static int add(struct encoder *enc, const char *text, size_t len)
{
	return buf_add(enc->out, text, len) ? no_memory(enc) : 0;
}

static int put(struct encoder *enc, char c)
{
	struct buf *out = enc->out;
	if (out->cap - out->len < 2 && buf_reserve(out, 1))
		return no_memory(enc);
	out->data[out->len++] = c;
	return 0;
}

static uint64_t prefix_of(const char *key, size_t len)
{
	uint64_t prefix = 0;
	if (len >= 8) {
		memcpy(&prefix, key, 8);
		return __builtin_bswap64(prefix);
	}
	if (len >= 4) { /* two halves that overlap: fewer steps than byte by byte */
		uint32_t first, last;
		memcpy(&first, key, 4);
		memcpy(&last, key + len - 4, 4);
		return (uint64_t)__builtin_bswap32(first) << 32 | (uint64_t)__builtin_bswap32(last) << (64 - 8 * len);
	}
	for (size_t i = 0; i < len; i++)
		prefix |= (uint64_t)(unsigned char)key[i] << (56 - 8 * i);
	return prefix;
}

static int compare_items(const void *a, const void *b)
{
	const struct json_item *x = a, *y = b;
	if (x->prefix != y->prefix)
		return x->prefix < y->prefix ? -1 : 1;
	size_t len = x->key_len < y->key_len ? x->key_len : y->key_len;
	int order = memcmp(x->key, y->key, len);
	return order ? order : (x->key_len > y->key_len) - (x->key_len < y->key_len);
}

static void sort_items(struct json_item *items, size_t count)
{
	if (count > 24) {
		qsort(items, count, sizeof *items, compare_items);
		return;
	}
	for (size_t i = 1; i < count; i++) {
		struct json_item item;
		size_t at = i;
		if (compare_items(&items[i - 1], &items[i]) <= 0)
			continue;
		item = items[i];
		for (; at > 0 && compare_items(&items[at - 1], &item) > 0; at--)
			items[at] = items[at - 1];
		items[at] = item;
	}
}

/* The value on top into the item; a scalar is popped, another stays and its slot is noted. */
static void note_value(lua_State *L, struct json_item *item)
{
	item->slot = 0;
	item->type = lua_type(L, -1);
	switch (item->type) {
	case LUA_TSTRING:
		item->value.text = lua_tolstring(L, -1, &item->text_len);
		break;
	case LUA_TNUMBER:
		if (lua_isinteger(L, -1)) {
			item->type = -LUA_TNUMBER;
			item->value.integer = lua_tointeger(L, -1);
		} else {
			item->value.number = lua_tonumber(L, -1);
		}
		break;
	case LUA_TBOOLEAN:
		item->value.integer = lua_toboolean(L, -1);
		break;
	default:
		item->slot = lua_gettop(L) - 1;
		lua_insert(L, -2); /* the value stays, below the key that lua_next wants */
		return;
	}
	lua_pop(L, 1);
}

static int grow_items(struct json_scratch *scratch)
{
	size_t cap = scratch->items_cap ? scratch->items_cap * 2 : 64;
	struct json_item *items = realloc(scratch->items, cap * sizeof *items);
	if (!items)
		return -1;
	scratch->items = items;
	scratch->items_cap = cap;
	return 0;
}

/* The pairs of a table in order of keys, from items[base]; their number, -1: memory, -2: a key that is no string (on
 * top of the stack then). Containers stay on the stack. */
int json_items(lua_State *L, struct json_scratch *scratch, size_t base, int index, bool containers_only)
{
	size_t count = 0;
	lua_pushnil(L);
	while (lua_next(L, index)) {
		if (lua_type(L, -2) != LUA_TSTRING) {
			lua_pop(L, 1);
			return -2;
		}
		if (base + count == scratch->items_cap && grow_items(scratch))
			return -1;
		struct json_item *item = &scratch->items[base + count];
		item->key = lua_tolstring(L, -2, &item->key_len);
		item->prefix = prefix_of(item->key, item->key_len);
		note_value(L, item);
		if (item->slot && !lua_checkstack(L, 8))
			return -1;
		count += !containers_only || item->slot;
	}
	if (count > INT32_MAX)
		return -1;
	if (count > 1)
		sort_items(scratch->items + base, count);
	return (int)count;
}

static int encode_item(struct encoder *enc, const struct json_item *item, const struct frame *frame, size_t depth)
{
	switch (item->type) {
	case LUA_TSTRING:
		return encode_text(enc, frame, item->value.text, item->text_len);
	case -LUA_TNUMBER:
		return json_write_int(enc->out, item->value.integer) ? no_memory(enc) : 0;
	case LUA_TNUMBER:
		return encode_number(enc, frame, item->value.number);
	case LUA_TBOOLEAN:
		return item->value.integer ? add(enc, "true", 4) : add(enc, "false", 5);
	default:
		return encode(enc, item->slot, frame, depth);
	}
}

static int bad_key(struct encoder *enc, const struct frame *frame, int index)
{
	lua_State *L = enc->L;
	if (lua_type(L, -1) == LUA_TNUMBER && lua_rawlen(L, index) > 0)
		return fail(enc, frame->up,
			    "is a table with both list entries and named keys; JSON has arrays or objects");
	if (lua_type(L, -1) == LUA_TNUMBER)
		return fail(enc, frame->up,
			    "has a number as a key; JSON keys are strings, and arrays are 1...n without holes");
	char what[64];
	snprintf(what, sizeof what, "has a %s as a key; JSON keys are strings", luaL_typename(L, -1));
	return fail(enc, frame->up, what);
}

static int encode_key(struct encoder *enc, const struct frame *frame, const struct json_item *item)
{
	int rc = json_write_string(enc->out, item->key, item->key_len);
	if (rc == -2)
		return fail(enc, frame, "has a name that is not UTF-8");
	return rc ? no_memory(enc) : put(enc, ':');
}

static int encode_object(struct encoder *enc, int index, struct frame *frame, size_t depth)
{
	size_t base = enc->used;
	int top = lua_gettop(enc->L);
	int count = json_items(enc->L, enc->scratch, base, index, false);
	if (count < 0)
		return count == -2 ? bad_key(enc, frame, index) : no_memory(enc);
	enc->used += (size_t)count;
	int rc = put(enc, '{');
	for (int i = 0; rc == 0 && i < count; i++) {
		const struct json_item item = enc->scratch->items[base + (size_t)i]; /* a copy: they may move */
		frame->key = item.key;
		frame->key_len = item.key_len;
		if (i > 0)
			rc = put(enc, ',');
		if (rc == 0)
			rc = encode_key(enc, frame, &item);
		if (rc == 0)
			rc = encode_item(enc, &item, frame, depth);
	}
	enc->used = base;
	lua_settop(enc->L, top);
	return rc ? rc : put(enc, '}');
}

/* Are the keys 1...n and nothing else? -1 with the error. */
static int check_array(struct encoder *enc, int index, struct frame *frame, lua_Integer *n)
{
	lua_State *L = enc->L;
	lua_Integer count = 0, most = 0;
	lua_pushnil(L);
	while (lua_next(L, index)) {
		lua_pop(L, 1);
		lua_Integer key = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : 0;
		if (key < 1 && lua_type(L, -1) == LUA_TSTRING)
			return fail(enc, frame->up,
				    "is a table with both list entries and named keys; JSON has arrays or objects");
		if (key < 1)
			return bad_key(enc, frame, index);
		most = key > most ? key : most;
		count++;
	}
	*n = count;
	frame->index = 0;
	for (lua_Integer i = 1; most != count && i <= most; i++) {
		bool hole = lua_rawgeti(L, index, i) == LUA_TNIL;
		lua_pop(L, 1);
		frame->index = i;
		if (hole)
			return fail(enc, frame, "is a hole in an array; put json.null there");
	}
	return 0;
}

static int encode_array(struct encoder *enc, int index, struct frame *frame, size_t depth)
{
	lua_Integer n = 0; /* check_array sets it; not every compiler sees that */
	frame->key = NULL;
	if (check_array(enc, index, frame, &n))
		return -1;
	int rc = put(enc, '[');
	for (lua_Integer i = 1; rc == 0 && i <= n; i++) {
		frame->index = i;
		if (i > 1)
			rc = put(enc, ',');
		lua_rawgeti(enc->L, index, i);
		if (rc == 0)
			rc = encode(enc, lua_gettop(enc->L), frame, depth);
		lua_pop(enc->L, 1);
	}
	return rc ? rc : put(enc, ']');
}

static int encode_table(struct encoder *enc, int index, const struct frame *up, size_t depth)
{
	struct frame frame = {.up = up, .table = lua_topointer(enc->L, index)};
	for (const struct frame *f = up; f; f = f->up)
		if (f->table == frame.table)
			return fail(enc, up, "contains itself");
	if (depth >= JSON_DEPTH)
		return fail(enc, up, "is deeper than 100 levels");
	if (enc->out->len - enc->start > enc->max)
		return too_large(enc, up);
	if (!lua_checkstack(enc->L, 8))
		return no_memory(enc);
	bool array = lua_rawlen(enc->L, index) > 0;
	if (!array && lua_getmetatable(enc->L, index)) {
		array = lua_topointer(enc->L, -1) == enc->st->array_pointer;
		lua_pop(enc->L, 1);
	}
	return array ? encode_array(enc, index, &frame, depth + 1) : encode_object(enc, index, &frame, depth + 1);
}

/* How many levels of containers there are in a node. */
static size_t depth_of(const struct json_tree *tree, uint32_t node)
{
	const struct json_node *n = &tree->nodes[node];
	size_t most = 0;
	for (uint32_t child = node + 1; child < n->next; child++)
		if (tree->nodes[child].kind >= JSON_ARRAY) {
			size_t depth = depth_of(tree, child);
			most = depth > most ? depth : most;
			child = tree->nodes[child].next - 1;
		}
	return n->kind >= JSON_ARRAY ? most + 1 : 0;
}

static int encode_userdata(struct encoder *enc, int index, const struct frame *frame, size_t depth)
{
	const struct json_doc *doc = json_to_doc(enc->L, enc->st, index);
	if (doc) {
		if (depth + doc->tree->depth > JSON_DEPTH && depth + depth_of(doc->tree, doc->node) > JSON_DEPTH)
			return fail(enc, frame, "is deeper than 100 levels");
		const struct json_node *n = &doc->tree->nodes[doc->node];
		if (enc->out->len - enc->start + (n->end - n->start) > enc->max)
			return too_large(enc, frame);
		return json_write(doc->tree, doc->node, enc->out) ? no_memory(enc) : 0;
	}
	if (!json_to_view(enc->L, enc->st, index))
		return fail(enc, frame, "is a userdata, which JSON can't hold");
	if (!lua_checkstack(enc->L, 8))
		return no_memory(enc);
	lua_getiuservalue(enc->L, index, 1);
	int rc = encode_table(enc, lua_gettop(enc->L), frame, depth);
	lua_pop(enc->L, 1);
	return rc;
}

static int encode(struct encoder *enc, int index, const struct frame *frame, size_t depth)
{
	lua_State *L = enc->L;
	switch (lua_type(L, index)) {
	case LUA_TTABLE:
		return encode_table(enc, index, frame, depth);
	case LUA_TSTRING: {
		size_t len;
		const char *text = lua_tolstring(L, index, &len);
		return encode_text(enc, frame, text, len);
	}
	case LUA_TNUMBER:
		if (lua_isinteger(L, index))
			return json_write_int(enc->out, lua_tointeger(L, index)) ? no_memory(enc) : 0;
		return encode_number(enc, frame, lua_tonumber(L, index));
	case LUA_TBOOLEAN:
		return lua_toboolean(L, index) ? add(enc, "true", 4) : add(enc, "false", 5);
	case LUA_TLIGHTUSERDATA:
		if (lua_touserdata(L, index) == NULL)
			return add(enc, "null", 4);
		break;
	case LUA_TUSERDATA:
		return encode_userdata(enc, index, frame, depth);
	default:
		break;
	}
	char what[64];
	snprintf(what, sizeof what, "is a %s, which JSON can't hold", luaL_typename(L, index));
	return fail(enc, frame, what);
}

int json_encode_with(lua_State *L, const struct json_state *st, struct json_scratch *scratch, int index, size_t max,
		     size_t depth, struct buf *out, struct error *e)
{
	struct encoder enc = {.L = L, .st = st, .scratch = scratch, .out = out, .start = out->len, .max = max, .e = e};
	int top = lua_gettop(L);
	if (!lua_checkstack(L, 8))
		return no_memory(&enc);
	int rc = encode(&enc, lua_absindex(L, index), NULL, depth);
	lua_settop(L, top);
	if (rc == 0 && buf_add(out, "", 0)) /* `put` leaves the NUL behind to others */
		rc = no_memory(&enc);
	return rc;
}
