/* SPDX-License-Identifier: MIT
 *
 * Private to net/: what listener.c, http.c, request.c, upgrade.c and websocket.c share.
 *
 * listener.c owns the socket, the limits and the clean stop; http.c owns a connection from accept to its end or its
 * upgrade; request.c owns requests and how answers look; streamed.c
 * owns answers that have no end yet; websocket.c owns what was upgraded. http_parser.h and
 * libwebsockets.h clash, so only http.c and client.c include the one, only websocket.c and client_ws.c the other.
 */
#ifndef SRVTHREDS_NET_LISTENER_H
#define SRVTHREDS_NET_LISTENER_H

#include <time.h>

#include "net/net.h"
#include "net/stream.h"

struct connection;
struct websocket_side;

enum { REQUEST_FIELDS = 100, REQUEST_POOL = 128 };

struct net_listener {
	uv_loop_t *loop;
	struct net_config config; /* its strings and arrays are owned */
	int fd, port;
	uv_poll_t poll;
	uv_timer_t sweep;   /* looks at every deadline; runs while there are connections */
	uv_prepare_t flush; /* sends the answers of this turn of the loop; runs while `dirty` isn't empty */
	uv_idle_t awake;    /* runs with it */
	uv_idle_t stopping; /* steps of the clean stop */
	uv_timer_t grace;
	bool accepting, paused, short_of_files, closing, forced, closed;
	bool held; /* drained, and not to be closed yet */
	int open_handles, step;
	struct connection *connections; /* a list in the order of their arrival */
	struct connection *dirty;       /* those with something to send or read */
	size_t connection_count, websocket_count;
	size_t too_large;                  /* bodies refused for their size, so far */
	size_t ending;                     /* of the connections: closed, their handles not yet */
	size_t requests;                   /* at their owners or in the pool; they keep the listener's memory */
	struct websocket_side *websockets; /* NULL: no paths */
	struct net_request *lost;          /* streamed answers whose readers are gone; their owners aren't told yet */
	struct net_request *pool;
	size_t pooled;
	char scratch[STREAM_SCRATCH];
	char date[40]; /* the Date header of this second */
	time_t date_at;
	void (*done)(void *arg);
	void *done_arg;
};

/* A slot or a descriptor became free, or, when closing, the last one may have gone. */
void listener_released(struct net_listener *l);

/* Sends what is to be sent at the end of this turn of the loop. */
void listener_flush_later(struct net_listener *l);
/* Looks at the deadlines from now on. */
void listener_sweep_later(struct net_listener *l);
/* Gives the memory back when neither a handle nor a request needs it. */
void listener_forget(struct net_listener *l);

/* Takes the descriptor over. */
void http_accept(struct net_listener *l, int fd, const char *peer);
/* Deadlines; the clean stop; the end of the grace. */
void http_sweep(struct net_listener *l, uint64_t now);
void http_drain(struct net_listener *l);
void http_cut(struct net_listener *l);
void http_flush(struct net_listener *l);
/* Tells the owners of lost streams. */
void streamed_flush(struct net_listener *l);
/* Closes the connection that has been silent longest; false: none is. */
bool http_evict(struct net_listener *l);

struct request_field {
	uint16_t name, name_len, value, value_len; /* in head */
};

struct net_request {
	struct net_listener *listener;
	struct connection *connection; /* NULL: gone, or a handshake */
	struct net_request *next;
	struct buf head; /* url and fields, each NUL-terminated */
	struct buf body;
	struct buf out; /* the answer, while an earlier one is missing */
	size_t url_len, head_size;
	unsigned field_count;
	const char *method; /* static */
	bool in_value, headers_done, head_only, old_version, upgrade, expects, answered, last;
	bool streaming; /* its answer has begun and has no end yet */
	enum net_end why;
	void (*closed)(void *arg, enum net_end why);
	void *closed_arg;
	char peer[INET6_ADDRSTRLEN];
	struct request_field fields[REQUEST_FIELDS];
};

struct net_request *request_new(struct net_listener *l);
void request_recycle(struct net_request *req);
void request_delete(struct net_request *req);
#define LENGTH_UNKNOWN SIZE_MAX
/* Appends everything before the body, of `len` bytes, to `out`. */
void request_write_head(struct net_request *req, struct buf *out, int status, const struct net_header *headers,
			size_t count, size_t len);
/* Appends the answer to `out`. */
void request_write(struct net_request *req, struct buf *out, int status, const struct net_header *headers, size_t count,
		   const char *body, size_t len);

/* The status to refuse an upgrade with and why, or 0 and the path it is for. */
int upgrade_check(const struct net_listener *l, const struct net_request *req, const struct net_websocket **path,
		  const char **why);
/* The handshake as it is handed on: only what was checked. */
int upgrade_handshake(const struct net_request *req, const struct net_websocket *path, struct buf *out);

/* libwebsockets' side of a listener. */
struct websocket_side *websocket_open(struct net_listener *l, struct error *e);
/* Takes fd and req over; bytes: handshake and what came behind it. */
void websocket_adopt(struct net_listener *l, const struct net_websocket *path, int fd, struct net_request *req,
		     const char *bytes, size_t len);
void websocket_flush(struct net_listener *l);
/* Cuts those that don't answer a close; false: none is closing. */
bool websocket_sweep(struct net_listener *l, uint64_t now);
void websocket_drain(struct net_listener *l); /* 1012 to all */
void websocket_forget_log(struct net_listener *l);
/* First call begins the end; three turns of the loop later the second frees. */
void websocket_destroy(struct net_listener *l);
void websocket_free(struct net_listener *l);

#endif
