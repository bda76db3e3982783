/* SPDX-License-Identifier: MIT
 *
 * lua_store: what the Lua faces of store and queue share. Loop thread only.
 */
#ifndef SRVTHREDS_LUA_STORE_H
#define SRVTHREDS_LUA_STORE_H

#include <lauxlib.h>

#include "queue/queue.h"
#include "runtime/task.h"
#include "store/batch.h"
#include "store/store.h"

#define LUA_STEP_NAME  "core.store.step"
#define LUA_STORE_NAME "core.store"
#define LUA_QUEUE_NAME "core.queue"

/* The values to hand to on_durable for one ticket: a Lua list. */
struct lua_after {
	int64_t ticket;
	int ref;
	lua_Integer count;
};

struct lua_store {
	lua_State *L;        /* the main one */
	struct store *store; /* NULL once closed */
	struct queue *queue;
	struct lua_after *after; /* owned, oldest first */
	size_t after_len, after_cap;
	int on_durable, on_failed, on_due;
	struct arena scratch; /* of the commit that is being read from Lua */
	struct buf text;
	bool dying; /* the state closes: no Lua any more */
};

/* One wait of a task. */
struct lua_wait {
	struct task_wait task;
	struct lua_store *owner;
	bool over;
	bool cancelled; /* the task is gone, perhaps with the owner: free only */
};
/* The first `clear` bytes are zeroed: a `struct error` behind them is two pages of text that few waits need. */
void *lua_wait_new(struct lua_store *o, size_t size, size_t clear);
int lua_wait_suspend(lua_State *L, struct lua_wait *w);
/* Wakes the task and frees `w`; push runs at once. */
void lua_wait_wake(struct lua_wait *w, int (*push)(lua_State *L, void *arg));

struct lua_store *lua_store_check(lua_State *L, int index); /* of a store or queue; raises when closed */
void lua_store_after(lua_State *L, struct lua_store *o, int64_t ticket, int index);
struct span lua_span(lua_State *L, int index); /* a string; anything else is absent */
struct span lua_span_field(lua_State *L, int table, const char *key);
int64_t lua_int_field(lua_State *L, int table, const char *key, int64_t otherwise);

/* Table at `index` -> changes whose spans live in o->scratch or in the table. Raises. */
void lua_changes(lua_State *L, struct lua_store *o, int index, struct store_changes *changes);
/* The arguments of step:advance by their places: what most steps change, and `after`. */
enum lua_advance {
	ADVANCE_DELIVERY = 2, /* its n */
	ADVANCE_OUTCOME,
	ADVANCE_REC,
	ADVANCE_STATE,
	ADVANCE_PATTERN,
	ADVANCE_VERSION,
	ADVANCE_REACTION,
	ADVANCE_STATUS,
	ADVANCE_REACTED,
	ADVANCE_DUE,
	ADVANCE_MEMBERS,
	ADVANCE_EVENTS,
	ADVANCE_AFTER
};
void lua_advance(lua_State *L, struct lua_store *o, struct store_changes *changes);
/* {source, id, …} at `index`, doc at `doc`; the spans as above. Raises. */
void lua_accept(lua_State *L, struct lua_store *o, int index, int doc, struct accept *accept);

int lua_step_begin(lua_State *L);     /* store:begin(id), */
int lua_step_begin_new(lua_State *L); /* store:begin_new(id, reservation) */
void lua_step_open(lua_State *L);     /* makes the class of their steps */
/* Pushes the metatable of a class, closed to scripts. */
void lua_store_class(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc);

void lua_queue_open(lua_State *L, int store); /* pushes the queue of the store at `store` */
int lua_store_looks(lua_State *L);            /* adds the looking methods to the table on top */
void lua_rows_push(lua_State *L, const struct rows *rows);
void lua_ran_push(lua_State *L, const struct ran *ran); /* a table: which script the process ended in */
void lua_store_running(void *arg, uint64_t key);        /* a task_mark of a struct lua_store */

int luaopen_core_store(lua_State *L);

#endif
