/*
 * What this host knows of its exchange of batches with one neighbour: sequence numbers, what it has taken, what was
 * acknowledged, what is out. Kept in spool/state/NAME/peer, one small binary file with a digest at its end,
 * replaced as a whole. Whoever changes it holds the lock "neighbour-NAME" from peer_load to peer_save.
 *
 * Kinds of knowledge, by DESIGN section 6: sequence numbers decide, clocks only inform.
 */
#ifndef SPOOL_PEER_H
#define SPOOL_PEER_H

#include "lib/file.h"
#include "lib/id.h"
#include "lib/ranges.h"
#include "spool/batch.h"

/* A batch of ours that lies in spool/out/NAME and is not acknowledged. */
struct peer_batch {
	uint32_t incarnation; /* of ours; another than the peer's: from before a restore, to be packed again */
	uint64_t sequence;
	uint8_t class;
	uint64_t size; /* of the file */
	uint64_t messages;
	uint8_t mark[BATCH_MARK];
	uint8_t sealed_for[8]; /* first bytes of the seal key it can be opened with; zeros: sign-only */
	uint64_t
	    look_age;	/* age at which a message in it is to be warned about or expires: look at its records then */
	int64_t packed; /* wall clock */
	uint64_t sent_age; /* age clock when it was last handed to a transport, 0: never */
	int64_t sent;	   /* wall clock of the same */
	uint32_t sendings;
	char carrier[33]; /* id of the directory or address it was last handed to, "" none */
};

struct peer_mark {
	uint64_t sequence; /* 0: none */
	uint8_t mark[BATCH_MARK];
};

/* What came from one incarnation of the neighbour. */
struct peer_source {
	uint32_t incarnation;
	struct ranges received; /* sequences taken, or announced void */
	/* The PEER_MARKS highest sequences with their marks, ascending, to tell a replay from a sequence used twice. */
	struct peer_mark *marks;
	size_t mark_count;
	bool refused; /* it used a sequence twice: see peer_refuse */
};
#define PEER_MARKS 64

struct peer {
	char name[LIMIT_HOST_NAME + 1];

	uint32_t incarnation; /* ours, whose sequences follow */
	uint64_t next;	      /* sequence of the next batch; begins at 1 */
	struct ranges acked;
	struct peer_mark acked_top; /* the highest batch acknowledged, to judge acknowledgements that name it again */
	struct ranges voided;	    /* never to come; announced until acknowledged */
	struct peer_batch *out;	    /* those of other incarnations of ours, then ours in ascending sequence */
	size_t out_count;
	size_t out_capacity;

	struct peer_source *sources; /* oldest first; the last is the neighbour's present incarnation */
	size_t source_count;
	bool ack_due; /* something was taken or voided since the last batch or bare batch was made */

	uint64_t event_serial;	  /* last serial given to an event group of ours */
	uint64_t event_confirmed; /* the neighbour has seen ours up to here */
	uint64_t event_packed;	  /* newest serial that left in any batch */
	uint64_t event_seen;	  /* newest serial of the neighbour's taken here */

	int64_t contact;     /* wall clock of the last batch or acknowledgement from it, 0: never */
	int64_t tried;	     /* wall clock of the last attempt to reach it, 0: never */
	char *result;	     /* sentence about that attempt, null: none yet */
	int64_t clock_apart; /* its clock minus ours when it last told, seconds */
};

/* Reads state/NAME/peer; a missing file gives a fresh peer with INCARNATION. A file kept by another incarnation of
 * ours is adapted: next is 1, acked and voided empty, no event confirmed; `out` stays for the caller to pack again
 * (peer_out_stale). EX_DATAERR: damaged. P can be released in every case. */
enum outcome peer_load(
    struct peer *p, const struct dir *state, const char *name, uint32_t incarnation, struct error *err);
/* Durable when it returns done. Makes state/NAME when missing. */
enum outcome peer_save(const struct peer *p, const struct dir *tmp, const struct dir *state, struct error *err);
void peer_release(struct peer *p);
/* The octets of the file. peer_parse accepts exactly what peer_print prints; on false P is empty. */
void peer_print(const struct peer *p, struct buf *out);
bool peer_parse(struct view bytes, struct peer *p);

/* A batch of our present incarnation, null when it is not out. Pointers into `out` hold until the next add or remove. */
struct peer_batch *peer_out(struct peer *p, uint64_t sequence);
/* Adds it, zeroed but for incarnation and sequence; one that is out already is returned as it is. */
struct peer_batch *peer_out_add(struct peer *p, uint64_t sequence);
/* Removes the batch of that sequence: of our present incarnation, or when there is none, of an earlier one. */
void peer_out_remove(struct peer *p, uint64_t sequence);
/* The first batch of another incarnation of ours, null: none. */
struct peer_batch *peer_out_stale(struct peer *p);
/* Removes BATCH, which points into p->out. */
void peer_out_drop(struct peer *p, struct peer_batch *batch);
/* The source of INCARNATION, made when it is new. It becomes the present one: whoever was heard last is answered. Its
 * event serials are then its own, so event_seen becomes 0. The pointer holds until the next call. */
struct peer_source *peer_source(struct peer *p, uint32_t incarnation);
/* The neighbour's present incarnation, null before its first batch. */
struct peer_source *peer_present(struct peer *p);

enum peer_known {
	PEER_NEW,   /* not yet taken */
	PEER_TAKEN, /* taken before (or void): drop it, acknowledge again */
	PEER_CONFLICT, /* the sequence was taken with other bytes: the neighbour was restored from a backup: peer_refuse */
};
/* Sequence 0 (a bare batch) is always new, and never kept. A sequence whose mark is no longer kept counts as taken. */
enum peer_known peer_knows(const struct peer_source *s, uint64_t sequence, const uint8_t mark[BATCH_MARK]);
void peer_take(struct peer_source *s, uint64_t sequence, const uint8_t mark[BATCH_MARK]);

/*
 * For a source that used a sequence twice: which of its batches are here can no longer be told from what it believes,
 * so from now on it is acknowledged nothing but PEER_NEVER_SENT, which it is sure to take for ACK_STRANGER, whatever it
 * still knows; it then begins a new incarnation and sends again what was not acknowledged.
 */
#define PEER_NEVER_SENT (UINT64_C(1) << 62)
void peer_refuse(struct peer_source *s);

/*
 * Puts into H what rides along with every batch to this neighbour: acknowledgement of its present incarnation
 * (when anything was received, or when event_seen needs an incarnation to belong to: then with no ranges), voided
 * sequences, event_seen. Events are added by events_collect.
 *
 * Of received and voided the lowest LIMIT_ACK_RANGES ranges go in. `check` belongs to the highest sequence that went
 * in; when its mark is not known here (void, or older than the marks kept) `check` is zeros: "not checked".
 */
void peer_fill_header(const struct peer *p, struct batch_header *h);

enum ack_verdict {
	ACK_NONE,     /* no acknowledgement in it, or one of an earlier incarnation of ours: nothing changed */
	ACK_TAKEN,    /* the batches in DONE are acknowledged */
	ACK_STRANGER, /* acknowledges what we never sent, or a batch with another mark: our state is an old copy. Nothing
			 changed */
};
/*
 * Judges the acknowledgement in H. When it is taken: adds to p->acked; adds to DONE every batch of our present
 * incarnation that is acknowledged and still out (so settling that a crash cut short is taken up again); forgets
 * voids that are acknowledged; counts events up to h->event_seen as confirmed (without an acknowledgement of our present
 * incarnation event_seen is not believed: it may name serials of an earlier one). Does not touch p->out: the caller
 * does when the records are settled.
 *
 * `check` is compared with the mark of our batch of the highest sequence named, if that is out or is acked_top, and
 * `check` is not zeros.
 */
enum ack_verdict peer_take_ack(struct peer *p, const struct batch_header *h, struct ranges *done);

/*
 * Are the events in H to be applied? Not when H came from another incarnation than the present one (FROM the header),
 * brings nothing beyond event_seen, or names sequences of an earlier incarnation of ours. Raises event_seen either way,
 * as far as H is of the present incarnation. Call it after peer_source for H, when H is from a verified batch.
 */
bool peer_take_events(struct peer *p, const struct batch_header *h);

/* ---- events: spool/state/NAME/events, appended to by whoever settles a message that came from NAME --------- */

struct event_note {
	uint32_t batch_incarnation;
	uint64_t batch_sequence;
	uint32_t ordinal;
	enum event_kind kind;
	uint8_t status[3];
};
/*
 * Appends COUNT notes for neighbour NAME, under the lock "events-NAME" (leaf: may be taken with any other held), and
 * waits for the disk: after it the settled message may go. The same note twice does no harm. A note that no event can
 * say (sequence 0, an ordinal beyond BATCH_BITMAP_MAX) is left out.
 */
enum outcome events_note(const struct dir *state, const struct dir *lock, const char *name,
    const struct event_note *notes, size_t count, struct error *err);
/*
 * Folds the notes into event groups with serials (kept in state/NAME/groups until confirmed) and puts those not yet
 * confirmed into H, lowest serial first, within MAXIMUM encoded octets. Only groups of the present incarnation
 * of the neighbour go in; those of the one heard before wait, in case it speaks again; older ones are dropped. *FRESH tells whether any was never packed
 * before (serial above p->event_packed); the caller raises p->event_packed to h->event_serial when the batch stands.
 *
 * Serials are confirmed up to a number, so a group that has a serial never changes: new notes for the same batch take
 * its bits along under a higher serial. A group that exceeds MAXIMUM even alone is passed over.
 *
 * A damaged groups file is moved to groups.damaged and told as EX_DATAERR, once; the next call goes on without it.
 */
enum outcome events_collect(struct peer *p, const struct dir *tmp, const struct dir *state, const struct dir *lock,
    size_t maximum, struct batch_header *h, bool *fresh, struct error *err);

/* The groups file, for events_collect and its tests. */
struct event_group {
	uint64_t serial;
	uint32_t incarnation; /* of the neighbour */
	struct batch_event event;
};
struct event_groups {
	uint64_t serial;	   /* the last one given */
	uint8_t folded[16];	   /* digest of the notes folded last: they are not folded again */
	struct event_group *items; /* ascending serial */
	size_t count;
	size_t capacity;
};
void event_groups_release(struct event_groups *g);
void event_groups_print(const struct event_groups *g, struct buf *out);
bool event_groups_parse(struct view bytes, struct event_groups *g);

/* ---- manifests: spool/state/NAME/sent-N, who is behind the ordinals of our batch N ------------------------- */

struct manifest_line {
	struct id id;
	uint32_t index;
	char neighbour[LIMIT_HOST_NAME + 1]; /* that brought it here, "" none */
	uint32_t batch_incarnation;	     /* and by which recipient of which batch of its */
	uint64_t batch_sequence;
	uint32_t ordinal;
	bool final; /* its end is known */
};
struct manifest {
	struct manifest_line *lines;
	size_t count;
	size_t capacity;
};
/* Where NEIGHBOUR is "" the three members after it are not kept. */
void manifest_add(struct manifest *m, const struct manifest_line *line);
void manifest_release(struct manifest *m);
/* The octets of the file, lines that share a message or a batch packed closer. The laws are those of peer_print. */
void manifest_print(const struct manifest *m, struct buf *out);
bool manifest_parse(struct view bytes, struct manifest *m);
/* Durable when it returns done. Makes state/NAME when missing. */
enum outcome manifest_write(const struct manifest *m, const struct dir *tmp, const struct dir *state,
    const char *name, uint64_t sequence, struct error *err);
/* EX_NOINPUT: there is none (any more). */
enum outcome manifest_read(
    struct manifest *m, const struct dir *state, const char *name, uint64_t sequence, struct error *err);
enum outcome manifest_remove(const struct dir *state, const char *name, uint64_t sequence, struct error *err);

#endif
