/* SPDX-License-Identifier: MIT
 *
 * faults of the disk, for debug builds: a VFS over the default one whose n-th sync fails (SRVTHREDS_FAULT_FSYNC=n).
 */
#ifndef SRVTHREDS_SQLITE_FAULTS_H
#define SRVTHREDS_SQLITE_FAULTS_H

#include "base/fault.h"

#ifdef SRVTHREDS_FAULTS
/* The name for sqlite3_open_v2; NULL: the default. Once a process. */
const char *sqlite_faults_vfs(void);
#else
#define sqlite_faults_vfs() NULL
#endif

#endif
