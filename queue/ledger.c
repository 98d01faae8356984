#include "queue/ledger.h"

#include <sodium.h>
#include <time.h>

#include "lib/text.h"

#define LEDGER_FILE "calls"

/* ---- the file ---------------------------------------------------------------------------------------------- */

struct field {
	const char *name;
	uint64_t *place;
};
#define FIELDS 10

/* Days and months are kept as numbers from 1970 on. */
static void fields_of(struct ledger *l, struct field fields[static FIELDS])
{
	const struct field all[FIELDS] = {
	    {"failures", &l->failures},
	    {"next", &l->next},
	    {"called", &l->called},
	    {"rate", &l->rate},
	    {"day", (uint64_t *)&l->day.number},
	    {"day-octets", &l->day.octets},
	    {"day-seconds", &l->day.seconds},
	    {"month", (uint64_t *)&l->month.number},
	    {"month-octets", &l->month.octets},
	    {"month-seconds", &l->month.seconds},
	};

	memcpy(fields, all, sizeof all);
}

static void take_line(const struct field *fields, struct view line)
{
	for (size_t i = 0; i < FIELDS; i++) {
		size_t length = strlen(fields[i].name);

		if (line.length > length + 1 && memcmp(line.bytes, fields[i].name, length) == 0 &&
		    line.bytes[length] == ' ')
			number_parse(view_from(line, length + 1), INT64_MAX, fields[i].place);
	}
}

void ledger_read(struct ledger *l, const struct dir *state, const char *name)
{
	struct field fields[FIELDS];
	struct dir d;
	struct buf text;
	struct view rest;
	struct view line;

	*l = (struct ledger){.failures = 0};
	fields_of(l, fields);
	if (dir_open(&d, state, name, NULL) != OUTCOME_DONE)
		return;
	buf_init(&text, 4096);
	file_read(&d, LEDGER_FILE, &text, NULL);
	rest = view_buf(&text);
	while (view_line(&rest, &line))
		take_line(fields, line);
	buf_release(&text);
	dir_close(&d);
}

enum outcome ledger_write(
    const struct ledger *l, const struct dir *tmp, const struct dir *state, const char *name, struct error *err)
{
	struct ledger copy = *l;
	struct field fields[FIELDS];
	struct dir d;
	struct buf text;
	enum outcome outcome = dir_make(&d, state, name, 0700, err);

	buf_init(&text, 4096);
	fields_of(&copy, fields);
	for (size_t i = 0; i < FIELDS; i++)
		buf_format(&text, "%s %llu\n", fields[i].name, (unsigned long long)*fields[i].place);
	if (outcome == OUTCOME_DONE)
		outcome = file_commit(tmp, &d, LEDGER_FILE, view_buf(&text), err);
	buf_release(&text);
	dir_close(&d);
	return outcome;
}

/* ---- counting ---------------------------------------------------------------------------------------------- */

static struct tm local(int64_t now)
{
	time_t seconds = (time_t)now;
	struct tm tm = {.tm_year = 70, .tm_mday = 1};

	localtime_r(&seconds, &tm);
	return tm;
}

/* Numbers that differ where the days, or months, of the wall clock do. */
static int64_t day_number(const struct tm *tm)
{
	return (int64_t)(tm->tm_year - 70) * 366 + tm->tm_yday + 1;
}

static int64_t month_number(const struct tm *tm)
{
	return (int64_t)(tm->tm_year - 70) * 12 + tm->tm_mon + 1;
}

static void turn_page(struct ledger_span *span, int64_t number)
{
	if (span->number != number)
		*span = (struct ledger_span){.number = number < 0 ? 0 : number};
}

void ledger_turn(struct ledger *l, int64_t now)
{
	struct tm tm = local(now);

	turn_page(&l->day, day_number(&tm));
	turn_page(&l->month, month_number(&tm));
}

void ledger_count(struct ledger *l, uint64_t octets, uint64_t seconds, uint64_t rate, int64_t now)
{
	ledger_turn(l, now);
	l->day.octets += octets;
	l->day.seconds += seconds;
	l->month.octets += octets;
	l->month.seconds += seconds;
	if (rate > 0)
		l->rate = rate;
}

void ledger_settle(struct ledger *l, bool reached, const struct config *c, const struct age *age)
{
	uint64_t pause = c->retry_min;

	if (reached) {
		l->failures = 0;
		l->next = 0;
		l->called = age->now;
		return;
	}
	for (uint64_t i = 0; i < l->failures && pause < c->retry_max; i++)
		pause *= 2;
	if (pause > c->retry_max)
		pause = c->retry_max;
	l->failures++;
	/* Hosts that all lost the same link must not all come back at the same moment. */
	l->next = age->now + pause - randombytes_uniform((uint32_t)(pause / 4 + 1));
}

/* ---- limits ------------------------------------------------------------------------------------------------ */

/* A call that may take no more octets than this carries nothing but its handshake. */
#define OCTETS_LEAST 512

/* The smaller of what is left of CAP (0: none) and LEFT (0: no limit yet); false: LEAST is not left. */
static bool narrow(uint64_t cap, uint64_t used, uint64_t least, uint64_t *left)
{
	if (cap == 0)
		return true;
	if (used + least > cap)
		return false;
	if (*left == 0 || cap - used < *left)
		*left = cap - used;
	return true;
}

enum used_up { USED_NOTHING, USED_DAY, USED_MONTH };

static enum used_up limits_of(const struct ledger *l, const struct config_neighbour *n, int64_t now,
    struct call_limits *limits, const char **why)
{
	struct ledger today = *l;

	ledger_turn(&today, now);
	*limits = (struct call_limits){.octets = n->cap_call, .seconds = n->time_call, .reserve = n->reserve};
	*why = NULL;
	/* The month first: its page turns later. */
	if (!narrow(n->cap_month, today.month.octets, OCTETS_LEAST, &limits->octets))
		*why = "the octets of this month are used up (cap-month)";
	else if (!narrow(n->time_month, today.month.seconds, 1, &limits->seconds))
		*why = "the time of this month is used up (time-month)";
	if (*why != NULL)
		return USED_MONTH;
	if (!narrow(n->cap_day, today.day.octets, OCTETS_LEAST, &limits->octets))
		*why = "the octets of this day are used up (cap-day)";
	else if (!narrow(n->time_day, today.day.seconds, 1, &limits->seconds))
		*why = "the time of this day is used up (time-day)";
	return *why != NULL ? USED_DAY : USED_NOTHING;
}

bool ledger_limits(const struct ledger *l, const struct config_neighbour *n, int64_t now, struct call_limits *limits,
    const char **why)
{
	return limits_of(l, n, now, limits, why) == USED_NOTHING;
}

/* When the page of USED is turned. */
static int64_t next_page(enum used_up used, int64_t now)
{
	struct tm tm = local(now);

	tm.tm_sec = tm.tm_min = tm.tm_hour = 0;
	tm.tm_isdst = -1;
	if (used == USED_DAY) {
		tm.tm_mday++;
	} else {
		tm.tm_mday = 1;
		tm.tm_mon++;
	}
	return (int64_t)mktime(&tm);
}

/* ---- windows ----------------------------------------------------------------------------------------------- */

static int minute_of(const char *text)
{
	return ((text[0] - '0') * 10 + text[1] - '0') * 60 + (text[3] - '0') * 10 + text[4] - '0';
}

bool window_open(const struct strings *windows, int64_t now)
{
	struct tm tm = local(now);
	int minute = tm.tm_hour * 60 + tm.tm_min;

	for (size_t i = 0; i < windows->count; i++) {
		int from = minute_of(windows->items[i]);
		int to = minute_of(windows->items[i] + 6);

		if (from <= to ? minute >= from && minute < to : minute >= from || minute < to)
			return true;
	}
	return windows->count == 0;
}

/* The first minute from NOW on in which it is OPEN or not, by what local time makes of it; NOW if that is never. A day and the
 * hour by which some days are longer are looked at. */
static int64_t window_turn(const struct strings *windows, int64_t now, bool open)
{
	int64_t minute = now - now % 60;

	if (window_open(windows, now) == open)
		return now;
	for (int i = 1; i <= 25 * 60; i++)
		if (window_open(windows, minute + (int64_t)i * 60) == open)
			return minute + (int64_t)i * 60;
	return now;
}

uint64_t window_left(const struct strings *windows, int64_t now)
{
	return windows->count == 0 ? 0 : (uint64_t)(window_turn(windows, now, false) - now);
}

/* ---- due --------------------------------------------------------------------------------------------------- */

/* Seconds until CONDITION is met, if nothing else comes: "urgent", "64k", "2h". UINT64_MAX: never. */
static uint64_t condition_time(const char *condition, const struct waiting *w)
{
	bool met;
	uint64_t number;

	if (strcmp(condition, "urgent") == 0)
		met = w->urgent;
	else if (strpbrk(condition, "smhdw") != NULL && duration_parse(condition, &number))
		return w->oldest >= number ? 0 : number - w->oldest;
	else
		met = size_parse(condition, &number) && w->octets >= number;
	return met ? 0 : UINT64_MAX;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Seconds until there is a reason to call. */
static uint64_t reason_time(
    const struct ledger *l, const struct config_neighbour *n, const struct waiting *w, const struct age *age)
{
	uint64_t time = w->any && n->call_when.count == 0 ? 0 : UINT64_MAX;

	/* Any of them will do. */
	for (size_t i = 0; w->any && i < n->call_when.count; i++)
		time = sooner(time, condition_time(n->call_when.items[i], w));
	if (n->call_every > 0) {
		/* An age to come is of an age file that was lost. */
		uint64_t since = l->called == 0 || l->called > age->now ? n->call_every : age->now - l->called;

		time = sooner(time, since >= n->call_every ? 0 : n->call_every - since);
	}
	return time;
}

static uint64_t pause_left(const struct ledger *l, const struct age *age)
{
	return l->next > age->now && l->next <= age->now + LIMIT_RETRY ? l->next - age->now : 0;
}

int64_t ledger_next(const struct ledger *l, const struct config_neighbour *n, const struct waiting *w,
    const struct age *age, int64_t now, const char **why)
{
	uint64_t reason = reason_time(l, n, w, age);
	uint64_t pause = pause_left(l, age);
	int64_t next;

	*why = w->any ? "what waits is not worth a call yet (call-when)" : "nothing waits";
	if (reason > (uint64_t)(LEDGER_NEVER - now))
		return LEDGER_NEVER;
	if (pause > reason)
		*why = "it could not be reached, and is left alone for a while";
	next = now + (int64_t)(pause > reason ? pause : reason);
	/* A window may open on a day whose cap is fresh, and a cap be fresh when no window is open. */
	for (int turns = 0; turns < 3; turns++) {
		struct call_limits limits;
		const char *cap;
		enum used_up used;

		if (!window_open(&n->window, next)) {
			*why = "outside its window";
			next = window_turn(&n->window, next, true);
		}
		used = limits_of(l, n, next, &limits, &cap);
		if (used == USED_NOTHING)
			break;
		*why = cap;
		next = next_page(used, next);
	}
	return next;
}
