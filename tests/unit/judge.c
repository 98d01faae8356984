#include <criterion/criterion.h>

#include "lib/alloc.h"
#include "lib/text.h"
#include "queue/judge.h"
#include "queue/maildir.h"
#include "tests/unit/scratch.h"

struct kit {
	struct dir top;
	struct dir mail;
	struct config config;
};

static struct kit kit_open(const char *text)
{
	struct kit k = {0};
	struct error err = ERROR_NONE;
	char *path;

	k.top = scratch_open();
	cr_assert_eq(dir_make(&k.mail, &k.top, "mail", 0700, &err), OUTCOME_DONE);
	cr_assert_eq(maildir_make(&k.mail, "ann", &err), OUTCOME_DONE);
	cr_assert_eq(maildir_make(&k.mail, "postmaster", &err), OUTCOME_DONE);
	cr_assert_eq(file_commit(&k.top, &k.top, "packetboat.conf", view_text(text), &err), OUTCOME_DONE);
	path = mem_format("%s/packetboat.conf", k.top.path);
	cr_assert_eq(config_load(&k.config, path, NULL, NULL, &err), OUTCOME_DONE, "%s", err.text);
	free(path);
	return k;
}

static void kit_close(struct kit *k)
{
	config_release(&k->config);
	dir_close(&k->mail);
	scratch_close(&k->top);
}

static const char hub[] = "host = \"city\"\ndomains = { \"city.example\" }\nmax-size = 10M\n"
			  "neighbour \"ship\" { key = \"x\" max-size = 64k rate = 2400 }\n"
			  "neighbour \"town\" { key = \"x\" }\n"
			  "route \"ship.example\" { via = \"neighbour:ship\" }\n"
			  "route \"isle.example\" { via = \"neighbour:town\" max-size = 8k }\n"
			  "route \"closed.example\" { via = \"neighbour:town\" public = false }\n"
			  "route \"far.example\" { via = \"smtp\" }\n"
			  "route \"home.example\" { via = \"maildir\" public = false }\n"
			  "route \"*\" { via = \"neighbour:town\" }\n"
			  "route \"*.org\" { via = \"neighbour:town\" }\n"
			  "route \"*.own.org\" { via = \"neighbour:town\" }\n"
			  "alias \"crew\" { to = { \"bo@ship.example\", \"ann\" } }\n"
			  "alias \"lost\" { to = { \"nobody@city.example\" } }\n";

Test(judge, strangers_reach_our_users_and_our_domains_only)
{
	static const struct {
		const char *address;
		const char *stranger; /* status, by 2.1.5 taken */
		const char *known;
	} cases[] = {
	    {"ann@city.example", "2.1.5", "2.1.5"},
	    {"ann+tag@city.example", "2.1.5", "2.1.5"},
	    {"ann", "2.1.5", "2.1.5"},
	    {"Postmaster", "2.1.5", "2.1.5"},
	    {"ben@city.example", "5.1.1", "5.1.1"},
	    {"bo@ship.example", "2.1.5", "2.1.5"},
	    {"bo@isle.example", "2.1.5", "2.1.5"},
	    {"bo@closed.example", "5.7.1", "2.1.5"},
	    {"x@far.example", "5.7.1", "2.1.5"},
	    {"ann@home.example", "5.7.1", "2.1.5"},
	    {"x@elsewhere.example", "5.7.1", "2.1.5"},
	    {"x@ship", "5.7.1", "2.1.5"},
	    {"ship!x", "5.7.1", "2.1.5"},
	    {"ship!x@city.example", "5.7.1", "2.1.5"},
	    {"x%far.example@city.example", "5.1.1", "5.1.1"},
	    {"\"x@far.example\"@city.example", "5.1.1", "5.1.1"},
	    {"x@some.org", "5.7.1", "2.1.5"},
	    {"x@a.own.org", "2.1.5", "2.1.5"},
	    {"far!x@ship.example", "5.7.1", "2.1.5"},
	    {"x%far.example@ship.example", "5.7.1", "2.1.5"},
	    {"\"x@far.example\"@ship.example", "5.7.1", "2.1.5"},
	    {"crew@city.example", "2.1.5", "2.1.5"},
	    {"lost@city.example", "5.1.1", "5.1.1"},
	    {"x@@city.example", "5.1.3", "5.1.3"},
	    {"\"ann\"", "5.1.3", "5.1.3"},
	};
	struct kit k = kit_open(hub);

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct judgement j;

		judge_recipient(&j, &k.config, &k.mail, cases[i].address, JUDGE_STRANGER, 0);
		cr_expect_str_eq(j.status, cases[i].stranger, "%s: %s %s", cases[i].address, j.status, j.text);
		cr_expect_eq(j.outcome == OUTCOME_DONE, j.status[0] == '2');
		judge_recipient(&j, &k.config, &k.mail, cases[i].address, JUDGE_KNOWN, 0);
		cr_expect_str_eq(j.status, cases[i].known, "%s: %s %s", cases[i].address, j.status, j.text);
		cr_expect_eq(j.outcome == OUTCOME_DONE, j.text[0] == '\0');
	}
	kit_close(&k);
}

Test(judge, without_a_route_a_stranger_hears_of_relaying_and_a_user_of_the_route)
{
	struct kit k = kit_open("host = \"city\"\ndomains = { \"city.example\" }\n");
	struct judgement j;

	judge_recipient(&j, &k.config, &k.mail, "x@elsewhere.example", JUDGE_STRANGER, 0);
	cr_expect_str_eq(j.status, "5.7.1");
	judge_recipient(&j, &k.config, &k.mail, "x@elsewhere.example", JUDGE_KNOWN, 0);
	cr_expect_str_eq(j.status, "5.1.2");
	kit_close(&k);
}

Test(judge, the_narrowest_link_limits_the_size)
{
	static const struct {
		const char *address;
		uint64_t limit;
		const char *neighbour;
	} cases[] = {
	    {"ann@city.example", 10 << 20, ""},
	    {"bo@ship.example", 64 << 10, "ship"},
	    {"bo@isle.example", 8 << 10, "town"},
	    {"crew@city.example", 64 << 10, "ship"},
	    {"x@elsewhere.example", 10 << 20, ""},
	};
	struct kit k = kit_open(hub);

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct judgement j;

		judge_recipient(&j, &k.config, &k.mail, cases[i].address, JUDGE_KNOWN, cases[i].limit);
		cr_expect_eq(j.outcome, OUTCOME_DONE, "%s", cases[i].address);
		cr_expect_eq(
		    j.max_size, cases[i].limit, "%s: %llu", cases[i].address, (unsigned long long)j.max_size);
		cr_expect_str_eq(j.neighbour, cases[i].neighbour);
		judge_recipient(&j, &k.config, &k.mail, cases[i].address, JUDGE_KNOWN, cases[i].limit + 1);
		cr_expect_eq(j.outcome, OUTCOME_NEVER, "%s", cases[i].address);
		cr_expect_str_eq(j.status, "5.3.4");
	}
	kit_close(&k);
}

Test(judge, too_large_says_the_limit_and_what_it_would_have_cost)
{
	struct kit k = kit_open(hub);
	struct judgement j;

	judge_recipient(&j, &k.config, &k.mail, "bo@ship.example", JUDGE_KNOWN, 5 << 20);
	cr_expect_str_eq(j.text,
	    "this message has 5M, and the link on the way takes 64k at most; at 2400 bit/s it would "
	    "have taken 4h");
	judge_recipient(&j, &k.config, &k.mail, "bo@isle.example", JUDGE_KNOWN, 5 << 20);
	cr_expect_str_eq(j.text, "this message has 5M, and the link on the way takes 8k at most");
	judge_recipient(&j, &k.config, &k.mail, "ann@city.example", JUDGE_KNOWN, 50 << 20);
	cr_expect_str_eq(j.text, "this message has 50M, and this host takes 10M at most");
	kit_close(&k);
}

Test(judge, networks_hold_what_a_person_means)
{
	static const struct {
		const char *network;
		const char *address;
		bool held;
	} cases[] = {
	    {"127.0.0.1", "127.0.0.1", true},
	    {"127.0.0.1", "127.0.0.2", false},
	    {"127.0.0.1", "::1", false},
	    {"127.0.0.1", "::ffff:127.0.0.1", true},
	    {"::ffff:192.0.2.0/120", "192.0.2.7", true},
	    {"::ffff:192.0.2.0/120", "192.0.3.7", false},
	    {"192.0.2.0/25", "192.0.2.127", true},
	    {"192.0.2.0/25", "192.0.2.128", false},
	    {"192.0.2.77/25", "192.0.2.1", true},
	    {"fd00:7::/63", "fd00:7:0:1::5", true},
	    {"fd00:7::/63", "fd00:7:0:2::5", false},
	    {"::/1", "192.0.2.1", false},
	    {"192.0.2.0/24", "local", false},
	    {"192.0.2.0/24", "unknown", false},
	    {"192.0.2.0/24", "", false},
	    {"192.0.2.0/24", "192.0.2.1/32", false},
	};
	static const char *const wrong[] = {"0.0.0.0/0", "::/0", "192.0.2.1/0", "::ffff:0:0/96", "192.0.2.0/33",
	    "192.0.2", "192.0.2.0/", "192.0.2.0/-1", "::/129", "localhost", "10.0.0.0/8/8"};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct strings networks = {0};

		cr_expect(config_network_valid(cases[i].network), "%s", cases[i].network);
		strings_add(&networks, cases[i].network);
		cr_expect_eq(config_network_has(&networks, cases[i].address), cases[i].held, "%s in %s",
		    cases[i].address, cases[i].network);
		strings_release(&networks);
	}
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		cr_expect_not(config_network_valid(wrong[i]), "%s", wrong[i]);
}
