/* SPDX-License-Identifier: MIT */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* vsnprintf may cut inside a character: take the broken tail away. */
static void cut_at_character(char *text)
{
	size_t at;
	if (!utf8_valid(text, strlen(text), &at))
		text[at] = '\0';
}

int error_set(struct error *e, int code, const char *format, ...)
{
	if (!e)
		return -1;
	va_list args;
	va_start(args, format);
	vsnprintf(e->message, sizeof e->message, format, args);
	va_end(args);
	cut_at_character(e->message);
	e->code = code;
	e->cause[0] = '\0';
	return -1;
}

int error_wrap(struct error *e, int code, const char *format, ...)
{
	if (!e)
		return -1;
	memcpy(e->cause, e->message, sizeof e->cause);
	va_list args;
	va_start(args, format);
	vsnprintf(e->message, sizeof e->message, format, args);
	va_end(args);
	cut_at_character(e->message);
	e->code = code;
	return -1;
}
