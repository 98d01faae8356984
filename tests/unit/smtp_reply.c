#include <criterion/criterion.h>

#include "bridge-smtp/smtp_reply.h"
#include "lib/text.h"

/* Reads ALL in pieces of STEP and writes every reply as "code status|words" and a '\n', '/' standing between lines. */
static void read_replies(struct view all, size_t step, struct buf *out)
{
	struct smtp_reply_reader r;

	smtp_reply_reader_init(&r);
	while (all.length > 0 && r.state != SMTP_REPLY_NONSENSE) {
		struct view piece = view_of(all.bytes, all.length < step ? all.length : step);

		all = view_from(all, piece.length);
		while (piece.length > 0 && smtp_reply_feed(&r, &piece) == SMTP_REPLY_WHOLE) {
			for (size_t i = 0; i < r.reply.text.length; i++)
				if (r.reply.text.bytes[i] == '\n')
					r.reply.text.bytes[i] = '/';
			buf_format(out, "%d %s|%s\n", r.reply.code, r.reply.status, buf_string(&r.reply.text));
			smtp_reply_next(&r);
		}
	}
	if (r.state == SMTP_REPLY_NONSENSE) {
		cr_expect_eq(r.reply.code, 0);
		buf_format(out, "nonsense %s", buf_string(&r.reply.text));
	}
	smtp_reply_reader_release(&r);
}

static void expect_replies(const char *all, const char *expected)
{
	for (size_t step = 1; step <= strlen(all) + 1; step++) {
		struct buf out;

		buf_init(&out, SIZE_MAX);
		read_replies(view_text(all), step, &out);
		cr_expect_str_eq(buf_string(&out), expected, "%s in steps of %zu: %s", all, step, buf_string(&out));
		buf_release(&out);
	}
}

Test(smtp_reply, reads_lines_and_statuses)
{
	static const struct {
		const char *all;
		const char *expected;
	} cases[] = {
	    {"220 mx.example ESMTP\r\n", "220 |mx.example ESMTP\n"},
	    {"250\r\n250 \r\n", "250 |\n250 |\n"},
	    {"250-mx.example\r\n250-SIZE 1000\r\n250 DSN\r\n", "250 |mx.example/SIZE 1000/DSN\n"},
	    {"250-\r\n250-\r\n250\r\n", "250 |//\n"},
	    {"250 2.1.0 Ok\r\n550 5.1.1 who?\r\n", "250 2.1.0|Ok\n550 5.1.1|who?\n"},
	    {"550-5.7.1 one\r\n550-5.7.1 two\r\n550 5.7.1\r\n", "550 5.7.1|one/two/\n"},
	    {"550-one\r\n550 5.7.1 two\r\n", "550 5.7.1|one/two\n"},
	    {"550-5.7.1 one\r\n550 5.1.1 two\r\n", "550 5.7.1|one/5.1.1 two\n"},
	    {"550 5.123.456 x\r\n", "550 5.123.456|x\n"},
	    /* No status: another class, too many digits, too few, no blank behind. */
	    {"550 4.1.1 x\r\n", "550 |4.1.1 x\n"},
	    {"550 5.1234.1 x\r\n", "550 |5.1234.1 x\n"},
	    {"550 5.1 x\r\n550 5..1 x\r\n550 5.1. x\r\n550 5\r\n", "550 |5.1 x\n550 |5..1 x\n550 |5.1. x\n550 |5\n"},
	    {"550 5.1.1x\r\n", "550 |5.1.1x\n"},
	    {"354 3.1.1 go\r\n", "354 3.1.1|go\n"},
	    {"", ""},
	    {"250 not yet", ""},
	    {"250 not yet\r", ""},
	    {"250-more\r\n", ""},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		expect_replies(cases[i].all, cases[i].expected);
}

/* Whatever a server quotes, the next reply is the next line that ends in CRLF. */
Test(smtp_reply, lone_line_ends_are_words)
{
	expect_replies("550 <a\n250 ok> unknown\r\n250 next\r\n", "550 |<a 250 ok> unknown\n250 |next\n");
	expect_replies("550 <a\r250 ok>\r\n250 next\r\n", "550 |<a\r250 ok>\n250 |next\n");
	expect_replies("550 a\n\r\n250 next\r\n", "550 |a \n250 |next\n");
	expect_replies("250 a\n250 b\n", "");
}

Test(smtp_reply, knows_nonsense)
{
	static const struct {
		const char *all;
		const char *expected;
	} cases[] = {
	    {"\r\n250 ok\r\n", "nonsense no reply: "},
	    {"25\r\n", "nonsense no reply: 25"},
	    {"hello\r\n", "nonsense no reply: hello"},
	    {"2500 ok\r\n", "nonsense no reply: 2500 ok"},
	    {"250_ok\r\n", "nonsense no reply: 250_ok"},
	    {" 250 ok\r\n", "nonsense no reply:  250 ok"},
	    {"150 ok\r\n", "nonsense no reply: 150 ok"},
	    {"600 ok\r\n", "nonsense no reply: 600 ok"},
	    {"2x0 ok\r\n", "nonsense no reply: 2x0 ok"},
	    {"250 ok\r\nwhat?\r\n250 ok\r\n", "250 |ok\nnonsense no reply: what?"},
	    {"250-a\r\n550 b\r\n", "nonsense a reply with two codes: 550 b"},
	    {"HTTP/1.1 400 Bad Request\r\n", "nonsense no reply: HTTP/1.1 400 Bad Request"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		expect_replies(cases[i].all, cases[i].expected);
}

static void repeat(struct buf *b, const char *text, size_t count)
{
	for (size_t i = 0; i < count; i++)
		buf_text(b, text);
}

Test(smtp_reply, a_long_line_is_cut_and_ends_where_it_ends)
{
	struct buf all;
	struct buf out;

	buf_init(&all, SIZE_MAX);
	buf_init(&out, SIZE_MAX);
	buf_text(&all, "550 ");
	repeat(&all, "x", 10000);
	buf_text(&all, "\r\n250 next\r\n");
	read_replies(view_buf(&all), 1000, &out);
	cr_expect_eq(out.length, strlen("550 |\n") + SMTP_REPLY_LINE - 4 + strlen("250 |next\n"));
	cr_expect(text_ends(buf_string(&out), "x\n250 |next\n"));
	buf_release(&all);
	buf_release(&out);
}

/* PREFIX COUNT times, then LAST: how many replies come, and is there nonsense? */
static void expect_limit(const char *prefix, size_t count, const char *last, bool good)
{
	static const size_t steps[] = {1, 7, 4096, SIZE_MAX};
	struct buf all;

	buf_init(&all, SIZE_MAX);
	repeat(&all, prefix, count);
	buf_text(&all, last);
	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		struct buf out;

		buf_init(&out, SIZE_MAX);
		read_replies(view_buf(&all), steps[i], &out);
		cr_expect_eq(strncmp(buf_string(&out), "nonsense a reply ", 17) != 0, good, "%zu times %s in %zu",
		    count, prefix, steps[i]);
		cr_expect(out.length > 0);
		buf_release(&out);
	}
	buf_release(&all);
}

Test(smtp_reply, lines_and_octets_are_limited)
{
	expect_limit("250-a\r\n", SMTP_REPLY_LINES - 1, "250 a\r\n", true);
	expect_limit("250-a\r\n", SMTP_REPLY_LINES, "250 a\r\n", false);
	/* The whole of the room, and one octet more. */
	expect_limit("2", 0, "250 \r\n", true);
	expect_limit("250 ", SMTP_REPLY_MAX / 4 - 1, "ab\r\n", true);
	expect_limit("250 ", SMTP_REPLY_MAX / 4 - 1, "abc\r\n", false);
	expect_limit("x", SMTP_REPLY_MAX, "", false);
	expect_limit("\n", SMTP_REPLY_MAX, "", false);
}

Test(smtp_reply, codes_are_outcomes)
{
	static const struct {
		int code;
		enum outcome outcome;
	} cases[] = {{200, OUTCOME_DONE}, {250, OUTCOME_DONE}, {299, OUTCOME_DONE}, {300, OUTCOME_LATER},
	    {354, OUTCOME_LATER}, {421, OUTCOME_LATER}, {499, OUTCOME_LATER}, {500, OUTCOME_NEVER},
	    {554, OUTCOME_NEVER}, {599, OUTCOME_NEVER}, {600, OUTCOME_LATER}, {0, OUTCOME_LATER}, {-1, OUTCOME_LATER},
	    {199, OUTCOME_LATER}};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		cr_expect_eq(smtp_outcome(cases[i].code), cases[i].outcome, "%d", cases[i].code);
}

static void verdict_of(const char *all, struct smtp_verdict *v)
{
	struct smtp_reply_reader r;
	struct view in = view_text(all);

	smtp_reply_reader_init(&r);
	cr_assert_neq(smtp_reply_feed(&r, &in), SMTP_REPLY_MORE);
	smtp_verdict_of(v, &r.reply);
	smtp_reply_reader_release(&r);
}

Test(smtp_reply, verdicts_are_for_people)
{
	static const struct {
		const char *all;
		enum outcome outcome;
		int code;
		const char *status;
		const char *text;
	} cases[] = {
	    {"250 2.1.5 Ok\r\n", OUTCOME_DONE, 250, "2.1.5", "Ok"},
	    {"250 Ok\r\n", OUTCOME_DONE, 250, "2.0.0", "Ok"},
	    {"451-4.3.0 one\r\n451 4.3.0 two\r\n", OUTCOME_LATER, 451, "4.3.0", "one two"},
	    {"451 x\r\n", OUTCOME_LATER, 451, "4.0.0", "x"},
	    {"550 \033[31mred\xff\r\n", OUTCOME_NEVER, 550, "5.0.0", "\\x1B[31mred\\xFF"},
	    {"550 gr\xc3\xbc\xc3\x9f\r\n", OUTCOME_NEVER, 550, "5.0.0", "gr\xc3\xbc\xc3\x9f"},
	    {"oops\r\n", OUTCOME_LATER, 0, "4.0.0", "no reply: oops"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct smtp_verdict v;

		verdict_of(cases[i].all, &v);
		cr_expect_eq(v.outcome, cases[i].outcome, "case %zu", i);
		cr_expect_eq(v.code, cases[i].code, "case %zu", i);
		cr_expect_str_eq(v.status, cases[i].status, "case %zu", i);
		cr_expect_str_eq(v.text, cases[i].text, "case %zu: %s", i, v.text);
	}
}

Test(smtp_reply, verdicts_are_cut_between_characters)
{
	struct smtp_verdict v;
	struct buf all;

	buf_init(&all, SIZE_MAX);
	buf_text(&all, "550 ");
	repeat(&all, "\xc3\xbc", LIMIT_REASON);
	buf_text(&all, "\r\n");
	verdict_of(buf_string(&all), &v);
	cr_expect_eq(strlen(v.text), (LIMIT_REASON - 1) / 2 * 2);
	smtp_verdict_set(&v, OUTCOME_NEVER, "5.1.3", "no \"%s\"\n", "a\tb");
	cr_expect_eq(v.code, 0);
	cr_expect_str_eq(v.text, "no \"a\\x09b\" ");
	cr_expect_str_eq(v.status, "5.1.3");
	buf_release(&all);
}
