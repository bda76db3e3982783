/* SPDX-License-Identifier: MIT
 *
 * The Lua module core.build: {version=, build=, compiler=, libraries={{name, version}, ...}}.
 */
#include <lauxlib.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <sqlite3.h>
#include <string.h>
#include <uv.h>
#include <openssl/crypto.h>
#include <libwebsockets.h>

#include "cli/lua_build.h"

#if defined(__SANITIZE_ADDRESS__)
#define BUILD "address sanitizer"
#elif defined(__SANITIZE_THREAD__)
#define BUILD "thread sanitizer"
#elif defined(SRVTHREDS_FAULTS)
#define BUILD "debug"
#else
#define BUILD "release"
#endif

#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

static void library(lua_State *L, const char *name, const char *version)
{
	int at = lua_gettop(L);
	lua_createtable(L, 2, 0);
	lua_pushstring(L, name);
	lua_rawseti(L, -2, 1);
	size_t len = strlen(version);
	lua_pushlstring(L, version, len && version[len - 1] == '-' ? len - 1 : len); /* libwebsockets: "4.1.6-" */
	lua_rawseti(L, -2, 2);
	lua_rawseti(L, at, (lua_Integer)lua_rawlen(L, at) + 1);
}

static void libraries(lua_State *L)
{
	char pcre2[64] = "";
	pcre2_config(PCRE2_CONFIG_VERSION, pcre2);
	lua_createtable(L, 6, 0);
	library(L, "Lua", LUA_VERSION_MAJOR "." LUA_VERSION_MINOR "." LUA_VERSION_RELEASE);
	library(L, "libuv", uv_version_string());
	library(L, "libwebsockets", lws_get_library_version());
	library(L, "SQLite", sqlite3_libversion());
	library(L, "OpenSSL", OpenSSL_version(OPENSSL_VERSION_STRING));
	library(L, "PCRE2", pcre2);
}

int luaopen_core_build(lua_State *L)
{
	lua_createtable(L, 0, 4);
	lua_pushliteral(L, SRVTHREDS_VERSION);
	lua_setfield(L, -2, "version");
	lua_pushliteral(L, BUILD);
	lua_setfield(L, -2, "build");
	lua_pushliteral(L, COMPILER);
	lua_setfield(L, -2, "compiler");
	libraries(L);
	lua_setfield(L, -2, "libraries");
	return 1;
}
