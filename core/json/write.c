/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "json/part.h"

/* One byte that needs an escape; the text of it, its length. */
static size_t escape(char *out, unsigned char c)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt", hex[] = "0123456789abcdef";
	const char *found = c ? strchr(from, c) : NULL;
	out[0] = '\\';
	if (found) {
		out[1] = to[found - from];
		return 2;
	}
	memcpy(out + 1, "u00", 3);
	out[4] = hex[c >> 4];
	out[5] = hex[c & 15];
	return 6;
}

int json_write_string(struct buf *out, const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text, *end = p + len;
	if (buf_reserve(out, len + 8))
		return -1;
	out->data[out->len++] = '"';
	for (;;) {
		const unsigned char *stop = json_plain(p, end);
		memcpy(out->data + out->len, p, (size_t)(stop - p));
		out->len += (size_t)(stop - p);
		if (stop == end)
			break;
		if (*stop >= 0x80)
			return -2;
		out->len += escape(out->data + out->len, *stop);
		p = stop + 1;
		if (buf_reserve(out, (size_t)(end - p) + 8))
			return -1;
	}
	out->data[out->len++] = '"';
	out->data[out->len] = '\0';
	return 0;
}

/* A checked string: the escapes that the writer would not write are replaced. */
static int write_escaped(const struct json_tree *tree, uint32_t node, struct buf *out)
{
	const struct json_node *n = &tree->nodes[node];
	char *text = malloc(n->end - n->start);
	if (!text)
		return -1;
	size_t len = json_unescape(tree, node, text);
	int rc = json_write_string(out, text, len);
	free(text);
	return rc;
}

static int write_scalar(const struct json_tree *tree, uint32_t node, struct buf *out)
{
	const struct json_node *n = &tree->nodes[node];
	if (n->kind == JSON_FLOAT)
		return json_write_float(out, json_float(tree, node));
	if (n->flags & JSON_ESCAPED)
		return write_escaped(tree, node, out);
	return buf_add(out, tree->bytes + n->start, n->end - n->start);
}

static int write_container(const struct json_tree *tree, uint32_t node, struct buf *out)
{
	const struct json_node *n = &tree->nodes[node];
	bool object = n->kind == JSON_OBJECT;
	int rc = buf_add(out, object ? "{" : "[", 1);
	for (uint32_t child = node + 1; rc == 0 && child < n->next; child = tree->nodes[child].next) {
		if (child > node + 1)
			rc = buf_add(out, ",", 1);
		if (rc == 0 && object) {
			rc = write_scalar(tree, child++, out);
			if (rc == 0)
				rc = buf_add(out, ":", 1);
		}
		if (rc == 0)
			rc = json_write(tree, child, out);
	}
	return rc ? rc : buf_add(out, object ? "}" : "]", 1);
}

int json_write(const struct json_tree *tree, uint32_t node, struct buf *out)
{
	const struct json_node *n = &tree->nodes[node];
	if (tree->canonical)
		return buf_add(out, tree->bytes + n->start, n->end - n->start);
	return n->kind >= JSON_ARRAY ? write_container(tree, node, out) : write_scalar(tree, node, out);
}

int json_canonical(const char *bytes, size_t len, const struct json_limits *limits, struct buf *out, struct error *e)
{
	struct json_tape tape = {0};
	int rc = json_parse(&tape, bytes, len, limits, e);
	if (rc == 0 && (buf_reserve(out, len) || json_write(&tape.tree, 0, out)))
		rc = error_set(e, ERROR_SERVER, "no memory for a JSON text of %zu bytes", len);
	json_tape_free(&tape);
	return rc;
}

static inline bool same_bytes(const char *a, const char *b, size_t len)
{
	return len == 0 || (a[0] == b[0] && a[len - 1] == b[len - 1] && memcmp(a, b, len) == 0);
}

uint32_t json_find(const struct json_tree *tree, uint32_t object, const char *key, size_t len)
{
	const struct json_node *n = &tree->nodes[object];
	for (uint32_t at = object + 1; at < n->next; at = tree->nodes[at + 1].next) {
		const struct json_node *k = &tree->nodes[at];
		if (k->flags & JSON_ESCAPED) {
			char small[256], *text = k->end - k->start <= sizeof small ? small : xmalloc(k->end - k->start);
			bool same = json_unescape(tree, at, text) == len && memcmp(text, key, len) == 0;
			if (text != small)
				free(text);
			if (same)
				return at + 1;
		} else if (k->end - k->start - 2 == len && same_bytes(tree->bytes + k->start + 1, key, len)) {
			return at + 1;
		}
	}
	return 0;
}

uint32_t json_at(const struct json_tree *tree, uint32_t array, uint32_t i)
{
	const struct json_node *n = &tree->nodes[array];
	if (i >= n->count)
		return 0;
	uint32_t at = array + 1;
	while (i-- > 0)
		at = tree->nodes[at].next;
	return at;
}
