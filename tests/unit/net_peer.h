/* SPDX-License-Identifier: MIT
 *
 * For the tests of net/: a listener and its clients in one thread. A client is a plain socket; while it waits the loop
 * turns. Nothing sleeps.
 */
#ifndef SRVTHREDS_TEST_NET_PEER_H
#define SRVTHREDS_TEST_NET_PEER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/net.h"

#define PEER_PATIENCE_NS (20 * UINT64_C(1000000000))

struct peer {
	uv_loop_t *loop;
	int fd;
	struct buf in;
	bool eof;
};

static inline void peer_open(struct peer *p, uv_loop_t *loop, int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*p = (struct peer){.loop = loop, .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	assert_int_equal(connect(p->fd, (struct sockaddr *)&address, sizeof address), 0);
	fcntl(p->fd, F_SETFL, O_NONBLOCK);
}

static inline void peer_close(struct peer *p)
{
	close(p->fd);
	buf_free(&p->in);
}

/* One turn of the loop and what the peer has got by then. */
static inline void peer_turn(struct peer *p)
{
	char bytes[65536];
	uv_run(p->loop, UV_RUN_NOWAIT);
	ssize_t n = p->eof ? -1 : recv(p->fd, bytes, sizeof bytes, 0);
	if (n > 0)
		buf_add(&p->in, bytes, (size_t)n);
	else if (n == 0 || (n < 0 && errno != EAGAIN))
		p->eof = true;
}

static inline void peer_send(struct peer *p, const void *bytes, size_t len)
{
	uint64_t end = uv_hrtime() + PEER_PATIENCE_NS;
	for (size_t at = 0; at < len;) {
		ssize_t n = send(p->fd, (const char *)bytes + at, len - at, MSG_NOSIGNAL);
		if (n > 0)
			at += (size_t)n;
		else if (errno != EAGAIN || uv_hrtime() > end)
			return; /* the other side closed: what it said tells */
		uv_run(p->loop, UV_RUN_NOWAIT);
	}
}

static inline void peer_say(struct peer *p, const char *text)
{
	peer_send(p, text, strlen(text));
}

static inline bool peer_has(const struct peer *p, const char *text)
{
	return p->in.data && strstr(p->in.data, text);
}

/* Turns until `text` has come. */
static inline void peer_expect(struct peer *p, const char *text)
{
	uint64_t end = uv_hrtime() + PEER_PATIENCE_NS;
	while (!peer_has(p, text)) {
		if (uv_hrtime() > end || p->eof)
			fail_msg("expected \"%s\", got \"%s\"%s", text, p->in.data ? p->in.data : "",
				 p->eof ? " and the end" : "");
		peer_turn(p);
	}
}

static inline void peer_expect_end(struct peer *p)
{
	uint64_t end = uv_hrtime() + PEER_PATIENCE_NS;
	while (!p->eof) {
		if (uv_hrtime() > end)
			fail_msg("expected the end, got \"%s\"", p->in.data ? p->in.data : "");
		peer_turn(p);
	}
}

static inline int peer_count(const struct peer *p, const char *text)
{
	int n = 0;
	for (const char *at = p->in.data; at && (at = strstr(at, text)); at += strlen(text))
		n++;
	return n;
}

/* Turns until `*condition` or patience ends. */
static inline void turn_until(uv_loop_t *loop, const bool *condition)
{
	uint64_t end = uv_hrtime() + PEER_PATIENCE_NS;
	while (!*condition) {
		if (uv_hrtime() > end)
			fail_msg("waited in vain");
		uv_run(loop, UV_RUN_NOWAIT);
	}
}

static inline void on_stopped(void *arg)
{
	*(bool *)arg = true;
}

/* The clean stop: afterwards the loop has no handle. */
static inline void stop(uv_loop_t *loop, struct net_listener *l, uint64_t grace)
{
	bool done = false;
	net_close(l, grace, on_stopped, &done);
	turn_until(loop, &done);
	uv_run(loop, UV_RUN_NOWAIT);
	assert_int_equal(uv_loop_close(loop), 0);
}

#endif
