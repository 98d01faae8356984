#include <arpa/inet.h>

#include "lib/alloc.h"
#include "lib/text.h"
#include "queue/config.h"
#include "queue/route.h"

/* "*", or "*.org": nobody's own domains. */
static bool whole_world(const char *pattern)
{
	return strcmp(pattern, "*") == 0 || (text_starts(pattern, "*.") && strchr(pattern + 2, '.') == NULL);
}

bool config_route_public(const struct config_route *r)
{
	if (r->public != PUBLIC_BY_PATTERN)
		return r->public == PUBLIC_YES;
	return r->via != VIA_SMTP && !whole_world(r->pattern);
}

bool config_calls(const struct config_neighbour *n)
{
	for (size_t i = 0; i < n->call.count; i++)
		if (!text_starts(n->call.items[i], "dir:"))
			return true;
	return false;
}

bool config_this_machine(const char *host)
{
	return text_same(host, "localhost") || text_starts(host, "127.") || strcmp(host, "[::1]") == 0 ||
	       strcmp(host, "::1") == 0;
}

const struct config_fetch *config_fetch(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->fetch_count; i++)
		if (strcmp(c->fetches[i].name, name) == 0)
			return &c->fetches[i];
	return NULL;
}

const char *config_mail_name(const struct config *c, const char *name)
{
	if (name != NULL)
		return name;
	return c->domains.count > 0 ? c->domains.items[0] : c->host;
}

/* The name itself before the longest "*.domain" before "*". */
static size_t destination_rank(const char *pattern, const char *name)
{
	if (text_same(pattern, name))
		return SIZE_MAX;
	if (pattern[0] != '*' || name[0] == '/' || !route_pattern_matches(pattern, view_text(name)))
		return 0;
	return strlen(pattern);
}

const struct config_destination *config_destination(const struct config *c, const char *name)
{
	const struct config_destination *best = NULL;
	size_t best_rank = 0;

	for (size_t i = 0; i < c->destination_count; i++) {
		size_t rank = destination_rank(c->destinations[i].pattern, name);

		if (rank > best_rank) {
			best = &c->destinations[i];
			best_rank = rank;
		}
	}
	return best;
}

/* Which of COUNT prefixes TEXT begins with; the first when with none. */
static size_t service_of(const char *text, const char *const names[], size_t count, const char **address)
{
	for (size_t i = 0; i < count; i++)
		if (text_starts(text, names[i])) {
			*address = text + strlen(names[i]);
			return i;
		}
	*address = text;
	return 0;
}

enum listen_service listen_service(const char *text, const char **address)
{
	static const char *const names[] = {
	    [LISTEN_SMTP] = "smtp:",
	    [LISTEN_SUBMISSION] = "submission:",
	    [LISTEN_SUBMISSIONS] = "submissions:",
	    [LISTEN_LMTP] = "lmtp:",
	};

	return (enum listen_service)service_of(text, names, sizeof names / sizeof names[0], address);
}

enum listen_pop3 listen_pop3(const char *text, const char **address)
{
	static const char *const names[] = {[LISTEN_POP3] = "pop3:", [LISTEN_POP3S] = "pop3s:"};

	return (enum listen_pop3)service_of(text, names, sizeof names / sizeof names[0], address);
}

/* ---- networks -------------------------------------------------------------------------------------------- */

struct network {
	uint8_t bytes[16];
	size_t length; /* 4 or 16 */
	unsigned bits;
};

/* IPv4 as it is told of by an IPv6 socket ("::ffff:192.0.2.1") is IPv4, for addresses and for networks. */
static void network_unmap(struct network *n)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	if (n->length == 16 && n->bits >= 96 && memcmp(n->bytes, mapped, sizeof mapped) == 0) {
		memmove(n->bytes, n->bytes + 12, 4);
		n->length = 4;
		n->bits -= 96;
	}
}

static bool network_parse(const char *text, struct network *n)
{
	const char *slash = strchr(text, '/');
	char *address = mem_copy(text, slash == NULL ? strlen(text) : (size_t)(slash - text));
	uint64_t bits;

	n->length = inet_pton(AF_INET, address, n->bytes) == 1	  ? 4
		    : inet_pton(AF_INET6, address, n->bytes) == 1 ? 16
								  : 0;
	free(address);
	bits = n->length * 8;
	if (n->length == 0 || (slash != NULL && !number_parse(view_text(slash + 1), n->length * 8, &bits)))
		return false;
	n->bits = (unsigned)bits;
	network_unmap(n);
	return true;
}

bool config_network_valid(const char *text)
{
	struct network n;

	return network_parse(text, &n) && n.bits > 0;
}

static bool network_holds(const struct network *n, const struct network *address)
{
	unsigned whole = n->bits / 8;
	unsigned rest = n->bits % 8;

	return n->length == address->length && memcmp(n->bytes, address->bytes, whole) == 0 &&
	       (rest == 0 || (n->bytes[whole] ^ address->bytes[whole]) >> (8 - rest) == 0);
}

bool config_network_has(const struct strings *networks, const char *address)
{
	struct network a;
	struct network n;

	if (strchr(address, '/') != NULL || !network_parse(address, &a))
		return false;
	for (size_t i = 0; i < networks->count; i++)
		if (network_parse(networks->items[i], &n) && network_holds(&n, &a))
			return true;
	return false;
}
