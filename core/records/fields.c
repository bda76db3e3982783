/* SPDX-License-Identifier: MIT
 *
 * The fields of the system's own collections, in the order in which documents have them. docs/documents.md shows the same to
 * people; a test compares the two.
 */
#include "records/fields.h"

#define FIELDS(name) name, sizeof name / sizeof *name

static const struct record_field events[] = {
	{"_id", FIELD_MEMBER, EVENT_BODY, "id"},
	{"n", FIELD_NUMBER, EVENT_N, NULL},
	{"direction", FIELD_DIRECTION, EVENT_SOURCE, NULL},
	{"type", FIELD_MEMBER, EVENT_BODY, NULL},
	{"source", FIELD_SENDER, EVENT_SOURCE, NULL},
	{"at", FIELD_DATE, EVENT_AT, NULL},
	{"outcome", FIELD_OUTCOME, EVENT_OUTCOME, NULL},
	{"threds", FIELD_THREDS, EVENT_REC, NULL},
	{"step", FIELD_NUMBER, EVENT_STEP, NULL},
	{"re", FIELD_MEMBER, EVENT_BODY, NULL},
	{"to", FIELD_MEMBER, EVENT_REC, NULL},
	{"people", FIELD_PEOPLE, EVENT_REC, NULL},
	{"services", FIELD_MEMBER, EVENT_REC, NULL},
	{"unknown", FIELD_MEMBER, EVENT_REC, NULL},
	{"log", FIELD_MEMBER, EVENT_REC, NULL},
	{"targets", FIELD_MEMBER, EVENT_REC, NULL},
	{"offered", FIELD_MEMBER, EVENT_REC, NULL},
	{"pattern", FIELD_MEMBER, EVENT_REC, NULL},
	{"refused", FIELD_MEMBER, EVENT_REC, NULL},
	{"waits", FIELD_MEMBER, EVENT_REC, NULL},
	{"agent", FIELD_MEMBER, EVENT_REC, NULL},
	{"error", FIELD_MEMBER, EVENT_REC, NULL},
	{"event", FIELD_JSON, EVENT_BODY, NULL},
};

static const struct record_field log_lines[] = {
	{"_id", FIELD_LINE_ID, EVENT_N, NULL},       {"n", FIELD_NUMBER, EVENT_N, NULL},
	{"at", FIELD_DATE, EVENT_AT, NULL},          {"thred", FIELD_TEXT, EVENT_THRED, NULL},
	{"pattern", FIELD_PATTERN, EVENT_REC, NULL}, {"step", FIELD_NUMBER, EVENT_STEP, NULL},
	{"event", FIELD_MEMBER, EVENT_BODY, "id"},   {"outcome", FIELD_LINE, EVENT_REC, NULL},
	{"from", FIELD_LINE, EVENT_REC, NULL},       {"to", FIELD_LINE, EVENT_REC, NULL},
	{"refused", FIELD_MEMBER, EVENT_REC, NULL},  {"error", FIELD_MEMBER, EVENT_REC, NULL},
};

#define THRED_FIELDS                                                                                                   \
	{"_id", FIELD_TEXT, THRED_ID, NULL}, {"n", FIELD_NUMBER, THRED_N, NULL},                                       \
		{"pattern", FIELD_TEXT, THRED_PATTERN, NULL}, {"version", FIELD_TEXT, THRED_VERSION, NULL},            \
		{"reaction", FIELD_TEXT, THRED_REACTION, NULL}, {"status", FIELD_STATUS, THRED_STATUS, NULL},          \
		{"step", FIELD_NUMBER, THRED_STEP, NULL}, {"started", FIELD_DATE, THRED_STARTED, NULL},                \
		{"reacted", FIELD_DATE, THRED_REACTED, NULL}, {"due", FIELD_DATE, THRED_DUE, NULL},                    \
		{"participants", FIELD_LIST, THRED_STATE, NULL}, {"locals", FIELD_OBJECT, THRED_STATE, NULL},          \
		{"parent", FIELD_MEMBER, THRED_STATE, NULL}, {"children", FIELD_LIST, THRED_STATE, NULL},              \
	{                                                                                                              \
		"remembered", FIELD_NAMES, THRED_STATE, "memory"                                                       \
	}

static const struct record_field threds[] = {THRED_FIELDS};
static const struct record_field archive[] = {THRED_FIELDS, {"ended", FIELD_DATE, THRED_ENDED, NULL}};

static const struct record_field dead[] = {
	{"_id", FIELD_NUMBER_TEXT, DEAD_N, NULL},
	{"n", FIELD_NUMBER, DEAD_N, NULL},
	{"at", FIELD_DATE, DEAD_AT, NULL},
	{"event", FIELD_MEMBER, DEAD_BODY, "id"},
	{"source", FIELD_TEXT, DEAD_SOURCE, NULL},
	{"target", FIELD_TEXT, DEAD_TARGET, NULL},
	{"pattern", FIELD_TEXT, DEAD_PATTERN, NULL},
	{"reaction", FIELD_TEXT, DEAD_REACTION, NULL},
	{"version", FIELD_TEXT, DEAD_VERSION, NULL},
	{"error", FIELD_JSON, DEAD_ERROR, NULL},
	{"attempts", FIELD_NUMBER, DEAD_ATTEMPTS, NULL},
};

static const struct record_field audit[] = {
	{"_id", FIELD_NUMBER_TEXT, AUDIT_N, NULL},    {"n", FIELD_NUMBER, AUDIT_N, NULL},
	{"at", FIELD_DATE, AUDIT_AT, NULL},           {"who", FIELD_MEMBER, AUDIT_RECORD, NULL},
	{"what", FIELD_MEMBER, AUDIT_RECORD, NULL},   {"target", FIELD_MEMBER, AUDIT_RECORD, NULL},
	{"before", FIELD_MEMBER, AUDIT_RECORD, NULL}, {"after", FIELD_MEMBER, AUDIT_RECORD, NULL},
	{"event", FIELD_MEMBER, AUDIT_RECORD, NULL},  {"tasks", FIELD_MEMBER, AUDIT_RECORD, NULL},
	{"error", FIELD_MEMBER, AUDIT_RECORD, NULL},
};

static const struct record_field patterns[] = {
	{"_id", FIELD_TEXT, PATTERN_HASH, NULL},        {"pattern", FIELD_TEXT, PATTERN_ID, NULL},
	{"at", FIELD_DATE, PATTERN_AT, NULL},           {"active", FIELD_FLAG, PATTERN_ACTIVE, NULL},
	{"enabled", FIELD_FLAG, PATTERN_ENABLED, NULL}, {"file", FIELD_TEXT, PATTERN_FILE, NULL},
	{"files", FIELD_JSON, PATTERN_FILES, NULL},
};

static const struct record_field users[] = {
	{"_id", FIELD_TEXT, USER_ID, NULL},
	{"roles", FIELD_LIST, USER_FACTS, NULL},
	{"groups", FIELD_JSON, USER_GROUPS, NULL},
	{"at", FIELD_DATE, USER_AT, NULL},
};

static const struct record_field config[] = {
	{"_id", FIELD_TEXT, CONFIG_KEY, NULL},
	{"value", FIELD_JSON, CONFIG_VALUE, NULL},
};

const struct record_field *record_fields(enum scan_table table, size_t *count)
{
	static const struct {
		const struct record_field *fields;
		size_t count;
	} all[SCAN_TABLES] = {
		[SCAN_EVENTS] = {FIELDS(events)},     [SCAN_LOG] = {FIELDS(log_lines)},
		[SCAN_THREDS] = {FIELDS(threds)},     [SCAN_ARCHIVE] = {FIELDS(archive)},
		[SCAN_DEAD] = {FIELDS(dead)},         [SCAN_AUDIT] = {FIELDS(audit)},
		[SCAN_PATTERNS] = {FIELDS(patterns)}, [SCAN_USERS] = {FIELDS(users)},
		[SCAN_CONFIG] = {FIELDS(config)},
	};
	*count = all[table].count;
	return all[table].fields;
}
