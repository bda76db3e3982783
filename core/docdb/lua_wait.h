/* SPDX-License-Identifier: MIT
 *
 * lua_wait: what lua_docdb.c and lua_docdb_script.c share; nobody else includes it.
 */
#ifndef SRVTHREDS_DOCDB_LUA_WAIT_H
#define SRVTHREDS_DOCDB_LUA_WAIT_H

#include "docdb/docdb.h"
#include "runtime/task.h"

enum { LUA_DOCDB_SCRIPTS = 1 }; /* user value: the function that runs scripts */

/* The userdata of core.docdb. */
struct lua_docdb {
	struct docdb *db; /* NULL: closed */
	struct buf tasks;
	lua_State *L; /* the main one, once there are scripts; then the registry has the userdata under this address */
	bool dying;   /* the state closes: no Lua any more */
};

/* Of a task for an answer; freed by the answer, or by the task's end. */
struct wait {
	struct task_wait task;
	struct lua_docdb *owner;
	const struct docdb_answer *answer; /* while push runs */
	bool over, cancelled;              /* cancelled: the task is gone, perhaps with the owner */
};

struct wait *lua_docdb_wait(struct lua_docdb *owner);
void lua_docdb_answered(void *wait, const struct docdb_answer *answer);
int lua_docdb_suspend(lua_State *L, struct wait *w);
/* Frees the wait; pushes nil and the error table. */
int lua_docdb_refused(lua_State *L, struct wait *w, const struct docdb_failure *failure);
/* The tasks at `index` as JSON; a string is JSON already. Raises. Valid until the next call, while the value lives. */
struct bytes lua_docdb_tasks(lua_State *L, struct lua_docdb *o, int index);

/* The docdb_start of who has scripts; `arg` is the lua_docdb. */
void lua_docdb_start(void *arg, struct docdb_script *script, const struct docdb_script_call *call);
void lua_docdb_script_type(lua_State *L);

#endif
