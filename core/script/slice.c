/* SPDX-License-Identifier: MIT
 *
 * Slices. A one-shot timer signals the loop thread 2 ms after a script began; its handler arms a count hook on the
 * running coroutine, which yields. No hook is set otherwise, so that scripts run at full speed. The timer stays armed
 * from one call to the next; a handler that finds a young slice waits for the rest of it.
 *
 * A script over its limits yields and is never resumed, so that nothing of it runs any more. Where it can't yield,
 * every instruction raises until it can.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "script/private.h"
#include "script/script.h"

static const char KILLED; /* its address is the error value of a killed script */

static void on_count(lua_State *L, lua_Debug *ar);

/* Lua marks every call on the stack: of thousands that is a millisecond. */
static void arm(lua_State *L)
{
	lua_sethook(L, on_count, LUA_MASKCOUNT, 1);
}

void script_arm(lua_State *L)
{
	if (!lua_gethookmask(L))
		arm(L);
}

static void timer_start(struct script *s, int64_t ns)
{
	struct itimerspec t = {.it_value = {.tv_nsec = ns}};
	s->armed = 1;
	timer_settime(s->timer, 0, &t, NULL);
}

/* In a signal handler: calls only what is allowed there. */
static void on_tick(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	struct script *s = info->si_value.sival_ptr;
	lua_State *L = s->running;
	if (script_bites(s))
		script_bitten(s);
	s->armed = 0;
	if (!L)
		return;
	int64_t left = s->call->slice_start + s->slice_ns - clock_ns(CLOCK_MONOTONIC);
	if (left > s->slice_ns / 8) {
		timer_start(s, left);
		return;
	}
	int64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	if (!s->call->tick_cpu)
		s->call->tick_cpu = cpu;
	/* Once, while one instruction goes on; again now and then, since what was interrupted may have been about to clear the
	 * hook or a mark of it. */
	if (!s->unheard || !lua_gethookmask(L) || ++s->deaf % 8 == 0)
		arm(L);
	if (!s->unheard)
		s->unheard = cpu;
	s->due = s->over = 1;
	timer_start(s, s->slice_ns);
}

static void timer_open(struct script *s)
{
	struct sigaction action = {.sa_sigaction = on_tick, .sa_flags = SA_RESTART | SA_SIGINFO | SA_ONSTACK};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SCRIPT_SIGNAL};
	event.sigev_value.sival_ptr = s;
	event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	sigemptyset(&action.sa_mask);
	sigaction(SCRIPT_SIGNAL, &action, NULL);
	s->has_timer = timer_create(CLOCK_MONOTONIC, &event, &s->timer) == 0;
}

void script_timer_free(struct script *s)
{
	s->running = NULL;
	if (s->has_timer)
		timer_delete(s->timer); /* a signal that is pending is handled before this returns */
}

/* Up to the first tick by the wall, then by the CPU clock, which is dearer but does not count other processes. */
static int64_t slice_cpu(const struct call *call, int64_t now)
{
	int64_t slice = call->script->slice_ns;
	if (call->tick_cpu)
		return slice + clock_ns(CLOCK_THREAD_CPUTIME_ID) - call->tick_cpu;
	int64_t elapsed = now - call->slice_start;
	return elapsed < slice ? elapsed : slice;
}

bool script_stuck(const struct script *s)
{
	return s->unheard && clock_ns(CLOCK_THREAD_CPUTIME_ID) - s->unheard > INSTRUCTION_NS;
}

/* The loop thread is the only writer: two stores. */
static inline void turn(struct script *s, bool runs)
{
	uint64_t n = atomic_load_explicit(&s->turn, memory_order_relaxed) + 1;
	atomic_store_explicit(&s->turn, runs ? n | 1 : (n | 1) + 1, memory_order_release);
}

static void slice_begin(struct script *s, struct call *call)
{
	atomic_store_explicit(&s->watched, call->account ? call->account->names : NULL, memory_order_relaxed);
	turn(s, true);
	script_tell_begin(s, call);
	call->tick_cpu = s->unheard = 0;
	call->slice_start = clock_ns(CLOCK_MONOTONIC);
	s->due = s->over = call->kill != KILL_NONE;
	s->owner = call->owner;
	s->running = call->running;
	if (!s->armed) {
		if (!s->has_timer)
			timer_open(s);
		timer_start(s, s->slice_ns);
	}
	if (!call->started)
		call->started = call->slice_start;
	const struct owner *o = call->owner;
	if (call->kill || o->pressed || o->cpu_ns > o->cpu_max ||
	    o->wall_ns + call->slice_start - call->started > o->wall_max) {
		s->over = 1; /* judged at the first instruction */
		script_arm(call->running);
	}
}

static void slice_end(struct script *s, struct call *call)
{
	turn(s, false);
	script_tell_end(s);
	s->running = NULL;
	s->owner = s->root;
	if (s->halted)
		script_resume_collector(call->co, s);
	call->owner->cpu_ns += slice_cpu(call, clock_ns(CLOCK_MONOTONIC));
}

void script_enter(struct script *s, struct call *call)
{
	call->prev = s->call;
	call->stack = call->prev ? call->prev->stack : (uintptr_t)__builtin_frame_address(0);
	s->call = call;
	if (!call->trusted)
		slice_begin(s, call);
}

void script_leave(struct script *s, struct call *call)
{
	if (!call->trusted)
		slice_end(s, call);
	s->call = call->prev;
	if (s->call && !s->call->trusted) { /* a call made by a function of a script that isn't marked as trusted */
		s->owner = s->call->owner;
		s->running = s->call->running;
	}
}

void script_trusted_begin(struct script *s, struct call *call)
{
	if (call->trusted++ == 0)
		slice_end(s, call);
}

void script_trusted_end(struct script *s, struct call *call, lua_State *L)
{
	if (--call->trusted == 0) {
		call->running = L;
		slice_begin(s, call);
	}
}

void script_running(struct script *s, struct call *call, lua_State *L)
{
	call->running = L;
	if (call->trusted)
		return;
	s->running = L;
	if (s->over || call->kill)
		script_arm(L);
}

void script_kill(struct call *call, enum script_kill kill, const char *format, ...)
{
	if (call->kill)
		return;
	va_list args;
	va_start(args, format);
	vsnprintf(call->why, sizeof call->why, format, args);
	va_end(args);
	call->kill = kill;
	call->script->due = 1; /* stays: nothing of it that looks goes on */
	if (call->script->running)
		script_arm(call->script->running);
}

/* `solid`: the script can't be interrupted where it is. Elsewhere a long piece is no fault of its own: a collection. */
static void judge_time(struct call *call, bool solid)
{
	const struct owner *o = call->owner;
	const int64_t solid_max = call->script->hostile ? 20 * SOLID_NS : SOLID_NS; /* a piece of many collections */
	int64_t now = clock_ns(CLOCK_MONOTONIC), slice = slice_cpu(call, now);
	int64_t cpu = o->cpu_ns + slice, wall = o->wall_ns + now - call->started;
	if (cpu > o->cpu_max)
		script_kill(call, KILL_CPU, "%.1f ms of CPU time, the limit is %.1f ms", (double)cpu / 1e6,
			    (double)o->cpu_max / 1e6);
	else if (wall > o->wall_max)
		script_kill(call, KILL_WALL, "%.1f ms of wall time, the limit is %.1f ms", (double)wall / 1e6,
			    (double)o->wall_max / 1e6);
	else if (solid && slice > solid_max)
		script_kill(call, KILL_CPU, "%.1f ms in one piece, where it can't be interrupted; the limit is %.1f ms",
			    (double)slice / 1e6, (double)solid_max / 1e6);
}

/* Collects what is garbage before memory is judged, a bit in each slice; two cycles, since the first may be under way.
 * True while that goes on. */
static bool judge_memory(lua_State *L, struct call *call)
{
	struct owner *o = call->owner;
	int64_t until = clock_ns(CLOCK_MONOTONIC) + SLICE_NS;
	while ((o->used > o->cap || script_crowded(call->script, o)) && o->cycles < 2) {
		if (clock_ns(CLOCK_MONOTONIC) > until)
			return true;
		o->cycles += script_collect(L, call->script);
	}
	o->pressed = false;
	o->cycles = 0;
	lua_Debug ar;
	bool crowded = script_crowded(call->script, o);
	if (o->used <= o->cap && !crowded)
		return false;
	if (lua_getstack(L, DEPTH_MAX, &ar))
		script_kill(call, KILL_STACK, "more than %d calls in each other", DEPTH_MAX);
	else if (o->used > o->cap)
		script_kill(call, KILL_MEMORY, "%zu bytes, the limit is %zu", o->used, o->cap);
	else
		script_kill(call, KILL_MEMORY, "%zu bytes, and all scripts together more than their limit of %zu",
			    o->used, call->script->total_max);
	return false;
}

/* True if the slice is over but its verdict isn't reached. */
static bool judge(lua_State *L, struct script *s, struct call *call, bool solid)
{
	s->over = 0;
	s->due = call->kill != KILL_NONE;
	if (call->kill)
		return false;
	bool pending = false;
	if (call->owner->pressed)
		pending = judge_memory(L, call);
	judge_time(call, solid);
	s->over = pending;
	return pending;
}

static void note_where(lua_State *L, struct call *call)
{
	if (!call->file[0])
		script_where(L, call->file, sizeof call->file, &call->line);
}

static void raise_killed(lua_State *L)
{
	lua_pushlightuserdata(L, (void *)&KILLED);
	lua_error(L);
}

/* The coroutine may yield, and so may all who resumed it. */
static bool yieldable(lua_State *L, const struct call *call)
{
	return lua_isyieldable(L) && !call->nonyield;
}

static inline void be_stuck(struct script *s)
{
#ifdef SRVTHREDS_FAULTS
	if (s->until_stuck && --s->until_stuck == 0)
		for (volatile bool on = true; on;)
			;
#else
	(void)s;
#endif
}

static inline void disarm(lua_State *L)
{
	lua_sethook(L, NULL, 0, 0);
}

static void on_count(lua_State *L, lua_Debug *ar)
{
	(void)ar;
	struct script *s = script_of(L);
	struct call *call = script_metered(s);
	s->unheard = 0;
	if (s->halted)
		script_resume_collector(L, s);
	if (call && call->owner->large)
		script_make_incremental(L, s);
	if (!call || (!call->kill && !s->over)) {
		disarm(L);
		return;
	}
	bool can_yield = yieldable(L, call);
	while (judge(L, s, call, !can_yield) && !can_yield)
		;
	script_tell_where(L, s, call);
	be_stuck(s);
	if (!call->kill && !s->over)
		disarm(L);
	if (call->kill) {
		note_where(L, call);
		script_arm(L);
		if (!can_yield)
			raise_killed(L);
		s->signal = SIGNAL_KILL;
		lua_yield(L, 0);
	} else if (can_yield) {
		s->preempted++;
		s->signal = SIGNAL_PREEMPT;
		lua_yield(L, 0);
	}
}

static int die_again(lua_State *L, int status, lua_KContext ctx)
{
	(void)status;
	(void)ctx;
	raise_killed(L);
	return 0;
}

int script_die(lua_State *L)
{
	struct script *s = script_of(L);
	note_where(L, s->call);
	script_arm(L); /* another coroutine may have been the one that runs */
	if (!yieldable(L, s->call))
		raise_killed(L);
	s->signal = SIGNAL_KILL;
	return lua_yieldk(L, 0, 0, die_again);
}

bool script_may_pause(lua_State *L, const struct script *s)
{
	return s->over && script_metered(s) && yieldable(L, s->call);
}

int script_pause(lua_State *L, lua_KContext ctx, lua_KFunction go_on)
{
	struct script *s = script_of(L);
	judge(L, s, s->call, false);
	if (s->call->kill)
		return script_die(L);
	s->preempted++;
	s->signal = SIGNAL_PREEMPT;
	return lua_yieldk(L, 0, ctx, go_on);
}

void script_overdue(lua_State *L, struct script *s)
{
	struct call *call = script_metered(s);
	sig_atomic_t over = s->over;
	s->due = 0;
	s->unheard = 0;
	if (s->halted) /* else all that the function leaves would be swept at once behind it */
		script_resume_collector(L, s);
	if (!call)
		return;
	if (!call->kill)
		judge_time(call, true);
	script_tell_where(L, s, call);
	s->over = over;
	if (call->kill) {
		s->due = 1;
		note_where(L, call);
		raise_killed(L); /* in the middle of a C function, which holds nothing that only it can free */
	}
}
