/*
 * A scratch directory for one test, removed with everything in it at the end.
 *
 *	struct dir d = scratch_open();  ...  scratch_close(&d);
 */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

#include <criterion/criterion.h>
#include <ftw.h>

#include "lib/alloc.h"
#include "lib/file.h"

static inline struct dir scratch_open(void)
{
	const char *base = getenv("TMPDIR");
	char *path = mem_format("%s/packetboat-unit-XXXXXX", base != NULL ? base : "/tmp");
	struct dir d;
	struct error err = ERROR_NONE;

	cr_assert_not_null(mkdtemp(path));
	cr_assert_eq(dir_open(&d, NULL, path, &err), OUTCOME_DONE, "%s", err.text);
	free(path);
	return d;
}

static inline int scratch_remove(const char *path, const struct stat *st, int kind, struct FTW *walk)
{
	(void)st;
	(void)kind;
	(void)walk;
	return remove(path);
}

static inline void scratch_close(struct dir *d)
{
	nftw(d->path, scratch_remove, 16, FTW_DEPTH | FTW_PHYS);
	dir_close(d);
}

#endif
