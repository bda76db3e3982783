/* SPDX-License-Identifier: MIT
 *
 * Connections that are given up in time: none of their waits is longer than the worker's command or its job may take, or
 * than the database may take to close. A server that hangs sends nothing that would end them.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "docdb/mongo.h"

enum { TYPE = 100, SLICE_MS = 50, CLOSE_MS = 200, CONNECT_MS = 2000 };

struct wire {
	mongoc_stream_t base;
	mongoc_stream_t *inner;
	struct mongo_worker *w;
	bool asked; /* something was sent, and nothing of the answer has been read: no layer holds bytes back */
	bool late;
};

static struct wire *wire_of(mongoc_stream_t *stream)
{
	return (struct wire *)stream;
}

/* Milliseconds; 0: none is left. */
static int32_t left(const struct mongo_worker *w)
{
	uint64_t now = uv_hrtime(), end = w->deadline + MONGO_SLACK_MS * UINT64_C(1000000);
	uint64_t closed = atomic_load(&w->m->closing);
	if (w->wire && w->wire < end)
		end = w->wire;
	if (closed && closed + CLOSE_MS * UINT64_C(1000000) < end)
		end = closed + CLOSE_MS * UINT64_C(1000000);
	uint64_t ms = end > now ? (end - now) / 1000000 + 1 : 0;
	return ms > INT32_MAX ? INT32_MAX : (int32_t)ms;
}

static int32_t shorter(const struct mongo_worker *w, int32_t timeout)
{
	int32_t most = left(w);
	return timeout > 0 && timeout < most ? timeout : most;
}

static ssize_t too_late(struct wire *s)
{
	s->late = true;
	errno = ETIMEDOUT;
	return -1;
}

/* In slices, to see that the database is being closed. */
static bool wait_for_answer(const struct wire *s, int32_t timeout)
{
	uint64_t end = uv_hrtime() + (uint64_t)timeout * 1000000;
	for (int32_t ms; uv_hrtime() < end && (ms = left(s->w)) > 0;) {
		mongoc_stream_poll_t one = {.stream = s->inner, .events = POLLIN};
		if (mongoc_stream_poll(&one, 1, ms < SLICE_MS ? ms : SLICE_MS))
			return true;
	}
	return false;
}

static ssize_t wire_readv(mongoc_stream_t *stream, mongoc_iovec_t *iov, size_t count, size_t least, int32_t timeout)
{
	struct wire *s = wire_of(stream);
	int32_t most = shorter(s->w, timeout);
	if (!most || (s->asked && !wait_for_answer(s, most)) || !(most = shorter(s->w, timeout)))
		return too_late(s);
	s->asked = false;
	return mongoc_stream_readv(s->inner, iov, count, least, most);
}

static ssize_t wire_writev(mongoc_stream_t *stream, mongoc_iovec_t *iov, size_t count, int32_t timeout)
{
	struct wire *s = wire_of(stream);
	int32_t most = shorter(s->w, timeout);
	s->asked = true;
	return most ? mongoc_stream_writev(s->inner, iov, count, most) : too_late(s);
}

static void wire_destroy(mongoc_stream_t *stream)
{
	mongoc_stream_destroy(wire_of(stream)->inner);
	free(stream);
}

static void wire_failed(mongoc_stream_t *stream)
{
	mongoc_stream_failed(wire_of(stream)->inner);
	free(stream);
}

static int wire_close(mongoc_stream_t *stream)
{
	return mongoc_stream_close(wire_of(stream)->inner);
}

static int wire_flush(mongoc_stream_t *stream)
{
	return mongoc_stream_flush(wire_of(stream)->inner);
}

static int wire_setsockopt(mongoc_stream_t *stream, int level, int name, void *value, mongoc_socklen_t len)
{
	return mongoc_stream_setsockopt(wire_of(stream)->inner, level, name, value, len);
}

static mongoc_stream_t *wire_base(mongoc_stream_t *stream)
{
	return wire_of(stream)->inner;
}

static bool wire_check_closed(mongoc_stream_t *stream)
{
	return mongoc_stream_check_closed(wire_of(stream)->inner);
}

static bool wire_timed_out(mongoc_stream_t *stream)
{
	return wire_of(stream)->late || mongoc_stream_timed_out(wire_of(stream)->inner);
}

static bool wire_should_retry(mongoc_stream_t *stream)
{
	return mongoc_stream_should_retry(wire_of(stream)->inner);
}

static mongoc_stream_t *wrap(struct mongo_worker *w, mongoc_stream_t *inner)
{
	struct wire *s = xcalloc(1, sizeof *s);
	s->inner = inner;
	s->w = w;
	s->base = (mongoc_stream_t){.type = TYPE,
				    .destroy = wire_destroy,
				    .close = wire_close,
				    .flush = wire_flush,
				    .writev = wire_writev,
				    .readv = wire_readv,
				    .setsockopt = wire_setsockopt,
				    .get_base_stream = wire_base,
				    .check_closed = wire_check_closed,
				    .failed = wire_failed,
				    .timed_out = wire_timed_out,
				    .should_retry = wire_should_retry};
	return &s->base;
}

static mongoc_stream_t *initiate(const mongoc_uri_t *uri, const mongoc_host_list_t *host, void *arg,
				 bson_error_t *error)
{
	struct mongo_worker *w = arg;
	int32_t most = shorter(w, mongoc_uri_get_option_as_int32(uri, MONGOC_URI_CONNECTTIMEOUTMS, CONNECT_MS));
	if (!most) {
		bson_set_error(error, MONGOC_ERROR_STREAM, MONGOC_ERROR_STREAM_CONNECT,
			       "no time is left to connect to %s", host->host_and_port);
		return NULL;
	}
	mongoc_stream_t *inner = mongo_connect(uri, host, most, error);
	return inner ? wrap(w, inner) : NULL;
}

void mongo_wire(struct mongo_worker *w)
{
	mongoc_client_set_stream_initiator(w->client, initiate, w);
}
