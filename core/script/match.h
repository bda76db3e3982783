/* SPDX-License-Identifier: MIT
 *
 * Matching of Lua patterns (manual §6.4.1), with the results, limits and messages of Lua 5.4. A match that goes on too
 * long looks at the clock and raises when its script is over its limits. Raises on malformed patterns.
 */
#ifndef SRVTHREDS_SCRIPT_MATCH_H
#define SRVTHREDS_SCRIPT_MATCH_H

#include "script/private.h"

#define MATCH_CAPTURES 32

#define CAPTURE_OPEN     (-1)
#define CAPTURE_POSITION (-2)

struct match {
	lua_State *L;
	struct script *script;
	const char *text, *text_end; /* borrowed, as is the pattern */
	const char *pattern_end;
	int depth;    /* nesting still allowed */
	int captures; /* found or open */
	struct {
		const char *start;
		ptrdiff_t len; /* or one of CAPTURE_ */
	} capture[MATCH_CAPTURES];
};

void match_init(struct match *m, lua_State *L, const char *text, size_t text_len, const char *pattern,
		size_t pattern_len);
/* The end of the match of pattern `p` that begins exactly at `at`, or NULL. */
const char *match_at(struct match *m, const char *at, const char *p);
/* Pushes all captures; the whole match if there is none and `start` isn't NULL. Their number. */
int match_push_captures(struct match *m, const char *start, const char *end);
/* Pushes capture `i` (from 0) of the match start..end; capture 0 of a pattern without captures is the whole match. */
void match_push_capture(struct match *m, int i, const char *start, const char *end);

#endif
