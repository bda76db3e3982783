/* SPDX-License-Identifier: MIT
 *
 * The order over all values (MongoDB manual, "Comparison/Sort Order"), as a comparison and as bytes for memcmp.
 */
#include <math.h>

#include "docdb/value.h"

/* Rank 1 is what sorts before null: MongoDB gives it to an empty array in a sort. */
enum { RANK_NONE = 0, RANK_NULL = 2 };

int value_rank(uint8_t type)
{
	static const uint8_t ranks[] = {[VALUE_MISSING] = RANK_NULL,
					[VALUE_NULL] = RANK_NULL,
					[VALUE_INT32] = 3,
					[VALUE_INT64] = 3,
					[VALUE_DOUBLE] = 3,
					[VALUE_STRING] = 4,
					[VALUE_OBJECT] = 5,
					[VALUE_ARRAY] = 6,
					[VALUE_OID] = 7,
					[VALUE_BOOL] = 8,
					[VALUE_DATE] = 9};
	return ranks[type];
}

static inline int order(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static int64_t integer(struct value v)
{
	return v.type == VALUE_INT32 ? value_int32(v.data) : value_int64(v.data);
}

/* The double next to a number and what is left of an integer beyond 2^53. */
static double split(struct value v, int *rest)
{
	*rest = 0;
	if (v.type == VALUE_DOUBLE)
		return value_double(v.data) + 0.0; /* -0.0 is 0 */
	int64_t n = integer(v);
	double near = (double)n;
	*rest = near >= 0x1p63 ? (int)(n - INT64_MAX) - 1 : (int)(n - (int64_t)near);
	return near;
}

static int compare_numbers(struct value a, struct value b)
{
	if (a.type != VALUE_DOUBLE && b.type != VALUE_DOUBLE)
		return order(integer(a), integer(b));
	int ar, br;
	double x = split(a, &ar), y = split(b, &br);
	return x < y ? -1 : x > y ? 1 : order(ar, br);
}

static int compare_text(struct bytes a, struct bytes b)
{
	int c = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
	return c ? c : order((int64_t)a.len, (int64_t)b.len);
}

static int compare_containers(struct value a, struct value b)
{
	const char *p = value_first(a.data), *q = value_first(b.data);
	struct field x, y;
	for (;;) {
		bool more = value_next(&p, &x), other = value_next(&q, &y);
		if (!more || !other)
			return more - other;
		int c = value_rank(x.value.type) - value_rank(y.value.type);
		if (c == 0 && a.type == VALUE_OBJECT)
			c = strcmp(x.name, y.name);
		if (c == 0)
			c = value_compare(x.value, y.value);
		if (c)
			return c;
	}
}

int value_compare(struct value a, struct value b)
{
	int rank = value_rank(a.type), c = rank - value_rank(b.type);
	if (c)
		return c;
	switch (a.type) {
	case VALUE_INT32:
	case VALUE_INT64:
	case VALUE_DOUBLE:
		return compare_numbers(a, b);
	case VALUE_STRING:
		return compare_text(value_text(a), value_text(b));
	case VALUE_OBJECT:
	case VALUE_ARRAY:
		return compare_containers(a, b);
	case VALUE_OID:
		return memcmp(a.data, b.data, 12);
	case VALUE_BOOL:
		return *a.data - *b.data;
	case VALUE_DATE:
		return order(value_int64(a.data), value_int64(b.data));
	default:
		return 0;
	}
}

static void big_endian(uint64_t n, char out[8])
{
	n = __builtin_bswap64(n);
	memcpy(out, &n, 8);
}

static int key_number(struct buf *out, struct value v)
{
	char bytes[10];
	int rest;
	double near = split(v, &rest);
	uint64_t bits;
	memcpy(&bits, &near, sizeof bits);
	big_endian(bits >> 63 ? ~bits : bits | 1ull << 63, bytes);
	rest += 1 << 15;
	bytes[8] = (char)(rest >> 8);
	bytes[9] = (char)rest;
	return buf_add(out, bytes, sizeof bytes);
}

/* NUL becomes NUL 0xFF, the end is NUL NUL: a text before those that it begins. */
static int key_text(struct buf *out, const char *text, size_t len)
{
	while (len) {
		const char *nul = memchr(text, 0, len);
		size_t run = nul ? (size_t)(nul - text) : len;
		if (buf_add(out, text, run) || (nul && buf_add(out, "\0\xFF", 2)))
			return -1;
		text += run + (nul != NULL);
		len -= run + (nul != NULL);
	}
	return buf_add(out, "\0", 2);
}

static int key_up(struct buf *out, struct value v);

static int key_container(struct buf *out, struct value v)
{
	struct field f;
	for (const char *p = value_first(v.data); value_next(&p, &f);) {
		char rank = (char)value_rank(f.value.type);
		if (v.type == VALUE_OBJECT && (buf_add(out, &rank, 1) || key_text(out, f.name, f.name_len)))
			return -1;
		if (key_up(out, f.value))
			return -1;
	}
	return buf_add(out, "", 1);
}

static int key_up(struct buf *out, struct value v)
{
	char bytes[9] = {(char)value_rank(v.type)};
	if (buf_add(out, bytes, 1))
		return -1;
	switch (v.type) {
	case VALUE_INT32:
	case VALUE_INT64:
	case VALUE_DOUBLE:
		return key_number(out, v);
	case VALUE_STRING: {
		struct bytes t = value_text(v);
		return key_text(out, t.data, t.len);
	}
	case VALUE_OBJECT:
	case VALUE_ARRAY:
		return key_container(out, v);
	case VALUE_OID:
		return buf_add(out, v.data, 12);
	case VALUE_BOOL:
		return buf_add(out, v.data, 1);
	case VALUE_DATE:
		big_endian((uint64_t)value_int64(v.data) ^ 1ull << 63, bytes);
		return buf_add(out, bytes, 8);
	default:
		return 0;
	}
}

int value_key(struct buf *out, struct value v, bool down)
{
	size_t at = out->len;
	if (key_up(out, v))
		return -1;
	for (; down && at < out->len; at++)
		out->data[at] = (char)~out->data[at];
	return 0;
}
