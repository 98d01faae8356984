/*
 * The directories of one hop below queue/: the records that are ready, the buckets of those that are not due, the
 * batches they were packed into.
 *
 * A bucket "due-N" holds what is due when the age passes N * 1024 s, so a pass looks at names of buckets instead of at
 * what waits. A bucket further ahead than HOP_HORIZON cannot have been meant (the age file was lost) and counts as due.
 */
#ifndef QUEUE_HOP_H
#define QUEUE_HOP_H

#include "queue/queue.h"

#define HOP_BUCKET  1024
#define HOP_HORIZON (2 * LIMIT_RETRY)

/* Opens queue/HOP, making it when missing. */
enum outcome hop_open(const struct queue *q, const char *hop, struct dir *d, struct error *err);
/* Opens what WITHIN says below it ("" is the hop itself), making it when missing. */
enum outcome hop_open_within(
    const struct queue *q, const char *hop, const char *within, struct dir *d, struct error *err);
/* Names of all hops, and of the directories within one hop. */
enum outcome hop_list(const struct queue *q, struct names *hops, struct error *err);
enum outcome hop_parts(const struct dir *hop, struct names *parts, struct error *err);
/* Is NAME a record or message, rather than a directory or a marker within a hop? */
bool hop_is_record(const char *name);
/*
 * "ID+K~" in a work slot: a record that ended with nothing to be moved, reported or told to a neighbour. The renaming is its
 * commit; what is left is to remove its content, and then itself: hop_end.
 */
bool hop_is_ended(const char *name);
void hop_ended_name(const char *name, char out[static ENTRY_NAME + 1]);
enum outcome hop_end(const struct queue *q, const struct dir *d, const char *ended, struct error *err);
/*
 * "…~" in queue/new is a claim: its routing was begun, by a dispatch that is at it or by one that could not finish it. It waits
 * like any other: hop_shows is true of what lies in HOP and waits, claims too. hop_claims gives their names. What a dispatch
 * made so far is not wholly made, and does not count, as long as its claim is one of them (null CLAIMS: as long as it stands).
 */
bool hop_is_claim(const char *hop, const char *name);
bool hop_shows(const char *hop, const char *name);
enum outcome hop_claims(const struct queue *q, struct names *claims, struct error *err);
bool hop_half_made(const struct queue *q, const struct names *claims, const struct entry *e);
/* Is NAME that of a directory within a hop: a bucket, a batch, a work slot? */
bool hop_is_part(const char *name);

/* Takes the lock of a hop, waiting; or only if it is free: *HELD as of lock_try. */
enum outcome hop_lock(const struct queue *q, const char *hop, struct lock *lock, struct error *err);
enum outcome hop_lock_try(const struct queue *q, const char *hop, struct lock *lock, bool *held, struct error *err);

/* The name of the bucket for what is due at age DUE. */
void hop_bucket(uint64_t due, char out[static 32]);
/* Moves what has become due from its buckets into the hop itself. The hop is locked by the caller. */
enum outcome hop_wake(const struct dir *hop, uint64_t age, struct error *err);
/* Moves the record NAME from FROM, the hop itself or a directory in it, into the hop's bucket for DUE. */
enum outcome hop_defer(
    const struct dir *from, const struct dir *hop, const char *name, uint64_t due, struct error *err);

/* Lets go of what queue_find keeps. */
void queue_forget_places(struct queue *q);
/* Reads the record NAME, which may lie in a file with others; a damaged one is EX_DATAERR. */
enum outcome hop_read(const struct dir *d, const char *name, struct entry *e, struct error *err);
/*
 * The same for one record after the other: a file that several share is read once, as long as they come in a row. It stays
 * open for that, so that no other can be taken for it.
 *
 *	struct hop_reader r = HOP_READER_NONE;
 *	hop_reader_read(&r, &dir, name, &entry, &err); ...
 *	hop_reader_close(&r);
 */
struct hop_reader {
	int fd; /* -1: nothing was read, or what was read is large and not kept */
	struct buf text;
};
#define HOP_READER_NONE ((struct hop_reader){.fd = -1})
enum outcome hop_reader_read(
    struct hop_reader *r, const struct dir *d, const char *name, struct entry *e, struct error *err);
void hop_reader_close(struct hop_reader *r);
/* Moves an unreadable file to corrupt/ with a .why file, and logs it. */
enum outcome queue_set_aside(
    struct queue *q, const struct dir *d, const char *name, const char *why, struct error *err);

#endif
