#include "lib/pace.h"

void pace_begin(struct pace *p, uint64_t now)
{
	p->since = now > 0 ? now : 1;
	p->octets = 0;
}

void pace_rest(struct pace *p, uint64_t now)
{
	if (p->since != 0)
		pace_begin(p, now);
}

void pace_count(struct pace *p, uint64_t octets)
{
	p->octets += octets;
}

bool pace_lags(const struct pace *p, unsigned timeout, uint64_t now)
{
	uint64_t seconds = p->since != 0 && now > p->since ? (now - p->since) / 1000 : 0;

	return seconds > (uint64_t)PACE_TIMEOUTS * timeout && p->octets / seconds < PACE_RATE;
}
