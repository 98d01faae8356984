#include "lib/pace.h"

void pace_begin(struct pace *p, uint64_t now)
{
	p->since = now > 0 ? now : 1;
	p->octets = 0;
}

void pace_count(struct pace *p, uint64_t octets)
{
	p->octets += octets;
}

bool pace_lags(struct pace *p, unsigned timeout, uint64_t now)
{
	uint64_t seconds = p->since != 0 && now > p->since ? (now - p->since) / 1000 : 0;

	if (seconds <= (uint64_t)PACE_TIMEOUTS * timeout)
		return false;
	if (p->octets / seconds < PACE_RATE)
		return true;
	pace_begin(p, now);
	return false;
}
