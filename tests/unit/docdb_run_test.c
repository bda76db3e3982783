/* SPDX-License-Identifier: MIT
 *
 * Held units: a script here is a list of tasks and how it ends, run by this test as the program runs Lua's.
 */
#include "docdb_bed.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>

#define PUT(id) "[{\"op\":\"put\",\"params\":{\"type\":\"c\",\"values\":{\"id\":\"" id "\"}}}]"
#define INC                                                                                                            \
	"[{\"op\":\"upsert\",\"params\":{\"type\":\"c\",\"matcher\":{\"id\":\"n\"},\"values\":{\"$inc\":{\"n\":1}}}}]"
#define COUNT "{\"op\":\"count\",\"params\":{\"type\":\"c\",\"matcher\":{}}}"
#define RUN(name)                                                                                                      \
	"{\"op\":\"run\",\"name\":\"mine\",\"params\":{\"values\":{\"script\":\"" name                                 \
	"\",\"args\":{\"b\":[1,2],\"a\":null}}}}"

/* Long enough for a script to begin on a busy machine. */
enum { LATE_MS = 1200 };

enum how { RESULT, FAILS, SWALLOWS, WAITS };

static const struct program {
	const char *name;
	const char *steps[4];
	enum how how;
	const char *end;
} programs[] = {
	{"count", {PUT("s"), INC, "[" COUNT ",[" COUNT "]]"}, RESULT, "{\"ok\":[true]}"},
	{"exists", {PUT("s"), PUT("s"), PUT("t")}, FAILS, "scripts/exists.lua:3: there it is"},
	{"swallow", {PUT("s"), PUT("s"), PUT("t")}, SWALLOWS, "1"},
	{"throw", {PUT("s")}, FAILS, "scripts/throw.lua:7: no money"},
	{"hang", {PUT("s"), "[" COUNT "]"}, WAITS, "1"},
	{"bump", {INC}, RESULT, "null"},
	{"read", {"[" COUNT "]"}, RESULT, "7"},
	{"nothing", {NULL}, RESULT, "\"done\""},
};

struct scripts {
	struct docdb_script *s; /* that runs or waits */
	const struct program *p;
	int step, started, asked;
	int code; /* of what it asked for last, 0: it went well */
	char got[512], args[64], refused[ERROR_MESSAGE_SIZE + 20];
	bool paused; /* none goes on before `let` */
};

static struct scripts *of(struct bed *b)
{
	return b->more;
}

static void end_script(struct scripts *t)
{
	struct docdb_script *s = t->s;
	const struct error e = {.code = t->code ? t->code : ERROR_TASK};
	struct error with = e;
	t->s = NULL;
	snprintf(with.message, sizeof with.message, "%s", t->p->end);
	const bool fails = t->p->how == FAILS;
	docdb_script_end(s, (struct bytes){t->p->end, strlen(t->p->end)}, fails ? &with : NULL);
}

static void step(struct scripts *t);

static void stepped(void *arg, const struct docdb_answer *answer)
{
	struct scripts *t = arg;
	snprintf(t->got, sizeof t->got, "%.*s", (int)answer->result.len, answer->result.data);
	t->code = answer->failure ? answer->failure->error.code : 0;
	t->step++;
	step(t);
}

static void step(struct scripts *t)
{
	const char *tasks = t->step < 4 ? t->p->steps[t->step] : NULL;
	struct docdb_failure failure;
	if (t->paused || (t->code && t->p->how != SWALLOWS)) {
		if (t->code)
			end_script(t);
		return;
	}
	if (!tasks) {
		if (t->p->how != WAITS)
			end_script(t);
		return;
	}
	t->asked++;
	if (docdb_script_run(t->s, (struct bytes){tasks, strlen(tasks)}, stepped, t, &failure)) {
		snprintf(t->refused, sizeof t->refused, "%d %s", failure.error.code, failure.error.message);
		end_script(t);
	}
}

static void start_script(void *arg, struct docdb_script *s, const struct docdb_script_call *call)
{
	struct scripts *t = arg;
	t->s = s;
	for (t->p = programs; strncmp(t->p->name, call->script.data, call->script.len) != 0;)
		t->p++;
	t->step = t->code = 0;
	t->started++;
	snprintf(t->args, sizeof t->args, "%.*s", (int)call->args.len, call->args.data);
	step(t);
}

static void begin_scripts(struct bed *b)
{
	const char *names[sizeof programs / sizeof *programs];
	for (size_t i = 0; i < sizeof programs / sizeof *programs; i++)
		names[i] = programs[i].name;
	begin(b);
	memset(b->more, 0, sizeof(struct scripts));
	docdb_scripts(b->db, names, sizeof programs / sizeof *programs, start_script, b->more);
}

static int setup_scripts(void **state)
{
	int rc = setup(state);
	((struct bed *)*state)->more = calloc(1, sizeof(struct scripts));
	return rc;
}

static int teardown_scripts(void **state)
{
	free(((struct bed *)*state)->more);
	return teardown(state);
}

static void fails_with(struct bed *b, const char *tasks, int code, const char *text)
{
	b->failure.error.code = 0;
	run(b, tasks, NULL, 0);
	assert_int_equal(b->failure.error.code, code);
	if (!strstr(b->failure.error.message, text))
		fail_msg("%s: expected … %s …", b->failure.error.message, text);
}

static void counts(struct bed *b, const char *expected)
{
	b->failure.error.code = 0;
	run(b, "[" COUNT "]", NULL, 0);
	assert_string_equal(b->result, expected);
}

/* It reads what it wrote, and what its list wrote before; the list reads what it wrote. */
static void a_script_is_part_of_its_list(void **state)
{
	struct bed *b = *state;
	begin_scripts(b);
	run(b,
	    "[[{\"op\":\"put\",\"params\":{\"type\":\"c\",\"values\":{\"id\":\"first\"}}}," RUN(
		    "count") "," COUNT "," RUN("read") "]," RUN("nothing") "]",
	    NULL, 0);
	assert_int_equal(b->failures, 0);
	assert_string_equal(b->result, "[[\"first\",{\"ok\":[true]},3,7],\"done\"]");
	assert_string_equal(of(b)->args, "{\"a\":null,\"b\":[1,2]}");
	assert_string_equal(of(b)->got, "[3]"); /* of "read", the last that asked */
	assert_int_equal(of(b)->started, 3);
	end(b);
}

static void results_of_a_list(void **state)
{
	struct bed *b = *state;
	begin_scripts(b);
	run(b, "[" RUN("count") "]", NULL, 0);
	assert_string_equal(b->result, "[{\"ok\":[true]}]");
	assert_string_equal(of(b)->got, "[2,[2]]");
	end(b);
}

static void all_or_nothing(void **state)
{
	static const char put[] = "{\"op\":\"put\",\"params\":{\"type\":\"c\",\"values\":{\"id\":\"x\"}}}";
	char tasks[1000];
	struct bed *b = *state;
	begin_scripts(b);
	snprintf(tasks, sizeof tasks, "[%s,[" INC "]]", put); /* no list in a list in a list */
	const struct docdb_request r = {.tasks = {tasks, strlen(tasks)}};
	assert_int_equal(docdb_run(b->db, &r, done, b, &b->failure), -1);
	snprintf(tasks, sizeof tasks, "[" COUNT ",[" COUNT "," RUN("count") ",%s,%s]]", put, put);
	fails_with(b, tasks, ERROR_EXISTS, "the id x");
	assert_int_equal(b->failure.item, 1);
	assert_int_equal(b->failure.inner, 3);
	assert_string_equal(b->result, "[0]");
	counts(b, "[0]");
	end(b);
}

static void a_failure_undoes_the_script(void **state)
{
	struct bed *b = *state;
	begin_scripts(b);
	fails_with(b, "[" COUNT "," RUN("exists") "]", ERROR_EXISTS, "scripts/exists.lua:3");
	assert_int_equal(b->failure.item, 1);
	assert_int_equal(b->failure.inner, -1);
	assert_string_equal(b->failure.name, "mine");
	fails_with(b, "[" RUN("throw") "]", ERROR_TASK, "scripts/throw.lua:7: no money");
	fails_with(b, "[" RUN("swallow") "]", ERROR_EXISTS, "the id s");
	assert_non_null(strstr(of(b)->refused, "the id s")); /* and nothing more could be done */
	assert_null(of(b)->s);
	counts(b, "[0]");
	run(b, "[" RUN("count") "]", NULL, 0); /* collections that were made are known again */
	counts(b, "[2]");
	end(b);
}

static void refused_before_anything(void **state)
{
	static const struct {
		const char *values;
		int code;
		const char *text;
	} cases[] = {
		{"{\"script\":\"cuont\"}", ERROR_ARGUMENT,
		 "tasks[1][0].params.values.script: the profile has no script \"cuont\": did you mean count?"},
		{"{\"script\":\"zzzzzzzzzzzz\"}", ERROR_ARGUMENT, "scripts/NAME.lua"},
		{"{\"script\":\"\"}", ERROR_ARGUMENT, "tasks[1][0].params.values.script: a script's name"},
		{"{\"script\":1}", ERROR_ARGUMENT, "is a text, not a number"},
		{"{\"args\":1}", ERROR_MISSING, "script"},
		{"{\"script\":\"count\",\"arg\":1}", ERROR_ARGUMENT, "did you mean args?"},
		{"[\"count\"]", ERROR_ARGUMENT, "{script, args}"},
	};
	struct bed *b = *state;
	char tasks[400];
	begin_scripts(b);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		snprintf(tasks, sizeof tasks,
			 "[{\"op\":\"put\",\"params\":{\"type\":\"c\",\"values\":{}}},[{\"op\":\"run\",\"params\":{"
			 "\"values\":%s}}]]",
			 cases[i].values);
		const struct docdb_request r = {.tasks = {tasks, strlen(tasks)}};
		assert_int_equal(docdb_run(b->db, &r, done, b, &b->failure), -1);
		assert_int_equal(b->failure.error.code, cases[i].code);
		if (!strstr(b->failure.error.message, cases[i].text))
			fail_msg("%s: expected … %s", b->failure.error.message, cases[i].text);
		assert_int_equal(b->failure.item, 1);
		assert_int_equal(b->failure.inner, 0);
	}
	counts(b, "[0]");
	end(b);
}

/* Until a script holds the transaction. */
static void until_it_hangs(struct bed *b)
{
	for (uint64_t begun = uv_hrtime(); !of(b)->s || of(b)->step < 2;) {
		uv_run(runtime_loop(b->rt), UV_RUN_NOWAIT);
		if (uv_hrtime() - begun > 30000000000u)
			fail_msg("no script after 30 s");
	}
}

static void late_is_undone(void **state)
{
	struct bed *b = *state;
	begin_scripts(b);
	const int before = b->answers;
	start_task(b, "[" RUN("hang") "]", NULL, LATE_MS);
	until_it_hangs(b);
	start_task(b, INC, NULL, 0); /* waits for its turn */
	counts(b, "[0]");            /* and reading doesn't */
	assert_int_equal(b->answers, before + 1);
	until(b, before + 3);
	assert_int_equal(b->failures, 1);
	assert_int_equal(b->failure.error.code, ERROR_TASK);
	assert_non_null(strstr(b->failure.error.message, "time"));
	struct docdb_failure failure;
	assert_int_equal(docdb_script_run(of(b)->s, (struct bytes){INC, strlen(INC)}, stepped, of(b), &failure), -1);
	assert_int_equal(failure.error.code, ERROR_TASK);
	docdb_script_end(of(b)->s, (struct bytes){"1", 1}, NULL);
	counts(b, "[1]");
	end(b);
}

/* The loop is stuck: nobody on it can say that the time is over. */
static void late_is_undone_without_the_loop(void **state)
{
	struct bed *b = *state;
	int rc = SQLITE_BUSY;
	sqlite3 *other;
	begin_scripts(b);
	const int before = b->answers;
	start_task(b, "[" RUN("hang") "]", NULL, LATE_MS);
	until_it_hangs(b);
	assert_int_equal(sqlite3_open(b->url + strlen("sqlite:"), &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "begin immediate", NULL, NULL, NULL), SQLITE_BUSY);
	for (uint64_t begun = uv_hrtime(); rc == SQLITE_BUSY && uv_hrtime() - begun < 20000000000u;)
		rc = sqlite3_exec(other, "begin immediate;rollback", NULL, NULL, NULL);
	assert_int_equal(rc, SQLITE_OK);
	sqlite3_close(other);
	struct docdb_failure failure;
	if (docdb_script_run(of(b)->s, (struct bytes){INC, strlen(INC)}, stepped, of(b), &failure) == 0)
		until(b, before + 1); /* refused by the writer; the script ended with that */
	else
		docdb_script_end(of(b)->s, (struct bytes){"1", 1}, NULL);
	until(b, before + 1);
	assert_int_equal(b->failure.error.code, ERROR_TASK);
	counts(b, "[0]");
	end(b);
}

static void once_with_a_mark(void **state)
{
	static const char tasks[] = "[" RUN("bump") ",[" RUN("count") "," COUNT "]]";
	struct bed *b = *state;
	char first[sizeof b->result];
	begin_scripts(b);
	run(b, tasks, "event 1", 0);
	assert_string_equal(b->result, "[null,[{\"ok\":[true]},2]]");
	snprintf(first, sizeof first, "%s", b->result);
	end(b);
	begin_scripts(b);
	run(b, tasks, "event 1", 0);
	assert_string_equal(b->result, first);
	assert_int_equal(of(b)->started, 0);
	fails_with(b, "[" RUN("exists") "]", ERROR_EXISTS, "scripts/exists.lua");
	run(b, "[" RUN("bump") "]", "event 2", 0);
	run(b,
	    "[{\"op\":\"getOne\",\"params\":{\"type\":\"c\",\"matcher\":{\"id\":\"n\"},\"selector\":{\"include\":["
	    "\"n\"]}}}]",
	    NULL, 0);
	assert_string_equal(b->result, "[{\"id\":\"n\",\"n\":3}]");
	end(b);
}

/* Many at a time, between writes of others: nothing is lost, and each is alone. */
static void in_turns_with_others(void **state)
{
	enum { EACH = 100 };
	struct bed *b = *state;
	begin_scripts(b);
	for (int i = 0; i < EACH; i++) {
		start_task(b, "[" RUN("bump") "]", NULL, 0);
		start_task(b, INC, NULL, 0);
		start_task(b, "[" COUNT "]", NULL, 0);
	}
	until(b, 3 * EACH);
	assert_int_equal(b->failures, 0);
	run(b, "[{\"op\":\"count\",\"params\":{\"type\":\"c\",\"matcher\":{\"n\":200}}}]", NULL, 0);
	assert_string_equal(b->result, "[1]");
	end(b);
}

/* A child is killed while a script of its holds the transaction, or right after it ended. */
static void killed(struct bed *b, const char *name, bool ends)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char tasks[200];
		begin_scripts(b);
		snprintf(tasks, sizeof tasks, "[" RUN("%s") "]", name);
		start_task(b, tasks, "event", 0);
		if (ends)
			until(b, 1);
		else
			until_it_hangs(b);
		kill(getpid(), SIGKILL);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void nothing_stays_of_a_killed_one(void **state)
{
	struct bed *b = *state;
	killed(b, "hang", false);
	begin_scripts(b);
	counts(b, "[0]");
	run(b, "[" RUN("bump") "]", "event", 0); /* it left no mark */
	assert_int_equal(of(b)->started, 1);
	counts(b, "[1]");
	end(b);
}

static void nothing_comes_twice_after_a_kill(void **state)
{
	struct bed *b = *state;
	killed(b, "bump", true);
	begin_scripts(b);
	counts(b, "[1]");
	run(b, "[" RUN("bump") "]", "event", 0);
	assert_int_equal(of(b)->started, 0);
	assert_string_equal(b->result, "[null]");
	end(b);
}

/* While a script waits, while one waits for its turn, and with answers on their way. */
static void closing_ends_what_is_held(void **state)
{
	struct bed *b = *state;
	begin_scripts(b);
	for (int at = 0; at < 40; at++) {
		const int before = b->answers;
		start_task(b, "[" RUN("count") "]", NULL, 0);
		start_task(b, "[" RUN("bump") "]", NULL, 0);
		for (int turns = 0; turns < at; turns++)
			uv_run(runtime_loop(b->rt), UV_RUN_NOWAIT);
		docdb_close(b->db);
		b->db = NULL;
		assert_int_equal(b->answers, before + 2);
		assert_null(of(b)->s);
		end(b);
		begin_scripts(b);
	}
	run(b, "[{\"op\":\"delete\",\"params\":{\"type\":\"c\",\"matcher\":{}}}]", NULL, 0); /* some were done */
	const int before = b->answers;
	start_task(b, "[" RUN("hang") "]", NULL, 0);
	until_it_hangs(b);
	start_task(b, "[" RUN("bump") "]", NULL, 0);
	docdb_close(b->db);
	b->db = NULL;
	assert_int_equal(b->answers, before + 2);
	assert_int_equal(b->failure.error.code, ERROR_SERVER);
	docdb_script_end(of(b)->s, (struct bytes){"1", 1}, NULL); /* late is harmless */
	end(b);
}

/* Another process has the file for longer than one try takes. */
static void a_busy_file_is_tried_again(void **state)
{
	struct bed *b = *state;
	sqlite3 *other;
	begin_scripts(b);
	assert_int_equal(sqlite3_open(b->url + strlen("sqlite:"), &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "begin immediate", NULL, NULL, NULL), SQLITE_OK);
	start_task(b, "[" RUN("bump") "]", NULL, 0);
	for (uint64_t begun = uv_hrtime(); uv_hrtime() - begun < 450000000;)
		uv_run(runtime_loop(b->rt), UV_RUN_NOWAIT);
	assert_int_equal(b->answers, 0);
	assert_int_equal(of(b)->started, 0);
	sqlite3_exec(other, "rollback", NULL, NULL, NULL);
	sqlite3_close(other);
	until(b, 1);
	assert_int_equal(b->failures, 0);
	assert_int_equal(of(b)->started, 1);
	end(b);
}

/* One connection for all, on the loop: the same rules, and who reads waits as well. */
static void in_memory(void **state)
{
	struct bed *b = *state;
	snprintf(b->url, sizeof b->url, "memory:");
	begin_scripts(b);
	fails_with(b, "[" RUN("exists") "]", ERROR_EXISTS, "scripts/exists.lua:3");
	counts(b, "[0]");
	const int before = b->answers;
	start_task(b, "[" RUN("hang") "]", NULL, LATE_MS);
	until_it_hangs(b);
	struct docdb_script *late = of(b)->s;
	start_task(b, "[" COUNT "]", NULL, 0);
	start_task(b, "[" RUN("bump") "," COUNT "]", NULL, 0);
	until(b, before + 3);
	assert_string_equal(b->result, "[null,1]");
	docdb_script_end(late, (struct bytes){"1", 1}, NULL);
	start_task(b, "[" RUN("hang") "]", NULL, 0);
	until_it_hangs(b);
	docdb_close(b->db);
	b->db = NULL;
	assert_int_equal(b->answers, before + 4);
	end_script(of(b));
	end(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_scripts, teardown_scripts)
		TEST(a_script_is_part_of_its_list),
		TEST(results_of_a_list),
		TEST(all_or_nothing),
		TEST(a_failure_undoes_the_script),
		TEST(refused_before_anything),
		TEST(late_is_undone),
		TEST(late_is_undone_without_the_loop),
		TEST(once_with_a_mark),
		TEST(in_turns_with_others),
		TEST(nothing_stays_of_a_killed_one),
		TEST(nothing_comes_twice_after_a_kill),
		TEST(closing_ends_what_is_held),
		TEST(a_busy_file_is_tried_again),
		TEST(in_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
