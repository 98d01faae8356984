/*
 * A call between two hosts as a machine without descriptor, disk or clock: relay/PROTOCOL.md, "Calls", is its definition.
 * Both ends run it; batches go in both directions at once, or turn by turn where the link is half-duplex.
 *
 *	session_init(&s, &options, now);
 *	session_feed(&s, bytes);                        what the other end said; takes all of it
 *	while (session_next(&s, &event, now)) ...       after every call; what an event points to is valid until the next
 *	write view_buf(&s.output), session_written(&s, octets)
 *
 * NOW is in milliseconds of a clock that only goes forward. Life: hello and answer; then STANDS: the other end is proved to
 * be who it says. The driver then says what it keeps of earlier calls (session_have), what it has to send (session_offer)
 * and to tell (session_news), and session_go. From there on it may offer and tell at any time.
 *
 * Laws: cutting the input differently changes nothing but where DATA is cut (and so whether there is any to cut back); nothing is acted on that has not been proved
 * to come from the other end of this call, except that octets of a batch are handed out as they come (a batch proves
 * itself by its own signature, and CUT_BACK follows when the octets turn out to be forged); a stranger hears nothing at all;
 * no octet of a batch that the other end confirmed is given out twice; CLOSED is the last event and comes once.
 */
#ifndef RELAY_SESSION_H
#define RELAY_SESSION_H

#include "spool/batch.h"

/* Octets of a batch in one record at most. */
#define SESSION_CHUNK 65536
/* Output that may wait before no more of a batch is asked for. */
#define SESSION_OUTPUT ((size_t)2 * SESSION_CHUNK)
/* Batches that may be offered at once, and of the other end be under way at once. */
#define SESSION_OFFERS 1024
#define SESSION_PARTS  64
/* News in one record at most; a batch header cannot have more. */
#define SESSION_NEWS 65536
/* The octets by which an answerer knows who calls. */
#define SESSION_HINT 8
/* A hash of what is kept of a batch. */
#define SESSION_HASH 8

enum session_side { SESSION_CALLER, SESSION_ANSWERER };

struct session_options {
	enum session_side side;
	const struct host_keys *keys;	/* ours; borrowed */
	const struct public_keys *peer; /* whom we call; null for an answerer, who hears it from the hint */
	bool open;			/* nothing may be encrypted: the law of amateur radio */
	uint64_t turn; /* half-duplex: milliseconds for which one side sends at most; 0: full duplex */
};

/* Why a batch is not to go on. */
enum session_stop {
	SESSION_STOP_TAKEN = 1, /* it was taken before */
	SESSION_STOP_LATER,	/* no room, or busy: in another call */
	SESSION_STOP_REFUSED,	/* too large, or damaged: what the receiver's log says */
};

/* Why a call ends; the reasons of BYE on the wire are the first three. */
enum session_end {
	SESSION_END_DONE,  /* both have nothing more to say */
	SESSION_END_LIMIT, /* a limit of one side's: bytes, minutes, a time window */
	SESSION_END_LEAVE, /* one side cannot go on */
	SESSION_END_CUT,   /* the connection was lost */
	SESSION_END_ALIEN, /* what came is not of this protocol, or not from who it should be */
};

enum session_event_kind {
	SESSION_HINTED, /* answerer: bytes are the hint. Answered by session_meet, or the call is over */
	SESSION_STANDS, /* the other end is proved; see above */
	SESSION_READ,	/* octets of our batch `sequence` from `offset` on, `length` at most: session_data, at once */
	SESSION_CHECK, /* the other end keeps `offset` octets of our batch `sequence`, with the hash `bytes`: session_checked, at once */
	SESSION_BEGUN, /* a batch of the other end begins at `offset`: sequence, class, size. session_stop when it is not wanted */
	SESSION_DATA,	  /* bytes of it, from `offset` on */
	SESSION_CUT_BACK, /* what is kept of the batch beyond `offset` is not to be trusted */
	SESSION_WHOLE,	  /* all of it is there: take it in, tell by session_news, then session_settled */
	SESSION_TOLD,	  /* bytes are extensions of a batch header: acknowledgements and the like */
	SESSION_STOPPED,  /* our batch `sequence` is not wanted: `stop` */
	SESSION_SENT,	  /* all octets of our batch `sequence` are given out */
	SESSION_CLOSED,	  /* `end`, and text for the log. Write the output, then close */
};

struct session_event {
	enum session_event_kind kind;
	uint64_t sequence;
	uint64_t offset;
	uint64_t size;
	size_t length;
	uint8_t class;
	enum session_stop stop;
	enum session_end end;
	const char *text;
	struct view bytes;
};

struct session {
	struct buf output;
	bool stands;		/* behind STANDS */
	bool parted;		/* the other end has said BYE: it waits for nothing more */
	uint64_t data_sent;	/* octets of batches given out in this call */
	uint64_t data_received; /* and taken */
	uint64_t rate;		/* octets a second that the link has carried for us, as far as seen; 0: not seen */
	uint64_t round_trip;	/* milliseconds, the shortest seen; 0: not seen */
	struct session_own *own;
};

void session_init(struct session *s, const struct session_options *options, uint64_t now);
void session_release(struct session *s);
/* Behind HINTED: it is this neighbour, with what its configuration says. */
void session_meet(struct session *s, const struct public_keys *peer, bool open, uint64_t turn);
/* The hint by which CALLER is known to ANSWERER. */
void session_hint(
    const struct public_keys *caller, const struct public_keys *answerer, uint8_t hint[static SESSION_HINT]);

void session_feed(struct session *s, struct view bytes);
bool session_next(struct session *s, struct session_event *event, uint64_t now);
/* The first LENGTH octets of the output were written. */
void session_written(struct session *s, size_t length);

/* We keep the first OFFSET octets of the other end's batch SEQUENCE, whose hash is HASH (session_hash). Before session_go. */
void session_have(struct session *s, uint64_t sequence, uint64_t offset, const uint8_t hash[static SESSION_HASH]);
/* A batch of ours may be sent. TRIED: the other end may have a part of it, so its word is waited for. Offering it again
 * changes nothing. False: SESSION_OFFERS are there. */
bool session_offer(struct session *s, uint64_t sequence, uint8_t class, uint64_t size, bool tried);
/* It is not to be sent, or not any more: acknowledged, or gone. */
void session_withdraw(struct session *s, uint64_t sequence);
/* Has any of it been given out in this call? */
bool session_begun(const struct session *s, uint64_t sequence);
/* Is any batch that was offered, and may go, not sent whole? */
bool session_has_more(const struct session *s);
/* No more than OCTETS of batches, with what their records need, are given out from here on, and no more than without the last
 * RESERVE of them of batches that are not urgent. What is left over when the call ends waits for another. */
void session_allow(struct session *s, uint64_t octets, uint64_t reserve);
void session_go(struct session *s);
/* The answer to READ; empty: it cannot be read, and does not go on in this call. */
void session_data(struct session *s, struct view bytes, uint64_t now);
/* The answer to CHECK: does what we have begin so? */
void session_checked(struct session *s, uint64_t sequence, bool same);
/* The other end's batch is not wanted, or not any more; one that is whole is settled by that. */
void session_stop(struct session *s, uint64_t sequence, enum session_stop why);
/* What WHOLE asked for is done: the batch is in the queue and told of, or stays for another call. */
void session_settled(struct session *s, uint64_t sequence);
/* Extensions of a batch header, SESSION_NEWS octets at most, to be told. False: what was given before has not left yet. */
bool session_news(struct session *s, struct view extensions);
/* Ends the call between two chunks, as WHY says. */
void session_finish(struct session *s, enum session_end why);
/* The connection is gone. */
void session_lost(struct session *s, const char *why);

/* Hash of the first octets of a batch. */
struct session_hash {
	crypto_generichash_state state;
};
void session_hash_init(struct session_hash *h);
void session_hash_add(struct session_hash *h, struct view bytes);
void session_hash_end(struct session_hash *h, uint8_t hash[static SESSION_HASH]);

#endif
