/* SPDX-License-Identifier: MIT
 *
 * conformance: what every implementation of store and queue must do, written against the interfaces only.
 * The same URL opened again is the same store (if it is a durable one).
 */
#ifndef SRVTHREDS_CONFORMANCE_H
#define SRVTHREDS_CONFORMANCE_H

#include "queue/queue.h"
#include "store/store.h"

struct bed {
	const char *scheme; /* "sqlite:" gets a temporary folder for each test */
	char url[128], folder[96];
	bool durable; /* opened again it holds what it held */
	bool virtual_time;
	struct runtime *rt;
	struct store *store;
	struct queue *queue;
	int64_t told; /* the last ticket that became durable */
	struct delivery_copy {
		int64_t n, event;
		char source[64], id[64], target[64], doc[1024], message[256];
		int attempts, tries;
	} got[4096];
	size_t count;
	char due_id[64];
	int64_t due;
	int due_count;
};

void bed_open(struct bed *b, const struct store_options *options);
void bed_close(struct bed *b);
void bed_reopen(struct bed *b);
void bed_consume(struct bed *b, const char *topic);
/* Turns the loop until *counter reaches `wanted`; fails the test after some seconds. */
void bed_until(struct bed *b, const volatile int64_t *value, int64_t wanted);
void bed_durable(struct bed *b, int64_t ticket);
void bed_turn(struct bed *b);

struct span text(const char *s);
struct accept an_event(const char *source, const char *id, const char *content);
struct accepted bed_accept(struct bed *b, const struct accept *a);
struct begun bed_begin(struct bed *b, const char *id);
struct begun bed_begin_new(struct bed *b, const char *id, const char *pattern, int64_t max, int64_t interval);
struct store_changes no_changes(void);
/* A new thred with this state, durable. */
void bed_thred(struct bed *b, const char *id, const char *pattern, const char *state, int64_t due);

#define BED_TEST(name) cmocka_unit_test_prestate_setup_teardown(name, bed_setup, bed_teardown, &bed)
int bed_setup(void **state);
int bed_teardown(void **state);

int store_conformance(const char *scheme, bool durable, bool virtual_time);
int queue_conformance(const char *scheme, bool durable, bool virtual_time);

#endif
