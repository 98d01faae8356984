#include "lib/origin.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/stat.h>

void peer_name(const struct sockaddr *address, socklen_t length, char out[static PEER_TEXT])
{
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)address;
	size_t mapped = strlen("::ffff:");

	if (address->sa_family != AF_INET && address->sa_family != AF_INET6)
		return;
	if (address->sa_family == AF_INET) {
		inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)address)->sin_addr, out, PEER_TEXT);
		return;
	}
	if (getnameinfo(address, length, out, PEER_TEXT, NULL, 0, NI_NUMERICHOST) != 0)
		snprintf(out, PEER_TEXT, "unknown");
	else if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr))
		memmove(out, out + mapped, strlen(out) - mapped + 1);
}

void peer_of(int fd, char out[static PEER_TEXT])
{
	struct sockaddr_storage address = {0};
	socklen_t length = sizeof address;
	struct stat st;
	bool own = fstat(fd, &st) != 0 || !S_ISSOCK(st.st_mode) ||
		   (getsockname(fd, (struct sockaddr *)&address, &length) == 0 && address.ss_family == AF_UNIX);

	snprintf(out, PEER_TEXT, own ? "local" : "unknown");
	length = sizeof address;
	if (!own && getpeername(fd, (struct sockaddr *)&address, &length) == 0)
		peer_name((struct sockaddr *)&address, length, out);
}

void peer_of_stdin(char out[static PEER_TEXT])
{
	const char *named = getenv("TCPREMOTEIP");

	peer_of(STDIN_FILENO, out);
	if (strcmp(out, "local") != 0)
		return;
	if (named == NULL)
		named = getenv("SOCAT_PEERADDR");
	if (named == NULL && getenv("GATEWAY_INTERFACE") == NULL)
		named = getenv("REMOTE_HOST");
	if (named != NULL)
		snprintf(out, PEER_TEXT, "%s", named[0] == '\0' || strcmp(named, "local") == 0 ? "unknown" : named);
}

void peer_literal(const char *peer, struct buf *out)
{
	struct in_addr address;

	if (strchr(peer, ':') != NULL)
		buf_format(out, "[IPv6:%s]", peer);
	else if (inet_pton(AF_INET, peer, &address) == 1)
		buf_format(out, "[%s]", peer);
	else
		buf_text(out, peer);
}

void origin_of(const char *peer, char out[static ORIGIN_TEXT])
{
	uint8_t bytes[16];
	char text[INET6_ADDRSTRLEN];

	if (inet_pton(AF_INET6, peer, bytes) == 1) {
		memset(bytes + 8, 0, 8);
		inet_ntop(AF_INET6, bytes, text, sizeof text);
		snprintf(out, ORIGIN_TEXT, "%.*s/64", ORIGIN_TEXT - 4, text);
	} else {
		snprintf(out, ORIGIN_TEXT, "%s", peer);
	}
}

static const struct strike *strike_of(const struct strikes *s, const char *origin, uint64_t now)
{
	for (size_t i = 0; i < STRIKES_MAX; i++)
		if (s->items[i].count > 0 && strcmp(s->items[i].origin, origin) == 0 &&
		    now - s->items[i].last < STRIKES_MEMORY)
			return &s->items[i];
	return NULL;
}

void strikes_add(struct strikes *s, const char *origin, uint64_t now)
{
	const struct strike *known = strike_of(s, origin, now);
	size_t place = 0;

	if (known != NULL) {
		place = (size_t)(known - s->items);
	} else {
		for (size_t i = 1; i < STRIKES_MAX; i++)
			if (s->items[i].last < s->items[place].last)
				place = i;
		s->items[place].count = 0;
		snprintf(s->items[place].origin, ORIGIN_TEXT, "%s", origin);
	}
	s->items[place].count++;
	s->items[place].last = now;
}

uint64_t strikes_wait(const struct strikes *s, const char *origin, uint64_t now)
{
	const struct strike *known = strike_of(s, origin, now);
	uint64_t pause = 4; /* longer than the pause before the answer */

	if (known == NULL || known->count < STRIKES_FREE)
		return 0;
	for (unsigned i = STRIKES_FREE; i <= known->count && pause < STRIKES_PAUSE; i++)
		pause *= 2;
	if (pause > STRIKES_PAUSE)
		pause = STRIKES_PAUSE;
	return now - known->last < pause ? pause - (now - known->last) : 0;
}
