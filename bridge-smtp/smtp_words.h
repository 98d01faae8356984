/*
 * The words of SMTP commands: paths and ESMTP parameters (RFC 5321 4.1.2), with those of SIZE (RFC 1870), 8BITMIME
 * (RFC 6152), BINARYMIME (RFC 3030), SMTPUTF8 (RFC 6531), DSN (RFC 3461) and AUTH (RFC 4954 5). Nothing here knows
 * the state of a session; what is wrong comes back as the answer to give.
 *
 *	struct smtp_mail m;
 *	smtp_mail_init(&m);
 *	if (smtp_mail_parse(&m, arguments, &complaint)) ... m.address, m.size
 *	else answer with complaint.code, complaint.status, complaint.text
 *	smtp_mail_release(&m);
 *
 * Taken though RFC 5321 forbids them, because mail programs write them: blanks behind "FROM:" and at the end of a line.
 */
#ifndef BRIDGE_SMTP_SMTP_WORDS_H
#define BRIDGE_SMTP_SMTP_WORDS_H

#include "lib/lines.h"
#include "queue/address.h"
#include "queue/envelope.h"

/* An answer: the reply code, the enhanced status code (RFC 3463) and a sentence. */
struct smtp_complaint {
	int code;
	const char *status;
	char text[400];
};

/* Sets the complaint; always false, so that a parser can end with it. */
bool smtp_complain(struct smtp_complaint *c, int code, const char *status, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/*
 * Takes a path, "<...>", off the front of REST: it ends at the first '>' outside quotes, and a space or nothing
 * follows it. PATH has the brackets; what stands in them is not looked at.
 */
bool smtp_path(struct view *rest, struct view *path);

struct smtp_parameter {
	struct view keyword;
	struct view value;
	bool has_value;
};
/* Takes a parameter, "KEYWORD" or "KEYWORD=VALUE", off the front of REST. False when it is not one in form. */
bool smtp_parameter(struct view *rest, struct smtp_parameter *p);

/* Appends what xtext (RFC 3461 4) says; false when it is not well-formed. */
bool smtp_xtext_decode(struct view v, struct buf *out);

/* What MAIL says. */
struct smtp_mail {
	struct address address; /* into the arguments */
	uint64_t size;		/* UINT64_MAX: a number above it; 0: not said */
	enum body_type body;
	bool smtputf8;
	enum return_content ret;
	bool has_envid;
	struct buf envid;
};
void smtp_mail_init(struct smtp_mail *m);
void smtp_mail_release(struct smtp_mail *m);
/* ARGUMENTS: what follows "MAIL ", which is "FROM:<path>" and parameters. */
bool smtp_mail_parse(struct smtp_mail *m, struct view arguments, struct smtp_complaint *c);

/* What RCPT says. */
struct smtp_rcpt {
	struct address address;
	uint8_t notify;
	bool has_orcpt;
	bool utf8; /* holds octets above 127: only with SMTPUTF8 */
	struct buf orcpt;
};
void smtp_rcpt_init(struct smtp_rcpt *r);
void smtp_rcpt_release(struct smtp_rcpt *r);
bool smtp_rcpt_parse(struct smtp_rcpt *r, struct view arguments, struct smtp_complaint *c);
/* The address as it is handed on: without brackets and source route. */
struct view smtp_address_text(const struct address *a);

/* The argument of BDAT (RFC 3030 2): "SIZE" or "SIZE LAST". */
struct smtp_chunk {
	uint64_t size;
	bool last;
};
bool smtp_chunk_parse(struct smtp_chunk *chunk, struct view arguments);

/* A name that a client may give itself: visible ASCII that cannot break a Received line. */
bool smtp_helo_valid(struct view name);
/* A node for ETRN (RFC 1985), a domain; "@" or "#" may stand before it. */
bool smtp_node_valid(struct view node);

#endif
