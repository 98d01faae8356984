#include "tools/compose.h"

#include <criterion/criterion.h>

#include "lib/limits.h"
#include "lib/text.h"

#define MISSING	 "From: maria@v.org\r\nDate: Thu, 1 Jan 1970 00:01:00 +0000\r\nMessage-ID: <id@v.org>\r\n"
#define COMPLETE "From: a\nDate: b\nMessage-ID: c\n"

static const struct compose_author author = {"maria@v.org", NULL, "id@v.org", 60};

/* The whole way of a message: read, completed, written. */
static void compose(enum compose_mode mode, struct view input, struct buf *out)
{
	struct view_source in;
	struct buf_sink sink;
	struct buf additions;
	struct compose c;
	struct error err = ERROR_NONE;

	view_source_init(&in, input);
	buf_sink_init(&sink, out);
	buf_init(&additions, 10000);
	cr_assert_eq(compose_read(&c, &in.source, &err), OUTCOME_DONE, "%s", err.text);
	compose_additions(&c, mode, &author, &additions);
	cr_assert_eq(compose_write(&c, mode, view_buf(&additions), &in.source, &sink.sink, &err), OUTCOME_DONE, "%s",
	    err.text);
	buf_release(&additions);
	compose_release(&c);
}

static void expect_composed(enum compose_mode mode, const char *input, const char *output)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	compose(mode, view_text(input), &out);
	cr_expect_str_eq(buf_string(&out), output);
	buf_release(&out);
}

Test(compose, what_is_complete_stays_as_it_is)
{
	expect_composed(COMPOSE_AS_IS, COMPLETE "Bcc: d\n\nbody\n.\n",
	    "From: a\r\nDate: b\r\nMessage-ID: c\r\nBcc: d\r\n\r\nbody\r\n.\r\n");
	expect_composed(COMPOSE_AS_IS, "from: a\r\nDATE: b\r\nmessage-id: c\r\n\r\nbody",
	    "from: a\r\nDATE: b\r\nmessage-id: c\r\n\r\nbody");
	expect_composed(COMPOSE_AS_IS, COMPLETE "no field\nX: y\n",
	    "From: a\r\nDate: b\r\nMessage-ID: c\r\n"
	    "no field\r\nX: y\r\n");
}

Test(compose, what_is_missing_is_put_in_front)
{
	expect_composed(COMPOSE_AS_IS, "Subject: x\n\nbody\n", MISSING "Subject: x\r\n\r\nbody\r\n");
	expect_composed(COMPOSE_AS_IS, "Subject: x\r\n\r\nbody\r\n", MISSING "Subject: x\r\n\r\nbody\r\n");
	expect_composed(
	    COMPOSE_AS_IS, "Date: b\nFrom: a\n\n", "Message-ID: <id@v.org>\r\nDate: b\r\nFrom: a\r\n\r\n");
	expect_composed(COMPOSE_AS_IS, "\nbody", MISSING "\r\nbody");
	expect_composed(COMPOSE_AS_IS, "", MISSING "\r\n");
}

Test(compose, text_without_a_header_becomes_the_body)
{
	expect_composed(COMPOSE_AS_IS, "hello\nworld\n", MISSING "\r\nhello\r\nworld\r\n");
	expect_composed(COMPOSE_AS_IS, " folded: first\n", MISSING "\r\n folded: first\r\n");
	expect_composed(COMPOSE_AS_IS, "hello\r\nDate: x\r\n\r\nworld", MISSING "\r\nhello\r\nDate: x\r\n\r\nworld");
	expect_composed(
	    COMPOSE_AS_IS, "From now on we meet at nine.\n", MISSING "\r\nFrom now on we meet at nine.\r\n");
}

Test(compose, line_ends_are_judged_by_what_was_handed_in)
{
	/* The fields in front have CRLF; the text with LF must still keep its bare CRs as text. */
	expect_composed(COMPOSE_AS_IS, "A: b\nc: d\r\n\n", MISSING "A: b\r\nc: d\r\r\n\r\n");
	expect_composed(COMPOSE_FROM_HEADER, "Bcc: x\r\nA: b\r\n\r\nc\n", MISSING "A: b\r\n\r\nc\r\n");
}

Test(compose, mbox_lines_are_dropped)
{
	expect_composed(COMPOSE_AS_IS, "From maria Thu Jan  1 00:01:00 1970\n" COMPLETE "\nFrom x 00:00\n",
	    "From: a\r\nDate: b\r\nMessage-ID: c\r\n\r\nFrom x 00:00\r\n");
	expect_composed(COMPOSE_AS_IS,
	    "From m Thu Jan 1 00:01 1970\n>From n Thu Jan 1 00:01 1970 remote from x\n" COMPLETE,
	    "From: a\r\nDate: b\r\nMessage-ID: c\r\n");
}

Test(compose, bcc_leaves_when_the_header_names_the_recipients)
{
	expect_composed(COMPOSE_FROM_HEADER, COMPLETE "BCC: d,\n e\nTo: f\nBcc:\n\nBcc: body\n",
	    "From: a\r\nDate: b\r\nMessage-ID: c\r\nTo: f\r\n\r\nBcc: body\r\n");
	expect_composed(COMPOSE_FROM_HEADER,
	    COMPLETE "Resent-From: a\nResent-Date: b\nResent-Message-ID: c\n"
		     "Resent-Bcc: d\nBcc: e\n\n",
	    "From: a\r\nDate: b\r\nMessage-ID: c\r\nResent-From: a\r\nResent-Date: b\r\nResent-Message-ID: "
	    "c\r\n\r\n");
}

Test(compose, what_is_resent_gets_resent_fields)
{
	expect_composed(COMPOSE_FROM_HEADER, "Resent-To: a\n\n",
	    "Resent-From: maria@v.org\r\nResent-Date: Thu, 1 Jan 1970 00:01:00 +0000\r\n"
	    "Resent-Message-ID: <id@v.org>\r\nResent-To: a\r\n\r\n");
	expect_composed(COMPOSE_AS_IS, "Resent-To: a\n\n", "Resent-To: a\r\n\r\n");
}

static void visit(void *context, struct view address)
{
	buf_view(context, address);
	buf_byte(context, ' ');
}

static void complain(void *context, const struct error *err)
{
	buf_text(context, "! ");
	cr_expect_eq(err->code, EX_DATAERR);
	cr_expect_not_null(strstr(err->text, "the header field "));
}

Test(compose, recipients_come_from_the_right_fields)
{
	static const struct {
		const char *input;
		const char *seen;
		enum outcome outcome;
	} cases[] = {
	    {"To: a, B <b@c>\nFrom: x\ncc: d\nBcc: e\nTo: f\nReply-To: y\n\nTo: body", "a b@c d e f ", OUTCOME_DONE},
	    {"To: a\nResent-To: b\nCc: c\nResent-Bcc: d\n", "b d ", OUTCOME_DONE},
	    {"To: a@@b\nCc: c\nBcc: <d\n", "! c ! ", OUTCOME_NEVER},
	    {"To: undisclosed-recipients:;\n", "", OUTCOME_DONE},
	    {"", "", OUTCOME_DONE},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct view_source in;
		struct compose c;
		struct buf seen;
		struct error err = ERROR_NONE;

		view_source_init(&in, view_text(cases[i].input));
		buf_init(&seen, 1000);
		cr_assert_eq(compose_read(&c, &in.source, &err), OUTCOME_DONE);
		cr_expect_eq(compose_recipients(&c, visit, complain, &seen, &err), cases[i].outcome);
		cr_expect_str_eq(buf_string(&seen), cases[i].seen);
		cr_expect_eq(err.code, cases[i].outcome == OUTCOME_DONE ? EX_OK : EX_DATAERR);
		buf_release(&seen);
		compose_release(&c);
	}
}

Test(compose, names_are_quoted_or_encoded)
{
	static const char *const cases[][2] = {
	    {"Maria Huber", "From: Maria Huber <maria@v.org>\r\n"},
	    {"M. Huber", "From: \"M. Huber\" <maria@v.org>\r\n"},
	    {"a \"b\" \\c", "From: \"a \\\"b\\\" \\\\c\" <maria@v.org>\r\n"},
	    {"a  b", "From: \"a  b\" <maria@v.org>\r\n"},
	    {"x\r\nBcc: y", "From: \"x\\\\x0D\\\\x0ABcc: y\" <maria@v.org>\r\n"},
	    {"=?utf-8?B?w7w=?=", "From: \"=?utf-8?B?w7w=?=\" <maria@v.org>\r\n"},
	    {"J\xc3\xb6rg", "From: =?utf-8?B?SsO2cmc=?=\r\n <maria@v.org>\r\n"},
	    {"", "From: maria@v.org\r\n"},
	    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xb6z",
		"From: =?utf-8?B?YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=?=\r\n =?utf-8?B?w7Z6?=\r\n"
		" <maria@v.org>\r\n"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct compose_author named = author;
		struct compose c = {.has_date = true, .has_id = true};
		struct buf out;

		named.name = cases[i][0];
		buf_init(&out, 10000);
		compose_additions(&c, COMPOSE_AS_IS, &named, &out);
		cr_expect_str_eq(buf_string(&out), cases[i][1]);
		buf_release(&out);
	}
}

Test(compose, precedence_says_bulk)
{
	static const struct {
		const char *input;
		bool bulk;
	} cases[] = {{"Precedence: bulk\n", true}, {"precedence: LIST\n", true}, {"Precedence: junk \n", true},
	    {"Precedence: first-class\n", false}, {"Priority: urgent\n", false}, {"\nPrecedence: bulk\n", false}};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct view_source in;
		struct compose c;

		view_source_init(&in, view_text(cases[i].input));
		cr_assert_eq(compose_read(&c, &in.source, NULL), OUTCOME_DONE);
		cr_expect_eq(c.bulk, cases[i].bulk, "%s", cases[i].input);
		compose_release(&c);
	}
}

/* Text larger than a header section may be, made of copies of LINE. */
static void fill(struct buf *b, const char *line)
{
	buf_init(b, SIZE_MAX);
	while (b->length < LIMIT_HEADER_SECTION + 100000)
		buf_text(b, line);
}

Test(compose, long_text_without_an_empty_line_is_a_body_but_endless_fields_are_refused)
{
	static const char *const fields[] = {"X: field\r\n", "Subject: x\n", "A-very-long-name: x\n"};
	struct view_source in;
	struct compose c;
	struct buf text;
	struct buf out;
	struct error err = ERROR_NONE;

	fill(&text, "no field here\r\n");
	buf_init(&out, SIZE_MAX);
	compose(COMPOSE_AS_IS, view_buf(&text), &out);
	cr_expect_eq(out.length, strlen(MISSING "\r\n") + text.length);
	cr_expect(view_equal(view_from(view_buf(&out), strlen(MISSING "\r\n")), view_buf(&text)));
	buf_release(&text);
	buf_release(&out);

	/* Wherever the limit cuts the last of them, in its name too. */
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
		fill(&text, fields[i]);
		view_source_init(&in, view_buf(&text));
		cr_expect_eq(compose_read(&c, &in.source, &err), OUTCOME_NEVER, "%s", fields[i]);
		cr_expect_eq(err.code, EX_DATAERR);
		compose_release(&c);
		buf_release(&text);
	}
}

/* Gives out one octet at a time. */
struct drip {
	struct source source;
	struct view rest;
};

static enum outcome drip_read(struct source *self, void *bytes, size_t size, size_t *got, struct error *err)
{
	struct drip *d = (struct drip *)self;

	(void)size;
	(void)err;
	*got = d->rest.length > 0;
	if (*got > 0)
		memcpy(bytes, d->rest.bytes, 1);
	d->rest = view_from(d->rest, 1);
	return OUTCOME_DONE;
}

Test(compose, a_single_dot_ends_the_input)
{
	static const char *const cases[][2] = {
	    {"a\n.\nb\n", "a\n"},
	    {"a\r\n.\r\nb\r\n", "a\r\n"},
	    {".\nb", ""},
	    {"a\n..\n.b\n. \nc.\n.", "a\n..\n.b\n. \nc.\n."},
	    {"a\n.\rb\n.\r\rb\n.\r", "a\n.\rb\n.\r\rb\n.\r"},
	    {"", ""},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		for (int slow = 0; slow < 2; slow++) {
			struct view_source fast;
			struct drip drip = {{drip_read}, view_text(cases[i][0])};
			struct dot_source dots;
			struct buf out;
			struct buf_sink sink;

			view_source_init(&fast, view_text(cases[i][0]));
			dot_source_init(&dots, slow ? &drip.source : &fast.source);
			buf_init(&out, 1000);
			buf_sink_init(&sink, &out);
			cr_assert_eq(stream_copy(&dots.source, &sink.sink, NULL, NULL), OUTCOME_DONE);
			cr_expect_str_eq(buf_string(&out), cases[i][1]);
			cr_assert_eq(stream_copy(&dots.source, &sink.sink, NULL, NULL), OUTCOME_DONE);
			cr_expect_str_eq(buf_string(&out), cases[i][1], "the end stays the end");
			dot_source_release(&dots);
			buf_release(&out);
		}
	}
}
