/* The header's codec, and the worked example of spool/FORMAT.md. */
#include "tests/unit/batch_kit.h"

#include "lib/text.h"
#include "queue/envelope.h"

/* Parses a whole header. H owns memory afterwards. */
static enum outcome parse(struct view bytes, struct batch_header *h, struct error *err)
{
	struct reader rest;
	enum outcome outcome;

	*err = ERROR_NONE;
	outcome = batch_header_identify(h, bytes, "test", &rest, err);
	if (outcome == OUTCOME_DONE)
		outcome = batch_header_complete(h, bytes, "test", &rest, err);
	return outcome;
}

static void expect_ranges(const struct ranges *a, const struct ranges *b)
{
	cr_assert_eq(a->count, b->count);
	for (size_t i = 0; i < a->count; i++) {
		cr_assert_eq(a->items[i].first, b->items[i].first);
		cr_assert_eq(a->items[i].last, b->items[i].last);
	}
}

static void expect_same(const struct batch_header *a, const struct batch_header *b)
{
	cr_assert_str_eq(a->from, b->from);
	cr_assert_str_eq(a->to, b->to);
	cr_assert_eq(a->incarnation, b->incarnation);
	cr_assert_eq(a->sequence, b->sequence);
	cr_assert_eq(a->class, b->class);
	cr_assert_eq(a->sealed, b->sealed);
	cr_assert_eq(a->codec, b->codec);
	cr_assert_eq(a->dictionary, b->dictionary);
	cr_assert_eq(a->has_ack, b->has_ack);
	cr_assert_eq(a->ack.incarnation, b->ack.incarnation);
	expect_ranges(&a->ack.received, &b->ack.received);
	cr_assert_arr_eq(a->ack.check, b->ack.check, sizeof a->ack.check);
	expect_ranges(&a->voided, &b->voided);
	cr_assert_eq(a->events_incarnation, b->events_incarnation);
	cr_assert_eq(a->event_serial, b->event_serial);
	cr_assert_eq(a->event_seen, b->event_seen);
	cr_assert_eq(a->event_count, b->event_count);
	for (size_t i = 0; i < a->event_count; i++) {
		cr_assert_eq(a->events[i].sequence, b->events[i].sequence);
		cr_assert_eq(a->events[i].kind, b->events[i].kind);
		cr_assert_arr_eq(a->events[i].status, b->events[i].status, 3);
		cr_assert(view_equal(view_buf(&a->events[i].bitmap), view_buf(&b->events[i].bitmap)));
	}
}

static void add_event(struct batch_header *h, uint64_t sequence, enum event_kind kind, const char *bitmap)
{
	struct batch_event *event = batch_header_add_event(h);

	event->sequence = sequence;
	event->kind = kind;
	if (kind == EVENT_FAILED)
		memcpy(event->status, "\5\1\1", 3);
	buf_text(&event->bitmap, bitmap);
}

enum part { PART_ACK = 1, PART_VOIDED = 2, PART_EVENTS = 4, PART_SEEN = 8, PART_ALL = 15 };

static struct batch_header make(unsigned parts)
{
	struct batch_header h = kit_header(KIT_SEALED, 300);

	if (parts & PART_ACK) {
		h.has_ack = true;
		h.ack.incarnation = 0xfffefdfc;
		ranges_add(&h.ack.received, 1, 1);
		ranges_add(&h.ack.received, 4, 1000);
		ranges_add(&h.ack.received, 1002, UINT64_C(1) << 62);
		memcpy(h.ack.check, "\0\1\2\3", 4);
	}
	if (parts & PART_VOIDED)
		ranges_add(&h.voided, 7, 9);
	if (parts & PART_EVENTS) {
		h.event_serial = 500;
		h.events_incarnation = 8;
		add_event(&h, 1, EVENT_DELIVERED, "\xff\1");
		add_event(&h, 1, EVENT_FAILED, "\2");
		add_event(&h, UINT64_MAX, EVENT_FORWARDED, "abc");
		add_event(&h, 2, EVENT_REMOVED, "\x80");
	}
	if (parts & PART_SEEN)
		h.event_seen = UINT64_MAX;
	return h;
}

Test(batch_header, decode_of_encode)
{
	for (unsigned parts = 0; parts <= PART_ALL; parts++) {
		struct batch_header h = make(parts);
		struct buf bytes = kit_encode(&h);
		struct batch_header back;
		struct error err;
		struct buf again;

		cr_assert_eq(parse(view_buf(&bytes), &back, &err), OUTCOME_DONE, "%s", err.text);
		expect_same(&h, &back);
		again = kit_encode(&back);
		cr_assert(view_equal(view_buf(&bytes), view_buf(&again)));
		buf_release(&again);
		batch_header_release(&back);
		batch_header_release(&back);
		batch_header_release(&h);
		buf_release(&bytes);
	}
}

Test(batch_header, plain_values)
{
	static const struct {
		uint8_t class;
		bool sealed;
		uint64_t sequence;
		uint8_t flags;
		enum codec codec;
		uint8_t dictionary;
	} cases[] = {{0, false, 0, 0, 0, 0}, {2, false, 0, 4, 0, 0}, {0, true, 1, 1, 0, 0},
	    {1, false, UINT64_MAX, 2, 0, 0}, {2, true, 5, 0x25, CODEC_DEFLATE, 1},
	    {1, false, 9, 0x22, CODEC_DEFLATE, 1}, {1, true, 9, 0x0b, CODEC_BROTLI, 0},
	    {0, false, 9, 0x08, CODEC_BROTLI, 0}};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct batch_header h = kit_header(KIT_PLAIN, cases[i].sequence);
		struct batch_header back;
		struct error err;
		struct buf bytes;

		h.class = cases[i].class;
		h.sealed = cases[i].sealed;
		h.codec = cases[i].codec;
		h.dictionary = cases[i].dictionary;
		bytes = kit_encode(&h);
		cr_assert_eq(bytes.bytes[BATCH_FLAGS_AT], cases[i].flags);
		cr_assert_eq(parse(view_buf(&bytes), &back, &err), OUTCOME_DONE, "%s", err.text);
		expect_same(&h, &back);
		batch_header_release(&back);
		buf_release(&bytes);
	}
}

/* Trailing zero bytes of a bitmap are cut, and a group about nobody is not written. */
Test(batch_header, bitmaps_are_trimmed)
{
	struct batch_header h = make(PART_EVENTS);
	struct batch_header back;
	struct error err;
	struct buf bytes;

	buf_append(&h.events[0].bitmap, "\0\0\0", 3);
	add_event(&h, 9, EVENT_DELIVERED, "");
	buf_append(&h.events[4].bitmap, "\0", 1);
	bytes = kit_encode(&h);
	cr_assert_eq(parse(view_buf(&bytes), &back, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(back.event_count, 4);
	cr_assert(view_is(view_buf(&back.events[0].bitmap), "\xff\1"));
	batch_header_release(&back);
	batch_header_release(&h);
	buf_release(&bytes);
}

/* Voids beyond what one header may carry wait for the next; an acknowledgement may not be cut behind its
 * check. */
Test(batch_header, many_ranges)
{
	struct batch_header h = make(0);
	struct batch_header back;
	struct error err;
	struct buf bytes;

	for (uint64_t i = 0; i <= LIMIT_ACK_RANGES; i++)
		ranges_add(&h.voided, 10 + 2 * i, 10 + 2 * i);
	bytes = kit_encode(&h);
	cr_assert_eq(parse(view_buf(&bytes), &back, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(back.voided.count, LIMIT_ACK_RANGES);
	cr_assert(ranges_contain(&back.voided, 10));
	batch_header_release(&back);
	h.has_ack = true;
	ranges_merge(&h.ack.received, &h.voided);
	buf_clear(&bytes);
	cr_assert_neq(batch_header_write(&h, &bytes, &err), OUTCOME_DONE);
	cr_assert_eq(err.code, EX_SOFTWARE);
	batch_header_release(&h);
	buf_release(&bytes);
}

Test(batch_header, what_cannot_be_written)
{
	for (int i = 0; i < 13; i++) {
		struct batch_header h = make(PART_ALL);
		struct error err = ERROR_NONE;
		struct buf bytes;

		buf_init(&bytes, BATCH_HEADER_MAX);
		if (i == 0)
			h.from[0] = '\0';
		else if (i == 1)
			h.to[0] = 'X';
		else if (i == 2)
			h.class = 3;
		else if (i == 3)
			h.dictionary = CODEC_DICTIONARY + 1;
		else if (i == 4)
			h.event_serial = 0;
		else if (i == 5)
			h.events[1].sequence = 0;
		else if (i == 6)
			h.events[1].kind = 0;
		else if (i == 7)
			h.events[1].kind = EVENT_REMOVED + 1;
		else if (i == 8)
			ranges_add(&h.voided, 0, 0);
		else if (i == 9)
			ranges_add(&h.ack.received, 0, 0);
		else if (i == 10)
			h.codec = (enum codec)2;
		else if (i == 11)
			h.codec = CODEC_BROTLI, h.dictionary = CODEC_DICTIONARY;
		else
			memset(buf_extend(&h.events[1].bitmap, 65000), 1, 65000);
		cr_assert_eq(
		    batch_header_write(&h, &bytes, &err), i == 12 ? OUTCOME_DONE : OUTCOME_NEVER, "case %d", i);
		if (i == 12) {
			add_event(&h, 1, EVENT_DELIVERED, "");
			memset(buf_extend(&h.events[4].bitmap, 500), 1, 500);
			cr_assert_eq(batch_header_write(&h, &bytes, &err), OUTCOME_NEVER);
		}
		cr_assert_eq(err.code, i == 12 ? EX_DATAERR : EX_SOFTWARE, "%s", err.text);
		batch_header_release(&h);
		buf_release(&bytes);
	}
}

/* Whatever is accepted encodes to itself, or to less where an unknown optional extension was left out. */
Test(batch_header, encode_of_decode)
{
	struct batch_header h = make(PART_ALL);
	struct buf bytes = kit_encode(&h);
	size_t accepted = 0;

	for (size_t i = 0; i < bytes.length; i++) {
		uint8_t good = bytes.bytes[i];

		for (unsigned byte = 0; byte < 256; byte++) {
			struct batch_header back;
			struct error err;

			bytes.bytes[i] = (uint8_t)byte;
			if (parse(view_buf(&bytes), &back, &err) == OUTCOME_DONE) {
				struct buf again = kit_encode(&back);

				accepted++;
				cr_assert(
				    again.length < bytes.length || view_equal(view_buf(&again), view_buf(&bytes)),
				    "byte %zu is %u", i, byte);
				buf_release(&again);
			} else {
				cr_assert(err.text[0] != '\0');
			}
			batch_header_release(&back);
		}
		bytes.bytes[i] = good;
	}
	cr_assert_gt(accepted, 1000);
	batch_header_release(&h);
	buf_release(&bytes);
}

/* Extensions as the rest of a header from village to city; "" is the header that ends before them. */
Test(batch_header, malformed_extensions)
{
	static const struct {
		const char *bytes;
		size_t length;
		int code;
	} cases[] = {
	    {"", 0, EX_OK},
	    {"\2\x0b\1\2\3\4\1\1\2mark", 13, EX_OK},
	    {"\2\x09\1\2\3\4\0mark", 11, EX_OK},	      /* nothing received yet */
	    {"\2\x0b\1\2\3\4\1\0\2mark", 13, EX_DATAERR},     /* sequence 0 */
	    {"\2\x0c\1\2\3\4\1\1\2markx", 14, EX_DATAERR},    /* more than an acknowledgement */
	    {"\2\x0a\1\2\3\4\1\1\2mar", 12, EX_DATAERR},      /* less */
	    {"\2\x0c\1\2\3\4\1\x81\0\2mark", 14, EX_DATAERR}, /* a number in a longer form */
	    {"\2\x0b\1\2\3\4\1\1\2mar", 12, EX_DATAERR},      /* the value ends too early */
	    {"\4\3\1\5\0", 5, EX_OK},
	    {"\4\1\0", 3, EX_DATAERR},	   /* nothing void */
	    {"\4\3\1\0\0", 5, EX_DATAERR}, /* sequence 0 */
	    {"\6\x09\1\1\2\3\4\5\1\1\1", 11, EX_OK},
	    {"\6\5\1\1\2\3\4", 7, EX_OK},		    /* no groups */
	    {"\6\5\0\1\2\3\4", 7, EX_DATAERR},		    /* serial 0 */
	    {"\6\x09\1\1\2\3\4\0\1\1\1", 11, EX_DATAERR},   /* of batch 0 */
	    {"\6\x09\1\1\2\3\4\5\0\1\1", 11, EX_DATAERR},   /* kind 0 */
	    {"\6\x09\1\1\2\3\4\5\5\1\1", 11, EX_DATAERR},   /* kind 5 */
	    {"\6\x08\1\1\2\3\4\5\1\0", 10, EX_DATAERR},	    /* an empty bitmap */
	    {"\6\x0a\1\1\2\3\4\5\1\2\1\0", 12, EX_DATAERR}, /* a trailing zero byte */
	    {"\6\x0c\1\1\2\3\4\5\2\5\1\1\1\1", 14, EX_OK},
	    {"\6\x09\1\1\2\3\4\5\2\5\1", 11, EX_DATAERR}, /* failed, cut short */
	    {"\x08\1\7", 3, EX_OK},
	    {"\x08\1\0", 3, EX_DATAERR},
	    {"\x08\2\7\7", 4, EX_DATAERR},
	    {"\x08\1\7\x08\1\7", 6, EX_DATAERR},   /* twice */
	    {"\x08\1\7\4\3\1\5\0", 8, EX_DATAERR}, /* not in order */
	    {"\0\0", 2, EX_DATAERR},		   /* type 0 */
	    {"\x0a", 1, EX_DATAERR},		   /* no length */
	    {"\x0a\1", 2, EX_DATAERR},		   /* no value */
	    {"\x0a\0", 2, EX_OK},		   /* unknown and optional */
	    {"\x80\x02\3abc", 6, EX_OK},
	    {"\x08\1\7\x0a\0\x80\x02\3abc", 11, EX_OK},
	    {"\x0b\0", 2, EX_PROTOCOL}, /* unknown and mandatory */
	    {"\1\0", 2, EX_PROTOCOL},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct batch_header h = kit_header(KIT_PLAIN, 1);
		struct buf bytes = kit_encode(&h);
		struct batch_header back;
		struct error err;

		buf_append(&bytes, cases[i].bytes, cases[i].length);
		bytes.bytes[BATCH_FLAGS_AT + 1] = (uint8_t)(bytes.length - BATCH_FLAGS_AT - 2);
		cr_assert_eq(parse(view_buf(&bytes), &back, &err),
		    cases[i].code == EX_OK ? OUTCOME_DONE : OUTCOME_NEVER, "case %zu: %s", i, err.text);
		cr_assert_eq(err.code, cases[i].code, "case %zu: %s", i, err.text);
		batch_header_release(&back);
		buf_release(&bytes);
	}
}

Test(batch_header, peek_refuses_other_files)
{
	static const char *const texts[] = {"", "P", "PBT", "PBT\1", "PBT\1\2\x7f", "PBT\1\2\xff\xff\xff\xff\xff",
	    "From anna@example.org", "PBT\1\2\x90\x80\x10"};
	struct kit k;

	kit_open(&k);
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct batch_header h;
		struct batch_header zero = {.sequence = 0};
		int fd;

		kit_put(&k, "f", view_text(texts[i]));
		cr_assert_eq(file_open(&k.dir, "f", &fd, &k.err), OUTCOME_DONE);
		cr_assert_eq(batch_peek(fd, "f", &h, &k.err), OUTCOME_NEVER, "case %zu", i);
		cr_assert_eq(k.err.code, EX_DATAERR, "%s", k.err.text);
		cr_assert_eq(memcmp(&h, &zero, sizeof h), 0);
		batch_header_release(&h);
		file_close(&fd);
	}
	kit_close(&k);
}

Test(batch_header, peek_keeps_nothing_of_what_it_refuses)
{
	struct batch_header h = make(PART_ALL);
	struct batch_header peeked;
	struct buf bytes = kit_encode(&h);
	struct kit k;
	int fd;

	kit_open(&k);
	buf_append(&bytes, "\x0b\0", 2);
	bytes.bytes[BATCH_FLAGS_AT + 1] = (uint8_t)(bytes.bytes[BATCH_FLAGS_AT + 1] + 2);
	buf_extend(&bytes, 64);
	kit_put(&k, "f", view_buf(&bytes));
	cr_assert_eq(file_open(&k.dir, "f", &fd, &k.err), OUTCOME_DONE);
	cr_assert_eq(batch_peek(fd, "f", &peeked, &k.err), OUTCOME_NEVER);
	cr_assert_eq(k.err.code, EX_PROTOCOL, "%s", k.err.text);
	cr_assert_str_eq(peeked.to, "city", "but for whom it is");
	cr_assert_null(peeked.events);
	cr_assert_null(peeked.ack.received.items);
	cr_assert_null(peeked.voided.items);
	file_close(&fd);
	buf_release(&bytes);
	batch_header_release(&h);
	kit_close(&k);
}

Test(batch_header, longer_than_the_limit)
{
	struct buf bytes;
	struct kit k;

	kit_open(&k);
	for (uint64_t length = LIMIT_BATCH_HEADER; length <= LIMIT_BATCH_HEADER + 1; length++) {
		struct batch_header h;
		int fd;

		/* From and to, incarnation, sequence, and one optional extension for the rest. */
		buf_init(&bytes, 80000);
		buf_append(&bytes, "PBT\1\2", 5);
		wire_varint(&bytes, length);
		buf_append(&bytes, "\1a\1b\1\2\3\4\1\x0a", 10);
		wire_varint(&bytes, length - 13);
		buf_extend(&bytes, length - 13 + 64);
		kit_put(&k, "f", view_buf(&bytes));
		cr_assert_eq(file_open(&k.dir, "f", &fd, &k.err), OUTCOME_DONE);
		cr_assert_eq(batch_peek(fd, "f", &h, &k.err),
		    length > LIMIT_BATCH_HEADER ? OUTCOME_NEVER : OUTCOME_DONE, "%s", k.err.text);
		if (length > LIMIT_BATCH_HEADER)
			cr_assert(strstr(k.err.text, "limit of 65536") != NULL, "%s", k.err.text);
		batch_header_release(&h);
		file_close(&fd);
		buf_release(&bytes);
	}
	kit_close(&k);
}

/* ---- the worked example ----------------------------------------------------------------------------------
 */

/* Appends the bytes of the ```hex block of spool/FORMAT.md behind the line HEADING; '#' begins a comment. */
static void read_example(const char *heading, struct buf *out)
{
	struct dir here;
	struct error err = ERROR_NONE;
	struct buf text;
	struct view rest;
	struct view line;
	enum { BEFORE, NEAR, INSIDE, BEHIND } place = BEFORE;

	cr_assert_eq(dir_open(&here, NULL, "spool", &err), OUTCOME_DONE, "%s", err.text);
	buf_init(&text, 1 << 20);
	cr_assert_eq(file_read(&here, "FORMAT.md", &text, &err), OUTCOME_DONE, "%s", err.text);
	rest = view_buf(&text);
	while (place != BEHIND && view_line(&rest, &line)) {
		if (place == BEFORE && view_is(line, heading))
			place = NEAR;
		else if (place == NEAR && view_is(line, "```hex"))
			place = INSIDE;
		else if (place == INSIDE && view_is(line, "```"))
			place = BEHIND;
		else if (place == INSIDE)
			for (size_t i = 0; i + 1 < line.length && line.bytes[i] != '#'; i++)
				if (line.bytes[i] != ' ')
					cr_assert(hex_decode(view_of(line.bytes + i++, 2), out));
	}
	cr_assert_eq(place, BEHIND, "FORMAT.md has no \"%s\" with a hex block", heading);
	buf_release(&text);
	dir_close(&here);
}

static const char example_content[] = "From: Anna <anna@village.example.org>\r\n"
				      "To: Bela <bela@city.example.org>\r\n"
				      "Subject: boat\r\n"
				      "\r\n"
				      "The boat comes on Tuesday.\r\n";

static struct batch_header example_header(void)
{
	struct batch_header h = kit_header(KIT_PLAIN, 12);

	h.dictionary = CODEC_DICTIONARY;
	h.has_ack = true;
	h.ack.incarnation = 0x0a0b0c0d;
	ranges_add(&h.ack.received, 1, 7);
	ranges_add(&h.ack.received, 9, 9);
	memcpy(h.ack.check, "\xd1\xd2\xd3\xd4", 4);
	h.event_serial = 3;
	h.events_incarnation = 0x0a0b0c0d;
	add_event(&h, 7, EVENT_DELIVERED, "\x05");
	add_event(&h, 7, EVENT_FAILED, "\x02");
	return h;
}

static struct envelope example_envelope(void)
{
	struct envelope e;

	envelope_init(&e);
	e.id = (struct id){"village", 0x01020304, 41};
	e.sender = mem_string("anna@village.example.org");
	e.size = sizeof example_content - 1;
	envelope_add_recipient(&e, "bela@city.example.org");
	envelope_add_hop(&e, "village", 1795402279, HOP_LOCAL);
	return e;
}

static struct buf example_head(void)
{
	struct envelope e = example_envelope();
	struct envelope_context context = {.time = 0};
	struct buf head;

	buf_init(&head, 1000);
	envelope_write(&e, ENVELOPE_ON_AIR, &context, &head);
	envelope_release(&e);
	return head;
}

/* What the body unpacks to. */
static struct buf example_item(void)
{
	struct buf head = example_head();
	struct buf item;

	buf_init(&item, 1000);
	wire_varint(&item, BATCH_MESSAGE);
	wire_view(&item, view_buf(&head));
	wire_text(&item, example_content);
	wire_varint(&item, BATCH_END);
	buf_release(&head);
	return item;
}

static void write_example(struct kit *k, const char *name)
{
	struct batch_header h = example_header();
	struct buf head = example_head();
	struct batch_writer w;
	int fd;

	cr_assert_eq(file_create(&k->dir, name, &fd, &k->err), OUTCOME_DONE);
	cr_assert_eq(batch_writer_open(&w, fd, name, &h, &k->village, NULL, &k->err), OUTCOME_DONE);
	cr_assert_eq(
	    batch_item_begin(&w, BATCH_MESSAGE, view_buf(&head), sizeof example_content - 1, &k->err), OUTCOME_DONE);
	cr_assert_eq(sink_view(&w.content, view_text(example_content), &k->err), OUTCOME_DONE);
	cr_assert_eq(batch_writer_finish(&w, &k->err), OUTCOME_DONE);
	batch_writer_release(&w);
	batch_header_release(&h);
	buf_release(&head);
	file_close(&fd);
}

/* Reads NAME, which must say what the example says. */
static void expect_example(struct kit *k, const char *name)
{
	struct batch_header h = example_header();
	struct buf head = example_head();
	struct batch_reader r;
	struct batch_item *item;
	struct buf content;
	struct buf_sink sink;
	int fd;

	cr_assert_eq(file_open(&k->dir, name, &fd, &k->err), OUTCOME_DONE);
	cr_assert_eq(batch_reader_open(&r, fd, name, &k->city, kit_lookup, k, &kit_limits, &k->err), OUTCOME_DONE,
	    "%s", k->err.text);
	expect_same(&r.header, &h);
	cr_assert_eq(batch_next(&r, &item, &k->err), OUTCOME_DONE, "%s", k->err.text);
	cr_assert(view_equal(item->head, view_buf(&head)));
	buf_init(&content, 1000);
	buf_sink_init(&sink, &content);
	cr_assert_eq(stream_copy(&item->content, &sink.sink, NULL, &k->err), OUTCOME_DONE);
	cr_assert(view_is(view_buf(&content), example_content));
	cr_assert_eq(batch_next(&r, &item, &k->err), OUTCOME_DONE, "%s", k->err.text);
	cr_assert_eq(item->type, BATCH_END);
	batch_reader_release(&r);
	batch_header_release(&h);
	buf_release(&content);
	buf_release(&head);
	file_close(&fd);
}

Test(batch_header, worked_example)
{
	struct batch_header h = example_header();
	struct buf header = kit_encode(&h);
	struct buf example;
	struct buf item;
	struct kit k;

	kit_open(&k);
	write_example(&k, "made");
	expect_example(&k, "made");
	/* For whoever has to write it into FORMAT.md again. */
	if (getenv("PRINT_EXAMPLE") != NULL) {
		struct buf bytes = kit_bytes(&k, "made");

		for (size_t i = 0; i < bytes.length; i++)
			fprintf(stderr, "%02x%c", bytes.bytes[i], i % 16 == 15 ? '\n' : ' ');
		buf_release(&bytes);
	}
	buf_init(&example, 10000);
	read_example("### The file", &example);
	kit_put(&k, "example", view_buf(&example));
	expect_example(&k, "example");
	/* The body may differ with the version of zlib, the header never. */
	cr_assert_gt(example.length, header.length);
	cr_assert_eq(memcmp(example.bytes, header.bytes, header.length), 0);
	buf_clear(&example);
	read_example("### The item", &example);
	item = example_item();
	cr_assert(view_equal(view_buf(&example), view_buf(&item)));
	buf_release(&item);
	buf_release(&example);
	buf_release(&header);
	batch_header_release(&h);
	kit_close(&k);
}

/* The key lines and fingerprints that FORMAT.md shows are those of the example's keys. */
Test(batch_header, worked_example_keys)
{
	struct dir here;
	struct error err = ERROR_NONE;
	struct buf text;
	struct kit k;

	kit_open(&k);
	cr_assert_eq(dir_open(&here, NULL, "spool", &err), OUTCOME_DONE, "%s", err.text);
	buf_init(&text, 1 << 20);
	cr_assert_eq(file_read(&here, "FORMAT.md", &text, &err), OUTCOME_DONE, "%s", err.text);
	for (int i = 0; i < 2; i++) {
		const struct public_keys *keys = i == 0 ? &k.village.public : &k.city.public;
		char line[KEY_LINE_TEXT];
		char fingerprint[KEY_FINGERPRINT_TEXT];

		key_line_print(keys, line);
		key_fingerprint(keys, fingerprint);
		cr_assert(strstr(buf_string(&text), line) != NULL, "%s", line);
		cr_assert(strstr(buf_string(&text), fingerprint) != NULL, "%s", fingerprint);
	}
	buf_release(&text);
	dir_close(&here);
	kit_close(&k);
}
