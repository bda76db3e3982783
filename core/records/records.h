/* SPDX-License-Identifier: MIT
 *
 * records: the system's own collections: the store's rows as documents of the database RECORDS_DATABASE, to be read by
 * tasks like any others. The fields and keys stand in fields.c, and for people in docs/documents.md. Loop thread only.
 *
 *   struct docdb_options options = {.view = records_view(store)};
 *   records_options(&options);
 *   struct docdb *db = docdb_open(rt, &options, &e);   docdb_run(db, …); docdb_close(db);
 *
 * The store may be closed first: what is asked then fails. A backend that keeps these collections itself, under the same
 * names, needs nothing of this.
 */
#ifndef SRVTHREDS_RECORDS_H
#define SRVTHREDS_RECORDS_H

#include "docdb/docdb.h"
#include "docdb/view.h"
#include "store/store.h"

#define RECORDS_DATABASE "system"

struct docdb_view *records_view(struct store *store); /* holds the store; goes with the docdb that is opened with it */
void records_options(struct docdb_options *options);  /* sets hosts and databases */
const struct view_collection *records_collection(int place); /* by enum scan_table */

#endif
