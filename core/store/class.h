/* SPDX-License-Identifier: MIT
 *
 * class: what a backend of store and queue implements; store.c and queue.c call it. For backends only.
 */
#ifndef SRVTHREDS_STORE_CLASS_H
#define SRVTHREDS_STORE_CLASS_H

#include "queue/queue.h"
#include "store/scan.h"

struct store_class {
	const char *scheme; /* of the URL, with the colon */
	struct store *(*open)(struct runtime *rt, const char *rest, const struct store_options *o, struct error *e);
	void (*close)(struct store *s);
	void (*listen)(struct store *s, const struct store_listener *listener);
	bool (*ready)(struct store *s, struct error *reason);
	void (*key)(struct store *s, unsigned char key[32]);
	int64_t (*ticket)(struct store *s);
	int64_t (*durable)(struct store *s);
	void (*running)(struct store *s, uint64_t key);
	struct store_timer (*timer)(struct store *s, struct span thred_id, int64_t due);
	void (*timer_over)(struct store *s, uint64_t key);
	struct ran *(*ran)(struct store *s);
	int (*begin)(struct store *s, struct span id, const struct reservation *r, struct begun *out, begun_fn fn,
		     void *arg, struct error *e);
	int64_t (*commit)(struct step *step, const struct store_changes *changes, struct error *e);
	void (*abort)(struct step *step, bool fires_again);
	void (*look)(struct store *s, const struct look *look, rows_fn fn, void *arg);
	int64_t (*put_pattern)(struct store *s, const struct store_pattern *pattern, struct error *e);
	int64_t (*put_meta)(struct store *s, struct span key, struct span value, struct error *e);
	int64_t (*put_audit)(struct store *s, int64_t at, struct span record, struct error *e);
	int64_t (*dead_drop)(struct store *s, int64_t id, struct error *e);
	void (*dead_retry)(struct store *s, int64_t id, int64_t at, ticket_fn fn, void *arg);
	void (*seen)(struct store *s, struct span who, struct span event_id, ticket_fn fn, void *arg);
	void (*scan)(struct store *s, const struct store_scan *scan);
	void (*hold)(struct store *s);
	void (*release)(struct store *s);
};

struct queue_class {
	int (*accept)(struct queue *q, const struct accept *a, struct accepted *out, accepted_fn fn, void *arg,
		      struct error *e);
	void (*consume)(struct queue *q, struct span topic, const struct consumer *consumer);
	int64_t (*settle)(struct queue *q, const struct store_changes *changes, struct error *e);
	void (*on_release)(struct queue *q, void (*fn)(void *arg, int ref), void *arg);
	size_t (*depth)(struct queue *q);
	void (*back)(struct queue *q, int64_t n);
	bool (*empty)(struct queue *q, struct span topic);
	size_t (*bytes)(struct queue *q);
};

/* First member of a backend's own struct. */
struct store {
	const struct store_class *class;
	struct queue *queue;       /* on the same file, NULL if there is none */
	struct named_locks *locks; /* owned by store.c */
};
struct queue {
	const struct queue_class *class;
};
struct step {
	struct store *store;
	struct thred_view view; /* n 0: no live thred */
};

extern const struct store_class store_sqlite, store_memory;

#endif
