/* SPDX-License-Identifier: MIT */
#include "store/sqlite_faults.h"

#ifdef SRVTHREDS_FAULTS

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Methods of the default VFS's files with another sync: one set for databases, one for logs. */
struct fault_methods {
	sqlite3_io_methods methods; /* first: a file points to it */
	int (*real_sync)(sqlite3_file *file, int flags);
	struct fault_vfs *owner;
};

/* Registered once a process, kept until its end. */
struct fault_vfs {
	sqlite3_vfs vfs;
	sqlite3_vfs *real;
	struct fault_methods sets[2];
	pthread_mutex_t mutex;
	atomic_int syncs;
};

static int fail_sync(sqlite3_file *file, int flags)
{
	struct fault_methods *set = (struct fault_methods *)file->pMethods;
	int wanted = fault_number("SRVTHREDS_FAULT_FSYNC");
	if (wanted > 0 && atomic_fetch_add(&set->owner->syncs, 1) + 1 >= wanted)
		return SQLITE_IOERR_FSYNC;
	return set->real_sync(file, flags);
}

static int open_file(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
	struct fault_vfs *f = (struct fault_vfs *)vfs;
	int rc = f->real->xOpen(f->real, name, file, flags, out);
	if (rc != SQLITE_OK || !file->pMethods || !(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)))
		return rc;
	struct fault_methods *set = &f->sets[(flags & SQLITE_OPEN_WAL) != 0];
	pthread_mutex_lock(&f->mutex);
	if (!set->real_sync) {
		set->methods = *file->pMethods;
		set->real_sync = set->methods.xSync;
		set->methods.xSync = fail_sync;
		set->owner = f;
	}
	pthread_mutex_unlock(&f->mutex);
	file->pMethods = &set->methods;
	return rc;
}

const char *sqlite_faults_vfs(void)
{
	const char *name = "srvthreds-faults";
	if (sqlite3_vfs_find(name))
		return name;
	struct fault_vfs *f = calloc(1, sizeof *f);
	if (!f)
		return NULL;
	f->real = sqlite3_vfs_find(NULL);
	f->vfs = *f->real;
	f->vfs.zName = name;
	f->vfs.xOpen = open_file;
	pthread_mutex_init(&f->mutex, NULL);
	sqlite3_vfs_register(&f->vfs, 0);
	return name;
}

#else

/* ISO C wants a declaration in every file. */
typedef int sqlite_faults_are_off;

#endif
