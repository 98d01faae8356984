#include "relay/outbox.h"

#include "tests/unit/fault.h"
#include "tests/unit/relay_kit.h"

#define TO_B "route \"*\" { via = \"neighbour:b\" }\n"

static struct net pair(const char *options)
{
	struct net net = net_open();

	net_host(&net, "a", "b", TO_B);
	net_configure(&net, "a", "b", options, TO_B);
	net_host(&net, "b", "a", "route \"*\" { via = \"neighbour:a\" }\n");
	return net;
}

static void send_some(struct net *net, size_t count)
{
	for (size_t i = 0; i < count; i++)
		net_send(net, "a", "joe@a.example.org", "joe@b.example.org");
}

/* ---- packing and acknowledging ------------------------------------------------------------------------------- */

Test(outbox, packed_sent_acknowledged)
{
	struct net net = pair("");

	send_some(&net, 3);
	net_pass(&net, "a");
	net_expect(&net, "a", "out/b", 1);
	net_expect(&net, "a", "queue/neighbour-b", 3);
	cr_expect_eq(net_stick(&net, "b", NULL), 1);
	net_pass(&net, "a");
	net_expect(&net, "a", "out/b", 1);
	net_pass(&net, "b");
	net_expect_mails(&net, "b", "joe", 3);
	net_expect(&net, "a", "msg", 3);
	net_pass(&net, "a");
	net_expect_idle(&net, "a");
	net_expect_idle(&net, "b");
	cr_expect_eq(net_log(&net, "a", " acknowledged "), 1);
	cr_expect_eq(net_log(&net, "a", " forwarded "), 3);
	net_pass(&net, "b");
	net_pass(&net, "a");
	cr_expect_eq(net_log(&net, "a", " learned "), 3, "b delivered them");
	net_close(&net);
}

/* An acknowledgement rides in every header; most say nothing new, and are worth no wait for the disk. */
Test(outbox, what_acknowledges_nothing_is_not_saved_at_once)
{
	struct net net = pair("");
	struct batch_header h = {.incarnation = 77, .has_ack = true};
	struct relay r;
	struct neighbour *n;

	send_some(&net, 1);
	net_pass(&net, "a");
	net_done(&net, net_relay(&net, "a", &r));
	net_done(&net, relay_neighbour(&r, "b", &n, &net.err));
	h.ack.incarnation = n->peer.incarnation;
	cr_expect_not(n->changed);
	net_done(&net, outbox_take_header(&r, n, &h, &net.err));
	cr_expect(n->changed, "it waits to be saved");
	ranges_add(&h.ack.received, 1, 1);
	net_done(&net, outbox_take_header(&r, n, &h, &net.err));
	net_expect(&net, "a", "out/b", 0);
	batch_header_release(&h);
	relay_close(&r);
	net_close(&net);
}

/* Two that have nothing to say do not keep each other busy with acknowledgements of acknowledgements. */
Test(outbox, silence_falls)
{
	struct net net = pair("");

	send_some(&net, 1);
	for (int i = 0; i < 3; i++) {
		net_pass(&net, "a");
		net_pass(&net, "b");
	}
	for (int i = 0; i < 3; i++) {
		net_pass(&net, "a");
		cr_expect_eq(net_stick(&net, "b", NULL), 0);
		net_pass(&net, "b");
		cr_expect_eq(net_stick(&net, "a", NULL), 0);
	}
	net_close(&net);
}

Test(outbox, urgent_mail_is_in_a_batch_of_its_own_and_first)
{
	struct net net = pair("");
	struct envelope e = kit_envelope("joe@a.example.org", "joe@b.example.org");
	struct relay r;
	struct neighbour *n;

	send_some(&net, 2);
	e.class = CLASS_URGENT;
	net_hand(&net, "a", &e, KIT_MAIL);
	net_pass(&net, "a");
	net_expect(&net, "a", "out/b", 2);
	net_done(&net, net_relay(&net, "a", &r));
	net_done(&net, relay_neighbour(&r, "b", &n, &net.err));
	cr_assert_eq(n->peer.out_count, 2);
	cr_expect_eq(n->peer.out[0].class, CLASS_URGENT);
	cr_expect_eq(n->peer.out[0].messages, 1);
	cr_expect_eq(n->peer.out[1].messages, 2);
	relay_close(&r);
	envelope_release(&e);
	net_close(&net);
}

Test(outbox, batches_are_closed_at_their_size)
{
	struct net net = pair("batch-size = 150\n");

	cr_assert_lt(strlen(KIT_MAIL), 75);
	send_some(&net, 5);
	net_pass(&net, "a");
	net_expect(&net, "a", "out/b", 3);
	net_pass(&net, "b");
	net_expect_mails(&net, "b", "joe", 5);
	net_pass(&net, "a");
	net_expect_idle(&net, "a");
	net_close(&net);
}

Test(outbox, no_more_than_may_be_outstanding)
{
	struct net net = pair("batch-size = 1\noutstanding = 500\n");

	send_some(&net, 6);
	for (int i = 0; i < 3; i++)
		net_pass(&net, "a");
	cr_expect_lt(net_count(&net, "a", "out/b"), 6);
	for (int i = 0; i < 6; i++) {
		net_pass(&net, "b");
		net_pass(&net, "a");
	}
	net_expect_mails(&net, "b", "joe", 6);
	net_expect_idle(&net, "a");
	net_close(&net);
}

/* ---- putting right -------------------------------------------------------------------------------------------- */

/* The first (only) name in HOST/spool/WHERE below the net. */
static char *only(struct net *net, const char *host, const char *where)
{
	char *path = mem_format("%s/%s/spool/%s", net->root, host, where);
	struct dir d;
	struct names names;
	char *found;

	net_done(net, dir_open(&d, NULL, path, &net->err));
	net_done(net, dir_names(&d, &names, &net->err));
	cr_assert_eq(names.count, 1, "%s holds %zu names", path, names.count);
	found = mem_format("%s/%s", path, names.items[0]);
	names_release(&names);
	dir_close(&d);
	free(path);
	return found;
}

static void finish(struct net *net, size_t mails)
{
	for (int i = 0; i < 3; i++) {
		net_pass(net, "a");
		net_pass(net, "b");
	}
	net_pass(net, "a");
	net_expect_mails(net, "b", "joe", mails);
	net_expect_idle(net, "a");
	net_expect_idle(net, "b");
}

Test(outbox, a_file_that_the_state_does_not_know_is_adopted)
{
	for (int seen = 0; seen < 2; seen++) {
		struct net net = pair("");
		char *state;

		send_some(&net, 2);
		state = net_path(&net, "a", "spool/state/b/peer");
		net_pass(&net, "a"); /* makes a state */
		if (seen)
			net_pass(&net, "b");
		net_expect(&net, "a", "out/b", 1);
		cr_assert_eq(unlink(state), 0); /* as if the pass had died before it was saved */
		net_pass(&net, "a");
		net_expect(&net, "a", "out/b", seen ? 0 : 1);
		net_expect(&net, "a", "queue/neighbour-b", seen ? 0 : 2);
		finish(&net, 2);
		free(state);
		net_close(&net);
	}
}

/* b knows that the first batch will never come: what it has is one range, and a has nothing more to announce. */
static void expect_no_gap(struct net *net)
{
	struct relay r;
	struct neighbour *n;

	net_done(net, net_relay(net, "b", &r));
	net_done(net, relay_neighbour(&r, "a", &n, &net->err));
	cr_assert_not_null(peer_present(&n->peer));
	cr_expect_eq(peer_present(&n->peer)->received.count, 1);
	cr_expect(ranges_contain(&peer_present(&n->peer)->received, 1));
	relay_close(&r);
	net_done(net, net_relay(net, "a", &r));
	net_done(net, relay_neighbour(&r, "b", &n, &net->err));
	cr_expect_eq(n->peer.voided.count, 0);
	relay_close(&r);
}

Test(outbox, a_lost_file_is_packed_again)
{
	struct net net = pair("");
	char *file;

	send_some(&net, 2);
	net_pass(&net, "a");
	file = only(&net, "a", "out/b");
	cr_assert_eq(unlink(file), 0);
	net_pass(&net, "a");
	cr_expect_eq(net_log(&net, "a", " dissolved "), 1);
	finish(&net, 2);
	expect_no_gap(&net);
	free(file);
	net_close(&net);
}

/*
 * What cannot be looked at is not gone. Whoever runs the test may look at all: so somebody else does; the directory of a
 * batch's records can be shut to him.
 */
static void as_nobody(const struct net *net)
{
	if (geteuid() != 0)
		return;
	net_run("chown -R 65534", net->root, net->root);
	cr_assert_eq(seteuid(65534), 0);
}

static char *records_of(const struct net *net)
{
	char *path = net_path(net, "a", "spool/queue/neighbour-b");
	struct names names;
	struct dir hop;
	char *found = NULL;

	cr_assert_eq(dir_open(&hop, NULL, path, NULL), OUTCOME_DONE);
	cr_assert_eq(dir_names(&hop, &names, NULL), OUTCOME_DONE);
	for (size_t i = 0; i < names.count && found == NULL; i++)
		if (text_starts(names.items[i], "batch-"))
			found = mem_format("%s/%s", path, names.items[i]);
	cr_assert_not_null(found);
	names_release(&names);
	dir_close(&hop);
	free(path);
	return found;
}

Test(outbox, records_that_cannot_be_looked_at_are_not_gone)
{
	for (int acknowledged = 0; acknowledged < 2; acknowledged++) {
		struct net net = pair("");
		char *records;

		send_some(&net, 2);
		as_nobody(&net);
		net_pass(&net, "a");
		if (acknowledged)
			net_pass(&net, "b");
		records = records_of(&net);
		cr_assert_eq(chmod(records, 0), 0);
		cr_expect_neq(net_try(&net, "a"), OUTCOME_DONE);
		cr_expect_geq(net_log(&net, "a", " trouble "), 1);
		cr_expect_eq(net_log(&net, "a", " acknowledged "), 0);
		net_expect(&net, "a", "out/b", 1);
		cr_assert_eq(chmod(records, 0700), 0);
		finish(&net, 2);
		cr_expect_eq(net_log(&net, "a", " dissolved "), 0);
		cr_expect_eq(net_log(&net, "a", " made "), 1);
		cr_expect_eq(net_log(&net, "b", " duplicate "), 0);
		free(records);
		net_close(&net);
		cr_assert_eq(seteuid(getuid()), 0);
	}
}

Test(outbox, records_that_cannot_be_counted_have_not_expired)
{
	struct net net = pair("");
	struct relay r;
	struct neighbour *n;
	int hop;

	send_some(&net, 1);
	net_pass(&net, "a");
	net_done(&net, net_relay(&net, "a", &r));
	net_done(&net, relay_neighbour(&r, "b", &n, &net.err));
	n->peer.out[0].look_age = 0;
	hop = n->hop.fd;
	n->hop.fd = -1;
	cr_expect_neq(outbox_expire(&r, n, &net.err), OUTCOME_DONE);
	n->hop.fd = hop;
	cr_expect_eq(n->peer.out_count, 1);
	relay_close(&r);
	net_expect(&net, "a", "out/b", 1);
	finish(&net, 1);
	net_close(&net);
}

/* Cut short, or longer than it was made: it could never be sent. */
Test(outbox, a_file_of_another_size_is_packed_again)
{
	for (int longer = 0; longer < 2; longer++) {
		struct net net = pair("");
		struct stat st;
		char *file;

		send_some(&net, 2);
		net_pass(&net, "a");
		file = only(&net, "a", "out/b");
		cr_assert_eq(stat(file, &st), 0);
		cr_assert_eq(truncate(file, longer ? st.st_size + 1 : st.st_size - 1), 0);
		net_pass(&net, "a");
		cr_expect_eq(net_log(&net, "a", " dissolved "), 1);
		cr_expect_eq(net_log(&net, "a", "its file is damaged"), 1);
		finish(&net, 2);
		free(file);
		net_close(&net);
	}
}

Test(outbox, a_file_that_cannot_be_read_does_not_stop_the_rest)
{
	struct net net = pair("");
	char *state;
	char *file;

	send_some(&net, 2);
	net_pass(&net, "a");
	state = net_path(&net, "a", "spool/state/b/peer");
	file = only(&net, "a", "out/b");
	cr_assert_eq(unlink(state), 0);
	cr_assert_eq(truncate(file, 5), 0);
	net_try(&net, "a");
	net_try(&net, "a");
	net_pass(&net, "b");
	net_try(&net, "a");
	net_expect_mails(&net, "b", "joe", 2);
	net_expect(&net, "a", "queue", 0);
	free(file);
	free(state);
	net_close(&net);
}

Test(outbox, another_seal_or_key_is_packed_again)
{
	for (int which = 0; which < 3; which++) {
		struct net net = pair(which == 0 ? "seal = false\n" : "");
		char *keys;

		send_some(&net, 2);
		net_pass(&net, "a");
		if (which < 2) {
			net_configure(&net, "a", "b", which == 0 ? "" : "seal = false\n", TO_B);
		} else {
			keys = net_path(&net, "b", "keys");
			net_run("rm -rf", keys, "");
			free(keys);
			net_configure(&net, "a", "b", "", TO_B);
			net_configure(&net, "b", "a", "", "route \"*\" { via = \"neighbour:a\" }\n");
		}
		net_pass(&net, "a");
		cr_expect_eq(net_log(&net, "a", " dissolved "), 1, "case %d", which);
		cr_expect_eq(net_stick(&net, "b", NULL), 1, "the old one is gone from the stick");
		finish(&net, 2);
		net_close(&net);
	}
}

/* A batch that arrived before the change still counts: b drops what comes again in the new one. */
Test(outbox, dissolved_after_it_arrived)
{
	struct net net = pair("seal = false\n");
	char *ack;

	send_some(&net, 2);
	net_pass(&net, "a");
	net_pass(&net, "b");
	cr_assert_eq(net_stick(&net, "a", &ack), 1);
	cr_assert_eq(unlink(ack), 0); /* the acknowledgement is lost */
	net_configure(&net, "a", "b", "", TO_B);
	net_pass(&net, "a");
	cr_expect_eq(net_log(&net, "a", " dissolved "), 1);
	finish(&net, 2);
	cr_expect_eq(net_log(&net, "b", " duplicate "), 2);
	free(ack);
	net_close(&net);
}

Test(outbox, the_operator_takes_one_out)
{
	struct net net = pair("");
	struct id id;
	struct queue q;
	char *path = NULL;
	size_t count;

	send_some(&net, 2);
	id = net_send(&net, "a", "joe@a.example.org", "joe@b.example.org");
	net_pass(&net, "a");
	path = net_path(&net, "a", "spool");
	net_done(&net, queue_open(&q, path, "a", &net.err));
	net_done(&net, queue_act(&q, QUEUE_REMOVE, &id, &count, &net.err));
	cr_expect_eq(count, 1);
	queue_close(&q);
	net_pass(&net, "a");
	cr_expect_eq(net_log(&net, "a", "the operator took a message out"), 1);
	finish(&net, 2);
	free(path);
	net_close(&net);
}

/* ---- incarnations ---------------------------------------------------------------------------------------------- */

static void renew_copy(struct net *net, const char *host)
{
	char *from = mem_format("%s/spool/state", host);
	char *to = mem_format("%s/spool/state.copy", host);
	char *a = mem_format("%s/%s", net->root, from);
	char *b = mem_format("%s/%s", net->root, to);

	net_copy(net, from, to);
	net_run("rm -rf", a, "");
	cr_assert_eq(rename(b, a), 0);
	free(from);
	free(to);
	free(a);
	free(b);
}

/* The spool of a was restored from a backup while batches were out. */
Test(outbox, a_new_incarnation_packs_again)
{
	for (int arrived = 0; arrived < 2; arrived++) {
		struct net net = pair("");

		send_some(&net, 2);
		net_pass(&net, "a");
		if (arrived)
			net_pass(&net, "b");
		renew_copy(&net, "a");
		send_some(&net, 1);
		net_pass(&net, "a");
		cr_expect_eq(net_log(&net, "a", " renewed "), 1);
		finish(&net, 3);
		net_close(&net);
	}
}

/* ---- expiry in batches ----------------------------------------------------------------------------------------- */

static void shift_clock(int64_t seconds)
{
	char *text = mem_format("%lld", (long long)seconds);

	cr_assert_eq(setenv("PACKETBOAT_CLOCK_OFFSET", text, 1), 0);
	free(text);
}

Test(outbox, warned_and_expired_in_a_batch)
{
	struct net net = net_open();

	net_host(&net, "a", "b", "route \"*\" {\nvia = \"neighbour:b\"\nexpire = 3d\nwarn = 1d\n}\n");
	net_host(&net, "b", "a", "");
	send_some(&net, 2);
	net_pass(&net, "a");
	for (int day = 1; day < 7; day++) {
		shift_clock(day * 86400 + 60);
		net_pass(&net, "a");
	}
	cr_expect_eq(kit_occurs(net.root, "a/spool/mail/joe/new", "Action: delayed"), 2);
	cr_expect_eq(kit_occurs(net.root, "a/spool/mail/joe/new", "Action: failed"), 2);
	net_expect_mails(&net, "a", "joe", 4);
	net_expect(&net, "a", "queue", 0);
	net_expect(&net, "a", "msg", 0);
	net_expect(&net, "a", "out", 0);
	cr_expect_eq(net_stick(&net, "b", NULL), 0, "and it is taken back from the stick");
	net_close(&net);
}

/* One of two expires: the other goes on in a new batch. */
Test(outbox, one_of_two_expires)
{
	struct net net = net_open();

	net_host(&net, "a", "b",
	    "route \"*\" { via = \"neighbour:b\" }\nroute \"joe@b.example.org\" {\nvia = \"neighbour:b\"\nexpire = "
	    "1d\nwarn = 0\n}\n");
	net_host(&net, "b", "a", "");
	net_user(&net, "b", "ann");
	net_send(&net, "a", "joe@a.example.org", "joe@b.example.org");
	net_send(&net, "a", "joe@a.example.org", "ann@b.example.org");
	net_pass(&net, "a");
	net_expect(&net, "a", "out", 1);
	shift_clock(86400 + 60);
	net_pass(&net, "a");
	net_pass(&net, "a");
	net_expect_mails(&net, "a", "joe", 1);
	net_pass(&net, "b");
	net_expect_mails(&net, "b", "joe", 0);
	net_expect_mails(&net, "b", "ann", 1);
	net_close(&net);
}

/* A look that failed half-way is taken again. */
static int step_pass_a(void *context)
{
	return net_try(context, "a") != OUTCOME_DONE;
}

static int step_send_a(void *context)
{
	struct net *net = context;

	net_host(net, "a", "b", "route \"*\" {\nvia = \"neighbour:b\"\nexpire = 1d\nwarn = 0\n}\n");
	net_host(net, "b", "a", "");
	send_some(net, 2);
	return net_try(net, "a") != OUTCOME_DONE;
}

Test(outbox, expiry_survives_a_failure_at_any_point)
{
	enum fault_end end = FAULT_KILLED;

	for (unsigned n = 1; end != FAULT_RAN || n < FAULT_FAILURES; n += 2) {
		struct net net = net_open();

		cr_assert_lt(n, 400);
		unsetenv("PACKETBOAT_CLOCK_OFFSET");
		cr_assert_eq(fault_run(NULL, 0, step_send_a, &net), FAULT_RAN);
		shift_clock(86400 + 60);
		end = fault_run(n % 4 == 1 ? "fail" : "kill", n, step_pass_a, &net);
		cr_assert(end != FAULT_RAN || n > 10 || n % 4 == 1, "no fault struck");
		fault_run(NULL, 0, step_pass_a, &net); /* may tell what is news */
		fault_run(NULL, 0, step_pass_a, &net);
		cr_expect_eq(net_mails(&net, "a", "joe"), 2, "%u: %zu reports", n, net_mails(&net, "a", "joe"));
		cr_expect_eq(net_count(&net, "a", "queue"), 0, "%u", n);
		cr_expect_eq(net_count(&net, "a", "msg"), 0, "%u", n);
		cr_expect_eq(net_count(&net, "a", "out"), 0, "%u", n);
		cr_expect_eq(net_count(&net, "a", "stage"), 0, "%u", n);
		net_close(&net);
	}
}

/* ---- crashes --------------------------------------------------------------------------------------------------- */

static int step_send_b(void *context)
{
	struct net *net = context;

	net_host(net, "a", "b", TO_B);
	net_host(net, "b", "a", "route \"*\" { via = \"neighbour:a\" }\n");
	send_some(net, 2);
	return 0;
}

static int step_pass_b(void *context)
{
	return net_try(context, "b") != OUTCOME_DONE;
}

/* The pass that packs is struck at N; and then the pass that is told the acknowledgement. */
static void sweep(const char *kind, int when, unsigned step)
{
	enum fault_end end = FAULT_KILLED;

	for (unsigned n = 1; fault_goes_on(kind, end, n); n += step) {
		struct net net = net_open();

		cr_assert_lt(n, 400);
		cr_assert_eq(fault_run(NULL, 0, step_send_b, &net), FAULT_RAN);
		if (when == 1) {
			cr_assert_eq(fault_run(NULL, 0, step_pass_a, &net), FAULT_RAN);
			cr_assert_eq(fault_run(NULL, 0, step_pass_b, &net), FAULT_RAN);
		}
		end = fault_run(kind, n, step_pass_a, &net);
		cr_assert(end != FAULT_RAN || n > 10 || kind[0] == 'f', "no fault struck");
		for (int i = 0; i < 2; i++) {
			fault_run(NULL, 0, step_pass_a, &net);
			cr_assert_eq(fault_run(NULL, 0, step_pass_b, &net), FAULT_RAN, "%u", n);
		}
		cr_assert_eq(fault_run(NULL, 0, step_pass_a, &net), FAULT_RAN, "%u", n);
		cr_expect_eq(
		    net_mails(&net, "b", "joe"), 2, "%s %u: joe has %zu", kind, n, net_mails(&net, "b", "joe"));
		for (int i = 0; i < 2; i++) {
			const char *host = i == 0 ? "a" : "b";

			cr_expect_eq(net_count(&net, host, "queue"), 0, "%s %u: %s", kind, n, host);
			cr_expect_eq(net_count(&net, host, "msg"), 0, "%s %u: %s", kind, n, host);
			cr_expect_eq(net_count(&net, host, "out"), 0, "%s %u: %s", kind, n, host);
			cr_expect_eq(net_count(&net, host, "stage"), 0, "%s %u: %s", kind, n, host);
			cr_expect_eq(net_count(&net, host, "corrupt"), 0, "%s %u: %s", kind, n, host);
		}
		cr_expect_eq(net_stick(&net, "b", NULL), 0, "%s %u", kind, n);
		net_close(&net);
	}
}

Test(outbox, killed_while_packing)
{
	sweep("kill", 0, 2);
}

Test(outbox, failing_while_packing)
{
	sweep("fail", 0, 3);
}

Test(outbox, killed_while_acknowledged)
{
	sweep("kill", 1, 2);
}

Test(outbox, failing_while_acknowledged)
{
	sweep("fail", 1, 3);
}

/* A descriptor that stays open would keep tmp_sweep from the file, too. */
static int step_bare_a(void *context)
{
	struct net *net = context;
	struct relay r;
	struct neighbour *n = NULL;
	char name[40];
	int fd = -1;
	bool left = false;

	if (net_relay(net, "a", &r) == OUTCOME_DONE && relay_neighbour(&r, "b", &n, NULL) == OUTCOME_DONE &&
	    n != NULL) {
		n->peer.ack_due = true;
		left = outbox_bare(&r, n, name, &fd, NULL) != OUTCOME_DONE &&
		       (fd >= 0 || net_count(net, "a", "tmp") > 0);
	}
	return left;
}

Test(outbox, a_bare_batch_that_cannot_be_written_leaves_nothing)
{
	struct net net = net_open();

	cr_assert_eq(fault_run(NULL, 0, step_send_b, &net), FAULT_RAN);
	cr_assert_eq(fault_run(NULL, 0, step_pass_a, &net), FAULT_RAN);
	for (unsigned n = 1; n < 30; n++)
		cr_expect_eq(fault_run("fail", n, step_bare_a, &net), FAULT_RAN, "%u", n);
	net_close(&net);
}

/* ---- ages -------------------------------------------------------------------------------------------------------- */

/* The age file was lost while a message with a limited lifetime waits: it does not expire at the next host. */
Test(outbox, a_lost_age_does_not_shorten_a_lifetime)
{
	struct net net = pair("");
	struct envelope e = kit_envelope("joe@a.example.org", "joe@b.example.org");
	char *age = net_path(&net, "a", "spool/state/age");

	net_pass(&net, "a");
	for (int day = 1; day < 5; day++) {
		shift_clock(day * 86400);
		net_pass(&net, "a");
	}
	e.lifetime = 86400;
	net_hand(&net, "a", &e, KIT_MAIL);
	net_configure(&net, "a", "b", "outstanding = 1\n", TO_B);
	send_some(&net, 1);
	net_pass(&net, "a");
	cr_assert_eq(unlink(age), 0);
	net_configure(&net, "a", "b", "seal = false\n", TO_B); /* all is packed again */
	net_pass(&net, "a");
	net_pass(&net, "b");
	net_expect_mails(&net, "b", "joe", 2);
	net_expect_mails(&net, "a", "joe", 0);
	envelope_release(&e);
	free(age);
	net_close(&net);
}
