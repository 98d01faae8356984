/*
 * Two ends of a call in memory, each with batches to send, and a link between them that can be cut anywhere.
 */
#ifndef TESTS_UNIT_SESSION_KIT_H
#define TESTS_UNIT_SESSION_KIT_H

#include <criterion/criterion.h>

#include "lib/alloc.h"
#include "lib/wire.h"
#include "relay/session.h"

#define KIT_BATCHES 40

struct kit_batch {
	uint64_t sequence;
	uint8_t class;
	uint8_t *bytes;
	uint64_t size;
	bool tried;
	bool acknowledged;
	uint64_t given;	    /* octets read from it, over all calls */
	uint64_t broken_at; /* it cannot be read from there on; 0: it can */
};

/* What the other end's batches have become here. */
struct kit_part {
	uint64_t sequence;
	struct buf bytes;
	bool whole;
	unsigned begun;
};

struct kit_end {
	struct host_keys keys;
	struct kit_batch batches[KIT_BATCHES];
	size_t batch_count;
	struct kit_part parts[KIT_BATCHES];
	size_t part_count;
	struct session session;
	uint64_t taken[KIT_BATCHES]; /* whole, and not told yet */
	size_t taken_count;
	bool closed;
	enum session_end end;
	char text[300];
	size_t octets;	   /* said in this call */
	uint64_t received; /* octets of batches, over all calls */
	uint64_t allowed;  /* octets for batches in a call; 0: any number */
	uint64_t reserve;
	const char *stops;   /* sequences that are not wanted, as letters: 'a' is 1 */
	const char *refuses; /* and those that turn out to be damaged when they are whole */
	uint64_t stopped;    /* the sequence of ours that was stopped last, */
	enum session_stop why;
};

static inline void kit_keys(struct kit_end *e, const char *name)
{
	e->keys.seal_secret = mem_alloc(crypto_box_SECRETKEYBYTES);
	snprintf(e->keys.public.host, sizeof e->keys.public.host, "%s", name);
	crypto_box_keypair(e->keys.public.seal, e->keys.seal_secret);
}

static inline void kit_batch(struct kit_end *e, uint64_t sequence, uint8_t class, uint64_t size)
{
	struct kit_batch *b = &e->batches[e->batch_count++];

	*b = (struct kit_batch){.sequence = sequence, .class = class, .size = size, .bytes = mem_alloc((size_t)size)};
	for (uint64_t i = 0; i < size; i++)
		b->bytes[i] = (uint8_t)(i * 7 + sequence * 31 + (i >> 8));
}

static inline struct kit_batch *kit_batch_of(struct kit_end *e, uint64_t sequence)
{
	for (size_t i = 0; i < e->batch_count; i++)
		if (e->batches[i].sequence == sequence)
			return &e->batches[i];
	return NULL;
}

static inline struct kit_part *kit_part_of(struct kit_end *e, uint64_t sequence)
{
	for (size_t i = 0; i < e->part_count; i++)
		if (e->parts[i].sequence == sequence)
			return &e->parts[i];
	cr_assert_lt(e->part_count, KIT_BATCHES);
	e->parts[e->part_count] = (struct kit_part){.sequence = sequence};
	buf_init(&e->parts[e->part_count].bytes, SIZE_MAX);
	return &e->parts[e->part_count++];
}

static inline void kit_hash(const uint8_t *bytes, size_t length, uint8_t hash[static SESSION_HASH])
{
	struct session_hash h;

	session_hash_init(&h);
	session_hash_add(&h, view_of(bytes, length));
	session_hash_end(&h, hash);
}

/* News of the kit: the sequences that were taken, as varints, as soon as they may be told. */
static inline void kit_tell(struct kit_end *e)
{
	struct buf news;

	if (e->taken_count == 0)
		return;
	buf_init(&news, 1000);
	for (size_t i = 0; i < e->taken_count; i++)
		wire_varint(&news, e->taken[i]);
	if (session_news(&e->session, view_buf(&news))) {
		for (size_t i = 0; i < e->taken_count; i++)
			session_settled(&e->session, e->taken[i]);
		e->taken_count = 0;
	}
	buf_release(&news);
}

static inline void kit_told(struct kit_end *e, struct view news)
{
	struct reader r;

	for (reader_init(&r, news); !reader_at_end(&r);) {
		struct kit_batch *b = kit_batch_of(e, read_varint(&r));

		cr_assert(!r.failed);
		cr_assert_not_null(b);
		b->acknowledged = true;
		session_withdraw(&e->session, b->sequence);
	}
}

static inline void kit_stands(struct kit_end *e)
{
	for (size_t i = 0; i < e->part_count; i++) {
		uint8_t hash[SESSION_HASH];

		/* What was taken and not acknowledged, since the call was cut, is told again. */
		if (e->parts[i].whole)
			e->taken[e->taken_count++] = e->parts[i].sequence;
		if (e->parts[i].whole)
			continue;
		kit_hash(e->parts[i].bytes.bytes, e->parts[i].bytes.length, hash);
		session_have(&e->session, e->parts[i].sequence, e->parts[i].bytes.length, hash);
	}
	for (size_t i = 0; i < e->batch_count; i++)
		if (!e->batches[i].acknowledged)
			session_offer(&e->session, e->batches[i].sequence, e->batches[i].class, e->batches[i].size,
			    e->batches[i].tried);
	kit_tell(e);
	if (e->allowed > 0)
		session_allow(&e->session, e->allowed, e->reserve);
	session_go(&e->session);
}

static inline void kit_read(struct kit_end *e, struct kit_batch *b, const struct session_event *event, uint64_t now)
{
	cr_assert_not_null(b);
	cr_assert_leq(event->offset + event->length, b->size);
	if (b->broken_at > 0 && event->offset >= b->broken_at) {
		session_data(&e->session, view_of(b->bytes, 0), now);
		/* What is out is offered again whenever there may be more. */
		session_offer(&e->session, b->sequence, b->class, b->size, true);
		return;
	}
	b->tried = true;
	b->given += event->length;
	session_data(&e->session, view_of(b->bytes + event->offset, event->length), now);
}

static inline bool kit_named(const char *letters, uint64_t sequence)
{
	return letters != NULL && strchr(letters, (int)('a' + sequence - 1)) != NULL;
}

static inline void kit_begun(struct kit_end *e, const struct session_event *event)
{
	struct kit_part *p = kit_part_of(e, event->sequence);

	if (p->whole) {
		session_stop(&e->session, event->sequence, SESSION_STOP_TAKEN);
		return;
	}
	cr_assert(event->offset == 0 || event->offset == p->bytes.length);
	p->begun++;
	p->bytes.length = (size_t)event->offset;
	if (kit_named(e->stops, event->sequence))
		session_stop(&e->session, event->sequence, SESSION_STOP_REFUSED);
}

static inline void kit_whole(struct kit_end *e, uint64_t sequence)
{
	struct kit_part *p = kit_part_of(e, sequence);

	cr_assert(!p->whole);
	if (kit_named(e->refuses, sequence)) {
		session_stop(&e->session, sequence, SESSION_STOP_REFUSED);
		return;
	}
	p->whole = true;
	e->taken[e->taken_count++] = sequence;
}

static inline void kit_event(
    struct kit_end *e, struct kit_end *other, const struct session_event *event, uint64_t now)
{
	struct kit_batch *b = kit_batch_of(e, event->sequence);
	struct kit_part *p;
	uint8_t hash[SESSION_HASH];

	switch (event->kind) {
	case SESSION_HINTED:
		session_hint(&other->keys.public, &e->keys.public, hash);
		if (memcmp(hash, event->bytes.bytes, SESSION_HINT) == 0)
			session_meet(&e->session, &other->keys.public, false, 0);
		break;
	case SESSION_STANDS:
		kit_stands(e);
		break;
	case SESSION_READ:
		kit_read(e, b, event, now);
		break;
	case SESSION_CHECK:
		cr_assert_not_null(b);
		kit_hash(b->bytes, (size_t)event->offset, hash);
		session_checked(&e->session, event->sequence, memcmp(hash, event->bytes.bytes, sizeof hash) == 0);
		break;
	case SESSION_BEGUN:
		kit_begun(e, event);
		break;
	case SESSION_DATA:
		p = kit_part_of(e, event->sequence);
		cr_assert_eq(event->offset, p->bytes.length);
		buf_view(&p->bytes, event->bytes);
		e->received += event->bytes.length;
		break;
	case SESSION_CUT_BACK:
		p = kit_part_of(e, event->sequence);
		cr_assert_leq(event->offset, p->bytes.length);
		p->bytes.length = (size_t)event->offset;
		break;
	case SESSION_WHOLE:
		kit_whole(e, event->sequence);
		break;
	case SESSION_TOLD:
		kit_told(e, event->bytes);
		break;
	case SESSION_STOPPED:
		cr_assert_not_null(b);
		e->stopped = event->sequence;
		e->why = event->stop;
		break;
	case SESSION_SENT:
		break;
	case SESSION_CLOSED:
		cr_assert(!e->closed, "CLOSED comes once");
		e->closed = true;
		e->end = event->end;
		snprintf(e->text, sizeof e->text, "%s", event->text);
		break;
	}
}

static inline void kit_run(struct kit_end *e, struct kit_end *other, uint64_t now)
{
	struct session_event event;

	do {
		while (session_next(&e->session, &event, now))
			kit_event(e, other, &event, now);
		kit_tell(e);
	} while (session_next(&e->session, &event, now) && (kit_event(e, other, &event, now), true));
}

static inline void kit_begin(struct kit_end *caller, struct kit_end *answerer, bool open, uint64_t turn)
{
	struct session_options call = {SESSION_CALLER, &caller->keys, &answerer->keys.public, open, turn};
	struct session_options answer = {SESSION_ANSWERER, &answerer->keys, NULL, false, 0};

	caller->closed = answerer->closed = false;
	caller->octets = answerer->octets = 0;
	caller->taken_count = answerer->taken_count = 0;
	session_init(&caller->session, &call, 0);
	session_init(&answerer->session, &answer, 0);
}

static inline void kit_end_call(struct kit_end *caller, struct kit_end *answerer)
{
	session_release(&caller->session);
	session_release(&answerer->session);
}

static inline void kit_release(struct kit_end *e)
{
	free(e->keys.seal_secret);
	for (size_t i = 0; i < e->batch_count; i++)
		free(e->batches[i].bytes);
	for (size_t i = 0; i < e->part_count; i++)
		buf_release(&e->parts[i].bytes);
}

/* All that E had to send has arrived at OTHER, as it was. */
static inline void kit_arrived(struct kit_end *e, struct kit_end *other)
{
	for (size_t i = 0; i < e->batch_count; i++) {
		struct kit_part *p = kit_part_of(other, e->batches[i].sequence);

		cr_assert(p->whole, "batch %d is whole", (int)p->sequence);
		cr_assert_eq(p->bytes.length, e->batches[i].size);
		cr_assert_eq(memcmp(p->bytes.bytes, e->batches[i].bytes, p->bytes.length), 0);
	}
}

#endif
