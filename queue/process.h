/*
 * Working through the hops that end on this host. Each takes the hop's lock if it is free (else somebody else is at
 * it, which is no error), wakes what is due, and settles every ready record.
 */
#ifndef QUEUE_PROCESS_H
#define QUEUE_PROCESS_H

#include "queue/route.h"
#include "queue/settle.h"

struct process {
	struct queue *queue;
	const struct config *config;
	const struct age *age;
	const struct settle_hooks *hooks;
	uint64_t *reports_left;
};

/* "local": into Maildirs. */
enum outcome process_local(const struct process *p, struct error *err);
/* "expand": a message of its own for the targets of an alias. */
enum outcome process_expand(const struct process *p, struct error *err);
/* "failed": reports. */
enum outcome process_failed(const struct process *p, struct error *err);
/* "removed": what the operator removed is told to those who must hear of it. */
enum outcome process_removed(const struct process *p, struct error *err);
/*
 * A hop whose program is not running here (mail to live SMTP or LMTP): its mail waits, warns and expires, and says why. Mail
 * that has not been here for OLDER seconds is left alone.
 */
enum outcome process_waiting(
    const struct process *p, const char *hop, const char *why, uint64_t older, struct error *err);

/* The same for a hop whose lock the caller holds. */
enum outcome process_held_up(const struct process *p, const char *hop, const char *why, struct error *err);

/*
 * After a spool went back to an earlier state unnoticed, ids of its incarnation may have been given out twice, and
 * neighbours drop the second message as a duplicate of the first. `process_doubt` marks the present incarnation as
 * one of which that is so. A record of ours with a doubtful id that is about to leave is settled by
 * `process_reissue`: it goes on as a new message with a new id. What had left before comes twice then; nothing is lost.
 */
enum outcome process_doubt(struct queue *q, struct error *err);
bool process_doubtful(const struct process *p, const struct id *id);
enum outcome process_reissue(const struct process *p, struct settle *s, struct settle_item *item, struct error *err);

/* Dispatching may bring reports and expanded messages, which are dispatched again; a chain longer than this goes on in
 * the next pass. */
#define PROCESS_ROUNDS 8
/* Hears of the failure of one part, ABOUT: a hop, or "new". The work goes on with the other parts. */
typedef void process_trouble(void *context, const char *about, const struct error *err);
/*
 * Routes what is new, expands, reports, and delivers here until nothing new comes of it; returns how many names left
 * queue/new. What waits for neighbours, SMTP and LMTP is left to others.
 */
size_t process_rounds(const struct process *p, process_trouble *trouble, void *context);

/* The route of recipient PLACE by the configuration of now. */
void process_route(const struct process *p, const struct settle_item *item, size_t place, struct route *r);
/* Does every recipient that waits still go to HOP by the routes of now, and all of them to one destination? */
bool process_routed(const struct process *p, const struct settle_item *item, const char *hop);
/* Sends a record back to be routed. FROM is the directory it lies in. */
enum outcome process_again(const struct process *p, const struct dir *from, const char *name, struct error *err);
/* Expiry and warning of a record: those of the route, the shortest among its recipients. */
void process_limits(const struct process *p, struct settle_item *item);

#endif
