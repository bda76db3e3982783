/* SPDX-License-Identifier: MIT
 *
 * A commit failed: memory is ahead of the disk, so all of it that isn't durable goes, and the disk is read again when it
 * takes writes again. (A failed sync never comes here: the process ends, see sqlite_exit_on_fsync.)
 */
#include "queue/local.h"
#include "store/sqlite.h"

enum { RETRY_MS = 1000 };

static void retry(struct runtime_timer *timer);

static void retry_later(struct sqlite *s)
{
	runtime_timer_start(s->rt, &s->retry_timer, runtime_now(s->rt) + RETRY_MS, retry);
}

static void read_again(struct sqlite *s)
{
	struct error e;
	sqlite_forget(s);
	if (sqlite_load(s, &e)) {
		s->reason = e;
		retry_later(s);
		return;
	}
	s->ready = true;
	s->reason = (struct error){0};
	batch_clear(s->open, ++s->next_ticket, s->next_n);
	sqlite_load_filters(s);
	local_resume(s->local);
	sqlite_due_arm(s);
}

/* A write as small as can be: does the disk take it? */
static void retry(struct runtime_timer *timer)
{
	struct sqlite *s = (struct sqlite *)((char *)timer - offsetof(struct sqlite, retry_timer));
	if (s->closing)
		return;
	int rc = sqlite_exec(s->writer.db, "begin immediate;create table if not exists room(b blob);"
					   "insert into room values(zeroblob(65536));drop table room;"
					   "update meta set value=value where key='clean';commit");
	sqlite_exit_on_fsync(rc, s->path);
	if (rc == SQLITE_OK) {
		read_again(s);
		return;
	}
	if (!sqlite3_get_autocommit(s->writer.db))
		sqlite_exec(s->writer.db, "rollback");
	retry_later(s);
}

void sqlite_failed(struct sqlite *s, int rc, const char *message)
{
	error_set(&s->reason, ERROR_SERVER,
		  "the store %s can't be written: %s (SQLite %d); what wasn't acknowledged was dropped, "
		  "writing is tried again every second",
		  s->path, message, rc);
	s->ready = false;
	s->due_on = false;
	s->epoch++;
	struct error e = s->reason;
	batch_clear(s->open, s->open->ticket, s->open->first_n);
	sqlite_threds_forget(s, &e);
	local_failed(s->local, &e);
	sqlite_forget(s);
	if (s->listener.failed)
		s->listener.failed(s->listener.arg, &e);
	retry_later(s);
}
