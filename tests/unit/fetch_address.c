#include "bridge-pop3/fetch_address.h"
#include "bridge-pop3/fetch_notice.h"
#include "bridge-pop3/fetch_text.h"
#include "tests/unit/queue_kit.h"

#define CONFIG                                                                                                       \
	"host = \"village\"\ndomains = { \"village.example.org\" }\n"                                                \
	"neighbour \"city\" { key = \"pb1.x\"\ncall = { \"dir:/nowhere\" }\nmax-size = \"10k\" }\n"                  \
	"route \"city.example.org\" { via = \"neighbour:city\" }\nroute \"*\" { via = \"neighbour:city\" }\n"
#define BOX "fetch \"box\" { server = \"127.0.0.1:110\" user = \"u\" password = \"p\" to = \"joe\" "

static void read_address(const char *section, const char *options, struct fetch_address *a, struct queue_kit *k)
{
	char *config = mem_format(CONFIG BOX "%s }\n", options);

	kit_open(k, config);
	kit_done(
	    k, fetch_address_read(a, &k->config, &k->config.fetches[0], &k->queue.mail, view_text(section), &k->err));
	free(config);
}

static void expect_address(
    const char *section, const char *options, const char *sender, const char *recipients, bool lost)
{
	struct fetch_address a;
	struct queue_kit k;
	struct buf text;

	read_address(section, options, &a, &k);
	buf_init(&text, 10000);
	for (size_t i = 0; i < a.recipients.count; i++)
		buf_format(&text, "%s%s", i > 0 ? " " : "", a.recipients.items[i]);
	cr_expect_str_eq(a.sender, sender, "%s: %s", section, a.sender);
	cr_expect_str_eq(buf_string(&text), recipients, "%s: %s", section, buf_string(&text));
	cr_expect_eq(a.lost != NULL, lost, "%s: %s", section, a.lost == NULL ? "told" : a.lost);
	buf_release(&text);
	fetch_address_release(&a);
	kit_close(&k);
}

Test(fetch_address, the_sender_is_that_of_a_good_return_path)
{
	static const struct {
		const char *section;
		const char *sender;
	} rows[] = {
	    {"Return-Path: <ann@a.example>\r\nSubject: x\r\n\r\n", "ann@a.example"},
	    {"return-path:\r\n <ann@a.example>\r\n\r\n", "ann@a.example"},
	    {"Return-Path: <>\r\n\r\n", ""},
	    {"Return-Path: ann\r\n\r\n", ""},
	    {"Return-Path: <a b@c>\r\nReturn-Path: <second@a.example>\r\n\r\n", ""},
	    {"Subject: x\r\n\r\n", ""},
	    {"Received: x\r\nReturn-Path: <ann@a.example>\r\n\r\n", "ann@a.example"},
	    {"", ""},
	    {"no header at all\r\n", ""},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		expect_address(rows[i].section, "", rows[i].sender, "joe", false);
}

Test(fetch_address, a_multidrop_box_has_many_owners)
{
	static const struct {
		const char *options;
		const char *section;
		const char *recipients;
		bool lost;
	} rows[] = {
	    {"multidrop = \"Delivered-To\"", "Delivered-To: ann@village.example.org\r\n\r\n",
		"ann@village.example.org", false},
	    /* The field that the provider wrote last stands first. */
	    {"multidrop = \"delivered-to\"",
		"Delivered-To: ann@village.example.org\r\nDelivered-To: joe@village.example.org\r\n\r\n",
		"ann@village.example.org", false},
	    {"multidrop = \"Delivered-To\" prefix = \"MBox-\" domain = \"village.example.org\"",
		"DELIVERED-TO: mbox-ann@provider.example\r\n\r\n", "ann@village.example.org", false},
	    {"multidrop = \"Delivered-To\" domain = \"village.example.org\"", "Delivered-To: ann\r\n\r\n",
		"ann@village.example.org", false},
	    {"multidrop = \"X-To\"", "X-To: ann@village.example.org, Joe <joe@village.example.org>\r\n\r\n",
		"ann@village.example.org joe@village.example.org", false},
	    {"multidrop = \"X-To\"", "X-To: someone@city.example.org\r\n\r\n", "someone@city.example.org", false},
	    /* Nobody there; a stranger's wish to be relayed; nothing said; nonsense. */
	    {"multidrop = \"X-To\"", "X-To: nobody@village.example.org\r\n\r\n", "joe", true},
	    {"multidrop = \"X-To\"", "X-To: victim@elsewhere.example\r\n\r\n", "joe", true},
	    {"multidrop = \"X-To\"", "X-To: city!victim@village.example.org\r\n\r\n", "joe", true},
	    {"multidrop = \"X-To\"", "X-To: a%b@city.example.org\r\n\r\n", "joe", true},
	    {"multidrop = \"X-To\"", "X-To: \"joe\"\r\n\r\n", "joe", true},
	    {"multidrop = \"X-To\"", "Subject: x\r\n\r\n", "joe", true},
	    {"multidrop = \"X-To\"", "X-To: \x01,,<\r\n\r\n", "joe", true},
	    {"multidrop = \"X-To\"", "X-To:\r\n\r\n", "joe", true},
	    /* Who is elsewhere gets it there. Who is at home here, or cannot be told, gets it by `to`. */
	    {"multidrop = \"X-To\"", "X-To: victim@elsewhere.example, ann@village.example.org\r\n\r\n",
		"ann@village.example.org", false},
	    {"multidrop = \"X-To\"", "X-To: ann@village.example.org, ghost@village.example.org\r\n\r\n",
		"ann@village.example.org joe", true},
	    {"multidrop = \"X-To\"", "X-To: x@elsewhere.example, ann@village.example.org, ghost\r\n\r\n",
		"ann@village.example.org joe", true},
	    {"multidrop = \"X-To\"", "X-To: ann@village.example.org, >x, joe@village.example.org\r\n\r\n",
		"ann@village.example.org joe", true},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		expect_address(rows[i].section, rows[i].options, "", rows[i].recipients, rows[i].lost);
}

Test(fetch_address, who_comes_behind_a_hundred_is_not_lost)
{
	struct fetch_address a;
	struct queue_kit k;
	struct buf section;

	buf_init(&section, 10000);
	buf_text(&section, "X-To: u0@city.example.org");
	for (int i = 1; i <= FETCH_RECIPIENTS; i++)
		buf_format(&section, ",\r\n u%d@city.example.org, u0@city.example.org", i % FETCH_RECIPIENTS);
	buf_text(&section, "\r\n\r\n");
	read_address(buf_string(&section), "multidrop = \"X-To\"", &a, &k);
	cr_expect_eq(a.recipients.count, FETCH_RECIPIENTS, "%zu", a.recipients.count);
	cr_expect_null(a.lost, "a hundred are told, however often: %s", a.lost);
	fetch_address_release(&a);
	kit_close(&k);

	buf_clear(&section);
	buf_text(&section, "X-To: u0@city.example.org");
	for (int i = 1; i <= FETCH_RECIPIENTS + 5; i++)
		buf_format(&section, ",\r\n u%d@city.example.org", i);
	buf_text(&section, "\r\n\r\n");
	read_address(buf_string(&section), "multidrop = \"X-To\"", &a, &k);
	cr_expect_eq(a.recipients.count, FETCH_RECIPIENTS + 1, "%zu", a.recipients.count);
	cr_expect_str_eq(a.recipients.items[FETCH_RECIPIENTS], "joe");
	cr_expect_str_eq(a.lost, "X-To: u100@city.example.org: more recipients than are taken");
	cr_expect_eq(a.max_size, k.config.max_size, "the widest way, that of `to`");
	fetch_address_release(&a);
	kit_close(&k);
	buf_release(&section);
}

Test(fetch_address, the_way_to_the_owner_says_what_he_can_get)
{
	struct fetch_address a;
	struct queue_kit k;

	read_address("X-To: someone@city.example.org\r\n\r\n", "multidrop = \"X-To\"", &a, &k);
	cr_expect_eq(a.max_size, 10240u);
	fetch_address_release(&a);
	kit_close(&k);
	read_address("X-To: ann@village.example.org\r\n\r\n", "multidrop = \"X-To\"", &a, &k);
	cr_expect_eq(a.max_size, k.config.max_size);
	fetch_address_release(&a);
	kit_close(&k);
}

/* ---- texts -------------------------------------------------------------------------------------------------- */

static void pass(const char *text, size_t step, struct buf *out, uint8_t digest[static FETCHED_DIGEST])
{
	struct fetch_text t;
	struct queue_kit k;
	struct buf_sink sink;
	struct view rest = view_text(text);

	buf_clear(out);
	buf_sink_init(&sink, out);
	kit_open(&k, CONFIG BOX "}\n");
	fetch_text_begin(&t, &k.config, &k.config.fetches[0], &k.queue.mail, &sink.sink);
	while (rest.length > 0) {
		size_t part = rest.length < step ? rest.length : step;

		fetch_text_add(&t, view_of(rest.bytes, part));
		rest = view_from(rest, part);
	}
	kit_done(&k, fetch_text_end(&t, &k.err));
	memcpy(digest, t.digest, FETCHED_DIGEST);
	fetch_text_release(&t);
	kit_close(&k);
}

Test(fetch_text, only_a_return_path_that_the_envelope_has_is_left_out)
{
	static const struct {
		const char *in;
		const char *out;
	} rows[] = {
	    {"Return-Path: <a@b.example>\r\nSubject: x\r\n\r\nbody\r\n", "Subject: x\r\n\r\nbody\r\n"},
	    {"Received: x\r\nReturn-Path:\r\n <a@b.example>\r\nSubject: x\r\n\r\nbody\r\n",
		"Received: x\r\nSubject: x\r\n\r\nbody\r\n"},
	    {"Return-Path: nonsense\r\nSubject: x\r\n\r\n", "Return-Path: nonsense\r\nSubject: x\r\n\r\n"},
	    {"Subject: x\r\n\r\nReturn-Path: <a@b.example>\r\n", "Subject: x\r\n\r\nReturn-Path: <a@b.example>\r\n"},
	    {"just text\r\n", "just text\r\n"},
	    {"", ""},
	};
	struct buf out;
	uint8_t whole[FETCHED_DIGEST];
	uint8_t cut[FETCHED_DIGEST];

	buf_init(&out, 10000);
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		pass(rows[i].in, SIZE_MAX, &out, whole);
		cr_expect_str_eq(buf_string(&out), rows[i].out);
		for (size_t step = 1; step < 8; step += 3) {
			pass(rows[i].in, step, &out, cut);
			cr_expect_str_eq(buf_string(&out), rows[i].out);
			cr_expect_arr_eq(whole, cut, sizeof whole, "row %zu, step %zu", i, step);
		}
	}
	buf_release(&out);
}

Test(fetch_text, a_digest_is_of_the_message_and_not_of_what_a_server_notes_in_it)
{
	static const char *const same[] = {
	    "Subject: x\r\n\r\nbody\r\n",
	    "Subject: x\r\nStatus: RO\r\n\r\nbody\r\n",
	    "X-UIDL: 12\r\nSubject: x\r\nstatus: O\r\nContent-Length: 6\r\n\r\nbody\r\n",
	};
	static const char *const other[] = {
	    "Subject: y\r\n\r\nbody\r\n",
	    "Subject: x\r\n\r\nbody\r\nStatus: RO\r\n",
	    "Subject: x\r\n\r\nbodY\r\n",
	};
	struct buf out;
	uint8_t first[FETCHED_DIGEST];
	uint8_t digest[FETCHED_DIGEST];

	buf_init(&out, 10000);
	pass(same[0], SIZE_MAX, &out, first);
	for (size_t i = 1; i < sizeof same / sizeof same[0]; i++) {
		pass(same[i], SIZE_MAX, &out, digest);
		cr_expect_arr_eq(first, digest, sizeof first, "%zu", i);
	}
	for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
		pass(other[i], SIZE_MAX, &out, digest);
		cr_expect_arr_neq(first, digest, sizeof first, "%zu", i);
	}
	/* However it came, the head is the header section and nothing else. */
	for (size_t step = 1; step < 100; step += 49) {
		struct fetch_text t;
		struct queue_kit k;
		struct buf_sink sink;

		buf_clear(&out);
		buf_sink_init(&sink, &out);
		kit_open(&k, CONFIG BOX "}\n");
		fetch_text_begin(&t, &k.config, &k.config.fetches[0], &k.queue.mail, &sink.sink);
		for (struct view rest = view_text(same[0]); rest.length > 0; rest = view_from(rest, step))
			fetch_text_add(&t, view_of(rest.bytes, rest.length < step ? rest.length : step));
		cr_expect(view_is(view_buf(&t.head), "Subject: x\r\n\r\n"), "%s", buf_string(&t.head));
		fetch_text_release(&t);
		kit_close(&k);
	}
	/* A header alone has the digest that the text has which is that header. */
	pass("Subject: x\r\n\r\n", 1, &out, first);
	fetch_digest(view_text("Subject: x\r\n\r\n"), digest);
	cr_expect_arr_eq(first, digest, sizeof first);
	buf_release(&out);
}

/* ---- notices ------------------------------------------------------------------------------------------------- */

static char *notice(const char *head)
{
	struct fetch_notice n = {.id = {"village", 7, 9},
	    .domain = "village.example.org",
	    .to = "joe",
	    .box = "provider",
	    .server = "pop.example",
	    .user = "joe.doe",
	    .head = view_text(head),
	    .octets = 12345678,
	    .why = "it has 11M, and at most 1M are fetched",
	    .subject = "Too large to be fetched",
	    .now = 1800000000};
	struct buf text;
	struct buf_sink sink;
	struct error err = ERROR_NONE;

	buf_init(&text, 100000);
	buf_sink_init(&sink, &text);
	cr_assert_eq(fetch_notice_write(&n, &sink.sink, &err), OUTCOME_DONE, "%s", err.text);
	return buf_detach(&text);
}

Test(fetch_notice, it_says_what_stays_where)
{
	static const char *const words[] = {"To: <joe@village.example.org>\r\n", "Auto-Submitted: auto-generated\r\n",
	    "Subject: Too large to be fetched:\r\n Photos\r\n", "  From:    Ann <ann@a.example>\r\n",
	    "  Subject: Photos\r\n", "  Date:    Mon, 23 Nov 2026 02:51:19 +0000\r\n", "(12345678 octets)",
	    "provider (joe.doe at pop.example)", "Content-Transfer-Encoding: 7bit"};
	char *text =
	    notice("From: Ann <ann@a.example>\r\nSubject: Photos\r\nDate: Mon, 23 Nov 2026 02:51:19 +0000\r\n\r\n");

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		cr_expect_not_null(strstr(text, words[i]), "%s is not in\n%s", words[i], text);
	free(text);
}

Test(fetch_notice, what_strangers_write_stays_within_its_line)
{
	static const char *const heads[] = {"", "\r\n", "Subject: a\r\n b\x01\x7f\r\n\r\n",
	    "Subject: Gr\xc3\xbc\xc3\x9f"
	    "e\xff\r\n\r\n",
	    "Subject: =?utf-8?B?R3LDvMOfZQ==?=\r\n\r\n", "From: \"a\nBcc: x\"\r\nSubject: x\rTo: y\r\n\r\n"};

	for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
		char *text = notice(heads[i]);
		const char *end = strstr(text, "\r\n\r\n");
		struct view head = view_of(text, end == NULL ? 0 : (size_t)(end - text));

		cr_assert_not_null(end);
		cr_expect_not(view_has_8bit(head), "%s", text);
		cr_expect_null(strstr(text, "\nBcc"));
		for (const char *at = text; *at != '\0'; at++)
			cr_expect((*at != '\r' || at[1] == '\n') && (*at != '\n' || at[-1] == '\r'), "%s", text);
		free(text);
	}
}
