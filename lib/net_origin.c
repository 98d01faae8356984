#include "lib/net_origin.h"

#include <arpa/inet.h>

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
