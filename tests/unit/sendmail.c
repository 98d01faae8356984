#include "tools/sendmail.h"

#include "lib/text.h"
#include "queue/maildir.h"
#include "tests/unit/scratch.h"
#include "tools/mailq.h"

#define COMPLETE "From: a\nDate: b\nMessage-ID: c\n"

static const char configuration[] = "host = \"village\"\n"
				    "domains = { \"v.example.org\", \"w.example.org\" }\n"
				    "max-size = 200\n"
				    "route \"*.example.net\" { via = \"smtp\" }\n";

struct site {
	struct dir dir;
	struct config config;
	struct queue queue;
	struct sendmail_options options;
	struct buf complaints; /* a line each */
	struct id id;
};

static struct site site_open(void)
{
	struct site s = {.dir = scratch_open()};
	struct error err = ERROR_NONE;
	char *path = mem_format("%s/packetboat.conf", s.dir.path);

	s.options.login = "maria";
	buf_init(&s.complaints, 100000);
	cr_assert_eq(file_commit(&s.dir, &s.dir, "packetboat.conf", view_text(configuration), &err), OUTCOME_DONE);
	cr_assert_eq(config_load(&s.config, path, NULL, NULL, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(queue_make(s.config.spool, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(queue_open(&s.queue, s.config.spool, s.config.host, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(maildir_make(&s.queue.mail, "maria", &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(maildir_make(&s.queue.mail, "otto", &err), OUTCOME_DONE, "%s", err.text);
	free(path);
	return s;
}

static void site_close(struct site *s)
{
	queue_close(&s->queue);
	config_release(&s->config);
	buf_release(&s->complaints);
	scratch_close(&s->dir);
}

static void note(void *context, const char *sentence)
{
	struct site *s = context;

	buf_format(&s->complaints, "%s\n", sentence);
}

/* Hands INPUT in for the comma-separated RECIPIENTS (null: none); the exit code. */
static int submit(struct site *s, const char *recipients, const char *input)
{
	char *list[] = {(char *)(uintptr_t)recipients};
	struct view_source in;
	struct error err = ERROR_NONE;
	enum outcome outcome;

	s->options.recipients = list;
	s->options.recipient_count = recipients != NULL;
	view_source_init(&in, view_text(input));
	buf_clear(&s->complaints);
	outcome = sendmail_submit(&s->options, &s->config, &s->queue, &in.source, note, s, &s->id, &err);
	cr_expect_eq(outcome != OUTCOME_DONE, s->complaints.length > 0, "a refusal is said, and nothing else is");
	if (outcome != OUTCOME_DONE)
		cr_expect(text_starts(buf_string(&s->complaints), err.text), "the first sentence is the error's");
	return err.code;
}

static size_t count_files(const struct site *s, const struct dir *d)
{
	struct names names;
	size_t count;

	(void)s;
	cr_assert_eq(dir_names(d, &names, NULL), OUTCOME_DONE);
	count = names.count;
	names_release(&names);
	return count;
}

/* The message accepted last. */
static struct message accepted(struct site *s)
{
	struct message m;
	struct error err = ERROR_NONE;
	char name[LIMIT_ID];

	id_print(&s->id, name);
	cr_assert_eq(message_open(&m, &s->queue.new, name, MESSAGE_VERIFY, &err), OUTCOME_DONE, "%s", err.text);
	return m;
}

static void content(struct message *m, struct buf *out)
{
	struct buf_sink sink;

	buf_init(out, 1 << 20);
	buf_sink_init(&sink, out);
	cr_assert_eq(stream_copy(&m->content.source, &sink.sink, NULL, NULL), OUTCOME_DONE);
}

Test(sendmail, a_message_is_queued_as_handed_in)
{
	struct site s = site_open();
	struct message m;
	struct buf text;

	cr_assert_eq(submit(&s, "otto, Emma <emma@mail.example.net>", COMPLETE "\nbody\n"), EX_OK);
	m = accepted(&s);
	cr_expect_str_eq(m.envelope.sender, "maria@v.example.org");
	cr_assert_eq(m.envelope.recipient_count, 2);
	cr_expect_str_eq(m.envelope.recipients[0].address, "otto");
	cr_expect_str_eq(m.envelope.recipients[1].address, "emma@mail.example.net");
	cr_assert_eq(m.envelope.hop_count, 1);
	cr_expect_str_eq(m.envelope.hops[0].host, "village");
	cr_expect_eq(m.envelope.hops[0].protocol, HOP_LOCAL);
	cr_expect_eq(m.envelope.class, CLASS_NORMAL);
	cr_expect_not(m.envelope.smtputf8);
	cr_expect(id_equal(&m.envelope.id, &s.id));
	content(&m, &text);
	cr_expect_str_eq(buf_string(&text), "From: a\r\nDate: b\r\nMessage-ID: c\r\n\r\nbody\r\n");
	buf_release(&text);
	message_close(&m);
	site_close(&s);
}

Test(sendmail, an_added_message_id_is_the_queue_id)
{
	struct site s = site_open();
	struct message m;
	struct buf text;
	char *line;
	char id[LIMIT_ID];

	cr_assert_eq(submit(&s, "otto", "From: a\nDate: b\n\n"), EX_OK);
	m = accepted(&s);
	content(&m, &text);
	id_print(&s.id, id);
	line = mem_format("Message-ID: <%s@v.example.org>\r\n", id);
	cr_expect(text_starts(buf_string(&text), line));
	free(line);
	buf_release(&text);
	message_close(&m);
	site_close(&s);
}

Test(sendmail, who_sends)
{
	static const struct {
		const char *given;
		const char *login;
		const char *sender;
		const char *from;
		int code;
	} cases[] = {
	    {NULL, "maria", "maria@v.example.org", "From: maria@v.example.org\r\n", EX_OK},
	    {NULL, NULL, NULL, NULL, EX_NOUSER},
	    {"", "maria", "", "From: maria@v.example.org\r\n", EX_OK},
	    {"<>", NULL, "", "From: MAILER-DAEMON@v.example.org\r\n", EX_OK},
	    {"otto", "maria", "otto@v.example.org", "From: otto@v.example.org\r\n", EX_OK},
	    {"<@x,@y:b@c.org>", "maria", "b@c.org", "From: b@c.org\r\n", EX_OK},
	    {"ship!otto", "maria", "ship!otto", "From: ship!otto\r\n", EX_OK},
	    {"a b", "maria", NULL, NULL, EX_DATAERR},
	    {"a\nb", "maria", NULL, NULL, EX_DATAERR},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct site s = site_open();

		s.options.sender = cases[i].given;
		s.options.login = cases[i].login;
		cr_expect_eq(submit(&s, "otto", "\n"), cases[i].code, "case %zu: %s", i, buf_string(&s.complaints));
		if (cases[i].code == EX_OK) {
			struct message m = accepted(&s);
			struct buf text;

			content(&m, &text);
			cr_expect_str_eq(m.envelope.sender, cases[i].sender);
			cr_expect(
			    text_starts(buf_string(&text), cases[i].from), "case %zu: %s", i, buf_string(&text));
			buf_release(&text);
			message_close(&m);
		}
		site_close(&s);
	}
}

Test(sendmail, refused_whole_or_accepted_whole)
{
	static const struct {
		enum compose_mode mode;
		const char *recipients;
		const char *input;
		int code;
		const char *sentences[3];
	} cases[] = {
	    {COMPOSE_AS_IS, NULL, "\n", EX_USAGE, {"no recipients"}},
	    {COMPOSE_AS_IS, "otto, nobody", "\n", EX_NOUSER, {"<nobody>", "no user"}},
	    {COMPOSE_AS_IS, "nobody@w.example.org", "\n", EX_NOUSER, {"<nobody@w.example.org>"}},
	    {COMPOSE_AS_IS, "a@far.example.com, nobody, otto", "\n", EX_NOHOST, {"<a@far.example.com>", "<nobody>"}},
	    {COMPOSE_AS_IS, "otto, a@@b", "\n", EX_DATAERR, {"a@@b"}},
	    {COMPOSE_AS_IS, "", "\n", EX_DATAERR, {"\"\" is no address"}},
	    {COMPOSE_FROM_HEADER, NULL, "Subject: x\n\nTo: otto\n", EX_USAGE, {"neither the header"}},
	    {COMPOSE_FROM_HEADER, "otto", "To: nobody\nCc: a@@b\n\n", EX_DATAERR,
		{"the header field Cc", "<nobody>"}},
	    {COMPOSE_FROM_HEADER, "nobody", "To: otto\n\n", EX_NOUSER, {"<nobody>"}},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct site s = site_open();

		s.options.mode = cases[i].mode;
		cr_expect_eq(submit(&s, cases[i].recipients, cases[i].input), cases[i].code, "case %zu", i);
		for (size_t k = 0; k < 3 && cases[i].sentences[k] != NULL; k++)
			cr_expect_not_null(strstr(buf_string(&s.complaints), cases[i].sentences[k]), "case %zu: %s",
			    i, buf_string(&s.complaints));
		cr_expect_eq(count_files(&s, &s.queue.new), 0);
		cr_expect_eq(count_files(&s, &s.queue.tmp), 0);
		site_close(&s);
	}
}

Test(sendmail, recipients_from_header_and_arguments_once_each)
{
	struct site s = site_open();
	struct message m;
	struct buf text;

	s.options.mode = COMPOSE_FROM_HEADER;
	cr_assert_eq(submit(&s, "otto, x@a.example.net",
			 COMPLETE "To: X <x@A.Example.NET>, X@a.example.net\nBcc: maria, otto\n\nbody\n"),
	    EX_OK, "%s", buf_string(&s.complaints));
	m = accepted(&s);
	cr_assert_eq(m.envelope.recipient_count, 4);
	cr_expect_str_eq(m.envelope.recipients[0].address, "otto");
	cr_expect_str_eq(m.envelope.recipients[1].address, "x@a.example.net");
	cr_expect_str_eq(m.envelope.recipients[2].address, "X@a.example.net", "local parts keep their case");
	cr_expect_str_eq(m.envelope.recipients[3].address, "maria");
	content(&m, &text);
	cr_expect_null(strstr(buf_string(&text), "Bcc"));
	buf_release(&text);
	message_close(&m);
	site_close(&s);
}

Test(sendmail, what_is_too_large_is_refused_and_leaves_nothing)
{
	struct site s = site_open();
	struct buf text;

	buf_init(&text, 10000);
	buf_text(&text, COMPLETE "\n");
	/* 35 octets as handed in are 39 with CRLF. */
	while (text.length < 35 + 161)
		buf_byte(&text, 'x');
	cr_expect_eq(submit(&s, "otto", buf_string(&text)), EX_OK, "%s", buf_string(&s.complaints));
	cr_expect_eq(count_files(&s, &s.queue.new), 1);
	buf_byte(&text, 'x');
	cr_expect_eq(submit(&s, "otto", buf_string(&text)), EX_DATAERR);
	cr_expect_not_null(strstr(buf_string(&s.complaints), "max-size"));
	cr_expect_not_null(strstr(buf_string(&s.complaints), "larger than 200"));
	cr_expect_eq(count_files(&s, &s.queue.new), 1);
	cr_expect_eq(count_files(&s, &s.queue.tmp), 0);
	buf_release(&text);
	site_close(&s);
}

Test(sendmail, options_reach_the_envelope)
{
	struct site s = site_open();
	struct message m;

	s.options.envid = "a+b";
	s.options.ret = RETURN_FULL;
	s.options.notify = NOTIFY_SUCCESS | NOTIFY_DELAY;
	s.options.class_from = SENDMAIL_CLASS_GIVEN;
	s.options.class = CLASS_URGENT;
	cr_assert_eq(submit(&s, "otto, maria", "Precedence: bulk\n\n"), EX_OK);
	m = accepted(&s);
	cr_expect_str_eq(m.envelope.envid, "a+b");
	cr_expect_eq(m.envelope.ret, RETURN_FULL);
	cr_expect_eq(m.envelope.class, CLASS_URGENT);
	for (size_t i = 0; i < 2; i++)
		cr_expect_eq(m.envelope.recipients[i].notify, NOTIFY_SUCCESS | NOTIFY_DELAY);
	message_close(&m);

	s.options = (struct sendmail_options){.login = "maria"};
	cr_assert_eq(submit(&s, "otto", "Precedence: bulk\n\n"), EX_OK);
	m = accepted(&s);
	cr_expect_eq(m.envelope.class, CLASS_BULK);
	message_close(&m);
	site_close(&s);
}

Test(sendmail, smtputf8_when_something_needs_it)
{
	static const struct {
		const char *sender;
		const char *recipients;
		const char *input;
		bool wanted;
	} cases[] = {
	    {NULL, "otto", COMPLETE "\nGr\xc3\xbc\xc3\x9f\n", false},
	    {NULL, "otto", COMPLETE "Subject: Gr\xc3\xbc\xc3\x9f\n\n", true},
	    {NULL, "otto", COMPLETE "Subject: Gr\xfc\xdf\n\n", false},
	    {NULL, "j\xc3\xb6rg@a.example.net", COMPLETE "\n", true},
	    {"j\xc3\xb6rg@a.example.net", "otto", COMPLETE "\n", true},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct site s = site_open();
		struct message m;

		s.options.sender = cases[i].sender;
		cr_assert_eq(submit(&s, cases[i].recipients, cases[i].input), EX_OK, "%s", buf_string(&s.complaints));
		m = accepted(&s);
		cr_expect_eq(m.envelope.smtputf8, cases[i].wanted, "case %zu", i);
		message_close(&m);
		site_close(&s);
	}
}

static char *listing(struct site *s)
{
	struct error err = ERROR_NONE;
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);

	cr_assert_eq(mailq_print(&s->queue, out, &err), OUTCOME_DONE, "%s", err.text);
	fclose(out);
	return text;
}

Test(mailq, the_familiar_layout)
{
	static const char header[] = "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n";
	struct site s = site_open();
	char *text = listing(&s);

	cr_expect_str_eq(text, "Mail queue is empty\n");
	free(text);
	cr_assert_eq(submit(&s, "otto, maria", COMPLETE "\n"), EX_OK);
	text = listing(&s);
	cr_expect(text_starts(text, header), "%s", text);
	cr_expect_not_null(strstr(text, "maria@v.example.org\n"
					"                                         otto\n"
					"                                         maria\n\n"));
	cr_expect(text_ends(text, "\n-- 1 Kbytes in 1 Request.\n"), "%s", text);
	free(text);
	s.options.sender = "";
	cr_assert_eq(submit(&s, "otto", COMPLETE "\n"), EX_OK);
	text = listing(&s);
	cr_expect_not_null(strstr(text, " MAILER-DAEMON\n"));
	cr_expect(text_ends(text, "\n-- 1 Kbytes in 2 Requests.\n"), "%s", text);
	free(text);
	site_close(&s);
}

/* Puts a record of RECIPIENTS with their reasons where a pass would have left it. */
static void waiting(struct site *s, const char *within)
{
	struct entry e;
	struct buf text;
	struct dir hop;
	struct dir place;
	char name[ENTRY_NAME];
	struct error err = ERROR_NONE;

	entry_init(&e);
	e.id = (struct id){.host = "village", .incarnation = 1, .sequence = 9};
	e.size = 3000;
	e.sender = mem_string("a@b.org");
	entry_recipient_result(entry_add_recipient(&e, 0, "x@c.org"), "4.4.1", "no answer");
	entry_recipient_result(entry_add_recipient(&e, 1, "y@c.org"), "4.4.1", "no answer");
	entry_recipient_result(entry_add_recipient(&e, 2, "z@c.org"), "4.2.2", "mailbox full");
	entry_add_recipient(&e, 3, "w@c.org");
	buf_init(&text, 10000);
	entry_write(&e, &text);
	entry_name(&e, name);
	cr_assert_eq(
	    dir_make(&hop, &s->queue.queue, within[0] == '\0' ? "hold" : "neighbour-city", 0700, &err), OUTCOME_DONE);
	cr_assert_eq(
	    dir_make(&place, &hop, within[0] == '\0' ? "." : within, 0700, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(file_commit(&s->queue.tmp, &place, name, view_buf(&text), &err), OUTCOME_DONE, "%s", err.text);
	dir_close(&place);
	dir_close(&hop);
	buf_release(&text);
	entry_release(&e);
}

Test(mailq, reasons_and_marks)
{
	static const char *const places[][2] = {{"", "village.aaaaaai.9!"}, {"batch-4", "village.aaaaaai.9*"}};

	for (size_t i = 0; i < 2; i++) {
		struct site s = site_open();
		char *text;

		waiting(&s, places[i][0]);
		text = listing(&s);
		cr_expect_not_null(strstr(text, places[i][1]), "%s", text);
		cr_expect_not_null(strstr(text, " a@b.org\n"
						"                                         w@c.org\n"
						"                                                                 "
						"(no answer)\n"
						"                                         x@c.org\n"
						"                                         y@c.org\n"
						"                                                              "
						"(mailbox full)\n"
						"                                         z@c.org\n\n"),
		    "%s", text);
		cr_expect(text_ends(text, "\n-- 3 Kbytes in 1 Request.\n"), "%s", text);
		free(text);
		site_close(&s);
	}
}
