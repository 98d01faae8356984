/*
 * What is known of an outside POP3 box that packetboat-fetch empties: which of its messages were taken into the queue, of
 * which somebody was told that they are too large, since when the box cannot be reached. queue/INTERNALS.md draws the states:
 *
 *	state/fetch/NAME        a line for each message, with a check of its own; appended to, and at times written anew
 *	state/fetch/NAME.held/  messages on their way from the box to queue/new, called by their ids
 *
 * A message is taken exactly once, whatever dies when: it lies in the held directory, whole and synced, before its line is
 * written; the line is the commit; only then it moves to queue/new. Held files with a line are moved on by whoever opens the
 * box next, those without are thrown away: their mail is still at the server. Many messages share the waits.
 *
 *	fetched_open(&f, &queue, "provider", age, &busy, &err);  takes the lock of the box; BUSY: another process has it
 *	fetched_index(&f);  item = fetched_find(&f, uid); ...
 *	handover_begin_small(...);  sink_write ...
 *	fetched_lay(&f, &handover, &envelope, &item, &err);    as often as wanted
 *	fetched_commit(&f, &err);                              all of them are accepted; now they may be deleted at the server
 *	item->gone = true;  fetched_keep(&f, &err);           what is no longer at the server need not be known any more
 *	fetched_close(&f);
 */
#ifndef QUEUE_FETCHED_H
#define QUEUE_FETCHED_H

#include "queue/queue.h"

/* RFC 1939 7: a UID has 1 to 70 octets. Some servers take more; the line of the answer has 512. */
#define FETCHED_UID_MAX 500
#define FETCHED_DIGEST	16
/* The size in a notice of what is not taken whatever its size. */
#define FETCHED_ANY_SIZE UINT64_MAX

/* Is it a UID (RFC 1939 7: octets from 33 to 126), of at most FETCHED_UID_MAX? */
bool fetched_uid_valid(struct view uid);

enum fetched_kind {
	FETCHED_MAIL,	/* is in the queue */
	FETCHED_NOTICE, /* stays at the server; a message that tells so is in the queue */
};

struct fetched_item {
	enum fetched_kind kind;
	char *uid;			/* null: the server gave none, or none that can be believed */
	uint64_t octets;		/* as the server counts; of a notice the size that was too much */
	uint8_t digest[FETCHED_DIGEST]; /* of the text, of a notice of the header; zero: not known */
	struct id id;			/* in the queue */
	uint64_t age;			/* by the age clock, when it was taken */
	bool deleted; /* of mail: the server says that it has deleted it. Known until it is not listed any more */
	bool gone;    /* need not be known any more: left out when the state is written anew */
	bool present; /* for the caller: was met in this session */
};

struct fetched {
	struct queue *queue; /* borrowed */
	const char *name;    /* borrowed */
	uint64_t age;
	struct lock lock;
	struct dir dir;
	struct dir held;
	int fd;	       /* the state, for appending; -1: not open */
	uint64_t size; /* of what is good in it */
	bool torn;     /* behind that stands what is no line */
	bool broken;   /* a write failed: nothing more is written */
	bool fresh;    /* its name is not yet known to be on the disk */
	struct fetched_item *items;
	size_t count;
	size_t capacity;
	size_t committed;	    /* items before this one have their line */
	struct envelope *envelopes; /* of the others, for the log */
	size_t envelope_capacity;
	struct fetched_item **by_uid; /* of those that had one at the last fetched_index */
	size_t by_uid_count;
	size_t lines;	       /* in the file, those that say nothing any more included */
	bool changed;	       /* set by the caller who changed an item: fetched_keep writes anew */
	struct sync_set sync;  /* held files not yet synced */
	uint64_t failures;     /* in a row; 0: the last time it went well */
	int64_t failing_since; /* wall clock, for people */
	char *failure;	       /* the last reason; null: none */
};

/*
 * Opens the state of box NAME (a host name), finishes what a crash left, and holds the box's lock until fetched_close. *BUSY
 * when it fails because another process works on the box. Damage in the midst of the file costs the lines concerned: the
 * file as it was goes to corrupt/ and the log tells. AGE is that of now.
 */
enum outcome fetched_open(
    struct fetched *f, struct queue *q, const char *name, uint64_t age, bool *busy, struct error *err);
/* Safe on a failed open. What was laid and not committed is thrown away. */
void fetched_close(struct fetched *f);

/* Sorts the items by UID for fetched_find. Pointers into `items` are good until the next fetched_lay. */
void fetched_index(struct fetched *f);
/* The item of UID at the last fetched_index; null: none. The newest, should there be several. */
struct fetched_item *fetched_find(const struct fetched *f, const char *uid);

/*
 * Ends the message of H with envelope E, which gets its id, and lays it among the held; ITEM says what it is (its strings are copied; id
 * and age are set here). Nothing is durable before fetched_commit. E is taken over, and empty afterwards; H is to be aborted, as always.
 */
enum outcome fetched_lay(
    struct fetched *f, struct handover *h, struct envelope *e, const struct fetched_item *item, struct error *err);
/* Messages laid and not committed. */
size_t fetched_waiting(const struct fetched *f);
/*
 * Makes all that was laid durable and moves it to queue/new. After a failure nothing more can be laid or committed: the box is to
 * be closed, and what became of the messages is seen when it is opened again.
 */
enum outcome fetched_commit(struct fetched *f, struct error *err);
/* Writes the state anew without items that are gone, when there are any, or when the file has grown by lines that say nothing, or
 * an item was changed. */
enum outcome fetched_keep(struct fetched *f, struct error *err);

/* Notes that it failed once more, for REASON, or that it went well. Not waited for: a crash may take it back. */
void fetched_failed(struct fetched *f, const char *reason);
void fetched_well(struct fetched *f);

/* What the state of box NAME says, for people; takes no lock. EX_NOINPUT: nothing is known of it. */
struct fetched_summary {
	size_t mail;	/* taken, and still at the server as far as is known; not what it says it has deleted */
	size_t notices; /* too large, and left there */
	size_t damaged; /* lines that cannot be read, but for the last that a crash may have cut short */
	size_t held;	/* files on their way to queue/new, or worth nothing: the next run sees to them */
	uint64_t failures;
	int64_t failing_since;
	char *failure;
};
enum outcome fetched_look(
    const struct dir *state, const char *name, struct fetched_summary *summary, struct error *err);
void fetched_summary_release(struct fetched_summary *summary);
/* The names of all boxes that have a state. */
enum outcome fetched_names(const struct dir *state, struct names *names, struct error *err);

#endif
