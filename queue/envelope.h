/*
 * The envelope: what mail software says about a message beside its content. It is stored behind the content in the
 * message file and travels in the batch item; `envelope_write` and `envelope_read` serve both.
 *
 * An envelope owns all its strings. Addresses are stored without angle brackets, as `address_parse` accepts them.
 */
#ifndef QUEUE_ENVELOPE_H
#define QUEUE_ENVELOPE_H

#include "lib/id.h"
#include "lib/wire.h"

enum message_class { CLASS_URGENT, CLASS_NORMAL, CLASS_BULK };
#define CLASS_COUNT 3

/* What the content holds at most: RFC 5322 lines of ASCII; octets above 127 (RFC 6152); NUL, bare CR, long lines. */
enum body_type { BODY_7BIT, BODY_8BIT, BODY_BINARY };

/* RFC 3461 4.3: how much of the message a report returns. */
enum return_content { RETURN_UNSET, RETURN_FULL, RETURN_HEADERS };

/* RFC 3461 4.1, bits; 0: not said (failure and delay are reported). */
enum notify { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8 };

struct recipient {
	uint32_t index;	  /* number among the recipients at the origin: with the id it names one delivery for ever */
	uint32_t ordinal; /* number among the recipients of the batch that brought the message here */
	uint8_t notify;	  /* enum notify */
	char *address;
	char *orcpt; /* RFC 3461 4.2, "rfc822;user@domain", xtext decoded; null: not said */
};

/* How a host came to the message. */
enum hop_protocol {
	HOP_LOCAL, /* a program handed it in */
	HOP_BATCH, /* a neighbour's batch brought it */
	HOP_SMTP,  /* and the rest are the "with" names of RFC 3848 */
	HOP_ESMTP,
	HOP_ESMTPS,
	HOP_ESMTPSA,
	HOP_ESMTPA,
	HOP_LMTP,
	HOP_POP3,
	HOP_UUCP,
	HOP_REPORT,   /* made here: a delivery-status report */
	HOP_EXPANDED, /* made here from another message whose recipient was an alias of several, or of one elsewhere */
};

struct hop {
	char *host;
	int64_t time; /* by that host's clock */
	uint8_t protocol;
	char *
	    client; /* who handed it in there, as the from clause of RFC 5321 4.4 has it: "mail.example.org ([192.0.2.1])";
		       * null: not said */
};

struct envelope {
	struct id id;
	enum message_class class;
	enum body_type body;
	bool smtputf8;
	enum return_content ret;
	char *envid;  /* RFC 3461 4.4, xtext decoded; null: not said */
	char *sender; /* "" is the null sender */
	uint64_t
	    lifetime;  /* seconds left to deliver it in, counted by each host for itself; 0: by the route's rule */
	uint64_t size; /* of the content, octets */

	struct recipient *recipients;
	size_t recipient_count;
	size_t recipient_capacity;

	struct hop *hops; /* oldest first; the first is the origin */
	size_t hop_count;
	size_t hop_capacity;

	/* Where it came from; on disk only, not on the air. */
	char *neighbour;	    /* null: handed in here */
	uint32_t batch_incarnation; /* of the batch that brought it */
	uint64_t batch_sequence;
};

void envelope_init(struct envelope *e);
void envelope_release(struct envelope *e);
/* Adds a recipient with the next index; ADDRESS is copied. The returned place is valid until the next call. */
struct recipient *envelope_add_recipient(struct envelope *e, const char *address);
/* The recipient with number INDEX; null: the envelope has none. */
const struct recipient *envelope_recipient(const struct envelope *e, uint32_t index);
void envelope_add_hop(struct envelope *e, const char *host, int64_t time, enum hop_protocol protocol);
/* Says of the hop added last who the client was; what does not fit LIMIT_CLIENT or is no plain line is left out. */
void envelope_hop_client(struct envelope *e, const char *client);

/* What is written relative to the item before it in the same batch; zero it for the first, and for a file. */
struct envelope_context {
	struct id id;
	int64_t time;
};

enum envelope_form {
	ENVELOPE_ON_DISK, /* all of it */
	ENVELOPE_ON_AIR,  /* without ordinals and where it came from */
};

/* Appends the encoding to OUT, which may fail by its maximum. */
void envelope_write(
    const struct envelope *e, enum envelope_form form, struct envelope_context *context, struct buf *out);
/*
 * Reads one encoding from R and sets E whole; false (and E released) when it is malformed: bad host name or
 * address syntax is *not* judged here, lengths and counts are. Strings never hold NUL, CR or LF.
 */
bool envelope_read(struct envelope *e, struct envelope_context *context, struct reader *r);

const char *class_name(enum message_class class); /* "urgent", "normal", "bulk" */
bool class_parse(const char *name, enum message_class *class);
/* "never" or "success,failure,delay": the value of NOTIFY=, into a static-sized text. Parsing ignores case. */
void notify_print(uint8_t notify, char out[static 32]);
bool notify_parse(const char *text, uint8_t *notify);

#endif
