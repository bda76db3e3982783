/* SPDX-License-Identifier: MIT
 *
 * A connection to a server of the URL, as libmongoc makes it by itself, by its public functions only: TCP or a socket in the
 * file system, TLS if the URL says so. All of it within the time that is given, but for the look-up of the host's name.
 */
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "docdb/mongo.h"

/* Larger than libmongoc's own: an answer of 100 documents comes in two reads instead of many. */
enum { BUFFER = 16 << 10 };

static int fail(bson_error_t *e, uint32_t code, const char *why, const mongoc_host_list_t *host)
{
	bson_set_error(e, MONGOC_ERROR_STREAM, code, "%s %s", why, host->host_and_port);
	return -1;
}

static mongoc_socket_t *connect_to(const struct sockaddr *to, size_t len, int family, int type, int protocol,
				   int64_t end)
{
	mongoc_socket_t *s = mongoc_socket_new(family, type, protocol);
	if (s && mongoc_socket_connect(s, to, (mongoc_socklen_t)len, end) == 0)
		return s;
	if (s)
		mongoc_socket_destroy(s);
	return NULL;
}

static mongoc_socket_t *connect_tcp(const mongoc_host_list_t *host, int64_t end, bson_error_t *e)
{
	const struct addrinfo wanted = {.ai_family = host->family, .ai_socktype = SOCK_STREAM};
	struct addrinfo *all;
	mongoc_socket_t *s = NULL;
	char port[8];
	snprintf(port, sizeof port, "%u", (unsigned)host->port);
	if (getaddrinfo(host->host, port, &wanted, &all)) {
		fail(e, MONGOC_ERROR_STREAM_NAME_RESOLUTION, "no such host:", host);
		return NULL;
	}
	for (const struct addrinfo *one = all; one && !s; one = one->ai_next)
		s = connect_to(one->ai_addr, one->ai_addrlen, one->ai_family, one->ai_socktype, one->ai_protocol, end);
	freeaddrinfo(all);
	if (!s)
		fail(e, MONGOC_ERROR_STREAM_CONNECT, "can't connect to", host);
	return s;
}

static mongoc_socket_t *connect_unix(const mongoc_host_list_t *host, int64_t end, bson_error_t *e)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	mongoc_socket_t *s = NULL;
	if (strlen(host->host) < sizeof to.sun_path) {
		memcpy(to.sun_path, host->host, strlen(host->host));
		s = connect_to((const struct sockaddr *)&to, sizeof to, AF_UNIX, SOCK_STREAM, 0, end);
	}
	if (!s)
		fail(e, MONGOC_ERROR_STREAM_CONNECT, "can't connect to", host);
	return s;
}

static bool wants_tls(const mongoc_uri_t *uri)
{
	const char *mechanism = mongoc_uri_get_auth_mechanism(uri);
	return mongoc_uri_get_tls(uri) || (mechanism && strcmp(mechanism, "MONGODB-X509") == 0);
}

/* Owns `base`. Its waits are those of the handshake only: see mongo_wire.c. */
static mongoc_stream_t *add_tls(mongoc_stream_t *base, const mongoc_uri_t *uri, const mongoc_host_list_t *host,
				int32_t ms, bson_error_t *e)
{
#ifdef MONGOC_ENABLE_SSL
	const bool insecure = mongoc_uri_get_option_as_bool(uri, MONGOC_URI_TLSINSECURE, false);
	mongoc_ssl_opt_t o = *mongoc_ssl_opt_get_default();
	o.pem_file = mongoc_uri_get_option_as_utf8(uri, MONGOC_URI_TLSCERTIFICATEKEYFILE, NULL);
	o.pem_pwd = mongoc_uri_get_option_as_utf8(uri, MONGOC_URI_TLSCERTIFICATEKEYFILEPASSWORD, NULL);
	o.ca_file = mongoc_uri_get_option_as_utf8(uri, MONGOC_URI_TLSCAFILE, o.ca_file);
	o.weak_cert_validation = mongoc_uri_get_option_as_bool(uri, MONGOC_URI_TLSALLOWINVALIDCERTIFICATES, insecure);
	o.allow_invalid_hostname = mongoc_uri_get_option_as_bool(uri, MONGOC_URI_TLSALLOWINVALIDHOSTNAMES, insecure);
	mongoc_stream_t *tls = ms > 0 ? mongoc_stream_tls_new_with_hostname(base, host->host, &o, 1) : NULL;
	if (tls && mongoc_stream_tls_handshake_block(tls, host->host, ms, e))
		return tls;
	if (!tls)
		fail(e, MONGOC_ERROR_STREAM_SOCKET, "can't begin TLS with", host);
	mongoc_stream_destroy(tls ? tls : base);
#else
	(void)uri, (void)ms;
	fail(e, MONGOC_ERROR_STREAM_SOCKET, "this libmongoc has no TLS, for", host);
	mongoc_stream_destroy(base);
#endif
	return NULL;
}

mongoc_stream_t *mongo_connect(const mongoc_uri_t *uri, const mongoc_host_list_t *host, int32_t ms, bson_error_t *e)
{
	const int64_t end = bson_get_monotonic_time() + (int64_t)ms * 1000;
	mongoc_socket_t *socket = host->family == AF_UNIX ? connect_unix(host, end, e) : connect_tcp(host, end, e);
	mongoc_stream_t *stream = socket ? mongoc_stream_socket_new(socket) : NULL;
	if (stream && wants_tls(uri))
		stream = add_tls(stream, uri, host, (int32_t)((end - bson_get_monotonic_time()) / 1000), e);
	return stream ? mongoc_stream_buffered_new(stream, BUFFER) : NULL;
}
