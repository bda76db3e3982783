/* SPDX-License-Identifier: MIT
 *
 * net: HTTP/1.1 and WebSocket, server and client, on one libuv loop. Loop thread only. Sizes in bytes, times in ms.
 *
 * A listener accepts, parses and calls its owner once for each request; the owner answers with net_respond, then or
 * later, in any order: answers leave in the order of their requests. Every limit has a default, taken for 0.
 *
 * Strings handed in are copied unless they say otherwise.
 */
#ifndef SRVTHREDS_NET_H
#define SRVTHREDS_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "base/base.h"

struct net_listener;
struct net_request;
struct net_ws;
struct log;

struct net_limits {
	size_t connections;  /* open at once, WebSockets included; 10,000. At the limit the longest silent one goes */
	size_t header_size;  /* request line and headers; 16 KiB, at most 60 KiB; over it 431 */
	size_t body_size;    /* 1 MiB; over it 413 */
	size_t message_size; /* a WebSocket message with all its fragments; 1 MiB; over it 1009 */
	size_t send_queue;  /* waiting for the reader of a WebSocket (over it 1013) or a streamed answer (cut); 4 MiB */
	size_t answer_size; /* answers waiting for one HTTP reader; 1 MiB; over it no more of its requests are read */
	size_t pipelined;   /* requests of one connection in work; 16; at it no more are read */
	size_t messages;    /* messages of one WebSocket in work; 64; at it no more are read */
	uint64_t header_ms; /* from the first byte, or the connection, to the end of the headers; 5,000; then 408 */
	uint64_t body_ms;   /* 30,000; then 408 */
	uint64_t idle_ms;   /* between requests; 75,000 */
	uint64_t write_ms;  /* a reader that takes nothing; 30,000 */
	uint64_t
		ping_ms; /* a silent WebSocket is asked; 30,000, whole seconds; without an answer closed after half more */
};

struct net_header {
	const char *name, *value;
};

struct net_websocket { /* one path */
	const char *path;
	const char *protocol; /* the subprotocol a client must offer; NULL: none */
	void *arg;
	/* `req` is the handshake; the owner gives it back with net_request_free. */
	void (*open)(void *arg, struct net_ws *ws, struct net_request *req);
	/* A whole message; text is valid UTF-8. Borrowed for the call. */
	void (*message)(struct net_ws *ws, const char *bytes, size_t len, bool binary);
	/* The last call: ws is gone afterwards. 1006: without a close frame. */
	void (*close)(struct net_ws *ws, int code);
};

struct net_config {
	const char *host; /* numeric address or "localhost" */
	int port;         /* 0 picks a free one */
	void *arg;
	void (*request)(void *arg, struct net_request *req);
	const struct net_websocket *websockets;
	size_t websocket_count;
	const char *const *origins; /* pages that may open WebSockets besides those of this host; "*": all */
	size_t origin_count;
	struct net_limits limits;
	struct log *log; /* what libwebsockets says goes there; borrowed until the listener is gone; NULL: stderr */
};

struct net_listener *net_listen(uv_loop_t *loop, const struct net_config *config, struct error *e);
/* The log ends before the listener does. */
void net_forget_log(struct net_listener *l);
int net_port(const struct net_listener *l);
/* Stops and goes on accepting; open connections are served. */
void net_pause(struct net_listener *l, bool pause);
/* No more connections; answers in work are finished with `Connection: close`, WebSockets closed with 1012; after
 * grace_ms what is left is cut. `done` (may be NULL) comes when no handle is left; the listener is gone then. */
void net_close(struct net_listener *l, uint64_t grace_ms, void (*done)(void *arg), void *arg);
/* The first half of net_close, then `drained`: connections are gone or cut, the WebSocket side is kept until net_close.
 * libwebsockets closes a descriptor of its context twice, turns of the loop apart: whoever opened a file in between would
 * lose it. So a process that has other work drains, ends that work, and closes its listeners last. */
void net_drain(struct net_listener *l, uint64_t grace_ms, void (*drained)(void *arg), void *arg);
void net_counts(const struct net_listener *l, size_t *connections, size_t *websockets);
/* Bodies refused for their size, so far: their owner never saw them. */
size_t net_too_large(const struct net_listener *l);

/* A request is valid until it is answered or freed, exactly once; also after its connection or listener is gone. */
const char *net_request_method(const struct net_request *req);
const char *net_request_url(const struct net_request *req);                      /* path and query as sent */
const char *net_request_header(const struct net_request *req, const char *name); /* any case; NULL: none */
const char *net_request_body(const struct net_request *req, size_t *len);
const char *net_request_peer(const struct net_request *req); /* address without port */
/* Content-Type is application/json unless given. Headers with line breaks are left out. */
void net_respond(struct net_request *req, int status, const struct net_header *headers, size_t count, const char *body,
		 size_t len);
/* {"error":{"code":code,"message":"message"}} */
void net_respond_error(struct net_request *req, int status, int code, const char *message);
/* Without an answer: the connection is closed (a handshake is just freed). */
void net_request_free(struct net_request *req);

/* A streamed answer: chunks, to HTTP/1.0 bytes until the connection ends. Requests behind it wait for its end. True: the
 * request goes on until net_stream_end, net_request_free or `closed`, whichever is first,
 * and its fields may still be read. False: there is nothing to stream (HEAD; the client is gone; the listener stops,
 * which answers 503) and the request is spent. `closed` comes at the end of a turn of the loop, never from within a
 * call; the request is gone after it. A reader is gone also when it ended only its side. */
enum net_end {
	NET_GONE,
	NET_SLOW,    /* over send_queue, or it took nothing for write_ms: cut */
	NET_STOPPED, /* the listener: the answer was ended for its owner */
};
bool net_stream(struct net_request *req, int status, const struct net_header *headers, size_t count,
		void (*closed)(void *arg, enum net_end why), void *arg);
/* Queues; the bytes that wait now, or -1 when there is nobody any more (or not after this: over send_queue). */
long net_stream_send(struct net_request *req, const char *bytes, size_t len);
/* The bytes that wait for its reader now. */
size_t net_stream_queued(const struct net_request *req);
void net_stream_end(struct net_request *req);
/* Cuts the connection, so that the reader knows that it isn't whole; `closed` comes. */
void net_stream_cut(struct net_request *req);

/* Queues a text message; the bytes that wait now, or -1 when it is closing (or closed by this, 1013). */
long net_ws_send(struct net_ws *ws, const char *bytes, size_t len);
/* The bytes that wait for its reader now. */
size_t net_ws_queued(const struct net_ws *ws);
/* After what is queued. `reason` up to 123 bytes, may be NULL. A second close changes nothing. */
void net_ws_close(struct net_ws *ws, int code, const char *reason);
void net_ws_pause(struct net_ws *ws, bool pause); /* reading */
void *net_ws_data(const struct net_ws *ws);
void net_ws_set_data(struct net_ws *ws, void *data);
const char *net_ws_peer(const struct net_ws *ws);
const struct net_websocket *net_ws_path(const struct net_ws *ws);
const struct net_limits *net_ws_limits(const struct net_ws *ws);

#endif
