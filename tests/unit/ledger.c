#include <criterion/criterion.h>
#include <stdlib.h>
#include <time.h>

#include "queue/ledger.h"

/* Saturday, 28 November 2026, 12:00 UTC. */
#define NOON 1795867200
#define HOUR 3600

static char *windows[] = {"22:00-06:00", "12:30-13:00"};
static struct config_neighbour neighbour;
static struct ledger ledger;
static struct waiting waiting;
static struct age age = {.now = 1000000};

static void begin(void)
{
	setenv("TZ", "UTC", 1);
	tzset();
	neighbour = (struct config_neighbour){.name = NULL};
	ledger = (struct ledger){.failures = 0};
	waiting = (struct waiting){.any = true, .octets = 1000};
}

/* Seconds from NOW until the next call. */
static int64_t next(int64_t now, const char *expected)
{
	const char *why;
	int64_t time = ledger_next(&ledger, &neighbour, &waiting, &age, now, &why);

	if (expected != NULL)
		cr_expect_str_eq(why, expected);
	return time == LEDGER_NEVER ? -1 : time - now;
}

Test(ledger, mail_is_due_at_once_and_nothing_never, .init = begin)
{
	cr_expect_eq(next(NOON, NULL), 0);
	waiting = (struct waiting){.any = false};
	cr_expect_eq(next(NOON, "nothing waits"), -1);
	neighbour.call_every = 6 * HOUR;
	cr_expect_eq(next(NOON, NULL), 0, "never called");
	ledger.called = age.now - HOUR;
	cr_expect_eq(next(NOON, "nothing waits"), 5 * HOUR);
	ledger.called = age.now + 100000;
	cr_expect_eq(next(NOON, NULL), 0, "an age file that was lost keeps nobody from calling");
}

Test(ledger, what_is_not_worth_a_call_waits_until_it_is_old, .init = begin)
{
	char *conditions[] = {"urgent", "64k", "2h"};

	neighbour.call_when = (struct strings){conditions, 3, 3};
	waiting.oldest = HOUR;
	cr_expect_eq(next(NOON, "what waits is not worth a call yet (call-when)"), HOUR);
	waiting.octets = 65536;
	cr_expect_eq(next(NOON, NULL), 0);
	waiting.octets = 65535;
	waiting.urgent = true;
	cr_expect_eq(next(NOON, NULL), 0);
	neighbour.call_when.count = 1;
	waiting.urgent = false;
	cr_expect_eq(next(NOON, "what waits is not worth a call yet (call-when)"), -1);
}

Test(ledger, windows_open_and_close, .init = begin)
{
	neighbour.window = (struct strings){windows, 2, 2};
	cr_expect_eq(next(NOON, "outside its window"), HOUR / 2);
	cr_expect_eq(next(NOON + 59, "outside its window"), HOUR / 2 - 59);
	cr_expect_eq(next(NOON + HOUR, "outside its window"), 9 * HOUR);
	cr_expect_eq(next(NOON + 13 * HOUR, NULL), 0);
	cr_expect_eq(window_left(&neighbour.window, NOON + HOUR / 2), (uint64_t)HOUR / 2);
	cr_expect_eq(window_left(&neighbour.window, NOON + 13 * HOUR + 7), (uint64_t)5 * HOUR - 7);
	neighbour.window.count = 0;
	cr_expect_eq(window_left(&neighbour.window, NOON), 0u, "no window closes");
	windows[0] = "00:00-23:59";
	neighbour.window.count = 1;
	cr_expect_eq(window_left(&neighbour.window, NOON), (uint64_t)12 * HOUR - 60);
}

Test(ledger, a_window_in_the_hour_that_comes_twice_or_never, .init = begin)
{
	char *window[] = {"02:30-02:45"};

	setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
	tzset();
	neighbour.window = (struct strings){window, 1, 1};
	/* 25 October 2026, 02:50 summer time: it comes again. */
	cr_expect_eq(next(1792889400, "outside its window"), 40 * 60);
	/* 28 March 2027, 01:00: 02:30 does not come that day, but the next. */
	cr_expect_eq(next(1806192000, "outside its window"), 24 * HOUR + HOUR / 2);
}

Test(ledger, caps_wait_for_the_next_day_or_month_and_for_a_window_in_it, .init = begin)
{
	neighbour.cap_day = 5000;
	neighbour.time_month = 600;
	ledger_count(&ledger, 4000, 100, 0, NOON);
	cr_expect_eq(next(NOON, NULL), 0);
	ledger_count(&ledger, 1000, 100, 0, NOON);
	cr_expect_eq(next(NOON, "the octets of this day are used up (cap-day)"), 12 * HOUR);
	windows[0] = "22:00-06:00";
	neighbour.window = (struct strings){windows, 2, 2};
	cr_expect_eq(next(NOON, "the octets of this day are used up (cap-day)"), 12 * HOUR);
	neighbour.window = (struct strings){windows + 1, 1, 1};
	cr_expect_eq(next(NOON, "outside its window"), 24 * HOUR + HOUR / 2);
	neighbour.window.count = 0;
	ledger_count(&ledger, 0, 400, 0, NOON);
	cr_expect_eq(next(NOON, "the time of this month is used up (time-month)"), (12 + 2 * 24) * HOUR);
	cr_expect_eq(next(NOON + 60 * HOUR, NULL), 0);
}

Test(ledger, limits_are_what_the_caps_leave, .init = begin)
{
	struct call_limits limits;
	const char *why;

	neighbour.cap_call = 3000;
	neighbour.cap_day = 5000;
	neighbour.time_call = 60;
	cr_expect(ledger_limits(&ledger, &neighbour, NOON, &limits, &why));
	cr_expect_eq(limits.octets, 3000u);
	cr_expect_eq(limits.seconds, 60u);
	ledger_count(&ledger, 2500, 1, 77, NOON);
	ledger_count(&ledger, 100, 1, 0, NOON);
	cr_expect_eq(ledger.rate, 77u, "a call that saw none leaves it");
	cr_expect(ledger_limits(&ledger, &neighbour, NOON, &limits, &why));
	cr_expect_eq(limits.octets, 2400u);
	ledger_count(&ledger, 2300, 1, 0, NOON);
	cr_expect_not(ledger_limits(&ledger, &neighbour, NOON, &limits, &why), "a call for 100 octets is none");
	cr_expect(ledger_limits(&ledger, &neighbour, NOON + 12 * HOUR, &limits, &why));
	cr_expect_eq(limits.octets, 3000u, "the next day");
	ledger_turn(&ledger, NOON + 12 * HOUR);
	cr_expect_eq(ledger.day.octets, 0u);
	cr_expect_eq(ledger.month.octets, 4900u);
}

Test(ledger, a_neighbour_that_is_not_reached_is_left_alone_ever_longer, .init = begin)
{
	struct config config = {.retry_min = 60, .retry_max = 500};
	int64_t last = 0;

	for (int i = 0; i < 6; i++) {
		int64_t most = (60 << i) < 500 ? 60 << i : 500;
		int64_t time;

		ledger_settle(&ledger, false, &config, &age);
		time = next(NOON, "it could not be reached, and is left alone for a while");
		cr_expect(time <= most && time >= most - most / 4, "%lld of %lld", (long long)time, (long long)most);
		cr_expect(i > 3 || time > last);
		last = time;
	}
	ledger_settle(&ledger, true, &config, &age);
	cr_expect_eq(next(NOON, NULL), 0);
	ledger.next = age.now + 100 * LIMIT_RETRY;
	cr_expect_eq(next(NOON, NULL), 0, "an age to come is of an age file that was lost");
}
