/*
 * Replies of an SMTP or LMTP server (RFC 5321 4.2) and what they mean. The one place where reply codes are judged.
 *
 *	smtp_reply_reader_init(&r);
 *	while (smtp_reply_feed(&r, &in) == SMTP_REPLY_WHOLE) {
 *		... r.reply.code, r.reply.status, view_buf(&r.reply.text)
 *		smtp_reply_next(&r);
 *	}
 *
 * Only CRLF ends a line of a reply. Servers put what they were sent, and what other programs told them, into their
 * words; if a lone LF ended a line, the words could pass for the next reply, and from there on every reply would be
 * taken for that of the command before. So a lone CR, LF or NUL is one more octet of text, and the code in front of
 * it holds. What has not the form of a reply is nonsense, and nothing can be known behind it.
 */
#ifndef BRIDGE_SMTP_SMTP_REPLY_H
#define BRIDGE_SMTP_SMTP_REPLY_H

#include "lib/error.h"
#include "lib/limits.h"
#include "lib/lines.h"

/* RFC 5321 4.5.3.1.5 has 512 octets for a line; longer ones are read, and their text is cut here. */
#define SMTP_REPLY_LINE 2048
/* Lines and octets of one reply; more is nonsense. An EHLO has two dozen lines. */
#define SMTP_REPLY_LINES 256
#define SMTP_REPLY_MAX	 65536

/* Room for "5.123.456". */
#define SMTP_STATUS_TEXT 12

/* A verdict on a command, a recipient or a message. The outcome follows from the reply code: 2xx done, 4xx later, 5xx
 * never; what is no valid reply is later. */
struct smtp_verdict {
	enum outcome outcome;
	int code;		       /* 0: none was received */
	char status[SMTP_STATUS_TEXT]; /* enhanced code (RFC 2034) or what the code stands for: "4.0.0" */
	char text[LIMIT_REASON];       /* the server's own words, printable, lines joined */
};

struct smtp_reply {
	int code;		       /* 200 to 599 */
	char status[SMTP_STATUS_TEXT]; /* RFC 3463, only of the code's own class; "": not said */
	struct buf text;	       /* the words of all lines, without code and status, '\n' between lines */
};

enum smtp_reply_state {
	SMTP_REPLY_MORE,     /* what was fed is no whole reply yet */
	SMTP_REPLY_WHOLE,    /* `reply` holds until smtp_reply_next */
	SMTP_REPLY_NONSENSE, /* for good: `reply.code` is 0, `reply.text` says what is wrong */
};

struct smtp_reply_reader {
	struct smtp_reply reply;
	enum smtp_reply_state state;
	struct line_reader line;
	size_t lines;
	size_t octets;
};

void smtp_reply_reader_init(struct smtp_reply_reader *r);
void smtp_reply_reader_release(struct smtp_reply_reader *r);
/* Takes bytes off the front of IN until a reply is whole or IN is empty. */
enum smtp_reply_state smtp_reply_feed(struct smtp_reply_reader *r, struct view *in);
/* Begins the next reply; not after nonsense. */
void smtp_reply_next(struct smtp_reply_reader *r);

/* What a reply code stands for: 2xx done, 4xx later, 5xx never; anything else later, since nothing is known. */
enum outcome smtp_outcome(int code);
/* The verdict that R is. */
void smtp_verdict_of(struct smtp_verdict *v, const struct smtp_reply *r);
/* A verdict of our own, without code. */
void smtp_verdict_set(struct smtp_verdict *v, enum outcome outcome, const char *status, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
