/* SPDX-License-Identifier: MIT
 *
 * script: untrusted Lua code, kept apart from everything else. It runs in slices of 2 ms, under limits of time and
 * memory, and sees only what environment.c lists. Its Lua face is the module core.script (docs/interfaces.md); what
 * scripts see is listed in docs/sandbox.md.
 *
 * Loop thread only: the slice timer signals the thread that makes the first script call of a state. Uses the real-time
 * signal SCRIPT_SIGNAL, which nobody else may use; system calls of that thread may end with EINTR once per slice.
 */
#ifndef SRVTHREDS_SCRIPT_H
#define SRVTHREDS_SCRIPT_H

#include <lua.h>
#include <signal.h>

#include "runtime/runtime.h"

#define SCRIPT_SIGNAL (SIGRTMIN + 2)

/* A main lua_State on the accounting allocator, with the standard libraries (for trusted code), core.script preloaded
 * and, when `rt` is not NULL, task_open done. Aborts when there is no memory for it. The string functions that are
 * reached through a value (`("x"):rep(3)`) are the sandbox's, also for trusted code, which they do not limit. */
lua_State *script_state_new(struct runtime *rt);
/* Closes it. Not from within a script call. */
void script_state_free(lua_State *L);

/* Opens core.script; only on a state that script_state_new made. */
int luaopen_core_script(lua_State *L);

struct ran;
/* From now on what scripts do is told to `ran`, which outlives a kill; NULL: to nobody, if it was told to `before`. */
void script_tell(lua_State *L, struct ran *ran, const struct ran *before);

/* Bytes of all Lua blocks alive, and of those that belong to the contexts of script calls. */
struct script_memory {
	size_t total, scripts;
	size_t contexts; /* owners that still hold blocks */
	size_t heap;     /* bytes that the process has allocated and not freed, Lua's and all others */
};
struct script_memory script_memory(lua_State *L);

#endif
