/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>
#include <lauxlib.h>
#include <lualib.h>

#include "runtime/private.h"
#include "runtime/task.h"

struct fixture {
	struct runtime *rt;
	lua_State *L;
	char error[2000];
};

static void keep_error(void *arg, const char *message)
{
	snprintf(((struct fixture *)arg)->error, 2000, "%s", message);
}

static void open_fixture(struct fixture *f, bool virtual_time)
{
	f->rt = runtime_new(&(struct runtime_options){.virtual_time = virtual_time, .start_ms = 1000}, NULL);
	assert_non_null(f->rt);
	f->L = luaL_newstate();
	luaL_openlibs(f->L);
	task_open(f->rt, f->L);
	f->error[0] = '\0';
	task_on_error(f->L, keep_error, f);
	luaL_requiref(f->L, "core.runtime", luaopen_core_runtime, 0);
	lua_setglobal(f->L, "rt");
	assert_int_equal(luaL_dostring(f->L, "out = {} function say(x) out[#out + 1] = tostring(x) end"), LUA_OK);
}

static void run(struct fixture *f, const char *code)
{
	if (luaL_dostring(f->L, code) != LUA_OK)
		fail_msg("%s", lua_tostring(f->L, -1));
}

static void expect(struct fixture *f, const char *want)
{
	assert_int_equal(luaL_dostring(f->L, "return table.concat(out, ' ')"), LUA_OK);
	assert_string_equal(lua_tostring(f->L, -1), want);
	lua_pop(f->L, 1);
}

static void close_fixture(struct fixture *f)
{
	assert_string_equal(f->error, "");
	lua_close(f->L);
	assert_int_equal(runtime_free(f->rt), 0);
}

static void virtual_time_runs_timers_in_order(void **state)
{
	(void)state;
	struct fixture f;
	open_fixture(&f, true);
	run(&f, "for _, ms in ipairs { 30, 10, 20, 10 } do rt.spawn(function() rt.sleep(ms) say(ms .. '@' .. rt.now()) "
		"end) end");
	run(&f, "rt.advance(15)");
	expect(&f, "10@1010 10@1010");
	run(&f, "rt.advance(90 * 24 * 3600 * 1000)");
	expect(&f, "10@1010 10@1010 20@1020 30@1030");
	close_fixture(&f);
}

static void channels_hand_over_in_order(void **state)
{
	(void)state;
	struct fixture f;
	open_fixture(&f, true);
	run(&f, "local c = rt.channel() c:put('a') c:put('b')"
		"rt.spawn(function() for i = 1, 4 do say(c:take(100)) end say(rt.now()) end) c:put('c')");
	run(&f, "rt.advance(1000)");
	expect(&f, "a b c nil 1100");
	close_fixture(&f);
}

static void an_uncaught_error_is_told_with_its_place(void **state)
{
	(void)state;
	struct fixture f;
	open_fixture(&f, true);
	run(&f, "rt.spawn(function() local x <close> = setmetatable({}, {__close = function() say 'closed' end}) "
		"rt.sleep(1) error('boom') end)"
		"rt.advance(5)");
	assert_non_null(strstr(f.error, "boom"));
	assert_non_null(strstr(f.error, "traceback"));
	f.error[0] = '\0';
	expect(&f, "closed");
	run(&f, "local ok, e = pcall(rt.sleep, 5) say(ok) say(e)");
	assert_int_equal(luaL_dostring(f.L, "assert(out[3]:find('needs a task'))"), LUA_OK);
	close_fixture(&f);
}

static struct task_wait kept;

static int l_wait(lua_State *L)
{
	kept = task_prepare(L, NULL, NULL);
	return task_suspend(L);
}

static int push_seven(lua_State *L, void *arg)
{
	(void)arg;
	lua_pushinteger(L, 7);
	return 1;
}

static int push_failure(lua_State *L, void *arg)
{
	(void)arg;
	lua_pushliteral(L, "it failed");
	return -1;
}

static void a_late_wake_is_nothing(void **state)
{
	(void)state;
	struct fixture f;
	open_fixture(&f, true);
	lua_register(f.L, "wait", l_wait);
	run(&f, "rt.spawn(function() say(wait()) say(pcall(wait)) say(select(2, pcall(wait))) end)");
	struct task_wait first = kept;
	task_wake(kept, push_seven, NULL);
	struct task_wait second = kept;
	assert_int_not_equal(first.generation, second.generation);
	task_wake(second, push_seven, NULL);
	task_wake(kept, push_failure, NULL);
	expect(&f, "7 true it failed");
	close_fixture(&f);
}

static void real_time_never_fires_early(void **state)
{
	(void)state;
	struct fixture f;
	open_fixture(&f, false);
	run(&f, "local t0 = rt.now() for i = 1, 200 do local d = (i * 7919) % 40 rt.spawn(function() rt.sleep(d)"
		" if rt.now() < t0 + d then say('early') end n = (n or 0) + 1 if n == 200 then say('all') rt.stop(3) "
		"end end) end");
	assert_int_equal(runtime_run(f.rt), 3);
	expect(&f, "all");
	close_fixture(&f);
}

static void keyed_ids(void **state)
{
	(void)state;
	struct fixture f;
	open_fixture(&f, true);
	run(&f,
	    "local k = ('k'):rep(32) local a = rt.hmac(k, 'ab', 'c') assert(#a == 32 and a == rt.hmac(k, 'ab', 'c'))"
	    "assert(a ~= rt.hmac(k, 'a', 'bc') and a ~= rt.hmac(('j'):rep(32), 'ab', 'c') and a == rt.hmac(k, 'ab', "
	    "'c'))"
	    "assert(rt.sha256('') == 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')"
	    "assert(#rt.random_bytes(8) == 8)");
	close_fixture(&f);
}

/* 20,000 timers, a third of them stopped: what is left fires in order of due time. */
struct counted {
	struct runtime_timer timer;
	struct runtime *rt;
};
static int64_t last_due;
static int fired;

static void count(struct runtime_timer *timer)
{
	assert_true(timer->due >= last_due);
	assert_true(timer->due <= runtime_now(((struct counted *)timer)->rt));
	last_due = timer->due;
	fired++;
}

static void the_heap_keeps_its_order(void **state)
{
	(void)state;
	struct runtime *rt = runtime_new(&(struct runtime_options){.virtual_time = true, .start_ms = 1}, NULL);
	struct counted *c = calloc(20000, sizeof *c);
	uint32_t r = 1;
	for (int i = 0; i < 20000; i++) {
		r = r * 1664525 + 1013904223;
		c[i].rt = rt;
		runtime_timer_start(rt, &c[i].timer, 2 + (r >> 12), count);
	}
	int stopped = 0;
	for (int i = 0; i < 20000; i += 3, stopped++)
		runtime_timer_stop(rt, &c[i].timer);
	runtime_advance(rt, 1 << 21);
	assert_int_equal(fired, 20000 - stopped);
	assert_int_equal(runtime_free(rt), 0);
	free(c);
}

struct restless {
	struct runtime_timer timer;
	struct runtime *rt;
	int fired;
};

static void fire_again(struct runtime_timer *timer)
{
	struct restless *r = (struct restless *)timer;
	int64_t until = runtime_now(r->rt) + 2;
	while (runtime_now(r->rt) < until)
		;
	if (++r->fired == 20)
		runtime_stop(r->rt, 0);
	else
		runtime_timer_start(r->rt, timer, runtime_now(r->rt), fire_again);
}

/* Each time it fires it takes so long that it is due at once again: the loop turns all the same. */
static void a_timer_for_now_lets_others_go_on(void **state)
{
	(void)state;
	struct error e;
	struct restless r = {.rt = runtime_new(&(struct runtime_options){0}, &e)};
	runtime_timer_start(r.rt, &r.timer, runtime_now(r.rt), fire_again);
	runtime_run(r.rt);
	assert_true(atomic_load(runtime_turns(r.rt)) >= 15);
	assert_int_equal(runtime_free(r.rt), 0);
}

struct slices {
	struct runtime *rt;
	int long_ones, before_first, done;
};

static void long_slice(void *arg)
{
	struct slices *s = arg;
	uint64_t until = uv_hrtime() + 2000000;
	while (uv_hrtime() < until)
		;
	if (++s->long_ones < 200)
		runtime_defer_slice(s->rt, long_slice, s, false);
}

/* One that is young comes soon, whatever waits; at the end of all it stops the loop. */
static void short_slice(void *arg)
{
	struct slices *s = arg;
	if (++s->done == 1)
		s->before_first = s->long_ones;
	if (s->long_ones >= 200)
		runtime_stop(s->rt, 0);
	else
		runtime_defer_slice(s->rt, short_slice, s, true);
}

static void slices_share_a_turn(void **state)
{
	(void)state;
	struct error e;
	struct slices s = {.rt = runtime_new(&(struct runtime_options){0}, &e)};
	for (int i = 0; i < 50; i++)
		runtime_defer_slice(s.rt, long_slice, &s, false);
	runtime_defer_slice(s.rt, short_slice, &s, true);
	runtime_run(s.rt);
	assert_int_equal(s.before_first, 0); /* before all of the old */
	assert_true(atomic_load(runtime_turns(s.rt)) >= 200 / 4);
	assert_true(s.done >= 200 / 4);
	assert_int_equal(runtime_free(s.rt), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(virtual_time_runs_timers_in_order),
					   cmocka_unit_test(a_timer_for_now_lets_others_go_on),
					   cmocka_unit_test(slices_share_a_turn),
					   cmocka_unit_test(channels_hand_over_in_order),
					   cmocka_unit_test(an_uncaught_error_is_told_with_its_place),
					   cmocka_unit_test(a_late_wake_is_nothing),
					   cmocka_unit_test(real_time_never_fires_early),
					   cmocka_unit_test(keyed_ids),
					   cmocka_unit_test(the_heap_keeps_its_order)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
