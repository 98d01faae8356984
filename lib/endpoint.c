#include "lib/endpoint.h"

#include "lib/text.h"

/* "65535". */
#define PORT_DIGITS 5

static bool host_good(struct view host, bool bracketed)
{
	for (size_t i = 0; i < host.length; i++) {
		uint8_t c = host.bytes[i];

		if (c <= ' ' || c == '[' || c == ']' || (c == ':' && !bracketed))
			return false;
	}
	return host.length > 0 && host.length <= LIMIT_DOMAIN;
}

bool endpoint_parse(const char *text, struct endpoint *e)
{
	const char *colon = strrchr(text, ':');
	struct view host;
	uint64_t port;

	if (colon == NULL || strlen(colon + 1) > PORT_DIGITS ||
	    !number_parse(view_text(colon + 1), UINT16_MAX, &port))
		return false;
	host = view_of(text, (size_t)(colon - text));
	e->port = (uint16_t)port;
	e->bracketed = host.length > 2 && host.bytes[0] == '[' && host.bytes[host.length - 1] == ']';
	if (e->bracketed)
		host = view_of(host.bytes + 1, host.length - 2);
	if (!host_good(host, e->bracketed))
		return false;
	memcpy(e->host, host.bytes, host.length);
	e->host[host.length] = '\0';
	return true;
}
