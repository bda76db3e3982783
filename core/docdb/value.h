/* SPDX-License-Identifier: MIT
 *
 * value: documents as BSON bytes, in SQLite's rows as on MongoDB's wire, so that both see the same types. Pure functions,
 * any thread. Documents were built here (or checked by who received them): nothing here checks lengths again.
 *
 * A document: int32 length with itself, elements, NUL. An element: type, name, NUL, payload. A value is a type and the
 * address of its payload, borrowed from the document; type 0 is "missing".
 */
#ifndef SRVTHREDS_DOCDB_VALUE_H
#define SRVTHREDS_DOCDB_VALUE_H

#include <string.h>

#include "base/base.h"

/* The numbers are BSON's. */
enum value_type {
	VALUE_MISSING = 0,
	VALUE_DOUBLE = 1,
	VALUE_STRING = 2,
	VALUE_OBJECT = 3,
	VALUE_ARRAY = 4,
	VALUE_OID = 7,
	VALUE_BOOL = 8,
	VALUE_DATE = 9,
	VALUE_NULL = 10,
	VALUE_INT32 = 16,
	VALUE_INT64 = 18,
	/* Only in documents that others wrote: shown as text or null, never compared here. */
	VALUE_BINARY = 5,
	VALUE_UNDEFINED = 6,
	VALUE_REGEX = 11,
	VALUE_POINTER = 12,
	VALUE_CODE = 13,
	VALUE_SYMBOL = 14,
	VALUE_SCOPE = 15,
	VALUE_TIMESTAMP = 17,
	VALUE_DECIMAL = 19
};

enum { VALUE_DEPTH = 100, VALUE_DOCUMENT_MAX = 16 << 20 };

struct bytes {
	const char *data; /* borrowed; NULL = absent */
	size_t len;
};

struct value {
	const char *data;
	uint8_t type;
};

struct field {
	struct value value;
	const char *name; /* NUL behind it */
	size_t name_len;
};

static inline int32_t value_int32(const char *data)
{
	int32_t n;
	memcpy(&n, data, sizeof n);
	return n;
}

static inline int64_t value_int64(const char *data)
{
	int64_t n;
	memcpy(&n, data, sizeof n);
	return n;
}

static inline double value_double(const char *data)
{
	double n;
	memcpy(&n, data, sizeof n);
	return n;
}

static inline struct bytes value_text(struct value v)
{
	return (struct bytes){v.data + 4, (size_t)value_int32(v.data) - 1};
}

static inline bool value_is_number(uint8_t type)
{
	return type == VALUE_INT64 || type == VALUE_DOUBLE || type == VALUE_INT32;
}

static inline bool value_is_container(uint8_t type)
{
	return type == VALUE_OBJECT || type == VALUE_ARRAY;
}

size_t value_size(struct value v); /* bytes of the payload */

/* The elements of the document, object or array that begins at `at`: for (p = value_first(d); value_next(&p, &f);) */
static inline const char *value_first(const char *at)
{
	return at + 4;
}
bool value_next(const char **p, struct field *f);
struct value value_find(const char *document, const char *name, size_t len);

/* Building, in native (little-endian) order: at = value_open(b); value_add(b, …)…; value_close(b, at). -1: no memory. */
size_t value_open(struct buf *b);
int value_close(struct buf *b, size_t at);
int value_name(struct buf *b, uint8_t type, const char *name, size_t len); /* the payload is to follow */
int value_add(struct buf *b, const char *name, size_t len, struct value v);
int value_add_int64(struct buf *b, const char *name, size_t len, uint8_t type, int64_t n);
int value_add_text(struct buf *b, const char *name, size_t len, const char *text, size_t text_len);
size_t value_index_name(uint32_t i, char out[12]); /* the name of an array's element */

/* MongoDB's order over all types: null < numbers < strings < objects < arrays < ids < booleans < dates; numbers by value
 * whatever their kind; objects element by element: type, name, value. */
int value_rank(uint8_t type); /* the bracket: values of different brackets are never less or greater in a matcher */
int value_compare(struct value a, struct value b);
/* Appends bytes whose memcmp order is value_compare's and that are equal exactly when the values are; no key is the
 * beginning of another. `down` turns the order round. */
int value_key(struct buf *out, struct value v, bool down);

/* Result JSON: dates as ISO 8601 text, the document's own _id as id. -1: no memory. */
int value_write_document(struct buf *out, const char *document);
int value_write(struct buf *out, struct value v);

enum { DATE_TEXT = 32 };
/* ISO 8601, years 0 to 9999, the zone Z when there is none. false: it isn't one. */
bool date_parse(const char *text, size_t len, int64_t *ms);
size_t date_write(int64_t ms, char out[DATE_TEXT]);

#endif
