/* SPDX-License-Identifier: MIT */
#include "base/base.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int duration_parse(const char *text, int64_t *ms, struct error *e)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = {{"", 1}, {"ms", 1}, {"s", 1e3}, {"m", 6e4}, {"h", 3.6e6}, {"d", 8.64e7}};
	char *end;
	errno = 0;
	double number = strtod(text, &end);
	if (end != text && !errno && number >= 0 && number < 1e15)
		for (size_t i = 0; i < sizeof units / sizeof *units; i++)
			if (strcmp(end, units[i].unit) == 0 && number * units[i].ms < 9e15) {
				*ms = (int64_t)(number * units[i].ms + 0.5);
				return 0;
			}
	return error_set(e, ERROR_ARGUMENT,
			 "\"%s\" is no duration: expected a number of milliseconds or 250ms, 30s, 5m, 2h, 7d", text);
}

/* The shortest forms only: Unicode 15, table 3-7. */
bool utf8_valid(const char *bytes, size_t len, size_t *at)
{
	const unsigned char *p = (const unsigned char *)bytes, *end = p + len;
	while (p < end) {
		unsigned char c = *p;
		size_t more = c < 0x80                 ? 0
			      : c >= 0xC2 && c <= 0xDF ? 1
			      : c >= 0xE0 && c <= 0xEF ? 2
			      : c >= 0xF0 && c <= 0xF4 ? 3
						       : 4;
		bool good = more < 4 && (size_t)(end - p) > more;
		if (good && more) {
			unsigned char low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
			unsigned char high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
			good = p[1] >= low && p[1] <= high;
			for (size_t i = 2; good && i <= more; i++)
				good = (p[i] & 0xC0) == 0x80;
		}
		if (!good) {
			if (at)
				*at = (size_t)((const char *)p - bytes);
			return false;
		}
		p += more + 1;
	}
	return true;
}
