/*
 * What has come of the batches of one neighbour by calls: spool/in/NAME/INCARNATION.SEQUENCE.part. A part only grows, and
 * proves nothing: a batch proves itself when it is whole.
 */
#ifndef RELAY_PARTS_H
#define RELAY_PARTS_H

#include "relay/relay.h"
#include "relay/session.h"

struct part {
	uint64_t sequence;
	uint64_t size; /* octets there */
	int fd;
	char name[BATCH_FILE + 8];
};

struct parts {
	const struct dir *d;  /* borrowed */
	uint32_t incarnation; /* of the neighbour's that is heard now; 0: not known yet */
	struct part items[SESSION_PARTS];
	size_t count;
};

/* Opens what is kept in D, of the newest incarnation that INCARNATION (0: none known) does not contradict; the rest goes. */
enum outcome parts_open(struct parts *p, const struct dir *d, uint32_t incarnation, struct error *err);
/* The neighbour speaks as INCARNATION: parts of another are of no use. */
void parts_settle(struct parts *p, uint32_t incarnation);
/* Batches that came whole by another way, a stick, or of which a crash left the part though they were taken in, are among
 * RECEIVED, of the incarnation that is kept: their parts go. */
void parts_drop(struct parts *p, const struct ranges *received);
void parts_close(struct parts *p); /* what is there is synced: it need not come again after a power cut either */
struct part *parts_find(struct parts *p, uint64_t sequence);
/* The part of SEQUENCE, cut to SIZE octets; made when it is not there. Null with an error when it cannot be. */
struct part *parts_begin(struct parts *p, uint64_t sequence, uint64_t size, struct error *err);
enum outcome part_append(struct part *part, struct view bytes, struct error *err);
enum outcome part_cut(struct part *part, uint64_t size, struct error *err);
enum outcome part_hash(const struct part *part, uint8_t hash[static SESSION_HASH], struct error *err);
/* It was taken over under its name, or is not wanted: it is forgotten; WIPE removes the file as well. */
void parts_forget(struct parts *p, struct part *part, bool wipe);
/* A hash of the first SIZE octets of a file. */
enum outcome file_hash(int fd, uint64_t size, const char *name, uint8_t hash[static SESSION_HASH], struct error *err);

#endif
