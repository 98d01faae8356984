/*
 * A thread for what would hold up the loop: waiting for the disk, hashing a password. Jobs go in from the loop, are worked
 * on in the thread, as many at once as wait, and come back to the loop one by one.
 *
 *	struct my_job { struct job job; ... };            the job is the first member
 *	worker_start(&w, base, &calls, context, &err);
 *	worker_give(w, &my_job->job);                     in the loop
 *	... calls.work(context, w, jobs)                  in the thread: for each of the list worker_done(w, job)
 *	... calls.done(context, job)                      in the loop
 *	worker_stop(w);                                   what was given is worked off, and its `done` called, first
 */
#ifndef LIB_NET_WORKER_H
#define LIB_NET_WORKER_H

#include <event2/event.h>
#include <stdbool.h>

#include "lib/error.h"

struct job {
	struct job *next;
};

struct worker;

struct worker_calls {
	/* In the thread: a list of jobs, oldest first; null when nothing was given for as long as worker_pause said. Each job is handed
	 * to worker_done, then or later, or is the thread's to keep; `next` is to be read before that. */
	void (*work)(void *context, struct worker *w, struct job *jobs);
	/* In the loop. May give jobs, free this one, but not stop the worker. Null: the jobs vanish. */
	void (*done)(void *context, struct job *job);
	int nice; /* added to the priority of the thread, where threads have one */
};

enum outcome worker_start(
    struct worker **w, struct event_base *base, const struct worker_calls *calls, void *context, struct error *err);
void worker_give(struct worker *w, struct job *job);
void worker_done(struct worker *w, struct job *job);
/* In the thread: `work` is called with null when nothing is given for so long; 0, as at the start: only for jobs. */
void worker_pause(struct worker *w, unsigned milliseconds);
void worker_stop(struct worker *w); /* null-safe */

#endif
