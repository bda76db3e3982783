/* SPDX-License-Identifier: MIT
 *
 * The matcher: backtracking over the text, one function for each kind of item. Behaviour, limits and messages are those
 * of lstrlib.c of Lua 5.4 (MIT, Copyright (C) 1994-2022 Lua.org, PUC-Rio), which it stands in for.
 */
#include "script/match.h"

#include <ctype.h>
#include <string.h>

#define DEPTH_OF_MATCH 200
#define ESC            '%'
#define INLINE         inline __attribute__((always_inline)) /* else the place in text and pattern lives in memory */

static const char *find(struct match *m, const char *s, const char *p);

static unsigned char byte(const char *s)
{
	return (unsigned char)*s;
}

/* Behind the single-character class that begins at `p`. */
static inline const char *class_end(struct match *m, const char *p)
{
	if (*p++ == ESC) {
		if (p == m->pattern_end)
			luaL_error(m->L, "malformed pattern (ends with '%%')");
		return p + 1;
	}
	if (p[-1] != '[')
		return p;
	if (*p == '^')
		p++;
	do { /* a ] that comes first stands for itself */
		if (p == m->pattern_end)
			luaL_error(m->L, "malformed pattern (missing ']')");
		if (*p++ == ESC && p < m->pattern_end)
			p++;
	} while (*p != ']');
	return p + 1;
}

/* A capital letter stands for what isn't in the class of the small one. */
static inline bool in_class(int c, int class)
{
	switch (class) {
	case 'a':
		return isalpha(c);
	case 'A':
		return !isalpha(c);
	case 'c':
		return iscntrl(c);
	case 'C':
		return !iscntrl(c);
	case 'd':
		return isdigit(c);
	case 'D':
		return !isdigit(c);
	case 'g':
		return isgraph(c);
	case 'G':
		return !isgraph(c);
	case 'l':
		return islower(c);
	case 'L':
		return !islower(c);
	case 'p':
		return ispunct(c);
	case 'P':
		return !ispunct(c);
	case 's':
		return isspace(c);
	case 'S':
		return !isspace(c);
	case 'u':
		return isupper(c);
	case 'U':
		return !isupper(c);
	case 'w':
		return isalnum(c);
	case 'W':
		return !isalnum(c);
	case 'x':
		return isxdigit(c);
	case 'X':
		return !isxdigit(c);
	case 'z':
		return c == 0; /* as in Lua 5.1 */
	case 'Z':
		return c != 0;
	default:
		return class == c;
	}
}

/* `p` is at the [ and `last` at the ] of the set. */
static bool in_set(int c, const char *p, const char *last)
{
	bool yes = true;
	if (p[1] == '^') {
		yes = false;
		p++;
	}
	while (++p < last) {
		if (*p == ESC) {
			if (in_class(c, byte(++p)))
				return yes;
		} else if (p[1] == '-' && p + 2 < last) {
			p += 2;
			if (byte(p - 2) <= c && c <= byte(p))
				return yes;
		} else if (byte(p) == c) {
			return yes;
		}
	}
	return !yes;
}

static INLINE bool single(const struct match *m, const char *s, const char *p, const char *p_end)
{
	if (s >= m->text_end)
		return false;
	int c = byte(s);
	switch (*p) {
	case '.':
		return true;
	case ESC:
		return in_class(c, byte(p + 1));
	case '[':
		return in_set(c, p, p_end - 1);
	default:
		return byte(p) == c;
	}
}

static const char *balanced(struct match *m, const char *s, const char *p)
{
	if (p >= m->pattern_end - 1)
		luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
	if (s >= m->text_end || *s != *p)
		return NULL;
	char open = p[0], close = p[1];
	int level = 1;
	while (++s < m->text_end) {
		if (((uintptr_t)s & 63) == 0)
			script_tick(m->L, m->script);
		if (*s == close) {
			if (--level == 0)
				return s + 1;
		} else if (*s == open) {
			level++;
		}
	}
	return NULL;
}

static const char *longest(struct match *m, const char *s, const char *p, const char *p_end)
{
	ptrdiff_t n = 0;
	while (single(m, s + n, p, p_end)) {
		n++;
		script_tick(m->L, m->script);
	}
	for (; n >= 0; n--) {
		const char *end = find(m, s + n, p_end + 1);
		if (end)
			return end;
	}
	return NULL;
}

static const char *shortest(struct match *m, const char *s, const char *p, const char *p_end)
{
	for (;;) {
		const char *end = find(m, s, p_end + 1);
		if (end)
			return end;
		if (!single(m, s, p, p_end))
			return NULL;
		s++;
	}
}

static const char *open_capture(struct match *m, const char *s, const char *p, ptrdiff_t kind)
{
	int i = m->captures;
	if (i >= MATCH_CAPTURES)
		luaL_error(m->L, "too many captures");
	m->capture[i].start = s;
	m->capture[i].len = kind;
	m->captures = i + 1;
	const char *end = find(m, s, p);
	if (!end)
		m->captures--;
	return end;
}

static const char *close_capture(struct match *m, const char *s, const char *p)
{
	int i = m->captures - 1;
	while (i >= 0 && m->capture[i].len != CAPTURE_OPEN)
		i--;
	if (i < 0)
		luaL_error(m->L, "invalid pattern capture");
	m->capture[i].len = s - m->capture[i].start;
	const char *end = find(m, s, p);
	if (!end)
		m->capture[i].len = CAPTURE_OPEN;
	return end;
}

static const char *repeat_capture(struct match *m, const char *s, int digit)
{
	int i = digit - '1';
	if (i < 0 || i >= m->captures || m->capture[i].len == CAPTURE_OPEN)
		luaL_error(m->L, "invalid capture index %%%d", i + 1);
	size_t len = (size_t)m->capture[i].len;
	if ((size_t)(m->text_end - s) >= len && memcmp(m->capture[i].start, s, len) == 0)
		return s + len;
	return NULL;
}

/* %f: between a character that isn't in the set and one that is; `p` is behind the f. The set's end, or NULL. */
static const char *frontier(struct match *m, const char *s, const char *p)
{
	if (*p != '[')
		luaL_error(m->L, "missing '[' after '%%f' in pattern");
	const char *end = class_end(m, p);
	int before = s == m->text ? 0 : byte(s - 1), here = s < m->text_end ? byte(s) : 0;
	return !in_set(before, p, end - 1) && in_set(here, p, end - 1) ? end : NULL;
}

/* One character class and what follows it. True if *s and *p moved on, so that the caller goes on from there; false if
 * *s is the result. */
static INLINE bool class_item(struct match *m, const char **s, const char **p)
{
	const char *end = class_end(m, *p);
	char suffix = end < m->pattern_end ? *end : 0;
	bool here = single(m, *s, *p, end);
	switch (suffix) {
	case '*':
		*s = longest(m, *s, *p, end);
		return false;
	case '+':
		*s = here ? longest(m, *s + 1, *p, end) : NULL;
		return false;
	case '-':
		*s = shortest(m, *s, *p, end);
		return false;
	case '?':
		if (here) {
			const char *rest = find(m, *s + 1, end + 1);
			if (rest) {
				*s = rest;
				return false;
			}
		}
		*p = end + 1;
		return true;
	default:
		if (!here) {
			*s = NULL;
			return false;
		}
		++*s;
		*p = end;
		return true;
	}
}

/* An item that begins with %. Like class_item. */
static INLINE bool escaped_item(struct match *m, const char **s, const char **p)
{
	const char *at = *p;
	int c = at + 1 < m->pattern_end ? byte(at + 1) : 0;
	if (c == 'b') {
		*s = balanced(m, *s, at + 2);
		*p = at + 4;
		return *s != NULL;
	}
	if (c == 'f') {
		*p = frontier(m, *s, at + 2);
		if (!*p)
			*s = NULL;
		return *p != NULL;
	}
	if (isdigit(c)) {
		*s = repeat_capture(m, *s, c);
		*p = at + 2;
		return *s != NULL;
	}
	return class_item(m, s, p);
}

static const char *items(struct match *m, const char *s, const char *p)
{
	while (p != m->pattern_end) {
		bool on;
		switch (*p) {
		case '(':
			if (p[1] == ')')
				return open_capture(m, s, p + 2, CAPTURE_POSITION);
			return open_capture(m, s, p + 1, CAPTURE_OPEN);
		case ')':
			return close_capture(m, s, p + 1);
		case '$':
			if (p + 1 == m->pattern_end)
				return s == m->text_end ? s : NULL;
			on = class_item(m, &s, &p);
			break;
		case ESC:
			on = escaped_item(m, &s, &p);
			break;
		default:
			on = class_item(m, &s, &p);
			break;
		}
		if (!on)
			return s;
	}
	return s;
}

static const char *find(struct match *m, const char *s, const char *p)
{
	if (m->depth-- == 0)
		luaL_error(m->L, "pattern too complex");
	script_tick(m->L, m->script); /* between two of these lies at most one pass over the pattern */
	const char *end = items(m, s, p);
	m->depth++;
	return end;
}

void match_init(struct match *m, lua_State *L, const char *text, size_t text_len, const char *pattern,
		size_t pattern_len)
{
	m->L = L;
	m->script = script_of(L);
	m->text = text;
	m->text_end = text + text_len;
	m->pattern_end = pattern + pattern_len;
	m->depth = DEPTH_OF_MATCH;
	m->captures = 0;
}

const char *match_at(struct match *m, const char *at, const char *p)
{
	m->captures = 0;
	return find(m, at, p);
}

void match_push_capture(struct match *m, int i, const char *start, const char *end)
{
	if (i >= m->captures) {
		if (i != 0)
			luaL_error(m->L, "invalid capture index %%%d", i + 1);
		lua_pushlstring(m->L, start, (size_t)(end - start));
		return;
	}
	ptrdiff_t len = m->capture[i].len;
	if (len == CAPTURE_OPEN)
		luaL_error(m->L, "unfinished capture");
	else if (len == CAPTURE_POSITION)
		lua_pushinteger(m->L, m->capture[i].start - m->text + 1);
	else
		lua_pushlstring(m->L, m->capture[i].start, (size_t)len);
}

int match_push_captures(struct match *m, const char *start, const char *end)
{
	int n = m->captures == 0 && start ? 1 : m->captures;
	luaL_checkstack(m->L, n, "too many captures");
	for (int i = 0; i < n; i++)
		match_push_capture(m, i, start, end);
	return n;
}
