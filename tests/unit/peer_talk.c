/*
 * What two hosts say to each other over several batches.
 */
#include "tests/unit/peer_kit.h"

Test(peer_talk, voids_are_announced_until_acknowledged)
{
	struct peer p = fresh_peer(9);
	struct ranges done = {0};

	put_out(&p, 1, 1);
	ranges_add(&p.voided, 2, 5);
	ranges_add(&p.voided, 7, 7);
	cr_assert_eq(take_ack(&p, 3, 4, NULL, &done), ACK_TAKEN);
	cr_assert(ranges_are(&p.voided, "2,5,7"));
	cr_assert_eq(done.count, 0);
	cr_assert_eq(take_ack(&p, 1, 8, NULL, &done), ACK_TAKEN);
	cr_assert(ranges_are(&p.voided, ""));
	cr_assert(ranges_are(&done, "1"));
	cr_assert(ranges_are(&p.acked, "1-8"));
	ranges_release(&done);
	peer_release(&p);
}

Test(peer_talk, event_serials)
{
	static const struct {
		uint64_t serial, confirmed, seen, serial_after, confirmed_after;
	} rows[] = {
	    {10, 3, 0, 10, 3},
	    {10, 3, 2, 10, 3},
	    {10, 3, 7, 10, 7},
	    {10, 3, 10, 10, 10},
	    {10, 3, 12, 12, 12}, /* our file is older than the groups: go on above */
	    {10, 3, UINT64_MAX, 10, 3},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct peer p = fresh_peer(2);
		struct batch_header h = {.event_seen = rows[i].seen};
		struct ranges done = {0};

		p.event_serial = rows[i].serial;
		p.event_confirmed = rows[i].confirmed;
		header_ack(&h, OURS, 1, 1, NULL);
		cr_assert_eq(peer_take_ack(&p, &h, &done), ACK_TAKEN);
		cr_assert_eq(p.event_serial, rows[i].serial_after, "row %zu", i);
		cr_assert_eq(p.event_confirmed, rows[i].confirmed_after, "row %zu", i);
		batch_header_release(&h);
		peer_release(&p);
	}
}

Test(peer_talk, events_are_taken_once)
{
	struct peer p = fresh_peer(2);
	struct batch_header h = {.incarnation = THEIRS, .event_serial = 4, .events_incarnation = OURS};

	cr_assert_not(peer_take_events(&p, &h), "no source");
	peer_source(&p, 1);
	cr_assert_not(peer_take_events(&p, &h), "not the present one");
	peer_source(&p, THEIRS);
	cr_assert(peer_take_events(&p, &h));
	cr_assert_eq(p.event_seen, 4);
	cr_assert_not(peer_take_events(&p, &h), "again");
	h.event_serial = 3;
	cr_assert_not(peer_take_events(&p, &h), "late");
	cr_assert_eq(p.event_seen, 4);
	h.event_serial = 5;
	h.events_incarnation = 0;
	cr_assert_not(peer_take_events(&p, &h), "sequences of an earlier incarnation of ours");
	cr_assert_eq(p.event_seen, 5, "seen, though of no use");
	h.event_serial = 0;
	cr_assert_not(peer_take_events(&p, &h), "none");
	peer_release(&p);
}

/* The whole way: a host that was restored from a copy, without knowing, uses a sequence twice. */
Test(peer_talk, a_sequence_used_twice_ends_in_a_new_incarnation)
{
	struct peer sender = fresh_peer(3);
	struct peer receiver = fresh_peer(1);
	struct batch_header h = {.sequence = 1};
	struct ranges done = {0};
	struct peer_source *s;

	receiver.incarnation = THEIRS;
	s = peer_source(&receiver, OURS);
	peer_take(s, 1, mark_of(1, 0));
	peer_take(s, 2, mark_of(2, 0));
	put_out(&sender, 1, 1);
	memcpy(peer_out_add(&sender, 2)->mark, mark_of(2, 5), BATCH_MARK);
	cr_assert_eq(peer_knows(s, 2, peer_out(&sender, 2)->mark), PEER_CONFLICT);
	peer_refuse(s);
	/* Whatever the sender still knows, and whatever it sends meanwhile. */
	peer_out_remove(&sender, 2);
	peer_take(s, 3, mark_of(3, 0));
	put_out(&sender, 3, 3);
	sender.next = 4;
	peer_fill_header(&receiver, &h);
	cr_assert_eq(peer_take_ack(&sender, &h, &done), ACK_STRANGER);
	cr_assert_eq(done.count, 0);
	/* A new incarnation is another source, and nothing is held against it. */
	peer_take(peer_source(&receiver, OURS + 1), 1, mark_of(1, 0));
	peer_fill_header(&receiver, &h);
	cr_assert_eq(h.ack.incarnation, OURS + 1);
	cr_assert(ranges_are(&h.ack.received, "1"));
	batch_header_release(&h);
	peer_release(&sender);
	peer_release(&receiver);
}
