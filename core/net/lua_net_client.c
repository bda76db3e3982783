/* SPDX-License-Identifier: MIT */
#include "net/lua_net.h"

void net_lua_client(lua_State *L)
{
	(void)L;
}
