/* SPDX-License-Identifier: MIT */
#include "script/library.h"

void script_push_stock(lua_State *L, const char *library, const char *name)
{
	lua_getglobal(L, library);
	lua_getfield(L, -1, name);
	lua_remove(L, -2);
}

void script_copy_stock(lua_State *L, const char *library, const char *const names[])
{
	for (; *names; names++) {
		script_push_stock(L, library, *names);
		lua_setfield(L, -2, *names);
	}
}
