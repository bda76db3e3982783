/* SPDX-License-Identifier: MIT
 *
 * Sessions that nobody ends: a transaction that its client left (the program was killed, the connection broke) keeps its
 * documents until the server gives it up, a minute later on mongod, and whoever writes them meets a conflict. So the ids of
 * the sessions stand in a file of the data folder, those of a program that is gone are ended when the next begins, and
 * those whose connection broke when there is one again. What is written twice the marks prevent, not this: without the file
 * it only takes longer.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#include "docdb/mongo.h"

enum { ID_SIZE = 16, KEPT_MS = 90000, PAUSE_MS = 500, KILL_MS = 2000 };

static bool id_of(const mongoc_client_session_t *session, const uint8_t **id)
{
	bson_iter_t i;
	uint32_t len = 0;
	if (!bson_iter_init_find(&i, mongoc_client_session_get_lsid(session), "id") || !BSON_ITER_HOLDS_BINARY(&i))
		return false;
	bson_iter_binary(&i, NULL, &len, id);
	return len == ID_SIZE;
}

/* Its place; `count` if it has none. With the mutex. */
static size_t place(const struct mongo_sessions *s, const uint8_t *id)
{
	size_t at = 0;
	while (at < s->count && memcmp(s->all[at].id, id, ID_SIZE) != 0)
		at++;
	return at;
}

/* One file a server and user, so that hosts don't share one. */
static char *path_of(const struct mongo *m, const char *folder)
{
	const char *user = mongoc_uri_get_username(m->uri);
	XXH64_hash_t hash = XXH64(user ? user : "", user ? strlen(user) : 0, 0);
	for (const mongoc_host_list_t *host = mongoc_uri_get_hosts(m->uri); host; host = host->next)
		hash = XXH64(host->host_and_port, strlen(host->host_and_port), hash);
	size_t size = strlen(folder) + 40;
	char *path = xmalloc(size);
	snprintf(path, size, "%s/mongo-%016llx.sessions", folder, (unsigned long long)hash);
	return path;
}

void mongo_sessions_open(struct mongo *m, const char *folder)
{
	struct mongo_sessions *s = &m->sessions;
	uint8_t id[ID_SIZE];
	uv_mutex_init(&s->mutex);
	s->file = -1;
	if (!folder)
		return;
	char *path = path_of(m, folder);
	s->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	free(path);
	while (s->file >= 0 && s->count < MONGO_SESSIONS && read(s->file, id, ID_SIZE) == ID_SIZE) {
		memcpy(s->all[s->count].id, id, ID_SIZE);
		s->all[s->count++].lost = uv_hrtime();
	}
	s->next = s->count % MONGO_SESSIONS;
	s->due = s->count > 0;
}

void mongo_sessions_close(struct mongo *m)
{
	if (m->sessions.file >= 0)
		close(m->sessions.file);
	uv_mutex_destroy(&m->sessions.mutex);
}

void mongo_session_begins(struct mongo *m, const mongoc_client_session_t *session)
{
	struct mongo_sessions *s = &m->sessions;
	const uint8_t *id;
	if (!id_of(session, &id))
		return;
	uv_mutex_lock(&s->mutex);
	if (place(s, id) == s->count) {
		size_t at = s->next;
		s->next = (at + 1) % MONGO_SESSIONS;
		if (at == s->count)
			s->count++;
		memcpy(s->all[at].id, id, ID_SIZE);
		s->all[at].lost = 0;
		if (s->file >= 0 && pwrite(s->file, id, ID_SIZE, (off_t)(at * ID_SIZE)) != ID_SIZE) {
			close(s->file); /* a full disk: then it takes the server's minute */
			s->file = -1;
		}
	}
	uv_mutex_unlock(&s->mutex);
}

void mongo_session_lost(struct mongo *m, const mongoc_client_session_t *session)
{
	struct mongo_sessions *s = &m->sessions;
	const uint8_t *id;
	if (!id_of(session, &id))
		return;
	uv_mutex_lock(&s->mutex);
	size_t at = place(s, id);
	if (at < s->count)
		s->all[at].lost = uv_hrtime();
	s->due = true;
	uv_mutex_unlock(&s->mutex);
}

/* {killSessions: [{id: …}, …]} of those that were lost not long ago: a server that hung may read only now what a client
 * sent that is gone, so once isn't enough. Gives how many. */
static unsigned list_lost(struct mongo_sessions *s, bson_t *command)
{
	bson_t list, one;
	char number[16];
	unsigned count = 0;
	uint64_t now = uv_hrtime();
	bson_append_array_begin(command, "killSessions", 12, &list);
	for (size_t i = 0; i < s->count; i++) {
		if (!s->all[i].lost || now - s->all[i].lost > KEPT_MS * UINT64_C(1000000))
			continue;
		int len = snprintf(number, sizeof number, "%u", count++);
		bson_append_document_begin(&list, number, len, &one);
		bson_append_binary(&one, "id", 2, BSON_SUBTYPE_UUID, s->all[i].id, ID_SIZE);
		bson_append_document_end(&list, &one);
	}
	bson_append_array_end(command, &list);
	return count;
}

/* One worker asks, and the others go on: what they meet until then are conflicts, and they try again. */
static unsigned take_lost(struct mongo_sessions *s, bool conflict, bson_t *command)
{
	uv_mutex_lock(&s->mutex);
	bool now = !s->busy && (s->due || (conflict && uv_hrtime() - s->ended > PAUSE_MS * UINT64_C(1000000)));
	unsigned count = now ? list_lost(s, command) : 0;
	s->busy = s->busy || count;
	s->due = s->due && !now;
	uv_mutex_unlock(&s->mutex);
	return count;
}

void mongo_end_lost_sessions(struct mongo_worker *w, bool conflict)
{
	struct mongo_sessions *s = &w->m->sessions;
	bson_t command = BSON_INITIALIZER;
	bson_error_t e;
	if (take_lost(s, conflict, &command)) {
		w->wire = uv_hrtime() + KILL_MS * UINT64_C(1000000);
		bool ok = mongoc_client_command_simple(w->client, "admin", &command, NULL, NULL, &e);
		uv_mutex_lock(&s->mutex);
		s->busy = false;
		s->due = s->due || (!ok && mongo_is_away(&e));
		s->ended = uv_hrtime();
		uv_mutex_unlock(&s->mutex);
	}
	bson_destroy(&command);
}
