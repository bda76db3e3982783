/* SPDX-License-Identifier: MIT */
#include <lauxlib.h>
#include <unistd.h>

#include "observe/observe.h"

#define BOUND "srvthreds.observe"

/* In the registry, with a __gc for what it made itself. */
struct bound {
	struct log *log, *own_log;
	struct metrics *metrics, *own_metrics;
};

static int bound_gc(lua_State *L)
{
	struct bound *b = lua_touserdata(L, 1);
	log_free(b->own_log);
	metrics_free(b->own_metrics);
	*b = (struct bound){0};
	return 0;
}

static struct bound *bound(lua_State *L)
{
	lua_getfield(L, LUA_REGISTRYINDEX, BOUND);
	struct bound *b = lua_touserdata(L, -1);
	lua_pop(L, 1);
	if (b)
		return b;
	b = lua_newuserdatauv(L, sizeof *b, 0);
	*b = (struct bound){0};
	lua_createtable(L, 0, 1);
	lua_pushcfunction(L, bound_gc);
	lua_setfield(L, -2, "__gc");
	lua_setmetatable(L, -2);
	lua_setfield(L, LUA_REGISTRYINDEX, BOUND);
	return b;
}

void observe_bind(lua_State *L, struct log *log, struct metrics *metrics)
{
	struct bound *b = bound(L);
	b->log = log;
	b->metrics = metrics;
}

struct log *observe_log(lua_State *L)
{
	struct bound *b = bound(L);
	if (!b->log)
		b->log = b->own_log = log_new(&(struct log_options){.fd = STDERR_FILENO, .level = LOG_LEVEL_INFO},
					      NULL);
	return b->log;
}

struct metrics *observe_metrics(lua_State *L)
{
	struct bound *b = bound(L);
	if (!b->metrics)
		b->metrics = b->own_metrics = metrics_new();
	return b->metrics;
}
