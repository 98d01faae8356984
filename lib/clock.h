/*
 * Wall-clock time for people. It may be wrong by decades, so nothing is decided by it; see queue/age.h for the
 * time that ages mail. PACKETBOAT_CLOCK_OFFSET (seconds, signed) in the environment shifts it, for tests and
 * rehearsals.
 */
#ifndef LIB_CLOCK_H
#define LIB_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Seconds since 1970, UTC. */
int64_t clock_now(void);
/* Milliseconds, and seconds, of a clock that only goes forward, from an unknown beginning: for time-outs and pauses within one
 * process. No offset shifts it. */
uint64_t clock_steady_ms(void);
uint64_t clock_steady(void);
/* Is the time believable: after this program was built, and less than ten years after? */
bool clock_plausible(int64_t seconds);

#endif
