/* SPDX-License-Identifier: MIT
 *
 * Tasks for a view: its collections are known and are read only.
 */
#include <stdlib.h>

#include "docdb/parse.h"
#include "docdb/view.h"

int parse_viewed(struct parse *p, const struct place *at, const struct task *task, bool writes)
{
	const struct docdb_view *view = p->options->view;
	const struct place here = {at, "type", 4, 0};
	const char **names = mem_take(&p->request->mem, (view->count + 1) * sizeof *names);
	struct buf all = {0};
	if (task->op == TASK_RUN)
		return parse_refuse(p, at, ERROR_ARGUMENT, "scripts don't run on what can only be read");
	for (size_t i = 0; i < view->count; i++) {
		names[i] = view->collections[i].name;
		if (!parse_is(task->type, names[i]))
			continue;
		if (!writes)
			return 0;
		return parse_refuse(p, &here, ERROR_ARGUMENT, "%s can't be changed by a task: %s", names[i],
				    view->collections[i].change);
	}
	for (size_t i = 0; i < view->count; i++)
		buf_printf(&all, "%s%s", i ? ", " : "", names[i]);
	int rc = parse_unknown(p, &here, task->type, names);
	struct error *e = &p->failure->error, first = *e;
	error_set(e, e->code, "%.240s; there are %s", first.message, all.data ? all.data : "none");
	buf_free(&all);
	return rc;
}
