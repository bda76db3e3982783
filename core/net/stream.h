/* SPDX-License-Identifier: MIT
 *
 * stream: a byte stream over a connected socket. Bytes to send are collected in `out` and leave with stream_flush in one
 * write; what the socket doesn't take waits. This is where TLS goes: nothing above reads or writes a socket itself.
 *
 * The struct lives in its owner's, is zeroed before stream_open, and may be freed from on_closed on.
 */
#ifndef SRVTHREDS_NET_STREAM_H
#define SRVTHREDS_NET_STREAM_H

#include <stdbool.h>
#include <uv.h>

#include "base/base.h"

#define STREAM_SCRATCH 65536

struct stream {
	uv_tcp_t tcp; /* first: the handle is the stream */
	uv_write_t write;
	uv_shutdown_t shutdown;
	struct buf out;     /* owned; not given to libuv yet */
	struct buf sending; /* owned; in libuv's hands */
	char *scratch;      /* borrowed, STREAM_SCRATCH bytes, shared by the streams of a loop */
	uint64_t blocked;   /* loop time since when the peer takes nothing; 0: it does */
	size_t left;        /* of `sending`, when the peer was last seen to take some */
	bool reading, ending, ended, closed;
	bool failed;                                                       /* what is sent goes nowhere */
	void (*on_read)(struct stream *s, const char *bytes, ssize_t len); /* len < 0: end of stream or error */
	void (*on_sent)(struct stream *s);                                 /* after a wait everything was taken */
	void (*on_closed)(struct stream *s);
};

/* Takes the descriptor over; stream_close must follow, on failure (an error of libuv) too. */
int stream_open(struct stream *s, uv_loop_t *loop, int fd);
void stream_read(struct stream *s, bool on);
void stream_flush(struct stream *s);
/* Sends what waits, then our end of the stream. */
void stream_end(struct stream *s);
size_t stream_waiting(const struct stream *s);
/* Has the peer taken nothing for longer than `ms`, although something waits? */
bool stream_stuck(struct stream *s, uint64_t now, uint64_t ms);
void stream_close(struct stream *s);

#endif
