/*
 * What is said to somebody who wants to hand a message over, before it comes: may this recipient be served for him, and
 * how large may the message be? Everything is judged by the routes of now, as a relay pass will judge it later, so what is
 * refused here is not accepted first and returned days later.
 */
#ifndef QUEUE_JUDGE_H
#define QUEUE_JUDGE_H

#include "lib/file.h"
#include "queue/config.h"
#include "queue/entry.h"
#include "queue/route.h"

enum judge_trust {
	JUDGE_STRANGER, /* anybody: only for our own users and the domains that we take mail for */
	JUDGE_KNOWN,	/* may relay: a user who logged in, a listed network, a program of this machine */
};

struct judgement {
	enum outcome outcome;
	char status
	    [STATUS_TEXT]; /* RFC 3463: 2.1.5, or 5.1.1 unknown user, 5.1.2 no route, 5.1.3 syntax, 5.3.4 too large,
				    * 5.7.1 no relaying */
	char text[LIMIT_REASON];	     /* why not, in a sentence */
	uint64_t max_size;		     /* octets that the narrowest link known on the way takes */
	char hop[LIMIT_HOST_NAME + 16];	     /* as in struct route; "" for an alias of several */
	char neighbour[LIMIT_HOST_NAME + 1]; /* whose link that is; "" when it leaves by no neighbour's */
};

/*
 * Judges ADDRESS, whose message has SIZE octets (0: not known yet). MAIL is the directory of Maildirs. An alias is judged
 * by its narrowest target: what it leads to is permitted by whoever wrote it.
 */
void judge_recipient(struct judgement *j, const struct config *c, const struct dir *mail, const char *address,
    enum judge_trust trust, uint64_t size);
/* Narrows J by the way that R is, and its limits further on. */
void judge_way(struct judgement *j, const struct config *c, const struct route *r);
/* The sentence for a message of SIZE octets that the way of J does not take: the limit, what the message has and, where the
 * link's rate is known, how long it would have taken. */
void judge_too_large(struct judgement *j, const struct config *c, uint64_t size);

#endif
