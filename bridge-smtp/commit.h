/*
 * Where accepted messages become durable, beside the loop: three threads, each with the spool opened for itself.
 *
 *	small	messages held in memory. One that is alone is handed over as a file of its own, at the cost of two waits for
 *		the disk; those that wait together, or many that come one shortly after the other, are appended to an arrival
 *		log with one wait for all (queue/arrivals.h); behind a large group a moment passes before the next, since
 *		those who were answered are about to send more
 *	large	messages that have a file already: synced and renamed, one by one, without holding up the small ones
 *	drain	moves what is in arrival logs into queue/new, with a lower priority: when no messages come for a moment,
 *		at the latest after some seconds, or when a quarter of what the logs may hold has gathered
 *
 *	commit = commit_begin(...);                        in the loop; content goes to commit_sink
 *	commit_submit(c, commit);                          after which DONE is called from the loop, once
 *	commit_drop(commit)                                instead, or in DONE
 */
#ifndef BRIDGE_SMTP_COMMIT_H
#define BRIDGE_SMTP_COMMIT_H

#include "lib/net_worker.h"
#include "queue/arrivals.h"
#include "queue/config.h"

/* A message up to this is held in memory until it is complete; beyond it, it goes to a file as it comes. */
#define COMMIT_SMALL ((size_t)32 << 10)
/* Milliseconds without a message after which the arrival log is closed and drained. */
#define COMMIT_PAUSE 50
/* Milliseconds after which a log is drained though messages go on coming. */
#define COMMIT_DRAIN 5000
/* Messages that come alone, each within that time of the one before, after which they go to the log as well. */
#define COMMIT_BURST 8
/* Milliseconds that a message waits for room in the arrival logs before its sender is asked to come again. */
#define COMMIT_PATIENCE 30000

struct commit {
	struct job job;
	struct handover handover;
	char *user;		  /* who logged in, for the log; null: nobody did. Set by the owner */
	struct envelope envelope; /* filled by the owner; gets id, size and body type */
	enum outcome outcome;	  /* in DONE */
	struct error err;
	void *owner;
};

struct committer;

typedef void commit_done(void *context, struct commit *commit);

/* Starts the threads on the spool of CONFIG. */
enum outcome committer_start(struct committer **c, struct event_base *base, const struct config *config,
    commit_done *done, void *context, struct error *err);
/* Works off what was submitted (DONE is called for it), seals and drains the log, ends the threads. */
void committer_stop(struct committer *c);
/* What the threads log is said on standard error as well. */
void committer_echo(struct committer *c);
/* The spool as the loop sees it, for looking at space and mailboxes. */
struct queue *committer_queue(struct committer *c);

/* A message to be written; EX_TEMPFAIL when the disk is too full. */
enum outcome commit_begin(struct committer *c, struct commit **commit, void *owner, struct error *err);
struct sink *commit_sink(struct commit *commit);
void commit_submit(struct committer *c, struct commit *commit);
void commit_drop(struct commit *commit); /* null-safe */

#endif
