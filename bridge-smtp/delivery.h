/*
 * One message on its way to one destination: made by the clerk (bridge-smtp/clerk.h), worked on in the loop, given back with a
 * verdict for each recipient. Whoever has it at the moment owns it whole; nothing in it is shared.
 */
#ifndef BRIDGE_SMTP_DELIVERY_H
#define BRIDGE_SMTP_DELIVERY_H

#include "bridge-smtp/smtp_client.h"
#include "lib/net_worker.h"
#include "queue/work.h"

/* What a delivery came to as a whole. */
enum delivery_end {
	DELIVERY_OPEN,	 /* under way */
	DELIVERY_JUDGED, /* every recipient has its verdict */
	DELIVERY_BLOCKED, /* the destination could not be reached or used: `why`; the others for it need not be tried now */
	DELIVERY_RETURNED, /* not tried: goes back as it was */
};

struct delivery_recipient {
	struct recipient *recipient; /* in the envelope */
	const char *address;	     /* in the record: where it goes from here */
	size_t place;		     /* in the record */
	bool judged;
	struct smtp_verdict verdict;
};

/* From the clerk: a delivery, or (and nothing else is set) that nothing is left that can be done now, or that something cannot be done
 * that may be possible in a moment. To the clerk, IDLE says that something may have come, and TROUBLE is for the log. */
enum delivery_news { DELIVERY_GIVEN, DELIVERY_IDLE, DELIVERY_STUCK, DELIVERY_TROUBLE };

struct delivery {
	struct job job;
	enum delivery_news news;
	struct delivery *next; /* in a list of its present owner */
	char *destination;     /* as route_destination says it */
	bool lmtp;
	uint64_t given;		  /* when the clerk gave it, milliseconds */
	struct settle_item *item; /* the clerk's; the loop reads the content through it, and no more */
	enum body_type body;	  /* what sending it needs: long lines alone need nothing */
	bool smtputf8;
	struct buf trace; /* Received lines, to be sent in front */
	struct delivery_recipient *recipients;
	size_t count;
	enum delivery_end end;
	struct smtp_verdict why; /* BLOCKED */
	bool dsn;		 /* the server takes over reporting success (RFC 3461 5.2.2) */
	bool proven;		 /* the destination has been reached: more may go there at once */
};

void delivery_free(struct delivery *d);
/* The same verdict for every recipient that has none yet. */
void delivery_judge_rest(struct delivery *d, const struct smtp_verdict *verdict);
/* A verdict of our own making: "later" with STATUS and a sentence. */
void verdict_later(struct smtp_verdict *v, const char *status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void verdict_never(struct smtp_verdict *v, const char *status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
