/*
 * Delivery-status reports: RFC 3464 inside RFC 6522, with the RFC 3461 parameters of the message they tell about.
 * A report is content only; queue/settle.h hands it over with the null sender, to the message's sender, or to
 * postmaster when the sender was null: nothing is ever reported about a report.
 */
#ifndef QUEUE_REPORT_H
#define QUEUE_REPORT_H

#include "lib/stream.h"
#include "queue/message.h"

enum report_action { /* RFC 3464 2.3.3 */
	REPORT_FAILED,
	REPORT_DELAYED,
	REPORT_DELIVERED, /* NOTIFY=SUCCESS: laid in the mailbox */
	REPORT_RELAYED,	  /* NOTIFY=SUCCESS: left for a system that does not report */
	REPORT_EXPANDED,  /* NOTIFY=SUCCESS: resent to the targets of an alias */
};

struct report_recipient {
	const struct recipient *recipient; /* of the envelope */
	const char *address;		   /* Final-Recipient: where it was going when it ended */
	const char *status;		   /* RFC 3463 */
	const char *reason;		   /* Diagnostic-Code and the plain words; may be null */
};

struct report {
	enum report_action action;
	struct id id; /* of the report itself, for Message-ID and the boundary */
	const char *host;
	const char *domain; /* of the From address MAILER-DAEMON@domain and of Reporting-MTA */
	const char *to;	    /* the sender of the message */
	int64_t now;
	int64_t arrived;    /* of the message, at this host */
	uint64_t retry_for; /* delayed: seconds that it is still tried, 0 unknown */
	struct report_recipient *recipients;
	size_t recipient_count;
};

/* Does the sender want to hear this about that recipient (RFC 3461 5.2)? */
bool report_wanted(const struct recipient *r, enum report_action action);
/*
 * Writes the report's content (CRLF form). The whole message is returned when RET=FULL and the content is at most
 * REPORT_FULL_MAX octets and the action is failed, else its headers (RFC 3461 4.3), as many whole lines as that
 * limit takes; 8-bit headers make the part message/global-headers (RFC 6533) when the envelope has SMTPUTF8, else
 * they are returned as they are with 8bit. What no 8-bit transport takes (NUL, bare CR, lines above 998 octets) is
 * never returned in full, and its headers go as quoted-printable (RFC 6522 4). No other line is above 998 octets;
 * what the envelope says is shown without control characters.
 */
#define REPORT_FULL_MAX 65536
enum outcome report_write(const struct report *r, struct message *m, struct sink *out, struct error *err);

#endif
