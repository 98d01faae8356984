/*
 * Making records, many together. A file costs the file system far more to make than a second name for it, so records of
 * one hop that are made together share a file: their texts one behind the other, and a hard link for each. Whoever reads
 * one takes the part that is called as the file was (entry_parse_named); whoever changes one replaces its own name.
 *
 *	records_init(&r, q, &sync, lost, context);
 *	records_add(&r, "smtp", &entry, whose, &err);	  as often as wanted; nothing is in the hop yet, or some of it
 *	records_finish(&r);				  all of it is, but for what `lost` was told of
 *	sync_wait(&sync, &err);				  and on the disk
 *	records_release(&r);
 *
 * The caller sees to it that nobody touches the records before the last is there: they name a parent that exists.
 */
#ifndef QUEUE_RECORDS_H
#define QUEUE_RECORDS_H

#include "queue/queue.h"

/* Octets of one file of several records: one read brings all of it. A larger record has a file of its own. */
#define RECORDS_OCTETS ((size_t)8000)
#define RECORDS_FILE   32 /* records in one file */
#define RECORDS_HOPS   16 /* hops open at once; one more, and the first that was opened is closed */

/* The record of WHOSE could not be made. */
typedef void records_lost(void *context, void *whose, const struct error *err);

struct records_hop {
	char hop[LIMIT_HOST_NAME + 16];
	struct dir dir;
	struct buf texts;
	struct records_item {
		char name[ENTRY_NAME];
		void *whose;
		size_t at; /* where its text begins */
	} items[RECORDS_FILE];
	size_t count;
};

struct records {
	const struct queue *queue;
	struct sync_set *sync; /* gets the files, and the directories of the hops */
	records_lost *lost;
	void *context;
	struct records_hop *hops[RECORDS_HOPS]; /* null: not used */
	size_t oldest;
};

/* Q and SYNC are borrowed. */
void records_init(struct records *r, const struct queue *q, struct sync_set *sync, records_lost *lost, void *context);
/* A failure is of this record or its hop; what becomes of it later, `lost` hears. WHOSE is for that. */
enum outcome records_add(struct records *r, const char *hop, const struct entry *e, void *whose, struct error *err);
void records_finish(struct records *r);
/* What is not finished is forgotten. */
void records_release(struct records *r);

#endif
