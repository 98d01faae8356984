#include "tests/unit/net_kit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>

#include "lib/net_dns.h"
#include "lib/text.h"

/* ---- a name server --------------------------------------------------------------------------------------- */

enum { T_A = 1, T_CNAME = 5, T_MX = 15, T_AAAA = 28 };
enum { R_NXDOMAIN = 3, R_SERVFAIL = 2, R_REFUSED = 5, R_SILENT = 99 };

/* One record, or what is answered instead. TYPE 0: for every type. */
struct row {
	const char *name;
	int type;
	int code;
	unsigned preference;
	const char *value;
};

static const struct row table[] = {
    {"one.example", T_MX, 0, 10, "Mail.One.Example"},
    {"xn--mller-kva.example", T_MX, 0, 10, "mail.one.example"},
    {"many.example", T_MX, 0, 20, "c.example"},
    {"many.example", T_MX, 0, 10, "a.example"},
    {"many.example", T_MX, 0, 10, "b.example"},
    {"many.example", T_MX, 0, 5, "first.example"},
    {"null.example", T_MX, 0, 0, ""},
    {"half-null.example", T_MX, 0, 0, ""},
    {"half-null.example", T_MX, 0, 10, "real.example"},
    {"alias.example", T_CNAME, 0, 0, "one.example"},
    {"alias.example", T_MX, 0, 10, "mail.one.example"},
    {"dangling.example", T_CNAME, 0, 0, "nothing.example"},
    {"odd.example", T_MX, 0, 10, "bad name.example"},
    {"bare.example", T_A, 0, 0, "192.0.2.7"},
    {"both.example", T_A, 0, 0, "192.0.2.1"},
    {"both.example", T_A, 0, 0, "192.0.2.2"},
    {"both.example", T_AAAA, 0, 0, "2001:db8::1"},
    {"six.example", T_AAAA, 0, 0, "2001:db8::6"},
    {"lame.example", T_A, 0, 0, "192.0.2.3"},
    {"lame.example", T_AAAA, R_SERVFAIL, 0, NULL},
    {"lame-none.example", T_A, R_SERVFAIL, 0, NULL},
    {"lame-six.example", T_AAAA, R_SERVFAIL, 0, NULL},
    {"gone.example", 0, R_NXDOMAIN, 0, NULL},
    {"fails.example", 0, R_SERVFAIL, 0, NULL},
    {"refused.example", 0, R_REFUSED, 0, NULL},
    {"silent.example", 0, R_SILENT, 0, NULL},
    {"half-silent.example", T_A, 0, 0, "192.0.2.4"},
    {"half-silent.example", T_AAAA, R_SILENT, 0, NULL},
};

struct server {
	int fd;
	int stop[2];
	pthread_t thread;
	char address[40];
};

static void put16(struct buf *b, unsigned n)
{
	buf_byte(b, (uint8_t)(n >> 8));
	buf_byte(b, (uint8_t)n);
}

static void put_name(struct buf *b, const char *name)
{
	while (*name != '\0') {
		size_t length = strcspn(name, ".");

		buf_byte(b, (uint8_t)length);
		buf_append(b, name, length);
		name += length + (name[length] == '.');
	}
	buf_byte(b, 0);
}

static void put_record(struct buf *b, const struct row *row)
{
	struct buf data;
	uint8_t address[16];

	buf_init(&data, 600);
	if (row->type == T_MX)
		put16(&data, row->preference);
	if (row->type == T_MX || row->type == T_CNAME)
		put_name(&data, row->value);
	if (row->type == T_A && inet_pton(AF_INET, row->value, address) == 1)
		buf_append(&data, address, 4);
	if (row->type == T_AAAA && inet_pton(AF_INET6, row->value, address) == 1)
		buf_append(&data, address, 16);
	put_name(b, row->name);
	put16(b, (unsigned)row->type);
	put16(b, 1);
	put16(b, 0);
	put16(b, 60);
	put16(b, (unsigned)data.length);
	buf_view(b, view_buf(&data));
	buf_release(&data);
}

/* The answer to a question of LENGTH octets; false: none. */
static bool answer(const uint8_t *in, size_t length, struct buf *out)
{
	char name[300] = "";
	size_t at = 12;
	size_t used = 0;
	unsigned type;
	unsigned count = 0;
	int code = 0;

	while (at < length && in[at] != 0 && used + in[at] + 2 < sizeof name) {
		memcpy(name + used, in + at + 1, in[at]);
		used += in[at];
		name[used++] = '.';
		at += in[at] + 1u;
	}
	name[used > 0 ? used - 1 : 0] = '\0';
	text_lower_all(name);
	at++;
	type = (unsigned)in[at] << 8 | in[at + 1];
	buf_append(out, in, 2);
	put16(out, 0x8180);
	put16(out, 1);
	put16(out, 0);
	put16(out, 0);
	put16(out, 0);
	buf_append(out, in + 12, at + 4 - 12);
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		const struct row *row = &table[i];

		if (strcmp(row->name, name) != 0)
			continue;
		if (row->type != 0 && row->type != T_CNAME && (unsigned)row->type != type)
			continue;
		if (row->code != 0) {
			code = row->code;
			continue;
		}
		put_record(out, row);
		count++;
	}
	out->bytes[3] = (uint8_t)(0x80 | code);
	out->bytes[7] = (uint8_t)count;
	return code != R_SILENT;
}

static void *serve(void *context)
{
	struct server *s = context;
	struct pollfd polls[2] = {{.fd = s->fd, .events = POLLIN}, {.fd = s->stop[0], .events = POLLIN}};

	while (poll(polls, 2, -1) > 0 && polls[1].revents == 0) {
		uint8_t in[600];
		struct sockaddr_in from;
		socklen_t size = sizeof from;
		ssize_t count = recvfrom(s->fd, in, sizeof in, 0, (struct sockaddr *)&from, &size);
		struct buf out;

		buf_init(&out, 4096);
		if (count > 16 && answer(in, (size_t)count, &out))
			(void)!sendto(s->fd, out.bytes, out.length, 0, (struct sockaddr *)&from, size);
		buf_release(&out);
	}
	return NULL;
}

static void server_open(struct server *s)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof address;

	s->fd = socket(AF_INET, SOCK_DGRAM, 0);
	cr_assert_eq(bind(s->fd, (struct sockaddr *)&address, length), 0);
	cr_assert_eq(getsockname(s->fd, (struct sockaddr *)&address, &length), 0);
	snprintf(s->address, sizeof s->address, "127.0.0.1:%d", ntohs(address.sin_port));
	cr_assert_eq(pipe(s->stop), 0);
	cr_assert_eq(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_close(struct server *s)
{
	close(s->stop[1]);
	pthread_join(s->thread, NULL);
	close(s->stop[0]);
	close(s->fd);
}

/* ---- questions ------------------------------------------------------------------------------------------- */

struct heard {
	unsigned calls;
	enum dns_result result;
	struct dns_mx hosts[DNS_HOSTS_MAX];
	char addresses[DNS_ADDRESSES_MAX][60];
	size_t count;
	char why[1000];
	struct dns *close; /* to be closed in the handler */
};

static void heard_mx(void *context, enum dns_result result, const struct dns_mx *hosts, size_t count, const char *why)
{
	struct heard *h = context;

	h->calls++;
	h->result = result;
	h->count = count;
	for (size_t i = 0; i < count; i++)
		h->hosts[i] = hosts[i];
	snprintf(h->why, sizeof h->why, "%s", why);
	dns_close(h->close);
}

static void heard_addresses(
    void *context, enum dns_result result, const struct dns_address *addresses, size_t count, const char *why)
{
	struct heard *h = context;

	h->calls++;
	h->result = result;
	h->count = count;
	for (size_t i = 0; i < count; i++) {
		const struct sockaddr *plain = (const struct sockaddr *)&addresses[i].address;
		bool four = plain->sa_family == AF_INET;
		const void *bytes = four ? (const void *)&((const struct sockaddr_in *)plain)->sin_addr
					 : (const void *)&((const struct sockaddr_in6 *)plain)->sin6_addr;

		cr_assert_eq(addresses[i].length, four ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
		cr_assert_eq(((const struct sockaddr_in *)plain)->sin_port, 0);
		inet_ntop(plain->sa_family, bytes, h->addresses[i], sizeof h->addresses[i]);
	}
	snprintf(h->why, sizeof h->why, "%s", why);
	dns_close(h->close);
}

struct ground {
	struct server server;
	struct event_base *base;
	struct dns *dns;
};

static void ground_open(struct ground *g, unsigned seconds)
{
	struct error err = ERROR_NONE;

	server_open(&g->server);
	g->base = event_base_new();
	cr_assert_eq(dns_open(&g->dns, g->base, g->server.address, seconds, &err), OUTCOME_DONE, "%s", err.text);
}

static void ground_close(struct ground *g)
{
	dns_close(g->dns);
	event_base_free(g->base);
	libevent_global_shutdown();
	server_close(&g->server);
}

static struct heard ask_mx(struct ground *g, const char *domain)
{
	struct heard h = {0};

	dns_mx(g->dns, domain, heard_mx, &h);
	cr_assert_eq(h.calls, 0, "never from within");
	cr_assert(run_until(g->base, h.calls > 0), "%s", domain);
	return h;
}

static struct heard ask_addresses(struct ground *g, const char *name, enum dns_families families)
{
	struct heard h = {0};

	dns_addresses(g->dns, name, families, heard_addresses, &h);
	cr_assert_eq(h.calls, 0, "never from within");
	cr_assert(run_until(g->base, h.calls > 0), "%s", name);
	return h;
}

Test(net_dns, finds_mail_servers)
{
	static const struct {
		const char *domain;
		enum dns_result result;
		size_t count;
		const char *first;
		const char *why;
	} cases[] = {
	    {"one.example", DNS_FOUND, 1, "mail.one.example", ""},
	    {"ONE.example.", DNS_FOUND, 1, "mail.one.example", ""},
	    {"alias.example", DNS_FOUND, 1, "mail.one.example", ""},
	    {"many.example", DNS_FOUND, 4, "first.example", ""},
	    {"null.example", DNS_FOUND, 1, "", ""},
	    {"half-null.example", DNS_FOUND, 1, "real.example", ""},
	    {"bare.example", DNS_NONE, 0, NULL, "no such record"},
	    {"dangling.example", DNS_NONE, 0, NULL, "no such record"},
	    {"gone.example", DNS_NONE, 0, NULL, "does not exist"},
	    {"odd.example", DNS_TROUBLE, 0, NULL, "names that cannot exist"},
	    {"fails.example", DNS_TROUBLE, 0, NULL, "the name servers fail"},
	    {"refused.example", DNS_TROUBLE, 0, NULL, "the name servers fail"},
	    {"", DNS_NONE, 0, NULL, "no domain name"},
	    {"a..example", DNS_NONE, 0, NULL, "no domain name"},
	    {"a b.example", DNS_NONE, 0, NULL, "no domain name"},
	    {"m\xc3\xbcller.example", DNS_FOUND, 1, "mail.one.example", ""},
	    {"M\xc3\x9cLLER.example", DNS_FOUND, 1, "mail.one.example", ""},
	    {"m\xff.example", DNS_NONE, 0, NULL, "no domain name"},
	};
	struct ground g;

	ground_open(&g, 10);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct heard h = ask_mx(&g, cases[i].domain);

		cr_assert_eq(h.result, cases[i].result, "%s: %d %s", cases[i].domain, h.result, h.why);
		cr_assert_eq(h.count, cases[i].count, "%s: %zu", cases[i].domain, h.count);
		if (cases[i].first != NULL)
			cr_assert_str_eq(h.hosts[0].name, cases[i].first);
		if (cases[i].why[0] == '\0')
			cr_assert_str_eq(h.why, "");
		cr_assert_not_null(strcasestr(h.why, cases[i].why), "%s: %s", cases[i].domain, h.why);
	}
	ground_close(&g);
}

Test(net_dns, equal_preferences_are_shuffled)
{
	struct ground g;
	unsigned a_first = 0;

	ground_open(&g, 10);
	for (int i = 0; i < 40; i++) {
		struct heard h = ask_mx(&g, "many.example");

		cr_assert_eq(h.count, 4);
		cr_assert_eq(h.hosts[0].preference, 5);
		cr_assert_eq(h.hosts[1].preference, 10);
		cr_assert_eq(h.hosts[2].preference, 10);
		cr_assert_str_eq(h.hosts[3].name, "c.example");
		cr_assert_neq(h.hosts[1].name[0], h.hosts[2].name[0]);
		a_first += h.hosts[1].name[0] == 'a';
	}
	cr_assert(a_first > 3 && a_first < 37, "%u of 40", a_first);
	ground_close(&g);
}

Test(net_dns, finds_addresses)
{
	static const struct {
		const char *name;
		enum dns_families families;
		enum dns_result result;
		const char *addresses; /* space after each */
	} cases[] = {
	    {"both.example", DNS_ANY, DNS_FOUND, "2001:db8::1 192.0.2.1 192.0.2.2 "},
	    {"Both.Example.", DNS_ANY, DNS_FOUND, "2001:db8::1 192.0.2.1 192.0.2.2 "},
	    {"both.example", DNS_IPV4_ONLY, DNS_FOUND, "192.0.2.1 192.0.2.2 "},
	    {"bare.example", DNS_ANY, DNS_FOUND, "192.0.2.7 "},
	    {"six.example", DNS_ANY, DNS_FOUND, "2001:db8::6 "},
	    {"six.example", DNS_IPV4_ONLY, DNS_NONE, ""},
	    {"lame.example", DNS_ANY, DNS_FOUND, "192.0.2.3 "},
	    {"lame-none.example", DNS_ANY, DNS_TROUBLE, ""},
	    {"lame-six.example", DNS_ANY, DNS_TROUBLE, ""},
	    {"gone.example", DNS_ANY, DNS_NONE, ""},
	    {"one.example", DNS_ANY, DNS_NONE, ""},
	    {"fails.example", DNS_ANY, DNS_TROUBLE, ""},
	    {"refused.example", DNS_ANY, DNS_TROUBLE, ""},
	    {"192.0.2.9", DNS_ANY, DNS_FOUND, "192.0.2.9 "},
	    {"[192.0.2.9]", DNS_ANY, DNS_FOUND, "192.0.2.9 "},
	    {"2001:db8::9", DNS_ANY, DNS_FOUND, "2001:db8::9 "},
	    {"[2001:db8::9]", DNS_ANY, DNS_FOUND, "2001:db8::9 "},
	    {"[IPv6:2001:db8::9]", DNS_ANY, DNS_FOUND, "2001:db8::9 "},
	    {"[192.0.2.999]", DNS_ANY, DNS_NONE, ""},
	    {"a..b", DNS_ANY, DNS_NONE, ""},
	    {"", DNS_ANY, DNS_NONE, ""},
	};
	struct ground g;

	ground_open(&g, 10);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct heard h = ask_addresses(&g, cases[i].name, cases[i].families);
		struct buf all;

		buf_init(&all, 1000);
		for (size_t k = 0; k < h.count; k++)
			buf_format(&all, "%s ", h.addresses[k]);
		cr_assert_eq(h.result, cases[i].result, "%s: %d %s", cases[i].name, h.result, h.why);
		cr_assert_str_eq(buf_string(&all), cases[i].addresses, "%s", cases[i].name);
		cr_assert_eq(h.why[0] == '\0', h.result == DNS_FOUND, "%s: %s", cases[i].name, h.why);
		buf_release(&all);
	}
	ground_close(&g);
}

Test(net_dns, the_hosts_file_counts)
{
	struct ground g;
	struct heard h;

	ground_open(&g, 10);
	h = ask_addresses(&g, "localhost", DNS_IPV4_ONLY);
	cr_assert_eq(h.result, DNS_FOUND, "%s", h.why);
	cr_assert_str_eq(h.addresses[0], "127.0.0.1");
	ground_close(&g);
}

Test(net_dns, silence_has_an_end)
{
	struct ground g;
	struct heard h;
	double begun = seconds_now();

	ground_open(&g, 1);
	h = ask_mx(&g, "silent.example");
	cr_assert_eq(h.result, DNS_TROUBLE);
	cr_assert(strstr(h.why, "no answer") != NULL || strstr(h.why, "no name server answers") != NULL, "%s", h.why);
	h = ask_addresses(&g, "silent.example", DNS_ANY);
	cr_assert_eq(h.result, DNS_TROUBLE);
	h = ask_addresses(&g, "half-silent.example", DNS_ANY);
	cr_assert_eq(h.result, DNS_FOUND, "what was found counts");
	cr_assert_str_eq(h.addresses[0], "192.0.2.4");
	cr_assert_lt(seconds_now() - begun, 6);
	run_for(g.base, 1500);
	cr_assert_eq(h.calls, 1);
	ground_close(&g);
}

Test(net_dns, closing_forgets_what_is_open)
{
	struct ground g;
	struct heard h[6] = {{0}};

	ground_open(&g, 5);
	dns_mx(g.dns, "silent.example", heard_mx, &h[0]);
	dns_addresses(g.dns, "silent.example", DNS_ANY, heard_addresses, &h[1]);
	run_for(g.base, 20);
	dns_addresses(g.dns, "192.0.2.1", DNS_ANY, heard_addresses, &h[2]);
	dns_mx(g.dns, "a..b", heard_mx, &h[3]);
	dns_close(g.dns);
	g.dns = NULL;
	run_for(g.base, 50);
	for (size_t i = 0; i < 4; i++)
		cr_assert_eq(h[i].calls, 0, "%zu", i);
	ground_close(&g);
	/* In a handler, others being open, and the own one after its deadline. */
	for (int late = 0; late < 2; late++) {
		ground_open(&g, 1);
		h[4] = h[5] = (struct heard){0};
		h[4].close = g.dns;
		dns_mx(g.dns, late ? "silent.example" : "one.example", heard_mx, &h[4]);
		run_for(g.base, late ? 5 : 0);
		dns_addresses(g.dns, "silent.example", DNS_ANY, heard_addresses, &h[5]);
		cr_assert(run_until(g.base, h[4].calls == 1));
		g.dns = NULL;
		run_for(g.base, 30);
		cr_assert_eq(h[5].calls, 0);
		ground_close(&g);
	}
}

Test(net_dns, nonsense_for_servers_is_told)
{
	struct event_base *base = event_base_new();
	struct error err = ERROR_NONE;
	struct dns *dns;

	cr_assert_neq(dns_open(&dns, base, "no such thing", 5, &err), OUTCOME_DONE);
	cr_assert_null(dns);
	cr_assert_eq(err.code, EX_CONFIG);
	cr_assert_not_null(strstr(err.text, "no such thing"), "%s", err.text);
	cr_assert_eq(dns_open(&dns, base, NULL, 5, &err), OUTCOME_DONE, "%s", err.text);
	dns_close(dns);
	dns_close(NULL);
	event_base_free(base);
}
