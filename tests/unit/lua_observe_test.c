/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/lua_error.h"
#include "observe/observe.h"

struct fixture {
	int ends[2];
	struct log *log;
	struct metrics *metrics;
	lua_State *L;
	char text[8192];
};

static int64_t epoch(void *arg)
{
	(void)arg;
	return 0;
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof *f);
	assert_int_equal(pipe2(f->ends, O_CLOEXEC), 0);
	f->log = log_new(&(struct log_options){.fd = f->ends[1], .level = LOG_LEVEL_INFO, .now = epoch}, NULL);
	f->metrics = metrics_new();
	f->L = luaL_newstate();
	luaL_openlibs(f->L);
	observe_bind(f->L, f->log, f->metrics);
	luaL_requiref(f->L, "log", luaopen_core_log, 1);
	luaL_requiref(f->L, "metrics", luaopen_core_metrics, 1);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	lua_close(f->L);
	log_free(f->log);
	metrics_free(f->metrics);
	close(f->ends[0]);
	close(f->ends[1]);
	free(f);
	return 0;
}

static void run(struct fixture *f, const char *code)
{
	if (luaL_dostring(f->L, code))
		fail_msg("%s", luaL_tolstring(f->L, -1, NULL));
}

/* What the code logs, without the time that each line begins with. */
static const char *logs(struct fixture *f, const char *code)
{
	run(f, code);
	assert_true(log_flush(f->log, 10000));
	ssize_t n = read(f->ends[0], f->text, sizeof f->text - 1);
	f->text[n > 0 ? n : 0] = '\0';
	const char *time = "{\"ts\":\"1970-01-01T00:00:00.000Z\",";
	assert_int_equal(strncmp(f->text, time, strlen(time)), 0);
	return f->text + strlen(time);
}

static void fields_of_every_type(void **state)
{
	assert_string_equal(
		logs(*state, "log.info('done', {n = 1, x = 0.5, ok = true, who = 'ann', [7] = 'no', "
			     "z = setmetatable({}, {__tostring = function() return 'Z' .. 1 end})})"),
		"\"level\":\"info\",\"msg\":\"done\",\"n\":1,\"ok\":true,\"who\":\"ann\",\"x\":0.5,\"z\":\"Z1\"}\n");
}

static void loggers_add_their_fields(void **state)
{
	struct fixture *f = *state;
	run(f, "fields = {module = 'store', thred_id = 't', n = 1}  store = log.logger(fields)  fields.n = 9");
	assert_string_equal(
		logs(f, "store.warn('slow', {n = 2, event_id = 'e'})"),
		"\"level\":\"warn\",\"msg\":\"slow\",\"module\":\"store\",\"thred_id\":\"t\",\"event_id\":\"e\","
		"\"n\":2}\n");
	assert_string_equal(logs(f, "store.error('again')"),
			    "\"level\":\"error\",\"msg\":\"again\",\"module\":\"store\",\"thred_id\":\"t\",\"n\":1}\n");
}

static void error_tables_tell_code_message_and_cause(void **state)
{
	struct fixture *f = *state;
	struct error error;
	error_set(&error, ERROR_SERVER, "no row");
	error_wrap(&error, ERROR_NOT_FOUND, "no thred");
	lua_error_push(f->L, &error);
	lua_setglobal(f->L, "e");
	assert_string_equal(logs(f, "log.error('failed', {err = e})"),
			    "\"level\":\"error\",\"msg\":\"failed\",\"err_code\":5201,\"err\":\"no thred: no row\"}\n");
	assert_string_equal(logs(f, "log.error('failed', {err = 'plain'})"),
			    "\"level\":\"error\",\"msg\":\"failed\",\"err\":\"plain\"}\n");
}

static void levels(void **state)
{
	struct fixture *f = *state;
	assert_string_equal(logs(f, "log.debug('unseen')  log.level('store', 'debug')"
				    "log.logger{module = 'store'}.debug('seen')"),
			    "\"level\":\"debug\",\"msg\":\"seen\",\"module\":\"store\"}\n");
	run(f,
	    "assert(log.level() == 'info' and log.level('store', nil) == 'debug' and log.level('net', nil) == 'info')");
	run(f, "log.level('error')  assert(log.level('net', nil) == 'error')");
	run(f, "assert(log.levels() == 'error,store=debug')  log.reset('warn')  assert(log.levels() == 'warn')");
	run(f, "local ok, e = pcall(log.level, 'loud')  assert(not ok and e.code == 4200 and "
	       "tostring(e):find('debug, info, warn or error', 1, true))");
}

static void a_hundred_fields_harm_nothing(void **state)
{
	assert_non_null(
		strstr(logs(*state, "local t = {}  for i = 1, 100 do t['k' .. i] = {} end  log.info('many', t)"),
		       "\"msg\":\"many\""));
}

static void configured_from_lua(void **state)
{
	assert_string_equal(
		logs(*state, "log.configure{format = 'json', service = 'engine', instance = 'i'}  log.info('x')"),
		"\"level\":\"info\",\"msg\":\"x\",\"service\":\"engine\",\"instance\":\"i\"}\n");
}

static void counters_gauges_histograms(void **state)
{
	run(*state, "local c = metrics.counter('srvthreds_events_received_total', {type = 'a'})  c:add()  c:add(2)"
		    "metrics.gauge('sessions'):set(4)  metrics.gauge('sessions'):add(-1)"
		    "metrics.histogram('lock_wait_seconds'):observe(0.2)"
		    "local text = metrics.text()"
		    "assert(text:find('srvthreds_events_received_total{type=\"a\"} 3\\n', 1, true), text)"
		    "assert(text:find('\\nsrvthreds_sessions 3\\n', 1, true), text)"
		    "assert(text:find('srvthreds_lock_wait_seconds_bucket{le=\"0.25\"} 1\\n', 1, true), text)");
}

static void mistakes_are_explained(void **state)
{
	run(*state, "local function fails(expected, fn, ...) local ok, e = pcall(fn, ...)"
		    "  assert(not ok and tostring(e):find(expected, 1, true), tostring(e)) end "
		    "fails('no metric \"nothing\"', metrics.counter, 'nothing')"
		    "fails('is a gauge, not a counter', metrics.counter, 'sessions')"
		    "fails('needs the label \"type\"', metrics.counter, 'events_received_total')"
		    "fails('needs the label \"reaction\"', metrics.gauge, 'threds', {pattern = 'p'})"
		    "fails('never goes down', function() metrics.counter('commits_refused_total'):add(-1) end)"
		    "fails('counter expected', metrics.counter('commits_refused_total').add, 1)");
}

static void unbound_it_makes_its_own(void **state)
{
	(void)state;
	lua_State *L = luaL_newstate();
	luaL_openlibs(L);
	luaL_requiref(L, "log", luaopen_core_log, 1);
	luaL_requiref(L, "metrics", luaopen_core_metrics, 1);
	assert_int_equal(luaL_dostring(L, "log.debug('unseen')  assert(log.level() == 'info' and #metrics.text() > 0)"),
			 0);
	lua_close(L);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {TEST(fields_of_every_type),
					   TEST(loggers_add_their_fields),
					   TEST(error_tables_tell_code_message_and_cause),
					   TEST(levels),
					   TEST(a_hundred_fields_harm_nothing),
					   TEST(configured_from_lua),
					   TEST(counters_gauges_histograms),
					   TEST(mistakes_are_explained),
					   cmocka_unit_test(unbound_it_makes_its_own)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
