#include "queue/envelope.h"

#include "lib/alloc.h"
#include "lib/text.h"

#include <criterion/criterion.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static struct envelope simple(uint64_t sequence)
{
	struct envelope e;

	envelope_init(&e);
	e.id = (struct id){.host = "village", .incarnation = 7, .sequence = sequence};
	e.sender = mem_string("maria@village.example.org");
	envelope_add_recipient(&e, "otto@city.example.org");
	envelope_add_hop(&e, "village", 1800000000, HOP_LOCAL);
	return e;
}

/* Everything that an envelope can say. */
static struct envelope full(void)
{
	struct envelope e = simple(12);
	struct recipient *r;

	e.class = CLASS_BULK;
	e.body = BODY_BINARY;
	e.smtputf8 = true;
	e.ret = RETURN_HEADERS;
	e.envid = mem_string("order 7+8");
	e.lifetime = 86400;
	e.recipients[0].index = 3;
	e.recipients[0].ordinal = 70000;
	e.recipients[0].notify = NOTIFY_NEVER;
	r = envelope_add_recipient(&e, "city!b\xc3\xbcrger");
	r->orcpt = mem_string("rfc822;b@c");
	r->notify = NOTIFY_SUCCESS | NOTIFY_DELAY;
	r = envelope_add_recipient(&e, "");
	r->index = UINT32_MAX - 1;
	envelope_add_hop(&e, "city", -5, HOP_BATCH);
	envelope_hop_client(&e, "mail.example.org ([192.0.2.1])");
	envelope_hop_client(&e, "two\r\nlines");
	envelope_add_hop(&e, "hub", INT64_MAX, HOP_EXPANDED);
	e.neighbour = mem_string("hub");
	e.batch_incarnation = 0xfedcba98;
	e.batch_sequence = UINT64_MAX;
	return e;
}

static struct buf written(const struct envelope *e, enum envelope_form form, struct envelope_context *context)
{
	struct buf out;

	buf_init(&out, LIMIT_ENVELOPE);
	envelope_write(e, form, context, &out);
	cr_assert_not(out.failed);
	return out;
}

static bool read_all(struct envelope *e, struct envelope_context *context, struct view bytes)
{
	struct reader r;

	reader_init(&r, bytes);
	if (!envelope_read(e, context, &r))
		return false;
	cr_assert_eq(r.rest.length, 0, "nothing is left over");
	return true;
}

static void expect_text(const char *a, const char *b)
{
	cr_expect_eq(a == NULL, b == NULL);
	if (a != NULL && b != NULL)
		cr_expect_str_eq(a, b);
}

static void expect_same(const struct envelope *a, const struct envelope *b, enum envelope_form form)
{
	cr_expect(id_equal(&a->id, &b->id));
	cr_expect_eq(a->class, b->class);
	cr_expect_eq(a->body, b->body);
	cr_expect_eq(a->smtputf8, b->smtputf8);
	cr_expect_eq(a->ret, b->ret);
	cr_expect_eq(a->lifetime, b->lifetime);
	expect_text(a->envid, b->envid);
	expect_text(a->sender, b->sender);
	cr_assert_eq(a->recipient_count, b->recipient_count);
	for (size_t i = 0; i < a->recipient_count; i++) {
		cr_expect_eq(a->recipients[i].index, b->recipients[i].index);
		cr_expect_eq(a->recipients[i].notify, b->recipients[i].notify);
		expect_text(a->recipients[i].address, b->recipients[i].address);
		expect_text(a->recipients[i].orcpt, b->recipients[i].orcpt);
		cr_expect_eq(b->recipients[i].ordinal, form == ENVELOPE_ON_DISK ? a->recipients[i].ordinal : 0);
	}
	cr_assert_eq(a->hop_count, b->hop_count);
	for (size_t i = 0; i < a->hop_count; i++) {
		expect_text(a->hops[i].host, b->hops[i].host);
		cr_expect_eq(a->hops[i].time, b->hops[i].time);
		cr_expect_eq(a->hops[i].protocol, b->hops[i].protocol);
		expect_text(a->hops[i].client, b->hops[i].client);
	}
	expect_text(form == ENVELOPE_ON_DISK ? a->neighbour : NULL, b->neighbour);
	cr_expect_eq(b->batch_sequence, form == ENVELOPE_ON_DISK ? a->batch_sequence : 0);
	cr_expect_eq(b->batch_incarnation, form == ENVELOPE_ON_DISK ? a->batch_incarnation : 0);
}

Test(envelope, comes_back_as_it_was)
{
	for (int which = 0; which < 4; which++) {
		enum envelope_form form = which & 1 ? ENVELOPE_ON_AIR : ENVELOPE_ON_DISK;
		struct envelope e = which & 2 ? full() : simple(1);
		struct envelope_context out_context = {.time = 0};
		struct envelope_context in_context = {.time = 0};
		struct buf bytes = written(&e, form, &out_context);
		struct envelope back;

		cr_assert(read_all(&back, &in_context, view_buf(&bytes)));
		expect_same(&e, &back, form);
		cr_expect(id_equal(&in_context.id, &out_context.id));
		cr_expect_eq(in_context.time, out_context.time);
		envelope_release(&back);
		envelope_release(&e);
		buf_release(&bytes);
	}
}

Test(envelope, what_it_shares_with_the_item_before_costs_nothing)
{
	struct envelope first = simple(100);
	struct envelope second = simple(101);
	struct envelope_context out = {.time = 0};
	struct envelope_context in = {.time = 0};
	struct buf one = written(&first, ENVELOPE_ON_AIR, &out);
	struct buf two = written(&second, ENVELOPE_ON_AIR, &out);
	struct envelope back;

	cr_expect_lt(two.length + strlen("village") + 4, one.length, "%zu and %zu", one.length, two.length);
	cr_assert(read_all(&back, &in, view_buf(&one)));
	envelope_release(&back);
	cr_assert(read_all(&back, &in, view_buf(&two)));
	expect_same(&second, &back, ENVELOPE_ON_AIR);
	envelope_release(&back);
	/* Alone it means nothing: there is no origin to be the same as. */
	in = (struct envelope_context){.time = 0};
	cr_expect_not(read_all(&back, &in, view_buf(&two)));
	cr_expect_eq(in.id.sequence, 0, "a failure leaves the context");
	envelope_release(&first);
	envelope_release(&second);
	buf_release(&one);
	buf_release(&two);
}

Test(envelope, every_truncation_is_refused)
{
	struct envelope e = full();
	struct envelope_context context = {.time = 0};
	struct buf bytes = written(&e, ENVELOPE_ON_DISK, &context);

	for (size_t length = 0; length < bytes.length; length++) {
		struct envelope back;
		struct reader r;

		context = (struct envelope_context){.time = 0};
		reader_init(&r, view_of(bytes.bytes, length));
		cr_expect_not(envelope_read(&back, &context, &r), "cut to %zu", length);
		cr_expect_null(back.sender, "released");
		cr_expect_null(back.recipients);
	}
	envelope_release(&e);
	buf_release(&bytes);
}

/* Flags, origin, sequence, sender "s", one recipient "r", no hop; then options. */
static const uint8_t head[] = {0x01 | 1 << 1 | 0x80, 1, 'a', 1, 0, 0, 0, 2, 1, 's', 1, 'r', 0};

static bool reads_with(uint8_t flags, const char *options, size_t length)
{
	struct envelope_context context = {.time = 0};
	struct envelope e;
	struct reader r;
	struct buf bytes;
	bool good;

	buf_init(&bytes, 4096);
	buf_append(&bytes, head, sizeof head);
	bytes.bytes[0] |= flags;
	buf_append(&bytes, options, length);
	reader_init(&r, view_buf(&bytes));
	good = envelope_read(&e, &context, &r) && r.rest.length == 0;
	envelope_release(&e);
	buf_release(&bytes);
	return good;
}

Test(envelope, options)
{
	static const struct {
		const char *bytes;
		size_t length;
		bool good;
		const char *what;
	} cases[] = {
	    {"\0", 1, true, "none"},
	    {"\x80\x01\3abc\0", 7, true, "an unknown even one is skipped"},
	    {"\x0b\1a\0", 4, false, "an unknown odd one is refused"},
	    {"\1\1\2\0", 4, true, "RET=HDRS"},
	    {"\1\1\3\0", 4, false, "no such RET"},
	    {"\1\2\1\1\0", 5, false, "more than the value"},
	    {"\1\0\0", 3, false, "less than the value"},
	    {"\3\2a\n\0", 5, false, "a line end in ENVID"},
	    {"\3\2a\0\0", 5, false, "a NUL in ENVID"},
	    {"\3\0\0", 3, true, "an empty ENVID"},
	    {"\7\2\0\17\0", 5, true, "NOTIFY of recipient 0"},
	    {"\7\2\0\20\0", 5, false, "no such NOTIFY"},
	    {"\7\2\1\1\0", 5, false, "NOTIFY of a recipient that is not"},
	    {"\t\2\0x\0", 5, true, "ORCPT"},
	    {"\t\2\0\r\0", 5, false, "a CR in ORCPT"},
	    {"\4\2\0\5\0", 5, true, "ordinal"},
	    {"\2\7\1b\1\0\0\0\5\0", 10, true, "source"},
	    {"\2\3\1b\1\0", 6, false, "half a source"},
	    {"\1\1\2", 3, false, "no end"},
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		cr_expect_eq(reads_with(0x40, cases[i].bytes, cases[i].length), cases[i].good, "%s", cases[i].what);
	cr_expect(reads_with(0, "", 0));
}

Test(envelope, no_line_ends_and_no_excess_anywhere)
{
	static const struct {
		const char *bytes;
		size_t length;
		const char *what;
	} cases[] = {
#define BAD(text, what) {text, sizeof(text) - 1, what}
	    BAD("\x87\1a\1\0\0\0\2\1s\1r\0", "class 3"),
	    BAD("\x9b\1a\1\0\0\0\2\1s\1r\0", "body 3"),
	    BAD("\x83\1A\1\0\0\0\2\1s\1r\0", "a host name that is none"),
	    BAD("\x83\1a\1\0\0\0\2\1\n\1r\0", "LF in the sender"),
	    BAD("\x83\1a\1\0\0\0\2\1\0\1r\0", "NUL in the sender"),
	    BAD("\x83\1a\1\0\0\0\2\1s\1\r\0", "CR in a recipient"),
	    BAD("\3\1a\1\0\0\0\2\1s\0\0", "no recipient"),
	    BAD("\3\1a\1\0\0\0\2\1s\2\xfe\xff\xff\xff\x0f\1r\1\1q\0", "an index past the last"),
	    BAD("\x83\1a\1\0\0\0\2\1s\1r\1\1b\0\x0c", "a protocol that is none"),
	    BAD("\x83\1a\1\0\0\0\2\1s\1r\2\0\0\0\0\0\0", "a second hop without a name"),
	    BAD("\x83\1a\1\0\0\0\2\1s\1r\x22", "too many hops"),
#undef BAD
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct envelope_context context = {.time = 0};
		struct envelope e;
		struct reader r;

		reader_init(&r, view_of(cases[i].bytes, cases[i].length));
		cr_expect_not(envelope_read(&e, &context, &r), "%s", cases[i].what);
	}
}

Test(envelope, lengths)
{
	static const size_t lengths[] = {LIMIT_BANG_PATH, LIMIT_BANG_PATH + 1};

	for (size_t i = 0; i < COUNT(lengths); i++) {
		struct envelope e = simple(1);
		struct envelope_context context = {.time = 0};
		struct envelope back;
		struct buf bytes;

		free(e.recipients[0].address);
		e.recipients[0].address = mem_alloc(lengths[i] + 1);
		memset(e.recipients[0].address, 'x', lengths[i]);
		bytes = written(&e, ENVELOPE_ON_AIR, &context);
		context = (struct envelope_context){.time = 0};
		cr_expect_eq(read_all(&back, &context, view_buf(&bytes)), lengths[i] == LIMIT_BANG_PATH);
		envelope_release(&back);
		envelope_release(&e);
		buf_release(&bytes);
	}
}

Test(envelope, as_many_hops_as_can_be_written_can_be_read)
{
	struct envelope e = simple(1);
	struct envelope_context context = {.time = 0};
	struct envelope back;
	struct buf bytes;

	while (e.hop_count < LIMIT_HOPS + 1)
		envelope_add_hop(&e, "hub", 5, HOP_BATCH);
	bytes = written(&e, ENVELOPE_ON_DISK, &context);
	context = (struct envelope_context){.time = 0};
	cr_assert(read_all(&back, &context, view_buf(&bytes)));
	expect_same(&e, &back, ENVELOPE_ON_DISK);
	envelope_release(&back);
	envelope_release(&e);
	buf_release(&bytes);
}

Test(envelope, a_buffer_that_is_too_small_fails)
{
	struct envelope e = full();
	struct envelope_context context = {.time = 0};
	struct buf out;

	buf_init(&out, 20);
	envelope_write(&e, ENVELOPE_ON_DISK, &context, &out);
	cr_expect(out.failed);
	buf_release(&out);
	envelope_release(&e);
}

Test(envelope, recipients_by_index)
{
	struct envelope e = simple(1);

	cr_expect_eq(envelope_add_recipient(&e, "b@c")->index, 1);
	e.recipients[1].index = 9;
	cr_expect_eq(envelope_add_recipient(&e, "d@e")->index, 10);
	cr_expect_str_eq(envelope_recipient(&e, 9)->address, "b@c");
	cr_expect_null(envelope_recipient(&e, 1));
	envelope_release(&e);
	cr_expect_eq(e.recipient_count, 0);
	envelope_release(&e);
}

Test(envelope, notify_words)
{
	static const struct {
		const char *text;
		int bits; /* -1: none */
	} cases[] = {{"NEVER", NOTIFY_NEVER}, {"success", NOTIFY_SUCCESS},
	    {"Failure,DELAY", NOTIFY_FAILURE | NOTIFY_DELAY},
	    {"success,failure,delay", NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY}, {"", -1}, {"never,delay", -1},
	    {"delay,delay", -1}, {"delay,", -1}, {",delay", -1}, {"sometimes", -1}, {"delay ", -1}, {"dela", -1}};

	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t bits = 0;

		cr_expect_eq(notify_parse(cases[i].text, &bits), cases[i].bits >= 0, "\"%s\"", cases[i].text);
		if (cases[i].bits >= 0)
			cr_expect_eq(bits, cases[i].bits, "\"%s\"", cases[i].text);
	}
	for (uint8_t bits = 0; bits < 16; bits++) {
		char text[32];
		uint8_t back = 0;

		notify_print(bits, text);
		cr_expect_lt(strlen(text), sizeof text);
		if (bits > 0 && (bits == NOTIFY_NEVER || !(bits & NOTIFY_NEVER)))
			cr_expect(notify_parse(text, &back) && back == bits, "\"%s\"", text);
	}
}

Test(envelope, class_names)
{
	enum message_class class = CLASS_URGENT;

	for (int i = 0; i < CLASS_COUNT; i++)
		cr_expect(class_parse(class_name((enum message_class)i), &class) && (int)class == i);
	cr_expect(class_parse("Bulk", &class) && class == CLASS_BULK);
	cr_expect_not(class_parse("express", &class));
	cr_expect_not(class_parse("", &class));
}
