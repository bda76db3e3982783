/* SPDX-License-Identifier: MIT
 *
 * What an error of the server, or on the way there, means: try again, or the task's failure and its code.
 */
#include <stdio.h>

#include "docdb/mongo.h"

enum {
	BAD_VALUE = 2,
	UNAUTHORIZED = 13,
	NOT_POSSIBLE = 20, /* transactions without a replica set */
	TIME_OVER = 50,
	DUPLICATE = 11000,
	REGEX_LIMIT = 51156
};

/* Nobody there, or somebody who can't just now (those that drivers retry on). */
static bool is_away_code(uint32_t code)
{
	static const uint32_t codes[] = {6,   7,   89,   91,    134,   189,   262,   317,   358,  384,
					 402, 406, 9001, 10107, 11600, 11602, 13435, 13436, 50915};
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
		if (codes[i] == code)
			return true;
	return false;
}

bool mongo_is_away(const bson_error_t *e)
{
	if (e->domain == MONGOC_ERROR_STREAM || e->domain == MONGOC_ERROR_SERVER_SELECTION)
		return true;
	if (e->domain == MONGOC_ERROR_SERVER || e->domain == MONGOC_ERROR_WRITE_CONCERN)
		return is_away_code(e->code);
	return e->domain == MONGOC_ERROR_CLIENT && e->code == MONGOC_ERROR_CLIENT_NOT_READY;
}

static bool is_login(const bson_error_t *e)
{
	return e->domain == MONGOC_ERROR_SASL || e->domain == MONGOC_ERROR_SCRAM ||
	       (e->domain == MONGOC_ERROR_CLIENT && e->code == MONGOC_ERROR_CLIENT_AUTHENTICATE) ||
	       (e->domain == MONGOC_ERROR_SERVER && e->code == 18);
}

static int fail_login(struct job *job, const struct task *task, const char *why)
{
	return job_fail(job, task, ERROR_SERVER,
			"the document database refuses the login of its URL: %s; check the name, the password and "
			"authSource",
			why);
}

static int fail_server(struct job *job, const struct task *task, const bson_error_t *e)
{
	switch (e->code) {
	case TIME_OVER:
		return job_fail(job, task, ERROR_TASK,
				"the time for the request is over: narrow the matcher by an indexed field, or take "
				"less at a time");
	case DUPLICATE:
		return job_fail(job, task, ERROR_EXISTS, "there is a document with this id already: %s", e->message);
	case UNAUTHORIZED:
		return job_fail(job, task, ERROR_SERVER,
				"the document database doesn't allow it to the user of its URL: %s", e->message);
	case NOT_POSSIBLE:
		return job_fail(job, task, ERROR_SERVER,
				"the document database has no transactions: it must be a replica set (mongod "
				"--replSet, one member is enough): %s",
				e->message);
	default:
		return job_fail(job, task, ERROR_TASK, "%s", e->message);
	}
}

int mongo_again(struct mongo_worker *w, const char *why)
{
	w->again = true;
	snprintf(w->why, sizeof w->why, "%s", why);
	return -1;
}

int mongo_fail(struct mongo_worker *w, struct job *job, const struct task *task, const bson_error_t *e,
	       const bson_t *reply)
{
	w->cut = w->cut || mongo_is_away(e);
	bool over = w->wire && uv_hrtime() > w->wire, server = e->domain == MONGOC_ERROR_SERVER;
	if (w->regex && ((server && (e->code == TIME_OVER || e->code == REGEX_LIMIT)) || (over && mongo_is_away(e))))
		return job_fail(job, task, ERROR_ARGUMENT,
				"the regular expression takes too long: make it simpler, or narrow the matcher by "
				"other fields");
	if (is_login(e))
		return fail_login(job, task, e->message);
	if (mongo_is_away(e) || (reply && mongoc_error_has_label(reply, "TransientTransactionError")))
		return mongo_again(w, e->message);
	return fail_server(job, task, e);
}
