/* SPDX-License-Identifier: MIT */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "net/connection.h"

static struct connection *of(http_parser *parser)
{
	return parser->data;
}

static int refuse(http_parser *parser, int status, const char *message)
{
	connection_refuse(of(parser), status, message);
	return -1;
}

static int on_begin(http_parser *parser)
{
	struct connection *c = of(parser);
	c->current = request_new(c->listener);
	memcpy(c->current->peer, c->peer, sizeof c->peer);
	c->current->connection = c;
	if (c->phase != PHASE_HEADER)
		connection_phase(c, PHASE_HEADER);
	return 0;
}

/* Adds to the text that begins at `start` and keeps it NUL-terminated. */
static int add_text(http_parser *parser, const char *at, size_t len)
{
	struct connection *c = of(parser);
	struct net_request *req = c->current;
	req->head_size += len;
	if (req->head_size > c->listener->config.limits.header_size)
		return refuse(parser, 431, "request line and headers are too large");
	return buf_add(&req->head, at, len) ? refuse(parser, 503, "no memory for the request") : 0;
}

static int on_url(http_parser *parser, const char *at, size_t len)
{
	if (add_text(parser, at, len))
		return -1;
	of(parser)->current->url_len = of(parser)->current->head.len;
	return 0;
}

static struct request_field *last_field(struct net_request *req)
{
	return req->field_count ? &req->fields[req->field_count - 1] : NULL;
}

static int new_field(http_parser *parser, struct net_request *req)
{
	if (req->field_count == REQUEST_FIELDS)
		return refuse(parser, 431, "too many headers");
	buf_add(&req->head, "", 1);
	struct request_field *f = &req->fields[req->field_count++];
	*f = (struct request_field){.name = (uint16_t)req->head.len};
	req->in_value = false;
	return 0;
}

static int on_field(http_parser *parser, const char *at, size_t len)
{
	struct net_request *req = of(parser)->current;
	if (req->headers_done)
		return 0; /* trailers */
	if (memchr(at, ' ', len))
		return refuse(parser, 400, "a header's name has no spaces");
	if ((req->in_value || !req->field_count) && new_field(parser, req))
		return -1;
	if (add_text(parser, at, len))
		return -1;
	struct request_field *f = last_field(req);
	f->name_len = (uint16_t)(f->name_len + len);
	return 0;
}

static int on_value(http_parser *parser, const char *at, size_t len)
{
	struct net_request *req = of(parser)->current;
	if (req->headers_done)
		return 0;
	struct request_field *f = last_field(req);
	if (!req->in_value) {
		buf_add(&req->head, "", 1);
		f->value = (uint16_t)req->head.len;
		req->in_value = true;
	}
	if (add_text(parser, at, len))
		return -1;
	f->value_len = (uint16_t)(f->value_len + len);
	return 0;
}

static bool has_body(const http_parser *parser)
{
	return (parser->flags & F_CHUNKED) || (parser->content_length > 0 && parser->content_length != ULLONG_MAX);
}

static int check_expect(http_parser *parser, struct net_request *req)
{
	const char *expect = net_request_header(req, "Expect");
	if (!expect || req->old_version)
		return 0;
	if (strcasecmp(expect, "100-continue") != 0)
		return refuse(parser, 417, "only Expect: 100-continue is known");
	req->expects = has_body(parser);
	connection_touch(of(parser));
	return 0;
}

static int too_large(http_parser *parser)
{
	struct net_listener *l = of(parser)->listener;
	char message[80];
	l->too_large++;
	snprintf(message, sizeof message, "the body is larger than the %zu bytes that are taken here",
		 l->config.limits.body_size);
	return refuse(parser, 413, message);
}

static int check_body(http_parser *parser, struct net_request *req)
{
	size_t limit = of(parser)->listener->config.limits.body_size;
	if (!has_body(parser) || (parser->flags & F_CHUNKED))
		return 0;
	if (parser->content_length > limit)
		return too_large(parser);
	if (parser->content_length <= STREAM_SCRATCH && buf_reserve(&req->body, (size_t)parser->content_length))
		return refuse(parser, 503, "no memory for the request");
	return 0;
}

static bool wants_websocket(const struct net_request *req)
{
	const char *upgrade = net_request_header(req, "Upgrade");
	return upgrade && strcasecmp(upgrade, "websocket") == 0;
}

static int on_headers(http_parser *parser)
{
	struct connection *c = of(parser);
	struct net_request *req = c->current;
	buf_add(&req->head, "", 1);
	req->headers_done = true;
	req->method = http_method_str((enum http_method)parser->method);
	req->head_only = parser->method == HTTP_HEAD;
	req->old_version = parser->http_minor == 0;
	if (parser->http_major != 1)
		return refuse(parser, 505, "the HTTP version is 1.1");
	if (parser->method == HTTP_CONNECT)
		return refuse(parser, 501, "this is no proxy");
	if (!req->old_version && !net_request_header(req, "Host"))
		return refuse(parser, 400, "the Host header is missing");
	if (check_body(parser, req) || check_expect(parser, req))
		return -1;
	req->upgrade = parser->upgrade && !has_body(parser) && c->listener->websockets && wants_websocket(req);
	parser->upgrade = req->upgrade;
	connection_phase(c, PHASE_BODY);
	return 0;
}

static int on_body(http_parser *parser, const char *at, size_t len)
{
	struct connection *c = of(parser);
	struct net_request *req = c->current;
	req->expects = false;
	if (req->body.len + len > c->listener->config.limits.body_size)
		return too_large(parser);
	return buf_add(&req->body, at, len) ? refuse(parser, 503, "no memory for the request") : 0;
}

static int on_complete(http_parser *parser)
{
	struct connection *c = of(parser);
	struct net_listener *l = c->listener;
	struct net_request *req = c->current;
	c->current = NULL;
	if (req->upgrade) {
		c->handshake = req;
		return 0;
	}
	req->last = !http_should_keep_alive(parser);
	connection_queue(c, req);
	if (req->last)
		c->stopped = true;
	l->config.request(l->config.arg, req);
	c->full = connection_full(c);
	if (c->stopped || c->full || c->stream.closed)
		http_parser_pause(parser, 1);
	return 0;
}

static const http_parser_settings settings = {
	.on_message_begin = on_begin,
	.on_url = on_url,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_headers,
	.on_body = on_body,
	.on_message_complete = on_complete,
};

void http_start(struct connection *c)
{
	http_parser_init(&c->parser, HTTP_REQUEST);
	c->parser.data = c;
}

/* Returns how much was taken. */
static size_t parse(struct connection *c, const char *bytes, size_t len)
{
	size_t n = http_parser_execute(&c->parser, &settings, bytes, len);
	if (c->stopped || c->stream.closed)
		return len;
	if (c->handshake) {
		connection_upgrade(c, bytes + n, len - n);
		return len;
	}
	enum http_errno error = HTTP_PARSER_ERRNO(&c->parser);
	if (error == HPE_OK || error == HPE_PAUSED)
		return n;
	connection_refuse(c, error == HPE_HEADER_OVERFLOW ? 431 : 400, http_errno_description(error));
	return len;
}

void http_feed(struct connection *c, const char *bytes, size_t len)
{
	size_t n = c->full ? 0 : parse(c, bytes, len);
	if (n < len) {
		buf_add(&c->rest, bytes + n, len - n);
		stream_read(&c->stream, false);
	}
}

void http_resume(struct connection *c)
{
	c->full = false;
	if (c->stopped)
		return;
	http_parser_pause(&c->parser, 0);
	while (c->rest_at < c->rest.len && !c->full && !c->stopped && !c->stream.closed)
		c->rest_at += parse(c, c->rest.data + c->rest_at, c->rest.len - c->rest_at);
	if (c->stream.closed || c->full)
		return;
	buf_free(&c->rest);
	c->rest_at = 0;
	if (!c->eof)
		stream_read(&c->stream, true);
}
