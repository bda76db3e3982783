/* SPDX-License-Identifier: MIT
 *
 * A row's cells -> documents.
 */
#include <stdio.h>
#include <stdlib.h>

#include "records/fields.h"

/* The depth of what the store wrote itself is not questioned again. */
static const struct json_limits limits = {.depth = JSON_DEPTH_MAX, .size = JSON_SIZE_MAX};

/* The cell's JSON, read once a row; NULL if it has none. */
static const struct json_tree *tree_of(struct record_maker *m, int cell)
{
	const struct cell *c = &m->cells[cell];
	if (!m->parsed[cell]) {
		m->parsed[cell] = true;
		m->valid[cell] = c->kind == CELL_TEXT &&
				 json_parse(&m->tapes[cell], c->text.data, c->text.len, &limits, NULL) == 0;
	}
	return m->valid[cell] ? &m->tapes[cell].tree : NULL;
}

/* A string's text, in the maker's scratch if it has escapes. */
static struct span text_of(struct record_maker *m, const struct json_tree *t, uint32_t node)
{
	const struct json_node *n = &t->nodes[node];
	struct span s;
	if (!(n->flags & JSON_ESCAPED)) {
		s.data = json_text(t, node, &s.len);
		return s;
	}
	m->text.len = 0;
	if (buf_reserve(&m->text, n->end - n->start))
		return (struct span){"", 0};
	return (struct span){m->text.data, json_unescape(t, node, m->text.data)};
}

/* BSON's names end at NUL: one inside is shown as U+FFFD. */
static int add_name(struct record_maker *m, uint8_t type, const char *name, size_t len)
{
	struct buf *b = &m->document;
	if (!memchr(name, 0, len))
		return value_name(b, type, name, len);
	int rc = buf_add(b, &type, 1);
	for (size_t i = 0; rc == 0 && i < len; i++)
		rc = name[i] ? buf_add(b, name + i, 1) : buf_add_str(b, "\xEF\xBF\xBD");
	return rc ? rc : buf_add(b, "", 1);
}

static int add_node(struct record_maker *m, const struct json_tree *t, uint32_t node, const char *name, size_t len);

static int add_container(struct record_maker *m, const struct json_tree *t, uint32_t node)
{
	const struct json_node *n = &t->nodes[node];
	bool object = n->kind == JSON_OBJECT;
	size_t open = value_open(&m->document);
	uint32_t i = 0;
	for (uint32_t child = node + 1; child < n->next; child = t->nodes[child].next, i++) {
		char index[12];
		struct span name = {index, object ? 0 : value_index_name(i, index)};
		if (object)
			name = text_of(m, t, child++);
		if (add_node(m, t, child, name.data, name.len))
			return -1;
	}
	return value_close(&m->document, open);
}

static int add_node(struct record_maker *m, const struct json_tree *t, uint32_t node, const char *name, size_t len)
{
	static const uint8_t types[] = {
		[JSON_NULL] = VALUE_NULL,   [JSON_FALSE] = VALUE_BOOL,   [JSON_TRUE] = VALUE_BOOL,
		[JSON_INT] = VALUE_INT64,   [JSON_FLOAT] = VALUE_DOUBLE, [JSON_STRING] = VALUE_STRING,
		[JSON_ARRAY] = VALUE_ARRAY, [JSON_OBJECT] = VALUE_OBJECT};
	uint8_t kind = t->nodes[node].kind;
	struct buf *b = &m->document;
	if (add_name(m, types[kind], name, len))
		return -1;
	switch (kind) {
	case JSON_NULL:
		return 0;
	case JSON_FALSE:
	case JSON_TRUE:
		return buf_add(b, kind == JSON_TRUE ? "\1" : "", 1);
	case JSON_INT: {
		int64_t number = json_int(t, node);
		return buf_add(b, &number, sizeof number);
	}
	case JSON_FLOAT: {
		double number = json_float(t, node);
		return buf_add(b, &number, sizeof number);
	}
	case JSON_STRING: {
		struct span s = text_of(m, t, node);
		int32_t size = (int32_t)s.len + 1;
		return buf_add(b, &size, sizeof size) || buf_add(b, s.data, s.len) || buf_add(b, "", 1) ? -1 : 0;
	}
	default:
		return add_container(m, t, node);
	}
}

static int add_text(struct record_maker *m, const char *name, struct span text)
{
	return value_add_text(&m->document, name, strlen(name), text.data, text.len);
}

static int add_word(struct record_maker *m, const char *name, const char *word)
{
	return word ? add_text(m, name, (struct span){word, strlen(word)}) : 0;
}

/* Fields ----------------------------------------------------------------------------------------------------------- */

static int add_empty(struct record_maker *m, const struct record_field *f, uint8_t type)
{
	if (value_name(&m->document, type, f->name, strlen(f->name)))
		return -1;
	return value_close(&m->document, value_open(&m->document));
}

/* The node of the field's member; 0: there is none. */
static uint32_t member_of(struct record_maker *m, const struct record_field *f, const struct json_tree **t)
{
	const char *name = f->member ? f->member : f->name;
	*t = tree_of(m, f->cell);
	return *t && (*t)->nodes->kind == JSON_OBJECT ? json_find(*t, 0, name, strlen(name)) : 0;
}

static int add_member(struct record_maker *m, const struct record_field *f)
{
	const struct json_tree *t;
	uint32_t node = member_of(m, f, &t);
	if (node)
		return add_node(m, t, node, f->name, strlen(f->name));
	return f->kind == FIELD_LIST     ? add_empty(m, f, VALUE_ARRAY)
	       : f->kind == FIELD_OBJECT ? add_empty(m, f, VALUE_OBJECT)
					 : 0;
}

static int add_json(struct record_maker *m, const struct record_field *f)
{
	const struct json_tree *t = tree_of(m, f->cell);
	if (t)
		return add_node(m, t, 0, f->name, strlen(f->name));
	return m->cells[f->cell].kind == CELL_TEXT ? add_text(m, f->name, m->cells[f->cell].text) : 0;
}

static int add_names(struct record_maker *m, const struct record_field *f)
{
	const struct json_tree *t;
	uint32_t node = member_of(m, f, &t), i = 0;
	if (value_name(&m->document, VALUE_ARRAY, f->name, strlen(f->name)))
		return -1;
	size_t open = value_open(&m->document);
	for (uint32_t key = node + 1; node && key < t->nodes[node].next; key = t->nodes[key + 1].next) {
		char index[12];
		if (add_node(m, t, key, index, value_index_name(i++, index)))
			return -1;
	}
	return value_close(&m->document, open);
}

/* The record lists them if there are several; else the thred that took or sent the event. */
static int add_threds(struct record_maker *m, const struct record_field *f)
{
	const struct json_tree *t;
	uint32_t node = member_of(m, f, &t);
	const struct cell *thred = &m->cells[EVENT_THRED];
	if (node)
		return add_node(m, t, node, f->name, strlen(f->name));
	if (value_name(&m->document, VALUE_ARRAY, f->name, strlen(f->name)))
		return -1;
	size_t open = value_open(&m->document);
	if (thred->kind == CELL_TEXT && add_text(m, "0", thred->text))
		return -1;
	return value_close(&m->document, open);
}

/* A record doesn't say twice that all it went to are people. */
static int add_people(struct record_maker *m, const struct record_field *f)
{
	const struct json_tree *t;
	uint32_t node = member_of(m, f, &t);
	if (!node && t && t->nodes->kind == JSON_OBJECT && !json_find(t, 0, "services", 8) &&
	    !json_find(t, 0, "unknown", 7))
		node = json_find(t, 0, "to", 2);
	return node ? add_node(m, t, node, f->name, strlen(f->name)) : 0;
}

/* The thred's; where none came to be, the record says of which. */
static int add_pattern(struct record_maker *m, const struct record_field *f)
{
	const struct cell *pattern = &m->cells[EVENT_PATTERN];
	return pattern->kind == CELL_TEXT ? add_text(m, f->name, pattern->text) : add_member(m, f);
}

static int add_line(struct record_maker *m, const struct record_field *f)
{
	const struct json_tree *t = tree_of(m, f->cell);
	uint32_t node = json_find(t, m->line, f->name, strlen(f->name));
	return node ? add_node(m, t, node, f->name, strlen(f->name)) : 0;
}

/* Until it was processed an event has no outcome; what went out never has. */
static int add_outcome(struct record_maker *m, const struct record_field *f)
{
	const struct cell *c = &m->cells[f->cell];
	if (m->cells[EVENT_SOURCE].kind == CELL_NULL)
		return 0;
	bool waits = c->kind == CELL_NULL || c->number == OUTCOME_QUEUED;
	return add_word(m, f->name, waits ? "pending" : outcome_name((int)c->number));
}

static int add_number_text(struct record_maker *m, const struct record_field *f)
{
	char text[48];
	long long n = (long long)m->cells[f->cell].number;
	if (f->kind == FIELD_LINE_ID)
		snprintf(text, sizeof text, "%lld.%u", n, (unsigned)m->line_number);
	else
		snprintf(text, sizeof text, "%lld", n);
	return add_word(m, f->name, text);
}

static int add_plain(struct record_maker *m, const struct record_field *f)
{
	const struct cell *c = &m->cells[f->cell];
	size_t len = strlen(f->name);
	if (c->kind == CELL_NULL)
		return 0;
	switch (f->kind) {
	case FIELD_NUMBER:
		return value_add_int64(&m->document, f->name, len, VALUE_INT64, c->number);
	case FIELD_DATE:
		return value_add_int64(&m->document, f->name, len, VALUE_DATE, c->number);
	case FIELD_FLAG:
		return value_name(&m->document, VALUE_BOOL, f->name, len) ||
				       buf_add(&m->document, c->number ? "\1" : "", 1)
			       ? -1
			       : 0;
	case FIELD_STATUS:
		return add_word(m, f->name, status_name((int)c->number));
	default:
		return c->kind == CELL_TEXT ? add_text(m, f->name, c->text) : 0;
	}
}

static int add_field(struct record_maker *m, const struct record_field *f)
{
	bool out = m->cells[f->cell].kind == CELL_NULL;
	switch (f->kind) {
	case FIELD_JSON:
		return add_json(m, f);
	case FIELD_MEMBER:
	case FIELD_LIST:
	case FIELD_OBJECT:
		return add_member(m, f);
	case FIELD_NAMES:
		return add_names(m, f);
	case FIELD_LINE:
		return add_line(m, f);
	case FIELD_LINE_ID:
	case FIELD_NUMBER_TEXT:
		return add_number_text(m, f);
	case FIELD_DIRECTION:
		return add_word(m, f->name, out ? "out" : "in");
	case FIELD_SENDER:
		return out ? add_word(m, f->name, "SYSTEM") : add_text(m, f->name, m->cells[f->cell].text);
	case FIELD_OUTCOME:
		return add_outcome(m, f);
	case FIELD_THREDS:
		return add_threds(m, f);
	case FIELD_PATTERN:
		return add_pattern(m, f);
	case FIELD_PEOPLE:
		return add_people(m, f);
	default:
		return add_plain(m, f);
	}
}

static const char *document(struct record_maker *m, enum scan_table table)
{
	size_t count;
	const struct record_field *fields = record_fields(table, &count);
	m->document.len = 0;
	size_t open = value_open(&m->document);
	for (size_t i = 0; i < count; i++)
		if (add_field(m, &fields[i]))
			return NULL;
	return value_close(&m->document, open) ? NULL : m->document.data;
}

/* A document for each line of the record's log. */
static bool make_lines(struct record_maker *m, bool (*fn)(void *arg, const char *document), void *arg)
{
	const struct json_tree *t = tree_of(m, EVENT_REC);
	uint32_t lines = t && t->nodes->kind == JSON_OBJECT ? json_find(t, 0, "log", 3) : 0;
	m->line_number = 0;
	for (uint32_t line = lines + 1; lines && line < t->nodes[lines].next; line = t->nodes[line].next) {
		m->line = line;
		m->line_number++;
		if (!fn(arg, document(m, SCAN_LOG)))
			return false;
	}
	return true;
}

bool record_make(struct record_maker *m, enum scan_table table, const struct cell *cells,
		 bool (*fn)(void *arg, const char *document), void *arg)
{
	m->cells = cells;
	memset(m->parsed, 0, sizeof m->parsed);
	return table == SCAN_LOG ? make_lines(m, fn, arg) : fn(arg, document(m, table));
}

void record_maker_free(struct record_maker *m)
{
	for (size_t i = 0; i < RECORD_CELLS; i++)
		json_tape_free(&m->tapes[i]);
	buf_free(&m->document);
	buf_free(&m->text);
}
