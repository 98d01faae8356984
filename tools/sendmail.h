/*
 * Handing in a message as programs do that call `sendmail`: all of it is accepted, durably, or nothing is.
 * Every recipient is judged by the routes before anything is queued, so that a typing error comes back at
 * once and not as a report days later.
 *
 * Content is streamed; in memory are the header section and the addresses.
 */
#ifndef TOOLS_SENDMAIL_H
#define TOOLS_SENDMAIL_H

#include "queue/config.h"
#include "queue/queue.h"
#include "tools/compose.h"

/* A class that nobody asked for follows from the header: Precedence bulk, list or junk is bulk. */
enum sendmail_class { SENDMAIL_CLASS_BY_HEADER, SENDMAIL_CLASS_GIVEN };

struct sendmail_options {
	enum compose_mode mode;
	const char *sender; /* address, "" or "<>" for the null sender, null: LOGIN at the first domain */
	const char *login;  /* of the calling user; null: it has no name */
	const char *name;   /* for a From field that is added; may be null */
	const char *envid;  /* RFC 3461 4.4, decoded; may be null */
	enum return_content ret;
	uint8_t notify;
	enum sendmail_class class_from;
	enum message_class class;
	char *const *recipients; /* address lists, as on a command line */
	size_t recipient_count;
};

/* Gets one sentence for everything that is wrong, in order. */
typedef void sendmail_complain(void *context, const char *sentence);

/*
 * Queues the message in IN. *ID is its name when it was accepted. Otherwise COMPLAIN has heard why, ERR says
 * it of the first fault: EX_USAGE no recipient, EX_DATAERR bad address or too large a message, EX_NOUSER no
 * such user here, EX_NOHOST no route, EX_TEMPFAIL try again later.
 */
enum outcome sendmail_submit(const struct sendmail_options *o, const struct config *config, struct queue *queue,
    struct source *in, sendmail_complain *complain, void *context, struct id *id, struct error *err);

#endif
