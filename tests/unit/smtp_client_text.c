#include "tests/unit/smtp_play_kit.h"

#include "lib/text.h"

/* ---- one text ------------------------------------------------------------------------------------------------ */

#define DATA_OPEN PIPELINING MAIL ANNA BERT CARL DATA OK OK OK OK GO "E: WANTS_TEXT\n"

Test(smtp_client_text, a_lone_cr_or_lf_never_goes_by_data)
{
	static const char *const texts[] = {"a\nb", "\n", "a\rb", "a\r\r\nb", "\r\n\n.\r\n", "a\n.\n", "x\r", "\r"};
	static const size_t steps[] = {1, 2, SIZE_MAX};

	for (size_t i = 0; i < 3 * sizeof texts / sizeof texts[0]; i++) {
		const char *text = texts[i / 3];
		struct play p;

		play_begin(&p, &smtp, stalled, 1, steps[i % 3]);
		play_dialogue(&p, DATA_OPEN);
		play_text(&p, view_text(text));
		smtp_client_text_end(&p.client);
		play_next(&p);
		cr_expect_not(p.client.text_sent);
		for (size_t at = 0; at < p.said.length; at++) {
			uint8_t next = at + 1 < p.said.length ? p.said.bytes[at + 1] : 0;

			cr_expect_eq(p.said.bytes[at] == '\r', next == '\n', "case %zu: %s", i, buf_string(&p.said));
		}
		cr_expect_null(strstr(buf_string(&p.said), ".\r\n"));
		cr_expect_eq(strncmp(buf_string(&p.events), "DONE never 0 5.6.1 ", 19), 0, "case %zu", i);
		cr_expect_not_null(strstr(buf_string(&p.events), "\nFAILED later 0 5.6.1 "));
		play_end(&p);
	}
}

Test(smtp_client_text, text_by_bdat_goes_as_it_is)
{
	static const struct test_message m[] = {{{ENVELOPE(one, 9), .body = BODY_BINARY}, NULL}};
	struct play p;

	for (size_t step = 1; step < 10; step++) {
		play_begin(&p, &smtp, m, 1, step);
		play_dialogue(&p,
		    TO_HELLO "S: 250-mx\nS: 250-BINARYMIME\nS: 250-CHUNKING\nS: 250 PIPELINING\nE: READY\n"
			     "E: WANTS_TEXT\nC: MAIL FROM:<me@here.example> BODY=BINARYMIME\n" ANNA);
		play_text(&p, view_of("\n.\n\0\r\n.\r\n", 9));
		play_next(&p);
		cr_assert(view_is(view_text("BDAT 9 LAST\r\n\n.\n"), buf_string(&p.said)));
		cr_assert_eq(p.said.length, 13 + 8, "the last octet waits for the end");
		smtp_client_text_end(&p.client);
		cr_assert_eq(p.client.output.length, 1);
		cr_assert(p.client.text_sent);
		play_end(&p);
	}
}

#define ANNOUNCED "4.3.0 the text has not the length that was announced"

/* What is shorter or longer than BDAT announced must not look whole. */
Test(smtp_client_text, a_text_of_another_length_never_arrives)
{
	static const struct test_message m[] = {{{ENVELOPE(one, 9)}, NULL}};
	static const struct test_message empty[] = {{{ENVELOPE(one, 0)}, NULL}};

	play(&smtp, m, 1,
	    CHUNKING "E: WANTS_TEXT\n" MAIL ANNA "D: text 12345678\nC: BDAT 9 LAST\nc: 12345678\nD: end\n"
		     "E: DONE later 0 " ANNOUNCED "\nE: FAILED later 0 " ANNOUNCED "\n" OK);
	play(&smtp, m, 1,
	    CHUNKING "E: WANTS_TEXT\n" MAIL ANNA "D: text 123456789\nC: BDAT 9 LAST\nc: 12345678\nD: text 0\n"
		     "E: DONE later 0 " ANNOUNCED "\nE: FAILED later 0 " ANNOUNCED "\nD: end\n");
	play(&smtp, m, 1,
	    CHUNKING "E: WANTS_TEXT\n" MAIL ANNA "D: end\nE: DONE later 0 " ANNOUNCED "\nE: FAILED later 0 " ANNOUNCED
		     "\n");
	play(&smtp, empty, 1,
	    CHUNKING "E: WANTS_TEXT\n" MAIL ANNA "D: text x\nE: DONE later 0 " ANNOUNCED
		     "\nE: FAILED later 0 " ANNOUNCED "\n");
}

#define LARGE (2 * SMTP_CLIENT_CHUNK + 18928)

/* Begins a message of LARGE octets, whose text is wanted. */
static void begin_large(struct play *p, const struct smtp_client_options *options, const char *start, size_t step)
{
	static const struct test_message m[] = {{{ENVELOPE(three, LARGE)}, NULL}};

	play_begin(p, options, m, 1, step);
	play_dialogue(p, start);
}

static void give_x(struct play *p, size_t count)
{
	char *text = mem_alloc(count);

	memset(text, 'x', count);
	play_text(p, view_of(text, count));
	free(text);
}

/* What was said is COMMAND and COUNT times an x; takes it off. */
static void expect_x(struct play *p, const char *command, size_t count)
{
	play_expect(p, &p->said, command, "");
	cr_assert_geq(p->said.length, count);
	for (size_t i = 0; i < count; i++)
		cr_assert_eq(p->said.bytes[i], 'x');
	buf_consume(&p->said, count);
}

#define LARGE_BEGUN	 CHUNKING MAIL ANNA BERT CARL OK OK OK OK "E: WANTS_TEXT\n"
#define LARGE_BEGUN_LOCK LOCK_CHUNKS MAIL OK ANNA OK BERT OK CARL OK "E: WANTS_TEXT\n"
#define LARGE_BEGUN_LMTP                                                                                             \
	LMTP_CHUNKS MAIL ANNA BERT CARL OK OK "S: 550 x\nE: RECIPIENT 1 never 550 5.0.0 x\n" OK "E: WANTS_TEXT\n"

Test(smtp_client_text, large_text_goes_in_chunks)
{
	static const size_t steps[] = {SIZE_MAX, 1000, 7, SMTP_CLIENT_CHUNK, SMTP_CLIENT_CHUNK + 1};
	struct play p;

	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		begin_large(&p, &smtp, LARGE_BEGUN, steps[i]);
		give_x(&p, LARGE);
		smtp_client_text_end(&p.client);
		play_next(&p);
		expect_x(&p, "BDAT 1048576\r\n", SMTP_CLIENT_CHUNK);
		expect_x(&p, "BDAT 1048576\r\n", SMTP_CLIENT_CHUNK);
		expect_x(&p, "BDAT 18928 LAST\r\n", 18928);
		cr_assert(p.client.text_sent);
		play_dialogue(&p, OK OK "S: 250 queued\nE: DONE done 250 2.0.0 queued\nE: READY\n");
		play_end(&p);

		begin_large(&p, &smtp, LARGE_BEGUN_LOCK, steps[i]);
		give_x(&p, LARGE);
		smtp_client_text_end(&p.client);
		play_next(&p);
		expect_x(&p, "BDAT 2116080 LAST\r\n", LARGE);
		play_dialogue(&p, "S: 250 queued\nE: DONE done 250 2.0.0 queued\nE: READY\n");
		play_end(&p);

		begin_large(&p, &lmtp, LARGE_BEGUN_LMTP, steps[i]);
		give_x(&p, LARGE);
		smtp_client_text_end(&p.client);
		play_next(&p);
		buf_clear(&p.said);
		play_dialogue(&p, OK OK "S: 250 a\nS: 450 b\nE: RECIPIENT 0 done 250 2.0.0 a\n"
					"E: RECIPIENT 2 later 450 4.0.0 b\nE: DONE later 450 4.0.0 b\n" RESET);
		play_end(&p);
	}
}

Test(smtp_client_text, a_failed_chunk_ends_the_message)
{
	struct play p;

	/* Between chunks: no other is begun. */
	begin_large(&p, &smtp, LARGE_BEGUN, SIZE_MAX);
	give_x(&p, SMTP_CLIENT_CHUNK);
	play_next(&p);
	expect_x(&p, "BDAT 1048576\r\n", SMTP_CLIENT_CHUNK);
	play_dialogue(&p, "S: 552 5.2.2 full\nE: DONE never 552 5.2.2 full\nC: RSET\nD: text x\n" OK "E: READY\n");
	play_end(&p);
	/* Amid one: it is completed. The driver may have more in hand, and give it. */
	begin_large(&p, &smtp, LARGE_BEGUN, SIZE_MAX);
	give_x(&p, SMTP_CLIENT_CHUNK + 1);
	play_next(&p);
	expect_x(&p, "BDAT 1048576\r\n", SMTP_CLIENT_CHUNK);
	expect_x(&p, "BDAT 1048576\r\n", 1);
	play_dialogue(&p, "S: 452 4.3.1 full\n");
	give_x(&p, SMTP_CLIENT_CHUNK + 5000);
	play_next(&p);
	expect_x(&p, "", SMTP_CLIENT_CHUNK - 1);
	cr_assert_not(p.client.text_sent);
	play_dialogue(&p, "S: 503 no\nE: DONE later 452 4.3.1 full\n" RESET);
	play_end(&p);
	/* All is on its way already. */
	begin_large(&p, &smtp, LARGE_BEGUN, SIZE_MAX);
	give_x(&p, LARGE);
	smtp_client_text_end(&p.client);
	play_next(&p);
	buf_clear(&p.said);
	play_dialogue(&p, OK "S: 452 4.3.1 full\nS: 503 no\nE: DONE later 452 4.3.1 full\n" RESET);
	cr_assert_not(p.client.text_sent);
	play_end(&p);
	begin_large(&p, &lmtp, LARGE_BEGUN_LMTP, SIZE_MAX);
	give_x(&p, SMTP_CLIENT_CHUNK + 1);
	play_next(&p);
	buf_clear(&p.said);
	play_dialogue(&p, "S: 452 4.3.1 full\nE: DONE later 452 4.3.1 full\nE: FAILED later 452 4.3.1 full\n");
	play_end(&p);
}

/* Commands and text that fit into 4,096 octets go at once, and not one octet more. */
Test(smtp_client_text, only_what_a_server_reads_at_once_is_sent_ahead)
{
	static const char commands[] =
	    "MAIL FROM:<me@here.example>\r\nRCPT TO:<anna@mx.example>\r\nBDAT 4096 LAST\r\n";
	size_t room = SMTP_CLIENT_EAGER - (sizeof commands - 1);

	for (size_t i = 0; i < 2; i++) {
		const struct test_message m[] = {{{ENVELOPE(one, room + i)}, NULL}};
		struct play p;

		play_begin(&p, &smtp, m, 1, SIZE_MAX);
		play_dialogue(&p, i == 0 ? CHUNKING "E: WANTS_TEXT\n" MAIL ANNA : CHUNKING MAIL ANNA);
		give_x(&p, room);
		smtp_client_text_end(&p.client);
		play_next(&p);
		cr_expect_eq(p.said.length, i == 0 ? room + strlen("BDAT 4096 LAST\r\n") : 0);
		play_end(&p);
	}
}

/* ---- many recipients ------------------------------------------------------------------------------------- */

#define MANY 500

struct crowd {
	struct recipient recipients[MANY];
	struct recipient *list[MANY];
	struct test_message m;
};

static struct crowd *crowd_new(void)
{
	struct crowd *crowd = mem_alloc(sizeof *crowd);

	for (size_t i = 0; i < MANY; i++) {
		crowd->recipients[i].address = mem_format("somebody-with-a-long-name-%zu@mx.example", i);
		crowd->list[i] = &crowd->recipients[i];
	}
	crowd->m = (struct test_message){
	    {.sender = "", .recipients = crowd->list, .count = MANY, .size = sizeof TEXT - 1}, TEXT};
	return crowd;
}

static void crowd_free(struct crowd *crowd)
{
	for (size_t i = 0; i < MANY; i++)
		free(crowd->recipients[i].address);
	free(crowd);
}

/* Answers what was said: every third recipient is refused, and DATA let in. Returns how many were answered. */
static size_t answer_all(struct play *p, size_t place, bool at_once)
{
	struct view said = view_buf(&p->said);
	struct view line;
	struct buf replies;

	buf_init(&replies, SIZE_MAX);
	while (view_line(&said, &line)) {
		if (line.bytes[0] == 'R')
			buf_text(&replies, place++ % 3 == 2 ? "550 5.1.1 no\r\n" : "250 2.1.5 ok\r\n");
		else
			buf_text(&replies, line.bytes[0] == 'D' ? "354 go\r\n" : "250 ok\r\n");
	}
	buf_clear(&p->said);
	p->step = at_once ? SIZE_MAX : 1;
	play_feed(p, view_buf(&replies));
	buf_release(&replies);
	return place;
}

static size_t count_of(const struct buf *b, const char *word)
{
	size_t count = 0;

	for (const char *at = buf_string(b); (at = strstr(at, word)) != NULL; at++)
		count++;
	return count;
}

static void play_crowd(const struct smtp_client_options *options, const char *start, bool at_once)
{
	struct crowd *crowd = crowd_new();
	size_t place = 0;
	size_t turns = 0;
	struct play p;

	play_begin(&p, options, &crowd->m, 1, 1);
	p.given = 1;
	play_dialogue(&p, start);
	p.given = 0;
	play_give(&p);
	play_next(&p);
	for (; count_of(&p.events, "WANTS_TEXT") == 0; turns++) {
		cr_assert_gt(p.said.length, 0);
		cr_assert_lt(p.said.length, SMTP_CLIENT_WINDOW + 100, "output is bounded");
		place = answer_all(&p, place, at_once);
	}
	cr_assert_eq(place, MANY);
	cr_assert_leq(turns, 3, "%zu turn-arounds", turns);
	cr_assert_eq(count_of(&p.events, "RECIPIENT "), MANY / 3);
	cr_assert_not_null(strstr(buf_string(&p.events), "RECIPIENT 497 never 550 5.1.1 no\n"));
	cr_assert(text_ends(buf_string(&p.said), "end\r\n.\r\n"));
	buf_clear(&p.said);
	buf_clear(&p.events);
	for (size_t i = 0; options->lmtp && i + 1 < MANY - MANY / 3; i++)
		play_feed(&p, view_text("250 x\r\n"));
	play_feed(&p, view_text("250 x\r\n"));
	cr_assert_eq(count_of(&p.events, "RECIPIENT "), options->lmtp ? MANY - MANY / 3 : 0);
	cr_assert(text_ends(buf_string(&p.events), "DONE done 250 2.0.0 x\nREADY\n"));
	play_end(&p);
	crowd_free(crowd);
}

Test(smtp_client_text, many_recipients_go_in_few_turns)
{
	play_crowd(&smtp, PIPELINING, true);
	play_crowd(&smtp, PIPELINING, false);
	play_crowd(&lmtp, LMTP_SERVER, true);
	play_crowd(&lmtp, LMTP_SERVER, false);
}

Test(smtp_client_text, a_refused_sender_stops_the_rest_of_many_recipients)
{
	struct crowd *crowd = crowd_new();
	struct play p;
	size_t sent;

	play_begin(&p, &smtp, &crowd->m, 1, SIZE_MAX);
	p.given = 1;
	play_dialogue(&p, PIPELINING);
	p.given = 0;
	play_give(&p);
	play_next(&p);
	sent = count_of(&p.said, "RCPT");
	cr_assert_gt(sent, 100);
	cr_assert_lt(sent, MANY);
	buf_clear(&p.said);
	play_feed(&p, view_text("550 5.7.1 no\r\n"));
	for (size_t i = 0; i < sent; i++) {
		cr_assert_eq(p.events.length, 0);
		play_feed(&p, view_text("503 5.5.1 no\r\n"));
	}
	play_dialogue(&p, "E: DONE never 550 5.7.1 no\nE: READY\n");
	play_end(&p);
	crowd_free(crowd);
}
