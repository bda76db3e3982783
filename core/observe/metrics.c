/* SPDX-License-Identifier: MIT */
#include "observe/part.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#define VALUE_SIZE 128 /* of a label's value; the rest is cut */

/* Numbers are changed without a lock: doubles as their bits. */
struct metrics_series {
	const struct metric_class *class;
	struct metrics_series *next; /* of the same metric, in the order they came */
	atomic_bool shown;
	_Atomic uint64_t value, sum;                  /* bits of doubles */
	_Atomic uint64_t buckets[METRIC_BUCKETS + 1]; /* counts, not cumulative; histograms only */
	UT_hash_handle hh;
	size_t key_len;
	char key[]; /* metric, then each label's value with its NUL */
};

struct metrics {
	pthread_mutex_t mutex; /* over which series there are */
	struct metrics_series *by_key;
	struct {
		struct metrics_series *first, *last;
		size_t n;
	} of[METRIC_COUNT];
};

const struct metric_class *metric_class(enum metric metric)
{
#define X(name, kind, text, labels, cap, help)                                                                         \
	{METRIC_KIND_##kind,                                                                                           \
	 "srvthreds_" text,                                                                                            \
	 labels,                                                                                                       \
	 help,                                                                                                         \
	 cap,                                                                                                          \
	 sizeof labels == 1                                                      ? 0                                   \
	 : __builtin_strchr(labels, ',') == (void *)0                            ? 1                                   \
	 : __builtin_strchr(__builtin_strchr(labels, ',') + 1, ',') == (void *)0 ? 2                                   \
										 : 3},
	static const struct metric_class classes[] = {METRICS(X)};
#undef X
	return &classes[metric];
}

/* From 100 us, a commit on a good disk, to 10 s. */
const double *metric_bounds(void)
{
	static const double bounds[METRIC_BUCKETS] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
						      0.05,   0.1,     0.25,   0.5,   1,      2.5,   5,    10};
	return bounds;
}

static double as_double(uint64_t bits)
{
	double value;
	memcpy(&value, &bits, sizeof value);
	return value;
}

static uint64_t as_bits(double value)
{
	uint64_t bits;
	memcpy(&bits, &value, sizeof bits);
	return bits;
}

static void add_double(_Atomic uint64_t *place, double n)
{
	uint64_t was = atomic_load_explicit(place, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(place, &was, as_bits(as_double(was) + n), memory_order_relaxed,
						      memory_order_relaxed))
		continue;
}

static void show(struct metrics_series *s)
{
	atomic_store_explicit(&s->shown, true, memory_order_relaxed);
}

void metrics_add(struct metrics_series *s, double n)
{
	if (n >= 0 || s->class->kind == METRIC_KIND_GAUGE)
		add_double(&s->value, n);
	show(s);
}

void metrics_set(struct metrics_series *s, double value)
{
	atomic_store_explicit(&s->value, as_bits(value), memory_order_relaxed);
	show(s);
}

void metrics_observe(struct metrics_series *s, double seconds)
{
	const double *bounds = metric_bounds();
	size_t i = 0;
	while (i < METRIC_BUCKETS && seconds > bounds[i])
		i++;
	atomic_fetch_add_explicit(&s->buckets[i], 1, memory_order_relaxed);
	add_double(&s->sum, seconds);
	show(s);
}

void metrics_hide(struct metrics_series *s)
{
	atomic_store_explicit(&s->value, 0, memory_order_relaxed);
	atomic_store_explicit(&s->shown, false, memory_order_relaxed);
}

/* A label's value as it will stand in the text: valid UTF-8, not too long. */
static size_t value_length(const char *value)
{
	size_t len = strnlen(value, VALUE_SIZE), at;
	return utf8_valid(value, len, &at) ? len : at;
}

static size_t key_of(char *key, enum metric metric, const char *const *values)
{
	size_t len = 0;
	key[len++] = (char)('A' + metric);
	for (size_t i = 0; i < metric_class(metric)->n_labels && i < METRIC_LABELS; i++) {
		size_t n = value_length(values[i]);
		memcpy(key + len, values[i], n);
		len += n;
		key[len++] = '\0';
	}
	return len;
}

static struct metrics_series *add_series(struct metrics *m, enum metric metric, const char *key, size_t len)
{
	struct metrics_series *s = xcalloc(1, sizeof *s + len);
	s->class = metric_class(metric);
	s->key_len = len;
	memcpy(s->key, key, len);
	if (m->of[metric].last)
		m->of[metric].last->next = s;
	else
		m->of[metric].first = s;
	m->of[metric].last = s;
	m->of[metric].n++;
	HASH_ADD_KEYPTR(hh, m->by_key, s->key, s->key_len, s);
	return s;
}

struct metrics_series *metrics_series(struct metrics *m, enum metric metric, const char *const *values)
{
	static const char *const other[METRIC_LABELS] = {"other", "other", "other"};
	char key[1 + METRIC_LABELS * (VALUE_SIZE + 1)];
	size_t len = key_of(key, metric, values);
	struct metrics_series *s;
	pthread_mutex_lock(&m->mutex);
	HASH_FIND(hh, m->by_key, key, len, s);
	if (!s && values != other && m->of[metric].n >= metric_class(metric)->cap) {
		len = key_of(key, metric, other);
		HASH_FIND(hh, m->by_key, key, len, s);
	}
	if (!s)
		s = add_series(m, metric, key, len);
	pthread_mutex_unlock(&m->mutex);
	return s;
}

/* Metrics without labels are there from the start, as 0: a dashboard sees a rate before the first event. */
struct metrics *metrics_new(void)
{
#ifndef SRVTHREDS_REVISION
#define SRVTHREDS_REVISION "unknown"
#endif
	struct metrics *m = xcalloc(1, sizeof *m);
	pthread_mutex_init(&m->mutex, NULL);
	for (int i = 0; i < METRIC_COUNT; i++)
		if (metric_class((enum metric)i)->n_labels == 0)
			show(metrics_series(m, (enum metric)i, NULL));
	const char *const build[] = {SRVTHREDS_VERSION, SRVTHREDS_REVISION};
	metrics_set(metrics_series(m, METRIC_BUILD_INFO, build), 1);
	return m;
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	HASH_CLEAR(hh, m->by_key);
	for (int i = 0; i < METRIC_COUNT; i++)
		for (struct metrics_series *s = m->of[i].first, *next; s; s = next) {
			next = s->next;
			free(s);
		}
	pthread_mutex_destroy(&m->mutex);
	free(m);
}

static int add_label_value(struct buf *out, const char *value)
{
	int rc = 0;
	for (; rc == 0 && *value; value++)
		if (*value == '\n')
			rc = buf_add_str(out, "\\n");
		else if (*value == '"' || *value == '\\')
			rc = buf_printf(out, "\\%c", *value);
		else
			rc = buf_add(out, value, 1);
	return rc;
}

/* NAME{label="value",…,le="bound"} with a space behind. */
static int add_name(struct buf *out, const struct metrics_series *s, const char *suffix, const char *bound)
{
	const struct metric_class *c = s->class;
	const char *label = c->labels, *value = s->key + 1;
	int rc = buf_printf(out, "%s%s", c->name, suffix);
	for (size_t i = 0; rc == 0 && i < c->n_labels; i++) {
		size_t n = strcspn(label, ",");
		rc = buf_printf(out, "%s%.*s=\"", i ? "," : "{", (int)n, label) || add_label_value(out, value) ||
		     buf_add_str(out, "\"");
		label += n + 1;
		value += strlen(value) + 1;
	}
	if (rc == 0 && bound)
		rc = buf_printf(out, "%sle=\"%s\"", c->n_labels ? "," : "{", bound);
	return rc || buf_add_str(out, c->n_labels || bound ? "} " : " ") ? -1 : 0;
}

static int add_histogram(struct buf *out, const struct metrics_series *s)
{
	uint64_t total = 0;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i <= METRIC_BUCKETS; i++) {
		char bound[32] = "+Inf";
		if (i < METRIC_BUCKETS)
			snprintf(bound, sizeof bound, "%g", metric_bounds()[i]);
		total += atomic_load_explicit(&s->buckets[i], memory_order_relaxed);
		rc = add_name(out, s, "_bucket", bound) || buf_printf(out, "%llu\n", (unsigned long long)total);
	}
	double sum = as_double(atomic_load_explicit(&s->sum, memory_order_relaxed));
	return rc || add_name(out, s, "_sum", NULL) || buf_printf(out, "%.9g\n", sum) ||
			       add_name(out, s, "_count", NULL) || buf_printf(out, "%llu\n", (unsigned long long)total)
		       ? -1
		       : 0;
}

static int add_one(struct buf *out, const struct metrics_series *s)
{
	if (s->class->kind == METRIC_KIND_HISTOGRAM)
		return add_histogram(out, s);
	double value = as_double(atomic_load_explicit(&s->value, memory_order_relaxed));
	return add_name(out, s, "", NULL) || buf_printf(out, "%.17g\n", value) ? -1 : 0;
}

int metrics_text(struct metrics *m, struct buf *out)
{
	static const char *const kinds[] = {"counter", "gauge", "histogram"};
	int rc = 0;
	pthread_mutex_lock(&m->mutex);
	for (int i = 0; rc == 0 && i < METRIC_COUNT; i++) {
		const struct metric_class *c = metric_class((enum metric)i);
		bool titled = false;
		for (struct metrics_series *s = m->of[i].first; rc == 0 && s; s = s->next) {
			if (!atomic_load_explicit(&s->shown, memory_order_relaxed))
				continue;
			if (!titled)
				rc = buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", c->name, c->help, c->name,
						kinds[c->kind]);
			titled = true;
			rc = rc || add_one(out, s) ? -1 : 0;
		}
	}
	pthread_mutex_unlock(&m->mutex);
	return rc ? -1 : metrics_process_text(out);
}
