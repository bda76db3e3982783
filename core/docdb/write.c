/* SPDX-License-Identifier: MIT
 *
 * Documents -> result JSON.
 */
#include <math.h>

#include "docdb/value.h"
#include "json/json.h"

static int write_text(struct buf *out, const char *text, size_t len)
{
	return json_write_string(out, text, len) == -1 ? -1 : 0;
}

static int write_date(struct buf *out, int64_t ms)
{
	char text[DATE_TEXT + 2] = "\"";
	size_t len = date_write(ms, text + 1);
	text[len + 1] = '"';
	return buf_add(out, text, len + 2);
}

static int write_oid(struct buf *out, const char *id)
{
	static const char hex[] = "0123456789abcdef";
	char text[26] = "\"";
	for (int i = 0; i < 12; i++) {
		text[1 + 2 * i] = hex[(unsigned char)id[i] >> 4];
		text[2 + 2 * i] = hex[(unsigned char)id[i] & 15];
	}
	text[25] = '"';
	return buf_add(out, text, sizeof text);
}

static int write_members(struct buf *out, struct value v, bool own)
{
	struct field f;
	bool object = v.type == VALUE_OBJECT, first = true;
	if (buf_add(out, object ? "{" : "[", 1))
		return -1;
	for (const char *p = value_first(v.data); value_next(&p, &f); first = false) {
		if (!first && buf_add(out, ",", 1))
			return -1;
		bool id = own && f.name_len == 3 && memcmp(f.name, "_id", 3) == 0;
		if (object && (write_text(out, id ? "id" : f.name, id ? 2 : f.name_len) || buf_add(out, ":", 1)))
			return -1;
		if (value_write(out, f.value))
			return -1;
	}
	return buf_add(out, object ? "}" : "]", 1);
}

int value_write_document(struct buf *out, const char *document)
{
	return write_members(out, (struct value){document, VALUE_OBJECT}, true);
}

int value_write(struct buf *out, struct value v)
{
	switch (v.type) {
	case VALUE_CODE:
	case VALUE_SYMBOL:
	case VALUE_STRING: {
		struct bytes t = value_text(v);
		return write_text(out, t.data, t.len);
	}
	case VALUE_OBJECT:
	case VALUE_ARRAY:
		return write_members(out, v, false);
	case VALUE_INT32:
		return json_write_int(out, value_int32(v.data));
	case VALUE_INT64:
		return json_write_int(out, value_int64(v.data));
	case VALUE_DOUBLE:
		if (!isfinite(value_double(v.data)))
			return buf_add_str(out, "null");
		return json_write_float(out, value_double(v.data));
	case VALUE_BOOL:
		return buf_add_str(out, *v.data ? "true" : "false");
	case VALUE_DATE:
		return write_date(out, value_int64(v.data));
	case VALUE_OID:
		return write_oid(out, v.data);
	case VALUE_TIMESTAMP: /* seconds above */
		return write_date(out, (value_int64(v.data) >> 32) * 1000);
	default:
		return buf_add_str(out, "null");
	}
}
