/*
 * The mail that tells the owner of an outside box that a message stays there. It is a message like any other, from the null sender
 * and marked as made by a program (RFC 3834), so that nothing answers it.
 */
#ifndef BRIDGE_POP3_FETCH_NOTICE_H
#define BRIDGE_POP3_FETCH_NOTICE_H

#include "lib/id.h"
#include "lib/stream.h"

struct fetch_notice {
	struct id id; /* of the notice */
	const char *domain;
	const char *to;
	const char *box;    /* the name of its section */
	const char *server; /* and who that is */
	const char *user;
	struct view head;    /* the header section of the message, as much as is known; may be empty */
	uint64_t octets;     /* of the message */
	const char *why;     /* why it stays there: a sentence */
	const char *subject; /* of the notice, without the message's */
	int64_t now;
};

/* Writes the notice's content, canonical form, every line below 998 octets. */
enum outcome fetch_notice_write(const struct fetch_notice *n, struct sink *out, struct error *err);

#endif
