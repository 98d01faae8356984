/*
 * The text side of sendmail: what is done to a message that a program hands in, in one pass and with only its
 * header section in memory.
 *
 *  - a leading mbox "From " line is dropped
 *  - From, Date and Message-ID are put in front when they are missing (RFC 5322 3.6); nothing else is added
 *  - when the recipients are taken from the header, Bcc and Resent-Bcc are left out
 *
 * A message that begins with no field has an empty header: what is put in front ends with an empty line then,
 * and everything handed in is its body.
 */
#ifndef TOOLS_COMPOSE_H
#define TOOLS_COMPOSE_H

#include "lib/stream.h"
#include "queue/address.h"

/* Ends the input at a line that holds nothing but a dot, which is swallowed with its line end. */
struct dot_source {
	struct source source;
	struct source *below; /* borrowed */
	struct buf ready;
	int place; /* in a line: see compose.c */
	bool ended;
};
void dot_source_init(struct dot_source *s, struct source *below);
void dot_source_release(struct dot_source *s);

struct compose {
	struct buf section;
	struct buf extra;		 /* what was read beyond it */
	struct view fields;		 /* in section */
	struct view rest;		 /* of the section, behind the fields: the empty line, or what is no field */
	bool resent;			 /* has Resent- fields: RFC 5322 3.6.6 */
	bool has_from, has_date, has_id; /* their Resent- forms when it was resent */
	bool bulk;			 /* Precedence: bulk, list or junk */
};

/* Reads the header section from IN and looks at it. EX_DATAERR when the fields go on beyond
 * LIMIT_HEADER_SECTION. */
enum outcome compose_read(struct compose *c, struct source *in, struct error *err);
void compose_release(struct compose *c);

/*
 * Visits the addresses in To, Cc and Bcc, or in Resent-To, Resent-Cc and Resent-Bcc when there are Resent-
 * fields. COMPLAIN gets a sentence for every field that cannot be read; the outcome is that of the first, in
 * ERR.
 */
typedef void compose_complain(void *context, const struct error *err);
enum outcome compose_recipients(
    const struct compose *c, address_visit *visit, compose_complain *complain, void *context, struct error *err);

enum compose_mode {
	COMPOSE_AS_IS,	     /* recipients were named beside the message */
	COMPOSE_FROM_HEADER, /* recipients were taken from the header */
};

struct compose_author {
	const char *address;
	const char *name; /* null or "": none */
	const char *id;	  /* message id, without the brackets */
	int64_t date;
};

/* Appends the fields that are missing, with CRLF. */
void compose_additions(
    const struct compose *c, enum compose_mode mode, const struct compose_author *author, struct buf *out);
/* Writes the whole message in canonical form: ADDITIONS, the header, and the rest of IN. */
enum outcome compose_write(const struct compose *c, enum compose_mode mode, struct view additions, struct source *in,
    struct sink *out, struct error *err);

#endif
