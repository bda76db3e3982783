/* SPDX-License-Identifier: MIT
 *
 * changes: from a Lua table to struct store_changes. A string where JSON is wanted is JSON already; all else is encoded.
 */
#include <lauxlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/lua_error.h"
#include "json/lua_json.h"
#include "store/lua_store.h"

struct span lua_span(lua_State *L, int index)
{
	struct span s = {NULL, 0};
	if (lua_type(L, index) == LUA_TSTRING)
		s.data = lua_tolstring(L, index, &s.len);
	return s;
}

/* The string stays where the table holds it. */
struct span lua_span_field(lua_State *L, int table, const char *key)
{
	lua_getfield(L, table, key);
	struct span s = lua_span(L, -1);
	lua_pop(L, 1);
	return s;
}

int64_t lua_int_field(lua_State *L, int table, const char *key, int64_t otherwise)
{
	lua_getfield(L, table, key);
	int ok;
	lua_Integer n = lua_tointegerx(L, -1, &ok);
	if (!ok && lua_type(L, -1) == LUA_TNUMBER)
		n = (lua_Integer)lua_tonumber(L, -1), ok = 1;
	lua_pop(L, 1);
	return ok ? n : otherwise;
}

static bool bool_field(lua_State *L, int table, const char *key, bool otherwise)
{
	int type = lua_getfield(L, table, key);
	bool value = type == LUA_TNIL ? otherwise : lua_toboolean(L, -1);
	lua_pop(L, 1);
	return value;
}

/* Pops the value. What is JSON already stays where it is: its table or its place on the stack holds it. */
static struct span json_value(lua_State *L, struct lua_store *o)
{
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		return (struct span){NULL, 0};
	}
	size_t len;
	const char *ready = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : json_lua_bytes(L, -1, &len);
	struct span s = {ready, 0};
	if (ready) {
		s.len = len;
	} else {
		struct error e;
		buf_clear(&o->text);
		if (json_lua_encode(L, -1, &o->text, &e))
			lua_error_raise(L, &e);
		s = arena_copy(&o->scratch, (struct span){o->text.data, o->text.len});
	}
	lua_pop(L, 1);
	return s;
}

static struct span json_field(lua_State *L, struct lua_store *o, int table, const char *key)
{
	lua_getfield(L, table, key);
	return json_value(L, o);
}

/* The list under `key`: pushes it and returns its length, or 0 with nothing pushed. */
static size_t list_field(lua_State *L, int table, const char *key)
{
	if (lua_getfield(L, table, key) != LUA_TTABLE) {
		bool absent = lua_isnil(L, -1);
		lua_pop(L, 1);
		if (!absent)
			lua_error_raisef(L, ERROR_ARGUMENT, "changes.%s is a list", key);
		return 0;
	}
	size_t len = (size_t)lua_rawlen(L, -1);
	if (len == 0)
		lua_pop(L, 1);
	return len;
}

/* The list of strings on top, of this length; popped. */
static size_t read_spans(lua_State *L, struct lua_store *o, size_t len, const char *key, const struct span **out)
{
	if (len == 0)
		return 0;
	struct span *list = arena_take(&o->scratch, len * sizeof *list);
	for (size_t i = 0; i < len; i++) {
		if (lua_rawgeti(L, -1, (lua_Integer)i + 1) != LUA_TSTRING)
			lua_error_raisef(L, ERROR_ARGUMENT, "changes.%s[%d] is no string", key, (int)i + 1);
		list[i] = lua_span(L, -1);
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	*out = list;
	return len;
}

static size_t spans_field(lua_State *L, struct lua_store *o, int table, const char *key, const struct span **out)
{
	return read_spans(L, o, list_field(L, table, key), key, out);
}

/* Pushes item i of the list on top; it must be a table. */
static int item(lua_State *L, size_t i, const char *key)
{
	if (lua_rawgeti(L, -1, (lua_Integer)i + 1) != LUA_TTABLE)
		lua_error_raisef(L, ERROR_ARGUMENT, "changes.%s[%d] is no table", key, (int)i + 1);
	return lua_gettop(L);
}

/* The list of events on top, of c->event_count; popped. */
static void read_events(lua_State *L, struct lua_store *o, struct store_changes *c)
{
	if (!c->event_count)
		return;
	struct store_event *list = arena_take(&o->scratch, c->event_count * sizeof *list);
	for (size_t i = 0; i < c->event_count; i++) {
		int at = item(L, i, "events");
		list[i].id = lua_span_field(L, at, "id");
		list[i].body = json_field(L, o, at, "body");
		list[i].rec = json_field(L, o, at, "rec");
		list[i].inboxes = spans_field(L, o, at, "inbox", &list[i].inbox);
		list[i].service_count = spans_field(L, o, at, "services", &list[i].services);
		if (!list[i].id.data || !list[i].body.data)
			lua_error_raisef(L, ERROR_MISSING, "changes.events[%d] needs id and body", (int)i + 1);
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	c->events = list;
}

static void read_messages(lua_State *L, struct lua_store *o, int table, struct store_changes *c)
{
	c->message_count = list_field(L, table, "messages");
	if (!c->message_count)
		return;
	struct store_message *list = arena_take(&o->scratch, c->message_count * sizeof *list);
	for (size_t i = 0; i < c->message_count; i++) {
		int at = item(L, i, "messages");
		list[i].topic = lua_span_field(L, at, "topic");
		list[i].target = lua_span_field(L, at, "target");
		list[i].body = json_field(L, o, at, "body");
		if (!list[i].target.data && !list[i].topic.data) /* without: the delivery's event itself, for later */
			lua_error_raisef(L, ERROR_MISSING, "changes.messages[%d] needs a target", (int)i + 1);
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	c->messages = list;
}

static void read_accepts(lua_State *L, struct lua_store *o, int table, struct store_changes *c)
{
	c->accept_count = list_field(L, table, "accepts");
	if (!c->accept_count)
		return;
	struct accept *list = arena_take(&o->scratch, c->accept_count * sizeof *list);
	for (size_t i = 0; i < c->accept_count; i++) {
		int at = item(L, i, "accepts");
		lua_getfield(L, at, "doc");
		lua_accept(L, o, at, lua_gettop(L), &list[i]);
		lua_pop(L, 2);
	}
	lua_pop(L, 1);
	c->accepts = list;
}

static void read_dead(lua_State *L, struct lua_store *o, int table, struct store_changes *c)
{
	if (lua_getfield(L, table, "dead") == LUA_TTABLE) {
		int at = lua_gettop(L);
		struct store_dead *dead = arena_take(&o->scratch, sizeof *dead);
		dead->target = lua_span_field(L, at, "target");
		dead->pattern = lua_span_field(L, at, "pattern");
		dead->reaction = lua_span_field(L, at, "reaction");
		dead->version = lua_span_field(L, at, "version");
		dead->error = json_field(L, o, at, "error");
		dead->attempts = lua_int_field(L, at, "attempts", 1);
		dead->own = bool_field(L, at, "own", false);
		c->dead = dead;
	}
	lua_pop(L, 1);
}

static void read_words(lua_State *L, struct span outcome, struct span status, struct store_changes *c)
{
	c->outcome = outcome_number(outcome);
	if (outcome.data && c->outcome == OUTCOME_NONE)
		lua_error_raisef(L, ERROR_ARGUMENT, "changes.outcome \"%s\" is no outcome of the model", outcome.data);
	c->status = status_number(status);
	if (status.data && !c->status)
		lua_error_raisef(L, ERROR_ARGUMENT, "changes.status \"%s\": expected active, finished or terminated",
				 status.data);
}

static struct span json_argument(lua_State *L, struct lua_store *o, int index)
{
	lua_pushvalue(L, index);
	return json_value(L, o);
}

/* Pushes the list, unless it is empty; its length. */
static size_t list_argument(lua_State *L, int index)
{
	size_t len = lua_type(L, index) == LUA_TTABLE ? (size_t)lua_rawlen(L, index) : 0;
	if (len)
		lua_pushvalue(L, index);
	return len;
}

void lua_advance(lua_State *L, struct lua_store *o, struct store_changes *c)
{
	luaL_checkstack(L, 20, NULL);
	memset(c, 0, sizeof *c);
	arena_clear(&o->scratch);
	c->delivery = lua_tointeger(L, ADVANCE_DELIVERY);
	read_words(L, lua_span(L, ADVANCE_OUTCOME), lua_span(L, ADVANCE_STATUS), c);
	c->rec = json_argument(L, o, ADVANCE_REC);
	c->state = json_argument(L, o, ADVANCE_STATE);
	c->pattern = lua_span(L, ADVANCE_PATTERN);
	c->version = lua_span(L, ADVANCE_VERSION);
	c->reaction = lua_span(L, ADVANCE_REACTION);
	c->reacted = lua_tointeger(L, ADVANCE_REACTED);
	c->due = lua_tointeger(L, ADVANCE_DUE);
	c->member_count = read_spans(L, o, list_argument(L, ADVANCE_MEMBERS), "members", &c->members);
	c->event_count = list_argument(L, ADVANCE_EVENTS);
	read_events(L, o, c);
}

void lua_changes(lua_State *L, struct lua_store *o, int index, struct store_changes *c)
{
	int table = lua_absindex(L, index);
	luaL_checktype(L, table, LUA_TTABLE);
	luaL_checkstack(L, 20, NULL);
	memset(c, 0, sizeof *c);
	arena_clear(&o->scratch);
	if (lua_getfield(L, table, "delivery") == LUA_TTABLE)
		c->delivery = lua_int_field(L, lua_gettop(L), "n", 0);
	lua_pop(L, 1);
	read_words(L, lua_span_field(L, table, "outcome"), lua_span_field(L, table, "status"), c);
	c->rec = json_field(L, o, table, "rec");
	c->state = json_field(L, o, table, "state");
	c->pattern = lua_span_field(L, table, "pattern");
	c->version = lua_span_field(L, table, "version");
	c->reaction = lua_span_field(L, table, "reaction");
	c->due = lua_int_field(L, table, "due", 0);
	c->started = lua_int_field(L, table, "started", 0);
	c->reacted = lua_int_field(L, table, "reacted", 0);
	c->ended = bool_field(L, table, "ended", false);
	c->no_step = !bool_field(L, table, "step", true);
	c->member_count = spans_field(L, o, table, "members", &c->members);
	c->event_count = list_field(L, table, "events");
	read_events(L, o, c);
	read_messages(L, o, table, c);
	read_accepts(L, o, table, c);
	read_dead(L, o, table, c);
}

void lua_accept(lua_State *L, struct lua_store *o, int index, int doc, struct accept *a)
{
	memset(a, 0, sizeof *a);
	luaL_checktype(L, index, LUA_TTABLE);
	a->source = lua_span_field(L, index, "source");
	a->id = lua_span_field(L, index, "id");
	a->thred = lua_span_field(L, index, "thred");
	a->topic = lua_span_field(L, index, "topic");
	a->at = lua_int_field(L, index, "at", 0);
	if (!a->source.data || !a->id.data || !a->at)
		lua_error_raisef(L, ERROR_MISSING, "accepting an event needs source, id and at");
	struct span content = lua_span_field(L, index, "content");
	if (content.len == sizeof a->content) {
		memcpy(a->content, content.data, content.len);
	} else {
		XXH64_hash_t hash = XXH3_64bits(content.data ? content.data : "", content.len);
		memcpy(a->content, &hash, sizeof hash);
	}
	lua_pushvalue(L, doc);
	a->body = json_value(L, o);
	if (!a->body.data)
		lua_error_raisef(L, ERROR_MISSING, "accepting an event needs the event");
}
