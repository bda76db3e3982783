/* SPDX-License-Identifier: MIT
 *
 * Selectors (MongoDB: projections; numbers in a path are names of fields here, never places in an array).
 */
#include "docdb/eval.h"
#include "json/json.h"

struct project {
	struct buf *out;
	bool exclude, drop_id;
};

static const struct pick *find(const struct pick *of, const struct field *f)
{
	for (const struct pick *p = of->children; p; p = p->next)
		if (p->name.len == f->name_len && memcmp(p->name.data, f->name, f->name_len) == 0)
			return p;
	return NULL;
}

/* Is anything of the value left? With *below: only what that says. */
static bool keeps(const struct project *x, const struct pick *pick, struct value v, const struct pick **below)
{
	*below = NULL;
	if (!pick)
		return x->exclude;
	if (pick->whole)
		return !x->exclude;
	if (!value_is_container(v.type))
		return x->exclude;
	*below = pick;
	return true;
}

static int members(const struct project *x, const struct pick *pick, struct value v, bool own);

static int element(const struct project *x, const struct pick *below, struct value v)
{
	return below ? members(x, below, v, false) : value_write(x->out, v);
}

static int members(const struct project *x, const struct pick *pick, struct value v, bool own)
{
	struct field f;
	bool object = v.type == VALUE_OBJECT, first = true;
	if (buf_add(x->out, object ? "{" : "[", 1))
		return -1;
	for (const char *p = value_first(v.data); value_next(&p, &f);) {
		const struct pick *below;
		bool id = own && f.name_len == 3 && memcmp(f.name, "_id", 3) == 0;
		bool keep = id && !x->drop_id                  ? (below = NULL, true)
			    : id                               ? false
			    : object                           ? keeps(x, find(pick, &f), f.value, &below)
			    : value_is_container(f.value.type) ? (below = pick, true)
							       : (below = NULL, x->exclude);
		if (!keep)
			continue;
		if (!first && buf_add(x->out, ",", 1))
			return -1;
		first = false;
		if (object &&
		    (json_write_string(x->out, id ? "id" : f.name, id ? 2 : f.name_len) || buf_add(x->out, ":", 1)))
			return -1;
		if (element(x, below, f.value))
			return -1;
	}
	return buf_add(x->out, object ? "}" : "]", 1);
}

int eval_project(const struct task *task, const char *document, struct buf *out)
{
	static const struct pick nothing = {.children = NULL};
	const struct project x = {out, task->pick ? task->pick_exclude : true, task->drop_id};
	if (!task->pick && !task->drop_id)
		return value_write_document(out, document);
	return members(&x, task->pick ? task->pick : &nothing, (struct value){document, VALUE_OBJECT}, true);
}
