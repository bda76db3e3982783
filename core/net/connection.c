/* SPDX-License-Identifier: MIT */
#include "net/connection.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

enum { LINGER_MS = 1000 };

void connection_touch(struct connection *c)
{
	struct net_listener *l = c->listener;
	if (c->dirty)
		return;
	c->dirty = true;
	c->next_dirty = l->dirty;
	l->dirty = c;
	listener_flush_later(l);
}

void connection_phase(struct connection *c, enum phase phase)
{
	const struct net_limits *limits = &c->listener->config.limits;
	uint64_t now = uv_now(c->listener->loop);
	c->phase = phase;
	switch (phase) {
	case PHASE_IDLE:
		c->deadline = now + limits->idle_ms;
		break;
	case PHASE_HEADER:
		c->deadline = now + limits->header_ms;
		break;
	case PHASE_BODY:
		c->deadline = now + limits->body_ms;
		break;
	case PHASE_LINGER:
		c->deadline = now + LINGER_MS;
		break;
	case PHASE_WORKING:
		c->deadline = 0;
		break;
	}
}

static void connection_free(struct connection *c)
{
	struct net_listener *l = c->listener;
	buf_free(&c->rest);
	free(c);
	l->connection_count--;
	l->ending--;
	listener_released(l);
}

static void on_closed(struct stream *s)
{
	struct connection *c = (struct connection *)s;
	DL_DELETE(c->listener->connections, c);
	c->gone = true;
	if (!c->dirty)
		connection_free(c);
}

/* Requests in work are told at their answer: they outlive the connection. */
void connection_forget(struct connection *c, struct net_request *from)
{
	struct net_request *req = from ? from->next : c->first, *next;
	if (from)
		from->next = NULL;
	else
		c->first = NULL;
	c->end = from;
	for (; req; req = next) {
		next = req->next;
		req->connection = NULL;
		c->queued--;
		if (req->answered)
			request_recycle(req);
		else if (req->streaming)
			streamed_lost(req, c->why);
	}
}

static void connection_close(struct connection *c)
{
	if (c->stream.closed)
		return;
	connection_forget(c, NULL);
	if (c->current)
		request_recycle(c->current);
	if (c->handshake)
		request_recycle(c->handshake);
	c->current = c->handshake = NULL;
	c->listener->ending++;
	stream_close(&c->stream);
}

void connection_queue(struct connection *c, struct net_request *req)
{
	if (c->end)
		c->end->next = req;
	else
		c->first = req;
	c->end = req;
	c->queued++;
	connection_phase(c, PHASE_WORKING);
}

struct net_request *connection_pop(struct connection *c)
{
	struct net_request *req = c->first;
	c->first = req->next;
	if (!c->first)
		c->end = NULL;
	c->queued--;
	c->final |= req->last;
	streamed_next(c);
	return req;
}

void net_respond(struct net_request *req, int status, const struct net_header *headers, size_t count, const char *body,
		 size_t len)
{
	struct connection *c = req->connection;
	if (!c) {
		request_recycle(req);
		return;
	}
	if (req->listener->closing && c->end == req && !c->current)
		req->last = c->stopped = true;
	req->answered = true;
	bool first = c->first == req;
	request_write(req, first ? &c->stream.out : &req->out, status, headers, count, body, len);
	if (first)
		request_recycle(connection_pop(c));
	connection_touch(c);
}

void net_request_free(struct net_request *req)
{
	struct connection *c = req->connection;
	bool lost = req->streaming && !c; /* freed where its owner would have been told */
	req->streaming = false;
	if (lost)
		return;
	if (c)
		connection_close(c);
	request_recycle(req);
}

void connection_refuse(struct connection *c, int status, const char *message)
{
	struct net_request *req = c->current ? c->current : request_new(c->listener);
	c->current = NULL;
	c->stopped = true;
	req->connection = c;
	req->last = true;
	connection_queue(c, req);
	net_respond_error(req, status, ERROR_CLIENT, message);
}

bool connection_full(const struct connection *c)
{
	const struct net_limits *limits = &c->listener->config.limits;
	return c->queued >= limits->pipelined || stream_waiting(&c->stream) >= limits->answer_size;
}

static void refuse_upgrade(struct connection *c, int status, const char *why)
{
	c->current = c->handshake;
	c->handshake = NULL;
	connection_refuse(c, status, why);
}

void connection_upgrade(struct connection *c, const char *bytes, size_t len)
{
	struct net_listener *l = c->listener;
	struct net_request *req = c->handshake;
	const struct net_websocket *path;
	const char *why;
	int status = upgrade_check(l, req, &path, &why);
	if (status == 0 && c->first)
		status = 400, why = "no upgrade behind requests that aren't answered";
	if (status) {
		refuse_upgrade(c, status, why);
		return;
	}
	uv_os_fd_t fd;
	struct buf all = {0};
	int copy = uv_fileno((uv_handle_t *)&c->stream.tcp, &fd) ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0 || upgrade_handshake(req, path, &all) || buf_add(&all, bytes, len)) {
		if (copy >= 0)
			close(copy);
		refuse_upgrade(c, 503, "too many connections");
	} else {
		c->handshake = NULL;
		req->connection = NULL;
		connection_close(c);
		websocket_adopt(l, path, copy, req, all.data, all.len);
	}
	buf_free(&all);
}

static void on_end(struct connection *c, ssize_t error)
{
	c->eof = true;
	if (error != UV_EOF || !c->first || c->final || c->first->streaming) {
		connection_close(c);
		return;
	}
	stream_read(&c->stream, false); /* it only stopped sending: what is in work is answered */
	c->stopped = true;
}

static void on_read(struct stream *s, const char *bytes, ssize_t n)
{
	struct connection *c = (struct connection *)s;
	if (n < 0)
		on_end(c, n);
	else if (!c->stopped)
		http_feed(c, bytes, (size_t)n);
}

static void on_sent(struct stream *s)
{
	connection_touch((struct connection *)s);
}

void http_accept(struct net_listener *l, int fd, const char *peer)
{
	struct connection *c = xcalloc(1, sizeof *c);
	c->listener = l;
	c->stream.scratch = l->scratch;
	c->stream.on_read = on_read;
	c->stream.on_sent = on_sent;
	c->stream.on_closed = on_closed;
	memcpy(c->peer, peer, strlen(peer) + 1);
	DL_APPEND(l->connections, c);
	l->connection_count++;
	http_start(c);
	connection_phase(c, PHASE_HEADER);
	if (stream_open(&c->stream, l->loop, fd) == 0)
		stream_read(&c->stream, true);
	else
		connection_close(c);
}

/* Answers that became the first, in order. */
static void collect(struct connection *c)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	while (c->first && c->first->answered) {
		buf_add(&c->stream.out, c->first->out.data, c->first->out.len);
		request_recycle(connection_pop(c));
	}
	if (!c->first && c->current && c->current->expects) {
		c->current->expects = false;
		buf_add(&c->stream.out, go_on, sizeof go_on - 1);
	}
}

/* Closing with unread bytes in the socket would make the peer lose the answer: it may go on sending for a while. */
static void finish(struct connection *c)
{
	stream_end(&c->stream);
	if (stream_waiting(&c->stream))
		return;
	if (c->eof) {
		connection_close(c);
		return;
	}
	if (c->phase != PHASE_LINGER)
		connection_phase(c, PHASE_LINGER);
	stream_read(&c->stream, true);
}

static void flush(struct connection *c)
{
	collect(c);
	stream_flush(&c->stream);
	if (c->stream.closed)
		return;
	if (c->broken || c->stream.failed) {
		connection_close(c);
		return;
	}
	if (c->final) {
		finish(c);
		return;
	}
	if (!c->first && !c->current && c->phase == PHASE_WORKING)
		connection_phase(c, PHASE_IDLE);
	if (!c->first && !stream_waiting(&c->stream) && (c->eof || (c->listener->closing && c->phase == PHASE_IDLE)))
		connection_close(c);
	else if (c->full && !connection_full(c))
		http_resume(c);
}

void http_flush(struct net_listener *l)
{
	while (l->dirty) {
		struct connection *c = l->dirty;
		l->dirty = c->next_dirty;
		c->dirty = false;
		if (c->gone)
			connection_free(c);
		else if (!c->stream.closed)
			flush(c);
	}
	streamed_flush(l);
}

static void too_late(struct connection *c)
{
	if (c->phase == PHASE_HEADER)
		connection_refuse(c, 408, "the request's headers took too long");
	else if (c->phase == PHASE_BODY)
		connection_refuse(c, 408, "the request's body took too long");
	else
		connection_close(c);
}

void http_sweep(struct net_listener *l, uint64_t now)
{
	struct connection *c, *next;
	DL_FOREACH_SAFE (l->connections, c, next) {
		if (c->stream.closed)
			continue;
		if (stream_stuck(&c->stream, now, l->config.limits.write_ms)) {
			c->why = NET_SLOW;
			connection_close(c);
		} else if (c->deadline && now >= c->deadline)
			too_late(c);
	}
}

void http_drain(struct net_listener *l)
{
	struct connection *c, *next;
	DL_FOREACH_SAFE (l->connections, c, next) {
		streamed_next(c);
		bool silent = c->phase == PHASE_IDLE || (c->phase == PHASE_HEADER && !c->current && !c->first);
		if (silent && !stream_waiting(&c->stream))
			connection_close(c);
	}
}

void http_cut(struct net_listener *l)
{
	struct connection *c, *next;
	DL_FOREACH_SAFE (l->connections, c, next) {
		c->why = NET_STOPPED;
		connection_close(c);
	}
}

bool http_evict(struct net_listener *l)
{
	struct connection *c;
	DL_FOREACH (l->connections, c) {
		if (!c->stream.closed && c->phase != PHASE_WORKING && !c->first) {
			connection_close(c);
			return true;
		}
	}
	return false;
}
