/* SPDX-License-Identifier: MIT
 *
 * The Lua module core.terminal: lines of stdin without blocking the loop.
 *   read_line() -> line without its end, or nil at the end of the input; waits. One reader at a time.
 *   columns()   -> width of the terminal that stdout is, or nil
 *
 * What stdin is bound to is opened again where that is possible, so that "does not block" stays ours: a terminal's stdin
 * and stdout are one open file, and the shell's besides.
 */
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "base/lua_error.h"
#include "cli/lua_terminal.h"
#include "runtime/task.h"

#define LINE_MAX_BYTES (16u << 20)

struct terminal {
	uv_poll_t poll; /* data = this; used if `polled` */
	struct buf in;
	size_t looked; /* bytes of `in` known to have no line end */
	int fd;
	bool opened, polled, over, waiting;
	struct task_wait wait;
};

#define TERMINAL "core.terminal"

static void closed(uv_handle_t *handle)
{
	struct terminal *t = handle->data;
	close(t->fd);
	buf_free(&t->in);
	free(t);
}

static int terminal_gc(lua_State *L)
{
	struct terminal **slot = luaL_checkudata(L, 1, TERMINAL), *t = *slot;
	*slot = NULL;
	if (!t)
		return 0;
	if (t->polled) { /* freed by `closed`, so that read_cancelled may still come */
		uv_close((uv_handle_t *)&t->poll, closed);
		return 0;
	}
	buf_free(&t->in);
	free(t);
	return 0;
}

/* Pushes the next line, or nil at the end; 0 when neither is there yet. */
static int take_line(lua_State *L, struct terminal *t)
{
	char *end = t->in.len > t->looked ? memchr(t->in.data + t->looked, '\n', t->in.len - t->looked) : NULL;
	t->looked = t->in.len;
	if (!end && !t->over)
		return 0;
	if (!end && !t->in.len) {
		lua_pushnil(L);
		return 1;
	}
	size_t len = end ? (size_t)(end - t->in.data) : t->in.len;
	size_t used = end ? len + 1 : len;
	lua_pushlstring(L, t->in.data, len && t->in.data[len - 1] == '\r' ? len - 1 : len);
	t->in.len -= used;
	memmove(t->in.data, t->in.data + used, t->in.len);
	t->looked = 0;
	return 1;
}

static bool has_line(const struct terminal *t)
{
	return t->over || (t->in.len > t->looked && memchr(t->in.data + t->looked, '\n', t->in.len - t->looked));
}

static int push_line(lua_State *L, void *arg)
{
	return take_line(L, arg);
}

/* Reads what is there; a line without an end that grows past all reason ends the input. */
static void fill(struct terminal *t)
{
	if (t->in.len > LINE_MAX_BYTES || buf_reserve(&t->in, 65536)) {
		t->over = true;
		return;
	}
	ssize_t n = read(t->fd, t->in.data + t->in.len, 65536);
	if (n > 0)
		t->in.len += (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		t->over = true;
}

static void readable(uv_poll_t *handle, int status, int events)
{
	struct terminal *t = handle->data;
	(void)events;
	if (status < 0)
		t->over = true;
	else
		fill(t);
	if (!has_line(t))
		return;
	uv_poll_stop(&t->poll);
	t->waiting = false;
	task_wake(t->wait, push_line, t);
}

static void read_cancelled(void *arg)
{
	struct terminal *t = arg;
	if (!uv_is_closing((uv_handle_t *)&t->poll))
		uv_poll_stop(&t->poll);
	t->waiting = false;
	task_drop(t->wait);
}

/* Regular files and /dev/null can't be polled and never block. */
static bool can_wait(const struct stat *st)
{
	return S_ISFIFO(st->st_mode) || S_ISSOCK(st->st_mode) || (S_ISCHR(st->st_mode) && isatty(STDIN_FILENO));
}

static int terminal_open(struct terminal *t, uv_loop_t *loop)
{
	struct stat st;
	t->opened = true;
	t->fd = STDIN_FILENO;
	if (fstat(STDIN_FILENO, &st)) {
		t->over = true;
		return 0;
	}
	if (!can_wait(&st))
		return 0;
	t->fd = open("/proc/self/fd/0", O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (t->fd < 0)
		t->fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	if (t->fd < 0)
		return -errno;
	int rc = uv_poll_init(loop, &t->poll, t->fd);
	if (rc) {
		close(t->fd);
		return rc;
	}
	t->poll.data = t;
	t->polled = true;
	return 0;
}

static int l_read_line(lua_State *L)
{
	struct terminal **slot = lua_touserdata(L, lua_upvalueindex(1)), *t = *slot;
	struct runtime *rt = task_runtime(L);
	if (!t->opened) {
		int rc = terminal_open(t, runtime_loop(rt));
		if (rc)
			return lua_error_raisef(L, ERROR_SERVER, "can't read stdin: %s", uv_strerror(rc));
	}
	while (!t->polled && !has_line(t))
		fill(t);
	if (take_line(L, t))
		return 1;
	task_check(L);
	if (t->waiting)
		return lua_error_raisef(L, ERROR_SERVER, "another task reads stdin already");
	t->waiting = true;
	t->wait = task_prepare(L, read_cancelled, t);
	uv_poll_start(&t->poll, UV_READABLE | UV_DISCONNECT, readable);
	return task_suspend(L);
}

static int l_columns(lua_State *L)
{
	struct winsize size;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_col)
		lua_pushnil(L);
	else
		lua_pushinteger(L, size.ws_col);
	return 1;
}

int luaopen_core_terminal(lua_State *L)
{
	lua_createtable(L, 0, 2);
	struct terminal **slot = lua_newuserdatauv(L, sizeof *slot, 0);
	*slot = NULL;
	if (luaL_newmetatable(L, TERMINAL)) {
		lua_pushcfunction(L, terminal_gc);
		lua_setfield(L, -2, "__gc");
	}
	lua_setmetatable(L, -2);
	*slot = xcalloc(1, sizeof **slot);
	lua_pushcclosure(L, l_read_line, 1);
	lua_setfield(L, -2, "read_line");
	lua_pushcfunction(L, l_columns);
	lua_setfield(L, -2, "columns");
	return 1;
}
