#include <criterion/criterion.h>

#include "bridge-pop3/pop3_server_own.h"
#include "lib/alloc.h"

static const struct pop3_server_options plain = {.name = "mx.example", .clear_passwords = true};

static uint64_t three_octets(const struct pop3_listing *self, size_t number)
{
	(void)self;
	return number == 0 ? 5 : 100;
}

static void three_uids(const struct pop3_listing *self, size_t number, struct buf *out)
{
	(void)self;
	buf_format(out, "u%zu", number);
}

static const struct pop3_listing three = {.count = 3, .octets = three_octets, .uid = three_uids};

static void feed(struct pop3_server *s, const char *text)
{
	struct view v = view_text(text);

	pop3_server_feed(s, &v);
	cr_expect_eq(v.length, 0);
}

/* The next event, which must be of KIND. */
static struct pop3_event run_to(struct pop3_server *s, enum pop3_event_kind kind)
{
	struct pop3_event event = {.kind = POP3_EVENT_CLOSE};

	cr_assert(pop3_server_next(s, &event));
	cr_assert_eq(event.kind, kind);
	return event;
}

static void nothing_happens(struct pop3_server *s)
{
	struct pop3_event event;

	cr_expect_not(pop3_server_next(s, &event));
}

static void log_in(
    struct pop3_server *s, const struct pop3_server_options *options, const struct pop3_listing *listing)
{
	pop3_server_init(s, options);
	feed(s, "USER ann\r\nPASS secret\r\n");
	run_to(s, POP3_EVENT_LOGIN);
	pop3_server_opened(s, listing);
	nothing_happens(s);
	buf_clear(&s->output);
}

static bool holds(const struct buf *b, const char *text)
{
	return b->bytes != NULL && memmem(b->bytes, b->capacity, text, strlen(text)) != NULL;
}

static void said(struct pop3_server *s, const char *text)
{
	cr_expect_str_eq(buf_string(&s->output), text);
	buf_clear(&s->output);
}

Test(pop3_server, a_verdict_is_waited_for)
{
	struct pop3_server s;
	struct pop3_event event;

	pop3_server_init(&s, &plain);
	feed(&s, "USER ann\r\nPASS secret\r\nSTAT\r\n");
	cr_expect_not(pop3_server_waits(&s));
	event = run_to(&s, POP3_EVENT_LOGIN);
	buf_clear(&s.output);
	for (int i = 0; i < 3; i++) {
		cr_expect(pop3_server_waits(&s));
		nothing_happens(&s);
		cr_expect_eq(s.output.length, 0);
		feed(&s, "NOOP\r\n");
	}
	cr_expect_str_eq(event.user, "ann", "it is valid until the verdict");
	cr_expect_str_eq(event.password, "secret");
	cr_expect_null(s.user);
	pop3_server_updated(&s, OUTCOME_DONE, NULL);
	pop3_server_text_begin(&s, POP3_TEXT_LF);
	pop3_server_text_end(&s);
	cr_expect(pop3_server_waits(&s), "these are no verdicts on that");
	pop3_server_opened(&s, &three);
	cr_expect_not(pop3_server_waits(&s));
	cr_expect_str_eq(s.user, "ann");
	pop3_server_refuse(&s, NULL, "nobody asked");
	nothing_happens(&s);
	said(&s, "+OK\r\n+OK 3 205\r\n+OK\r\n+OK\r\n+OK\r\n");
	pop3_server_release(&s);
}

Test(pop3_server, a_refusal_may_say_what_the_client_said)
{
	struct pop3_server s;
	struct pop3_event event;

	pop3_server_init(&s, &plain);
	feed(&s, "USER ann\r\nPASS secret\r\n");
	event = run_to(&s, POP3_EVENT_LOGIN);
	buf_clear(&s.output);
	pop3_server_refuse(&s, "SYS/TEMP", event.user);
	said(&s, "-ERR [SYS/TEMP] ann\r\n");
	cr_expect_null(s.own->user.bytes);
	cr_expect_null(s.own->password.bytes);
	pop3_server_release(&s);
}

Test(pop3_server, an_answer_has_at_most_512_octets)
{
	static const char *const filling[] = {"x", "\n", "ä", "\xff"};

	for (size_t i = 0; i < 4; i++) {
		struct pop3_server s;
		struct buf text;

		buf_init(&text, SIZE_MAX);
		while (text.length < 3000)
			buf_text(&text, filling[i]);
		pop3_server_init(&s, &plain);
		pop3_server_turn_away(&s, "LOGIN-DELAY", buf_string(&text));
		cr_expect_leq(s.output.length, 512);
		cr_expect_geq(s.output.length, 480);
		cr_expect_eq(s.output.bytes[s.output.length - 1], '\n');
		cr_expect_null(memchr(s.output.bytes, '\n', s.output.length - 1), "it is one line");
		run_to(&s, POP3_EVENT_CLOSE);
		pop3_server_release(&s);
		buf_release(&text);
	}
}

Test(pop3_server, no_more_input_is_taken_than_there_is_room_for)
{
	struct pop3_server s;
	struct view v;
	struct buf much;

	buf_init(&much, SIZE_MAX);
	while (much.length < 3 * POP3_INPUT_MAX)
		buf_text(&much, "NOOP\r\n");
	log_in(&s, &plain, &three);
	v = view_buf(&much);
	pop3_server_feed(&s, &v);
	cr_expect_eq(v.length, much.length - POP3_INPUT_MAX);
	pop3_server_feed(&s, &v);
	cr_expect_eq(v.length, much.length - POP3_INPUT_MAX, "nothing more until it was worked on");
	nothing_happens(&s);
	pop3_server_feed(&s, &v);
	cr_expect_lt(v.length, much.length - POP3_INPUT_MAX);
	pop3_server_release(&s);
	buf_release(&much);
}

/* A list of 100,000 lines is never in memory as a whole. */
Test(pop3_server, a_long_list_stands_still_while_the_output_is_full)
{
	static const struct pop3_listing large = {.count = 100000, .octets = three_octets, .uid = three_uids};
	struct pop3_server s;
	size_t lines = 0;
	size_t rounds = 0;

	log_in(&s, &plain, &large);
	feed(&s, "LIST\r\nNOOP\r\n");
	do {
		nothing_happens(&s);
		cr_expect_leq(s.output.length, POP3_OUTPUT_MAX + 100);
		for (size_t i = 0; i < s.output.length; i++)
			lines += s.output.bytes[i] == '\n';
		rounds += s.output.length > 0;
		buf_clear(&s.output);
		nothing_happens(&s);
	} while (s.output.length > 0);
	cr_expect_eq(lines, 100000 + 3);
	cr_expect_gt(rounds, 20);
	pop3_server_release(&s);
}

Test(pop3_server, a_text_stands_still_while_the_output_is_full)
{
	struct pop3_server s;
	struct buf text;
	struct view v;

	buf_init(&text, SIZE_MAX);
	while (text.length < 3 * POP3_OUTPUT_MAX)
		buf_text(&text, ".\n");
	log_in(&s, &plain, &three);
	cr_expect_eq(pop3_server_room(&s), 0, "there is no text");
	feed(&s, "RETR 2\r\n");
	run_to(&s, POP3_EVENT_RETRIEVE);
	cr_expect_eq(pop3_server_room(&s), 0, "there is no text yet");
	pop3_server_text_begin(&s, POP3_TEXT_LF);
	said(&s, "+OK 100 octets\r\n");
	cr_expect_eq(pop3_server_room(&s), POP3_OUTPUT_MAX);
	v = view_buf(&text);
	cr_expect(pop3_server_text(&s, &v));
	cr_expect_eq(v.length, text.length - POP3_OUTPUT_MAX);
	cr_expect_eq(s.output.length, 2 * POP3_OUTPUT_MAX, "every octet became two");
	cr_expect_eq(pop3_server_room(&s), 0);
	cr_expect(pop3_server_text(&s, &v));
	cr_expect_eq(v.length, text.length - POP3_OUTPUT_MAX, "nothing is taken");
	cr_expect(pop3_server_waits(&s));
	nothing_happens(&s);
	buf_clear(&s.output);
	cr_expect(pop3_server_text(&s, &v));
	cr_expect_eq(v.length, text.length - 2 * POP3_OUTPUT_MAX);
	pop3_server_release(&s);
	buf_release(&text);
}

Test(pop3_server, top_says_when_it_has_enough)
{
	struct view v = view_text("A: 1\n\none\ntwo\nthree\n");
	struct pop3_server s;
	struct pop3_event event;

	log_in(&s, &plain, &three);
	feed(&s, "TOP 3 1\r\n");
	event = run_to(&s, POP3_EVENT_RETRIEVE);
	cr_expect(event.top);
	cr_expect_eq(event.number, 2);
	cr_expect_eq(event.lines, 1);
	pop3_server_text_begin(&s, POP3_TEXT_LF);
	cr_expect_not(pop3_server_text(&s, &v));
	cr_expect_eq(v.length, 0);
	v = view_text("four\n");
	cr_expect_not(pop3_server_text(&s, &v));
	cr_expect_eq(v.length, 0);
	pop3_server_text_end(&s);
	pop3_server_text_end(&s);
	said(&s, "+OK\r\nA: 1\r\n\r\none\r\n.\r\n");
	v = view_text("five\n");
	cr_expect_not(pop3_server_text(&s, &v), "there is no text any more");
	cr_expect_eq(s.output.length, 0);
	pop3_server_release(&s);
}

/* What is sent of FILE, handed over in pieces of STEP octets. */
static void send_in_pieces(
    const char *command, enum pop3_text_form form, const char *file, size_t step, struct buf *out)
{
	struct view rest = view_text(file);
	struct pop3_server s;
	bool more = true;

	log_in(&s, &plain, &three);
	feed(&s, command);
	run_to(&s, POP3_EVENT_RETRIEVE);
	pop3_server_text_begin(&s, form);
	while (rest.length > 0 && more) {
		struct view piece = view_of(rest.bytes, rest.length < step ? rest.length : step);

		rest = view_from(rest, piece.length);
		more = pop3_server_text(&s, &piece);
		cr_expect_eq(piece.length, 0);
	}
	pop3_server_text_end(&s);
	buf_clear(out);
	buf_view(out, view_buf(&s.output));
	pop3_server_text_begin(&s, form);
	cr_expect_not(pop3_server_waits(&s), "a text begins once");
	cr_expect_eq(s.output.length, out->length);
	pop3_server_release(&s);
}

Test(pop3_server, cutting_a_text_differently_changes_nothing)
{
	static const char *const files[] = {"", "\n", ".", "\r", "ab", "A: 1\nB: 22\n\nbody\n.\n..x\r\n\r\nlast",
	    "A: 1\r\n.\r\n\r\n.\r\r\n\n.\r", "\n.\n.\n.\n", "\r\n\r\n\r\n"};
	static const char *const commands[] = {"RETR 1\r\n", "TOP 1 0\r\n", "TOP 1 1\r\n", "TOP 1 2\r\n"};
	struct buf whole;
	struct buf cut;

	buf_init(&whole, SIZE_MAX);
	buf_init(&cut, SIZE_MAX);
	for (size_t i = 0; i < 2 * 4 * sizeof files / sizeof files[0]; i++) {
		enum pop3_text_form form = i & 1 ? POP3_TEXT_MIXED : POP3_TEXT_LF;
		const char *command = commands[i / 2 % 4];

		send_in_pieces(command, form, files[i / 8], SIZE_MAX, &whole);
		for (size_t step = 1; step < 8; step++) {
			send_in_pieces(command, form, files[i / 8], step, &cut);
			cr_expect_str_eq(buf_string(&cut), buf_string(&whole), "file %zu, %s", i / 8, command);
		}
	}
	buf_release(&whole);
	buf_release(&cut);
}

Test(pop3_server, marks_are_told_to_the_driver)
{
	struct pop3_server s;
	struct pop3_event event;

	pop3_server_init(&s, &plain);
	cr_expect_not(pop3_server_marked(&s, 0), "there is nothing yet");
	pop3_server_release(&s);
	log_in(&s, &plain, &three);
	feed(&s, "DELE 3\r\nDELE 1\r\nQUIT\r\n");
	event = run_to(&s, POP3_EVENT_UPDATE);
	cr_expect_eq(event.marked, 2);
	cr_expect(pop3_server_marked(&s, 0));
	cr_expect_not(pop3_server_marked(&s, 1));
	cr_expect(pop3_server_marked(&s, 2));
	cr_expect_not(pop3_server_marked(&s, 3));
	cr_expect_not(pop3_server_marked(&s, SIZE_MAX));
	buf_clear(&s.output);
	pop3_server_updated(&s, OUTCOME_DONE, NULL);
	said(&s, "+OK\r\n");
	cr_expect_str_eq(run_to(&s, POP3_EVENT_CLOSE).text, "QUIT");
	nothing_happens(&s);
	pop3_server_release(&s);
}

Test(pop3_server, passwords_are_wiped)
{
	static const char *const ways[] = {
	    "USER ann\r\nPASS secret\r\n",
	    "AUTH PLAIN AGFubgBzZWNyZXQ=\r\n",
	    "AUTH PLAIN\r\nAGFubgBzZWNyZXQ=\r\n",
	};

	for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
		static const char *const secrets[] = {"secret", "BzZWNyZXQ"};
		struct pop3_server s;

		pop3_server_init(&s, &plain);
		feed(&s, ways[i]);
		cr_expect(holds(&s.own->input.bytes, secrets[i > 0]), "this test can fail");
		run_to(&s, POP3_EVENT_LOGIN);
		cr_expect(holds(&s.own->password, "secret"));
		for (size_t k = 0; k < 2; k++) {
			cr_expect_not(holds(&s.own->input.bytes, secrets[k]), "way %zu: input", i);
			cr_expect_not(holds(&s.own->line.line, secrets[k]), "way %zu: line", i);
		}
		pop3_server_opened(&s, &three);
		cr_expect_null(s.own->password.bytes);
		pop3_server_release(&s);
	}
}

/* Where none is taken in clear, clients send them all the same. */
Test(pop3_server, passwords_that_nobody_asked_for_are_wiped)
{
	static const struct pop3_server_options options = {.name = "mx.example"};
	struct pop3_server s;

	pop3_server_init(&s, &options);
	feed(&s, "PASS secret\r\nUSER");
	nothing_happens(&s);
	cr_expect_not(holds(&s.own->input.bytes, "secret"));
	cr_expect_not(holds(&s.own->line.line, "secret"));
	pop3_server_release(&s);
}

Test(pop3_server, an_idle_machine_holds_little)
{
	struct pop3_server s;
	struct pop3_server_own *own;
	struct view v = view_text("a text\n");
	struct buf text;

	buf_init(&text, SIZE_MAX);
	while (text.length < 5000)
		buf_view(&text, v);
	pop3_server_init(&s, &plain);
	feed(&s, "AUTH PLAIN\r\nAGFubgBzZWNyZXQ=\r\n");
	run_to(&s, POP3_EVENT_LOGIN);
	pop3_server_opened(&s, &three);
	feed(&s, "RETR 1\r\n");
	run_to(&s, POP3_EVENT_RETRIEVE);
	pop3_server_text_begin(&s, POP3_TEXT_LF);
	v = view_buf(&text);
	pop3_server_text(&s, &v);
	pop3_server_text_end(&s);
	nothing_happens(&s);
	buf_clear(&s.output);
	nothing_happens(&s);
	own = s.own;
	cr_expect_leq(sizeof *own + s.output.capacity + own->input.bytes.capacity + own->line.line.capacity +
			  own->user.capacity + own->password.capacity,
	    1600);
	buf_release(&text);
	pop3_server_release(&s);
}

Test(pop3_server, it_can_be_ended_while_it_waits)
{
	struct pop3_server s;

	log_in(&s, &plain, &three);
	feed(&s, "DELE 1\r\nQUIT\r\n");
	run_to(&s, POP3_EVENT_UPDATE);
	buf_clear(&s.output);
	pop3_server_end(&s, "SYS/TEMP", "Stopped");
	said(&s, "-ERR [SYS/TEMP] Stopped\r\n");
	pop3_server_end(&s, "SYS/TEMP", "Stopped again");
	pop3_server_updated(&s, OUTCOME_DONE, NULL);
	cr_expect_eq(s.output.length, 0);
	run_to(&s, POP3_EVENT_CLOSE);
	nothing_happens(&s);
	pop3_server_secured(&s, POP3_SECURED_CLEAN);
	feed(&s, "NOOP\r\n");
	nothing_happens(&s);
	cr_expect_eq(s.output.length, 0);
	pop3_server_release(&s);
}

/* A client would take the words for a part of the list. */
Test(pop3_server, nothing_is_said_within_a_list)
{
	static const struct pop3_listing large = {.count = 100000, .octets = three_octets, .uid = three_uids};
	struct pop3_server s;

	log_in(&s, &plain, &large);
	feed(&s, "UIDL\r\n");
	nothing_happens(&s);
	buf_clear(&s.output);
	pop3_server_end(&s, "SYS/TEMP", "Stopped");
	cr_expect_eq(s.output.length, 0);
	run_to(&s, POP3_EVENT_CLOSE);
	nothing_happens(&s);
	pop3_server_release(&s);
}

Test(pop3_server, what_comes_behind_the_end_is_taken_for_nothing)
{
	struct pop3_server s;
	struct buf much;
	struct view v;

	buf_init(&much, SIZE_MAX);
	while (much.length < 3 * POP3_INPUT_MAX)
		buf_text(&much, "NOOP\r\n");
	v = view_buf(&much);
	pop3_server_init(&s, &plain);
	feed(&s, "QUIT\r\n");
	run_to(&s, POP3_EVENT_CLOSE);
	pop3_server_feed(&s, &v);
	cr_expect_eq(v.length, 0);
	nothing_happens(&s);
	cr_expect_null(s.own->input.bytes.bytes);
	pop3_server_release(&s);
	buf_release(&much);
}

Test(pop3_server, a_released_machine_can_be_released_again)
{
	struct pop3_server s;

	pop3_server_init(&s, &plain);
	pop3_server_release(&s);
	pop3_server_release(&s);
}
