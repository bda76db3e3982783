/* SPDX-License-Identifier: MIT
 *
 * The SQLite dialect on the loop thread: open, submit, completions, close.
 */
#include "docdb/sqlite.h"

#include <stdlib.h>

enum { DAY_MS = 86400000 };

static struct job *reverse(struct job *jobs)
{
	struct job *list = NULL;
	for (struct job *job = jobs, *next; job; job = next) {
		next = job->next;
		job->next = list;
		list = job;
	}
	return list;
}

void lite_push(struct lite_queue *q, struct job *jobs)
{
	struct job *oldest = jobs, *newest = reverse(jobs), *before = atomic_load(&q->inbox);
	do
		oldest->next = before;
	while (!atomic_compare_exchange_weak(&q->inbox, &before, newest));
}

void lite_gather(struct lite_queue *q)
{
	struct job *newest = atomic_exchange(&q->inbox, NULL);
	if (!newest)
		return;
	*q->last = reverse(newest);
	q->last = &newest->next;
}

struct job *lite_take(struct lite_queue *q)
{
	lite_gather(q);
	struct job *job = q->first;
	if (job && !(q->first = job->next))
		q->last = &q->first;
	if (job)
		job->next = NULL;
	return job;
}

void lite_finished(struct lite *s, struct job *jobs)
{
	lite_push(&s->finished, jobs);
	if (s->threads)
		uv_async_send(&s->done);
}

static void deliver(struct lite *s)
{
	for (struct job *job = reverse(atomic_exchange(&s->finished.inbox, NULL)), *next; job; job = next) {
		next = job->next;
		job->next = NULL;
		job_done(job);
	}
}

static void on_done(uv_async_t *handle)
{
	deliver(handle->data);
}

static bool reads(const struct job *job)
{
	return job->request && !job->request->units[job->from].writes;
}

static void destroy(struct lite *s)
{
	struct lite_queue *queues[] = {&s->to_write, &s->to_read, &s->finished};
	for (size_t i = 0; i < 3; i++) {
		uv_mutex_destroy(&queues[i]->mutex);
		uv_cond_destroy(&queues[i]->wake);
		uv_sem_destroy(&queues[i]->pushed);
	}
	uv_sem_destroy(&s->ended);
	free(s->path);
	free(s);
}

static void do_inline(struct lite *s, struct job *job)
{
	struct lite_conn *c = s->writer;
	if (job->hold) {
		lite_hold_open(c, job);
	} else if (reads(job)) {
		lite_read_job(c, job);
		lite_run(c, LITE_COMMIT);
		c->in_transaction = false;
	} else {
		lite_write_batch(c, job);
	}
	if (!reads(job))
		c->catalog = atomic_load(&s->catalog);
	lite_finished(s, job);
}

static void run_inline(void *arg)
{
	struct lite *s = arg;
	s->deferred = false;
	if (s->closed) {
		destroy(s);
		return;
	}
	lite_hold_serve(s->writer);
	for (struct job *job; !s->held.job && (job = lite_take(&s->to_write));)
		do_inline(s, job);
	deliver(s);
}

static void wake(struct lite *s)
{
	if (s->inline_ && !s->deferred) {
		s->deferred = true;
		runtime_defer(s->rt, run_inline, s);
	}
}

static void submit(struct dialect *d, struct job *job)
{
	struct lite *s = (struct lite *)d;
	struct lite_queue *q = !s->inline_ && reads(job) ? &s->to_read : &s->to_write;
	lite_push(q, job);
	if (s->inline_)
		wake(s);
	else
		uv_sem_post(&q->pushed);
}

static void wish(struct dialect *d, struct job *job, enum lite_wish what, const struct unit *unit,
		 const struct task *task)
{
	struct lite *s = (struct lite *)d;
	if (!lite_hold_wish(s, job, what, unit, task))
		lite_finished(s, job);
	wake(s);
}

static void exec(struct dialect *d, struct job *job, const struct unit *unit, const struct task *task)
{
	wish(d, job, LITE_EXEC, unit, task);
}

static void commit(struct dialect *d, struct job *job)
{
	wish(d, job, LITE_KEEP, NULL, NULL);
}

static void undo(struct dialect *d, struct job *job)
{
	wish(d, job, LITE_UNDO, NULL, NULL);
}

static int start_threads(struct lite *s, struct error *e)
{
	int rc = uv_async_init(runtime_loop(s->rt), &s->done, on_done);
	if (rc)
		return error_set(e, ERROR_SERVER, "can't start the document database: %s", uv_strerror(rc));
	s->done.data = s;
	uv_unref((uv_handle_t *)&s->done);
	s->threads = true;
	for (int i = 0; i < LITE_READERS; i++)
		if (!(s->readers[i] = lite_connect(s, false, e)))
			return -1;
	rc = uv_thread_create(&s->thread, lite_writer, s->writer);
	for (int i = 0; rc == 0 && i < LITE_READERS; i++)
		s->reading += (rc = lite_start_reader(s->readers[i])) == 0;
	return rc ? error_set(e, ERROR_SERVER, "can't start the document database: %s", uv_strerror(rc)) : 0;
}

static void closed(uv_handle_t *handle)
{
	destroy(handle->data);
}

static void stop(struct lite_queue *q)
{
	uv_mutex_lock(&q->mutex);
	q->stop = true;
	uv_cond_broadcast(&q->wake);
	uv_mutex_unlock(&q->mutex);
	for (int i = 0; i < LITE_READERS; i++)
		uv_sem_post(&q->pushed);
}

static void join(struct lite *s)
{
	if (s->thread) {
		stop(&s->to_write);
		uv_thread_join(&s->thread);
	}
	atomic_store(&s->stopping, true); /* what is written was wanted; who only reads is interrupted */
	stop(&s->to_read);
	for (; s->reading; s->reading--)
		uv_sem_wait(&s->ended);
	for (int i = 0; i < LITE_READERS; i++)
		lite_disconnect(s->readers[i]);
}

static void close_sqlite(struct dialect *d)
{
	struct lite *s = (struct lite *)d;
	s->closed = true;
	if (s->threads)
		join(s);
	if (s->held.wish) /* inline: nobody is to serve it any more */
		lite_push(&s->to_write, s->held.job);
	for (struct job *job; (job = lite_take(&s->to_write));) {
		job_fail(job, NULL, ERROR_SERVER, "the document database is closing");
		lite_finished(s, job);
	}
	deliver(s);
	lite_disconnect(s->writer);
	if (s->threads)
		uv_close((uv_handle_t *)&s->done, closed);
	else if (!s->deferred)
		destroy(s);
}

static struct dialect *open_any(struct runtime *rt, const char *path, const struct docdb_options *o, bool in_memory,
				struct error *e)
{
	struct lite *s = xcalloc(1, sizeof *s);
	struct lite_queue *queues[] = {&s->to_write, &s->to_read, &s->finished};
	s->base.class = in_memory ? &dialect_memory : &dialect_sqlite;
	s->rt = rt;
	s->path = xstrdup(path);
	s->inline_ = in_memory || runtime_is_virtual(rt);
	s->mark_ms = o->mark_ms ? o->mark_ms : 7 * (int64_t)DAY_MS;
	uv_sem_init(&s->ended, 0);
	for (size_t i = 0; i < 3; i++) {
		queues[i]->last = &queues[i]->first;
		uv_mutex_init(&queues[i]->mutex);
		uv_cond_init(&queues[i]->wake);
		uv_sem_init(&queues[i]->pushed, 0);
	}
	s->writer = lite_connect(s, true, e);
	if (s->writer && (s->inline_ || start_threads(s, e) == 0))
		return &s->base;
	close_sqlite(&s->base);
	return NULL;
}

static struct dialect *open_sqlite(struct runtime *rt, const char *rest, const struct docdb_options *o, struct error *e)
{
	if (*rest)
		return open_any(rt, rest, o, false, e);
	error_set(e, ERROR_ARGUMENT, "sqlite: needs a path, as sqlite:/var/lib/srvthreds/documents.db");
	return NULL;
}

static struct dialect *open_memory(struct runtime *rt, const char *rest, const struct docdb_options *o, struct error *e)
{
	(void)rest;
	return open_any(rt, ":memory:", o, true, e);
}

static bool ready(struct dialect *d, struct error *reason)
{
	struct lite *s = (struct lite *)d;
	if (!atomic_load(&s->broken))
		return true;
	error_set(reason, ERROR_SERVER, "the last write to the document database %s failed", s->path);
	return false;
}

#define COMMON                                                                                                         \
	.close = close_sqlite, .ready = ready, .submit = submit, .begin = submit, .exec = exec, .commit = commit,      \
	.abort = undo

const struct dialect_class dialect_sqlite = {.scheme = "sqlite:", .open = open_sqlite, COMMON};
const struct dialect_class dialect_memory = {.scheme = "memory:", .open = open_memory, COMMON};
