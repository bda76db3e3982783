/* SPDX-License-Identifier: MIT
 *
 * core.store: looking, and the small writes.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/lua_error.h"
#include "json/lua_json.h"
#include "store/lua_store.h"

/* How a result is shown in Lua. */
enum shape { SHAPE_LIST, SHAPE_PAGE, SHAPE_ROW, SHAPE_VALUE, SHAPE_INBOX, SHAPE_CURSOR, SHAPE_FIND, SHAPE_FILES };

struct look_wait {
	struct lua_wait wait;
	enum shape shape;
	const struct rows *rows; /* only while the task is woken */
	const struct error *error;
	int64_t limit;
	int files; /* SHAPE_FILES: ref of the row they belong to */
};

static void push_cell(lua_State *L, const struct cell *c)
{
	switch (c->kind) {
	case CELL_INT:
		lua_pushinteger(L, c->number);
		break;
	case CELL_OUTCOME:
		lua_pushstring(L, outcome_name((int)c->number));
		break;
	case CELL_STATUS:
		lua_pushstring(L, status_name((int)c->number));
		break;
	case CELL_NULL:
		lua_pushnil(L);
		break;
	default: /* JSON stays bytes: who needs a value decodes it */
		lua_pushlstring(L, c->text.data ? c->text.data : "", c->text.len);
	}
}

static void push_row(lua_State *L, const struct rows *rows, size_t row)
{
	lua_createtable(L, 0, (int)rows->columns);
	for (size_t i = 0; i < rows->columns; i++) {
		push_cell(L, &rows->cells[row * rows->columns + i]);
		lua_setfield(L, -2, rows->names[i]);
	}
}

void lua_rows_push(lua_State *L, const struct rows *rows)
{
	lua_createtable(L, (int)rows->count, 0);
	for (size_t i = 0; i < rows->count; i++) {
		push_row(L, rows, i);
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	json_lua_mark_array(L);
}

/* {items =, after = where the next page begins, nil at the end} */
static void push_page(lua_State *L, struct look_wait *w)
{
	lua_createtable(L, 0, 2);
	lua_rows_push(L, w->rows);
	if (w->limit && (int64_t)w->rows->count == w->limit) {
		lua_rawgeti(L, -1, (lua_Integer)w->rows->count);
		if (lua_getfield(L, -1, "n") == LUA_TNIL) {
			lua_pop(L, 1);
			lua_getfield(L, -1, "id");
		}
		lua_setfield(L, -4, "after");
		lua_pop(L, 1);
	}
	lua_setfield(L, -2, "items");
}

static int push_files(lua_State *L, struct look_wait *w)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, w->files);
	luaL_unref(L, LUA_REGISTRYINDEX, w->files);
	lua_createtable(L, 0, (int)w->rows->count);
	for (size_t i = 0; i < w->rows->count; i++) {
		push_cell(L, &w->rows->cells[i * 2]);
		push_cell(L, &w->rows->cells[i * 2 + 1]);
		lua_rawset(L, -3);
	}
	lua_setfield(L, -2, "files");
	return 1;
}

static int push_shape(lua_State *L, void *arg)
{
	struct look_wait *w = arg;
	if (w->error) {
		lua_error_push(L, w->error);
		return -1;
	}
	const struct rows *rows = w->rows;
	switch (w->shape) {
	case SHAPE_PAGE:
		push_page(L, w);
		return 1;
	case SHAPE_FILES:
		return push_files(L, w);
	case SHAPE_INBOX:
		if (rows->gone) {
			lua_pushnil(L);
			lua_pushliteral(L, "gone");
			return 2;
		}
		lua_rows_push(L, rows);
		return 1;
	case SHAPE_FIND:
		if (rows->count)
			push_row(L, rows, 0);
		else
			lua_pushnil(L);
		if (rows->next)
			lua_pushinteger(L, rows->next);
		else
			lua_pushnil(L);
		return 2;
	case SHAPE_LIST:
		lua_rows_push(L, rows);
		return 1;
	case SHAPE_CURSOR:
		if (rows->count == 0)
			return 0;
		push_cell(L, &rows->cells[1]);
		push_cell(L, &rows->cells[0]);
		return 2;
	case SHAPE_VALUE:
		if (rows->count == 0)
			lua_pushnil(L);
		else
			push_cell(L, &rows->cells[0]);
		return 1;
	default:
		if (rows->count == 0)
			lua_pushnil(L);
		else
			push_row(L, rows, 0);
		return 1;
	}
}

static void looked(void *arg, const struct rows *rows, const struct error *e)
{
	struct look_wait *w = arg;
	w->rows = rows;
	w->error = e;
	lua_wait_wake(&w->wait, push_shape);
}

static int look(lua_State *L, enum shape shape, const struct look *look)
{
	struct lua_store *o = lua_store_check(L, 1);
	task_check(L);
	struct look_wait *w = lua_wait_new(o, sizeof *w, sizeof *w);
	w->shape = shape;
	w->limit = look->limit;
	store_look(o->store, look, looked, w);
	return lua_wait_suspend(L, &w->wait);
}

/* A table of filters as argument 2, or none. */
static void filters(lua_State *L, struct look *look)
{
	if (lua_isnoneornil(L, 2))
		return;
	luaL_checktype(L, 2, LUA_TTABLE);
	look->pattern = lua_span_field(L, 2, "pattern");
	look->reaction = lua_span_field(L, 2, "reaction");
	struct span status = lua_span_field(L, 2, "status");
	look->status = status_number(status);
	if (status.data && !look->status)
		lua_error_raisef(L, ERROR_ARGUMENT, "status \"%s\": expected active, finished or terminated",
				 status.data);
	look->older_than = lua_int_field(L, 2, "older_than", 0);
	look->limit = lua_int_field(L, 2, "limit", 0);
	look->after = lua_int_field(L, 2, "after", 0);
	look->id = lua_span_field(L, 2, "id");
}

static int l_threds(lua_State *L)
{
	struct look x = {.kind = LOOK_THREDS};
	filters(L, &x);
	return look(L, SHAPE_PAGE, &x);
}

static int l_dead(lua_State *L)
{
	struct look x = {.kind = LOOK_DEAD};
	filters(L, &x);
	return look(L, SHAPE_PAGE, &x);
}

static struct span id_arg(lua_State *L, int index)
{
	luaL_checkstring(L, index);
	return lua_span(L, index);
}

static int l_thred(lua_State *L)
{
	struct look x = {.kind = LOOK_THRED, .id = id_arg(L, 2)};
	return look(L, SHAPE_ROW, &x);
}

static int l_records(lua_State *L)
{
	struct look x = {.kind = LOOK_RECORDS, .id = id_arg(L, 2)};
	if (lua_istable(L, 3)) {
		x.limit = lua_int_field(L, 3, "limit", 0);
		x.after = lua_int_field(L, 3, "after", 0);
	}
	return look(L, SHAPE_LIST, &x);
}

static int l_event(lua_State *L)
{
	struct look row = {.kind = LOOK_ROW, .after = lua_tointeger(L, 2)};
	if (lua_isinteger(L, 2))
		return look(L, SHAPE_ROW, &row);
	struct look x = {.kind = LOOK_EVENT, .id = id_arg(L, 2), .source = lua_span(L, 3)};
	if (!x.source.data)
		return lua_error_raisef(L, ERROR_MISSING, "event needs the source of the event: see find_event");
	return look(L, SHAPE_ROW, &x);
}

/* (id, place?) -> row, or nil and the place to look next; nil, nil at the end */
static int l_find_event(lua_State *L)
{
	struct look x = {.kind = LOOK_FIND, .id = id_arg(L, 2), .after = luaL_optinteger(L, 3, 0)};
	return look(L, SHAPE_FIND, &x);
}

static int l_thred_event(lua_State *L)
{
	struct look x = {.kind = LOOK_THRED_EVENT, .after_id = id_arg(L, 2), .id = id_arg(L, 3)};
	return look(L, SHAPE_ROW, &x);
}

static int l_participant_threds(lua_State *L)
{
	struct look x = {.kind = LOOK_PARTICIPANT_THREDS, .id = id_arg(L, 2)};
	return look(L, SHAPE_LIST, &x);
}

static int l_last_event(lua_State *L)
{
	struct look x = {.kind = LOOK_LAST_EVENT, .id = id_arg(L, 2)};
	return look(L, SHAPE_ROW, &x);
}

static int l_inbox(lua_State *L)
{
	struct look x = {
		.kind = LOOK_INBOX, .id = id_arg(L, 2), .after_id = lua_span(L, 3), .limit = luaL_optinteger(L, 4, 0)};
	return look(L, SHAPE_INBOX, &x);
}

static int l_cursor(lua_State *L)
{
	struct look x = {.kind = LOOK_CURSOR, .id = id_arg(L, 2)};
	return look(L, SHAPE_CURSOR, &x);
}

static int l_counts(lua_State *L)
{
	struct look x = {.kind = LOOK_COUNTS};
	return look(L, SHAPE_ROW, &x);
}

static int l_thred_counts(lua_State *L)
{
	struct look x = {.kind = LOOK_THRED_COUNTS};
	return look(L, SHAPE_LIST, &x);
}

static int l_queue_counts(lua_State *L)
{
	struct look x = {.kind = LOOK_QUEUE_COUNTS};
	return look(L, SHAPE_LIST, &x);
}

static int l_active_files(lua_State *L)
{
	struct look x = {.kind = LOOK_ACTIVE_FILES};
	return look(L, SHAPE_LIST, &x);
}

static int l_active_patterns(lua_State *L);
static int l_patterns(lua_State *L)
{
	struct look x = {.kind = LOOK_PATTERNS};
	return look(L, SHAPE_LIST, &x);
}

/* The row first, then its files. */
static void pattern_row(void *arg, const struct rows *rows, const struct error *e)
{
	struct look_wait *w = arg;
	struct lua_store *o = w->wait.owner;
	if (w->wait.cancelled || e || rows->count == 0 || !o->store) {
		w->shape = SHAPE_ROW;
		looked(w, rows, e);
		return;
	}
	push_row(o->L, rows, 0);
	struct look files = {.kind = LOOK_PATTERN_FILES, .id = rows->cells[1].text};
	w->files = luaL_ref(o->L, LUA_REGISTRYINDEX);
	w->shape = SHAPE_FILES;
	store_look(o->store, &files, looked, w);
}

static int l_pattern(lua_State *L)
{
	struct lua_store *o = lua_store_check(L, 1);
	struct look x = {.kind = LOOK_PATTERN, .id = id_arg(L, 2)};
	task_check(L);
	struct look_wait *w = lua_wait_new(o, sizeof *w, sizeof *w);
	store_look(o->store, &x, pattern_row, w);
	return lua_wait_suspend(L, &w->wait);
}

static int finish(lua_State *L, struct lua_store *o, int64_t ticket, const struct error *e, int after)
{
	if (ticket < 0)
		return lua_error_raise(L, e);
	lua_store_after(L, o, ticket, after);
	return 0;
}

static size_t read_files(lua_State *L, struct lua_store *o, struct store_pattern *p)
{
	if (lua_getfield(L, 2, "files") != LUA_TTABLE) {
		lua_pop(L, 1);
		return 0;
	}
	size_t count = 0, i = 0;
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
		count++;
	struct store_file *files = arena_take(&o->scratch, (count + 1) * sizeof *files);
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
		files[i++] = (struct store_file){lua_span(L, -2), lua_span(L, -1)};
	lua_pop(L, 1);
	p->files = files;
	return count;
}

static int l_put_pattern(lua_State *L)
{
	struct lua_store *o = lua_store_check(L, 1);
	luaL_checktype(L, 2, LUA_TTABLE);
	struct error e;
	struct store_pattern p = {.id = lua_span_field(L, 2, "id"),
				  .hash = lua_span_field(L, 2, "hash"),
				  .file = lua_span_field(L, 2, "file"),
				  .at = lua_int_field(L, 2, "at", 0)};
	if (!p.id.data || !p.hash.data)
		return lua_error_raisef(L, ERROR_MISSING, "put_pattern needs id and hash");
	arena_clear(&o->scratch);
	p.file_count = read_files(L, o, &p);
	lua_getfield(L, 2, "activate");
	p.activate = lua_toboolean(L, -1);
	p.disabled = lua_getfield(L, 2, "enabled") == LUA_TBOOLEAN && !lua_toboolean(L, -1);
	lua_pop(L, 2);
	return finish(L, o, store_put_pattern(o->store, &p, &e), &e, 3);
}

static int l_meta(lua_State *L)
{
	struct lua_store *o = lua_store_check(L, 1);
	struct span key = id_arg(L, 2);
	if (lua_isnone(L, 3)) {
		struct look x = {.kind = LOOK_META, .id = key};
		return look(L, SHAPE_VALUE, &x);
	}
	struct error e;
	return finish(L, o, store_put_meta(o->store, key, lua_span(L, 3), &e), &e, 4);
}

static int l_audit(lua_State *L)
{
	struct lua_store *o = lua_store_check(L, 1);
	struct error e;
	luaL_checktype(L, 2, LUA_TTABLE);
	buf_clear(&o->text);
	if (json_lua_encode(L, 2, &o->text, &e))
		return lua_error_raise(L, &e);
	int64_t at = lua_int_field(L, 2, "at", runtime_now(task_runtime(L)));
	return finish(L, o, store_put_audit(o->store, at, (struct span){o->text.data, o->text.len}, &e), &e, 3);
}

static int l_audits(lua_State *L)
{
	struct look x = {.kind = LOOK_AUDIT};
	filters(L, &x);
	return look(L, SHAPE_LIST, &x);
}

static int l_dead_drop(lua_State *L)
{
	struct lua_store *o = lua_store_check(L, 1);
	struct error e;
	return finish(L, o, store_dead_drop(o->store, luaL_checkinteger(L, 2), &e), &e, 3);
}

struct ticket_wait {
	struct lua_wait wait;
	int64_t ticket;
	struct error error;
};

static int push_ticket(lua_State *L, void *arg)
{
	struct ticket_wait *w = arg;
	if (w->ticket < 0) {
		lua_error_push(L, &w->error);
		return -1;
	}
	lua_pushboolean(L, w->ticket > 0);
	return 1;
}

static void ticket(void *arg, int64_t n, const struct error *e)
{
	struct ticket_wait *w = arg;
	w->ticket = n;
	if (e)
		w->error = *e;
	lua_wait_wake(&w->wait, push_ticket);
}

static int l_dead_retry(lua_State *L)
{
	struct lua_store *o = lua_store_check(L, 1);
	int64_t id = luaL_checkinteger(L, 2), at = luaL_checkinteger(L, 3);
	task_check(L);
	struct ticket_wait *w = lua_wait_new(o, sizeof *w, sizeof *w);
	store_dead_retry(o->store, id, at, ticket, w);
	return lua_wait_suspend(L, &w->wait);
}

static int l_seen(lua_State *L)
{
	struct lua_store *o = lua_store_check(L, 1);
	struct span who = id_arg(L, 2), event = id_arg(L, 3);
	task_check(L);
	struct ticket_wait *w = lua_wait_new(o, sizeof *w, sizeof *w);
	store_seen(o->store, who, event, ticket, w);
	return lua_wait_suspend(L, &w->wait);
}

/* `enabled` is a truth value in Lua. */
static int push_actives(lua_State *L, void *arg)
{
	struct look_wait *w = arg;
	if (w->error)
		return push_shape(L, arg);
	lua_rows_push(L, w->rows);
	for (size_t i = 0; i < w->rows->count; i++) {
		lua_rawgeti(L, -1, (lua_Integer)i + 1);
		lua_getfield(L, -1, "enabled");
		lua_pushboolean(L, lua_tointeger(L, -1) != 0);
		lua_setfield(L, -3, "enabled");
		lua_pop(L, 2);
	}
	return 1;
}

static void actives(void *arg, const struct rows *rows, const struct error *e)
{
	struct look_wait *w = arg;
	w->rows = rows;
	w->error = e;
	lua_wait_wake(&w->wait, push_actives);
}

static int l_active_patterns(lua_State *L)
{
	struct lua_store *o = lua_store_check(L, 1);
	struct look x = {.kind = LOOK_ACTIVE_PATTERNS};
	task_check(L);
	struct look_wait *w = lua_wait_new(o, sizeof *w, sizeof *w);
	store_look(o->store, &x, actives, w);
	return lua_wait_suspend(L, &w->wait);
}

int lua_store_looks(lua_State *L)
{
	static const luaL_Reg methods[] = {{"threds", l_threds},
					   {"thred", l_thred},
					   {"records", l_records},
					   {"event", l_event},
					   {"find_event", l_find_event},
					   {"thred_event", l_thred_event},
					   {"participant_threds", l_participant_threds},
					   {"last_event", l_last_event},
					   {"dead", l_dead},
					   {"dead_retry", l_dead_retry},
					   {"dead_drop", l_dead_drop},
					   {"inbox", l_inbox},
					   {"cursor", l_cursor},
					   {"seen", l_seen},
					   {"counts", l_counts},
					   {"thred_counts", l_thred_counts},
					   {"queue_counts", l_queue_counts},
					   {"active_files", l_active_files},
					   {"put_pattern", l_put_pattern},
					   {"active_patterns", l_active_patterns},
					   {"patterns", l_patterns},
					   {"pattern", l_pattern},
					   {"meta", l_meta},
					   {"audit", l_audit},
					   {"audits", l_audits},
					   {NULL, NULL}};
	luaL_setfuncs(L, methods, 0);
	return 0;
}
