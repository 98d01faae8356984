/*
 * The parts of a call: call.c has its loop, the line, limits and who it is with; call_batches.c what goes over it.
 */
#ifndef RELAY_CALL_OWN_H
#define RELAY_CALL_OWN_H

#include "relay/call.h"
#include "relay/parts.h"
#include "relay/progress.h"

/* Milliseconds between looks for mail that was handed in meanwhile. */
#define CALL_LOOK 2000

struct call {
	struct relay *relay;
	struct neighbour *n;			/* null: an answerer does not know yet */
	const struct config_neighbour *claimed; /* who it says it is; not proved yet */
	struct line *line;
	const struct call_terms *terms; /* null: an answerer has none */
	struct call_report *report;
	struct session session;
	struct parts parts;
	bool parts_open;
	bool gone;	 /* our first words are said */
	bool introduced; /* our news have left once: they say of which incarnation we are */
	bool out_of_line;
	bool ended;
	bool barred; /* another process of ours works on this neighbour, or it is broken, */
	bool told_to_leave;
	enum session_end end;
	struct error why_barred; /* which this says */
	char text[300];
	uint64_t now;
	uint64_t begun;
	uint64_t looked_at;
	uint64_t look_at;	 /* when the queue is looked at next */
	uint64_t moved_at;	 /* when anything went over the line last */
	uint64_t account_at;	 /* when the ledger is brought up to date next */
	uint64_t counted_octets; /* in the ledger already */
	uint64_t counted_seconds;
	uint64_t fresh;	  /* batches of ours from this sequence on were made in this call */
	uint64_t reading; /* sequence of the batch that `reading_fd` is open for */
	int reading_fd;
	uint64_t whole[SESSION_PARTS]; /* batches of theirs that are taken in, whose news have not left */
	size_t whole_count;
	struct buf told; /* what the neighbour told, not heeded yet */
	uint8_t *piece;
	struct progress progress;
};

/* What went wrong is logged; the call goes on. */
void call_contain(struct call *c, enum outcome outcome, struct error *err);

/* ---- call_batches.c: answers to the session's events ---- */
void call_offer(struct call *c); /* what is out for the neighbour, to the session */
void call_give(struct call *c, const struct session_event *event);
void call_check(struct call *c, const struct session_event *event);
void call_stopped(struct call *c, const struct session_event *event);
void call_sent(struct call *c, uint64_t sequence);
void call_close_batch(struct call *c); /* the one that is being read */
/* Tells what the neighbour is to know; once at the beginning in any case. */
enum outcome call_tell(struct call *c, struct error *err);
/* Routes, delivers and packs what came meanwhile; what has expired is no longer sent. */
enum outcome call_feed(struct call *c, struct error *err);
/* What the neighbour told last, and is kept in `told`. */
void call_heed(struct call *c);
void call_begin_part(struct call *c, const struct session_event *event);
void call_add_to_part(struct call *c, const struct session_event *event);
void call_cut_part(struct call *c, const struct session_event *event);
void call_take_part(struct call *c, const struct session_event *event);

#endif
