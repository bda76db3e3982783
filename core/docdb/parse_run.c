/* SPDX-License-Identifier: MIT
 *
 * What the op run asks for: a script's name and its arguments.
 */
#include "docdb/parse.h"

enum { NAME_MAX_BYTES = 120 };

static int check_keys(struct parse *p, const struct place *at, uint32_t values)
{
	static const char *const known[] = {"script", "args", NULL};
	const struct json_node *n = parse_node(p, values);
	for (uint32_t key = values + 1; key < n->next; key = parse_node(p, key + 1)->next) {
		struct bytes name = parse_text(p, key);
		if (!parse_is(name, "script") && !parse_is(name, "args"))
			return parse_unknown(p, at, name, known);
	}
	return 0;
}

static int add_args(struct parse *p, uint32_t args, struct task *task)
{
	p->scratch.len = 0;
	if (args ? json_write(p->tree, args, &p->scratch) : buf_add_str(&p->scratch, "null"))
		return -1;
	task->args = (struct bytes){mem_copy(&p->request->mem, p->scratch.data, p->scratch.len), p->scratch.len};
	return 0;
}

int parse_run(struct parse *p, const struct place *at, uint32_t values, struct task *task)
{
	struct place here = {at, "script", 6, 0};
	if (p->within)
		return parse_refuse(p, at, ERROR_ARGUMENT, "a script can't run another one");
	if (parse_node(p, values)->kind != JSON_OBJECT)
		return parse_refuse(p, at, ERROR_ARGUMENT, "is an object {script, args}, not %s",
				    parse_kind(p, values));
	uint32_t script = json_find(p->tree, values, "script", 6);
	if (!script)
		return parse_refuse(p, at, ERROR_MISSING, "script, the name of a script of the profile, is missing");
	if (parse_node(p, script)->kind != JSON_STRING)
		return parse_refuse(p, &here, ERROR_ARGUMENT, "is a text, not %s", parse_kind(p, script));
	task->script = parse_text(p, script);
	if (task->script.len == 0 || task->script.len > NAME_MAX_BYTES)
		return parse_refuse(p, &here, ERROR_ARGUMENT, "a script's name has 1 to %d bytes", NAME_MAX_BYTES);
	if (check_keys(p, at, values))
		return -1;
	return add_args(p, json_find(p->tree, values, "args", 4), task);
}
