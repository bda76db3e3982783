/* SPDX-License-Identifier: MIT */
#include "observe/part.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define FULL        (1024 * 1024) /* beyond it only what is important is kept */
#define BRIM        (4 * FULL)    /* beyond it nothing is */
#define KEPT_MEMORY (256 * 1024)  /* a buffer that grew larger is given back */

struct sink {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	int fd;
	bool started, stop, writing, abandoned;
	struct buf pending;
	uint64_t dropped;
};

static struct timespec deadline(int timeout_ms)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += timeout_ms / 1000;
	t.tv_nsec += (long)(timeout_ms % 1000) * 1000000L;
	if (t.tv_nsec >= 1000000000L) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000L;
	}
	return t;
}

/* A reader that went away loses the log, never the program: SIGPIPE is blocked on this thread. */
static void write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
		} else if (n == 0 || errno != EINTR) {
			return;
		}
	}
}

static void destroy(struct sink *s)
{
	buf_free(&s->pending);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->mutex);
	free(s);
}

static void *writer(void *arg)
{
	struct sink *s = arg;
	struct buf out = {0};
	pthread_mutex_lock(&s->mutex);
	for (;;) {
		while (!s->pending.len && !s->stop)
			pthread_cond_wait(&s->changed, &s->mutex);
		if (!s->pending.len || s->abandoned)
			break;
		struct buf full = s->pending;
		s->pending = out;
		s->writing = true;
		pthread_mutex_unlock(&s->mutex);
		write_all(s->fd, full.data, full.len);
		buf_clear(&full);
		if (full.cap > KEPT_MEMORY)
			buf_free(&full);
		out = full;
		pthread_mutex_lock(&s->mutex);
		s->writing = false;
		pthread_cond_broadcast(&s->changed);
	}
	bool abandoned = s->abandoned;
	pthread_mutex_unlock(&s->mutex);
	buf_free(&out);
	if (abandoned)
		destroy(s);
	return NULL;
}

struct sink *sink_new(int fd)
{
	struct sink *s = xcalloc(1, sizeof *s);
	s->fd = fd;
	pthread_condattr_t clock;
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_cond_init(&s->changed, &clock);
	pthread_condattr_destroy(&clock);
	pthread_mutex_init(&s->mutex, NULL);
	return s;
}

/* Signals are for the other threads. Started at the first line: a process that logs nothing has no thread for it. */
static bool start(struct sink *s)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	s->started = pthread_create(&s->thread, NULL, writer, s) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return s->started;
}

void sink_put(struct sink *s, const struct buf *line, bool important)
{
	pthread_mutex_lock(&s->mutex);
	size_t room = important ? BRIM : FULL;
	if (s->pending.len + line->len > room || buf_add(&s->pending, line->data, line->len))
		s->dropped++;
	else if (!s->started && !start(s))
		buf_clear(&s->pending), s->dropped++;
	else
		pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->mutex);
}

uint64_t sink_dropped(struct sink *s)
{
	pthread_mutex_lock(&s->mutex);
	uint64_t dropped = s->pending.len < FULL / 2 ? s->dropped : 0;
	if (dropped)
		s->dropped = 0;
	pthread_mutex_unlock(&s->mutex);
	return dropped;
}

static bool drained(struct sink *s, int timeout_ms)
{
	struct timespec end = deadline(timeout_ms);
	while (s->pending.len || s->writing)
		if (pthread_cond_timedwait(&s->changed, &s->mutex, &end) == ETIMEDOUT)
			return !s->pending.len && !s->writing;
	return true;
}

bool sink_flush(struct sink *s, int timeout_ms)
{
	pthread_mutex_lock(&s->mutex);
	bool done = drained(s, timeout_ms);
	pthread_mutex_unlock(&s->mutex);
	return done;
}

void sink_free(struct sink *s, int timeout_ms)
{
	pthread_mutex_lock(&s->mutex);
	bool done = drained(s, timeout_ms), started = s->started;
	s->stop = true;
	s->abandoned = !done;
	pthread_cond_broadcast(&s->changed);
	if (started && !done)
		pthread_detach(s->thread); /* it hangs in write: it frees the rest if it ever comes back */
	pthread_t thread = s->thread;
	pthread_mutex_unlock(&s->mutex);
	if (started && !done)
		return;
	if (started)
		pthread_join(thread, NULL);
	destroy(s);
}
