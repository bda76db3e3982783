/* SPDX-License-Identifier: MIT
 *
 * The MongoDB dialect on the loop thread: open, submit, completions, close; and the workers, who do a job at a time.
 */
#include "docdb/mongo.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { DAY_MS = 86400000, WAIT_FIRST_MS = 4, WAIT_MOST_MS = 500 };

/* Jobs ------------------------------------------------------------------------------------------------------------ */

static void work(struct mongo_worker *w, struct job *job)
{
	for (size_t i = job->from; i < job->to; i++) {
		if (atomic_load(&w->m->stopping)) {
			job_fail(job, NULL, ERROR_SERVER, "the document database is closing");
			return;
		}
		if (job->index.data ? mongo_make_index(w, job) : mongo_unit(w, job, i))
			return;
		job->done++;
	}
}

void mongo_finish(struct mongo *m, struct job *job)
{
	uv_mutex_lock(&m->mutex);
	*m->finished_last = job;
	m->finished_last = &job->next;
	uv_mutex_unlock(&m->mutex);
	uv_async_send(&m->done);
}

bool mongo_wait(struct mongo_worker *w, unsigned tries)
{
	struct mongo *m = w->m;
	uint64_t now = uv_hrtime(), most = (uint64_t)WAIT_FIRST_MS << (tries < 8 ? tries : 8);
	w->random = w->random * 6364136223846793005u + 1442695040888963407u;
	if (most > WAIT_MOST_MS)
		most = WAIT_MOST_MS;
	uint64_t ns = (most / 2 + (w->random >> 33) % most) * 1000000 / 2 + 1000000;
	if (now + ns >= w->deadline)
		return false;
	uv_mutex_lock(&m->mutex);
	for (uint64_t end = now + ns; !m->stopping && now < end; now = uv_hrtime())
		uv_cond_timedwait(&m->stopped, &m->mutex, end - now);
	uv_mutex_unlock(&m->mutex);
	return !m->stopping;
}

/* Connections ----------------------------------------------------------------------------------------------------- */

static void topology_changed(const mongoc_apm_topology_changed_t *event)
{
	struct mongo *m = mongoc_apm_topology_changed_get_context(event);
	/* libmongoc takes what it only reads without const */
	mongoc_topology_description_t *now = (mongoc_topology_description_t *)(uintptr_t)
		mongoc_apm_topology_changed_get_new_description(event);
	atomic_store(&m->there, mongoc_topology_description_has_writable_server(now));
}

static void heartbeat_failed(const mongoc_apm_server_heartbeat_failed_t *event)
{
	struct mongo *m = mongoc_apm_server_heartbeat_failed_get_context(event);
	bson_error_t e;
	mongoc_apm_server_heartbeat_failed_get_error(event, &e);
	uv_mutex_lock(&m->mutex);
	snprintf(m->why, sizeof m->why, "%s", e.message);
	uv_mutex_unlock(&m->mutex);
}

static mongoc_client_pool_t *make_pool(struct mongo *m, bson_error_t *e)
{
	mongoc_client_pool_t *pool = mongoc_client_pool_new_with_error(m->uri, e);
	if (!pool)
		return NULL;
	mongoc_apm_callbacks_t *callbacks = mongoc_apm_callbacks_new();
	mongoc_apm_set_topology_changed_cb(callbacks, topology_changed);
	mongoc_apm_set_server_heartbeat_failed_cb(callbacks, heartbeat_failed);
	mongoc_client_pool_set_apm_callbacks(pool, callbacks, m);
	mongoc_apm_callbacks_destroy(callbacks);
	mongoc_client_pool_set_error_api(pool, MONGOC_ERROR_API_VERSION_2);
	mongoc_client_pool_max_size(pool, MONGO_WORKERS);
	return pool;
}

/* The first worker makes the pool; while that fails (no DNS), each tries again. */
static bool connect_worker(struct mongo_worker *w)
{
	struct mongo *m = w->m;
	bson_error_t e = {0};
	if (w->client)
		return true;
	uv_mutex_lock(&m->pool_mutex);
	mongoc_client_pool_t *pool = m->pool ? m->pool : make_pool(m, &e);
	m->pool = pool;
	uv_mutex_unlock(&m->pool_mutex);
	if (!pool)
		return mongo_again(w, e.message) == 0;
	w->client = mongoc_client_pool_pop(pool);
	mongo_wire(w);
	return true;
}

/* Afterwards the job and its request are gone. */
static void do_units(struct mongo_worker *w, struct job *job)
{
	const struct request *r = job->request;
	bool marked = r && r->marked && r->units[job->from].writes;
	struct bytes database = marked ? r->units[job->from].database : (struct bytes){NULL, 0};
	int64_t now = r ? r->now : 0;
	work(w, job);
	mongo_finish(w->m, job);
	if (marked)
		mongo_sweep(w, database, now);
}

static void do_job(struct mongo_worker *w, struct job *job)
{
	w->deadline = job->request ? job->request->deadline : uv_hrtime() + 30000000000u;
	for (unsigned tries = 0; !connect_worker(w); tries++)
		if (!mongo_wait(w, tries)) {
			job_fail(job, NULL, ERROR_SERVER, "no way to the document database: %s", w->why);
			mongo_finish(w->m, job);
			return;
		}
	mongo_end_lost_sessions(w, job->tries > 0);
	if (job->hold)
		mongo_hold(w, job);
	else
		do_units(w, job);
}

static bool is_held(const struct mongo *m, uint64_t holds)
{
	for (size_t i = 0; i < m->started; i++)
		if (m->workers[i]->holds == holds)
			return true;
	return false;
}

/* The first that may be done now, or NULL. Called with the mutex. */
static struct job *take(struct mongo *m)
{
	struct job **link = &m->first;
	while (*link && (*link)->hold && (m->holders == MONGO_HOLDERS || is_held(m, mongo_holds(*link))))
		link = &(*link)->next;
	struct job *job = *link;
	if (!job)
		return NULL;
	*link = job->next;
	if (m->last == &job->next)
		m->last = link;
	m->waiting--;
	job->next = NULL;
	return job;
}

/* Until somebody has a job. Who came last goes first: its connection, and the server's end of it, are warm. Called with
 * the mutex. */
static void rest(struct mongo_worker *w)
{
	struct mongo *m = w->m;
	w->resting = true;
	w->next_resting = m->resting;
	m->resting = w;
	m->idle++;
	while (w->resting && !m->stopping)
		uv_cond_wait(&w->wished, &m->mutex);
	m->idle--;
}

void mongo_worker(void *arg)
{
	struct mongo_worker *w = arg;
	struct mongo *m = w->m;
	connect_worker(w);
	uv_mutex_lock(&m->mutex);
	while (!m->stopping) {
		struct job *job = take(m);
		if (!job) {
			rest(w);
			continue;
		}
		const bool holds = job->hold != NULL;
		m->holders += holds;
		w->holds = holds ? mongo_holds(job) : 0;
		uv_mutex_unlock(&m->mutex);
		do_job(w, job);
		uv_mutex_lock(&m->mutex);
		m->holders -= holds;
		w->holds = 0;
	}
	uv_mutex_unlock(&m->mutex);
	if (w->client)
		mongoc_client_pool_push(m->pool, w->client);
}

/* The loop -------------------------------------------------------------------------------------------------------- */

static void free_worker(struct mongo_worker *w)
{
	uv_cond_destroy(&w->wished);
	buf_free(&w->filter);
	buf_free(&w->update);
	buf_free(&w->scratch);
	buf_free(&w->locks);
	free(w);
}

/* -1: not one more can be started. Called with the mutex. */
static int start_worker(struct mongo *m)
{
	struct mongo_worker *w = xcalloc(1, sizeof *w);
	w->m = m;
	w->random = uv_hrtime() | 1;
	uv_cond_init(&w->wished);
	int rc = m->started < MONGO_WORKERS ? uv_thread_create(&w->thread, mongo_worker, w) : -1;
	if (rc == 0)
		m->workers[m->started++] = w;
	else
		free_worker(w);
	return rc;
}

static void submit(struct dialect *d, struct job *job)
{
	struct mongo *m = (struct mongo *)d;
	uv_mutex_lock(&m->mutex);
	*m->last = job;
	m->last = &job->next;
	struct mongo_worker *w = m->resting;
	if (w) {
		m->resting = w->next_resting;
		w->resting = false;
	}
	if (++m->waiting > m->idle && m->started < MONGO_WORKERS)
		start_worker(m);
	uv_mutex_unlock(&m->mutex);
	if (w) /* it doesn't run into the mutex */
		uv_cond_signal(&w->wished);
}

static void deliver(struct mongo *m)
{
	uv_mutex_lock(&m->mutex);
	struct job *jobs = m->finished, *next;
	m->finished = NULL;
	m->finished_last = &m->finished;
	uv_mutex_unlock(&m->mutex);
	for (struct job *job = jobs; job; job = next) {
		next = job->next;
		job->next = NULL;
		job_done(job);
	}
}

static void on_done(uv_async_t *handle)
{
	deliver(handle->data);
}

static void destroy(struct mongo *m)
{
	uv_mutex_destroy(&m->mutex);
	uv_mutex_destroy(&m->pool_mutex);
	uv_cond_destroy(&m->stopped);
	mongoc_uri_destroy(m->uri);
	mongo_sessions_close(m);
	free(m->databases);
	free(m);
}

static void closed(uv_handle_t *handle)
{
	destroy(handle->data);
}

static void close_mongo(struct dialect *d)
{
	struct mongo *m = (struct mongo *)d;
	uv_mutex_lock(&m->mutex);
	m->closing = uv_hrtime();
	m->stopping = true;
	uv_cond_broadcast(&m->stopped);
	for (size_t i = 0; i < m->started; i++)
		uv_cond_signal(&m->workers[i]->wished);
	uv_mutex_unlock(&m->mutex);
	for (size_t i = 0; i < m->started; i++) {
		uv_thread_join(&m->workers[i]->thread);
		m->workers[i]->wire = uv_hrtime() + MONGO_SLACK_MS * UINT64_C(1000000);
		m->workers[i]->deadline = m->workers[i]->wire;
	}
	if (m->pool) /* which ends its sessions, by a connection of a worker */
		mongoc_client_pool_destroy(m->pool);
	for (size_t i = 0; i < m->started; i++)
		free_worker(m->workers[i]);
	while (m->first) {
		struct job *job = take(m);
		job_fail(job, NULL, ERROR_SERVER, "the document database is closing");
		mongo_finish(m, job);
	}
	deliver(m);
	uv_close((uv_handle_t *)&m->done, closed);
}

static bool ready(struct dialect *d, struct error *reason)
{
	struct mongo *m = (struct mongo *)d;
	if (m->there)
		return true;
	uv_mutex_lock(&m->mutex);
	error_set(reason, ERROR_SERVER, "no server of the document database takes writes: %s",
		  *m->why ? m->why : "none has answered yet");
	uv_mutex_unlock(&m->mutex);
	return false;
}

/* Opening --------------------------------------------------------------------------------------------------------- */

/* At its load libmongoc makes a file of counters in shared memory, which nobody reads here. Its name goes at once: a program
 * that is killed would leave it for good, and a later one with the same process id would complain on stderr. */
__attribute__((constructor)) static void forget_counters(void)
{
	char name[32];
	snprintf(name, sizeof name, "/mongoc-%u", (unsigned)getpid());
	shm_unlink(name);
}

static void be_silent(mongoc_log_level_t level, const char *domain, const char *message, void *arg)
{
	(void)level, (void)domain, (void)message, (void)arg;
}

/* What the URL doesn't say: give up early and try again, so that a task's time is its own. */
static void set_default(mongoc_uri_t *uri, const char *option, int32_t ms)
{
	if (!mongoc_uri_has_option(uri, option))
		mongoc_uri_set_option_as_int32(uri, option, ms);
}

static mongoc_uri_t *parse_url(const char *scheme, const char *rest, struct error *e)
{
	bson_error_t why;
	struct buf url = {0};
	mongoc_uri_t *uri = NULL;
	if (buf_printf(&url, "%s%s", scheme, rest) == 0)
		uri = mongoc_uri_new_with_error(url.data, &why);
	buf_free(&url);
	if (!uri) { /* the reason may repeat a part of it, and so a password */
		error_set(
			e, ERROR_ARGUMENT,
			"the URL of the document database can't be read: expected "
			"%s//NAME:PASSWORD@HOST:PORT/?replicaSet=NAME, with : / ? # [ ] @ %% in names and passwords as "
			"%%XX",
			scheme);
		return NULL;
	}
	set_default(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, 100);
	set_default(uri, MONGOC_URI_CONNECTTIMEOUTMS, 2000);
	set_default(uri, MONGOC_URI_HEARTBEATFREQUENCYMS, 1000);
	mongoc_uri_set_option_as_bool(uri, MONGOC_URI_RETRYREADS, false); /* we do, with pauses */
	mongoc_uri_set_option_as_bool(uri, MONGOC_URI_RETRYWRITES, false);
	if (!mongoc_uri_get_appname(uri))
		mongoc_uri_set_appname(uri, "srvthreds");
	return uri;
}

static struct dialect *open_any(struct runtime *rt, const struct dialect_class *class, const char *rest,
				const struct docdb_options *o, struct error *e)
{
	if (runtime_is_virtual(rt)) {
		error_set(e, ERROR_ARGUMENT, "%s isn't for virtual time", class->scheme);
		return NULL;
	}
	mongoc_log_set_handler(be_silent, NULL); /* what fails comes to us as errors */
	mongoc_init(); /* once, whoever comes first; libmongoc's own state stays until the process ends */
	mongoc_uri_t *uri = parse_url(class->scheme, rest, e);
	if (!uri)
		return NULL;
	struct mongo *m = xcalloc(1, sizeof *m);
	m->base.class = class;
	m->rt = rt;
	m->uri = uri;
	m->last = &m->first;
	m->finished_last = &m->finished;
	m->mark_ms = o->mark_ms ? o->mark_ms : 7 * (int64_t)DAY_MS;
	m->databases = xcalloc(o->database_count, sizeof *m->databases);
	for (; m->database_count < o->database_count; m->database_count++)
		m->databases[m->database_count].name = o->databases[m->database_count];
	uv_mutex_init(&m->mutex);
	uv_mutex_init(&m->pool_mutex);
	mongo_sessions_open(m, o->folder);
	uv_cond_init(&m->stopped);
	uv_async_init(runtime_loop(rt), &m->done, on_done);
	m->done.data = m;
	uv_unref((uv_handle_t *)&m->done);
	if (start_worker(m) == 0)
		return &m->base;
	error_set(e, ERROR_SERVER, "can't start the document database: no thread");
	close_mongo(&m->base);
	return NULL;
}

static struct dialect *open_mongo(struct runtime *rt, const char *rest, const struct docdb_options *o, struct error *e)
{
	return open_any(rt, &dialect_mongo, rest, o, e);
}

static struct dialect *open_srv(struct runtime *rt, const char *rest, const struct docdb_options *o, struct error *e)
{
	return open_any(rt, &dialect_mongo_srv, rest, o, e);
}

#define MONGO_CLASS(its_scheme, its_open)                                                                              \
	{                                                                                                              \
		.scheme = (its_scheme), .open = (its_open), .close = close_mongo, .ready = ready, .submit = submit,    \
		.begin = submit, .exec = mongo_hold_exec, .commit = mongo_hold_commit, .abort = mongo_hold_abort       \
	}

const struct dialect_class dialect_mongo = MONGO_CLASS("mongodb:", open_mongo);
const struct dialect_class dialect_mongo_srv = MONGO_CLASS("mongodb+srv:", open_srv);
