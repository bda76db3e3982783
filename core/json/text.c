/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "json/part.h"

#define ONES 0x0101010101010101ull
#define HIGH 0x8080808080808080ull

/* Has one of the eight bytes to be looked at: < 0x20, '"', '\\' or >= 0x80? */
static inline uint64_t special(uint64_t w)
{
	uint64_t quote = w ^ (ONES * '"'), slash = w ^ (ONES * '\\');
	return ((w - ONES * 0x20) | (quote - ONES) | (slash - ONES) | w) & HIGH;
}

/* The length of the valid character at p, 0 if there is none: Unicode 15, table 3-7. */
static size_t character_length(const unsigned char *p, const unsigned char *end)
{
	unsigned char c = *p;
	size_t len = c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
	if (!len || (size_t)(end - p) < len)
		return 0;
	unsigned char low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
	unsigned char high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((p[i] & 0xC0) != 0x80)
			return 0;
	return len;
}

const unsigned char *json_plain_slow(const unsigned char *p, const unsigned char *end)
{
	for (;;) {
		uint64_t word;
		while (end - p >= 8) {
			memcpy(&word, p, 8);
			uint64_t hit = special(word);
			if (hit) {
				p += __builtin_ctzll(hit) / 8;
				break;
			}
			p += 8;
		}
		while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\')
			p++;
		if (p == end || *p < 0x80)
			return p;
		size_t len = character_length(p, end);
		if (!len)
			return p;
		p += len;
	}
}

static int hex4(const unsigned char *p, const unsigned char *end, unsigned *out)
{
	unsigned value = 0;
	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		unsigned c = p[i], digit = c - '0';
		if (digit > 9) {
			digit = (c | 0x20) - 'a' + 10;
			if (digit < 10 || digit > 15)
				return -1;
		}
		value = value << 4 | digit;
	}
	*out = value;
	return 0;
}

/* Would the writer write this \u escape in this way? */
static bool canonical_escape(const unsigned char *hex, unsigned code)
{
	if (code >= 0x20 || (code >= 8 && code <= 13 && code != 11))
		return false;
	return hex[3] < 'A' || hex[3] > 'F';
}

static int scan_unicode(struct scan *s, const unsigned char *at)
{
	unsigned code, low;
	if (hex4(s->p, s->end, &code))
		return scan_refuse(s, at, "\\u is not followed by four hexadecimal digits");
	if (!canonical_escape(s->p, code))
		s->canonical = false;
	s->p += 4;
	if (code < 0xD800 || code > 0xDFFF)
		return 0;
	if (code > 0xDBFF || s->end - s->p < 6 || s->p[0] != '\\' || s->p[1] != 'u' || hex4(s->p + 2, s->end, &low) ||
	    low < 0xDC00 || low > 0xDFFF)
		return scan_refuse(s, at, "\\u%04x is half of a surrogate pair, which is no character", code);
	s->p += 6;
	return 0;
}

static int scan_escape(struct scan *s)
{
	const unsigned char *at = s->p++;
	if (s->p == s->end)
		return scan_fail(s, s->p, "an escape such as \\n");
	switch (*s->p++) {
	case '/':
		s->canonical = false;
		return 0;
	case '"':
	case '\\':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't':
		return 0;
	case 'u':
		return scan_unicode(s, at);
	default:
		return scan_refuse(s, at,
				   "no such escape in JSON; there are \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX");
	}
}

int scan_string_rest(struct scan *s, struct json_node *node)
{
	for (;; s->p = json_plain(s->p, s->end)) {
		if (s->p == s->end)
			return scan_fail(s, s->p, "the \" that ends the string");
		if (*s->p == '"') {
			s->p++;
			return 0;
		}
		if (*s->p >= 0x80)
			return scan_refuse(s, s->p, "byte 0x%02X is not UTF-8", *s->p);
		if (*s->p < 0x20)
			return scan_refuse(s, s->p, "control character 0x%02X in a string; write \\u%04x", *s->p,
					   *s->p);
		node->flags = JSON_ESCAPED;
		if (scan_escape(s))
			return -1;
	}
}

static size_t put_utf8(char *out, unsigned code)
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	for (size_t i = len - 1; i > 0; i--, code >>= 6)
		out[i] = (char)(0x80 | (code & 0x3F));
	out[0] = (char)((0xF00 >> len & 0xFF) | code);
	return len;
}

size_t json_character(const unsigned char **p, char *out)
{
	const unsigned char *at = *p;
	if (*at != '\\') {
		out[0] = (char)*at;
		*p = at + 1;
		return 1;
	}
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	if (at[1] != 'u') {
		out[0] = to[strchr(from, at[1]) - from];
		*p = at + 2;
		return 1;
	}
	unsigned code = 0, low = 0;
	hex4(at + 2, at + 6, &code);
	*p = at + 6;
	if (code >= 0xD800 && code <= 0xDBFF) {
		hex4(at + 8, at + 12, &low);
		code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
		*p = at + 12;
	}
	return put_utf8(out, code);
}

size_t json_unescape(const struct json_tree *tree, uint32_t node, char *out)
{
	const struct json_node *n = &tree->nodes[node];
	const unsigned char *p = (const unsigned char *)tree->bytes + n->start + 1, *end = p + (n->end - n->start - 2);
	size_t len = 0;
	while (p < end) {
		const unsigned char *slash = memchr(p, '\\', (size_t)(end - p));
		size_t run = (size_t)((slash ? slash : end) - p);
		memcpy(out + len, p, run);
		len += run;
		p += run;
		if (slash)
			len += json_character(&p, out + len);
	}
	return len;
}

/* The slow way, for strings with escapes: byte by byte, without memory. */
static int compare_escaped(const unsigned char *a, const unsigned char *a_end, const unsigned char *b,
			   const unsigned char *b_end)
{
	char x[4], y[4];
	size_t x_len = 0, y_len = 0, xi = 0, yi = 0;
	for (;;) {
		if (xi == x_len && a < a_end) {
			x_len = json_character(&a, x);
			xi = 0;
		}
		if (yi == y_len && b < b_end) {
			y_len = json_character(&b, y);
			yi = 0;
		}
		if (xi == x_len || yi == y_len)
			return (xi < x_len) - (yi < y_len);
		if (x[xi] != y[yi])
			return (unsigned char)x[xi] < (unsigned char)y[yi] ? -1 : 1;
		xi++;
		yi++;
	}
}

int json_compare(const struct json_tree *tree, uint32_t a, uint32_t b)
{
	size_t x_len, y_len;
	const char *x = json_text(tree, a, &x_len), *y = json_text(tree, b, &y_len);
	if ((tree->nodes[a].flags | tree->nodes[b].flags) & JSON_ESCAPED)
		return compare_escaped((const unsigned char *)x, (const unsigned char *)x + x_len,
				       (const unsigned char *)y, (const unsigned char *)y + y_len);
	int order = memcmp(x, y, x_len < y_len ? x_len : y_len);
	return order ? order : (x_len > y_len) - (x_len < y_len);
}
