/*
 * A port of a host, in words: "mail.example.org:25", "192.0.2.1:25", "[2001:db8::1]:25" (RFC 3986 3.2.2, RFC 5952 6).
 */
#ifndef LIB_ENDPOINT_H
#define LIB_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/limits.h"

struct endpoint {
	char host[LIMIT_DOMAIN + 1]; /* an address without the brackets */
	bool bracketed;		     /* it stood in them */
	uint16_t port;
};

/*
 * False: TEXT is none; E is then undefined. HOST may be anything without white space, and has a colon only in brackets; whether there
 * is such a host, and whether port 0 will do, is for the caller to say.
 */
bool endpoint_parse(const char *text, struct endpoint *e);

#endif
