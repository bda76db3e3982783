/* SPDX-License-Identifier: MIT
 *
 * The list of tasks: what each needs, where it goes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "docdb/parse.h"

enum {
	NEEDS_VALUES = 1,
	NEEDS_MATCHER = 2,
	WRITES = 4,
	TASKS_MAX = 10000,
	TASKS_BYTES = 16 << 20,
	TASKS_DEPTH = 110,
	SCRATCH = 500,
	ROOM = 3000,       /* bytes of the arena in the request itself */
	KEPT = 4096,       /* most nodes of a room */
	KEPT_BYTES = 65536 /* and of its scratch */
};

static const struct {
	struct bytes name;
	int needs;
} ops[TASK_OPS] = {
	[TASK_PUT] = {PARSE_WORD("put"), NEEDS_VALUES | WRITES},
	[TASK_GET_ONE] = {PARSE_WORD("getOne"), NEEDS_MATCHER},
	[TASK_GET] = {PARSE_WORD("get"), NEEDS_MATCHER},
	[TASK_UPDATE] = {PARSE_WORD("update"), NEEDS_VALUES | NEEDS_MATCHER | WRITES},
	[TASK_UPSERT] = {PARSE_WORD("upsert"), NEEDS_VALUES | NEEDS_MATCHER | WRITES},
	[TASK_REPLACE] = {PARSE_WORD("replace"), NEEDS_VALUES | NEEDS_MATCHER | WRITES},
	[TASK_DELETE] = {PARSE_WORD("delete"), NEEDS_MATCHER | WRITES},
	[TASK_COUNT] = {PARSE_WORD("count"), NEEDS_MATCHER},
	[TASK_RUN] = {PARSE_WORD("run"), NEEDS_VALUES | WRITES},
};

enum { TASK_NAME, TASK_OP, TASK_PARAMS, TASK_OPTIONS, TASK_KEYS };
static const struct bytes task_keys[TASK_KEYS] = {PARSE_WORD("name"), PARSE_WORD("op"), PARSE_WORD("params"),
						  PARSE_WORD("options")};
enum { PARAM_MATCHER, PARAM_VALUES, PARAM_SELECTOR, PARAM_COLLECTOR, PARAM_TYPE, PARAM_KEYS };
static const struct bytes param_keys[PARAM_KEYS] = {PARSE_WORD("matcher"), PARSE_WORD("values"), PARSE_WORD("selector"),
						    PARSE_WORD("collector"), PARSE_WORD("type")};
enum { OPTION_HOST, OPTION_DATABASE, OPTION_KEYS };
static const struct bytes option_keys[OPTION_KEYS] = {PARSE_WORD("hostString"), PARSE_WORD("dbname")};

/* Is there a text at the node of this key (0: it isn't there)? 1; 0: none, or null; -1: something else. */
static int has_text(struct parse *p, const struct place *at, uint32_t node, struct bytes key)
{
	struct place here = {at, key.data, key.len, 0};
	if (!node || parse_node(p, node)->kind == JSON_NULL)
		return 0;
	if (parse_node(p, node)->kind != JSON_STRING)
		return parse_refuse(p, &here, ERROR_ARGUMENT, "is a text, not %s", parse_kind(p, node));
	return 1;
}

/* Into the arena. */
static int text_field(struct parse *p, const struct place *at, uint32_t node, struct bytes key, struct bytes *text)
{
	int has = has_text(p, at, node, key);
	*text = has > 0 ? parse_text(p, node) : (struct bytes){NULL, 0};
	return has < 0 ? -1 : 0;
}

static int unknown_op(struct parse *p, const struct place *at, struct bytes op)
{
	struct place here = {at, "op", 2, 0};
	const char *names[TASK_OPS + 1] = {NULL};
	for (int i = 0; i < TASK_OPS; i++)
		names[i] = ops[i].name.data;
	return parse_unknown(p, &here, op, names);
}

static int find_op(struct parse *p, const struct place *at, uint32_t node, struct task *task)
{
	int has = has_text(p, at, node, task_keys[TASK_OP]);
	if (has <= 0)
		return has ? -1 : parse_refuse(p, at, ERROR_MISSING, "op is missing");
	struct bytes op = parse_glance(p, node);
	for (int i = 0; i < TASK_OPS; i++)
		if (parse_same(op, ops[i].name)) {
			task->op = (enum task_op)i;
			return 0;
		}
	return unknown_op(p, at, op);
}

static int check_type(struct parse *p, const struct place *at, uint32_t node, struct task *task)
{
	if (text_field(p, at, node, param_keys[PARAM_TYPE], &task->type))
		return -1;
	if (!task->type.data)
		task->type = p->type;
	if (!task->type.data && task->op == TASK_RUN)
		return 0;
	if (!task->type.data || task->type.len == 0)
		return parse_refuse(p, at, ERROR_MISSING, "type, the collection, is missing");
	struct place here = {at, "type", 4, 0};
	if (task->type.len > 120 || memchr(task->type.data, '$', task->type.len) ||
	    memchr(task->type.data, 0, task->type.len) || strncmp(task->type.data, "system.", 7) == 0 ||
	    strncmp(task->type.data, "srvthreds.", 10) == 0) /* where MongoDB has our marks */
		return parse_refuse(p, &here, ERROR_ARGUMENT,
				    "a collection's name has at most 120 bytes, no $, no NUL and doesn't begin with "
				    "system. or srvthreds.");
	return 0;
}

static int parse_params(struct parse *p, const struct place *at, uint32_t *nodes, struct task *task)
{
	struct place here[PARAM_TYPE];
	for (int i = 0; i < PARAM_TYPE; i++) {
		if (nodes[i] && parse_node(p, nodes[i])->kind == JSON_NULL)
			nodes[i] = 0;
		here[i] = (struct place){at, param_keys[i].data, param_keys[i].len, 0};
	}
	int needs = ops[task->op].needs;
	if ((needs & NEEDS_MATCHER) && !nodes[0])
		return parse_refuse(p, at, ERROR_MISSING, "%s needs a matcher; {} matches every document",
				    ops[task->op].name.data);
	if ((needs & NEEDS_VALUES) && !nodes[1])
		return parse_refuse(p, at, ERROR_MISSING, "%s needs values", ops[task->op].name.data);
	if (nodes[0] && !(task->match = parse_matcher(p, &here[0], nodes[0], true)))
		return -1;
	if ((task->op == TASK_PUT || task->op == TASK_REPLACE) && parse_documents(p, &here[1], nodes[1], task))
		return -1;
	if ((task->op == TASK_UPDATE || task->op == TASK_UPSERT) && parse_updates(p, &here[1], nodes[1], task))
		return -1;
	if (nodes[2] && parse_select(p, &here[2], nodes[2], task))
		return -1;
	if (task->op == TASK_RUN)
		return parse_run(p, &here[1], nodes[1], task);
	return nodes[3] ? parse_collect(p, &here[3], nodes[3], task) : 0;
}

static int check_made_id(struct parse *p, const struct place *at, struct task *task)
{
	if (task->op != TASK_UPSERT && task->op != TASK_REPLACE)
		return 0;
	struct value id = match_id(task->match);
	if (id.type && (id.type != VALUE_STRING || value_text(id).len == 0))
		return parse_refuse(p, at, ERROR_ARGUMENT, "an id is a text that isn't empty");
	task->made_id = parse_make_id(p);
	return 0;
}

static size_t find_host(const struct docdb_options *o, struct bytes name)
{
	for (size_t i = 0; i < o->host_count; i++)
		if (parse_is(name, o->hosts[i].name))
			return i;
	return SIZE_MAX;
}

/* An event never chooses where we connect: it picks one of the names that were configured. */
static int parse_where(struct parse *p, const struct place *at, uint32_t options, size_t *host, struct bytes *database)
{
	const struct docdb_options *o = p->options;
	uint32_t nodes[OPTION_KEYS];
	struct place here = {at, "options", 7, 0};
	struct bytes name = {NULL, 0};
	*host = p->within ? p->within->host : 0;
	*database = p->within ? p->within->database : (struct bytes){o->databases[0], strlen(o->databases[0])};
	if (!options || parse_node(p, options)->kind == JSON_NULL)
		return 0;
	if (parse_node(p, options)->kind != JSON_OBJECT)
		return parse_refuse(p, &here, ERROR_ARGUMENT, "is an object, not %s", parse_kind(p, options));
	parse_members(p, options, option_keys, OPTION_KEYS, nodes);
	if (text_field(p, &here, nodes[OPTION_HOST], option_keys[OPTION_HOST], &name))
		return -1;
	if (name.data && (*host = find_host(o, name)) == SIZE_MAX)
		return parse_refuse(p, &here, ERROR_UNAUTHORIZED,
				    "hostString \"%.*s\" isn't one of the configured hosts",
				    name.len > 60 ? 60 : (int)name.len, name.data);
	if (text_field(p, &here, nodes[OPTION_DATABASE], option_keys[OPTION_DATABASE], &name))
		return -1;
	for (size_t i = 0; name.data && i < o->database_count; i++)
		if (parse_is(name, o->databases[i])) {
			*database = (struct bytes){o->databases[i], name.len};
			return 0;
		}
	if (!name.data)
		return 0;
	return parse_refuse(p, &here, ERROR_UNAUTHORIZED, "dbname \"%.*s\" isn't one of the allowed databases",
			    name.len > 60 ? 60 : (int)name.len, name.data);
}

static void note_task(struct parse *p, const struct task *task)
{
	p->failure->item = task->item;
	p->failure->inner = task->inner;
	size_t most = sizeof p->failure->name - 1, len = task->name.len < most ? task->name.len : most;
	if (len)
		memcpy(p->failure->name, task->name.data, len);
	p->failure->name[len] = '\0';
}

static int parse_task(struct parse *p, const struct place *at, uint32_t node, struct unit *unit, struct task *task)
{
	note_task(p, task);
	if (parse_node(p, node)->kind != JSON_OBJECT)
		return parse_refuse(p, at, ERROR_ARGUMENT, "a task is an object, not %s", parse_kind(p, node));
	uint32_t nodes[TASK_KEYS], inner[PARAM_KEYS];
	parse_members(p, node, task_keys, TASK_KEYS, nodes);
	if (text_field(p, at, nodes[TASK_NAME], task_keys[TASK_NAME], &task->name))
		return -1;
	note_task(p, task);
	if (find_op(p, at, nodes[TASK_OP], task))
		return -1;
	uint32_t params = nodes[TASK_PARAMS];
	struct place here = {at, "params", 6, 0};
	if (!params)
		return parse_refuse(p, at, ERROR_MISSING, "params is missing");
	if (parse_node(p, params)->kind != JSON_OBJECT)
		return parse_refuse(p, &here, ERROR_ARGUMENT, "is an object, not %s", parse_kind(p, params));
	size_t host;
	struct bytes database;
	bool writes = (ops[task->op].needs & WRITES) != 0;
	parse_members(p, params, param_keys, PARAM_KEYS, inner);
	if (check_type(p, &here, inner[PARAM_TYPE], task) || parse_where(p, at, nodes[TASK_OPTIONS], &host, &database))
		return -1;
	if (p->options->view && parse_viewed(p, &here, task, writes))
		return -1;
	const struct unit *other = p->within ? p->within : task != unit->tasks ? unit : NULL;
	if (other && (host != other->host || database.data != other->database.data))
		return parse_refuse(p, at, ERROR_ARGUMENT, "the tasks of one transaction share host and database");
	unit->host = host;
	unit->database = database;
	unit->writes |= writes;
	unit->runs |= task->op == TASK_RUN;
	p->request->runs |= unit->runs;
	return parse_params(p, &here, inner, task) || check_made_id(p, &here, task);
}

static int parse_unit(struct parse *p, const struct place *at, uint32_t node, struct unit *unit, int item)
{
	const struct json_node *n = parse_node(p, node);
	unit->nested = n->kind == JSON_ARRAY;
	unit->count = unit->nested ? n->count : 1;
	unit->tasks = mem_take(&p->request->mem, unit->count * sizeof *unit->tasks);
	if (!unit->nested) {
		unit->tasks[0].item = item;
		unit->tasks[0].inner = -1;
		return parse_task(p, at, node, unit, unit->tasks);
	}
	p->failure->item = item;
	if (unit->count == 0)
		return parse_refuse(p, at, ERROR_ARGUMENT, "a transaction has at least one task");
	size_t i = 0;
	for (uint32_t child = node + 1; child < n->next; child = parse_node(p, child)->next, i++) {
		struct place here = {at, NULL, 0, i};
		unit->tasks[i].item = item;
		unit->tasks[i].inner = (int)i;
		if (parse_task(p, &here, child, unit, &unit->tasks[i]))
			return -1;
	}
	return 0;
}

static int parse_units(struct parse *p)
{
	const struct place root = {NULL, "tasks", 5, 0};
	const struct json_node *n = parse_node(p, 0);
	struct request *r = p->request;
	if (n->kind != JSON_ARRAY)
		return parse_refuse(p, &root, ERROR_ARGUMENT, "tasks are a list, not %s", parse_kind(p, 0));
	if (n->count > TASKS_MAX)
		return parse_refuse(p, &root, ERROR_ARGUMENT, "at most %d tasks in an event", TASKS_MAX);
	r->units = mem_take(&r->mem, n->count * sizeof *r->units);
	for (uint32_t child = 1; child < n->next; child = parse_node(p, child)->next, r->count++) {
		struct place here = {&root, NULL, 0, r->count};
		if (parse_unit(p, &here, child, &r->units[r->count], (int)r->count))
			return -1;
	}
	return 0;
}

/* With a mark the made ids follow from it. */
static void seed(struct parse *p, const struct docdb_request *from)
{
	if (!from->mark.data)
		return;
	XXH128_hash_t h = XXH3_128bits(from->mark.data, from->mark.len);
	XXH128_canonical_t c;
	XXH128_canonicalFromHash(&c, h);
	memcpy(p->request->mark, c.digest, sizeof p->request->mark);
	p->request->marked = p->seeded = true;
	p->seed[0] = h.low64;
	p->seed[1] = h.high64;
}

/* Its texts are too long to be written whole for each request. */
static void no_failure(struct docdb_failure *f)
{
	f->error.code = 0;
	f->error.message[0] = f->error.cause[0] = f->name[0] = '\0';
	f->item = f->inner = -1;
}

void parse_room_free(struct parse_room *room)
{
	json_tape_free(&room->tape);
	buf_free(&room->scratch);
}

static struct request *new_request(void)
{
	struct request *r = xmalloc(sizeof *r + ROOM);
	memset(r, 0, sizeof *r);
	mem_begin(&r->mem, r->room, ROOM);
	return r;
}

static struct request *parse_all(struct parse *p, struct bytes tasks, struct parse_room *kept)
{
	const struct json_limits limits = {.depth = TASKS_DEPTH, .size = TASKS_BYTES};
	struct parse_room own = {.scratch = {0}}, *room = kept ? kept : &own;
	struct docdb_failure *failure = p->failure;
	no_failure(failure);
	p->tree = &room->tape.tree;
	p->scratch = room->scratch;
	p->scratch.len = 0;
	buf_reserve(&p->scratch, SCRATCH);
	int rc = json_parse(&room->tape, tasks.data, tasks.len, &limits, &failure->error);
	if (rc == 0)
		rc = parse_units(p);
	room->scratch = p->scratch;
	if (!kept || room->tape.cap > KEPT || room->scratch.cap > KEPT_BYTES)
		parse_room_free(room);
	if (rc == 0) {
		no_failure(failure);
		return p->request;
	}
	if (!failure->error.code)
		error_set(&failure->error, ERROR_SERVER, "out of memory for tasks");
	request_free(p->request);
	return NULL;
}

struct request *request_parse(const struct docdb_options *options, const struct docdb_request *from, int64_t now,
			      struct parse_room *room, struct docdb_failure *failure)
{
	struct request *r = new_request();
	struct parse p = {.request = r, .options = options, .failure = failure};
	r->now = now;
	seed(&p, from);
	return parse_all(&p, from->tasks, room);
}

struct request *request_parse_within(const struct docdb_options *options, const struct request *outer,
				     const struct unit *unit, const struct task *task, struct bytes tasks,
				     uint64_t *made, struct docdb_failure *failure)
{
	struct request *r = new_request();
	struct parse p = {.request = r,
			  .options = options,
			  .failure = failure,
			  .within = unit,
			  .type = task->type,
			  .made = *made,
			  .seeded = outer->marked};
	r->now = outer->now;
	r->deadline = outer->deadline;
	memcpy(p.seed, outer->mark, sizeof p.seed);
	r = parse_all(&p, tasks, NULL);
	*made = p.made;
	return r;
}

void request_free(struct request *r)
{
	for (size_t i = 0; r && i < r->regex_count; i++)
		regex_free(r->regexes[i]);
	if (r) {
		free(r->regexes);
		mem_free(&r->mem);
	}
	free(r);
}
