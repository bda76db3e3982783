/* SPDX-License-Identifier: MIT
 *
 * The file: connections, tables, version. The rows are merged: an event row is record, mark (outcome) and log (rec) in one;
 * prev chains a thred's rows; source 0 = emitted, NULL = a record of an internal message or a timer (cause: its event).
 * outcome NULL with a source = accepted and not processed; index event_open finds these after a start. The index of h is in
 * runs, see sqlite_runs.h.
 */
#include <string.h>

#include "store/sqlite.h"
#include "store/sqlite_faults.h"

static const char schema[] =
	"create table event(n integer primary key,h int,source int,thred int,at int,outcome int,step int,prev int,"
	"cause int,content int,rec blob,body blob);"
	"create index event_open on event(outcome) where outcome is null and source>0;"
	"create table run(k integer primary key,body blob);"
	"create table thred(n integer primary key,h int,id text,status int,step int,pattern int,version int,reaction "
	"int,"
	"started int,reacted int,due int,last int,state blob);"
	"create index thred_h on thred(h);"
	"create table archive(n integer primary key,h int,id text,status int,step int,pattern int,version int,reaction "
	"int,"
	"started int,reacted int,due int,last int,state blob,ended int);"
	"create index archive_h on archive(h);"
	"create table inbox(who int,k int,event int,primary key(who,k))without rowid;"
	"create table queue(n integer primary key,event int,at int,topic int,target blob,body blob,tries int);"
	"create table dead(n integer primary key,event int,at int,topic int,target text,message blob,pattern text,"
	"reaction text,version text,error blob,attempts int);"
	"create table participant(n integer primary key,id text,seen int,at int);"
	"create table word(n integer primary key,text text);"
	"create table member(who int,thred int,primary key(who,thred))without rowid;"
	"create table starts(pattern integer primary key,last int);"
	"create table pattern(hash text primary key,id text,at int,file text)without rowid;"
	"create table pattern_file(hash text,path text,source blob,primary key(hash,path))without rowid;"
	"create table active(id text primary key,hash text,at int,enabled int)without rowid;"
	"create table audit(n integer primary key,at int,record blob);"
	"create table meta(key text primary key,value blob)without rowid;";

/* From version i + 1 to the next. Participants have been there today: they are kept as long as any. */
static const char *const steps[SQLITE_STORE_SCHEMA - 1] = {
	"alter table queue add column tries int;"
	"alter table dead add column attempts int;"
	"alter table participant add column at int;"
	"update participant set at=%lld",
	"create table run(k integer primary key,body blob)",
};
enum { SCHEMA_WITH_RUNS = 3 };

int sqlite_fail(sqlite3 *db, struct error *e, const char *doing, const char *path)
{
	return error_set(e, ERROR_SERVER, "can't %s the store %s: %s", doing, path,
			 db ? sqlite3_errmsg(db) : "out of memory");
}

static int number(sqlite3 *db, const char *sql, int64_t *value)
{
	sqlite3_stmt *st;
	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
		return -1;
	int rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*value = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return rc == SQLITE_ROW ? 0 : -1;
}

int sqlite_exec(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

int sqlite_connect(struct sqlite *s, sqlite3 **db, struct error *e)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
	const char *name = s->base.class == &store_memory ? ":memory:" : s->path;
	if (sqlite3_open_v2(name, db, flags, sqlite_faults_vfs()) != SQLITE_OK) {
		sqlite_fail(*db, e, "open", s->path);
		sqlite3_close(*db);
		*db = NULL;
		return -1;
	}
	sqlite3_extended_result_codes(*db, 1);
	sqlite3_busy_timeout(*db, 5000);
	int on = 1;
	sqlite_seen_define(*db); /* fails only without memory: then its first use says so */
	sqlite3_file_control(*db, "main", SQLITE_FCNTL_PERSIST_WAL, &on);
	if (sqlite_exec(*db,
			"pragma page_size=4096;pragma journal_mode=wal;pragma synchronous=full;"
			"pragma wal_autocheckpoint=0;pragma cache_size=-65536;pragma temp_store=memory") != SQLITE_OK) {
		sqlite_fail(*db, e, "open", s->path);
		sqlite3_close(*db);
		*db = NULL;
		return -1;
	}
	return 0;
}

/* What an earlier process wrote to the log, but perhaps never synced, must be on disk before we build on it. */
static int settle_log(struct sqlite *s, sqlite3 *db, struct error *e)
{
	int64_t clean = 0;
	if (number(db, "select value from meta where key='clean'", &clean) == 0 && clean)
		return 0;
	if (sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_RESTART, NULL, NULL) != SQLITE_OK)
		return sqlite_fail(db, e, "checkpoint", s->path);
	return 0;
}

static int make(struct sqlite *s, sqlite3 *db, struct error *e)
{
	char *sql = sqlite3_mprintf("begin immediate;%s"
				    "insert into meta values('key',randomblob(32)),('clean',0);"
				    "pragma user_version=%d;commit",
				    schema, SQLITE_STORE_SCHEMA);
	int rc = sqlite_exec(db, sql);
	sqlite3_free(sql);
	return rc == SQLITE_OK ? 0 : sqlite_fail(db, e, "create", s->path);
}

static int read_key(struct sqlite *s, sqlite3 *db, struct error *e)
{
	sqlite3_stmt *st;
	int rc = sqlite3_prepare_v2(db, "select value from meta where key='key'", -1, &st, NULL);
	if (rc == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW && sqlite3_column_bytes(st, 0) == (int)sizeof s->key)
		memcpy(s->key, sqlite3_column_blob(st, 0), sizeof s->key);
	else
		rc = error_set(e, ERROR_SERVER, "the store %s has no key: is it a store of srvthreds?", s->path);
	sqlite3_finalize(st);
	return rc ? -1 : 0;
}

static int migrate_to(struct sqlite *s, sqlite3 *db, int64_t version)
{
	char *sql = sqlite3_mprintf(steps[version - 2], (long long)runtime_now(s->rt));
	char *begin = sqlite3_mprintf("begin immediate;%s;pragma user_version=%lld", sql, (long long)version);
	int rc = sqlite_exec(db, begin);
	sqlite3_free(begin);
	sqlite3_free(sql);
	if (rc == SQLITE_OK && version == SCHEMA_WITH_RUNS)
		rc = sqlite_runs_build(db);
	return rc == SQLITE_OK ? sqlite_exec(db, "commit") : rc;
}

/* Each step is a transaction with its version: a file is never between two. */
static int migrate(struct sqlite *s, sqlite3 *db, int64_t version, struct error *e)
{
	while (version < SQLITE_STORE_SCHEMA) {
		if (migrate_to(s, db, ++version) == SQLITE_OK)
			continue;
		sqlite_fail(db, e, "upgrade", s->path);
		sqlite_exec(db, "rollback");
		return -1;
	}
	return 0;
}

int sqlite_create(struct sqlite *s, struct error *e)
{
	sqlite3 *db = s->writer.db;
	int64_t version;
	if (number(db, "pragma user_version", &version))
		return sqlite_fail(db, e, "read", s->path);
	if (version > SQLITE_STORE_SCHEMA)
		return error_set(
			e, ERROR_SERVER,
			"the store %s was written by a newer srvthreds (schema %lld, this one knows %d): use that "
			"version, or another data folder",
			s->path, (long long)version, SQLITE_STORE_SCHEMA);
	if (version == 0 ? make(s, db, e) : settle_log(s, db, e))
		return -1;
	if (version && migrate(s, db, version, e))
		return -1;
	if (read_key(s, db, e))
		return -1;
	if (sqlite_exec(db, "update meta set value=0 where key='clean'") != SQLITE_OK)
		return sqlite_fail(db, e, "write", s->path);
	return 0;
}
