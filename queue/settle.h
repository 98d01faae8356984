/*
 * Settling: the one way in which waiting recipients come to an end, or to another try, exactly once whatever crash
 * comes between. A processor of a hop decides what became of each recipient; files that this makes (a mail for a
 * Maildir, a report, an expanded message) are staged first; then the record is replaced by one that says so and
 * lists the moves: that is the commit; then the staged files are moved to their places, and the record is removed or
 * put off. A record found with moves in it is finished before anything else: a staged file that is still there has
 * not been moved, one that is gone has.
 *
 *	settle_init(&s, q, config, age, "local", &hooks, &reports_left);       the hop is locked by the caller
 *	for each NAME in the hop:
 *		if (settle_open(&s, name, &item, &err) == done && item != NULL)
 *			settle_recipient(item, i, ENTRY_DELIVERED, "2.1.5", NULL) ...
 *			settle_close(&s, item, &err);
 *	settle_run(&s, &err);           every SETTLE_GROUP items, and at the end
 *	settle_release(&s);
 */
#ifndef QUEUE_SETTLE_H
#define QUEUE_SETTLE_H

#include "queue/config.h"
#include "queue/hop.h"

/* Items that share their waits for the disk. */
#define SETTLE_GROUP 128
/* Items that may be open and closed together where results must be kept. */
#define SETTLE_ITEMS (2 * SETTLE_GROUP)
/* And no more recipients than this together, for the memory. */
#define SETTLE_RECIPIENTS 20000

/* What became of one recipient, for whoever must hear of it. */
struct settle_end {
	const char *neighbour;	    /* that brought the message; null: it was handed in here */
	uint32_t batch_incarnation; /* and by which recipient of which batch of its */
	uint64_t batch_sequence;
	uint32_t ordinal;
	enum entry_end end;
	uint8_t status[3];     /* 5.1.1 */
	const char *sender;    /* of the message */
	const char *recipient; /* where it was going when it ended */
};

/*
 * Whoever must hear of ends. `ended` is told when a recipient has ended and that is durable; after a group of these,
 * `flush` makes what was told durable before the records go. Both may come again after a crash.
 */
struct settle_hooks {
	void (*ended)(void *context, const struct settle_end *end);
	enum outcome (*flush)(void *context, struct error *err);
	void *context;
};

struct settle_report {
	struct id id;
	const char *action;
};

struct settle_item {
	char name[ENTRY_NAME]; /* of the record */
	struct entry entry;
	struct message message;
	bool changed;
	bool hold;	 /* goes to the operator instead of an end */
	bool put_off;	 /* is due again later: some recipient still waits */
	bool parted;	 /* its end was committed by renaming its record: see hop_is_ended */
	bool stuck;	 /* its record is committed, but a move or the removal failed */
	bool passed_on;	 /* set by the processor: the server that took it reports success itself (RFC 3461 5.2.2) */
	bool warning;	 /* the delay warning is due */
	bool unreported; /* a report that is due could not be made yet */
	bool told;	 /* its ends have been told; a flush that failed tells them again */
	uint64_t expire; /* seconds; set by the processor from the route, 0: never */
	uint64_t warn;
	unsigned staged;		 /* files staged so far */
	unsigned reported;		 /* bits: the actions for which all is made */
	struct settle_report reports[8]; /* one for each kind of action at most */
	size_t report_count;
};

struct settle {
	struct queue *queue;
	const struct config *config;
	const struct age *age;
	const char *hop;
	struct dir dir;
	const struct dir *home; /* where records go on that are put off; null: from where they are */
	struct sync_set sync;
	struct settle_item *items[SETTLE_ITEMS];
	size_t count;
	size_t recipients; /* in them together */
	const struct settle_hooks *hooks;
	bool stay;		/* records that are put off stay where they are, instead of in a bucket */
	bool outside;		/* see below */
	bool again;		/* the last settle_run failed, and its items are still here */
	uint64_t *reports_left; /* reports this pass may still make; a record that needs one waits when it is 0 */
	struct error trouble;	/* the last failure that concerned one item only */
	/* Takes over the descriptor of a message that has gone: closing it frees its blocks, which may take long. Null: closed here. */
	void (*let_go)(void *context, int fd);
	void *let_go_context;
};

/*
 * Verdicts of what happened outside this host (`outside` is set after settle_init) hold whatever comes: the cap on reports
 * drops no item, settle_close keeps one whose report cannot be made now, and a settle_run that fails keeps all of them,
 * to be called again. The caller has no more than SETTLE_ITEMS items open and closed together, and calls settle_run itself.
 *
 * HOP may also name a directory within a hop ("neighbour-city/batch-7"). HOOKS may be null. */
enum outcome settle_init(struct settle *s, struct queue *q, const struct config *config, const struct age *age,
    const char *hop, const struct settle_hooks *hooks, uint64_t *reports_left, struct error *err);
/*
 * Opens a record and its message. *ITEM is null when there is nothing to decide: it was finished after a crash, its
 * making is not finished, or it was damaged and set aside.
 */
enum outcome settle_open(struct settle *s, const char *name, struct settle_item **item, struct error *err);
/* The same for a record E that the caller has read where nobody else touches it, and whose making is finished; E is emptied. */
enum outcome settle_take(
    struct settle *s, const char *name, struct entry *e, struct settle_item **item, struct error *err);
/* A file in stage/ that is to move to TARGET (a path below the spool) when the record commits. FD is taken over. */
enum outcome settle_stage(struct settle *s, struct settle_item *item, const struct dir *from, const char *name,
    int fd, const char *target, struct error *err);
/* The verdict on recipient PLACE. ENTRY_WAITS: not now, for this reason. */
void settle_recipient(
    struct settle_item *item, size_t place, enum entry_end end, const char *status, const char *reason);
/* Applies expiry and warning, makes the reports that are due, and gives the item to the next settle_run. */
enum outcome settle_close(struct settle *s, struct settle_item *item, struct error *err);
/* Drops an item without a change. */
void settle_drop(struct settle_item *item);
enum outcome settle_run(struct settle *s, struct error *err);
void settle_release(struct settle *s);

/* The age at which a record should be looked at again for its warning or expiry; UINT64_MAX when neither applies. */
uint64_t settle_look(const struct entry *e, uint64_t expire, uint64_t warn);

#endif
