#include "queue/queue.h"

#include "queue/hop.h"
#include "tests/unit/fault.h"
#include "tests/unit/queue_kit.h"

static enum outcome act(struct queue_kit *k, enum queue_action action, const struct id *id, size_t expected)
{
	size_t count = 99;
	enum outcome outcome = queue_act(&k->queue, action, id, &count, &k->err);

	if (outcome == OUTCOME_DONE)
		cr_expect_eq(count, expected, "%zu, not %zu", count, expected);
	return outcome;
}

#define BOTH "otto@city.example.org joe"

Test(act, records)
{
	struct queue_kit k;
	struct id id;

	kit_open(&k, KIT_PLAIN);
	id = kit_send(&k, "maria@village.example.org", BOTH);
	kit_dispatch(&k);
	kit_done(&k, act(&k, QUEUE_HOLD, &id, 2));
	kit_expect_list(&k, "hold: 0=otto@city.example.org\nhold: 1=joe\n");
	cr_expect_eq(act(&k, QUEUE_HOLD, &id, 0), OUTCOME_NEVER, "held already");
	kit_done(&k, kit_rounds(&k));
	kit_expect(k.root, "mail/joe", 0);
	kit_done(&k, act(&k, QUEUE_RELEASE, &id, 2));
	cr_expect_eq(act(&k, QUEUE_RELEASE, &id, 0), OUTCOME_NEVER, "not held");
	kit_done(&k, kit_rounds(&k));
	kit_expect(k.root, "mail/joe", 1);
	kit_expect_list(&k, "neighbour-city: 0=otto@city.example.org\n");
	kit_done(&k, act(&k, QUEUE_REROUTE, &id, 1));
	kit_expect_list(&k, "new: 0=otto@city.example.org\n");
	kit_dispatch(&k);
	kit_done(&k, act(&k, QUEUE_REMOVE, &id, 1));
	kit_expect(k.root, "queue", 0);
	kit_expect(k.root, "msg", 0);
	cr_expect_eq(kit_occurs(k.root, "spool/log", " removed "), 1);
	cr_expect_eq(act(&k, QUEUE_REMOVE, &id, 0), OUTCOME_NEVER);
	cr_expect_eq(k.err.code, EX_DATAERR);
	kit_close(&k);
}

Test(act, fresh_messages)
{
	struct queue_kit k;
	struct id id;

	kit_open(&k, KIT_PLAIN);
	id = kit_send(&k, "maria@village.example.org", BOTH);
	cr_expect_eq(act(&k, QUEUE_RELEASE, &id, 0), OUTCOME_NEVER, "not held");
	kit_done(&k, act(&k, QUEUE_RETRY, &id, 1));
	kit_done(&k, act(&k, QUEUE_REROUTE, &id, 1));
	kit_done(&k, act(&k, QUEUE_HOLD, &id, 1));
	kit_expect_list(&k, "hold: 0=otto@city.example.org 1=joe\n");
	kit_expect(k.root, "queue/new", 0);
	kit_expect(k.root, "msg", 1);
	kit_done(&k, kit_rounds(&k));
	kit_expect(k.root, "mail/joe", 0);
	kit_done(&k, act(&k, QUEUE_RELEASE, &id, 1));
	kit_done(&k, kit_rounds(&k));
	kit_expect_list(&k, "neighbour-city: 0=otto@city.example.org\n");
	kit_expect(k.root, "mail/joe", 1);
	kit_expect(k.root, "msg", 1);
	kit_close(&k);
}

Test(act, removing_a_fresh_message)
{
	for (int arrived = 0; arrived < 2; arrived++) {
		struct queue_kit k;
		struct envelope e = arrived ? kit_arrived("a@city.example.org", "joe ann")
					    : kit_envelope("maria@village.example.org", "joe ann");

		kit_open(&k, KIT_PLAIN);
		kit_done(&k, kit_hand(&k, &e, KIT_MAIL));
		kit_done(&k, act(&k, QUEUE_REMOVE, &e.id, 1));
		kit_done(&k, kit_rounds(&k));
		kit_expect(k.root, "queue", 0);
		kit_expect(k.root, "msg", 0);
		kit_expect(k.root, "mail", 0);
		if (arrived)
			cr_expect_eq(kit_occurs(k.root, "told", "removed "), 2, "who sent it hears of it");
		envelope_release(&e);
		kit_close(&k);
	}
}

Test(act, removing_what_a_neighbour_brought_is_told)
{
	struct queue_kit k;
	struct envelope e = kit_arrived("a@city.example.org", "joe ann");

	kit_open(&k, KIT_PLAIN);
	kit_done(&k, kit_hand(&k, &e, KIT_MAIL));
	kit_dispatch(&k);
	kit_done(&k, act(&k, QUEUE_REMOVE, &e.id, 1));
	kit_expect_list(&k, "");
	kit_done(&k, kit_rounds(&k));
	kit_expect(k.root, "queue", 0);
	kit_expect(k.root, "msg", 0);
	cr_expect_eq(kit_occurs(k.root, "told", "removed "), 2);
	kit_expect(k.root, "mail", 0);
	envelope_release(&e);
	kit_close(&k);
}

Test(act, retry_makes_due)
{
	struct queue_kit k;
	struct id id;
	struct dir hop;
	struct names names;

	kit_open(&k, KIT_PLAIN);
	id = kit_send(&k, "maria@village.example.org", "otto@city.example.org");
	kit_dispatch(&k);
	kit_done(&k, act(&k, QUEUE_RETRY, &id, 1));
	kit_done(&k, hop_open(&k.queue, "neighbour-city", &hop, &k.err));
	kit_done(&k, dir_names(&hop, &names, &k.err));
	kit_done(&k, hop_defer(&hop, &hop, names.items[0], 100000, &k.err));
	kit_expect_list(&k, "neighbour-city/due-98: 0=otto@city.example.org\n");
	kit_done(&k, act(&k, QUEUE_RETRY, &id, 1));
	kit_expect_list(&k, "neighbour-city: 0=otto@city.example.org\n");
	names_release(&names);
	dir_close(&hop);
	kit_close(&k);
}

/* A record that leaves a batch leaves the marker there. */
Test(act, a_batch_is_recalled)
{
	static const struct {
		enum queue_action action;
		bool recalled;
	} cases[] = {{QUEUE_HOLD, true}, {QUEUE_REROUTE, true}, {QUEUE_REMOVE, true}, {QUEUE_RETRY, false}};

	for (size_t i = 0; i < 4; i++) {
		struct queue_kit k;
		struct id id;
		struct dir hop;
		struct dir part;
		struct names names;

		kit_open(&k, KIT_PLAIN);
		id = kit_send(&k, "maria@village.example.org", "otto@city.example.org");
		kit_send(&k, "maria@village.example.org", "otto@city.example.org");
		kit_dispatch(&k);
		kit_done(&k, hop_open(&k.queue, "neighbour-city", &hop, &k.err));
		kit_done(&k, dir_names(&hop, &names, &k.err));
		kit_done(&k, hop_open_within(&k.queue, "neighbour-city", "batch-aaaaaby-1", &part, &k.err));
		for (size_t n = 0; n < names.count; n++)
			kit_done(&k, file_rename(&hop, names.items[n], &part, names.items[n], &k.err));
		kit_done(&k, act(&k, cases[i].action, &id, 1));
		cr_expect_eq(file_exists(&part, "recall", NULL), cases[i].recalled, "case %zu", i);
		cr_expect_eq(
		    kit_count(k.root, "queue/neighbour-city"), 2, "the other record, and the marker or both");
		names_release(&names);
		dir_close(&part);
		dir_close(&hop);
		kit_close(&k);
	}
}

Test(act, unknown_ids_change_nothing)
{
	struct queue_kit k;
	struct id id;

	kit_open(&k, KIT_PLAIN);
	id = kit_send(&k, "maria@village.example.org", "joe");
	id.sequence++;
	for (int action = QUEUE_HOLD; action <= QUEUE_REMOVE; action++) {
		cr_expect_eq(act(&k, (enum queue_action)action, &id, 0), OUTCOME_NEVER);
		cr_expect_eq(k.err.code, EX_DATAERR);
	}
	kit_expect(k.root, "queue/new", 1);
	kit_close(&k);
}

/* ---- crashes --------------------------------------------------------------------------------------------------- */

struct move {
	char *root;
	enum queue_action action;
	bool routed;
	bool arrived;
};

static int step_prepare(void *context)
{
	const struct move *m = context;
	struct queue_kit k;
	struct envelope e =
	    m->arrived ? kit_arrived("a@city.example.org", BOTH) : kit_envelope("maria@village.example.org", BOTH);
	enum outcome outcome = kit_attach(&k, m->root);

	if (outcome == OUTCOME_DONE)
		outcome = kit_hand(&k, &e, KIT_MAIL);
	if (outcome == OUTCOME_DONE && m->routed)
		outcome = dispatch_new(&k.queue, &k.config, &k.age, NULL, &k.err);
	envelope_release(&e);
	kit_detach(&k);
	return outcome != OUTCOME_DONE;
}

static int act_in(struct queue_kit *k, const struct move *m, enum queue_action action)
{
	struct id id = {.incarnation = k->queue.incarnation, .sequence = 1};
	size_t count;

	id_set_host(&id, "village");
	if (m->arrived)
		id = (struct id){.host = "city", .incarnation = 9, .sequence = 5};
	return queue_act(&k->queue, action, &id, &count, &k->err) != OUTCOME_DONE;
}

static int step_act(void *context)
{
	const struct move *m = context;
	struct queue_kit k;
	int code = kit_attach(&k, m->root) != OUTCOME_DONE || act_in(&k, m, m->action);

	kit_detach(&k);
	return code;
}

/* A pass, then whatever is held is let go, and a pass. */
static int step_recover(void *context)
{
	const struct move *m = context;
	struct queue_kit k;
	int code = kit_attach(&k, m->root) != OUTCOME_DONE || kit_rounds(&k) != OUTCOME_DONE;

	if (code == 0) {
		act_in(&k, m, QUEUE_RELEASE);
		code = kit_rounds(&k) != OUTCOME_DONE;
	}
	kit_detach(&k);
	return code;
}

static void sweep(enum queue_action action, bool routed, bool arrived)
{
	enum fault_end end = FAULT_KILLED;

	for (unsigned n = 1; end != FAULT_RAN; n++) {
		struct move m = {kit_root(KIT_PLAIN), action, routed, arrived};
		bool gone;

		cr_assert_lt(n, 200);
		cr_assert_eq(fault_run(NULL, 0, step_prepare, &m), FAULT_RAN);
		end = fault_run("kill", n, step_act, &m);
		cr_assert(end != FAULT_RAN || n > 10, "no fault struck");
		cr_assert_eq(fault_run(NULL, 0, step_recover, &m), FAULT_RAN);
		gone = action == QUEUE_REMOVE && end == FAULT_RAN;
		if (action != QUEUE_REMOVE || gone) {
			cr_expect_eq(kit_count(m.root, "mail/joe"), gone ? 0 : 1, "%d %u: joe has %zu", action, n,
			    kit_count(m.root, "mail/joe"));
			cr_expect_eq(kit_count(m.root, "queue/neighbour-city"), gone ? 0 : 1, "%d %u", action, n);
		}
		cr_expect_leq(kit_count(m.root, "mail/joe"), 1, "%d %u", action, n);
		cr_expect_leq(kit_count(m.root, "queue/neighbour-city"), 1, "%d %u", action, n);
		cr_expect_eq(
		    kit_count(m.root, "queue"), kit_count(m.root, "queue/neighbour-city"), "%d %u", action, n);
		/* A record whose removal was cut short is an ended one, which the next pass over its hop takes away. */
		if (action != QUEUE_REMOVE)
			cr_expect_eq(kit_count(m.root, "queue"), kit_count(m.root, "msg"),
			    "%d %u: no content is left", action, n);
		cr_expect_eq(kit_count(m.root, "corrupt"), 0, "%d %u", action, n);
		kit_remove(m.root);
	}
}

Test(act, killed_at_any_point)
{
	for (int routed = 0; routed < 2; routed++) {
		sweep(QUEUE_HOLD, routed, false);
		sweep(QUEUE_REMOVE, routed, false);
		sweep(QUEUE_REMOVE, routed, true);
	}
	sweep(QUEUE_REROUTE, true, false);
}

/* What a dead dispatch left is seen to first: else the operator's move would be undone. */
static int step_dispatch(void *context)
{
	const struct move *m = context;
	struct queue_kit k;
	int code = kit_attach(&k, m->root) != OUTCOME_DONE ||
		   dispatch_new(&k.queue, &k.config, &k.age, NULL, &k.err) != OUTCOME_DONE;

	kit_detach(&k);
	return code;
}

static int step_remove(void *context)
{
	const struct move *m = context;
	struct queue_kit k;
	int code = kit_attach(&k, m->root) != OUTCOME_DONE || act_in(&k, m, QUEUE_REMOVE) ? 1 : 0;

	if (code != 0 && k.err.code == EX_TEMPFAIL)
		code = 2; /* "run a pass first" is an answer */
	kit_detach(&k);
	return code;
}

Test(act, a_dead_dispatch_does_not_undo_it)
{
	enum fault_end end = FAULT_KILLED;

	for (unsigned n = 1; end != FAULT_RAN; n++) {
		struct move m = {kit_root(KIT_PLAIN), QUEUE_REMOVE, false, false};
		enum fault_end removed;

		cr_assert_lt(n, 200);
		cr_assert_eq(fault_run(NULL, 0, step_prepare, &m), FAULT_RAN);
		end = fault_run("kill", n, step_dispatch, &m);
		cr_assert(end != FAULT_RAN || n > 10, "no fault struck");
		removed = fault_run(NULL, 0, step_remove, &m);
		cr_assert_eq(fault_run(NULL, 0, step_recover, &m), FAULT_RAN);
		cr_expect_eq(kit_count(m.root, "mail/joe"), removed == FAULT_RAN ? 0 : 1, "%u: joe has %zu", n,
		    kit_count(m.root, "mail/joe"));
		cr_expect_eq(kit_count(m.root, "queue"), removed == FAULT_RAN ? 0 : 1, "%u: %zu", n,
		    kit_count(m.root, "queue"));
		cr_expect_eq(kit_count(m.root, "corrupt"), 0, "%u", n);
		kit_remove(m.root);
	}
}
