/* SPDX-License-Identifier: MIT
 *
 * The view dialect: what a matcher asks of the keys, and what becomes of each candidate.
 */
#include "docdb/view.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "docdb/class.h"
#include "docdb/eval.h"

/* What is kept to be sorted, beyond what an answer may have. */
enum { KEPT_MAX = 64 << 20 };

struct kept {
	char *key;      /* owned: the sort key, the document as JSON behind it */
	size_t key_len; /* of the sort key */
	size_t len;
	uint64_t place;
};

struct view {
	struct dialect base;
	struct runtime *rt;
	const struct docdb_view *def;
	struct job *first, **last; /* the first is under way */
	bool deferred, closed;
	atomic_bool stopping;
	/* Of the job under way: */
	struct view_query query;
	size_t unit, task, start; /* start: of the unit's result */
	bool asked;               /* the provider has the query */
	/* Of the task; the provider's thread's until view_done: */
	struct eval ev;
	struct buf text;
	struct kept *kept; /* owned; if there is room for few only, a heap with the last of them on top */
	size_t kept_count, kept_cap, kept_bytes;
	uint64_t places;
	int64_t found, skipped;
};

static struct view *view_of(struct view_query *query)
{
	return (struct view *)((char *)query - offsetof(struct view, query));
}

static struct unit *unit_of(const struct view *v)
{
	return &v->first->request->units[v->unit];
}

static struct task *task_of(const struct view *v)
{
	return &unit_of(v)->tasks[v->task];
}

/* What is asked of the keys ---------------------------------------------------------------------------------------- */

static bool all_texts(const struct value *values, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (values[i].type != VALUE_STRING)
			return false;
	return count > 0;
}

static void one_of(struct view_key *key, const struct value *values, size_t count)
{
	if (all_texts(values, count) && (!key->count || count < key->count)) {
		key->values = values;
		key->count = count;
	}
}

static void narrow(struct view_key *key, const struct match *m)
{
	bool date = m->value.type == VALUE_DATE;
	switch (m->kind) {
	case MATCH_EQ:
		one_of(key, &m->value, 1);
		if (date)
			key->low = key->high = m->value;
		break;
	case MATCH_IN:
		if (!m->children)
			one_of(key, m->values, m->count);
		break;
	case MATCH_GT:
	case MATCH_GTE:
		if (date)
			key->low = m->value;
		break;
	case MATCH_LT:
	case MATCH_LTE:
		if (date)
			key->high = m->value;
		break;
	default:
		break;
	}
}

static void look_for_keys(struct view_query *query, const struct match *m)
{
	if (m->kind == MATCH_AND)
		for (const struct match *c = m->children; c; c = c->next)
			look_for_keys(query, c);
	for (size_t i = 0; m->path && query->collection->keys[i]; i++)
		if (strcmp(query->collection->keys[i], m->path->text.data) == 0)
			narrow(&query->keys[i], m);
}

static void make_query(struct view *v)
{
	const struct task *task = task_of(v);
	v->query = (struct view_query){0};
	for (size_t i = 0; i < v->def->count; i++)
		if (strlen(v->def->collections[i].name) == task->type.len &&
		    memcmp(v->def->collections[i].name, task->type.data, task->type.len) == 0)
			v->query.collection = &v->def->collections[i];
	look_for_keys(&v->query, task->match);
	const char *order = v->query.collection->order;
	if (order && task->sort_count == 1 && strcmp(task->sort->path->text.data, order) == 0)
		v->query.order = task->sort->down ? -1 : 1;
}

/* What is kept to be sorted ---------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;
	int c = memcmp(x->key, y->key, x->key_len < y->key_len ? x->key_len : y->key_len);
	if (c == 0)
		c = (x->key_len > y->key_len) - (x->key_len < y->key_len);
	return c ? c : (x->place > y->place) - (x->place < y->place);
}

static void swap(struct kept *a, struct kept *b)
{
	struct kept k = *a;
	*a = *b;
	*b = k;
}

static void rise(struct kept *heap, size_t i)
{
	for (; i && compare(&heap[(i - 1) / 2], &heap[i]) < 0; i = (i - 1) / 2)
		swap(&heap[(i - 1) / 2], &heap[i]);
}

static void sink(struct kept *heap, size_t count)
{
	for (size_t i = 0, child; (child = 2 * i + 1) < count; i = child) {
		if (child + 1 < count && compare(&heap[child], &heap[child + 1]) < 0)
			child++;
		if (compare(&heap[i], &heap[child]) >= 0)
			return;
		swap(&heap[i], &heap[child]);
	}
}

/* How many are wanted, those that are skipped included; 0 = all. */
static size_t wanted(const struct task *task)
{
	size_t limit = task->op == TASK_GET_ONE ? 1 : (size_t)task->limit;
	return limit ? limit + (size_t)task->skip : 0;
}

static void drop(struct view *v, struct kept *k)
{
	v->kept_bytes -= k->len;
	free(k->key);
}

/* v->text holds the key, and the document behind it. */
static int keep(struct view *v, const struct task *task, size_t key_len)
{
	size_t most = wanted(task);
	struct kept k = {v->text.data, key_len, v->text.len, v->places++};
	if (most && v->kept_count == most && compare(&k, v->kept) >= 0)
		return 0;
	if (most && v->kept_count == most) {
		drop(v, v->kept);
		v->kept[0] = v->kept[--v->kept_count];
		sink(v->kept, v->kept_count);
	}
	if (v->kept_bytes + k.len > v->first->result_max + KEPT_MAX)
		return job_fail(v->first, task, ERROR_TASK,
				"there is too much to sort: narrow the matcher, or take less (collector.limit)");
	if (v->kept_count == v->kept_cap) {
		v->kept_cap = v->kept_cap ? v->kept_cap * 2 : 64;
		v->kept = xrealloc(v->kept, v->kept_cap * sizeof *v->kept);
	}
	k.key = xmalloc(k.len + 1);
	memcpy(k.key, v->text.data, k.len);
	v->kept[v->kept_count++] = k;
	v->kept_bytes += k.len;
	if (most)
		rise(v->kept, v->kept_count - 1);
	return 0;
}

static void forget(struct view *v)
{
	for (size_t i = 0; i < v->kept_count; i++)
		free(v->kept[i].key);
	v->kept_count = v->kept_bytes = 0;
}

/* A candidate ------------------------------------------------------------------------------------------------------ */

static int no_memory(struct view *v, const struct task *task)
{
	return job_fail(v->first, task, ERROR_SERVER, "no memory for the answer");
}

static int add_text(struct view *v, const struct task *task, const char *text, size_t len)
{
	struct job *job = v->first;
	if ((v->found++ && task->op == TASK_GET && buf_add(&job->out, ",", 1)) || buf_add(&job->out, text, len))
		return no_memory(v, task);
	return job_too_large(job, task);
}

/* 1: more, please; 0: that is enough; -1 with the job's failure. */
static int take(struct view *v, const struct task *task, const char *document)
{
	bool sorts = task->sort_count && !v->query.ordered;
	v->text.len = 0;
	if (task->op == TASK_COUNT) {
		v->found++;
		return 1;
	}
	if (!sorts && v->skipped < task->skip) {
		v->skipped++;
		return 1;
	}
	if (sorts && eval_sort_key(&v->ev, task->sort, task->sort_count, document, &v->text))
		return job_fail(v->first, task, v->ev.error.code, "%s", v->ev.error.message);
	size_t key_len = v->text.len;
	if (eval_project(task, document, &v->text))
		return no_memory(v, task);
	if (sorts)
		return keep(v, task, key_len) ? -1 : 1;
	if (add_text(v, task, v->text.data, v->text.len))
		return -1;
	return task->op == TASK_GET && (!task->limit || v->found < task->limit);
}

/* False: the time is over, or the database closes. */
static bool may_go_on(struct view *v, const struct task *task)
{
	if (atomic_load_explicit(&v->stopping, memory_order_relaxed))
		job_fail(v->first, task, ERROR_SERVER, "the document database is closing");
	else if (uv_hrtime() > v->first->request->deadline)
		job_fail(v->first, task, ERROR_TASK,
			 "the time for the request is over: narrow the matcher by an indexed field, or take less at a "
			 "time");
	return !v->first->failure.error.code;
}

bool view_document(struct view_query *query, const char *document)
{
	struct view *v = view_of(query);
	const struct task *task = task_of(v);
	if (!may_go_on(v, task))
		return false;
	int found = document ? eval_match(&v->ev, task->match, document) : 0;
	if (found < 0)
		job_fail(v->first, task, v->ev.error.code, "%s", v->ev.error.message);
	return found == 0 || (found > 0 && take(v, task, document) > 0);
}

/* Jobs ------------------------------------------------------------------------------------------------------------- */

static void destroy(struct view *v)
{
	if (v->def->close)
		v->def->close(v->def->arg);
	buf_free(&v->text);
	free(v->kept);
	free(v);
}

static void go_on(struct view *v);

static void go_on_later(void *arg)
{
	struct view *v = arg;
	v->deferred = false;
	go_on(v);
}

static void defer(struct view *v)
{
	if (!v->deferred)
		runtime_defer(v->rt, go_on_later, v);
	v->deferred = true;
}

static void finish_job(struct view *v)
{
	struct job *job = v->first;
	if (job->failure.error.code)
		job->out.len = v->start;
	v->first = job->next;
	if (!v->first)
		v->last = &v->first;
	job->next = NULL;
	v->unit = v->task = 0;
	if (v->first) {
		v->unit = v->first->from;
		v->start = 0;
	}
	defer(v);
	job_done(job);
}

static int sorted_out(struct view *v, const struct task *task)
{
	size_t from = (size_t)task->skip;
	qsort(v->kept, v->kept_count, sizeof *v->kept, compare);
	for (size_t i = from; i < v->kept_count; i++)
		if (add_text(v, task, v->kept[i].key + v->kept[i].key_len, v->kept[i].len - v->kept[i].key_len))
			return -1;
	return 0;
}

static int close_result(struct view *v, const struct task *task)
{
	struct buf *out = &v->first->out;
	if (task->op == TASK_COUNT)
		return buf_printf(out, "%lld", (long long)v->found);
	if (v->kept_count && sorted_out(v, task))
		return -1;
	return task->op == TASK_GET ? buf_add(out, "]", 1) : v->found ? 0 : buf_add_str(out, "null");
}

/* The next task of the job; at its end the unit is done. */
static void end_task(struct view *v)
{
	struct job *job = v->first;
	const struct unit *unit = unit_of(v);
	if (close_result(v, task_of(v)))
		no_memory(v, task_of(v));
	forget(v);
	if (++v->task < unit->count)
		return;
	if (buf_add_str(&job->out, unit->nested ? "]," : ","))
		no_memory(v, NULL);
	if (job->failure.error.code)
		return;
	v->task = 0;
	v->unit++;
	v->start = job->out.len;
	job->done++;
}

void view_done(struct view_query *query, const struct error *e)
{
	struct view *v = view_of(query);
	v->asked = false;
	if (e)
		job_fail(v->first, task_of(v), ERROR_SERVER, "%s", e->message);
	if (v->first->failure.error.code)
		forget(v);
	else
		end_task(v);
	go_on(v);
}

static void begin_task(struct view *v)
{
	struct job *job = v->first;
	const struct task *task = task_of(v);
	v->ev = (struct eval){0};
	v->found = v->skipped = 0;
	v->places = 0;
	bool opens = unit_of(v)->nested && v->task == 0;
	if ((opens && buf_add(&job->out, "[", 1)) || (v->task && buf_add(&job->out, ",", 1)) ||
	    (task->op == TASK_GET && buf_add(&job->out, "[", 1)))
		no_memory(v, task);
	if (!may_go_on(v, task))
		return;
	make_query(v);
	v->asked = true;
	v->def->start(v->def->arg, &v->query);
}

static void go_on(struct view *v)
{
	if (v->asked || v->deferred)
		return;
	struct job *job = v->first;
	if (!job) {
		if (v->closed)
			destroy(v);
		return;
	}
	if (!job->request)
		job_fail(job, NULL, ERROR_ARGUMENT, "these collections have the indexes that they have");
	if (!job->failure.error.code && v->unit < job->to)
		begin_task(v);
	if (!v->asked)
		finish_job(v);
}

static void submit(struct dialect *d, struct job *job)
{
	struct view *v = (struct view *)d;
	if (!v->first) {
		v->unit = job->from;
		v->task = v->start = 0;
	}
	*v->last = job;
	v->last = &job->next;
	if (!v->asked)
		defer(v);
}

static void close_view(struct dialect *d)
{
	struct view *v = (struct view *)d;
	v->closed = true;
	atomic_store(&v->stopping, true);
	if (!v->asked)
		defer(v);
}

static struct dialect *open_view(struct runtime *rt, const char *rest, const struct docdb_options *o, struct error *e)
{
	(void)rest;
	if (!o->view) {
		error_set(e, ERROR_ARGUMENT, "view: is no document database that can be opened by its URL");
		return NULL;
	}
	struct view *v = xcalloc(1, sizeof *v);
	v->base.class = &dialect_view;
	v->rt = rt;
	v->def = o->view;
	v->last = &v->first;
	return &v->base;
}

static bool ready(struct dialect *d, struct error *reason)
{
	(void)d;
	(void)reason;
	return true;
}

const struct dialect_class dialect_view = {
	.scheme = "view:", .open = open_view, .close = close_view, .ready = ready, .submit = submit};
