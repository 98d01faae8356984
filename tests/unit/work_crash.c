/* Work slots, killed or failing at every change to the file system. */
#include "tests/unit/work_kit.h"

/* ---- crashes ----------------------------------------------------------------------------------------------------- */

/*
 * A server that takes "good", has no room for "full" the first time, and refuses "bad"; it writes down what it took, for
 * each recipient a line in the file "server". Three messages with such recipients, the second from a neighbour.
 */
#define MESSAGES 3

struct sweep {
	char *root;
	bool group; /* results are settled together at the end, not each by itself */
};

static int step_prepare(void *context)
{
	const struct sweep *s = context;
	struct queue_kit k;
	enum outcome outcome = kit_attach(&k, s->root);

	for (int i = 0; i < MESSAGES && outcome == OUTCOME_DONE; i++) {
		struct envelope e =
		    i == 1 ? kit_arrived("m@city.example.org", "good@a.example full@a.example bad@a.example")
			   : kit_envelope("m@city.example.org", "good@a.example full@a.example bad@a.example");

		outcome = kit_hand(&k, &e, KIT_MAIL);
		envelope_release(&e);
	}
	if (outcome == OUTCOME_DONE)
		outcome = dispatch_new(&k.queue, &k.config, &k.age, NULL, &k.err);
	kit_detach(&k);
	return outcome != OUTCOME_DONE;
}

static void serve(const struct queue_kit *k, struct settle_item *item)
{
	char *path = mem_format("%s/server", k->root);
	char id[LIMIT_ID];
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);

	id_print(&item->entry.id, id);
	for (size_t i = 0; i < item->entry.recipient_count; i++) {
		const struct entry_recipient *r = &item->entry.recipients[i];
		char *line;

		if (r->end != ENTRY_WAITS)
			continue;
		if (text_starts(r->address, "bad@")) {
			settle_recipient(item, i, ENTRY_FAILED, "5.1.1", "550 nobody");
			continue;
		}
		if (text_starts(r->address, "full@") && item->entry.attempts == 0) {
			settle_recipient(item, i, ENTRY_WAITS, "4.2.2", "452 full");
			continue;
		}
		line = mem_format("%s %s\n", id, r->address);
		cr_assert_eq(write(fd, line, strlen(line)), (ssize_t)strlen(line));
		free(line);
		settle_recipient(item, i, ENTRY_RELAYED, "2.0.0", "250 Ok");
	}
	close(fd);
	free(path);
}

static void deliver_one(struct queue_kit *k, struct work *w, const char *name, bool *failed)
{
	struct settle_item *item = NULL;
	enum outcome outcome = work_claim(w, name, &k->err);

	if (outcome == OUTCOME_DONE)
		outcome = work_item(w, name, &item, &k->err);
	if (outcome == OUTCOME_DONE && item != NULL) {
		process_limits(&k->process, item);
		serve(k, item);
		outcome = work_done(w, item, &k->err);
	}
	*failed |= outcome != OUTCOME_DONE;
}

/* What a program that delivers does; it may complain, but it goes on. */
static int step_deliver(void *context)
{
	const struct sweep *s = context;
	struct queue_kit k;
	struct work w = {.opened = false};
	struct names names = {0};
	bool failed = kit_attach(&k, s->root) != OUTCOME_DONE;

	if (!failed)
		failed = work_open(&w, &k.process, "smtp", &k.err) != OUTCOME_DONE ||
			 work_ready(&w, 10, &names, &k.err) != OUTCOME_DONE;
	for (size_t i = 0; i < names.count; i++) {
		deliver_one(&k, &w, names.items[i], &failed);
		for (int n = 0; !s->group && n < 3 && work_settle(&w, &k.err) != OUTCOME_DONE; n++)
			failed = true;
	}
	for (int n = 0; n < 3 && work_unsettled(&w) > 0; n++)
		failed |= work_settle(&w, &k.err) != OUTCOME_DONE;
	failed |= work_close(&w, &k.err) != OUTCOME_DONE;
	names_release(&names);
	kit_detach(&k);
	return failed;
}

/* A quarter of a day later: all that was put off is due, and reports have gone their way. */
static int step_later(void *context)
{
	const struct sweep *s = context;
	struct queue_kit k;
	struct work w = {.opened = false};
	struct names names = {0};
	bool failed = kit_attach(&k, s->root) != OUTCOME_DONE;

	k.age.now += 20000;
	for (int round = 0; round < 3 && !failed; round++) {
		failed |= kit_rounds(&k) != OUTCOME_DONE ||
			  work_unserved(&k.process, "smtp", &k.err) != OUTCOME_DONE ||
			  work_open(&w, &k.process, "smtp", &k.err) != OUTCOME_DONE ||
			  work_ready(&w, 10, &names, &k.err) != OUTCOME_DONE;
		for (size_t i = 0; i < names.count && !failed; i++)
			deliver_one(&k, &w, names.items[i], &failed);
		failed |= work_close(&w, &k.err) != OUTCOME_DONE;
		names_release(&names);
		k.age.now += 20000;
	}
	failed |= tmp_sweep(&k.queue.tmp, &k.err) != OUTCOME_DONE;
	kit_detach(&k);
	return failed;
}

/* EXTRA deliveries may have come twice. */
static void check_swept(const struct sweep *s, const char *kind, unsigned n, size_t extra)
{
	size_t served = kit_occurs(s->root, "server", "\n");
	char *server = kit_text(s->root, "server");

	cr_expect_geq(served, 2 * MESSAGES, "%s %u: %zu served", kind, n, served);
	cr_expect_leq(served, 2 * MESSAGES + extra, "%s %u: %zu served:\n%s", kind, n, served, server);
	cr_expect_eq(kit_occurs(s->root, "server", "full@"),
	    kit_occurs(s->root, "server", "\n") - kit_occurs(s->root, "server", "good@"));
	cr_expect_geq(kit_occurs(s->root, "told", "relayed good@a.example"), MESSAGES, "%s %u", kind, n);
	cr_expect_geq(kit_occurs(s->root, "told", "relayed full@a.example"), MESSAGES, "%s %u", kind, n);
	cr_expect_geq(kit_occurs(s->root, "told", "failed bad@a.example"), MESSAGES, "%s %u", kind, n);
	/* Each failure is reported once, and nothing else waits. */
	cr_expect_eq(
	    kit_count(s->root, "queue"), MESSAGES, "%s %u: %zu records", kind, n, kit_count(s->root, "queue"));
	cr_expect_eq(kit_count(s->root, "queue/neighbour-city"), MESSAGES, "%s %u", kind, n);
	cr_expect_eq(kit_count(s->root, "msg"), MESSAGES, "%s %u: %zu contents", kind, n, kit_count(s->root, "msg"));
	cr_expect_eq(kit_count(s->root, "tmp"), 0, "%s %u", kind, n);
	cr_expect_eq(kit_count(s->root, "corrupt"), 0, "%s %u", kind, n);
	free(server);
}

static void sweep(const char *kind, bool group)
{
	enum fault_end end = FAULT_KILLED;

	for (unsigned n = 1; fault_goes_on(kind, end, n); n++) {
		struct sweep s = {kit_root(SMTP), group};

		cr_assert_lt(n, 500);
		cr_assert_eq(fault_run(NULL, 0, step_prepare, &s), FAULT_RAN);
		end = fault_run(kind, n, step_deliver, &s);
		cr_assert(end != FAULT_RAN || n > 10 || kind[0] == 'f', "no fault struck");
		cr_assert_eq(fault_run(NULL, 0, step_later, &s), FAULT_RAN, "%s %u", kind, n);
		/* Only what a killed process had been told and not written down comes again. */
		check_swept(&s, kind, n, kind[0] == 'f' ? 0 : group ? MESSAGES : 1);
		kit_remove(s.root);
	}
}

Test(work_crash, killed_at_any_point)
{
	sweep("kill", false);
}

Test(work_crash, killed_at_any_point_with_results_in_hand)
{
	sweep("kill", true);
}

Test(work_crash, failing_at_any_point)
{
	sweep("fail", false);
}

Test(work_crash, failing_at_any_point_with_results_in_hand)
{
	sweep("fail", true);
}

/* Killed while the next one puts things right. */
Test(work_crash, killed_twice)
{
	for (unsigned n = 10; n < 120; n += 7) {
		struct sweep s = {kit_root(SMTP), n % 2 == 0};

		cr_assert_eq(fault_run(NULL, 0, step_prepare, &s), FAULT_RAN);
		fault_run("kill", n, step_deliver, &s);
		fault_run("kill", 5 + n * 7 % 41, step_deliver, &s);
		cr_assert_eq(fault_run(NULL, 0, step_later, &s), FAULT_RAN, "%u", n);
		check_swept(&s, "twice", n, 2 * MESSAGES);
		kit_remove(s.root);
	}
}
