/* SPDX-License-Identifier: MIT
 *
 * What the files of script/ share; nobody else includes it.
 *
 *   script   one a main lua_State, reached from any thread of it through the allocator's argument
 *   owner    what one context has used so far; lives as long as a block is charged to it
 *   call     one script.call that runs or is suspended
 */
#ifndef SRVTHREDS_SCRIPT_PRIVATE_H
#define SRVTHREDS_SCRIPT_PRIVATE_H

#include <lua.h>
#include <lauxlib.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/ran.h"
#include "runtime/runtime.h"
#include "script/pool.h"

#define MS              INT64_C(1000000) /* ns */
#define SLICE_NS        (2 * MS)
#define SOLID_NS        (15 * MS) /* the longest piece where Lua can't yield */
#define INSTRUCTION_NS  (4 * MS)  /* the longest instruction that makes the stack grow, after the slice */
#define CPU_MS          200
#define WALL_MS         2000
#define MEMORY_BYTES    (32 << 20)
#define STRING_MAX      ((size_t)1 << 20)  /* what our string functions build for a script */
#define TEXT_MAX        ((size_t)4 << 20)  /* what `..` builds: one instruction must not copy or hash more */
#define BLOCK_MAX       ((size_t)32 << 20) /* one part of a table: what makes it larger copies all of it at once */
#define VALUES_MAX      100000             /* values that one function returns to a script */
#define LOG_LINES_MAX   1000               /* in one step, which are written without a pause */
#define LOG_BYTES_MAX   (256u << 10)       /* of them together */
#define PCALL_DEPTH_MAX 190
#define CLOSE_DEPTH_MAX 100
#define C_STACK_MAX     ((size_t)512 << 10) /* bytes of it from which on no coroutine is closed inside another's closing */
#define DEPTH_MAX       10000 /* calls in each other; judged when the stack or what they hold grows large */

enum script_signal { SIGNAL_NONE, SIGNAL_PREEMPT, SIGNAL_KILL };
enum script_kill { KILL_NONE, KILL_CPU, KILL_WALL, KILL_MEMORY, KILL_STACK, KILL_WAIT, KILL_COUNT };

#define ACCOUNTS_MAX 4096 /* more pairs of pattern and reaction share the last */
#define VERSION_SIZE 72   /* of a pattern's version, with the NUL; a longer one is cut */

/* What the scripts of one reaction of one pattern have used since the start. Lives as long as the state. */
struct account {
	uint32_t id;  /* from 1 */
	char *names;  /* pattern NUL reaction NUL, owned */
	size_t split; /* where the reaction begins */
	uint64_t calls, bytes, killed[KILL_COUNT];
	size_t peak;
	int64_t cpu_ns, wall_ns;
};

/* The userdata of script.meter. */
struct meter {
	struct account *account; /* borrowed */
	int64_t cpu_max, wall_max;
	size_t cap;
	char version[VERSION_SIZE]; /* of the pattern, "" if it has none */
};

struct owner {
	uint32_t index;          /* in script->owners */
	uint32_t blocks;         /* alive; at 0 the owner is free again */
	size_t used, peak, cap;  /* bytes */
	uint64_t taken;          /* bytes, given back or not */
	int64_t cpu_ns, wall_ns; /* of all calls that ended or wait */
	struct account *account; /* what its calls are counted under now, or NULL */
	int64_t cpu_max, wall_max;
	const void *limits; /* address of the limits table they were read from; not dereferenced */
	char version[VERSION_SIZE];
	uint32_t log_lines, log_bytes;
	uint64_t random[4];
	bool seeded, pressed, large;
	int cycles; /* collections since it was over its cap */
};

struct call {
	struct script *script;
	struct call *prev;  /* the call in whose trusted function this one was made */
	lua_State *co;      /* the script's outermost coroutine; anchored in user value 1 */
	lua_State *from;    /* who called: its frame holds context, limits, call at 1, 2, 3 */
	lua_State *running; /* the innermost coroutine of the script */
	struct owner *owner;
	int nonyield;            /* callers in the chain of coroutines that can't yield */
	int trusted;             /* depth of trusted functions that run */
	int closing;             /* depth of coroutine.close */
	uintptr_t stack;         /* where the C stack was when the outermost call began */
	struct account *account; /* counted under, or NULL */
	int64_t cpu_before;      /* the owner's when the call began */
	uint64_t taken_before;
	int64_t started;           /* monotonic ns of the first slice */
	int64_t slice_start;       /* monotonic ns */
	volatile int64_t tick_cpu; /* CPU time of the thread at the slice's first tick, 0 = none yet */
	enum script_kill kill;
	char why[160];  /* what was exceeded and by how much */
	char file[200]; /* where, "" = not known */
	int line;
	char seen_file[200]; /* where it was interrupted last */
	int seen_line;       /* 0: nowhere yet */
};

struct script {
	lua_State *main;
	struct runtime *rt;             /* NULL: there are no tasks */
	struct owner *owner;            /* charged now */
	struct owner *root;             /* trusted code */
	struct owner **owners, **spare; /* by index; those free again */
	uint32_t owners_len, owners_cap, spare_len;
	struct account **accounts; /* by id - 1; owned */
	uint32_t accounts_len;
	int64_t cpu_max, wall_max; /* no call may have more, whatever its limits say */
	size_t cap_max, total_max; /* of one context; of all together, 0 = any */
	size_t total;
	struct block *newest; /* alive or not */
	struct pool pool;
	struct watchdog *watchdog;   /* owned; NULL: none */
	_Atomic uint64_t turn;       /* odd while a script runs that nothing has interrupted; the watchdog reads it */
	const char *_Atomic watched; /* names of that script's account, or NULL */
	struct ran *ran;             /* borrowed; told what runs, or NULL */
	const struct call *told;     /* what it says, and where, is of this call */
	const struct account *told_names;
	struct call *call;           /* running now, or NULL */
	lua_CFunction pack, unpack;  /* the stock ones */
	lua_State *volatile running; /* what the timer's signal may interrupt, or NULL */
	volatile sig_atomic_t due;   /* a tick passed: C functions look at this */
	volatile sig_atomic_t over;  /* the slice is over: the hook looks at this */
	volatile sig_atomic_t armed; /* the timer will fire */
	volatile int64_t unheard;    /* CPU time of the first tick since an instruction began, 0 = none */
	unsigned deaf;               /* ticks that came while one was unheard; the handler's */
	int64_t slice_ns;            /* SLICE_NS; tests make it shorter */
	uint64_t preempted;          /* how often a script was interrupted */
	enum script_signal signal;   /* why a coroutine of a script yielded */
	timer_t timer;
	bool has_timer;
	int pool_len;
	bool halted;       /* the collector is, until the next instruction: it would work off a large block at once */
	bool generational; /* what the collector is to be again when `sweep` is done */
	struct runtime_timer sweep;
	int cycles;                      /* collections of the sweep */
	unsigned hostile, until_hostile; /* debug builds: a full collection with each so many new objects; 0: none */
	unsigned until_stuck;            /* debug builds: the script that is interrupted then never ends; 0: none */
};

/* Before every block. A coroutine's says more about it. */
struct block {
	uint32_t owner;
	uint16_t depth; /* nested pcalls */
	uint16_t marks; /* of enum mark */
};
enum mark {
	MARK_OUTERMOST = 1, /* of a call */
	MARK_STACK = 4,     /* not a thread but the stack of one: belongs to whoever made it grow last */
	MARK_BUSY = 2,      /* in the chain of a call that runs or is suspended: nobody else may resume it */
};

static inline struct script *script_of(lua_State *L)
{
	void *s;
	lua_getallocf(L, &s);
	return s;
}

static inline struct block *thread_block(lua_State *L)
{
	return (struct block *)lua_getextraspace(L) - 1;
}

static inline int64_t clock_ns(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* memory.c */
void *script_alloc(void *script, void *p, size_t old_size, size_t new_size);
struct owner *script_owner_new(struct script *s);
bool script_crowded(const struct script *s, const struct owner *o);
/* Reads the faults of script/ in base/fault.h, which only debug builds have. */
void script_hostile(struct script *s);
void script_owners_init(struct script *s);
void script_owners_free(struct script *s);
/* grow.c: could this block be the nodes of a large table? Fewer keys are soon moved, even if all collide. */
#define NODE_SIZE  24
#define NODES_FROM 2048
static inline bool script_is_nodes(size_t size)
{
	size_t count = size / NODE_SIZE;
	return size >= NODES_FROM * NODE_SIZE && count * NODE_SIZE == size && (count & (count - 1)) == 0;
}
/* True: a table would take too long to move into a block of this size, and the script that runs was ended. */
bool script_collides(struct script *s, size_t size);
void script_grow_open(lua_State *L);
/* collide.c: ends the program if this Lua has other tables than nodes.h says. */
void script_check_nodes(lua_State *L);
/* lua_newthread, whose stack is charged to whoever makes it grow: some 5.4 releases move a stack to a new block, the
 * others make the old one larger. */
lua_State *script_new_thread(lua_State *L);
/* Switches who is charged; gives back the one before. */
static inline struct owner *script_charge(struct script *s, struct owner *owner)
{
	struct owner *before = s->owner;
	s->owner = owner;
	return before;
}

/* collect.c: all of it in steps, since a full collection would keep everybody waiting. Scripts that hold much want the
 * incremental collector; the generational one has no steps. */
#define SCRIPT_LARGE ((size_t)4 << 20) /* what a script may hold before the collector has to be incremental */
void script_halt(struct script *s);
void script_make_incremental(lua_State *L, struct script *s);
void script_resume_collector(lua_State *L, struct script *s);
/* One step; true if a cycle has ended. */
bool script_collect(lua_State *L, struct script *s);
/* A script held or left much: collects it bit by bit, outside of scripts. */
void script_sweep(struct script *s);

/* slice.c: the meter runs between enter and leave; both follow every resume of a call. */
void script_enter(struct script *s, struct call *call);
void script_leave(struct script *s, struct call *call);
/* Trusted code begins and ends inside a call. */
void script_trusted_begin(struct script *s, struct call *call);
void script_trusted_end(struct script *s, struct call *call, lua_State *L);
/* The innermost coroutine is now `L`. */
void script_running(struct script *s, struct call *call, lua_State *L);
void script_timer_free(struct script *s);
void script_arm(lua_State *L);
void script_kill(struct call *call, enum script_kill kill, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Ends a killed script: yields for good where that is possible, else raises what no pcall of ours catches. */
int script_die(lua_State *L);
/* What a C function that loops calls now and then; raises when the call is over its limits. */
void script_overdue(lua_State *L, struct script *s);
static inline void script_tick(lua_State *L, struct script *s)
{
	if (__builtin_expect(s->due, 0))
		script_overdue(L, s);
}
/* For a C function that can go on later: is the slice over? Then it returns script_pause at once. */
bool script_may_pause(lua_State *L, const struct script *s);
int script_pause(lua_State *L, lua_KContext ctx, lua_KFunction go_on);
/* For longer than INSTRUCTION_NS after a tick it has been in one instruction or C function. */
bool script_stuck(const struct script *s);
/* The metered call that runs, or NULL when trusted code does. */
static inline struct call *script_metered(const struct script *s)
{
	return s->call && !s->call->trusted ? s->call : NULL;
}
static inline bool script_killed(const struct script *s)
{
	return s->call && s->call->kill != KILL_NONE;
}

/* tell.c: what runs, for the process that comes after this one. */
void script_tell_names(struct script *s, const struct call *call);
/* Where the script of the running call is now. */
void script_tell_where(lua_State *L, struct script *s, struct call *call);
static inline void script_tell_begin(struct script *s, const struct call *call)
{
	if (!s->ran)
		return;
	if (s->told != call)
		script_tell_names(s, call);
	atomic_store_explicit(&s->ran->state, RAN_INSIDE, memory_order_release);
}
static inline void script_tell_end(struct script *s)
{
	if (s->ran)
		atomic_store_explicit(&s->ran->state, RAN_LEFT, memory_order_release);
}

/* failure.c: pushes on L the error table for a script that ended by an error or was killed. */
void script_failure(lua_State *L, struct call *call, int status);
/* Registry key: the set of chunk names that script.load was given. */
extern const char script_sources;
/* The innermost function of a script on the stack of `L`. */
void script_where(lua_State *L, char *file, size_t size, int *line);
/* For script.load: the error on top of the stack becomes an error table. */
void script_syntax_failure(lua_State *L, const char *chunkname);

/* context.c */
struct owner *script_owner_of(lua_State *L, struct script *s, int context);
void script_limits(lua_State *L, struct script *s, struct owner *owner, int limits);
/* Pushes the context's table; raises outside script calls. */
void script_push_context(lua_State *L, const char *who);
struct owner *script_context_owner(lua_State *L, const char *who);

/* meter.c */
void script_meters_init(struct script *s);
void script_meters_free(struct script *s);
void script_meters_open(lua_State *L);
int script_meter(lua_State *L);
int script_accounts(lua_State *L);
int script_maxima(lua_State *L);
/* The meter at `index`, or NULL. */
struct meter *script_meter_at(lua_State *L, int index);
/* Reads cpu, wall and memory of the table at `index`; nil: the defaults. */
void script_read_limits(lua_State *L, int index, struct meter *into);
/* A call begins and ends. */
void script_count_begin(struct call *call);
void script_count_end(struct call *call);
extern const char *const script_kill_names[KILL_COUNT];

/* call.c, trusted.c */
int script_call(lua_State *L);
int script_context(lua_State *L);
int script_used(lua_State *L);
int script_trusted(lua_State *L);

/* state.c: weak(mode[, metatable]) gives a weak table, as only trusted code can have one. */
int script_weak(lua_State *L);

/* watchdog.c */
#define WATCHDOG_EXIT 70 /* the code with which it ends the process */
int script_watch(lua_State *L);
void script_unwatch(struct script *s);
/* Has it begun to end the process? Then the loop thread, in its signal handler, says where it is and ends. */
bool script_bites(const struct script *s);
void script_bitten(struct script *s);

/* Each pushes a new table with its functions, unfrozen. */
void script_push_string(lua_State *L);
void script_push_table(lua_State *L);
void script_push_math(lua_State *L);
void script_push_utf8(lua_State *L);
void script_push_coroutine(lua_State *L);
void script_push_os(lua_State *L);
void script_push_cjson(lua_State *L, bool safe);
extern const luaL_Reg script_base_functions[], script_pcall_functions[], script_order_functions[];

/* environment.c */
int script_environment(lua_State *L);
int script_freeze(lua_State *L);
void script_environment_open(lua_State *L);
/* Pushes the function script.module. */
void script_push_modules(lua_State *L);
/* Is the value at `index` one of our read-only tables? Then pushes the table behind it. */
bool script_frozen_target(lua_State *L, int index);

/* order.c: `pairs` without its metamethod, of tables and docs. */
int script_raw_pairs(lua_State *L);

/* base.c: pushes the text of the value, which has no address in it. */
const char *script_tostring(lua_State *L, int index, size_t *len);

#endif
