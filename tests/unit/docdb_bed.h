/* SPDX-License-Identifier: MIT
 *
 * For the tests of docdb/: a database in a temporary folder on a loop of its own; while it waits the loop turns.
 */
#ifndef SRVTHREDS_TEST_DOCDB_BED_H
#define SRVTHREDS_TEST_DOCDB_BED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "docdb/docdb.h"

enum { TEXT = 256 };

struct bed {
	struct runtime *rt;
	struct docdb *db;
	char folder[64], url[96];
	struct docdb_failure failure;
	char result[4096];
	int answers, failures;
	void *more; /* the test's */
};

static inline void done(void *arg, const struct docdb_answer *answer)
{
	struct bed *b = arg;
	snprintf(b->result, sizeof b->result, "%.*s", (int)answer->result.len, answer->result.data);
	if (answer->failure) {
		b->failure = *answer->failure;
		b->failures++;
	}
	b->answers++;
}

static inline void begin(struct bed *b)
{
	static const char *const names[] = {"test"};
	const struct docdb_host host = {"main", b->url};
	const struct docdb_options options = {.hosts = &host, .host_count = 1, .databases = names, .database_count = 1};
	const struct runtime_options ro = {.virtual_time = false};
	struct error e;
	b->rt = runtime_new(&ro, &e);
	b->db = docdb_open(b->rt, &options, &e);
	if (!b->db)
		fail_msg("%s", e.message);
	b->answers = b->failures = 0;
	b->failure.error.code = 0;
}

static inline void end(struct bed *b)
{
	if (b->db)
		docdb_close(b->db);
	uv_run(runtime_loop(b->rt), UV_RUN_NOWAIT);
	assert_int_equal(runtime_free(b->rt), 0);
}

static inline void start_task(struct bed *b, const char *tasks, const char *mark, int64_t timeout)
{
	const struct docdb_request r = {
		.tasks = {tasks, strlen(tasks)}, .mark = {mark, mark ? strlen(mark) : 0}, .timeout_ms = timeout};
	if (docdb_run(b->db, &r, done, b, &b->failure))
		fail_msg("%s", b->failure.error.message);
}

static inline void until(struct bed *b, int answers)
{
	for (uint64_t begun = uv_hrtime(); b->answers < answers;) {
		uv_run(runtime_loop(b->rt), UV_RUN_NOWAIT);
		if (uv_hrtime() - begun > 30000000000u)
			fail_msg("waited 30 s: %d of %d answers", b->answers, answers);
	}
}

static inline void run(struct bed *b, const char *tasks, const char *mark, int64_t timeout)
{
	start_task(b, tasks, mark, timeout);
	until(b, b->answers + 1);
}

static inline int setup(void **state)
{
	struct bed *b = calloc(1, sizeof *b);
	*state = b;
	snprintf(b->folder, sizeof b->folder, "/tmp/srvthreds-docdb-XXXXXX");
	if (!mkdtemp(b->folder))
		return -1;
	snprintf(b->url, sizeof b->url, "sqlite:%s/d.db", b->folder);
	return 0;
}

static inline int teardown(void **state)
{
	static const char *const names[] = {"d.db", "d.db-wal", "d.db-shm"};
	struct bed *b = *state;
	char path[128];
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "%s/%s", b->folder, names[i]);
		unlink(path);
	}
	int rc = rmdir(b->folder);
	free(b);
	return rc;
}

#endif
