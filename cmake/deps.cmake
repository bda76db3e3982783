# SPDX-License-Identifier: MIT
# What we link, all from the distribution's packages.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(LUA REQUIRED IMPORTED_TARGET lua5.4)
# Up to 5.4.3 Lua crashes when a script that recursed is reset; 5.4.5 has functions of other shapes and was withdrawn.
find_file(LUA_HEADER lua.h HINTS ${LUA_INCLUDE_DIRS} NO_DEFAULT_PATH REQUIRED)
file(STRINGS ${LUA_HEADER} LUA_RELEASE REGEX "define LUA_VERSION_RELEASE[ \t]")
string(REGEX MATCH "[0-9]+" LUA_RELEASE "${LUA_RELEASE}")
if(LUA_RELEASE LESS 4 OR LUA_RELEASE EQUAL 5)
  message(FATAL_ERROR "Lua 5.4.${LUA_RELEASE} (${LUA_HEADER}) can't hold scripts to their limits: "
    "SrvThreds needs Lua 5.4.4, 5.4.6 or a later 5.4; install liblua5.4-dev of Debian 12, Ubuntu 22.04 or newer.")
endif()
# In the program itself where there is the archive: a call into a shared library goes by a table, a step makes many.
find_library(LUA_ARCHIVE NAMES liblua5.4.a)
add_library(srvthreds_lua INTERFACE)
target_include_directories(srvthreds_lua SYSTEM INTERFACE ${LUA_INCLUDE_DIRS})
if(LUA_ARCHIVE AND NOT SRVTHREDS_SANITIZE)
  target_link_libraries(srvthreds_lua INTERFACE ${LUA_ARCHIVE} m ${CMAKE_DL_LIBS})
else()
  target_link_libraries(srvthreds_lua INTERFACE PkgConfig::LUA)
endif()
pkg_check_modules(UV REQUIRED IMPORTED_TARGET libuv>=1.43)
pkg_check_modules(WEBSOCKETS REQUIRED IMPORTED_TARGET libwebsockets)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3>=3.37)
pkg_check_modules(OPENSSL REQUIRED IMPORTED_TARGET libcrypto libssl)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
# libmongoc 2 takes no connections of ours for clients of a pool (it says so in its log only), and without them nothing
# would end a wait for a server that hangs.
pkg_check_modules(MONGOC REQUIRED IMPORTED_TARGET libmongoc-1.0>=1.21)
if(NOT MONGOC_VERSION VERSION_LESS 2)
  message(FATAL_ERROR "libmongoc ${MONGOC_VERSION} doesn't let connections have deadlines (core/docdb/mongo_wire.c): "
    "SrvThreds needs a libmongoc 1, from 1.21 on; install libmongoc-dev of Debian 12 or 13, Ubuntu 22.04 or 24.04.")
endif()
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(JEMALLOC REQUIRED IMPORTED_TARGET jemalloc)
find_library(HTTP_PARSER_LIBRARY http_parser REQUIRED)
find_path(UTHASH_INCLUDE_DIR uthash.h REQUIRED)

add_library(srvthreds_deps INTERFACE)
target_include_directories(srvthreds_deps SYSTEM INTERFACE ${UTHASH_INCLUDE_DIR})
target_link_libraries(srvthreds_deps INTERFACE srvthreds_lua PkgConfig::UV PkgConfig::WEBSOCKETS PkgConfig::SQLITE
  PkgConfig::OPENSSL PkgConfig::PCRE2 PkgConfig::XXHASH PkgConfig::MONGOC ${HTTP_PARSER_LIBRARY} Threads::Threads m rt)
# The loop and the writer allocate at the same time: glibc's arenas cost a lock or an mprotect every other step.
# Sanitizers bring an allocator of their own.
if(NOT SRVTHREDS_SANITIZE)
  target_link_libraries(srvthreds_deps INTERFACE PkgConfig::JEMALLOC)
endif()
