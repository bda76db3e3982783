/* SPDX-License-Identifier: MIT
 *
 * sqlite: what the files of the SQLite store (store/sqlite_*.c, queue/local*.c) share; nobody else includes it.
 *
 *   loop thread        everything but what follows
 *   writer thread      one batch at a time: BEGIN … COMMIT                     sqlite_writer.c
 *   checkpoint thread  copies the log into the file while the writer goes on   sqlite_checkpoint.c
 *   worker threads     reads, each on a connection of its own                  sqlite_reader.c
 *
 * Inline (memory:, or virtual time): the same work on the loop thread, at the end of the turn, on the one connection.
 */
#ifndef SRVTHREDS_SQLITE_H
#define SRVTHREDS_SQLITE_H

#include <sqlite3.h>
#include <uthash.h>

#include "store/batch.h"
#include "store/class.h"
#include "store/dict.h"
#include "store/due.h"
#include "store/filter.h"
#include "store/meters.h"
#include "store/sqlite_runs.h"
#include "store/zones.h"

enum { SQLITE_STORE_SCHEMA = 3, DURATION_DAY = 86400000, SECRET_SIZE = 192 };

/* A live thred's newest state and its lock. In memory while it is held, not durable, or in the cache's share. */
enum thred_where { WHERE_UNKNOWN, WHERE_NOWHERE, WHERE_LIVE, WHERE_ARCHIVED };
struct thred {
	UT_hash_handle hh;
	struct thred *newer, *older; /* by last use; only while nobody holds it */
	struct sqlite_step *holder, *first_waiting, *last_waiting;
	struct op_thred *op; /* in the batch `dirty`, if that is the open one */
	int64_t dirty;       /* ticket of its newest change */
	uint64_t hash;
	int64_t n, step, pattern, version, reaction, started, reacted, due, last;
	char *state; /* owned */
	size_t state_len, id_len;
	int status;
	enum thred_where where;
	bool listed;
	char id[];
};

struct sqlite_step {
	struct step base;
	struct sqlite *s;
	struct thred *thred;      /* NULL once a failure took it away */
	struct sqlite_step *next; /* the next that waits for the same thred */
	begun_fn fn;
	void *arg;
	int64_t epoch, max, interval, now, last_before;
	struct word *pattern;         /* begin_new */
	int64_t reaction;             /* begin_new: the number of its word, 0 = none */
	uint64_t asked_at, locked_at; /* of meters_now; asked_at 0: the lock was free */
	bool is_new, told, reserved;
};

struct sqlite_reader {
	sqlite3 *db;
	struct sqlite_reader *next;
	sqlite3_stmt *thred, *archived, *seen;
};

/* Embedded in what is read; `done` frees it. */
struct sqlite_read {
	struct sqlite *s;
	void (*work)(struct sqlite_read *read, struct sqlite_reader *reader); /* worker thread */
	void (*done)(struct sqlite_read *read);                               /* loop thread */
	int64_t epoch;
	int rc;
	struct error error;
};

enum { STATEMENTS = 20 };
struct sqlite_writer {
	sqlite3 *db;
	sqlite3_stmt *statements[STATEMENTS];
	uv_thread_t thread;
	uv_mutex_t mutex;
	uv_cond_t wake;
	uv_async_t done;
	struct batch *batch; /* under mutex */
	bool stop, finished; /* under mutex */
	int rc;
	char message[256];
	bool started;
};

struct sqlite_checkpoint {
	sqlite3 *db;
	uv_thread_t thread;
	uv_mutex_t mutex, gate; /* gate: held by the writer during a transaction */
	uv_cond_t wake;
	int pages, due_pages;
	bool stop, started;
};

struct seen {
	uint64_t hash;
	int64_t n, content, source;
	uint32_t next; /* place in the ring + 1 of the next in the chain */
	uint32_t id_len;
	char *id; /* owned */
};
enum { SEEN_RING = 65536, SEEN_BUCKETS = 131072 };
struct seen_set {
	struct seen *ring;
	uint32_t *buckets;
	uint32_t next, count;
};

struct sqlite {
	struct store base;
	struct runtime *rt;
	struct store_options options;
	struct store_listener listener;
	char *path;
	bool inline_, ready, closing, closed;
	struct error reason;
	int64_t epoch;
	int refs; /* reads under way, handles open */
	int lock_fd;
	struct running *running;
	unsigned char key[32], secret[SECRET_SIZE];

	struct batch batches[2], *open, *writing;
	int64_t durable, next_ticket;
	int64_t next_n, next_thred; /* the next unused */
	int64_t durable_n;          /* rows up to this n are on disk */
	bool flushing;
	size_t flush_ops;

	struct sqlite_writer writer;
	struct sqlite_checkpoint checkpoint;
	struct sqlite_reader *readers, inline_reader;
	uv_mutex_t readers_mutex;

	struct dict participants, words;
	struct thred *threds, *newest, *oldest;
	size_t cache_bytes;
	struct sqlite_step *granted, **granted_tail;
	bool granting;
	struct seen_set seen;
	struct filter events_seen, threds_seen; /* count 0 while they are built */
	uint64_t *late_events, *late_threds;    /* seen while the filters are built; owned */
	size_t late_events_len, late_events_cap, late_threds_len, late_threds_cap;
	struct run_entry *no_run; /* events that no run holds yet, fewer than RUN_EVENTS; owned */
	size_t no_run_len, no_run_cap;
	int64_t run_sequence, swept; /* the last run's; rows of event up to `swept` may be gone */

	struct due_heap due;
	bool due_on;
	struct runtime_timer due_timer, retry_timer, sweep_timer;
	int64_t sweep_event, sweep_archive, sweep_member[2], sweep_person; /* how far this pass has come */
	int64_t retried[64]; /* the last dead letters that were, while their rows may still be seen */
	uint32_t retried_next;
	struct local_queue *local;
	struct meters meters;
	struct zones zones;
};

static inline struct span span_of(const char *text)
{
	return (struct span){text, __builtin_strlen(text)};
}
static inline bool span_same(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || __builtin_memcmp(a.data, b.data, a.len) == 0);
}

/* sqlite_schema.c: any thread */
int sqlite_connect(struct sqlite *s, sqlite3 **db, struct error *e);
int sqlite_create(struct sqlite *s, struct error *e);
int sqlite_fail(sqlite3 *db, struct error *e, const char *doing, const char *path);

/* sqlite_writer.c */
int sqlite_writer_start(struct sqlite *s, struct error *e);
void sqlite_writer_stop(struct sqlite *s);
int sqlite_write(struct sqlite_writer *w, struct batch *batch); /* a SQLite code */
void sqlite_exit_on_fsync(int rc, const char *path);
int sqlite_exec(sqlite3 *db, const char *sql);

/* sqlite_checkpoint.c */
int sqlite_checkpoint_start(struct sqlite *s, struct error *e);
void sqlite_checkpoint_stop(struct sqlite *s);

/* sqlite_reader.c */
void sqlite_read(struct sqlite *s, struct sqlite_read *read);
/* On this thread, at once: rare things that a commit must know. */
void sqlite_read_now(struct sqlite *s, struct sqlite_read *read,
		     void (*work)(struct sqlite_read *read, struct sqlite_reader *reader));
void sqlite_readers_close(struct sqlite *s);
void sqlite_reader_inline_close(struct sqlite *s);
struct span sqlite_column(sqlite3_stmt *st, int column);      /* ours until the next step */
struct span sqlite_column_copy(sqlite3_stmt *st, int column); /* malloc */

/* sqlite_load.c: numbers, dictionaries, counters, timers, from disk */
int sqlite_load(struct sqlite *s, struct error *e);
void sqlite_load_filters(struct sqlite *s);
void sqlite_forget(struct sqlite *s);
uint64_t sqlite_hash(const struct sqlite *s, struct span a, struct span b);

/* sqlite_flush.c: the open batch's way to disk */
struct batch *sqlite_batch(struct sqlite *s); /* to add ops to */
int64_t sqlite_told(struct sqlite *s);        /* the ticket that covers everything so far */
void sqlite_flush(struct sqlite *s);
void sqlite_written(struct sqlite *s, int rc);
bool sqlite_is_full(const struct sqlite *s);
struct op_sql *sqlite_add_sql(struct sqlite *s, const char *sql);
void sqlite_sql_int(struct op_sql *op, int64_t value);
void sqlite_sql_text(struct op_sql *op, struct batch *b, struct span value);
void sqlite_sql_blob(struct op_sql *op, struct batch *b, struct span value);
struct word *sqlite_participant(struct sqlite *s, struct span id); /* adds it if new */
void sqlite_alive(struct sqlite *s, struct word *who);             /* a sign of life */
struct word *sqlite_word(struct sqlite *s, struct span text);

/* sqlite_fail.c */
void sqlite_failed(struct sqlite *s, int rc, const char *message);

/* sqlite_cache.c */
struct thred *sqlite_thred(struct sqlite *s, struct span id);
void sqlite_thred_use(struct sqlite *s, struct thred *t); /* somebody holds it: it can't be evicted */
void sqlite_thred_unuse(struct sqlite *s, struct thred *t);
void sqlite_thred_state(struct sqlite *s, struct thred *t, struct span state);
void sqlite_threds_forget(struct sqlite *s, const struct error *e);

/* sqlite_step.c, sqlite_commit.c */
int sqlite_begin(struct store *base, struct span id, const struct reservation *r, struct begun *out, begun_fn fn,
		 void *arg, struct error *e);
int64_t sqlite_commit(struct step *step, const struct store_changes *changes, struct error *e);
void sqlite_abort(struct step *step, bool fires_again);
void sqlite_step_end(struct sqlite_step *step);
int64_t sqlite_apply(struct sqlite *s, struct sqlite_step *step, const struct store_changes *changes, struct error *e);
int64_t sqlite_add_event(struct sqlite *s, const struct op_event *event, struct span rec, struct span body);
struct local_put;
int64_t sqlite_add_queue(struct sqlite *s, const struct local_put *put, struct span topic);

/* sqlite_dedup.c */
enum seen_answer { SEEN_NEVER, SEEN_SAME, SEEN_OTHER, SEEN_ASK };
enum seen_answer sqlite_seen(struct sqlite *s, uint64_t hash, const struct accept *a, int64_t source, int64_t content,
			     int64_t *n);
void sqlite_seen_add(struct sqlite *s, uint64_t hash, const struct accept *a, int64_t source, int64_t content,
		     int64_t n);
void sqlite_seen_clear(struct sqlite *s);
void sqlite_add_run(struct sqlite *s); /* if there are enough for one */
bool sqlite_thred_maybe(const struct sqlite *s, uint64_t hash);
void sqlite_thred_seen(struct sqlite *s, uint64_t hash);

/* sqlite_due.c */
void sqlite_due_arm(struct sqlite *s);

/* sqlite_look.c, sqlite_put.c, sqlite_sweep.c */
void sqlite_look(struct store *base, const struct look *look, rows_fn fn, void *arg);
int64_t sqlite_put_pattern(struct store *base, const struct store_pattern *pattern, struct error *e);
int64_t sqlite_put_meta(struct store *base, struct span key, struct span value, struct error *e);
int64_t sqlite_put_audit(struct store *base, int64_t at, struct span record, struct error *e);
int64_t sqlite_dead_drop(struct store *base, int64_t id, struct error *e);
void sqlite_dead_retry(struct store *base, int64_t id, int64_t at, ticket_fn fn, void *arg);
void sqlite_put_seen(struct store *base, struct span who, struct span event_id, ticket_fn fn, void *arg);
void sqlite_sweep_start(struct sqlite *s);

/* sqlite_scan.c */
void sqlite_scan(struct store *base, const struct store_scan *scan);
void sqlite_hold(struct store *base);
void sqlite_release(struct store *base);

/* sqlite.c */
void sqlite_unref(struct sqlite *s);

#endif
