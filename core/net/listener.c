/* SPDX-License-Identifier: MIT */
#include "net/listener.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SWEEP_MS = 250, ACCEPTS_A_TURN = 64, BACKLOG = 4096, HEADER_SIZE_MAX = 60 * 1024 };

static void set_default(size_t *limit, size_t value)
{
	if (*limit == 0)
		*limit = value;
}

static void set_default_ms(uint64_t *limit, uint64_t value)
{
	if (*limit == 0)
		*limit = value;
}

static void fill_limits(struct net_limits *limits)
{
	set_default(&limits->connections, 10000);
	set_default(&limits->header_size, 16 * 1024);
	set_default(&limits->body_size, 1024 * 1024);
	set_default(&limits->message_size, 1024 * 1024);
	set_default(&limits->send_queue, 4 * 1024 * 1024);
	set_default(&limits->answer_size, 1024 * 1024);
	set_default(&limits->pipelined, 16);
	set_default(&limits->messages, 64);
	set_default_ms(&limits->header_ms, 5000);
	set_default_ms(&limits->body_ms, 30000);
	set_default_ms(&limits->idle_ms, 75000);
	set_default_ms(&limits->write_ms, 30000);
	set_default_ms(&limits->ping_ms, 30000);
	if (limits->header_size > HEADER_SIZE_MAX)
		limits->header_size = HEADER_SIZE_MAX;
}

static void copy_config(struct net_config *to, const struct net_config *from)
{
	*to = *from;
	to->host = xstrdup(from->host ? from->host : "127.0.0.1");
	struct net_websocket *paths = xcalloc(from->websocket_count, sizeof *paths);
	for (size_t i = 0; i < from->websocket_count; i++) {
		paths[i] = from->websockets[i];
		paths[i].path = xstrdup(paths[i].path);
		paths[i].protocol = paths[i].protocol ? xstrdup(paths[i].protocol) : NULL;
	}
	to->websockets = paths;
	const char **origins = xcalloc(from->origin_count, sizeof *origins);
	for (size_t i = 0; i < from->origin_count; i++)
		origins[i] = xstrdup(from->origins[i]);
	to->origins = origins;
	fill_limits(&to->limits);
}

static void free_config(struct net_config *config)
{
	for (size_t i = 0; i < config->websocket_count; i++) {
		free((void *)config->websockets[i].path);
		free((void *)config->websockets[i].protocol);
	}
	for (size_t i = 0; i < config->origin_count; i++)
		free((void *)config->origins[i]);
	free((void *)config->websockets);
	free((void *)config->origins);
	free((void *)config->host);
}

static void free_listener(struct net_listener *l)
{
	free_config(&l->config);
	free(l);
}

void listener_forget(struct net_listener *l)
{
	if (l->closed && !l->requests)
		free_listener(l);
}

static int parse_address(const char *host, int port, struct sockaddr_storage *address)
{
	if (strcmp(host, "localhost") == 0)
		host = "127.0.0.1";
	if (strchr(host, ':'))
		return uv_ip6_addr(host, port, (struct sockaddr_in6 *)address);
	return uv_ip4_addr(host, port, (struct sockaddr_in *)address);
}

static void port_and_peer(const struct sockaddr_storage *address, int *port, char *peer, size_t size)
{
	if (address->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
		*port = ntohs(in6->sin6_port);
		uv_ip6_name(in6, peer, size);
	} else {
		const struct sockaddr_in *in = (const struct sockaddr_in *)address;
		*port = ntohs(in->sin_port);
		uv_ip4_name(in, peer, size);
	}
}

static int bind_socket(const char *host, int port, int *bound, struct error *e)
{
	struct sockaddr_storage address = {0};
	char name[INET6_ADDRSTRLEN];
	int on = 1;
	if (parse_address(host, port, &address))
		return error_set(e, ERROR_ARGUMENT, "cannot listen on \"%s\": give a numeric address or localhost",
				 host);
	socklen_t len = address.ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(e, ERROR_SERVER, "cannot make a socket for %s:%d: %s", host, port, strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&address, len) || listen(fd, BACKLOG) ||
	    getsockname(fd, (struct sockaddr *)&address, &len)) {
		error_set(e, ERROR_SERVER, "cannot listen on %s:%d: %s", host, port, strerror(errno));
		close(fd);
		return -1;
	}
	port_and_peer(&address, bound, name, sizeof name);
	return fd;
}

static void on_connection(uv_poll_t *poll, int status, int events);

static void update_accepting(struct net_listener *l)
{
	bool on = !l->paused && !l->closing && !l->short_of_files;
	if (on == l->accepting)
		return;
	l->accepting = on;
	if (on)
		uv_poll_start(&l->poll, UV_READABLE, on_connection);
	else
		uv_poll_stop(&l->poll);
}

static void on_sweep(uv_timer_t *timer)
{
	struct net_listener *l = timer->data;
	l->short_of_files = false;
	update_accepting(l);
	http_sweep(l, uv_now(l->loop));
	if (!websocket_sweep(l, uv_now(l->loop)) && !l->connection_count)
		uv_timer_stop(timer);
}

void listener_sweep_later(struct net_listener *l)
{
	if (!uv_is_active((uv_handle_t *)&l->sweep) && !uv_is_closing((uv_handle_t *)&l->sweep))
		uv_timer_start(&l->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
}

static bool somebody_waits(const struct net_listener *l)
{
	struct pollfd p = {.fd = l->fd, .events = POLLIN};
	return poll(&p, 1, 0) > 0;
}

static bool is_full(const struct net_listener *l)
{
	return l->connection_count - l->ending + l->websocket_count >= l->config.limits.connections;
}

/* One that can't be had now is asked for again by the sweep, not at once: the socket stays readable. */
static void back_off(struct net_listener *l)
{
	l->short_of_files = true;
	update_accepting(l);
	listener_sweep_later(l);
}

/* A connection that only waits goes for one that comes; if none does, that one stays in the kernel's queue. */
static bool make_room(struct net_listener *l)
{
	if (!somebody_waits(l))
		return false;
	if (http_evict(l))
		return true;
	back_off(l);
	return false;
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct net_listener *l = poll->data;
	(void)status;
	(void)events;
	for (int i = 0; i < ACCEPTS_A_TURN && l->accepting; i++) {
		struct sockaddr_storage address = {0};
		socklen_t len = sizeof address;
		char peer[INET6_ADDRSTRLEN] = "";
		int port;
		if (is_full(l) && !make_room(l))
			return;
		int fd = accept4(l->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
				back_off(l);
			if (errno == ECONNABORTED || errno == EINTR)
				continue;
			return;
		}
		port_and_peer(&address, &port, peer, sizeof peer);
		http_accept(l, fd, peer);
		listener_sweep_later(l);
	}
}

static void on_flush(uv_prepare_t *prepare)
{
	struct net_listener *l = prepare->data;
	http_flush(l);
	websocket_flush(l);
	if (l->dirty || l->lost)
		return; /* again, after the sockets were looked at */
	uv_prepare_stop(&l->flush);
	uv_idle_stop(&l->awake);
}

static void no_op(uv_idle_t *idle)
{
	(void)idle;
}

/* The idle handle keeps the loop from waiting if the time to prepare is over already in this turn. */
void listener_flush_later(struct net_listener *l)
{
	if (uv_is_active((uv_handle_t *)&l->flush) || uv_is_closing((uv_handle_t *)&l->flush))
		return;
	uv_prepare_start(&l->flush, on_flush);
	uv_idle_start(&l->awake, no_op);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct net_listener *l = handle->data;
	if (--l->open_handles)
		return;
	while (l->pool) {
		struct net_request *req = l->pool;
		l->pool = req->next;
		request_delete(req);
	}
	void (*done)(void *arg) = l->done;
	void *arg = l->done_arg;
	l->closed = true;
	listener_forget(l);
	if (done)
		done(arg);
}

static void close_handles(struct net_listener *l)
{
	uv_handle_t *handles[] = {(uv_handle_t *)&l->poll,  (uv_handle_t *)&l->sweep,    (uv_handle_t *)&l->flush,
				  (uv_handle_t *)&l->awake, (uv_handle_t *)&l->stopping, (uv_handle_t *)&l->grace};
	for (size_t i = 0; i < sizeof handles / sizeof handles[0]; i++)
		if (!uv_is_closing(handles[i]))
			uv_close(handles[i], on_handle_closed);
}

static void init_handles(struct net_listener *l)
{
	uv_poll_init(l->loop, &l->poll, l->fd);
	uv_timer_init(l->loop, &l->sweep);
	uv_prepare_init(l->loop, &l->flush);
	uv_idle_init(l->loop, &l->awake);
	uv_idle_init(l->loop, &l->stopping);
	uv_timer_init(l->loop, &l->grace);
	l->poll.data = l->sweep.data = l->flush.data = l->awake.data = l->stopping.data = l->grace.data = l;
	l->open_handles = 6;
}

struct net_listener *net_listen(uv_loop_t *loop, const struct net_config *config, struct error *e)
{
	struct net_listener *l = xcalloc(1, sizeof *l);
	l->loop = loop;
	copy_config(&l->config, config);
	l->fd = bind_socket(l->config.host, config->port, &l->port, e);
	if (l->fd < 0)
		goto failed;
	if (config->websocket_count && !(l->websockets = websocket_open(l, e))) {
		close(l->fd);
		goto failed;
	}
	init_handles(l);
	update_accepting(l);
	return l;
failed:
	free_listener(l);
	return NULL;
}

void net_forget_log(struct net_listener *l)
{
	if (l->websockets)
		websocket_forget_log(l);
}

int net_port(const struct net_listener *l)
{
	return l->port;
}

void net_pause(struct net_listener *l, bool pause)
{
	l->paused = pause;
	update_accepting(l);
}

size_t net_too_large(const struct net_listener *l)
{
	return l->too_large;
}

void net_counts(const struct net_listener *l, size_t *connections, size_t *websockets)
{
	*connections = l->connection_count;
	*websockets = l->websocket_count;
}

/* libwebsockets ends in two calls with turns of the loop between them, for its handles to close. */
enum { STEP_WAIT, STEP_FIRST, STEP_SECOND = 6 };

static void finish(struct net_listener *l)
{
	void (*done)(void *arg) = l->done;
	l->done = NULL;
	if (done)
		done(l->done_arg);
}

static void on_stopping(uv_idle_t *idle)
{
	struct net_listener *l = idle->data;
	if (l->step == STEP_WAIT && (l->connection_count || l->lost || (l->websocket_count && !l->forced))) {
		uv_idle_stop(idle);
		return;
	}
	if (l->held) {
		uv_idle_stop(idle);
		finish(l);
		return;
	}
	l->step++;
	if (l->step == STEP_FIRST && l->websockets)
		websocket_destroy(l);
	if (l->step < STEP_SECOND)
		return;
	if (l->websockets)
		websocket_free(l);
	close_handles(l);
}

void listener_released(struct net_listener *l)
{
	if (l->closing && l->step == STEP_WAIT)
		uv_idle_start(&l->stopping, on_stopping);
	l->short_of_files = false;
	if (!l->closing)
		update_accepting(l);
}

static void on_grace(uv_timer_t *timer)
{
	struct net_listener *l = timer->data;
	l->forced = true;
	http_cut(l);
	listener_released(l);
}

static void begin_stop(struct net_listener *l, uint64_t grace_ms)
{
	l->closing = true;
	update_accepting(l);
	uv_close((uv_handle_t *)&l->poll, on_handle_closed);
	close(l->fd);
	uv_timer_start(&l->grace, on_grace, grace_ms, 0);
	http_drain(l);
	if (l->websockets)
		websocket_drain(l);
}

void net_drain(struct net_listener *l, uint64_t grace_ms, void (*drained)(void *arg), void *arg)
{
	if (l->closing)
		return;
	l->held = true;
	l->done = drained;
	l->done_arg = arg;
	begin_stop(l, grace_ms);
	listener_released(l);
}

void net_close(struct net_listener *l, uint64_t grace_ms, void (*done)(void *arg), void *arg)
{
	if (l->closing && !l->held)
		return;
	bool begun = l->closing;
	l->held = false;
	l->done = done;
	l->done_arg = arg;
	if (!begun)
		begin_stop(l, grace_ms);
	listener_released(l);
}
