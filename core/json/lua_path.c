/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "json/lua_part.h"

/* All of it or "..." and nothing more, so that no character is cut. */
static void append(struct json_path *path, const char *text, size_t len)
{
	if (path->full)
		return;
	if (path->len + len + 4 > sizeof path->text) {
		path->full = true;
		text = "...";
		len = 3;
	}
	memcpy(path->text + path->len, text, len);
	path->len += len;
	path->text[path->len] = '\0';
}

void json_path_begin(struct json_path *path)
{
	path->len = 0;
	path->full = false;
	append(path, "$", 1);
}

static bool is_name(const char *key, size_t len)
{
	bool name = len > 0 && !(key[0] >= '0' && key[0] <= '9');
	for (size_t i = 0; name && i < len; i++)
		name = key[i] == '_' || (key[i] >= '0' && key[i] <= '9') ||
		       ((key[i] | 32) >= 'a' && (key[i] | 32) <= 'z');
	return name;
}

void json_path_key(struct json_path *path, const char *key, size_t len)
{
	char shown[80];
	size_t n = 0;
	bool name = is_name(key, len), cut = len > 60;
	bool clean = utf8_valid(key, len, NULL);
	len = cut ? 60 : len;
	while (clean && cut && len > 0 && (key[len] & 0xC0) == 0x80)
		len--;
	n += (size_t)snprintf(shown, sizeof shown, name ? "." : "[\"");
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)key[i];
		shown[n++] = c < 0x20 || (c >= 0x80 && !clean) ? '?' : key[i];
	}
	n += (size_t)snprintf(shown + n, sizeof shown - n, "%s%s", cut ? "..." : "", name ? "" : "\"]");
	append(path, shown, n);
}

void json_path_index(struct json_path *path, lua_Integer i)
{
	char shown[32];
	append(path, shown, (size_t)snprintf(shown, sizeof shown, "[%lld]", (long long)i));
}
