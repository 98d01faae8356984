#include "queue/dispatch.h"

#include "queue/hop.h"
#include "tests/unit/fault.h"
#include "tests/unit/queue_kit.h"

#define HUB "neighbour \"hub\" { key = \"pb1.y\"\ncall = { \"dir:/nowhere\" } }\n"

#define WORLD                                                                                                        \
	KIT_HEAD KIT_CITY HUB "route \"city.example.org\" { via = \"neighbour:city\" }\n"                            \
			      "route \"hub.example.org\" { via = \"neighbour:hub\" }\n"                              \
			      "route \"mail.example.org\" { via = \"smtp\" }\n"                                      \
			      "alias \"all\" { to = { \"joe\", \"otto@city.example.org\" } }\n"

Test(dispatch, every_recipient_goes_its_way)
{
	static const struct {
		const char *recipients;
		const char *list;
	} cases[] = {
	    {"joe", "local: 0=joe\n"},
	    {"joe@village.example.org", "local: 0=joe\n"},
	    {"joe+tag@village.example.org", "local: 0=joe\n"},
	    {"otto@city.example.org", "neighbour-city: 0=otto@city.example.org\n"},
	    {"city!otto", "neighbour-city: 0=otto\n"},
	    {"x@mail.example.org", "smtp: 0=x@mail.example.org\n"},
	    {"all", "expand: 0=all\n"},
	    {"nobody", "failed: 0=nobody(5.1.1)\n"},
	    {"x@nowhere.example.org", "failed: 0=x@nowhere.example.org(5.1.2)\n"},
	    {"a@b@c", "failed: 0=a@b@c(5.1.3)\n"},
	    {"joe ann", "local: 0=joe 1=ann\n"},
	    {"joe otto@city.example.org ann x@hub.example.org clara@city.example.org nobody",
		"failed: 5=nobody(5.1.1)\nlocal: 0=joe 2=ann\n"
		"neighbour-city: 1=otto@city.example.org 4=clara@city.example.org\nneighbour-hub: "
		"3=x@hub.example.org\n"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct queue_kit k;
		size_t records = 0;

		kit_open(&k, WORLD);
		kit_send(&k, "maria@village.example.org", cases[i].recipients);
		kit_dispatch(&k);
		kit_expect_list(&k, cases[i].list);
		for (const char *c = cases[i].list; *c != '\0'; c++)
			records += *c == '\n';
		kit_expect(k.root, "msg", records);
		kit_expect(k.root, "queue/new", 0);
		kit_expect(k.root, "tmp", 0);
		kit_close(&k);
	}
}

/* One record, one destination: the servers of a domain, a smarthost, a socket. */
Test(dispatch, records_by_destination)
{
	static const char config[] =
	    KIT_HEAD KIT_CITY "route \"city.example.org\" { via = \"neighbour:city\" }\n"
			      "route \"*.hosted.example.org\" { via = \"smtp:relay.example.net:587\" }\n"
			      "route \"other.example.org\" { via = \"smtp:relay.example.net:25\" }\n"
			      "route \"lists.example.org\" { via = \"lmtp:/run/lists\" }\n"
			      "route \"forums.example.org\" { via = \"lmtp:/run/forums\" }\n"
			      "route \"news.example.org\" { via = \"lmtp:/run/lists\" }\n"
			      "route \"*\" { via = \"smtp\" }\n";
	static const struct {
		const char *recipients;
		const char *list;
	} cases[] = {
	    {"a@x.example b@X.EXAMPLE c@x.Example", "smtp: 0=a@x.example 1=b@X.EXAMPLE 2=c@x.Example\n"},
	    {"a@x.example b@y.example c@x.example", "smtp: 0=a@x.example 2=c@x.example\nsmtp: 1=b@y.example\n"},
	    {"a@x.example b@sub.x.example", "smtp: 0=a@x.example\nsmtp: 1=b@sub.x.example\n"},
	    {"a@[192.0.2.1] b@[192.0.2.1] c@[192.0.2.2]",
		"smtp: 0=a@[192.0.2.1] 1=b@[192.0.2.1]\nsmtp: 2=c@[192.0.2.2]\n"},
	    {"a@x.hosted.example.org b@y.hosted.example.org c@other.example.org",
		"smtp: 0=a@x.hosted.example.org 1=b@y.hosted.example.org\nsmtp: 2=c@other.example.org\n"},
	    {"a@lists.example.org b@forums.example.org c@news.example.org",
		"lmtp: 0=a@lists.example.org 2=c@news.example.org\nlmtp: 1=b@forums.example.org\n"},
	    {"a@city.example.org b@city.example.org a@x.example",
		"neighbour-city: 0=a@city.example.org 1=b@city.example.org\nsmtp: 2=a@x.example\n"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct queue_kit k;

		kit_open(&k, config);
		kit_send(&k, "maria@village.example.org", cases[i].recipients);
		kit_dispatch(&k);
		kit_expect_list(&k, cases[i].list);
		kit_expect(k.root, "queue/new", 0);
		kit_close(&k);
	}
}

Test(dispatch, the_content_is_there_once)
{
	struct queue_kit k;
	struct names names;
	struct stat first;
	struct stat other;

	kit_open(&k, WORLD);
	kit_send(&k, "maria@village.example.org", "joe otto@city.example.org x@hub.example.org");
	kit_dispatch(&k);
	kit_done(&k, dir_names(&k.queue.msg, &names, &k.err));
	cr_assert_eq(names.count, 3);
	cr_assert_eq(fstatat(k.queue.msg.fd, names.items[0], &first, 0), 0);
	cr_assert_eq(fstatat(k.queue.msg.fd, names.items[2], &other, 0), 0);
	cr_expect_eq(first.st_ino, other.st_ino);
	cr_expect_eq(first.st_nlink, 3);
	names_release(&names);
	kit_close(&k);
}

/* ---- what a neighbour may ---------------------------------------------------------------------------------- */

#define PERMITS(options)                                                                                             \
	KIT_HEAD "neighbour \"city\" { key = \"pb1.x\"\n" options "}\n" HUB                                          \
		 "route \"hub.example.org\" { via = \"neighbour:hub\" }\n"                                           \
		 "alias \"forward\" { to = { \"x@hub.example.org\" } }\n"                                            \
		 "alias \"both\" { to = { \"x@hub.example.org\", \"joe\" } }\n"

Test(dispatch, permissions_of_the_neighbour_that_brought_it)
{
	static const struct {
		const char *config;
		const char *sender;
		const char *recipient;
		const char *list;
	} cases[] = {
	    {PERMITS(""), "a@city.example.org", "joe", "local: 0=joe\n"},
	    {PERMITS(""), "a@city.example.org", "x@hub.example.org", "failed: 0=x@hub.example.org(5.7.1)\n"},
	    {PERMITS("relay = true\n"), "a@city.example.org", "x@hub.example.org",
		"neighbour-hub: 0=x@hub.example.org\n"},
	    {PERMITS(""), "a@city.example.org", "hub!x", "failed: 0=hub!x(5.7.1)\n"},
	    {PERMITS(""), "a@city.example.org", "both", "expand: 0=both\n"}, /* the alias is ours */
	    {PERMITS("senders = { \"city.example.org\" }\n"), "a@city.example.org", "joe", "local: 0=joe\n"},
	    {PERMITS("senders = { \"*.city.example.org\" }\n"), "a@x.city.example.org", "joe", "local: 0=joe\n"},
	    {PERMITS("senders = { \"city.example.org\" }\n"), "", "joe", "local: 0=joe\n"},
	    {PERMITS("senders = { \"city.example.org\" }\n"), "maria@village.example.org", "joe",
		"failed: 0=joe(5.7.1)\n"},
	    {PERMITS("senders = { \"city.example.org\" }\n"), "no address@", "joe", "failed: 0=joe(5.7.1)\n"},
	    {PERMITS("max-size = 10\n"), "a@city.example.org", "joe", "failed: 0=joe(5.3.4)\n"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct queue_kit k;
		struct envelope e = kit_arrived(cases[i].sender, cases[i].recipient);

		kit_open(&k, cases[i].config);
		kit_done(&k, kit_hand(&k, &e, KIT_MAIL));
		kit_dispatch(&k);
		kit_expect_list(&k, cases[i].list);
		envelope_release(&e);
		kit_close(&k);
	}
}

/* Whoever hands in here may send everywhere, whatever the neighbours may. */
Test(dispatch, our_own_mail_needs_no_permission)
{
	struct queue_kit k;

	kit_open(&k, PERMITS("senders = { \"city.example.org\" }\n"));
	kit_send(&k, "maria@village.example.org", "x@hub.example.org");
	kit_dispatch(&k);
	kit_expect_list(&k, "neighbour-hub: 0=x@hub.example.org\n");
	kit_close(&k);
}

Test(dispatch, a_neighbour_that_is_gone_may_nothing)
{
	struct queue_kit k;
	struct envelope e = kit_arrived("a@city.example.org", "x@hub.example.org joe");

	kit_open(&k, KIT_HEAD HUB "route \"hub.example.org\" { via = \"neighbour:hub\" }\n");
	kit_done(&k, kit_hand(&k, &e, KIT_MAIL));
	kit_dispatch(&k);
	kit_expect_list(&k, "failed: 0=x@hub.example.org(5.7.1)\nlocal: 1=joe\n");
	envelope_release(&e);
	kit_close(&k);
}

Test(dispatch, sizes)
{
	struct queue_kit k;

	kit_open(&k, KIT_HEAD "max-size = 100\nneighbour \"city\" { key = \"pb1.x\"\nmax-size = 20\n}\n" KIT_ROUTE);
	kit_send(&k, "maria@village.example.org", "otto@city.example.org joe");
	kit_dispatch(&k);
	kit_expect_list(&k, "failed: 0=otto@city.example.org(5.3.4)\nlocal: 1=joe\n");
	k.config.max_size = 10;
	kit_send(&k, "maria@village.example.org", "ann");
	kit_dispatch(&k);
	kit_expect_list(&k, "failed: 0=otto@city.example.org(5.3.4)\nfailed: 0=ann(5.3.4)\nlocal: 1=joe\n");
	kit_close(&k);
}

/* ---- loops ------------------------------------------------------------------------------------------------- */

static struct envelope with_hops(const char *hops, const char *recipient)
{
	struct envelope e = kit_envelope("a@b.example.org", recipient);

	free(e.hops[0].host);
	e.hop_count = 0;
	for (; *hops != '\0'; hops++) {
		static const struct {
			char letter;
			const char *host;
		} hosts[] = {{'v', "village"}, {'c', "city"}, {'h', "hub"}, {'o', "other"}};

		if (*hops == '*') {
			e.hops[e.hop_count - 1].protocol = HOP_EXPANDED;
			continue;
		}
		for (size_t i = 0; i < 4; i++)
			if (hosts[i].letter == *hops)
				envelope_add_hop(&e, hosts[i].host, 5, e.hop_count == 0 ? HOP_LOCAL : HOP_BATCH);
	}
	return e;
}

Test(dispatch, loops)
{
	static const struct {
		const char *hops; /* oldest first; a star: made a new message there */
		const char *recipient;
		bool loop;
	} cases[] = {
	    {"v", "joe", false},
	    {"cv", "joe", false},
	    {"vcv", "joe", true},
	    {"vcvcv", "joe", true},
	    {"vc*v", "joe", false}, /* city's alias sent it home */
	    {"vcv*", "joe", false},
	    {"v*cv", "joe", false}, /* made here, never taken in here */
	    {"v*cvcv", "joe", true},
	    {"v", "x@hub.example.org", false},
	    {"hv", "x@hub.example.org", true}, /* back to where it came from */
	    {"hcv", "x@hub.example.org", true},
	    {"h*cv", "x@hub.example.org", false},
	    {"hc*v", "x@hub.example.org", false},
	    {"cov", "x@hub.example.org", false},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct queue_kit k;
		struct envelope e = with_hops(cases[i].hops, cases[i].recipient);

		kit_open(&k, WORLD);
		kit_done(&k, kit_hand(&k, &e, KIT_MAIL));
		kit_dispatch(&k);
		kit_expect(k.root, "queue/failed", cases[i].loop);
		if (cases[i].loop)
			cr_expect_eq(kit_occurs(k.root, "spool/queue/failed", "5.4.6"), 1, "%s", cases[i].hops);
		envelope_release(&e);
		kit_close(&k);
	}
}

Test(dispatch, a_hop_too_many)
{
	for (size_t hops = 5; hops < 7; hops++) {
		struct queue_kit k;
		struct envelope e = with_hops("", "joe");

		kit_open(&k, "hops = 5\n" WORLD);
		while (e.hop_count < hops)
			envelope_add_hop(&e, "other", 5, HOP_BATCH);
		kit_done(&k, kit_hand(&k, &e, KIT_MAIL));
		kit_dispatch(&k);
		kit_expect(k.root, "queue/failed", hops > 5);
		envelope_release(&e);
		kit_close(&k);
	}
}

/* ---- crashes ----------------------------------------------------------------------------------------------- */

static int step_send(void *context)
{
	struct queue_kit k;
	struct envelope e =
	    kit_envelope("maria@village.example.org", "joe otto@city.example.org clara@city.example.org nobody");
	int code = kit_attach(&k, context) == OUTCOME_DONE && kit_hand(&k, &e, KIT_MAIL) == OUTCOME_DONE ? 0 : 1;

	envelope_release(&e);
	kit_detach(&k);
	return code;
}

static int step_dispatch(void *context)
{
	struct queue_kit k;
	enum outcome outcome = kit_attach(&k, context);

	if (outcome == OUTCOME_DONE)
		outcome = dispatch_new(&k.queue, &k.config, &k.age, NULL, &k.err);
	if (outcome == OUTCOME_DONE)
		outcome = tmp_sweep(&k.queue.tmp, &k.err);
	kit_detach(&k);
	return outcome != OUTCOME_DONE;
}

/* Works on what is in the hops, without a dispatch before. */
static int step_process(void *context)
{
	struct queue_kit k;
	enum outcome outcome = kit_attach(&k, context);

	if (outcome == OUTCOME_DONE)
		outcome = process_failed(&k.process, &k.err);
	if (outcome == OUTCOME_DONE)
		outcome = process_local(&k.process, &k.err);
	kit_detach(&k);
	return outcome != OUTCOME_DONE;
}

static int step_rounds(void *context)
{
	struct queue_kit k;
	enum outcome outcome = kit_attach(&k, context);

	if (outcome == OUTCOME_DONE)
		outcome = kit_rounds(&k);
	kit_detach(&k);
	return outcome != OUTCOME_DONE;
}

static int step_reroute(void *context)
{
	struct queue_kit k;
	struct id id;
	size_t count;
	enum outcome outcome = kit_attach(&k, context);

	if (outcome == OUTCOME_DONE) {
		id = (struct id){.incarnation = k.queue.incarnation, .sequence = 1};
		id_set_host(&id, "village");
		outcome = queue_act(&k.queue, QUEUE_REROUTE, &id, &count, &k.err);
	}
	kit_detach(&k);
	return outcome != OUTCOME_DONE;
}

#define ALL_TO_CITY WORLD
#define SPLIT                                                                                                        \
	KIT_HEAD KIT_CITY HUB "route \"city.example.org\" { via = \"neighbour:hub\" }\n"                             \
			      "route \"clara@city.example.org\" { via = \"neighbour:city\" }\n"                      \
			      "alias \"nobody\" { to = { \"ann\" } }\n"

#define FIRST                                                                                                        \
	"local 0=joe\nneighbour-city 1=otto@city.example.org\nneighbour-city 2=clara@city.example.org\nfailed "      \
	"3=nobody\n"
#define OTHER                                                                                                        \
	"local 0=joe\nneighbour-hub 1=otto@city.example.org\nneighbour-city 2=clara@city.example.org\nlocal 3=ann\n"

struct whereabouts {
	size_t records;
	struct buf recipients[4];
};

static bool note_whereabouts(
    void *context, const struct queue_place *place, const struct entry *entry, const struct error *err)
{
	struct whereabouts *w = context;

	cr_assert_not_null(entry, "%s", err != NULL ? err->text : "");
	w->records++;
	for (size_t i = 0; i < entry->recipient_count; i++)
		buf_format(&w->recipients[entry->recipients[i].index], "%s %u=%s\n", place->hop,
		    (unsigned)entry->recipients[i].index, entry->recipients[i].address);
	return true;
}

/* Every recipient is in one record, every record has its content, nothing else is left. */
static void check_after_crash(char *root, const char *expected)
{
	struct whereabouts w = {0};
	struct queue_kit k;
	struct buf all;

	kit_look(&k, root);
	buf_init(&all, 10000);
	for (size_t i = 0; i < 4; i++)
		buf_init(&w.recipients[i], 1000);
	kit_done(&k, queue_walk(&k.queue, NULL, note_whereabouts, &w, &k.err));
	for (size_t i = 0; i < 4; i++) {
		buf_view(&all, view_buf(&w.recipients[i]));
		buf_release(&w.recipients[i]);
	}
	cr_expect_str_eq(buf_string(&all), expected);
	kit_expect(root, "msg", w.records);
	kit_expect(root, "queue/new", 0);
	kit_expect(root, "stage", 0);
	kit_expect(root, "corrupt", 0);
	kit_expect(root, "tmp", 0);
	buf_release(&all);
	queue_close(&k.queue);
}

static void sweep(const char *kind, bool again, const char *after)
{
	enum fault_end end = FAULT_KILLED;

	for (unsigned n = 1; fault_goes_on(kind, end, n); n++) {
		char *root = kit_root(ALL_TO_CITY);

		cr_assert_lt(n, 300);
		cr_assert_eq(fault_run(NULL, 0, step_send, root), FAULT_RAN);
		if (again) {
			cr_assert_eq(fault_run(NULL, 0, step_dispatch, root), FAULT_RAN);
			cr_assert_eq(fault_run(NULL, 0, step_reroute, root), FAULT_RAN);
		}
		end = fault_run(kind, n, step_dispatch, root);
		cr_assert(end != FAULT_RAN || n > 10 || kind[0] == 'f', "no fault struck");
		/* The routes are others when it is taken up again. */
		kit_put(root, "packetboat.conf", after);
		cr_assert_eq(fault_run(NULL, 0, step_dispatch, root), FAULT_RAN);
		/* What was routed before the crash stays so until it moves: send it round again. */
		cr_assert_eq(fault_run(NULL, 0, step_reroute, root), FAULT_RAN);
		cr_assert_eq(fault_run(NULL, 0, step_dispatch, root), FAULT_RAN);
		check_after_crash(root, strcmp(after, SPLIT) == 0 ? OTHER : FIRST);
		kit_remove(root);
	}
}

Test(dispatch, killed_at_any_point_and_routed_otherwise)
{
	sweep("kill", false, SPLIT);
}

Test(dispatch, failing_at_any_point_and_routed_otherwise)
{
	sweep("fail", false, SPLIT);
}

Test(dispatch, records_killed_at_any_point_and_routed_otherwise)
{
	sweep("kill", true, SPLIT);
}

Test(dispatch, records_failing_at_any_point)
{
	sweep("fail", true, ALL_TO_CITY);
}

/* ---- records that share a file ----------------------------------------------------------------------------- */

#define MANY 5

static int step_send_many(void *context)
{
	struct queue_kit k;
	bool good = kit_attach(&k, context) == OUTCOME_DONE;

	for (int i = 0; i < MANY && good; i++) {
		struct envelope e = kit_envelope(
		    "maria@village.example.org", "otto@city.example.org x@mail.example.org y@other.example.org");

		good = kit_hand(&k, &e, KIT_MAIL) == OUTCOME_DONE;
		envelope_release(&e);
	}
	kit_detach(&k);
	return good ? 0 : 1;
}

#define TO_MANY                                                                                                      \
	KIT_HEAD KIT_CITY "route \"city.example.org\" { via = \"neighbour:city\" }\nroute \"*\" { via = \"smtp\" "   \
			  "}\n"

/* Of many messages at once: each record is there once, whole, and its own. */
static void sweep_many(const char *kind)
{
	enum fault_end end = FAULT_KILLED;
	struct buf expected;

	buf_init(&expected, 10000);
	for (int i = 0; i < MANY; i++)
		buf_text(&expected, "neighbour-city: 0=otto@city.example.org\n");
	for (int i = 0; i < MANY; i++)
		buf_text(&expected, "smtp: 1=x@mail.example.org\nsmtp: 2=y@other.example.org\n");
	for (unsigned n = 1; fault_goes_on(kind, end, n); n++) {
		char *root = kit_root(TO_MANY);
		struct queue_kit k;

		cr_assert_lt(n, 300);
		cr_assert_eq(fault_run(NULL, 0, step_send_many, root), FAULT_RAN);
		end = fault_run(kind, n, step_dispatch, root);
		cr_assert(end != FAULT_RAN || n > 10 || kind[0] == 'f', "no fault struck");
		cr_assert_eq(fault_run(NULL, 0, step_dispatch, root), FAULT_RAN);
		kit_look(&k, root);
		kit_expect_list(&k, buf_string(&expected));
		kit_expect(root, "msg", 3 * MANY);
		kit_expect(root, "queue/new", 0);
		kit_expect(root, "corrupt", 0);
		kit_expect(root, "tmp", 0);
		queue_close(&k.queue);
		kit_remove(root);
	}
	buf_release(&expected);
}

Test(dispatch, many_killed_at_any_point)
{
	sweep_many("kill");
}

Test(dispatch, many_failing_at_any_point)
{
	sweep_many("fail");
}

static void count_files(struct queue_kit *k, const char *hop, size_t *names, size_t *files)
{
	struct names all;
	struct dir d;

	kit_done(k, hop_open(&k->queue, hop, &d, &k->err));
	kit_done(k, dir_names(&d, &all, &k->err));
	*names = all.count;
	*files = 0;
	for (size_t i = 0; i < all.count; i++) {
		struct stat st;

		cr_assert_eq(fstatat(d.fd, all.items[i], &st, 0), 0);
		*files += i == 0;
		for (size_t j = 0; j < i; j++) {
			struct stat other;

			cr_assert_eq(fstatat(d.fd, all.items[j], &other, 0), 0);
			if (other.st_ino == st.st_ino)
				break;
			*files += j + 1 == i;
		}
	}
	names_release(&all);
	dir_close(&d);
}

/* A file is dear to make, a name is not. */
Test(dispatch, many_records_few_files)
{
	struct queue_kit k;
	size_t names;
	size_t files;

	kit_open(&k, TO_MANY);
	for (int i = 0; i < 40; i++)
		kit_send(
		    &k, "maria@village.example.org", "otto@city.example.org x@mail.example.org y@other.example.org");
	kit_dispatch(&k);
	count_files(&k, "neighbour-city", &names, &files);
	cr_expect(names == 40 && files <= 3, "%zu records in %zu files", names, files);
	count_files(&k, "smtp", &names, &files);
	cr_expect(names == 80 && files <= 6, "%zu records in %zu files", names, files);
	kit_close(&k);
}

/* A dead dispatch's records are nobody's until the next one has seen to them. */
Test(dispatch, what_a_dead_one_made_is_not_touched)
{
	enum fault_end end = FAULT_KILLED;

	for (unsigned n = 1; end != FAULT_RAN; n++) {
		char *root = kit_root(ALL_TO_CITY);
		bool claimed;

		cr_assert_eq(fault_run(NULL, 0, step_send, root), FAULT_RAN);
		end = fault_run("kill", n, step_dispatch, root);
		cr_assert(end != FAULT_RAN || n > 10, "no fault struck");
		claimed = kit_count(root, "queue/new") > 0;
		cr_assert_eq(fault_run(NULL, 0, step_process, root), FAULT_RAN);
		cr_expect_eq(kit_count(root, "mail/joe/new"), claimed ? 0 : 1, "%u", n);
		cr_expect_eq(kit_count(root, "queue/new"), 1, "%u: the message, or the report", n);
		cr_assert_eq(fault_run(NULL, 0, step_rounds, root), FAULT_RAN);
		cr_expect_eq(kit_count(root, "mail/joe/new"), 1, "%u", n);
		kit_remove(root);
	}
}

/* ---- records that come round again ------------------------------------------------------------------------- */

/* Ends recipient PLACE of the only record in the hop of city. */
static void end_one(struct queue_kit *k, size_t place)
{
	struct dir hop;
	struct names names;
	struct entry e;
	struct buf text;

	kit_done(k, hop_open(&k->queue, "neighbour-city", &hop, &k->err));
	kit_done(k, dir_names(&hop, &names, &k->err));
	cr_assert_eq(names.count, 1);
	kit_done(k, hop_read(&hop, names.items[0], &e, &k->err));
	e.recipients[place].end = ENTRY_RELAYED;
	buf_init(&text, LIMIT_ENTRY);
	entry_write(&e, &text);
	kit_done(k, file_replace(&k->queue.tmp, &hop, names.items[0], view_buf(&text), &k->err));
	buf_release(&text);
	entry_release(&e);
	names_release(&names);
	dir_close(&hop);
}

Test(dispatch, what_has_ended_is_not_routed_again)
{
	static const struct {
		size_t place;
		const char *list;
		size_t links;
	} cases[] = {
	    {0, "neighbour-city: 1=b@city.example.org 2=c@city.example.org\n", 1},
	    {2, "neighbour-city: 0=a@city.example.org 1=b@city.example.org\n", 1},
	};

	for (size_t i = 0; i < 2; i++) {
		struct queue_kit k;
		struct id id;
		size_t count;

		kit_open(&k, WORLD);
		id = kit_send(
		    &k, "maria@village.example.org", "a@city.example.org b@city.example.org c@city.example.org");
		kit_dispatch(&k);
		end_one(&k, cases[i].place);
		kit_done(&k, queue_act(&k.queue, QUEUE_REROUTE, &id, &count, &k.err));
		kit_dispatch(&k);
		kit_expect_list(&k, cases[i].list);
		kit_expect(k.root, "msg", cases[i].links);
		kit_close(&k);
	}
}

Test(dispatch, a_record_without_anybody_left_ends)
{
	struct queue_kit k;
	struct id id;
	size_t count;

	kit_open(&k, WORLD);
	id = kit_send(&k, "maria@village.example.org", "a@city.example.org");
	kit_dispatch(&k);
	end_one(&k, 0);
	kit_done(&k, queue_act(&k.queue, QUEUE_REROUTE, &id, &count, &k.err));
	kit_dispatch(&k);
	kit_expect(k.root, "queue", 0);
	kit_expect(k.root, "msg", 0);
	kit_close(&k);
}

/* A record keeps its age, and with it its expiry, wherever it goes. */
Test(dispatch, age_and_warning_go_along)
{
	struct queue_kit k;
	struct id id;
	size_t count;

	kit_open(&k, WORLD);
	id = kit_send(&k, "maria@village.example.org", "a@city.example.org");
	kit_dispatch(&k);
	cr_expect_eq(kit_occurs(k.root, "spool/queue/neighbour-city", "arrived-age 86400"), 1);
	kit_done(&k, queue_act(&k.queue, QUEUE_REROUTE, &id, &count, &k.err));
	k.age.now += 100000;
	kit_dispatch(&k);
	cr_expect_eq(kit_occurs(k.root, "spool/queue/neighbour-city", "arrived-age 86400"), 1);
	kit_close(&k);
}

/* Two halves of one message, brought by two neighbours. */
Test(dispatch, halves_of_a_message_do_not_meet)
{
	struct queue_kit k;
	struct envelope e = kit_arrived("a@city.example.org", "joe ann");

	kit_open(&k, WORLD);
	for (uint32_t half = 0; half < 2; half++) {
		struct message_writer w;
		char id[LIMIT_ID];
		char *name;

		e.recipients[0].index = half;
		e.recipient_count = 1;
		kit_done(&k, message_writer_open(&w, &k.queue.tmp, &k.err));
		kit_done(&k, sink_view(&w.sink, view_text(KIT_MAIL), &k.err));
		kit_done(&k, message_writer_finish(&w, &e, &k.err));
		id_print(&e.id, id);
		name = mem_format("%s=%u", id, (unsigned)half);
		kit_done(&k, file_rename(&k.queue.tmp, w.name, &k.queue.new, name, &k.err));
		message_writer_close(&w);
		free(name);
	}
	kit_dispatch(&k);
	kit_expect_list(&k, "local: 0=joe\nlocal: 1=joe\n");
	kit_expect(k.root, "msg", 2);
	e.recipient_count = 2;
	envelope_release(&e);
	kit_close(&k);
}

/* ---- what is no message ------------------------------------------------------------------------------------ */

Test(dispatch, rubbish_goes_aside_and_the_others_go_on)
{
	struct queue_kit k;
	size_t count;
	char *longest = mem_alloc(251);

	kit_open(&k, WORLD);
	kit_put(k.root, "spool/queue/new/a.aaaaaaa.1", "nonsense");
	kit_put(k.root, "spool/queue/new/a.aaaaaaa.2+0", "nonsense");
	kit_put(k.root, "spool/queue/new/a.aaaaaaa.3~", "nonsense");
	kit_put(k.root, "spool/queue/new/zzz", "nonsense");
	kit_send(&k, "maria@village.example.org", "joe");
	dispatch_new(&k.queue, &k.config, &k.age, &count, &k.err); /* it may tell of trouble */
	kit_expect_list(&k, "local: 0=joe\n");
	kit_expect(k.root, "corrupt", 8);
	kit_expect(k.root, "queue/new", 0);
	/* A name that is too long for us is not a reason to stop. */
	memcpy(longest, "spool/queue/new/", 16);
	memset(longest + 16, 'x', 200);
	kit_put(k.root, longest, "nonsense");
	kit_send(&k, "maria@village.example.org", "ann");
	dispatch_new(&k.queue, &k.config, &k.age, &count, &k.err);
	kit_expect_list(&k, "local: 0=joe\nlocal: 0=ann\n");
	free(longest);
	kit_close(&k);
}

Test(dispatch, another_one_at_work_is_no_error)
{
	struct queue_kit k;
	struct lock lock;

	kit_open(&k, WORLD);
	kit_send(&k, "maria@village.example.org", "joe");
	kit_done(&k, hop_lock(&k.queue, "new", &lock, &k.err));
	kit_dispatch(&k);
	kit_expect(k.root, "queue/new", 1);
	lock_release(&lock);
	kit_dispatch(&k);
	kit_expect(k.root, "queue/local", 1);
	kit_close(&k);
}

Test(dispatch, a_lock_that_cannot_be_had_is_told)
{
	struct queue_kit k;

	kit_open(&k, WORLD);
	kit_send(&k, "maria@village.example.org", "joe");
	kit_spoil_lock(k.root, "spool/lock/new");
	kit_spoilt_told(dispatch_new(&k.queue, &k.config, &k.age, NULL, &k.err), &k.err);
	kit_expect(k.root, "queue/new", 1);
	kit_close(&k);
}

/* While nobody can say who has a mailbox, nothing is returned for the lack of one. */
Test(dispatch, what_cannot_be_judged_now_stays)
{
	struct queue_kit k;

	kit_open(&k, WORLD);
	kit_send(&k, "m@city.example.org", "nobody@village.example.org");
	cr_assert_eq(file_rename(&k.queue.mail, "postmaster", &k.queue.mail, ".away", &k.err), OUTCOME_DONE);
	cr_expect_eq(dispatch_new(&k.queue, &k.config, &k.age, NULL, &k.err), OUTCOME_LATER);
	cr_expect_not_null(strstr(k.err.text, "is it mounted?"), "%s", k.err.text);
	kit_expect(k.root, "queue/new", 1);
	kit_expect(k.root, "queue/failed", 0);
	cr_assert_eq(file_rename(&k.queue.mail, ".away", &k.queue.mail, "postmaster", &k.err), OUTCOME_DONE);
	kit_dispatch(&k);
	kit_expect(k.root, "queue/new", 0);
	kit_expect(k.root, "queue/failed", 1);
	kit_close(&k);
}

Test(dispatch, more_than_one_group)
{
	struct queue_kit k;

	kit_open(&k, WORLD);
	for (int i = 0; i < 300; i++)
		kit_send(&k, "maria@village.example.org", "joe x@hub.example.org");
	kit_dispatch(&k);
	kit_expect(k.root, "queue/local", 300);
	kit_expect(k.root, "queue/neighbour-hub", 300);
	kit_expect(k.root, "msg", 600);
	kit_close(&k);
}
