/* SPDX-License-Identifier: MIT
 *
 * For the tests of net/: the client's side of WebSocket frames.
 */
#ifndef SRVTHREDS_TEST_NET_FRAME_H
#define SRVTHREDS_TEST_NET_FRAME_H

#include "net_peer.h"

/* A masked frame into `to`; returns its length. */
static inline size_t frame(char *to, int head, const char *bytes, size_t len)
{
	size_t n = 0;
	to[n++] = (char)head;
	if (len < 126) {
		to[n++] = (char)(0x80 | len);
	} else if (len < 65536) {
		to[n++] = (char)(0x80 | 126);
		to[n++] = (char)(len >> 8);
		to[n++] = (char)len;
	} else {
		to[n++] = (char)(0x80 | 127);
		for (int shift = 56; shift >= 0; shift -= 8)
			to[n++] = (char)(len >> shift);
	}
	memcpy(to + n, "mask", 4);
	n += 4;
	for (size_t i = 0; i < len; i++)
		to[n++] = (char)(bytes[i] ^ "mask"[i & 3]);
	return n;
}

static inline void forget(struct peer *p, size_t n)
{
	memmove(p->in.data, p->in.data + n, p->in.len - n);
	p->in.len -= n;
}

/* The next frame from the server. */
static inline int next_frame(struct peer *p, char **bytes, size_t *len)
{
	uint64_t end = uv_hrtime() + PEER_PATIENCE_NS;
	for (;;) {
		const unsigned char *b = (const unsigned char *)p->in.data;
		size_t head = 2, n = p->in.len >= 2 ? b[1] : 0;
		size_t extra = n < 126 ? 0 : n == 126 ? 2 : 8;
		head += extra;
		if (extra)
			n = 0;
		for (size_t i = 0; i < extra && p->in.len >= head; i++)
			n = n << 8 | b[2 + i];
		if (p->in.len >= head + n) {
			int kind = b[0];
			*bytes = malloc(n + 1);
			memcpy(*bytes, b + head, n);
			(*bytes)[n] = '\0';
			*len = n;
			forget(p, head + n);
			return kind;
		}
		if (uv_hrtime() > end || p->eof)
			fail_msg("no frame came, %zu bytes%s", p->in.len, p->eof ? ", and the end" : "");
		peer_turn(p);
	}
}

#endif
