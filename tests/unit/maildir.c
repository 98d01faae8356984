#include "queue/maildir.h"

#include "lib/text.h"
#include "tests/unit/message_kit.h"

#define DATE_ONE "Thu, 1 Jan 1970 00:01:00 +0000"
#define DATE_TWO "Thu, 1 Jan 1970 00:02:00 +0000"

Test(maildir, make_and_exists)
{
	struct dir mail = scratch_open();
	struct error err = ERROR_NONE;
	struct dir part;

	cr_assert_not(maildir_exists(&mail, "maria"));
	cr_assert_eq(maildir_make(&mail, "maria", &err), OUTCOME_DONE, "%s", err.text);
	cr_assert(maildir_exists(&mail, "maria"));
	cr_assert_eq(maildir_make(&mail, "maria", &err), OUTCOME_DONE, "what stands already is kept");
	cr_assert_eq(dir_open(&part, &mail, "maria/tmp", &err), OUTCOME_DONE);
	dir_close(&part);
	cr_assert_eq(dir_open(&part, &mail, "maria/cur", &err), OUTCOME_DONE);
	dir_close(&part);
	scratch_close(&mail);
}

Test(maildir, only_names_inside_the_directory)
{
	static const char *const names[] = {"", ".", "..", "../maria", "a/b", "/tmp", ".hidden"};
	struct dir mail = scratch_open();
	struct error err = ERROR_NONE;

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		cr_expect_eq(maildir_make(&mail, names[i], &err), OUTCOME_NEVER, "\"%s\"", names[i]);
		cr_expect_not(maildir_exists(&mail, names[i]), "\"%s\"", names[i]);
	}
	scratch_close(&mail);
}

Test(maildir, half_made_is_none)
{
	struct dir mail = scratch_open();
	struct dir box;
	struct dir part;
	struct error err = ERROR_NONE;

	cr_assert_eq(dir_make(&box, &mail, "maria", 0700, &err), OUTCOME_DONE);
	cr_assert_eq(dir_make(&part, &box, "tmp", 0700, &err), OUTCOME_DONE);
	dir_close(&part);
	dir_close(&box);
	cr_assert_not(maildir_exists(&mail, "maria"));
	cr_assert_eq(maildir_make(&mail, "maria", &err), OUTCOME_DONE);
	cr_assert(maildir_exists(&mail, "maria"));
	scratch_close(&mail);
}

static void two_hops(struct envelope *e)
{
	envelope_add_recipient(e, "otto@city.example.org");
	envelope_add_hop(e, "village", 60, HOP_LOCAL);
	envelope_add_hop(e, "city", 120, HOP_BATCH);
}

Test(maildir, received_lines_newest_first)
{
	struct message_kit k = message_kit_open();
	struct buf out;

	two_hops(&k.envelope);
	buf_init(&out, 10000);
	trace_received(&k.envelope, "otto@city.example.org", &out);
	cr_expect_str_eq(buf_string(&out),
	    "Received: from village by city with batch\r\n\tid village.aaaaaby.12\r\n"
	    "\tfor <otto@city.example.org>;\r\n\t" DATE_TWO "\r\n"
	    "Received: by village with local\r\n\tid village.aaaaaby.12;\r\n\t" DATE_ONE "\r\n");
	buf_clear(&out);
	trace_received(&k.envelope, NULL, &out);
	cr_expect_null(strstr(buf_string(&out), "for <"));
	buf_release(&out);
	message_kit_close(&k);
}

/* RFC 5321 4.4; the protocol's name is that of RFC 6531 4.3 when the message needs SMTPUTF8. */
Test(maildir, a_client_stands_in_the_from_clause)
{
	struct message_kit k = message_kit_open();
	struct buf out;

	envelope_add_hop(&k.envelope, "village", 60, HOP_ESMTPSA);
	envelope_hop_client(&k.envelope, "laptop ([192.0.2.7])");
	buf_init(&out, 10000);
	trace_received(&k.envelope, NULL, &out);
	cr_expect_str_eq(buf_string(&out), "Received: from laptop ([192.0.2.7])\r\n\tby village with ESMTPSA\r\n"
					   "\tid village.aaaaaby.12;\r\n\t" DATE_ONE "\r\n");
	buf_clear(&out);
	k.envelope.smtputf8 = true;
	trace_received(&k.envelope, NULL, &out);
	cr_expect_not_null(strstr(buf_string(&out), " with UTF8SMTPSA\r\n"));
	buf_release(&out);
	message_kit_close(&k);
}

Test(maildir, every_protocol_has_a_name)
{
	for (uint8_t p = 0; p <= HOP_EXPANDED + 1; p++) {
		struct message_kit k = message_kit_open();
		struct buf out;

		envelope_add_hop(&k.envelope, "village", 60, (enum hop_protocol)p);
		buf_init(&out, 10000);
		trace_received(&k.envelope, NULL, &out);
		cr_expect_null(strstr(buf_string(&out), "(null)"));
		cr_expect_eq(strstr(buf_string(&out), "unknown") != NULL, p > HOP_EXPANDED, "protocol %d", p);
		buf_release(&out);
		message_kit_close(&k);
	}
}

static void write_message(struct message_kit *k, const char *original, struct buf *out)
{
	struct buf_sink sink;
	struct error err = ERROR_NONE;
	uint64_t size;
	uint64_t wire_size;
	uint64_t line_ends = 0;
	uint8_t byte;
	size_t got;

	/* Somebody looked at the content before: the delivery begins at its beginning all the same. */
	cr_assert_eq(source_read(&k->message.content.source, &byte, 1, &got, &err), OUTCOME_DONE);
	buf_sink_init(&sink, out);
	cr_assert_eq(
	    maildir_write(&k->message, original, &sink.sink, &size, &wire_size, &err), OUTCOME_DONE, "%s", err.text);
	for (size_t i = 0; i < out->length; i++)
		line_ends += out->bytes[i] == '\n';
	cr_expect_eq(size, out->length);
	if (out->bytes[out->length - 1] != '\n')
		line_ends += 2;
	cr_expect_eq(
	    wire_size, out->length + line_ends, "every LF becomes CRLF on the wire, where each line has one");
}

Test(maildir, write_puts_trace_before_the_content)
{
	struct message_kit k = message_kit_open();
	struct buf out;

	two_hops(&k.envelope);
	message_kit_make(&k, view_text("Subject: x\r\n\r\nbare \r CR\r\r\nno end\r"));
	buf_init(&out, 10000);
	write_message(&k, "otto@city.example.org", &out);
	cr_expect_str_eq(buf_string(&out),
	    "Return-Path: <maria@village.example.org>\nDelivered-To: otto@city.example.org\n"
	    "Received: from village by city with batch\n\tid village.aaaaaby.12\n"
	    "\tfor <otto@city.example.org>;\n\t" DATE_TWO "\n"
	    "Received: by village with local\n\tid village.aaaaaby.12;\n\t" DATE_ONE "\n"
	    "Subject: x\n\nbare \r CR\r\nno end\r");
	buf_release(&out);
	message_kit_close(&k);
}

Test(maildir, null_sender_and_several_recipients)
{
	struct message_kit k = message_kit_open();
	struct buf out;

	free(k.envelope.sender);
	k.envelope.sender = mem_string("");
	two_hops(&k.envelope);
	envelope_add_recipient(&k.envelope, "emma@city.example.org");
	message_kit_make(&k, view_text("\r\n"));
	buf_init(&out, 10000);
	write_message(&k, "otto@city.example.org", &out);
	cr_expect(text_starts(buf_string(&out), "Return-Path: <>\nDelivered-To: otto@city.example.org\n"));
	cr_expect_null(strstr(buf_string(&out), "for <"), "one recipient does not tell of the others");
	buf_release(&out);
	message_kit_close(&k);
}

Test(maildir, a_forged_envelope_adds_no_line)
{
	struct message_kit k = message_kit_open();
	struct buf out;
	char evil[2000];

	memset(evil, '\x0b', sizeof evil - 1);
	evil[sizeof evil - 1] = '\0';
	two_hops(&k.envelope);
	message_kit_make(&k, view_text("\r\n"));
	free(k.message.envelope.sender);
	k.message.envelope.sender = mem_string(evil);
	buf_init(&out, 10000);
	write_message(&k, evil, &out);
	cr_expect_null(memchr(out.bytes, '\x0b', out.length));
	for (struct view rest = view_buf(&out), line; view_line(&rest, &line);)
		cr_expect_leq(line.length, 998);
	buf_release(&out);
	message_kit_close(&k);
}

Test(maildir, the_name_depends_on_the_delivery_alone)
{
	struct message_kit k = message_kit_open();
	struct buf out;

	buf_init(&out, 1000);
	maildir_name(&k.envelope, 3, 1700000000, "city", 100, 110, &out);
	cr_expect_str_eq(buf_string(&out), "1700000000.village.aaaaaby.12-3.city,S=100,W=110");
	buf_clear(&out);
	maildir_name(&k.envelope, 0, -5, "city", 1, 2, &out);
	cr_expect_str_eq(buf_string(&out), "0.village.aaaaaby.12-0.city,S=1,W=2");
	buf_release(&out);
	message_kit_close(&k);
}

Test(maildir, names_of_our_own_are_taken_apart)
{
	static const struct {
		const char *name;
		bool own;
		uint64_t sequence;
		uint32_t index;
	} cases[] = {
	    {"1700000000.village.aaaaaby.12-0.city", true, 12, 0},
	    {"0.a-b.aaaaaby.1-10.c-d", true, 1, 10},
	    {"0.a.aaaaaby.1-4294967295.c", true, 1, UINT32_MAX},
	    {".village.aaaaaby.12-0.city", true, 12, 0},
	    {"0.a.aaaaaby.1-4294967296.c", false, 0, 0},
	    {"0.a.aaaaaby.1-99999999999999999999999.c", false, 0, 0},
	    {"0.a.aaaaaby.1-01.c", false, 0, 0},
	    {"1700000000.M12P34.host", false, 0, 0},
	    {"1700000000.village.aaaaaby.12.city", false, 0, 0},
	    {"1700000000.village.aaaaaby.12-.city", false, 0, 0},
	    {"1700000000.12-0.city", false, 0, 0},
	    {"x.village.aaaaaby.12-0.city", false, 0, 0},
	    {"1700000000", false, 0, 0},
	    {"1.", false, 0, 0},
	    {".", false, 0, 0},
	    {"..", false, 0, 0},
	    {".-0.", false, 0, 0},
	    {"", false, 0, 0},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		uint32_t index = 0;
		struct id id = {0};

		cr_expect_eq(
		    maildir_name_parse(view_text(cases[i].name), &id, &index), cases[i].own, "%s", cases[i].name);
		if (!cases[i].own)
			continue;
		cr_expect_eq(id.sequence, cases[i].sequence, "%s", cases[i].name);
		cr_expect_eq(index, cases[i].index, "%s", cases[i].name);
	}
}
