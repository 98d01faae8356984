/*
 * The clerk: the one thread of packetboat-smtp that touches the queue. It sees to the queue's own work (routing, reports, mail
 * for users here), takes records for live servers out of it as there is room for them, hands them to the loop as
 * deliveries, and settles what comes back. It alone knows how many deliveries a destination has and which are not to
 * be tried for a while, so that one slow or dead destination never delays another.
 *
 *	clerk_start(&c, base, &config, taken, context, &err);
 *	clerk_wake(c)                       something may have come
 *	taken(context, delivery)            from the loop: GIVEN; or IDLE: nothing is left that can be done now;
 *	                                    or STUCK: wake it in a moment
 *	clerk_give_back(c, delivery)        with its verdicts
 *	clerk_stop(c)                       when all deliveries are back
 */
#ifndef BRIDGE_SMTP_CLERK_H
#define BRIDGE_SMTP_CLERK_H

#include "bridge-smtp/delivery.h"
#include "queue/config.h"

struct clerk;

typedef void clerk_taken(void *context, struct delivery *delivery);

enum clerk_echo { CLERK_QUIET, CLERK_VERBOSE };

/* Takes a slot of each hop. CONFIG is borrowed and does not change. */
enum outcome clerk_start(struct clerk **c, struct event_base *base, const struct config *config, enum clerk_echo echo,
    clerk_taken *taken, void *context, struct error *err);
void clerk_wake(struct clerk *c);
void clerk_give_back(struct clerk *c, struct delivery *d);
/* TEXT about ABOUT goes to the log, for the operator. */
void clerk_trouble(struct clerk *c, const char *about, const char *text);
/* No more deliveries are given out; those under way are still to come back. */
void clerk_hold(struct clerk *c);
/* Settles what came back, ends the thread. The first failure that stays for later, if there was one, is in ERR. */
enum outcome clerk_stop(struct clerk *c, struct error *err);
/* Where mail appears: queue/new, and the hops served. For a watch. */
const struct dir *clerk_places(const struct clerk *c, size_t i); /* null after the last */

#endif
