/* SPDX-License-Identifier: MIT */
#include "net/stream.h"

#include <unistd.h>

static void on_closed(uv_handle_t *handle)
{
	struct stream *s = (struct stream *)handle;
	buf_free(&s->out);
	buf_free(&s->sending);
	s->on_closed(s);
}

void stream_close(struct stream *s)
{
	if (s->closed)
		return;
	s->closed = true;
	s->reading = false;
	uv_close((uv_handle_t *)&s->tcp, on_closed);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	(void)suggested;
	struct stream *s = (struct stream *)handle;
	*buf = uv_buf_init(s->scratch, STREAM_SCRATCH);
}

static void on_read(uv_stream_t *handle, ssize_t n, const uv_buf_t *buf)
{
	struct stream *s = (struct stream *)handle;
	if (n != 0)
		s->on_read(s, buf->base, n);
}

int stream_open(struct stream *s, uv_loop_t *loop, int fd)
{
	uv_tcp_init(loop, &s->tcp); /* never fails without a socket to make */
	int rc = uv_tcp_open(&s->tcp, fd);
	if (rc == 0)
		return uv_tcp_nodelay(&s->tcp, 1);
	close(fd);
	return rc;
}

void stream_read(struct stream *s, bool on)
{
	if (s->closed || s->reading == on)
		return;
	s->reading = on;
	if (on)
		uv_read_start((uv_stream_t *)&s->tcp, on_alloc, on_read);
	else
		uv_read_stop((uv_stream_t *)&s->tcp);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
	(void)req;
	(void)status;
}

static void on_written(uv_write_t *req, int status)
{
	struct stream *s = (struct stream *)req->handle;
	if (s->sending.cap > STREAM_SCRATCH)
		buf_free(&s->sending);
	else
		buf_clear(&s->sending);
	s->blocked = 0;
	if (s->closed)
		return;
	if (status < 0) {
		s->on_read(s, NULL, status);
		return;
	}
	stream_flush(s);
	if (!s->closed && !s->blocked && s->on_sent)
		s->on_sent(s);
}

/* Never 0, and never later than now. */
static uint64_t since(uint64_t now)
{
	return now ? now : 1;
}

/* What the socket didn't take is libuv's until it did. */
static void wait_for_room(struct stream *s, size_t taken)
{
	struct buf rest = s->out;
	s->out = s->sending;
	s->sending = rest;
	s->blocked = since(uv_now(s->tcp.loop));
	s->left = rest.len - taken;
	uv_buf_t b = uv_buf_init(rest.data + taken, (unsigned)s->left);
	if (uv_write(&s->write, (uv_stream_t *)&s->tcp, &b, 1, on_written)) {
		s->blocked = 0;
		s->failed = true;
	}
}

void stream_flush(struct stream *s)
{
	if (s->closed || s->blocked)
		return;
	if (s->out.len) {
		uv_buf_t b = uv_buf_init(s->out.data, (unsigned)s->out.len);
		int n = uv_try_write((uv_stream_t *)&s->tcp, &b, 1);
		if (n < 0 && n != UV_EAGAIN) {
			buf_clear(&s->out);
			s->failed = true;
			return;
		}
		size_t taken = n > 0 ? (size_t)n : 0;
		if (taken < s->out.len) {
			wait_for_room(s, taken);
			return;
		}
		if (s->out.cap > STREAM_SCRATCH)
			buf_free(&s->out);
		else
			buf_clear(&s->out);
	}
	if (s->ending && !s->ended) {
		s->ended = true;
		uv_shutdown(&s->shutdown, (uv_stream_t *)&s->tcp, on_shutdown);
	}
}

void stream_end(struct stream *s)
{
	s->ending = true;
	stream_flush(s);
}

size_t stream_waiting(const struct stream *s)
{
	return s->out.len + (s->blocked ? uv_stream_get_write_queue_size((const uv_stream_t *)&s->tcp) : 0);
}

bool stream_stuck(struct stream *s, uint64_t now, uint64_t ms)
{
	size_t left = s->blocked ? uv_stream_get_write_queue_size((const uv_stream_t *)&s->tcp) : 0;
	if (s->blocked && left < s->left) {
		s->left = left;
		s->blocked = since(now);
	}
	return s->blocked && now - s->blocked > ms;
}
