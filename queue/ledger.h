/*
 * What calls to a neighbour have cost, and when the next one is due. Kept in spool/state/NAME/calls, a small text file that
 * is replaced as a whole, by whoever holds the lock of the neighbour; anybody may read it.
 *
 * Caps count octets and seconds on the line, of calls that this host made, by the days and months of its wall clock. Back-off
 * goes by the age clock (queue/age.h).
 */
#ifndef QUEUE_LEDGER_H
#define QUEUE_LEDGER_H

#include "queue/age.h"
#include "queue/config.h"

struct ledger_span {
	int64_t number; /* of the day or month since 1970, local time; 0: nothing counted yet */
	uint64_t octets;
	uint64_t seconds;
};

struct ledger {
	uint64_t failures; /* in a row */
	uint64_t next;	   /* age before which it is not called again of itself */
	uint64_t called;   /* age of the last call that came about; 0: never */
	uint64_t rate;	   /* octets a second of the last call that showed it; 0: not known */
	struct ledger_span day;
	struct ledger_span month;
};

/* A missing or damaged file is an empty ledger: what it says is worth less than a call. */
void ledger_read(struct ledger *l, const struct dir *state, const char *name);
enum outcome ledger_write(
    const struct ledger *l, const struct dir *tmp, const struct dir *state, const char *name, struct error *err);
/* Spans that are over by NOW, wall clock, begin anew. */
void ledger_turn(struct ledger *l, int64_t now);
/* A call has used so many octets and seconds since this was told last, and seen RATE, octets a second, if not 0. NOW: wall clock. */
void ledger_count(struct ledger *l, uint64_t octets, uint64_t seconds, uint64_t rate, int64_t now);
/* It came about; or it did not, and is tried again after a pause that doubles from retry-min to retry-max, less a random part. */
void ledger_settle(struct ledger *l, bool reached, const struct config *c, const struct age *age);

/* How far a call may go; 0: as far as there is something to say. */
struct call_limits {
	uint64_t octets; /* over the line, in both directions together */
	uint64_t seconds;
	uint64_t reserve; /* of `octets`: only for urgent mail */
};

/* How far a call to N may go now by its caps. False: no further at all, and WHY says what is used up. */
bool ledger_limits(const struct ledger *l, const struct config_neighbour *n, int64_t now, struct call_limits *limits,
    const char **why);

/* What waits for a neighbour. */
struct waiting {
	bool any;
	bool urgent;
	uint64_t octets;
	uint64_t oldest; /* seconds */
};

/* LEDGER_NEVER: not as things stand. */
#define LEDGER_NEVER INT64_MAX
/*
 * When is N to be called of itself, with W waiting? A time of the wall clock; NOW: it is due. Otherwise WHY says what
 * keeps it until then: nothing to say, a window, a pause, a cap.
 */
int64_t ledger_next(const struct ledger *l, const struct config_neighbour *n, const struct waiting *w,
    const struct age *age, int64_t now, const char **why);
/* Is NOW, wall clock, in one of the windows "HH:MM-HH:MM" of local time? Always when there is none. */
bool window_open(const struct strings *windows, int64_t now);
/* Seconds until the window that is open at NOW closes; 0: none does. */
uint64_t window_left(const struct strings *windows, int64_t now);

#endif
