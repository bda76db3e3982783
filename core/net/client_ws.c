/* SPDX-License-Identifier: MIT
 *
 * A WebSocket client of its own: frames over a stream, some hundred lines, no second context of libwebsockets.
 */
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/client.h"

enum { MESSAGE_MAX = 64 * 1024 * 1024, HEAD_MAX = 16 * 1024, CLOSE_MS = 2000 };
enum { CONTINUATION, TEXT, BINARY, CLOSE = 8, PING, PONG };

struct net_socket {
	struct dial dial; /* first */
	struct net_socket_events events;
	struct buf in;      /* bytes that are no whole frame yet */
	struct buf message; /* fragments so far */
	char accept[32];
	bool open, close_sent;
	int code; /* of the peer's close frame */
};

static void add_frame(struct net_socket *s, unsigned opcode, const char *bytes, size_t len)
{
	struct buf *out = &s->dial.stream.out;
	unsigned char head[14] = {(unsigned char)(0x80 | opcode)};
	size_t size = len < 126 ? 2 : len < 65536 ? 4 : 10;
	head[1] = (unsigned char)(0x80 | (len < 126 ? len : len < 65536 ? 126 : 127));
	for (size_t i = size - 1, n = len; i >= 2; i--, n >>= 8)
		head[i] = (unsigned char)n;
	unsigned char *mask = head + size;
	RAND_bytes(mask, 4);
	buf_add(out, head, size + 4);
	if (buf_reserve(out, len))
		return;
	for (size_t i = 0; i < len; i++)
		out->data[out->len + i] = (char)(bytes[i] ^ mask[i & 3]);
	out->len += len;
	out->data[out->len] = '\0';
}

static void send_close(struct net_socket *s, int code)
{
	char bytes[2] = {(char)(code >> 8), (char)code};
	if (s->close_sent)
		return;
	s->close_sent = true;
	add_frame(s, CLOSE, bytes, 2);
	stream_flush(&s->dial.stream);
}

static void on_data(struct net_socket *s, bool final, const char *bytes, size_t len)
{
	if (s->message.len + len > MESSAGE_MAX || buf_add(&s->message, bytes, len)) {
		dial_fail(&s->dial, ERROR_SERVER, "%s sent a message that is too large", s->dial.host);
		return;
	}
	if (!final)
		return;
	s->events.message(s->events.arg, s->message.data ? s->message.data : "", s->message.len);
	buf_clear(&s->message);
}

static void on_frame(struct net_socket *s, unsigned head, const char *bytes, size_t len)
{
	switch (head & 15) {
	case CONTINUATION:
	case TEXT:
	case BINARY:
		on_data(s, head & 0x80, bytes, len);
		break;
	case PING:
		add_frame(s, PONG, bytes, len);
		stream_flush(&s->dial.stream);
		break;
	case PONG:
		break;
	case CLOSE:
		s->code = len >= 2 ? (unsigned char)bytes[0] << 8 | (unsigned char)bytes[1] : 1005;
		send_close(s, s->code == 1005 ? 1000 : s->code);
		dial_close(&s->dial);
		break;
	default:
		dial_fail(&s->dial, ERROR_SERVER, "%s sent a frame of an unknown kind", s->dial.host);
	}
}

/* Handles the first frame of `at`; how long it was, 0: not whole. */
static size_t take_frame(struct net_socket *s, const char *at, size_t len)
{
	const unsigned char *b = (const unsigned char *)at;
	if (len < 2)
		return 0;
	size_t n = b[1] & 127, extra = n < 126 ? 0 : n == 126 ? 2 : 8, head = 2 + extra;
	if (len < head)
		return 0;
	if (extra)
		n = 0;
	for (size_t i = 0; i < extra; i++)
		n = n << 8 | b[2 + i];
	if (n > MESSAGE_MAX || b[1] & 0x80) {
		dial_fail(&s->dial, ERROR_SERVER, "%s sent a frame that is too large or masked", s->dial.host);
		return 0;
	}
	if (len < head + n)
		return 0;
	on_frame(s, b[0], at + head, n);
	return head + n;
}

/* The answer to the handshake; how long it was, 0: not whole, or refused. */
static size_t take_handshake(struct net_socket *s)
{
	char *end = strstr(s->in.data, "\r\n\r\n"), *accept = strcasestr(s->in.data, "\r\nSec-WebSocket-Accept:");
	if (!end) {
		if (s->in.len > HEAD_MAX)
			dial_fail(&s->dial, ERROR_SERVER, "%s answered no WebSocket handshake", s->dial.host);
		return 0;
	}
	accept = accept && accept < end ? accept + 23 + strspn(accept + 23, " \t") : NULL;
	if (strncmp(s->in.data, "HTTP/1.1 101 ", 13) != 0 || !accept || strncmp(accept, s->accept, 28) != 0) {
		dial_fail(&s->dial, strncmp(s->in.data, "HTTP/1.1 401", 12) == 0 ? ERROR_UNAUTHORIZED : ERROR_SERVER,
			  "%s:%s refused the WebSocket: %.*s", s->dial.host, s->dial.port,
			  (int)strcspn(s->in.data, "\r\n"), s->in.data);
		return 0;
	}
	s->open = true;
	dial_stop_timer(&s->dial);
	s->events.opened(s->events.arg);
	return (size_t)(end + 4 - s->in.data);
}

static void on_read(struct stream *stream, const char *bytes, ssize_t n)
{
	struct net_socket *s = (struct net_socket *)stream;
	if (n < 0) {
		dial_fail(&s->dial, ERROR_SERVER, "%s:%s closed the connection", s->dial.host, s->dial.port);
		return;
	}
	if (buf_add(&s->in, bytes, (size_t)n)) {
		dial_fail(&s->dial, ERROR_SERVER, "no memory");
		return;
	}
	size_t at = s->open ? 0 : take_handshake(s);
	for (size_t len = 1; s->open && len && !s->dial.closing; at += len)
		len = take_frame(s, s->in.data + at, s->in.len - at);
	memmove(s->in.data, s->in.data + at, s->in.len - at);
	s->in.len -= at;
	s->in.data[s->in.len] = '\0';
}

static void on_connected(struct dial *d)
{
	stream_flush(&d->stream);
}

static void on_closed(struct dial *d)
{
	struct net_socket *s = (struct net_socket *)d;
	s->events.ended(s->events.arg, s->code ? s->code : 1006, d->error.code ? &d->error : NULL);
	buf_free(&s->in);
	buf_free(&s->message);
	free(s);
}

/* A fresh key, and what the server must make of it. */
static void make_key(struct net_socket *s, char *key)
{
	unsigned char bytes[16], digest[EVP_MAX_MD_SIZE];
	char text[64];
	unsigned len;
	RAND_bytes(bytes, sizeof bytes);
	EVP_EncodeBlock((unsigned char *)key, bytes, sizeof bytes);
	int n = snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
	EVP_Digest(text, (size_t)n, digest, &len, EVP_sha1(), NULL);
	EVP_EncodeBlock((unsigned char *)s->accept, digest, (int)len);
}

struct net_socket *net_connect(uv_loop_t *loop, const char *url, const char *protocol, const struct net_header *headers,
			       size_t count, uint64_t timeout_ms, const struct net_socket_events *events,
			       struct error *e)
{
	struct net_socket *s = xcalloc(1, sizeof *s);
	struct buf *out = &s->dial.stream.out;
	char key[32];
	s->events = *events;
	s->dial.on_connected = on_connected;
	s->dial.on_closed = on_closed;
	s->dial.stream.on_read = on_read;
	if (dial_start(&s->dial, loop, "ws", url, timeout_ms, e)) {
		free(s);
		return NULL;
	}
	make_key(s, key);
	buf_printf(out,
		   "GET %s HTTP/1.1\r\nHost: %s:%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n",
		   s->dial.path, s->dial.host, s->dial.port, key);
	if (protocol)
		buf_printf(out, "Sec-WebSocket-Protocol: %s\r\n", protocol);
	for (size_t i = 0; i < count; i++)
		if (!strpbrk(headers[i].name, "\r\n") && !strpbrk(headers[i].value, "\r\n"))
			buf_printf(out, "%s: %s\r\n", headers[i].name, headers[i].value);
	buf_add_str(out, "\r\n");
	return s;
}

int net_socket_send(struct net_socket *s, const char *bytes, size_t len)
{
	if (!s->open || s->close_sent || s->dial.closing)
		return -1;
	add_frame(s, TEXT, bytes, len);
	stream_flush(&s->dial.stream);
	return 0;
}

static void on_patience(uv_timer_t *timer)
{
	dial_close(timer->data);
}

void net_socket_close(struct net_socket *s, int code)
{
	if (s->dial.closing)
		return;
	if (!s->open) {
		dial_close(&s->dial);
		return;
	}
	send_close(s, code);
	uv_timer_start(&s->dial.timer, on_patience, CLOSE_MS, 0);
}
