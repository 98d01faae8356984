#include "relay/relay.h"

#include "tests/unit/relay_kit.h"

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

Test(relay, batch_names)
{
	static const struct {
		uint32_t incarnation;
		uint64_t sequence;
	} cases[] = {{0, 0}, {7, 1}, {UINT32_MAX, UINT64_MAX}, {0x01020304, 4711}};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char name[BATCH_FILE];
		uint32_t incarnation;
		uint64_t sequence;

		batch_file_name(cases[i].incarnation, cases[i].sequence, name);
		cr_expect(batch_file_parse(name, &incarnation, &sequence), "%s", name);
		cr_expect(incarnation == cases[i].incarnation && sequence == cases[i].sequence, "%s", name);
		cr_expect_not(batch_part_parse(name, &incarnation, &sequence));
		cr_expect_leq(strlen(name) + LIMIT_HOST_NAME + 1, 64, "FAT-safe with the host before it");
		batch_part_name(cases[i].incarnation, cases[i].sequence, name);
		cr_expect(batch_part_parse(name, &incarnation, &sequence), "%s", name);
		cr_expect(incarnation == cases[i].incarnation && sequence == cases[i].sequence, "%s", name);
		cr_expect_not(batch_file_parse(name, &incarnation, &sequence));
	}
}

Test(relay, what_is_no_batch_name)
{
	static const char *const names[] = {"", ".pb", "aaaaaaa.pb", "aaaaaaa..pb", "aaaaaaa.1", "aaaaaaa.1.pb.new",
	    "aaaaaa.1.pb", "aaaaaaaa.1.pb", "AAAAAAA.1.pb", "aaaaaaa.x.pb", "aaaaaaa.-1.pb", "aaaaaaa.ack.pb",
	    "aaaaaaa.18446744073709551616.pb", "aaaaaaa-1.pb", "batch-", "batch-aaaaaaa", "batch-aaaaaaa-",
	    "batch-aaaaaaa.1", "due-7"};

	for (size_t i = 0; i < COUNT(names); i++) {
		uint32_t incarnation;
		uint64_t sequence;

		cr_expect_not(batch_file_parse(names[i], &incarnation, &sequence), "%s", names[i]);
		cr_expect_not(batch_part_parse(names[i], &incarnation, &sequence), "%s", names[i]);
	}
}

Test(relay, open_and_close)
{
	struct net net = net_open();
	struct relay r;
	struct neighbour *n;
	struct relay second;
	struct neighbour *other;

	net_host(&net, "a", "b", "");
	net_done(&net, net_relay(&net, "a", &r));
	net_done(&net, relay_neighbour(&r, "b", &n, &net.err));
	cr_assert_not_null(n);
	cr_expect_eq(n->state, NEIGHBOUR_READY);
	cr_expect_eq(n->peer.next, 1);
	net_done(&net, relay_neighbour(&r, "nobody", &other, &net.err));
	cr_expect_null(other);
	/* Somebody else at work gets no hold of it, and that is no error. */
	net_done(&net, net_relay(&net, "a", &second));
	net_done(&net, relay_neighbour(&second, "b", &other, &net.err));
	cr_expect_null(other);
	relay_close(&second);
	relay_close(&r);
	relay_close(&r);
	net_done(&net, net_relay(&net, "a", &second));
	net_done(&net, relay_neighbour(&second, "b", &other, &net.err));
	cr_expect_not_null(other);
	relay_close(&second);
	net_close(&net);
}

/* A header that is not proved yet may name any neighbour. */
Test(relay, a_lookup_opens_and_locks_nothing)
{
	struct net net = net_open();
	struct relay r;
	struct relay second;
	struct neighbour *n;
	const struct public_keys *keys;

	net_host(&net, "a", "b c", "neighbour \"d\" { key = \"pb1.nonsense\"\ncall = { \"dir:../stick\" }\n}\n");
	net_done(&net, net_relay(&net, "a", &r));
	net_done(&net, net_relay(&net, "a", &second));
	net_done(&net, relay_neighbour(&r, "b", &n, &net.err));
	keys = relay_lookup(&second, "b");
	cr_assert_not_null(keys, "though another process works on it");
	cr_expect_eq(memcmp(keys, &n->keys, sizeof *keys), 0);
	cr_expect_str_eq(relay_lookup(&second, "c")->host, "c");
	net_done(&net, relay_neighbour(&r, "c", &n, &net.err));
	cr_expect_not_null(n, "nobody has it locked");
	cr_expect_null(relay_lookup(&r, "d"));
	cr_expect_null(relay_lookup(&r, "nobody"));
	cr_expect_eq(net_log(&net, "a", " trouble "), 0);
	relay_close(&second);
	relay_close(&r);
	net_close(&net);
}

/* A call may last for hours. */
Test(relay, ages_go_on_within_a_call)
{
	struct net net = net_open();
	struct relay r;
	struct neighbour *n;
	uint64_t before;

	net_host(&net, "a", "b", "");
	net_done(&net, net_relay(&net, "a", &r));
	net_done(&net, relay_neighbour(&r, "b", &n, &net.err));
	before = r.age.now;
	cr_assert_eq(setenv("PACKETBOAT_CLOCK_OFFSET", "7200", 1), 0);
	net_done(&net, pass_feed(&r, n, &net.err));
	cr_expect_geq(r.age.now, before + 7200);
	relay_close(&r);
	net_close(&net);
}

/* A neighbour whose lock cannot be had is not one that another process works on, however often it is asked for. */
Test(relay, a_lock_that_cannot_be_had_is_told)
{
	struct net net = net_open();
	struct neighbour *n;
	struct relay r;

	net_host(&net, "a", "b", "");
	kit_spoil_lock(net.root, "a/spool/lock/neighbour-b");
	net_done(&net, net_relay(&net, "a", &r));
	cr_expect_neq(relay_neighbour(&r, "b", &n, NULL), OUTCOME_DONE);
	cr_expect_null(n);
	for (int i = 0; i < 2; i++)
		kit_spoilt_told(relay_neighbour(&r, "b", &n, &net.err), &net.err);
	relay_close(&r);
	kit_spoilt_told(net_try(&net, "a"), &net.err);
	net_close(&net);
}

/* Nor what lies in the hop of a neighbour that is taken out. */
Test(relay, a_lock_of_a_lost_hop_that_cannot_be_had_is_told)
{
	struct net net = net_open();

	net_host(&net, "a", "b", "route \"b.example.org\" { via = \"neighbour:b\" }\n");
	net_send(&net, "a", "joe@a.example.org", "joe@b.example.org");
	net_pass(&net, "a");
	net_configure(&net, "a", "", "", "");
	kit_spoil_lock(net.root, "a/spool/lock/neighbour-b");
	kit_spoilt_told(net_try(&net, "a"), &net.err);
	net_close(&net);
}

Test(relay, what_it_cannot_start_with)
{
	static const struct {
		const char *remove;
		int code;
	} cases[] = {{"a/packetboat.conf", EX_NOINPUT}, {"a/keys", EX_CONFIG}, {"a/spool", EX_CONFIG}};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct net net = net_open();
		struct relay r;
		char *path;
		char *gone;

		net_host(&net, "a", "b", "");
		path = mem_format("%s/%s", net.root, cases[i].remove);
		gone = mem_format("%s/gone", net.root);
		cr_assert_eq(rename(path, gone), 0);
		cr_expect_neq(net_relay(&net, "a", &r), OUTCOME_DONE, "%s", cases[i].remove);
		cr_expect_eq(net.err.code, cases[i].code, "%s: %d, %s", cases[i].remove, net.err.code, net.err.text);
		free(gone);
		free(path);
		net_close(&net);
	}
}

/* A neighbour with a key that is none is left out; the others are served. */
Test(relay, one_broken_neighbour_does_not_stop_the_others)
{
	struct net net = net_open();

	net_host(&net, "b", "a", "");
	net_host(&net, "a", "b", "neighbour \"c\" { key = \"pb1.nonsense\"\ncall = { \"dir:../stick\" }\n}\n");
	net_send(&net, "a", "joe", "joe@b");
	net_send(&net, "a", "joe", "joe@c");
	cr_expect_neq(net_try(&net, "a"), OUTCOME_DONE);
	cr_expect_geq(net_log(&net, "a", " trouble "), 1, "%s", net.err.text);
	cr_expect_eq(net_stick(&net, "b", NULL), 1, "%s", net.err.text);
	net_pass(&net, "b");
	net_expect_mails(&net, "b", "joe", 1);
	net_expect(&net, "a", "queue/neighbour-c", 1);
	net_close(&net);
}

/* The state of one cannot be read when a new incarnation begins: the others begin it, and nothing stays locked. */
Test(relay, one_that_cannot_be_renewed_does_not_stop_the_others)
{
	struct net net = net_open();
	char *state = net_path(&net, "b", "spool/state/a/peer");
	struct relay r;
	struct neighbour *a;
	struct neighbour *c;

	net_host(&net, "b", "a c", "");
	net_host(&net, "a", "b", "");
	net_host(&net, "c", "b", "");
	net_done(&net, net_relay(&net, "b", &r));
	net_done(&net, relay_neighbour(&r, "a", &a, &net.err));
	net_done(&net, relay_neighbour(&r, "c", &c, &net.err));
	a->changed = true;
	net_done(&net, neighbour_save(&r, a, &net.err));
	cr_assert_eq(unlink(state), 0);
	cr_assert_eq(mkdir(state, 0700), 0);
	cr_expect_neq(relay_renew(&r, RENEW_BATCHES, "a test", &net.err), OUTCOME_DONE);
	cr_expect_eq(a->state, NEIGHBOUR_BROKEN);
	cr_expect_str_eq(a->peer.name, "a", "what was known of it is still there");
	cr_expect_eq(c->state, NEIGHBOUR_READY);
	cr_expect_eq(c->peer.incarnation, r.queue.incarnation);
	relay_close(&r);
	cr_assert_eq(rmdir(state), 0);
	net_done(&net, net_relay(&net, "b", &r));
	net_done(&net, relay_neighbour(&r, "a", &a, &net.err));
	cr_expect_not_null(a, "nobody holds its lock");
	relay_close(&r);
	free(state);
	net_close(&net);
}

/* ---- the whole way ------------------------------------------------------------------------------------------- */

#define A_TO_B "route \"*\" { via = \"neighbour:b\" }\n"
#define B_HUB  "route \"a.example.org\" { via = \"neighbour:a\" }\nroute \"c.example.org\" { via = \"neighbour:c\" }\n"
#define C_TO_B "route \"*\" { via = \"neighbour:b\" }\n"

static struct net three_hosts(const char *extra_c)
{
	struct net net = net_open();
	char *c = mem_format("%s%s", C_TO_B, extra_c);

	net_host(&net, "a", "b", A_TO_B);
	net_host(&net, "b", "a c", B_HUB);
	net_host(&net, "c", "b", c);
	free(c);
	return net;
}

static void go_round(struct net *net, int times)
{
	for (int i = 0; i < times; i++) {
		net_pass(net, "a");
		net_pass(net, "b");
		net_pass(net, "c");
		net_pass(net, "b");
		net_pass(net, "a");
	}
}

static void expect_all_idle(const struct net *net)
{
	net_expect_idle(net, "a");
	net_expect_idle(net, "b");
	net_expect_idle(net, "c");
}

Test(relay, two_at_c_one_at_b_one_unknown)
{
	struct net net = three_hosts("");

	net_user(&net, "c", "ann");
	net_send(&net, "a", "joe@a.example.org",
	    "joe@c.example.org ann@c.example.org joe@b.example.org nobody@c.example.org");
	go_round(&net, 3);
	net_expect_mails(&net, "c", "joe", 1);
	net_expect_mails(&net, "c", "ann", 1);
	net_expect_mails(&net, "b", "joe", 1);
	net_expect_mails(&net, "a", "joe", 1);
	cr_expect_eq(kit_occurs(net.root, "a/spool/mail/joe/new", "Action: failed"), 1);
	cr_expect_eq(kit_occurs(net.root, "c/spool/mail/joe/new", "\nbody\n"), 1);
	cr_expect_eq(net_log(&net, "a", "fate=delivered"), 3, "%zu", net_log(&net, "a", "fate=delivered"));
	cr_expect_eq(net_log(&net, "a", "fate=failed"), 1, "%zu", net_log(&net, "a", "fate=failed"));
	expect_all_idle(&net);
	net_close(&net);
}

/* c's alias of one leads back to the hub that brought it: it is a message of its own from there on. */
Test(relay, an_alias_of_one_that_leads_back_is_delivered)
{
	struct net net = three_hosts("alias \"info\" { to = { \"joe@b.example.org\" } }\n"
				     "alias \"home\" { to = { \"joe@a.example.org\" } }\n");

	net_send(&net, "a", "joe@a.example.org", "info@c.example.org");
	go_round(&net, 3);
	net_expect_mails(&net, "b", "joe", 1);
	net_expect_mails(&net, "a", "joe", 0);
	net_send(&net, "a", "joe@a.example.org", "home@c.example.org");
	go_round(&net, 4);
	net_expect_mails(&net, "a", "joe", 1);
	cr_expect_eq(kit_occurs(net.root, "a/spool/mail/joe/new", "5.4.6"), 0, "not a report of a loop");
	expect_all_idle(&net);
	net_close(&net);
}

Test(relay, a_configured_postmaster_elsewhere_gets_mail_that_came_from_there)
{
	struct net net = three_hosts("postmaster = \"joe@b.example.org\"\n");

	net_send(&net, "a", "joe@a.example.org", "postmaster@c.example.org");
	go_round(&net, 3);
	net_expect_mails(&net, "b", "joe", 1);
	net_expect_mails(&net, "a", "joe", 0);
	expect_all_idle(&net);
	net_close(&net);
}

/* b sends x.example.org to c, c sends it back to b: whoever sent it hears of it. */
Test(relay, a_loop_between_two_is_reported)
{
	struct net net = three_hosts("");

	net_configure(
	    &net, "b", "a c", "relay = true\n", B_HUB "route \"x.example.org\" { via = \"neighbour:c\" }\n");
	net_send(&net, "a", "joe@a.example.org", "somebody@x.example.org");
	go_round(&net, 4);
	net_expect_mails(&net, "a", "joe", 1);
	cr_expect_eq(kit_occurs(net.root, "a/spool/mail/joe/new", "Status: 5.4.6"), 1);
	expect_all_idle(&net);
	net_close(&net);
}

/* The postmaster of c lives at b, behind a link that takes nothing: the operator gets it, not a storm of reports. */
Test(relay, no_report_about_a_report_about_a_report)
{
	struct net net = three_hosts("");

	net_configure(&net, "c", "b", "max-size = 10\n",
	    C_TO_B "postmaster = \"joe@b.example.org\"\nalias \"two\" { to = { \"x@b.example.org\" } }\n");
	net_send(&net, "c", "", "nobody");
	for (int i = 0; i < 4; i++)
		net_try(&net, "c");
	cr_expect_leq(net_log(&net, "c", " reported "), 2, "%zu reports", net_log(&net, "c", " reported "));
	net_expect(&net, "c", "queue/hold", 1);
	net_close(&net);
}

Test(relay, no_storm_by_an_alias_of_postmaster)
{
	struct net net = three_hosts("");

	net_configure(&net, "c", "b", "max-size = 10\n",
	    C_TO_B "alias \"postmaster\" { to = { \"joe@b.example.org\", \"x@b.example.org\" } }\n");
	net_send(&net, "c", "", "nobody");
	for (int i = 0; i < 4; i++)
		net_try(&net, "c");
	cr_expect_leq(net_log(&net, "c", " reported "), 3, "%zu reports", net_log(&net, "c", " reported "));
	net_expect(&net, "c", "queue/new", 0);
	net_expect(&net, "c", "queue/failed", 0);
	cr_expect_geq(net_count(&net, "c", "queue/hold"), 1);
	net_close(&net);
}

/* ---- neighbours that come and go ------------------------------------------------------------------------------ */

Test(relay, a_neighbour_that_is_taken_out_gives_its_mail_back)
{
	struct net net = three_hosts("");

	net_send(&net, "a", "joe@a.example.org", "joe@b.example.org");
	net_pass(&net, "a"); /* packed, and on the stick */
	net_expect(&net, "a", "out", 1);
	net_configure(&net, "a", "c", "relay = true\n", "route \"*\" { via = \"neighbour:c\" }\n");
	net_pass(&net, "a");
	net_expect(&net, "a", "queue/neighbour-b", 0);
	net_expect(&net, "a", "queue/neighbour-c", 1);
	net_close(&net);
}
