/* SPDX-License-Identifier: MIT
 *
 * A held unit: a transaction that a worker keeps open, and does in it what the holder wishes, until it ends. It is undone
 * when its deadline passes, whether or not anybody on the loop still knows of it.
 *
 * Its mark is looked up before, since what would be done in vain is a script; and added last, as that of other units.
 */
#include "base/fault.h"
#include "docdb/mongo.h"

/* What can be done anew, the holder begins anew. */
static void fail(struct mongo_worker *w, struct job *job, const struct task *task)
{
	job->again = w->again;
	if (w->again)
		job_fail(job, task, ERROR_SERVER, "the document database can't do it just now: %s", w->why);
	else
		job_fail(job, task, ERROR_SERVER, "no memory for the answer");
}

static bool hold(struct mongo_worker *w, struct job *job)
{
	bson_error_t e;
	w->again = w->known = w->unsure = w->regex = false;
	w->tries = job->tries++;
	int found = job->request->marked ? mongo_find_mark(w, job, job->from, &e) : 0;
	job->done = found > 0;
	if (found > 0 || (found == 0 && mongo_begin(w, job) == 0))
		return found == 0;
	if (found < 0 && e.code)
		mongo_fail(w, job, NULL, &e, NULL);
	mongo_end(w);
	fail(w, job, NULL);
	return false;
}

static void exec(struct mongo_worker *w, const struct mongo_held *held)
{
	w->again = false;
	if (mongo_task(w, held->job, held->unit, held->task))
		fail(w, held->job, held->task);
	FAULT(docdb_in_run);
}

static int keep(struct mongo_worker *w, struct job *job)
{
	const bool marked = job->request->marked;
	w->again = w->known = false;
	int rc = marked ? mongo_add_mark(w, job, job->from, 0) : 0;
	if (rc == 0)
		rc = mongo_commit(w, job, job->from);
	mongo_end(w);
	if (rc == 0)
		return 0;
	job->out.len = 0;
	return marked && !w->again ? mongo_ask_mark(w, job, job->from) : rc;
}

/* Afterwards the job and its request are gone. */
static void finish_kept(struct mongo_worker *w, struct job *job)
{
	const struct bytes database = job->request->units[job->from].database;
	const int64_t now = job->request->now;
	const bool marked = job->request->marked;
	if (keep(w, job))
		fail(w, job, NULL);
	else
		job->done = 1;
	mongo_finish(w->m, job);
	if (marked)
		mongo_sweep(w, database, now);
}

static void set_holder(struct mongo_worker *w, struct job *job)
{
	uv_mutex_lock(&w->m->mutex);
	w->held = (struct mongo_held){.job = job};
	uv_mutex_unlock(&w->m->mutex);
}

/* What the holder wants; nobody holds from now on, unless it is a task. No job: it is late, or we stop. */
static struct mongo_held next_wish(struct mongo_worker *w)
{
	struct mongo *m = w->m;
	struct mongo_held held = {0};
	uv_mutex_lock(&m->mutex);
	for (uint64_t now = uv_hrtime(); !w->held.wish && !m->stopping && now < w->deadline; now = uv_hrtime())
		uv_cond_timedwait(&w->wished, &m->mutex, w->deadline - now);
	if (w->held.wish)
		held = w->held;
	w->held = (struct mongo_held){.job = held.wish == MONGO_EXEC ? held.job : NULL};
	uv_mutex_unlock(&m->mutex);
	return held;
}

/* false: it is over. */
static bool serve(struct mongo_worker *w)
{
	const struct mongo_held held = next_wish(w);
	if (held.wish == MONGO_KEEP) {
		finish_kept(w, held.job);
		return false;
	}
	if (held.wish == MONGO_EXEC)
		exec(w, &held);
	else
		mongo_end(w);
	if (held.job)
		mongo_finish(w->m, held.job);
	return held.wish == MONGO_EXEC;
}

void mongo_hold(struct mongo_worker *w, struct job *job)
{
	bool open = hold(w, job);
	if (open)
		set_holder(w, job);
	mongo_finish(w->m, job);
	while (open)
		open = serve(w);
}

/* The loop -------------------------------------------------------------------------------------------------------- */

static bool tell(struct mongo *m, const struct mongo_held *held)
{
	bool told = false;
	uv_mutex_lock(&m->mutex);
	for (size_t i = 0; i < m->started && !told; i++)
		if (m->workers[i]->held.job == held->job) {
			m->workers[i]->held = *held;
			uv_cond_signal(&m->workers[i]->wished);
			told = true;
		}
	uv_mutex_unlock(&m->mutex);
	return told;
}

static void wish(struct dialect *d, const struct mongo_held *held)
{
	struct mongo *m = (struct mongo *)d;
	if (tell(m, held))
		return;
	if (held->wish != MONGO_UNDO)
		job_fail(held->job, held->task, ERROR_TASK, "the time for the request is over: it was undone");
	mongo_finish(m, held->job);
}

void mongo_hold_exec(struct dialect *d, struct job *job, const struct unit *unit, const struct task *task)
{
	wish(d, &(struct mongo_held){job, MONGO_EXEC, unit, task});
}

void mongo_hold_commit(struct dialect *d, struct job *job)
{
	wish(d, &(struct mongo_held){.job = job, .wish = MONGO_KEEP});
}

void mongo_hold_abort(struct dialect *d, struct job *job)
{
	wish(d, &(struct mongo_held){.job = job, .wish = MONGO_UNDO});
}
