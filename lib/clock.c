#include "lib/clock.h"

/* The month of the release, as seconds since 1970 (2026-11-01); a clock before it is wrong. */
#define CLOCK_BUILT   INT64_C(1793491200)
#define CLOCK_HORIZON (INT64_C(10) * 366 * 86400)

int64_t clock_now(void)
{
	const char *offset = getenv("PACKETBOAT_CLOCK_OFFSET");
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec + (offset == NULL ? 0 : strtoll(offset, NULL, 10));
}

uint64_t clock_steady_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t clock_steady(void)
{
	return clock_steady_ms() / 1000;
}

bool clock_plausible(int64_t seconds)
{
	return seconds >= CLOCK_BUILT && seconds < CLOCK_BUILT + CLOCK_HORIZON;
}
