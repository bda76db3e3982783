/* SPDX-License-Identifier: MIT
 *
 * Reading tasks, and what all commands have in common.
 */
#include "docdb/mongo.h"

void mongo_borrow(bson_t *b, const char *document)
{
	bson_init_static(b, (const uint8_t *)document, (size_t)value_int32(document));
}

mongoc_collection_t *mongo_collection(struct mongo_worker *w, struct bytes database, struct bytes type)
{
	return mongoc_client_get_collection(w->client, database.data, type.data);
}

int mongo_options(struct mongo_worker *w, struct job *job, const struct task *task, bson_t *opts)
{
	uint64_t now = uv_hrtime();
	bson_error_t e;
	bson_init(opts);
	w->regex = task && task->match && mongo_has_regex(task->match);
	if (now >= w->deadline)
		return job_fail(job, task, ERROR_TASK, "the time for the request is over");
	int64_t left = (int64_t)((w->deadline - now) / 1000000) + 1;
	if (w->regex && left > MONGO_REGEX_MS)
		left = MONGO_REGEX_MS;
	w->wire = now + (uint64_t)(left + MONGO_SLACK_MS) * 1000000;
	bson_append_int64(opts, "maxTimeMS", 9, left);
	if (w->session && !mongoc_client_session_append(w->session, opts, &e))
		return mongo_fail(w, job, task, &e, NULL);
	return 0;
}

static int add_document(struct job *job, const struct task *task, const bson_t *document, bool first)
{
	if (!bson_validate(document, BSON_VALIDATE_UTF8 | BSON_VALIDATE_UTF8_ALLOW_NULL, NULL))
		return job_fail(job, task, ERROR_TASK, "a document in %s isn't valid BSON or has text that isn't UTF-8",
				task->type.data);
	const char *data = (const char *)bson_get_data(document);
	if ((!first && buf_add(&job->out, ",", 1)) || eval_project(task, data, &job->out))
		return job_fail(job, task, ERROR_SERVER, "no memory for the answer");
	if (job->out.len > job->result_max)
		return job_fail(job, task, ERROR_TASK,
				"the answer has more than %zu bytes: take less at a time (collector.limit) or fewer "
				"fields (selector)",
				job->result_max);
	return 0;
}

static int add_documents(struct mongo_worker *w, struct job *job, const struct task *task, mongoc_cursor_t *cursor)
{
	const bson_t *document, *reply = NULL;
	bson_error_t e;
	bool first = true;
	int rc = 0;
	for (; rc == 0 && mongoc_cursor_next(cursor, &document); first = false)
		rc = add_document(job, task, document, first);
	if (rc == 0 && mongoc_cursor_error_document(cursor, &e, &reply))
		rc = mongo_fail(w, job, task, &e, reply);
	if (rc == 0 && first && task->op == TASK_GET_ONE)
		rc = buf_add_str(&job->out, "null");
	return rc;
}

static void find_options(struct mongo_worker *w, const struct task *task, bson_t *opts)
{
	bson_t inner;
	if (task->pick || task->drop_id) {
		mongo_projection(task, &w->scratch, &inner);
		bson_append_document(opts, "projection", 10, &inner);
		bson_destroy(&inner);
	}
	if (task->sort_count) {
		mongo_sort(task, &inner);
		bson_append_document(opts, "sort", 4, &inner);
		bson_destroy(&inner);
	}
	if (task->skip)
		bson_append_int64(opts, "skip", 4, task->skip);
	int64_t limit = task->op == TASK_GET_ONE ? 1 : task->limit;
	if (limit)
		bson_append_int64(opts, "limit", 5, limit);
}

static int find(struct mongo_worker *w, struct job *job, const struct task *task, mongoc_collection_t *in, bson_t *opts)
{
	bool list = task->op == TASK_GET;
	bson_t filter;
	mongo_borrow(&filter, w->filter.data);
	find_options(w, task, opts);
	mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(in, &filter, opts, NULL);
	int rc = list ? buf_add(&job->out, "[", 1) : 0;
	if (rc == 0)
		rc = add_documents(w, job, task, cursor);
	mongoc_cursor_destroy(cursor);
	return rc || (list && buf_add(&job->out, "]", 1)) ? -1 : 0;
}

static int count(struct mongo_worker *w, struct job *job, const struct task *task, mongoc_collection_t *in,
		 const bson_t *opts)
{
	bson_t filter, reply;
	bson_error_t e;
	mongo_borrow(&filter, w->filter.data);
	int64_t n = mongoc_collection_count_documents(in, &filter, opts, NULL, &reply, &e);
	int rc = n < 0 ? mongo_fail(w, job, task, &e, &reply) : buf_printf(&job->out, "%lld", (long long)n);
	bson_destroy(&reply);
	return rc;
}

int mongo_read_task(struct mongo_worker *w, struct job *job, const struct unit *unit, const struct task *task)
{
	bson_t opts;
	w->filter.len = 0;
	int rc = mongo_options(w, job, task, &opts);
	if (rc == 0 && (rc = mongo_filter(task->match, &w->filter)) == 0) {
		mongoc_collection_t *in = mongo_collection(w, unit->database, task->type);
		rc = task->op == TASK_COUNT ? count(w, job, task, in, &opts) : find(w, job, task, in, &opts);
		mongoc_collection_destroy(in);
	}
	bson_destroy(&opts);
	return rc;
}
