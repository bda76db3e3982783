/* SPDX-License-Identifier: MIT
 *
 * core.net from Lua: lua_net_test.lua says what is served; here are the clients.
 */
#include "net_peer.h"

#include <lauxlib.h>
#include <lualib.h>

#include "base/lua_error.h"
#include "net/lua_net.h"
#include "runtime/task.h"

struct fixture {
	struct runtime *rt;
	lua_State *L;
	int port;
	char error[2000];
};

static void keep_error(void *arg, const char *message)
{
	snprintf(((struct fixture *)arg)->error, 2000, "%s", message);
}

static void run(struct fixture *f, const char *code)
{
	if (luaL_dostring(f->L, code) != LUA_OK)
		fail_msg("%s", lua_tostring(f->L, -1));
}

static void open_fixture(struct fixture *f)
{
	f->error[0] = '\0';
	f->rt = runtime_new(&(struct runtime_options){0}, NULL);
	f->L = luaL_newstate();
	luaL_openlibs(f->L);
	task_open(f->rt, f->L);
	task_on_error(f->L, keep_error, f);
	luaL_requiref(f->L, "core.runtime", luaopen_core_runtime, 0);
	luaL_requiref(f->L, "core.net", luaopen_core_net, 0);
	lua_error_metatable(f->L);
	lua_settop(f->L, 0);
	if (luaL_dofile(f->L, "tests/unit/lua_net_test.lua") != LUA_OK)
		fail_msg("%s", lua_tostring(f->L, -1));
	lua_getglobal(f->L, "server");
	lua_getfield(f->L, -1, "port");
	f->port = (int)lua_tointeger(f->L, -1);
	lua_settop(f->L, 0);
}

static void turn_until_true(struct fixture *f, const char *expression)
{
	uint64_t end = uv_hrtime() + PEER_PATIENCE_NS;
	for (bool done = false; !done;) {
		if (uv_hrtime() > end)
			fail_msg("never came true: %s", expression);
		uv_run(runtime_loop(f->rt), UV_RUN_NOWAIT);
		run(f, expression);
		done = lua_toboolean(f->L, -1);
		lua_settop(f->L, 0);
	}
}

static void close_fixture(struct fixture *f)
{
	run(f, "rt.spawn(function() server:close(100) stopped = true end)");
	turn_until_true(f, "return stopped");
	lua_close(f->L);
	assert_int_equal(runtime_free(f->rt), 0);
}

static void open_to(struct peer *p, struct fixture *f)
{
	peer_open(p, runtime_loop(f->rt), f->port);
}

static void requests(void **state)
{
	(void)state;
	struct fixture f;
	struct peer p;
	open_fixture(&f);
	open_to(&p, &f);
	peer_say(&p,
		 "POST /echo%20me?a=1&b=x%20y+z&c HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nContent-Length: 4\r\n\r\nbody");
	peer_expect(&p, "POST|/echo me|1|x y z||body|1|127.0.0.1|nil");
	assert_true(peer_has(&p, "HTTP/1.1 201 Created\r\n"));
	assert_true(peer_has(&p, "X-Number: 12\r\n"));
	assert_true(peer_has(&p, "Content-Type: application/json\r\n"));
	buf_clear(&p.in);
	peer_say(&p, "GET /wait HTTP/1.1\r\nHost: a\r\n\r\nGET /quick HTTP/1.1\r\nHost: a\r\n\r\n");
	peer_expect(&p, "quick");
	assert_true(strstr(p.in.data, "waited") < strstr(p.in.data, "quick"));
	assert_string_equal(f.error, "");
	peer_close(&p);
	close_fixture(&f);
}

static void errors(void **state)
{
	(void)state;
	static const struct {
		const char *path, *status, *body, *error;
	} cases[] = {
		{"/silent", "500 ", "{\"error\":{\"code\":5000,\"message\":\"the request was not answered\"}}", ""},
		{"/crash", "500 ", "{\"error\":{\"code\":5000,\"message\":\"server error\"}}", "oops"},
		{"/late-crash", "500 ", "{\"error\":{\"code\":5000,\"message\":\"server error\"}}", "oops later"},
		{"/refuse", "400 ", "{\"error\":{\"code\":4200,\"message\":\"bad \\\"x\\\"\"}}", ""},
		{"/unauthorized", "401 ", "{\"error\":{\"code\":4101,\"message\":\"no\"}}", ""},
		{"/twice", "200 ", "once", "was answered"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct fixture f;
		struct peer p;
		char text[128];
		open_fixture(&f);
		open_to(&p, &f);
		snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", cases[i].path);
		peer_say(&p, text);
		peer_expect(&p, cases[i].body);
		peer_expect(&p, cases[i].status);
		if (*cases[i].error)
			assert_non_null(strstr(f.error, cases[i].error));
		else
			assert_string_equal(f.error, "");
		peer_close(&p);
		close_fixture(&f);
	}
}

static void ask(struct peer *p, struct fixture *f, const char *method, const char *path)
{
	char text[128];
	open_to(p, f);
	snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: a\r\n\r\n", method, path);
	peer_say(p, text);
}

static void streams(void **state)
{
	(void)state;
	struct fixture f;
	struct peer p;
	open_fixture(&f);
	ask(&p, &f, "GET", "/stream-plain");
	peer_expect(&p, "9\r\nall of it\r\n0\r\n\r\n");
	assert_true(peer_has(&p, "HTTP/1.1 201 Created\r\n"));
	peer_close(&p);
	ask(&p, &f, "GET", "/stream");
	peer_expect(&p, "6\r\nfirst \r\n6\r\nsecond\r\n");
	assert_true(peer_has(&p, "Content-Type: text/event-stream\r\n") && peer_has(&p, "X-Number: 12\r\n"));
	run(&f, "collectgarbage() assert(stream.open and first_send > 6 and stream:queued() == 0)");
	assert_string_equal(f.error, "");
	peer_close(&p);
	turn_until_true(&f, "return stream_ended == 'gone' and not stream.open");
	assert_string_equal(f.error, "");
	close_fixture(&f);
}

static void streams_that_fail(void **state)
{
	(void)state;
	struct fixture f;
	struct peer p;
	open_fixture(&f);
	ask(&p, &f, "GET", "/stream-crash");
	peer_expect_end(&p);
	assert_true(peer_has(&p, "begun") && !peer_has(&p, "0\r\n\r\n"));
	assert_non_null(strstr(f.error, "oops in a stream"));
	turn_until_true(&f, "return stream_ended == 'gone'");
	peer_close(&p);
	ask(&p, &f, "GET", "/stream-none");
	peer_expect(&p, "an answer of status 204 has no body to stream");
	peer_close(&p);
	ask(&p, &f, "GET", "/stream-bad");
	peer_expect(&p, "HTTP/1.1 500 ");
	peer_close(&p);
	close_fixture(&f);
}

static void streams_at_the_stop(void **state)
{
	(void)state;
	struct fixture f;
	struct peer p, q;
	open_fixture(&f);
	ask(&q, &f, "HEAD", "/stream-plain");
	peer_expect(&q, "chunked\r\n\r\n");
	ask(&p, &f, "GET", "/stream");
	peer_expect(&p, "second");
	run(&f, "rt.spawn(function() server:drain(5000) drained = true end)");
	peer_expect_end(&p);
	assert_true(peer_has(&p, "second\r\n0\r\n\r\n"));
	turn_until_true(&f, "return drained and stream_ended == 'stopped'");
	assert_string_equal(f.error, "");
	peer_close(&p);
	peer_close(&q);
	close_fixture(&f);
}

#define HANDSHAKE                                                                                                      \
	"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"    \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: srvthreds.v1\r\n\r\n"

static void send_text(struct peer *p, const char *text)
{
	char b[200];
	size_t len = strlen(text);
	b[0] = (char)0x81;
	b[1] = (char)(0x80 | len);
	memset(b + 2, 0, 4);
	memcpy(b + 6, text, len);
	peer_send(p, b, len + 6);
}

static void websockets(void **state)
{
	(void)state;
	struct fixture f;
	struct peer p;
	open_fixture(&f);
	open_to(&p, &f);
	peer_say(&p, HANDSHAKE);
	peer_expect(&p, "hello 127.0.0.1 nil");
	send_text(&p, "one");
	send_text(&p, "two");
	peer_expect(&p, "1:one");
	peer_expect(&p, "2:two");
	for (int i = 0; i < 10; i++) /* more at once than are taken: they wait */
		send_text(&p, "hold");
	turn_until_true(&f, "return holding == 4");
	for (int i = 0; i < 50; i++)
		peer_turn(&p);
	turn_until_true(&f, "return holding == 4");
	run(&f, "for _ = 1, 10 do gate:put(true) end");
	turn_until_true(&f, "return held == 10");
	send_text(&p, "bye");
	peer_expect(&p, "bye bye");
	peer_close(&p);
	turn_until_true(&f, "return closed == 4001");
	assert_string_equal(f.error, "");
	close_fixture(&f);
}

static void clients(void **state)
{
	(void)state;
	struct fixture f;
	open_fixture(&f);
	run(&f, "rt.spawn(client)");
	turn_until_true(&f, "return finished ~= nil");
	run(&f, "return finished");
	assert_string_equal(lua_tostring(f.L, -1), "yes");
	assert_string_equal(f.error, "");
	close_fixture(&f);
}

/* Clients in the middle of things when the state goes. */
static void clients_cut(void **state)
{
	(void)state;
	struct fixture f;
	open_fixture(&f);
	run(&f, "rt.spawn(half_a_client) rt.spawn(half_a_request)");
	turn_until_true(&f, "return half == true and holding == 1");
	lua_close(f.L);
	for (int i = 0; i < 1000; i++)
		uv_run(runtime_loop(f.rt), UV_RUN_NOWAIT);
	assert_int_equal(runtime_free(f.rt), 0);
}

/* The state goes while the server is open: its handles close all the same. */
static void state_closed_first(void **state)
{
	(void)state;
	struct fixture f;
	struct peer p;
	open_fixture(&f);
	open_to(&p, &f);
	peer_say(&p, HANDSHAKE);
	peer_expect(&p, "hello");
	struct peer q;
	ask(&q, &f, "GET", "/stream");
	peer_expect(&q, "second");
	lua_close(f.L);
	peer_expect_end(&p);
	peer_expect_end(&q);
	peer_close(&q);
	for (int i = 0; i < 100; i++)
		peer_turn(&p);
	peer_close(&p);
	assert_int_equal(runtime_free(f.rt), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests),
		cmocka_unit_test(errors),
		cmocka_unit_test(websockets),
		cmocka_unit_test(state_closed_first),
		cmocka_unit_test(clients),
		cmocka_unit_test(clients_cut),
		cmocka_unit_test(streams),
		cmocka_unit_test(streams_that_fail),
		cmocka_unit_test(streams_at_the_stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
