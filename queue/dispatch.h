/*
 * Dispatching: what lies in queue/new is routed and becomes records in the directories of its hops.
 *
 * For a crash at any point: a name in queue/new is claimed by adding "~" to it; the records made from it name it as their
 * parent and are not touched by anybody while it exists; removing it is the commit. A claim that is found again was
 * left by a crash: what it had made is taken away, and it is made anew, by the routes of today.
 */
#ifndef QUEUE_DISPATCH_H
#define QUEUE_DISPATCH_H

#include "queue/config.h"
#include "queue/queue.h"

/* Routes everything in queue/new; *COUNT (may be null) gets the number of names that left it. Another process doing the same is no
 * error: then nothing is done. */
enum outcome dispatch_new(
    struct queue *q, const struct config *c, const struct age *age, size_t *count, struct error *err);

#endif
