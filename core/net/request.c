/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/listener.h"

struct net_request *request_new(struct net_listener *l)
{
	struct net_request *req = l->pool;
	if (req) {
		l->pool = req->next;
		l->pooled--;
	} else {
		req = xcalloc(1, sizeof *req);
		req->listener = l;
		l->requests++;
	}
	req->next = NULL;
	req->url_len = req->head_size = 0;
	req->field_count = 0;
	req->in_value = req->headers_done = req->head_only = req->old_version = req->upgrade = false;
	req->expects = req->answered = req->last = req->streaming = false;
	return req;
}

static void keep_small(struct buf *b)
{
	if (b->cap > STREAM_SCRATCH / 4)
		buf_free(b);
	else
		buf_clear(b);
}

void request_delete(struct net_request *req)
{
	struct net_listener *l = req->listener;
	buf_free(&req->head);
	buf_free(&req->body);
	buf_free(&req->out);
	free(req);
	l->requests--;
	listener_forget(l);
}

void request_recycle(struct net_request *req)
{
	struct net_listener *l = req->listener;
	if (l->pooled == REQUEST_POOL || l->closing) {
		request_delete(req);
		return;
	}
	keep_small(&req->head);
	keep_small(&req->body);
	keep_small(&req->out);
	req->connection = NULL;
	req->next = l->pool;
	l->pool = req;
	l->pooled++;
}

const char *net_request_method(const struct net_request *req)
{
	return req->method;
}

const char *net_request_url(const struct net_request *req)
{
	return req->head.data;
}

const char *net_request_peer(const struct net_request *req)
{
	return req->peer;
}

const char *net_request_body(const struct net_request *req, size_t *len)
{
	*len = req->body.len;
	return req->body.data ? req->body.data : "";
}

const char *net_request_header(const struct net_request *req, const char *name)
{
	size_t len = strlen(name);
	for (unsigned i = 0; i < req->field_count; i++) {
		const struct request_field *f = &req->fields[i];
		if (f->name_len == len && strncasecmp(req->head.data + f->name, name, len) == 0)
			return req->head.data + f->value;
	}
	return NULL;
}

static const char *reason(int status)
{
	static const struct {
		int status;
		const char *text;
	} reasons[] = {
		{200, "OK"},
		{201, "Created"},
		{202, "Accepted"},
		{204, "No Content"},
		{301, "Moved Permanently"},
		{302, "Found"},
		{303, "See Other"},
		{304, "Not Modified"},
		{307, "Temporary Redirect"},
		{308, "Permanent Redirect"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{406, "Not Acceptable"},
		{408, "Request Timeout"},
		{409, "Conflict"},
		{410, "Gone"},
		{411, "Length Required"},
		{412, "Precondition Failed"},
		{413, "Payload Too Large"},
		{414, "URI Too Long"},
		{415, "Unsupported Media Type"},
		{417, "Expectation Failed"},
		{422, "Unprocessable Entity"},
		{426, "Upgrade Required"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{502, "Bad Gateway"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
		{505, "HTTP Version Not Supported"},
	};
	for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
		if (reasons[i].status == status)
			return reasons[i].text;
	return "Status";
}

static const char *date(struct net_listener *l)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	if (now.tv_sec != l->date_at) {
		struct tm tm;
		l->date_at = now.tv_sec;
		gmtime_r(&now.tv_sec, &tm);
		strftime(l->date, sizeof l->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	}
	return l->date;
}

static bool one_line(const char *text)
{
	return !strpbrk(text, "\r\n");
}

static void add_number(struct buf *out, size_t number)
{
	char digits[24], *p = digits + sizeof digits;
	do {
		*--p = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	buf_add(out, p, (size_t)(digits + sizeof digits - p));
}

static void write_status(struct net_request *req, struct buf *out, int status)
{
	static const char ok[] = "HTTP/1.1 200 OK\r\nDate: ";
	if (status == 200)
		buf_add(out, ok, sizeof ok - 1);
	else
		buf_printf(out, "HTTP/1.1 %d %s\r\nDate: ", status, reason(status));
	buf_add_str(out, date(req->listener));
	buf_add(out, "\r\n", 2);
}

static bool write_headers(struct buf *out, const struct net_header *headers, size_t count)
{
	bool typed = false;
	for (size_t i = 0; i < count; i++) {
		const struct net_header *h = &headers[i];
		if (!one_line(h->name) || !one_line(h->value) || strcasecmp(h->name, "content-length") == 0 ||
		    strcasecmp(h->name, "transfer-encoding") == 0)
			continue;
		typed |= strcasecmp(h->name, "content-type") == 0;
		buf_add_str(out, h->name);
		buf_add(out, ": ", 2);
		buf_add_str(out, h->value);
		buf_add(out, "\r\n", 2);
	}
	return typed;
}

static bool bodiless(int status)
{
	return status == 204 || status == 304;
}

static void write_length(struct net_request *req, struct buf *out, size_t len)
{
	static const char length[] = "Content-Length: ", chunked[] = "Transfer-Encoding: chunked\r\n";
	if (len != LENGTH_UNKNOWN) {
		buf_add(out, length, sizeof length - 1);
		add_number(out, len);
		buf_add(out, "\r\n", 2);
	} else if (!req->old_version) {
		buf_add(out, chunked, sizeof chunked - 1);
	}
}

void request_write_head(struct net_request *req, struct buf *out, int status, const struct net_header *headers,
			size_t count, size_t len)
{
	static const char json[] = "Content-Type: application/json\r\n";
	static const char end[] = "Connection: close\r\n", keep[] = "Connection: keep-alive\r\n";
	write_status(req, out, status);
	if (!write_headers(out, headers, count) && !bodiless(status) && len)
		buf_add(out, json, sizeof json - 1);
	if (!bodiless(status))
		write_length(req, out, len);
	if (req->last)
		buf_add(out, end, sizeof end - 1);
	else if (req->old_version)
		buf_add(out, keep, sizeof keep - 1);
	buf_add(out, "\r\n", 2);
}

void request_write(struct net_request *req, struct buf *out, int status, const struct net_header *headers, size_t count,
		   const char *body, size_t len)
{
	request_write_head(req, out, status, headers, count, len);
	if (!bodiless(status) && !req->head_only)
		buf_add(out, body, len);
}

static void add_json_text(struct buf *out, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p == '"' || *p == '\\')
			buf_add(out, "\\", 1);
		if (*p < 0x20)
			buf_printf(out, "\\u%04x", *p);
		else
			buf_add(out, p, 1);
	}
}

void net_respond_error(struct net_request *req, int status, int code, const char *message)
{
	struct buf body = {0};
	buf_printf(&body, "{\"error\":{\"code\":%d,\"message\":\"", code);
	add_json_text(&body, message);
	buf_add_str(&body, "\"}}");
	net_respond(req, status, NULL, 0, body.data, body.len);
	buf_free(&body);
}
