/*
 * Work slots: how a program that delivers to live servers takes records out of a hop ("smtp", "lmtp") one by one and keeps
 * them for the minutes that a server may need, while relay passes and operator commands go on beside it. What it has
 * taken lies in a directory of its own below the hop, work-N, whose lock "HOP-work-N" it holds as long as it lives.
 * The hop's lock is held for single renames only. What lies in a slot whose lock is free was left by a crash: it is
 * moved back to the hop, ready.
 *
 *	work_open(&w, &process, "smtp", &err);
 *	loop:
 *		work_ready(&w, 500, &names, &err);               what is ready, in portions
 *		work_look(&w, name, &destination, &err);         where it goes, before taking it
 *		work_claim(&w, name, &err);                      it is ours
 *		work_item(&w, name, &item, &err);                opened; null when nothing is to be delivered
 *		... deliver ...
 *		process_limits(&process, item);
 *		settle_recipient(item, i, ENTRY_RELAYED, "2.0.0", "250 Ok") ...
 *		work_done(&w, item, &err);                       or work_return
 *		work_settle(&w, &err);                           when results have gathered, or a second has passed
 *	work_close(&w, &err);
 *
 * A result is not on the disk before work_settle returns done; after a crash in between the server is given the message
 * again. Results outlive a failing disk: they stay in memory until a work_settle succeeds, and nothing more is claimed
 * meanwhile.
 *
 * The caller looks at the clock (age_tick), refills reports_left, and sees to the rest of the queue with
 * process_rounds. A struct work stays where it is while it is open.
 */
#ifndef QUEUE_WORK_H
#define QUEUE_WORK_H

#include "queue/process.h"

/* Records in hand at once: claimed, being delivered, or waiting for work_settle. */
#define WORK_ITEMS SETTLE_ITEMS
/* Seconds of age after which a hop that nobody has looked at counts as one that nobody serves. */
#define WORK_UNSERVED 3600

struct work {
	const struct process *process; /* borrowed; its members may change */
	char hop[16];
	char path[32]; /* "smtp/work-3" */
	struct lock slot;
	struct lock claiming;
	struct dir home; /* queue/smtp */
	struct settle settle;
	size_t held; /* claimed and not yet done or given back */
	struct hop_reader reader;
	/* Records as they were read when they were claimed, until work_item takes them. */
	struct work_claimed {
		char name[ENTRY_NAME];
		struct entry entry;
	} claimed[WORK_ITEMS];
	size_t claimed_count;
	char after[ENTRY_NAME]; /* where the next work_ready goes on */
	uint64_t told;		/* age at which the sign of life was written last, 0: never */
	bool opened;
};

/*
 * Takes the first free slot of HOP, moves back what a crash left in it and in other slots, and shows the sign of life. When
 * nobody had served the hop, all that was put off meanwhile is ready at once. EX_TEMPFAIL: all slots are taken.
 */
enum outcome work_open(struct work *w, const struct process *p, const char *hop, struct error *err);
/* From now on LET_GO takes over the descriptors of messages that are removed, instead of their being closed. */
void work_let_go(struct work *w, void (*let_go)(void *context, int fd), void *context);
/*
 * The next LIMIT ready records at most, in order of name, behind those of the last call; none: the end was reached, and the
 * next call begins anew. Wakes what has become due, if the hop's lock is free, and keeps the sign of life fresh.
 */
enum outcome work_ready(struct work *w, size_t limit, struct names *names, struct error *err);
/*
 * Where a ready record goes, by the routes of now (route_destination); the caller frees it. Null: it needs another hand
 * than a server's (it is damaged, was finished by halves, or has another way now); claim it all the same and work_item
 * puts it right. EX_NOINPUT: it is gone, or its making is not finished.
 */
enum outcome work_look(struct work *w, const char *name, char **destination, struct error *err);
/* How many more may be in hand. Results that are settled make room. */
size_t work_room(const struct work *w);
/*
 * Holds the hop's lock for several claims one after the other, no more of them than there is room, with nothing between
 * that takes time. EX_TEMPFAIL: the hop is busy, or no more may be held; come again.
 */
enum outcome work_claims_begin(struct work *w, struct error *err);
void work_claims_end(struct work *w);
/* Takes a ready record, between the two or alone. EX_NOINPUT: it is gone. EX_TEMPFAIL: the hop is busy, or no more may be held; come again. */
enum outcome work_claim(struct work *w, const char *name, struct error *err);
/*
 * Opens a claimed record. *ITEM is null when there is nothing to deliver: it was finished, set aside, or sent back to be
 * routed, since its recipients have another way or several now. On failure it is put off, as it was.
 */
enum outcome work_item(struct work *w, const char *name, struct settle_item **item, struct error *err);
/* The results are in: settle_close. From here on ITEM belongs to W. */
enum outcome work_done(struct work *w, struct settle_item *item, struct error *err);
/* Gives an item back as it was, ready. */
enum outcome work_return(struct work *w, struct settle_item *item, struct error *err);
/* Gives an item back that cannot be delivered for a reason of this host: it is put off, without a result. */
void work_put_off(struct work *w, struct settle_item *item);
/* Results that work_settle would make durable. */
size_t work_unsettled(const struct work *w);
/* Makes the results durable. On failure they are kept, and it is to be called again. */
enum outcome work_settle(struct work *w, struct error *err);
/* Settles, gives back what is left (items in the caller's hands must have been dropped), and lets go of the slot. */
enum outcome work_close(struct work *w, struct error *err);

/* ---- for the others -------------------------------------------------------------------------------------- */

/*
 * Moves back to the hop what lies in slots whose process has died. *BUSY (may be null): is any slot held? Takes the locks of
 * slots only.
 */
enum outcome work_recover(const struct queue *q, const char *hop, bool *busy, struct error *err);
/* Takes the lock of the slot PART ("work-3") if it is free; *HELD as of lock_try: its process lives. */
enum outcome work_slot_try(
    const struct queue *q, const char *hop, const char *part, struct lock *slot, bool *held, struct error *err);
/*
 * A step of the relay pass for a hop that has a program of its own. What a crash left in slots is moved back. When no program
 * has been there for WORK_UNSERVED, mail that has waited as long is marked with 4.3.5, so that it is warned about and
 * expires; all other mail is left alone.
 */
enum outcome work_unserved(const struct process *p, const char *hop, struct error *err);

#endif
