/* SPDX-License-Identifier: MIT
 *
 * The last resort: a thread that ends the process when one stretch of a script, which nothing could interrupt, took too
 * much CPU time (one instruction on huge data). CPU time of the loop thread, so that a process that was stopped or
 * starved isn't ended. The event is delivered again at the next start, and becomes a dead letter after the third end.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "script/private.h"

struct watchdog {
	struct script *script;
	pthread_t thread;
	clockid_t clock; /* of the loop thread */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop;     /* under the lock */
	int64_t limit; /* ns */
};

static void bite(const struct watchdog *w, int64_t took)
{
	const char *names = atomic_load(&w->script->watched);
	const char *reaction = names ? names + strlen(names) + 1 : "";
	char line[400];
	int n = snprintf(
		line, sizeof line,
		"srvthreds: the process ends: a script of pattern \"%.100s\", reaction \"%.100s\", could not be "
		"interrupted for %.1f s of CPU time, the limit is %.1f s\n",
		names ? names : "not known", reaction, (double)took / 1e9, (double)w->limit / 1e9);
	ssize_t written = write(STDERR_FILENO, line, (size_t)n);
	_exit(written < 0 ? WATCHDOG_EXIT + 1 : WATCHDOG_EXIT);
}

static void *watch(void *arg)
{
	struct watchdog *w = arg;
	uint64_t turn = 0;
	int64_t since = 0;
	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		struct timespec until;
		clock_gettime(CLOCK_REALTIME, &until);
		int64_t ns = until.tv_nsec + w->limit / 8;
		until.tv_sec += ns / 1000000000;
		until.tv_nsec = ns % 1000000000;
		pthread_cond_timedwait(&w->wake, &w->lock, &until);
		uint64_t now = atomic_load(&w->script->turn);
		int64_t cpu = clock_ns(w->clock);
		if (now != turn || !(now & 1)) {
			turn = now;
			since = cpu;
		} else if (cpu - since > w->limit) {
			bite(w, cpu - since);
		}
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
	free(w);
	s->watchdog = NULL;
}

int script_watch(lua_State *L)
{
	struct script *s = script_of(L);
	lua_Integer ms = luaL_checkinteger(L, 1);
	luaL_argcheck(L, ms > 0 && ms < 86400000, 1, "from 1 ms to a day");
	script_unwatch(s);
	struct watchdog *w = xcalloc(1, sizeof *w);
	w->script = s;
	w->limit = ms * MS;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	if (pthread_getcpuclockid(pthread_self(), &w->clock) != 0 || pthread_create(&w->thread, NULL, watch, w) != 0) {
		free(w);
		return luaL_error(L, "can't start the watchdog's thread");
	}
	s->watchdog = w;
	return 0;
}
