/* SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <string.h>

#include "base/lua_error.h"
#include "observe/observe.h"
#include "observe/part.h"

static const char *const type_names[] = {"srvthreds.counter", "srvthreds.gauge", "srvthreds.histogram"};
static const char *const kind_names[] = {"counter", "gauge", "histogram"};

static enum metric check_metric(lua_State *L, enum metric_kind kind)
{
	const char *name = luaL_checkstring(L, 1);
	for (int i = 0; i < METRIC_COUNT; i++) {
		const struct metric_class *c = metric_class((enum metric)i);
		if (strcmp(c->name, name) != 0 && strcmp(c->name + strlen("srvthreds_"), name) != 0)
			continue;
		if (c->kind != kind)
			lua_error_raisef(L, ERROR_ARGUMENT, "metric \"%s\" is a %s, not a %s", name,
					 kind_names[c->kind], kind_names[kind]);
		return (enum metric)i;
	}
	lua_error_raisef(L, ERROR_ARGUMENT, "no metric \"%s\": core/observe/metrics_table.h lists them", name);
	return METRIC_COUNT;
}

/* The values of the labels, left on the stack, which the result borrows. */
static void check_labels(lua_State *L, const struct metric_class *c, const char **values)
{
	const char *label = c->labels;
	for (size_t i = 0; i < c->n_labels; i++) {
		size_t n = strcspn(label, ",");
		lua_pushlstring(L, label, n);
		if (lua_istable(L, 2))
			lua_gettable(L, 2);
		values[i] = lua_tostring(L, -1);
		if (!lua_istable(L, 2) || !values[i])
			lua_error_raisef(L, ERROR_ARGUMENT, "metric %s needs the label \"%.*s\"", c->name, (int)n,
					 label);
		label += n + 1;
	}
}

static int make(lua_State *L, enum metric_kind kind)
{
	const char *values[METRIC_LABELS];
	struct metrics *m = observe_metrics(L);
	enum metric metric = check_metric(L, kind);
	check_labels(L, metric_class(metric), values);
	struct metrics_series **handle = lua_newuserdatauv(L, sizeof *handle, 0);
	*handle = metrics_series(m, metric, values);
	luaL_setmetatable(L, type_names[kind]);
	return 1;
}

static int l_counter(lua_State *L)
{
	return make(L, METRIC_KIND_COUNTER);
}

static int l_gauge(lua_State *L)
{
	return make(L, METRIC_KIND_GAUGE);
}

static int l_histogram(lua_State *L)
{
	return make(L, METRIC_KIND_HISTOGRAM);
}

static struct metrics_series *check_handle(lua_State *L, enum metric_kind kind)
{
	struct metrics_series **handle = luaL_checkudata(L, 1, type_names[kind]);
	return *handle;
}

static int counter_add(lua_State *L)
{
	lua_Number n = luaL_optnumber(L, 2, 1);
	luaL_argcheck(L, n >= 0, 2, "a counter never goes down");
	metrics_add(check_handle(L, METRIC_KIND_COUNTER), n);
	return 0;
}

static int gauge_add(lua_State *L)
{
	metrics_add(check_handle(L, METRIC_KIND_GAUGE), luaL_optnumber(L, 2, 1));
	return 0;
}

static int gauge_set(lua_State *L)
{
	metrics_set(check_handle(L, METRIC_KIND_GAUGE), luaL_checknumber(L, 2));
	return 0;
}

static int gauge_hide(lua_State *L)
{
	metrics_hide(check_handle(L, METRIC_KIND_GAUGE));
	return 0;
}

static int histogram_observe(lua_State *L)
{
	metrics_observe(check_handle(L, METRIC_KIND_HISTOGRAM), luaL_checknumber(L, 2));
	return 0;
}

static int text_gc(lua_State *L)
{
	buf_free(lua_touserdata(L, 1));
	return 0;
}

/* Upvalue: the metatable of the buffer, which so is freed whatever raises. */
static int l_text(lua_State *L)
{
	struct metrics *m = observe_metrics(L);
	struct buf *out = lua_newuserdatauv(L, sizeof *out, 0);
	*out = (struct buf){0};
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_setmetatable(L, -2);
	if (metrics_text(m, out))
		return luaL_error(L, "no memory for the metrics");
	lua_pushlstring(L, out->data, out->len);
	buf_free(out);
	return 1;
}

static void add_type(lua_State *L, enum metric_kind kind, const luaL_Reg *methods)
{
	luaL_newmetatable(L, type_names[kind]);
	luaL_setfuncs(L, methods, 0);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
}

int luaopen_core_metrics(lua_State *L)
{
	static const luaL_Reg counter[] = {{"add", counter_add}, {NULL, NULL}};
	static const luaL_Reg gauge[] = {{"add", gauge_add}, {"set", gauge_set}, {"hide", gauge_hide}, {NULL, NULL}};
	static const luaL_Reg histogram[] = {{"observe", histogram_observe}, {NULL, NULL}};
	static const luaL_Reg functions[] = {
		{"counter", l_counter}, {"gauge", l_gauge}, {"histogram", l_histogram}, {"text", l_text}, {NULL, NULL}};
	add_type(L, METRIC_KIND_COUNTER, counter);
	add_type(L, METRIC_KIND_GAUGE, gauge);
	add_type(L, METRIC_KIND_HISTOGRAM, histogram);
	luaL_newlib(L, functions);
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, text_gc);
	lua_setfield(L, -2, "__gc");
	lua_pushcclosure(L, l_text, 1);
	lua_setfield(L, -2, "text");
	return 1;
}
