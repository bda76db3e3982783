/* SPDX-License-Identifier: MIT */
#include "net/client.h"

#include <ctype.h>
#include <http_parser.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEADERS_MAX = 200, ANSWER_MAX = 256 * 1024 * 1024 };

struct net_fetch {
	struct dial dial; /* first */
	http_parser parser;
	struct buf text; /* names and values, each NUL-terminated */
	size_t at[HEADERS_MAX * 2];
	size_t count; /* of names and values */
	bool in_value, head, complete;
	struct buf body;
	void (*ended)(void *arg, const struct net_answer *answer, const struct error *e);
	void *arg;
};

static int begin_text(struct net_fetch *f)
{
	if (f->count == HEADERS_MAX * 2)
		return -1;
	if (f->count)
		buf_add(&f->text, "", 1);
	f->at[f->count++] = f->text.len;
	return 0;
}

static int on_field(http_parser *parser, const char *at, size_t len)
{
	struct net_fetch *f = parser->data;
	if ((f->in_value || !f->count) && begin_text(f))
		return -1;
	f->in_value = false;
	size_t from = f->text.len;
	if (buf_add(&f->text, at, len))
		return -1;
	for (size_t i = from; i < f->text.len; i++)
		f->text.data[i] = (char)tolower((unsigned char)f->text.data[i]);
	return 0;
}

static int on_value(http_parser *parser, const char *at, size_t len)
{
	struct net_fetch *f = parser->data;
	if (!f->in_value && begin_text(f))
		return -1;
	f->in_value = true;
	return buf_add(&f->text, at, len);
}

static int on_headers(http_parser *parser)
{
	struct net_fetch *f = parser->data;
	if (parser->status_code == 100) {
		f->count = f->text.len = 0;
		f->in_value = false;
	}
	return f->head ? 1 : 0;
}

static int on_body(http_parser *parser, const char *at, size_t len)
{
	struct net_fetch *f = parser->data;
	return f->body.len + len > ANSWER_MAX ? -1 : buf_add(&f->body, at, len);
}

static int on_complete(http_parser *parser)
{
	struct net_fetch *f = parser->data;
	f->complete = parser->status_code != 100;
	return 0;
}

static const http_parser_settings settings = {
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_headers,
	.on_body = on_body,
	.on_message_complete = on_complete,
};

static void on_read(struct stream *s, const char *bytes, ssize_t n)
{
	struct net_fetch *f = (struct net_fetch *)s;
	size_t len = n > 0 ? (size_t)n : 0;
	size_t used = f->complete ? len : http_parser_execute(&f->parser, &settings, bytes, len);
	if (f->complete)
		dial_close(&f->dial);
	else if (n < 0)
		dial_fail(&f->dial, ERROR_SERVER, "%s:%s closed the connection before it answered", f->dial.host,
			  f->dial.port);
	else if (used != len)
		dial_fail(&f->dial, ERROR_SERVER, "%s:%s answered no HTTP: %s", f->dial.host, f->dial.port,
			  http_errno_description(HTTP_PARSER_ERRNO(&f->parser)));
}

static void on_connected(struct dial *d)
{
	stream_flush(&d->stream);
}

static void on_closed(struct dial *d)
{
	struct net_fetch *f = (struct net_fetch *)d;
	const char *headers[HEADERS_MAX * 2];
	buf_add(&f->text, "", 1);
	for (size_t i = 0; i < f->count; i++)
		headers[i] = f->text.data + f->at[i];
	struct net_answer answer = {(int)f->parser.status_code, headers, f->count / 2, f->body.data ? f->body.data : "",
				    f->body.len};
	if (f->ended)
		f->ended(f->arg, f->complete ? &answer : NULL, f->complete ? NULL : &d->error);
	buf_free(&f->text);
	buf_free(&f->body);
	free(f);
}

struct net_fetch *net_fetch(uv_loop_t *loop, const char *method, const char *url, const struct net_header *headers,
			    size_t count, const char *body, size_t len, uint64_t timeout_ms,
			    void (*ended)(void *arg, const struct net_answer *answer, const struct error *e), void *arg,
			    struct error *e)
{
	struct net_fetch *f = xcalloc(1, sizeof *f);
	struct buf *out = &f->dial.stream.out;
	f->ended = ended;
	f->arg = arg;
	f->head = strcmp(method, "HEAD") == 0;
	f->dial.on_connected = on_connected;
	f->dial.on_closed = on_closed;
	f->dial.stream.on_read = on_read;
	http_parser_init(&f->parser, HTTP_RESPONSE);
	f->parser.data = f;
	if (dial_start(&f->dial, loop, "http", url, timeout_ms, e)) {
		free(f);
		return NULL;
	}
	buf_printf(out, "%s %s HTTP/1.1\r\nHost: %s:%s\r\nConnection: close\r\n", method, f->dial.path, f->dial.host,
		   f->dial.port);
	for (size_t i = 0; i < count; i++)
		if (!strpbrk(headers[i].name, "\r\n") && !strpbrk(headers[i].value, "\r\n"))
			buf_printf(out, "%s: %s\r\n", headers[i].name, headers[i].value);
	if (len || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0)
		buf_printf(out, "Content-Length: %zu\r\n", len);
	buf_add_str(out, "\r\n");
	buf_add(out, body, len);
	return f;
}

void net_fetch_cancel(struct net_fetch *f)
{
	f->ended = NULL;
	dial_close(&f->dial);
}
