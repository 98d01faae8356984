#include "queue/config.h"

#include "lib/text.h"
#include "tests/unit/scratch.h"

/* A directory with a configuration, and what loading it said. */
struct fixture {
	struct dir root;
	char *path; /* of packetboat.conf */
	struct config config;
	struct strings said;
	struct error err;
	enum outcome outcome;
};

static struct fixture fixture_open(void)
{
	struct fixture f = {.root = scratch_open()};

	f.path = mem_format("%s/packetboat.conf", f.root.path);
	return f;
}

static void fixture_clear(struct fixture *f)
{
	config_release(&f->config);
	strings_release(&f->said);
	f->err = ERROR_NONE;
}

static void fixture_close(struct fixture *f)
{
	fixture_clear(f);
	free(f->path);
	scratch_close(&f->root);
}

static void put(struct fixture *f, const char *name, const char *text)
{
	char *path = mem_format("%s/%s", f->root.path, name);
	FILE *file = fopen(path, "w");

	cr_assert_not_null(file, "%s", path);
	cr_assert_geq(fputs(text, file), 0);
	cr_assert_eq(fclose(file), 0);
	free(path);
}

static void make_drop_in_directory(struct fixture *f)
{
	struct dir d;

	cr_assert_eq(dir_make(&d, &f->root, "conf.d", 0700, &f->err), OUTCOME_DONE, "%s", f->err.text);
	dir_close(&d);
}

static void hear(void *context, const char *sentence)
{
	struct fixture *f = context;
	size_t length = strlen(f->root.path);

	cr_assert(text_starts(sentence, f->root.path) && sentence[length] == '/', "%s", sentence);
	strings_add(&f->said, sentence + length + 1);
}

static void load(struct fixture *f)
{
	fixture_clear(f);
	f->outcome = config_load(&f->config, f->path, hear, f, &f->err);
}

static void load_text(struct fixture *f, const char *text)
{
	put(f, "packetboat.conf", text);
	load(f);
}

static void load_good(struct fixture *f, const char *text)
{
	load_text(f, text);
	cr_assert_eq(f->outcome, OUTCOME_DONE, "%s", f->err.text);
	cr_assert_eq(f->said.count, 0);
}

static char *below(const struct fixture *f, const char *name)
{
	return mem_format("%s/%s", f->root.path, name);
}

static void assert_below(const struct fixture *f, const char *path, const char *name)
{
	char *expected = below(f, name);

	cr_assert_str_eq(path, expected);
	free(expected);
}

/* ---- what is understood --------------------------------------------------------------------------- */

Test(config, defaults)
{
	struct fixture f = fixture_open();
	struct config *c = &f.config;

	load_good(&f, "host = village\n"
		      "neighbour \"city\" { key = \"pb1x\" }\n"
		      "route \"*\" { via = smtp }\n");
	cr_assert_str_eq(c->host, "village");
	cr_assert_str_eq(c->path, f.path);
	cr_assert_str_eq(c->directory, f.root.path);
	assert_below(&f, c->spool, "spool");
	assert_below(&f, c->keys, "keys");
	assert_below(&f, c->users, "users");
	cr_assert_eq(c->domains.count, 0);
	cr_assert_null(c->postmaster);
	cr_assert_eq(c->expire, 30 * 86400);
	cr_assert_eq(c->warn, 2 * 86400);
	cr_assert_eq(c->retry_min, 300);
	cr_assert_eq(c->retry_max, 4 * 3600);
	cr_assert_eq(c->max_size, 2ull << 30);
	cr_assert_eq(c->min_free, 16 << 20);
	cr_assert_eq(c->reports, 100);
	cr_assert_eq(c->hops, LIMIT_HOPS);
	cr_assert_eq(c->smtpd.server.listen.count, 0);
	cr_assert_eq(c->pop3d.server.listen.count, 0);
	cr_assert_eq(c->alias_count, 0);

	cr_assert_eq(c->neighbour_count, 1);
	cr_assert(c->neighbours[0].seal);
	cr_assert_not(c->neighbours[0].relay);
	cr_assert_eq(c->neighbours[0].call.count, 0);
	cr_assert_eq(c->neighbours[0].senders.count, 0);
	cr_assert_eq(c->neighbours[0].window.count, 0);
	cr_assert_eq(c->neighbours[0].max_size, 0);
	cr_assert_eq(c->neighbours[0].batch_size, 1 << 20);
	cr_assert_eq(c->neighbours[0].resend, 86400);
	cr_assert_eq(c->neighbours[0].outstanding, 1 << 30);

	cr_assert_eq(c->route_count, 1);
	cr_assert_eq(c->routes[0].expire, 30 * 86400);
	cr_assert_eq(c->routes[0].warn, 2 * 86400);
	cr_assert_null(c->routes[0].target);
	fixture_close(&f);
}

Test(config, every_option_at_the_top)
{
	struct fixture f = fixture_open();
	struct config *c = &f.config;

	load_good(&f, "host = 'village-1'\n"
		      "domains = { \"Village.Example.ORG\", b.example }\n"
		      "postmaster = \"joe@example.org\"\n"
		      "spool = var/spool\nkeys = \"/etc/keys\"\nusers = logins\n"
		      "expire = 90d\nwarn = 0\nretry-min = 90s\nretry-max = 2h\n"
		      "max-size = 10M\nmin-free = 64k\nreports = 7\nhops = 9\n"
		      "smtpd { listen = { \"127.0.0.1:2525\", \"submission:127.0.0.1:2587\" } }\n"
		      "pop3d { listen = \"127.0.0.1:2110\" }\n");
	cr_assert_str_eq(c->host, "village-1");
	cr_assert_eq(c->domains.count, 2);
	cr_assert_str_eq(c->domains.items[0], "village.example.org");
	cr_assert_str_eq(c->domains.items[1], "b.example");
	cr_assert_str_eq(c->postmaster, "joe@example.org");
	assert_below(&f, c->spool, "var/spool");
	cr_assert_str_eq(c->keys, "/etc/keys");
	assert_below(&f, c->users, "logins");
	cr_assert_eq(c->expire, 90 * 86400);
	cr_assert_eq(c->warn, 0);
	cr_assert_eq(c->retry_min, 90);
	cr_assert_eq(c->retry_max, 7200);
	cr_assert_eq(c->max_size, 10 << 20);
	cr_assert_eq(c->min_free, 64 << 10);
	cr_assert_eq(c->reports, 7);
	cr_assert_eq(c->hops, 9);
	cr_assert_eq(c->smtpd.server.listen.count, 2);
	cr_assert_str_eq(c->smtpd.server.listen.items[1], "submission:127.0.0.1:2587");
	cr_assert_eq(c->pop3d.server.listen.count, 1);
	fixture_close(&f);
}

Test(config, every_option_of_a_neighbour)
{
	struct fixture f = fixture_open();
	const struct config_neighbour *n;

	load_good(&f, "host = village\n"
		      "\n"
		      "neighbour \"city\" {\n"
		      "  key = \"pb1abc\"\n"
		      "  call = { \"tcp:city.example.org:5400\", \"tcp:[2001:db8::1]:5400\",\n"
		      "    \"dir:/media/stick\", \"dir:stick\", \"exec:ssh -q city packetboat-relay answer\" }\n"
		      "  seal = no relay = true\n"
		      "  senders = { \"*.example.org\", example.net, \"*\" }\n"
		      "  max-size = 1M batch-size = 64k resend = 12h outstanding = 2G\n"
		      "  window = { \"22:00-06:00\", \"12:30-13:00\" }\n"
		      "}\n"
		      "neighbor \"ship\" { key = \"pb1def\" }\n");
	n = config_neighbour(&f.config, "city");
	cr_assert_not_null(n);
	cr_assert_str_eq(n->key, "pb1abc");
	cr_assert_eq(n->call.count, 5);
	cr_assert_str_eq(n->call.items[0], "tcp:city.example.org:5400");
	cr_assert_str_eq(n->call.items[2], "dir:/media/stick");
	cr_assert(text_starts(n->call.items[3], "dir:"));
	assert_below(&f, n->call.items[3] + 4, "stick");
	cr_assert_str_eq(n->call.items[4], "exec:ssh -q city packetboat-relay answer");
	cr_assert_not(n->seal);
	cr_assert(n->relay);
	cr_assert_eq(n->senders.count, 3);
	cr_assert_str_eq(n->senders.items[0], "*.example.org");
	cr_assert_eq(n->max_size, 1 << 20);
	cr_assert_eq(n->batch_size, 64 << 10);
	cr_assert_eq(n->resend, 12 * 3600);
	cr_assert_eq(n->outstanding, 2ull << 30);
	cr_assert_eq(n->window.count, 2);
	cr_assert_str_eq(n->window.items[0], "22:00-06:00");
	assert_below(&f, n->where, "packetboat.conf:3");
	cr_assert_not_null(config_neighbour(&f.config, "ship"));
	cr_assert_null(config_neighbour(&f.config, "City"));
	fixture_close(&f);
}

Test(config, every_way_of_a_route)
{
	static const struct {
		const char *via;
		enum via way;
		const char *target;
	} cases[] = {
	    {"neighbour:city", VIA_NEIGHBOUR, "city"},
	    {"neighbor:city", VIA_NEIGHBOUR, "city"},
	    {"smtp", VIA_SMTP, NULL},
	    {"smtp:smart.example.org:587", VIA_SMTP, "smart.example.org:587"},
	    {"smtp:[::1]:25", VIA_SMTP, "[::1]:25"},
	    {"maildir", VIA_MAILDIR, NULL},
	    {"lmtp:/run/lmtp", VIA_LMTP, "/run/lmtp"},
	};
	static const char *const patterns[] = {"*", "*.example.org", "example.org", "joe@example.org"};
	struct fixture f = fixture_open();

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char *text = mem_format("host = a neighbour \"city\" { key = x }\nexpire = 5d warn = 1d\n"
					"route \"%s\" { via = \"%s\" warn = 3h }\n",
		    patterns[i % 4], cases[i].via);

		load_good(&f, text);
		cr_assert_eq(f.config.route_count, 1);
		cr_assert_str_eq(f.config.routes[0].pattern, patterns[i % 4]);
		cr_assert_eq(f.config.routes[0].via, cases[i].way);
		if (cases[i].target == NULL)
			cr_assert_null(f.config.routes[0].target);
		else
			cr_assert_str_eq(f.config.routes[0].target, cases[i].target);
		cr_assert_eq(f.config.routes[0].expire, 5 * 86400, "the general one");
		cr_assert_eq(f.config.routes[0].warn, 3 * 3600);
		assert_below(&f, f.config.routes[0].where, "packetboat.conf:3");
		free(text);
	}
	load_good(&f, "host = a\nroute \"*\" { via = \"lmtp:run/sock\" expire = 1w }\n");
	assert_below(&f, f.config.routes[0].target, "run/sock");
	cr_assert_eq(f.config.routes[0].expire, 7 * 86400);
	fixture_close(&f);
}

Test(config, aliases)
{
	struct fixture f = fixture_open();

	load_good(&f, "host = a domains = { d.example }\n"
		      "alias \"Info\" { to = { joe, \"ann@far.example\", \"b!c!user\" } }\n"
		      "alias \"sales@d.example\" { to = \"info\" }\n"
		      /* It keeps a copy for the user of that name; and two ways to one place are no loop. */
		      "alias \"joe\" { to = { joe, \"archive@far.example\" } }\n"
		      "alias \"all\" { to = { info, joe, \"sales@d.example\" } }\n");
	cr_assert_eq(f.config.alias_count, 4);
	cr_assert_str_eq(f.config.aliases[0].name, "info");
	cr_assert_eq(f.config.aliases[0].targets.count, 3);
	cr_assert_str_eq(f.config.aliases[0].targets.items[2], "b!c!user");
	assert_below(&f, f.config.aliases[1].where, "packetboat.conf:3");
	fixture_close(&f);
}

Test(config, local_domains_are_ours_and_the_host)
{
	struct fixture f = fixture_open();

	load_good(&f, "host = village domains = { \"d.Example\" }\n");
	cr_assert(config_is_local(&f.config, view_text("VILLAGE")));
	cr_assert(config_is_local(&f.config, view_text("D.example")));
	cr_assert_not(config_is_local(&f.config, view_text("x.d.example")));
	cr_assert_not(config_is_local(&f.config, view_text("")));
	fixture_close(&f);
}

Test(config, sections_and_the_name_for_mail)
{
	struct fixture f = fixture_open();

	load_good(&f, "host = village\n"
		      "fetch \"one\" { server = \"pop.example.org:995\" user = u password = p to = ann }\n"
		      "fetch \"two\" { server = \"pop.example.org:995\" user = v password = p to = ann }\n");
	cr_expect_eq(config_fetch(&f.config, "two"), &f.config.fetches[1]);
	cr_expect_eq(config_fetch(&f.config, "one"), &f.config.fetches[0]);
	cr_expect_null(config_fetch(&f.config, "tw"));
	cr_expect_str_eq(config_mail_name(&f.config, NULL), "village");
	cr_expect_str_eq(config_mail_name(&f.config, "mail.d.example"), "mail.d.example");
	load_good(&f, "host = village domains = { \"d.example\", \"e.example\" }\n");
	cr_expect_str_eq(config_mail_name(&f.config, NULL), "d.example");
	fixture_close(&f);
}

Test(config, syntax_of_the_file)
{
	struct fixture f = fixture_open();

	setenv("PACKETBOAT_UNIT_DOMAIN", "env.example", 1);
	load_good(&f, "\xef\xbb\xbf# a comment with \"quotes\" and { braces\r\n"
		      "host = village // another\r\n/* one * over\n lines */ domains = { x.example }\n");
	load_good(&f, "host = village\n"
		      "domains = { a.example /* { */, b.example } # }\n"
		      "domains += { \"${PACKETBOAT_UNIT_DOMAIN}\", \"${PACKETBOAT_UNIT_NONE:-none.example}\" }\n"
		      "spool = a//b users = \"#c\"\n");
	cr_assert_eq(f.config.domains.count, 4);
	cr_assert_str_eq(f.config.domains.items[2], "env.example");
	cr_assert_str_eq(f.config.domains.items[3], "none.example");
	assert_below(&f, f.config.spool, "a//b");
	assert_below(&f, f.config.users, "#c");
	fixture_close(&f);
}

/* ---- mistakes ------------------------------------------------------------------------------------- */

/* Each with the sentences expected, less the directory; a sentence ending in "*" is the beginning of one. */
static const struct {
	const char *text;
	const char *said[6];
} mistakes[] = {
    {"", {"packetboat.conf:1: host is missing*"}},
    {"# c\n/* c\n*/ hots = x host = a", {"packetboat.conf:3: unknown option \"hots\""}},
    {"host = a\nhost = b", {"packetboat.conf:2: host was already set at */packetboat.conf:1"}},
    {"host = Village", {"packetboat.conf:1: host: \"Village\" is not a host name*"}},
    {"host = a\nhost-x { }", {"packetboat.conf:2: unknown section \"host-x\""}},
    {"host = a\nlist \"x\" { via = 1 list = { a, b } deep { x = 1 } }\nfoo = 1",
	{"packetboat.conf:2: unknown section \"list\"", "packetboat.conf:3: unknown option \"foo\""}},
    {"host = a\nfrob(a, \"b\")\nx = { 1, 2 }",
	{"packetboat.conf:2: unknown function \"frob\"", "packetboat.conf:3: unknown option \"x\""}},
    {"host = { a, b }", {"packetboat.conf:1: host takes one value, not 2"}},
    {"host = a\nexpire = 30x", {"packetboat.conf:2: expire: \"30x\" is not a duration*"}},
    {"host = a\nexpire = 0", {"packetboat.conf:2: expire: \"0\" is too small: at least 1s"}},
    {"host = a\nexpire = 99999999w", {"packetboat.conf:2: expire: \"99999999w\" is too large*"}},
    {"host = a\nmax-size = 10T", {"packetboat.conf:2: max-size: \"10T\" is not a size*"}},
    {"host = a\nmax-size = 0", {"packetboat.conf:2: max-size: \"0\" is too small*"}},
    {"host = a\nhops = 33", {"packetboat.conf:2: hops: \"33\" is too large: at most 32"}},
    {"host = a\nreports = many", {"packetboat.conf:2: reports: \"many\" is not a number"}},
    {"host = a\nretry-min = 5h", {"packetboat.conf:2: retry-max is shorter than retry-min"}},
    {"host = a\nretry-min = 2h\nretry-max = 1h", {"packetboat.conf:3: retry-max is shorter than retry-min"}},
    {"host = a\nspool = \"\"", {"packetboat.conf:2: spool: an empty text says nothing"}},
    {"host = a\nspool = \"a\\nb\"", {"packetboat.conf:2: spool: the text holds a control character*"}},
    {"host = a\nspool = \"\xff\"", {"packetboat.conf:2: spool: the text holds a control character*"}},
    {"host = a\ndomains = { \"a.example\",\n \"a b\", \"*.example\", x..y }",
	{"packetboat.conf:3: domains: \"a b\" is not a domain", "packetboat.conf:3: domains: \"*.example\"*",
	    "packetboat.conf:3: domains: \"x..y\" is not a domain"}},
    {"host = a\npostmaster = \"a@@b\"", {"packetboat.conf:2: postmaster: \"a@@b\" is not a mail address*"}},

    {"host = a\nneighbour \"City\" { key = x }", {"packetboat.conf:2: neighbour \"City\" is not a host name*"}},
    {"host = a\nneighbour \"a\" { key = x }", {"packetboat.conf:2: neighbour \"a\" is this host itself"}},
    {"host = a\n\nneighbour \"b\" {\n}", {"packetboat.conf:3: neighbour \"b\" has no key*"}},
    {"host = a neighbour b { key = x }\nneighbor b { key = x }",
	{"packetboat.conf:2: neighbour \"b\" was already defined at */packetboat.conf:1"}},
    {"host = a\nneighbour b { key = x\n kex = y }", {"packetboat.conf:3: unknown option \"kex\" in neighbour \"b\""}},
    {"host = a\nneighbour b { key = x\n seal = maybe }",
	{"packetboat.conf:3: seal: \"maybe\" is neither true nor false"}},
    {"host = a\nneighbour b { key = x\n call = { \"dir:\", \"tcp:h\",\n\"tcp:::1:5\", \"exec:\", \"fax:1\" } "
     "}",
	{"packetboat.conf:3: call: \"dir:\" cannot be called*", "packetboat.conf:3: call: \"tcp:h\"*",
	    "packetboat.conf:4: call: \"tcp:::1:5\"*", "packetboat.conf:4: call: \"exec:\"*",
	    "packetboat.conf:4: call: \"fax:1\"*"}},
    {"host = a\nneighbour b { key = x senders = { \"x@y\", \"*x.y\" } }",
	{"packetboat.conf:2: senders: \"x@y\" is not a pattern*", "packetboat.conf:2: senders: \"*x.y\"*"}},
    {"host = a\nneighbour b { key = x window = { \"24:00-01:00\", \"1:00-2:00\", \"10:60-11:00\", \"10:00\" "
     "} }",
	{"packetboat.conf:2: window: \"24:00-01:00\" is not*", "packetboat.conf:2: window: \"1:00-2:00\"*",
	    "packetboat.conf:2: window: \"10:60-11:00\"*", "packetboat.conf:2: window: \"10:00\"*"}},
    {"host = a\nneighbour b { key = x\n", {"packetboat.conf:2: the \"{\" here is not closed by \"}\""}},
    {"host = a\nneighbour b { key = x\nroute \"*\" { via = smtp }\n}",
	{"packetboat.conf:3: unknown section \"route\" in neighbour \"b\": is a \"}\" missing before it?"}},

    {"host = a\nroute \"*\" {\n via = \"neighbour:b\" }", {"packetboat.conf:3: via: neighbour \"b\" is not defined"}},
    {"host = a\nroute \"*\" { }", {"packetboat.conf:2: route \"*\" does not say via what"}},
    {"host = a\nroute \"*\" { via = pigeon }", {"packetboat.conf:2: via: \"pigeon\" is not a way*"}},
    {"host = a\nroute \"*\" { via = \"neighbour:\" }",
	{"packetboat.conf:2: via: \"neighbour:\" names no neighbour*"}},
    {"host = a\nroute \"*\" { via = \"smtp:h\" }", {"packetboat.conf:2: via: \"smtp:h\" names no server*"}},
    {"host = a\nroute \"*\" { via = \"smtp:h:0\" }", {"packetboat.conf:2: via: \"smtp:h:0\"*"}},
    {"host = a\nroute \"*\" { via = \"smtp:h:70000\" }", {"packetboat.conf:2: via: \"smtp:h:70000\"*"}},
    {"host = a\nroute \"*\" { via = \"lmtp:\" }", {"packetboat.conf:2: via: \"lmtp:\" names no socket*"}},
    {"host = a\nroute \"**\" { via = smtp }", {"packetboat.conf:2: route \"**\" is not a pattern*"}},
    {"host = a\nroute \"a@*\" { via = smtp }", {"packetboat.conf:2: route \"a@*\" is not a pattern*"}},
    {"host = a route A.example { via = smtp }\nroute a.example { via = smtp }",
	{"packetboat.conf:2: route \"a.example\" was already defined at */packetboat.conf:1"}},
    {"host = a\nroute * { via = smtp }", {"packetboat.conf:2: \"*\" must stand in quotes"}},

    {"host = a\nalias x { }", {"packetboat.conf:2: alias \"x\" has no targets"}},
    {"host = a\nalias x { to = {} }", {"packetboat.conf:2: alias \"x\" has no targets"}},
    {"host = a\nalias \"a b\" { to = y }", {"packetboat.conf:2: alias: \"a b\" is not a mail address*"}},
    {"host = a\nalias \"a!b\" { to = y }", {"packetboat.conf:2: alias \"a!b\" is neither*"}},
    {"host = a\nalias x {\n to = { y,\n \"z@\" } }", {"packetboat.conf:4: to: \"z@\" is not a mail address*"}},
    {"host = a\nalias x { to = y }\nalias X { to = z }",
	{"packetboat.conf:3: alias \"X\" was already defined at */packetboat.conf:2"}},
    {"host = a\nalias x { to = y }\nalias y { to = X }",
	{"packetboat.conf:2: alias \"x\" leads back to itself: x -> y -> x"}},
    {"host = a domains = { d.example }\nalias x { to = y }\nalias y { to = { q, z } }\nalias z { to = "
     "\"Y@D.example\" }",
	{"packetboat.conf:3: alias \"y\" leads back to itself: y -> z -> y"}},
    {"host = a\nalias \"x@a\" { to = \"y@a\" }\nalias y { to = \"x@a\" }",
	{"packetboat.conf:2: alias \"x@a\" leads back to itself: x@a -> y -> x@a"}},

    {"host = a\nsmtpd { }\nsmtpd { }", {"packetboat.conf:3: smtpd was already defined at */packetboat.conf:2"}},
    {"host = a\nfetch \"box\" { server = \"pop.example.org\" to = ann prefix = \"x-\" }",
	{"packetboat.conf:2: server: \"pop.example.org\" is no server*",
	    "packetboat.conf:2: fetch \"box\" has no user", "packetboat.conf:2: fetch \"box\" has no password",
	    "packetboat.conf:2: fetch \"box\": prefix and domain belong to multidrop*"}},
    {"host = a\nfetch \"../x\" { server = \"b:1\" user = u password = p to = ann multidrop = \"a b\" }",
	{"packetboat.conf:2: multidrop: \"a b\"*", "packetboat.conf:2: fetch \"../x\": the name may hold*"}},
    {"host = a\npop3d { }\npop3d { lisen = x }",
	{"packetboat.conf:3: unknown option \"lisen\" in pop3d",
	    "packetboat.conf:3: pop3d was already defined at */packetboat.conf:2"}},

    /* The ends of reading; what stands before them is judged. */
    {"hots = a\nhost \"b\"\nfoo = 1",
	{"packetboat.conf:1: unknown option \"hots\"", "packetboat.conf:2: missing equal sign after option 'host'*"}},
    {"host = a\nexpire = 1x\n}",
	{"packetboat.conf:2: expire: \"1x\"*", "packetboat.conf:3: unexpected closing brace*"}},
    {"host = a\nneighbour { key = x }", {"packetboat.conf:2: missing title for section 'neighbour'*"}},
    {"host = a\nfoo bar baz", {"packetboat.conf:2: unknown word \"foo\"; what follows*"}},
    {"host = a\n\"\" = 1", {"packetboat.conf:1: an option with an empty name*"}},
    {"host = a\nexpire = 1x\nspool = \"x\nkeys = \"y\"\n",
	{"packetboat.conf:2: expire: \"1x\"*",
	    "packetboat.conf:3: the quoted text that begins here is not closed on its line"}},
    {"host = a\nspool = \"a${b\"\nkeys = \"}\"", {"packetboat.conf:2: \"${\" is not closed by \"}\" on its line"}},
    {"host = a\nspool = ${b\n}", {"packetboat.conf:2: \"${\" is not closed by \"}\" on its line"}},
    {"host = a\nexpire = 1x\n/* c\n", {"packetboat.conf:2: expire: \"1x\"*", "packetboat.conf:3: the comment*"}},
    {"host = a\nexpire = 1x\ninclude(\"a\" b)",
	{"packetboat.conf:2: expire: \"1x\"*", "packetboat.conf:3: a comma or \")\" is missing before this"}},
    {"host = a\ninclude(\"a\"\nspool = b", {"packetboat.conf:3: a comma or \")\"*"}},
    {"host = a\ninclude(\"a\",, b)", {"packetboat.conf:2: a value is missing before the comma"}},
    {"host = a\ninclude(\"a\", ", {"packetboat.conf:2: the \"(\" here is not closed by \")\""}},
    {"host = a\ninclude(\"a\", \"b\")", {"packetboat.conf:2: include takes the name of one file"}},
    {"host = a\nspool = \"\\999\"", {"packetboat.conf:2: bad escape sequence*"}},
};

/* Does SENTENCE match PATTERN, in which "*" stands for anything? */
static bool matches(const char *pattern, const char *sentence)
{
	if (*pattern == '*') {
		if (matches(pattern + 1, sentence))
			return true;
		return *sentence != '\0' && matches(pattern, sentence + 1);
	}
	return *pattern == *sentence && (*pattern == '\0' || matches(pattern + 1, sentence + 1));
}

static char *join(const struct strings *s)
{
	struct buf text;

	buf_init(&text, 100000);
	for (size_t i = 0; i < s->count; i++)
		buf_format(&text, "  %s\n", s->items[i]);
	return buf_detach(&text);
}

static void assert_said(const struct fixture *f, const char *const *said, size_t most, const char *text)
{
	char *all = join(&f->said);
	size_t count = 0;

	cr_assert_eq(f->outcome, OUTCOME_LATER, "%s", text);
	cr_assert_eq(f->err.code, EX_CONFIG, "%s", text);
	while (count < most && said[count] != NULL)
		count++;
	cr_assert_eq(f->said.count, count, "%s\nsays\n%s", text, all);
	for (size_t i = 0; i < count; i++)
		cr_assert(matches(said[i], f->said.items[i]), "%s\nsays\n%s", text, all);
	cr_assert(text_ends(f->err.text, f->said.items[0]), "the error is the first mistake: %s", f->err.text);
	cr_assert_null(f->config.host, "what failed leaves nothing");
	free(all);
}

Test(config, every_mistake_is_named_with_its_line)
{
	struct fixture f = fixture_open();

	for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
		load_text(&f, mistakes[i].text);
		assert_said(&f, mistakes[i].said, 6, mistakes[i].text);
	}
	fixture_close(&f);
}

Test(config, many_mistakes_in_one_run)
{
	static const char *const said[] = {
	    "packetboat.conf:2: unknown option \"hots\"",
	    "packetboat.conf:3: expire: \"soon\"*",
	    "packetboat.conf:5: unknown option \"kee\" in neighbour \"city\"",
	    "packetboat.conf:6: seal: \"2\" is neither*",
	    "packetboat.conf:8: via: neighbour \"town\" is not defined",
	    "packetboat.conf:9: unknown section \"rout\"",
	    "packetboat.conf:10: alias \"a\" leads back*",
	};
	struct fixture f = fixture_open();
	const char *text = "host = village\nhots = x\nexpire = soon\n"
			   "neighbour \"city\" { key = \"pb1\"\n kee = 1\n seal = 2\n}\n"
			   "route \"*\" { via = \"neighbour:town\" }\nrout \"b\" { via = smtp }\n"
			   "alias \"a\" { to = b } alias \"b\" { to = a }\n";

	load_text(&f, text);
	assert_said(&f, said, sizeof said / sizeof said[0], text);
	fixture_close(&f);
}

/* Names that are not ours come to an end, and no name confuses the reading. */
Test(config, strange_names)
{
	static const char *const texts[] = {
	    "host = a\nroot { x = 1 }",
	    "host = a\nroot \"t\" { } root \"t\" { }",
	    "host = a\n\"|\" = 1",
	    "host = a neighbour b { key = x \"|\" = 1 }",
	    "host = a neighbour b { key = x }\n\"neighbour='b'|key\" = y",
	    "host = a neighbour b { neighbour c { key = x } }",
	    "host = a x { x { x { x = 1 } } }",
	    "host = a x = 1 x { } x \"t\" { } x()",
	};
	struct fixture f = fixture_open();
	struct buf many;

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		load_text(&f, texts[i]);
		cr_assert_eq(f.err.code, EX_CONFIG, "%s", texts[i]);
		cr_assert_geq(f.said.count, 1, "%s", texts[i]);
	}
	buf_init(&many, 100000);
	for (int i = 0; i < 300; i++)
		buf_format(&many, "x%d = 1\n", i);
	load_text(&f, buf_string(&many));
	cr_assert_eq(f.said.count, 101, "a hundred by name, and the end of reading");
	buf_release(&many);
	fixture_close(&f);
}

Test(config, nul_is_refused)
{
	struct fixture f = fixture_open();
	FILE *file = fopen(f.path, "w");

	cr_assert_eq(fwrite("host = a\0b", 1, 10, file), 10);
	fclose(file);
	load(&f);
	cr_assert_eq(f.said.count, 1);
	cr_assert_str_eq(f.said.items[0], "packetboat.conf:1: this is not a text file: it holds NUL");
	fixture_close(&f);
}

/* ---- files ---------------------------------------------------------------------------------------- */

Test(config, includes_and_drop_ins_are_read_in_order)
{
	struct fixture f = fixture_open();

	make_drop_in_directory(&f);
	put(&f, "more.conf", "route \"*\" { via = smtp }\ninclude(\"evenmore.conf\")\n");
	put(&f, "evenmore.conf", "expire = 3d\n");
	put(&f, "conf.d/b.conf", "\nneighbour \"bb\" { key = x call = \"dir:stick\" }\n");
	put(&f, "conf.d/a.conf", "neighbour \"aa\" { key = x }\n");
	put(&f, "conf.d/.hidden.conf", "nonsense\n");
	put(&f, "conf.d/a.conf.old", "nonsense\n");
	load_good(&f, "include(\"more.conf\")\nhost = village\nroute \"b.example\" { via = \"neighbour:bb\" }\n");
	cr_assert_eq(f.config.expire, 3 * 86400);
	cr_assert_eq(f.config.routes[1].expire, 3 * 86400, "wherever it is written");
	cr_assert_eq(f.config.neighbour_count, 2);
	cr_assert_str_eq(f.config.neighbours[0].name, "aa");
	assert_below(&f, f.config.neighbours[1].where, "conf.d/b.conf:2");
	assert_below(&f, f.config.neighbours[1].call.items[0] + 4, "stick");
	fixture_close(&f);
}

Test(config, mistakes_in_several_files)
{
	static const char *const said[] = {
	    "packetboat.conf:2: cannot read */none.conf: No such file or directory",
	    "packetboat.conf:3: */packetboat.conf is read already",
	    "more.conf:2: expire was already set at */packetboat.conf:5",
	    "more.conf:3: unexpected closing brace*",
	    "conf.d/a.conf:1: neighbour \"aa\" has no key*",
	    "conf.d/b.conf:2: neighbour \"aa\" was already defined at */conf.d/a.conf:1",
	};
	struct fixture f = fixture_open();
	const char *text = "host = village\ninclude(\"none.conf\")\ninclude(\"packetboat.conf\")\n"
			   "include(\"more.conf\")\nexpire = 3d\n";

	make_drop_in_directory(&f);
	put(&f, "more.conf", "\nexpire = 3d\n}\nfoo = 1\n");
	put(&f, "conf.d/a.conf", "neighbour \"aa\" { }\n");
	put(&f, "conf.d/b.conf", "\nneighbour \"aa\" { key = x }\n");
	load_text(&f, text);
	assert_said(&f, said, sizeof said / sizeof said[0], text);
	fixture_close(&f);
}

/* A file that was not read to its end may hold what seems to be missing. */
Test(config, nothing_is_missed_behind_a_syntax_error)
{
	static const char *const said[] = {"packetboat.conf:2: missing equal sign*"};
	struct fixture f = fixture_open();
	const char *text = "route \"*\" { via = \"neighbour:b\" }\nspool \"x\"\nhost = a\n";

	load_text(&f, text);
	assert_said(&f, said, 1, text);
	fixture_close(&f);
}

Test(config, a_missing_file_comes_with_advice)
{
	struct fixture f = fixture_open();

	load(&f);
	cr_assert_neq(f.outcome, OUTCOME_DONE);
	cr_assert_eq(f.err.code, EX_NOINPUT);
	cr_assert_eq(f.said.count, 0);
	cr_assert_not_null(strstr(f.err.text, f.path), "%s", f.err.text);
	cr_assert_not_null(strstr(f.err.text, "packetboat init"), "%s", f.err.text);
	cr_assert_not_null(strstr(f.err.text, "PACKETBOAT_CONF"), "%s", f.err.text);
	fixture_close(&f);
}

Test(config, a_file_behind_a_link_is_read_where_the_link_is)
{
	struct fixture f = fixture_open();

	make_drop_in_directory(&f);
	put(&f, "conf.d/real.text", "host = village\n");
	cr_assert_eq(symlinkat("conf.d/real.text", f.root.fd, "packetboat.conf"), 0);
	load(&f);
	cr_assert_eq(f.outcome, OUTCOME_DONE, "%s", f.err.text);
	assert_below(&f, f.config.spool, "spool");
	fixture_close(&f);
}

Test(config, nobody_needs_to_listen)
{
	struct fixture f = fixture_open();

	put(&f, "packetboat.conf", "hots = a\nhops = x\n");
	cr_assert_eq(config_load(&f.config, f.path, NULL, NULL, &f.err), OUTCOME_LATER);
	cr_assert_eq(f.err.code, EX_CONFIG);
	cr_assert_eq(config_load(&f.config, f.path, NULL, NULL, NULL), OUTCOME_LATER);
	fixture_close(&f);
}

Test(config, what_was_told_is_not_in_the_error_again)
{
	struct fixture f = fixture_open();

	put(&f, "packetboat.conf", "hots = a\nhops = x\n");
	cr_expect_eq(config_tell(&f.config, f.path, hear, &f, &f.err), OUTCOME_LATER);
	cr_expect_gt(f.said.count, 0);
	cr_expect_str_eq(f.err.text, "");
	cr_expect_eq(f.err.code, EX_CONFIG);
	cr_assert_eq(unlinkat(f.root.fd, "packetboat.conf", 0), 0);
	cr_expect_neq(config_tell(&f.config, f.path, hear, &f, &f.err), OUTCOME_DONE);
	cr_expect_str_neq(f.err.text, "", "nothing was said of a missing file");
	fixture_close(&f);
}

Test(config, the_path_is_given_or_in_the_environment_or_the_systems)
{
	unsetenv("PACKETBOAT_CONF");
	cr_assert_str_eq(config_path(NULL), "/etc/packetboat/packetboat.conf");
	setenv("PACKETBOAT_CONF", "/x/y.conf", 1);
	cr_assert_str_eq(config_path(NULL), "/x/y.conf");
	cr_assert_str_eq(config_path("z.conf"), "z.conf");
	setenv("PACKETBOAT_CONF", "", 1);
	cr_assert_str_eq(config_path(NULL), "/etc/packetboat/packetboat.conf");
}

Test(config, samples_are_valid)
{
	static const char *const names[] = {"leaf", "hub", "gateway"};
	const char *slash = strrchr(__FILE__, '/');
	struct error err = ERROR_NONE;

	for (size_t i = 0; i < 3; i++) {
		char *path = mem_format("%.*s/../data/%s.conf", (int)(slash - __FILE__), __FILE__, names[i]);
		struct config c;

		cr_assert_eq(config_load(&c, path, NULL, NULL, &err), OUTCOME_DONE, "%s", err.text);
		cr_assert_geq(c.route_count, 1);
		cr_assert_geq(c.neighbour_count, 1);
		cr_assert_eq(c.smtpd.server.listen.count, i == 0 ? 0 : i == 1 ? 2 : 3);
		cr_assert_eq(c.destination_count, i == 2 ? 2 : 0);
		config_release(&c);
		free(path);
	}
}
