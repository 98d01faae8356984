/*
 * A neighbour's state and its pieces, for the tests of spool/peer.h.
 */
#ifndef TESTS_PEER_KIT_H
#define TESTS_PEER_KIT_H

#include "tests/unit/scratch.h"

#include "spool/peer.h"
#include "spool/statefile.h"

#define OURS   0x11111111u
#define THEIRS 0x22222222u

/* A mark that tells which batch it is of. */
static inline const uint8_t *mark_of(uint64_t sequence, uint8_t salt)
{
	static uint8_t mark[BATCH_MARK];

	for (size_t i = 0; i < sizeof mark; i++)
		mark[i] = (uint8_t)((sequence >> (8 * (i % 4))) + 17 * i + salt + 1);
	return mark;
}

static inline struct peer fresh_peer(uint64_t next)
{
	struct peer p = {.name = "city", .incarnation = OURS, .next = next};

	return p;
}

/* Batches FIRST to LAST are out. */
static inline void put_out(struct peer *p, uint64_t first, uint64_t last)
{
	for (uint64_t n = first; n <= last; n++)
		memcpy(peer_out_add(p, n)->mark, mark_of(n, 0), BATCH_MARK);
}

static inline void header_ack(
    struct batch_header *h, uint32_t incarnation, uint64_t first, uint64_t last, const uint8_t *check)
{
	h->has_ack = true;
	h->ack.incarnation = incarnation;
	ranges_add(&h->ack.received, first, last);
	memset(h->ack.check, 0, sizeof h->ack.check);
	if (check != NULL)
		memcpy(h->ack.check, check, sizeof h->ack.check);
}

static inline enum ack_verdict take_ack(
    struct peer *p, uint64_t first, uint64_t last, const uint8_t *check, struct ranges *done)
{
	struct batch_header h = {.sequence = 1};
	enum ack_verdict verdict;

	header_ack(&h, OURS, first, last, check);
	verdict = peer_take_ack(p, &h, done);
	batch_header_release(&h);
	return verdict;
}

/* "1-3,7" */
static inline bool ranges_are(const struct ranges *set, const char *text)
{
	struct buf b;
	bool same;

	buf_init(&b, 10000);
	for (size_t i = 0; i < set->count; i++) {
		buf_format(&b, "%s%llu", i > 0 ? "," : "", (unsigned long long)set->items[i].first);
		if (set->items[i].last != set->items[i].first)
			buf_format(&b, "-%llu", (unsigned long long)set->items[i].last);
	}
	same = strcmp(buf_string(&b), text) == 0;
	if (!same)
		cr_log_error("the set is %s, not %s", buf_string(&b), text);
	buf_release(&b);
	return same;
}

static inline struct peer full_peer(void)
{
	struct peer p = fresh_peer(9);
	struct peer_batch *b;

	ranges_add(&p.acked, 1, 4);
	ranges_add(&p.voided, 5, 5);
	p.acked_top = (struct peer_mark){.sequence = 4, .mark = {4, 4, 4}};
	b = peer_out_add(&p, 8);
	*b = (struct peer_batch){OURS, 8, 2, 1u << 30, 7, {8, 8}, {1, 2, 3}, 86400, -5, 90000, INT64_MIN, 3, ""};
	memset(b->carrier, 'a', sizeof b->carrier - 1);
	put_out(&p, 6, 7);
	p.incarnation = 0x33333333u; /* two of an earlier incarnation of ours stand before */
	b = peer_out_add(&p, 300);
	b->incarnation = 7;
	p.incarnation = OURS;
	memmove(p.out + 1, p.out, 3 * sizeof p.out[0]);
	p.out[0] = (struct peer_batch){.incarnation = 7, .sequence = 300};
	peer_take(peer_source(&p, 0xffffffffu), UINT64_C(1) << 40, mark_of(1, 0));
	peer_refuse(peer_present(&p));
	for (uint64_t n = 1; n < 100; n++)
		peer_take(peer_source(&p, THEIRS), n * 2, mark_of(n, 0));
	ranges_add(&peer_present(&p)->received, 1000, UINT64_MAX - 2);
	p.ack_due = true;
	p.event_serial = 12;
	p.event_confirmed = 10;
	p.event_packed = 11;
	p.event_seen = UINT64_MAX;
	p.contact = INT64_MAX;
	p.tried = -1;
	p.clock_apart = -1000000000;
	p.result = mem_string("no carrier: \"modem\"\n");
	return p;
}

static inline struct buf printed(const struct peer *p)
{
	struct buf b;

	buf_init(&b, LIMIT_SMALL_FILE);
	peer_print(p, &b);
	cr_assert_not(b.failed);
	return b;
}

#endif
