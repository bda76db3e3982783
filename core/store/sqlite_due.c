/* SPDX-License-Identifier: MIT
 *
 * Timers of threds: one runtime timer for the first of the heap. After a start none fires before the backlog is handled.
 */
#include <string.h>

#include "queue/local.h"
#include "store/sqlite.h"

enum { FIRE_AT_ONCE = 256 };

static struct sqlite *of_timer(struct runtime_timer *timer)
{
	return (struct sqlite *)((char *)timer - offsetof(struct sqlite, due_timer));
}

static void fire(struct runtime_timer *timer)
{
	struct sqlite *s = of_timer(timer);
	int64_t now = runtime_now(s->rt);
	const struct due *first;
	/* A thousand at once would keep everybody else waiting: the rest comes in the next turn. */
	for (int i = 0; i < FIRE_AT_ONCE && (first = due_first(&s->due)) && first->at <= now; i++) {
		char id[256];
		struct span copy = {id, first->len < sizeof id ? first->len : sizeof id};
		memcpy(id, first->id, copy.len);
		int64_t due = first->due;
		if (first->at == due)
			meters_fired(&s->meters, now - due);
		due_set(&s->due, first->n, copy, 0);
		s->listener.due(s->listener.arg, copy, due);
	}
	sqlite_due_arm(s);
}

void sqlite_due_arm(struct sqlite *s)
{
	meters_timers(&s->meters, s->due.len);
	if (!s->due_on && s->ready && local_backlog_done(s->local))
		s->due_on = true;
	const struct due *first = due_first(&s->due);
	if (!first || !s->due_on || !s->listener.due || s->closing) {
		runtime_timer_stop(s->rt, &s->due_timer);
		return;
	}
	if (s->due_timer.slot && s->due_timer.due == first->at)
		return;
	runtime_timer_start(s->rt, &s->due_timer, first->at, fire);
}
