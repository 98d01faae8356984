/*
 * A session whose other end has the right key, and means no good: what it costs stays within limits.
 */
#include "relay/session_own.h"
#include "tests/unit/session_kit.h"

static struct kit_end a;
static struct kit_end b;

static void setup(void)
{
	cr_assert_geq(sodium_init(), 0);
	kit_keys(&a, "a");
	kit_keys(&b, "b");
}

static void teardown(void)
{
	kit_end_call(&a, &b);
	kit_release(&a);
	kit_release(&b);
}

TestSuite(session_hostile, .init = setup, .fini = teardown);

static void carry(struct kit_end *e, struct kit_end *other)
{
	session_feed(&other->session, view_buf(&e->session.output));
	session_written(&e->session, e->session.output.length);
}

/* A calls b; both have proved who they are, and A has said its first word, which b has not heard. */
static void begin(void)
{
	kit_begin(&a, &b, false, 0);
	kit_run(&a, &b, 0);
	carry(&a, &b);
	kit_run(&b, &a, 0);
	carry(&b, &a);
	kit_run(&a, &b, 0);
	cr_assert(a.session.stands);
}

/* A record of LENGTH octets that E's own session did not make. */
static void lie(struct kit_end *e, struct kit_end *other, const uint8_t *body, size_t length)
{
	struct buf record;

	buf_init(&record, 2 * RECORD_MAX);
	record_write(&e->session.own->writer, view_of(body, length), &record);
	session_feed(&other->session, view_buf(&record));
	buf_release(&record);
}

/* Each DATA of type 2 is to be confirmed, but nobody reads the confirmations. */
Test(session_hostile, who_asks_and_does_not_hear_is_left)
{
	static const uint8_t ask[] = {FRAME_DATA_ASK, 99, 0};
	size_t asked = 0;

	kit_batch(&b, 1, 2, 100000);
	begin();
	carry(&a, &b);
	kit_run(&b, &a, 0);
	cr_assert(b.session.stands);
	for (; !b.closed && asked < 200000; asked++) {
		lie(&a, &b, ask, sizeof ask);
		kit_run(&b, &a, 0);
	}
	cr_assert(b.closed, "after %zu", asked);
	cr_assert_eq(b.end, SESSION_END_ALIEN);
	cr_assert_lt(b.session.output.length, SESSION_OUTPUT + RECORD_MAX);
}

/* To look at what is kept costs reading the batch: once is enough. */
Test(session_hostile, what_is_kept_is_looked_at_once)
{
	struct session_event event;
	struct buf body;
	unsigned looked = 0;

	kit_batch(&a, 1, 2, 100000);
	a.batches[0].tried = true;
	begin();
	buf_init(&body, RECORD_MAX);
	for (int i = 0; i < 1000; i++) {
		static const uint8_t have[3 + SESSION_HASH] = {FRAME_HAVE, 1, 100};

		buf_append(&body, have, sizeof have);
	}
	lie(&b, &a, body.bytes, body.length);
	buf_release(&body);
	while (session_next(&a.session, &event, 0)) {
		looked += event.kind == SESSION_CHECK;
		if (event.kind == SESSION_READ)
			break;
		kit_event(&a, &b, &event, 0);
	}
	cr_assert_eq(looked, 1, "%u", looked);
}

/* The driver offers all that is out again and again; what is not wanted now is not begun anew in this call. */
Test(session_hostile, a_batch_that_was_stopped_is_not_begun_again)
{
	kit_batch(&a, 1, 2, 400000);
	b.stops = "a";
	begin();
	for (int i = 0; i < 20; i++) {
		carry(&a, &b);
		kit_run(&b, &a, 0);
		carry(&b, &a);
		session_offer(&a.session, 1, 2, 400000, true);
		kit_run(&a, &b, 0);
	}
	cr_assert(a.closed && b.closed);
	cr_assert_eq(a.end, SESSION_END_DONE, "%s", a.text);
	cr_assert_eq(kit_part_of(&b, 1)->begun, 1);
	cr_assert_lt(a.batches[0].given, 100000);
}

/* The disk is full in the midst of a record: what is still on its way is thrown away, and the call goes on. */
Test(session_hostile, a_batch_may_be_stopped_anywhere)
{
	for (uint64_t at = 1; at < 60000; at += 4999) {
		if (at > 1)
			kit_end_call(&a, &b);
		a.batch_count = 0;
		kit_batch(&a, 1, 2, 400000);
		begin();
		for (int i = 0; i < 40; i++) {
			struct session_event event;
			size_t step = a.session.output.length < 700 ? a.session.output.length : 700;

			session_feed(&b.session, view_of(a.session.output.bytes, step));
			session_written(&a.session, step);
			while (session_next(&b.session, &event, 0)) {
				if (event.kind == SESSION_DATA && event.offset + event.bytes.length >= at)
					session_stop(&b.session, 1, SESSION_STOP_LATER);
				else
					kit_event(&b, &a, &event, 0);
			}
			carry(&b, &a);
			kit_run(&a, &b, 0);
		}
		cr_assert(!b.closed || b.end == SESSION_END_DONE, "%llu: %s", (unsigned long long)at, b.text);
		free(a.batches[0].bytes);
		for (size_t i = 0; i < b.part_count; i++)
			buf_release(&b.parts[i].bytes);
		a.batch_count = b.part_count = 0;
	}
}

/* Sizes that no memory holds, and sums that overflow. */
Test(session_hostile, numbers_beyond_all)
{
	static const struct {
		const char *what;
		uint8_t body[24];
		size_t length;
	} lies[] = {
	    {"news", {FRAME_NEWS, 128, 128, 128, 128, 128, 128, 128, 128, 128, 1}, 11},
	    {"offset beyond size",
		{FRAME_BEGIN, 1, 1, 255, 255, 255, 255, 255, 255, 255, 255, 127, 128, 128, 128, 128, 128, 128, 128,
		    128, 128, 1},
		22},
	    {"a part that was not told of", {FRAME_BEGIN, 1, 1, 200, 1, 100}, 6},
	    {"no class", {FRAME_BEGIN, 1, 3, 200, 1, 0}, 6},
	    {"no sequence", {FRAME_BEGIN, 0, 1, 200, 1, 0}, 6},
	    {"nothing to send", {FRAME_BEGIN, 1, 1, 0, 0}, 5},
	    {"more records than were said", {FRAME_IDLE, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1}, 11},
	    {"no frame", {99}, 1},
	    {"no reason", {FRAME_STOP, 1, 9}, 3},
	};

	for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
		if (i > 0)
			kit_end_call(&a, &b);
		begin();
		carry(&a, &b);
		lie(&a, &b, lies[i].body, lies[i].length);
		kit_run(&b, &a, 0);
		cr_assert(b.closed, "%s", lies[i].what);
		cr_assert_eq(b.end, SESSION_END_ALIEN, "%s", lies[i].what);
	}
}
