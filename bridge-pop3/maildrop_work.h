/*
 * Opening maildrops and removing messages beside the loop, a few at once, so that one large or slow Maildir does not keep
 * others waiting.
 *
 *	job = maildrop_begin_open(w, "maria", on_opened, session);
 *	... on_opened(session, job): take job->drop, if done
 *	job = maildrop_begin_remove(w, &removal, on_removed, session);
 *	... on_removed(session, job): the maildrop is job->drop again
 *
 * The callbacks come from the loop. What they leave in job->drop is closed, and the job is freed behind them.
 */
#ifndef BRIDGE_POP3_MAILDROP_WORK_H
#define BRIDGE_POP3_MAILDROP_WORK_H

#include "bridge-pop3/maildrop.h"
#include "lib/log.h"
#include "lib/net_worker.h"

struct maildrop_workers;
struct maildrop_job;

typedef void maildrop_done(void *owner, struct maildrop_job *job);

struct maildrop_job {
	struct job job;
	struct maildrop *drop;
	enum outcome outcome;
	struct error err;
	bool in_use;	/* open: why it failed */
	size_t removed; /* remove: files */
	char *user;	/* who opens, or removes */
	/* What follows is the workers' own. */
	bool removes;
	char *client;
	struct log log;
	uint32_t *numbers;
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
/* What is to be removed, and for whom; the workers take over DROP, and the array NUMBERS (heap). */
struct maildrop_removal {
	struct maildrop *drop;
	uint32_t *numbers;
	size_t count;
	const struct log *log;
	const char *client;
	const char *user;
};
/*
 * Each message that is removed has a line "deleted" in the log, before the next is removed: its only copy is gone, and whoever
 * asks for it is told where it went, even if the program dies amid that.
 */
struct maildrop_job *maildrop_begin_remove(
    struct maildrop_workers *w, const struct maildrop_removal *removal, maildrop_done *done, void *owner);
/* The owner is gone, and DONE is not called: what is to be removed still is, what was opened is closed. Null-safe. */
void maildrop_forget(struct maildrop_job *job);

#endif
