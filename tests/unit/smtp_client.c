#include "tests/unit/smtp_play_kit.h"

/* Ends a dialogue that came to READY. */
#define QUITS                                                                                                        \
	"E: READY\n"                                                                                                 \
	"D: quit\n"                                                                                                  \
	"C: QUIT\n"                                                                                                  \
	"S: 221 2.0.0 Bye\n"                                                                                         \
	"E: CLOSED done 221 2.0.0 Bye\n"

/* ---- greeting and EHLO ----------------------------------------------------------------------------------- */

Test(smtp_client, greets_and_quits)
{
	play(&smtp, NULL, 0, "S: 220 mx.example ESMTP\nC: EHLO me.example\nS: 250 mx.example\n" QUITS);
	play(&smtp, NULL, 0, "S: 220-mx.example\nS: 220-welcome\nS: 220\nC: EHLO me.example\nS: 250 mx\n" QUITS);
	play(&lmtp, NULL, 0, "S: 220 mx.example LMTP\nC: LHLO me.example\nS: 250 mx.example\n" QUITS);
	play(&smtp, NULL, 0, "S: 220 mx\nC: EHLO me.example\nS: 502 what?\nC: HELO me.example\nS: 250 mx\n" QUITS);
	play(&smtp, NULL, 0,
	    "S: 220 mx\nC: EHLO me.example\nS: 250 mx\nE: READY\nD: quit\nC: QUIT\nS: 500 no\n"
	    "E: CLOSED never 500 5.0.0 no\n");
	play(&smtp, NULL, 0,
	    "S: 220 mx\nC: EHLO me.example\nS: 250 mx\nE: READY\nD: quit\nC: QUIT\nS: nonsense\n"
	    "E: CLOSED later 0 4.0.0 no reply: nonsense\n");
}

Test(smtp_client, quits_as_soon_as_it_can)
{
	play(&smtp, NULL, 0,
	    "D: quit\nS: 220 mx\nC: EHLO me.example\nS: 250 mx\nC: QUIT\nS: 221 bye\n"
	    "E: CLOSED done 221 2.0.0 bye\n");
	play(&smtp, NULL, 0, "D: quit\nD: lost time\nE: FAILED later 0 4.4.2 time\nD: quit\nS: 220 mx\n");
}

Test(smtp_client, a_server_may_refuse_the_session)
{
	static const struct {
		const struct smtp_client_options *options;
		const char *dialogue;
	} cases[] = {
	    {&smtp, "S: 554 5.7.1 not you\nC: QUIT\nE: FAILED never 554 5.7.1 not you\n"},
	    {&smtp, "S: 450 busy\nC: QUIT\nE: FAILED later 450 4.0.0 busy\n"},
	    /* 421 announces that the server closes: there is nobody to say QUIT to. */
	    {&smtp, "S: 421 4.3.2 going down\nE: FAILED later 421 4.3.2 going down\n"},
	    {&smtp, "S: 250 hello?\nE: FAILED later 250 4.5.0 a reply out of turn: 250 hello?\n"},
	    {&smtp, "S: 354 hello?\nE: FAILED later 354 4.5.0 a reply out of turn: 354 hello?\n"},
	    {&smtp, "S: SSH-2.0-OpenSSH\nE: FAILED later 0 4.0.0 no reply: SSH-2.0-OpenSSH\n"},
	    {&smtp, "S: 220 mx\nC: EHLO me.example\nS: 450 busy\nC: QUIT\nE: FAILED later 450 4.0.0 busy\n"},
	    {&smtp, "S: 220 mx\nC: EHLO me.example\nS: 421 no\nE: FAILED later 421 4.0.0 no\n"},
	    {&smtp, "S: 220 mx\nC: EHLO me.example\nS: 500 a\nC: HELO me.example\nS: 550 b\nC: QUIT\n"
		    "E: FAILED never 550 5.0.0 b\n"},
	    {&lmtp, "S: 220 mx\nC: LHLO me.example\nS: 500 a\nC: QUIT\nE: FAILED never 500 5.0.0 a\n"},
	    {&smtp,
		"S: 220 mx\nC: EHLO me.example\nS: 334 a\nE: FAILED later 334 4.5.0 a reply out of turn: 334 a\n"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		play(cases[i].options, NULL, 0, cases[i].dialogue);
	play(&smtp, NULL, 0,
	    "S: 220 mx\nC: EHLO me.example\nD: lost closed by mx\nE: FAILED later 0 4.4.2 closed by mx\n");
}

Test(smtp_client, an_idle_server_may_only_go)
{
	play(&smtp, NULL, 0,
	    "S: 220 mx\nC: EHLO me.example\nS: 250 mx\nE: READY\nS: 421 4.4.2 idle\n"
	    "E: CLOSED later 421 4.4.2 idle\nD: message\nD: quit\nD: lost x\nS: 250 ok\n");
	play(&smtp, NULL, 0,
	    "S: 220 mx\nC: EHLO me.example\nS: 250 mx\nE: READY\nS: 250 what\n"
	    "E: FAILED later 250 4.5.0 a reply out of turn: 250 what\n");
	play(&smtp, NULL, 0,
	    "S: 220 mx\nC: EHLO me.example\nS: 250 mx\nE: READY\nD: lost closed\n"
	    "E: CLOSED later 0 4.4.2 closed\n");
}

/* Greets with EHLO, whose reply has LINES behind its first, and shows the client. */
static void learn(struct play *p, const char *lines)
{
	char *dialogue =
	    mem_format("S: 220 mx\nC: EHLO me.example\nS: 250-mx SIZE 5\n%sS: 250 HELP\nE: READY\n", lines);

	play_begin(p, &smtp, NULL, 0, SIZE_MAX);
	play_dialogue(p, dialogue);
	free(dialogue);
}

Test(smtp_client, extensions_are_learnt)
{
	static const struct {
		const char *lines;
		unsigned extensions;
	} cases[] = {
	    {"", 0},
	    {"S: 250-PIPELINING\n", SMTP_EXT_PIPELINING},
	    {"S: 250-pipelining\nS: 250-8bitmime\n", SMTP_EXT_PIPELINING | SMTP_EXT_8BITMIME},
	    {"S: 250-SMTPUTF8\nS: 250-DSN\n", SMTP_EXT_SMTPUTF8 | SMTP_EXT_DSN},
	    {"S: 250-CHUNKING\nS: 250-BINARYMIME\n", SMTP_EXT_CHUNKING | SMTP_EXT_BINARYMIME},
	    {"S: 250-STARTTLS\nS: 250-ENHANCEDSTATUSCODES\n", SMTP_EXT_STARTTLS | SMTP_EXT_ENHANCED},
	    {"S: 250-AUTH PLAIN\n", SMTP_EXT_AUTH_PLAIN},
	    {"S: 250-AUTH\tGSSAPI login  \n", SMTP_EXT_AUTH_LOGIN},
	    {"S: 250-AUTH=LOGIN PLAIN\n", SMTP_EXT_AUTH_LOGIN | SMTP_EXT_AUTH_PLAIN},
	    {"S: 250-AUTH= PLAIN\n", SMTP_EXT_AUTH_PLAIN},
	    {"S: 250-AUTH PLAINER\nS: 250-AUTHPLAIN\nS: 250-DSNX\nS: 250-X-DSN DSN\nS: 250-\n", 0},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct play p;

		learn(&p, cases[i].lines);
		cr_expect_eq(p.client.extensions, cases[i].extensions, "case %zu: %x", i, p.client.extensions);
		cr_expect_eq(p.client.max_size, 0);
		play_end(&p);
	}
}

Test(smtp_client, limits_are_learnt)
{
	static const struct {
		const char *lines;
		uint64_t size;
		uint64_t recipients;
		uint64_t messages;
	} cases[] = {
	    {"S: 250-SIZE\n", 0, 100, 0},
	    {"S: 250-SIZE 1000\n", 1000, 100, 0},
	    {"S: 250-size 0\n", 0, 100, 0},
	    {"S: 250-SIZE many\n", 0, 100, 0},
	    {"S: 250-SIZE 99999999999999999999999\n", 0, 100, 0},
	    {"S: 250-LIMITS RCPTMAX=20 MAILMAX=5\n", 0, 20, 5},
	    {"S: 250-limits mailmax=7 rcptdomainmax=1 rcptmax=1000\n", 0, 1000, 7},
	    {"S: 250-LIMITS RCPTMAX=0 MAILMAX=x RCPTMAX= =\n", 0, 100, 0},
	    {"S: 250-LIMITS\n", 0, 100, 0},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct play p;

		learn(&p, cases[i].lines);
		cr_expect_eq(p.client.max_size, cases[i].size, "case %zu", i);
		cr_expect_eq(p.client.max_recipients, cases[i].recipients, "case %zu", i);
		cr_expect_eq(p.client.max_messages, cases[i].messages, "case %zu", i);
		play_end(&p);
	}
}

/* ---- STARTTLS -------------------------------------------------------------------------------------------- */

static const struct smtp_client_options offered = {.name = "me.example", .tls = SMTP_TLS_OFFERED};
static const struct smtp_client_options needed = {.name = "me.example", .tls = SMTP_TLS_NEEDED};
static const struct smtp_client_options implicit = {.name = "me.example", .tls = SMTP_TLS_NEEDED, .secured = true};

#define WITH_STARTTLS "S: 220 mx\nC: EHLO me.example\nS: 250-mx\nS: 250 STARTTLS\n"
#define TO_STARTTLS   WITH_STARTTLS "C: STARTTLS\nS: 220 2.0.0 go\nE: STARTTLS\n"

Test(smtp_client, tls_by_the_policy)
{
	play(&smtp, NULL, 0, WITH_STARTTLS QUITS);
	play(&offered, NULL, 0, TO_STARTTLS "D: secured\nC: EHLO me.example\nS: 250 mx\n" QUITS);
	play(&needed, NULL, 0, TO_STARTTLS "D: secured\nC: EHLO me.example\nS: 250 mx\n" QUITS);
	play(&offered, NULL, 0, "S: 220 mx\nC: EHLO me.example\nS: 250 mx\n" QUITS);
	play(&implicit, NULL, 0, WITH_STARTTLS QUITS);
	play(&needed, NULL, 0,
	    "S: 220 mx\nC: EHLO me.example\nS: 250 mx\nC: QUIT\n"
	    "E: FAILED later 0 4.7.4 TLS is needed, but the server does not offer STARTTLS\n");
	play(&needed, NULL, 0,
	    "S: 220 mx\nC: EHLO me.example\nS: 500 ?\nC: HELO me.example\nS: 250 mx\nC: QUIT\n"
	    "E: FAILED later 0 4.7.4 TLS is needed, but the server does not offer STARTTLS\n");
	play(&needed, NULL, 0,
	    WITH_STARTTLS "C: STARTTLS\nS: 454 4.7.0 no certificate\nC: QUIT\n"
			  "E: FAILED later 454 4.7.0 no certificate\n");
	/* "Never" for the command is "later" for mail. */
	play(
	    &offered, NULL, 0, WITH_STARTTLS "C: STARTTLS\nS: 502 5.5.1 no\nC: QUIT\nE: FAILED later 502 5.5.1 no\n");
	play(&offered, NULL, 0,
	    WITH_STARTTLS "C: STARTTLS\nS: 250 ok\n"
			  "E: FAILED later 250 4.5.0 a reply out of turn: 250 ok\n");
	play(&offered, NULL, 0,
	    TO_STARTTLS "D: lost the handshake failed\nE: FAILED later 0 4.4.2 the handshake failed\n"
			"D: secured\n");
}

Test(smtp_client, what_was_learnt_before_tls_is_forgotten)
{
	struct play p;

	play_begin(&p, &needed, NULL, 0, SIZE_MAX);
	play_dialogue(&p,
	    "S: 220 mx\nC: EHLO me.example\nS: 250-mx\nS: 250-SIZE 10\nS: 250-LIMITS RCPTMAX=1 MAILMAX=1\n"
	    "S: 250-CHUNKING\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nE: STARTTLS\n");
	cr_assert_not(p.client.secured);
	play_dialogue(&p, "D: secured\nC: EHLO me.example\nS: 250-mx\nS: 250-STARTTLS\nS: 250 DSN\nE: READY\n");
	cr_assert(p.client.secured);
	cr_assert_eq(p.client.extensions, SMTP_EXT_STARTTLS | SMTP_EXT_DSN);
	cr_assert_eq(p.client.max_size, 0);
	cr_assert_eq(p.client.max_recipients, 100);
	cr_assert_eq(p.client.max_messages, 0);
	play_end(&p);
}

#define INJECTED "FAILED later 0 4.7.0 more than the reply to STARTTLS came in clear"

/* What stands in clear behind the reply to STARTTLS may be anybody's. */
Test(smtp_client, nothing_is_believed_that_came_in_clear_behind_starttls)
{
	static const char *const injections[] = {"250 mx", "250-mx", "", "x"};

	for (size_t i = 0; i < sizeof injections / sizeof injections[0]; i++) {
		char *at_once = mem_format(
		    WITH_STARTTLS "C: STARTTLS\nS: 220 go\nS: %s\nE: " INJECTED "\nD: secured\n", injections[i]);
		char *apart = mem_format(TO_STARTTLS "S: %s\nE: " INJECTED "\nD: secured\n", injections[i]);
		struct play p;

		play_begin(&p, &needed, NULL, 0, SIZE_MAX);
		play_dialogue(&p, at_once);
		play_end(&p);
		play(&needed, NULL, 0, apart);
		free(at_once);
		free(apart);
	}
}

Test(smtp_client, bytes_that_came_before_tls_stood_are_not_read_behind_it)
{
	struct smtp_client_event event;
	struct play p;

	play_begin(&p, &needed, NULL, 0, SIZE_MAX);
	play_dialogue(&p, TO_STARTTLS);
	smtp_client_feed(&p.client, view_text("2"));
	smtp_client_secured(&p.client);
	cr_assert(smtp_client_next(&p.client, &event));
	cr_assert_eq(event.kind, SMTP_CLIENT_FAILED);
	cr_assert_eq(event.verdict.outcome, OUTCOME_LATER);
	cr_assert_not(p.client.secured);
	cr_assert_eq(p.client.output.length, 0);
	play_end(&p);
}

/* ---- AUTH ------------------------------------------------------------------------------------------------ */

static const struct smtp_client_options user = {
    .name = "me.example", .secured = true, .user = "test", .password = "secret"};
static const struct smtp_client_options in_clear = {
    .name = "me.example", .user = "test", .password = "secret", .clear_auth = true};
static const struct smtp_client_options not_in_clear = {
    .name = "me.example", .user = "test", .password = "secret", .tls = SMTP_TLS_OFFERED};
static const struct smtp_client_options no_password = {.name = "me.example", .secured = true, .user = "test"};

#define OFFERS_AUTH(list) "S: 220 mx\nC: EHLO me.example\nS: 250-mx\nS: 250 AUTH " list "\n"
#define AUTH_PLAIN_SAID	  "C: AUTH PLAIN AHRlc3QAc2VjcmV0\n"

Test(smtp_client, logs_in)
{
	play(&user, NULL, 0, OFFERS_AUTH("LOGIN PLAIN") AUTH_PLAIN_SAID "S: 235 2.7.0 in\n" QUITS);
	play(&in_clear, NULL, 0, OFFERS_AUTH("PLAIN") AUTH_PLAIN_SAID "S: 235 2.7.0 in\n" QUITS);
	play(&no_password, NULL, 0, OFFERS_AUTH("PLAIN") "C: AUTH PLAIN AHRlc3QA\nS: 235 in\n" QUITS);
	/* A server that does not know of first responses. */
	play(&user, NULL, 0, OFFERS_AUTH("PLAIN") AUTH_PLAIN_SAID "S: 334 \nC: AHRlc3QAc2VjcmV0\nS: 235 in\n" QUITS);
	play(&user, NULL, 0,
	    OFFERS_AUTH("LOGIN") "C: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: dGVzdA==\nS: 334 UGFzc3dvcmQ6\n"
				 "C: c2VjcmV0\nS: 235 in\n" QUITS);
	play(&not_in_clear, NULL, 0,
	    TO_STARTTLS "D: secured\nC: EHLO me.example\nS: 250-mx\nS: 250 AUTH PLAIN\n" AUTH_PLAIN_SAID
			"S: 235 in\n" QUITS);
}

Test(smtp_client, a_failed_login_is_for_the_operator_and_not_for_the_sender)
{
	static const char *const ends[] = {
	    OFFERS_AUTH("PLAIN") AUTH_PLAIN_SAID "S: 535 5.7.8 wrong\nC: QUIT\nE: FAILED later 535 5.7.8 wrong\n",
	    OFFERS_AUTH("PLAIN") AUTH_PLAIN_SAID "S: 454 4.7.0 busy\nC: QUIT\nE: FAILED later 454 4.7.0 busy\n",
	    OFFERS_AUTH("PLAIN") AUTH_PLAIN_SAID "S: 421 4.7.0 go\nE: FAILED later 421 4.7.0 go\n",
	    OFFERS_AUTH("PLAIN") AUTH_PLAIN_SAID
	    "S: 250 in?\nE: FAILED later 250 4.5.0 a reply out of turn: 250 in?\n",
	    OFFERS_AUTH("PLAIN") AUTH_PLAIN_SAID "S: 334 \nC: AHRlc3QAc2VjcmV0\nS: 334 more\n"
						 "E: FAILED later 334 4.5.0 a reply out of turn: 334 more\n",
	    OFFERS_AUTH("LOGIN") "C: AUTH LOGIN\nS: 504 5.5.4 no\nC: QUIT\nE: FAILED later 504 5.5.4 no\n",
	    OFFERS_AUTH("LOGIN") "C: AUTH LOGIN\nS: 334 a\nC: dGVzdA==\nS: 535 no\nC: QUIT\n"
				 "E: FAILED later 535 5.0.0 no\n",
	    OFFERS_AUTH("LOGIN") "C: AUTH LOGIN\nS: 334 a\nC: dGVzdA==\nS: 334 b\nC: c2VjcmV0\nS: 334 c\n"
				 "E: FAILED later 334 4.5.0 a reply out of turn: 334 c\n",
	    OFFERS_AUTH("GSSAPI") "C: QUIT\nE: FAILED later 0 4.7.4 there is a user to log in, but the server offers "
				  "neither AUTH PLAIN nor LOGIN\n",
	};

	for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
		play(&user, NULL, 0, ends[i]);
}

Test(smtp_client, a_password_is_not_sent_in_clear)
{
	play(&not_in_clear, NULL, 0,
	    OFFERS_AUTH("PLAIN LOGIN") "C: QUIT\n"
				       "E: FAILED later 0 4.7.11 the password is not sent without TLS, which was not "
				       "begun\n");
}

Test(smtp_client, a_password_does_not_stay_in_the_output)
{
	struct play p;
	const uint8_t *bytes;

	play_begin(&p, &user, NULL, 0, SIZE_MAX);
	play_dialogue(&p, OFFERS_AUTH("PLAIN") AUTH_PLAIN_SAID "S: 235 in\nE: READY\n");
	bytes = p.client.output.bytes;
	cr_assert_null(memmem(bytes, p.client.output.capacity, "c2VjcmV0", 8));
	cr_assert_null(memmem(bytes, p.client.output.capacity, "AHRlc3QAc2Vj", 12));
	play_end(&p);
}

/* RFC 4954 4: what does not fit into a command goes when it is asked for. */
Test(smtp_client, a_long_password_waits_for_the_challenge)
{
	char password[600];
	struct smtp_client_options options = {.name = "me.example", .secured = true, .user = "test"};
	struct smtp_client_event event;
	struct play p;

	memset(password, 'x', sizeof password - 1);
	password[sizeof password - 1] = '\0';
	options.password = password;
	play_begin(&p, &options, NULL, 0, SIZE_MAX);
	play_dialogue(&p, OFFERS_AUTH("PLAIN") "C: AUTH PLAIN\n");
	smtp_client_feed(&p.client, view_text("334 \r\n"));
	cr_assert_not(smtp_client_next(&p.client, &event));
	cr_assert_eq(p.client.output.length, (sizeof password - 1 + 6 + 2) / 3 * 4 + 2);
	buf_clear(&p.client.output);
	play_dialogue(&p, "S: 235 in\nE: READY\n");
	play_end(&p);
}

/* ---- nonsense -------------------------------------------------------------------------------------------- */

Test(smtp_client, a_reply_without_end_ends_the_session)
{
	struct smtp_client_event event;
	struct smtp_client c;

	smtp_client_init(&c, &smtp);
	for (size_t i = 0; i < SMTP_REPLY_MAX; i++) {
		cr_assert_not(smtp_client_next(&c, &event), "after %zu octets", i);
		smtp_client_feed(&c, view_text(i < 4 ? "-" : "x"));
	}
	cr_assert(smtp_client_next(&c, &event));
	cr_assert_eq(event.kind, SMTP_CLIENT_FAILED);
	cr_assert_eq(event.verdict.outcome, OUTCOME_LATER);
	cr_assert_not(smtp_client_next(&c, &event));
	cr_assert_eq(c.output.length, 0);
	smtp_client_release(&c);
	smtp_client_release(&c);
}

Test(smtp_client, two_codes_in_one_reply_end_the_session)
{
	play(&smtp, NULL, 0,
	    "S: 220-mx\nS: 554 not you\nE: FAILED later 0 4.0.0 a reply with two codes: 554 not you\n");
}
