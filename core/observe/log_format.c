/* SPDX-License-Identifier: MIT */
#include "observe/part.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "json/json.h"

#define TEXT_SHOWN 8192 /* bytes of one text; the rest is cut */

const char *log_level_name(enum log_level level)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};
	return names[level];
}

/* Appends `text` as valid UTF-8: what isn't becomes U+FFFD, what is too long is cut at a character. */
static int add_clean(struct buf *out, const char *text, size_t len)
{
	bool cut = len > TEXT_SHOWN;
	if (cut)
		for (len = TEXT_SHOWN; len && ((unsigned char)text[len] & 0xC0) == 0x80; len--)
			continue;
	int rc = 0;
	size_t at;
	while (rc == 0 && !utf8_valid(text, len, &at)) {
		rc = buf_add(out, text, at) || buf_add_str(out, "\xEF\xBF\xBD") ? -1 : 0;
		text += at + 1;
		len -= at + 1;
	}
	if (rc == 0)
		rc = buf_add(out, text, len);
	return rc == 0 && cut ? buf_add_str(out, "\xE2\x80\xA6") : rc;
}

static int add_json_text(struct buf *out, const char *text, size_t len)
{
	struct buf clean = {0};
	int rc = add_clean(&clean, text, len) || json_write_string(out, clean.data ? clean.data : "", clean.len) ? -1
														 : 0;
	buf_free(&clean);
	return rc;
}

static size_t text_length(const struct log_field *f)
{
	return f->len ? f->len : strlen(f->text);
}

static int add_json_value(struct buf *out, const struct log_field *f)
{
	switch (f->kind) {
	case LOG_KIND_INT:
		return json_write_int(out, f->integer);
	case LOG_KIND_BOOL:
		return buf_add_str(out, f->integer ? "true" : "false");
	case LOG_KIND_FLOAT:
		return isfinite(f->number) ? json_write_float(out, f->number) : buf_printf(out, "\"%g\"", f->number);
	default:
		return add_json_text(out, f->text, text_length(f));
	}
}

static int add_json_member(struct buf *out, const char *key, const char *text)
{
	if (!text)
		return 0;
	return buf_printf(out, ",\"%s\":", key) || add_json_text(out, text, strlen(text)) ? -1 : 0;
}

static int add_time(struct buf *out, const char *format, const struct tm *when, int64_t now)
{
	char text[40];
	strftime(text, sizeof text, format, when);
	return buf_printf(out, "%s.%03d", text, (int)(now % 1000));
}

int log_format_json(struct buf *out, const struct log_line *line)
{
	time_t seconds = (time_t)(line->now / 1000);
	struct tm when;
	gmtime_r(&seconds, &when);
	int rc = buf_add_str(out, "{\"ts\":\"") || add_time(out, "%Y-%m-%dT%H:%M:%S", &when, line->now) ||
		 buf_printf(out, "Z\",\"level\":\"%s\"", log_level_name(line->level)) ||
		 add_json_member(out, "msg", line->msg) || add_json_member(out, "service", line->service) ||
		 add_json_member(out, "instance", line->instance) || add_json_member(out, "module", line->module);
	for (size_t i = 0; rc == 0 && i < line->n; i++)
		rc = buf_add_str(out, ",") || add_json_text(out, line->fields[i].key, strlen(line->fields[i].key)) ||
		     buf_add_str(out, ":") || add_json_value(out, &line->fields[i]);
	return rc || buf_add_str(out, "}\n") ? -1 : 0;
}

/* Nothing that was logged can command the terminal. Lines after the first (tracebacks) are indented. */
static int add_for_terminal(struct buf *out, const char *text, size_t len)
{
	struct buf clean = {0};
	int rc = add_clean(&clean, text, len);
	for (size_t i = 0; rc == 0 && i < clean.len; i++) {
		unsigned char c = (unsigned char)clean.data[i];
		bool c1 = c == 0xC2 && ((unsigned char)clean.data[i + 1] & 0xE0) == 0x80;
		if (c == '\n')
			rc = buf_add_str(out, "\n    ");
		else if (c == '\t' || (c >= ' ' && c != 0x7F && !c1))
			rc = buf_add(out, &clean.data[i], 1);
		else
			rc = buf_printf(out, "\\x%02x", c1 ? (unsigned char)clean.data[++i] : c);
	}
	buf_free(&clean);
	return rc;
}

static bool plain(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (strchr(" \"=\\", text[i]) || (unsigned char)text[i] <= ' ' || text[i] == 0x7F)
			return false;
	return len > 0;
}

static int add_people_value(struct buf *out, const struct log_field *f)
{
	if (f->kind != LOG_KIND_TEXT)
		return add_json_value(out, f);
	size_t len = text_length(f);
	if (memchr(f->text, '\n', len))
		return buf_add_str(out, "\n    ") || add_for_terminal(out, f->text, len) ? -1 : 0;
	return plain(f->text, len) ? add_for_terminal(out, f->text, len) : add_json_text(out, f->text, len);
}

int log_format_people(struct buf *out, const struct log_line *line)
{
	static const char *const colours[] = {"\033[2m", "\033[32m", "\033[33m", "\033[31m"};
	const char *on = line->colour ? colours[line->level] : "", *dim = line->colour ? "\033[2m" : "";
	const char *off = line->colour ? "\033[0m" : "";
	time_t seconds = (time_t)(line->now / 1000);
	struct tm when;
	localtime_r(&seconds, &when);
	int rc = buf_add_str(out, dim) || add_time(out, "%H:%M:%S", &when, line->now) ||
		 buf_printf(out, "%s %s%-5s%s ", off, on, log_level_name(line->level), off);
	if (rc == 0 && line->module)
		rc = buf_printf(out, "%s%s:%s ", dim, line->module, off);
	rc = rc || add_for_terminal(out, line->msg, strlen(line->msg)) ? -1 : 0;
	for (size_t i = 0; rc == 0 && i < line->n; i++)
		rc = buf_printf(out, "%s ", i ? "" : " ") || buf_add_str(out, dim) ||
		     add_for_terminal(out, line->fields[i].key, strlen(line->fields[i].key)) ||
		     buf_printf(out, "=%s", off) || add_people_value(out, &line->fields[i]);
	return rc || buf_add_str(out, "\n") ? -1 : 0;
}
