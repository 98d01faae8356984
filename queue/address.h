/*
 * Mail addresses: RFC 5321 4.1.2 mailboxes with quoted local parts and address literals, RFC 6531 UTF-8, and UUCP
 * bang paths. Addresses are kept as text without angle brackets; parsing says what the text is made of.
 *
 * Not honoured, by intent: source routes (RFC 5321 C: "@a,@b:user@c" is read as user@c) and the percent hack
 * (user%host@relay is a mailbox named "user%host").
 */
#ifndef QUEUE_ADDRESS_H
#define QUEUE_ADDRESS_H

#include "lib/buf.h"
#include "lib/error.h"

enum address_kind {
	ADDRESS_NULL,	 /* "": the null sender */
	ADDRESS_LOCAL,	 /* "user": no domain */
	ADDRESS_MAILBOX, /* "user@domain", "\"a b\"@[192.0.2.1]" */
	ADDRESS_BANG,	 /* "b!c!user", "b!c!user@domain": an unquoted '!' and no empty part in the local part */
};

/*
 * A bang path with a domain is an explicit route only when that domain is the caller's own; elsewhere it is a mailbox
 * like any other. Who reads an address decides that: the kind is ADDRESS_BANG either way, and local and domain are
 * set as for a mailbox. Every `rest` can be parsed again. "!user@domain", whose path has an empty part, is
 * ADDRESS_MAILBOX; without a domain it is a fault.
 */
struct address {
	enum address_kind kind;
	struct view local;  /* as written, with quotes if it had them */
	struct view domain; /* without '@', with the brackets of a literal; empty when there is none */
	struct view first;  /* bang: the first hop of the local part */
	struct view rest;   /* bang: what follows its '!' in the local part */
	bool utf8;	    /* holds octets above 127: needs SMTPUTF8 */
	bool literal;	    /* the domain is an address literal */
};

/*
 * Parses TEXT (no brackets, no white space around). Views point into TEXT. EX_DATAERR with a sentence that names
 * the fault: empty parts, bad characters, unbalanced quotes, lengths above RFC 5321 4.5.3.1, malformed UTF-8,
 * control characters, domains with empty or over-long (63) labels, malformed literals. Lengths are octets, those of
 * labels characters (an A-label is never shorter than its U-label). '_' is taken in domains, where hosts have it.
 * A bang path without a domain may have LIMIT_BANG_PATH octets, and LIMIT_LOCAL_PART behind its last '!'.
 * Whatever is accepted reassembles from local, '@' and domain; on failure A is zeroed.
 */
enum outcome address_parse(struct address *a, struct view text, struct error *err);
/* The path form "<...>" of RFC 5321 with a source route dropped; "<>" is the null sender. */
enum outcome address_parse_path(struct address *a, struct view text, struct error *err);
/* Local part without quotes and backslashes, appended to OUT: "a b" for "\"a b\"". */
void address_local_plain(const struct address *a, struct buf *out);
/* Equality for mail: domain without case, local part exactly after unquoting. */
bool address_equal(const struct address *a, const struct address *b);

/* The sentence for a malformed address: TEXT (made printable, shortened) is no mail address, and REASON. EX_DATAERR. */
enum outcome address_fault(struct error *err, struct view text, const char *reason);

/*
 * The mailboxes in an address-list header field (RFC 5322 3.4: groups, comments, display names, folded lines,
 * quoted strings, obsolete routes and empty elements), in order; a malformed part is EX_DATAERR with a sentence that
 * quotes it, after VISIT has seen what stands before it. VISIT gets each as text without brackets, comments and
 * white space, which address_parse accepts; never the null sender. Addresses without a domain are taken, a display
 * name may hold what ought to be quoted, and a group may end with the field.
 */
typedef void address_visit(void *context, struct view address);
enum outcome address_list(struct view field_body, address_visit *visit, void *context, struct error *err);

#endif
