/* SPDX-License-Identifier: MIT
 *
 * What runs is told to memory that outlives a kill: names when another call runs, the place whenever it is interrupted.
 */
#include <string.h>

#include "script/private.h"
#include "script/script.h"

void script_tell(lua_State *L, struct ran *ran, const struct ran *before)
{
	struct script *s = script_of(L);
	if (lua_getallocf(L, NULL) != script_alloc || (before && s->ran != before))
		return;
	s->ran = ran;
	s->told = NULL;
	s->told_names = NULL;
}

/* Names change seldom: most scripts in a row are of one reaction. */
static void tell_names(struct script *s, const struct call *call)
{
	struct ran *ran = s->ran;
	const struct account *account = call->account;
	if (account == s->told_names && memcmp(ran->version, call->owner->version, VERSION_SIZE) == 0)
		return;
	s->told_names = account;
	RAN_SET(ran, pattern, account ? account->names : "");
	RAN_SET(ran, reaction, account ? account->names + account->split : "");
	memcpy(ran->version, call->owner->version, VERSION_SIZE);
}

void script_tell_names(struct script *s, const struct call *call)
{
	atomic_store_explicit(&s->ran->state, RAN_NOTHING, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	s->told = call;
	tell_names(s, call);
	s->ran->line = (uint32_t)call->seen_line;
	if (call->seen_line)
		RAN_SET(s->ran, file, call->seen_file);
}

void script_tell_where(lua_State *L, struct script *s, struct call *call)
{
	if (!s->ran)
		return;
	script_where(L, call->seen_file, sizeof call->seen_file, &call->seen_line);
	s->ran->line = 0;
	atomic_signal_fence(memory_order_seq_cst);
	RAN_SET(s->ran, file, call->seen_file);
	s->ran->line = (uint32_t)call->seen_line;
}
