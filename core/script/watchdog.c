/* SPDX-License-Identifier: MIT
 *
 * The last resort: a thread that ends the process when nothing else runs for too long: one stretch of a script that
 * nothing could interrupt (one instruction on huge data), or one turn of the loop (a full collection, a C function). It
 * counts the CPU time of the loop thread, so that a process that was stopped or starved isn't ended. The event is
 * delivered again at the next start, and becomes a dead letter after the third end.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "script/private.h"
#include "script/script.h"

#define PLACE_NS (200 * MS) /* that the loop thread has to say where it is */

/* A count that goes on, unless something is stuck. */
struct progress {
	uint64_t last;
	int64_t since; /* CPU time at which it was seen first */
};

struct watchdog {
	struct script *script;
	pthread_t thread, loop_thread;
	clockid_t clock; /* of the loop thread */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop;                          /* under the lock */
	int64_t limit;                      /* ns */
	const _Atomic uint64_t *loop_turns; /* NULL: scripts only */
	struct progress script_turn, loop_turn;
	atomic_bool bites; /* the loop thread's next signal is to say where it is */
	atomic_flag said;
	char why[200], place[260];
};

/* Ends the process. Also in a signal handler. */
static void say(struct watchdog *w)
{
	const char *names = atomic_load(&w->script->watched);
	char line[700];
	if (atomic_flag_test_and_set(&w->said))
		return;
	int n = snprintf(
		line, sizeof line,
		"srvthreds: the process ends: %s; the last script: pattern \"%.100s\", reaction \"%.100s\"%s\n", w->why,
		names ? names : "not known", names ? names + strlen(names) + 1 : "", w->place);
	ssize_t written = write(STDERR_FILENO, line, (size_t)n);
	_exit(written < 0 ? WATCHDOG_EXIT + 1 : WATCHDOG_EXIT);
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	(void)info;
	_exit(WATCHDOG_EXIT);
}

/* In the signal's handler, in whatever the script is stuck in: looking where that is may do no harm any more, since the
 * process ends in any case; what was known before has been kept. */
void script_bitten(struct script *s)
{
	struct watchdog *w = s->watchdog;
	struct sigaction end = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
	struct call *call = s->call;
	char file[200] = "";
	int at = 0;
	sigaction(SIGSEGV, &end, NULL);
	sigaction(SIGBUS, &end, NULL);
	if (s->running && call)
		script_where(s->running, file, sizeof file, &at);
	if (at) {
		snprintf(w->place, sizeof w->place, ", at %s:%d", file, at);
		if (s->ran) {
			RAN_SET(s->ran, file, file);
			s->ran->line = (uint32_t)at;
		}
	}
	say(w);
}

static void bite(struct watchdog *w, int64_t took, bool in_script)
{
	struct script *s = w->script;
	snprintf(w->why, sizeof w->why, "%s for %.1f s of CPU time, the limit is %.1f s",
		 in_script ? "a script could not be interrupted" : "one turn of its loop went on", (double)took / 1e9,
		 (double)w->limit / 1e9);
	if (s->ran)
		RAN_SET(s->ran, why, w->why);
	if (in_script) {
		atomic_store(&w->bites, true);
		if (pthread_sigqueue(w->loop_thread, SCRIPT_SIGNAL, (union sigval){.sival_ptr = s}) == 0)
			nanosleep(&(struct timespec){.tv_nsec = PLACE_NS}, NULL);
	}
	say(w);
	nanosleep(&(struct timespec){.tv_sec = 1}, NULL); /* the other one is saying it */
	_exit(WATCHDOG_EXIT);
}

bool script_bites(const struct script *s)
{
	return s->watchdog && atomic_load_explicit(&s->watchdog->bites, memory_order_relaxed);
}

/* How much CPU time has passed since `now` was seen first. */
static int64_t stuck(struct progress *p, uint64_t now, bool busy, int64_t cpu)
{
	if (now != p->last || !busy) {
		p->last = now;
		p->since = cpu;
	}
	return cpu - p->since;
}

static void look(struct watchdog *w)
{
	uint64_t turn = atomic_load(&w->script->turn);
	int64_t cpu = clock_ns(w->clock), took = stuck(&w->script_turn, turn, turn & 1, cpu);
	if (took > w->limit)
		bite(w, took, true);
	took = w->loop_turns ? stuck(&w->loop_turn, atomic_load(w->loop_turns), true, cpu) : 0;
	if (took > w->limit)
		bite(w, took, atomic_load(&w->script->turn) & 1);
}

static void *watch(void *arg)
{
	struct watchdog *w = arg;
	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		struct timespec until;
		clock_gettime(CLOCK_REALTIME, &until);
		int64_t ns = until.tv_nsec + w->limit / 8;
		until.tv_sec += ns / 1000000000;
		until.tv_nsec = ns % 1000000000;
		pthread_cond_timedwait(&w->wake, &w->lock, &until);
		if (!w->stop)
			look(w);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

void script_unwatch(struct script *s)
{
	struct watchdog *w = s->watchdog;
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->wake);
	s->watchdog = NULL;
	free(w);
}

/* script.watch(ms, loop): `loop` watches also the turns of the loop. */
int script_watch(lua_State *L)
{
	struct script *s = script_of(L);
	lua_Integer ms = luaL_checkinteger(L, 1);
	luaL_argcheck(L, ms > 0 && ms < 86400000, 1, "from 1 ms to a day");
	bool loop = lua_toboolean(L, 2) && s->rt && !runtime_is_virtual(s->rt);
	script_unwatch(s);
	struct watchdog *w = xcalloc(1, sizeof *w);
	w->script = s;
	w->limit = ms * MS;
	w->loop_thread = pthread_self();
	w->loop_turns = loop ? runtime_turns(s->rt) : NULL;
	w->said = (atomic_flag)ATOMIC_FLAG_INIT;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	s->watchdog = w;
	w->script_turn.since = w->loop_turn.since = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	if (pthread_getcpuclockid(pthread_self(), &w->clock) != 0 || pthread_create(&w->thread, NULL, watch, w) != 0) {
		s->watchdog = NULL;
		free(w);
		return luaL_error(L, "can't start the watchdog's thread");
	}
	return 0;
}
