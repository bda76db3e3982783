/* SPDX-License-Identifier: MIT
 *
 * websocket_log: libwebsockets' own lines in our log, as module `websocket`: notices as debug, warnings and errors as they
 * are; at most WEBSOCKET_LOG_LINES a second, and how many more there were. Any thread.
 *
 * The library has one log function for the process and gives it no argument, so where the lines go is of the process too.
 * Of several logs the first has all lines, until who brought it leaves; with none they go to stderr.
 */
#ifndef SRVTHREDS_NET_WEBSOCKET_LOG_H
#define SRVTHREDS_NET_WEBSOCKET_LOG_H

#include <stdbool.h>

struct log;

enum { WEBSOCKET_LOG_LINES = 10 };

/* `log` is borrowed until websocket_log_leave; NULL is nobody. True: it counts, and must be given back. */
bool websocket_log_join(struct log *log);
void websocket_log_leave(void);
/* What the library calls (its levels). It makes lines in one buffer, so those of several threads may come mixed. */
void websocket_log_line(int level, const char *line);

#endif
