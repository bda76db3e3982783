/* SPDX-License-Identifier: MIT
 *
 * Clients for the command line: an HTTP/1.1 request and a WebSocket, plain http:// and ws:// only. Loop thread only.
 * Each object calls `ended` exactly once, as its last call; then it frees itself. Nothing is called from within the
 * function that starts or ends it.
 */
#ifndef SRVTHREDS_NET_CLIENT_H
#define SRVTHREDS_NET_CLIENT_H

#include "net/net.h"
#include "net/stream.h"

/* What both have: from a URL to a connected stream, within a time. */
struct dial {
	struct stream stream; /* first */
	uv_getaddrinfo_t lookup;
	uv_connect_t connect;
	uv_timer_t timer;
	char *host, *path; /* owned; path with query */
	char port[8];
	bool looking, connected, closing;
	int open_handles;
	struct error error; /* why it ended; code 0: as it should */
	void (*on_connected)(struct dial *d);
	void (*on_closed)(struct dial *d); /* the last: frees */
};

/* `schemes`: "http" or "ws". On -1 nothing was begun. timeout_ms 0: none. */
int dial_start(struct dial *d, uv_loop_t *loop, const char *scheme, const char *url, uint64_t timeout_ms,
	       struct error *e);
void dial_stop_timer(struct dial *d);
void dial_close(struct dial *d);
/* Closes with an error, the first of which counts. */
void dial_fail(struct dial *d, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

struct net_answer {
	int status;
	const char *const *headers; /* name, value, name, value …, names in lower case */
	size_t header_count;
	const char *body;
	size_t len;
};

struct net_fetch;
struct net_fetch *net_fetch(uv_loop_t *loop, const char *method, const char *url, const struct net_header *headers,
			    size_t count, const char *body, size_t len, uint64_t timeout_ms,
			    void (*ended)(void *arg, const struct net_answer *answer, const struct error *e), void *arg,
			    struct error *e);
/* Ends it without a call of `ended`. */
void net_fetch_cancel(struct net_fetch *f);

struct net_socket;
struct net_socket_events {
	void *arg;
	void (*opened)(void *arg);
	void (*message)(void *arg, const char *bytes, size_t len);
	void (*ended)(void *arg, int code, const struct error *e); /* code: of the close frame, or 1006 and why */
};
struct net_socket *net_connect(uv_loop_t *loop, const char *url, const char *protocol, const struct net_header *headers,
			       size_t count, uint64_t timeout_ms, const struct net_socket_events *events,
			       struct error *e);
int net_socket_send(struct net_socket *s, const char *bytes, size_t len);
void net_socket_close(struct net_socket *s, int code);

#endif
