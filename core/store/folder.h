/* SPDX-License-Identifier: MIT
 *
 * folder: the data folder's lock: one process at a time. DATA/lock names its pid.
 */
#ifndef SRVTHREDS_FOLDER_H
#define SRVTHREDS_FOLDER_H

#include "base/base.h"

/* Waits up to 5 s for another process to go. The descriptor (close it to unlock), or -1. */
int folder_lock(const char *path, struct error *e);

#endif
