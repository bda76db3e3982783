/* SPDX-License-Identifier: MIT
 *
 * Private to connection.c, http.c and streamed.c: one HTTP connection. connection.c has its life, queue and deadlines;
 * http.c feeds the parser and makes requests of what it says; streamed.c answers without an end.
 */
#ifndef SRVTHREDS_NET_CONNECTION_H
#define SRVTHREDS_NET_CONNECTION_H

#include <arpa/inet.h>
#include <http_parser.h>

#include "net/listener.h"

enum phase {
	PHASE_IDLE,    /* between requests */
	PHASE_HEADER,  /* something of a request came, or nothing yet since the accept */
	PHASE_BODY,    /* its headers are complete */
	PHASE_WORKING, /* requests in work, none half read */
	PHASE_LINGER,  /* the last answer is sent: until the peer has read it */
};

struct connection {
	struct stream stream; /* first */
	struct net_listener *listener;
	struct connection *prev, *next; /* of listener->connections */
	struct connection *next_dirty;
	http_parser parser;
	struct net_request *current;     /* half read */
	struct net_request *handshake;   /* complete, not checked yet */
	struct net_request *first, *end; /* in work, oldest first */
	size_t queued;
	struct buf rest; /* read and not parsed while the parser waits */
	size_t rest_at;
	enum phase phase;
	uint64_t deadline; /* loop time, 0: none */
	bool dirty, gone;
	bool full;    /* the parser waits until answers have left */
	bool stopped; /* no more requests are taken */
	bool final;   /* the last answer is written */
	bool eof;
	bool broken; /* to be closed: what is sent goes nowhere */
	enum net_end why;
	char peer[INET6_ADDRSTRLEN];
};

void connection_phase(struct connection *c, enum phase phase);
/* Puts the request behind those in work. */
void connection_queue(struct connection *c, struct net_request *req);
/* Takes the first of the queue out, which is answered; the caller frees it. */
struct net_request *connection_pop(struct connection *c);
/* Lets go of the requests behind this one; NULL: of all. */
void connection_forget(struct connection *c, struct net_request *from);
/* Answers what is half read and takes no more requests. */
void connection_refuse(struct connection *c, int status, const char *message);
/* Too much in work or unsent to read on? */
bool connection_full(const struct connection *c);
/* Hands the socket over to the WebSocket side. */
void connection_upgrade(struct connection *c, const char *bytes, size_t len);
void connection_touch(struct connection *c);

/* What streams and became the first of the queue leaves from now on. */
void streamed_next(struct connection *c);
/* The owner is to be told. */
void streamed_lost(struct net_request *req, enum net_end why);

void http_start(struct connection *c);
/* Parses; keeps what it can't take now in c->rest. */
void http_feed(struct connection *c, const char *bytes, size_t len);
void http_resume(struct connection *c);

#endif
