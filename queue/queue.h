/*
 * The directory queue. queue/INTERNALS.md draws the states; in short:
 *
 *	queue/new/ID          a message file just handed over: accepted, to be routed
 *	queue/new/ID=K        the same, brought by a neighbour; K is its smallest recipient index
 *	queue/new/ID+K        a record to be routed again
 *	msg/ID+K              the message file, one hard link per record: the file system counts the references
 *	queue/HOP/ID+K        the record, waiting for HOP: neighbour-NAME, local, smtp, lmtp, expand, failed, removed
 *	queue/HOP/due-N/ID+K  the same, not due before the age N * 1024 s
 *	queue/HOP/batch-I-N/ID+K  the same, packed into batch N of incarnation I, not yet acknowledged
 *	queue/hold/ID+K       held by the operator
 *
 * Whoever works on the records of a hop holds its lock (queue_lock_hop); moving a record out of queue/new needs the
 * lock "new". Handing over needs no lock.
 */
#ifndef QUEUE_QUEUE_H
#define QUEUE_QUEUE_H

#include "lib/lock.h"
#include "lib/log.h"
#include "queue/age.h"
#include "queue/entry.h"
#include "queue/message.h"

struct queue {
	struct dir spool; /* the directory that holds all of the following */
	struct dir tmp;
	struct dir stage;
	struct dir arrivals;
	struct dir msg;
	struct dir queue;
	struct dir new;
	struct dir lock;
	struct dir state;
	struct dir mail;
	struct dir corrupt;
	struct log log;
	char host[LIMIT_HOST_NAME + 1];
	uint32_t incarnation;
	struct queue_places *places; /* directories that records were looked for in last; see queue_find */
	uint64_t min_free;	     /* bytes that must stay free on the disk */
	uint64_t reserved;	     /* sequence numbers in hand: next ... */
	uint64_t reserved_end;
};

/*
 * Makes the directories of a spool at PATH (mode 0700), and its incarnation. What stands already is kept.
 */
enum outcome queue_make(const char *path, struct error *err);
/* Opens the spool of HOST at PATH, as its owner if root runs (daemon_become_owner). EX_CONFIG with advice when it is not there; EX_NOPERM when it is not writable. */
enum outcome queue_open(struct queue *q, const char *path, const char *host, struct error *err);
/* ERR, which says that something of the spool at PATH is not there, becomes the mistake that this is, with advice. */
enum outcome queue_missing(const char *path, struct error *err);
void queue_close(struct queue *q);

/* Is there room to accept SIZE bytes more, leaving min_free? EX_TEMPFAIL when not. */
enum outcome queue_space(const struct queue *q, uint64_t size, struct error *err);
/* The same for work that moves mail on: it may use most of what is kept free, or a full disk would never empty. */
enum outcome queue_room(const struct queue *q, uint64_t size, struct error *err);
/* The next message id of this host; unique for ever. Reserves COUNT numbers on disk at once when none are in hand. */
enum outcome queue_next_id(struct queue *q, uint64_t count, struct id *id, struct error *err);

/* A new incarnation: after a restore. The log says so. */
enum outcome queue_renew(struct queue *q, const char *why, struct error *err);

/* ---- handing over ---------------------------------------------------------------------------------------- */

/*
 *	struct handover h;
 *	handover_begin(q, &h, &err);
 *	sink_write(handover_sink(&h), ...)           content in canonical form
 *	handover_commit(&h, &envelope, &err);        on disk and synced when it returns done
 *	handover_abort(&h);                          always safe, also after the commit
 *
 * A daemon keeps what is small in memory and lets many share one sync (queue/arrivals.h):
 *
 *	handover_begin_small(q, &h, keep);  sink_write ...
 *	handover_finish(&h, &envelope, &err);        gives the id; nothing is on the disk
 *	image = handover_image(&h);                  empty: it is large, and handover_commit takes it
 *	arrivals_append(...);  queue_log_accepted(q, &envelope, NULL);  handover_abort(&h);
 */
struct handover {
	struct queue *queue;
	struct message_writer writer;
	const char *user; /* who hands it over, for the log; borrowed, null: not said */
};

enum outcome handover_begin(struct queue *q, struct handover *h, struct error *err);
/* The same, with no file made until the content has more than KEEP octets; or at all, when it is committed before. Whether there is
 * room for it (queue_space) is for the caller to ask. */
void handover_begin_small(struct queue *q, struct handover *h, size_t keep);
struct sink *handover_sink(struct handover *h);
/* Gives E its id (when its sequence is 0), size and body type, and ends the message file. */
enum outcome handover_finish(struct handover *h, struct envelope *e, struct error *err);
/* The finished message file while it is in memory, borrowed until the abort; else empty. */
struct view handover_image(const struct handover *h);
/* Finishes, if that was not done, and accepts. */
enum outcome handover_commit(struct handover *h, struct envelope *e, struct error *err);
/*
 * Finishes, if that was not done, and lays the message in D, called by its id, for a caller who will move it to queue/new by a commit of
 * its own: nobody else looks into D. Its descriptor goes to SYNC; the name in D is the caller's to sync. On failure a file may be
 * left there.
 */
enum outcome handover_lay(
    struct handover *h, struct envelope *e, const struct dir *d, struct sync_set *sync, struct error *err);
void handover_abort(struct handover *h);
/* Notes in the log that E is accepted, from USER (null: not said). handover_commit does; for what was accepted otherwise. */
void queue_log_accepted(struct queue *q, const struct envelope *e, const char *user);
/* The same of a message that was collected from the outside box BOX, where it is called UID (null: it has no name there). */
void queue_log_fetched(struct queue *q, const struct envelope *e, const char *box, const char *uid);
/* Goes on in a new log when the old one was rotated: for daemons, now and then. */
void queue_follow_log(struct queue *q);

/* ---- looking --------------------------------------------------------------------------------------------- */

/* Where a record lies. */
struct queue_place {
	char hop[LIMIT_HOST_NAME + 16]; /* "neighbour-city", "local", "hold", "new" … */
	char within[32];		/* "", "due-17", "batch-4" */
	char name[ENTRY_NAME + 1];	/* with the mark of a claim, if it is one */
};

/*
 * Calls VISIT for every record of HOP (null: of all hops, "new" first), in order of id within a directory. Just handed-over
 * messages (hop "new") are shown with a record made from their envelope; what is claimed by a dispatch is shown under its
 * claim, and what was made from it so far is not. A record that cannot be read is shown with
 * a null ENTRY and the reason in ERR. VISIT returns false to stop. Takes no lock: what moves meanwhile may be missed
 * or seen twice; what is dispatched meanwhile is not missed in all hops.
 */
typedef bool queue_visit(
    void *context, const struct queue_place *place, const struct entry *entry, const struct error *err);
enum outcome queue_walk(const struct queue *q, const char *hop, queue_visit *visit, void *context, struct error *err);
/*
 * The records of one message, by direct look-up in every directory: no walk. Which directories there are is read once
 * and again when one is not found, so that a thousand messages cost a thousand look-ups.
 */
enum outcome queue_find(struct queue *q, const struct id *id, queue_visit *visit, void *context, struct error *err);
/* Opens the message behind a record (or a handed-over message). */
enum outcome queue_message(const struct queue *q, const struct queue_place *place, enum message_check check,
    struct message *m, struct error *err);

/* ---- the operator's moves; each takes the locks it needs ------------------------------------------------- */

/* All act on every record of the message ID and count them in *COUNT; EX_DATAERR when there is none. */
enum queue_action {
	QUEUE_HOLD,    /* any place → hold */
	QUEUE_RELEASE, /* hold → routed again */
	QUEUE_RETRY,   /* due now */
	QUEUE_REROUTE, /* routed again, also out of a batch that was not acknowledged */
	QUEUE_REMOVE,  /* gone, recorded in the log */
};
enum outcome queue_act(
    struct queue *q, enum queue_action action, const struct id *id, size_t *count, struct error *err);

#endif
