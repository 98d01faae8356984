/*
 * Which deliveries this host has taken in before: (message id, recipient index), for ever, in a few bytes each.
 * Kept in segments of SEEN_SEGMENT sequences, spool/state/seen/HOST.INCARNATION.SEGMENT, so that taking in a
 * batch reads and writes only what it touches. Callers hold the lock "seen" from the first look to seen_commit.
 */
#ifndef QUEUE_SEEN_H
#define QUEUE_SEEN_H

#include "lib/file.h"
#include "lib/id.h"

#define SEEN_SEGMENT 65536

struct seen_segment;
struct seen {
	struct dir dir;
	struct seen_segment **segments; /* loaded so far */
	size_t count;
	size_t capacity;
};

/* Opens (and makes) state/seen. */
enum outcome seen_open(struct seen *s, const struct dir *state, struct error *err);
void seen_close(struct seen *s);
/* *KNOWN: was this delivery added before? A damaged segment is EX_DATAERR, once: it is moved to
 * NAME.damaged, and the next look begins anew. */
enum outcome seen_known(struct seen *s, const struct id *id, uint32_t index, bool *known, struct error *err);
enum outcome seen_add(struct seen *s, const struct id *id, uint32_t index, struct error *err);
/* Writes the changed segments, durable when it returns done. */
enum outcome seen_commit(struct seen *s, const struct dir *tmp, struct error *err);

#endif
