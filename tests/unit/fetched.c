#include "queue/fetched.h"

#include "queue/fetched_file.h"
#include "tests/unit/fault.h"
#include "tests/unit/queue_kit.h"

/* ---- a box ------------------------------------------------------------------------------------------------ */

static void box_open(struct fetched *f, struct queue_kit *k)
{
	bool busy;

	kit_done(k, fetched_open(f, &k->queue, "box", k->age.now, &busy, &k->err));
	fetched_index(f);
}

static enum outcome lay(struct fetched *f, struct queue_kit *k, const char *uid)
{
	struct envelope e = kit_envelope("m@city.example.org", "joe@village.example.org");
	struct fetched_item item = {.uid = mem_string(uid), .octets = 100};
	struct handover h;
	enum outcome outcome;

	handover_begin_small(&k->queue, &h, 1000);
	outcome = sink_view(handover_sink(&h), view_text(KIT_MAIL), &k->err);
	if (outcome == OUTCOME_DONE)
		outcome = fetched_lay(f, &h, &e, &item, &k->err);
	handover_abort(&h);
	envelope_release(&e);
	free(item.uid);
	return outcome;
}

static void state_write(struct queue_kit *k, const char *text)
{
	kit_put(k->root, "spool/state/fetch/box", text);
}

/* ---- lines ------------------------------------------------------------------------------------------------ */

static void line_count(
    void *context, enum fetched_line kind, struct fetched_item *item, struct fetched_failure *failure)
{
	++*(size_t *)context;
	cr_expect_neq(kind, FETCHED_LINE_BAD);
	free(item->uid);
	free(failure->reason);
}

Test(fetched, a_line_says_what_was_printed)
{
	static const char *const uids[] = {NULL, "-", "=", "1", "whqtswO00WBw418f9t5JxYwZ", "~!@#$%^&*()"};

	for (size_t i = 0; i < sizeof uids / sizeof uids[0]; i++)
		for (int kind = 0; kind < 2; kind++) {
			struct fetched_item in = {.kind = (enum fetched_kind)kind,
			    .uid = mem_string(uids[i]),
			    .octets = UINT64_MAX,
			    .digest = {1, 2, 250},
			    .id = {"village", 7, 9},
			    .age = 86400};
			struct fetched_item out;
			struct fetched_failure failure;
			struct buf text;

			buf_init(&text, 10000);
			fetched_print_item(&in, &text);
			cr_assert_eq(fetched_parse(view_of(text.bytes, text.length - 1), &out, &failure),
			    FETCHED_LINE_ITEM, "%s", buf_string(&text));
			cr_expect_eq(out.kind, in.kind);
			cr_expect_eq(out.octets, in.octets);
			cr_expect_eq(out.age, in.age);
			cr_expect(id_equal(&out.id, &in.id));
			cr_expect_arr_eq(out.digest, in.digest, sizeof in.digest);
			cr_expect_eq(out.uid == NULL, in.uid == NULL);
			if (in.uid != NULL)
				cr_expect_str_eq(out.uid, in.uid);
			/* No octet of it can change unseen. */
			for (size_t at = 0; at + 1 < text.length; at++) {
				text.bytes[at] ^= 1;
				cr_expect_eq(fetched_parse(view_of(text.bytes, text.length - 1), &out, &failure),
				    FETCHED_LINE_BAD);
				text.bytes[at] ^= 1;
			}
			free(in.uid);
			free(out.uid);
			buf_release(&text);
		}
}

Test(fetched, a_file_cut_anywhere_keeps_its_whole_lines_and_is_not_called_damaged)
{
	struct fetched_item item = {.uid = mem_string("u1"), .id = {"village", 7, 9}};
	struct fetched_failure failure = {3, 1800000000, mem_string("it does not answer")};
	struct buf text;

	buf_init(&text, 10000);
	buf_text(&text, FETCHED_HEAD);
	for (int i = 0; i < 3; i++)
		fetched_print_item(&item, &text);
	fetched_print_failure(&failure, &text);
	for (size_t length = 0; length <= text.length; length++) {
		size_t good;
		size_t damaged;
		size_t lines = 0;
		size_t whole = 0;

		for (size_t i = 0; i < length; i++)
			whole += text.bytes[i] == '\n';
		fetched_walk(view_of(text.bytes, length), line_count, &lines, &good, &damaged);
		cr_expect_eq(damaged, 0u);
		cr_expect_eq(lines, whole == 0 ? 0 : whole - 1);
		cr_expect_leq(good, length);
		cr_expect(good == 0 || text.bytes[good - 1] == '\n');
	}
	free(failure.reason);
	free(item.uid);
	buf_release(&text);
}

/* ---- the state -------------------------------------------------------------------------------------------- */

Test(fetched, what_was_committed_is_known_and_what_was_not_is_not)
{
	struct queue_kit k;
	struct fetched f;

	kit_open(&k, KIT_PLAIN);
	box_open(&f, &k);
	kit_done(&k, lay(&f, &k, "one"));
	kit_done(&k, lay(&f, &k, NULL));
	kit_done(&k, fetched_commit(&f, &k.err));
	kit_done(&k, lay(&f, &k, "two"));
	fetched_close(&f);
	kit_expect(k.root, "queue/new", 2);
	kit_expect(k.root, "state/fetch/box.held", 0);

	box_open(&f, &k);
	cr_expect_eq(f.count, 2u);
	cr_expect_not_null(fetched_find(&f, "one"));
	cr_expect_null(fetched_find(&f, "two"));
	cr_expect_null(fetched_find(&f, ""));
	f.items[0].gone = true;
	kit_done(&k, fetched_keep(&f, &k.err));
	/* Written anew, it can be appended to. */
	kit_done(&k, lay(&f, &k, "three"));
	kit_done(&k, fetched_commit(&f, &k.err));
	fetched_close(&f);

	box_open(&f, &k);
	cr_expect_eq(f.count, 2u);
	cr_expect_null(fetched_find(&f, "one"));
	cr_expect_not_null(fetched_find(&f, "three"));
	fetched_close(&f);
	kit_close(&k);
}

Test(fetched, what_the_server_has_deleted_is_known_as_that)
{
	struct fetched_summary summary;
	struct queue_kit k;
	struct fetched f;

	kit_open(&k, KIT_PLAIN);
	box_open(&f, &k);
	kit_done(&k, lay(&f, &k, "one"));
	kit_done(&k, lay(&f, &k, "two"));
	kit_done(&k, fetched_commit(&f, &k.err));
	f.items[0].deleted = f.changed = true;
	kit_done(&k, fetched_keep(&f, &k.err));
	fetched_close(&f);
	box_open(&f, &k);
	cr_assert_eq(f.count, 2u);
	cr_expect(f.items[0].deleted && f.items[0].kind == FETCHED_MAIL);
	cr_expect_not(f.items[1].deleted);
	fetched_close(&f);
	kit_done(&k, fetched_look(&k.queue.state, "box", &summary, &k.err));
	cr_expect_eq(summary.mail, 1u, "%zu", summary.mail);
	fetched_summary_release(&summary);
	kit_close(&k);
}

/* It must be read again, and is told of. */
Test(fetched, a_state_does_not_grow_beyond_what_is_read)
{
	struct queue_kit k;
	struct fetched f;
	struct buf text;
	struct fetched_item item = {.octets = 100};

	kit_open(&k, KIT_PLAIN);
	box_open(&f, &k);
	fetched_close(&f);
	item.id = (struct id){.incarnation = 1, .sequence = 1};
	snprintf(item.id.host, sizeof item.id.host, "village");
	item.uid = mem_format("%0400d", 0);
	buf_init(&text, LIMIT_SMALL_FILE);
	buf_text(&text, FETCHED_HEAD);
	while (text.length < LIMIT_SMALL_FILE - 65536)
		fetched_print_item(&item, &text);
	state_write(&k, buf_string(&text));
	box_open(&f, &k);
	cr_expect_eq(lay(&f, &k, "one more"), OUTCOME_LATER);
	cr_expect_not_null(strstr(k.err.text, "all that can be known of a box"), "%s", k.err.text);
	fetched_failed(&f, k.err.text);
	fetched_close(&f);
	box_open(&f, &k);
	cr_expect_eq(f.failures, 1u);
	fetched_close(&f);
	free(item.uid);
	buf_release(&text);
	kit_close(&k);
}

Test(fetched, one_at_a_time)
{
	struct queue_kit k;
	struct fetched f;
	struct fetched other;
	bool busy;

	kit_open(&k, KIT_PLAIN);
	box_open(&f, &k);
	cr_expect_eq(fetched_open(&other, &k.queue, "box", 1, &busy, &k.err), OUTCOME_LATER);
	cr_expect(busy);
	fetched_close(&other);
	fetched_close(&f);
	box_open(&f, &k);
	fetched_close(&f);
	kit_close(&k);
}

Test(fetched, a_lock_that_cannot_be_had_is_told)
{
	struct queue_kit k;
	struct fetched f;
	bool busy = true;

	kit_open(&k, KIT_PLAIN);
	kit_spoil_lock(k.root, "spool/lock/fetch-box");
	kit_spoilt_told(fetched_open(&f, &k.queue, "box", 1, &busy, &k.err), &k.err);
	cr_expect_not(busy);
	fetched_close(&f);
	kit_close(&k);
}

Test(fetched, a_torn_end_is_cut_off_and_damage_before_it_is_told)
{
	struct queue_kit k;
	struct fetched f;
	char *text;
	char *changed;

	kit_open(&k, KIT_PLAIN);
	box_open(&f, &k);
	for (int i = 0; i < 3; i++) {
		char uid[] = {(char)('a' + i), '\0'};

		kit_done(&k, lay(&f, &k, uid));
	}
	kit_done(&k, fetched_commit(&f, &k.err));
	fetched_close(&f);
	text = kit_text(k.root, "spool/state/fetch/box");

	changed = mem_format("%.*s", (int)strlen(text) - 5, text);
	state_write(&k, changed);
	free(changed);
	box_open(&f, &k);
	cr_expect_eq(f.count, 2u);
	kit_done(&k, lay(&f, &k, "d"));
	kit_done(&k, fetched_commit(&f, &k.err));
	fetched_close(&f);
	box_open(&f, &k);
	cr_expect_eq(f.count, 3u);
	fetched_close(&f);
	kit_expect(k.root, "corrupt", 0);

	*strstr(text, "mail =b") = 'X';
	state_write(&k, text);
	box_open(&f, &k);
	cr_expect_eq(f.count, 2u);
	fetched_close(&f);
	kit_expect(k.root, "corrupt", 2);
	box_open(&f, &k);
	cr_expect_eq(f.count, 2u);
	fetched_close(&f);
	free(text);
	kit_close(&k);
}

Test(fetched, failures_are_counted_until_it_goes_well)
{
	struct queue_kit k;
	struct fetched f;
	struct fetched_summary s;

	kit_open(&k, KIT_PLAIN);
	for (int i = 0; i < 3; i++) {
		box_open(&f, &k);
		fetched_failed(&f, "it does not answer");
		fetched_close(&f);
	}
	kit_done(&k, fetched_look(&k.queue.state, "box", &s, &k.err));
	cr_expect_eq(s.failures, 3u);
	cr_expect_str_eq(s.failure, "it does not answer");
	fetched_summary_release(&s);
	box_open(&f, &k);
	cr_expect_eq(f.failures, 3u);
	fetched_well(&f);
	fetched_close(&f);
	box_open(&f, &k);
	cr_expect_eq(f.failures, 0u);
	fetched_close(&f);
	kit_close(&k);
}

Test(fetched, an_age_clock_that_began_anew_makes_nothing_older)
{
	struct queue_kit k;
	struct fetched f;
	bool busy;

	kit_open(&k, KIT_PLAIN);
	k.age.now = 5000000;
	box_open(&f, &k);
	kit_done(&k, lay(&f, &k, "one"));
	kit_done(&k, fetched_commit(&f, &k.err));
	fetched_close(&f);
	kit_done(&k, fetched_open(&f, &k.queue, "box", 100, &busy, &k.err));
	cr_expect_eq(f.items[0].age, 100u);
	fetched_close(&f);
	kit_close(&k);
}

/* ---- crashes ---------------------------------------------------------------------------------------------- */

/* A server is a directory with a file for each of its messages; what is taken durably is removed there. */
#define MAILS 5

static bool server_has(const char *root, int mail)
{
	char *path = mem_format("%s/server/%d", root, mail);
	bool there = access(path, F_OK) == 0;

	free(path);
	return there;
}

static int step_prepare(void *context)
{
	struct queue_kit k;
	char *path = mem_format("%s/server", (char *)context);
	enum outcome outcome = kit_attach(&k, context);

	mkdir(path, 0700);
	for (int i = 0; i < MAILS; i++) {
		char name[40];

		snprintf(name, sizeof name, "server/%d", i);
		kit_put(context, name, "");
	}
	free(path);
	kit_detach(&k);
	return outcome != OUTCOME_DONE;
}

static enum outcome commit_and_delete(struct fetched *f, struct queue_kit *k)
{
	enum outcome outcome = fetched_commit(f, &k->err);

	for (size_t i = 0; i < f->count && outcome == OUTCOME_DONE; i++) {
		char *path = mem_format("%s/server/%s", k->root, f->items[i].uid);

		remove(path);
		f->items[i].gone = true;
		free(path);
	}
	return outcome;
}

/* One run: two messages share a commit. */
static int step_fetch(void *context)
{
	struct queue_kit k;
	struct fetched f;
	bool busy;
	enum outcome outcome = kit_attach(&k, context);

	if (outcome == OUTCOME_DONE)
		outcome = fetched_open(&f, &k.queue, "box", k.age.now, &busy, &k.err);
	else
		return 1;
	fetched_index(&f);
	for (int i = 0; i < MAILS && outcome == OUTCOME_DONE; i++) {
		char uid[] = {(char)('0' + i), '\0'};

		if (server_has(context, i) && fetched_find(&f, uid) == NULL)
			outcome = lay(&f, &k, uid);
		if (outcome == OUTCOME_DONE && i % 2 == 1)
			outcome = commit_and_delete(&f, &k);
	}
	if (outcome == OUTCOME_DONE)
		outcome = commit_and_delete(&f, &k);
	if (outcome == OUTCOME_DONE)
		outcome = fetched_keep(&f, &k.err);
	else
		fetched_failed(&f, k.err.text);
	fetched_close(&f);
	kit_detach(&k);
	return outcome != OUTCOME_DONE;
}

static int step_deliver(void *context)
{
	struct queue_kit k;
	enum outcome outcome = kit_attach(&k, context);

	if (outcome == OUTCOME_DONE)
		outcome = kit_rounds(&k);
	kit_detach(&k);
	return outcome != OUTCOME_DONE;
}

static void sweep(const char *kind)
{
	enum fault_end end = FAULT_KILLED;
	unsigned n;

	for (n = 1; fault_goes_on(kind, end, n); n++) {
		char *root = kit_root(KIT_PLAIN);

		cr_assert_eq(fault_run(NULL, 0, step_prepare, root), FAULT_RAN);
		end = fault_run(kind, n, step_fetch, root);
		/* What is in the queue goes its way before the box is looked at again. */
		cr_assert_eq(fault_run(NULL, 0, step_deliver, root), FAULT_RAN);
		cr_assert_eq(fault_run(NULL, 0, step_fetch, root), FAULT_RAN, "%s %u", kind, n);
		cr_assert_eq(fault_run(NULL, 0, step_deliver, root), FAULT_RAN);
		cr_expect_eq(kit_count(root, "mail/joe/new"), (size_t)MAILS, "%s %u: %zu mails", kind, n,
		    kit_count(root, "mail/joe/new"));
		kit_expect(root, "state/fetch/box.held", 0);
		kit_expect(root, "corrupt", 0);
		kit_remove(root);
	}
	cr_expect_gt(n, 30u);
}

Test(fetched, killed_anywhere_each_message_is_taken_once, .timeout = 240)
{
	sweep("kill");
}

Test(fetched, with_a_disk_that_fails_anywhere_each_message_is_taken_once, .timeout = 240)
{
	sweep("fail");
}
