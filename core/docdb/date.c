/* SPDX-License-Identifier: MIT
 *
 * ISO 8601 <-> ms since epoch, in the proleptic Gregorian calendar.
 */
#include <stdio.h>

#include "docdb/value.h"

enum { DAY_MS = 86400000 };

/* Days since 1970-01-01 of a civil date; years begin in March, so that the leap day is the last. */
static int64_t days(int64_t y, int m, int d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
	int64_t of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void civil(int64_t day, int *y, int *m, int *d)
{
	day += 719468;
	int64_t era = (day >= 0 ? day : day - 146096) / 146097, of_era = day - era * 146097;
	int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
	*d = (int)(of_year - (153 * month + 2) / 5 + 1);
	*m = (int)(month < 10 ? month + 3 : month - 9);
	*y = (int)(year + era * 400 + (*m <= 2));
}

struct reader {
	const char *p, *end;
	bool bad;
};

static int digits(struct reader *r, int count)
{
	int n = 0;
	for (; count > 0; count--) {
		if (r->p == r->end || *r->p < '0' || *r->p > '9') {
			r->bad = true;
			return 0;
		}
		n = n * 10 + (*r->p++ - '0');
	}
	return n;
}

static bool take(struct reader *r, char c)
{
	if (r->p == r->end || *r->p != c)
		return false;
	r->p++;
	return true;
}

/* Any number of digits behind the point; those beyond ms are cut. */
static int fraction(struct reader *r)
{
	int ms = digits(r, 1) * 100;
	for (int scale = 10; r->p < r->end && *r->p >= '0' && *r->p <= '9'; scale /= 10)
		ms += (*r->p++ - '0') * scale;
	return ms;
}

static int64_t zone(struct reader *r)
{
	if (r->p == r->end || take(r, 'Z'))
		return 0;
	bool west = *r->p == '-';
	if (!west && *r->p != '+') {
		r->bad = true;
		return 0;
	}
	r->p++;
	int hours = digits(r, 2);
	take(r, ':');
	int minutes = digits(r, 2);
	r->bad |= hours > 23 || minutes > 59;
	int64_t ms = (int64_t)(hours * 60 + minutes) * 60000;
	return west ? -ms : ms;
}

bool date_parse(const char *text, size_t len, int64_t *ms)
{
	static const uint8_t lengths[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	struct reader r = {text, text + len, false};
	int y = digits(&r, 4), h = 0, min = 0, s = 0, part = 0;
	r.bad |= !take(&r, '-');
	int m = digits(&r, 2);
	r.bad |= !take(&r, '-');
	int d = digits(&r, 2);
	if (take(&r, 'T')) {
		h = digits(&r, 2);
		r.bad |= !take(&r, ':');
		min = digits(&r, 2);
		if (take(&r, ':')) {
			s = digits(&r, 2);
			if (take(&r, '.'))
				part = fraction(&r);
		}
	}
	int64_t away = zone(&r);
	bool leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
	if (r.bad || r.p != r.end || m < 1 || m > 12 || d < 1 || d > lengths[m - 1] || (m == 2 && d == 29 && !leap))
		return false;
	if (h > 23 || min > 59 || s > 59)
		return false;
	*ms = days(y, m, d) * DAY_MS + ((h * 60 + min) * 60 + s) * 1000 + part - away;
	return true;
}

static char *put(char *p, int n, int count)
{
	for (int i = count - 1; i >= 0; i--, n /= 10)
		p[i] = (char)('0' + n % 10);
	return p + count;
}

size_t date_write(int64_t ms, char out[DATE_TEXT])
{
	int64_t day = ms / DAY_MS - (ms % DAY_MS < 0);
	int rest = (int)(ms - day * DAY_MS), y, m, d;
	civil(day, &y, &m, &d);
	if (y < 0 || y > 9999) /* of a database that others write too */
		return (size_t)snprintf(out, DATE_TEXT, "%lld", (long long)ms);
	char *p = put(out, y, 4);
	*p++ = '-';
	p = put(p, m, 2);
	*p++ = '-';
	p = put(p, d, 2);
	*p++ = 'T';
	p = put(p, rest / 3600000, 2);
	*p++ = ':';
	p = put(p, rest / 60000 % 60, 2);
	*p++ = ':';
	p = put(p, rest / 1000 % 60, 2);
	*p++ = '.';
	p = put(p, rest % 1000, 3);
	*p++ = 'Z';
	*p = '\0';
	return (size_t)(p - out);
}
