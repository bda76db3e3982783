/* SPDX-License-Identifier: MIT
 *
 * A step's Lua face: store:begin, and what it gives; docs/decisions/store.md.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/lua_error.h"
#include "json/lua_json.h"
#include "store/lua_store.h"

static const char class_key; /* its address tells a step from any other userdata */

struct lua_step {
	const void *class;
	struct step *step; /* NULL: ended */
	struct lua_store *owner;
};

struct begin_wait {
	struct lua_wait wait;
	bool is_new, failed;
	struct begun begun;
	struct error error;
};

/* What a step shows of its thred. */
enum column_kind { COLUMN_TEXT, COLUMN_WORD, COLUMN_STATE, COLUMN_NUMBER, COLUMN_STEP, COLUMN_STATUS };
static const struct column {
	const char *name;
	enum column_kind kind;
	size_t offset; /* in the view */
} columns[] = {
	{"id", COLUMN_TEXT, offsetof(struct thred_view, id)},
	{"pattern", COLUMN_WORD, offsetof(struct thred_view, pattern)},
	{"version", COLUMN_WORD, offsetof(struct thred_view, version)},
	{"reaction", COLUMN_WORD, offsetof(struct thred_view, reaction)},
	{"state", COLUMN_STATE, offsetof(struct thred_view, state)},
	{"step", COLUMN_STEP, offsetof(struct thred_view, step)},
	{"started", COLUMN_NUMBER, offsetof(struct thred_view, started)},
	{"reacted", COLUMN_NUMBER, offsetof(struct thred_view, reacted)},
	{"due", COLUMN_NUMBER, offsetof(struct thred_view, due)},
	{"status", COLUMN_STATUS, offsetof(struct thred_view, status)},
};
enum { COLUMNS = sizeof columns / sizeof *columns };

/* nil: there is none. */
static void push_column(lua_State *L, const struct thred_view *v, const struct column *c)
{
	const void *at = (const char *)v + c->offset;
	const struct span *text = at;
	const int64_t *number = at;
	switch (c->kind) {
	case COLUMN_WORD:
		json_lua_push_word(L, text->data, text->len);
		break;
	case COLUMN_TEXT:
	case COLUMN_STATE:
		lua_pushlstring(L, text->data, text->len);
		break;
	case COLUMN_NUMBER:
		if (!*number) {
			lua_pushnil(L);
			break;
		} /* fall through */
	case COLUMN_STEP:
		lua_pushinteger(L, *number);
		break;
	default:
		lua_pushstring(L, status_name(v->status));
	}
}

/* The columns, in room for the members of its state as well. */
static void push_thred(lua_State *L, const struct thred_view *v)
{
	lua_createtable(L, 0, 16);
	struct error e;
	if (json_lua_set_members(L, -1, v->state.data, v->state.len, &e))
		lua_error_raise(L, &e);
	for (const struct column *c = columns; c < columns + COLUMNS; c++) {
		if (c->kind == COLUMN_STATE)
			continue;
		push_column(L, v, c);
		lua_setfield(L, -2, c->name);
	}
}

/* Each step asks this a dozen times: a look-up of the class by its name would cost a microsecond in all. */
static struct lua_step *step_check(lua_State *L)
{
	struct lua_step *s = lua_touserdata(L, 1);
	if (!s || lua_type(L, 1) != LUA_TUSERDATA || lua_rawlen(L, 1) != sizeof *s || s->class != &class_key)
		luaL_typeerror(L, 1, LUA_STEP_NAME);
	return s;
}

static const struct thred_view *view_of(const struct lua_step *s)
{
	return s->step && s->owner->store ? step_thred(s->step) : NULL;
}

/* The thred as a new table; nil: there is none, or the step has ended. */
static int step_take_thred(lua_State *L)
{
	const struct thred_view *v = view_of(step_check(L));
	if (!v)
		return 0;
	push_thred(L, v);
	return 1;
}

/* A column of the thred by its name, while the step lasts; most steps ask for two or three of them. */
static int step_index(lua_State *L)
{
	lua_pushvalue(L, 2);
	if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNUMBER)
		return 1; /* a method, or nil */
	const struct thred_view *v = view_of(step_check(L));
	if (!v)
		return lua_error_raisef(L, ERROR_SERVER, "the step has ended: its thred's %s can't be read any more",
					lua_tostring(L, 2));
	push_column(L, v, &columns[lua_tointeger(L, -1)]);
	return 1;
}

static int push_begun(lua_State *L, void *arg)
{
	static const char *const refusals[] = {"", "exists", "max", "interval"};
	struct begin_wait *w = arg;
	if (w->failed) {
		lua_error_push(L, &w->error);
		return -1;
	}
	if (!w->begun.step) {
		lua_pushnil(L);
		lua_pushstring(L, refusals[w->begun.refusal]);
		return 2;
	}
	struct lua_step *s = lua_newuserdatauv(L, sizeof *s, 0);
	*s = (struct lua_step){&class_key, w->begun.step, w->wait.owner};
	luaL_setmetatable(L, LUA_STEP_NAME);
	const struct thred_view *v = step_thred(w->begun.step);
	if (!v || w->is_new)
		lua_pushnil(L);
	else
		lua_pushvalue(L, -1);
	return 2;
}

static void begun(void *arg, const struct begun *result, const struct error *e)
{
	struct begin_wait *w = arg;
	w->begun = *result;
	w->failed = e != NULL;
	if (e)
		w->error = *e;
	if ((w->wait.cancelled || w->wait.owner->dying) && w->begun.step) {
		store_abort(w->begun.step);
		w->begun.step = NULL;
	}
	lua_wait_wake(&w->wait, push_begun);
}

static int begin(lua_State *L, const struct reservation *r)
{
	struct lua_store *o = lua_store_check(L, 1);
	size_t len;
	const char *id = luaL_checklstring(L, 2, &len);
	task_check(L);
	struct begin_wait *w = lua_wait_new(o, sizeof *w, offsetof(struct begin_wait, error));
	w->is_new = r != NULL;
	int rc = r ? store_begin_new(o->store, (struct span){id, len}, r, &w->begun, begun, w, &w->error)
		   : store_begin(o->store, (struct span){id, len}, &w->begun, begun, w, &w->error);
	if (rc == STORE_WAITS)
		return lua_wait_suspend(L, &w->wait);
	struct begin_wait now = {.wait = w->wait, .is_new = w->is_new, .failed = rc < 0, .begun = w->begun};
	if (now.failed)
		now.error = w->error;
	free(w);
	int n = push_begun(L, &now);
	return n < 0 ? lua_error(L) : n;
}

int lua_step_begin(lua_State *L)
{
	return begin(L, NULL);
}

int lua_step_begin_new(lua_State *L)
{
	luaL_checktype(L, 3, LUA_TTABLE);
	struct reservation r = {lua_span_field(L, 3, "pattern"), lua_int_field(L, 3, "max", 0),
				lua_int_field(L, 3, "interval", 0), lua_int_field(L, 3, "now", 0),
				lua_span_field(L, 3, "reaction")};
	if (!r.pattern.data)
		return lua_error_raisef(L, ERROR_MISSING, "begin_new needs the pattern's id");
	return begin(L, &r);
}

static struct lua_step *step_open(lua_State *L)
{
	struct lua_step *s = step_check(L);
	if (!s->step || !s->owner->store)
		lua_error_raisef(L, ERROR_SERVER, "the step has ended already");
	return s;
}

/* The value at `after` waits until it is durable. */
static int commit(lua_State *L, struct lua_step *s, const struct store_changes *changes, int after)
{
	struct step *step = s->step;
	struct error e;
	s->step = NULL;
	int64_t ticket = store_commit(step, changes, &e);
	if (ticket < 0)
		return lua_error_raise(L, &e);
	lua_store_after(L, s->owner, ticket, after);
	return 0;
}

static int step_commit(lua_State *L)
{
	struct lua_step *s = step_open(L);
	struct store_changes changes;
	lua_settop(L, 3);
	lua_changes(L, s->owner, 2, &changes);
	return commit(L, s, &changes, 3);
}

/* step:advance(delivery number, outcome, …): the same for the usual step, whose values come without a table. */
static int step_advance(lua_State *L)
{
	struct lua_step *s = step_open(L);
	struct store_changes changes;
	lua_settop(L, ADVANCE_AFTER);
	lua_advance(L, s->owner, &changes);
	return commit(L, s, &changes, ADVANCE_AFTER);
}

/* step:put_off(): the caller has taken its due time over. */
static int step_put_off(lua_State *L)
{
	struct lua_step *s = step_check(L);
	struct step *step = s->step;
	s->step = NULL;
	if (step && s->owner->store)
		store_put_off(step);
	return 0;
}

/* Also when the step is collected; after a commit or an abort: nothing. */
static int step_abort(lua_State *L)
{
	struct lua_step *s = step_check(L);
	struct step *step = s->step;
	s->step = NULL;
	if (step && s->owner->store)
		store_abort(step);
	return 0;
}

/* A step shows the columns of its thred: their numbers lie among its methods. */
static void add_columns(lua_State *L)
{
	lua_getfield(L, -1, "__index");
	for (int i = 0; i < COLUMNS; i++) {
		lua_pushinteger(L, i);
		lua_setfield(L, -2, columns[i].name);
	}
	lua_pushcclosure(L, step_index, 1);
	lua_setfield(L, -2, "__index");
}

void lua_step_open(lua_State *L)
{
	static const luaL_Reg methods[] = {{"commit", step_commit},   {"advance", step_advance},  {"abort", step_abort},
					   {"put_off", step_put_off}, {"thred", step_take_thred}, {NULL, NULL}};
	lua_store_class(L, LUA_STEP_NAME, methods, step_abort);
	add_columns(L);
	lua_pop(L, 1);
}
