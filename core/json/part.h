/* SPDX-License-Identifier: MIT
 *
 * What the files of json/ share and nobody else includes.
 */
#ifndef SRVTHREDS_JSON_PART_H
#define SRVTHREDS_JSON_PART_H

#include "json/json.h"

struct scan {
	const unsigned char *begin, *p, *end;
	struct json_tape *tape;
	uint32_t count, parent, depth;
	size_t depth_limit;
	bool canonical, unsorted;
	struct error *e;
};

/* Sets 4000 with the place of `at`; returns -1. */
int scan_fail(const struct scan *s, const unsigned char *at, const char *expected);
int scan_refuse(const struct scan *s, const unsigned char *at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Both begin at the first byte of the value, leave s->p behind it and fill kind and flags. */
int scan_string(struct scan *s, struct json_node *node);
int scan_number(struct scan *s, struct json_node *node);

/* Puts the pairs of every unsorted object in order; finds the keys that come twice. */
int json_sort(struct scan *s);

/* The first byte that can't stand in a string as it is: a control character, '"', '\\', or >= 0x80 that begins no valid
 * UTF-8 character; or `end`. */
const unsigned char *json_plain(const unsigned char *p, const unsigned char *end);

/* Steps over one character of the inside of a checked string; its UTF-8 bytes into `out` (4); their number. */
size_t json_character(const unsigned char **p, char *out);

double json_double(const char *text, size_t len);
/* Room for 32 bytes; the length. */
size_t json_format_double(char *out, double value);

#endif
