/*
 * What came from a neighbour and cannot be read is kept in spool/corrupt, with the reason, for a person to look at.
 */
#ifndef RELAY_DAMAGED_H
#define RELAY_DAMAGED_H

#include "relay/relay.h"

/* So much of it is kept: enough to see what it was. */
#define DAMAGED_KEEP ((uint64_t)4 << 20)

/* Moves the file PATH of D, which is open as FD for writing, to corrupt/, called NAME and eight digits of its content: the same
 * damage again is kept once. */
enum outcome damaged_keep(struct relay *r, const struct dir *d, const char *path, int fd, const char *name,
    const char *why, struct error *err);

#endif
