/* SPDX-License-Identifier: MIT
 *
 * The WebSocket side of a listener: libwebsockets on the same loop gets sockets whose handshake was checked already.
 * It parses frames, answers pings and closes; messages are put together and queued here.
 */
#include <errno.h>
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "net/listener.h"
#include "net/websocket_log.h"

/* Its tables hold an entry for each descriptor the process might have. */
enum {
	FILES = 32768,
	RECEIVE_SIZE = 4096,
	WRITE_SIZE = 65536,
	SERVICE_SIZE = 32768,
	CLOSE_MS = 5000,
	CLOSE_SIZE = 125
};
enum { OPCODE_TEXT = 1, OPCODE_CLOSE = 8 };

struct websocket_side {
	struct lws_context *context;
	struct lws_vhost *vhost;
	struct lws_protocols *protocols; /* one for each subprotocol; the first for none */
	lws_retry_bo_t idle_policy;
	struct net_ws *open;     /* list of all */
	struct net_ws *dirty;    /* those with something to send at the end of this turn */
	bool logs;               /* its log is joined */
	size_t closing;          /* how many have a deadline */
	struct net_ws *adopting; /* until libwebsockets has made its own of it */
};

struct net_ws {
	struct net_listener *listener;
	struct net_ws *prev, *next, *next_dirty;
	struct lws *wsi;
	const struct net_websocket *path;
	struct net_request *handshake; /* until open was called */
	struct buf in;                 /* the message so far */
	struct buf out;                /* whole frames to send; those before out_at are sent */
	size_t out_at;
	int close_code;    /* 0: open */
	uint64_t deadline; /* of the peer's answer to it, loop time */
	int peer_code;
	bool opened, paused, dirty, gone;
	void *data;
	char peer[INET6_ADDRSTRLEN];
};

/* What is queued leaves at the end of the turn, all together, without asking first whether the socket is writable. */
static void touch(struct net_ws *ws)
{
	struct websocket_side *side = ws->listener->websockets;
	if (ws->dirty)
		return;
	ws->dirty = true;
	ws->next_dirty = side->dirty;
	side->dirty = ws;
	listener_flush_later(ws->listener);
}

/* Appends one whole frame to the queue. */
static int queue_frame(struct net_ws *ws, unsigned opcode, const char *bytes, size_t len)
{
	unsigned char head[10] = {(unsigned char)(0x80 | opcode)};
	size_t head_len = len < 126 ? 2 : len < 65536 ? 4 : 10;
	head[1] = (unsigned char)(len < 126 ? len : len < 65536 ? 126 : 127);
	for (size_t i = head_len - 1, n = len; i >= 2; i--, n >>= 8)
		head[i] = (unsigned char)n;
	if (buf_reserve(&ws->out, head_len + len))
		return -1;
	buf_add(&ws->out, head, head_len);
	buf_add(&ws->out, bytes, len);
	touch(ws);
	return 0;
}

long net_ws_send(struct net_ws *ws, const char *bytes, size_t len)
{
	if (ws->close_code || !ws->wsi)
		return -1;
	if (ws->out.len - ws->out_at + len > ws->listener->config.limits.send_queue) {
		ws->out_at = ws->out.len = 0;
		net_ws_close(ws, 1013, "the client reads too slowly");
		return -1;
	}
	if (queue_frame(ws, OPCODE_TEXT, bytes, len))
		return -1;
	return (long)(ws->out.len - ws->out_at);
}

size_t net_ws_queued(const struct net_ws *ws)
{
	return ws->out.len - ws->out_at;
}

/* Whoever isn't read can't be heard to answer: that is no reason to hang up. */
static void trust_while_paused(struct net_ws *ws)
{
	lws_validity_confirmed(ws->wsi);
	lws_set_timer_usecs(ws->wsi, ws->paused ? (lws_usec_t)ws->listener->config.limits.ping_ms * 1000 / 2
						: LWS_SET_TIMER_USEC_CANCEL);
}

void net_ws_pause(struct net_ws *ws, bool pause)
{
	if (ws->paused == pause || !ws->wsi || ws->close_code)
		return;
	ws->paused = pause;
	lws_rx_flow_control(ws->wsi, pause ? 0 : 1);
	trust_while_paused(ws);
	if (!pause)
		lws_callback_on_writable(ws->wsi); /* what was read before is only looked at after an event */
}

/* The peer has CLOSE_MS ms to answer, or to read at all. */
void net_ws_close(struct net_ws *ws, int code, const char *reason)
{
	char bytes[CLOSE_SIZE] = {(char)(code >> 8), (char)code};
	if (ws->close_code || !ws->wsi)
		return;
	net_ws_pause(ws, false);
	ws->close_code = code;
	snprintf(bytes + 2, sizeof bytes - 2, "%s", reason ? reason : "");
	queue_frame(ws, OPCODE_CLOSE, bytes, 2 + strlen(bytes + 2));
	ws->deadline = uv_now(ws->listener->loop) + CLOSE_MS;
	ws->listener->websockets->closing++;
	listener_sweep_later(ws->listener);
}

void *net_ws_data(const struct net_ws *ws)
{
	return ws->data;
}

void net_ws_set_data(struct net_ws *ws, void *data)
{
	ws->data = data;
}

const char *net_ws_peer(const struct net_ws *ws)
{
	return ws->peer;
}

const struct net_websocket *net_ws_path(const struct net_ws *ws)
{
	return ws->path;
}

const struct net_limits *net_ws_limits(const struct net_ws *ws)
{
	return &ws->listener->config.limits;
}

static void forget(struct net_ws *ws)
{
	struct net_listener *l = ws->listener;
	free(ws);
	l->websocket_count--;
	listener_released(l);
}

static void release(struct net_ws *ws)
{
	struct net_listener *l = ws->listener;
	if (ws->opened) {
		ws->wsi = NULL;
		ws->opened = false;
		ws->path->close(ws, ws->close_code ? ws->close_code : ws->peer_code ? ws->peer_code : 1006);
	}
	if (ws->handshake)
		net_request_free(ws->handshake);
	DL_DELETE(l->websockets->open, ws);
	buf_free(&ws->in);
	buf_free(&ws->out);
	l->websockets->closing -= ws->close_code != 0;
	ws->gone = true;
	ws->wsi = NULL;
	if (!ws->dirty)
		forget(ws);
}

static void opened(struct net_ws *ws)
{
	struct net_request *req = ws->handshake;
	ws->handshake = NULL;
	ws->opened = true;
	ws->path->open(ws->path->arg, ws, req);
}

/* Puts the message together; false: it is not whole yet, or the connection is closing. */
static bool collect(struct net_ws *ws, const char **bytes, size_t *len)
{
	size_t limit = ws->listener->config.limits.message_size, rest = lws_remaining_packet_payload(ws->wsi);
	bool last = rest == 0 && lws_is_final_fragment(ws->wsi);
	if (ws->in.len + *len + rest > limit) {
		net_ws_close(ws, 1009, "the message is too large");
		return false;
	}
	if (!ws->in.len && last)
		return true;
	if (buf_add(&ws->in, *bytes, *len)) {
		net_ws_close(ws, 1011, "no memory for the message");
		return false;
	}
	*bytes = ws->in.data;
	*len = ws->in.len;
	return last;
}

static void received(struct net_ws *ws, const char *bytes, size_t len)
{
	bool binary = lws_frame_is_binary(ws->wsi);
	if (ws->close_code || !collect(ws, &bytes, &len))
		return;
	if (binary || utf8_valid(bytes, len, NULL))
		ws->path->message(ws, bytes, len, binary);
	else
		net_ws_close(ws, 1007, "the text is not UTF-8");
	if (ws->in.cap > RECEIVE_SIZE)
		buf_free(&ws->in);
	else
		buf_clear(&ws->in);
}

/* How many of the queued bytes to hand over: whole frames, because pings and pongs may come between two calls. */
static size_t batch_size(const struct net_ws *ws)
{
	size_t at = ws->out_at;
	while (at < ws->out.len) {
		const unsigned char *head = (const unsigned char *)ws->out.data + at;
		size_t len = head[1], extra = len == 126 ? 2 : len == 127 ? 8 : 0;
		if (extra)
			len = 0;
		for (size_t i = 0; i < extra; i++)
			len = len << 8 | head[2 + i];
		len += 2 + extra;
		if (at > ws->out_at && at + len - ws->out_at > WRITE_SIZE)
			break;
		at += len;
	}
	return at - ws->out_at;
}

static void forget_sent(struct net_ws *ws)
{
	if (ws->out_at < WRITE_SIZE || ws->out_at < ws->out.len / 2)
		return;
	memmove(ws->out.data, ws->out.data + ws->out_at, ws->out.len - ws->out_at);
	ws->out.len -= ws->out_at;
	ws->out_at = 0;
}

/* Frames are made by net_ws_send, so that many leave with one call: to libwebsockets they are just bytes. What the
 * socket doesn't take it keeps, and tells when it is gone. */
static int send_queued(struct net_ws *ws)
{
	while (ws->out_at < ws->out.len && !lws_partial_buffered(ws->wsi)) {
		size_t n = batch_size(ws);
		if (lws_write(ws->wsi, (unsigned char *)ws->out.data + ws->out_at, n, LWS_WRITE_HTTP) < 0)
			return -1;
		ws->out_at += n;
	}
	if (ws->out_at < ws->out.len) {
		forget_sent(ws);
		lws_callback_on_writable(ws->wsi);
		return 0;
	}
	ws->out_at = 0;
	if (ws->out.cap > WRITE_SIZE)
		buf_free(&ws->out);
	else
		buf_clear(&ws->out);
	return 0;
}

/* libwebsockets finds the socket closed and ends: its own time-outs only start when it has something to do. */
static void cut(struct net_ws *ws)
{
	shutdown(lws_get_socket_fd(ws->wsi), SHUT_RDWR);
}

void websocket_flush(struct net_listener *l)
{
	while (l->websockets && l->websockets->dirty) {
		struct net_ws *ws = l->websockets->dirty;
		l->websockets->dirty = ws->next_dirty;
		ws->dirty = false;
		if (ws->gone)
			forget(ws);
		else if (ws->wsi && send_queued(ws))
			cut(ws);
	}
}

bool websocket_sweep(struct net_listener *l, uint64_t now)
{
	struct net_ws *ws;
	if (!l->websockets || !l->websockets->closing)
		return false;
	DL_FOREACH (l->websockets->open, ws)
		if (ws->wsi && ws->deadline && now >= ws->deadline)
			cut(ws);
	return true;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons why, void *user, void *in, size_t len)
{
	struct net_ws *ws = lws_get_opaque_user_data(wsi);
	(void)user;
	switch ((int)why) {
	case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED: {
		struct net_listener *l = lws_context_user(lws_get_context(wsi));
		lws_set_opaque_user_data(wsi, l->websockets->adopting);
		l->websockets->adopting = NULL;
		break;
	}
	case LWS_CALLBACK_ESTABLISHED:
		ws->wsi = wsi;
		opened(ws);
		break;
	case LWS_CALLBACK_RECEIVE:
		received(ws, in, len);
		break;
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return send_queued(ws);
	case LWS_CALLBACK_TIMER:
		if (ws && ws->wsi && ws->paused)
			trust_while_paused(ws);
		break;
	case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
		ws->peer_code = len >= 2 ? ((unsigned char *)in)[0] << 8 | ((unsigned char *)in)[1] : 1005;
		return ws->close_code ? -1 : 0; /* the answer to ours ends it; a first one libwebsockets answers */
	case LWS_CALLBACK_WSI_DESTROY:
		if (ws) {
			lws_set_opaque_user_data(wsi, NULL);
			release(ws);
		}
		break;
	default:
		break;
	}
	return 0;
}

void websocket_adopt(struct net_listener *l, const struct net_websocket *path, int fd, struct net_request *req,
		     const char *bytes, size_t len)
{
	struct websocket_side *side = l->websockets;
	struct net_ws *ws = xcalloc(1, sizeof *ws);
	ws->listener = l;
	ws->path = path;
	ws->handshake = req;
	memcpy(ws->peer, req->peer, sizeof ws->peer);
	DL_APPEND(side->open, ws);
	l->websocket_count++;
	side->adopting = ws;
	lws_adopt_socket_vhost_readbuf(side->vhost, fd, bytes, len); /* closes fd when it fails */
	if (side->adopting) {                                        /* it failed before it knew of us */
		side->adopting = NULL;
		release(ws);
	}
}

static void make_protocols(struct net_listener *l)
{
	struct websocket_side *side = l->websockets;
	size_t n = l->config.websocket_count, used = 1;
	side->protocols = xcalloc(n + 2, sizeof *side->protocols);
	for (size_t i = 0; i <= n; i++) {
		const char *name = i ? l->config.websockets[i - 1].protocol : "none";
		bool known = !name;
		for (size_t k = 0; !known && k < used && i; k++)
			known = strcmp(side->protocols[k].name, name) == 0;
		if (known)
			continue;
		side->protocols[i ? used++ : 0] = (struct lws_protocols){
			.name = name,
			.callback = on_event,
			.per_session_data_size = sizeof(void *),
			.rx_buffer_size = RECEIVE_SIZE,
			.tx_packet_size = WRITE_SIZE,
		};
	}
}

static struct lws_context *make_context(struct lws_context_creation_info *info)
{
	struct rlimit old, less;
	bool lower = getrlimit(RLIMIT_NOFILE, &old) == 0 && old.rlim_cur > FILES;
	if (lower) {
		less = old;
		less.rlim_cur = FILES;
		setrlimit(RLIMIT_NOFILE, &less);
	}
	struct lws_context *context = lws_create_context(info);
	if (lower)
		setrlimit(RLIMIT_NOFILE, &old);
	return context;
}

struct websocket_side *websocket_open(struct net_listener *l, struct error *e)
{
	struct websocket_side *side = l->websockets = xcalloc(1, sizeof *side);
	void *loops[] = {l->loop};
	unsigned ping = (unsigned)((l->config.limits.ping_ms + 999) / 1000);
	make_protocols(l);
	side->idle_policy.secs_since_valid_ping = (uint16_t)ping;
	side->idle_policy.secs_since_valid_hangup = (uint16_t)(ping + (ping + 1) / 2);
	struct lws_context_creation_info info = {
		.port = CONTEXT_PORT_NO_LISTEN_SERVER,
		.protocols = side->protocols,
		.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
		.foreign_loops = loops,
		.pt_serv_buf_size = SERVICE_SIZE,
		.user = l,
		.vhost_name = "srvthreds",
		.retry_and_idle_policy = &side->idle_policy,
	};
	side->logs = websocket_log_join(l->config.log);
	side->context = make_context(&info);
	side->vhost = side->context ? lws_create_vhost(side->context, &info) : NULL;
	if (side->vhost)
		return side;
	error_set(e, ERROR_SERVER, "cannot start WebSockets: is libwebsockets' libuv plugin installed?");
	if (side->context)
		lws_context_destroy(side->context);
	websocket_forget_log(l);
	free(side->protocols);
	free(side);
	return l->websockets = NULL;
}

void websocket_drain(struct net_listener *l)
{
	struct net_ws *ws;
	DL_FOREACH (l->websockets->open, ws)
		net_ws_close(ws, 1012, "the server restarts");
}

void websocket_forget_log(struct net_listener *l)
{
	if (l->websockets->logs)
		websocket_log_leave();
	l->websockets->logs = false;
}

void websocket_destroy(struct net_listener *l)
{
	lws_context_destroy(l->websockets->context);
}

void websocket_free(struct net_listener *l)
{
	lws_context_destroy(l->websockets->context);
	websocket_forget_log(l);
	free(l->websockets->protocols);
	free(l->websockets);
	l->websockets = NULL;
}
