/* SPDX-License-Identifier: MIT
 *
 * Answers whose end isn't known when they begin: chunks, or, for HTTP/1.0, bytes until the connection's end.
 */
#include "net/connection.h"

/* It waits for its turn in `req->out`, as whole answers do. */
static struct buf *out_of(struct net_request *req)
{
	struct connection *c = req->connection;
	return c->first == req ? &c->stream.out : &req->out;
}

/* An old client sees the end by the end of the connection: nothing can come behind it. */
static void end_by_closing(struct connection *c, struct net_request *req)
{
	req->last = c->stopped = true;
	connection_forget(c, req);
	if (c->current)
		request_recycle(c->current);
	c->current = NULL;
	connection_phase(c, PHASE_WORKING);
}

bool net_stream(struct net_request *req, int status, const struct net_header *headers, size_t count,
		void (*closed)(void *arg, enum net_end why), void *arg)
{
	struct connection *c = req->connection;
	if (!c || req->head_only || c->broken) {
		net_respond(req, status, headers, count, NULL, req->head_only ? LENGTH_UNKNOWN : 0);
		return false;
	}
	if (req->listener->closing) {
		net_respond_error(req, 503, ERROR_SERVER, "the server is stopping");
		return false;
	}
	if (req->old_version)
		end_by_closing(c, req);
	req->streaming = true;
	req->closed = closed;
	req->closed_arg = arg;
	request_write_head(req, out_of(req), status, headers, count, LENGTH_UNKNOWN);
	if (c->first == req)
		streamed_next(c);
	connection_touch(c);
	return true;
}

size_t net_stream_queued(const struct net_request *req)
{
	const struct connection *c = req->connection;
	if (!c || c->broken)
		return 0;
	return c->first == req ? stream_waiting(&c->stream) : req->out.len;
}

static void break_off(struct connection *c, enum net_end why)
{
	c->broken = true;
	c->why = why;
	buf_free(&c->stream.out);
	connection_touch(c);
}

long net_stream_send(struct net_request *req, const char *bytes, size_t len)
{
	enum { FRAME = 24 }; /* the length in hexadecimal and two line ends */
	struct connection *c = req->connection;
	if (!c || c->broken || !req->streaming)
		return -1;
	struct buf *out = out_of(req);
	size_t limit = req->listener->config.limits.send_queue;
	if (net_stream_queued(req) + len > limit || buf_reserve(out, len + FRAME)) {
		break_off(c, NET_SLOW);
		return -1;
	}
	if (len) { /* an empty chunk would be the end */
		if (!req->old_version)
			buf_printf(out, "%zx\r\n", len);
		buf_add(out, bytes, len);
		if (!req->old_version)
			buf_add(out, "\r\n", 2);
		connection_touch(c);
	}
	return (long)net_stream_queued(req);
}

static void write_end(struct net_request *req)
{
	static const char last[] = "0\r\n\r\n";
	struct connection *c = req->connection;
	if (!req->old_version)
		buf_add(out_of(req), last, sizeof last - 1);
	if (req->listener->closing && c->end == req && !c->current)
		req->last = c->stopped = true;
}

void net_stream_end(struct net_request *req)
{
	struct connection *c = req->connection;
	req->streaming = false;
	if (!c)
		return; /* it is among the lost ones, and freed there */
	write_end(req);
	req->answered = true;
	if (c->first == req)
		request_recycle(connection_pop(c));
	connection_touch(c);
}

void net_stream_cut(struct net_request *req)
{
	if (req->connection)
		break_off(req->connection, NET_GONE);
}

void streamed_lost(struct net_request *req, enum net_end why)
{
	struct net_listener *l = req->listener;
	req->connection = NULL;
	req->why = why;
	req->next = l->lost;
	l->lost = req;
	listener_flush_later(l);
}

/* Who ended its side while an answer has no end of its own is gone: nothing else would tell before the next write. */
void streamed_next(struct connection *c)
{
	struct net_request *req = c->first;
	if (!req || !req->streaming)
		return;
	if (c->eof) {
		req->last = true;
		connection_forget(c, req);
		streamed_lost(connection_pop(c), NET_GONE);
		return;
	}
	buf_add(&c->stream.out, req->out.data, req->out.len);
	buf_clear(&req->out);
	if (req->listener->closing) {
		write_end(req);
		streamed_lost(connection_pop(c), NET_STOPPED);
		connection_touch(c);
	}
}

/* Their owners are told at the end of the turn, never from within a call of theirs. */
void streamed_flush(struct net_listener *l)
{
	bool any = l->lost != NULL;
	while (l->lost) {
		struct net_request *req = l->lost;
		l->lost = req->next;
		if (req->streaming)
			req->closed(req->closed_arg, req->why);
		request_recycle(req);
	}
	if (any && l->closing)
		listener_released(l);
}
