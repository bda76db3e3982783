/* SPDX-License-Identifier: MIT
 *
 * batch: the ops of many steps on their way to one transaction. The loop thread fills it; once handed over only the writer
 * reads it. Everything an op points to lies in the batch's arena.
 * Ops of one row that meet in an open batch become one: event and queue rows are found by n (their numbers run on, so an
 * array indexed by n - first_n does it), a thred's by the op its cache entry remembers.
 */
#ifndef SRVTHREDS_BATCH_H
#define SRVTHREDS_BATCH_H

#include "store/store.h"

struct chunk;
struct arena {
	struct chunk *first, *current; /* owned */
	size_t used;
};
void *arena_take(struct arena *a, size_t size); /* zeroed, aligned to 8 */
struct span arena_copy(struct arena *a, struct span s);
void arena_clear(struct arena *a); /* keeps the memory */
void arena_free(struct arena *a);

enum op_kind {
	OP_WORD,
	OP_PARTICIPANT,
	OP_EVENT,
	OP_EVENT_DONE,
	OP_THRED,
	OP_MEMBER,
	OP_INBOX,
	OP_QUEUE,
	OP_QUEUE_DONE,
	OP_STARTS,
	OP_RUN,
	OP_SQL,
	OP_KINDS
};

struct op {
	struct op *next;
	enum op_kind kind;
	bool merged; /* away: not to be written */
};

struct op_text {
	struct op op;
	int64_t n, at; /* at: of a participant */
	struct span text;
}; /* WORD, PARTICIPANT */
struct op_pair {
	struct op op;
	int64_t a, b, c;
};                /* MEMBER, INBOX, QUEUE_DONE, STARTS */
struct op_event { /* EVENT, EVENT_DONE */
	struct op op;
	int64_t n, hash, source, thred, at, outcome, step, prev, cause, content;
	struct span rec, body;
};
struct op_queue {
	struct op op;
	int64_t n, event, at, topic, tries;
	struct span target, body;
};
enum thred_write { THRED_INSERT, THRED_UPDATE, THRED_ARCHIVE_NEW, THRED_ARCHIVE };
struct op_thred {
	struct op op;
	enum thred_write write;
	int64_t n, hash, step, status, pattern, version, reaction, started, reacted, due, last, ended;
	struct span id, state;
};
enum { SQL_VALUES = 11 };
struct sql_value {
	enum { VALUE_NULL, VALUE_INT, VALUE_TEXT, VALUE_BLOB } kind;
	int64_t number;
	struct span text;
};
struct op_sql {
	struct op op;
	const char *sql;
	int count;
	struct sql_value values[SQL_VALUES];
};

struct batch {
	struct arena arena;
	struct op *first[OP_KINDS], **tail[OP_KINDS];
	struct op **by_n; /* owned; rows of this batch by n - first_n */
	size_t by_n_len, by_n_cap;
	int64_t first_n, ticket;
	size_t steps, ops;
	bool told; /* somebody waits to be told, though there may be no op */
};

void batch_init(struct batch *b);
void batch_clear(struct batch *b, int64_t ticket, int64_t first_n);
void batch_free(struct batch *b);
bool batch_is_empty(const struct batch *b);
void *batch_add(struct batch *b, enum op_kind kind, size_t size);
void batch_by_n(struct batch *b, int64_t n, struct op *op);
struct op *batch_find(const struct batch *b, int64_t n);

#endif
