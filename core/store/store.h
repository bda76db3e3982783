/* SPDX-License-Identifier: MIT
 *
 * store: threds and everything a step changes. Loop thread only. The backend is chosen by URL: "sqlite:PATH", "memory:".
 *
 *   begin (lock, load) -> Lua -> commit(changes): one atomic changeset | abort
 *
 * commit returns a ticket at once; `durable(ticket)` says that it and every earlier one is on disk. Nothing may leave the
 * process before. `failed` says that everything not durable is gone (also from memory): steps in flight will be refused.
 * What may wait returns STORE_DONE (result in *out), STORE_WAITS (the callback comes, never from within the call) or -1.
 * Spans are borrowed: the caller's until the call returns, ours until the callback returns or the step ends.
 */
#ifndef SRVTHREDS_STORE_H
#define SRVTHREDS_STORE_H

#include "base/ran.h"
#include "runtime/runtime.h"

struct span {
	const char *data; /* NULL = absent */
	size_t len;
};

enum { STORE_DONE = 0, STORE_WAITS = 1 };

enum thred_status { THRED_ACTIVE = 1, THRED_FINISHED, THRED_TERMINATED };

/* The model's words; the numbers are stored, so only add at the end. */
#define STORE_OUTCOMES(X)                                                                                              \
	X(QUEUED, "queued")                                                                                            \
	X(MATCHED, "matched")                                                                                          \
	X(PARTIAL, "partial")                                                                                          \
	X(NOT_MATCHED, "not_matched")                                                                                  \
	X(NO_PATTERN, "no_pattern")                                                                                    \
	X(NO_THRED, "no_thred")                                                                                        \
	X(REFUSED, "refused")                                                                                          \
	X(EXPIRED, "expired")                                                                                          \
	X(RELAYED, "relayed")                                                                                          \
	X(EARLY_KEPT, "early_kept")                                                                                    \
	X(EARLY_LAPSED, "early_lapsed")                                                                                \
	X(ERROR, "error")                                                                                              \
	X(HANDLED, "handled")

enum store_outcome {
#define X(name, text) OUTCOME_##name,
	STORE_OUTCOMES(X)
#undef X
		OUTCOME_NONE = -1
};
const char *outcome_name(int outcome); /* NULL for none */
int outcome_number(struct span name);  /* OUTCOME_NONE if unknown */
const char *status_name(int status);   /* NULL if unknown */
int status_number(struct span name);   /* 0 if unknown */

struct store;
struct step;
struct queue;

struct metrics;
struct store_options {
	int64_t dedup_keep_ms;   /* marks of events; 0 = 7 days */
	int64_t inbox_keep_ms;   /* 0 = 7 days */
	int64_t records_keep_ms; /* records and the archive; at least as long as marks, which are in the same rows */
	int64_t wal_limit;       /* bytes before a checkpoint is due; 0 = 16 MB */
	size_t cache_bytes;      /* live threds kept in memory, and as much of pages; 0 = 64 MB */
	size_t queue_bytes;      /* events in memory that aren't processed: beyond this accept waits; 0 = 256 MB */
	size_t batch_steps;      /* beyond this accept waits; 0 = 1024 */
	size_t batch_bytes;      /* likewise; 0 = 4 MB */
	int64_t max_pages;       /* tests of a full disk: PRAGMA max_page_count; 0 = none */
	struct metrics *metrics; /* told of steps, commits, timers; borrowed until store_close; NULL = none */
};

/* Both take the data folder's lock. NULL with `e` set when the URL, the file or its version is no good. */
struct store *store_open(struct runtime *rt, const char *url, const struct store_options *options, struct error *e);
/* Writes what is open, tells `durable`, closes. The memory goes in the next turn of the loop. */
void store_close(struct store *s);
struct queue *store_queue(struct store *s); /* the local queue on the same file */

struct store_listener {
	void *arg;
	void (*durable)(void *arg, int64_t ticket);                /* this and every earlier one */
	void (*failed)(void *arg, const struct error *e);          /* every ticket above the last durable one */
	void (*due)(void *arg, struct span thred_id, int64_t due); /* a timer; fires once per due set */
};
void store_listen(struct store *s, const struct store_listener *listener);
bool store_ready(struct store *s, struct error *reason);
void store_key(struct store *s, unsigned char key[32]);
/* The ticket that is durable when everything done so far is. */
int64_t store_ticket(struct store *s);
int64_t store_durable(struct store *s);
/* The delivery whose Lua runs now (delivery.key); 0 = none. Survives a kill: see delivery.attempts. */
void store_running(struct store *s, uint64_t key);
/* A due time that has come: its key for store_running, how often it was running when the process ended, and in which
 * script (NULL: not known; valid until it is over). Kept until store_timer_over. */
struct store_timer {
	uint64_t key;
	int attempts;
	const struct ran *ran;
};
struct store_timer store_timer(struct store *s, struct span thred_id, int64_t due);
void store_timer_over(struct store *s, uint64_t key);
/* Where scripts say what they do while one runs; NULL: nothing here survives. Until store_close. */
struct ran *store_ran(struct store *s);

struct thred_view {
	struct span id, state, pattern, version, reaction;
	int64_t n, step, started, reacted, due; /* due 0 = none */
	int status;
};

struct reservation {
	struct span pattern;
	int64_t max, interval, now; /* 0 = no limit; ms */
	struct span reaction;       /* the first, for metrics; may be absent */
};

enum store_refusal { REFUSED_NOT, REFUSED_EXISTS, REFUSED_MAX, REFUSED_INTERVAL };

/* step NULL: `refusal` says why (begin_new), or `e` is set. */
struct begun {
	struct step *step;
	int refusal;
};
typedef void (*begun_fn)(void *arg, const struct begun *begun, const struct error *e);
int store_begin(struct store *s, struct span id, struct begun *out, begun_fn fn, void *arg, struct error *e);
int store_begin_new(struct store *s, struct span id, const struct reservation *r, struct begun *out, begun_fn fn,
		    void *arg, struct error *e);
const struct thred_view *step_thred(struct step *step); /* NULL: no live thred of this id */

struct store_event {
	struct span id, body, rec;
	const struct span *inbox, *services;
	size_t inboxes, service_count;
};

struct store_message {
	struct span topic, target, body;
};

struct store_dead {
	struct span target, pattern, reaction, version, error;
	int64_t attempts; /* this one included; 0 = 1 */
	bool own;         /* of its target alone, not of the delivery: a timer */
};

struct accept; /* queue.h */

struct store_changes {
	int64_t delivery; /* 0 = none; its n */
	int outcome;      /* OUTCOME_NONE = none */
	struct span rec;
	struct span state, pattern, version, reaction; /* absent = unchanged */
	int status;                                    /* 0 = unchanged */
	int64_t due;                                   /* 0 = none; counts only if `state` is given */
	int64_t started, reacted;                      /* 0 = unchanged */
	const struct span *members;
	const struct store_event *events;
	const struct store_message *messages;
	const struct accept *accepts;
	size_t member_count, event_count, message_count, accept_count;
	const struct store_dead *dead; /* NULL = none */
	bool ended, no_step;
};

/* Both end the step. commit: the ticket, or -1 with `e` when the step's fence is old or the changes make no sense. */
int64_t store_commit(struct step *step, const struct store_changes *changes, struct error *e);
void store_abort(struct step *step);
/* As store_abort; and its due time, which has fired, doesn't fire again by itself: the caller sees to that. */
void store_put_off(struct step *step);

/* Named first come, first served locks in memory. Release exactly once, also after `failed`. */
struct store_lock;
typedef void (*locked_fn)(void *arg, struct store_lock *lock);
int store_lock(struct store *s, struct span name, struct store_lock **out, locked_fn fn, void *arg);
void store_unlock(struct store_lock *lock);

/* Looking: committed state, from a reader on a worker thread. */
enum look_kind {
	LOOK_THREDS,
	LOOK_ENDED,
	LOOK_THRED,
	LOOK_RECORDS,
	LOOK_EVENT,
	LOOK_ROW,  /* the event row of number `after` */
	LOOK_FIND, /* an event of which only the id is known: one part of all places; `after`: rows.next, 0 first */
	LOOK_THRED_EVENT /* an event in or out of the thred `after_id` */,
	LOOK_PARTICIPANT_THREDS,
	LOOK_LAST_EVENT,
	LOOK_DEAD,
	LOOK_INBOX,
	LOOK_CURSOR,
	LOOK_COUNTS,
	LOOK_THRED_COUNTS,
	LOOK_QUEUE_COUNTS,
	LOOK_ACTIVE_PATTERNS,
	LOOK_ACTIVE_FILES,
	LOOK_PATTERNS,
	LOOK_PATTERN,
	LOOK_PATTERN_FILES,
	LOOK_META,
	LOOK_AUDIT
};
struct look {
	enum look_kind kind;
	struct span id, source, pattern, reaction, after_id;
	int status;
	int64_t older_than, after, limit;
};
enum cell_kind { CELL_NULL, CELL_INT, CELL_TEXT, CELL_JSON, CELL_BYTES, CELL_OUTCOME, CELL_STATUS };
struct cell {
	int kind;
	int64_t number;
	struct span text;
};
struct rows {
	size_t columns, count;
	const char *const *names; /* of the columns */
	const struct cell *cells; /* count * columns */
	int64_t next;             /* LOOK_FIND: where to look next; 0 = nowhere */
	bool gone;                /* LOOK_INBOX: the event after which was asked is no longer there */
};
typedef void (*rows_fn)(void *arg, const struct rows *rows, const struct error *e);
void store_look(struct store *s, const struct look *look, rows_fn fn, void *arg);

/* Small writes; the ticket, or -1 with `e`. */
struct store_file {
	struct span path, source;
};
struct store_pattern {
	struct span id, hash;
	const struct store_file *files;
	size_t file_count;
	struct span file; /* the entry of the files */
	int64_t at;
	bool activate, disabled;
};
int64_t store_put_pattern(struct store *s, const struct store_pattern *pattern, struct error *e);
int64_t store_put_meta(struct store *s, struct span key, struct span value, struct error *e);
int64_t store_put_audit(struct store *s, int64_t at, struct span record, struct error *e);
int64_t store_dead_drop(struct store *s, int64_t id, struct error *e);
/* These look first: fn gets the ticket; 0 if there is no such thing. */
typedef void (*ticket_fn)(void *arg, int64_t ticket, const struct error *e);
void store_dead_retry(struct store *s, int64_t id, int64_t at, ticket_fn fn, void *arg);
void store_seen(struct store *s, struct span who, struct span event_id, ticket_fn fn, void *arg);

#endif
