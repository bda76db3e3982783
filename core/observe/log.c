/* SPDX-License-Identifier: MIT */
#include "observe/part.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define OWN_LEVELS  32
#define MODULE_SIZE 32
#define FIELDS      48 /* of a line; what is beyond is left out */
#define FREE_MS     2000

struct log {
	struct sink *sink;
	int fd;
	int64_t (*now)(void *arg);
	void *arg;
	atomic_int lowest;     /* the lowest level that any module wants: most calls end there */
	pthread_mutex_t mutex; /* over what follows */
	bool people, colour;
	char *service, *instance; /* owned */
	enum log_level level;
	size_t n_own;
	struct {
		char module[MODULE_SIZE];
		enum log_level level;
	} own[OWN_LEVELS];
};

static int64_t wall_clock(void *arg)
{
	(void)arg;
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool wants_colour(int fd)
{
	const char *none = getenv("NO_COLOR"), *term = getenv("TERM");
	return isatty(fd) && !(none && *none) && !(term && strcmp(term, "dumb") == 0);
}

static void replace(char **text, const char *with)
{
	if (!with)
		return;
	free(*text);
	*text = xstrdup(with);
}

void log_configure(struct log *log, enum log_format format, const char *service, const char *instance)
{
	pthread_mutex_lock(&log->mutex);
	log->people = format == LOG_FOR_PEOPLE || (format == LOG_AUTO && isatty(log->fd));
	log->colour = log->people && wants_colour(log->fd);
	replace(&log->service, service);
	replace(&log->instance, instance);
	pthread_mutex_unlock(&log->mutex);
}

struct log *log_new(const struct log_options *options, struct error *e)
{
	if (options->fd < 0) {
		error_set(e, ERROR_ARGUMENT, "a log needs a file descriptor to write to");
		return NULL;
	}
	struct log *log = xcalloc(1, sizeof *log);
	log->sink = sink_new(options->fd);
	log->fd = options->fd;
	log->now = options->now ? options->now : wall_clock;
	log->arg = options->arg;
	log->level = options->level;
	atomic_init(&log->lowest, (int)options->level);
	pthread_mutex_init(&log->mutex, NULL);
	log_configure(log, options->format, options->service, options->instance);
	return log;
}

void log_free(struct log *log)
{
	if (!log)
		return;
	sink_free(log->sink, FREE_MS);
	pthread_mutex_destroy(&log->mutex);
	free(log->service);
	free(log->instance);
	free(log);
}

bool log_flush(struct log *log, int timeout_ms)
{
	return sink_flush(log->sink, timeout_ms);
}

int log_level_named(const char *name, enum log_level *level, struct error *e)
{
	for (int i = LOG_LEVEL_DEBUG; i <= LOG_LEVEL_ERROR; i++)
		if (strcmp(name, log_level_name((enum log_level)i)) == 0) {
			*level = (enum log_level)i;
			return 0;
		}
	return error_set(e, ERROR_ARGUMENT, "\"%s\" is no log level: expected debug, info, warn or error", name);
}

/* The place of the module among those with a level of their own; n_own if it has none. The mutex is held. */
static size_t own_place(const struct log *log, const char *module)
{
	size_t i = 0;
	while (i < log->n_own && strcmp(log->own[i].module, module) != 0)
		i++;
	return i;
}

int log_set_level(struct log *log, const char *module, enum log_level level, struct error *e)
{
	if (module && strlen(module) >= MODULE_SIZE)
		return error_set(e, ERROR_ARGUMENT, "a module's name has fewer than %d bytes: %s", MODULE_SIZE, module);
	pthread_mutex_lock(&log->mutex);
	size_t i = module ? own_place(log, module) : 0;
	bool room = i < OWN_LEVELS;
	if (!module) {
		log->level = level;
	} else if (room) {
		memcpy(log->own[i].module, module, strlen(module) + 1);
		log->own[i].level = level;
		log->n_own += i == log->n_own;
	}
	int lowest = (int)log->level;
	for (i = 0; i < log->n_own; i++)
		lowest = (int)log->own[i].level < lowest ? (int)log->own[i].level : lowest;
	atomic_store(&log->lowest, lowest);
	pthread_mutex_unlock(&log->mutex);
	return room ? 0 : error_set(e, ERROR_ARGUMENT, "%d modules have levels of their own: no more", OWN_LEVELS);
}

enum log_level log_level_of(struct log *log, const char *module)
{
	pthread_mutex_lock(&log->mutex);
	size_t i = module ? own_place(log, module) : log->n_own;
	enum log_level level = i < log->n_own ? log->own[i].level : log->level;
	pthread_mutex_unlock(&log->mutex);
	return level;
}

void log_reset_levels(struct log *log, enum log_level level)
{
	pthread_mutex_lock(&log->mutex);
	log->level = level;
	log->n_own = 0;
	atomic_store(&log->lowest, (int)level);
	pthread_mutex_unlock(&log->mutex);
}

int log_levels(struct log *log, struct buf *out)
{
	pthread_mutex_lock(&log->mutex);
	int rc = buf_add_str(out, log_level_name(log->level));
	for (size_t i = 0; rc == 0 && i < log->n_own; i++)
		rc = buf_printf(out, ",%s=%s", log->own[i].module, log_level_name(log->own[i].level));
	pthread_mutex_unlock(&log->mutex);
	return rc;
}

bool log_wants(struct log *log, const char *module, enum log_level level)
{
	return (int)level >= atomic_load_explicit(&log->lowest, memory_order_relaxed) &&
	       level >= log_level_of(log, module);
}

/* The order of the operations page; what it doesn't name follows by name. */
static int key_order(const char *key)
{
	static const char *const keys[] = {"service",  "instance", "pattern",    "version",   "reaction",
					   "thred_id", "event_id", "event_type", "caused_by", "trace_id",
					   "span_id",  "err_code", "err"};
	int i = 0;
	while (i < (int)(sizeof keys / sizeof *keys) && strcmp(key, keys[i]) != 0)
		i++;
	return i;
}

static bool before(const struct log_field *a, const struct log_field *b)
{
	int x = key_order(a->key), y = key_order(b->key);
	return x != y ? x < y : strcmp(a->key, b->key) < 0;
}

static bool secret(const char *key)
{
	static const char *const keys[] = {"password",     "secret",        "token",         "authorization",
					   "access_token", "refresh_token", "password_hash", "cookie"};
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (strcmp(key, keys[i]) == 0)
			return true;
	return false;
}

static bool of_the_line(const char *key)
{
	return strcmp(key, "ts") == 0 || strcmp(key, "level") == 0 || strcmp(key, "msg") == 0 ||
	       strcmp(key, "module") == 0;
}

/* Sorted into `out`; of two with one key the later counts. A secret's value is never written, whoever passes it. */
static size_t collect(const struct log_field *fields, struct log_field *out)
{
	size_t n = 0;
	for (; fields && fields->key && n < FIELDS; fields++) {
		struct log_field f = *fields;
		if (of_the_line(f.key) || (f.kind == LOG_KIND_TEXT && !f.text))
			continue;
		if (secret(f.key))
			f = (struct log_field)LOG_TEXT(f.key, "***");
		size_t i = n;
		while (i > 0 && before(&f, &out[i - 1]))
			i--;
		if (i > 0 && strcmp(out[i - 1].key, f.key) == 0) {
			out[i - 1] = f;
			continue;
		}
		memmove(out + i + 1, out + i, (n - i) * sizeof *out);
		out[i] = f;
		n++;
	}
	return n;
}

static bool has(const struct log_field *fields, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(fields[i].key, key) == 0)
			return true;
	return false;
}

static void put(struct log *log, struct log_line *line)
{
	struct buf out = {0};
	line->now = log->now(log->arg);
	pthread_mutex_lock(&log->mutex);
	line->colour = log->colour;
	line->service = log->people || has(line->fields, line->n, "service") ? NULL : log->service;
	line->instance = log->people || has(line->fields, line->n, "instance") ? NULL : log->instance;
	int rc = log->people ? log_format_people(&out, line) : log_format_json(&out, line);
	pthread_mutex_unlock(&log->mutex);
	if (rc == 0)
		sink_put(log->sink, &out, line->level >= LOG_LEVEL_WARN);
	buf_free(&out);
}

void log_write(struct log *log, enum log_level level, const char *module, const char *msg,
	       const struct log_field *fields)
{
	if (!log_wants(log, module, level))
		return;
	uint64_t dropped = sink_dropped(log->sink);
	if (dropped) {
		struct log_field count = LOG_INT("dropped", (int64_t)dropped);
		put(log, &(struct log_line){.level = LOG_LEVEL_WARN,
					    .module = "log",
					    .msg = "lines were dropped: whoever reads the log stood still",
					    .fields = &count,
					    .n = 1});
	}
	struct log_field sorted[FIELDS];
	struct log_line line = {.level = level, .module = module, .msg = msg, .fields = sorted};
	line.n = collect(fields, sorted);
	put(log, &line);
}
