/* SPDX-License-Identifier: MIT
 *
 * Seeded random documents and tasks: two document databases must give the same answers.
 */
#ifndef SRVTHREDS_DOCDB_DIFFERENTIAL_H
#define SRVTHREDS_DOCDB_DIFFERENTIAL_H

#include <stdint.h>

/* Each round: some documents, then tasks of all kinds. `index`: the second one has indexes. Prints what differs with its
 * seed; the number of differences. */
int docdb_differential(const char *url, const char *other, int index, uint64_t seed, int rounds);

#endif
