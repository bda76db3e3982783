/* SPDX-License-Identifier: MIT
 *
 * Selectors and collectors.
 */
#include "docdb/parse.h"

enum { SORT_FIELDS = 32 };

static int check_keys(struct parse *p, const struct place *at, uint32_t node, const char *const *known)
{
	const struct json_node *n = parse_node(p, node);
	if (n->kind != JSON_OBJECT)
		return parse_refuse(p, at, ERROR_ARGUMENT, "takes an object, not %s", parse_kind(p, node));
	for (uint32_t key = node + 1; key < n->next; key = parse_node(p, key + 1)->next) {
		struct bytes name = parse_text(p, key);
		struct place here = {at, name.data, name.len, 0};
		const char *const *one = known;
		while (*one && !parse_is(name, *one))
			one++;
		if (!*one)
			return parse_unknown(p, &here, name, known);
	}
	return 0;
}

/* The name among the children, else NULL; *end is where a new one would go. */
static struct pick *find(struct pick *of, struct bytes name, struct pick ***end)
{
	struct pick **at = &of->children;
	for (; *at; at = &(*at)->next)
		if ((*at)->name.len == name.len && memcmp((*at)->name.data, name.data, name.len) == 0)
			return *at;
	*end = at;
	return NULL;
}

/* "a" and "a.b" together: MongoDB refuses that as well. */
static int add_pick(struct parse *p, const struct place *at, struct pick *now, const struct path *path)
{
	for (uint32_t i = 0; i < path->count; i++) {
		struct pick **end, *below = find(now, path->parts[i].name, &end);
		bool last = i + 1 == path->count;
		if (below && below->whole != last)
			return parse_refuse(p, at, ERROR_ARGUMENT, "%s is selected twice, as a whole and in part",
					    path->text.data);
		if (!below) {
			below = *end = mem_take(&p->request->mem, sizeof *below);
			below->name = path->parts[i].name;
			below->whole = last;
		}
		now = below;
	}
	return 0;
}

static int add_picks(struct parse *p, const struct place *at, uint32_t node, struct task *task, bool exclude)
{
	const struct json_node *n = parse_node(p, node);
	if (n->kind != JSON_ARRAY)
		return parse_refuse(p, at, ERROR_ARGUMENT, "takes a list of fields, not %s", parse_kind(p, node));
	size_t i = 0;
	for (uint32_t item = node + 1; item < n->next; item = parse_node(p, item)->next, i++) {
		struct place here = {at, NULL, 0, i};
		if (parse_node(p, item)->kind != JSON_STRING)
			return parse_refuse(p, &here, ERROR_ARGUMENT, "a field is a text, not %s", parse_kind(p, item));
		const struct path *path = parse_path(p, &here, parse_text(p, item), true);
		if (!path)
			return -1;
		if (exclude && path_is_id(path)) {
			task->drop_id = true;
			continue;
		}
		if (exclude && task->pick && !task->pick_exclude)
			return parse_refuse(p, &here, ERROR_ARGUMENT, "beside include only the id can be excluded");
		if (!task->pick)
			task->pick = mem_take(&p->request->mem, sizeof *task->pick);
		task->pick_exclude = exclude;
		if (add_pick(p, &here, task->pick, path))
			return -1;
	}
	return 0;
}

int parse_select(struct parse *p, const struct place *at, uint32_t node, struct task *task)
{
	static const char *const known[] = {"include", "exclude", NULL};
	if (check_keys(p, at, node, known))
		return -1;
	uint32_t include = json_find(p->tree, node, "include", 7), exclude = json_find(p->tree, node, "exclude", 7);
	struct place in = {at, "include", 7, 0}, out = {at, "exclude", 7, 0};
	if (include && add_picks(p, &in, include, task, false))
		return -1;
	return exclude ? add_picks(p, &out, exclude, task, true) : 0;
}

static int add_sort(struct parse *p, const struct place *at, uint32_t node, struct sort *sort)
{
	static const char *const known[] = {"field", "desc", NULL};
	if (check_keys(p, at, node, known))
		return -1;
	uint32_t field = json_find(p->tree, node, "field", 5), desc = json_find(p->tree, node, "desc", 4);
	if (!field)
		return parse_refuse(p, at, ERROR_MISSING, "field is missing");
	if (parse_node(p, field)->kind != JSON_STRING)
		return parse_refuse(p, at, ERROR_ARGUMENT, "field is a text, not %s", parse_kind(p, field));
	if (desc) {
		uint8_t kind = parse_node(p, desc)->kind;
		if (kind != JSON_TRUE && kind != JSON_FALSE)
			return parse_refuse(p, at, ERROR_ARGUMENT, "desc is true or false");
		sort->down = kind == JSON_TRUE;
	}
	sort->path = parse_path(p, at, parse_text(p, field), true);
	return sort->path ? 0 : -1;
}

static int parse_sort(struct parse *p, const struct place *at, uint32_t node, struct task *task)
{
	const struct json_node *n = parse_node(p, node);
	if (n->kind != JSON_ARRAY)
		return parse_refuse(p, at, ERROR_ARGUMENT, "takes a list of {field, desc?}, not %s",
				    parse_kind(p, node));
	if (n->count > SORT_FIELDS)
		return parse_refuse(p, at, ERROR_ARGUMENT, "at most %d fields can be sorted by", SORT_FIELDS);
	struct sort *sort = mem_take(&p->request->mem, n->count * sizeof *sort);
	task->sort = sort;
	for (uint32_t item = node + 1; item < n->next; item = parse_node(p, item)->next, task->sort_count++) {
		struct place here = {at, NULL, 0, task->sort_count};
		if (add_sort(p, &here, item, &sort[task->sort_count]))
			return -1;
		for (size_t i = 0; i < task->sort_count; i++)
			if (path_compare(sort[i].path, sort[task->sort_count].path) == 0)
				return parse_refuse(p, &here, ERROR_ARGUMENT, "%s is sorted by twice",
						    sort[i].path->text.data);
	}
	return 0;
}

static int count_of(struct parse *p, const struct place *at, uint32_t node, const char *key, int64_t *n)
{
	uint32_t found = json_find(p->tree, node, key, strlen(key));
	struct place here = {at, key, strlen(key), 0};
	if (!found)
		return 0;
	if (parse_node(p, found)->kind == JSON_INT && (*n = json_int(p->tree, found)) >= 0 && *n <= INT32_MAX)
		return 0;
	return parse_refuse(p, &here, ERROR_ARGUMENT, "takes a whole number from 0 to %d", INT32_MAX);
}

int parse_collect(struct parse *p, const struct place *at, uint32_t node, struct task *task)
{
	static const char *const known[] = {"sort", "skip", "limit", NULL};
	struct place here = {at, "sort", 4, 0};
	if (check_keys(p, at, node, known))
		return -1;
	uint32_t sort = json_find(p->tree, node, "sort", 4);
	if (sort && parse_sort(p, &here, sort, task))
		return -1;
	return count_of(p, at, node, "skip", &task->skip) || count_of(p, at, node, "limit", &task->limit) ? -1 : 0;
}
