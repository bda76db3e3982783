/* SPDX-License-Identifier: MIT */
#include "conformance/docdb_conformance.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "docdb/docdb.h"
#include "json/json.h"

struct suite {
	struct runtime *rt;
	struct docdb *db;
	const struct json_tree *tree; /* of the file */
	struct buf result, text;
	struct docdb_failure failure;
	bool over;
	bool words;   /* errors that come while a task is done have our words, not a server's */
	bool differs; /* SecantusDB: an answer that "secantus" gives a reason for needn't be MongoDB's */
};

static void done(void *arg, const struct docdb_answer *answer)
{
	struct suite *s = arg;
	s->result.len = 0;
	buf_add(&s->result, answer->result.data, answer->result.len);
	if (answer->failure)
		s->failure = *answer->failure;
	s->over = true;
}

static void wait(struct suite *s)
{
	for (uint64_t begun = uv_hrtime(); !s->over;) {
		uv_run(runtime_loop(s->rt), UV_RUN_NOWAIT);
		if (uv_hrtime() - begun > 60000000000u) {
			fprintf(stderr, "no answer for 60 s\n");
			exit(1);
		}
	}
}

/* 0, or -1 with s->failure. */
static int run(struct suite *s, const char *tasks, size_t len)
{
	const struct docdb_request request = {.tasks = {tasks, len}};
	s->over = false;
	s->failure.error.code = 0;
	s->result.len = 0;
	if (docdb_run(s->db, &request, done, s, &s->failure))
		return -1;
	wait(s);
	return s->failure.error.code ? -1 : 0;
}

static int run_text(struct suite *s, const char *tasks)
{
	return run(s, tasks, strlen(tasks));
}

static uint32_t field(const struct suite *s, uint32_t node, const char *key)
{
	return json_find(s->tree, node, key, strlen(key));
}

static bool is_stamp(const struct json_tree *t, uint32_t key)
{
	size_t len;
	const char *text = json_text(t, key, &len);
	return (len == 7 && memcmp(text, "created", 7) == 0) || (len == 8 && memcmp(text, "modified", 8) == 0);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct form {
	bool stamps, unordered;
};

static void normal(const struct json_tree *t, uint32_t node, struct form f, struct buf *out);

static void normal_list(const struct json_tree *t, uint32_t node, struct form f, struct buf *out)
{
	const struct json_node *n = &t->nodes[node];
	char **items = calloc(n->count + 1, sizeof *items);
	size_t count = 0;
	for (uint32_t at = node + 1; at < n->next; at = t->nodes[at].next) {
		struct buf b = {0};
		normal(t, at, f, &b);
		items[count++] = b.data;
	}
	if (f.unordered)
		qsort(items, count, sizeof *items, by_text);
	buf_add_str(out, "[");
	for (size_t i = 0; i < count; i++) {
		buf_printf(out, "%s%s", i ? "," : "", items[i]);
		free(items[i]);
	}
	buf_add_str(out, "]");
	free(items);
}

/* Canonical, without the stamps. */
static void normal(const struct json_tree *t, uint32_t node, struct form f, struct buf *out)
{
	const struct json_node *n = &t->nodes[node];
	if (n->kind == JSON_ARRAY) {
		normal_list(t, node, f, out);
	} else if (n->kind == JSON_OBJECT) {
		bool first = true;
		buf_add_str(out, "{");
		for (uint32_t at = node + 1; at < n->next; at = t->nodes[at + 1].next) {
			if (is_stamp(t, at) && !f.stamps)
				continue;
			buf_add_str(out, first ? "" : ",");
			json_write(t, at, out);
			buf_add_str(out, ":");
			if (is_stamp(t, at) && t->nodes[at + 1].kind == JSON_STRING)
				buf_printf(out, "\"%u\"", t->nodes[at + 1].end - t->nodes[at + 1].start - 2);
			else
				normal(t, at + 1, f, out);
			first = false;
		}
		buf_add_str(out, "}");
	} else {
		json_write(t, node, out);
	}
}

static void normal_text(const char *json, size_t len, struct form f, struct buf *out)
{
	struct json_tape tape = {0};
	struct error e;
	out->len = 0;
	if (json_parse(&tape, json, len, NULL, &e))
		buf_printf(out, "%.*s: %s", (int)len, json, e.message);
	else
		normal(&tape.tree, 0, f, out);
	json_tape_free(&tape);
}

static const char *case_name(const struct suite *s, uint32_t node, int *len)
{
	size_t n;
	const char *text = json_text(s->tree, field(s, node, "case"), &n);
	*len = (int)n;
	return text;
}

static int complain(const struct suite *s, uint32_t node, const char *what, const char *found, const char *wanted)
{
	int len;
	const char *name = case_name(s, node, &len);
	fprintf(stderr, "FAILED %.*s\n  %s\n  found    %s\n  expected %s\n", len, name, what, found, wanted);
	return 1;
}

static void params(struct suite *s, const char *op, uint32_t node)
{
	static const char *const keys[] = {"matcher", "values", "selector", "collector"};
	buf_printf(&s->text, "{\"op\":\"%s\",\"params\":{\"type\":\"c\"", op);
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		uint32_t value = field(s, node, keys[i]);
		if (!value)
			continue;
		buf_printf(&s->text, ",\"%s\":", keys[i]);
		json_write(s->tree, value, &s->text);
	}
	buf_add_str(&s->text, "}}");
}

/* The tasks of the case into s->text. */
static void write_tasks(struct suite *s, uint32_t node)
{
	uint32_t match = field(s, node, "match"), update = field(s, node, "update"), task = field(s, node, "task");
	s->text.len = 0;
	if (match || update) {
		buf_printf(&s->text, "[{\"op\":\"%s\",\"params\":{\"type\":\"c\",%s", match ? "get" : "update",
			   match ? "\"selector\":{\"include\":[\"id\"]},\"matcher\":" : "\"matcher\":{},\"values\":");
		json_write(s->tree, match ? match : update, &s->text);
		buf_add_str(&s->text, "}}]");
	} else if (task) {
		size_t len;
		uint32_t op = field(s, task, "op");
		char name[32];
		const char *text = json_text(s->tree, op, &len);
		snprintf(name, sizeof name, "%.*s", (int)len, text);
		buf_add_str(&s->text, "[");
		params(s, name, task);
		buf_add_str(&s->text, "]");
	} else {
		json_write(s->tree, field(s, node, "tasks"), &s->text);
	}
}

/* The documents of the case: its own, or those of the set that it names. */
static uint32_t documents(const struct suite *s, uint32_t node)
{
	uint32_t docs = field(s, node, "docs");
	if (!docs || s->tree->nodes[docs].kind != JSON_STRING)
		return docs;
	for (uint32_t at = 1; at < s->tree->nodes[0].next; at = s->tree->nodes[at].next) {
		uint32_t set = field(s, at, "set");
		if (set && json_compare(s->tree, set, docs) == 0)
			return field(s, at, "docs");
	}
	return 0;
}

static int prepare(struct suite *s, uint32_t node)
{
	uint32_t docs = documents(s, node), index = field(s, node, "index");
	if (run_text(s, "[{\"op\":\"delete\",\"params\":{\"type\":\"c\",\"matcher\":{}}},"
			"{\"op\":\"delete\",\"params\":{\"type\":\"d\",\"matcher\":{}}}]"))
		return complain(s, node, "empty the collection", s->failure.error.message, "");
	for (uint32_t i = 0; index && i < s->tree->nodes[index].count; i++) {
		struct bytes path;
		path.data = json_text(s->tree, json_at(s->tree, index, i), &path.len);
		s->over = false;
		if (docdb_index(s->db, (struct bytes){NULL, 0}, (struct bytes){"c", 1}, path, done, s, &s->failure))
			return complain(s, node, "index", s->failure.error.message, "");
		wait(s);
	}
	if (!docs || !s->tree->nodes[docs].count)
		return 0;
	s->text.len = 0;
	buf_add_str(&s->text, "[{\"op\":\"put\",\"params\":{\"type\":\"c\",\"values\":");
	json_write(s->tree, docs, &s->text);
	buf_add_str(&s->text, "}}]");
	return run(s, s->text.data, s->text.len) ? complain(s, node, "put the documents", s->failure.error.message, "")
						 : 0;
}

static int check_error(struct suite *s, uint32_t node, uint32_t wanted, int rc)
{
	uint32_t part = json_at(s->tree, wanted, 1);
	char text[256] = "", found[ERROR_MESSAGE_SIZE + 20], expected[300];
	if (part)
		json_unescape(s->tree, part, text);
	if (part)
		text[s->tree->nodes[part].end - s->tree->nodes[part].start - 2] = '\0';
	int64_t code = json_int(s->tree, json_at(s->tree, wanted, 0));
	snprintf(found, sizeof found, "%d %s", s->failure.error.code, s->failure.error.message);
	snprintf(expected, sizeof expected, "%d … %s", (int)code, text);
	if (!rc)
		return complain(s, node, "no error", s->result.data, expected);
	bool words = s->words || code != ERROR_TASK;
	if (s->failure.error.code == code && (!words || strstr(s->failure.error.message, text)))
		return 0;
	return complain(s, node, "error", found, expected);
}

static int compare(struct suite *s, uint32_t node, const char *what, uint32_t wanted, struct form f, bool inner)
{
	struct buf found = {0}, expected = {0};
	normal_text(s->result.data, s->result.len, f, &found);
	if (inner) /* the list's one result */
		buf_add_str(&expected, "[");
	normal(s->tree, wanted, f, &expected);
	if (inner)
		buf_add_str(&expected, "]");
	int rc = strcmp(found.data, expected.data) ? complain(s, node, what, found.data, expected.data) : 0;
	buf_free(&found);
	buf_free(&expected);
	return rc;
}

static int check_ids(struct suite *s, uint32_t node, uint32_t ids)
{
	const struct json_node *n = &s->tree->nodes[ids];
	struct buf expected = {0}, found = {0}, list = {0};
	buf_add_str(&list, "[[");
	for (uint32_t at = ids + 1; at < n->next; at = s->tree->nodes[at].next) {
		buf_add_str(&list, at > ids + 1 ? ",{\"id\":" : "{\"id\":");
		json_write(s->tree, at, &list);
		buf_add_str(&list, "}");
	}
	buf_add_str(&list, "]]");
	const struct form f = {.unordered = true};
	normal_text(list.data, list.len, f, &expected);
	normal_text(s->result.data, s->result.len, f, &found);
	int rc = strcmp(found.data, expected.data) ? complain(s, node, "ids", found.data, expected.data) : 0;
	buf_free(&expected);
	buf_free(&found);
	buf_free(&list);
	return rc;
}

static int run_case(struct suite *s, uint32_t node)
{
	uint32_t error = field(s, node, "error"), ids = field(s, node, "ids"), expect = field(s, node, "expect");
	uint32_t after = field(s, node, "after");
	const struct form f = {field(s, node, "stamps") != 0, field(s, node, "unordered") != 0};
	if (prepare(s, node))
		return 1;
	write_tasks(s, node);
	int rc = run(s, s->text.data, s->text.len);
	if (error && check_error(s, node, error, rc))
		return 1;
	if (!error && rc)
		return complain(s, node, s->text.data, s->failure.error.message, "no error");
	if (ids && check_ids(s, node, ids))
		return 1;
	if (expect && compare(s, node, s->text.data, expect, f, !field(s, node, "tasks")))
		return 1;
	if (!after)
		return error || ids || expect ? 0 : complain(s, node, "checks nothing", "", "");
	if (run_text(s,
		     "[{\"op\":\"get\",\"params\":{\"type\":\"c\",\"matcher\":{},\"collector\":{\"sort\":[{\"field\":"
		     "\"id\"}]}}}]"))
		return complain(s, node, "read what is there then", s->failure.error.message, "");
	return compare(s, node, "after", after, f, true);
}

static int run_file(struct suite *s, const char *path, int *count)
{
	struct json_tape tape = {0};
	struct buf text = {0};
	struct error e;
	char block[4096];
	size_t n;
	int failed = 0;
	FILE *file = fopen(path, "rb");
	while (file && (n = fread(block, 1, sizeof block, file)) > 0)
		buf_add(&text, block, n);
	if (file)
		fclose(file);
	if (json_parse(&tape, text.data, text.len, NULL, &e)) {
		fprintf(stderr, "%s: %s\n", path, e.message);
		failed = 1;
	} else {
		s->tree = &tape.tree;
		for (uint32_t at = 1; at < tape.tree.nodes[0].next; at = tape.tree.nodes[at].next)
			if (field(s, at, "case") && !(s->differs && field(s, at, "secantus"))) {
				failed += run_case(s, at);
				++*count;
			}
	}
	json_tape_free(&tape);
	buf_free(&text);
	return failed;
}

int docdb_conformance(const char *url, const char *folder, int *count)
{
	const struct docdb_host host = {"main", url};
	static const char *const names[] = {"test", "other"};
	const struct docdb_options options = {.hosts = &host, .host_count = 1, .databases = names, .database_count = 2};
	const struct runtime_options ro = {.virtual_time = false};
	struct suite s = {0};
	struct error e;
	struct dirent **files;
	s.words = strncmp(url, "mongodb", 7) != 0;
	s.differs = !s.words && getenv("SRVTHREDS_SECANTUS_DIFFERS");
	s.rt = runtime_new(&ro, &e);
	s.db = docdb_open(s.rt, &options, &e);
	if (!s.db) {
		fprintf(stderr, "%s\n", e.message);
		return 1;
	}
	int failed = 0, n = scandir(folder, &files, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		char path[512];
		snprintf(path, sizeof path, "%s/%s", folder, files[i]->d_name);
		if (strstr(files[i]->d_name, ".json"))
			failed += run_file(&s, path, count);
		free(files[i]);
	}
	if (n >= 0)
		free(files);
	docdb_close(s.db);
	uv_run(runtime_loop(s.rt), UV_RUN_NOWAIT);
	buf_free(&s.result);
	buf_free(&s.text);
	return failed + (runtime_free(s.rt) != 0);
}
