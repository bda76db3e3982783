/* SPDX-License-Identifier: MIT
 *
 * zones: the first and the last `at` of each stride of event rows, noted as scans pass, so that a scan by time skips what
 * can't be meant. Row numbers run on and `at` never changes, so what was noted of a full stride stays true; rows that are
 * deleted leave it wider than it need be. Any thread.
 */
#ifndef SRVTHREDS_ZONES_H
#define SRVTHREDS_ZONES_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

enum { ZONE_ROWS = 4096 }; /* zone i: row numbers above i * ZONE_ROWS, up to (i + 1) * ZONE_ROWS */

struct zone {
	int64_t first, last; /* first > last: no rows */
	bool known;
};
struct zones {
	uv_mutex_t mutex;
	struct zone *list; /* owned */
	int64_t count;
};

void zones_create(struct zones *z);
void zones_destroy(struct zones *z);
struct zone zones_get(struct zones *z, int64_t i); /* known or not */
void zones_set(struct zones *z, int64_t i, struct zone zone);

#endif
