/* SPDX-License-Identifier: MIT */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json/part.h"

static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
				1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static inline bool is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

static const unsigned char *digits(const unsigned char *p, const unsigned char *end)
{
	while (p < end && is_digit(*p))
		p++;
	return p;
}

/* Up to 19 digits can't wrap round an unsigned; whether they fit depends on the sign. */
static bool fits(const unsigned char *p, size_t len, bool negative)
{
	if (len < 19)
		return true;
	if (len > 19)
		return false;
	uint64_t value = 0;
	for (size_t i = 0; i < len; i++)
		value = value * 10 + (p[i] - '0');
	return value <= (uint64_t)INT64_MAX + negative;
}

static int scan_integer(struct scan *s, const unsigned char *at, const unsigned char *first, struct json_node *node)
{
	bool negative = first > at;
	size_t len = (size_t)(s->p - first);
	if (negative && *first == '0') { /* an integer has no negative zero, a double has */
		node->kind = JSON_FLOAT;
		s->canonical = false;
		return 0;
	}
	node->kind = JSON_INT;
	if (fits(first, len, negative))
		return 0;
	bool cut = s->p - at > 24;
	return scan_refuse(s, at, "the integer %.*s%s does not fit in 64 bits; send it as a string",
			   cut ? 24 : (int)(s->p - at), (const char *)at, cut ? "..." : "");
}

/* Up to 15 digits are their own shortest form, so only what is longer or has an exponent must be tried. */
static int scan_float(struct scan *s, const unsigned char *at, const unsigned char *first, bool exponent)
{
	size_t len = (size_t)(s->p - first);
	bool tail = s->p[-1] != '0' || s->p[-2] == '.';
	if (!exponent && tail && len <= 16 && (*first != '0' || len < 6 || memcmp(first, "0.0000", 6) != 0))
		return 0;
	char text[32];
	double value = json_double((const char *)at, (size_t)(s->p - at));
	if (!isfinite(value))
		return scan_refuse(s, at, "the number is too large for a double");
	size_t n = json_format_double(text, value);
	if (n != (size_t)(s->p - at) || memcmp(text, at, n) != 0)
		s->canonical = false;
	return 0;
}

int scan_number(struct scan *s, struct json_node *node)
{
	const unsigned char *at = s->p, *first = at + (*at == '-'), *p = first, *end = s->end;
	bool exponent = false, fraction = false;
	node->flags = 0;
	p = digits(p, end);
	if (p == first)
		return scan_fail(s, p, "a digit");
	if (*first == '0' && p - first > 1)
		return scan_refuse(s, first, "a number can't begin with a zero");
	if (p < end && *p == '.') {
		const unsigned char *from = ++p;
		fraction = true;
		p = digits(p, end);
		if (p == from)
			return scan_fail(s, p, "a digit");
	}
	if (p < end && (*p | 0x20) == 'e') {
		exponent = true;
		p++;
		if (p < end && (*p == '+' || *p == '-'))
			p++;
		const unsigned char *from = p;
		p = digits(p, end);
		if (p == from)
			return scan_fail(s, p, "a digit");
	}
	s->p = p;
	if (!fraction && !exponent)
		return scan_integer(s, at, first, node);
	node->kind = JSON_FLOAT;
	return scan_float(s, at, first, exponent);
}

int64_t json_int(const struct json_tree *tree, uint32_t node)
{
	const char *p = tree->bytes + tree->nodes[node].start, *end = tree->bytes + tree->nodes[node].end;
	bool negative = *p == '-';
	uint64_t value = 0;
	for (p += negative; p < end; p++)
		value = value * 10 + (uint64_t)(*p - '0');
	return (int64_t)(negative ? 0 - value : value);
}

double json_float(const struct json_tree *tree, uint32_t node)
{
	const struct json_node *n = &tree->nodes[node];
	return json_double(tree->bytes + n->start, n->end - n->start);
}

static double slow_double(const char *text, size_t len)
{
	char small[64], *copy = len < sizeof small ? small : xmalloc(len + 1);
	memcpy(copy, text, len);
	copy[len] = '\0';
	double value = strtod(copy, NULL);
	if (copy != small)
		free(copy);
	return value;
}

/* Both parts exact in a double and one operation: the result is correctly rounded (Clinger). */
double json_double(const char *text, size_t len)
{
	const char *p = text, *end = text + len;
	bool negative = *p == '-', dot = false;
	uint64_t mantissa = 0;
	int scale = 0;
	if (len > 18)
		return slow_double(text, len);
	for (p += negative; p < end; p++) {
		if (*p == '.') {
			dot = true;
		} else if (is_digit((unsigned char)*p)) {
			mantissa = mantissa * 10 + (uint64_t)(*p - '0');
			scale -= dot;
		} else {
			return slow_double(text, len);
		}
	}
	if (mantissa >> 53)
		return slow_double(text, len);
	double value = (double)mantissa / powers[-scale];
	return negative ? -value : value;
}

int json_write_int(struct buf *out, int64_t value)
{
	char text[20], *p = text + sizeof text;
	uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
	do
		*--p = (char)('0' + rest % 10);
	while (rest /= 10);
	if (value < 0)
		*--p = '-';
	return buf_add(out, p, (size_t)(text + sizeof text - p));
}

static size_t put_digits(char *out, uint64_t value)
{
	char text[20], *p = text + sizeof text;
	do
		*--p = (char)('0' + value % 10);
	while (value /= 10);
	size_t len = (size_t)(text + sizeof text - p);
	memcpy(out, p, len);
	return len;
}

/* Digits d1d2d3... times 10^exponent with the point behind d1, laid out: a decimal from 1e-4 to 1e16, else an exponent. */
static size_t lay_out(char *out, const char *d, int n, int exponent)
{
	char *p = out;
	if (exponent < -4 || exponent >= 16) {
		*p++ = d[0];
		if (n > 1) {
			*p++ = '.';
			memcpy(p, d + 1, (size_t)n - 1);
			p += n - 1;
		}
		*p++ = 'e';
		if (exponent < 0)
			*p++ = '-';
		return (size_t)(p - out) + put_digits(p, (uint64_t)abs(exponent));
	}
	int whole = exponent + 1; /* digits before the point */
	if (whole <= 0) {
		*p++ = '0';
		*p++ = '.';
		for (int i = whole; i < 0; i++)
			*p++ = '0';
	}
	for (int i = 0; i < n || i < whole; i++) {
		if (i == whole && i > 0)
			*p++ = '.';
		*p++ = i < n ? d[i] : '0';
	}
	if (whole >= n) {
		*p++ = '.';
		*p++ = '0';
	}
	return (size_t)(p - out);
}

static size_t slow_format(char *out, double value)
{
	char text[40], d[20];
	for (int precision = value < DBL_MIN ? 0 : 14; precision <= 16; precision++) {
		snprintf(text, sizeof text, "%.*e", precision, value);
		if (strtod(text, NULL) == value)
			break;
	}
	int n = 0;
	const char *e = strchr(text, 'e');
	for (const char *p = text; p < e; p++)
		if (*p != '.')
			d[n++] = *p;
	while (n > 1 && d[n - 1] == '0')
		n--;
	return lay_out(out, d, n, atoi(e + 1));
}

/* `value` as n / 10^k with the least k: its shortest form if n has at most 15 digits. 0 if it isn't so plain. */
static size_t plain_format(char *out, double value)
{
	if (value >= 1e15 || (value < 1e-4 && value != 0))
		return 0;
	for (int k = 0; k <= 7; k++) {
		double scaled = value * powers[k];
		if (scaled >= 1e15)
			return 0;
		uint64_t n = (uint64_t)(scaled + 0.5);
		if ((double)n / powers[k] != value)
			continue;
		uint64_t unit = (uint64_t)powers[k];
		size_t len = put_digits(out, n / unit);
		out[len++] = '.';
		uint64_t fraction = n % unit;
		for (int i = k - 1; i > 0 && fraction < (uint64_t)powers[i]; i--)
			out[len++] = '0';
		return len + put_digits(out + len, fraction);
	}
	return 0;
}

size_t json_format_double(char *out, double value)
{
	size_t sign = signbit(value) ? 1 : 0;
	if (sign)
		*out++ = '-';
	value = fabs(value);
	size_t len = plain_format(out, value);
	return sign + (len ? len : slow_format(out, value));
}

int json_write_float(struct buf *out, double value)
{
	char text[40];
	return buf_add(out, text, json_format_double(text, value));
}
