/*
 * Opening maildrops and removing messages beside the loop, a few at once, so that one large or slow Maildir does not keep
 * others waiting.
 *
 *	job = maildrop_begin_open(w, "maria", on_opened, session);
 *	... on_opened(session, job): take job->drop, if done
 *	job = maildrop_begin_remove(w, drop, numbers, count, on_removed, session);
 *	... on_removed(session, job): the maildrop is job->drop again
 *
 * The callbacks come from the loop. What they leave in job->drop is closed, and the job is freed behind them.
 */
#ifndef BRIDGE_POP3_MAILDROP_WORK_H
#define BRIDGE_POP3_MAILDROP_WORK_H

#include "bridge-pop3/maildrop.h"
#include "lib/net_worker.h"

struct maildrop_workers;
struct maildrop_job;

typedef void maildrop_done(void *owner, struct maildrop_job *job);

struct maildrop_job {
	struct job job;
	struct maildrop *drop;
	enum outcome outcome;
	struct error err;
	bool in_use; /* open: why it failed */
	/* remove: so many files are gone, of the messages at the beginning of `numbers` */
	size_t removed;
	uint32_t *numbers;
	/* What follows is the workers' own. */
	char *user; /* open */
	size_t count;
	maildrop_done *done;
	void *owner; /* null: forgotten */
};

/* MAIL is borrowed until the stop. *W is null unless done. */
enum outcome maildrop_workers_start(
    struct maildrop_workers **w, struct event_base *base, const struct dir *mail, struct error *err);
/* Null-safe. What was begun is finished first. */
void maildrop_workers_stop(struct maildrop_workers *w);

struct maildrop_job *maildrop_begin_open(
    struct maildrop_workers *w, const char *user, maildrop_done *done, void *owner);
/* Takes over DROP, and the array NUMBERS (heap). */
struct maildrop_job *maildrop_begin_remove(struct maildrop_workers *w, struct maildrop *drop, uint32_t *numbers,
    size_t count, maildrop_done *done, void *owner);
/* The owner is gone, and DONE is not called: what is to be removed still is, what was opened is closed. Null-safe. */
void maildrop_forget(struct maildrop_job *job);

#endif
