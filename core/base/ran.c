/* SPDX-License-Identifier: MIT */
#include "base/ran.h"

#include <string.h>

void ran_set(char *field, size_t size, const char *text)
{
	size_t len = strnlen(text, size);
	if (len == size)
		for (len--; len > 0 && (text[len] & 0xC0) == 0x80; len--)
			;
	memcpy(field, text, len);
	field[len] = '\0';
}

bool ran_text(const char *field, size_t size)
{
	size_t len = strnlen(field, size);
	return len > 0 && len < size && utf8_valid(field, len, NULL);
}
