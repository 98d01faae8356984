/*
 * What SASL mechanisms say (RFC 4422), for every protocol that has them. As a server, nothing here knows a
 * password: what the client claims is taken apart, and whoever asked judges it. Secrets are in buffers that the caller
 * wipes with buf_wipe; nothing is left elsewhere.
 */
#ifndef LIB_SASL_H
#define LIB_SASL_H

#include "lib/buf.h"

enum sasl_claim {
	SASL_CLAIM,	  /* a user and a password, well-formed */
	SASL_NOT_BASE64,  /* RFC 4648 4: strictly */
	SASL_MALFORMED,	  /* not what the mechanism says */
	SASL_FOR_ANOTHER, /* the authorization identity is not the user */
	SASL_WRONG,	  /* in form, but such a user or password cannot exist */
};

/* Sets OUT to what TEXT says in base64; false when it is not base64. */
bool sasl_decode(struct view text, struct buf *out);
/* SASL_CLAIM or SASL_WRONG: a user is UTF-8 without control characters; neither is empty, and a password has no NUL. */
enum sasl_claim sasl_judge(const struct buf *user, const struct buf *password);
/* Takes apart a response of PLAIN (RFC 4616), TEXT in base64: "[authorization identity] NUL user NUL password". */
enum sasl_claim sasl_plain(struct view text, struct buf *user, struct buf *password);

/* Appends BYTES in base64. */
void sasl_encode(struct view bytes, struct buf *out);
/* Appends the response of PLAIN for USER with PASSWORD (null: an empty one), in base64. */
void sasl_plain_make(const char *user, const char *password, struct buf *out);

#endif
