#include <criterion/criterion.h>

#include "bridge-smtp/smtp_words.h"

Test(smtp_words, a_path_ends_outside_quotes)
{
	static const char *const cases[][3] = {
	    {"<>", "<>", ""},
	    {"<a@b>", "<a@b>", ""},
	    {"<a@b>  SIZE=1", "<a@b>", "SIZE=1"},
	    {"<\"a> b\"@c> X", "<\"a> b\"@c>", "X"},
	    {"<\"a\\\"> b\"@c>", "<\"a\\\"> b\"@c>", ""},
	    {"<a>b>", NULL, NULL},
	    {"<a", NULL, NULL},
	    {"<\"a>", NULL, NULL},
	    {"<\"a\\", NULL, NULL},
	    {"<\"a\\\">", NULL, NULL},
	    {"a@b", NULL, NULL},
	    {" <a@b>", NULL, NULL},
	    {"", NULL, NULL},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct view rest = view_text(cases[i][0]);
		struct view path;
		bool good = smtp_path(&rest, &path);

		cr_expect_eq(good, cases[i][1] != NULL, "case %zu", i);
		if (good && cases[i][1] != NULL) {
			cr_expect(view_is(path, cases[i][1]), "case %zu", i);
			cr_expect(view_is(rest, cases[i][2]), "case %zu", i);
		}
	}
}

Test(smtp_words, parameters)
{
	static const struct {
		const char *in, *keyword, *value; /* keyword null: not one; value null: it has none */
	} cases[] = {
	    {"SIZE=1", "SIZE", "1"},
	    {"SMTPUTF8", "SMTPUTF8", NULL},
	    {"X-1=a<>\"+;", "X-1", "a<>\"+;"},
	    {"8BIT=\xc3\xa9", "8BIT", "\xc3\xa9"},
	    {"", NULL, NULL},
	    {"=1", NULL, NULL},
	    {"A=", NULL, NULL},
	    {"A=1=2", NULL, NULL},
	    {"-A=1", NULL, NULL},
	    {"A_B=1", NULL, NULL},
	    {"A=1\t2", NULL, NULL},
	    {"A=\x7f", NULL, NULL},
	    {"\xc3\xa9=1", NULL, NULL},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct view rest = view_text(cases[i].in);
		struct smtp_parameter p;

		cr_expect_eq(smtp_parameter(&rest, &p), cases[i].keyword != NULL, "case %zu", i);
		if (cases[i].keyword == NULL)
			continue;
		cr_expect(view_is(p.keyword, cases[i].keyword), "case %zu", i);
		cr_expect_eq(p.has_value, cases[i].value != NULL, "case %zu", i);
		cr_expect(cases[i].value == NULL || view_is(p.value, cases[i].value), "case %zu", i);
	}
}

Test(smtp_words, xtext)
{
	static const char *const cases[][2] = {
	    {"", ""},
	    {"plain", "plain"},
	    {"a+2Bb+3D", "a+b="},
	    {"+20+7F", " \x7f"},
	    {"a+2b", NULL},
	    {"a+2", NULL},
	    {"a+", NULL},
	    {"a=b", NULL},
	    {"a b", NULL},
	    {"a\xc3\xa9", NULL},
	    {"+GG", NULL},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct buf out;

		buf_init(&out, 100);
		cr_expect_eq(smtp_xtext_decode(view_text(cases[i][0]), &out), cases[i][1] != NULL, "case %zu", i);
		cr_expect(cases[i][1] == NULL || view_is(view_buf(&out), cases[i][1]), "case %zu", i);
		buf_release(&out);
	}
}

Test(smtp_words, mail_says_all_that_is_in_it)
{
	struct smtp_complaint complaint;
	struct smtp_mail m;

	smtp_mail_init(&m);
	cr_assert(smtp_mail_parse(&m,
	    view_text("FROM:<@x.example:ann@a.example> SIZE=77 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+20b AUTH=<>"),
	    &complaint));
	cr_expect(view_is(smtp_address_text(&m.address), "ann@a.example"));
	cr_expect_eq(m.size, 77);
	cr_expect_eq(m.body, BODY_8BIT);
	cr_expect(m.smtputf8);
	cr_expect_eq(m.ret, RETURN_HEADERS);
	cr_expect(m.has_envid);
	cr_expect(view_is(view_buf(&m.envid), "a b"));
	smtp_mail_release(&m);

	smtp_mail_init(&m);
	cr_assert(smtp_mail_parse(&m, view_text("FROM:<>"), &complaint));
	cr_expect(view_is(smtp_address_text(&m.address), ""));
	cr_expect_eq(m.size, 0);
	cr_expect_eq(m.body, BODY_7BIT);
	cr_expect_not(m.smtputf8);
	cr_expect_eq(m.ret, RETURN_UNSET);
	cr_expect_not(m.has_envid);
	smtp_mail_release(&m);
}

Test(smtp_words, what_is_wrong_has_its_own_answer)
{
	static const struct {
		const char *arguments;
		int code;
		const char *status;
	} cases[] = {
	    {"TO:<a@b.example>", 501, "5.5.4"},
	    {"FROM", 501, "5.5.4"},
	    {"FROM:a@b.example", 501, "5.1.7"},
	    {"FROM:<a@>", 501, "5.1.7"},
	    {"FROM:<a@b.example> SIZE=x", 501, "5.5.4"},
	    {"FROM:<a@b.example> FROB", 555, "5.5.4"},
	    {"FROM:<\xc3\xa9@b.example>", 550, "5.6.7"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct smtp_complaint complaint;
		struct smtp_mail m;

		smtp_mail_init(&m);
		cr_assert_not(smtp_mail_parse(&m, view_text(cases[i].arguments), &complaint), "case %zu", i);
		cr_expect_eq(complaint.code, cases[i].code, "case %zu: %d", i, complaint.code);
		cr_expect_str_eq(complaint.status, cases[i].status, "case %zu: %s", i, complaint.status);
		smtp_mail_release(&m);
	}
}

Test(smtp_words, rcpt)
{
	struct smtp_complaint complaint;
	struct smtp_rcpt r;

	smtp_rcpt_init(&r);
	cr_assert(smtp_rcpt_parse(
	    &r, view_text("TO:<b!c!ann> NOTIFY=DELAY,FAILURE ORCPT=rfc822;a+2Bb@c.example"), &complaint));
	cr_expect(view_is(smtp_address_text(&r.address), "b!c!ann"));
	cr_expect_eq(r.notify, NOTIFY_DELAY | NOTIFY_FAILURE);
	cr_expect(view_is(view_buf(&r.orcpt), "rfc822;a+b@c.example"));
	cr_expect_not(r.utf8);
	smtp_rcpt_release(&r);

	smtp_rcpt_init(&r);
	cr_assert(smtp_rcpt_parse(&r, view_text("TO:<a@b.example> ORCPT=utf-8;\xc3\xa9+x@c.example"), &complaint));
	cr_expect(r.utf8);
	cr_expect(view_is(view_buf(&r.orcpt), "utf-8;\xc3\xa9+x@c.example"));
	smtp_rcpt_release(&r);

	smtp_rcpt_init(&r);
	cr_assert_not(smtp_rcpt_parse(&r, view_text("TO:<>"), &complaint));
	cr_expect_eq(complaint.code, 501);
	smtp_rcpt_release(&r);
}

Test(smtp_words, chunks)
{
	static const struct {
		const char *arguments;
		bool good;
		uint64_t size;
		bool last;
	} cases[] = {
	    {"0", true, 0, false},
	    {"12 LAST", true, 12, true},
	    {"12   last", true, 12, true},
	    {"18446744073709551615", true, UINT64_MAX, false},
	    {"18446744073709551616", false, 0, false},
	    {"", false, 0, false},
	    {"LAST", false, 0, false},
	    {"-1", false, 0, false},
	    {"1 LASTS", false, 0, false},
	    {"1 LAST LAST", false, 0, false},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct smtp_chunk chunk = {0, false};

		cr_expect_eq(smtp_chunk_parse(&chunk, view_text(cases[i].arguments)), cases[i].good, "case %zu", i);
		if (cases[i].good) {
			cr_expect_eq(chunk.size, cases[i].size, "case %zu", i);
			cr_expect_eq(chunk.last, cases[i].last, "case %zu", i);
		}
	}
}

Test(smtp_words, names)
{
	cr_expect(smtp_helo_valid(view_text("[IPv6:2001:db8::1]")));
	cr_expect(smtp_helo_valid(view_text("my_pc")));
	cr_expect_not(smtp_helo_valid(view_text("")));
	cr_expect_not(smtp_helo_valid(view_text("a b")));
	cr_expect_not(smtp_helo_valid(view_text("a(b)")));
	cr_expect_not(smtp_helo_valid(view_text("a\xc3\xa9")));
	cr_expect(smtp_node_valid(view_text("@b.example")));
	cr_expect(smtp_node_valid(view_text("#queue_1")));
	cr_expect_not(smtp_node_valid(view_text("@")));
	cr_expect_not(smtp_node_valid(view_text("a/b")));
	cr_expect_not(smtp_node_valid(view_text("")));
}
