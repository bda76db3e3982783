/* SPDX-License-Identifier: MIT
 *
 * A matcher -> SQL. The statement narrows by id or by one declared field where it can; docdb_match says the rest, because
 * SQL's comparisons aren't MongoDB's. Texts are put together of the pieces below and of nothing else: every value, path
 * and name is a parameter.
 *   ?1 matcher  ?2 task (sort)  ?3 limit  ?4 skip  ?5 ?6 ?7 the source's
 */
#include <stdio.h>

#include "docdb/sqlite.h"

static const char *const results[LITE_RESULTS] = {"select d.n,d.body from ", "select d.n from ",
						  "select count(*) from "};

#define EACH(count, values)                                                                                            \
	"(with recursive v(i) as(select 0 union all select i+1 from v where i+1<" count ")select docdb_nth(" values    \
	",i) from v)"

static const char *const sources[LITE_SOURCES] = {
	[LITE_SCAN] = "doc d where d.n>=?5 and d.n<?6",
	[LITE_ID] = "doc d where d.c=?5 and d.id=?6",
	[LITE_IDS] = "doc d where d.c=?5 and d.id in" EACH("?6", "?7"),
	[LITE_EQUAL] = "entry e cross join doc d on d.n=e.n where e.i=?5 and e.key=?6",
	[LITE_IN] = "doc d where d.n in(select n from entry where i=?5 and key in" EACH("?6", "?7") ")",
	[LITE_RANGE] = "doc d where d.n in(select n from entry where i=?5 and key>=?6 and key<?7)",
};

struct plan {
	enum lite_source source;
	const struct lite_index *index;
	const struct match *by; /* the condition that narrows */
	bool complete;          /* it is the whole matcher, and what it finds is exact */
};

/* Functions ------------------------------------------------------------------------------------------------------- */

static void match_function(sqlite3_context *x, int count, sqlite3_value **values)
{
	struct lite_conn *c = sqlite3_user_data(x);
	const struct match *m = sqlite3_value_pointer(values[1], "match");
	const char *document = sqlite3_value_blob(values[0]);
	(void)count;
	int found = m && document ? eval_match(&c->ev, m, document) : 0;
	if (found < 0)
		sqlite3_result_error(x, c->ev.error.message, -1);
	else
		sqlite3_result_int(x, found);
}

static void key_function(sqlite3_context *x, int count, sqlite3_value **values)
{
	struct lite_conn *c = sqlite3_user_data(x);
	const struct task *task = sqlite3_value_pointer(values[1], "task");
	const char *document = sqlite3_value_blob(values[0]);
	(void)count;
	c->key.len = 0;
	if (!task || !document || eval_sort_key(&c->ev, task->sort, task->sort_count, document, &c->key))
		sqlite3_result_error(x, c->ev.error.message, -1);
	else
		sqlite3_result_blob64(x, c->key.data, c->key.len, SQLITE_TRANSIENT);
}

/* The i-th value of an $in: an id as text, or an entry's key. */
static void nth_function(sqlite3_context *x, int count, sqlite3_value **values)
{
	struct lite_conn *c = sqlite3_user_data(x);
	const struct match *ids = sqlite3_value_pointer(values[0], "ids");
	const struct match *m = ids ? ids : sqlite3_value_pointer(values[0], "keys");
	size_t i = (size_t)sqlite3_value_int64(values[1]);
	(void)count;
	if (!m || i >= m->count || (ids && m->values[i].type != VALUE_STRING))
		return;
	struct bytes t = ids ? value_text(m->values[i]) : lite_key(c, m->values[i]);
	if (ids)
		sqlite3_result_text64(x, t.data, t.len, SQLITE_TRANSIENT, SQLITE_UTF8);
	else
		sqlite3_result_blob64(x, t.data, t.len, SQLITE_TRANSIENT);
}

int lite_functions(struct lite_conn *c)
{
	int flags = SQLITE_UTF8 | SQLITE_DIRECTONLY;
	int rc = sqlite3_create_function(c->db, "docdb_match", 2, flags, c, match_function, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_create_function(c->db, "docdb_key", 2, flags, c, key_function, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_create_function(c->db, "docdb_nth", 2, flags | SQLITE_DETERMINISTIC, c, nth_function, NULL,
					     NULL);
	return rc;
}

struct bytes lite_key(struct lite_conn *c, struct value v)
{
	c->key.len = 0;
	value_key(&c->key, v, false);
	if (c->key.len > LITE_KEY_MAX)
		c->key.len = LITE_KEY_MAX;
	return (struct bytes){c->key.data, c->key.len};
}

/* Choosing -------------------------------------------------------------------------------------------------------- */

static const struct lite_index *index_of(const struct lite_collection *in, const struct path *path)
{
	for (size_t i = 0; i < in->index_count; i++) {
		struct bytes text = in->indexes[i].path->text;
		if (text.len == path->text.len && memcmp(text.data, path->text.data, text.len) == 0)
			return &in->indexes[i];
	}
	return NULL;
}

/* The cheapest way that this condition allows; LITE_SCAN if none. */
static struct plan consider(const struct lite_collection *in, const struct match *m)
{
	struct plan plan = {.source = LITE_SCAN, .by = m};
	if (!m->path || m->kind > MATCH_IN || m->kind < MATCH_EQ)
		return plan;
	if (path_is_id(m->path)) {
		if (m->kind == MATCH_EQ && m->value.type == VALUE_STRING)
			plan.source = LITE_ID;
		else if (m->kind == MATCH_IN && !m->children)
			plan.source = LITE_IDS;
		plan.complete = plan.source == LITE_ID;
		return plan;
	}
	plan.index = index_of(in, m->path);
	if (!plan.index || m->children)
		return plan;
	plan.source = m->kind == MATCH_EQ ? LITE_EQUAL : m->kind == MATCH_IN ? LITE_IN : LITE_RANGE;
	plan.complete = plan.source == LITE_EQUAL;
	return plan;
}

static struct plan choose(const struct lite_collection *in, const struct match *m)
{
	struct plan best = {.source = LITE_SCAN, .complete = m->kind == MATCH_AND && !m->children};
	if (m->kind != MATCH_AND) {
		struct plan plan = consider(in, m);
		return plan.source == LITE_SCAN ? best : plan;
	}
	for (const struct match *one = m->children; one; one = one->next) {
		struct plan plan = consider(in, one);
		if (plan.source != LITE_SCAN && (best.source == LITE_SCAN || plan.source < best.source)) {
			best = plan;
			best.complete = false;
		}
	}
	return best;
}

static void bind_key(sqlite3_stmt *st, int at, struct bytes key)
{
	sqlite3_bind_blob64(st, at, key.data, key.len, SQLITE_TRANSIENT);
}

/* Within the bracket of the value; both ends widened to what was cut, docdb_match says exactly. */
static void bind_range(struct lite_conn *c, sqlite3_stmt *st, const struct match *m)
{
	struct bytes key = lite_key(c, m->value);
	char low = (char)value_rank(m->value.type), high = (char)(low + 1);
	bool up = m->kind == MATCH_GT || m->kind == MATCH_GTE;
	if (up)
		bind_key(st, 6, key);
	else
		bind_key(st, 6, (struct bytes){&low, 1});
	if (!up) {
		buf_add(&c->key, "\xFF", 1);
		bind_key(st, 7, (struct bytes){c->key.data, c->key.len});
	} else {
		bind_key(st, 7, (struct bytes){&high, 1});
	}
}

static void bind_source(struct lite_conn *c, sqlite3_stmt *st, const struct lite_collection *in,
			const struct plan *plan)
{
	sqlite3_bind_int64(st, 5, plan->index ? plan->index->i : in->c);
	switch (plan->source) {
	case LITE_ID: {
		struct bytes id = value_text(plan->by->value);
		sqlite3_bind_text64(st, 6, id.data, id.len, SQLITE_STATIC, SQLITE_UTF8);
		break;
	}
	case LITE_EQUAL:
		bind_key(st, 6, lite_key(c, plan->by->value));
		break;
	case LITE_IDS:
	case LITE_IN:
		sqlite3_bind_int64(st, 6, (int64_t)plan->by->count);
		sqlite3_bind_pointer(st, 7, (void *)(uintptr_t)plan->by, plan->source == LITE_IDS ? "ids" : "keys",
				     NULL);
		break;
	case LITE_RANGE:
		bind_range(c, st, plan->by);
		break;
	default:
		sqlite3_bind_int64(st, 5, in->c * LITE_ROWS);
		sqlite3_bind_int64(st, 6, (in->c + 1) * LITE_ROWS);
	}
}

static sqlite3_stmt *prepare(struct lite_conn *c, enum lite_result result, enum lite_source source, bool match,
			     bool order)
{
	size_t at = (size_t)((result * LITE_SOURCES + source) * 4 + match * 2 + order);
	if (c->plans[at])
		return c->plans[at];
	char text[600];
	snprintf(text, sizeof text, "%s%s%s%s%s", results[result], sources[source],
		 match ? " and docdb_match(d.body,?1)" : "", order ? " order by docdb_key(d.body,?2),d.n" : "",
		 result == LITE_COUNT ? "" : " limit ?3 offset ?4");
	sqlite3_prepare_v3(c->db, text, -1, SQLITE_PREPARE_PERSISTENT, &c->plans[at], NULL);
	return c->plans[at];
}

sqlite3_stmt *lite_plan(struct lite_conn *c, const struct lite_collection *in, const struct task *task,
			enum lite_result result)
{
	struct plan plan = choose(in, task->match);
	if (plan.source == LITE_EQUAL && lite_key(c, plan.by->value).len == LITE_KEY_MAX)
		plan.complete = false;
	sqlite3_stmt *st = prepare(c, result, plan.source, !plan.complete,
				   result != LITE_COUNT && task->sort_count > 0);
	if (!st)
		return NULL;
	bool one = task->op == TASK_GET_ONE || task->op == TASK_UPSERT || task->op == TASK_REPLACE;
	sqlite3_bind_pointer(st, 1, (void *)(uintptr_t)task->match, "match", NULL);
	sqlite3_bind_pointer(st, 2, (void *)(uintptr_t)task, "task", NULL);
	sqlite3_bind_int64(st, 3, one ? 1 : task->limit && task->op == TASK_GET ? task->limit : -1);
	sqlite3_bind_int64(st, 4, task->op == TASK_GET || task->op == TASK_GET_ONE ? task->skip : 0);
	bind_source(c, st, in, &plan);
	return st;
}
