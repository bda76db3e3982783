/* SPDX-License-Identifier: MIT */
#include "store/sqlite_faults.h"

#ifdef SRVTHREDS_FAULTS

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <string.h>

/* Files of the default VFS, whose methods are replaced by a copy with another sync: one copy for databases, one for logs. */
static sqlite3_vfs *real, shim;
static sqlite3_io_methods copies[2];
static int (*real_sync)(sqlite3_file *file, int flags);
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static atomic_int syncs;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int fail_sync(sqlite3_file *file, int flags)
{
	int wanted = fault_number("SRVTHREDS_FAULT_FSYNC");
	if (wanted > 0 && atomic_fetch_add(&syncs, 1) + 1 >= wanted)
		return SQLITE_IOERR_FSYNC;
	return real_sync(file, flags);
}

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
	(void)vfs;
	int rc = real->xOpen(real, name, file, flags, out);
	if (rc != SQLITE_OK || !file->pMethods || !(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)))
		return rc;
	sqlite3_io_methods *copy = &copies[(flags & SQLITE_OPEN_WAL) != 0];
	pthread_mutex_lock(&mutex);
	if (!copy->xSync) {
		*copy = *file->pMethods;
		real_sync = copy->xSync;
		copy->xSync = fail_sync;
	}
	pthread_mutex_unlock(&mutex);
	file->pMethods = copy;
	return rc;
}

static void make(void)
{
	real = sqlite3_vfs_find(NULL);
	shim = *real;
	shim.zName = "srvthreds-faults";
	shim.xOpen = open_file;
	sqlite3_vfs_register(&shim, 0);
}

const char *sqlite_faults_vfs(void)
{
	pthread_once(&once, make);
	return shim.zName;
}

#else

/* ISO C wants a declaration in every file. */
typedef int sqlite_faults_are_off;

#endif
