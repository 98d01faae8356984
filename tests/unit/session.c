/*
 * Calls: two ends talk in memory; batches arrive whole, once, in the order of their urgency, over links that break.
 */
#include "tests/unit/session_kit.h"

static struct kit_end a, b;

static void setup(void)
{
	cr_assert_geq(sodium_init(), 0);
	a = (struct kit_end){.batch_count = 0};
	b = (struct kit_end){.batch_count = 0};
	kit_keys(&a, "a");
	kit_keys(&b, "b");
}

static void teardown(void)
{
	kit_release(&a);
	kit_release(&b);
}

TestSuite(session, .init = setup, .fini = teardown);

/* Carries octets from E to OTHER: at most ROOM, in pieces of STEP. Returns how many. */
static size_t carry(struct kit_end *e, struct kit_end *other, size_t room, size_t step, uint64_t now)
{
	size_t carried = 0;

	while (e->session.output.length > 0 && carried < room) {
		size_t length = e->session.output.length < step ? e->session.output.length : step;

		length = length < room - carried ? length : room - carried;
		session_feed(&other->session, view_of(e->session.output.bytes, length));
		session_written(&e->session, length);
		e->octets += length;
		carried += length;
		kit_run(other, e, now);
	}
	return carried;
}

/* One call over a link that takes steps of STEP octets and is cut after CUT octets in all. Returns the turn-arounds. */
static unsigned call(bool open, uint64_t turn, size_t step, size_t cut)
{
	unsigned turns = 0;
	bool from_a = true;
	uint64_t now = 0;
	size_t quiet = 0;

	kit_begin(&a, &b, open, turn);
	while (!(a.closed && b.closed) && quiet < 4) {
		struct kit_end *from = from_a ? &a : &b;
		size_t carried;

		now += 50;
		kit_run(from, from_a ? &b : &a, now);
		carried = carry(from, from_a ? &b : &a, cut - a.octets - b.octets, step, now);
		quiet = carried == 0 ? quiet + 1 : 0;
		if (a.octets + b.octets == cut) {
			session_lost(&a.session, "cut");
			session_lost(&b.session, "cut");
			kit_run(&a, &b, now);
			kit_run(&b, &a, now);
			break;
		}
		from_a = !from_a;
		turns += carried > 0 && quiet == 0;
	}
	cr_assert(a.closed && b.closed,
	    "the call came to its end: %d %d, %zu %zu octets, cut %zu turn %d out %zu/%zu", a.closed, b.closed,
	    a.octets, b.octets, cut, (int)turn, a.session.output.length, b.session.output.length);
	kit_end_call(&a, &b);
	return turns == 0 ? 0 : turns - 1;
}

Test(session, a_call_with_nothing_to_say_is_short)
{
	unsigned turns = call(false, 0, SIZE_MAX, SIZE_MAX);

	cr_assert_eq(a.end, SESSION_END_DONE, "%s", a.text);
	cr_assert_eq(b.end, SESSION_END_DONE, "%s", b.text);
	cr_assert_leq(a.octets + b.octets, 160, "%zu octets", a.octets + b.octets);
	cr_assert_leq(turns, 3);
}

Test(session, batches_go_in_both_directions)
{
	for (uint64_t i = 1; i <= 9; i++) {
		kit_batch(&a, i, (uint8_t)(i % 3), i * i * 3000);
		kit_batch(&b, i, (uint8_t)(i % 3), i * 20000);
	}
	call(false, 0, SIZE_MAX, SIZE_MAX);
	cr_assert_eq(a.end, SESSION_END_DONE, "%s", a.text);
	cr_assert_eq(b.end, SESSION_END_DONE, "%s", b.text);
	kit_arrived(&a, &b);
	kit_arrived(&b, &a);
	for (size_t i = 0; i < 9; i++) {
		cr_assert(a.batches[i].acknowledged && b.batches[i].acknowledged);
		cr_assert_eq(a.batches[i].given, a.batches[i].size);
	}
}

/* From the hello to the acknowledgement: hello, answer, data, acknowledgement. */
Test(session, a_small_batch_takes_three_turns)
{
	unsigned turns;

	kit_batch(&a, 1, 1, 700);
	turns = call(false, 0, SIZE_MAX, SIZE_MAX);
	kit_arrived(&a, &b);
	cr_assert(a.batches[0].acknowledged);
	cr_assert_leq(turns, 3, "%u", turns); /* and the farewell with it */
	cr_assert_leq(a.octets + b.octets - 700, 250, "%zu", a.octets + b.octets);
}

Test(session, octet_by_octet_is_the_same)
{
	kit_batch(&a, 1, 1, 70000);
	kit_batch(&b, 1, 1, 3000);
	call(false, 0, 1, SIZE_MAX);
	cr_assert_eq(a.end, SESSION_END_DONE, "%s", a.text);
	kit_arrived(&a, &b);
	kit_arrived(&b, &a);
}

Test(session, in_the_clear_where_the_law_says_so)
{
	struct session_event event;
	bool seen = false;

	kit_batch(&a, 1, 1, 5000);
	kit_begin(&a, &b, true, 0);
	for (int i = 0; i < 6; i++) {
		kit_run(&a, &b, 0);
		seen |= memmem(a.session.output.bytes, a.session.output.length, a.batches[0].bytes + 100, 64) != NULL;
		carry(&a, &b, SIZE_MAX, 100, 0);
		carry(&b, &a, SIZE_MAX, 100, 0);
	}
	kit_arrived(&a, &b);
	cr_assert(seen);
	cr_assert(a.closed && b.closed);
	cr_assert(!session_next(&a.session, &event, 0));
	kit_end_call(&a, &b);
}

Test(session, otherwise_nothing_is_in_the_clear)
{
	kit_batch(&a, 1, 1, 5000);
	kit_begin(&a, &b, false, 0);
	for (int i = 0; i < 6; i++) {
		kit_run(&a, &b, 0);
		cr_assert(a.session.output.length < 64 || memmem(a.session.output.bytes, a.session.output.length,
							      a.batches[0].bytes + 100, 64) == NULL);
		carry(&a, &b, SIZE_MAX, 100, 0);
		carry(&b, &a, SIZE_MAX, 100, 0);
	}
	kit_arrived(&a, &b);
	kit_end_call(&a, &b);
}

Test(session, turn_by_turn)
{
	unsigned turns;

	for (uint64_t i = 1; i <= 5; i++) {
		kit_batch(&a, i, 1, 40000);
		kit_batch(&b, i, 1, 30000);
	}
	turns = call(false, 60000, SIZE_MAX, SIZE_MAX);
	cr_assert_eq(a.end, SESSION_END_DONE, "%s", a.text);
	kit_arrived(&a, &b);
	kit_arrived(&b, &a);
	cr_assert_leq(turns, 30, "%u", turns);
}

/* Cut at a random octet, again and again: every octet that arrived is kept, also of a record that was cut. */
Test(session, cuts_cost_nothing_that_had_arrived)
{
	size_t calls = 0;
	uint32_t seed = 12345;

	kit_batch(&a, 1, 2, 400000);
	kit_batch(&a, 2, 1, 30000);
	kit_batch(&b, 1, 1, 60000);
	while (!a.batches[0].acknowledged || !a.batches[1].acknowledged || !b.batches[0].acknowledged) {
		seed = seed * 1103515245 + 12345;
		call(calls % 2 == 0, calls % 5 == 0 ? 60000 : 0, 1 + seed % 997, 200 + (seed >> 8) % 12000);
		cr_assert_lt(++calls, 1000u);
	}
	kit_arrived(&a, &b);
	kit_arrived(&b, &a);
	/* What had arrived is kept: each octet arrives once. */
	cr_assert_leq(b.received, 430000 + 430000 / 100, "%llu", (unsigned long long)b.received);
	cr_assert_leq(a.received, 60000 + 60000 / 100, "%llu", (unsigned long long)a.received);
}

Test(session, a_batch_that_is_not_wanted_is_stopped)
{
	kit_batch(&a, 1, 1, 900000);
	kit_batch(&a, 2, 1, 5000);
	b.stops = "a";
	call(false, 0, 1000, SIZE_MAX);
	cr_assert_eq(a.end, SESSION_END_DONE, "%s", a.text);
	cr_assert(!a.batches[0].acknowledged);
	cr_assert_lt(a.batches[0].given, 300000);
	cr_assert(a.batches[1].acknowledged);
}

/* It is begun once, and the call goes on with the others. */
Test(session, a_batch_that_cannot_be_read_does_not_end_the_call)
{
	kit_batch(&a, 1, 1, 90000);
	kit_batch(&a, 2, 1, 5000);
	a.batches[0].broken_at = 1000;
	call(false, 0, 1000, SIZE_MAX);
	cr_assert_eq(a.end, SESSION_END_DONE, "%s", a.text);
	cr_assert_eq(b.end, SESSION_END_DONE, "%s", b.text);
	cr_assert_eq(kit_part_of(&b, 1)->begun, 1);
	cr_assert(!a.batches[0].acknowledged);
	cr_assert(a.batches[1].acknowledged);
}

/* Nothing is owed for it, and its sender hears of it. */
Test(session, a_batch_that_is_refused_when_it_is_whole_is_stopped)
{
	kit_batch(&a, 1, 1, 5000);
	kit_batch(&a, 2, 1, 5000);
	b.refuses = "a";
	call(false, 0, 1000, SIZE_MAX);
	cr_assert_eq(a.end, SESSION_END_DONE, "%s", a.text);
	cr_assert_eq(b.end, SESSION_END_DONE, "%s", b.text);
	cr_assert_eq(a.stopped, 1);
	cr_assert_eq(a.why, SESSION_STOP_REFUSED);
	cr_assert(!a.batches[0].acknowledged);
	cr_assert(a.batches[1].acknowledged);
}

Test(session, what_is_reserved_is_for_urgent_batches)
{
	kit_batch(&a, 1, 1, 50000);
	kit_batch(&a, 2, 0, 5000);
	kit_batch(&a, 3, 2, 50000);
	a.allowed = 20000;
	a.reserve = 8000;
	call(false, 0, SIZE_MAX, SIZE_MAX);
	cr_assert_eq(a.end, SESSION_END_DONE, "%s", a.text);
	cr_assert(a.batches[1].acknowledged);
	cr_assert_gt(a.batches[0].given + a.batches[2].given, 6000);
	cr_assert_leq(a.batches[0].given + a.batches[1].given + a.batches[2].given, 12000);
	a.allowed = 0;
	call(false, 0, SIZE_MAX, SIZE_MAX);
	kit_arrived(&a, &b);
	cr_assert_eq(a.batches[0].given, 50000u, "nothing goes twice");
}

Test(session, no_more_goes_than_is_allowed_and_the_call_waits_to_be_ended)
{
	uint64_t now = 0;

	kit_batch(&a, 1, 0, 50000);
	a.allowed = 20000;
	kit_begin(&a, &b, false, 0);
	for (int i = 0; i < 30; i++) {
		now += 50;
		kit_run(&a, &b, now);
		carry(&a, &b, SIZE_MAX, SIZE_MAX, now);
		kit_run(&b, &a, now);
		carry(&b, &a, SIZE_MAX, SIZE_MAX, now);
	}
	cr_assert(!a.closed);
	cr_assert_gt(a.batches[0].given, 15000u);
	cr_assert_leq(a.octets, 20000u + 300);
	session_finish(&a.session, SESSION_END_LIMIT);
	kit_run(&a, &b, now);
	carry(&a, &b, SIZE_MAX, SIZE_MAX, now);
	cr_assert_eq(a.end, SESSION_END_LIMIT);
	cr_assert_eq(b.end, SESSION_END_LIMIT, "and the other end hears why");
	kit_end_call(&a, &b);
}

Test(session, what_is_urgent_goes_between_two_chunks)
{
	uint64_t now = 0;

	kit_batch(&a, 1, 2, 8000000);
	kit_begin(&a, &b, false, 0);
	for (int i = 0; i < 12; i++) {
		now += 100;
		kit_run(&a, &b, now);
		carry(&a, &b, SIZE_MAX, 1000, now);
		kit_run(&b, &a, now);
		carry(&b, &a, SIZE_MAX, 1000, now);
		if (i == 6) {
			cr_assert_lt(a.batches[0].given, 7000000);
			kit_batch(&a, 2, 0, 1000);
			session_offer(&a.session, 2, 0, 1000, false);
		}
	}
	cr_assert(a.batches[1].acknowledged);
	cr_assert(!a.batches[0].acknowledged);
	kit_end_call(&a, &b);
}

/*
 * Before the first confirmation the line may be as slow as the time of the proof allows: what goes then would keep an urgent
 * batch back for half a minute. One confirmation is enough to know more.
 */
Test(session, a_fast_line_is_filled_after_a_round_trip)
{
	uint64_t now = 0;
	size_t most[4] = {0};

	kit_batch(&a, 1, 1, 4000000);
	kit_begin(&a, &b, false, 0);
	for (int i = 0; i < 4; i++) {
		kit_run(&a, &b, now);
		most[i] = a.session.output.length;
		now += 50;
		carry(&a, &b, SIZE_MAX, SIZE_MAX, now);
		kit_run(&b, &a, now);
		now += 50;
		carry(&b, &a, SIZE_MAX, SIZE_MAX, now);
	}
	cr_assert_geq(most[1], 30000, "%zu", most[1]);
	cr_assert_leq(most[1], 34000, "%zu", most[1]);
	cr_assert_geq(most[2], 100000, "%zu", most[2]);
	kit_end_call(&a, &b);
}

/* The same for the answerer, who goes by its answer and the first record. */
Test(session, an_answerer_fills_a_fast_line_too)
{
	uint64_t now = 50;
	size_t most;

	kit_batch(&b, 1, 1, 4000000);
	kit_begin(&a, &b, false, 0);
	kit_run(&a, &b, 0);
	carry(&a, &b, SIZE_MAX, SIZE_MAX, now);
	kit_run(&b, &a, now);
	carry(&b, &a, SIZE_MAX, SIZE_MAX, now + 50);
	kit_run(&a, &b, now + 50);
	carry(&a, &b, SIZE_MAX, SIZE_MAX, now + 100);
	kit_run(&b, &a, now + 100);
	most = b.session.output.length;
	cr_assert_geq(most, 19000, "%zu", most);
	cr_assert_leq(most, 20500, "%zu", most);
	kit_end_call(&a, &b);
}

/* The proof took a second: nothing says that this is no slow line. */
Test(session, a_slow_line_is_not_filled)
{
	size_t most;

	kit_batch(&a, 1, 1, 4000000);
	kit_begin(&a, &b, false, 0);
	kit_run(&a, &b, 0);
	carry(&a, &b, SIZE_MAX, SIZE_MAX, 500);
	kit_run(&b, &a, 500);
	carry(&b, &a, SIZE_MAX, SIZE_MAX, 1000);
	kit_run(&a, &b, 1000);
	most = a.session.output.length;
	cr_assert_geq(most, 8192, "%zu", most);
	cr_assert_leq(most, 8400, "%zu", most);
	kit_end_call(&a, &b);
}

Test(session, a_stranger_hears_nothing)
{
	struct kit_end c = {.batch_count = 0};

	kit_keys(&c, "c");
	kit_begin(&c, &b, false, 0);
	kit_run(&c, &b, 0);
	session_feed(&b.session, view_buf(&c.session.output));
	kit_run(&b, &a, 0); /* b knows a only */
	cr_assert_eq(b.session.output.length, 0);
	cr_assert(!b.session.stands);
	kit_end_call(&c, &b);
	kit_release(&c);
}

/* Who knows the hint of a neighbour, or its whole hello, is not that neighbour. */
Test(session, a_replayed_hello_gets_nothing_of_use)
{
	struct buf hello;
	struct session replay = {0};
	struct session_options options = {SESSION_ANSWERER, &b.keys, NULL, false, 0};
	struct session_event event;

	kit_batch(&b, 1, 0, 5000);
	buf_init(&hello, 1000);
	kit_begin(&a, &b, false, 0);
	buf_view(&hello, view_buf(&a.session.output));
	kit_end_call(&a, &b);
	b.session = replay;
	session_init(&b.session, &options, 0);
	session_feed(&b.session, view_buf(&hello));
	kit_run(&b, &a, 0);
	cr_assert_leq(b.session.output.length, 60);
	cr_assert(!b.session.stands);
	session_feed(&b.session, view_text("\x20nothing that could be proved by anybody but a, is it?"));
	kit_run(&b, &a, 0);
	cr_assert(b.closed);
	cr_assert_eq(b.end, SESSION_END_ALIEN);
	cr_assert(!b.session.stands);
	cr_assert_eq(b.batches[0].given, 0);
	hello.bytes[30] ^= 1;
	b.closed = false;
	session_release(&b.session);
	session_init(&b.session, &options, 0);
	session_feed(&b.session, view_buf(&hello));
	kit_run(&b, &a, 0);
	cr_assert_eq(b.session.output.length, 0);
	cr_assert_eq(b.end, SESSION_END_ALIEN);
	cr_assert(!session_next(&b.session, &event, 0));
	session_release(&b.session);
	buf_release(&hello);
}

/* One octet that is wrong anywhere ends the call, and nothing false stays. */
Test(session, a_forged_octet_ends_the_call)
{
	for (size_t at = 0; at < 9000; at += 61) {
		size_t seen = 0;

		kit_batch(&a, 1, 1, 8000);
		kit_begin(&a, &b, at % 2 == 0, 0);
		for (int i = 0; i < 8; i++) {
			kit_run(&a, &b, 0);
			if (seen <= at && at < seen + a.session.output.length)
				a.session.output.bytes[at - seen] ^= 0x10;
			seen += a.session.output.length;
			carry(&a, &b, SIZE_MAX, 500, 0);
			kit_run(&b, &a, 0);
			carry(&b, &a, SIZE_MAX, 500, 0);
		}
		if (b.part_count > 0)
			cr_assert_eq(memcmp(b.parts[0].bytes.bytes, a.batches[0].bytes, b.parts[0].bytes.length), 0,
			    "%zu", at);
		cr_assert(!b.closed || b.end == SESSION_END_ALIEN || b.end == SESSION_END_DONE);
		kit_end_call(&a, &b);
		free(a.batches[0].bytes);
		for (size_t i = 0; i < b.part_count; i++)
			buf_release(&b.parts[i].bytes);
		a.batch_count = b.part_count = 0;
	}
}
