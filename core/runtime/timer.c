/* SPDX-License-Identifier: MIT
 *
 * A binary heap of borrowed timers under one libuv timer.
 */
#include "runtime/private.h"

static bool before(const struct runtime_timer *a, const struct runtime_timer *b)
{
	return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void put(struct runtime *rt, size_t at, struct runtime_timer *timer)
{
	rt->heap[at] = timer;
	timer->slot = at + 1;
}

static void up(struct runtime *rt, size_t at)
{
	struct runtime_timer *timer = rt->heap[at];
	while (at && before(timer, rt->heap[(at - 1) / 2])) {
		put(rt, at, rt->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	put(rt, at, timer);
}

static void down(struct runtime *rt, size_t at)
{
	struct runtime_timer *timer = rt->heap[at];
	for (;;) {
		size_t child = 2 * at + 1;
		if (child >= rt->heap_len)
			break;
		if (child + 1 < rt->heap_len && before(rt->heap[child + 1], rt->heap[child]))
			child++;
		if (!before(rt->heap[child], timer))
			break;
		put(rt, at, rt->heap[child]);
		at = child;
	}
	put(rt, at, timer);
}

static void timer_due(uv_timer_t *handle)
{
	struct runtime *rt = handle->data;
	rt->armed_for = 0;
	rt->firing = true;
	runtime_timers_fire(rt);
	runtime_timers_arm(rt);
	rt->firing = false;
}

/* The libuv timer follows the first entry of the heap. */
void runtime_timers_arm(struct runtime *rt)
{
	if (rt->is_virtual)
		return;
	int64_t due = rt->heap_len ? rt->heap[0]->due : 0;
	if (due == rt->armed_for)
		return;
	rt->armed_for = due;
	if (!due) {
		uv_timer_stop(&rt->timer);
		return;
	}
	/* One that another starts while it fires, and that is due already, comes in the next turn: others want their share. */
	int64_t wait = due - runtime_now(rt), least = rt->firing;
	uv_update_time(&rt->loop); /* libuv counts from its cached time, which may be old */
	uv_timer_start(&rt->timer, timer_due, (uint64_t)(wait > least ? wait : least), 0);
}

void runtime_timers_fire(struct runtime *rt)
{
	int64_t now = runtime_now(rt);
	while (rt->heap_len && rt->heap[0]->due <= now) {
		struct runtime_timer *timer = rt->heap[0];
		runtime_timer_stop(rt, timer);
		timer->fire(timer);
	}
}

void runtime_timer_start(struct runtime *rt, struct runtime_timer *timer, int64_t due_ms,
			 void (*fire)(struct runtime_timer *timer))
{
	if (timer->slot)
		runtime_timer_stop(rt, timer);
	timer->due = due_ms > 0 ? due_ms : 1;
	timer->order = ++rt->timer_order;
	timer->fire = fire;
	if (rt->heap_len == rt->heap_cap) {
		rt->heap_cap = rt->heap_cap ? rt->heap_cap * 2 : 64;
		rt->heap = xrealloc(rt->heap, rt->heap_cap * sizeof *rt->heap);
	}
	rt->heap[rt->heap_len++] = timer;
	up(rt, rt->heap_len - 1);
	if (timer->slot == 1)
		runtime_timers_arm(rt);
}

void runtime_timer_stop(struct runtime *rt, struct runtime_timer *timer)
{
	if (!timer->slot)
		return;
	size_t at = timer->slot - 1;
	timer->slot = 0;
	struct runtime_timer *last = rt->heap[--rt->heap_len];
	if (last == timer)
		return;
	put(rt, at, last);
	up(rt, at);
	down(rt, last->slot - 1);
}
