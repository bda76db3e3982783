/* SPDX-License-Identifier: MIT
 *
 * The SQLite store: opening and closing.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue/local.h"
#include "store/folder.h"
#include "store/running.h"
#include "store/sqlite.h"

static void defaults(struct sqlite *s, const struct store_options *o)
{
	s->options = *o;
	struct store_options *x = &s->options;
	x->dedup_keep_ms = o->dedup_keep_ms ? o->dedup_keep_ms : 7 * (int64_t)DURATION_DAY;
	x->records_keep_ms = o->records_keep_ms > x->dedup_keep_ms ? o->records_keep_ms : x->dedup_keep_ms;
	x->inbox_keep_ms = o->inbox_keep_ms ? o->inbox_keep_ms : 7 * (int64_t)DURATION_DAY;
	x->cache_bytes = o->cache_bytes ? o->cache_bytes : 64 << 20;
	x->queue_bytes = o->queue_bytes ? o->queue_bytes : 256 << 20;
	x->batch_steps = o->batch_steps ? o->batch_steps : 1024;
	x->batch_bytes = o->batch_bytes ? o->batch_bytes : 4 << 20;
}

static char *beside(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) + 1 : 0;
	size_t name_size = strlen(name) + 1;
	char *result = xmalloc(len + name_size);
	memcpy(result, path, len);
	memcpy(result + len, name, name_size);
	return result;
}

/* The folder is ours alone, and what ran when it was last left is counted. */
static int take_folder(struct sqlite *s, struct error *e)
{
	char *lock = beside(s->path, "lock"), *running = beside(s->path, "running");
	s->lock_fd = folder_lock(lock, e);
	if (s->lock_fd >= 0)
		s->running = running_open(running, e);
	free(lock);
	free(running);
	return s->running ? 0 : -1;
}

static int limit_pages(struct sqlite *s)
{
	char sql[64];
	sqlite3_snprintf(sizeof sql, sql, "pragma max_page_count=%lld", (long long)s->options.max_pages);
	return sqlite_exec(s->writer.db, sql);
}

static void cache_pages(struct sqlite *s)
{
	char sql[64];
	sqlite3_snprintf(sizeof sql, sql, "pragma cache_size=-%lld", (long long)(s->options.cache_bytes / 1024 + 1));
	sqlite_exec(s->writer.db, sql);
}

static int start(struct sqlite *s, struct error *e)
{
	if (!(s->base.class == &store_memory) && take_folder(s, e))
		return -1;
	if (sqlite_connect(s, &s->writer.db, e) || sqlite_create(s, e) || sqlite_load(s, e))
		return -1;
	cache_pages(s);
	if (s->options.max_pages)
		limit_pages(s);
	if (!s->inline_ && sqlite_checkpoint_start(s, e))
		return -1;
	return sqlite_writer_start(s, e);
}

/* Everything but the memory of the store itself. */
static void stop(struct sqlite *s)
{
	sqlite_writer_stop(s);
	sqlite_checkpoint_stop(s);
	sqlite_reader_inline_close(s);
	if (s->writer.db) {
		sqlite3_wal_hook(s->writer.db, NULL, NULL);
		sqlite3_close(s->writer.db);
		s->writer.db = NULL;
	}
}

static void release(struct sqlite *s)
{
	if (s->local)
		local_free(s->local);
	sqlite_readers_close(s);
	stop(s);
	sqlite_forget(s);
	batch_free(&s->batches[0]);
	batch_free(&s->batches[1]);
	running_close(s->running);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	uv_mutex_destroy(&s->readers_mutex);
	zones_destroy(&s->zones);
	free(s->path);
	free(s);
}

void sqlite_unref(struct sqlite *s)
{
	if (--s->refs == 0)
		release(s);
}

static struct store *open_store(const struct store_class *class, struct runtime *rt, const char *path,
				const struct store_options *options, struct error *e)
{
	struct sqlite *s = xcalloc(1, sizeof *s);
	s->base.class = class;
	s->rt = rt;
	s->path = xstrdup(class == &store_memory ? "memory:" : path);
	s->lock_fd = -1;
	s->refs = 1;
	s->inline_ = class == &store_memory || runtime_is_virtual(rt);
	s->granted_tail = &s->granted;
	defaults(s, options);
	meters_init(&s->meters, options->metrics, class == &store_memory ? "memory" : "sqlite");
	uv_mutex_init(&s->readers_mutex);
	zones_create(&s->zones);
	batch_init(&s->batches[0]);
	batch_init(&s->batches[1]);
	if (start(s, e)) {
		s->closing = s->closed = true;
		stop(s);
		sqlite_unref(s);
		return NULL;
	}
	s->open = &s->batches[0];
	batch_clear(s->open, ++s->next_ticket, s->next_n);
	s->inline_reader.db = s->writer.db;
	s->ready = true;
	s->local = local_new(s);
	s->base.queue = local_base(s->local);
	sqlite_load_filters(s);
	sqlite_sweep_start(s);
	return &s->base;
}

static struct store *open_sqlite(struct runtime *rt, const char *path, const struct store_options *o, struct error *e)
{
	if (!*path) {
		error_set(e, ERROR_ARGUMENT, "sqlite: needs a path, e.g. sqlite:data/store.db");
		return NULL;
	}
	return open_store(&store_sqlite, rt, path, o, e);
}

static struct store *open_memory(struct runtime *rt, const char *rest, const struct store_options *o, struct error *e)
{
	(void)rest;
	return open_store(&store_memory, rt, "", o, e);
}

/* The writer's last batches, waited for on this thread. */
static void drain(struct sqlite *s)
{
	while (s->ready && (s->writing || !batch_is_empty(s->open))) {
		if (!s->writing) {
			sqlite_flush(s);
			continue;
		}
		uv_mutex_lock(&s->writer.mutex);
		while (!s->writer.finished)
			uv_cond_wait(&s->writer.wake, &s->writer.mutex);
		s->writer.finished = false;
		int rc = s->writer.rc;
		uv_mutex_unlock(&s->writer.mutex);
		sqlite_written(s, rc);
	}
}

static void close_store(struct store *base)
{
	struct sqlite *s = (struct sqlite *)base;
	drain(s);
	s->closing = true;
	struct error e = {.code = ERROR_SERVER, .message = "the store was closed"};
	s->reason = e;
	if (s->ready)
		sqlite_exec(s->writer.db, "update meta set value=1 where key='clean'");
	s->closed = true;
	s->epoch++;
	runtime_timer_stop(s->rt, &s->due_timer);
	runtime_timer_stop(s->rt, &s->retry_timer);
	runtime_timer_stop(s->rt, &s->sweep_timer);
	sqlite_threds_forget(s, &e);
	local_failed(s->local, &e);
	s->listener = (struct store_listener){0};
	stop(s);
	meters_init(&s->meters, NULL, NULL);
	sqlite_unref(s);
}

static void listen_store(struct store *base, const struct store_listener *listener)
{
	struct sqlite *s = (struct sqlite *)base;
	s->listener = *listener;
	sqlite_due_arm(s);
}

static bool is_ready(struct store *base, struct error *reason)
{
	struct sqlite *s = (struct sqlite *)base;
	if (!s->ready && reason)
		*reason = s->reason;
	return s->ready;
}

static void key(struct store *base, unsigned char out[32])
{
	memcpy(out, ((struct sqlite *)base)->key, 32);
}

static int64_t ticket(struct store *base)
{
	return sqlite_told((struct sqlite *)base);
}

static int64_t durable(struct store *base)
{
	return ((struct sqlite *)base)->durable;
}

static void running(struct store *base, uint64_t now)
{
	struct sqlite *s = (struct sqlite *)base;
	if (now)
		running_begin(s->running, now);
	else
		running_end(s->running);
}

/* Of this due time: a later one of the thred is another. */
static struct store_timer timer(struct store *base, struct span thred_id, int64_t due)
{
	struct sqlite *s = (struct sqlite *)base;
	struct span at = {(const char *)&due, sizeof due};
	struct store_timer t = {.key = sqlite_hash(s, thred_id, at) | 1}; /* 0 = none */
	t.attempts = running_attempts(s->running, t.key);
	t.ran = t.attempts ? running_last(s->running, t.key) : NULL;
	return t;
}

static void timer_over(struct store *base, uint64_t key)
{
	running_settled(((struct sqlite *)base)->running, key);
}

static struct ran *ran(struct store *base)
{
	return running_ran(((struct sqlite *)base)->running);
}

#define COMMON                                                                                                         \
	.close = close_store, .listen = listen_store, .ready = is_ready, .key = key, .ticket = ticket,                 \
	.running = running, .timer = timer, .timer_over = timer_over, .ran = ran, .durable = durable,                  \
	.begin = sqlite_begin, .commit = sqlite_commit, .abort = sqlite_abort, .look = sqlite_look,                    \
	.put_pattern = sqlite_put_pattern, .put_meta = sqlite_put_meta, .put_audit = sqlite_put_audit,                 \
	.dead_drop = sqlite_dead_drop, .dead_retry = sqlite_dead_retry, .seen = sqlite_put_seen, .scan = sqlite_scan,  \
	.hold = sqlite_hold, .release = sqlite_release

const struct store_class store_sqlite = {.scheme = "sqlite:", .open = open_sqlite, COMMON};
const struct store_class store_memory = {.scheme = "memory:", .open = open_memory, COMMON};
