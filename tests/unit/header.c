#include <criterion/criterion.h>

#include "queue/header.h"

/* Gives its bytes in pieces of STEP, so that every state of the scan meets the end of a piece. */
struct slow_source {
	struct source source;
	struct view rest;
	size_t step;
};

static enum outcome slow_read(struct source *self, void *bytes, size_t size, size_t *got, struct error *err)
{
	struct slow_source *s = (struct slow_source *)self;

	(void)err;
	*got = s->rest.length < s->step ? s->rest.length : s->step;
	*got = *got < size ? *got : size;
	if (*got > 0)
		memcpy(bytes, s->rest.bytes, *got);
	s->rest = view_from(s->rest, *got);
	return OUTCOME_DONE;
}

static enum outcome read_in_steps(struct view all, size_t step, struct buf *out, struct buf *extra)
{
	struct slow_source s = {{slow_read}, all, step};
	struct error err = ERROR_NONE;
	enum outcome outcome = header_read(&s.source, out, extra, &err);

	if (outcome == OUTCOME_DONE) {
		buf_view(extra, s.rest);
	} else {
		cr_assert_eq(err.code, EX_DATAERR);
	}
	return outcome;
}

Test(header, read_ends_behind_the_first_empty_line)
{
	static const struct {
		const char *all;
		size_t section;
	} cases[] = {
	    {"", 0},
	    {"\r\n", 2},
	    {"\n", 1},
	    {"\r\nbody", 2},
	    {"A: b\r\n\r\nbody\r\n", 8},
	    {"A: b\n\nbody\n", 6},
	    {"A: b\r\n", 6},
	    {"A: b", 4},
	    {"A: b\r\n \r\nB: c\r\n\r\nbody", 17},
	    {"A: b\n\r\nbody", 7},
	    {"A: b\r\rc\n\nbody", 9},
	    {"A: b\n\r\r\nno end", 14},
	    {"A: b\n\rB\n\nbody", 9},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		for (size_t step = 1; step < 20; step++) {
			struct buf out;
			struct buf extra;

			buf_init(&out, 1000);
			buf_init(&extra, 1000);
			cr_assert_eq(read_in_steps(view_text(cases[i].all), step, &out, &extra), OUTCOME_DONE);
			cr_expect_eq(
			    out.length, cases[i].section, "case %zu in steps of %zu: %zu", i, step, out.length);
			buf_view(&out, view_buf(&extra));
			cr_expect(view_is(view_buf(&out), cases[i].all), "case %zu in steps of %zu", i, step);
			buf_release(&out);
			buf_release(&extra);
		}
	}
}

Test(header, read_refuses_too_long_a_section_and_keeps_what_it_read)
{
	struct buf out;
	struct buf extra;

	for (size_t step = 1; step < 30; step++) {
		buf_init(&out, 8);
		buf_init(&extra, 1000);
		cr_assert_neq(read_in_steps(view_text("A: b\r\nB: c\r\n\r\n"), step, &out, &extra), OUTCOME_DONE);
		cr_assert(view_is(view_buf(&out), "A: b\r\nB:"));
		buf_view(&out, view_buf(&extra));
		cr_assert(extra.length > 0);
		buf_release(&out);
		buf_release(&extra);
	}
	buf_init(&out, 8);
	buf_init(&extra, 1000);
	cr_assert_eq(read_in_steps(view_text("A: b\r\n\r\nbody"), 100, &out, &extra), OUTCOME_DONE);
	cr_assert(view_is(view_buf(&extra), "body"));
	buf_release(&out);
	buf_release(&extra);
}

Test(header, next_splits_fields_on_both_kinds_of_line_end)
{
	static const char *const sections[] = {
	    "Subject: one\r\n two\r\nX-Empty:\r\nTo : a\r\nLast: end\r\n\r\nNot: body",
	    "Subject: one\n two\nX-Empty:\nTo : a\nLast: end\n\nNot: body",
	};
	static const char *const bodies[] = {" one\r\n two", " one\n two"};

	for (size_t i = 0; i < 2; i++) {
		struct view rest = view_text(sections[i]);
		struct view name;
		struct view body;

		cr_assert(header_next(&rest, &name, &body));
		cr_assert(view_is(name, "Subject") && view_is(body, bodies[i]));
		cr_assert(header_next(&rest, &name, &body));
		cr_assert(view_is(name, "X-Empty") && body.length == 0);
		cr_assert(header_next(&rest, &name, &body));
		cr_assert(view_is(name, "To") && view_is(body, " a"));
		cr_assert(header_next(&rest, &name, &body));
		cr_assert(view_is(name, "Last") && view_is(body, " end"));
		cr_assert_not(header_next(&rest, &name, &body));
		cr_assert_eq(rest.bytes[0], i == 0 ? '\r' : '\n', "the rest begins at the empty line");
	}
}

Test(header, next_stops_at_what_is_no_field)
{
	static const char *const others[] = {"", "\r\n", " folded: first", "no colon\r\nA: b", ": no name\r\n",
	    "two words: x\r\n", "ctrl\x01: x\r\n", "\xc3\xa4: x\r\n", "name only"};

	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
		struct view rest = view_text(others[i]);
		struct view name;
		struct view body;

		cr_expect_not(header_next(&rest, &name, &body), "case %zu", i);
		cr_expect(view_is(rest, others[i]), "case %zu", i);
	}
}

Test(header, next_keeps_what_is_no_line_end)
{
	struct view rest = view_text("A: b\rc\r");
	struct view name;
	struct view body;

	cr_assert(header_next(&rest, &name, &body));
	cr_assert(view_is(body, " b\rc\r"));
	rest = view_text("A:\r\n");
	cr_assert(header_next(&rest, &name, &body));
	cr_assert_eq(body.length, 0);
	rest = view_text("A:\n");
	cr_assert(header_next(&rest, &name, &body));
	cr_assert_eq(body.length, 0);
}

Test(header, find_ignores_case_and_takes_the_first)
{
	struct view section = view_text("subject: one\r\nSUBJECT: two\r\n\r\nTo: body\r\n");
	struct view body;

	cr_assert(header_find(section, "Subject", &body));
	cr_assert(view_is(body, " one"));
	cr_assert_not(header_find(section, "To", &body));
	cr_assert_not(header_find(section, "Sub", &body));
}

Test(header, unfold_joins_lines_and_trims)
{
	static const char *const cases[][2] = {
	    {" one\r\n two", "one two"},
	    {" one\n\ttwo ", "one\ttwo"},
	    {"\r\n one", "one"},
	    {" one\r\n ", "one"},
	    {"", ""},
	    {" \t ", ""},
	    {"a\rb", "a\rb"},
	    {"a  b", "a  b"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct buf out;

		buf_init(&out, 100);
		buf_text(&out, "-");
		header_unfold(view_text(cases[i][0]), &out);
		cr_expect(view_is(view_from(view_buf(&out), 1), cases[i][1]), "case %zu: %s", i, buf_string(&out));
		buf_release(&out);
	}
}

/* Whole characters in words of 36 octets; what is none becomes U+FFFD, wherever it stands. */
Test(header, encoded_words)
{
	static const char *const cases[][2] = {
	    {"", ""},
	    {"J\xc3\xb6rg", "=?utf-8?B?SsO2cmc=?="},
	    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xb6z",
		"=?utf-8?B?YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=?=\r\n =?utf-8?B?w7Z6?="},
	    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xb6z",
		"=?utf-8?B?YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYcO2?=\r\n =?utf-8?B?eg==?="},
	    {"\xff", "=?utf-8?B?77+9?="},
	    {"a\xff", "=?utf-8?B?Ye+/vQ==?="},
	    {"\xc3", "=?utf-8?B?77+9?="},
	    {"\xc3z", "=?utf-8?B?77+9eg==?="},
	    {"\xed\xa0\x80", "=?utf-8?B?77+977+977+9?="},
	    {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xf0\x9f",
		"=?utf-8?B?YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh?=\r\n =?utf-8?B?77+977+9?="},
	    {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
		"=?utf-8?B?77+977+977+977+977+977+977+977+977+977+977+977+9?=\r\n =?utf-8?B?77+9?="},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct buf out;

		buf_init(&out, 1000);
		header_encode(view_text(cases[i][0]), &out);
		cr_expect_str_eq(buf_string(&out), cases[i][1], "case %zu: %s", i, buf_string(&out));
		buf_release(&out);
	}
}
