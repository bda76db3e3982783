/* SPDX-License-Identifier: MIT
 *
 * A held unit: a transaction that a worker keeps open, and does in it what the holder wishes, until it ends. It is undone
 * when its deadline passes, whether or not anybody on the loop still knows of it.
 *
 * Its mark is looked up before, since what would be done in vain is a script; and added last, as that of other units.
 * Scripts that are about the same collection come one after another: within the process they wait (take, in mongo.c), and
 * those of other processes meet a conflict (lock).
 */
#include <xxhash.h>

#include "base/fault.h"
#include "docdb/mongo.h"

enum { DUPLICATE = 11000 };

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
	w->locks.len = 0;
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

static bool has_lock(const struct mongo_worker *w, struct bytes type)
{
	const char *end = w->locks.data + w->locks.len;
	for (const char *name = w->locks.data; name < end; name += strlen(name) + 1)
		if (strcmp(name, type.data) == 0)
			return true;
	return false;
}

/* Snapshots alone would let two scripts that read the same documents and write different ones both succeed. So whoever is
 * at a collection counts in its row of the locks: the later one meets a conflict there, and is begun anew. */
static int lock(struct mongo_worker *w, const struct mongo_held *held)
{
	const struct bytes type = held->task->type, locks = {MONGO_LOCKS, sizeof MONGO_LOCKS - 1};
	bson_t opts, filter = BSON_INITIALIZER, change = BSON_INITIALIZER, inner, reply = BSON_INITIALIZER;
	bson_error_t e;
	if (has_lock(w, type))
		return 0;
	int rc = mongo_options(w, held->job, held->task, &opts);
	bson_append_utf8(&filter, "_id", 3, type.data, (int)type.len);
	bson_append_document_begin(&change, "$inc", 4, &inner);
	bson_append_int64(&inner, "n", 1, 1);
	bson_append_document_end(&change, &inner);
	if (rc == 0 && !mongo_send_update(w, held->unit->database.data, locks, &filter, &change,
					  (struct mongo_update_kind){.upsert = true}, &opts, &reply, &e))
		rc = e.code == DUPLICATE ? mongo_again(w, e.message) : mongo_fail(w, held->job, held->task, &e, &reply);
	if (rc == 0)
		rc = buf_add(&w->locks, type.data, type.len + 1);
	bson_destroy(&reply);
	bson_destroy(&change);
	bson_destroy(&filter);
	bson_destroy(&opts);
	return rc;
}

static void exec(struct mongo_worker *w, const struct mongo_held *held)
{
	w->again = false;
	if (lock(w, held) || mongo_task(w, held->job, held->unit, held->task))
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

uint64_t mongo_holds(const struct job *job)
{
	const struct unit *unit = &job->request->units[job->from];
	const struct task *task = unit->tasks;
	while (task->op != TASK_RUN)
		task++;
	return XXH3_64bits_withSeed(task->type.data, task->type.len, (uintptr_t)unit->database.data) | 1;
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
