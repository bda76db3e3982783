/* SPDX-License-Identifier: MIT
 *
 * Requests: checked here, cut into runs of items that go to one host and all write or all read, done run by run.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "docdb/hold.h"
#include "docdb/parse.h"

enum { TIMEOUT_MS = 30000, RESULT_MAX = 16 << 20, LOOP_BYTES = 64 << 10 };

struct docdb {
	struct runtime *rt;
	struct docdb_options options; /* with copies of its texts, owned */
	struct mem mem;
	struct parse_room room; /* of the loop thread */
	struct dialect **hosts;
	size_t parsing; /* requests that a worker thread checks */
	struct holds holds;
	bool closing;
};

struct run {
	struct docdb *db;
	struct request *request; /* owned; NULL: docdb_index */
	struct job job;
	struct buf out;
	size_t done;
	docdb_done fn;
	void *arg;
	struct mem mem;            /* of docdb_index, and what a worker thread checks */
	struct docdb_request from; /* the latter */
	uint64_t deadline;
	int64_t now;
	bool refused;
};

static const struct dialect_class *const classes[] = {&dialect_sqlite, &dialect_memory, &dialect_view, &dialect_mongo,
						      &dialect_mongo_srv};

void failure_set(struct docdb_failure *f, const struct task *task, int code, const char *format, va_list args)
{
	if (f->error.code)
		return;
	f->error.code = code;
	f->error.cause[0] = '\0';
	vsnprintf(f->error.message, sizeof f->error.message, format, args);
	f->item = task ? task->item : -1;
	f->inner = task ? task->inner : -1;
	snprintf(f->name, sizeof f->name, "%.*s", task ? (int)task->name.len : 0,
		 task && task->name.data ? task->name.data : "");
}

int job_fail(struct job *job, const struct task *task, int code, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	failure_set(&job->failure, task, code, format, args);
	va_end(args);
	return -1;
}

int job_too_large(struct job *job, const struct task *task)
{
	if (job->out.len <= job->result_max)
		return 0;
	return job_fail(job, task, ERROR_TASK,
			"the answer has more than %zu bytes: take less at a time (collector.limit) or "
			"fewer fields (selector)",
			job->result_max);
}

void job_mark(const struct job *job, size_t unit, unsigned char mark[MARK_SIZE])
{
	uint32_t n = (uint32_t)unit;
	memcpy(mark, job->request->mark, 16);
	memcpy(mark + 16, &n, sizeof n);
}

/* Opening ---------------------------------------------------------------------------------------------------------- */

static struct dialect *open_host(struct docdb *db, const struct docdb_host *host, struct error *e)
{
	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
		size_t len = strlen(classes[i]->scheme);
		if (strncmp(host->url, classes[i]->scheme, len) == 0)
			return classes[i]->open(db->rt, host->url + len, &db->options, e);
	}
	/* the rest may have a password in it */
	error_set(e, ERROR_ARGUMENT,
		  "the document database \"%.*s…\": expected a URL that begins with sqlite:, memory:, mongodb: or "
		  "mongodb+srv:",
		  (int)strcspn(host->url, ":/@"), host->url);
	return NULL;
}

static void copy_options(struct docdb *db, const struct docdb_options *o)
{
	struct docdb_host *hosts = mem_take(&db->mem, o->host_count * sizeof *hosts);
	const char **names = mem_take(&db->mem, o->database_count * sizeof *names);
	for (size_t i = 0; i < o->host_count; i++) {
		hosts[i].name = mem_copy(&db->mem, o->hosts[i].name, strlen(o->hosts[i].name));
		hosts[i].url = mem_copy(&db->mem, o->hosts[i].url, strlen(o->hosts[i].url));
	}
	for (size_t i = 0; i < o->database_count; i++)
		names[i] = mem_copy(&db->mem, o->databases[i], strlen(o->databases[i]));
	db->options = *o;
	db->options.hosts = hosts;
	db->options.databases = names;
	if (o->folder)
		db->options.folder = mem_copy(&db->mem, o->folder, strlen(o->folder));
	parse_random(db->options.random);
	if (!o->timeout_ms)
		db->options.timeout_ms = TIMEOUT_MS;
	if (!o->result_max)
		db->options.result_max = RESULT_MAX;
}

struct docdb *docdb_open(struct runtime *rt, const struct docdb_options *options, struct error *e)
{
	if (!options->host_count || !options->database_count) {
		error_set(e, ERROR_MISSING, "a document database needs a host and the name of a database");
		return NULL;
	}
	struct docdb *db = xcalloc(1, sizeof *db);
	db->rt = rt;
	copy_options(db, options);
	db->holds.rt = rt;
	db->holds.options = &db->options;
	db->hosts = db->holds.hosts = mem_take(&db->mem, options->host_count * sizeof(struct dialect *));
	for (size_t i = 0; i < options->host_count; i++)
		if (!(db->hosts[i] = open_host(db, &db->options.hosts[i], e))) {
			docdb_close(db);
			return NULL;
		}
	return db;
}

static void free_docdb(struct docdb *db)
{
	holds_scripts(&db->holds, NULL, 0);
	parse_room_free(&db->room);
	mem_free(&db->mem);
	free(db);
}

void docdb_close(struct docdb *db)
{
	db->closing = db->holds.closing = true;
	for (size_t i = 0; i < db->options.host_count; i++)
		if (db->hosts[i])
			db->hosts[i]->class->close(db->hosts[i]);
	holds_close(&db->holds);
	if (!db->parsing)
		free_docdb(db);
}

bool docdb_ready(struct docdb *db, struct error *reason)
{
	for (size_t i = 0; i < db->options.host_count; i++)
		if (!db->hosts[i]->class->ready(db->hosts[i], reason))
			return false;
	return true;
}

/* Running ---------------------------------------------------------------------------------------------------------- */

static void finish(struct run *run)
{
	struct docdb_failure *failure = run->job.failure.error.code ? &run->job.failure : NULL;
	if (run->out.len > 1)
		run->out.data[run->out.len - 1] = ']'; /* the comma */
	else
		buf_add(&run->out, "]", 1);
	if (failure && failure->item < 0 && run->request)
		failure->item = (int)run->done;
	const struct bytes result = {run->refused ? NULL : run->out.data, run->refused ? 0 : run->out.len};
	const struct docdb_answer answer = {result, run->done, failure};
	run->fn(run->arg, &answer);
	buf_free(&run->out);
	buf_free(&run->job.out);
	request_free(run->request);
	mem_free(&run->mem);
	free(run);
}

/* Submits the next run of units, or ends. */
static void go_on(struct run *run)
{
	const struct request *r = run->request;
	size_t from = run->done, to = from;
	if (run->job.failure.error.code || !r || from == r->count) {
		finish(run);
		return;
	}
	if (run->db->closing) {
		job_fail(&run->job, NULL, ERROR_SERVER, "the document database is closing");
		finish(run);
		return;
	}
	const struct unit *first = &r->units[from];
	while (to < r->count && r->units[to].host == first->host && r->units[to].writes == first->writes &&
	       !r->units[to].runs)
		to++;
	if (first->runs)
		to = from + 1;
	run->job.from = from;
	run->job.to = to;
	run->job.done = 0;
	run->job.out.len = 0;
	struct dialect *host = run->db->hosts[first->host];
	if (first->runs)
		hold_unit(&run->db->holds, host, &run->job);
	else
		host->class->submit(host, &run->job);
}

void job_done(struct job *job)
{
	struct run *run = job->owner;
	if (job->hold) {
		hold_done(job->hold);
		return;
	}
	run->done += job->done;
	if (job->out.len && buf_add(&run->out, job->out.data, job->out.len))
		job_fail(job, NULL, ERROR_SERVER, "no memory for the answer");
	go_on(run);
}

static struct run *new_run(struct docdb *db, docdb_done fn, void *arg)
{
	struct run *run = xcalloc(1, sizeof *run);
	run->db = db;
	run->fn = fn;
	run->arg = arg;
	run->job.owner = run;
	run->job.result_max = db->options.result_max;
	buf_add(&run->out, "[", 1);
	return run;
}

static void go_on_later(void *arg)
{
	go_on(arg);
}

static void check_request(void *arg)
{
	struct run *run = arg;
	run->request = request_parse(&run->db->options, &run->from, run->now, NULL, &run->job.failure);
}

static void request_checked(void *arg)
{
	struct run *run = arg;
	struct docdb *db = run->db;
	bool last = --db->parsing == 0 && db->closing;
	run->job.request = run->request;
	if (run->request && holds_check(&db->holds, run->request, &run->job.failure)) {
		request_free(run->request);
		run->request = run->job.request = NULL;
	}
	run->refused = !run->request;
	if (run->request)
		run->request->deadline = run->deadline;
	go_on(run);
	if (last)
		free_docdb(db);
}

/* A large list would hold the loop up for some ms. */
static int run_large(struct docdb *db, const struct docdb_request *request, struct run *run)
{
	run->from = *request;
	run->from.tasks.data = mem_copy(&run->mem, request->tasks.data, request->tasks.len);
	if (request->mark.data)
		run->from.mark.data = mem_copy(&run->mem, request->mark.data, request->mark.len);
	run->now = runtime_now(db->rt);
	db->parsing++;
	runtime_work(db->rt, check_request, request_checked, run);
	return 0;
}

int docdb_run(struct docdb *db, const struct docdb_request *request, docdb_done fn, void *arg,
	      struct docdb_failure *failure)
{
	int64_t timeout = request->timeout_ms ? request->timeout_ms : db->options.timeout_ms;
	uint64_t deadline = uv_hrtime() + (uint64_t)timeout * 1000000;
	bool large = request->tasks.len > LOOP_BYTES;
	struct request *r = large ? NULL
				  : request_parse(&db->options, request, runtime_now(db->rt), &db->room, failure);
	if (!r && !large)
		return -1;
	if (r && holds_check(&db->holds, r, failure)) {
		request_free(r);
		return -1;
	}
	struct run *run = new_run(db, fn, arg);
	run->deadline = deadline;
	if (large)
		return run_large(db, request, run);
	r->deadline = deadline;
	run->request = r;
	run->job.request = r;
	if (r->count)
		go_on(run);
	else
		runtime_defer(db->rt, go_on_later, run);
	return 0;
}

void docdb_scripts(struct docdb *db, const char *const *names, size_t count, docdb_start start, void *arg)
{
	holds_scripts(&db->holds, names, count);
	db->holds.start = start;
	db->holds.arg = arg;
}

static struct bytes copy(struct run *run, struct bytes t)
{
	return (struct bytes){mem_copy(&run->mem, t.data, t.len), t.len};
}

int docdb_index(struct docdb *db, struct bytes database, struct bytes type, struct bytes field, docdb_done fn,
		void *arg, struct docdb_failure *failure)
{
	*failure = (struct docdb_failure){.item = -1, .inner = -1};
	if (!type.len || !field.len || field.len > 1024 || memchr(field.data, '$', field.len))
		return error_set(&failure->error, ERROR_ARGUMENT, "an index needs a collection and a field's path");
	struct run *run = new_run(db, fn, arg);
	run->job.database = copy(
		run,
		database.data ? database : (struct bytes){db->options.databases[0], strlen(db->options.databases[0])});
	run->job.type = copy(run, type);
	run->job.index = copy(run, field);
	run->job.to = 1;
	db->hosts[0]->class->submit(db->hosts[0], &run->job);
	return 0;
}
