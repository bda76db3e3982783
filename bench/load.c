/* SPDX-License-Identifier: MIT
 *
 * A load generator for the other benchmarks (no benchmark of its own). Prints one JSON line.
 *   bench_load http HOST:PORT PATH [options]     N keep-alive connections, each posts the next when it has its answer
 *   bench_load ws HOST:PORT PATH [options]       N clients on the subprotocol srvthreds.v1, a window of events each
 * Options: -n clients (64)  -s seconds (5)  -c count (instead of seconds)  -w window (ws: 1)  -t tokens (t1,t2,… in turn)
 *          -b body, in which %i becomes a fresh id, %x the next of the words of -x w1,w2,… and %n the time in ns: "t=%n;"
 *          that comes back in an event tells how long it was under way
 *          -e (ws: an event is done when an event comes back, not when it is accepted)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "net/client.h"

struct words {
	char **list; /* owned */
	size_t count;
};

struct load {
	uv_loop_t loop;
	uv_timer_t timer;
	bool ws, by_event, ended;
	const char *address, *path, *body;
	struct words tokens, words;
	long clients, window, count, sent, done, failed, accepted, events, errors;
	double seconds;
	uint64_t seed, begun, stopped;
	uint32_t *times; /* µs */
	size_t time_count, time_cap;
	struct client *list;
};

struct client {
	struct dial dial; /* http; first */
	struct net_socket *socket;
	struct load *load;
	const char *token;
	struct buf in;
	uint64_t since;
	long open; /* ws: events under way */
	bool waiting;
};

static void note_time(struct load *l, uint64_t ns)
{
	if (l->time_count == l->time_cap) {
		l->time_cap = l->time_cap ? l->time_cap * 2 : 1 << 16;
		l->times = xrealloc(l->times, l->time_cap * sizeof *l->times);
	}
	l->times[l->time_count++] = (uint32_t)(ns / 1000);
}

static bool may_send(struct load *l)
{
	return !l->ended && (!l->count || l->sent < l->count);
}

static void add_body(struct load *l, struct buf *out)
{
	for (const char *at = l->body; *at; at++) {
		if (at[0] == '%' && at[1] == 'i') {
			buf_printf(out, "%08lx-%08lx", (unsigned long)(l->seed & 0xFFFFFFFF), l->sent);
			at++;
		} else if (at[0] == '%' && at[1] == 'n') {
			buf_printf(out, "%llu", (unsigned long long)uv_hrtime());
			at++;
		} else if (at[0] == '%' && at[1] == 'x' && l->words.count) {
			buf_add_str(out, l->words.list[(size_t)l->sent % l->words.count]);
			at++;
		} else {
			buf_add(out, at, 1);
		}
	}
}

static void finish(struct load *l)
{
	if (l->ended)
		return;
	l->ended = true;
	l->stopped = uv_hrtime();
	for (long i = 0; i < l->clients; i++) {
		if (!l->ws)
			dial_close(&l->list[i].dial);
		else if (l->list[i].socket)
			net_socket_close(l->list[i].socket, 1000);
	}
	uv_close((uv_handle_t *)&l->timer, NULL);
}

static void finish_if_done(struct load *l)
{
	if (l->count && l->done + l->failed >= l->count)
		finish(l);
}

static void post(struct client *c)
{
	struct load *l = c->load;
	struct buf body = {0}, *out = &c->dial.stream.out;
	if (!may_send(l))
		return;
	add_body(l, &body);
	buf_printf(out, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n",
		   l->path, l->address, body.len);
	if (c->token)
		buf_printf(out, "Authorization: Bearer %s\r\n", c->token);
	buf_add_str(out, "\r\n");
	buf_add(out, body.data, body.len);
	buf_free(&body);
	l->sent++;
	c->waiting = true;
	c->since = uv_hrtime();
	stream_flush(&c->dial.stream);
}

/* The length of the whole answer at the start of `in`, or 0. */
static size_t whole_answer(struct client *c)
{
	char *end = c->in.data ? strstr(c->in.data, "\r\n\r\n") : NULL;
	char *length = end ? strcasestr(c->in.data, "\r\nContent-Length:") : NULL;
	size_t len = end ? (size_t)(end + 4 - c->in.data) : 0;
	if (length && length < end)
		len += strtoul(length + 17, NULL, 10);
	return len && c->in.len >= len ? len : 0;
}

static void on_http_read(struct stream *s, const char *bytes, ssize_t n)
{
	struct client *c = (struct client *)s;
	struct load *l = c->load;
	if (n < 0) {
		dial_fail(&c->dial, ERROR_SERVER, "the server closed a connection");
		return;
	}
	buf_add(&c->in, bytes, (size_t)n);
	size_t len = whole_answer(c);
	if (!len)
		return;
	bool good = strncmp(c->in.data, "HTTP/1.1 200", 12) == 0;
	*(good ? &l->done : &l->failed) += 1;
	if (!good && l->failed == 1)
		fprintf(stderr, "load: %.*s\n", (int)len, c->in.data);
	note_time(l, uv_hrtime() - c->since);
	buf_clear(&c->in);
	c->waiting = false;
	finish_if_done(l);
	post(c);
}

static void on_http_connected(struct dial *d)
{
	post((struct client *)d);
}

static void on_http_closed(struct dial *d)
{
	struct client *c = (struct client *)d;
	if (d->error.code)
		fprintf(stderr, "load: %s\n", d->error.message);
	c->load->failed += c->waiting && !c->load->ended;
	finish_if_done(c->load);
}

static void send_events(struct client *c)
{
	struct load *l = c->load;
	while (c->open < l->window && may_send(l)) {
		struct buf b = {0};
		buf_add_str(&b, "{\"event\":");
		add_body(l, &b);
		buf_add_str(&b, "}");
		c->open++;
		l->sent++;
		net_socket_send(c->socket, b.data, b.len);
		buf_free(&b);
	}
}

static void done_with_one(struct client *c)
{
	c->load->done++;
	c->open--;
	finish_if_done(c->load);
	send_events(c);
}

static void on_ws_opened(void *arg)
{
	struct client *c = arg;
	struct buf b = {0};
	if (c->token) {
		buf_printf(&b, "{\"token\":\"%s\"}", c->token);
		net_socket_send(c->socket, b.data, b.len);
		buf_free(&b);
	}
	send_events(c);
}

static void on_ws_message(void *arg, const char *bytes, size_t len)
{
	struct client *c = arg;
	struct load *l = c->load;
	const char *sent = memmem(bytes, len, "t=", 2);
	if (strncmp(bytes, "{\"event\"", 8) == 0) {
		l->events++;
		unsigned long long at = sent ? strtoull(sent + 2, NULL, 10) : 0;
		if (at)
			note_time(l, uv_hrtime() - at);
		if (l->by_event)
			done_with_one(c);
	} else if (strncmp(bytes, "{\"accepted\"", 11) == 0) {
		l->accepted++;
		if (!l->by_event)
			done_with_one(c);
	} else if (strncmp(bytes, "{\"error\"", 8) == 0) {
		if (!l->errors++)
			fprintf(stderr, "load: %.*s\n", (int)len, bytes);
		l->failed++;
		finish_if_done(l);
	}
}

static void on_ws_ended(void *arg, int code, const struct error *e)
{
	struct client *c = arg;
	c->socket = NULL;
	if (!c->load->ended)
		fprintf(stderr, "load: a client was closed, %d %s\n", code, e ? e->message : "");
}

static bool start_client(struct client *c, struct error *e)
{
	struct load *l = c->load;
	char url[512];
	snprintf(url, sizeof url, "%s://%s%s", l->ws ? "ws" : "http", l->address, l->path);
	if (l->ws) {
		struct net_socket_events events = {c, on_ws_opened, on_ws_message, on_ws_ended};
		c->socket = net_connect(&l->loop, url, "srvthreds.v1", NULL, 0, 0, &events, e);
		return c->socket != NULL;
	}
	c->dial.on_connected = on_http_connected;
	c->dial.on_closed = on_http_closed;
	c->dial.stream.on_read = on_http_read;
	return dial_start(&c->dial, &l->loop, "http", url, 0, e) == 0;
}

static void on_time(uv_timer_t *timer)
{
	finish(timer->data);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static double at_quantile(const struct load *l, double q)
{
	return l->time_count ? l->times[(size_t)(q * (double)(l->time_count - 1))] / 1000.0 : 0;
}

static void report(struct load *l)
{
	double seconds = (double)(l->stopped - l->begun) / 1e9;
	qsort(l->times, l->time_count, sizeof *l->times, by_value);
	printf("{\"mode\":\"%s\",\"clients\":%ld,\"seconds\":%.3f,\"sent\":%ld,\"done\":%ld,\"failed\":%ld,"
	       "\"accepted\":%ld,"
	       "\"events\":%ld,\"per_second\":%.0f,\"p50_ms\":%.3f,\"p90_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}\n",
	       l->ws ? "ws" : "http", l->clients, seconds, l->sent, l->done, l->failed, l->accepted, l->events,
	       (double)(l->ws && l->by_event ? l->events : l->done) / seconds, at_quantile(l, 0.5), at_quantile(l, 0.9),
	       at_quantile(l, 0.99), at_quantile(l, 1));
}

static int usage(void)
{
	fprintf(stderr, "usage: bench_load http|ws HOST:PORT PATH [-n clients] [-s seconds | -c count] [-w window] "
			"[-t tokens] [-x words] [-b body] [-e]\n");
	return 2;
}

static void split(struct words *w, char *text)
{
	for (char *word = strtok(text, ","); word; word = strtok(NULL, ",")) {
		w->list = xrealloc(w->list, (w->count + 1) * sizeof *w->list);
		w->list[w->count++] = word;
	}
}

static bool read_options(struct load *l, int argc, char **argv)
{
	for (int o; (o = getopt(argc, argv, "n:s:c:w:t:x:b:e")) != -1;) {
		switch (o) {
		case 'n':
			l->clients = atol(optarg);
			break;
		case 's':
			l->seconds = atof(optarg);
			break;
		case 'c':
			l->count = atol(optarg);
			break;
		case 'w':
			l->window = atol(optarg);
			break;
		case 'b':
			l->body = optarg;
			break;
		case 'e':
			l->by_event = true;
			break;
		case 't':
			split(&l->tokens, optarg);
			break;
		case 'x':
			split(&l->words, optarg);
			break;
		default:
			return false;
		}
	}
	return l->clients > 0 && l->window > 0 && argc - optind == 3;
}

int main(int argc, char **argv)
{
	static struct load l = {.clients = 64, .window = 1, .seconds = 5, .body = "{\"id\":\"%i\"}"};
	struct error e;
	if (!read_options(&l, argc, argv))
		return usage();
	l.ws = strcmp(argv[optind], "ws") == 0;
	if (!l.ws && strcmp(argv[optind], "http") != 0)
		return usage();
	l.address = argv[optind + 1];
	l.path = argv[optind + 2];
	l.seed = uv_hrtime() ^ (uint64_t)getpid() << 20;
	uv_loop_init(&l.loop);
	uv_timer_init(&l.loop, &l.timer);
	l.timer.data = &l;
	l.list = xcalloc((size_t)l.clients, sizeof *l.list);
	l.begun = l.stopped = uv_hrtime();
	if (!l.count)
		uv_timer_start(&l.timer, on_time, (uint64_t)(l.seconds * 1000), 0);
	for (long i = 0; i < l.clients; i++) {
		struct client *c = &l.list[i];
		c->load = &l;
		c->token = l.tokens.count ? l.tokens.list[(size_t)i % l.tokens.count] : NULL;
		if (!start_client(c, &e)) {
			fprintf(stderr, "load: %s\n", e.message);
			return 1;
		}
	}
	uv_run(&l.loop, UV_RUN_DEFAULT);
	finish(&l);
	report(&l);
	return l.failed || !l.done;
}
