/* SPDX-License-Identifier: MIT
 *
 * The suite against each document database: memory:, a file, and the one of SRVTHREDS_DOCDB_URL if that is set.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "conformance/docdb_conformance.h"
#include "conformance/docdb_differential.h"

enum { CASES = 1100, ROUNDS = 400 };

static int check(const char *url)
{
	int count = 0, failed = docdb_conformance(url, "tests/conformance/docdb", &count);
	printf("%s %d cases, %d failed\n", url, count, failed);
	return failed || count < CASES;
}

static int check_file(void)
{
	static const char *const names[] = {"d.db", "d.db-wal", "d.db-shm"};
	char folder[] = "/tmp/srvthreds-docdb-XXXXXX", path[96];
	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof path, "sqlite:%s/d.db", folder);
	int bad = check(path);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", folder, names[i]);
		unlink(path);
	}
	return (rmdir(folder) != 0) | bad;
}

/* Thousands of random tasks: with indexes and without, and on the other database if there is one. */
static int differ(const char *url)
{
	const char *seed = getenv("SRVTHREDS_SEED");
	uint64_t from = seed ? strtoull(seed, NULL, 10) : 1;
	int different = docdb_differential("memory:", url ? url : "memory:", !url, from, ROUNDS);
	printf("%s %d rounds, %d differences\n", url ? url : "memory: with indexes", ROUNDS, different);
	return different;
}

int main(void)
{
	const char *url = getenv("SRVTHREDS_DOCDB_URL");
	int bad = check("memory:") | check_file() | differ(NULL);
	return url ? bad | check(url) | differ(url) : bad;
}
