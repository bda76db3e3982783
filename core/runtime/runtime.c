/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/private.h"

#define SHARE_NS 4000000 /* of a turn, for slices that wait */

static void list_add(struct deferred_list *list, void (*fn)(void *arg), void *arg)
{
	if (list->len == list->cap) {
		list->cap = list->cap ? list->cap * 2 : 64;
		list->items = xrealloc(list->items, list->cap * sizeof *list->items);
	}
	list->items[list->len++] = (struct deferred){fn, arg};
}

/* Takes away what has run. */
static void list_trim(struct deferred_list *list)
{
	if (!list->head)
		return;
	list->len -= list->head;
	memmove(list->items, list->items + list->head, list->len * sizeof *list->items);
	list->head = 0;
}

static bool list_run(struct deferred_list *list)
{
	bool any = list->len > 0;
	while (list->head < list->len) {
		struct deferred d = list->items[list->head++];
		d.fn(d.arg);
	}
	list->head = list->len = 0;
	return any;
}

static void run_first(struct deferred_list *list)
{
	struct deferred d = list->items[list->head++];
	d.fn(d.arg);
	if (list->head > 64 && list->head > list->len / 2)
		list_trim(list);
}

/* Slices share a part of the turn, however many wait: the young ones first, and one of the old ones at least. */
static void run_slices(struct runtime *rt)
{
	struct deferred_list *young = &rt->slices[0], *old = &rt->slices[1];
	size_t left[2] = {young->len - young->head,
			  old->len - old->head}; /* what they put off belongs to the next turn */
	uint64_t until = uv_hrtime() + SHARE_NS;
	for (; left[0] && uv_hrtime() < until; left[0]--)
		run_first(young);
	if (left[1])
		run_first(old);
	for (; left[1] > 1 && uv_hrtime() < until; left[1]--)
		run_first(old);
}

static bool any_put_off(const struct runtime *rt)
{
	return rt->next.len || rt->slices[0].head < rt->slices[0].len || rt->slices[1].head < rt->slices[1].len;
}

static void hurry(uv_idle_t *handle)
{
	(void)handle;
}

static void end_of_turn(uv_check_t *handle)
{
	struct runtime *rt = handle->data;
	atomic_fetch_add_explicit(&rt->turns, 1, memory_order_relaxed);
	struct deferred_list due = rt->next; /* what they defer "next" belongs to the turn after */
	rt->next = (struct deferred_list){0};
	list_run(&due);
	run_slices(rt);
	list_run(&rt->now);
	if (!rt->next.items) { /* keep the memory */
		due.head = due.len = 0;
		rt->next = due;
	} else {
		free(due.items);
	}
	if (!any_put_off(rt))
		uv_idle_stop(&rt->hurry);
}

struct runtime *runtime_new(const struct runtime_options *options, struct error *e)
{
	struct runtime *rt = xcalloc(1, sizeof *rt);
	int rc = uv_loop_init(&rt->loop);
	if (rc) {
		error_set(e, ERROR_SERVER, "can't make an event loop: %s", uv_strerror(rc));
		free(rt);
		return NULL;
	}
	rt->is_virtual = options->virtual_time;
	rt->start_ns = uv_hrtime();
	if (rt->is_virtual) {
		rt->start_ms = options->start_ms;
	} else {
		uv_timeval64_t wall;
		uv_gettimeofday(&wall);
		rt->start_ms = wall.tv_sec * 1000 + wall.tv_usec / 1000 + options->skew_ms;
	}
	uv_timer_init(&rt->loop, &rt->timer);
	uv_check_init(&rt->loop, &rt->turn);
	uv_idle_init(&rt->loop, &rt->hurry);
	rt->timer.data = rt->turn.data = rt;
	uv_check_start(&rt->turn, end_of_turn);
	return rt;
}

static void close_own_handles(struct runtime *rt)
{
	uv_handle_t *own[] = {(uv_handle_t *)&rt->timer, (uv_handle_t *)&rt->turn, (uv_handle_t *)&rt->hurry};
	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		uv_close(own[i], NULL);
	runtime_on_signal(rt, NULL, NULL);
}

int runtime_free(struct runtime *rt)
{
	while (list_run(&rt->now) || list_run(&rt->next) || list_run(&rt->slices[0]) || list_run(&rt->slices[1]))
		;
	close_own_handles(rt);
	if (uv_run(&rt->loop, UV_RUN_DEFAULT)) /* a stop that came outside the loop ended that at once */
		uv_run(&rt->loop, UV_RUN_DEFAULT);
	int rc = uv_loop_close(&rt->loop);
	free(rt->heap);
	free(rt->now.items);
	free(rt->next.items);
	free(rt->slices[0].items);
	free(rt->slices[1].items);
	free(rt);
	return rc;
}

uv_loop_t *runtime_loop(struct runtime *rt)
{
	return &rt->loop;
}

bool runtime_is_virtual(const struct runtime *rt)
{
	return rt->is_virtual;
}

static void run_ready(struct runtime *rt)
{
	do {
		runtime_timers_fire(rt);
		list_run(&rt->now);
		struct deferred_list due = rt->next;
		rt->next = (struct deferred_list){0};
		list_run(&due);
		free(due.items);
	} while (rt->now.len || rt->next.len);
}

int runtime_run(struct runtime *rt)
{
	if (rt->is_virtual)
		run_ready(rt);
	else if (!rt->stop)
		uv_run(&rt->loop, UV_RUN_DEFAULT);
	return rt->exit_code;
}

void runtime_stop(struct runtime *rt, int exit_code)
{
	rt->stop = true;
	rt->exit_code = exit_code;
	uv_stop(&rt->loop);
}

bool runtime_stopping(const struct runtime *rt)
{
	return rt->stop;
}

const _Atomic uint64_t *runtime_turns(const struct runtime *rt)
{
	return &rt->turns;
}

int64_t runtime_now(const struct runtime *rt)
{
	if (rt->is_virtual)
		return rt->start_ms;
	return rt->start_ms + (int64_t)((uv_hrtime() - rt->start_ns) / 1000000);
}

void runtime_advance(struct runtime *rt, int64_t ms)
{
	run_ready(rt);
	int64_t end = rt->start_ms + ms;
	while (rt->heap_len && rt->heap[0]->due <= end) {
		if (rt->heap[0]->due > rt->start_ms)
			rt->start_ms = rt->heap[0]->due;
		run_ready(rt);
	}
	rt->start_ms = end;
}

void runtime_defer(struct runtime *rt, void (*fn)(void *arg), void *arg)
{
	list_add(&rt->now, fn, arg);
	if (!rt->is_virtual)
		uv_idle_start(&rt->hurry, hurry);
}

void runtime_defer_next(struct runtime *rt, void (*fn)(void *arg), void *arg)
{
	list_add(&rt->next, fn, arg);
	if (!rt->is_virtual)
		uv_idle_start(&rt->hurry, hurry);
}

void runtime_defer_slice(struct runtime *rt, void (*fn)(void *arg), void *arg, bool young)
{
	if (rt->is_virtual)
		runtime_defer_next(rt, fn, arg);
	else
		list_add(&rt->slices[!young], fn, arg);
	if (!rt->is_virtual)
		uv_idle_start(&rt->hurry, hurry);
}

static void nothing(void *arg)
{
	(void)arg;
}

static void list_cancel(struct deferred_list *list, void (*fn)(void *arg))
{
	for (size_t i = list->head; i < list->len; i++)
		if (list->items[i].fn == fn)
			list->items[i].fn = nothing;
}

void runtime_defer_cancel(struct runtime *rt, void (*fn)(void *arg))
{
	list_cancel(&rt->now, fn);
	list_cancel(&rt->next, fn);
	list_cancel(&rt->slices[0], fn);
	list_cancel(&rt->slices[1], fn);
}

struct work {
	uv_work_t request;
	void (*work)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

static void work_run(uv_work_t *request)
{
	struct work *w = request->data;
	w->work(w->arg);
}

static void work_done(uv_work_t *request, int status)
{
	(void)status; /* nobody cancels */
	struct work *w = request->data;
	w->done(w->arg);
	free(w);
}

static void work_inline(void *arg)
{
	struct work *w = arg;
	w->work(w->arg);
	w->done(w->arg);
	free(w);
}

void runtime_work(struct runtime *rt, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
	struct work *w = xcalloc(1, sizeof *w);
	*w = (struct work){.work = work, .done = done, .arg = arg};
	w->request.data = w;
	if (rt->is_virtual)
		runtime_defer(rt, work_inline, w);
	else
		uv_queue_work(&rt->loop, &w->request, work_run, work_done);
}

static void signalled(uv_signal_t *handle, int number)
{
	struct runtime *rt = handle->data;
	if (rt->on_signal)
		rt->on_signal(rt->on_signal_arg, number);
}

void runtime_on_signal(struct runtime *rt, void (*fn)(void *arg, int signal), void *arg)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
	rt->on_signal = fn;
	rt->on_signal_arg = arg;
	for (size_t i = 0; i < 3; i++) {
		if (fn && !rt->signals_on) {
			uv_signal_init(&rt->loop, &rt->signals[i]);
			rt->signals[i].data = rt;
			uv_signal_start(&rt->signals[i], signalled, numbers[i]);
			uv_unref((uv_handle_t *)&rt->signals[i]);
		} else if (!fn && rt->signals_on) {
			uv_close((uv_handle_t *)&rt->signals[i], NULL);
		}
	}
	rt->signals_on = fn != NULL;
}
