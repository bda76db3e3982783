/* SPDX-License-Identifier: MIT */
#include "script/library.h"
#include "script/private.h"
void script_push_string(lua_State *L)
{
	static const char *const n[]={"byte","char","find","format","gmatch","gsub","len","lower","match","pack","packsize","rep","reverse","sub","unpack","upper",NULL};
	lua_newtable(L); script_copy_stock(L,"string",n);
}
void script_push_table(lua_State *L)
{
	static const char *const n[]={"concat","insert","move","pack","remove","sort","unpack",NULL};
	lua_newtable(L); script_copy_stock(L,"table",n);
}
void script_push_utf8(lua_State *L)
{
	static const char *const n[]={"char","charpattern","codepoint","codes","len","offset",NULL};
	lua_newtable(L); script_copy_stock(L,"utf8",n);
}
