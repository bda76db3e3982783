/* SPDX-License-Identifier: MIT
 *
 * The collector and scripts that take much. Three things would keep the loop for tens of milliseconds: the step that
 * follows a large block, as large as the block; the full collection that follows a refused one; and, in generational
 * mode, every major collection. So the collector is halted when a script takes a large block and goes on at its next
 * instruction without that debt, next to nothing is refused, and while a script holds much the mode is incremental. How
 * large its steps are, state.c says.
 */
#include "script/private.h"

#define SWEEP_NS  (1 * MS) /* work of the sweep in one turn of the loop */
#define SWEEP_GAP 2        /* ms between them */

/* In an allocation: this only sets a flag. */
void script_halt(struct script *s)
{
	lua_gc(s->main, LUA_GCSTOP);
	s->halted = true;
}

void script_resume_collector(lua_State *L, struct script *s)
{
	s->halted = false;
	lua_gc(L, LUA_GCRESTART);
}

void script_make_incremental(lua_State *L, struct script *s)
{
	if (lua_gc(L, LUA_GCINC, 0, 0, 0) == LUA_GCGEN)
		s->generational = true;
}

bool script_collect(lua_State *L, struct script *s)
{
	if (s->halted)
		script_resume_collector(L, s);
	script_make_incremental(L, s);
	int mul = lua_gc(L, LUA_GCSETSTEPMUL, 25); /* a step of a fraction of a millisecond */
	bool ended = lua_gc(L, LUA_GCSTEP, 0);
	lua_gc(L, LUA_GCSETSTEPMUL, mul);
	return ended;
}

static void sweep_turn(struct runtime_timer *timer)
{
	struct script *s = (struct script *)((char *)timer - offsetof(struct script, sweep));
	int64_t until = clock_ns(CLOCK_MONOTONIC) + SWEEP_NS;
	while (s->cycles < 2 && clock_ns(CLOCK_MONOTONIC) < until)
		s->cycles += script_collect(s->main, s);
	if (s->cycles < 2) {
		runtime_timer_start(s->rt, timer, runtime_now(s->rt) + SWEEP_GAP, sweep_turn);
	} else if (s->generational && s->total - s->root->used < SCRIPT_LARGE) {
		s->generational = false;
		lua_gc(s->main, LUA_GCGEN, 0, 0);
	} else if (s->generational) {
		runtime_timer_start(s->rt, timer, runtime_now(s->rt) + 100, sweep_turn);
	}
}

void script_sweep(struct script *s)
{
	if (!s->rt || s->sweep.slot)
		return;
	s->cycles = 0;
	runtime_timer_start(s->rt, &s->sweep, runtime_now(s->rt) + SWEEP_GAP, sweep_turn);
}
