/* SPDX-License-Identifier: MIT
 *
 * Reads on worker threads, each on a connection from a small pool; inline: at the end of the turn, on the writer's.
 */
#include <stdlib.h>
#include <string.h>

#include "store/sqlite.h"

static struct sqlite_reader *take(struct sqlite *s, struct error *e)
{
	if (s->inline_)
		return &s->inline_reader;
	uv_mutex_lock(&s->readers_mutex);
	struct sqlite_reader *r = s->readers;
	if (r)
		s->readers = r->next;
	uv_mutex_unlock(&s->readers_mutex);
	if (r)
		return r;
	r = xcalloc(1, sizeof *r);
	if (sqlite_connect(s, &r->db, e)) {
		free(r);
		return NULL;
	}
	sqlite_exec(r->db, "pragma query_only=1;pragma cache_size=-8192");
	return r;
}

static void give_back(struct sqlite *s, struct sqlite_reader *r)
{
	if (s->inline_)
		return;
	uv_mutex_lock(&s->readers_mutex);
	r->next = s->readers;
	s->readers = r;
	uv_mutex_unlock(&s->readers_mutex);
}

static void work(void *arg)
{
	struct sqlite_read *read = arg;
	if (read->s->inline_ && read->s->closed) {
		read->rc = SQLITE_INTERRUPT;
		return;
	}
	struct sqlite_reader *r = take(read->s, &read->error);
	if (!r) {
		read->rc = SQLITE_CANTOPEN;
		return;
	}
	read->work(read, r);
	if (read->rc != SQLITE_OK)
		sqlite_fail(r->db, &read->error, "read", read->s->path);
	give_back(read->s, r);
}

static void done(void *arg)
{
	struct sqlite_read *read = arg;
	struct sqlite *s = read->s;
	read->done(read);
	sqlite_unref(s);
}

static void work_inline(void *arg)
{
	work(arg);
	done(arg);
}

void sqlite_read(struct sqlite *s, struct sqlite_read *read)
{
	read->s = s;
	read->epoch = s->epoch;
	s->refs++;
	if (s->inline_)
		runtime_defer(s->rt, work_inline, read);
	else
		runtime_work(s->rt, work, done, read);
}

static void reader_close(struct sqlite_reader *r)
{
	sqlite3_finalize(r->thred);
	sqlite3_finalize(r->archived);
	sqlite3_finalize(r->seen);
	r->thred = r->archived = r->seen = NULL;
	sqlite3_close(r->db);
}

void sqlite_reader_inline_close(struct sqlite *s)
{
	s->inline_reader.db = NULL; /* the writer's */
	reader_close(&s->inline_reader);
}

void sqlite_readers_close(struct sqlite *s)
{
	while (s->readers) {
		struct sqlite_reader *r = s->readers;
		s->readers = r->next;
		reader_close(r);
		free(r);
	}
}

struct span sqlite_column(sqlite3_stmt *st, int column)
{
	if (sqlite3_column_type(st, column) == SQLITE_NULL)
		return (struct span){NULL, 0};
	const char *data = sqlite3_column_blob(st, column); /* NULL if empty */
	return (struct span){data ? data : "", (size_t)sqlite3_column_bytes(st, column)};
}

struct span sqlite_column_copy(sqlite3_stmt *st, int column)
{
	struct span s = sqlite_column(st, column);
	if (!s.data)
		return s;
	char *copy = xmalloc(s.len + 1);
	memcpy(copy, s.data, s.len);
	copy[s.len] = '\0';
	return (struct span){copy, s.len};
}

void sqlite_read_now(struct sqlite *s, struct sqlite_read *read,
		     void (*now)(struct sqlite_read *read, struct sqlite_reader *reader))
{
	read->s = s;
	read->work = now;
	work(read);
}
