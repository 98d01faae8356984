#include "queue/report.h"

#include "lib/text.h"
#include "tests/unit/message_kit.h"

#define CONTENT "Subject: The goats\r\nFrom: maria@village.example.org\r\n\r\nThey are well.\r\n"

struct report_kit {
	struct message_kit message;
	struct report report;
	struct report_recipient recipients[4];
	struct buf text;
};

static struct report_kit kit_open(enum report_action action)
{
	struct report_kit k = {.message = message_kit_open()};

	k.report = (struct report){
	    .action = action,
	    .id = {.host = "city", .incarnation = 9, .sequence = 77},
	    .host = "city",
	    .domain = "city.example.org",
	    .to = "maria@village.example.org",
	    .now = 1700003600,
	    .arrived = 1700000000,
	};
	buf_init(&k.text, 1 << 22);
	return k;
}

/* Adds a recipient to the envelope and to the report; all before kit_write. */
static struct recipient *kit_add(
    struct report_kit *k, const char *address, const char *final, const char *status, const char *reason)
{
	struct recipient *r = envelope_add_recipient(&k->message.envelope, address);

	k->recipients[k->report.recipient_count++] = (struct report_recipient){NULL, final, status, reason};
	return r;
}

static const char *kit_write(struct report_kit *k, struct view content)
{
	struct buf_sink sink;
	struct error err = ERROR_NONE;
	uint8_t byte;
	size_t got;

	message_kit_make(&k->message, content);
	/* Somebody read some of it before. */
	cr_assert_eq(source_read(&k->message.message.content.source, &byte, 1, &got, &err), OUTCOME_DONE);
	for (size_t i = 0; i < k->report.recipient_count; i++)
		k->recipients[i].recipient = &k->message.message.envelope.recipients[i];
	k->report.recipients = k->recipients;
	buf_sink_init(&sink, &k->text);
	cr_assert_eq(report_write(&k->report, &k->message.message, &sink.sink, &err), OUTCOME_DONE, "%s", err.text);
	for (struct view rest = view_buf(&k->text), line; view_line(&rest, &line);) {
		cr_expect(line.length > 0 && line.bytes[line.length - 1] == '\r', "a line without CRLF");
		cr_expect_leq(line.length, 999);
	}
	return buf_string(&k->text);
}

static void kit_close(struct report_kit *k)
{
	buf_release(&k->text);
	message_kit_close(&k->message);
}

static size_t times(const char *text, const char *part)
{
	size_t count = 0;

	for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part))
		count++;
	return count;
}

#define expect_has(text, part)	 cr_expect_not_null(strstr(text, part), "missing: %s\nin:\n%s", part, text)
#define expect_lacks(text, part) cr_expect_null(strstr(text, part), "not wanted: %s\nin:\n%s", part, text)

Test(report, wanted_follows_notify)
{
	static const struct {
		uint8_t notify;
		bool wanted[5]; /* by enum report_action */
	} cases[] = {
	    {0, {true, true, false, false, false}},
	    {NOTIFY_NEVER, {false, false, false, false, false}},
	    {NOTIFY_SUCCESS, {false, false, true, true, true}},
	    {NOTIFY_FAILURE, {true, false, false, false, false}},
	    {NOTIFY_DELAY, {false, true, false, false, false}},
	    {NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY, {true, true, true, true, true}},
	    {NOTIFY_NEVER | NOTIFY_FAILURE, {false, false, false, false, false}},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct recipient r = {.notify = cases[i].notify};

		for (int action = REPORT_FAILED; action <= REPORT_EXPANDED; action++)
			cr_expect_eq(report_wanted(&r, (enum report_action)action), cases[i].wanted[action],
			    "notify %d, action %d", cases[i].notify, action);
	}
}

Test(report, failed_in_whole)
{
	struct report_kit k = kit_open(REPORT_FAILED);
	struct recipient *r = kit_add(&k, "otto@city.example.org", "anna", "5.1.1", "there is no user \"otto\"");
	const char *text;

	r->orcpt = mem_string("rfc822;Otto@City.example.org");
	k.message.envelope.envid = mem_string("QQ+314=159");
	text = kit_write(&k, view_text(CONTENT));
	cr_expect(text_starts(text, "From: Mail Delivery System <MAILER-DAEMON@city.example.org>\r\n"
				    "To: <maria@village.example.org>\r\n"
				    "Subject: Your message could not be delivered\r\n"
				    "Date: Tue, 14 Nov 2023 23:13:20 +0000\r\n"
				    "Message-ID: <city.aaaaaci.77@city.example.org>\r\n"
				    "Auto-Submitted: auto-replied\r\n"
				    "MIME-Version: 1.0\r\n"
				    "Content-Type: multipart/report; report-type=delivery-status;\r\n"
				    "\tboundary=\"=_aaaaaci.77."),
	    "%s", text);
	expect_has(text, "mail system of the host city (city.example.org)");
	expect_has(text, "It is Tue, 14 Nov 2023 23:13:20 +0000.");
	expect_has(text, "This is final:\r\nit will not be tried again.");
	expect_has(text, "  <otto@city.example.org>\r\n      (sent on to anna@city.example.org)\r\n"
			 "      there is no user \"otto\" (5.1.1)\r\n"
			 "      What you can do: Look for a typing error in the address");
	expect_has(text, "Its subject is: The goats\r\n");
	expect_has(text, "postmaster@city.example.org");
	expect_has(text, "Content-Type: message/delivery-status\r\n");
	expect_has(text, "\r\n\r\nReporting-MTA: dns; city.example.org\r\n"
			 "Original-Envelope-Id: QQ+314=159\r\n"
			 "Arrival-Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
			 "\r\n"
			 "Original-Recipient: rfc822; Otto@City.example.org\r\n"
			 "Final-Recipient: rfc822; anna@city.example.org\r\n"
			 "Action: failed\r\n"
			 "Status: 5.1.1\r\n"
			 "Diagnostic-Code: x-packetboat; there is no user \"otto\"\r\n"
			 "\r\n--=_");
	expect_has(text, "Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 7bit\r\n");
	expect_has(text, "\r\n\r\nSubject: The goats\r\nFrom: maria@village.example.org\r\n\r\n--=_");
	expect_lacks(text, "They are well");
	expect_lacks(text, "Will-Retry-Until");
	kit_close(&k);
}

Test(report, delayed_says_for_how_long)
{
	static const struct {
		uint64_t retry_for;
		const char *words;
		const char *field;
	} cases[] = {
	    {3 * 86400, "still being\r\ntried, for another 3 days or so",
		"\r\nWill-Retry-Until: Fri, 17 Nov 2023 23:13:20"},
	    {86400 + 43200, "another 36 hours or so", "\r\nWill-Retry-Until: "},
	    {0, "still being\r\ntried. You", "Status: 4.4.1\r\n"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct report_kit k = kit_open(REPORT_DELAYED);
		const char *text;

		k.report.retry_for = cases[i].retry_for;
		kit_add(&k, "otto@ship.example.org", NULL, "4.4.1", "no call to ship since Monday");
		text = kit_write(&k, view_text(CONTENT));
		expect_has(text, cases[i].words);
		expect_has(text, cases[i].field);
		expect_has(text, "Action: delayed\r\n");
		cr_expect_eq(strstr(text, "Will-Retry-Until") != NULL, cases[i].retry_for > 0);
		expect_lacks(text, "final");
		expect_lacks(text, "What you can do");
		kit_close(&k);
	}
}

Test(report, every_action_has_its_words)
{
	static const struct {
		const char *action;
		const char *status;
		const char *words;
	} cases[] = {
	    {"Action: failed\r\n", "Status: 5.0.0\r\n", "nobody said why"},
	    {"Action: delayed\r\n", "Status: 4.0.0\r\n", "could not be delivered so far"},
	    {"Action: delivered\r\n", "Status: 2.0.0\r\n", "is in the mailbox of"},
	    {"Action: relayed\r\n", "Status: 2.0.0\r\n", "was passed on towards"},
	    {"Action: expanded\r\n", "Status: 2.0.0\r\n", "was sent on to everybody"},
	};
	static const char *const bad[] = {
	    NULL, "", "5", "x.1.1", "5.1.1 x", "9.1.1", "5.1.1111", "5. 1.1", "5.1.1\r\nX:"};

	for (int action = REPORT_FAILED; action <= REPORT_EXPANDED; action++) {
		for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
			struct report_kit k = kit_open((enum report_action)action);
			const char *text;

			kit_add(&k, "otto@city.example.org", NULL, bad[i], NULL);
			kit_add(&k, "emma@city.example.org", "", bad[i], "");
			text = kit_write(&k, view_text(CONTENT));
			expect_has(text, cases[action].words);
			cr_expect_eq(times(text, cases[action].action), 2);
			cr_expect_eq(times(text, cases[action].status), 2, "status %s", bad[i]);
			cr_expect_eq(times(text, "\r\nFinal-Recipient: rfc822; "), 2);
			expect_lacks(text, "Diagnostic-Code");
			kit_close(&k);
		}
	}
}

Test(report, advice_fits_the_status)
{
	static const char *const cases[][2] = {
	    {"5.1.1", "typing error in the address,"},
	    {"5.1.10", "typing error in the address,"},
	    {"5.1.2", "what follows the @"},
	    {"5.2.2", "make room"},
	    {"5.2.3", "Send it again without the attachment"},
	    {"4.4.7", "If it still matters"},
	    {"5.4.6", "in a circle"},
	    {"5.7.1", "not allowed"},
	    {"5.0.0", "Ask the postmaster"},
	    {"5.6.1", "Ask the postmaster"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct report_kit k = kit_open(REPORT_FAILED);

		kit_add(&k, "otto@city.example.org", NULL, cases[i][0], "x");
		expect_has(kit_write(&k, view_text(CONTENT)), cases[i][1]);
		kit_close(&k);
	}
}

Test(report, return_full_only_when_asked_failed_small_and_carriable)
{
	static const struct {
		enum return_content ret;
		enum report_action action;
		size_t padding; /* octets of body */
		const char *body;
		const char *type;
	} cases[] = {
	    {RETURN_FULL, REPORT_FAILED, 0, "x\r\n", "Content-Type: message/rfc822\r\n"},
	    {RETURN_UNSET, REPORT_FAILED, 0, "x\r\n", "Content-Type: text/rfc822-headers\r\n"},
	    {RETURN_HEADERS, REPORT_FAILED, 0, "x\r\n", "Content-Type: text/rfc822-headers\r\n"},
	    {RETURN_FULL, REPORT_DELAYED, 0, "x\r\n", "Content-Type: text/rfc822-headers\r\n"},
	    {RETURN_FULL, REPORT_DELIVERED, 0, "x\r\n", "Content-Type: text/rfc822-headers\r\n"},
	    {RETURN_FULL, REPORT_FAILED, REPORT_FULL_MAX - 8, "", "Content-Type: message/rfc822\r\n"},
	    {RETURN_FULL, REPORT_FAILED, REPORT_FULL_MAX - 7, "", "Content-Type: text/rfc822-headers\r\n"},
	    {RETURN_FULL, REPORT_FAILED, 0, "bare\rCR\r\n", "Content-Type: text/rfc822-headers\r\n"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct report_kit k = kit_open(cases[i].action);
		struct buf content;
		const char *text;
		bool full = strstr(cases[i].type, "headers") == NULL;

		buf_init(&content, 1 << 20);
		buf_text(&content, "A: b\r\n\r\n");
		buf_text(&content, cases[i].body);
		for (size_t n = 0; n < cases[i].padding; n++)
			buf_byte(&content, n % 64 == 62 ? '\r' : n % 64 == 63 ? '\n' : 'x');
		/* No line end is half written. */
		if (content.bytes[content.length - 1] == '\r')
			content.bytes[content.length - 1] = 'x';
		k.message.envelope.ret = cases[i].ret;
		kit_add(&k, "otto@city.example.org", NULL, "5.1.1", "x");
		text = kit_write(&k, view_buf(&content));
		cr_expect_not_null(strstr(text, cases[i].type), "case %zu", i);
		cr_expect_eq(memmem(k.text.bytes, k.text.length, content.bytes, content.length) != NULL, full,
		    "case %zu: returned byte for byte", i);
		buf_release(&content);
		kit_close(&k);
	}
}

Test(report, eight_bit_headers)
{
	static const struct {
		bool smtputf8;
		enum return_content ret;
		const char *type;
	} cases[] = {
	    {false, RETURN_UNSET, "Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: 8bit\r\n"},
	    {true, RETURN_UNSET, "Content-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n"},
	    {false, RETURN_FULL, "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n"},
	    {true, RETURN_FULL, "Content-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct report_kit k = kit_open(REPORT_FAILED);
		const char *text;
		const char *end;

		k.message.envelope.smtputf8 = cases[i].smtputf8;
		k.message.envelope.ret = cases[i].ret;
		kit_add(&k, "otto@city.example.org", NULL, "5.1.1", "x");
		text = kit_write(&k, view_text("Subject: Gr\xc3\xbc\xc3\x9f"
					       "e\r\nX: \xff\r\n\r\nbody\r\n"));
		expect_has(text, cases[i].type);
		expect_has(text, "Its subject is: Gr\xc3\xbc\xc3\x9f"
				 "e\r\n");
		expect_has(text, "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n");
		end = strstr(text, "\r\n\r\n");
		cr_expect(text_starts(end - strlen("Encoding: 8bit"), "Encoding: 8bit"));
		kit_close(&k);
	}
}

Test(report, addresses_beyond_ascii)
{
	struct report_kit k = kit_open(REPORT_FAILED);
	struct recipient *r = kit_add(&k, "j\xc3\xb6rg+a@\xe4\xbe\x8b.example", NULL, "5.1.1", "no user j\xc3\xb6rg");
	const char *text;

	r->orcpt = mem_string("utf-8;j\xc3\xb6rg+a@\xe4\xbe\x8b.example");
	text = kit_write(&k, view_text(CONTENT));
	expect_has(text, "Original-Recipient: utf-8; j\\x{F6}rg\\x{2B}a@\\x{4F8B}.example\r\n");
	expect_has(text, "Final-Recipient: utf-8; j\\x{F6}rg\\x{2B}a@\\x{4F8B}.example\r\n");
	expect_has(text, "Diagnostic-Code: x-packetboat; no user j\\x{F6}rg\r\n");
	expect_has(text, "  <j\xc3\xb6rg+a@\xe4\xbe\x8b.example>\r\n");
	expect_has(text, "charset=utf-8");
	kit_close(&k);
}

Test(report, what_the_envelope_says_injects_nothing)
{
	static const char evil[] = "a\x0b\x0c\x1b[2J\x7f\x85x\t--b";
	struct report_kit k = kit_open(REPORT_FAILED);
	struct recipient *r;
	const char *text;
	char word[3000];

	memset(word, 'w', sizeof word - 1);
	word[sizeof word - 1] = '\0';
	k.report.to = evil;
	k.message.envelope.envid = mem_string(evil);
	r = kit_add(&k, evil, evil, "5.1.1", evil);
	r->orcpt = mem_string(evil);
	r = kit_add(&k, "b", word, "5.1.1", word);
	r->orcpt = mem_string("no semicolon");
	r = kit_add(&k, "c", NULL, "5.1.1", "line\r\nInjected: yes");
	r->orcpt = mem_string("bad type;address");
	text = kit_write(&k, view_text("Subject: a\x1b[2J\r\n\r\n"));
	/* The returned header is the sender's own; before it, no control character is left. */
	for (const char *c = text; c < strstr(text, "Content-Type: text/rfc822-headers"); c++)
		cr_assert((*c >= 32 || *c == '\r' || *c == '\n' || *c == '\t') && *c != 127, "control %d", *c);
	expect_has(text, "To: <a\\x0B\\x0C\\x1B[2J\\x7F\\x85x\\x09--b@city.example.org>\r\n");
	expect_has(text, "Its subject is: a\\x1B[2J\r\n");
	expect_has(text, "Original-Recipient: rfc822; no semicolon\r\n");
	expect_has(text, "Original-Recipient: rfc822; bad type;address\r\n");
	expect_lacks(text, "\nInjected");
	kit_close(&k);
}

Test(report, encoded_subject_is_not_quoted)
{
	struct report_kit k = kit_open(REPORT_FAILED);

	kit_add(&k, "otto@city.example.org", NULL, "5.1.1", "x");
	expect_lacks(kit_write(&k, view_text("Subject: =?utf-8?B?w7w=?=\r\n\r\n")), "Its subject");
	kit_close(&k);
}

Test(report, binary_headers_are_quoted_printable)
{
	static const char header[] = "Subject: x \r\nX: a\0b\r\nY: c\rd=e\t\r\nZ: \xff\r\n\r\n";
	struct report_kit k = kit_open(REPORT_FAILED);
	struct buf content;
	const char *text;

	kit_add(&k, "otto@city.example.org", NULL, "5.1.1", "x");
	text = kit_write(&k, view_of(header, sizeof header - 1));
	expect_has(text, "Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: quoted-printable\r\n");
	expect_has(text, "\r\n\r\nSubject: x=20\r\nX: a=00b\r\nY: c=0Dd=3De=09\r\nZ: =FF\r\n\r\n--=_");
	kit_close(&k);

	k = kit_open(REPORT_FAILED);
	kit_add(&k, "otto@city.example.org", NULL, "5.1.1", "x");
	buf_init(&content, 1 << 20);
	buf_text(&content, "X: ");
	for (int i = 0; i < 999; i++)
		buf_byte(&content, 'y');
	buf_text(&content, "\r\n\r\n");
	text = kit_write(&k, view_buf(&content));
	expect_has(text, "quoted-printable");
	for (const char *at = strstr(text, "\r\n\r\nX: y"), *next; at != NULL && (next = strstr(at + 2, "\r\n"));
	     at = next)
		cr_expect_leq(next - at, 78, "RFC 2045 6.7 (5)");
	buf_release(&content);
	kit_close(&k);
}

Test(report, a_huge_header_is_cut_at_a_line)
{
	struct report_kit k = kit_open(REPORT_DELAYED);
	struct buf content;
	const char *text;

	kit_add(&k, "otto@city.example.org", NULL, "4.4.1", "x");
	buf_init(&content, 1 << 22);
	for (int i = 0; content.length < 3 * REPORT_FULL_MAX; i++)
		buf_format(&content, "X-%06d: some value\r\n", i);
	text = kit_write(&k, view_buf(&content));
	cr_expect_lt(k.text.length, REPORT_FULL_MAX + 4096);
	expect_has(text, "X-000000: some value\r\n");
	expect_has(text, "some value\r\n\r\n--=_");
	buf_release(&content);
	kit_close(&k);
}

Test(report, boundary_opens_each_part_and_closes_the_last)
{
	struct report_kit k = kit_open(REPORT_FAILED);
	char boundary[80];
	char line[90];
	const char *text;

	k.message.envelope.ret = RETURN_FULL;
	kit_add(&k, "otto@city.example.org", NULL, "5.1.1", "x");
	text = kit_write(&k, view_text("A: b\r\n\r\n--=_aaaaaci.77.\r\n--"));
	cr_assert_eq(sscanf(strstr(text, "boundary="), "boundary=\"%70[^\"]\"", boundary), 1);
	cr_expect_leq(strlen(boundary), 70);
	snprintf(line, sizeof line, "\r\n--%s\r\n", boundary);
	cr_expect_eq(times(text, line), 3);
	snprintf(line, sizeof line, "\r\n--%s--\r\n", boundary);
	cr_expect_eq(times(text, line), 1);
	cr_expect(text_ends(text, line));
	kit_close(&k);
}
