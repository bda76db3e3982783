/* SPDX-License-Identifier: MIT */
#include "store/meters.h"

#include <string.h>
#include <uv.h>

void meters_init(struct meters *m, struct metrics *metrics, const char *backend)
{
	memset(m, 0, sizeof *m);
	if (!metrics)
		return;
	m->metrics = metrics;
	m->lock_wait = metrics_series(metrics, METRIC_LOCK_WAIT, NULL);
	m->timers = metrics_series(metrics, METRIC_TIMERS_PENDING, NULL);
	m->timer_lag = metrics_series(metrics, METRIC_TIMER_LAG, NULL);
	m->commit = metrics_series(metrics, METRIC_STORE_COMMIT, &backend);
	m->refused = metrics_series(metrics, METRIC_COMMITS_REFUSED, NULL);
}

void meters_forget(struct meters *m)
{
	memset(m->steps, 0, sizeof m->steps);
}

uint64_t meters_now(const struct meters *m)
{
	return m->metrics ? uv_hrtime() : 0;
}

static double since(uint64_t ns)
{
	return (double)(uv_hrtime() - ns) / 1e9;
}

void meters_locked(struct meters *m, uint64_t asked_at)
{
	if (m->metrics)
		metrics_observe(m->lock_wait, asked_at ? since(asked_at) : 0);
}

static struct metrics_series *step_series(struct meters *m, const struct dict *words, int64_t pattern, int64_t reaction)
{
	const struct word *p = dict_get(words, pattern), *r = dict_get(words, reaction);
	const char *const values[] = {p ? p->text : "", r ? r->text : ""};
	return metrics_series(m->metrics, METRIC_STEP_DURATION, values);
}

void meters_step(struct meters *m, const struct dict *words, int64_t pattern, int64_t reaction, uint64_t locked_at)
{
	if (!m->metrics)
		return;
	size_t place = ((size_t)pattern * 31 + (size_t)reaction) % METERS_PLACES;
	if (!m->steps[place].series || m->steps[place].pattern != pattern || m->steps[place].reaction != reaction) {
		m->steps[place].pattern = pattern;
		m->steps[place].reaction = reaction;
		m->steps[place].series = step_series(m, words, pattern, reaction);
	}
	metrics_observe(m->steps[place].series, since(locked_at));
}

void meters_refused(struct meters *m)
{
	if (m->metrics)
		metrics_add(m->refused, 1);
}

void meters_timers(struct meters *m, size_t pending)
{
	if (m->metrics)
		metrics_set(m->timers, (double)pending);
}

void meters_fired(struct meters *m, int64_t late_ms)
{
	if (m->metrics)
		metrics_observe(m->timer_lag, (double)late_ms / 1000);
}

void meters_committed(struct meters *m, uint64_t begun_at)
{
	if (m->metrics)
		metrics_observe(m->commit, since(begun_at));
}
