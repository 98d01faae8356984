#include "lib/endpoint.h"

#include <criterion/criterion.h>

#include "lib/alloc.h"

Test(endpoint, a_host_and_its_port)
{
	static const struct {
		const char *text;
		const char *host;
		uint16_t port;
		bool bracketed;
	} good[] = {
	    {"mail.example.org:25", "mail.example.org", 25, false},
	    {"192.0.2.1:65535", "192.0.2.1", 65535, false},
	    {"[2001:db8::1]:995", "2001:db8::1", 995, true},
	    {"[fe80::1%eth0]:1", "fe80::1%eth0", 1, true},
	    {"[192.0.2.1]:25", "192.0.2.1", 25, true},
	    {"*:0", "*", 0, false},
	};
	struct endpoint e;

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
		cr_assert(endpoint_parse(good[i].text, &e), "%s", good[i].text);
		cr_expect_str_eq(e.host, good[i].host);
		cr_expect_eq(e.port, good[i].port, "%s", good[i].text);
		cr_expect_eq(e.bracketed, good[i].bracketed, "%s", good[i].text);
	}
}

Test(endpoint, what_is_none)
{
	static const char *const bad[] = {"", ":", ":25", "25", "host", "host:", "host:x", "host:65536",
	    "host:000025", "host:-1", "host: 25", "host:25 ", "two words:25", "tab\t:25", "2001:db8::1:25", "[]:25",
	    "[:25", "]:25", "[::1]", "[::1:25", "::1]:25", "[[::1]]:25", "[a b]:25", "[IPv6:2001:db8::1]"};
	char *longest = mem_format("%0*d:25", LIMIT_DOMAIN, 0);
	char *longer = mem_format("%0*d:25", LIMIT_DOMAIN + 1, 0);
	struct endpoint e;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_expect_not(endpoint_parse(bad[i], &e), "%s", bad[i]);
	cr_expect(endpoint_parse(longest, &e));
	cr_expect_not(endpoint_parse(longer, &e));
	free(longest);
	free(longer);
}
