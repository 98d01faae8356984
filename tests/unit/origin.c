#include <criterion/criterion.h>

#include "lib/origin.h"

Test(origin, an_ipv6_network_is_one_origin)
{
	static const char *const cases[][2] = {
	    {"192.0.2.1", "192.0.2.1"},
	    {"2001:db8:0:1:2:3:4:5", "2001:db8:0:1::/64"},
	    {"2001:db8:0:1::9", "2001:db8:0:1::/64"},
	    {"2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff", "2001:db8:aaaa:bbbb::/64"},
	    {"local", "local"},
	};
	char out[ORIGIN_TEXT];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		origin_of(cases[i][0], out);
		cr_expect_str_eq(out, cases[i][1]);
	}
}

Test(origin, an_address_in_mail_stands_in_brackets)
{
	static const char *const cases[][2] = {
	    {"192.0.2.1", "[192.0.2.1]"},
	    {"2001:db8::1", "[IPv6:2001:db8::1]"},
	    {"mail.example.org", "mail.example.org"},
	    {"192.0.2.example", "192.0.2.example"},
	    {"local", "local"},
	};
	struct buf out;

	buf_init(&out, 100);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		buf_clear(&out);
		peer_literal(cases[i][0], &out);
		cr_expect_str_eq(buf_string(&out), cases[i][1]);
	}
	buf_release(&out);
}

Test(origin, who_guesses_waits_longer_and_longer)
{
	static struct strikes s;
	uint64_t now = 1000;
	uint64_t before = 0;

	for (int i = 1; i < STRIKES_FREE; i++) {
		strikes_add(&s, "192.0.2.1", now);
		cr_expect_eq(strikes_wait(&s, "192.0.2.1", now), 0, "%d", i);
	}
	for (int i = 0; i < 10; i++) {
		uint64_t wait;

		strikes_add(&s, "192.0.2.1", now);
		wait = strikes_wait(&s, "192.0.2.1", now);
		cr_expect(wait > before || wait == STRIKES_PAUSE, "%llu", (unsigned long long)wait);
		cr_expect_leq(wait, STRIKES_PAUSE);
		cr_expect_eq(strikes_wait(&s, "192.0.2.1", now + wait), 0);
		cr_expect_eq(strikes_wait(&s, "192.0.2.2", now), 0, "others do not");
		before = wait;
	}
	cr_expect_eq(before, STRIKES_PAUSE);
	now += STRIKES_MEMORY;
	strikes_add(&s, "192.0.2.1", now);
	cr_expect_eq(strikes_wait(&s, "192.0.2.1", now), 0, "forgotten");
}

Test(origin, many_origins_push_out_the_oldest)
{
	static struct strikes s;
	char origin[ORIGIN_TEXT];

	for (int i = 0; i < STRIKES_FREE; i++)
		strikes_add(&s, "old", 1000);
	cr_expect_gt(strikes_wait(&s, "old", 1000), 0);
	for (unsigned i = 0; i < STRIKES_MAX; i++) {
		snprintf(origin, sizeof origin, "new-%u", i);
		strikes_add(&s, origin, 1001);
	}
	cr_expect_eq(strikes_wait(&s, "old", 1001), 0);
}
