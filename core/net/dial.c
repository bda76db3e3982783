/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/client.h"

static void on_handle_closed(uv_handle_t *handle)
{
	struct dial *d = handle->data;
	if (--d->open_handles || d->looking)
		return;
	free(d->stream.scratch);
	free(d->host);
	free(d->path);
	d->on_closed(d);
}

static void on_stream_closed(struct stream *s)
{
	on_handle_closed((uv_handle_t *)&s->tcp);
}

void dial_close(struct dial *d)
{
	if (d->closing)
		return;
	d->closing = true;
	if (d->looking)
		uv_cancel((uv_req_t *)&d->lookup);
	stream_close(&d->stream);
	uv_close((uv_handle_t *)&d->timer, on_handle_closed);
}

void dial_fail(struct dial *d, int code, const char *format, ...)
{
	char message[ERROR_MESSAGE_SIZE];
	va_list args;
	va_start(args, format);
	vsnprintf(message, sizeof message, format, args);
	va_end(args);
	if (!d->error.code && !d->closing)
		error_set(&d->error, code, "%s", message);
	dial_close(d);
}

void dial_stop_timer(struct dial *d)
{
	if (!d->closing)
		uv_timer_stop(&d->timer);
}

static void on_time(uv_timer_t *timer)
{
	struct dial *d = timer->data;
	dial_fail(d, ERROR_SERVER, "no answer from %s:%s in time", d->host, d->port);
}

static void on_connect(uv_connect_t *req, int status)
{
	struct dial *d = req->data;
	if (d->closing)
		return;
	if (status) {
		dial_fail(d, ERROR_SERVER, "cannot connect to %s:%s: %s", d->host, d->port, uv_strerror(status));
		return;
	}
	d->connected = true;
	uv_tcp_nodelay(&d->stream.tcp, 1);
	d->on_connected(d);
	stream_read(&d->stream, true);
}

static void on_address(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
	struct dial *d = req->data;
	d->looking = false;
	if (d->closing) {
		d->open_handles++;
		on_handle_closed((uv_handle_t *)&d->timer);
	} else if (status) {
		dial_fail(d, ERROR_SERVER, "cannot find %s: %s", d->host, uv_strerror(status));
	} else {
		d->connect.data = d;
		int rc = uv_tcp_connect(&d->connect, &d->stream.tcp, found->ai_addr, on_connect);
		if (rc)
			dial_fail(d, ERROR_SERVER, "cannot connect to %s:%s: %s", d->host, d->port, uv_strerror(rc));
	}
	uv_freeaddrinfo(found);
}

/* scheme://host[:port][/path]; [::1] for IPv6. */
static int split_url(struct dial *d, const char *scheme, const char *url)
{
	size_t n = strlen(scheme);
	if (strncmp(url, scheme, n) != 0 || strncmp(url + n, "://", 3) != 0)
		return -1;
	const char *host = url + n + 3, *end = host + strcspn(host, "/?#"), *host_end = end;
	if (*host == '[') {
		host_end = memchr(host, ']', (size_t)(end - host));
		if (!host_end)
			return -1;
		host++;
	} else if (memchr(host, ':', (size_t)(end - host))) {
		host_end = memchr(host, ':', (size_t)(end - host));
	}
	const char *port = *host_end == ']' ? host_end + 1 : host_end;
	size_t port_len = port < end ? (size_t)(end - port - 1) : 0;
	if (host == host_end || port_len > 5 ||
	    (port < end && (*port != ':' || strspn(port + 1, "0123456789") < port_len)))
		return -1;
	snprintf(d->port, sizeof d->port, "%.*s", port_len ? (int)port_len : 2, port_len ? port + 1 : "80");
	d->host = strndup(host, (size_t)(host_end - host));
	size_t path_len = strcspn(end, "#") + 2;
	d->path = xmalloc(path_len);
	snprintf(d->path, path_len, "%s%.*s", *end == '/' ? "" : "/", (int)strcspn(end, "#"), end);
	return d->host && !strpbrk(d->path, " \r\n") ? 0 : -1;
}

int dial_start(struct dial *d, uv_loop_t *loop, const char *scheme, const char *url, uint64_t timeout_ms,
	       struct error *e)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	if (split_url(d, scheme, url)) {
		free(d->host);
		free(d->path);
		return error_set(e, ERROR_ARGUMENT, "cannot use \"%s\": expected %s://host:port/path", url, scheme);
	}
	d->stream.scratch = xmalloc(STREAM_SCRATCH);
	d->stream.on_closed = on_stream_closed;
	uv_tcp_init(loop, &d->stream.tcp);
	uv_timer_init(loop, &d->timer);
	d->stream.tcp.data = d->timer.data = d->lookup.data = d;
	d->open_handles = 2;
	if (timeout_ms)
		uv_timer_start(&d->timer, on_time, timeout_ms, 0);
	d->looking = uv_getaddrinfo(loop, &d->lookup, on_address, d->host, d->port, &hints) == 0;
	if (!d->looking)
		dial_fail(d, ERROR_SERVER, "cannot look up %s", d->host);
	return 0;
}
