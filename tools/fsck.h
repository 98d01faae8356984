/*
 * The parts of `packetboat fsck`; nobody else includes this.
 *
 *	command_fsck.c  takes the locks, calls the others, tells
 *	fsck_arrivals.c what waits in arrival logs
 *	fsck_queue.c    records, messages, what was handed over, what is staged
 *	fsck_spool.c    batches, what is kept about neighbours, what arrives
 *
 * What the next relay pass puts right by itself is a note; what it does not is a finding.
 */
#ifndef TOOLS_FSCK_H
#define TOOLS_FSCK_H

#include "queue/hop.h"
#include "tools/command.h"

/* A record as it was found, or a message that is not routed yet. */
struct fsck_record {
	char *name;	   /* "ID+K" */
	const char *where; /* directory below the spool */
	uint64_t size;
	bool waits;	   /* its recipients count: it is no half-made child, and has not ended */
	uint32_t *indices; /* of the recipients that wait */
	size_t count;
};

struct fsck {
	struct tool *tool;
	struct queue *queue;
	bool repair;
	bool incomplete; /* something was busy: what seems to lack its other half may have it there */
	size_t findings;
	struct names locked; /* names of locks held, sorted */
	struct names moving; /* records that a program is delivering: they may lie anywhere, and end; sorted */
	struct lock *locks;
	size_t lock_count;
	size_t lock_capacity;
	struct names places; /* for fsck_record.where */
	struct names claims; /* ids of messages in queue/new, sorted when all are found */
	struct fsck_record *records;
	size_t record_count;
	size_t record_capacity;
};

void fsck_finding(struct fsck *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
void fsck_note(struct fsck *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Says how far a long walk is, on a terminal. */
void fsck_progress(const char *what, size_t done, size_t all);
/* Is the record NAME, or what is staged for it, in the hands of a program that delivers it? */
bool fsck_moves(const struct fsck *f, const char *name);
/* Do we hold the lock of HOP? */
bool fsck_holds(const struct fsck *f, const char *hop);

enum outcome fsck_arrivals(struct fsck *f, struct error *err);
enum outcome fsck_queue(struct fsck *f, struct error *err);
enum outcome fsck_spool(struct fsck *f, struct error *err);

/* Indices that are in more than one of RECORDS (of one message) and wait: the first such, or false. */
bool fsck_doubled(const struct fsck_record *records, size_t count, uint32_t *index);

#endif
