/* SPDX-License-Identifier: MIT */
#include "net_peer.h"

#include <sys/resource.h>

enum { HELD_MAX = 64 };

struct server {
	uv_loop_t loop;
	struct net_listener *l;
	bool hold; /* answer later */
	struct net_request *held[HELD_MAX];
	size_t held_count, seen;
	size_t answer_size;
};

/* Answers with what it understood: METHOD URL HEADER BODY. */
static void answer(struct server *s, struct net_request *req)
{
	struct buf b = {0};
	size_t len;
	const char *body = net_request_body(req, &len), *x = net_request_header(req, "x-TEST");
	buf_printf(&b, "<%s %s %s %.*s>", net_request_method(req), net_request_url(req), x ? x : "-", (int)len, body);
	for (size_t i = 0; i < s->answer_size; i++)
		buf_add(&b, "z", 1);
	struct net_header headers[] = {{"Content-Type", "text/plain"}, {"X-Bad", "a\r\nInjected: 1"}};
	net_respond(req, 200, headers, 2, b.data, b.len);
	buf_free(&b);
}

static void on_request(void *arg, struct net_request *req)
{
	struct server *s = arg;
	s->seen++;
	if (s->hold && s->held_count < HELD_MAX)
		s->held[s->held_count++] = req;
	else
		answer(s, req);
}

static void start(struct server *s, struct net_limits limits)
{
	struct error e;
	*s = (struct server){0};
	uv_loop_init(&s->loop);
	struct net_config config = {.arg = s, .request = on_request, .limits = limits};
	s->l = net_listen(&s->loop, &config, &e);
	assert_non_null(s->l);
	assert_true(net_port(s->l) > 0);
}

static void open_to(struct peer *p, struct server *s)
{
	peer_open(p, &s->loop, net_port(s->l));
}

static void finish(struct server *s)
{
	stop(&s->loop, s->l, 100);
}

#define POST                                                                                                           \
	"POST /event?x=1 HTTP/1.1\r\nHost: a\r\nX-Test: yes\r\nContent-Length: 5\r\n\r\nhello"                         \
	"POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"                                      \
	"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n"                                                         \
	"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

static void split_at_every_byte(void **state)
{
	(void)state;
	struct server s;
	start(&s, (struct net_limits){0});
	for (size_t cut = 0; cut < sizeof POST - 1; cut++) {
		struct peer p;
		open_to(&p, &s);
		peer_send(&p, POST, cut);
		for (int i = 0; i < 4; i++)
			peer_turn(&p);
		peer_send(&p, &POST[cut], sizeof POST - 1 - cut);
		peer_expect_end(&p);
		char *first = strstr(p.in.data, "<POST /event?x=1 yes hello>");
		assert_non_null(first);
		char *second = strstr(first, "<POST /chunked - abcde>");
		assert_non_null(second);
		assert_non_null(strstr(second, "<GET /last - >"));
		assert_int_equal(peer_count(&p, "HTTP/1.1 200 OK\r\n"), 3);
		assert_int_equal(peer_count(&p, "Connection: close\r\n"), 1);
		assert_false(peer_has(&p, "Injected"));
		peer_close(&p);
	}
	finish(&s);
}

static void byte_by_byte(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	start(&s, (struct net_limits){0});
	open_to(&p, &s);
	for (size_t i = 0; i < sizeof POST - 1; i++) {
		peer_send(&p, &POST[i], 1);
		peer_turn(&p);
	}
	peer_expect_end(&p);
	assert_int_equal(peer_count(&p, "<"), 3);
	assert_true(peer_has(&p, "<POST /chunked - abcde>"));
	peer_close(&p);
	finish(&s);
}

static void get(struct peer *p, int n)
{
	char text[128];
	snprintf(text, sizeof text, "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", n);
	peer_say(p, text);
}

static void answers_in_order(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	start(&s, (struct net_limits){.pipelined = 4});
	s.hold = true;
	open_to(&p, &s);
	for (int i = 0; i < 10; i++)
		get(&p, i);
	while (s.held_count < 4)
		peer_turn(&p);
	for (int i = 0; i < 20; i++)
		peer_turn(&p);
	assert_int_equal(s.held_count, 4); /* no more are read while four are in work */
	for (int i = 3; i > 0; i--)
		answer(&s, s.held[i]);
	for (int i = 0; i < 20; i++)
		peer_turn(&p);
	assert_int_equal(p.in.len, 0);
	s.hold = false;
	answer(&s, s.held[0]);
	peer_expect(&p, "<GET /9 - >");
	const char *at = p.in.data;
	for (int i = 0; i < 10; i++) {
		char text[32];
		snprintf(text, sizeof text, "<GET /%d - >", i);
		at = strstr(at, text);
		assert_non_null(at);
	}
	peer_close(&p);
	finish(&s);
}

static void keep_alive(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	start(&s, (struct net_limits){0});
	open_to(&p, &s);
	for (int i = 0; i < 3; i++) {
		char text[32];
		get(&p, i);
		snprintf(text, sizeof text, "<GET /%d - >", i);
		peer_expect(&p, text);
	}
	peer_say(&p, "HEAD /h HTTP/1.1\r\nHost: a\r\n\r\n");
	get(&p, 7);
	peer_expect(&p, "<GET /7 - >");
	assert_false(peer_has(&p, "<HEAD"));
	peer_say(&p, "GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	peer_expect(&p, "Connection: keep-alive\r\n\r\n<GET /old - >");
	peer_say(&p, "GET /older HTTP/1.0\r\n\r\n");
	peer_expect_end(&p);
	assert_true(peer_has(&p, "<GET /older - >"));
	peer_close(&p);
	finish(&s);
}

static void expect_continue(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	start(&s, (struct net_limits){0});
	open_to(&p, &s);
	peer_say(&p, "POST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
	peer_expect(&p, "HTTP/1.1 100 Continue\r\n\r\n");
	peer_say(&p, "ok");
	peer_expect(&p, "<POST /e - ok>");
	peer_close(&p);

	s.hold = true; /* behind another request it waits for that one's answer */
	open_to(&p, &s);
	get(&p, 1);
	peer_say(&p, "POST /f HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n");
	for (int i = 0; i < 20; i++)
		peer_turn(&p);
	assert_int_equal(p.in.len, 0);
	s.hold = false;
	answer(&s, s.held[0]);
	peer_expect(&p, "<GET /1 - >HTTP/1.1 100 Continue\r\n\r\n");
	peer_say(&p, "ok");
	peer_expect(&p, "<POST /f - ok>");
	peer_say(&p, "POST /g HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nContent-Length: 2\r\n\r\n");
	peer_expect_end(&p);
	assert_true(peer_has(&p, "HTTP/1.1 417 Expectation Failed\r\n"));
	peer_close(&p);
	finish(&s);
}

struct refusal {
	const char *request, *status;
};

static void refusals(void **state)
{
	(void)state;
	static const struct refusal cases[] = {
		{"NONSENSE\r\n\r\n", "400 Bad Request"},
		{"GET / HTTP/1.1\r\n\r\n", "400 Bad Request"}, /* no Host */
		{"GET / HTTP/1.1\r\nHost: a\r\nBad Header: x\r\n\r\n", "400 Bad Request"},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "400 Bad Request"},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		 "400 Bad Request"},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n", "413 Payload Too Large"},
		{"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 101\r\n\r\n",
		 "413 Payload Too Large"},
		{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n"
		 "1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"
		 "1",
		 "413 Payload Too Large"},
		{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400 Bad Request"},
		{"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "501 Not Implemented"},
		{"GET / HTTP/1.1\r\nHost: a\r\nX: "
		 "12345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901"
		 "12345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901"
		 "1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"
		 "1",
		 "431 Request Header Fields Too Large"},
	};
	struct server s;
	start(&s, (struct net_limits){.body_size = 100, .header_size = 256});
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct peer p;
		open_to(&p, &s);
		peer_say(&p, cases[i].request);
		peer_expect_end(&p);
		peer_expect(&p, cases[i].status);
		assert_true(peer_has(&p, "Connection: close\r\n"));
		assert_true(peer_has(&p, "Content-Type: application/json\r\n"));
		assert_true(peer_has(&p, "\r\n\r\n{\"error\":{\"code\":4000,\"message\":\""));
		peer_close(&p);
	}
	assert_int_equal(s.seen, 0);
	finish(&s);
}

/* The answer reaches a client that goes on sending what nobody reads. */
static void refusal_is_read_by_a_sender(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	static char much[300000];
	start(&s, (struct net_limits){.body_size = 100});
	open_to(&p, &s);
	peer_say(&p, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n");
	peer_send(&p, much, sizeof much);
	peer_expect_end(&p);
	assert_true(peer_has(&p, "413 Payload Too Large"));
	assert_true(peer_has(&p, "larger than the 100 bytes"));
	peer_close(&p);
	finish(&s);
}

static void slow_headers(void **state)
{
	(void)state;
	struct server s;
	struct peer p, silent, slow_body, idle;
	start(&s, (struct net_limits){.header_ms = 300, .body_ms = 300, .idle_ms = 300});
	open_to(&p, &s);
	open_to(&silent, &s);
	open_to(&slow_body, &s);
	open_to(&idle, &s);
	peer_say(&p, "GET / HTTP/1.1\r\nHost:");
	peer_say(&slow_body, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab");
	get(&idle, 1);
	peer_expect_end(&p);
	assert_true(peer_has(&p, "408 Request Timeout"));
	peer_expect_end(&silent);
	assert_true(peer_has(&silent, "408 Request Timeout"));
	peer_expect_end(&slow_body);
	assert_true(peer_has(&slow_body, "408 Request Timeout"));
	peer_expect_end(&idle);
	assert_false(peer_has(&idle, "408"));
	peer_close(&p);
	peer_close(&silent);
	peer_close(&slow_body);
	peer_close(&idle);
	finish(&s);
}

/* One more byte now and then doesn't move the deadline. */
static void dripping_headers(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	start(&s, (struct net_limits){.header_ms = 400});
	open_to(&p, &s);
	peer_say(&p, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
	for (uint64_t begun = uv_hrtime(), next = begun; !p.eof && uv_hrtime() < begun + PEER_PATIENCE_NS;) {
		if (uv_hrtime() > next) {
			peer_say(&p, "x");
			next += 20000000;
		}
		peer_turn(&p);
	}
	assert_true(peer_has(&p, "408 Request Timeout"));
	peer_close(&p);
	finish(&s);
}

/* A client that asks and doesn't read: what waits for it is bounded. */
static void slow_reader(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	start(&s, (struct net_limits){.answer_size = 100000, .write_ms = 300});
	s.answer_size = 50000;
	open_to(&p, &s);
	int small = 4096;
	setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	struct buf many = {0};
	for (int i = 0; i < 2000; i++)
		buf_add_str(&many, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
	peer_send(&p, many.data, many.len);
	size_t connections = 1, websockets;
	for (uint64_t end = uv_hrtime() + PEER_PATIENCE_NS; connections && uv_hrtime() < end;) {
		uv_run(&s.loop, UV_RUN_NOWAIT);
		net_counts(s.l, &connections, &websockets);
	}
	assert_int_equal(connections, 0);
	assert_true(s.seen < 400); /* the kernel's buffers and ours, not 2,000 */
	buf_free(&many);
	peer_close(&p);
	finish(&s);
}

static void half_closed_client_is_answered(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	start(&s, (struct net_limits){0});
	s.hold = true;
	open_to(&p, &s);
	get(&p, 1);
	shutdown(p.fd, SHUT_WR);
	while (!s.held_count)
		peer_turn(&p);
	for (int i = 0; i < 20; i++)
		peer_turn(&p);
	answer(&s, s.held[0]);
	peer_expect_end(&p);
	assert_true(peer_has(&p, "<GET /1 - >"));
	peer_close(&p);
	finish(&s);
}

static void answer_after_the_client_left(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	struct linger now = {1, 0};
	start(&s, (struct net_limits){0});
	s.hold = true;
	open_to(&p, &s);
	get(&p, 1);
	get(&p, 2);
	while (s.held_count < 2)
		peer_turn(&p);
	answer(&s, s.held[1]);
	setsockopt(p.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	peer_close(&p);
	size_t connections = 1, websockets;
	while (connections) {
		uv_run(&s.loop, UV_RUN_NOWAIT);
		net_counts(s.l, &connections, &websockets);
	}
	assert_string_equal(net_request_url(s.held[0]), "/1");
	answer(&s, s.held[0]);
	finish(&s);
}

static void free_without_answer_closes(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	start(&s, (struct net_limits){0});
	s.hold = true;
	open_to(&p, &s);
	get(&p, 1);
	while (!s.held_count)
		peer_turn(&p);
	net_request_free(s.held[0]);
	peer_expect_end(&p);
	assert_int_equal(p.in.len, 0);
	peer_close(&p);
	finish(&s);
}

static void full_house(void **state)
{
	(void)state;
	struct server s;
	struct peer silent[3], p;
	start(&s, (struct net_limits){.connections = 3});
	for (int i = 0; i < 3; i++)
		open_to(&silent[i], &s);
	open_to(&p, &s);
	get(&p, 1);
	peer_expect(&p, "<GET /1 - >"); /* one of the silent made room */
	peer_expect_end(&silent[0]);
	for (int i = 0; i < 3; i++)
		peer_close(&silent[i]);
	peer_close(&p);

	s.hold = true; /* those in work stay: the next one waits */
	for (int i = 0; i < 3; i++) {
		open_to(&silent[i], &s);
		get(&silent[i], i);
	}
	while (s.held_count < 3)
		peer_turn(&silent[0]);
	open_to(&p, &s);
	get(&p, 9);
	for (int i = 0; i < 50; i++)
		peer_turn(&p);
	assert_int_equal(s.held_count, 3);
	s.hold = false;
	for (size_t i = 0; i < 3; i++) {
		answer(&s, s.held[i]);
		peer_turn(&silent[i]);
		peer_close(&silent[i]);
	}
	peer_expect(&p, "<GET /9 - >");
	peer_close(&p);
	finish(&s);
}

/* Without descriptors nothing is lost, nothing spins: it is tried again. */
static void out_of_descriptors(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	struct rlimit old, none;
	start(&s, (struct net_limits){0});
	open_to(&p, &s);
	getrlimit(RLIMIT_NOFILE, &old);
	none = old;
	int next = dup(0);
	close(next);
	none.rlim_cur = (rlim_t)next;
	setrlimit(RLIMIT_NOFILE, &none);
	get(&p, 1);
	for (int i = 0; i < 100; i++)
		peer_turn(&p);
	assert_int_equal(s.seen, 0);
	assert_false(p.eof);
	setrlimit(RLIMIT_NOFILE, &old);
	peer_expect(&p, "<GET /1 - >");
	peer_close(&p);
	finish(&s);
}

static void pause_listening(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	start(&s, (struct net_limits){0});
	net_pause(s.l, true);
	open_to(&p, &s);
	get(&p, 1);
	for (int i = 0; i < 50; i++)
		peer_turn(&p);
	assert_int_equal(s.seen, 0);
	net_pause(s.l, false);
	peer_expect(&p, "<GET /1 - >");
	peer_close(&p);
	finish(&s);
}

static void stop_finishes_what_is_in_work(void **state)
{
	(void)state;
	struct server s;
	struct peer p, idle;
	bool done = false;
	start(&s, (struct net_limits){0});
	open_to(&idle, &s);
	get(&idle, 5);
	peer_expect(&idle, "<GET /5 - >");
	s.hold = true;
	open_to(&p, &s);
	get(&p, 1);
	get(&p, 2);
	while (s.held_count < 2)
		peer_turn(&p);
	net_close(s.l, 10000, on_stopped, &done);
	peer_expect_end(&idle);
	assert_false(done);
	answer(&s, s.held[0]);
	answer(&s, s.held[1]);
	peer_expect_end(&p);
	assert_int_equal(peer_count(&p, "Connection: close"), 1);
	assert_true(peer_has(&p, "<GET /2 - >"));
	peer_close(&p);
	peer_close(&idle);
	turn_until(&s.loop, &done);
	uv_run(&s.loop, UV_RUN_NOWAIT);
	assert_int_equal(uv_loop_close(&s.loop), 0);
}

static void stop_cuts_after_the_grace(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	start(&s, (struct net_limits){0});
	s.hold = true;
	open_to(&p, &s);
	get(&p, 1);
	while (!s.held_count)
		peer_turn(&p);
	bool done = false;
	net_close(s.l, 50, on_stopped, &done);
	peer_expect_end(&p);
	turn_until(&s.loop, &done);
	answer(&s, s.held[0]); /* its owner may keep it longer than the listener lives */
	peer_close(&p);
	uv_run(&s.loop, UV_RUN_NOWAIT);
	assert_int_equal(uv_loop_close(&s.loop), 0);
}

static void bad_addresses(void **state)
{
	(void)state;
	uv_loop_t loop;
	struct error e;
	uv_loop_init(&loop);
	struct net_config config = {.host = "no.such.host", .request = on_request};
	assert_null(net_listen(&loop, &config, &e));
	assert_int_equal(e.code, ERROR_ARGUMENT);
	config.host = "127.0.0.1";
	struct net_listener *l = net_listen(&loop, &config, &e);
	config.port = net_port(l);
	assert_null(net_listen(&loop, &config, &e));
	assert_non_null(strstr(e.message, "Address already in use"));
	stop(&loop, l, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(split_at_every_byte),
		cmocka_unit_test(byte_by_byte),
		cmocka_unit_test(answers_in_order),
		cmocka_unit_test(keep_alive),
		cmocka_unit_test(expect_continue),
		cmocka_unit_test(refusals),
		cmocka_unit_test(refusal_is_read_by_a_sender),
		cmocka_unit_test(slow_headers),
		cmocka_unit_test(dripping_headers),
		cmocka_unit_test(slow_reader),
		cmocka_unit_test(half_closed_client_is_answered),
		cmocka_unit_test(answer_after_the_client_left),
		cmocka_unit_test(free_without_answer_closes),
		cmocka_unit_test(full_house),
		cmocka_unit_test(out_of_descriptors),
		cmocka_unit_test(pause_listening),
		cmocka_unit_test(stop_finishes_what_is_in_work),
		cmocka_unit_test(stop_cuts_after_the_grace),
		cmocka_unit_test(bad_addresses),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
