#include "tests/unit/smtp_play_kit.h"

#include "lib/text.h"

static struct recipient umlaut = {.address = "\xc3\xa4nne@mx.example"};
static struct recipient control = {.address = "a\r\nDATA@mx.example"};
static struct recipient bracket = {.address = "a> NOTIFY=NEVER <b@mx.example"};
static struct recipient nobody = {.address = ""};

static const struct test_message to_one[] = {{{ENVELOPE(one, sizeof TEXT - 1)}, TEXT}};
static const struct test_message to_three[] = {{{ENVELOPE(three, sizeof TEXT - 1)}, TEXT}};
static const struct test_message twice[] = {
    {{ENVELOPE(one, sizeof TEXT - 1)}, TEXT}, {{ENVELOPE(three, sizeof TEXT - 1)}, TEXT}};

/* ---- good ways ------------------------------------------------------------------------------------------- */

Test(smtp_client_message, lock_step)
{
	play(&smtp, to_one, 1,
	    PLAIN_SERVER MAIL OK ANNA "S: 251 2.1.5 will forward\n" DATA GO "E: WANTS_TEXT\n" STUFFED
				      "S: 250 2.0.0 queued\nE: DONE done 250 2.0.0 queued\nE: READY\n");
	play(&smtp, twice, 2,
	    PLAIN_SERVER MAIL OK ANNA OK DATA GO
	    "E: WANTS_TEXT\n" STUFFED OK
	    "E: DONE done 250 2.0.0 ok\nE: READY\n" MAIL OK ANNA OK BERT OK CARL OK DATA GO
	    "E: WANTS_TEXT\n" STUFFED OK
	    "E: DONE done 250 2.0.0 ok\nE: READY\nD: quit\nC: QUIT\nS: 221 bye\nE: CLOSED done 221 2.0.0 bye\n");
}

Test(smtp_client_message, pipelined)
{
	play(&smtp, to_three, 1,
	    PIPELINING MAIL ANNA BERT CARL DATA OK OK OK OK GO "E: WANTS_TEXT\n" STUFFED OK
							       "E: DONE done 250 2.0.0 ok\nE: READY\n");
	/* However the server groups its replies. */
	play(&smtp, to_three, 1,
	    PIPELINING MAIL ANNA BERT CARL DATA OK "D: text early\n" OK OK "D: end\n" OK GO
						   "E: WANTS_TEXT\n" STUFFED OK
						   "E: DONE done 250 2.0.0 ok\nE: READY\n");
}

Test(smtp_client_message, by_bdat)
{
	/* Small and pipelined: all at once. */
	play(&smtp, to_three, 1,
	    CHUNKING "E: WANTS_TEXT\n" MAIL ANNA BERT CARL BDAT_SMALL OK OK OK OK OK
		     "E: DONE done 250 2.0.0 ok\nE: READY\n");
	play(&smtp, to_one, 1,
	    LOCK_CHUNKS MAIL OK ANNA OK "E: WANTS_TEXT\n" BDAT_SMALL OK "E: DONE done 250 2.0.0 ok\nE: READY\n");
}

Test(smtp_client_message, an_empty_text)
{
	static const struct test_message empty[] = {{{ENVELOPE(one, 0)}, ""}};

	play(&smtp, empty, 1,
	    PLAIN_SERVER MAIL OK ANNA OK DATA GO "E: WANTS_TEXT\nC: .\n" OK "E: DONE done 250 2.0.0 ok\nE: READY\n");
	play(&smtp, empty, 1,
	    CHUNKING "E: WANTS_TEXT\n" MAIL ANNA "C: BDAT 0 LAST\n" OK OK OK "E: DONE done 250 2.0.0 ok\nE: READY\n");
}

Test(smtp_client_message, over_lmtp_each_recipient_has_its_verdict)
{
	play(&lmtp, to_three, 1,
	    LMTP_SERVER MAIL ANNA BERT CARL DATA OK OK
	    "S: 550 5.1.1 no\n" OK GO "E: RECIPIENT 1 never 550 5.1.1 no\nE: WANTS_TEXT\n" STUFFED
	    "S: 250 2.1.5 a\nS: 452 4.2.2 full\n"
	    "E: RECIPIENT 0 done 250 2.1.5 a\nE: RECIPIENT 2 later 452 4.2.2 full\n"
	    "E: DONE later 452 4.2.2 full\nE: READY\n");
	play(&lmtp, to_three, 1,
	    LMTP_CHUNKS MAIL ANNA BERT CARL OK OK OK OK
	    "E: WANTS_TEXT\n" BDAT_SMALL
	    "S: 250 a\nS: 550 b\nS: 250 c\nE: RECIPIENT 0 done 250 2.0.0 a\nE: RECIPIENT 1 never 550 5.0.0 b\n"
	    "E: RECIPIENT 2 done 250 2.0.0 c\nE: DONE done 250 2.0.0 c\nE: READY\n");
}

/* ---- parameters ------------------------------------------------------------------------------------------ */

#define ALL_OFFERED                                                                                                  \
	TO_HELLO "S: 250-mx\nS: 250-SIZE 1000\nS: 250-8BITMIME\nS: 250-SMTPUTF8\nS: 250-DSN\nS: 250-CHUNKING\n"      \
		 "S: 250 BINARYMIME\nE: READY\n"

static struct recipient with_notify[] = {
    {.address = "a@mx.example", .notify = NOTIFY_SUCCESS | NOTIFY_DELAY, .orcpt = "rfc822;o+=\xff r@x"},
    {.address = "b@mx.example", .notify = NOTIFY_NEVER, .orcpt = "utf-8;\xc3\xa4+@x"},
    {.address = "c@mx.example", .notify = NOTIFY_NEVER | NOTIFY_FAILURE, .orcpt = "no type"},
    {.address = "d@mx.example", .notify = 64, .orcpt = "in valid;x"},
};
static struct recipient *const notified[] = {&with_notify[0], &with_notify[1], &with_notify[2], &with_notify[3]};

#define DSN_RCPTS(utf8)                                                                                              \
	OK "C: RCPT TO:<a@mx.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;o+2B+3D+FF+20r@x\n" OK                       \
	   "C: RCPT TO:<b@mx.example> NOTIFY=NEVER ORCPT=utf-8;" utf8 "\\x{2B}@x\n" OK                               \
	   "C: RCPT TO:<c@mx.example> NOTIFY=FAILURE\n" OK "C: RCPT TO:<d@mx.example>\n"

Test(smtp_client_message, parameters_that_are_offered_are_said)
{
	static const struct test_message seven[] = {
	    {{ENVELOPE(notified, 9), .ret = RETURN_HEADERS, .envid = "x+y=z"}, NULL}};
	static const struct test_message eight[] = {
	    {{ENVELOPE(notified, 9), .body = BODY_8BIT, .smtputf8 = true, .ret = RETURN_FULL, .envid = "a\x01"},
		NULL}};
	static const struct test_message binary[] = {
	    {{ENVELOPE(one, 9), .body = BODY_BINARY, .envid = "\xc3\xa4"}, NULL}};
	static const struct test_message null_sender[] = {{{FROM("", notified, 9)}, NULL}};

	play(&smtp, seven, 1,
	    ALL_OFFERED "C: MAIL FROM:<me@here.example> SIZE=9 RET=HDRS ENVID=x+2By+3Dz\n" DSN_RCPTS("\\x{E4}"));
	play(&smtp, eight, 1,
	    ALL_OFFERED
	    "C: MAIL FROM:<me@here.example> SIZE=9 BODY=8BITMIME SMTPUTF8 RET=FULL\n" DSN_RCPTS("\xc3\xa4"));
	play(&smtp, binary, 1, ALL_OFFERED "C: MAIL FROM:<me@here.example> SIZE=9 BODY=BINARYMIME\n");
	play(&smtp, null_sender, 1, ALL_OFFERED "C: MAIL FROM:<> SIZE=9\n");
	play(&smtp, seven, 1,
	    PLAIN_SERVER MAIL OK "C: RCPT TO:<a@mx.example>\n" OK "C: RCPT TO:<b@mx.example>\n" OK
				 "C: RCPT TO:<c@mx.example>\n");
}

Test(smtp_client_message, what_a_server_need_not_take_is_left_out)
{
	char id[102];
	char orcpt[502 + 7];
	struct recipient r = {.address = "a@mx.example", .orcpt = orcpt};
	struct recipient *const list[] = {&r};
	struct test_message m = {{ENVELOPE(list, 9), .envid = id}, NULL};

	memset(id, 'x', sizeof id - 1);
	id[sizeof id - 1] = '\0';
	memset(orcpt, 'x', sizeof orcpt - 1);
	memcpy(orcpt, "rfc822;", 7);
	orcpt[501] = '\0';
	play(&smtp, &m, 1, ALL_OFFERED "C: MAIL FROM:<me@here.example> SIZE=9\n" OK "C: RCPT TO:<a@mx.example>\n");
	id[1] = '\0';
	orcpt[8] = '\0';
	play(&smtp, &m, 1,
	    ALL_OFFERED "C: MAIL FROM:<me@here.example> SIZE=9 ENVID=x\n" OK
			"C: RCPT TO:<a@mx.example> ORCPT=rfc822;x\n");
}

Test(smtp_client_message, addresses_may_be_replaced)
{
	static const char *const instead[] = {NULL, "other@mx.example", NULL};
	static const struct test_message m[] = {{{ENVELOPE(three, 9), .addresses = instead}, NULL}};

	play(&smtp, m, 1, PIPELINING MAIL ANNA "C: RCPT TO:<other@mx.example>\n" CARL DATA);
}

/* ---- what is told without being sent --------------------------------------------------------------------- */

Test(smtp_client_message, what_the_server_cannot_take_is_not_sent)
{
	static const struct test_message large[] = {{{ENVELOPE(one, 1001)}, NULL}};
	static const struct test_message utf8[] = {{{ENVELOPE(one, 9), .smtputf8 = true}, NULL}};
	static const struct test_message utf8_sender[] = {{{FROM("\xc3\xa4@x.example", one, 9)}, NULL}};
	static const struct test_message eight[] = {{{ENVELOPE(one, 9), .body = BODY_8BIT}, NULL}};
	static const struct test_message binary[] = {{{ENVELOPE(one, 9), .body = BODY_BINARY}, NULL}};
	static const struct test_message bad[] = {{{FROM("a>\r\nDATA\r\n@x", one, 9)}, NULL}};
	static const struct {
		const struct test_message *m;
		const char *offers;
		const char *expected;
	} cases[] = {
	    {large, "SIZE 1000", "5.3.4 the server takes messages of up to 1000 octets, and this one has 1001"},
	    {utf8, "8BITMIME",
		"5.6.7 the message has addresses or headers beyond ASCII, and the server does not offer SMTPUTF8"},
	    {utf8_sender, "8BITMIME",
		"5.6.7 the message has addresses or headers beyond ASCII, and the server does not offer SMTPUTF8"},
	    {eight, "SIZE", "5.6.3 the message has octets beyond ASCII, and the server does not offer 8BITMIME"},
	    {binary, "BINARYMIME",
		"5.6.1 the message is binary, and the server does not offer both CHUNKING and BINARYMIME"},
	    {binary, "CHUNKING",
		"5.6.1 the message is binary, and the server does not offer both CHUNKING and BINARYMIME"},
	    {bad, "SIZE", "5.1.7 the sender: \"a>\\x0D\\x0ADATA\\x0D\\x0A@x\" is not a mail address: "},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char *start = mem_format(TO_HELLO "S: 250-mx\nS: 250 %s\nE: READY\n", cases[i].offers);
		char *expected = mem_format("DONE never 0 %s", cases[i].expected);
		struct play p;

		play_begin(&p, &smtp, cases[i].m, 1, SIZE_MAX);
		p.given = 1;
		play_dialogue(&p, start);
		p.given = 0;
		play_give(&p);
		play_next(&p);
		cr_expect_eq(p.said.length, 0, "case %zu: %s", i, buf_string(&p.said));
		cr_expect_eq(strncmp(buf_string(&p.events), expected, strlen(expected)), 0, "case %zu: %s", i,
		    buf_string(&p.events));
		cr_expect_not_null(strstr(buf_string(&p.events), "\nREADY\n"));
		play_end(&p);
		free(start);
		free(expected);
	}
}

Test(smtp_client_message, a_recipient_that_cannot_be_sent_is_told_and_the_others_go)
{
	static struct recipient *const mixed[] = {&umlaut, &anna, &control, &nobody, &bert, &bracket};
	static const struct test_message m[] = {{{ENVELOPE(mixed, sizeof TEXT - 1)}, TEXT}};
	static struct recipient *const none[] = {&control, &umlaut};
	static const struct test_message to_none[] = {{{ENVELOPE(none, 9)}, NULL}};
	struct play p;

	for (size_t step = 1; step < 4; step++) {
		size_t count = 0;

		play_begin(&p, &smtp, m, 1, step);
		p.given = 1;
		play_dialogue(&p, PIPELINING);
		p.given = 0;
		play_give(&p);
		play_next(&p);
		for (const char *at = buf_string(&p.events); (at = strstr(at, "RECIPIENT ")) != NULL; at++)
			count++;
		cr_expect_eq(count, 4);
		cr_expect_not_null(strstr(buf_string(&p.events), "RECIPIENT 0 never 0 5.6.7"));
		cr_expect_not_null(strstr(buf_string(&p.events), "RECIPIENT 2 never 0 5.1.3"));
		cr_expect_not_null(strstr(buf_string(&p.events), "RECIPIENT 3 never 0 5.1.3 the address is empty"));
		cr_expect_not_null(strstr(buf_string(&p.events), "RECIPIENT 5 never 0 5.1.3"));
		buf_clear(&p.events);
		play_expect(&p, &p.said,
		    "MAIL FROM:<me@here.example>\r\nRCPT TO:<anna@mx.example>\r\nRCPT TO:<bert@mx.example>\r\nDATA",
		    "\r\n");
		play_dialogue(&p, "S: 250 a\nS: 250 b\nS: 550 c\nS: 354 go\nE: RECIPIENT 4 never 550 5.0.0 c\n"
				  "E: WANTS_TEXT\n" STUFFED OK "E: DONE done 250 2.0.0 ok\nE: READY\n");
		play_end(&p);
	}
	play_begin(&p, &smtp, to_none, 1, 1);
	p.given = 1;
	play_dialogue(&p, PIPELINING);
	p.given = 0;
	play_give(&p);
	play_next(&p);
	cr_expect_eq(p.said.length, 0);
	cr_expect_not_null(strstr(buf_string(&p.events), "\nDONE never 0 5.6.7 "));
	play_end(&p);
	play(&smtp, m, 1,
	    TO_HELLO
	    "S: 250 mx\nE: READY\nE: RECIPIENT 0 never 0 5.6.7 the address has octets beyond ASCII, and the server "
	    "does not offer SMTPUTF8\n"
	    "E: RECIPIENT 2 never 0 5.1.3 \"a\\x0D\\x0ADATA@mx.example\" is not a mail address: it holds a control "
	    "character\n"
	    "E: RECIPIENT 3 never 0 5.1.3 the address is empty\n"
	    "E: RECIPIENT 5 never 0 5.1.3 \"a> NOTIFY=NEVER <b@mx.example\" is not a mail address: it holds a "
	    "character "
	    "that must not stand there without quotes\n" MAIL);
}

Test(smtp_client_message, one_address_beyond_ascii_makes_the_mail_smtputf8)
{
	static struct recipient *const mixed[] = {&anna, &umlaut};
	static const struct test_message m[] = {{{ENVELOPE(mixed, 9)}, NULL}};

	play(&smtp, m, 1,
	    TO_HELLO "S: 250-mx\nS: 250 SMTPUTF8\nE: READY\nC: MAIL FROM:<me@here.example> SMTPUTF8\n" OK ANNA OK
		     "C: RCPT TO:<\xc3\xa4nne@mx.example>\n");
}

/* ---- refusals -------------------------------------------------------------------------------------------- */

Test(smtp_client_message, a_refused_sender_is_everybodys_verdict)
{
	play(&smtp, to_three, 1, PLAIN_SERVER MAIL "S: 550 5.7.1 no\nE: DONE never 550 5.7.1 no\nE: READY\n");
	play(&smtp, to_three, 1, PLAIN_SERVER MAIL "S: 452 4.3.1 full\nE: DONE later 452 4.3.1 full\nE: READY\n");
	play(&smtp, to_three, 1,
	    PIPELINING MAIL ANNA BERT CARL DATA "S: 550 5.7.1 no\nS: 503 a\nS: 503 b\nS: 503 c\nS: 503 d\n"
						"E: DONE never 550 5.7.1 no\nE: READY\n");
	play(&smtp, to_one, 1,
	    CHUNKING "E: WANTS_TEXT\n" MAIL ANNA BDAT_SMALL
		     "S: 550 5.7.1 no\nS: 503 a\nS: 503 b\nE: DONE never 550 5.7.1 no\nE: READY\n");
	/* RFC 2920 3.1: DATA may be let in all the same. */
	play(&smtp, to_one, 1,
	    PIPELINING MAIL ANNA DATA "S: 550 5.7.1 no\nS: 503 a\nS: 354 go\nC: .\nS: 250 what for?\n"
				      "E: DONE never 550 5.7.1 no\nE: READY\n");
}

Test(smtp_client_message, one_refused_recipient_is_refused_alone)
{
	play(&smtp, to_three, 1,
	    PLAIN_SERVER MAIL OK ANNA OK BERT
	    "S: 550 5.1.1 no bert\nE: RECIPIENT 1 never 550 5.1.1 no bert\n" CARL OK DATA GO
	    "E: WANTS_TEXT\n" STUFFED OK "E: DONE done 250 2.0.0 ok\nE: READY\n");
	play(&smtp, to_three, 1,
	    CHUNKING "E: WANTS_TEXT\n" MAIL ANNA BERT CARL BDAT_SMALL OK
		     "S: 450 4.2.1 a\nS: 550 b\nS: 250 c\nS: 250 d\nE: RECIPIENT 0 later 450 4.2.1 a\n"
		     "E: RECIPIENT 1 never 550 5.0.0 b\nE: DONE done 250 2.0.0 d\nE: READY\n");
}

Test(smtp_client_message, too_many_recipients_are_for_another_time)
{
	play(&smtp, to_three, 1,
	    PIPELINING MAIL ANNA BERT CARL DATA OK
	    "S: 250 a\nS: 452 4.5.3 b\nS: 552 c\nS: 354 go\n"
	    "E: RECIPIENT 1 later 452 4.5.3 b\nE: RECIPIENT 2 later 552 4.5.3 c\n"
	    "E: WANTS_TEXT\n" STUFFED OK "E: DONE done 250 2.0.0 ok\nE: READY\n");
	play(&smtp, to_three, 1,
	    PIPELINING MAIL ANNA BERT CARL DATA OK
	    "S: 552 a\nS: 250 b\nS: 552 5.2.2 full\nE: RECIPIENT 0 never 552 5.0.0 a\n"
	    "E: RECIPIENT 2 never 552 5.2.2 full\n");
	play(&smtp, to_one, 1, PIPELINING MAIL ANNA DATA OK "S: 552 5.5.3 a\nE: RECIPIENT 0 later 552 4.5.3 a\n");
}

Test(smtp_client_message, without_recipients_there_is_no_text)
{
	play(&smtp, to_one, 1,
	    PLAIN_SERVER MAIL OK ANNA "S: 550 5.1.1 no\nE: RECIPIENT 0 never 550 5.1.1 no\n"
				      "E: DONE never 550 5.1.1 no\n" RESET);
	play(&smtp, to_one, 1,
	    PIPELINING MAIL ANNA DATA OK "S: 550 5.1.1 no\nS: 503 none\nE: RECIPIENT 0 never 550 5.1.1 no\n"
					 "E: DONE never 550 5.1.1 no\n" RESET);
	play(&smtp, to_one, 1,
	    PIPELINING MAIL ANNA DATA OK "S: 550 5.1.1 no\nE: RECIPIENT 0 never 550 5.1.1 no\nS: 354 go\nC: .\n"
					 "S: 554 5.5.1 none\nE: DONE never 550 5.1.1 no\n" RESET);
	play(&smtp, to_one, 1,
	    CHUNKING "E: WANTS_TEXT\n" MAIL ANNA BDAT_SMALL OK "S: 550 5.1.1 no\nS: 503 none\n"
		     "E: RECIPIENT 0 never 550 5.1.1 no\nE: DONE never 550 5.1.1 no\n" RESET);
	/* The refusals are in before the text is: none of it is sent. */
	play(&smtp, stalled, 1,
	    CHUNKING
	    "E: WANTS_TEXT\n" MAIL ANNA BERT CARL OK "S: 550 a\nS: 550 b\nS: 450 c\n"
	    "E: RECIPIENT 0 never 550 5.0.0 a\nE: RECIPIENT 1 never 550 5.0.0 b\nE: RECIPIENT 2 later 450 4.0.0 c\n"
	    "E: DONE later 450 4.0.0 c\nC: RSET\nD: text abc\nD: end\n" OK "E: READY\n");
	/* Or amid it: what was announced is completed, and swallowed by the server. */
	play(&smtp, stalled, 1,
	    CHUNKING
	    "E: WANTS_TEXT\n" MAIL ANNA BERT CARL "D: text 123456\nC: BDAT 26 LAST\nc: 123456\n" OK
	    "S: 550 a\nS: 550 b\nS: 450 c\nE: RECIPIENT 0 never 550 5.0.0 a\nE: RECIPIENT 1 never 550 5.0.0 b\n"
	    "E: RECIPIENT 2 later 450 4.0.0 c\nD: text 78901234567890123456\n"
	    "c: 7890123456789012345\nD: end\nc: 6\nS: 503 none\n"
	    "E: DONE later 450 4.0.0 c\n" RESET);
	play(&lmtp, to_one, 1,
	    LMTP_SERVER MAIL ANNA DATA OK "S: 550 5.1.1 no\nS: 503 none\nE: RECIPIENT 0 never 550 5.1.1 no\n"
					  "E: DONE never 550 5.1.1 no\n" RESET);
	play(&lmtp, to_one, 1,
	    LMTP_SERVER MAIL ANNA DATA OK "S: 550 5.1.1 no\nS: 354 go\nE: RECIPIENT 0 never 550 5.1.1 no\n"
					  "E: DONE never 550 5.1.1 no\n"
					  "E: FAILED later 354 4.5.0 a reply out of turn: 354 go\n");
}

Test(smtp_client_message, a_refused_text)
{
	play(&smtp, to_one, 1,
	    PLAIN_SERVER MAIL OK ANNA OK DATA "S: 451 4.3.0 not now\nE: DONE later 451 4.3.0 not now\n" RESET);
	play(&smtp, to_one, 1,
	    PLAIN_SERVER MAIL OK ANNA OK DATA GO "E: WANTS_TEXT\n" STUFFED
						 "S: 554 5.7.1 spam\nE: DONE never 554 5.7.1 spam\nE: READY\n");
	play(&smtp, to_one, 1,
	    LOCK_CHUNKS MAIL OK ANNA OK "E: WANTS_TEXT\n" BDAT_SMALL
					"S: 554 5.7.1 spam\nE: DONE never 554 5.7.1 spam\n" RESET);
	play(&smtp, to_one, 1,
	    PLAIN_SERVER MAIL OK ANNA OK DATA "S: 451 no\nE: DONE later 451 4.0.0 no\nC: RSET\nS: 500 no\n"
					      "E: FAILED later 500 4.5.0 a reply out of turn: 500 no\n");
}

/* ---- nonsense, 421, loss --------------------------------------------------------------------------------- */

/* At each point of a dialogue: the replies and commands up to there. */
static const char *const points[] = {
    PLAIN_SERVER MAIL,
    PLAIN_SERVER MAIL OK ANNA,
    PLAIN_SERVER MAIL OK ANNA OK DATA,
    PLAIN_SERVER MAIL OK ANNA OK DATA GO "E: WANTS_TEXT\n" STUFFED,
    PIPELINING MAIL ANNA DATA,
    PIPELINING MAIL ANNA DATA OK,
    PIPELINING MAIL ANNA DATA OK OK,
    PIPELINING MAIL ANNA DATA OK OK GO "E: WANTS_TEXT\n" STUFFED,
    CHUNKING "E: WANTS_TEXT\n" MAIL ANNA BDAT_SMALL,
    CHUNKING "E: WANTS_TEXT\n" MAIL ANNA BDAT_SMALL OK OK,
};

static void play_point(const char *point, const char *end)
{
	char *dialogue = mem_format("%s%s", point, end);

	play(&smtp, to_one, 1, dialogue);
	free(dialogue);
}

static void play_points(const char *end)
{
	for (size_t i = 0; i < sizeof points / sizeof points[0]; i++)
		play_point(points[i], end);
}

Test(smtp_client_message, whatever_happens_wherever_the_message_is_done_once)
{
	play_points(
	    "S: 421 4.3.2 down\nE: DONE later 421 4.3.2 down\nE: CLOSED later 421 4.3.2 down\nD: lost x\n" OK);
	play_points(
	    "S: gibberish\nE: DONE later 0 4.0.0 no reply: gibberish\nE: FAILED later 0 4.0.0 no reply: gibberish\n");
	play_points("D: lost connection reset\nE: DONE later 0 4.4.2 connection reset\n"
		    "E: CLOSED later 0 4.4.2 connection reset\nD: lost x\nD: end\nD: quit\n" OK);
	for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
		if (!text_ends(points[i], DATA) && !text_ends(points[i], DATA OK OK))
			play_point(points[i], "S: 334 x\nE: DONE later 334 4.5.0 a reply out of turn: 334 x\n"
					      "E: FAILED later 334 4.5.0 a reply out of turn: 334 x\n");
	}
}

Test(smtp_client_message, what_was_known_before_the_loss_holds)
{
	play(&smtp, to_three, 1,
	    PIPELINING MAIL ANNA BERT CARL DATA
	    "S: 550 5.7.1 no\nS: 503 a\nD: lost reset\nE: DONE never 550 5.7.1 no\n"
	    "E: CLOSED later 0 4.4.2 reset\n");
	play(&lmtp, to_three, 1,
	    LMTP_SERVER MAIL ANNA BERT CARL DATA OK OK OK OK GO
	    "E: WANTS_TEXT\n" STUFFED
	    "S: 250 a\nS: 421 b\nE: RECIPIENT 0 done 250 2.0.0 a\nE: DONE later 421 4.0.0 b\n"
	    "E: CLOSED later 421 4.0.0 b\n");
	play(&smtp, to_one, 1,
	    PLAIN_SERVER MAIL OK ANNA OK DATA "S: 250 ok\nE: DONE later 250 4.5.0 a reply out of turn: 250 ok\n"
					      "E: FAILED later 250 4.5.0 a reply out of turn: 250 ok\n");
}

/* The dialogue, and whether the message may arrive twice at its end. */
static void expect_text_sent(const char *dialogue, bool expected)
{
	struct play p;

	play_begin(&p, &smtp, to_one, 1, SIZE_MAX);
	play_dialogue(&p, dialogue);
	cr_expect_eq(p.client.text_sent, expected, "%s", dialogue);
	play_end(&p);
}

/* Nobody was taken: what is announced is completed, and arrives nowhere. */
Test(smtp_client_message, a_text_that_only_completes_its_chunk_is_not_sent)
{
	struct play p;

	play_begin(&p, &smtp, stalled, 1, SIZE_MAX);
	play_dialogue(&p,
	    CHUNKING "E: WANTS_TEXT\n" MAIL ANNA BERT CARL "D: text 123456\nC: BDAT 26 LAST\nc: 123456\n"
		     "S: 550 no\nS: 503 no\nS: 503 no\nS: 503 no\n"
		     "D: text 78901234567890123456\nc: 7890123456789012345\nD: end\nc: 6\n");
	cr_assert_not(p.client.text_sent);
	play_dialogue(&p, "S: 503 no\nE: DONE never 550 5.0.0 no\nE: READY\n");
	play_end(&p);
}

#define TEXT_GONE PLAIN_SERVER MAIL OK ANNA OK DATA GO "E: WANTS_TEXT\n" STUFFED

Test(smtp_client_message, it_is_known_whether_the_text_may_have_arrived)
{
	expect_text_sent(PLAIN_SERVER MAIL OK ANNA OK DATA, false);
	expect_text_sent(TEXT_GONE, true);
	expect_text_sent(TEXT_GONE OK "E: DONE done 250 2.0.0 ok\nE: READY\n", false);
	expect_text_sent(TEXT_GONE "S: 554 x\nE: DONE never 554 5.0.0 x\nE: READY\n", false);
	expect_text_sent(TEXT_GONE "S: 421 x\nE: DONE later 421 4.0.0 x\nE: CLOSED later 421 4.0.0 x\n", false);
	expect_text_sent(TEXT_GONE "D: lost x\nE: DONE later 0 4.4.2 x\nE: CLOSED later 0 4.4.2 x\n", true);
	expect_text_sent(
	    TEXT_GONE "S: x\nE: DONE later 0 4.0.0 no reply: x\nE: FAILED later 0 4.0.0 no reply: x\n", true);
	expect_text_sent(CHUNKING "E: WANTS_TEXT\n" MAIL ANNA BDAT_SMALL, true);
	expect_text_sent(
	    CHUNKING "E: WANTS_TEXT\n" MAIL ANNA BDAT_SMALL OK "S: 550 x\nE: RECIPIENT 0 never 550 5.0.0 x\n", false);
	expect_text_sent(CHUNKING "E: WANTS_TEXT\n" MAIL ANNA BDAT_SMALL "S: 550 x\n", false);
}

Test(smtp_client_message, a_server_may_have_enough_amid_the_text)
{
	play(&smtp, stalled, 1,
	    PIPELINING MAIL ANNA BERT CARL DATA OK OK OK OK GO
	    "E: WANTS_TEXT\nD: text abc\nc: abc\nS: 552 5.3.4 too big\nE: DONE never 552 5.3.4 too big\n"
	    "E: FAILED later 552 5.3.4 too big\nD: text x\nD: end\n");
	play(&smtp, stalled, 1,
	    PIPELINING MAIL ANNA BERT CARL DATA OK OK OK OK GO
	    "E: WANTS_TEXT\nD: text abc\nc: abc\nS: 250 thanks\n"
	    "E: DONE later 250 4.5.0 a reply out of turn: 250 thanks\n"
	    "E: FAILED later 250 4.5.0 a reply out of turn: 250 thanks\n");
	play(&smtp, stalled, 1,
	    CHUNKING "E: WANTS_TEXT\n" MAIL ANNA BERT CARL OK OK OK OK
		     "D: text abc\nC: BDAT 26 LAST\nc: abc\nS: 250 thanks\n"
		     "E: DONE later 250 4.5.0 a reply out of turn: 250 thanks\n"
		     "E: FAILED later 250 4.5.0 a reply out of turn: 250 thanks\n");
	/* A chunk can be completed, whatever was said of it. */
	play(&smtp, stalled, 1,
	    CHUNKING "E: WANTS_TEXT\n" MAIL ANNA BERT CARL OK OK OK OK
		     "D: text abc\nC: BDAT 26 LAST\nc: abc\nS: 552 5.3.4 too big\n"
		     "D: text defghijklmnopqrstuvwxyz\nc: defghijklmnopqrstuvwxy\nD: end\nc: z\n"
		     "E: DONE never 552 5.3.4 too big\n" RESET);
}

Test(smtp_client_message, released_amid_a_message)
{
	struct play p;

	play_begin(&p, &smtp, to_three, 1, SIZE_MAX);
	play_dialogue(&p, PIPELINING MAIL ANNA BERT CARL DATA OK OK);
	play_end(&p);
}
