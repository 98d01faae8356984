#include "relay/ledger.h"

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

static void turn_pages(struct ledger *l, int64_t now)
{
	struct tm tm = local(now);

	turn_page(&l->day, day_number(&tm));
	turn_page(&l->month, month_number(&tm));
}

void ledger_count(struct ledger *l, const struct call_report *report, int64_t now)
{
	uint64_t seconds = (report->milliseconds + 999) / 1000;

	turn_pages(l, now);
	l->day.octets += report->octets;
	l->day.seconds += seconds;
	l->month.octets += report->octets;
	l->month.seconds += seconds;
	if (report->rate > 0)
		l->rate = report->rate;
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

/* The smaller of what is left of CAP (0: none) and LEFT (0: no limit yet); false: nothing is left. */
static bool narrow(uint64_t cap, uint64_t used, uint64_t *left)
{
	if (cap == 0)
		return true;
	if (used >= cap)
		return false;
	if (*left == 0 || cap - used < *left)
		*left = cap - used;
	return true;
}

bool ledger_limits(const struct ledger *l, const struct config_neighbour *n, int64_t now, struct call_limits *limits,
    const char **why)
{
	struct ledger today = *l;

	turn_pages(&today, now);
	*limits = (struct call_limits){.octets = n->cap_call, .seconds = n->time_call, .reserve = n->reserve};
	if (!narrow(n->cap_day, today.day.octets, &limits->octets))
		*why = "the octets of this day are used up (cap-day)";
	else if (!narrow(n->cap_month, today.month.octets, &limits->octets))
		*why = "the octets of this month are used up (cap-month)";
	else if (!narrow(n->time_day, today.day.seconds, &limits->seconds))
		*why = "the time of this day is used up (time-day)";
	else if (!narrow(n->time_month, today.month.seconds, &limits->seconds))
		*why = "the time of this month is used up (time-month)";
	else
		return true;
	return false;
}

/* ---- due --------------------------------------------------------------------------------------------------- */

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

/* "urgent", "64k", "2h": any of them will do. */
static bool condition_met(const char *condition, const struct waiting *w)
{
	uint64_t number;

	if (strcmp(condition, "urgent") == 0)
		return w->urgent;
	if (strpbrk(condition, "smhdw") != NULL && duration_parse(condition, &number))
		return w->oldest >= number;
	return size_parse(condition, &number) && w->octets >= number;
}

static bool worth_a_call(const struct config_neighbour *n, const struct waiting *w)
{
	if (!w->any)
		return false;
	for (size_t i = 0; i < n->call_when.count; i++)
		if (condition_met(n->call_when.items[i], w))
			return true;
	return n->call_when.count == 0;
}

bool ledger_due(const struct ledger *l, const struct config_neighbour *n, const struct waiting *w,
    const struct age *age, int64_t now, const char **why)
{
	struct call_limits limits;
	bool time_for_one = n->call_every > 0 && (l->called == 0 || age->now >= l->called + n->call_every);

	if (!worth_a_call(n, w) && !time_for_one)
		*why = w->any ? "what waits is not worth a call yet (call-when)" : "nothing waits";
	else if (!window_open(&n->window, now))
		*why = "outside its window";
	/* An age to come is of an age file that was lost. */
	else if (l->next > age->now && l->next <= age->now + LIMIT_RETRY)
		*why = "it could not be reached, and is left alone for a while";
	else if (ledger_limits(l, n, now, &limits, why))
		return true;
	return false;
}
