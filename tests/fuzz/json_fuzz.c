/* SPDX-License-Identifier: MIT
 *
 * Any bytes: refused with a message, or their canonical form is stable, known as canonical, and encoding the Lua values
 * or the doc made of them gives it again.
 */
#include <lauxlib.h>
#include <string.h>

#include "json/lua_json.h"

#define CHECK(condition)                                                                                               \
	do                                                                                                             \
		if (!(condition))                                                                                      \
			__builtin_trap();                                                                              \
	while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_lua(lua_State *L, const char *bytes, size_t len, const struct buf *want)
{
	struct buf out = {0};
	struct error e;
	lua_pushlstring(L, bytes, len); /* must stay while it is read */
	CHECK(json_lua_push_value(L, lua_tostring(L, 1), len, NULL, &e) == 0);
	CHECK(json_lua_encode(L, 2, &out, &e) == 0);
	CHECK(out.len == want->len && memcmp(out.data, want->data, out.len) == 0);
	CHECK(json_lua_push_doc_of(L, 1, NULL, &e) == 0);
	buf_clear(&out);
	CHECK(json_lua_encode(L, 3, &out, &e) == 0);
	CHECK(out.len == want->len && memcmp(out.data, want->data, out.len) == 0);
	if (json_lua_is_face(L, 3)) {
		lua_pushnil(L);
		while (json_lua_next(L, 3)) {
			lua_pushvalue(L, -2);
			json_lua_get(L, 3);
			CHECK(lua_type(L, -1) == lua_type(L, -2));
			lua_pop(L, 2);
		}
	}
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf once = {0}, twice = {0};
	struct error e = {0};
	if (json_canonical((const char *)data, size, NULL, &once, &e)) {
		CHECK(e.code && e.message[0] && utf8_valid(e.message, strlen(e.message), NULL));
	} else {
		struct json_tape tape = {0};
		CHECK(json_canonical(once.data, once.len, NULL, &twice, &e) == 0);
		CHECK(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
		CHECK(json_parse(&tape, once.data, once.len, NULL, &e) == 0 && tape.tree.canonical);
		json_tape_free(&tape);
		lua_State *L = luaL_newstate();
		check_lua(L, (const char *)data, size, &once);
		lua_close(L);
	}
	buf_free(&once);
	buf_free(&twice);
	return 0;
}
