#include <criterion/criterion.h>

#include "lib/alloc.h"
#include "lib/limits.h"
#include "lib/text.h"
#include "queue/address.h"

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static struct view text_or_empty(const char *text)
{
	return view_text(text == NULL ? "" : text);
}

/* COUNT times UNIT, then TAIL; free() it. */
static char *repeated(const char *unit, size_t count, const char *tail)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	for (size_t i = 0; i < count; i++)
		buf_text(&b, unit);
	buf_text(&b, tail);
	cr_assert(!b.failed);
	return buf_detach(&b);
}

static bool accepted(const char *text)
{
	struct address a;
	struct error err = ERROR_NONE;

	return address_parse(&a, view_text(text), &err) == OUTCOME_DONE;
}

static void expect_length_limit(const char *unit, size_t most, const char *tail)
{
	char *good = repeated(unit, most, tail);
	char *bad = repeated(unit, most + 1, tail);

	cr_expect(accepted(good), "%zu of \"%s\" before \"%s\"", most, unit, tail);
	cr_expect(!accepted(bad), "%zu of \"%s\" before \"%s\"", most + 1, unit, tail);
	free(good);
	free(bad);
}

Test(address, parts)
{
	static const struct {
		const char *text;
		enum address_kind kind;
		const char *local, *domain, *first, *rest;
		bool utf8, literal;
	} cases[] = {
	    {"", ADDRESS_NULL, "", "", "", "", false, false},
	    {"joe", ADDRESS_LOCAL, "joe", "", "", "", false, false},
	    {"postmaster", ADDRESS_LOCAL, "postmaster", "", "", "", false, false},
	    {"joe@example.org", ADDRESS_MAILBOX, "joe", "example.org", "", "", false, false},
	    {"Jones@[192.0.2.1]", ADDRESS_MAILBOX, "Jones", "[192.0.2.1]", "", "", false, true},
	    {"x@[IPv6:2001:db8::1]", ADDRESS_MAILBOX, "x", "[IPv6:2001:db8::1]", "", "", false, true},
	    {"x@[ipv6:::ffff:192.0.2.1]", ADDRESS_MAILBOX, "x", "[ipv6:::ffff:192.0.2.1]", "", "", false, true},
	    {"x@192.0.2.1", ADDRESS_MAILBOX, "x", "192.0.2.1", "", "", false, false},
	    {"\"Joe.\\\\Blow\"@example.com", ADDRESS_MAILBOX, "\"Joe.\\\\Blow\"", "example.com", "", "", false,
		false},
	    {"\"Abc@def\"@example.com", ADDRESS_MAILBOX, "\"Abc@def\"", "example.com", "", "", false, false},
	    {"\"a b\"@[192.0.2.1]", ADDRESS_MAILBOX, "\"a b\"", "[192.0.2.1]", "", "", false, true},
	    {"\"\"@example.com", ADDRESS_MAILBOX, "\"\"", "example.com", "", "", false, false},
	    {"\"joe\"", ADDRESS_LOCAL, "\"joe\"", "", "", "", false, false},
	    {"\"a!b\"@x", ADDRESS_MAILBOX, "\"a!b\"", "x", "", "", false, false},
	    {"customer/department=shipping@example.com", ADDRESS_MAILBOX, "customer/department=shipping",
		"example.com", "", "", false, false},
	    {"!#$%&'*+-/=?^_`{|}~@x", ADDRESS_MAILBOX, "!#$%&'*+-/=?^_`{|}~", "x", "", "", false, false},
	    {"user%host@relay.example", ADDRESS_MAILBOX, "user%host", "relay.example", "", "", false, false},
	    {"a+b.c-d_e@x-y.z", ADDRESS_MAILBOX, "a+b.c-d_e", "x-y.z", "", "", false, false},
	    {"pc@my_pc.example", ADDRESS_MAILBOX, "pc", "my_pc.example", "", "", false, false},
	    {"jørgen@exämple.org", ADDRESS_MAILBOX, "jørgen", "exämple.org", "", "", true, false},
	    {"用户@例子.广告", ADDRESS_MAILBOX, "用户", "例子.广告", "", "", true, false},
	    {"\"用 户\"@x", ADDRESS_MAILBOX, "\"用 户\"", "x", "", "", true, false},
	    {"𝒿@x", ADDRESS_MAILBOX, "𝒿", "x", "", "", true, false},
	    {"b!user", ADDRESS_BANG, "b!user", "", "b", "user", false, false},
	    {"b!c!user", ADDRESS_BANG, "b!c!user", "", "b", "c!user", false, false},
	    {"b!c!user@d.org", ADDRESS_BANG, "b!c!user", "d.org", "b", "c!user", false, false},
	    {"x.org!y.org!u.v", ADDRESS_BANG, "x.org!y.org!u.v", "", "x.org", "y.org!u.v", false, false},
	    {"b!üser", ADDRESS_BANG, "b!üser", "", "b", "üser", true, false},
	    {"!user@d.org", ADDRESS_MAILBOX, "!user", "d.org", "", "", false, false},
	    {"wow!@d.org", ADDRESS_MAILBOX, "wow!", "d.org", "", "", false, false},
	    {"a!!b@d.org", ADDRESS_MAILBOX, "a!!b", "d.org", "", "", false, false},
	    {"a!.b@d.org", ADDRESS_MAILBOX, "a!.b", "d.org", "", "", false, false},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct address a;
		struct error err = ERROR_NONE;
		enum outcome outcome = address_parse(&a, view_text(cases[i].text), &err);

		cr_expect_eq(outcome, OUTCOME_DONE, "%s: %s", cases[i].text, err.text);
		cr_expect_eq(a.kind, cases[i].kind, "%s: kind %d", cases[i].text, (int)a.kind);
		cr_expect(view_is(a.local, cases[i].local), "%s: local", cases[i].text);
		cr_expect(view_is(a.domain, cases[i].domain), "%s: domain", cases[i].text);
		cr_expect(view_is(a.first, cases[i].first), "%s: first", cases[i].text);
		cr_expect(view_is(a.rest, cases[i].rest), "%s: rest", cases[i].text);
		cr_expect_eq(a.utf8, cases[i].utf8, "%s: utf8", cases[i].text);
		cr_expect_eq(a.literal, cases[i].literal, "%s: literal", cases[i].text);
	}
}

Test(address, faults_are_named)
{
	static const struct {
		const char *text, *fault;
	} cases[] = {
	    {"@", "nothing stands before"},
	    {"@example.org", "nothing stands before"},
	    {"joe@", "nothing stands behind"},
	    {"joe@@example.org", "no domain has"},
	    {"joe@a@b", "no domain has"},
	    {".joe@x", "begins with a dot"},
	    {"joe.@x", "a dot ends"},
	    {"joe.", "a dot ends"},
	    {"j..oe@x", "two dots"},
	    {"joe smith@x", "without quotes"},
	    {"joe,bob@x", "without quotes"},
	    {"<joe@x>", "without quotes"},
	    {"joe(c)@x", "without quotes"},
	    {"a\\b@x", "without quotes"},
	    {"a\"b\"@x", "without quotes"},
	    {"b!\"a b\"@x", "without quotes"},
	    {"joe:x@y", "without quotes"},
	    {" joe@x", "without quotes"},
	    {"\"joe@x", "quotes are not closed"},
	    {"\"joe\\\"@x", "quotes are not closed"},
	    {"\"", "quotes are not closed"},
	    {"\"\\", "quotes are not closed"},
	    {"\"a\"b@x", "closing quote"},
	    {"\"a\".b@x", "closing quote"},
	    {"\"\\\xc3\xa9\"@x", "backslash"},
	    {"joe@x y", "no domain has"},
	    {"joe@x\"", "no domain has"},
	    {"joe@x!y", "no domain has"},
	    {"joe@.x", "empty part"},
	    {"joe@x.", "empty part"},
	    {"joe@x..y", "empty part"},
	    {"joe@.", "empty part"},
	    {"joe@-x", "hyphen"},
	    {"joe@x-.org", "hyphen"},
	    {"joe@[192.0.2.1", "not closed by"},
	    {"joe@[", "not closed by"},
	    {"joe@[]", "not closed by"},
	    {"joe@[]]", "address literal"},
	    {"joe@[192.0.2]", "address literal"},
	    {"joe@[192.0.2.256]", "address literal"},
	    {"joe@[192.0.2.1.5]", "address literal"},
	    {"joe@[2001:db8::1]", "address literal"},
	    {"joe@[IPv6:]", "address literal"},
	    {"joe@[IPv6:1::2::3]", "address literal"},
	    {"joe@[IPv6:12345::]", "address literal"},
	    {"joe@[IPv6:192.0.2.1]", "address literal"},
	    {"joe@[IPv7:what]", "address literal"},
	    {"joe@[192.0.2.1]x", "not closed by"},
	    {"joe@x[192.0.2.1]", "no domain has"},
	    {"!user", "empty part"},
	    {"b!", "empty part"},
	    {"a!!b", "empty part"},
	    {"!", "empty part"},
	    {"a!.b", "with a dot"},
	    {"a.!b", "with a dot"},
	    {"joe\r\n@x", "control character"},
	    {"joe@x\n", "control character"},
	    {"\"a\tb\"@x", "control character"},
	    {"joe\x7f@x", "control character"},
	    {"joe\xc2\x85@x", "control character"},
	    {"joe\xff@x", "UTF-8"},
	    {"joe\xc3@x", "UTF-8"},
	    {"joe\xc0\xaf@x", "UTF-8"},
	    {"joe\xed\xa0\x80@x", "UTF-8"},
	    {"joe@x\xf5\x80\x80\x80", "UTF-8"},
	    {"joe@bank.example\xe2\x80\xae", "no domain has"},
	    {"joe@bank\xe3\x80\x82org", "no domain has"},
	    {"joe@bank\xef\xbc\x8eorg", "no domain has"},
	    {"joe@a\xc2\xa0"
	     "b",
		"no domain has"},
	    {"joe@a\xe2\x80\x8b"
	     "b",
		"no domain has"},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct address a = {.kind = ADDRESS_BANG};
		struct error err = ERROR_NONE;

		cr_expect_eq(address_parse(&a, view_text(cases[i].text), &err), OUTCOME_NEVER, "%s", cases[i].text);
		cr_expect_eq(err.code, EX_DATAERR, "%s", cases[i].text);
		cr_expect_not_null(strstr(err.text, cases[i].fault), "%s: %s", cases[i].text, err.text);
		cr_expect(!text_has_control(view_text(err.text)) && utf8_valid(view_text(err.text)), "%s", err.text);
		cr_expect(a.kind == ADDRESS_NULL && a.local.length == 0, "%s", cases[i].text);
	}
}

Test(address, nul_is_refused)
{
	struct address a;
	struct error err = ERROR_NONE;

	cr_expect_eq(address_parse(&a, view_of("jo\0e@x", 6), &err), OUTCOME_NEVER);
	cr_expect_eq(address_parse(&a, view_of("joe@x\0", 6), &err), OUTCOME_NEVER);
	cr_expect_eq(address_parse(&a, view_of("\0", 1), &err), OUTCOME_NEVER);
}

Test(address, lengths)
{
	expect_length_limit("a", LIMIT_LOCAL_PART, "");
	expect_length_limit("a", LIMIT_LOCAL_PART, "@x");
	expect_length_limit("ü", LIMIT_LOCAL_PART / 2, "@x");
}

/* Characters, not octets: an A-label is never shorter than its U-label. */
Test(address, label_lengths)
{
	static const struct {
		const char *before, *character, *after;
	} cases[] = {{"u@", "a", ""}, {"u@x.", "a", ""}, {"u@", "a", ".x"}, {"u@", "例", ""}, {"u@x.", "ü", ".x"}};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char *label = repeated(cases[i].character, 63, "");
		char *good = mem_format("%s%s%s", cases[i].before, label, cases[i].after);
		char *bad = mem_format("%s%s%s%s", cases[i].before, label, cases[i].character, cases[i].after);

		cr_expect(accepted(good), "%s", good);
		cr_expect(!accepted(bad), "%s", bad);
		free(label);
		free(good);
		free(bad);
	}
}

Test(address, whole_lengths)
{
	char *good = repeated("b.", 125, "bb");
	char *bad = repeated("b.", 125, "bbb");
	char *text = mem_format("u@%s", good);
	char *more = mem_format("u@%s", bad);
	struct address a;
	struct error err = ERROR_NONE;

	cr_assert_eq(strlen(text), LIMIT_ADDRESS);
	cr_expect(accepted(text));
	cr_expect_eq(address_parse(&a, view_text(more), &err), OUTCOME_NEVER);
	cr_expect_not_null(strstr(err.text, "254"), "%s", err.text);
	free(good);
	free(bad);
	free(text);
	free(more);

	more = repeated("b.", 127, "bb");
	text = mem_format("u@%s", more);
	cr_expect_eq(address_parse(&a, view_text(text), &err), OUTCOME_NEVER);
	cr_expect_not_null(strstr(err.text, "255"), "%s", err.text);
	free(text);
	free(more);
}

Test(address, bang_lengths)
{
	char *longest = repeated("b!", 224, "");
	char *user = repeated("u", LIMIT_LOCAL_PART, "");
	char *good = mem_format("%s%s", longest, user);
	char *whole = mem_format("b%s%s", longest, user);
	char *last = mem_format("b!%su", user);
	char *with_domain = mem_format("b!%s@d.org", user + 2);
	char *with_domain_more = mem_format("b!%s@d.org", user + 1);

	cr_assert_eq(strlen(good), LIMIT_BANG_PATH);
	cr_expect(accepted(good));
	cr_expect(!accepted(whole));
	cr_expect(!accepted(last));
	cr_expect(accepted(with_domain));
	cr_expect(!accepted(with_domain_more));
	free(longest);
	free(user);
	free(good);
	free(whole);
	free(last);
	free(with_domain);
	free(with_domain_more);

	expect_length_limit("h", LIMIT_DOMAIN, "!u");
}

Test(address, a_megabyte_is_refused_shortly)
{
	static const char *const units[] = {"a", "a!", "a.", "\"", "@", "ü", "\xff", "[", "(", "\r\n"};

	for (size_t i = 0; i < COUNT(units); i++) {
		char *text = repeated(units[i], 200000, "@x");
		struct address a;
		struct error err = ERROR_NONE;

		cr_expect_eq(address_parse(&a, view_text(text), &err), OUTCOME_NEVER);
		cr_expect(strlen(err.text) < LIMIT_REASON, "%s", err.text);
		cr_expect(utf8_valid(view_text(err.text)), "%s", err.text);
		free(text);
	}
}

Test(address, paths)
{
	static const struct {
		const char *text, *local, *domain;
	} cases[] = {
	    {"<>", "", ""},
	    {"<joe>", "joe", ""},
	    {"<joe@x.org>", "joe", "x.org"},
	    {"<\"a>b\"@x.org>", "\"a>b\"", "x.org"},
	    {"<@a.org:joe@x.org>", "joe", "x.org"},
	    {"<@hosta.int,@jkl.org:userc@d.bar.org>", "userc", "d.bar.org"},
	    {"<@[IPv6:::1],@[192.0.2.1]:joe@x.org>", "joe", "x.org"},
	    {"<b!c@x.org>", "b!c", "x.org"},
	};
	static const char *const faults[] = {"", "<", ">", "joe@x", "<joe@x", "joe@x>", "<<joe@x>>", "< joe@x>",
	    "<joe@x >", "<@a:>", "<@a:joe>", "<@a joe@x>", "<@a,:joe@x>", "<@:joe@x>", "<@a,b:joe@x>", "<@a,@b>",
	    "<@a", "<@[::joe@x>", "<@a:@b:joe@x>", "<@-a:joe@x>", "<joe@x> ", "<@a\n:joe@x>", "<@\xff:joe@x>"};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct address a;
		struct error err = ERROR_NONE;

		cr_expect_eq(address_parse_path(&a, view_text(cases[i].text), &err), OUTCOME_DONE, "%s: %s",
		    cases[i].text, err.text);
		cr_expect(
		    view_is(a.local, cases[i].local) && view_is(a.domain, cases[i].domain), "%s", cases[i].text);
	}
	for (size_t i = 0; i < COUNT(faults); i++) {
		struct address a;
		struct error err = ERROR_NONE;

		cr_expect_eq(address_parse_path(&a, view_text(faults[i]), &err), OUTCOME_NEVER, "%s", faults[i]);
		cr_expect_eq(err.code, EX_DATAERR, "%s", faults[i]);
		cr_expect_eq(a.kind, ADDRESS_NULL, "%s", faults[i]);
	}
}

Test(address, plain_local_part)
{
	static const struct {
		const char *text, *plain;
	} cases[] = {
	    {"joe@x", "joe"},
	    {"\"joe\"@x", "joe"},
	    {"\"a b\"", "a b"},
	    {"\"a\\\"\\\\b\"@x", "a\"\\b"},
	    {"\"\"@x", ""},
	    {"b!c@x", "b!c"},
	    {"", ""},
	    {"\"\\j\\o\\e\"@x", "joe"},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct address a;
		struct error err = ERROR_NONE;
		struct buf plain;

		buf_init(&plain, 100);
		cr_assert_eq(address_parse(&a, view_text(cases[i].text), &err), OUTCOME_DONE);
		address_local_plain(&a, &plain);
		cr_expect_str_eq(buf_string(&plain), cases[i].plain);
		buf_release(&plain);
	}
}

Test(address, equality)
{
	static const struct {
		const char *a, *b;
		bool equal;
	} cases[] = {
	    {"joe@x.org", "joe@X.ORG", true},
	    {"joe@x.org", "Joe@x.org", false},
	    {"\"joe\"@x", "joe@x", true},
	    {"\"j\\oe\"@x", "joe@x", true},
	    {"joe", "joe@x", false},
	    {"", "", true},
	    {"", "joe", false},
	    {"", "\"\"", false},
	    {"joe@x", "joe@y", false},
	    {"b!joe", "b!joe", true},
	    {"b!joe@X", "b!joe@x", true},
	    {"\"b!joe\"@x", "b!joe@x", true},
	    {"joe@ä.org", "joe@ä.ORG", true},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct address a;
		struct address b;

		cr_assert_eq(address_parse(&a, view_text(cases[i].a), NULL), OUTCOME_DONE);
		cr_assert_eq(address_parse(&b, view_text(cases[i].b), NULL), OUTCOME_DONE);
		cr_expect_eq(address_equal(&a, &b), cases[i].equal, "%s = %s", cases[i].a, cases[i].b);
		cr_expect_eq(address_equal(&b, &a), cases[i].equal, "%s = %s", cases[i].b, cases[i].a);
	}
}

/* ---- lists -----------------------------------------------------------------------------------------------
 */

static void collect(void *context, struct view address)
{
	struct buf *b = context;
	struct address a;
	struct error err = ERROR_NONE;

	cr_expect_eq(address_parse(&a, address, &err), OUTCOME_DONE, "%s", err.text);
	cr_expect_neq(a.kind, ADDRESS_NULL);
	if (b->length > 0)
		buf_byte(b, '|');
	buf_view(b, address);
}

static enum outcome list(const char *field, struct buf *out, struct error *err)
{
	*err = ERROR_NONE;
	buf_init(out, 1 << 20);
	return address_list(text_or_empty(field), collect, out, err);
}

Test(address, lists)
{
	static const struct {
		const char *field, *addresses;
	} cases[] = {
	    {NULL, ""},
	    {"", ""},
	    {" \r\n ", ""},
	    {"(nobody)", ""},
	    {", ,\r\n ,", ""},
	    {"joe", "joe"},
	    {"joe@x", "joe@x"},
	    {"b!c!joe", "b!c!joe"},
	    {"joe@x,bob@y", "joe@x|bob@y"},
	    {",joe@x,,bob@y,", "joe@x|bob@y"},
	    {" Joe <joe@x> , bob", "joe@x|bob"},
	    {"<joe@x>", "joe@x"},
	    {"< joe@x >", "joe@x"},
	    {"<b!joe>", "b!joe"},
	    {"joe@x (Joe), (c) bob@y (d(e)\\) f)", "joe@x|bob@y"},
	    {"\"Smith, Joe\" <joe@x>", "joe@x"},
	    {"\"a \\\" <b@c>\" <joe@x>", "joe@x"},
	    {"Joe (a, <b@c>) <joe@x>", "joe@x"},
	    {"\"a b\"@x", "\"a b\"@x"},
	    {"\"a\r\n b\"@x", "\"a b\"@x"},
	    {"\"a\n b\"@x", "\"a b\"@x"},
	    {"\"a b\" . c @ x . y", "\"a b.c\"@x.y"},
	    {"a . \"b\" @x", "\"a.b\"@x"},
	    {"joe@[192.0.2.1], bob@[IPv6:::1]", "joe@[192.0.2.1]|bob@[IPv6:::1]"},
	    {"<@a,@b:joe@x>", "joe@x"},
	    {"<@ a , @[IPv6:::1] : joe@x>", "joe@x"},
	    {"undisclosed-recipients:;", ""},
	    {"undisclosed-recipients: ;", ""},
	    {"undisclosed-recipients:", ""},
	    {"g:a@x,b@y;", "a@x|b@y"},
	    {"g:a@x,b@y;, c@z", "a@x|b@y|c@z"},
	    {"d@w, \"a:b\" g : <a@x>, ; , h:;", "d@w|a@x"},
	    {"g: a@x", "a@x"},
	    /* RFC 5322 A.1 and A.5, A.6 */
	    {"\"Joe Q. Public\" <john.q.public@example.com>", "john.q.public@example.com"},
	    {"Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
		"mary@x.test|jdoe@example.org|one@y.test"},
	    {"<boss@nil.test>, \"Giant; \\\"Big\\\" Box\" <sysservices@example.net>",
		"boss@nil.test|sysservices@example.net"},
	    {"A Group:Ed Jones <joe@where.test>,joe@where.test,John <jdoe@one.test>;",
		"joe@where.test|joe@where.test|jdoe@one.test"},
	    {"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", "pete@silly.test"},
	    {"A Group(Some people)\r\n     :Chris Jones <c@(Chris's host.)public.example>,\r\n"
	     "         joe@example.org,\r\n  John <jdoe@one.test> (my dear friend); (the end of the group)",
		"c@public.example|joe@example.org|jdoe@one.test"},
	    {"(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;", ""},
	    {"Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example",
		"mary@example.net|jdoe@test.example"},
	    {"Joe Q. Public <john.q.public@example.com>", "john.q.public@example.com"},
	    /* Met in the wild. */
	    {"joe@x <joe@x>", "joe@x"},
	    {"=?utf-8?Q?J=C3=B8rgen?= <j@x>", "j@x"},
	    {"Jørgen <jørgen@exämple.org>", "jørgen@exämple.org"},
	    {"J\xf8rgen <j@x>", "j@x"},
	    {"O'Neil :-)", NULL},
	    {"O'Neil 8-) <o@x>", "o@x"},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf out;
		struct error err;
		enum outcome outcome = list(cases[i].field, &out, &err);

		cr_expect_eq(outcome, cases[i].addresses == NULL ? OUTCOME_NEVER : OUTCOME_DONE, "%s: %s",
		    cases[i].field, err.text);
		if (cases[i].addresses != NULL)
			cr_expect_str_eq(
			    buf_string(&out), cases[i].addresses, "%s: %s", cases[i].field, buf_string(&out));
		buf_release(&out);
	}
}

Test(address, list_faults_quote_the_part)
{
	static const struct {
		const char *field, *quoted, *before;
	} cases[] = {
	    {"a@x, Joe Smith, b@x", "\"Joe Smith\"", "a@x"},
	    {"a@x, <>", "\"<>\" is not a mail address: nothing stands between", "a@x"},
	    {"Joe <joe@x", "\"Joe <joe@x\"", ""},
	    {"Joe joe@x>", "has no \"<\"", ""},
	    {"Joe <a@x> <b@x>", "Joe <a@x>", ""},
	    {"<a@x> b", "<a@x>", ""},
	    {"\"Joe <joe@x>", "not closed", ""},
	    {"Joe (home <joe@x>", "not closed", ""},
	    {"joe@[192.0.2.1", "not closed", ""},
	    {"joe@[1.2.3]", "address literal", ""},
	    {"joe@", "\"joe@\"", ""},
	    {"@x", "\"@x\"", ""},
	    {"joe..b@x", "joe..b@x", ""},
	    {"\"a\"..b@x", "a word is missing", ""},
	    {"\"a\"\"b\"@x", "several words", ""},
	    {"a\"b\"@x", "several words", ""},
	    {"a@b c", "white space stands", ""},
	    {"a@x; b@x", "ends no group", ""},
	    {"g:h:a@x;;", "inside a group", ""},
	    {":a@x;", "name of a group", ""},
	    {"<a@x>: b@x;", "name of a group", ""},
	    {"<@a joe@x>", "source route", ""},
	    {"<@a:>", "a word is missing", ""},
	    {"<<a@x>>", "not closed by", ""},
	    {"[joe]", "without quotes", ""},
	    {"a\\b@x", "without quotes", ""},
	    {"\"a\tb\"@x", "control", ""},
	    {"\"a\rb\"@x", "control", ""},
	    {"a\x01@x", "control", ""},
	    {"a@x, \xff@x", "UTF-8", "a@x"},
	    {"a@x, \"Joe\\", "not closed", "a@x"},
	    {"g:;;", "ends no group", ""},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf out;
		struct error err;

		cr_expect_eq(list(cases[i].field, &out, &err), OUTCOME_NEVER, "%s", cases[i].field);
		cr_expect_eq(err.code, EX_DATAERR, "%s", cases[i].field);
		if (cases[i].before != NULL) {
			cr_expect_not_null(strstr(err.text, cases[i].quoted), "%s: %s", cases[i].field, err.text);
			cr_expect_str_eq(buf_string(&out), cases[i].before, "%s", cases[i].field);
		}
		buf_release(&out);
	}
}

Test(address, hostile_lists_end_soon)
{
	static const char *const units[] = {
	    "(", "\"", "<", "[", "\\", ",", ":", ";", "@", ".", "a ", "(a)", "\"a\".", "a@", "<@a,", "g:", "\r\n "};

	for (size_t i = 0; i < COUNT(units); i++) {
		char *field = repeated(units[i], 200000, "");
		struct buf out;
		struct error err;

		list(field, &out, &err);
		cr_expect(strlen(err.text) < LIMIT_REASON, "%s", err.text);
		buf_release(&out);
		free(field);
	}
}

Test(address, list_of_many)
{
	char *field = repeated("Joe <joe@example.org>,\r\n ", 20000, "");
	struct buf out;
	struct error err;

	cr_expect_eq(list(field, &out, &err), OUTCOME_DONE, "%s", err.text);
	cr_expect_eq(out.length, 20000 * strlen("joe@example.org|") - 1);
	buf_release(&out);
	free(field);
}
