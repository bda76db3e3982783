/* SPDX-License-Identifier: MIT
 *
 * regex: PCRE2 over UTF-8 with limits, for patterns' conditions and allowed sources. No Lua, no globals.
 * A compiled regex is read-only but for its match data, so each belongs to one thread.
 * A search is bounded in steps: an item of the regex tried at a place of the text, or a byte that it went over. Beyond
 * REGEX_STEPS and REGEX_STEPS_BYTE for each byte of the text it is an error.
 */
#ifndef SRVTHREDS_REGEX_H
#define SRVTHREDS_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/base.h"

#define REGEX_MATCH_LIMIT  200000 /* steps of backtracking from one place */
#define REGEX_STEPS        1000000
#define REGEX_STEPS_BYTE   8
#define REGEX_DEPTH_LIMIT  2000 /* nested backtracking points */
#define REGEX_HEAP_LIMIT   4096 /* KiB of memory for backtracking */
#define REGEX_SOURCE_LIMIT 4096 /* bytes of a regex */

struct regex;

/* NULL with `e` set (4200: what is wrong, at which character). Free it with regex_free. */
struct regex *regex_new(const char *source, size_t len, bool caseless, struct error *e);
void regex_free(struct regex *re); /* NULL is fine */

/* Is there a match anywhere in the text? 1 yes, 0 no, -1 with `e` set (a limit was reached). Text that isn't valid UTF-8
 * matches around its bad bytes, never through them. */
int regex_search(struct regex *re, const char *text, size_t len, struct error *e);

/* The source it was made of, as given; owned by the regex. */
const char *regex_source(const struct regex *re);

#endif
