/* SPDX-License-Identifier: MIT
 *
 * ran: what a script was doing, in memory that the process shares with a file, so that it can be read after the process
 * was killed. script/ writes it, store/ keeps it. The loop thread only, and whoever ends the process. What a file holds
 * may be anything: ran_text.
 */
#ifndef SRVTHREDS_RAN_H
#define SRVTHREDS_RAN_H

#include "base/base.h"

enum ran_state {
	RAN_NOTHING, /* no script since the delivery began or went on */
	RAN_INSIDE,  /* in a script */
	RAN_LEFT,    /* behind it */
};

struct ran {
	_Atomic uint32_t state; /* the rest counts unless it is RAN_NOTHING; set behind the rest */
	uint32_t line;          /* of `file`, where it was seen last; 0 = not known */
	char pattern[104], reaction[104], version[72], file[200];
	char why[200]; /* why the process ended, if it ended itself; else "" */
};

#define RAN_SET(ran, field, text) ran_set((ran)->field, sizeof(ran)->field, text)
void ran_set(char *field, size_t size, const char *text); /* cut at a character */
/* Is there a text, whole and in UTF-8? */
bool ran_text(const char *field, size_t size);

#endif
