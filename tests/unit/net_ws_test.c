/* SPDX-License-Identifier: MIT */
#include "net_frame.h"

struct server {
	uv_loop_t loop;
	struct net_listener *l;
	struct net_ws *ws; /* the last opened */
	int opened, closed, code, messages;
	size_t last_len;
	bool quiet; /* no echo */
	struct buf got;
	char token[64];
};

static void on_request(void *arg, struct net_request *req)
{
	(void)arg;
	net_respond(req, 200, NULL, 0, "{}", 2);
}

static void on_open(void *arg, struct net_ws *ws, struct net_request *req)
{
	struct server *s = arg;
	const char *token = net_request_header(req, "Authorization");
	snprintf(s->token, sizeof s->token, "%s", token ? token : "");
	net_request_free(req);
	net_ws_set_data(ws, s);
	s->ws = ws;
	s->opened++;
}

static void on_message(struct net_ws *ws, const char *bytes, size_t len, bool binary)
{
	struct server *s = net_ws_data(ws);
	s->messages++;
	s->last_len = len;
	buf_clear(&s->got);
	buf_add(&s->got, bytes, len);
	if (!s->quiet)
		net_ws_send(ws, bytes, len);
	assert_false(binary);
}

static void on_close(struct net_ws *ws, int code)
{
	struct server *s = net_ws_data(ws);
	s->closed++;
	s->code = code;
	if (s->ws == ws)
		s->ws = NULL;
}

static void start(struct server *s, struct net_limits limits)
{
	struct error e;
	const char *origins[] = {"https://good.example"};
	*s = (struct server){0};
	uv_loop_init(&s->loop);
	struct net_websocket paths[] = {
		{.path = "/ws", .protocol = "srvthreds.v1", .arg = s},
		{.path = "/plain", .arg = s},
	};
	for (size_t i = 0; i < 2; i++) {
		paths[i].open = on_open;
		paths[i].message = on_message;
		paths[i].close = on_close;
	}
	struct net_config config = {.arg = s,
				    .request = on_request,
				    .limits = limits,
				    .websockets = paths,
				    .websocket_count = 2,
				    .origins = origins,
				    .origin_count = 1};
	s->l = net_listen(&s->loop, &config, &e);
	assert_non_null(s->l);
}

static void finish(struct server *s)
{
	stop(&s->loop, s->l, 200);
	assert_int_equal(s->opened, s->closed);
	buf_free(&s->got);
}

#define KEY       "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define UPGRADE   "Host: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
#define HANDSHAKE "GET /ws HTTP/1.1\r\n" UPGRADE KEY "Sec-WebSocket-Protocol: x, srvthreds.v1\r\n"

static void send_frame(struct peer *p, int head, const char *bytes, size_t len)
{
	char *b = malloc(len + 14);
	peer_send(p, b, frame(b, head, bytes, len));
	free(b);
}

static void open_to(struct peer *p, struct server *s)
{
	peer_open(p, &s->loop, net_port(s->l));
	peer_say(p, HANDSHAKE "\r\n");
	peer_expect(p, "\r\n\r\n");
	assert_true(peer_has(p, "HTTP/1.1 101"));
	buf_clear(&p->in);
}

static void expect_text(struct peer *p, const char *text)
{
	char *bytes;
	size_t len;
	assert_int_equal(next_frame(p, &bytes, &len), 0x81);
	assert_string_equal(bytes, text);
	free(bytes);
}

static void expect_close(struct peer *p, int code)
{
	char *bytes;
	size_t len;
	int kind = next_frame(p, &bytes, &len);
	while (kind == 0x81) {
		free(bytes);
		kind = next_frame(p, &bytes, &len);
	}
	assert_int_equal(kind, 0x88);
	assert_true(len >= 2);
	assert_int_equal((unsigned char)bytes[0] << 8 | (unsigned char)bytes[1], code);
	free(bytes);
}

static void wait_closed(struct server *s, int n)
{
	uint64_t end = uv_hrtime() + PEER_PATIENCE_NS;
	while (s->closed < n) {
		if (uv_hrtime() > end)
			fail_msg("no close");
		uv_run(&s->loop, UV_RUN_NOWAIT);
	}
}

static void wait_messages(struct server *s, int n)
{
	uint64_t end = uv_hrtime() + PEER_PATIENCE_NS;
	while (s->messages < n) {
		if (uv_hrtime() > end)
			fail_msg("%d messages of %d", s->messages, n);
		uv_run(&s->loop, UV_RUN_NOWAIT);
	}
}

static void echo(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	start(&s, (struct net_limits){0});
	peer_open(&p, &s.loop, net_port(s.l));
	peer_say(&p, HANDSHAKE "Authorization: Bearer t0\r\n\r\n");
	peer_expect(&p, "\r\n\r\n");
	assert_true(peer_has(&p, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
	assert_true(peer_has(&p, "Sec-WebSocket-Protocol: srvthreds.v1\r\n"));
	assert_string_equal(s.token, "Bearer t0");
	buf_clear(&p.in);
	send_frame(&p, 0x81, "{}", 2);
	expect_text(&p, "{}");
	send_frame(&p, 0x81, "\xE2\x82\xAC", 3);
	expect_text(&p, "\xE2\x82\xAC");
	send_frame(&p, 0x88, "\x03\xE8", 2);
	expect_close(&p, 1000);
	wait_closed(&s, 1);
	assert_int_equal(s.code, 1000);
	peer_close(&p);
	finish(&s);
}

static void upgrade_refusals(void **state)
{
	(void)state;
	static const struct {
		const char *request, *status;
	} cases[] = {
		{"GET /nowhere HTTP/1.1\r\n" UPGRADE KEY "Sec-WebSocket-Protocol: srvthreds.v1\r\n\r\n", "404 "},
		{"POST /ws HTTP/1.1\r\n" UPGRADE KEY "Sec-WebSocket-Protocol: srvthreds.v1\r\n\r\n", "400 "},
		{"GET /ws HTTP/1.1\r\n" UPGRADE KEY "\r\n", "400 "},
		{"GET /ws HTTP/1.1\r\n" UPGRADE KEY "Sec-WebSocket-Protocol: srvthreds\r\n\r\n", "400 "},
		{"GET /ws HTTP/1.1\r\n" UPGRADE "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n"
		 "Sec-WebSocket-Protocol: srvthreds.v1\r\n\r\n",
		 "400 "},
		{"GET /ws HTTP/1.1\r\n" UPGRADE "Sec-WebSocket-Version: 8\r\n\r\n", "426 "},
		{HANDSHAKE "Origin: https://evil.example\r\n\r\n", "403 "},
		{HANDSHAKE "Origin: null\r\n\r\n", "403 "},
	};
	struct server s;
	struct peer p;
	start(&s, (struct net_limits){0});
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		peer_open(&p, &s.loop, net_port(s.l));
		peer_say(&p, cases[i].request);
		peer_expect_end(&p);
		peer_expect(&p, cases[i].status);
		assert_true(peer_has(&p, "{\"error\":{\"code\":4000,"));
		peer_close(&p);
	}
	assert_int_equal(s.opened, 0);
	static const char *const origins[] = {"http://a", "https://good.example"};
	for (size_t i = 0; i < 2; i++) {
		char text[1024];
		peer_open(&p, &s.loop, net_port(s.l));
		snprintf(text, sizeof text, HANDSHAKE "Origin: %s\r\n\r\n", origins[i]);
		peer_say(&p, text);
		peer_expect(&p, "HTTP/1.1 101");
		peer_close(&p);
	}
	peer_open(&p, &s.loop, net_port(s.l));
	peer_say(&p, "GET /plain?x=1 HTTP/1.1\r\n" UPGRADE KEY "\r\n");
	peer_expect(&p, "HTTP/1.1 101");
	assert_false(peer_has(&p, "Sec-WebSocket-Protocol"));
	peer_close(&p);
	/* another upgrade than ours is a plain request */
	peer_open(&p, &s.loop, net_port(s.l));
	peer_say(&p, "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n");
	peer_expect(&p, "{}");
	peer_close(&p);
	finish(&s);
}

static void handshake_split_at_every_byte(void **state)
{
	(void)state;
	static const char whole[] = HANDSHAKE "\r\n";
	struct server s;
	char bytes[sizeof whole + 64];
	start(&s, (struct net_limits){0});
	memcpy(bytes, whole, sizeof whole - 1);
	size_t len = sizeof whole - 1;
	len += frame(bytes + len, 0x81, "one", 3);
	len += frame(bytes + len, 0x81, "two", 3);
	for (size_t cut = 1; cut < len; cut++) {
		struct peer p;
		peer_open(&p, &s.loop, net_port(s.l));
		peer_send(&p, bytes, cut);
		for (int i = 0; i < 4; i++)
			peer_turn(&p);
		peer_send(&p, bytes + cut, len - cut);
		peer_expect(&p, "\r\n\r\n");
		forget(&p, (size_t)(strstr(p.in.data, "\r\n\r\n") + 4 - p.in.data));
		expect_text(&p, "one");
		expect_text(&p, "two");
		peer_close(&p);
	}
	assert_int_equal(s.opened, (int)len - 1);
	finish(&s);
}

/* Much behind the handshake in the same write. */
static void frames_glued_to_the_handshake(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	start(&s, (struct net_limits){0});
	struct buf all = {0};
	buf_add_str(&all, HANDSHAKE "\r\n");
	for (int i = 0; i < 500; i++) {
		char b[128], text[64];
		snprintf(text, sizeof text, "message %d of many that came with the handshake", i);
		buf_add(&all, b, frame(b, 0x81, text, strlen(text)));
	}
	peer_open(&p, &s.loop, net_port(s.l));
	peer_send(&p, all.data, all.len);
	peer_expect(&p, "\r\n\r\n");
	forget(&p, (size_t)(strstr(p.in.data, "\r\n\r\n") + 4 - p.in.data));
	for (int i = 0; i < 500; i++) {
		char text[64];
		snprintf(text, sizeof text, "message %d of many that came with the handshake", i);
		expect_text(&p, text);
	}
	buf_free(&all);
	peer_close(&p);
	finish(&s);
}

static void fragments(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	start(&s, (struct net_limits){.message_size = 300000});
	open_to(&p, &s);
	send_frame(&p, 0x01, "a\xE2", 2); /* cut within a character */
	send_frame(&p, 0x89, "p", 1);
	send_frame(&p, 0x00, "\x82", 1);
	send_frame(&p, 0x00, "", 0);
	send_frame(&p, 0x80, "\xAC.", 2);
	char *bytes;
	size_t len;
	for (int i = 0; i < 2; i++) { /* the pong and the message, in either order */
		bool pong = next_frame(&p, &bytes, &len) == 0x8A;
		assert_string_equal(bytes, pong ? "p" : "a\xE2\x82\xAC.");
		free(bytes);
	}
	send_frame(&p, 0x81, "", 0);
	wait_messages(&s, 2);
	assert_int_equal(s.last_len, 0);
	expect_text(&p, "");

	char *big = malloc(300000);
	memset(big, 'b', 300000);
	send_frame(&p, 0x81, big, 300000);
	assert_int_equal(next_frame(&p, &bytes, &len), 0x81);
	assert_int_equal(len, 300000);
	assert_memory_equal(bytes, big, 300000);
	free(bytes);
	send_frame(&p, 0x01, big, 150000);
	send_frame(&p, 0x80, big, 150001);
	expect_close(&p, 1009);
	free(big);
	peer_close(&p);
	wait_closed(&s, 1);
	assert_int_equal(s.code, 1009);
	assert_int_equal(s.messages, 3);
	finish(&s);
}

static void protocol_errors(void **state)
{
	(void)state;
	static const struct {
		int head;
		const char *bytes;
		int code;
	} cases[] = {{0x81, "ab\xFF", 1007},
		     {0x81, "\xE2\x82", 1007},
		     {0x83, "x", 1002},
		     {0x80, "x", 1002},
		     {0xC1, "x", 1002}};
	struct server s;
	start(&s, (struct net_limits){0});
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct peer p;
		open_to(&p, &s);
		send_frame(&p, cases[i].head, cases[i].bytes, strlen(cases[i].bytes));
		expect_close(&p, cases[i].code);
		peer_close(&p);
		wait_closed(&s, (int)i + 1);
	}
	assert_int_equal(s.messages, 0);
	finish(&s);
}

static void closes(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	char *bytes;
	size_t len;
	start(&s, (struct net_limits){0});
	open_to(&p, &s);
	net_ws_send(s.ws, "last", 4);
	net_ws_close(s.ws, 4101, "go away");
	assert_int_equal(net_ws_send(s.ws, "more", 4), -1);
	expect_text(&p, "last");
	assert_int_equal(next_frame(&p, &bytes, &len), 0x88);
	assert_int_equal(len, 9);
	assert_string_equal(bytes + 2, "go away");
	free(bytes);
	send_frame(&p, 0x88, "\x10\x05", 2);
	wait_closed(&s, 1);
	assert_int_equal(s.code, 4101);
	peer_close(&p);

	open_to(&p, &s); /* without a close frame */
	peer_close(&p);
	wait_closed(&s, 2);
	assert_int_equal(s.code, 1006);

	open_to(&p, &s); /* with one that says nothing */
	send_frame(&p, 0x88, "", 0);
	wait_closed(&s, 3);
	assert_int_equal(s.code, 1005);
	peer_close(&p);
	finish(&s);
}

static void many_messages_leave_together(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	start(&s, (struct net_limits){0});
	open_to(&p, &s);
	char text[500];
	for (int i = 0; i < 3000; i++) {
		int n = snprintf(text, sizeof text, "%d-%0*d", i, i % 400 + 1, 0);
		assert_true(net_ws_send(s.ws, text, (size_t)n) > 0);
		if (i % 100 == 0)
			send_frame(&p, 0x89, "p", 1); /* pongs go between whole frames */
	}
	char *bytes;
	size_t len;
	for (int i = 0; i < 3000;) {
		int kind = next_frame(&p, &bytes, &len);
		if (kind == 0x81) {
			snprintf(text, sizeof text, "%d-%0*d", i, i % 400 + 1, 0);
			assert_string_equal(bytes, text);
			i++;
		} else {
			assert_int_equal(kind, 0x8A);
		}
		free(bytes);
	}
	peer_close(&p);
	finish(&s);
}

static void slow_reader(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	char kilobyte[1024];
	memset(kilobyte, 'k', sizeof kilobyte);
	start(&s, (struct net_limits){.send_queue = 100000});
	open_to(&p, &s);
	int small = 4096, sent = 0;
	setsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	while (net_ws_send(s.ws, kilobyte, sizeof kilobyte) > 0) {
		if (++sent % 50 == 0)
			uv_run(&s.loop, UV_RUN_NOWAIT);
		assert_true(sent < 100000);
	}
	wait_closed(&s, 1); /* though it doesn't read at all */
	assert_int_equal(s.code, 1013);
	peer_close(&p);

	open_to(&p, &s); /* this one wakes up and is told */
	for (sent = 0; net_ws_send(s.ws, kilobyte, sizeof kilobyte) > 0;)
		if (++sent % 50 == 0)
			uv_run(&s.loop, UV_RUN_NOWAIT);
	expect_close(&p, 1013);
	peer_close(&p);
	wait_closed(&s, 2);
	finish(&s);
}

static void pause_reading(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	start(&s, (struct net_limits){0});
	s.quiet = true;
	open_to(&p, &s);
	for (int round = 1; round <= 3; round++) {
		int before = s.messages;
		net_ws_pause(s.ws, true);
		for (int i = 0; i < 300; i++)
			send_frame(&p, 0x81, "0123456789012345678901234567890123456789", 40);
		for (int i = 0; i < 50; i++)
			peer_turn(&p);
		assert_int_equal(s.messages, before);
		net_ws_pause(s.ws, false);
		wait_messages(&s, 300 * round);
	}
	peer_close(&p);
	finish(&s);
}

static void silent_clients_are_asked(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	char *bytes;
	size_t len;
	start(&s, (struct net_limits){.ping_ms = 1000});
	open_to(&p, &s);
	assert_int_equal(next_frame(&p, &bytes, &len) & 0x0F, 9);
	send_frame(&p, 0x8A, bytes, len);
	free(bytes);
	assert_int_equal(next_frame(&p, &bytes, &len) & 0x0F, 9);
	assert_int_equal(s.closed, 0);
	free(bytes);
	wait_closed(&s, 1); /* no pong this time */
	peer_close(&p);
	finish(&s);
}

/* Its answers lie unread: for longer than anybody else would be waited for. */
static void who_is_paused_is_not_given_up(void **state)
{
	(void)state;
	struct server s;
	struct peer p;
	start(&s, (struct net_limits){.ping_ms = 1000});
	open_to(&p, &s);
	net_ws_pause(s.ws, true);
	for (uint64_t begun = uv_hrtime(); uv_hrtime() - begun < 2700000000u && !s.closed;)
		peer_turn(&p);
	assert_int_equal(s.closed, 0);
	net_ws_pause(s.ws, false);
	send_frame(&p, 0x81, "hello", 5);
	wait_messages(&s, 1);
	wait_closed(&s, 1); /* from now on it has to answer */
	peer_close(&p);
	finish(&s);
}

static void stop_says_1012(void **state)
{
	(void)state;
	struct server s;
	struct peer p, mute;
	bool done = false;
	start(&s, (struct net_limits){0});
	open_to(&p, &s);
	open_to(&mute, &s);
	net_ws_send(s.ws, "before", 6);
	net_close(s.l, 300, on_stopped, &done);
	expect_close(&p, 1012);
	send_frame(&p, 0x88, "\x03\xF4", 2);
	wait_closed(&s, 1);
	expect_text(&mute, "before");
	expect_close(&mute, 1012); /* it doesn't answer: cut after the grace */
	turn_until(&s.loop, &done);
	assert_int_equal(s.closed, 2);
	assert_int_equal(s.code, 1012);
	uv_run(&s.loop, UV_RUN_NOWAIT);
	assert_int_equal(uv_loop_close(&s.loop), 0);
	peer_close(&p);
	peer_close(&mute);
	buf_free(&s.got);
}

static void many_clients(void **state)
{
	(void)state;
	enum { N = 200 };
	struct server s;
	static struct peer p[N];
	start(&s, (struct net_limits){0});
	for (int i = 0; i < N; i++)
		open_to(&p[i], &s);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < N; i++)
			send_frame(&p[i], 0x81, "hello", 5);
		for (int i = 0; i < N; i++)
			expect_text(&p[i], "hello");
	}
	size_t connections, websockets;
	net_counts(s.l, &connections, &websockets);
	assert_int_equal(connections, 0);
	assert_int_equal(websockets, N);
	for (int i = 0; i < N / 2; i++)
		peer_close(&p[i]);
	wait_closed(&s, N / 2);
	finish(&s);
	for (int i = N / 2; i < N; i++)
		peer_close(&p[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(echo),
		cmocka_unit_test(upgrade_refusals),
		cmocka_unit_test(handshake_split_at_every_byte),
		cmocka_unit_test(frames_glued_to_the_handshake),
		cmocka_unit_test(fragments),
		cmocka_unit_test(protocol_errors),
		cmocka_unit_test(closes),
		cmocka_unit_test(many_messages_leave_together),
		cmocka_unit_test(slow_reader),
		cmocka_unit_test(pause_reading),
		cmocka_unit_test(silent_clients_are_asked),
		cmocka_unit_test(who_is_paused_is_not_given_up),
		cmocka_unit_test(stop_says_1012),
		cmocka_unit_test(many_clients),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
