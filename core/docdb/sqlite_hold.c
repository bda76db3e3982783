/* SPDX-License-Identifier: MIT
 *
 * A held unit: the writer's transaction belongs to it from its begin to its end. Who else writes waits; who reads doesn't.
 * It is undone when its deadline passes, whether or not anybody on the loop still knows of it.
 */
#include "base/fault.h"
#include "docdb/sqlite.h"

/* How long another process may have the file; hold.c tries again. */
enum { BUSY_MS = 200, OTHERS_BUSY_MS = 5000 };

static void roll_back(struct lite_conn *c)
{
	c->deadline = 0;
	if (!sqlite3_get_autocommit(c->db))
		lite_run(c, LITE_ROLLBACK);
	if (c->made) /* perhaps undone with it */
		lite_forget(c);
}

static int begin_transaction(struct lite_conn *c, struct job *job)
{
	if (uv_hrtime() > job->request->deadline)
		return job_fail(job, NULL, ERROR_TASK, "the time for the request is over: others were writing");
	sqlite3_busy_timeout(c->db, BUSY_MS);
	int rc = lite_run(c, LITE_BEGIN_WRITE);
	sqlite3_busy_timeout(c->db, OTHERS_BUSY_MS);
	job->again = (rc & 0xff) == SQLITE_BUSY;
	return rc == SQLITE_OK ? 0 : lite_fail(c, job, NULL);
}

static void set_holder(struct lite *s, struct job *job)
{
	uv_mutex_lock(&s->to_write.mutex);
	s->held = (struct lite_held){.job = job};
	uv_mutex_unlock(&s->to_write.mutex);
}

void lite_hold_open(struct lite_conn *c, struct job *job)
{
	c->made = false;
	if (begin_transaction(c, job))
		return;
	int found = lite_done_before(c, job, job->from);
	job->done = found > 0;
	if (found)
		roll_back(c);
	else
		set_holder(c->s, job);
}

static void exec(struct lite_conn *c, struct job *job, const struct lite_held *held)
{
	c->deadline = job->request->deadline;
	if (lite_task(c, job, held->unit, held->task))
		job_fail(job, held->task, ERROR_SERVER, "no memory for the answer");
	c->deadline = 0;
	FAULT(docdb_in_run);
}

static void keep(struct lite_conn *c, struct job *job)
{
	if (lite_add_mark(c, job, job->from, 0)) {
		roll_back(c);
		return;
	}
	job->done = 1;
	lite_commit(c, job, SQLITE_OK, job->request->now);
}

static void do_wish(struct lite_conn *c, const struct lite_held *held)
{
	struct job *job = held->job;
	if (held->wish == LITE_EXEC) {
		set_holder(c->s, job);
		exec(c, job, held);
	} else if (held->wish == LITE_KEEP) {
		keep(c, job);
	} else {
		roll_back(c);
	}
	lite_finished(c->s, job);
}

/* What the holder wants, which is nobody from now on. LITE_UNDO without a job: it is late, or we stop. */
static struct lite_held next_wish(struct lite *s)
{
	struct lite_queue *q = &s->to_write;
	uv_mutex_lock(&q->mutex);
	const uint64_t deadline = s->held.job->request->deadline;
	for (uint64_t now = uv_hrtime(); !s->held.wish && !q->stop && now < deadline; now = uv_hrtime())
		uv_cond_timedwait(&q->wake, &q->mutex, deadline - now);
	struct lite_held held = s->held;
	if (!held.wish)
		held = (struct lite_held){.wish = LITE_UNDO};
	s->held = (struct lite_held){0};
	uv_mutex_unlock(&q->mutex);
	return held;
}

void lite_hold(struct lite_conn *c, struct job *job)
{
	lite_hold_open(c, job);
	bool open = c->s->held.job == job; /* nobody else sets it */
	lite_finished(c->s, job);
	while (open) {
		struct lite_held held = next_wish(c->s);
		open = held.wish == LITE_EXEC;
		if (held.job)
			do_wish(c, &held);
		else
			roll_back(c);
	}
}

void lite_hold_serve(struct lite_conn *c)
{
	struct lite_held held = c->s->held;
	if (!held.wish)
		return;
	c->s->held = (struct lite_held){0};
	do_wish(c, &held);
}

bool lite_hold_wish(struct lite *s, struct job *job, enum lite_wish wish, const struct unit *unit,
		    const struct task *task)
{
	uv_mutex_lock(&s->to_write.mutex);
	bool held = s->held.job == job;
	if (held) {
		s->held = (struct lite_held){job, wish, unit, task};
		uv_cond_signal(&s->to_write.wake);
	}
	uv_mutex_unlock(&s->to_write.mutex);
	if (!held && wish != LITE_UNDO)
		job_fail(job, task, ERROR_TASK, "the time for the request is over: it was undone");
	return held;
}
