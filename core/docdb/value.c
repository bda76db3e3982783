/* SPDX-License-Identifier: MIT */
#include "docdb/value.h"

/* What others' documents have and ours don't. */
static size_t foreign_size(struct value v)
{
	switch (v.type) {
	case VALUE_BINARY:
		return 5 + (size_t)value_int32(v.data);
	case VALUE_REGEX: {
		size_t source = strlen(v.data) + 1;
		return source + strlen(v.data + source) + 1;
	}
	case VALUE_POINTER:
		return 16 + (size_t)value_int32(v.data);
	case VALUE_SCOPE:
		return (size_t)value_int32(v.data);
	case VALUE_TIMESTAMP:
		return 8;
	case VALUE_DECIMAL:
		return 16;
	default:
		return 0;
	}
}

size_t value_size(struct value v)
{
	switch (v.type) {
	case VALUE_STRING:
	case VALUE_CODE:
	case VALUE_SYMBOL:
		return 4 + (size_t)value_int32(v.data);
	case VALUE_OBJECT:
	case VALUE_ARRAY:
		return (size_t)value_int32(v.data);
	case VALUE_BOOL:
		return 1;
	case VALUE_OID:
		return 12;
	case VALUE_INT32:
		return 4;
	case VALUE_DOUBLE:
	case VALUE_DATE:
	case VALUE_INT64:
		return 8;
	default:
		return foreign_size(v);
	}
}

bool value_next(const char **p, struct field *f)
{
	const char *at = *p;
	if (*at == 0)
		return false;
	f->value.type = (uint8_t)*at++;
	f->name = at;
	f->name_len = strlen(at);
	f->value.data = at + f->name_len + 1;
	*p = f->value.data + value_size(f->value);
	return true;
}

struct value value_find(const char *document, const char *name, size_t len)
{
	struct field f;
	for (const char *p = value_first(document); value_next(&p, &f);)
		if (f.name_len == len && memcmp(f.name, name, len) == 0)
			return f.value;
	return (struct value){NULL, VALUE_MISSING};
}

size_t value_open(struct buf *b)
{
	size_t at = b->len;
	return buf_add(b, "\0\0\0\0", 4) ? SIZE_MAX : at;
}

int value_close(struct buf *b, size_t at)
{
	if (at == SIZE_MAX || buf_add(b, "", 1))
		return -1;
	int32_t len = (int32_t)(b->len - at);
	memcpy(b->data + at, &len, sizeof len);
	return 0;
}

int value_name(struct buf *b, uint8_t type, const char *name, size_t len)
{
	if (buf_reserve(b, len + 2))
		return -1;
	char *p = b->data + b->len;
	*p = (char)type;
	memcpy(p + 1, name, len);
	p[len + 1] = '\0';
	b->len += len + 2;
	return 0;
}

int value_add(struct buf *b, const char *name, size_t len, struct value v)
{
	return value_name(b, v.type, name, len) || buf_add(b, v.data, value_size(v)) ? -1 : 0;
}

int value_add_int64(struct buf *b, const char *name, size_t len, uint8_t type, int64_t n)
{
	if (buf_reserve(b, len + 2 + sizeof n) || value_name(b, type, name, len))
		return -1;
	memcpy(b->data + b->len, &n, sizeof n);
	b->len += sizeof n;
	return 0;
}

int value_add_text(struct buf *b, const char *name, size_t len, const char *text, size_t text_len)
{
	int32_t n = (int32_t)text_len + 1;
	if (buf_reserve(b, len + 2 + sizeof n + text_len + 1) || value_name(b, VALUE_STRING, name, len))
		return -1;
	char *p = b->data + b->len;
	memcpy(p, &n, sizeof n);
	if (text_len)
		memcpy(p + sizeof n, text, text_len);
	p[sizeof n + text_len] = '\0';
	b->len += sizeof n + text_len + 1;
	return 0;
}

size_t value_index_name(uint32_t i, char out[12])
{
	char digits[12];
	size_t n = 0;
	do
		digits[n++] = (char)('0' + i % 10);
	while (i /= 10);
	for (size_t k = 0; k < n; k++)
		out[k] = digits[n - 1 - k];
	out[n] = '\0';
	return n;
}
