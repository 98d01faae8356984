#include <criterion/criterion.h>

#include "queue/message_text.h"

struct text_case {
	const char *in;
	bool submitted;
	const char *front; /* what must be written before the text itself; "*" stands for the rest of a line */
	bool bulk;
};

/* Feeds IN in pieces of STEP octets. */
static void run(const char *in, bool submitted, size_t step, struct buf *out, struct message_text *t)
{
	const struct text_author author = {submitted, "village.example", 1795402279};
	struct buf_sink sink;
	struct error err = ERROR_NONE;
	struct view rest = view_text(in);

	buf_init(out, 1 << 20);
	buf_sink_init(&sink, out);
	message_text_init(t, &sink.sink, &author);
	while (rest.length > 0) {
		size_t part = rest.length < step ? rest.length : step;

		message_text_add(t, view_of(rest.bytes, part));
		rest = view_from(rest, part);
	}
	cr_expect_eq(message_text_end(t, &err), OUTCOME_DONE, "%s", err.text);
	cr_expect_eq(t->size, out->length);
	message_text_release(t);
}

static bool matches(const char *pattern, const char *text, size_t *length)
{
	const char *begin = text;

	for (; *pattern != '\0'; pattern++) {
		if (*pattern == '*')
			text += strcspn(text, "\r");
		else if (*pattern != *text++)
			return false;
	}
	*length = (size_t)(text - begin);
	return true;
}

#define DATE "Date: Mon, 23 Nov 2026 02:51:19 +0000\r\n"

Test(message_text, what_a_submission_lacks_is_put_in_front_and_nothing_else)
{
	static const struct text_case cases[] = {
	    {"Subject: x\r\n\r\nbody\r\n", false, "", false},
	    {"Subject: x\r\n\r\nbody\r\n", true, DATE "Message-ID: <*\r\n", false},
	    {"date: y\r\nmessage-id: <z>\r\n\r\nbody\r\n", true, "", false},
	    {"Date: y\r\n\r\nMessage-ID: in the body\r\n", true, "Message-ID: <*\r\n", false},
	    {"Message-ID: <z>\r\n\r\n", true, DATE, false},
	    {"Precedence: bulk\r\n\r\n", false, "", true},
	    {"Subject: x\r\n\r\nPrecedence: bulk\r\n", false, "", false},
	    {"Precedence: first-class\r\n\r\n", false, "", false},
	    {"no header at all\r\n", true, DATE "Message-ID: <*\r\n\r\n", false},
	    {"\r\nonly a body\r\n", true, DATE "Message-ID: <*\r\n", false},
	    {"Subject: no empty line\r\n", false, "", false},
	    {"", false, "", false},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		for (size_t step = 1; step < 30; step++) {
			struct message_text t;
			struct buf out;
			size_t front;

			run(cases[i].in, cases[i].submitted, step, &out, &t);
			cr_expect(matches(cases[i].front, buf_string(&out), &front), "%zu: %s", i, buf_string(&out));
			cr_expect_str_eq(buf_string(&out) + front, cases[i].in, "%zu, step %zu", i, step);
			cr_expect_eq(t.bulk, cases[i].bulk, "%zu", i);
			buf_release(&out);
		}
	}
}

Test(message_text, more_received_lines_than_any_way_has_are_a_loop)
{
	for (size_t lines = TEXT_RECEIVED_MAX; lines <= TEXT_RECEIVED_MAX + 1; lines++) {
		const struct text_author author = {.domain = "village.example"};
		struct message_text t;
		struct null_sink nowhere;
		struct error err = ERROR_NONE;

		null_sink_init(&nowhere);
		message_text_init(&t, &nowhere.sink, &author);
		for (size_t i = 0; i < lines; i++)
			message_text_add(&t, view_text("Received: by somebody\r\n"));
		message_text_add(&t, view_text("\r\nReceived: in the body\r\n"));
		cr_expect_eq(message_text_end(&t, &err), lines > TEXT_RECEIVED_MAX ? OUTCOME_NEVER : OUTCOME_DONE);
		cr_expect_eq(t.looping, lines > TEXT_RECEIVED_MAX);
		message_text_release(&t);
	}
}

Test(message_text, a_header_section_too_long_to_look_at_passes_whole)
{
	const struct text_author author = {true, "village.example", 1795402279};
	struct message_text t;
	struct null_sink nowhere;
	struct error err = ERROR_NONE;
	uint64_t size = 0;

	null_sink_init(&nowhere);
	message_text_init(&t, &nowhere.sink, &author);
	message_text_add(&t, view_text("Date: x\r\nMessage-ID: <y>\r\n"));
	size += strlen("Date: x\r\nMessage-ID: <y>\r\n");
	for (size_t i = 0; i < TEXT_HEAD_MAX / 8; i++) {
		message_text_add(&t, view_text("X-Long: yes\r\n"));
		size += strlen("X-Long: yes\r\n");
	}
	cr_expect_eq(message_text_end(&t, &err), OUTCOME_DONE);
	cr_expect_eq(nowhere.count, size);
	message_text_release(&t);
}

static enum outcome write_full(struct sink *self, const void *bytes, size_t size, struct error *err)
{
	(void)self;
	(void)bytes;
	(void)size;
	return error_set(err, EX_TEMPFAIL, "the disk is full");
}

Test(message_text, a_failure_below_is_told_at_the_end)
{
	const struct text_author author = {.domain = "village.example"};
	struct message_text t;
	struct sink full = {write_full};
	struct error err = ERROR_NONE;

	message_text_init(&t, &full, &author);
	message_text_add(&t, view_text("Subject: x\r\n\r\nbody\r\n"));
	message_text_add(&t, view_text("more\r\n"));
	cr_expect_eq(message_text_end(&t, &err), OUTCOME_LATER);
	cr_expect_str_eq(err.text, "the disk is full");
	message_text_release(&t);
}
