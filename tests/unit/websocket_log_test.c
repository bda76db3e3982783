/* SPDX-License-Identifier: MIT
 *
 * What libwebsockets says stands in our log: provoked by clients, and in a flood by its own function.
 */
#include "net_peer.h"

#include <pthread.h>

#include "net/websocket_log.h"
#include "observe/observe.h"

/* The library's own way in; its header clashes with others. */
enum { LLL_ERR = 1, LLL_WARN = 2, LLL_NOTICE = 4 };
extern void _lws_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define HANDSHAKE                                                                                                      \
	"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"    \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

struct sink_log {
	int ends[2];
	struct log *log;
	struct buf text;
};

static void open_log(struct sink_log *f, enum log_level level)
{
	*f = (struct sink_log){0};
	assert_int_equal(pipe2(f->ends, O_CLOEXEC | O_NONBLOCK), 0);
	f->log = log_new(&(struct log_options){.fd = f->ends[1], .format = LOG_JSON, .level = level}, NULL);
}

/* All that is written by now. */
static const char *lines(struct sink_log *f)
{
	char bytes[4096];
	assert_true(log_flush(f->log, 5000));
	for (ssize_t n; (n = read(f->ends[0], bytes, sizeof bytes)) > 0;)
		buf_add(&f->text, bytes, (size_t)n);
	buf_add(&f->text, "", 1);
	f->text.len--;
	return f->text.data;
}

static void close_log(struct sink_log *f)
{
	log_free(f->log);
	close(f->ends[0]);
	close(f->ends[1]);
	buf_free(&f->text);
}

static int count(const char *text, const char *what)
{
	int n = 0;
	for (; (text = strstr(text, what)); text += strlen(what))
		n++;
	return n;
}

static void on_request(void *arg, struct net_request *req)
{
	(void)arg;
	net_request_free(req);
}

static void on_open(void *arg, struct net_ws *ws, struct net_request *req)
{
	(void)arg;
	(void)ws;
	net_request_free(req);
}

static void on_message(struct net_ws *ws, const char *bytes, size_t len, bool binary)
{
	(void)ws;
	(void)bytes;
	(void)len;
	(void)binary;
}

static void on_close(struct net_ws *ws, int code)
{
	(void)ws;
	(void)code;
}

static void provoked_by_a_client(void **state)
{
	(void)state;
	struct sink_log f;
	struct peer p;
	uv_loop_t loop;
	struct error e;
	open_log(&f, LOG_LEVEL_DEBUG);
	uv_loop_init(&loop);
	struct net_websocket path = {.path = "/ws", .open = on_open, .message = on_message, .close = on_close};
	struct net_config config = {.request = on_request, .websockets = &path, .websocket_count = 1, .log = f.log};
	struct net_listener *l = net_listen(&loop, &config, &e);
	assert_non_null(l);
	char ping[] = {(char)0x89, (char)(0x80 | 126), 0, 1};
	peer_open(&p, &loop, net_port(l));
	peer_say(&p, HANDSHAKE);
	peer_expect(&p, "\r\n\r\n");
	peer_send(&p, ping, sizeof ping);
	peer_expect_end(&p);
	peer_close(&p);
	stop(&loop, l, 200);
	const char *text = lines(&f);
	assert_non_null(strstr(text, "\"level\":\"warn\",\"msg\":\"Control frame with xtended length is illegal\","
				     "\"module\":\"websocket\"}\n"));
	assert_non_null(strstr(text, "\"level\":\"debug\",\"msg\":\"LWS: ")); /* a notice of its start */
	assert_null(strstr(text, "calling service"));
	assert_int_equal(count(text, "\"level\":\"error\""), 0);
	close_log(&f);
}

static void levels(void **state)
{
	(void)state;
	struct sink_log f;
	open_log(&f, LOG_LEVEL_INFO);
	assert_true(websocket_log_join(f.log));
	_lws_log(LLL_NOTICE, "a notice\n");
	_lws_log(LLL_WARN, "a %s\n", "warning");
	_lws_log(LLL_ERR, "an error without an end");
	const char *text = lines(&f);
	assert_int_equal(count(text, "\n"), 2);
	assert_non_null(strstr(text, "\"level\":\"warn\",\"msg\":\"a warning\""));
	assert_non_null(strstr(text, "\"level\":\"error\",\"msg\":\"an error without an end\""));
	websocket_log_leave();
	close_log(&f);
}

static void *flood(void *arg)
{
	for (int i = 0; i < 500; i++)
		websocket_log_line(LLL_WARN, "flood\n");
	return arg;
}

static void a_flood_is_counted(void **state)
{
	(void)state;
	struct sink_log f;
	pthread_t other;
	open_log(&f, LOG_LEVEL_WARN);
	websocket_log_join(f.log);
	uint64_t begin = uv_hrtime(), end = begin + PEER_PATIENCE_NS;
	pthread_create(&other, NULL, flood, NULL);
	flood(NULL);
	pthread_join(other, NULL);
	size_t seconds = 2 + (size_t)((uv_hrtime() - begin) / 1000000000);
	assert_in_range(count(lines(&f), "flood"), 1, WEBSOCKET_LOG_LINES * seconds);
	while (!strstr(lines(&f), " more lines of libwebsockets") && uv_hrtime() < end)
		_lws_log(LLL_WARN, "after\n");
	assert_non_null(strstr(f.text.data, " more lines of libwebsockets"));
	websocket_log_leave();
	close_log(&f);
}

/* The first has the lines until it leaves; then the next that comes. */
static void several_logs(void **state)
{
	(void)state;
	struct sink_log a, b;
	open_log(&a, LOG_LEVEL_WARN);
	open_log(&b, LOG_LEVEL_WARN);
	assert_false(websocket_log_join(NULL));
	assert_true(websocket_log_join(a.log));
	assert_true(websocket_log_join(a.log));
	assert_false(websocket_log_join(b.log));
	websocket_log_leave();
	_lws_log(LLL_ERR, "to the first\n");
	assert_int_equal(count(lines(&a), "to the first"), 1);
	websocket_log_leave();
	close_log(&a);
	assert_true(websocket_log_join(b.log));
	_lws_log(LLL_ERR, "to the second\n");
	assert_int_equal(count(lines(&b), "to the second"), 1);
	assert_int_equal(count(b.text.data, "to the first"), 0);
	websocket_log_leave();
	close_log(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(provoked_by_a_client),
		cmocka_unit_test(levels),
		cmocka_unit_test(several_logs),
		cmocka_unit_test(a_flood_is_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
