/* SPDX-License-Identifier: MIT
 *
 * Checkpoints, on a thread and a connection of their own. A passive one copies most of the log into the file while the
 * writer goes on; the log can only begin anew when all of it is copied, so the little that came meanwhile is copied with
 * the writer held at the gate between two batches. The log keeps its file and is overwritten.
 */
#include "store/sqlite.h"

static int checkpoint(struct sqlite *s, int *left)
{
	int log = 0, copied = 0;
	int rc = sqlite3_wal_checkpoint_v2(s->checkpoint.db, NULL, SQLITE_CHECKPOINT_PASSIVE, &log, &copied);
	sqlite_exit_on_fsync(rc, s->path);
	*left = log - copied;
	return rc;
}

static void checkpoint_once(struct sqlite *s)
{
	int left = 0, before = s->checkpoint.due_pages;
	/* Each round is shorter than the last, as it copies what came during it. */
	for (int round = 0; round < 4; round++) {
		if (checkpoint(s, &left) != SQLITE_OK || left < 64 || left > before / 2)
			break;
		before = left;
	}
	uv_mutex_lock(&s->checkpoint.gate);
	checkpoint(s, &left);
	uv_mutex_unlock(&s->checkpoint.gate);
}

static void checkpoint_main(void *arg)
{
	struct sqlite *s = arg;
	struct sqlite_checkpoint *c = &s->checkpoint;
	uv_mutex_lock(&c->mutex);
	while (!c->stop) {
		if (c->pages < c->due_pages) {
			uv_cond_wait(&c->wake, &c->mutex);
			continue;
		}
		c->pages = 0;
		uv_mutex_unlock(&c->mutex);
		checkpoint_once(s);
		uv_mutex_lock(&c->mutex);
	}
	uv_mutex_unlock(&c->mutex);
}

/* On the writer thread after each commit. */
static int committed(void *arg, sqlite3 *db, const char *name, int pages)
{
	(void)db;
	(void)name;
	struct sqlite_checkpoint *c = arg;
	uv_mutex_lock(&c->mutex);
	c->pages = pages;
	if (pages >= c->due_pages)
		uv_cond_signal(&c->wake);
	uv_mutex_unlock(&c->mutex);
	return SQLITE_OK;
}

int sqlite_checkpoint_start(struct sqlite *s, struct error *e)
{
	struct sqlite_checkpoint *c = &s->checkpoint;
	c->due_pages = (int)((s->options.wal_limit ? s->options.wal_limit : 16 << 20) / 4096);
	uv_mutex_init(&c->mutex);
	uv_mutex_init(&c->gate);
	uv_cond_init(&c->wake);
	if (sqlite_connect(s, &c->db, e))
		return -1;
	sqlite3_wal_hook(s->writer.db, committed, c);
	int rc = uv_thread_create(&c->thread, checkpoint_main, s);
	if (rc)
		return error_set(e, ERROR_SERVER, "can't start the store's checkpoints: %s", uv_strerror(rc));
	c->started = true;
	return 0;
}

void sqlite_checkpoint_stop(struct sqlite *s)
{
	struct sqlite_checkpoint *c = &s->checkpoint;
	if (c->started) {
		uv_mutex_lock(&c->mutex);
		c->stop = true;
		uv_cond_signal(&c->wake);
		uv_mutex_unlock(&c->mutex);
		uv_thread_join(&c->thread);
		uv_mutex_destroy(&c->mutex);
		uv_mutex_destroy(&c->gate);
		uv_cond_destroy(&c->wake);
		c->started = false;
	}
	sqlite3_close(c->db);
	c->db = NULL;
}
