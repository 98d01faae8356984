/*
 * The server's side of SMTP (RFC 5321), submission (RFC 6409) and LMTP (RFC 2033) as a machine without descriptor,
 * clock or log. Bytes go in, events and bytes come out; whoever drives it decides what an event is answered with.
 *
 *	smtp_server_init(&s, &options);                    the greeting is in the output
 *	smtp_server_feed(&s, bytes)                        takes what it has room for
 *	while (smtp_server_next(&s, &event)) {
 *		switch (event.kind) ... smtp_server_reply(&s, 250, "2.1.5", "Ok")
 *	}
 *	write view_buf(&s.output); buf_clear(&s.output)
 *
 * An event that wants a verdict stops the machine: until the verdict is given, smtp_server_next says there is nothing,
 * and input waits. So a driver may take its time (a password, a disk) without holding up other sessions. Replies come
 * in the order of the commands, whatever was pipelined (RFC 2920). While the output holds more than SMTP_OUTPUT_MAX no
 * input is worked on: empty it and call smtp_server_next again, whether or not anything new has come.
 *
 * What a driver need not do: addresses are well-formed and UTF-8 in them goes with SMTPUTF8; SIZE, limits and the
 * order of commands are judged; TEXT has CRLF and no other CR or LF (unless lone CR under BODY_BINARY, or lone CR when
 * line ends are normalised), and keeps to max_size. It may hold NUL, long lines and octets above 127 whatever BODY says.
 *
 * Laws: cutting the input differently changes nothing; only CRLF ends a command, only CRLF.CRLF ends DATA; nothing
 * that was sent before TLS counts after it.
 */
#ifndef BRIDGE_SMTP_SMTP_SERVER_H
#define BRIDGE_SMTP_SMTP_SERVER_H

#include "lib/lines.h"
#include "queue/envelope.h"

enum smtp_service {
	SMTP_SERVICE_RELAY,	 /* port 25: from other servers */
	SMTP_SERVICE_SUBMISSION, /* ports 587 and 465: from users */
	SMTP_SERVICE_LMTP,	 /* LHLO; one answer a recipient behind the text */
};

/* What is offered and where the limits are. Borrowed: must outlive the machine. */
struct smtp_server_options {
	enum smtp_service service;
	const char *name;      /* of this host, in greeting and answers */
	uint64_t max_size;     /* SIZE; 0: none is told */
	size_t max_recipients; /* of one message; more are 452 4.5.3 */
	size_t max_messages;   /* of one session, LIMITS MAILMAX; 0: any number */
	/* Bad commands and senders, recipients and passwords refused for good; the last of so many is answered, and then the
	 * session ends with 421 4.7.0. 0: any number */
	unsigned max_errors;
	enum newlines newlines;
	bool starttls;	  /* offered until TLS is there */
	bool tls_needed;  /* no AUTH and no mail without TLS: 530 5.7.0 */
	bool auth;	  /* AUTH PLAIN and LOGIN are offered, if TLS is there or not needed */
	bool auth_tls;	  /* no AUTH without TLS: 538 5.7.11; mail may come in clear */
	bool auth_needed; /* no mail without AUTH: 530 5.7.0 */
	bool etrn;
};

enum smtp_event_kind {
	/* Wanting a verdict by smtp_server_reply (250: go on; 4xx, 5xx: refused; 421: and end the session): */
	SMTP_EVENT_AUTH,   /* user, password: 235 takes it. Wipe what you copy; the machine wipes its own */
	SMTP_EVENT_SENDER, /* text: the address (without brackets, "" for the null sender); the parameters of MAIL */
	SMTP_EVENT_RECIPIENT, /* text: the address, maybe without a domain ("Postmaster", "b!c!ann"); notify, orcpt */
	SMTP_EVENT_BEGIN, /* the text begins: 354 or 250 lets it come, else it is refused (and a BDAT chunk swallowed) */
	SMTP_EVENT_END, /* the text is whole: answered by smtp_server_reply; over LMTP once for each recipient that was taken */
	SMTP_EVENT_ETRN, /* text: the node asked for (RFC 1985) */
	/* Wanting none: */
	SMTP_EVENT_TEXT, /* bytes of the message, dots unstuffed; valid until the next call */
	SMTP_EVENT_RESET, /* a transaction that had begun (a SENDER was taken) ended without its END: drop what was gathered */
	SMTP_EVENT_STARTTLS, /* write the output, then begin TLS, then call smtp_server_secured */
	SMTP_EVENT_CLOSE,    /* write the output, then close: QUIT, 421, too many errors; text: why, for the log */
};

struct smtp_event {
	enum smtp_event_kind kind;
	/* All that is pointed to is valid until the verdict, or, where none is wanted, until the next call. */
	const char *text;	 /* address, node, reason; as above */
	const char *user;	 /* AUTH; the authorization identity, when given, must equal it */
	const char *password;	 /* AUTH */
	struct view bytes;	 /* TEXT */
	uint64_t size;		 /* SENDER: SIZE=, 0: not said */
	enum body_type body;	 /* SENDER: BODY= */
	bool smtputf8;		 /* SENDER */
	enum return_content ret; /* SENDER */
	const char *envid;	 /* SENDER, xtext decoded; null: not said */
	uint8_t notify;		 /* RECIPIENT */
	const char *orcpt;	 /* RECIPIENT, "rfc822;user@domain", xtext decoded; null: not said */
};

/* RFC 5321 4.5.3.1.4 asks for 512; the parameters of SMTPUTF8, DSN and AUTH may lengthen it. */
#define SMTP_COMMAND_MAX 2048
/* RFC 4954 4: a line of an AUTH exchange. */
#define SMTP_AUTH_MAX 12288
/* Input waiting in the machine; more is not taken. */
#define SMTP_INPUT_MAX 16384
/* Output that may wait before no more input is worked on. */
#define SMTP_OUTPUT_MAX 16384

enum smtp_server_state {
	SMTP_STATE_GREETED,   /* no EHLO yet */
	SMTP_STATE_READY,     /* EHLO, HELO or LHLO was said */
	SMTP_STATE_SENDER,    /* MAIL was taken */
	SMTP_STATE_RECIPIENT, /* at least one RCPT was taken */
	SMTP_STATE_DATA,      /* in the text of DATA */
	SMTP_STATE_BDAT,      /* between or in BDAT chunks */
	SMTP_STATE_AUTH,      /* in an exchange of AUTH */
	SMTP_STATE_TLS,	      /* waits for smtp_server_secured */
	SMTP_STATE_CLOSED,
};

struct smtp_server; /* its members are below; drivers read `output`, `helo`, `extended`, `secured`, `authenticated` */

/* The greeting (220) is put into the output. */
void smtp_server_init(struct smtp_server *s, const struct smtp_server_options *options);
/* Instead of the greeting: "421 4.7.0 TEXT", and the next event is CLOSE. Call right after init. */
void smtp_server_turn_away(struct smtp_server *s, int code, const char *status, const char *text);
void smtp_server_release(struct smtp_server *s);
/* Takes bytes off the front of IN, as many as there is room for; all, and for nothing, when the session is closed. */
void smtp_server_feed(struct smtp_server *s, struct view *in);
/* Sets EVENT and returns true, or false when more input or a verdict is needed. */
bool smtp_server_next(struct smtp_server *s, struct smtp_event *event);
/* The verdict on the last event: CODE, the enhanced STATUS ("2.1.5", RFC 3463; null: none) and a sentence, which may hold
 * what a stranger wrote and is made printable. */
void smtp_server_reply(struct smtp_server *s, int code, const char *status, const char *text);
/* Does it wait for a verdict? */
bool smtp_server_waits(const struct smtp_server *s);
/* TLS stands: the session begins anew (RFC 3207 4.2). INJECTED: bytes came in clear behind STARTTLS; the session is refused.
 * For implicit TLS call it right after init. */
/* Bytes fed between STARTTLS and smtp_server_secured, and those that stood behind STARTTLS in what was fed, count as INJECTED
 * whatever HOW says: they are thrown away, and the session ends with 554 5.7.0. */
enum smtp_secured { SMTP_SECURED_CLEAN, SMTP_SECURED_INJECTED };
void smtp_server_secured(struct smtp_server *s, enum smtp_secured how);
/* Ends the session from outside, at any point that is no verdict's turn too: "421 4.4.2 TEXT" and CLOSE. */
void smtp_server_end(struct smtp_server *s, const char *status, const char *text);

struct smtp_server {
	const struct smtp_server_options *options;
	struct buf output;
	char *helo;	     /* what the client calls itself; null before it did */
	bool extended;	     /* by EHLO or LHLO */
	bool secured;	     /* TLS is there */
	char *authenticated; /* user; null: none */
	/* What follows is the machine's own. */
	struct smtp_server_own *own;
};

#endif
