/* SPDX-License-Identifier: MIT
 *
 * Reading tasks, and the threads that do nothing else.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "docdb/sqlite.h"

enum { NICE = 10, LONG_NS = 2000000 };

static int add_documents(struct lite_conn *c, struct job *job, const struct task *task, sqlite3_stmt *st)
{
	int rc;
	bool first = true;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		if ((!first && buf_add(&job->out, ",", 1)) || eval_project(task, sqlite3_column_blob(st, 1), &job->out))
			return job_fail(job, task, ERROR_SERVER, "no memory for the answer");
		if (job_too_large(job, task))
			return -1;
		first = false;
	}
	if (rc != SQLITE_DONE)
		return lite_fail(c, job, task);
	return first && task->op == TASK_GET_ONE ? buf_add_str(&job->out, "null") : 0;
}

static int read_task(struct lite_conn *c, struct job *job, const struct unit *unit, const struct task *task)
{
	struct lite_collection *in = lite_collection(c, unit->database, task->type);
	bool list = task->op == TASK_GET;
	if (!in)
		return buf_add_str(&job->out, list ? "[]" : task->op == TASK_COUNT ? "0" : "null");
	sqlite3_stmt *st = lite_plan(c, in, task, task->op == TASK_COUNT ? LITE_COUNT : LITE_DOCUMENTS);
	if (!st)
		return lite_fail(c, job, task);
	int rc;
	if (task->op == TASK_COUNT) {
		rc = sqlite3_step(st) == SQLITE_ROW
			     ? buf_printf(&job->out, "%lld", (long long)sqlite3_column_int64(st, 0))
			     : lite_fail(c, job, task);
	} else {
		rc = (list && buf_add(&job->out, "[", 1)) || add_documents(c, job, task, st) ||
				     (list && buf_add(&job->out, "]", 1))
			     ? -1
			     : 0;
	}
	sqlite3_reset(st);
	return rc;
}

int lite_task(struct lite_conn *c, struct job *job, const struct unit *unit, const struct task *task)
{
	c->ev.regex_ns = 0;
	c->ev.error.code = 0;
	if (c->deadline && uv_hrtime() > c->deadline)
		return job_fail(job, task, ERROR_TASK, "the time for the request is over");
	if (task->op == TASK_GET || task->op == TASK_GET_ONE || task->op == TASK_COUNT)
		return read_task(c, job, unit, task);
	return lite_write_task(c, job, unit, task);
}

int lite_unit(struct lite_conn *c, struct job *job, size_t n)
{
	const struct unit *unit = &job->request->units[n];
	size_t start = job->out.len;
	int rc = unit->nested ? buf_add(&job->out, "[", 1) : 0;
	for (size_t i = 0; rc == 0 && i < unit->count; i++) {
		if (i)
			rc = buf_add(&job->out, ",", 1);
		if (rc == 0)
			rc = lite_task(c, job, unit, &unit->tasks[i]);
	}
	if (rc == 0)
		rc = buf_add_str(&job->out, unit->nested ? "]," : ",");
	if (rc == 0)
		return 0;
	job->out.len = start;
	return job_fail(job, NULL, ERROR_SERVER, "no memory for the answer");
}

/* One snapshot for all units of a job; kept for the next job if nothing was committed meanwhile. */
void lite_read_job(struct lite_conn *c, struct job *job)
{
	unsigned commits = atomic_load(&c->s->commits), catalog = atomic_load(&c->s->catalog);
	if (c->in_transaction && c->snapshot != commits) {
		lite_run(c, LITE_COMMIT);
		c->in_transaction = false;
	}
	if (!c->in_transaction) {
		lite_run(c, LITE_BEGIN);
		c->in_transaction = true;
		c->snapshot = commits;
	}
	if (c->catalog != catalog) {
		lite_forget(c);
		c->catalog = catalog;
	}
	c->deadline = job->request->deadline;
	c->long_at = c->s->threads ? uv_hrtime() + LONG_NS : 0;
	for (size_t i = job->from; i < job->to && lite_unit(c, job, i) == 0; i++)
		job->done++;
	c->deadline = c->long_at = 0;
}

/* The next job, NULL at the stop. */
static struct job *wait_for_job(struct lite_conn *c, struct lite_queue *q)
{
	if (!c->in_transaction) {
		uv_sem_wait(&q->pushed);
	} else if (uv_sem_trywait(&q->pushed)) { /* an old snapshot holds checkpoints up */
		lite_run(c, LITE_COMMIT);
		c->in_transaction = false;
		uv_sem_wait(&q->pushed);
	}
	uv_mutex_lock(&q->mutex);
	struct job *job = lite_take(q);
	uv_mutex_unlock(&q->mutex);
	return job;
}

/* Goes on with the connection when the reader that started it has ended its job. */
static void successor(void *arg)
{
	struct lite_conn *c = arg;
	uv_sem_wait(&c->handed);
	lite_reader(c);
}

static int start(struct lite_conn *c, void (*thread)(void *))
{
	uv_thread_t id;
	int rc = uv_thread_create(&id, thread, c);
	if (rc == 0)
		pthread_detach(id);
	return rc;
}

int lite_start_reader(struct lite_conn *c)
{
	return start(c, lite_reader);
}

/* Nobody may become less nice than he is, nor start who is: the successor is there before. */
void lite_step_back(struct lite_conn *c, uint64_t now)
{
	if (!c->long_at || now < c->long_at)
		return;
	c->long_at = 0;
	if (start(c, successor))
		return;
	c->nice = true;
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
}

void lite_reader(void *arg)
{
	struct lite_conn *c = arg;
	const struct sched_param none = {0};
	/* When it wakes up, it doesn't take the loop's processor away. Where that isn't allowed, it does. */
	(void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
	for (struct job *job; (job = wait_for_job(c, &c->s->to_read));) {
		lite_read_job(c, job);
		const bool nice = c->nice;
		c->nice = false;
		lite_finished(c->s, job);
		if (nice) {
			uv_sem_post(&c->handed);
			return;
		}
	}
	uv_sem_post(&c->s->ended);
}
