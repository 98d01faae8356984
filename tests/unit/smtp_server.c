/* What dialogues (tests/dialogue/smtp) cannot show: waiting, bounds, memory, and what a driver reads. */
#include <criterion/criterion.h>

#include "bridge-smtp/smtp_server_own.h"
#include "lib/text.h"

static const struct smtp_server_options plain = {.name = "mx.example"};

/* Everything of TEXT, which must be taken. */
static void feed(struct smtp_server *s, const char *text)
{
	struct view in = view_text(text);

	smtp_server_feed(s, &in);
	cr_assert_eq(in.length, 0);
}

/* Runs S, taking everything, until an event of KIND, which is not answered. */
static struct smtp_event run_to(struct smtp_server *s, enum smtp_event_kind kind)
{
	struct smtp_event event;

	while (smtp_server_next(s, &event)) {
		if (event.kind == kind)
			return event;
		if (smtp_server_waits(s))
			smtp_server_reply(s, event.kind == SMTP_EVENT_AUTH ? 235 : 250, "2.0.0", "Ok");
	}
	cr_assert_fail("no event of kind %d; the output is %s", (int)kind, buf_string(&s->output));
	return event;
}

static void nothing_happens(struct smtp_server *s)
{
	struct smtp_event event;

	cr_expect_not(smtp_server_next(s, &event));
}

static const char hello[] = "EHLO client.example\r\n";
static const char envelope[] = "MAIL FROM:<ann@a.example>\r\nRCPT TO:<bob@b.example>\r\n";

/* Octets that the machine holds. */
static size_t held(const struct smtp_server *s)
{
	const struct smtp_server_own *own = s->own;

	return sizeof *own + s->output.capacity + own->input.bytes.capacity + own->line.line.capacity +
	       own->text.capacity + own->address.capacity + own->parameter.capacity + own->user.capacity +
	       own->password.capacity + own->refusal_text.capacity;
}

Test(smtp_server, a_verdict_is_waited_for)
{
	struct smtp_server s;
	struct smtp_event event;

	smtp_server_init(&s, &plain);
	feed(&s, hello);
	feed(&s, "MAIL FROM:<ann@a.example> SIZE=5\r\nNOOP\r\n");
	cr_expect_not(smtp_server_waits(&s));
	event = run_to(&s, SMTP_EVENT_SENDER);
	cr_expect_str_eq(event.text, "ann@a.example");
	cr_expect_eq(event.size, 5);
	buf_clear(&s.output);
	for (int i = 0; i < 3; i++) {
		cr_expect(smtp_server_waits(&s));
		nothing_happens(&s);
		cr_expect_eq(s.output.length, 0);
		feed(&s, "NOOP\r\n");
	}
	cr_expect_str_eq(event.text, "ann@a.example", "it is valid until the verdict");
	smtp_server_reply(&s, 250, "2.1.0", "Ok");
	cr_expect_not(smtp_server_waits(&s));
	smtp_server_reply(&s, 550, "5.0.0", "nobody asked");
	nothing_happens(&s);
	cr_expect_str_eq(buf_string(&s.output), "250 2.1.0 Ok\r\n250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n"
						"250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n");
	smtp_server_release(&s);
}

Test(smtp_server, an_answer_is_one_line_whatever_is_in_it)
{
	static const struct {
		int code;
		const char *status, *text, *line;
	} cases[] = {
	    {550, "5.1.1", "No \"x\r\n250 ok\" here", "550 5.1.1 No \"x\\x0D\\x0A250 ok\" here\r\n"},
	    {550, NULL, "\x1b[2J\xc3\xa9", "550 \\x1B[2J\\xC3\\xA9\r\n"},
	    {0, "4.0.0", "", "451 4.0.0 \r\n"},
	    {999, "4.0.0", "x", "451 4.0.0 x\r\n"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct smtp_server s;

		smtp_server_init(&s, &plain);
		feed(&s, hello);
		feed(&s, "MAIL FROM:<>\r\n");
		run_to(&s, SMTP_EVENT_SENDER);
		buf_clear(&s.output);
		smtp_server_reply(&s, cases[i].code, cases[i].status, cases[i].text);
		cr_expect_str_eq(buf_string(&s.output), cases[i].line, "case %zu: %s", i, buf_string(&s.output));
		smtp_server_release(&s);
	}
}

Test(smtp_server, an_answer_has_at_most_512_octets)
{
	static char text[5000];

	memset(text, 'a', sizeof text - 1);
	for (int i = 0; i < 2; i++) {
		struct smtp_server s;

		smtp_server_init(&s, &plain);
		feed(&s, hello);
		feed(&s, i == 0 ? "MAIL FROM:<>\r\n" : "MAIL FROM:<> SMTPUTF8\r\n");
		run_to(&s, SMTP_EVENT_SENDER);
		buf_clear(&s.output);
		smtp_server_reply(&s, 550, "5.100.100", text);
		cr_expect_leq(s.output.length, 512);
		cr_expect_geq(s.output.length, 400);
		smtp_server_release(&s);
	}
}

Test(smtp_server, utf8_is_answered_to_who_said_smtputf8)
{
	struct smtp_server s;

	smtp_server_init(&s, &plain);
	feed(&s, hello);
	feed(&s, "MAIL FROM:<j\xc3\xb6rg@a.example> SMTPUTF8\r\n");
	run_to(&s, SMTP_EVENT_SENDER);
	buf_clear(&s.output);
	smtp_server_reply(&s, 550, "5.7.1", "j\xc3\xb6rg may not\x7f");
	cr_expect_str_eq(buf_string(&s.output), "550 5.7.1 j\xc3\xb6rg may not\\x7F\r\n");
	smtp_server_release(&s);
}

Test(smtp_server, no_more_input_is_taken_than_there_is_room_for)
{
	static char noops[40000];
	struct view in = view_of(noops, sizeof noops - 4);
	struct smtp_server s;

	for (size_t i = 0; i + 6 <= sizeof noops; i += 6)
		memcpy(noops + i, "NOOP\r\n", 6);
	smtp_server_init(&s, &plain);
	feed(&s, hello);
	feed(&s, "MAIL FROM:<>\r\n");
	run_to(&s, SMTP_EVENT_SENDER);
	smtp_server_feed(&s, &in);
	cr_expect_eq(in.length, sizeof noops - 4 - SMTP_INPUT_MAX);
	smtp_server_feed(&s, &in);
	cr_expect_eq(in.length, sizeof noops - 4 - SMTP_INPUT_MAX);
	smtp_server_reply(&s, 250, "2.0.0", "Ok");
	while (s.output.length > 0) {
		buf_clear(&s.output);
		nothing_happens(&s);
	}
	smtp_server_feed(&s, &in);
	cr_expect_eq(in.length, sizeof noops - 4 - 2 * SMTP_INPUT_MAX);
	smtp_server_release(&s);
}

Test(smtp_server, a_full_output_stops_the_work_until_it_is_emptied)
{
	static char noops[12000 + 1];
	size_t answers = 0;
	struct smtp_server s;

	for (size_t i = 0; i + 6 < sizeof noops; i += 6)
		memcpy(noops + i, "NOOP\r\n", 6);
	smtp_server_init(&s, &plain);
	buf_clear(&s.output);
	feed(&s, noops);
	for (int round = 0; round < 10; round++) {
		nothing_happens(&s);
		cr_expect_leq(s.output.length, SMTP_OUTPUT_MAX + 512);
		if (round == 0)
			cr_expect_gt(s.output.length, SMTP_OUTPUT_MAX);
		answers += s.output.length / strlen("250 2.0.0 Ok\r\n");
		buf_clear(&s.output);
	}
	cr_expect_eq(answers, 2000);
	smtp_server_release(&s);
}

Test(smtp_server, text_comes_in_pieces_as_large_as_the_input)
{
	static char text[16001];
	struct smtp_event event;
	struct smtp_server s;

	for (size_t i = 0; i + 80 < sizeof text; i += 80) {
		memset(text + i, 'x', 78);
		memcpy(text + i + 78, "\r\n", 2);
	}
	for (int chunked = 0; chunked < 2; chunked++) {
		smtp_server_init(&s, &plain);
		feed(&s, hello);
		feed(&s, envelope);
		feed(&s, chunked ? "BDAT 16000 LAST\r\n" : "DATA\r\n");
		run_to(&s, SMTP_EVENT_BEGIN);
		smtp_server_reply(&s, 354, "2.0.0", "Go on");
		nothing_happens(&s);
		feed(&s, text);
		event = run_to(&s, SMTP_EVENT_TEXT);
		cr_expect(view_equal(event.bytes, view_text(text)));
		if (!chunked)
			feed(&s, ".\r\n");
		run_to(&s, SMTP_EVENT_END);
		smtp_server_release(&s);
	}
}

Test(smtp_server, an_idle_machine_holds_little)
{
	static char text[16001];
	struct smtp_event event;
	struct smtp_server s;

	memset(text, 'x', sizeof text - 1);
	smtp_server_init(&s, &plain);
	cr_expect_leq(held(&s), 2048);
	feed(&s, hello);
	feed(&s, envelope);
	feed(&s, "DATA\r\n");
	while (smtp_server_next(&s, &event))
		smtp_server_reply(&s, 250, "2.0.0", "Ok");
	buf_clear(&s.output);
	nothing_happens(&s);
	cr_expect_leq(held(&s), 2048, "before the text: %zu", held(&s));
	feed(&s, text);
	run_to(&s, SMTP_EVENT_TEXT);
	cr_expect_leq(held(&s), 65536, "in the text: %zu", held(&s));
	nothing_happens(&s);
	cr_expect_leq(held(&s), 2048, "between two pieces: %zu", held(&s));
	feed(&s, "\r\n.\r\n");
	run_to(&s, SMTP_EVENT_END);
	nothing_happens(&s);
	cr_expect_leq(held(&s), 2048, "while the disk is waited for: %zu", held(&s));
	smtp_server_reply(&s, 250, "2.0.0", "Ok");
	buf_clear(&s.output);
	nothing_happens(&s);
	cr_expect_leq(held(&s), 2048, "behind it: %zu", held(&s));
	smtp_server_release(&s);
}

Test(smtp_server, what_a_driver_reads)
{
	static const struct smtp_server_options options = {.name = "mx.example", .starttls = true, .auth = true};
	struct smtp_event event;
	struct smtp_server s;

	smtp_server_init(&s, &options);
	cr_expect_null(s.helo);
	feed(&s, "HELO one.example\r\n");
	nothing_happens(&s);
	cr_expect_str_eq(s.helo, "one.example");
	cr_expect_not(s.extended);
	feed(&s, hello);
	nothing_happens(&s);
	cr_expect_str_eq(s.helo, "client.example");
	cr_expect(s.extended);
	feed(&s, "AUTH PLAIN AGFubgBzZWNyZXQ=\r\n");
	event = run_to(&s, SMTP_EVENT_AUTH);
	cr_expect_str_eq(event.user, "ann");
	cr_expect_str_eq(event.password, "secret");
	cr_expect_null(s.authenticated);
	smtp_server_reply(&s, 235, "2.7.0", "Ok");
	cr_expect_str_eq(s.authenticated, "ann");
	feed(&s, "STARTTLS\r\n");
	run_to(&s, SMTP_EVENT_STARTTLS);
	cr_expect_not(s.secured);
	nothing_happens(&s);
	smtp_server_secured(&s, SMTP_SECURED_CLEAN);
	cr_expect(s.secured);
	cr_expect_null(s.helo);
	cr_expect_null(s.authenticated);
	cr_expect_not(s.extended);
	smtp_server_release(&s);
}

static bool holds(const struct buf *b, const char *text)
{
	return b->bytes != NULL && memmem(b->bytes, b->capacity, text, strlen(text)) != NULL;
}

Test(smtp_server, passwords_are_wiped)
{
	static const struct smtp_server_options options = {.name = "mx.example", .auth = true};
	static const char *const ways[] = {
	    "AUTH PLAIN AGFubgBzZWNyZXQ=\r\n",
	    "AUTH PLAIN\r\nAGFubgBzZWNyZXQ=\r\n",
	    "AUTH LOGIN\r\nYW5u\r\nc2VjcmV0\r\n",
	};

	for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
		static const char *const secrets[] = {"secret", "BzZWNyZXQ", "c2VjcmV0"};
		struct smtp_server s;

		smtp_server_init(&s, &options);
		feed(&s, hello);
		nothing_happens(&s);
		feed(&s, ways[i]);
		cr_expect(holds(&s.own->input.bytes, i < 2 ? "BzZWNyZXQ" : "c2VjcmV0"), "this test can fail");
		run_to(&s, SMTP_EVENT_AUTH);
		cr_expect(holds(&s.own->password, "secret"));
		for (size_t k = 0; k < 3; k++) {
			cr_expect_not(holds(&s.own->input.bytes, secrets[k]), "way %zu: input", i);
			cr_expect_not(holds(&s.own->line.line, secrets[k]), "way %zu: line", i);
		}
		smtp_server_reply(&s, 235, "2.7.0", "Ok");
		cr_expect_null(s.own->password.bytes);
		smtp_server_release(&s);
	}
}

Test(smtp_server, it_can_be_ended_while_it_waits)
{
	struct smtp_event event;
	struct smtp_server s;

	smtp_server_init(&s, &plain);
	feed(&s, hello);
	feed(&s, envelope);
	run_to(&s, SMTP_EVENT_RECIPIENT);
	buf_clear(&s.output);
	smtp_server_end(&s, "4.3.2", "Closing down");
	cr_expect_not(smtp_server_waits(&s));
	cr_expect_str_eq(buf_string(&s.output), "421 4.3.2 Closing down\r\n");
	cr_assert(smtp_server_next(&s, &event));
	cr_expect_eq(event.kind, SMTP_EVENT_RESET);
	cr_assert(smtp_server_next(&s, &event));
	cr_expect_eq(event.kind, SMTP_EVENT_CLOSE);
	smtp_server_reply(&s, 250, "2.1.5", "too late");
	feed(&s, "NOOP\r\n");
	nothing_happens(&s);
	smtp_server_end(&s, "4.3.2", "again");
	cr_expect_str_eq(buf_string(&s.output), "421 4.3.2 Closing down\r\n");
	smtp_server_release(&s);
}

Test(smtp_server, the_end_that_is_being_decided_is_not_reset)
{
	struct smtp_event event;
	struct smtp_server s;

	smtp_server_init(&s, &plain);
	feed(&s, hello);
	feed(&s, envelope);
	feed(&s, "DATA\r\n.\r\n");
	run_to(&s, SMTP_EVENT_END);
	smtp_server_end(&s, "4.3.2", "Closing down");
	cr_assert(smtp_server_next(&s, &event));
	cr_expect_eq(event.kind, SMTP_EVENT_CLOSE);
	smtp_server_release(&s);
}

Test(smtp_server, a_released_machine_can_be_released_again)
{
	struct smtp_server s;

	smtp_server_init(&s, &plain);
	feed(&s, "half a li");
	smtp_server_release(&s);
	smtp_server_release(&s);
}
