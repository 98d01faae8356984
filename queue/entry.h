/*
 * The attempt record: some recipients of one message that wait for the same hop, how often they were tried and when
 * they are due again. It is the only mutable thing in the queue, replaced as a whole. Its file is named
 * "ID+K", K being the smallest recipient index in it: records of one message never share a recipient, so
 * they never share a name, whatever directories they move through. Records made together share a file that has all of
 * their names (queue/records.h), until they are replaced one by one.
 *
 * Text, one field a line, the last line a digest: `cat` is a fair tool on it. See queue/INTERNALS.md.
 */
#ifndef QUEUE_ENTRY_H
#define QUEUE_ENTRY_H

#include "lib/error.h"
#include "queue/envelope.h"

#define ENTRY_NAME  (LIMIT_ID + 12)
#define STATUS_TEXT 12 /* "5.1.1" and its NUL: RFC 3463, three numbers of at most three digits */

/* How it ended for a recipient. */
enum entry_end {
	ENTRY_WAITS,	 /* it has not */
	ENTRY_DELIVERED, /* laid in the mailbox */
	ENTRY_FAILED,	 /* reported, or not to be reported */
	ENTRY_FORWARDED, /* the neighbour has it */
	ENTRY_RELAYED,	 /* a mail server outside has it */
	ENTRY_EXPANDED,	 /* made into a message of its own for the targets of an alias */
	ENTRY_REMOVED,	 /* by the operator */
	ENTRY_REISSUED,	 /* goes on as a message of another id, for the same recipients */
};

struct entry_recipient {
	uint32_t index;
	char *address;	    /* where it goes from here: differs from the envelope's after an alias or a bang path */
	bool fresh;	    /* this end is not yet told to anybody; kept until the record's moves are made */
	enum entry_end end; /* recipients that have ended stay in the record, so that it keeps its name */
	char status[STATUS_TEXT]; /* last result, "" before the first */
	char *reason;		  /* the sentence to it, null before the first */
};

/* A staged file that must move to its place before the record may end: see queue/settle.h. */
struct entry_move {
	char *staged; /* name in spool/stage */
	char *target; /* path below the spool */
};

struct entry {
	struct id id;
	enum message_class class;
	uint64_t size;	      /* of the content */
	int64_t arrived;      /* wall clock, for people */
	uint64_t arrived_age; /* the same by the spool's age clock (queue/age.h): expiry and warnings count from it */
	char *sender;
	char *neighbour; /* where it came from, null: handed in here */
	uint32_t attempts;
	uint64_t due_age;   /* not before this; 0: at once */
	int64_t last_tried; /* wall clock, 0: never */
	bool warned;	    /* the sender has had a delay warning */
	bool ended;	    /* nothing waits any more; what is left is moves and cleaning up */
	char *parent;	    /* name in queue/new that this one was made from: not to be touched while that exists */

	struct entry_recipient *recipients; /* ascending index */
	size_t recipient_count;
	size_t recipient_capacity;
	struct entry_move *moves;
	size_t move_count;
	size_t move_capacity;
};

void entry_init(struct entry *e);
void entry_release(struct entry *e);
/* Strings are copied; recipients must be added in ascending order of index. */
struct entry_recipient *entry_add_recipient(struct entry *e, uint32_t index, const char *address);
void entry_recipient_result(struct entry_recipient *r, const char *status, const char *reason);
const char *entry_end_name(enum entry_end end); /* "waits", "delivered", … */
/* Does any recipient still wait? */
bool entry_waits(const struct entry *e);
void entry_add_move(struct entry *e, const char *staged, const char *target);

/* "ID+K". The entry must have a recipient. */
void entry_name(const struct entry *e, char out[static ENTRY_NAME]);
/* Splits a name into id and smallest index. */
bool entry_name_parse(const char *name, struct id *id, uint32_t *first);

void entry_write(const struct entry *e, struct buf *out);
/* Sets E whole from the text of a record; EX_DATAERR with the reason when it is not one. */
enum outcome entry_parse(struct entry *e, struct view text, struct error *err);
/*
 * The same from the text of a file called NAME ("ID+K", or that with "~"), which may hold several records, one behind the
 * other: the one of that name. What is damaged in the others is nothing to it. EX_DATAERR when it is not there, or damaged.
 */
enum outcome entry_parse_named(struct entry *e, struct view file, const char *name, struct error *err);

#endif
