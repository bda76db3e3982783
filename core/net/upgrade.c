/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "net/listener.h"

/* Is `token` one of the comma-separated words of `list`? */
static bool lists(const char *list, const char *token)
{
	size_t len = strlen(token);
	while (list && *list) {
		list += strspn(list, " \t,");
		size_t n = strcspn(list, " \t,");
		if (n == len && strncasecmp(list, token, n) == 0)
			return true;
		list += n;
	}
	return false;
}

static bool good_key(const char *key)
{
	static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	return key && strlen(key) == 24 && strspn(key, base64) == 22 && strcmp(key + 22, "==") == 0;
}

/* A page of another site may not open a socket with what the browser knows of this one. */
static bool good_origin(const struct net_listener *l, const struct net_request *req)
{
	const char *origin = net_request_header(req, "Origin"), *host = net_request_header(req, "Host");
	if (!origin)
		return true;
	for (size_t i = 0; i < l->config.origin_count; i++)
		if (strcmp(l->config.origins[i], "*") == 0 || strcasecmp(l->config.origins[i], origin) == 0)
			return true;
	const char *at = strstr(origin, "://");
	return at && host && strcasecmp(at + 3, host) == 0;
}

static const struct net_websocket *find_path(const struct net_listener *l, const struct net_request *req)
{
	const char *url = net_request_url(req);
	size_t len = strcspn(url, "?");
	for (size_t i = 0; i < l->config.websocket_count; i++) {
		const struct net_websocket *w = &l->config.websockets[i];
		if (strlen(w->path) == len && strncmp(w->path, url, len) == 0)
			return w;
	}
	return NULL;
}

int upgrade_check(const struct net_listener *l, const struct net_request *req, const struct net_websocket **path,
		  const char **why)
{
	const char *version = net_request_header(req, "Sec-WebSocket-Version");
	*path = find_path(l, req);
	if (!*path)
		return *why = "no WebSocket at this path", 404;
	if (strcmp(req->method, "GET") != 0 || req->old_version || req->body.len)
		return *why = "a WebSocket begins with GET, HTTP/1.1, without a body", 400;
	if (!version || strcmp(version, "13") != 0)
		return *why = "the WebSocket version is 13", 426;
	if (!good_key(net_request_header(req, "Sec-WebSocket-Key")))
		return *why = "Sec-WebSocket-Key is missing or not 16 bytes in base64", 400;
	if (!good_origin(l, req))
		return *why = "this Origin may not connect", 403;
	if ((*path)->protocol && !lists(net_request_header(req, "Sec-WebSocket-Protocol"), (*path)->protocol))
		return *why = "the client must offer the WebSocket subprotocol of this path", 400;
	if (l->closing)
		return *why = "the server is stopping", 503;
	return 0;
}

int upgrade_handshake(const struct net_request *req, const struct net_websocket *path, struct buf *out)
{
	int rc = buf_printf(out,
			    "GET / HTTP/1.1\r\nHost: srvthreds\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
			    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n",
			    net_request_header(req, "Sec-WebSocket-Key"));
	if (rc == 0 && path->protocol)
		rc = buf_printf(out, "Sec-WebSocket-Protocol: %s\r\n", path->protocol);
	return rc == 0 ? buf_add_str(out, "\r\n") : rc;
}
