/* SPDX-License-Identifier: MIT
 *
 * Which collections and indexes there are: each connection keeps what it has read until another commit changes it.
 */
#include <stdlib.h>

#include "docdb/sqlite.h"

static void bind_text(sqlite3_stmt *st, int at, struct bytes t)
{
	sqlite3_bind_text64(st, at, t.data, t.len, SQLITE_STATIC, SQLITE_UTF8);
}

static struct path *new_path(const char *text, size_t len)
{
	struct path *path = xcalloc(1, sizeof *path + PATH_PARTS * sizeof *path->parts + len + 1);
	path->parts = (struct path_part *)(path + 1);
	char *copy = (char *)(path->parts + PATH_PARTS);
	memcpy(copy, text, len);
	path->text = (struct bytes){copy, len};
	for (char *at = copy, *dot; path->count < PATH_PARTS; at = dot + 1) {
		dot = memchr(at, '.', (size_t)(copy + len - at));
		size_t n = (size_t)((dot ? dot : copy + len) - at);
		char *end = NULL;
		long index = n && n < 10 && (n == 1 || *at != '0') && *at >= '0' && *at <= '9' ? strtol(at, &end, 10)
											       : -1;
		path->parts[path->count++] = (struct path_part){{at, n}, end == at + n ? (int32_t)index : -1};
		if (!dot)
			break;
	}
	return path;
}

static void read_indexes(struct lite_conn *c, struct lite_collection *in)
{
	sqlite3_stmt *st = lite_statement(c, LITE_FIND_INDEXES);
	sqlite3_bind_int64(st, 1, in->c);
	while (in->index_count < LITE_INDEXES && sqlite3_step(st) == SQLITE_ROW) {
		struct lite_index *x = &in->indexes[in->index_count++];
		x->i = sqlite3_column_int64(st, 0);
		x->path = new_path((const char *)sqlite3_column_text(st, 1), (size_t)sqlite3_column_bytes(st, 1));
	}
	sqlite3_reset(st);
}

static int64_t next_row(struct lite_conn *c, int64_t collection)
{
	sqlite3_stmt *st = lite_statement(c, LITE_LAST_ROW);
	int64_t next = collection * LITE_ROWS;
	sqlite3_bind_int64(st, 1, next);
	sqlite3_bind_int64(st, 2, next + LITE_ROWS);
	if (sqlite3_step(st) == SQLITE_ROW && sqlite3_column_type(st, 0) == SQLITE_INTEGER)
		next = sqlite3_column_int64(st, 0) + 1;
	sqlite3_reset(st);
	return next;
}

struct lite_collection *lite_collection(struct lite_conn *c, struct bytes database, struct bytes type)
{
	char key[512];
	size_t len = database.len + 1 + type.len;
	struct lite_collection *in;
	if (len > sizeof key)
		return NULL;
	memcpy(key, database.data, database.len);
	key[database.len] = '\0';
	memcpy(key + database.len + 1, type.data, type.len);
	HASH_FIND(hh, c->collections, key, (unsigned)len, in);
	if (in)
		return in;
	sqlite3_stmt *st = lite_statement(c, LITE_FIND_COLLECTION);
	bind_text(st, 1, database);
	bind_text(st, 2, type);
	int64_t number = sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
	sqlite3_reset(st);
	if (!number)
		return NULL;
	in = xcalloc(1, sizeof *in + len);
	in->c = number;
	in->key_len = len;
	memcpy(in->key, key, len);
	read_indexes(c, in);
	in->next = next_row(c, number);
	HASH_ADD_KEYPTR(hh, c->collections, in->key, (unsigned)len, in);
	return in;
}

struct lite_collection *lite_collection_made(struct lite_conn *c, struct bytes database, struct bytes type)
{
	struct lite_collection *in = lite_collection(c, database, type);
	if (in)
		return in;
	sqlite3_stmt *st = lite_statement(c, LITE_ADD_COLLECTION);
	bind_text(st, 1, database);
	bind_text(st, 2, type);
	if (lite_finish(st) != SQLITE_OK)
		return NULL;
	c->made = true;
	return lite_collection(c, database, type);
}

void lite_forget(struct lite_conn *c)
{
	struct lite_collection *in, *next;
	HASH_ITER (hh, c->collections, in, next) {
		for (size_t i = 0; i < in->index_count; i++)
			free(in->indexes[i].path);
		HASH_DEL(c->collections, in);
		free(in);
	}
}

/* The entries of what is there already. */
static int fill(struct lite_conn *c, struct lite_collection *in, const struct lite_index *index)
{
	sqlite3_stmt *st;
	struct lite_collection only = {.c = in->c, .index_count = 1, .indexes = {*index}};
	int rc = sqlite3_prepare_v2(c->db, "select n,body from doc where n>=? and n<?", -1, &st, NULL);
	sqlite3_bind_int64(st, 1, in->c * LITE_ROWS);
	sqlite3_bind_int64(st, 2, (in->c + 1) * LITE_ROWS);
	while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW)
		rc = lite_entries(c, &only, sqlite3_column_int64(st, 0), sqlite3_column_blob(st, 1), true);
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int lite_make_index(struct lite_conn *c, struct job *job)
{
	struct lite_collection *in = lite_collection_made(c, job->database, job->type);
	if (!in)
		return lite_fail(c, job, NULL);
	for (size_t i = 0; i < in->index_count; i++)
		if (in->indexes[i].path->text.len == job->index.len &&
		    memcmp(in->indexes[i].path->text.data, job->index.data, job->index.len) == 0)
			return 0;
	if (in->index_count == LITE_INDEXES)
		return job_fail(job, NULL, ERROR_ARGUMENT, "a collection has at most %d indexes", LITE_INDEXES);
	sqlite3_stmt *st = lite_statement(c, LITE_ADD_INDEX);
	sqlite3_bind_int64(st, 1, in->c);
	bind_text(st, 2, job->index);
	if (lite_finish(st) != SQLITE_OK)
		return lite_fail(c, job, NULL);
	struct lite_index *index = &in->indexes[in->index_count++];
	index->i = sqlite3_last_insert_rowid(c->db);
	index->path = new_path(job->index.data, job->index.len);
	c->made = true;
	return fill(c, in, index) == SQLITE_OK ? 0 : lite_fail(c, job, NULL);
}
