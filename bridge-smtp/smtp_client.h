/*
 * The client's side of SMTP (RFC 5321) and LMTP (RFC 2033) as a machine without descriptor, clock or log: one
 * session, any number of messages one after the other.
 *
 *	smtp_client_init(&c, &options);
 *	smtp_client_feed(&c, bytes);                    what the server said; takes all of it
 *	while (smtp_client_next(&c, &event)) ...        after every call, until it says that there is nothing
 *	write view_buf(&c.output), buf_clear(&c.output)
 *
 * Life: greeting, EHLO (HELO when that fails), STARTTLS if the policy says so, AUTH if there is a user, then READY. The
 * driver gives a message with smtp_client_message and gets RECIPIENT verdicts, WANTS_TEXT when text may be sent
 * (smtp_client_text, smtp_client_text_end), and DONE. Commands are pipelined where the server offers it
 * (RFC 2920); text goes by BDAT where CHUNKING is offered (RFC 3030), else by DATA with stuffed dots.
 *
 * Laws: cutting the input differently changes nothing; every message gets exactly one DONE, whatever the server says
 * (behind smtp_client_lost too), and each of its recipients one verdict, by RECIPIENT or by DONE; behind DONE comes
 * READY, FAILED or CLOSED; nothing that came in clear behind STARTTLS is believed; no lone CR or LF goes out by DATA.
 */
#ifndef BRIDGE_SMTP_SMTP_CLIENT_H
#define BRIDGE_SMTP_SMTP_CLIENT_H

#include "bridge-smtp/smtp_reply.h"
#include "queue/envelope.h"

/* Commands of one message that may be on their way unanswered, octets: what a server must be ready to take while it
 * cannot get its replies out. It bounds what the engine itself puts into the output, too. */
#define SMTP_CLIENT_WINDOW 16384
/* Commands and text that together are no longer are sent at once, by BDAT: one turn-around for all. Servers read 4,096
 * octets at a time (Postfix does) and put out the replies they have before they read more; the last reply would then
 * wait, by Nagle's algorithm, for an acknowledgement that the client's system delays: 40 ms a message. */
#define SMTP_CLIENT_EAGER 4096
/* The longest BDAT chunk: a server that refuses a large text is heard that early. Smaller ones would not be free, for
 * the reason above. The chunk is not gathered anywhere: what is still to come is known. */
#define SMTP_CLIENT_CHUNK 1048576
/* Recipients of one message where the server says nothing: RFC 5321 4.5.3.1.8. */
#define SMTP_CLIENT_RECIPIENTS 100

enum smtp_client_tls {
	SMTP_TLS_NEVER,
	SMTP_TLS_OFFERED, /* STARTTLS when the server offers it (RFC 7435); the driver may try again without when it fails */
	SMTP_TLS_NEEDED, /* no mail without: a session without STARTTLS fails as "later" */
};

struct smtp_client_options {
	bool lmtp;
	const char *name; /* ours, for EHLO */
	enum smtp_client_tls tls;
	bool secured;	      /* implicit TLS: it stands already */
	const char *user;     /* AUTH; null: none */
	const char *password; /* only sent under TLS, unless clear_auth */
	bool clear_auth;
};

enum smtp_client_event_kind {
	SMTP_CLIENT_STARTTLS, /* write the output, begin TLS, call smtp_client_secured */
	SMTP_CLIENT_READY,    /* a message may be given; comes behind every DONE, too */
	SMTP_CLIENT_RECIPIENT, /* `place` of the message's list: refused (verdict); what was taken is told only by DONE */
	SMTP_CLIENT_WANTS_TEXT, /* send the text, though with little text no recipient may have been taken yet */
	SMTP_CLIENT_DONE, /* the message is over. verdict: for all recipients not told by RECIPIENT; over LMTP each
				 * recipient is told by a RECIPIENT event of its own, done ones too, before it */
	SMTP_CLIENT_FAILED, /* the session cannot go on (greeting 4xx/5xx, AUTH or TLS refused, nonsense): verdict. Write
				 * the output, which may hold a QUIT, and close; `stage` says how far it had come */
	SMTP_CLIENT_CLOSED, /* QUIT was answered, or the server said 421 after the first READY: verdict; close */
};

struct smtp_client_event {
	enum smtp_client_event_kind kind;
	size_t place;
	struct smtp_verdict verdict;
};

/* What a message needs; the struct is copied, what it points to is borrowed until DONE. */
struct smtp_client_message {
	const char *sender;
	struct recipient *const *recipients; /* in order */
	const char *const
	    *addresses; /* instead of the `address` of each; null, or null for one: as it stands there */
	size_t count;
	uint64_t size;	     /* octets of the text that will be given, exactly: BDAT announces it */
	enum body_type body; /* BODY_BINARY: bare CR or NUL: only by BDAT with BINARYMIME */
	bool smtputf8; /* header or envelope cannot do without (an address with octets above 127 is seen here) */
	enum return_content ret;
	const char *envid;
};

enum smtp_extension {
	SMTP_EXT_PIPELINING = 1,
	SMTP_EXT_SIZE = 2,
	SMTP_EXT_8BITMIME = 4,
	SMTP_EXT_SMTPUTF8 = 8,
	SMTP_EXT_DSN = 16,
	SMTP_EXT_CHUNKING = 32,
	SMTP_EXT_BINARYMIME = 64,
	SMTP_EXT_STARTTLS = 128,
	SMTP_EXT_ENHANCED = 256,
	SMTP_EXT_AUTH_PLAIN = 512,
	SMTP_EXT_AUTH_LOGIN = 1024,
};

/* How far the session is; after FAILED and CLOSED, how far it had come. */
enum smtp_client_stage {
	SMTP_STAGE_GREETING,
	SMTP_STAGE_EHLO,
	SMTP_STAGE_HELO,
	SMTP_STAGE_STARTTLS,
	SMTP_STAGE_TLS, /* waits for smtp_client_secured */
	SMTP_STAGE_AUTH,
	SMTP_STAGE_READY,
	SMTP_STAGE_MESSAGE,
	SMTP_STAGE_RESET,
	SMTP_STAGE_QUIT,
};

struct smtp_client {
	const struct smtp_client_options *options; /* borrowed */
	struct buf output;
	enum smtp_client_stage stage;
	unsigned extensions;	 /* enum smtp_extension, of the last EHLO */
	uint64_t max_size;	 /* the server's SIZE, 0: not said */
	uint64_t max_recipients; /* LIMITS RCPTMAX (RFC 9422) or 100 where nothing is said; the driver splits */
	uint64_t max_messages;	 /* LIMITS MAILMAX: of one session; 0: not said. The driver counts and quits */
	uint64_t replies;	 /* that came whole */
	bool secured;
	bool
	    text_sent; /* the end of the text has been put into the output and no verdict came: if the connection is lost now,
			 * the message may arrive twice. Stays so behind DONE, until the next message */
	struct smtp_client_own *own;
};

void smtp_client_init(struct smtp_client *c, const struct smtp_client_options *options);
void smtp_client_release(struct smtp_client *c);
void smtp_client_feed(struct smtp_client *c, struct view in);
bool smtp_client_next(struct smtp_client *c, struct smtp_client_event *event);
/* TLS stands: what the server said before is forgotten, EHLO is said again (RFC 3207 4.2). */
void smtp_client_secured(struct smtp_client *c);
/*
 * Gives a message; only when READY. What the server cannot take is told without sending it: SIZE (5.3.4), SMTPUTF8
 * (5.6.7), 8BITMIME (5.6.3), binary (5.6.1), a malformed sender (5.1.7) come as DONE with that verdict; a recipient
 * that is malformed (5.1.3) or that alone needs SMTPUTF8 as RECIPIENT. Text lines above 998 octets are sent as they are.
 */
void smtp_client_message(struct smtp_client *c, const struct smtp_client_message *m);
/* Text of the message, canonical form; between WANTS_TEXT and text_end. The driver stops while `output` is large; what
 * it gives after DONE is ignored. */
void smtp_client_text(struct smtp_client *c, struct view bytes);
/* The text is whole. One that is not as long as was said, or has lone CR or LF where they cannot be sent, never
 * arrives: DONE and FAILED. */
void smtp_client_text_end(struct smtp_client *c);
/* RSET is not needed between messages. Asks for the end: QUIT, now or behind the message under way, then CLOSED. */
void smtp_client_quit(struct smtp_client *c);
/* The connection is gone, or the driver cannot go on (a time-out, text that cannot be read): WHY. DONE for the message
 * under way, with what is known or "later" and code 0; then FAILED, or CLOSED after the first READY. */
void smtp_client_lost(struct smtp_client *c, const char *why);

#endif
