#include "tests/unit/scratch.h"

#include <fcntl.h>

#include "lib/text.h"
#include "queue/address.h"
#include "queue/maildir.h"
#include "queue/route.h"

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

#define DAY ((uint64_t)86400)

/* A village with neighbours b and city, users, aliases and routes; each test may change it. */
struct world {
	struct config config;
	struct dir mail;
};

static void add_neighbour(struct config *c, const char *name)
{
	c->neighbours = mem_resize(c->neighbours, c->neighbour_count + 1, sizeof c->neighbours[0]);
	c->neighbours[c->neighbour_count] = (struct config_neighbour){.name = mem_string(name)};
	c->neighbours[c->neighbour_count].where = mem_format("pb.conf:%zu", 10 + c->neighbour_count);
	c->neighbour_count++;
}

static void add_route(struct config *c, const char *pattern, enum via via, const char *target)
{
	c->routes = mem_resize(c->routes, c->route_count + 1, sizeof c->routes[0]);
	c->routes[c->route_count] = (struct config_route){
	    .pattern = mem_string(pattern),
	    .via = via,
	    .target = mem_string(target),
	    .expire = (40 + c->route_count) * DAY,
	    .warn = 4 * DAY,
	    .where = mem_format("pb.conf:%zu", 20 + c->route_count),
	};
	c->route_count++;
}

/* TARGETS with commas between them. */
static void add_alias(struct config *c, const char *name, const char *targets)
{
	struct config_alias *a;

	c->aliases = mem_resize(c->aliases, c->alias_count + 1, sizeof c->aliases[0]);
	a = &c->aliases[c->alias_count];
	*a = (struct config_alias){.name = mem_string(name), .where = mem_format("pb.conf:%zu", 40 + c->alias_count)};
	while (*targets != '\0') {
		size_t length = strcspn(targets, ",");
		char *target = mem_copy(targets, length);

		strings_add(&a->targets, target);
		free(target);
		targets += length + (targets[length] == ',');
	}
	c->alias_count++;
}

static struct world world_open(void)
{
	static const char *const users[] = {"joe", "ann", "Bea", "postmaster", "list+all", "jörg", "x.y"};
	struct world w = {.mail = scratch_open()};
	struct config *c = &w.config;

	c->path = mem_string("/etc/pb.conf");
	c->host = mem_string("village");
	strings_add(&c->domains, "village.org");
	strings_add(&c->domains, "hamlet.net");
	c->expire = 30 * DAY;
	c->warn = 2 * DAY;
	add_neighbour(c, "b");
	add_neighbour(c, "city");
	for (size_t i = 0; i < COUNT(users); i++)
		cr_assert_eq(maildir_make(&w.mail, users[i], NULL), OUTCOME_DONE);
	return w;
}

static void world_close(struct world *w)
{
	config_release(&w->config);
	scratch_close(&w->mail);
}

/* "local joe", "neighbour-b c!user", "5.1.1 nix", "expand a|b": what a test compares. */
static const char *way(struct world *w, const char *address)
{
	static char text[2000];
	struct route r;
	struct buf b;

	buf_init(&b, sizeof text - 1);
	route_find(&r, &w->config, &w->mail, address);
	cr_expect_not_null(r.address);
	cr_expect(r.why != NULL && r.why[0] != '\0', "%s", address);
	cr_expect_eq(r.kind == ROUTE_FAIL, r.reason != NULL, "%s", address);
	cr_expect_eq(r.kind == ROUTE_EXPAND, r.targets.count > 0, "%s", address);
	if (r.kind == ROUTE_EXPAND) {
		buf_text(&b, "expand");
		for (size_t i = 0; i < r.targets.count; i++)
			buf_format(&b, "%c%s", i == 0 ? ' ' : '|', r.targets.items[i]);
	} else {
		buf_format(&b, "%s%s %s", r.kind == ROUTE_HOP ? r.hop : r.status, r.relayed ? "*" : "", r.address);
		if (r.target != NULL)
			buf_format(&b, " (%s)", r.target);
	}
	snprintf(text, sizeof text, "%s", buf_string(&b));
	buf_release(&b);
	route_release(&r);
	return text;
}

struct expected {
	const char *address, *way;
};

static void expect_ways(struct world *w, const struct expected *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *found = way(w, cases[i].address);

		cr_expect_str_eq(found, cases[i].way, "%s: %s, not %s", cases[i].address, found, cases[i].way);
	}
}

Test(route, patterns)
{
	static const struct {
		const char *pattern, *domain;
		bool matches;
	} cases[] = {
	    {"*", "x.org", true},
	    {"*", "", true},
	    {"*", "[192.0.2.1]", true},
	    {"x.org", "x.org", true},
	    {"X.org", "x.ORG", true},
	    {"x.org", "a.x.org", false},
	    {"x.org", "", false},
	    {"*.x.org", "a.x.org", true},
	    {"*.x.org", "b.a.X.ORG", true},
	    {"*.x.org", "x.org", false},
	    {"*.x.org", ".x.org", false},
	    {"*.x.org", "ax.org", false},
	    {"*.x.org", "x.org.de", false},
	    {"*.x.org", "*.x.org", true},
	    {"[192.0.2.1]", "[192.0.2.1]", true},
	    {"a@x.org", "x.org", false},
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		cr_expect_eq(route_pattern_matches(cases[i].pattern, view_text(cases[i].domain)), cases[i].matches,
		    "%s %s", cases[i].pattern, cases[i].domain);
}

Test(route, user_names)
{
	static const char *const good[] = {"joe", "Joe", "j.o-e_+1", "jörg", "用户", "_", "+", "a.", "a..b", "1"};
	static const char *const bad[] = {"", ".", "..", ".joe", "-joe", "a/b", "a b", "a@b", "a%b", "a!b", "a\nb",
	    "a\\b", "a\x7f", "a\xc2\x85", "a\xff", "a\xc3", "\"a\"", "a:b"};
	char *name = mem_alloc(LIMIT_LOCAL_PART + 2);

	for (size_t i = 0; i < COUNT(good); i++)
		cr_expect(user_name_valid(good[i]), "%s", good[i]);
	for (size_t i = 0; i < COUNT(bad); i++)
		cr_expect(!user_name_valid(bad[i]), "%s", bad[i]);
	memset(name, 'a', LIMIT_LOCAL_PART);
	cr_expect(user_name_valid(name));
	name[LIMIT_LOCAL_PART] = 'a';
	cr_expect(!user_name_valid(name));
	free(name);
}

Test(route, users)
{
	static const struct expected cases[] = {
	    {"joe", "local joe"},
	    {"joe@village.org", "local joe"},
	    {"joe@HAMLET.Net", "local joe"},
	    {"joe@village", "local joe"},
	    {"JOE@village.org", "local joe"},
	    {"\"joe\"@village.org", "local joe"},
	    {"Bea@village.org", "local Bea"},
	    {"bea@village.org", "5.1.1 bea@village.org"},
	    {"jörg@village.org", "local jörg"},
	    {"x.y@village.org", "local x.y"},
	    {"joe+tag@village.org", "local joe"},
	    {"Joe+a+b@village.org", "local joe"},
	    {"joe+", "local joe"},
	    {"list+all@village.org", "local list+all"},
	    {"LIST+ALL@village.org", "local list+all"},
	    {"list+other@village.org", "5.1.1 list+other@village.org"},
	    {"+joe@village.org", "5.1.1 +joe@village.org"},
	    {"nix@village.org", "5.1.1 nix@village.org"},
	    {"joe%x.org@village.org", "5.1.1 joe%x.org@village.org"},
	    {"\"\"@village.org", "5.1.1 \"\"@village.org"},
	    {"\"../joe\"@village.org", "5.1.1 \"../joe\"@village.org"},
	    {"\".\"@village.org", "5.1.1 \".\"@village.org"},
	    {"\"a b\"@village.org", "5.1.1 \"a b\"@village.org"},
	    {"", "5.1.3 "},
	    {"joe@", "5.1.3 joe@"},
	    {"joe@@village.org", "5.1.3 joe@@village.org"},
	    {"joe\n@village.org", "5.1.3 joe\n@village.org"},
	    {"joe@x.org", "5.1.2 joe@x.org"},
	    {"joe@a.village.org", "5.1.2 joe@a.village.org"},
	    {"joe@[192.0.2.1]", "5.1.2 joe@[192.0.2.1]"},
	};
	struct world w = world_open();

	expect_ways(&w, cases, COUNT(cases));
	world_close(&w);
}

/* An empty directory where the mailboxes should be is a disk that is not mounted, and no reason to return mail. */
Test(route, mailboxes_that_are_all_gone_are_no_answer)
{
	static const struct expected there[] = {{"nix@village.org", "5.1.1 nix@village.org"}};
	static const struct expected gone[] = {
	    {"nix@village.org", "4.3.0 nix@village.org"},
	    {"nix+tag@village.org", "4.3.0 nix+tag@village.org"},
	    {"joe@village.org", "local joe"},
	    {"x@elsewhere.org", "5.1.2 x@elsewhere.org"},
	};
	struct world w = world_open();

	expect_ways(&w, there, COUNT(there));
	cr_assert_eq(file_rename(&w.mail, "postmaster", &w.mail, ".away", NULL), OUTCOME_DONE);
	expect_ways(&w, gone, COUNT(gone));
	world_close(&w);
}

Test(route, bang_paths)
{
	static const struct expected cases[] = {
	    {"b!user", "neighbour-b* user"},
	    {"B!user", "neighbour-b* user"},
	    {"b!c!user", "neighbour-b* c!user"},
	    {"city!b!village!joe", "neighbour-city* b!village!joe"},
	    {"b!c!user@village.org", "neighbour-b* c!user"},
	    {"b!user@Village", "neighbour-b* user"},
	    {"village!joe", "local joe"},
	    {"VILLAGE!joe", "local joe"},
	    {"village.org!joe", "local joe"},
	    {"village!village!joe+x", "local joe"},
	    {"village!joe@hamlet.net", "local joe"},
	    {"village!b!user", "neighbour-b* user"},
	    {"village!b!c!user@village.org", "neighbour-b* c!user"},
	    {"village!nix", "5.1.1 village!nix"},
	    {"nowhere!user", "5.1.2 nowhere!user"},
	    {"nowhere!user@village.org", "5.1.2 nowhere!user@village.org"},
	    {"b!user@x.org", "neighbour-city* b!user@x.org"},
	    {"village!joe@x.org", "neighbour-city* village!joe@x.org"},
	    {"!user@x.org", "neighbour-city* !user@x.org"},
	    {"!joe@village.org", "5.1.1 !joe@village.org"},
	    {"\"b!user\"@village.org", "5.1.1 \"b!user\"@village.org"},
	    {"b!", "5.1.3 b!"},
	    {"!b", "5.1.3 !b"},
	    {"b!@village.org", "5.1.1 b!@village.org"},
	};
	struct world w = world_open();

	add_route(&w.config, "x.org", VIA_NEIGHBOUR, "city");
	expect_ways(&w, cases, COUNT(cases));
	world_close(&w);
}

Test(route, most_specific_wins)
{
	static const struct expected cases[] = {
	    {"u@anything.net", "smtp* u@anything.net (smart:587)"},
	    {"u@[192.0.2.1]", "smtp* u@[192.0.2.1] (smart:587)"},
	    {"u@org", "smtp* u@org (smart:587)"},
	    {"u@z.org", "neighbour-city* u@z.org"},
	    {"u@x.org", "neighbour-b* u@x.org"},
	    {"u@X.ORG", "neighbour-b* u@X.ORG"},
	    {"boss@x.org", "smtp* boss@x.org"},
	    {"\"BOSS\"@X.org", "smtp* \"BOSS\"@X.org"},
	    {"u@a.x.org", "smtp* u@a.x.org (x:25)"},
	    {"u@a.deep.x.org", "neighbour-b* u@a.deep.x.org"},
	    {"u@deep.x.org", "smtp* u@deep.x.org (x:25)"},
	    {"u@lmtp.org", "lmtp u@lmtp.org (/run/lmtp)"},
	    {"u@city", "neighbour-city* u@city"},
	    {"u@CITY", "neighbour-city* u@CITY"},
	    {"u@b", "smtp* u@b"},
	    {"joe@village.org", "local joe"},
	    {"ann@village.org", "neighbour-b* ann@village.org"},
	    {"ann@hamlet.net", "local ann"},
	    {"ann", "local ann"},
	};
	struct world w = world_open();

	add_route(&w.config, "*", VIA_SMTP, "smart:587");
	add_route(&w.config, "*.deep.x.org", VIA_NEIGHBOUR, "b");
	add_route(&w.config, "*.org", VIA_NEIGHBOUR, "city");
	add_route(&w.config, "*.x.org", VIA_SMTP, "x:25");
	add_route(&w.config, "x.org", VIA_NEIGHBOUR, "b");
	add_route(&w.config, "boss@x.org", VIA_SMTP, NULL);
	add_route(&w.config, "lmtp.org", VIA_LMTP, "/run/lmtp");
	add_route(&w.config, "b", VIA_SMTP, NULL);
	add_route(&w.config, "ann@village.org", VIA_NEIGHBOUR, "b");
	expect_ways(&w, cases, COUNT(cases));
	world_close(&w);
}

Test(route, maildir_routes_are_home)
{
	static const struct expected cases[] = {
	    {"joe@school.org", "local joe"},
	    {"all@a.school.org", "local ann"},
	    {"nix@school.org", "5.1.1 nix@school.org"},
	    {"postmaster@school.org", "local postmaster"},
	    {"b!joe@school.org", "5.1.1 b!joe@school.org"},
	    {"joe@hamlet.net", "lmtp joe@hamlet.net (/run/lmtp)"},
	    {"all@hamlet.net", "lmtp all@hamlet.net (/run/lmtp)"},
	    {"all", "local ann"},
	};
	struct world w = world_open();

	add_route(&w.config, "school.org", VIA_MAILDIR, NULL);
	add_route(&w.config, "*.school.org", VIA_MAILDIR, NULL);
	add_route(&w.config, "hamlet.net", VIA_LMTP, "/run/lmtp");
	add_alias(&w.config, "all", "ann");
	expect_ways(&w, cases, COUNT(cases));
	world_close(&w);
}

Test(route, aliases)
{
	static const struct expected cases[] = {
	    {"all@village.org", "expand joe|u@x.org|nix"},
	    {"ALL+tag", "expand joe|u@x.org|nix"},
	    {"\"all\"@village.org", "expand joe|u@x.org|nix"},
	    {"one@village.org", "local joe"},
	    {"chain@village.org", "local joe"},
	    {"out@village.org", "expand u@x.org"},
	    {"path@village.org", "expand b!c!user"},
	    {"gone@village.org", "5.1.1 nix"},
	    {"lost@village.org", "5.1.2 u@nowhere.net"},
	    {"sales@village.org", "local ann"},
	    {"sales@hamlet.net", "local joe"},
	    {"SALES@HAMLET.NET", "local joe"},
	    {"sales@village", "local ann"},
	    {"ann", "local joe"},
	    {"u@foreign.org", "5.1.2 u@foreign.org"},
	    {"list+all", "local joe"},
	    {"twice@village.org", "local joe"},
	    {"diamond@village.org", "local joe"},
	    {"both@village.org", "local joe"},
	    {"same@village.org", "expand u@x.org|U@x.org"},
	    {"all@x.org", "neighbour-b* all@x.org"},
	};
	struct world w = world_open();

	add_route(&w.config, "x.org", VIA_NEIGHBOUR, "b");
	add_alias(&w.config, "all", "joe,u@x.org,nix");
	add_alias(&w.config, "one", "joe@village.org");
	add_alias(&w.config, "chain", "one@hamlet.net");
	add_alias(&w.config, "out", "u@x.org");
	add_alias(&w.config, "path", "b!c!user");
	add_alias(&w.config, "gone", "nix");
	add_alias(&w.config, "lost", "u@nowhere.net");
	add_alias(&w.config, "sales", "\"ann\"");
	add_alias(&w.config, "sales@hamlet.net", "joe");
	add_alias(&w.config, "ann", "joe");
	add_alias(&w.config, "u@foreign.org", "joe");
	add_alias(&w.config, "list+all", "joe");
	add_alias(&w.config, "twice", "joe,Joe@village.org,joe+x,one");
	add_alias(&w.config, "left", "right,joe");
	add_alias(&w.config, "right", "joe");
	add_alias(&w.config, "diamond", "left,right,left");
	add_alias(&w.config, "both", "ann,over");
	add_alias(&w.config, "over", "ann");
	add_alias(&w.config, "same", "u@x.org,u@X.ORG,U@x.org");
	expect_ways(&w, cases, COUNT(cases));
	world_close(&w);
}

Test(route, alias_loops)
{
	static const struct expected cases[] = {
	    {"a@village.org", "5.4.6 a@village.org"},
	    {"b2", "5.4.6 b2"},
	    {"self", "5.4.6 self"},
	    {"tagged", "5.4.6 tagged"},
	    {"none", "5.4.6 none"},
	    {"mixed", "expand \"joe\"|u@x.org"},
	    {"joe", "expand \"joe\"|u@x.org"},
	    {"joe@village.org", "expand \"joe\"|u@x.org"},
	    {"\"joe\"", "local joe"},
	    {"\"joe\"@village.org", "expand \"joe\"|u@x.org"},
	    {"ann", "local ann"},
	    {"team", "expand \"joe\"|u@x.org"},
	    {"back", "expand u@x.org|\"joe\""},
	};
	struct world w = world_open();

	add_route(&w.config, "x.org", VIA_NEIGHBOUR, "b");
	add_alias(&w.config, "a", "b2");
	add_alias(&w.config, "b2", "c2@village.org");
	add_alias(&w.config, "c2", "A@HAMLET.net");
	add_alias(&w.config, "self", "self");
	add_alias(&w.config, "tagged", "tagged+1");
	add_alias(&w.config, "none", "");
	add_alias(&w.config, "mixed", "mixed2,mixed");
	add_alias(&w.config, "mixed2", "mixed,village!joe");
	add_alias(&w.config, "joe", "joe@village.org,u@x.org");
	add_alias(&w.config, "ann", "ann");
	add_alias(&w.config, "team", "joe");
	add_alias(&w.config, "back", "u@x.org,joe");
	expect_ways(&w, cases, COUNT(cases));
	world_close(&w);
}

/* What comes out of an expansion must not expand again, or copies would go on for ever. */
Test(route, targets_are_final)
{
	struct world w = world_open();
	struct route r;

	add_alias(&w.config, "all", "team,joe,u@x.org,all,list,village!ann");
	add_alias(&w.config, "team", "joe,all,team,nix");
	add_alias(&w.config, "joe", "joe,Bea");
	add_alias(&w.config, "list", "list+all,joe");
	route_find(&r, &w.config, &w.mail, "all");
	cr_assert_eq(r.kind, ROUTE_EXPAND);
	cr_expect_eq(r.targets.count, 6);
	for (size_t i = 0; i < r.targets.count; i++) {
		struct route next;

		route_find(&next, &w.config, &w.mail, r.targets.items[i]);
		cr_expect_neq(next.kind, ROUTE_EXPAND, "%s", r.targets.items[i]);
		route_release(&next);
	}
	route_release(&r);
	world_close(&w);
}

Test(route, long_chains_end)
{
	struct world w = world_open();

	for (unsigned i = 0; i < 2000; i++) {
		char *name = mem_format("n%u", i);
		char *targets = mem_format("n%u,n%u,n0", i + 1, (i * 7) % 2000);

		add_alias(&w.config, name, targets);
		free(name);
		free(targets);
	}
	add_alias(&w.config, "n2000", "joe");
	cr_expect_str_eq(way(&w, "n0@village.org"), "local joe");
	world_close(&w);
}

Test(route, postmaster)
{
	static const struct expected plain[] = {
	    {"postmaster", "local postmaster"},
	    {"Postmaster@village.org", "local postmaster"},
	    {"POSTMASTER+x@hamlet.net", "local postmaster"},
	    {"MAILER-DAEMON", "local postmaster"},
	    {"mailer-daemon@village", "local postmaster"},
	    {"village!postmaster", "local postmaster"},
	    {"postmaster@x.org", "5.1.2 postmaster@x.org"},
	    {"b!postmaster", "neighbour-b* postmaster"},
	};
	static const struct {
		const char *postmaster, *alias, *way;
	} cases[] = {
	    {"joe", NULL, "local joe"},
	    {"postmaster", NULL, "local postmaster"},
	    {"Postmaster@village.org", NULL, "local postmaster"},
	    {"mailer-daemon", NULL, "local postmaster"},
	    {"admin@city", NULL, "expand admin@city"},
	    {"nix", NULL, "local postmaster"},
	    {"u@nowhere.net", NULL, "local postmaster"},
	    {"@@", NULL, "local postmaster"},
	    {NULL, "ann", "local ann"},
	    {"joe", "ann", "local ann"},
	    {"joe", "postmaster,ann", "expand \"postmaster\"|ann"},
	    {NULL, "postmaster", "local postmaster"},
	    {NULL, "nix", "local postmaster"},
	    {NULL, "loop", "local postmaster"},
	};
	struct world w = world_open();

	expect_ways(&w, plain, COUNT(plain));
	/* Also when the box was taken away. */
	cr_assert_eq(unlinkat(w.mail.fd, "postmaster/new", AT_REMOVEDIR), 0);
	expect_ways(&w, plain, COUNT(plain));
	world_close(&w);

	for (size_t i = 0; i < COUNT(cases); i++) {
		static const char *const names[] = {
		    "postmaster", "MAILER-DAEMON@village.org", "Postmaster+x@hamlet.net"};

		w = world_open();
		w.config.postmaster = mem_string(cases[i].postmaster);
		add_alias(&w.config, "loop", "postmaster");
		if (cases[i].alias != NULL)
			add_alias(&w.config, "postmaster", cases[i].alias);
		for (size_t k = 0; k < COUNT(names); k++) {
			const char *found = way(&w, names[k]);

			cr_expect_str_eq(found, cases[i].way, "%zu, %s: %s", i, names[k], found);
		}
		world_close(&w);
	}
}

Test(route, says_why)
{
	static const struct {
		const char *address, *why, *reason;
	} cases[] = {
	    {"joe@village.org", "user \"joe\"", NULL},
	    {"u@y.org", "route \"*\" at pb.conf:20", NULL},
	    {"u@x.org", "route \"x.org\" at pb.conf:21", NULL},
	    {"joe@school.org", "route \"school.org\" at pb.conf:22, user \"joe\"", NULL},
	    {"u@city", "neighbour \"city\" at pb.conf:11", NULL},
	    {"b!u", "neighbour \"b\" at pb.conf:10", NULL},
	    {"chain", "alias \"chain\" at pb.conf:41, alias \"one\" at pb.conf:40, user \"joe\"", NULL},
	    {"many", "alias \"many\" at pb.conf:42", NULL},
	    {"nix", "no alias and no user \"nix\"", "no user \"nix\" on this host (village)"},
	    {"nix!u", "bang path by way of \"nix\"", "\"nix\", where the bang path begins, is no neighbour"},
	    {"loop", "alias \"loop\" at pb.conf:43", "leads only back to itself"},
	    {"u@", "syntax", "nothing stands behind the \"@\""},
	    {"", "syntax", "is empty"},
	    {"postmaster", "alias \"postmaster\" at pb.conf:44, no alias and no user \"nix\"", NULL},
	};
	struct world w = world_open();

	add_route(&w.config, "*", VIA_SMTP, NULL);
	add_route(&w.config, "x.org", VIA_NEIGHBOUR, "b");
	add_route(&w.config, "school.org", VIA_MAILDIR, NULL);
	add_alias(&w.config, "one", "joe");
	add_alias(&w.config, "chain", "one");
	add_alias(&w.config, "many", "joe,ann");
	add_alias(&w.config, "loop", "loop");
	add_alias(&w.config, "postmaster", "nix");
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct route r;

		route_find(&r, &w.config, &w.mail, cases[i].address);
		cr_expect(strstr(r.why, cases[i].why) != NULL, "%s: %s", cases[i].address, r.why);
		cr_expect_eq(r.reason == NULL, cases[i].reason == NULL, "%s", cases[i].address);
		if (r.reason != NULL && cases[i].reason != NULL)
			cr_expect_not_null(strstr(r.reason, cases[i].reason), "%s: %s", cases[i].address, r.reason);
		route_release(&r);
	}
	world_close(&w);
}

Test(route, expiry_is_the_routes)
{
	static const struct {
		const char *address;
		uint64_t expire, warn;
	} cases[] = {
	    {"u@x.org", 40 * DAY, 4 * DAY},
	    {"joe@school.org", 41 * DAY, 4 * DAY},
	    {"joe@village.org", 30 * DAY, 2 * DAY},
	    {"u@city", 30 * DAY, 2 * DAY},
	    {"b!u", 30 * DAY, 2 * DAY},
	    {"out", 30 * DAY, 2 * DAY} /* a new message, which has its own route */,
	    {"many", 30 * DAY, 2 * DAY},
	    {"nix@nix.org", 30 * DAY, 2 * DAY},
	};
	struct world w = world_open();

	add_route(&w.config, "x.org", VIA_NEIGHBOUR, "b");
	add_route(&w.config, "school.org", VIA_MAILDIR, NULL);
	add_alias(&w.config, "out", "u@x.org");
	add_alias(&w.config, "many", "joe,ann");
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct route r;

		route_find(&r, &w.config, &w.mail, cases[i].address);
		cr_expect_eq(r.expire, cases[i].expire, "%s", cases[i].address);
		cr_expect_eq(r.warn, cases[i].warn, "%s", cases[i].address);
		route_release(&r);
	}
	world_close(&w);
}

/* Reasons and hops are of bounded length and printable, whatever the address. */
Test(route, hostile_addresses)
{
	static const char *const units[] = {"a", "a!", "b!", "village!", "a.", "\xff", "ü", "\"", "@", "\n", "a+"};
	static const char *const tails[] = {"", "@village.org", "@x.org", "u"};
	struct world w = world_open();

	add_alias(&w.config, "ok", "joe,ann");
	for (size_t i = 0; i < COUNT(units) * COUNT(tails) * 70; i++) {
		size_t count = i / (COUNT(units) * COUNT(tails));
		struct buf text;
		struct route r;

		buf_init(&text, 4096);
		for (size_t k = 0; k < count; k++)
			buf_text(&text, units[i % COUNT(units)]);
		buf_text(&text, tails[i / COUNT(units) % COUNT(tails)]);
		route_find(&r, &w.config, &w.mail, buf_string(&text));
		if (r.reason != NULL) {
			cr_expect(strlen(r.reason) < LIMIT_REASON);
			cr_expect(utf8_valid(view_text(r.reason)) && !text_has_control(view_text(r.reason)), "%s",
			    r.reason);
		}
		route_release(&r);
		buf_release(&text);
	}
	world_close(&w);
}

Test(route, destinations)
{
	static const struct {
		struct route route;
		const char *destination;
	} cases[] = {
	    {{.kind = ROUTE_HOP, .hop = "smtp", .address = "A@Mail.Example.ORG"}, "mail.example.org"},
	    {{.kind = ROUTE_HOP, .hop = "smtp", .address = "a@[192.0.2.1]"}, "[192.0.2.1]"},
	    {{.kind = ROUTE_HOP, .hop = "smtp", .address = "a@[IPv6:2001:DB8::1]"}, "[ipv6:2001:db8::1]"},
	    {{.kind = ROUTE_HOP, .hop = "smtp", .address = "b!a@Mail.example"}, "mail.example"},
	    {{.kind = ROUTE_HOP, .hop = "smtp", .address = "a@b.example", .target = "Relay.example:587"},
		"Relay.example:587"},
	    {{.kind = ROUTE_HOP, .hop = "lmtp", .address = "a@b.example", .target = "/run/Lists"}, "/run/Lists"},
	    {{.kind = ROUTE_HOP, .hop = "local", .address = "joe"}, NULL},
	    {{.kind = ROUTE_HOP, .hop = "neighbour-city", .address = "a@b.example"}, NULL},
	    {{.kind = ROUTE_FAIL, .hop = "smtp", .address = "a@b.example"}, NULL},
	    {{.kind = ROUTE_HOP, .hop = "smtp", .address = "no address@"}, ""},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char *found = route_destination(&cases[i].route);

		cr_expect_eq(found == NULL, cases[i].destination == NULL, "case %zu", i);
		if (found != NULL && cases[i].destination != NULL)
			cr_expect_str_eq(found, cases[i].destination, "case %zu", i);
		free(found);
	}
}

Test(route, release_leaves_nothing)
{
	struct world w = world_open();
	struct route r;

	add_alias(&w.config, "many", "joe,ann");
	route_find(&r, &w.config, &w.mail, "many");
	route_release(&r);
	cr_expect(r.address == NULL && r.why == NULL && r.targets.count == 0);
	route_release(&r);
	world_close(&w);
}
