/* SPDX-License-Identifier: MIT
 *
 * The name that somebody who wrote another one may have meant.
 */
#include <string.h>

#include "script/nearest.h"

#define NAME_MAX_LEN 40

static int min3(int a, int b, int c)
{
	int m = a < b ? a : b;
	return m < c ? m : c;
}

/* Insertions, deletions, replacements and exchanges of neighbours between two short names. */
static int distance(const char *a, size_t m, const char *b, size_t n)
{
	int rows[3][NAME_MAX_LEN + 1], *above2 = rows[0], *above = rows[1], *row = rows[2];
	for (size_t j = 0; j <= n; j++)
		above[j] = (int)j;
	for (size_t i = 1; i <= m; i++) {
		row[0] = (int)i;
		for (size_t j = 1; j <= n; j++) {
			row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    above2[j - 2] + 1 < row[j])
				row[j] = above2[j - 2] + 1;
		}
		int *t = above2;
		above2 = above;
		above = row;
		row = t;
	}
	return above[n];
}

void nearest_try(struct nearest *best, const char *wanted, const char *name)
{
	size_t m = strlen(wanted), n = strlen(name);
	if (m > NAME_MAX_LEN || n > NAME_MAX_LEN || m == 0)
		return;
	int limit = m < 4 ? 1 : m < 8 ? 2 : 3;
	int d = distance(wanted, m, name, n);
	if (d > limit ||
	    (best->name[0] && (d > best->distance || (d == best->distance && strcmp(name, best->name) > 0))))
		return;
	best->distance = d;
	memcpy(best->name, name, n + 1);
}
