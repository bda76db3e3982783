/* SPDX-License-Identifier: MIT
 *
 * Streamed answers. The server streams /s…, holds /h… and answers the rest at once.
 */
#include "net_peer.h"

enum { OWNED = 8 };

struct served {
	struct net_request *req; /* NULL: spent */
	bool told;
	enum net_end why;
};

struct server {
	uv_loop_t loop;
	struct net_listener *l;
	struct served streams[OWNED], held[OWNED];
	size_t stream_count, held_count, plain, refused;
};

static void on_closed(void *arg, enum net_end why)
{
	struct served *s = arg;
	assert_non_null(s->req);
	assert_int_equal(net_stream_send(s->req, "late", 4), -1);
	assert_int_equal(net_stream_queued(s->req), 0);
	*s = (struct served){.told = true, .why = why};
}

static void begin(struct server *s, struct net_request *req)
{
	struct served *mine = &s->streams[s->stream_count];
	struct net_header headers[] = {{"Content-Type", "text/plain"}, {"Transfer-Encoding", "nonsense"}};
	mine->req = req;
	if (net_stream(req, 200, headers, 2, on_closed, mine)) {
		s->stream_count++;
	} else {
		mine->req = NULL;
		s->refused++;
	}
}

static void on_request(void *arg, struct net_request *req)
{
	struct server *s = arg;
	const char *url = net_request_url(req);
	if (url[1] == 's') {
		begin(s, req);
	} else if (url[1] == 'h') {
		s->held[s->held_count++].req = req;
	} else {
		s->plain++;
		net_respond(req, 200, NULL, 0, url, strlen(url));
	}
}

static void start(struct server *s, struct net_limits limits)
{
	struct error e;
	*s = (struct server){0};
	uv_loop_init(&s->loop);
	struct net_config config = {.arg = s, .request = on_request, .limits = limits};
	s->l = net_listen(&s->loop, &config, &e);
	assert_non_null(s->l);
}

static void ask(struct server *s, struct peer *p, const char *requests)
{
	peer_open(p, &s->loop, net_port(s->l));
	peer_say(p, requests);
}

static void wait_streams(struct server *s, struct peer *p, size_t n)
{
	while (s->stream_count < n)
		peer_turn(p);
}

static void say(struct served *s, const char *text)
{
	assert_true(net_stream_send(s->req, text, strlen(text)) > 0);
}

static void end(struct served *s)
{
	struct net_request *req = s->req;
	s->req = NULL;
	net_stream_end(req);
}

static void turns(struct peer *p)
{
	for (int i = 0; i < 30; i++)
		peer_turn(p);
}

#define GET(url) "GET " url " HTTP/1.1\r\nHost: a\r\n\r\n"

static void chunks_and_what_comes_behind(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	start(&s, (struct net_limits){0});
	ask(&s, &p, GET("/s") GET("/other") GET("/s"));
	wait_streams(&s, &p, 2);
	assert_int_equal(s.plain, 1);
	say(&s.streams[1], "of the third");
	assert_int_equal(net_stream_send(s.streams[0].req, "", 0), net_stream_queued(s.streams[0].req));
	peer_expect(&p, "\r\n\r\n");
	say(&s.streams[0], "abc");
	peer_expect(&p, "3\r\nabc\r\n");
	say(&s.streams[0], "0123456789abcdefg");
	peer_expect(&p, "11\r\n0123456789abcdefg\r\n");
	turns(&p);
	assert_true(peer_has(&p, "HTTP/1.1 200 OK\r\n"));
	assert_true(peer_has(&p, "Content-Type: text/plain\r\n"));
	assert_true(peer_has(&p, "Transfer-Encoding: chunked\r\n"));
	assert_false(peer_has(&p, "nonsense") || peer_has(&p, "Content-Length"));
	assert_false(peer_has(&p, "/other") || peer_has(&p, "third"));
	end(&s.streams[0]);
	say(&s.streams[1], "more");
	peer_expect(&p, "more\r\n");
	const char *last = strstr(p.in.data, "\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"), *plain = strstr(p.in.data, "/other");
	assert_true(last && plain && last < plain && plain < strstr(p.in.data, "c\r\nof the third\r\n4\r\nmore\r\n"));
	end(&s.streams[1]);
	peer_expect(&p, "more\r\n0\r\n\r\n");
	peer_say(&p, GET("/again"));
	peer_expect(&p, "/again");
	assert_false(s.streams[0].told || s.streams[1].told);
	peer_close(&p);
	stop(&s.loop, s.l, 100);
}

/* What a stream said while it waited for its turn stays before what it says in the turn it becomes the first. */
static void order_at_the_change(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	start(&s, (struct net_limits){0});
	ask(&s, &p, GET("/h") GET("/s") GET("/other"));
	wait_streams(&s, &p, 1);
	say(&s.streams[0], "one");
	turns(&p);
	assert_int_equal(p.in.len, 0);
	net_respond(s.held[0].req, 200, NULL, 0, "held", 4);
	say(&s.streams[0], "two");
	end(&s.streams[0]);
	peer_expect(&p, "/other");
	const char *held = strstr(p.in.data, "held");
	assert_true(held && held < strstr(p.in.data, "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"));
	peer_close(&p);
	stop(&s.loop, s.l, 100);
}

static void old_clients_read_until_the_end(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	start(&s, (struct net_limits){0});
	ask(&s, &p, "GET /h HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" GET("/other") GET("/s") "GET /half");
	wait_streams(&s, &p, 1);
	begin(&s, s.held[0].req);
	say(&s.streams[1], "abc");
	peer_expect(&p, "\r\n\r\nabc");
	assert_true(peer_has(&p, "Connection: close\r\n"));
	assert_false(peer_has(&p, "chunked"));
	say(&s.streams[1], "def");
	end(&s.streams[1]);
	peer_expect_end(&p);
	assert_string_equal(strstr(p.in.data, "\r\n\r\n"), "\r\n\r\nabcdef");
	assert_true(s.streams[0].told && s.streams[0].why == NET_GONE); /* behind it nothing can come */
	peer_close(&p);
	stop(&s.loop, s.l, 100);
}

static void head_has_no_body(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	start(&s, (struct net_limits){0});
	ask(&s, &p, "HEAD /s HTTP/1.1\r\nHost: a\r\n\r\n" GET("/other"));
	peer_expect(&p, "/other");
	assert_int_equal(s.refused, 1);
	assert_non_null(strstr(p.in.data, "Transfer-Encoding: chunked\r\n\r\nHTTP/1.1 200 OK\r\n"));
	peer_close(&p);
	stop(&s.loop, s.l, 100);
}

static void readers_that_go(void **state)
{
	(void)state;
	struct server s;
	struct peer p, q, r;
	start(&s, (struct net_limits){0});
	ask(&s, &p, GET("/s"));
	wait_streams(&s, &p, 1);
	peer_close(&p);
	turn_until(&s.loop, &s.streams[0].told);
	assert_int_equal(s.streams[0].why, NET_GONE);
	ask(&s, &q, GET("/s"));
	wait_streams(&s, &q, 2);
	shutdown(q.fd, SHUT_WR); /* only its side */
	turn_until(&s.loop, &s.streams[1].told);
	peer_expect_end(&q);
	ask(&s, &r, GET("/h") GET("/s"));
	shutdown(r.fd, SHUT_WR); /* what is no stream is still answered */
	wait_streams(&s, &r, 3);
	turns(&r);
	assert_false(s.streams[2].told);
	net_respond(s.held[0].req, 200, NULL, 0, "held", 4);
	turn_until(&s.loop, &s.streams[2].told);
	peer_expect_end(&r);
	assert_true(peer_has(&r, "held"));
	peer_close(&q);
	peer_close(&r);
	stop(&s.loop, s.l, 100);
}

/* Its owner ends it after the reader went and before anybody told. */
static void ended_before_told(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	start(&s, (struct net_limits){0});
	for (int i = 0; i < 2; i++) {
		ask(&s, &p, GET("/h") GET("/s"));
		wait_streams(&s, &p, (size_t)i + 1);
		net_request_free(s.held[i].req);
		if (i)
			net_request_free(s.streams[i].req);
		else
			net_stream_end(s.streams[i].req);
		peer_expect_end(&p);
		turns(&p);
		assert_false(s.streams[i].told);
		peer_close(&p);
	}
	stop(&s.loop, s.l, 100);
}

static void a_cut_shows(void **state)
{
	(void)state;
	struct server s;
	struct peer p, q;
	start(&s, (struct net_limits){0});
	ask(&s, &p, GET("/s"));
	wait_streams(&s, &p, 1);
	say(&s.streams[0], "abc");
	peer_expect(&p, "abc");
	net_stream_cut(s.streams[0].req);
	assert_false(s.streams[0].told); /* never from within a call */
	turn_until(&s.loop, &s.streams[0].told);
	peer_expect_end(&p);
	assert_false(peer_has(&p, "0\r\n\r\n"));
	ask(&s, &q, GET("/s"));
	wait_streams(&s, &q, 2);
	net_request_free(s.streams[1].req);
	peer_expect_end(&q);
	assert_false(s.streams[1].told);
	peer_close(&p);
	peer_close(&q);
	stop(&s.loop, s.l, 100);
}

static void too_much_waits(void **state)
{
	(void)state;
	enum { PIECE = 64 * 1024, LIMIT = 1024 * 1024 };
	struct server s;
	struct peer p;
	char *piece = xcalloc(1, PIECE);
	long queued = 0, highest = 0;
	start(&s, (struct net_limits){.send_queue = LIMIT, .write_ms = 60000});
	ask(&s, &p, GET("/s") GET("/s"));
	wait_streams(&s, &p, 2);
	for (int i = 0; i < 1000 && queued >= 0; i++) {
		queued = net_stream_send(s.streams[i % 2].req, piece, PIECE);
		highest = queued > highest ? queued : highest;
		uv_run(&s.loop, UV_RUN_NOWAIT);
	}
	assert_int_equal(queued, -1);
	assert_true(highest > LIMIT - 2 * PIECE && highest <= LIMIT + 100);
	turn_until(&s.loop, &s.streams[0].told);
	assert_true(s.streams[1].told);
	assert_int_equal(s.streams[0].why, NET_SLOW);
	free(piece);
	peer_close(&p);
	stop(&s.loop, s.l, 100);
}

/* Reads a bit whenever a fifth of write_ms is over, for three times write_ms; then nothing. */
static void slow_and_standing_readers(void **state)
{
	(void)state;
	enum { SIZE = 32 * 1024 * 1024, BIT = 512 * 1024, WRITE_MS = 1000 }; /* more than the kernel takes */
	struct server s;
	struct peer p;
	char *bytes = xcalloc(1, SIZE);
	start(&s, (struct net_limits){.write_ms = WRITE_MS, .send_queue = 2 * SIZE});
	ask(&s, &p, GET("/s"));
	int room = BIT;
	setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
	while (s.stream_count < 1)
		uv_run(&s.loop, UV_RUN_NOWAIT);
	assert_true(net_stream_send(s.streams[0].req, bytes, SIZE) > 0);
	uint64_t begin = uv_hrtime();
	for (unsigned ms = 0; ms < 3 * WRITE_MS; ms += WRITE_MS / 5) {
		while (uv_hrtime() - begin < ms * UINT64_C(1000000))
			uv_run(&s.loop, UV_RUN_NOWAIT);
		recv(p.fd, bytes, BIT, 0);
		assert_false(s.streams[0].told);
	}
	assert_true(net_stream_queued(s.streams[0].req) > 0);
	turn_until(&s.loop, &s.streams[0].told);
	assert_int_equal(s.streams[0].why, NET_SLOW);
	free(bytes);
	peer_close(&p);
	stop(&s.loop, s.l, 100);
}

static void a_stop_ends_them(void **state)
{
	(void)state;
	struct server s;
	struct peer p, q;
	bool done = false;
	start(&s, (struct net_limits){0});
	ask(&s, &p, GET("/s"));
	ask(&s, &q, GET("/s") GET("/h") GET("/s") GET("/h") GET("/h"));
	while (s.stream_count < 3 || s.held_count < 3)
		peer_turn(&q);
	for (int i = 0; i < 3; i++)
		say(&s.streams[i], "abc");
	net_drain(s.l, 20000, on_stopped, &done);
	assert_false(s.streams[0].told);
	peer_expect_end(&p);
	assert_true(peer_has(&p, "abc\r\n0\r\n\r\n"));
	assert_true(s.streams[0].told && s.streams[0].why == NET_STOPPED);
	peer_expect(&q, "abc\r\n0\r\n\r\n");
	net_respond(s.held[0].req, 200, NULL, 0, "first", 5);
	turn_until(&s.loop, &s.streams[2].told);
	assert_int_equal(s.streams[2].why, NET_STOPPED);
	begin(&s, s.held[1].req); /* none begins any more */
	net_respond(s.held[2].req, 200, NULL, 0, "last", 4);
	peer_expect_end(&q);
	assert_int_equal(peer_count(&q, "abc\r\n0\r\n\r\n"), 2);
	assert_true(peer_has(&q, "HTTP/1.1 503 ") && peer_has(&q, "last"));
	turn_until(&s.loop, &done);
	peer_close(&p);
	peer_close(&q);
	stop(&s.loop, s.l, 100);
}

static void a_stop_cuts_after_its_grace(void **state)
{
	(void)state;
	enum { SIZE = 32 * 1024 * 1024 };
	struct server s;
	struct peer p;
	bool done = false;
	char *bytes = xcalloc(1, SIZE);
	start(&s, (struct net_limits){.send_queue = 2 * SIZE});
	ask(&s, &p, GET("/s") GET("/h") GET("/s"));
	while (s.stream_count < 2)
		uv_run(&s.loop, UV_RUN_NOWAIT);
	assert_true(net_stream_send(s.streams[0].req, bytes, SIZE) > 0);
	net_drain(s.l, 50, on_stopped, &done); /* it is never read */
	turn_until(&s.loop, &done);
	for (int i = 0; i < 2; i++)
		assert_true(s.streams[i].told && s.streams[i].why == NET_STOPPED);
	net_respond(s.held[0].req, 200, NULL, 0, "", 0);
	free(bytes);
	peer_close(&p);
	stop(&s.loop, s.l, 100);
}

struct order {
	struct server *s;
	bool done, told_before;
};

static void on_drained(void *arg)
{
	struct order *o = arg;
	o->done = true;
	o->told_before = o->s->streams[0].told;
}

static void told_before_the_stop_is(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	struct order order = {.s = &s};
	struct linger reset = {.l_onoff = 1};
	start(&s, (struct net_limits){0});
	ask(&s, &p, GET("/h") GET("/s"));
	wait_streams(&s, &p, 1);
	net_drain(s.l, 20000, on_drained, &order);
	setsockopt(p.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	peer_close(&p);
	turn_until(&s.loop, &order.done);
	assert_true(order.told_before);
	net_request_free(s.held[0].req);
	stop(&s.loop, s.l, 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chunks_and_what_comes_behind),
		cmocka_unit_test(order_at_the_change),
		cmocka_unit_test(old_clients_read_until_the_end),
		cmocka_unit_test(head_has_no_body),
		cmocka_unit_test(readers_that_go),
		cmocka_unit_test(ended_before_told),
		cmocka_unit_test(a_cut_shows),
		cmocka_unit_test(too_much_waits),
		cmocka_unit_test(slow_and_standing_readers),
		cmocka_unit_test(a_stop_ends_them),
		cmocka_unit_test(a_stop_cuts_after_its_grace),
		cmocka_unit_test(told_before_the_stop_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
