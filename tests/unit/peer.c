#include "tests/unit/peer_kit.h"

/* ---- the file --------------------------------------------------------------------------------------------
 */

Test(peer, print_and_parse_are_inverse)
{
	struct peer p = full_peer();
	struct peer q;
	struct buf one = printed(&p);
	struct buf two;

	cr_assert(peer_parse(view_buf(&one), &q));
	two = printed(&q);
	cr_assert(view_equal(view_buf(&one), view_buf(&two)));
	cr_assert_str_eq(q.name, "city");
	cr_assert_eq(q.incarnation, OURS);
	cr_assert_eq(q.next, 9);
	cr_assert(ranges_are(&q.acked, "1-4"));
	cr_assert(ranges_are(&q.voided, "5"));
	cr_assert_eq(q.acked_top.sequence, 4);
	cr_assert_eq(q.acked_top.mark[2], 4);
	cr_assert_eq(q.out_count, 4);
	cr_assert_eq(q.out[0].incarnation, 7);
	cr_assert_eq(q.out[0].sequence, 300);
	cr_assert_eq(memcmp(&q.out[3], peer_out(&p, 8), sizeof q.out[3]), 0);
	cr_assert_eq(q.source_count, 2);
	cr_assert(q.sources[0].refused);
	cr_assert_not(q.sources[1].refused);
	cr_assert_eq(q.sources[1].mark_count, PEER_MARKS);
	cr_assert_eq(memcmp(q.sources[1].marks, p.sources[1].marks, PEER_MARKS * sizeof *p.sources[1].marks), 0);
	cr_assert(q.ack_due);
	cr_assert_eq(q.event_serial, 12);
	cr_assert_eq(q.event_confirmed, 10);
	cr_assert_eq(q.event_packed, 11);
	cr_assert_eq(q.event_seen, UINT64_MAX);
	cr_assert_eq(q.contact, INT64_MAX);
	cr_assert_eq(q.tried, -1);
	cr_assert_eq(q.clock_apart, -1000000000);
	cr_assert_str_eq(q.result, p.result);
	buf_release(&one);
	buf_release(&two);
	peer_release(&p);
	peer_release(&q);
}

Test(peer, no_octet_may_change_and_none_be_missing)
{
	struct peer p = full_peer();
	struct peer q;
	struct buf b = printed(&p);

	for (size_t i = 0; i < b.length; i++) {
		b.bytes[i] ^= 1;
		cr_assert_not(peer_parse(view_buf(&b), &q), "octet %zu", i);
		cr_assert_null(q.out);
		b.bytes[i] ^= 1;
		cr_assert_not(peer_parse(view_of(b.bytes, i), &q), "length %zu", i);
	}
	buf_byte(&b, 0);
	cr_assert_not(peer_parse(view_buf(&b), &q));
	buf_release(&b);
	peer_release(&p);
}

/* With a digest that holds: what the other functions rely on is checked. */
Test(peer, parse_refuses_what_is_out_of_order)
{
	struct peer good = full_peer();

	for (int flaw = 0; flaw <= 7; flaw++) {
		struct peer p = full_peer();
		struct peer q;
		struct buf b;

		switch (flaw) {
		case 1:
			p.next = 0;
			break;
		case 2:
			p.out[2].sequence = p.out[1].sequence;
			break;
		case 3:
			p.out[1].sequence = 0;
			break;
		case 4:
			p.out[3].incarnation = 9;
			break;
		case 5:
			p.sources[1].incarnation = p.sources[0].incarnation;
			break;
		case 6:
			p.sources[1].marks[3].sequence = p.sources[1].marks[4].sequence;
			break;
		case 7:
			memcpy(p.name, "../x", 5);
			break;
		}
		b = printed(&p);
		cr_assert_eq(peer_parse(view_buf(&b), &q), flaw == 0, "flaw %d", flaw);
		if (flaw == 0)
			peer_release(&q);
		buf_release(&b);
		peer_release(&p);
	}
	peer_release(&good);
}

Test(peer, parse_refuses_sequence_zero)
{
	for (int where = 0; where < 3; where++) {
		struct peer p = fresh_peer(5);
		struct peer q;
		struct buf b;
		struct ranges *set = where == 0 ? &p.acked : where == 1 ? &p.voided : &peer_source(&p, 1)->received;

		ranges_add(set, 0, 1);
		b = printed(&p);
		cr_assert_not(peer_parse(view_buf(&b), &q));
		buf_release(&b);
		peer_release(&p);
	}
}

Test(peer, load_and_save)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct peer p;

	/* Nothing there: fresh, and no directory made. */
	cr_assert_eq(peer_load(&p, &d, "city", OURS, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert(dir_empty(&d));
	cr_assert_str_eq(p.name, "city");
	cr_assert_eq(p.incarnation, OURS);
	cr_assert_eq(p.next, 1);
	cr_assert_eq(p.out_count + p.source_count + p.acked.count + p.voided.count, 0);
	p.next = 5;
	cr_assert_eq(peer_save(&p, &d, &d, &err), OUTCOME_DONE, "%s", err.text);
	peer_release(&p);
	cr_assert_eq(peer_load(&p, &d, "city", OURS, &err), OUTCOME_DONE);
	cr_assert_eq(p.next, 5);
	/* Another neighbour knows nothing of it. */
	peer_release(&p);
	cr_assert_eq(peer_load(&p, &d, "ship", OURS, &err), OUTCOME_DONE);
	cr_assert_eq(p.next, 1);
	peer_release(&p);
	scratch_close(&d);
}

Test(peer, load_refuses_damage_and_foreign_files)
{
	struct dir d = scratch_open();
	struct dir city;
	struct error err = ERROR_NONE;
	struct peer p = full_peer();

	cr_assert_eq(peer_save(&p, &d, &d, &err), OUTCOME_DONE);
	peer_release(&p);
	cr_assert_eq(renameat(d.fd, "city", d.fd, "ship"), 0);
	cr_assert_eq(peer_load(&p, &d, "ship", OURS, &err), OUTCOME_NEVER);
	cr_assert_eq(err.code, EX_DATAERR);
	cr_assert_not_null(strstr(err.text, "city"));
	peer_release(&p);

	cr_assert_eq(dir_open(&city, &d, "ship", &err), OUTCOME_DONE);
	cr_assert_eq(file_commit(&d, &city, "peer", view_text("pbpeer"), &err), OUTCOME_DONE);
	cr_assert_neq(peer_load(&p, &d, "ship", OURS, &err), OUTCOME_DONE);
	cr_assert_eq(err.code, EX_DATAERR);
	cr_assert_not_null(strstr(err.text, "damaged"));
	peer_release(&p);
	cr_assert_neq(peer_load(&p, &d, "../ship", OURS, &err), OUTCOME_DONE);
	cr_assert_eq(err.code, EX_DATAERR);
	peer_release(&p);
	dir_close(&city);
	scratch_close(&d);
}

Test(peer, another_incarnation_of_ours_begins_anew)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct peer p = full_peer();
	struct ranges done = {0};

	cr_assert_eq(peer_save(&p, &d, &d, &err), OUTCOME_DONE);
	peer_release(&p);
	cr_assert_eq(peer_load(&p, &d, "city", 0x55555555u, &err), OUTCOME_DONE);
	cr_assert_eq(p.incarnation, 0x55555555u);
	cr_assert_eq(p.next, 1);
	cr_assert_eq(p.acked.count, 0);
	cr_assert_eq(p.voided.count, 0);
	cr_assert_eq(p.acked_top.sequence, 0);
	cr_assert_eq(p.event_confirmed, 0);
	cr_assert_eq(p.event_packed, 0);
	cr_assert_eq(p.event_serial, 12, "serials are never used twice");
	cr_assert_eq(p.event_seen, UINT64_MAX, "what we took of theirs stays");
	cr_assert_eq(p.source_count, 2);
	/* What is out waits to be packed again; it is not mistaken for batches of now, also after half of it
	 * is. */
	cr_assert_eq(p.out_count, 4);
	cr_assert_null(peer_out(&p, 8));
	put_out(&p, 1, 8);
	p.next = 9;
	cr_assert_eq(peer_save(&p, &d, &d, &err), OUTCOME_DONE);
	peer_release(&p);
	cr_assert_eq(peer_load(&p, &d, "city", 0x55555555u, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(p.out_count, 12);
	peer_out_drop(&p, peer_out_stale(&p));
	cr_assert_eq(peer_out_stale(&p)->sequence, 6);
	struct batch_header h = {.sequence = 1};

	header_ack(&h, 0x55555555u, 1, 8, mark_of(8, 0));
	cr_assert_eq(peer_take_ack(&p, &h, &done), ACK_TAKEN);
	cr_assert(ranges_are(&done, "1-8"));
	for (uint64_t n = 1; n <= 8; n++)
		peer_out_drop(&p, peer_out(&p, n));
	cr_assert_eq(p.out_count, 3);
	while (peer_out_stale(&p) != NULL)
		peer_out_drop(&p, peer_out_stale(&p));
	cr_assert_eq(p.out_count, 0);
	batch_header_release(&h);
	ranges_release(&done);
	peer_release(&p);
	scratch_close(&d);
}

/* ---- what is out -----------------------------------------------------------------------------------------
 */

Test(peer, out_is_kept_in_order)
{
	static const uint64_t order[] = {5, 1, 9, 3, 7, 2, 8, 4, 6};
	struct peer p = fresh_peer(10);

	for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
		cr_assert_eq(peer_out_add(&p, order[i])->incarnation, OURS);
	peer_out(&p, 4)->size = 77;
	cr_assert_eq(peer_out_add(&p, 4)->size, 77);
	cr_assert_eq(p.out_count, 9);
	for (uint64_t i = 0; i < 9; i++)
		cr_assert_eq(p.out[i].sequence, i + 1);
	peer_out_remove(&p, 1);
	peer_out_remove(&p, 9);
	peer_out_remove(&p, 5);
	peer_out_remove(&p, 5);
	peer_out_remove(&p, 1000);
	cr_assert_eq(p.out_count, 6);
	cr_assert_null(peer_out(&p, 5));
	cr_assert_null(peer_out(&p, 0));
	cr_assert_null(peer_out(&p, 9));
	cr_assert_eq(peer_out(&p, 8)->sequence, 8);
	cr_assert_null(peer_out_stale(&p));
	peer_release(&p);
}

Test(peer, remove_prefers_the_present_incarnation)
{
	struct peer p = fresh_peer(10);

	put_out(&p, 1, 3);
	p.incarnation = 99;
	put_out(&p, 2, 2);
	peer_out_remove(&p, 2);
	cr_assert_null(peer_out(&p, 2));
	cr_assert_eq(p.out_count, 3);
	while (p.out_count > 0)
		peer_out_remove(&p, p.out[0].sequence);
	peer_release(&p);
}

/* ---- what came -------------------------------------------------------------------------------------------
 */

Test(peer, whoever_was_heard_last_is_present)
{
	struct peer p = fresh_peer(1);

	cr_assert_null(peer_present(&p));
	p.event_seen = 5;
	peer_take(peer_source(&p, 1), 1, mark_of(1, 0));
	cr_assert_eq(p.event_seen, 0, "serials of a new incarnation begin anew");
	p.event_seen = 7;
	peer_source(&p, 1);
	cr_assert_eq(p.event_seen, 7);
	peer_take(peer_source(&p, 2), 5, mark_of(5, 0));
	cr_assert_eq(p.event_seen, 0);
	peer_source(&p, 3);
	cr_assert_eq(peer_present(&p)->incarnation, 3);
	/* One that was known before keeps what it had, and none of the others loses anything. */
	p.event_seen = 3;
	cr_assert(ranges_are(&peer_source(&p, 1)->received, "1"));
	cr_assert_eq(p.event_seen, 0);
	cr_assert_eq(peer_present(&p)->incarnation, 1);
	cr_assert_eq(p.source_count, 3);
	cr_assert_eq(peer_knows(peer_present(&p), 1, mark_of(1, 1)), PEER_CONFLICT);
	cr_assert(ranges_are(&peer_source(&p, 2)->received, "5"));
	cr_assert_eq(peer_knows(peer_present(&p), 5, mark_of(5, 1)), PEER_CONFLICT);
	cr_assert(ranges_are(&peer_source(&p, 3)->received, ""));
	cr_assert_eq(p.sources[0].incarnation, 1);
	cr_assert_eq(p.sources[1].incarnation, 2);
	peer_release(&p);
}

Test(peer, knows_what_was_taken)
{
	struct peer p = fresh_peer(1);
	struct peer_source *s = peer_source(&p, THEIRS);

	cr_assert_eq(peer_knows(s, 1, mark_of(1, 0)), PEER_NEW);
	peer_take(s, 1, mark_of(1, 0));
	cr_assert_eq(peer_knows(s, 1, mark_of(1, 0)), PEER_TAKEN);
	cr_assert_eq(peer_knows(s, 1, mark_of(1, 1)), PEER_CONFLICT);
	cr_assert_eq(peer_knows(s, 2, mark_of(1, 0)), PEER_NEW);
	/* The first mark stands. */
	peer_take(s, 1, mark_of(1, 1));
	cr_assert_eq(peer_knows(s, 1, mark_of(1, 0)), PEER_TAKEN);
	/* Void: whatever comes under it later is dropped, not a conflict. */
	ranges_add(&s->received, 4, 5);
	cr_assert_eq(peer_knows(s, 4, mark_of(4, 0)), PEER_TAKEN);
	peer_take(s, 4, mark_of(4, 0));
	cr_assert_eq(s->mark_count, 1);
	/* Bare batches have no number. */
	peer_take(s, 0, mark_of(0, 0));
	cr_assert_eq(peer_knows(s, 0, mark_of(0, 0)), PEER_NEW);
	cr_assert(ranges_are(&s->received, "1,4-5"));
	/* The same number of another incarnation is another batch. */
	cr_assert_eq(peer_knows(peer_source(&p, 9), 1, mark_of(1, 1)), PEER_NEW);
	peer_release(&p);
}

Test(peer, the_highest_marks_are_kept_in_any_order_of_arrival)
{
	for (uint64_t stride = 1; stride < 199; stride += 66) {
		struct peer p = fresh_peer(1);
		struct peer_source *s = peer_source(&p, THEIRS);

		/* 199 is prime: every number of 1..198 once, in an order by the stride. */
		for (uint64_t i = 1; i < 199; i++) {
			uint64_t n = i * stride % 199;

			peer_take(s, n, mark_of(n, 0));
		}
		cr_assert_eq(s->mark_count, PEER_MARKS);
		for (uint64_t n = 1; n < 199; n++) {
			cr_assert_eq(peer_knows(s, n, mark_of(n, 0)), PEER_TAKEN);
			cr_assert_eq(peer_knows(s, n, mark_of(n, 9)),
			    n >= 199 - PEER_MARKS ? PEER_CONFLICT : PEER_TAKEN, "sequence %d", (int)n);
		}
		peer_release(&p);
	}
}

/* ---- headers ---------------------------------------------------------------------------------------------
 */

Test(peer, header_of_a_fresh_peer_says_nothing)
{
	struct peer p = fresh_peer(1);
	struct batch_header h = {.sequence = 1, .has_ack = true};

	peer_fill_header(&p, &h);
	cr_assert_not(h.has_ack);
	cr_assert_eq(h.voided.count, 0);
	cr_assert_eq(h.event_seen, 0);
	peer_source(&p, THEIRS);
	peer_fill_header(&p, &h);
	cr_assert_not(h.has_ack, "nothing was received");
	batch_header_release(&h);
	peer_release(&p);
}

Test(peer, header_carries_ack_voids_and_events_seen)
{
	struct peer p = fresh_peer(9);
	struct batch_header h = {.sequence = 1};

	ranges_add(&p.voided, 3, 4);
	peer_take(peer_source(&p, 1), 50, mark_of(50, 0));
	peer_take(peer_source(&p, THEIRS), 1, mark_of(1, 0));
	peer_take(peer_present(&p), 3, mark_of(3, 0));
	p.event_seen = 6;
	peer_fill_header(&p, &h);
	peer_fill_header(&p, &h); /* again: replaced, not added */
	cr_assert(h.has_ack);
	cr_assert_eq(h.ack.incarnation, THEIRS);
	cr_assert(ranges_are(&h.ack.received, "1,3"));
	cr_assert_eq(memcmp(h.ack.check, mark_of(3, 0), 4), 0);
	cr_assert(ranges_are(&h.voided, "3-4"));
	cr_assert_eq(h.event_seen, 6);
	batch_header_release(&h);
	peer_release(&p);
}

/* One whose batches are all bare is acknowledged nothing, but its events are: of which incarnation must be
 * said. */
Test(peer, header_names_the_incarnation_of_events_seen)
{
	struct peer p = fresh_peer(9);
	struct batch_header h = {.sequence = 1};
	struct ranges done = {0};

	peer_source(&p, THEIRS);
	p.event_seen = 6;
	peer_fill_header(&p, &h);
	cr_assert(h.has_ack);
	cr_assert_eq(h.ack.incarnation, THEIRS);
	cr_assert_eq(h.ack.received.count, 0);
	cr_assert_eq(memcmp(h.ack.check, "\0\0\0\0", 4), 0);
	/* And the other side takes it so. */
	peer_release(&p);
	p = fresh_peer(1);
	p.incarnation = THEIRS;
	p.event_serial = 8;
	cr_assert_eq(peer_take_ack(&p, &h, &done), ACK_TAKEN);
	cr_assert_eq(p.event_confirmed, 6);
	cr_assert_eq(done.count, 0);
	batch_header_release(&h);
	peer_release(&p);
}

Test(peer, ranges_are_capped_and_the_check_is_of_what_is_said)
{
	for (int known = 0; known < 2; known++) {
		struct peer p = fresh_peer(1);
		struct peer_source *s = peer_source(&p, THEIRS);
		uint64_t total = known ? LIMIT_ACK_RANGES + 10 : LIMIT_ACK_RANGES + PEER_MARKS;
		struct batch_header h = {.sequence = 1};

		for (uint64_t n = 1; n <= total; n++) {
			peer_take(s, 2 * n, mark_of(2 * n, 0));
			ranges_add(&p.voided, 3 * n, 3 * n);
		}
		peer_fill_header(&p, &h);
		cr_assert_eq(h.ack.received.count, LIMIT_ACK_RANGES);
		cr_assert_eq(ranges_last(&h.ack.received), 2 * LIMIT_ACK_RANGES);
		cr_assert_eq(
		    memcmp(h.ack.check, known ? mark_of(2 * LIMIT_ACK_RANGES, 0) : (const uint8_t *)"\0\0\0\0", 4),
		    0);
		cr_assert_eq(h.voided.count, LIMIT_ACK_RANGES);
		cr_assert_eq(h.voided.items[0].first, 3);
		batch_header_release(&h);
		peer_release(&p);
	}
}

Test(peer, check_is_zeros_when_the_highest_is_void)
{
	struct peer p = fresh_peer(1);
	struct batch_header h = {.sequence = 1};

	peer_take(peer_source(&p, THEIRS), 1, mark_of(1, 0));
	ranges_add(&peer_present(&p)->received, 2, 2);
	peer_fill_header(&p, &h);
	cr_assert(ranges_are(&h.ack.received, "1-2"));
	cr_assert_eq(memcmp(h.ack.check, "\0\0\0\0", 4), 0);
	batch_header_release(&h);
	peer_release(&p);
}

/* ---- acknowledgements ------------------------------------------------------------------------------------
 */

Test(peer, partial_acknowledgements)
{
	struct peer p = fresh_peer(9);
	struct ranges done = {0};

	put_out(&p, 1, 8);
	cr_assert_eq(take_ack(&p, 2, 3, mark_of(3, 0), &done), ACK_TAKEN);
	cr_assert(ranges_are(&done, "2-3"));
	cr_assert(ranges_are(&p.acked, "2-3"));
	cr_assert_eq(p.acked_top.sequence, 3);
	cr_assert_eq(p.out_count, 8, "the caller removes them");
	/* Not settled yet: named again; settled: not. */
	ranges_release(&done);
	cr_assert_eq(take_ack(&p, 2, 3, mark_of(3, 0), &done), ACK_TAKEN);
	cr_assert(ranges_are(&done, "2-3"));
	peer_out_remove(&p, 2);
	peer_out_remove(&p, 3);
	ranges_release(&done);
	cr_assert_eq(take_ack(&p, 1, 8, mark_of(8, 0), &done), ACK_TAKEN);
	cr_assert(ranges_are(&done, "1,4-8"));
	cr_assert(ranges_are(&p.acked, "1-8"));
	cr_assert_eq(p.acked_top.sequence, 8);
	cr_assert_eq(memcmp(p.acked_top.mark, mark_of(8, 0), BATCH_MARK), 0);
	/* What an earlier acknowledgement left unsettled is done by any later one. */
	ranges_release(&done);
	cr_assert_eq(take_ack(&p, 8, 8, mark_of(8, 0), &done), ACK_TAKEN);
	cr_assert(ranges_are(&done, "1,4-8"));
	/* The mark kept is that of the highest, whatever is acknowledged after it. */
	peer_out_remove(&p, 8);
	ranges_release(&done);
	cr_assert_eq(take_ack(&p, 1, 1, mark_of(1, 0), &done), ACK_TAKEN);
	cr_assert_eq(p.acked_top.sequence, 8);
	cr_assert_eq(memcmp(p.acked_top.mark, mark_of(8, 0), BATCH_MARK), 0);
	ranges_release(&done);
	peer_release(&p);
}

Test(peer, replays_of_old_acknowledgements_do_nothing)
{
	struct peer p = fresh_peer(9);
	struct ranges done = {0};

	put_out(&p, 1, 8);
	cr_assert_eq(take_ack(&p, 1, 7, mark_of(7, 0), &done), ACK_TAKEN);
	for (uint64_t n = 1; n <= 7; n++)
		peer_out_remove(&p, n);
	ranges_release(&done);
	for (uint64_t n = 1; n <= 7; n++)
		cr_assert_eq(take_ack(&p, 1, n, mark_of(n, 0), &done), ACK_TAKEN);
	cr_assert_eq(done.count, 0);
	cr_assert(ranges_are(&p.acked, "1-7"));
	cr_assert_eq(p.acked_top.sequence, 7);
	cr_assert_eq(p.out_count, 1);
	peer_release(&p);
}

Test(peer, verdicts)
{
	static const struct {
		uint64_t first, last;
		int check; /* 0 right, 1 another, 2 zeros */
		enum ack_verdict verdict;
		const char *why;
	} rows[] = {
	    {1, 5, 0, ACK_TAKEN, "the check fits"},
	    {1, 5, 1, ACK_STRANGER, "a batch that is out has another mark"},
	    {1, 5, 2, ACK_TAKEN, "not checked"},
	    {5, 5, 0, ACK_TAKEN, "one"},
	    {1, 9, 0, ACK_STRANGER, "never sent"},
	    {9, 9, 2, ACK_STRANGER, "never sent, not checked"},
	    {100, 200, 0, ACK_STRANGER, "far from sent"},
	    {PEER_NEVER_SENT, PEER_NEVER_SENT, 2, ACK_STRANGER, "refused"},
	    {0, 5, 0, ACK_STRANGER, "there is no batch 0"},
	    {1, 4, 0, ACK_TAKEN, "acknowledged before, mark kept"},
	    {1, 4, 1, ACK_STRANGER, "acknowledged before, mark kept, and it is another"},
	    {1, 3, 1, ACK_TAKEN, "acknowledged long before, mark not kept"},
	    {8, 8, 1, ACK_TAKEN, "a void number: they may have taken what we called back"},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct peer p = fresh_peer(9);
		struct ranges done = {0};
		struct buf before;
		struct buf after;
		enum ack_verdict verdict;

		ranges_add(&p.acked, 1, 4);
		p.acked_top.sequence = 4;
		memcpy(p.acked_top.mark, mark_of(4, 0), BATCH_MARK);
		put_out(&p, 5, 7);
		ranges_add(&p.voided, 8, 8);
		before = printed(&p);
		verdict = take_ack(&p, rows[i].first, rows[i].last,
		    rows[i].check == 2 ? NULL : mark_of(rows[i].last, rows[i].check == 1 ? 3 : 0), &done);
		after = printed(&p);
		cr_assert_eq(verdict, rows[i].verdict, "%s", rows[i].why);
		if (verdict == ACK_STRANGER) {
			cr_assert_eq(done.count, 0, "%s", rows[i].why);
			cr_assert(view_equal(view_buf(&before), view_buf(&after)), "%s", rows[i].why);
		}
		buf_release(&before);
		buf_release(&after);
		ranges_release(&done);
		peer_release(&p);
	}
}

Test(peer, acknowledgements_of_an_earlier_incarnation_are_ignored)
{
	struct peer p = fresh_peer(9);
	struct batch_header h = {.sequence = 1, .event_seen = 3};
	struct ranges done = {0};

	put_out(&p, 1, 8);
	p.event_serial = 5;
	cr_assert_eq(peer_take_ack(&p, &h, &done), ACK_NONE, "there is none");
	header_ack(&h, OURS + 1, 1, 1000, NULL);
	cr_assert_eq(peer_take_ack(&p, &h, &done), ACK_NONE);
	cr_assert_eq(done.count, 0);
	cr_assert_eq(p.acked.count, 0);
	cr_assert_eq(p.event_confirmed, 0, "which incarnation's serials they are is not known");
	batch_header_release(&h);
	peer_release(&p);
}
