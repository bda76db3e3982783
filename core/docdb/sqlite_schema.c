/* SPDX-License-Identifier: MIT
 *
 * The file: connections, tables, statements. A document is a row of `doc`; `entry` is an index of our own over declared
 * fields, because a document has an entry for each element of an array, as in MongoDB.
 */
#include <stdlib.h>

#include "docdb/sqlite.h"

static const char schema[] = "create table collection(c integer primary key,db text,name text,unique(db,name));"
			     "create table doc(n integer primary key,c int,id text,body blob);"
			     "create unique index doc_id on doc(c,id);"
			     "create table field(i integer primary key,c int,path text,unique(c,path));"
			     "create table entry(i int,key blob,n int,primary key(i,key,n))without rowid;"
			     "create table mark(key blob primary key,at int,result blob)without rowid;"
			     "create index mark_at on mark(at);";

static const char *const sql[LITE_STATEMENTS] = {
	[LITE_BEGIN] = "begin",
	[LITE_BEGIN_WRITE] = "begin immediate",
	[LITE_COMMIT] = "commit",
	[LITE_ROLLBACK] = "rollback",
	[LITE_SAVEPOINT] = "savepoint u",
	[LITE_RELEASE] = "release u",
	[LITE_BACK] = "rollback to u",
	[LITE_FIND_COLLECTION] = "select c from collection where db=? and name=?",
	[LITE_FIND_INDEXES] = "select i,path from field where c=? order by i",
	[LITE_ADD_COLLECTION] = "insert into collection(db,name) values(?,?)",
	[LITE_ADD_INDEX] = "insert into field(c,path) values(?,?)",
	[LITE_LAST_ROW] = "select max(n) from doc where n>=? and n<?",
	[LITE_INSERT] = "insert into doc values(?,?,?,?)",
	[LITE_UPDATE] = "update doc set body=? where n=?",
	[LITE_DELETE] = "delete from doc where n=?",
	[LITE_BODY] = "select body from doc where n=?",
	[LITE_ADD_ENTRY] = "insert or ignore into entry values(?,?,?)",
	[LITE_DELETE_ENTRY] = "delete from entry where i=? and key=? and n=?",
	[LITE_FIND_MARK] = "select result from mark where key=?",
	[LITE_ADD_MARK] = "insert into mark values(?,?,?)",
	[LITE_SWEEP_MARKS] = "delete from mark where key in(select key from mark where at<? order by at limit 10000)",
};

sqlite3_stmt *lite_statement(struct lite_conn *c, enum lite_statement which)
{
	sqlite3_stmt **st = &c->statements[which];
	if (!*st)
		sqlite3_prepare_v3(c->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT, st, NULL);
	return *st; /* NULL: every call on it is refused by SQLite and says so */
}

int lite_finish(sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);
	sqlite3_reset(st);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

int lite_run(struct lite_conn *c, enum lite_statement which)
{
	return lite_finish(lite_statement(c, which));
}

int lite_fail(struct lite_conn *c, struct job *job, const struct task *task)
{
	if (c->ev.error.code) {
		struct error e = c->ev.error;
		c->ev.error.code = 0;
		return job_fail(job, task, e.code, "%s", e.message);
	}
	if (sqlite3_errcode(c->db) == SQLITE_INTERRUPT && atomic_load(&c->s->stopping))
		return job_fail(job, task, ERROR_SERVER, "the document database is closing");
	if (sqlite3_errcode(c->db) == SQLITE_INTERRUPT)
		return job_fail(job, task, ERROR_TASK,
				"the time for the request is over: narrow the matcher by an indexed "
				"field, or take less at a time");
	return job_fail(job, task, ERROR_SERVER, "the document database %s: %s", c->s->path, sqlite3_errmsg(c->db));
}

static int interrupted(void *arg)
{
	struct lite_conn *c = arg;
	if (atomic_load_explicit(&c->s->stopping, memory_order_relaxed))
		return 1;
	uint64_t now = c->deadline ? uv_hrtime() : 0;
	lite_step_back(c, now);
	return now > c->deadline;
}

static int prepare_file(struct lite_conn *c)
{
	int version = -1;
	sqlite3_stmt *st = NULL;
	if (sqlite3_prepare_v2(c->db, "pragma user_version", -1, &st, NULL) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW)
		version = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	if (version == LITE_SCHEMA)
		return SQLITE_OK;
	if (version != 0)
		return SQLITE_SCHEMA;
	char *all = sqlite3_mprintf("begin immediate;%spragma user_version=%d;commit", schema, LITE_SCHEMA);
	int rc = sqlite3_exec(c->db, all, NULL, NULL, NULL);
	sqlite3_free(all);
	return rc;
}

static int set_up(struct lite_conn *c, bool writes)
{
	int on = 1;
	sqlite3_extended_result_codes(c->db, 1);
	sqlite3_busy_timeout(c->db, 5000);
	sqlite3_file_control(c->db, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
	int rc = sqlite3_exec(c->db,
			      "pragma page_size=4096;pragma journal_mode=wal;pragma synchronous=full;"
			      "pragma wal_autocheckpoint=4096;pragma cache_size=-32768;pragma temp_store=memory",
			      NULL, NULL, NULL);
	if (rc == SQLITE_OK && writes)
		rc = prepare_file(c);
	if (rc == SQLITE_OK && !writes)
		rc = sqlite3_exec(c->db, "pragma query_only=1", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = lite_functions(c);
	sqlite3_progress_handler(c->db, 500, interrupted, c);
	return rc;
}

struct lite_conn *lite_connect(struct lite *s, bool writes, struct error *e)
{
	struct lite_conn *c = xcalloc(1, sizeof *c);
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
	c->s = s;
	uv_sem_init(&c->handed, 0);
	int rc = sqlite3_open_v2(s->path, &c->db, flags, NULL);
	if (rc == SQLITE_OK)
		rc = set_up(c, writes);
	if (rc == SQLITE_OK)
		return c;
	error_set(e, ERROR_SERVER, "can't open the document database %s: %s", s->path,
		  rc == SQLITE_SCHEMA ? "another version of srvthreds made it" : sqlite3_errmsg(c->db));
	lite_disconnect(c);
	return NULL;
}

void lite_disconnect(struct lite_conn *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < LITE_STATEMENTS; i++)
		sqlite3_finalize(c->statements[i]);
	for (size_t i = 0; i < sizeof c->plans / sizeof *c->plans; i++)
		sqlite3_finalize(c->plans[i]);
	lite_forget(c);
	sqlite3_close(c->db);
	buf_free(&c->key);
	buf_free(&c->document);
	uv_sem_destroy(&c->handed);
	free(c);
}
