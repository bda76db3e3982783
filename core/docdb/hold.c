/* SPDX-License-Identifier: MIT
 *
 * A held unit from its begin to its end.
 *
 *   begin ── tasks in order: exec, or a script, which asks for exec as often as it likes ── commit
 *
 * What fails, a script included, undoes the unit: the transaction at once, so that others can write; the unit is over
 * when the script is as well, since its error says where it was, or when the time is over, whatever the script is at.
 */
#include "docdb/hold.h"

#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "docdb/parse.h"

enum { SCRIPT_TASKS = 1 << 20, FIRST_PAUSE_MS = 10, LONGEST_PAUSE_MS = 500, LOOK_AGAIN_MS = 5 };

enum phase {
	HOLD_BEGIN,
	HOLD_TASK,   /* a task of the unit itself */
	HOLD_SCRIPT, /* a script runs; if the dialect is busy, with a task of its */
	HOLD_COMMIT,
	HOLD_UNDONE, /* it failed */
	HOLD_PAUSE   /* … by chance: it will be begun anew */
};

struct hold {
	struct runtime_timer timer; /* first: the deadline, or the end of a pause */
	struct holds *all;
	struct hold *next, **link; /* in `all` */
	struct dialect *d;
	struct job *job;
	const struct unit *unit;
	enum phase phase;
	bool busy;     /* the dialect is */
	bool open;     /* it holds a transaction of ours */
	bool starting; /* we are within `start` */
	size_t task;   /* the next one */
	uint64_t made; /* ids */
	int64_t pause;
	struct buf result;
	struct docdb_script *script; /* that runs, or NULL */
	struct request *orphan;      /* whose script ended without waiting for it; owned */
	struct docdb_failure failure;
};

struct docdb_script {
	struct hold *hold; /* NULL: the unit is over */
	const struct task *task;
	struct docdb_failure why; /* nothing can be done any more */
	struct request *request;  /* that is done, owned; NULL: none */
	size_t unit, inner;       /* where in it */
	struct buf result;        /* its own */
	docdb_done fn;
	void *arg;
};

static void go_on(struct hold *h);

/* Names ------------------------------------------------------------------------------------------------------------ */

void holds_scripts(struct holds *all, const char *const *names, size_t count)
{
	for (char **name = all->names; name && *name; name++)
		free(*name);
	free(all->names);
	all->names = NULL;
	if (!count)
		return;
	all->names = xcalloc(count + 1, sizeof *all->names);
	for (size_t i = 0; i < count; i++)
		all->names[i] = xstrdup(names[i]);
}

static bool is_known(const struct holds *all, struct bytes script)
{
	for (char **name = all->names; name && *name; name++)
		if (parse_is(script, *name))
			return true;
	return false;
}

static void set(struct docdb_failure *f, const struct task *task, int code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
static void set(struct docdb_failure *f, const struct task *task, int code, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	failure_set(f, task, code, format, args);
	va_end(args);
}

static int refuse(const struct holds *all, const struct unit *unit, const struct task *task, struct docdb_failure *f)
{
	const int shown = task->script.len > 60 ? 60 : (int)task->script.len;
	const char *nearest = all->names ? parse_nearest(task->script, (const char *const *)all->names) : NULL;
	char place[40];
	int n = snprintf(place, sizeof place, "tasks[%d]", task->item);
	if (task->inner >= 0)
		snprintf(place + n, sizeof place - (size_t)n, "[%d]", task->inner);
	*f = (struct docdb_failure){0};
	if (!all->hosts[unit->host]->class->begin)
		set(f, task, ERROR_ARGUMENT, "%s: the database of this host can't run scripts", place);
	else if (nearest)
		set(f, task, ERROR_ARGUMENT,
		    "%s.params.values.script: the profile has no script \"%.*s\": did you mean %s?", place, shown,
		    task->script.data, nearest);
	else
		set(f, task, ERROR_ARGUMENT,
		    "%s.params.values.script: the profile has no script \"%.*s\"; its scripts are scripts/NAME.lua",
		    place, shown, task->script.data);
	return -1;
}

int holds_check(const struct holds *all, const struct request *r, struct docdb_failure *failure)
{
	for (size_t i = 0; r->runs && i < r->count; i++)
		for (size_t k = 0; r->units[i].runs && k < r->units[i].count; k++) {
			const struct task *task = &r->units[i].tasks[k];
			if (task->op == TASK_RUN &&
			    (!all->hosts[r->units[i].host]->class->begin || !is_known(all, task->script)))
				return refuse(all, &r->units[i], task, failure);
		}
	return 0;
}

/* The end ---------------------------------------------------------------------------------------------------------- */

/* The script goes on for itself; what it asks for is refused. */
static void let_go(struct docdb_script *s)
{
	if (!s->why.error.code)
		s->why = s->hold->failure;
	s->hold->script = NULL;
	s->hold = NULL;
}

static void over(struct hold *h)
{
	struct job *job = h->job;
	if (h->script)
		let_go(h->script);
	runtime_timer_stop(h->all->rt, &h->timer);
	*h->link = h->next;
	if (h->next)
		h->next->link = h->link;
	if (h->failure.error.code) {
		job->failure = h->failure;
		job->done = 0;
		job->out.len = 0;
	}
	job->hold = NULL;
	request_free(h->orphan);
	buf_free(&h->result);
	free(h);
	job_done(job);
}

/* With h->failure set, the dialect idle. */
static void undo(struct hold *h)
{
	h->phase = HOLD_UNDONE;
	if (h->open && !h->all->closing) {
		h->open = false;
		h->busy = true;
		h->d->class->abort(h->d, h->job);
	} else if (!h->script) {
		over(h);
	}
}

static void time_over(struct runtime_timer *timer)
{
	struct hold *h = (struct hold *)timer;
	if (h->busy) { /* the dialect has the same deadline */
		runtime_timer_start(h->all->rt, timer, runtime_now(h->all->rt) + LOOK_AGAIN_MS, time_over);
		return;
	}
	set(&h->failure, h->script ? h->script->task : NULL, ERROR_TASK,
	    "the time for the request is over: the script was still at work");
	if (h->script)
		let_go(h->script);
	undo(h);
}

static void begin(struct hold *h)
{
	const int64_t left = ((int64_t)h->job->request->deadline - (int64_t)uv_hrtime()) / 1000000;
	runtime_timer_start(h->all->rt, &h->timer, runtime_now(h->all->rt) + (left > 0 ? left : 0) + 1, time_over);
	h->phase = HOLD_BEGIN;
	h->task = 0;
	h->result.len = h->job->out.len = 0;
	h->made = (uint64_t)(h->job->from + 1) << 32;
	h->busy = true;
	h->d->class->begin(h->d, h->job);
}

static void begin_anew(struct runtime_timer *timer)
{
	struct hold *h = (struct hold *)timer;
	h->failure.error.code = h->job->failure.error.code = 0;
	begin(h);
}

static void pause_then_begin(struct hold *h)
{
	runtime_timer_start(h->all->rt, &h->timer, runtime_now(h->all->rt) + h->pause, begin_anew);
	h->pause = h->pause * 2 > LONGEST_PAUSE_MS ? LONGEST_PAUSE_MS : h->pause * 2;
}

/* The dialect failed. By chance, and there is time for another try: without anything of what was done so far. */
static void dialect_failed(struct hold *h)
{
	const bool chance = h->job->again && !h->failure.error.code && !h->all->closing &&
			    uv_hrtime() + (uint64_t)h->pause * 1000000 < h->job->request->deadline;
	h->job->again = false;
	if (!h->failure.error.code)
		h->failure = h->job->failure;
	if (!chance) {
		undo(h);
		return;
	}
	if (h->script)
		let_go(h->script);
	h->phase = HOLD_PAUSE;
	if (!h->open) {
		pause_then_begin(h);
		return;
	}
	h->open = false;
	h->busy = true;
	h->d->class->abort(h->d, h->job);
}

/* Scripts ---------------------------------------------------------------------------------------------------------- */

static uint64_t seed_of(const struct hold *h)
{
	const struct request *r = h->job->request;
	struct {
		unsigned char mark[16];
		uint64_t unit, task, time;
	} from = {.unit = h->job->from, .task = h->task, .time = r->marked ? 0 : uv_hrtime()};
	if (r->marked)
		memcpy(from.mark, r->mark, sizeof from.mark);
	return XXH3_64bits(&from, sizeof from);
}

static void start_script(struct hold *h, const struct task *task)
{
	struct docdb_script *s = xcalloc(1, sizeof *s);
	const struct docdb_script_call call = {task->script, task->args, h->job->request->now, seed_of(h)};
	s->hold = h;
	s->task = task;
	h->script = s;
	h->phase = HOLD_SCRIPT;
	h->starting = true;
	h->all->start(h->all->arg, s, &call);
	h->starting = false;
}

static void exec(struct hold *h, const struct unit *unit, const struct task *task)
{
	h->job->out.len = 0;
	h->busy = true;
	h->d->class->exec(h->d, h->job, unit, task);
}

static void next_of_script(struct docdb_script *s)
{
	const struct unit *unit = &s->request->units[s->unit];
	exec(s->hold, unit, &unit->tasks[s->inner]);
}

int docdb_script_run(struct docdb_script *s, struct bytes tasks, docdb_done fn, void *arg, struct docdb_failure *f)
{
	struct hold *h = s->hold;
	*f = (struct docdb_failure){.item = -1, .inner = -1};
	if (h && h->all->closing)
		set(&s->why, NULL, ERROR_SERVER, "the document database is closing");
	if (s->why.error.code) {
		*f = s->why;
		return -1;
	}
	if (s->request)
		return error_set(&f->error, ERROR_ARGUMENT, "the script waits for a task already");
	if (tasks.len > SCRIPT_TASKS)
		return error_set(&f->error, ERROR_ARGUMENT, "at most %d bytes of tasks at a time", SCRIPT_TASKS);
	struct request *r = request_parse_within(h->all->options, h->job->request, h->unit, s->task, tasks, &h->made,
						 f);
	if (r && !r->count) {
		request_free(r);
		return error_set(&f->error, ERROR_ARGUMENT, "a list of one task or more was expected");
	}
	if (!r)
		return -1;
	s->request = r;
	s->unit = s->inner = 0;
	s->fn = fn;
	s->arg = arg;
	s->result.len = 0;
	buf_add_str(&s->result, r->units[0].nested ? "[[" : "[");
	next_of_script(s);
	return 0;
}

static void tell(struct docdb_script *s, const struct docdb_failure *failure)
{
	const struct docdb_answer done = {{s->result.data, s->result.len}, s->request->count, NULL};
	const struct docdb_answer failed = {{NULL, 0}, 0, failure};
	request_free(s->request);
	s->request = NULL;
	s->fn(s->arg, failure ? &failed : &done);
}

/* The result of one task of a script came: true if another one of its list is to follow. */
static bool script_task_done(struct docdb_script *s)
{
	struct hold *h = s->hold;
	const struct request *r = s->request;
	const bool nested = r->units[s->unit].nested, last = s->inner + 1 == r->units[s->unit].count;
	int rc = buf_add(&s->result, h->job->out.data, h->job->out.len);
	if (last)
		s->unit++;
	s->inner = last ? 0 : s->inner + 1;
	const bool more = s->unit < r->count;
	if (last && nested)
		rc |= buf_add_str(&s->result, "]");
	rc |= buf_add_str(&s->result, more ? "," : "]");
	if (more && last && r->units[s->unit].nested)
		rc |= buf_add_str(&s->result, "[");
	if (rc)
		job_fail(h->job, s->task, ERROR_SERVER, "no memory for the answer");
	else if (s->result.len > h->job->result_max)
		job_fail(h->job, s->task, ERROR_TASK, "the answer has more than %zu bytes: take less at a time",
			 h->job->result_max);
	return more;
}

/* To the script it is a task of its list that failed; to who asked for the script it is the script. */
static void script_task_failed(struct hold *h, struct docdb_script *s)
{
	const struct docdb_failure theirs = h->job->failure;
	s->why = theirs;
	h->job->failure.error.code = 0;
	job_fail(h->job, s->task, theirs.error.code, "%s", theirs.error.message);
	dialect_failed(h);
	tell(s, &theirs);
}

static void asked_done(struct hold *h)
{
	struct docdb_script *s = h->script;
	const bool more = !h->job->failure.error.code && script_task_done(s);
	if (more && h->all->closing) /* the dialect has stopped: it would never answer */
		job_fail(h->job, s->task, ERROR_SERVER, "the document database is closing");
	if (h->job->failure.error.code)
		script_task_failed(h, s);
	else if (more)
		next_of_script(s);
	else
		tell(s, NULL);
}

/* The transaction's own failure is the reason, if there is one; then the script says where it was. */
static void script_failed(struct hold *h, const struct task *task, const struct error *e)
{
	const int code = e->code ? e->code : ERROR_TASK;
	if (h->failure.error.code == code)
		h->failure.error.code = 0;
	set(&h->failure, task, code, "%s", e->message);
}

static void add_result(struct hold *h, const struct task *task, struct bytes result)
{
	if (buf_add(&h->result, result.data, result.len))
		set(&h->failure, task, ERROR_SERVER, "no memory for the answer");
	else if (h->result.len > h->job->result_max)
		set(&h->failure, task, ERROR_TASK, "the answer has more than %zu bytes: give less back",
		    h->job->result_max);
}

void docdb_script_end(struct docdb_script *s, struct bytes result, const struct error *e)
{
	struct hold *h = s->hold;
	if (h) {
		h->script = NULL;
		if (e)
			script_failed(h, s->task, e);
		else if (!h->failure.error.code)
			add_result(h, s->task, result);
		h->orphan = s->request; /* the dialect may be at it */
	} else {
		request_free(s->request);
	}
	buf_free(&s->result);
	free(s);
	if (h && !h->busy && !h->starting)
		go_on(h);
}

/* What comes next -------------------------------------------------------------------------------------------------- */

static void commit(struct hold *h)
{
	struct job *job = h->job;
	job->out.len = 0;
	h->phase = HOLD_COMMIT;
	if (buf_add(&job->out, h->result.data, h->result.len) || buf_add_str(&job->out, h->unit->nested ? "]," : ",")) {
		set(&h->failure, NULL, ERROR_SERVER, "no memory for the answer");
		undo(h);
		return;
	}
	h->busy = true;
	h->d->class->commit(h->d, job);
}

static void next_task(struct hold *h)
{
	const struct task *task = &h->unit->tasks[h->task];
	const char *before = h->task ? "," : h->unit->nested ? "[" : "";
	h->task++;
	if (buf_add_str(&h->result, before)) {
		set(&h->failure, task, ERROR_SERVER, "no memory for the answer");
	} else if (task->op == TASK_RUN) {
		start_script(h, task);
	} else {
		h->phase = HOLD_TASK;
		exec(h, h->unit, task);
	}
}

/* Nobody is at work. A script may have ended when this returns from its start. */
static void go_on(struct hold *h)
{
	if (h->all->closing)
		set(&h->failure, NULL, ERROR_SERVER, "the document database is closing");
	while (!h->failure.error.code && h->task < h->unit->count) {
		next_task(h);
		if (h->script || h->busy)
			return;
	}
	if (h->failure.error.code)
		undo(h);
	else
		commit(h);
}

/* A task was done, or the transaction is open. */
static void went_well(struct hold *h)
{
	h->open = true;
	if (h->phase == HOLD_TASK)
		add_result(h, NULL, (struct bytes){h->job->out.data, h->job->out.len});
	go_on(h);
}

void hold_done(struct hold *h)
{
	h->busy = false;
	if (h->phase == HOLD_SCRIPT && h->script) {
		asked_done(h);
	} else if (h->phase == HOLD_PAUSE) {
		pause_then_begin(h);
	} else if (h->phase == HOLD_UNDONE) {
		if (!h->script)
			over(h);
	} else if (h->job->failure.error.code) {
		h->open = h->phase == HOLD_TASK || h->phase == HOLD_SCRIPT;
		dialect_failed(h);
	} else if (h->job->done) {
		over(h); /* committed, or done before */
	} else {
		went_well(h);
	}
}

void hold_unit(struct holds *all, struct dialect *d, struct job *job)
{
	struct hold *h = xcalloc(1, sizeof *h);
	h->all = all;
	h->d = d;
	h->job = job;
	h->unit = &job->request->units[job->from];
	h->pause = FIRST_PAUSE_MS;
	h->next = all->first;
	h->link = &all->first;
	if (h->next)
		h->next->link = &h->next;
	all->first = h;
	job->hold = h;
	begin(h);
}

void holds_close(struct holds *all)
{
	while (all->first) {
		struct hold *h = all->first;
		set(&h->failure, h->script ? h->script->task : NULL, ERROR_SERVER, "the document database is closing");
		over(h);
	}
}
