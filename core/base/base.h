/* SPDX-License-Identifier: MIT
 *
 * base: what every folder uses. No threads, no I/O, no Lua.
 *   struct error  an error with its code, message and cause; travels C -> Lua -> C unchanged
 *   struct buf    growing bytes, owned by its creator
 *   durations     "250ms" "30s" "5m" "2h" "7d" or a number of milliseconds
 */
#ifndef SRVTHREDS_BASE_H
#define SRVTHREDS_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The codes of the model; 0 is no error. */
#define ERROR_MESSAGE_SIZE 480

struct error {
	int code;                         /* one of enum error_code, 0 = none */
	char message[ERROR_MESSAGE_SIZE]; /* what was attempted, on what, what to do; UTF-8, cut at a character */
	char cause[ERROR_MESSAGE_SIZE];   /* the message below, "" if none; never a stack trace */
};

#define CODES(X)                                                                                                       \
	X(ERROR_SERVER, 5000, "server error")                                                                          \
	X(ERROR_TASK, 5200, "task failed")                                                                             \
	X(ERROR_NOT_FOUND, 5201, "not found")                                                                          \
	X(ERROR_EXISTS, 5202, "exists already")                                                                        \
	X(ERROR_NO_THRED, 5203, "no such thred")                                                                       \
	X(ERROR_CLIENT, 4000, "bad request")                                                                           \
	X(ERROR_UNAUTHORIZED, 4101, "unauthorized")                                                                    \
	X(ERROR_LOGIN, 4102, "bad login")                                                                              \
	X(ERROR_ARGUMENT, 4200, "invalid argument")                                                                    \
	X(ERROR_MISSING, 4202, "missing argument")

enum error_code {
#define X(name, code, text) name = code,
	CODES(X)
#undef X
};

/* Fills `e` (may be NULL) and returns -1, so that a caller can `return error_set(...)`. */
int error_set(struct error *e, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Like error_set, and keeps the message that `e` held as the cause. */
int error_wrap(struct error *e, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

struct buf {
	char *data; /* owned; NUL-terminated behind len when not NULL */
	size_t len, cap;
};

/* All return 0, or -1 when memory is exhausted (the buffer is unchanged then). */
int buf_grow(struct buf *b, size_t more); /* buf_reserve's own */
static inline int buf_reserve(struct buf *b, size_t more)
{
	return b->cap - b->len > more ? 0 : buf_grow(b, more);
}
int buf_add(struct buf *b, const void *bytes, size_t len);
int buf_add_str(struct buf *b, const char *text);
int buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_clear(struct buf *b); /* keeps the memory */
void buf_free(struct buf *b);  /* gives the memory back; the buffer may be used again */

/* malloc that never returns NULL: prints and aborts. For small things whose failure nobody could handle. */
void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);

/* "5m" -> 300000. Units ms, s, m, h, d; without a unit: ms. Returns 0, or -1 with `e` set. */
int duration_parse(const char *text, int64_t *ms, struct error *e);

/* Valid UTF-8 (no surrogates, no overlong forms)? On failure *at is the first bad byte's offset. */
bool utf8_valid(const char *bytes, size_t len, size_t *at);

#endif
