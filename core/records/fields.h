/* SPDX-License-Identifier: MIT
 *
 * fields: what the documents of each collection are made of. Any thread.
 */
#ifndef SRVTHREDS_RECORDS_FIELDS_H
#define SRVTHREDS_RECORDS_FIELDS_H

#include "docdb/value.h"
#include "json/json.h"
#include "store/scan.h"

/* How a field comes out of a row's cells; a cell that is absent gives no field, unless the kind says more. */
enum field_kind {
	FIELD_TEXT,
	FIELD_NUMBER,
	FIELD_DATE,
	FIELD_FLAG,
	FIELD_STATUS,
	FIELD_NUMBER_TEXT, /* a number as text */
	FIELD_JSON,        /* the whole of a cell's JSON; text that is none stays text */
	FIELD_MEMBER,      /* of that, the member called as the field, or as `member` */
	FIELD_LIST,        /* the same; without it an empty list */
	FIELD_OBJECT,      /* the same; without it an empty object */
	FIELD_NAMES,       /* the names of that member's members */
	FIELD_LINE,        /* a member of the line of the log that the document is about */
	FIELD_LINE_ID,     /* the row's number and the line's */
	FIELD_DIRECTION,
	FIELD_OUTCOME,
	FIELD_SENDER,
	FIELD_THREDS,
	FIELD_PATTERN,
	FIELD_PEOPLE
};

struct record_field {
	const char *name;
	enum field_kind kind;
	int cell;
	const char *member;
};

enum { RECORD_CELLS = THRED_COLUMNS };

/* Makes documents; one for one reader. Zeroed at first. */
struct record_maker {
	struct buf document;
	struct buf text;
	struct json_tape tapes[RECORD_CELLS]; /* of the cells that are JSON */
	bool parsed[RECORD_CELLS], valid[RECORD_CELLS];
	const struct cell *cells;
	uint32_t line, line_number; /* a node of the record's tape */
};

const struct record_field *record_fields(enum scan_table table, size_t *count);
/* Calls fn with each document that the row gives, until it says false. False: it did, or memory is exhausted. */
bool record_make(struct record_maker *m, enum scan_table table, const struct cell *cells,
		 bool (*fn)(void *arg, const char *document), void *arg);
void record_maker_free(struct record_maker *m);

#endif
