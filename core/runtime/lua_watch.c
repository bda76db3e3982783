/* SPDX-License-Identifier: MIT
 *
 * Watches one folder (inotify by libuv). Editors replace files, write twice, touch ten at once: a burst is told once,
 * when it has been quiet for 50 ms, at the latest 250 ms after it began.
 */
#include <lauxlib.h>
#include <stddef.h>
#include <stdlib.h>

#include "runtime/lua_private.h"
#include "runtime/task.h"

#define WATCH     "core.runtime.watch"
#define QUIET_MS  50
#define LATEST_MS 250

/* Lives on the heap, since libuv owns it until its close callback ran. */
struct watch {
	uv_fs_event_t event;
	struct runtime_timer timer;
	struct runtime *rt;
	lua_State *L;
	int64_t began; /* of the burst, 0 = none */
	int fn;        /* registry reference */
};

static void burst_over(struct runtime_timer *timer)
{
	struct watch *w = (struct watch *)((char *)timer - offsetof(struct watch, timer));
	w->began = 0;
	lua_rawgeti(w->L, LUA_REGISTRYINDEX, w->fn);
	task_start(w->L, 0);
}

static void changed(uv_fs_event_t *handle, const char *name, int events, int status)
{
	(void)name;
	(void)events;
	(void)status;
	struct watch *w = handle->data;
	int64_t now = runtime_now(w->rt);
	if (!w->began)
		w->began = now;
	int64_t latest = w->began + LATEST_MS, due = now + QUIET_MS;
	runtime_timer_start(w->rt, &w->timer, due < latest ? due : latest, burst_over);
}

static void closed(uv_handle_t *handle)
{
	free(handle->data);
}

static int watch_close(lua_State *L)
{
	struct watch **box = luaL_checkudata(L, 1, WATCH);
	struct watch *w = *box;
	if (!w)
		return 0;
	*box = NULL;
	runtime_timer_stop(w->rt, &w->timer);
	luaL_unref(L, LUA_REGISTRYINDEX, w->fn);
	uv_close((uv_handle_t *)&w->event, closed);
	return 0;
}

static int l_watch(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	luaL_checktype(L, 2, LUA_TFUNCTION);
	struct watch **box = lua_newuserdatauv(L, sizeof *box, 0);
	*box = NULL;
	luaL_setmetatable(L, WATCH);
	struct watch *w = xcalloc(1, sizeof *w);
	w->rt = task_runtime(L);
	w->L = runtime_lua_main(L);
	w->event.data = w;
	uv_fs_event_init(runtime_loop(w->rt), &w->event);
	uv_unref((uv_handle_t *)&w->event);
	*box = w;
	lua_pushvalue(L, 2);
	w->fn = luaL_ref(L, LUA_REGISTRYINDEX);
	int rc = uv_fs_event_start(&w->event, changed, path, 0);
	if (rc == 0)
		return 1;
	watch_close(L);
	lua_pushnil(L);
	lua_pushfstring(L, "can't watch %s: %s", path, uv_strerror(rc));
	return 2;
}

void runtime_lua_watch(lua_State *L)
{
	static const luaL_Reg methods[] = {{"close", watch_close}, {"__gc", watch_close}, {NULL, NULL}};
	luaL_newmetatable(L, WATCH);
	luaL_setfuncs(L, methods, 0);
	lua_pushvalue(L, -1);
	lua_setfield(L, -2, "__index");
	lua_pop(L, 1);
	lua_pushcfunction(L, l_watch);
	lua_setfield(L, -2, "watch");
}
