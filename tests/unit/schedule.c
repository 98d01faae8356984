#include <criterion/criterion.h>
#include <stdio.h>

#include "bridge-smtp/schedule.h"
#include "lib/alloc.h"

/* The next record's name in NAME, "" for none; it counts as given out. */
static struct place *give(struct schedule *s, uint64_t now, char name[static 64])
{
	struct ready *r = schedule_next(s, now);
	struct place *p = r == NULL ? NULL : r->place;

	snprintf(name, 64, "%s", r == NULL ? "" : r->name);
	if (p != NULL)
		schedule_given(p);
	free(r);
	return p;
}

static void fill(struct schedule *s, struct place *p, const char *prefix, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		char name[64];

		snprintf(name, sizeof name, "%s.%u", prefix, i);
		schedule_add(s, p, name);
	}
}

/* How many can be given out now; the names go. */
static unsigned drain(struct schedule *s, uint64_t now)
{
	char name[64];
	unsigned count = 0;

	while (give(s, now, name) != NULL)
		count++;
	return count;
}

Test(schedule, one_goes_ahead_and_more_follow)
{
	struct schedule s;
	struct place *p;

	schedule_init(&s);
	p = schedule_place(&s, "far.example", 0, 5);
	fill(&s, p, "m", 200);
	cr_expect_eq(drain(&s, 1), 1, "nobody knows yet whether anybody is there");
	schedule_back(&s, p, SCHEDULE_UNTRIED);
	cr_expect_eq(drain(&s, 1), 1);
	schedule_back(&s, p, SCHEDULE_QUICK);
	cr_expect_eq(drain(&s, 1), 7, "two more than connections: it came back quickly once");
	for (unsigned i = 0; i < 60; i++) {
		schedule_back(&s, p, SCHEDULE_QUICK);
		drain(&s, 1);
	}
	cr_expect_eq(p->active, 5 * SCHEDULE_DEPTH);
	schedule_release(&s);
}

Test(schedule, who_is_slow_gets_less)
{
	struct schedule s;
	struct place *p;

	schedule_init(&s);
	p = schedule_place(&s, "slow.example", 0, 2);
	fill(&s, p, "m", 100);
	drain(&s, 1);
	schedule_back(&s, p, SCHEDULE_QUICK);
	p->room = 16;
	cr_expect_eq(drain(&s, 1), 16);
	for (unsigned i = 0; i < 16; i++)
		schedule_back(&s, p, SCHEDULE_SLOW);
	cr_expect_eq(drain(&s, 1), 3, "one more than it has connections");
	schedule_release(&s);
}

Test(schedule, no_queue_stands_before_another)
{
	struct schedule s;
	struct place *slow;
	struct place *fast;
	char name[64];

	schedule_init(&s);
	slow = schedule_place(&s, "slow.example", 0, 1);
	fill(&s, slow, "slow", 1000);
	cr_expect_eq(drain(&s, 1), 1);
	fast = schedule_place(&s, "fast.example", 0, 1);
	schedule_add(&s, fast, "fast");
	cr_expect_eq(give(&s, 1, name), fast);
	cr_expect_str_eq(name, "fast");
	cr_expect_null(give(&s, 1, name));
	schedule_release(&s);
}

Test(schedule, takes_turns_and_keeps_the_order)
{
	struct schedule s;
	struct place *a;
	struct place *b;
	char name[64];

	schedule_init(&s);
	a = schedule_place(&s, "a.example", 0, 9);
	b = schedule_place(&s, "b.example", 0, 9);
	a->proven = b->proven = true;
	fill(&s, a, "a", 2);
	fill(&s, b, "b", 2);
	static const char *const order[] = {"a.0", "b.0", "a.1", "b.1", ""};
	for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
		give(&s, 1, name);
		cr_expect_str_eq(name, order[i]);
	}
	schedule_release(&s);
}

Test(schedule, what_could_not_be_claimed_is_first_again)
{
	struct schedule s;
	struct place *p;
	struct ready *r;
	char name[64];

	schedule_init(&s);
	p = schedule_place(&s, "a.example", 1, 1);
	fill(&s, p, "m", 2);
	r = schedule_next(&s, 1);
	cr_assert_not_null(r);
	cr_expect_not(schedule_has(&s, "m.0"));
	schedule_put_back(&s, r);
	cr_expect(schedule_has(&s, "m.0"));
	give(&s, 1, name);
	cr_expect_str_eq(name, "m.0");
	/* The only one, put back behind nothing. */
	schedule_back(&s, p, SCHEDULE_UNTRIED);
	r = schedule_next(&s, 1);
	schedule_put_back(&s, r);
	schedule_add(&s, p, "later");
	give(&s, 1, name);
	cr_expect_str_eq(name, "m.1");
	schedule_back(&s, p, SCHEDULE_UNTRIED);
	give(&s, 1, name);
	cr_expect_str_eq(name, "later");
	cr_expect(schedule_empty(&s));
	schedule_release(&s);
}

Test(schedule, who_is_blocked_is_given_out_to_be_put_off)
{
	struct schedule s;
	struct place *p;
	struct smtp_verdict later = {.outcome = OUTCOME_LATER, .text = "refused"};
	struct smtp_verdict never = {.outcome = OUTCOME_NEVER};

	schedule_init(&s);
	p = schedule_place(&s, "dead.example", 0, 5);
	fill(&s, p, "m", 20);
	drain(&s, 100);
	schedule_back(&s, p, SCHEDULE_UNTRIED);
	cr_expect(schedule_block(&s, p, &later, 100, 0));
	cr_expect_not(schedule_block(&s, p, &never, 100, 0), "the first reason stands");
	cr_expect_str_eq(p->why.text, "refused");
	for (unsigned i = 0; i < 19; i++) {
		struct ready *r = schedule_next(&s, 100);

		cr_assert_not_null(r, "all of them, whatever room there is");
		cr_expect(schedule_blocked(r->place, 100));
		free(r);
	}
	cr_expect(schedule_blocked(p, 100 + SCHEDULE_BLOCK_MIN - 1));
	cr_expect_not(schedule_blocked(p, 100 + SCHEDULE_BLOCK_MIN));
	schedule_release(&s);
}

Test(schedule, blocks_grow_up_to_their_bounds)
{
	struct schedule s;
	struct place *p;
	struct smtp_verdict later = {.outcome = OUTCOME_LATER};
	struct smtp_verdict never = {.outcome = OUTCOME_NEVER};
	uint64_t now = 0;
	static const uint64_t waits[] = {30, 60, 120, 240, 300, 300};

	schedule_init(&s);
	p = schedule_place(&s, "dead.example", 0, 5);
	for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
		cr_expect(schedule_block(&s, p, &later, now, 0));
		cr_expect_eq(p->until, now + waits[i]);
		now = p->until;
	}
	cr_expect(schedule_block(&s, p, &later, now, 7));
	cr_expect_eq(p->until, now + 7, "no longer than a message waits");
	now = p->until;
	cr_expect(schedule_block(&s, p, &never, now, 0));
	cr_expect_eq(p->until, now + SCHEDULE_BLOCK_MIN);
	now = p->until;
	schedule_given(p);
	schedule_back(&s, p, SCHEDULE_QUICK);
	cr_expect(schedule_block(&s, p, &later, now, 0));
	cr_expect_eq(p->until, now + SCHEDULE_BLOCK_MIN, "from the beginning, after it was reached");
	schedule_release(&s);
}

Test(schedule, names_beyond_the_bounds_are_looked_for_again)
{
	struct schedule s;
	struct place *p;
	struct place *other;

	schedule_init(&s);
	p = schedule_place(&s, "large.example", 0, 5);
	other = schedule_place(&s, "small.example", 0, 5);
	fill(&s, p, "m", SCHEDULE_NAMES_EACH + 10);
	schedule_add(&s, other, "small");
	cr_expect(schedule_has(&s, "small"), "one large queue leaves room for others");
	cr_expect_eq(s.names, SCHEDULE_NAMES_EACH + 1);
	cr_expect_not(schedule_wants_names(&s));
	p->proven = true;
	for (unsigned i = 0; i <= SCHEDULE_NAMES_EACH; i++) {
		char name[64];

		schedule_back(&s, give(&s, 1, name), SCHEDULE_QUICK);
	}
	cr_expect(schedule_empty(&s));
	cr_expect(schedule_wants_names(&s));
	schedule_look_again(&s);
	cr_expect_not(schedule_wants_names(&s));
	schedule_release(&s);
}

Test(schedule, forgets_places_of_no_interest)
{
	struct schedule s;
	struct place *p;
	struct smtp_verdict later = {.outcome = OUTCOME_LATER};

	schedule_init(&s);
	schedule_place(&s, "idle.example", 0, 5);
	p = schedule_place(&s, "blocked.example", 0, 5);
	schedule_block(&s, p, &later, 1000, 0);
	p = schedule_place(&s, "waits.example", 0, 5);
	schedule_add(&s, p, "m");
	schedule_given(schedule_place(&s, "busy.example", 0, 5));
	schedule_sweep(&s, 1000 + SCHEDULE_BLOCK_MAX);
	size_t left = 0;
	for (p = s.places; p != NULL; p = p->next)
		left++;
	cr_expect_eq(left, 3);
	schedule_sweep(&s, 1000 + SCHEDULE_BLOCK_MIN + SCHEDULE_BLOCK_MAX);
	cr_expect_eq(schedule_place(&s, "blocked.example", 0, 5)->blocks, 0, "a new one");
	cr_expect_eq(schedule_place(&s, "waits.example", 0, 5)->count, 1, "the old one");
	cr_expect_neq(
	    schedule_place(&s, "waits.example", 1, 5), schedule_place(&s, "waits.example", 0, 5), "by its hop");
	schedule_release(&s);
}
