/*
 * Small binary state files that prove their own completeness: six letters and two octets of version, a body
 *of lib/wire.h fields, and BLAKE2b-256 over all of it at the end.
 *
 *	buf_init(&b, LIMIT_SMALL_FILE);
 *	statefile_begin(&b, "pbpeer");
 *	wire_varint(&b, ...);
 *	statefile_end(&b);
 *	statefile_commit(&b, tmp, dir, "peer", err);
 */
#ifndef SPOOL_STATEFILE_H
#define SPOOL_STATEFILE_H

#include "lib/file.h"
#include "lib/wire.h"

#define STATEFILE_DIGEST 32

/* MAGIC is six letters; the version is 0 1 for all of them. */
void statefile_begin(struct buf *b, const char *magic);
void statefile_end(struct buf *b);
/* Sets BODY to what stands between the version and the digest; false when magic, version or digest do not
 * hold. */
bool statefile_check(struct view bytes, const char *magic, struct reader *body);

/* Opens the directory STATE/NAME of neighbour NAME; a name that is no host name is EX_DATAERR, a missing one
 * EX_NOINPUT. */
enum outcome statefile_dir(struct dir *d, const struct dir *state, const char *name, struct error *err);
/* The same, making it when it is missing. */
enum outcome statefile_dir_make(struct dir *d, const struct dir *state, const char *name, struct error *err);
/* file_commit of what was built in B; B above its maximum is EX_DATAERR. */
enum outcome statefile_commit(
    const struct buf *b, const struct dir *tmp, const struct dir *d, const char *file, struct error *err);

#endif
