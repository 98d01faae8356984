#include "bridge-pop3/fetch_plan.h"

#include "tests/unit/scratch.h"

#define DAY 86400

struct kit {
	struct fetched state;
	struct fetched_item items[20];
	struct fetch_message messages[20];
	struct fetch_plan plan;
};

static void kit_begin(struct kit *k)
{
	*k = (struct kit){.plan = {.max_size = 1000, .named = true, .top = true}};
	k->state.items = k->items;
	k->state.age = 100 * (uint64_t)DAY;
	k->plan.messages = k->messages;
}

/* The first octet of the digest is MARK. */
static void knows(
    struct kit *k, enum fetched_kind kind, const char *uid, uint64_t octets, uint64_t days, uint8_t mark)
{
	k->items[k->state.count++] = (struct fetched_item){
	    .kind = kind, .uid = (char *)uid, .octets = octets, .age = (100 - days) * DAY, .digest = {mark}};
	k->state.committed = k->state.count;
}

static void lists(struct kit *k, const char *uid, uint64_t octets)
{
	k->messages[k->plan.count++] = (struct fetch_message){.uid = uid, .octets = octets};
}

static void expect(struct kit *k, const char *actions)
{
	static const char letters[] = {[FETCH_NOTHING] = '.',
	    [FETCH_DELETE] = 'D',
	    [FETCH_RETRIEVE] = 'R',
	    [FETCH_LOOK] = 'L',
	    [FETCH_TELL] = 'T'};
	char found[21] = "";

	fetch_plan_make(&k->plan, &k->state);
	for (size_t i = 0; i < k->plan.count; i++)
		found[i] = letters[k->messages[i].action];
	cr_expect_str_eq(found, actions, "%s, not %s", found, actions);
	free(k->state.by_uid);
	k->state.by_uid = NULL;
}

Test(fetch_plan, what_is_known_is_deleted_and_what_is_new_is_retrieved)
{
	struct kit k;

	kit_begin(&k);
	knows(&k, FETCHED_MAIL, "b", 20, 0, 1);
	knows(&k, FETCHED_MAIL, "away", 20, 0, 1);
	knows(&k, FETCHED_MAIL, NULL, 20, 0, 1);
	lists(&k, "a", 10);
	lists(&k, "b", 20);
	lists(&k, "c", 1000);
	lists(&k, "d", 1001);
	expect(&k, "RDRL");
	cr_expect(k.items[0].present && !k.items[0].gone);
	cr_expect(k.items[1].gone, "the server does not list it any more");
	cr_expect_not(k.items[2].gone, "only texts can tell");
	k.plan.top = false;
	expect(&k, "RDRT");
}

Test(fetch_plan, nothing_is_forgotten_by_a_listing_without_names)
{
	struct kit k;

	kit_begin(&k);
	k.plan.named = false;
	knows(&k, FETCHED_MAIL, "b", 20, 0, 1);
	lists(&k, NULL, 20);
	expect(&k, "R");
	cr_expect_not(k.items[0].gone);
	cr_expect_eq(k.plan.unnamed, 1u);
	cr_expect_eq(fetch_plan_match(&k.plan, &k.state, &k.messages[0], FETCHED_MAIL, k.items[0].digest), 0u);
}

Test(fetch_plan, what_is_left_there_goes_when_its_time_is_over)
{
	struct kit k;

	kit_begin(&k);
	k.plan.leave = 7 * DAY;
	knows(&k, FETCHED_MAIL, "a", 20, 6, 1);
	knows(&k, FETCHED_MAIL, "b", 20, 7, 1);
	knows(&k, FETCHED_MAIL, "c", 20, 0, 1);
	lists(&k, "a", 20);
	lists(&k, "b", 20);
	lists(&k, "c", 20);
	expect(&k, ".D.");
}

Test(fetch_plan, a_name_that_two_have_is_none)
{
	struct kit k;

	kit_begin(&k);
	knows(&k, FETCHED_MAIL, "a", 20, 0, 1);
	lists(&k, "a", 20);
	lists(&k, "b", 20);
	lists(&k, "a", 30);
	lists(&k, "a b", 30);
	lists(&k, "", 30);
	lists(&k, "\x7f", 30);
	expect(&k, "RRRRRR");
	cr_expect_eq(k.plan.doubled, 2u);
	cr_expect_eq(k.plan.unnamed, 5u);
	cr_expect_not(k.items[0].gone);
	/* The one that was fetched under the name is known by its text, once. */
	cr_expect_eq(fetch_plan_match(&k.plan, &k.state, &k.messages[0], FETCHED_MAIL, (uint8_t[FETCHED_DIGEST]){2}),
	    FETCH_UNKNOWN);
	cr_expect_eq(
	    fetch_plan_match(&k.plan, &k.state, &k.messages[2], FETCHED_MAIL, (uint8_t[FETCHED_DIGEST]){1}), 0u);
	k.items[0].present = true;
	cr_expect_eq(fetch_plan_match(&k.plan, &k.state, &k.messages[0], FETCHED_MAIL, (uint8_t[FETCHED_DIGEST]){1}),
	    FETCH_UNKNOWN);
}

Test(fetch_plan, two_names_are_two_messages_whatever_is_in_them)
{
	struct kit k;

	kit_begin(&k);
	knows(&k, FETCHED_MAIL, "a", 20, 0, 1);
	lists(&k, "b", 20);
	lists(&k, "a", 20);
	expect(&k, "RD");
	cr_expect_eq(fetch_plan_match(&k.plan, &k.state, &k.messages[0], FETCHED_MAIL, (uint8_t[FETCHED_DIGEST]){1}),
	    FETCH_UNKNOWN);
}

Test(fetch_plan, another_size_under_the_same_name_is_looked_into)
{
	struct kit k;

	kit_begin(&k);
	knows(&k, FETCHED_MAIL, "a", 20, 0, 1);
	lists(&k, "a", 21);
	expect(&k, "R");
	cr_expect_eq(
	    fetch_plan_match(&k.plan, &k.state, &k.messages[0], FETCHED_MAIL, (uint8_t[FETCHED_DIGEST]){1}), 0u);
	cr_expect_eq(fetch_plan_match(&k.plan, &k.state, &k.messages[0], FETCHED_MAIL, (uint8_t[FETCHED_DIGEST]){2}),
	    FETCH_UNKNOWN);
}

Test(fetch_plan, who_was_told_is_not_told_again_until_the_limit_rises)
{
	struct kit k;

	kit_begin(&k);
	knows(&k, FETCHED_NOTICE, "a", 2000, 0, 1);
	/* It said less than it had. */
	knows(&k, FETCHED_NOTICE, "b", 1500, 0, 1);
	lists(&k, "a", 2000);
	lists(&k, "b", 10);
	expect(&k, "..");
	k.plan.max_size = 1700;
	expect(&k, ".R");
	k.plan.max_size = 3000;
	expect(&k, "RR");
}

Test(fetch_plan, an_unnamed_one_that_was_told_of_is_known_by_its_header)
{
	struct kit k;

	kit_begin(&k);
	knows(&k, FETCHED_NOTICE, NULL, 2000, 0, 1);
	knows(&k, FETCHED_NOTICE, NULL, 3000, 0, 0);
	lists(&k, NULL, 2000);
	lists(&k, NULL, 10);
	expect(&k, "LL");
	cr_expect_eq(
	    fetch_plan_match(&k.plan, &k.state, &k.messages[1], FETCHED_NOTICE, (uint8_t[FETCHED_DIGEST]){1}), 0u);
	/* Without a header the size is all there is. */
	cr_expect_eq(
	    fetch_plan_match(&k.plan, &k.state, &k.messages[0], FETCHED_NOTICE, (uint8_t[FETCHED_DIGEST]){0}),
	    FETCH_UNKNOWN);
	k.messages[0].octets = 3000;
	cr_expect_eq(
	    fetch_plan_match(&k.plan, &k.state, &k.messages[0], FETCHED_NOTICE, (uint8_t[FETCHED_DIGEST]){0}), 1u);
}

Test(fetch_plan, large_mail_of_many_owners_is_looked_at_first)
{
	struct kit k;

	kit_begin(&k);
	k.plan.max_size = 1 << 30;
	k.plan.multidrop = true;
	lists(&k, "a", FETCH_LOOK_ABOVE);
	lists(&k, "b", FETCH_LOOK_ABOVE + 1);
	/* Its owner was told: his way may be wider now. */
	knows(&k, FETCHED_NOTICE, "c", 2000, 0, 1);
	lists(&k, "c", 2000);
	expect(&k, "RLL");
	k.plan.top = false;
	expect(&k, "RR.");
}

Test(fetch_plan, what_was_deleted_and_is_listed_again_is_compared)
{
	struct kit k;

	kit_begin(&k);
	knows(&k, FETCHED_MAIL, "a", 20, 0, 1);
	k.items[0].deleted = true;
	knows(&k, FETCHED_MAIL, "b", 20, 0, 2);
	k.items[1].deleted = true;
	lists(&k, "a", 20);
	expect(&k, "R");
	cr_expect_eq(
	    fetch_plan_match(&k.plan, &k.state, &k.messages[0], FETCHED_MAIL, (uint8_t[FETCHED_DIGEST]){1}), 0u);
	cr_expect_eq(fetch_plan_match(&k.plan, &k.state, &k.messages[0], FETCHED_MAIL, (uint8_t[FETCHED_DIGEST]){3}),
	    FETCH_UNKNOWN);
	cr_expect(k.items[1].gone, "as it was said");
}

Test(fetch_plan, only_a_whole_listing_takes_away)
{
	struct kit k;

	/* There are more than it lists. */
	kit_begin(&k);
	k.plan.partial = true;
	knows(&k, FETCHED_MAIL, "away", 20, 0, 1);
	lists(&k, "a", 20);
	expect(&k, "R");
	cr_expect_not(k.items[0].gone);
	/* One has no name: it may be that one. */
	kit_begin(&k);
	knows(&k, FETCHED_MAIL, "away", 20, 0, 1);
	lists(&k, "a", 20);
	lists(&k, NULL, 20);
	expect(&k, "RR");
	cr_expect_not(k.items[0].gone);
	/* It is empty. */
	kit_begin(&k);
	knows(&k, FETCHED_MAIL, "away", 20, 0, 1);
	knows(&k, FETCHED_MAIL, "deleted", 20, 0, 1);
	k.items[1].deleted = true;
	expect(&k, "");
	cr_expect_not(k.items[0].gone);
	cr_expect(k.items[1].gone);
}

Test(fetch_plan, a_text_that_is_known_under_a_name_that_is_gone_has_a_new_one)
{
	struct kit k;

	kit_begin(&k);
	knows(&k, FETCHED_MAIL, "old", 20, 0, 1);
	k.items[0].uid = mem_string("old");
	lists(&k, "new", 20);
	expect(&k, "R");
	cr_assert(k.items[0].gone);
	cr_expect_eq(fetch_plan_match(&k.plan, &k.state, &k.messages[0], FETCHED_MAIL, (uint8_t[FETCHED_DIGEST]){2}),
	    FETCH_UNKNOWN);
	cr_assert_eq(
	    fetch_plan_match(&k.plan, &k.state, &k.messages[0], FETCHED_MAIL, (uint8_t[FETCHED_DIGEST]){1}), 0u);
	k.messages[0].item = 0;
	fetch_plan_met(&k.state, &k.messages[0]);
	cr_expect_not(k.items[0].gone);
	cr_expect_str_eq(k.items[0].uid, "new");
	cr_expect(k.state.changed);
	free(k.items[0].uid);
}

Test(fetch_plan, what_has_no_name_and_was_deleted_is_known_where_all_of_it_is_listed_again)
{
	const uint8_t one[FETCHED_DIGEST] = {1};
	struct kit k;

	kit_begin(&k);
	k.plan.named = false;
	knows(&k, FETCHED_MAIL, NULL, 20, 0, 1);
	knows(&k, FETCHED_MAIL, NULL, 30, 0, 2);
	k.items[0].deleted = k.items[1].deleted = true;
	lists(&k, NULL, 20);
	expect(&k, "R");
	cr_expect_eq(fetch_plan_match(&k.plan, &k.state, &k.messages[0], FETCHED_MAIL, one), FETCH_UNKNOWN,
	    "another one with the same text");
	lists(&k, NULL, 30);
	lists(&k, NULL, 40);
	expect(&k, "RRR");
	cr_expect_eq(fetch_plan_match(&k.plan, &k.state, &k.messages[0], FETCHED_MAIL, one), 0u);
	cr_expect_eq(fetch_plan_match(&k.plan, &k.state, &k.messages[2], FETCHED_MAIL, one), 0u, "by its text");
}
