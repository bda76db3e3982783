/* SPDX-License-Identifier: MIT
 *
 * Small file functions for start and reload; they block. A failure gives nil and a message that names the path.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "runtime/lua_private.h"

static int failed(lua_State *L, const char *what, const char *path)
{
	lua_pushnil(L);
	lua_pushfstring(L, "can't %s %s: %s", what, path, strerror(errno));
	return 2;
}

static int l_read_file(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	FILE *f = fopen(path, "rbe");
	if (!f)
		return failed(L, "read", path);
	luaL_Buffer b;
	luaL_buffinit(L, &b);
	size_t n;
	do {
		n = fread(luaL_prepbuffsize(&b, LUAL_BUFFERSIZE), 1, LUAL_BUFFERSIZE, f);
		luaL_addsize(&b, n);
	} while (n == LUAL_BUFFERSIZE);
	int bad = ferror(f);
	fclose(f);
	if (bad)
		return failed(L, "read", path);
	luaL_pushresult(&b);
	return 1;
}

static int write_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(fd, bytes, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		bytes += n;
		len -= (size_t)n;
	}
	return fsync(fd);
}

/* A reader sees the old file or the new one, never a part: temporary file, fsync, rename. */
static int l_write_file(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	size_t len;
	const char *bytes = luaL_checklstring(L, 2, &len);
	mode_t mode = (mode_t)luaL_optinteger(L, 3, 0644);
	const char *part = lua_pushfstring(L, "%s.%d.tmp", path, (int)getpid());
	int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	if (fd < 0)
		return failed(L, "write", path);
	int bad = fchmod(fd, mode) || write_all(fd, bytes, len);
	bad = close(fd) || bad || rename(part, path);
	if (bad) {
		int kept = errno;
		unlink(part);
		errno = kept;
		return failed(L, "write", path);
	}
	lua_pushboolean(L, 1);
	return 1;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int l_list(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	struct dirent **names;
	lua_newtable(L);
	int n = scandir(path, &names, NULL, by_name);
	if (n < 0)
		return failed(L, "list", path);
	lua_Integer k = 0;
	for (int i = 0; i < n; i++) {
		if (strcmp(names[i]->d_name, ".") != 0 && strcmp(names[i]->d_name, "..") != 0) {
			lua_pushstring(L, names[i]->d_name);
			lua_rawseti(L, -2, ++k);
		}
		free(names[i]);
	}
	free(names);
	return 1;
}

static int l_stat(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	struct stat st;
	if (stat(path, &st))
		return failed(L, "look at", path);
	lua_createtable(L, 0, 4);
	lua_pushstring(L, S_ISDIR(st.st_mode) ? "directory" : S_ISREG(st.st_mode) ? "file" : "other");
	lua_setfield(L, -2, "type");
	lua_pushinteger(L, (lua_Integer)st.st_size);
	lua_setfield(L, -2, "size");
	lua_pushinteger(L, (lua_Integer)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
	lua_setfield(L, -2, "mtime_ns");
	lua_pushinteger(L, (lua_Integer)(st.st_mode & 07777));
	lua_setfield(L, -2, "mode");
	return 1;
}

static int l_mkdirs(lua_State *L)
{
	size_t len;
	const char *path = luaL_checklstring(L, 1, &len);
	char *copy = lua_newuserdatauv(L, len + 1, 0);
	memcpy(copy, path, len + 1);
	for (char *p = copy + 1; len; p++) {
		if (*p != '/' && *p != '\0')
			continue;
		char kept = *p;
		*p = '\0';
		if (mkdir(copy, 0755) && errno != EEXIST)
			return failed(L, "make the folder", path);
		*p = kept;
		if (!kept)
			break;
	}
	lua_pushboolean(L, 1);
	return 1;
}

static int l_real_path(lua_State *L)
{
	const char *path = luaL_checkstring(L, 1);
	char *real = realpath(path, NULL);
	if (!real)
		return failed(L, "find", path);
	lua_pushstring(L, real);
	free(real);
	return 1;
}

static int l_pid(lua_State *L)
{
	lua_pushinteger(L, (lua_Integer)getpid());
	return 1;
}

static int l_isatty(lua_State *L)
{
	lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
	return 1;
}

void runtime_lua_files(lua_State *L)
{
	static const luaL_Reg functions[] = {{"read_file", l_read_file},
					     {"write_file", l_write_file},
					     {"list", l_list},
					     {"stat", l_stat},
					     {"mkdirs", l_mkdirs},
					     {"real_path", l_real_path},
					     {"pid", l_pid},
					     {"isatty", l_isatty},
					     {NULL, NULL}};
	luaL_setfuncs(L, functions, 0);
}
