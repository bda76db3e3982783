/* SPDX-License-Identifier: MIT */
#include "net/websocket_log.h"

#include <libwebsockets.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "observe/observe.h"

enum { LEVELS = LLL_ERR | LLL_WARN | LLL_NOTICE, LINE_SIZE = 512 };
#define SECOND_NS UINT64_C(1000000000)

struct sink {
	pthread_mutex_t lock;
	struct log *log;
	size_t users;
	uint64_t second;           /* since when lines are counted */
	unsigned written, skipped; /* in it */
};

/* Of the process, as the library's log function is (tools/rules.py knows). */
static struct sink sink = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* "[2026/11/23 21:30:00:1234] W: text\n" */
static void text_of(const char *line, char *text)
{
	const char *at = *line == '[' ? strstr(line, "] ") : NULL;
	if (at && at[2] && at[3] == ':')
		line = at + 4 + (at[4] == ' ');
	snprintf(text, LINE_SIZE, "%.*s", (int)strcspn(line, "\r\n"), line);
}

/* It says two things of every connection as if something were wrong. */
static bool is_noise(const char *text)
{
	return strstr(text, "calling service") || strstr(text, "deferring handling ah");
}

static enum log_level level_of(int level)
{
	return level & LLL_ERR ? LOG_LEVEL_ERROR : level & LLL_WARN ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG;
}

static void write_line(struct log *log, enum log_level level, const char *text)
{
	if (log)
		log_write(log, level, "websocket", text, NULL);
	else
		fprintf(stderr, "srvthreds: websocket: %s: %s\n", log_level_name(level), text);
}

static bool wanted(const struct sink *s, enum log_level level)
{
	return s->log ? log_wants(s->log, "websocket", level) : level >= LOG_LEVEL_WARN;
}

/* May another line be written in this second? */
static bool in_time(struct sink *s)
{
	uint64_t now = uv_hrtime();
	if (now - s->second >= SECOND_NS) {
		char text[64];
		snprintf(text, sizeof text, "%u more lines of libwebsockets", s->skipped);
		if (s->skipped)
			write_line(s->log, LOG_LEVEL_WARN, text);
		s->second = now;
		s->written = s->skipped = 0;
	}
	if (s->written == WEBSOCKET_LOG_LINES) {
		s->skipped++;
		return false;
	}
	s->written++;
	return true;
}

void websocket_log_line(int level, const char *line)
{
	char text[LINE_SIZE];
	enum log_level ours = level_of(level);
	text_of(line, text);
	if (is_noise(text))
		return;
	pthread_mutex_lock(&sink.lock);
	if (wanted(&sink, ours) && in_time(&sink))
		write_line(sink.log, ours, text);
	pthread_mutex_unlock(&sink.lock);
}

bool websocket_log_join(struct log *log)
{
	pthread_mutex_lock(&sink.lock);
	bool counts = log && (!sink.users || sink.log == log);
	if (counts && sink.users++ == 0) {
		sink.log = log;
		sink.second = 0;
		sink.skipped = 0;
	}
	pthread_mutex_unlock(&sink.lock);
	lws_set_log_level(LEVELS, websocket_log_line);
	return counts;
}

void websocket_log_leave(void)
{
	pthread_mutex_lock(&sink.lock);
	if (--sink.users == 0)
		sink.log = NULL;
	pthread_mutex_unlock(&sink.lock);
}
