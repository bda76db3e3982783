/* SPDX-License-Identifier: MIT */
#include "conformance/docdb_differential.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "docdb/docdb.h"

enum { DOCUMENTS = 12, TASKS = 12 };

struct side {
	struct docdb *db;
	struct buf result;
	int code;
	bool over;
};

struct random {
	uint64_t seed;
	bool narrow; /* SecantusDB: nothing that needs objects in lists or places in them, where it isn't MongoDB */
	struct buf out;
};

static unsigned pick(struct random *r, unsigned n)
{
	r->seed ^= r->seed << 13;
	r->seed ^= r->seed >> 7;
	r->seed ^= r->seed << 17;
	return (unsigned)(r->seed >> 20) % n;
}

static void say(struct random *r, const char *text)
{
	buf_add_str(&r->out, text);
}

/* One of the texts; the last `deep` of them lead into lists. */
static const char *among(struct random *r, const char *const *all, unsigned count, unsigned deep)
{
	return all[pick(r, r->narrow ? count - deep : count)];
}

static void scalar(struct random *r)
{
	static const char *const all[] = {"null",
					  "0",
					  "1",
					  "2",
					  "1.0",
					  "1.5",
					  "-1",
					  "true",
					  "false",
					  "\"\"",
					  "\"a\"",
					  "\"b\"",
					  "\"1\"",
					  "{\"$date\":0}",
					  "[]",
					  "{}",
					  "[null]",
					  "[1]",
					  "[[1]]",
					  "{\"$date\":\"2026-01-01\"}",
					  "{\"b\":1}",
					  "[1,2]",
					  "{\"b\":[1,2]}",
					  "9007199254740993",
					  "[{\"b\":1},{\"b\":2}]",
					  "[{\"b\":1,\"c\":2},3]"};
	say(r, among(r, all, sizeof all / sizeof *all, 2));
}

static void document(struct random *r, int n)
{
	static const char *const names[] = {"a", "b", "c"};
	buf_printf(&r->out, "{\"id\":\"d%d\"", n);
	for (int i = 0; i < 3; i++)
		if (pick(r, 4)) {
			buf_printf(&r->out, ",\"%s\":", names[i]);
			scalar(r);
		}
	say(r, "}");
}

static void path(struct random *r)
{
	static const char *const all[] = {"a", "b", "c", "a.b", "b.c", "id", "a.0", "a.b.0", "a.0.b", "a.1"};
	buf_printf(&r->out, "\"%s\":", among(r, all, sizeof all / sizeof *all, 4));
}

static void list(struct random *r)
{
	say(r, "[");
	for (unsigned i = 0, n = pick(r, 4); i < n; i++) {
		say(r, i ? "," : "");
		scalar(r);
	}
	say(r, "]");
}

static void operators(struct random *r, int depth)
{
	static const char *const plain[] = {"$gt", "$gte", "$lt", "$lte", "$ne"}, *const lists[] = {"$in", "$nin",
												    "$all"};
	unsigned which = pick(r, depth ? 11 : 9);
	say(r, "{");
	if (which < 5) {
		buf_printf(&r->out, "\"%s\":", plain[which]);
		scalar(r);
	} else if (which < 8) {
		buf_printf(&r->out, "\"%s\":", lists[which - 5]);
		list(r);
	} else if (which == 8) {
		buf_printf(&r->out, pick(r, 2) ? "\"$exists\":%s" : "\"$size\":1", pick(r, 2) ? "true" : "false");
	} else {
		say(r, which == 9 ? "\"$not\":" : "\"$elem\":");
		operators(r, depth - 1);
	}
	say(r, "}");
}

static void matcher(struct random *r, int depth)
{
	static const char *const combiners[] = {"\"$or\":[", "\"$and\":[", "\"$not\":"};
	say(r, "{");
	if (depth && pick(r, 4) == 0) {
		unsigned which = pick(r, 3);
		say(r, combiners[which]);
		matcher(r, depth - 1);
		if (which < 2) {
			say(r, ",");
			matcher(r, depth - 1);
			say(r, "]");
		}
	} else {
		path(r);
		if (pick(r, 3))
			operators(r, 2);
		else
			scalar(r);
	}
	say(r, "}");
}

static void values(struct random *r)
{
	static const char *const ops[] = {"$push", "$add", "$min", "$max", "$remove", "$unset"};
	static const char *const paths[] = {"a", "b", "c", "a.b", "a.0", "b.c"};
	const char *at = paths[pick(r, 6)];
	unsigned which = pick(r, 9);
	if (which < 6)
		buf_printf(&r->out, "{\"%s\":{\"%s\":", ops[which], at);
	else if (which == 6)
		buf_printf(&r->out, "{\"%s\":{\"%s\":", pick(r, 2) ? "$inc" : "$mul", at);
	else
		buf_printf(&r->out, "{\"%s\":", at);
	if (which == 6)
		say(r, pick(r, 2) ? "2" : "0.5");
	else
		scalar(r);
	say(r, which < 7 ? "}}" : "}");
}

static void task(struct random *r)
{
	static const char *const ops[] = {"get", "get", "get", "count", "update", "delete", "upsert"};
	static const char *const shapes[] = {"", ",\"selector\":{\"include\":[\"a.b\",\"c\"]}",
					     ",\"selector\":{\"exclude\":[\"a.b\",\"b\",\"created\",\"modified\"]}"};
	unsigned which = pick(r, 7);
	buf_printf(&r->out, "[{\"op\":\"%s\",\"params\":{\"type\":\"c\",\"matcher\":", ops[which]);
	if (which == 6)
		buf_printf(&r->out, "{\"id\":\"d%u\"}", pick(r, DOCUMENTS + 4));
	else
		matcher(r, 2);
	if (which == 4 || which == 6) {
		say(r, ",\"values\":");
		values(r);
	}
	if (which < 3) {
		/* Stamps differ, so every list is a selection; order only as far as it is defined. */
		const char *shape = shapes[pick(r, 3)];
		say(r, *shape ? shape : ",\"selector\":{\"exclude\":[\"created\",\"modified\"]}");
		buf_printf(&r->out,
			   ",\"collector\":{\"sort\":[{\"field\":\"%s\",\"desc\":%s},{\"field\":\"id\"}],\"limit\":%u}",
			   pick(r, 2) ? "a" : "a.b", pick(r, 2) ? "true" : "false", pick(r, 6));
	}
	say(r, "}}]");
}

static void done(void *arg, const struct docdb_answer *answer)
{
	struct side *s = arg;
	s->result.len = 0;
	buf_add(&s->result, answer->result.data, answer->result.len);
	s->code = answer->failure ? answer->failure->error.code : 0;
	s->over = true;
}

static void run(struct runtime *rt, struct side *s, const struct buf *tasks)
{
	const struct docdb_request request = {.tasks = {tasks->data, tasks->len}};
	struct docdb_failure failure;
	s->over = false;
	if (docdb_run(s->db, &request, done, s, &failure)) {
		s->result.len = 0;
		buf_add_str(&s->result, failure.error.message);
		s->code = failure.error.code;
		return;
	}
	while (!s->over)
		uv_run(runtime_loop(rt), UV_RUN_NOWAIT);
}

static int both(struct runtime *rt, struct side sides[2], const struct random *r, uint64_t seed)
{
	run(rt, &sides[0], &r->out);
	run(rt, &sides[1], &r->out);
	if (sides[0].code == sides[1].code && strcmp(sides[0].result.data, sides[1].result.data) == 0)
		return 0;
	fprintf(stderr, "seed %llu\n  %s\n  %d %s\n  %d %s\n", (unsigned long long)seed, r->out.data, sides[0].code,
		sides[0].result.data, sides[1].code, sides[1].result.data);
	return 1;
}

static int round_of(struct runtime *rt, struct side sides[2], struct random *r)
{
	uint64_t seed = r->seed;
	r->out.len = 0;
	say(r, "[{\"op\":\"delete\",\"params\":{\"type\":\"c\",\"matcher\":{}}},{\"op\":\"put\",\"params\":{\"type\":"
	       "\"c\",\"values\":[");
	for (int i = 0; i < DOCUMENTS; i++) {
		say(r, i ? "," : "");
		document(r, i);
	}
	say(r, "]}}]");
	run(rt, &sides[0], &r->out);
	run(rt, &sides[1], &r->out);
	int different = 0;
	for (int i = 0; i < TASKS && !different; i++) {
		r->out.len = 0;
		task(r);
		different = both(rt, sides, r, seed);
	}
	r->out.len = 0;
	say(r, "[{\"op\":\"get\",\"params\":{\"type\":\"c\",\"matcher\":{},\"selector\":{\"exclude\":[\"created\","
	       "\"modified\"]},"
	       "\"collector\":{\"sort\":[{\"field\":\"id\"}]}}}]");
	return different + both(rt, sides, r, seed);
}

static struct docdb *open_at(struct runtime *rt, const char *url)
{
	static const char *const names[] = {"differential"};
	const struct docdb_host host = {"main", url};
	const struct docdb_options options = {.hosts = &host, .host_count = 1, .databases = names, .database_count = 1};
	struct error e;
	struct docdb *db = docdb_open(rt, &options, &e);
	if (!db) {
		fprintf(stderr, "%s\n", e.message);
		exit(1);
	}
	return db;
}

static void declare(struct runtime *rt, struct side *s)
{
	static const char *const fields[] = {"a", "a.b", "b", "a.0"};
	struct docdb_failure failure;
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		s->over = false;
		if (docdb_index(s->db, (struct bytes){NULL, 0}, (struct bytes){"c", 1},
				(struct bytes){fields[i], strlen(fields[i])}, done, s, &failure))
			exit(1);
		while (!s->over)
			uv_run(runtime_loop(rt), UV_RUN_NOWAIT);
	}
}

int docdb_differential(const char *url, const char *other, int index, uint64_t seed, int rounds)
{
	const struct runtime_options ro = {.virtual_time = false};
	struct error e;
	struct runtime *rt = runtime_new(&ro, &e);
	struct side sides[2] = {{.db = open_at(rt, url)}, {.db = open_at(rt, other)}};
	struct random r = {.seed = seed * 0x9E3779B97F4A7C15u + 1,
			   .narrow = strncmp(other, "mongodb", 7) == 0 && getenv("SRVTHREDS_SECANTUS_DIFFERS")};
	int different = 0;
	if (index)
		declare(rt, &sides[1]);
	for (int i = 0; i < rounds && different < 5; i++)
		different += round_of(rt, sides, &r);
	for (int i = 0; i < 2; i++) {
		docdb_close(sides[i].db);
		buf_free(&sides[i].result);
	}
	buf_free(&r.out);
	uv_run(runtime_loop(rt), UV_RUN_NOWAIT);
	return different + (runtime_free(rt) != 0);
}
