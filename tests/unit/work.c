#include "tests/unit/work_kit.h"

#include <sys/resource.h>

/* ---- slots ------------------------------------------------------------------------------------------------------- */

Test(work, the_first_free_slot)
{
	struct queue_kit k;
	struct work w[3];

	open_world(&k, "x@a.example");
	for (int i = 0; i < 3; i++)
		kit_done(&k, work_open(&w[i], &k.process, "smtp", &k.err));
	cr_expect_str_eq(w[0].path, "smtp/work-1");
	cr_expect_str_eq(w[2].path, "smtp/work-3");
	kit_done(&k, work_close(&w[1], &k.err));
	cr_expect_not(slot_stands(&k, "work-2"), "an empty slot is taken away");
	cr_expect(slot_stands(&k, "work-3"));
	kit_done(&k, work_open(&w[1], &k.process, "smtp", &k.err));
	cr_expect_str_eq(w[1].path, "smtp/work-2");
	for (int i = 0; i < 3; i++)
		kit_done(&k, work_close(&w[i], &k.err));
	kit_done(&k, work_close(&w[0], &k.err)); /* again: nothing */
	kit_expect(k.root, "queue/smtp", 1);
	kit_close(&k);
}

Test(work, slots_come_to_an_end)
{
	static struct work w[LIMIT_WORK_SLOTS + 1];
	struct queue_kit k;

	open_world(&k, "x@a.example");
	for (int i = 0; i < LIMIT_WORK_SLOTS; i++)
		kit_done(&k, work_open(&w[i], &k.process, "smtp", &k.err));
	cr_expect_eq(work_open(&w[LIMIT_WORK_SLOTS], &k.process, "smtp", &k.err), OUTCOME_LATER);
	cr_expect_eq(k.err.code, EX_TEMPFAIL);
	kit_done(&k, work_close(&w[LIMIT_WORK_SLOTS], &k.err));
	for (int i = 0; i < LIMIT_WORK_SLOTS; i++)
		kit_done(&k, work_close(&w[i], &k.err));
	kit_close(&k);
}

/* Whoever comes next moves back what a killed process had: the one that takes the slot, one that takes another, a pass. */
Test(work, what_a_crash_left_is_ready_again)
{
	for (int way = 0; way < 4; way++) {
		struct queue_kit k;
		struct work w[2];
		bool busy = true;

		open_world(&k, "x@a.example");
		die_with_one(&k);
		kit_expect_list(&k, "smtp/work-1: 0=x@a.example\n");
		switch (way) {
		case 0:
			kit_done(&k, work_open(&w[0], &k.process, "smtp", &k.err));
			break;
		case 1: {
			struct lock lock;
			bool held;

			/* Slot 1 is held for a moment by somebody who only looks. */
			kit_done(&k, work_slot_try(&k.queue, "smtp", "work-1", &lock, &held, &k.err));
			kit_done(&k, work_open(&w[0], &k.process, "smtp", &k.err));
			cr_expect_str_eq(w[0].path, "smtp/work-2");
			kit_expect_list(&k, "smtp/work-1: 0=x@a.example\n");
			lock_release(&lock);
			kit_done(&k, work_open(&w[1], &k.process, "smtp", &k.err));
			kit_done(&k, work_close(&w[1], &k.err));
			break;
		}
		case 2:
			kit_done(&k, work_recover(&k.queue, "smtp", &busy, &k.err));
			cr_expect_not(busy);
			break;
		case 3:
			kit_done(&k, work_unserved(&k.process, "smtp", &k.err));
			break;
		}
		kit_expect_list(&k, "smtp: 0=x@a.example\n");
		if (way < 2)
			kit_done(&k, work_close(&w[0], &k.err));
		cr_expect_not(slot_stands(&k, "work-1"), "way %d", way);
		kit_close(&k);
	}
}

/* Several had died, and only one comes again. */
Test(work, other_slots_are_emptied_as_well)
{
	struct queue_kit k;
	struct lock lock;
	struct work w;
	bool held;

	open_world(&k, "x@a.example");
	kit_send(&k, "m@city.example.org", "y@b.example");
	kit_dispatch(&k);
	die_with_one(&k);
	kit_done(&k, work_slot_try(&k.queue, "smtp", "work-1", &lock, &held, &k.err));
	die_with_one(&k);
	kit_expect_list(&k, "smtp/work-1: 0=x@a.example\nsmtp/work-2: 0=y@b.example\n");
	lock_release(&lock);
	kit_done(&k, work_open(&w, &k.process, "smtp", &k.err));
	kit_expect_list(&k, "smtp: 0=x@a.example\nsmtp: 0=y@b.example\n");
	cr_expect_not(slot_stands(&k, "work-2"));
	kit_done(&k, work_close(&w, &k.err));
	kit_close(&k);
}

Test(work, what_is_being_delivered_stays)
{
	struct queue_kit k;
	struct work w;
	struct settle_item *item;
	bool busy = false;

	open_world(&k, "x@a.example");
	kit_done(&k, work_open(&w, &k.process, "smtp", &k.err));
	item = take_one(&k, &w);
	cr_assert_not_null(item);
	kit_expect_list(&k, "smtp/work-1: 0=x@a.example\n");
	kit_done(&k, work_recover(&k.queue, "smtp", &busy, &k.err));
	cr_expect(busy);
	kit_send(&k, "m@city.example.org", "y@b.example");
	kit_dispatch(&k);
	k.age.now += 5 * (uint64_t)WORK_UNSERVED;
	/* However long a single delivery takes: nothing else is told that nobody is there. */
	kit_done(&k, work_unserved(&k.process, "smtp", &k.err));
	kit_expect_list(&k, "smtp: 0=y@b.example\nsmtp/work-1: 0=x@a.example\n");
	settle_drop(item);
	kit_done(&k, work_close(&w, &k.err));
	kit_expect_list(&k, "smtp: 0=x@a.example\nsmtp: 0=y@b.example\n");
	kit_close(&k);
}

/* No hop at all is nothing to move back. */
Test(work, a_hop_that_never_was)
{
	struct queue_kit k;
	bool busy = true;

	kit_open(&k, SMTP);
	kit_done(&k, work_recover(&k.queue, "lmtp", &busy, &k.err));
	cr_expect_not(busy);
	kit_done(&k, work_recover(&k.queue, "lmtp", NULL, NULL));
	kit_done(&k, work_unserved(&k.process, "lmtp", &k.err));
	kit_close(&k);
}

/* ---- taking ------------------------------------------------------------------------------------------------------ */

Test(work, ready_in_portions)
{
	struct queue_kit k;
	struct work w;
	struct names names;

	kit_open(&k, SMTP);
	for (int i = 0; i < 23; i++)
		kit_send(&k, "m@city.example.org", "x@a.example");
	kit_dispatch(&k);
	kit_done(&k, work_open(&w, &k.process, "smtp", &k.err));
	for (size_t limit = 1; limit < 40; limit += 6) {
		cr_expect_eq(ready(&k, &w, limit, &names), 23, "limit %zu", limit);
		for (size_t i = 1; i < names.count; i++)
			cr_expect_lt(strcmp(names.items[i - 1], names.items[i]), 0, "each once");
		names_release(&names);
	}
	kit_done(&k, work_close(&w, &k.err));
	kit_close(&k);
}

Test(work, due_ones_wake)
{
	struct queue_kit k;
	struct work w;
	struct names names;
	struct settle_item *item;
	struct lock lock;
	bool held;

	open_world(&k, "x@a.example");
	kit_done(&k, work_open(&w, &k.process, "smtp", &k.err));
	item = take_one(&k, &w);
	settle_recipient(item, 0, ENTRY_WAITS, "4.4.1", "no answer");
	kit_done(&k, work_done(&w, item, &k.err));
	kit_done(&k, work_settle(&w, &k.err));
	cr_expect_eq(ready(&k, &w, 10, &names), 0);
	names_release(&names);
	k.age.now += 300 + HOP_BUCKET;
	kit_done(&k, hop_lock_try(&k.queue, "smtp", &lock, &held, &k.err));
	cr_expect_eq(ready(&k, &w, 10, &names), 0, "somebody has the hop: another time");
	names_release(&names);
	lock_release(&lock);
	cr_expect_eq(ready(&k, &w, 10, &names), 1);
	names_release(&names);
	kit_done(&k, work_close(&w, &k.err));
	kit_close(&k);
}

static char *looked(struct queue_kit *k, struct work *w, const char *name)
{
	char *destination = NULL;

	kit_done(k, work_look(w, name, &destination, &k->err));
	return destination;
}

Test(work, a_look_before_taking)
{
	struct queue_kit k;
	struct work w;
	struct names names;
	char *destination;
	char *path;

	open_world(&k, "x@Some.Example");
	kit_done(&k, work_open(&w, &k.process, "smtp", &k.err));
	cr_assert_eq(ready(&k, &w, 10, &names), 1);
	destination = looked(&k, &w, names.items[0]);
	cr_expect_str_eq(destination, "some.example");
	free(destination);
	cr_expect_eq(work_look(&w, "village.aaaaaaa.9+0", &destination, &k.err), OUTCOME_NEVER);
	cr_expect_eq(k.err.code, EX_NOINPUT);
	cr_expect_null(destination);
	/* Another way by the configuration of now. */
	free(k.config.routes[1].pattern);
	k.config.routes[1].pattern = mem_string("other.example");
	cr_expect_null(looked(&k, &w, names.items[0]));
	kit_done(&k, work_claim(&w, names.items[0], &k.err));
	struct settle_item *item;

	kit_done(&k, work_item(&w, names.items[0], &item, &k.err));
	cr_expect_null(item);
	kit_expect_list(&k, "new: 0=x@Some.Example\n");
	cr_expect_eq(w.held, 0);
	/* Nonsense. */
	path = mem_format("spool/queue/smtp/%s", names.items[0]);
	kit_put(k.root, path, "nonsense");
	cr_expect_null(looked(&k, &w, names.items[0]));
	kit_done(&k, work_claim(&w, names.items[0], &k.err));
	kit_done(&k, work_item(&w, names.items[0], &item, &k.err));
	cr_expect_null(item);
	kit_expect(k.root, "queue/smtp", 0);
	cr_expect_geq(kit_count(k.root, "corrupt"), 2);
	free(path);
	names_release(&names);
	kit_done(&k, work_close(&w, &k.err));
	kit_close(&k);
}

/* Recipients whose servers are no longer the same are parted before anything is sent. */
Test(work, several_destinations_are_parted)
{
	struct queue_kit k;
	struct work w;

	kit_open(&k, KIT_HEAD "route \"*\" { via = \"smtp:relay.example.net:25\" }\n");
	kit_send(&k, "m@city.example.org", "x@a.example y@b.example");
	kit_dispatch(&k);
	free(k.config.routes[0].target);
	k.config.routes[0].target = NULL;
	kit_done(&k, work_open(&w, &k.process, "smtp", &k.err));
	cr_expect_null(take_one(&k, &w));
	kit_dispatch(&k);
	kit_expect_list(&k, "smtp: 0=x@a.example\nsmtp: 1=y@b.example\n");
	kit_done(&k, work_close(&w, &k.err));
	kit_close(&k);
}

Test(work, claims_that_fail)
{
	struct queue_kit k;
	struct work w;
	struct names names;
	struct lock lock;
	bool held;
	char *destination;
	char *parent;
	struct entry e;
	struct buf text;

	open_world(&k, "x@a.example");
	kit_done(&k, work_open(&w, &k.process, "smtp", &k.err));
	cr_assert_eq(ready(&k, &w, 10, &names), 1);
	cr_expect_eq(work_claim(&w, "village.aaaaaaa.9+0", &k.err), OUTCOME_NEVER);
	cr_expect_eq(k.err.code, EX_NOINPUT);
	kit_done(&k, hop_lock_try(&k.queue, "smtp", &lock, &held, &k.err));
	cr_expect_eq(work_claim(&w, names.items[0], &k.err), OUTCOME_LATER);
	cr_expect_eq(k.err.code, EX_TEMPFAIL);
	lock_release(&lock);
	k.reports = 0;
	cr_expect_eq(work_claim(&w, names.items[0], &k.err), OUTCOME_LATER);
	k.reports = 100;
	k.queue.min_free = UINT64_MAX;
	cr_expect_eq(work_claim(&w, names.items[0], &k.err), OUTCOME_LATER, "no room to write down what comes of it");
	k.queue.min_free = 0;
	/* A record that a dispatch has not wholly made: in the slot the next one would not find it. */
	kit_done(&k, hop_read(&w.home, names.items[0], &e, &k.err));
	free(e.parent);
	e.parent = mem_string("village.aaaaaaa.7~");
	buf_init(&text, LIMIT_ENTRY);
	entry_write(&e, &text);
	kit_done(&k, file_replace(&k.queue.tmp, &w.home, names.items[0], view_buf(&text), &k.err));
	parent = mem_format("spool/queue/new/%s", e.parent);
	kit_put(k.root, parent, "x");
	cr_expect_eq(work_claim(&w, names.items[0], &k.err), OUTCOME_NEVER);
	cr_expect_eq(k.err.code, EX_NOINPUT);
	cr_expect_eq(work_look(&w, names.items[0], &destination, &k.err), OUTCOME_NEVER);
	cr_expect_eq(k.err.code, EX_NOINPUT);
	cr_expect_eq(w.held, 0);
	kit_done(&k, file_remove(&k.queue.new, e.parent, &k.err));
	kit_done(&k, work_claim(&w, names.items[0], &k.err));
	cr_expect_eq(w.held, 1);
	buf_release(&text);
	entry_release(&e);
	free(parent);
	names_release(&names);
	kit_done(&k, work_close(&w, &k.err));
	kit_expect(k.root, "queue/smtp", 1);
	kit_close(&k);
}

Test(work, no_more_than_can_be_settled_together)
{
	struct settle_item *items[WORK_ITEMS];
	struct queue_kit k;
	struct work w;
	struct names names;

	kit_open(&k, SMTP);
	for (int i = 0; i < WORK_ITEMS + 2; i++)
		kit_send(&k, "m@city.example.org", "x@a.example");
	kit_dispatch(&k);
	kit_done(&k, work_open(&w, &k.process, "smtp", &k.err));
	cr_assert_eq(ready(&k, &w, 50, &names), WORK_ITEMS + 2);
	for (size_t i = 0; i < WORK_ITEMS; i++) {
		kit_done(&k, work_claim(&w, names.items[i], &k.err));
		kit_done(&k, work_item(&w, names.items[i], &items[i], &k.err));
		cr_assert_not_null(items[i]);
		if (i == 2)
			kit_done(&k, work_return(&w, items[1], &k.err));
		if (i == 3)
			kit_done(&k, work_claim(&w, names.items[1], &k.err));
	}
	cr_expect_eq(work_claim(&w, names.items[WORK_ITEMS], &k.err), OUTCOME_LATER);
	kit_done(&k, work_item(&w, names.items[1], &items[1], &k.err));
	for (size_t i = 0; i < WORK_ITEMS; i++) {
		cr_expect_eq(work_unsettled(&w), i % SETTLE_GROUP, "a group is settled by itself");
		settle_recipient(items[i], 0, ENTRY_RELAYED, "2.0.0", NULL);
		kit_done(&k, work_done(&w, items[i], &k.err));
	}
	cr_expect_eq(work_unsettled(&w), 0, "a group is settled by itself");
	kit_expect(k.root, "queue/smtp", 2);
	kit_done(&k, work_claim(&w, names.items[WORK_ITEMS], &k.err));
	names_release(&names);
	kit_done(&k, work_close(&w, &k.err));
	kit_expect(k.root, "queue/smtp", 2);
	kit_expect(k.root, "msg", 2);
	kit_close(&k);
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

Test(work, results_leave_the_slot)
{
	struct queue_kit k;
	struct work w;
	struct settle_item *item;
	char *line;

	kit_open(&k, SMTP);
	kit_send(&k, "m@city.example.org", "a@a.example b@a.example");
	kit_send(&k, "m@city.example.org", "c@c.example");
	kit_send(&k, "m@city.example.org", "d@d.example");
	kit_dispatch(&k);
	kit_done(&k, work_open(&w, &k.process, "smtp", &k.err));
	item = take_one(&k, &w);
	process_limits(&k.process, item);
	settle_recipient(item, 0, ENTRY_RELAYED, "2.0.0", "250 Ok");
	settle_recipient(item, 1, ENTRY_WAITS, "4.2.2", "452 full");
	kit_done(&k, work_done(&w, item, &k.err));
	item = take_one(&k, &w);
	settle_recipient(item, 0, ENTRY_RELAYED, "2.0.0", "250 Ok");
	kit_done(&k, work_done(&w, item, &k.err));
	item = take_one(&k, &w);
	kit_done(&k, work_return(&w, item, &k.err));
	cr_expect_eq(w.held, 0);
	cr_expect_eq(work_unsettled(&w), 2);
	cr_expect_eq(kit_occurs(k.root, "told", "relayed"), 0);
	kit_done(&k, work_settle(&w, &k.err));
	cr_expect_eq(work_unsettled(&w), 0);
	cr_expect_eq(kit_occurs(k.root, "told", "relayed"), 2);
	line = mem_format("smtp: 0=d@d.example\nsmtp/due-%llu: 0=a@a.example(relayed) 1=b@a.example(4.2.2)\n",
	    (unsigned long long)((k.age.now + 300 + HOP_BUCKET - 1) / HOP_BUCKET));
	kit_expect_list(&k, line);
	free(line);
	kit_done(&k, work_close(&w, &k.err));
	kit_close(&k);
}

/* The renaming is the commit: who dies behind it has not lost the end, and nobody delivers the message again. */
Test(work, what_has_ended_in_a_slot_is_only_removed)
{
	struct queue_kit k;
	struct work w;
	struct settle_item *item;
	char name[ENTRY_NAME];
	char ended[ENTRY_NAME + 1];

	kit_open(&k, SMTP);
	kit_send(&k, "m@city.example.org", "a@a.example");
	kit_send(&k, "m@city.example.org", "b@b.example");
	kit_dispatch(&k);
	kit_done(&k, work_open(&w, &k.process, "smtp", &k.err));
	item = take_one(&k, &w);
	memcpy(name, item->name, sizeof name);
	settle_drop(item);
	hop_ended_name(name, ended);
	kit_done(&k, file_rename(&w.settle.dir, name, &w.settle.dir, ended, &k.err));
	kit_expect(k.root, "msg", 2);
	kit_done(&k, work_close(&w, &k.err));
	kit_expect(k.root, "msg", 1);
	kit_expect(k.root, "queue/smtp", 1);
	kit_close(&k);
}

/* A record of which everybody has been told that postmaster is out of reach goes to the operator, from a slot as well. */
static void note_descriptor(void *context, int fd)
{
	struct stat st;

	cr_expect_eq(fstat(fd, &st), 0);
	cr_expect_eq(st.st_nlink, 0, "it has gone");
	file_close(&fd);
	++*(size_t *)context;
}

/* The descriptor of a message that goes is another's; that of one that stays is closed. */
Test(work, descriptors_of_what_has_gone)
{
	struct queue_kit k;
	struct settle_item *item;
	struct work w;
	size_t count = 0;

	open_world(&k, "x@some.example");
	kit_done(&k, work_open(&w, &k.process, "smtp", &k.err));
	work_let_go(&w, note_descriptor, &count);
	item = take_one(&k, &w);
	cr_assert_not_null(item);
	settle_recipient(item, 0, ENTRY_WAITS, "4.4.1", "not now");
	kit_done(&k, work_done(&w, item, &k.err));
	kit_done(&k, work_settle(&w, &k.err));
	cr_expect_eq(count, 0);
	k.age.now += 100000;
	item = take_one(&k, &w);
	cr_assert_not_null(item);
	settle_recipient(item, 0, ENTRY_RELAYED, "2.0.0", NULL);
	kit_done(&k, work_done(&w, item, &k.err));
	kit_done(&k, work_settle(&w, &k.err));
	cr_expect_eq(count, 1);
	kit_expect(k.root, "msg", 0);
	kit_done(&k, work_close(&w, &k.err));
	kit_close(&k);
}

Test(work, held_from_a_slot)
{
	struct queue_kit k;
	struct work w;
	struct settle_item *item;

	kit_open(&k, "postmaster = \"boss@a.example\"\n" SMTP);
	kit_send(&k, "", "boss@a.example");
	kit_dispatch(&k);
	kit_done(&k, work_open(&w, &k.process, "smtp", &k.err));
	item = take_one(&k, &w);
	settle_recipient(item, 0, ENTRY_FAILED, "5.1.1", "550 nobody");
	kit_done(&k, work_done(&w, item, &k.err));
	kit_done(&k, work_close(&w, &k.err));
	kit_expect_list(&k, "hold: 0=boss@a.example(5.1.1)\n");
	kit_close(&k);
}

/* Retry at once: where it is put off to no time at all it is ready in the hop, not left in the slot. */
Test(work, due_at_once_is_back_in_the_hop)
{
	struct queue_kit k;
	struct work w;
	struct settle_item *item;

	open_world(&k, "x@a.example");
	kit_done(&k, work_open(&w, &k.process, "smtp", &k.err));
	item = take_one(&k, &w);
	item->warn = 10; /* and the next look is due at once */
	item->expire = 10000;
	settle_recipient(item, 0, ENTRY_WAITS, "4.4.1", "no answer");
	item->entry.arrived_age -= 9999;
	item->entry.warned = true;
	k.age.now++;
	item->expire = 10001;
	k.config.retry_min = 0;
	kit_done(&k, work_done(&w, item, &k.err));
	kit_done(&k, work_settle(&w, &k.err));
	kit_expect_list(&k, "smtp: 0=x@a.example(4.4.1)\n");
	kit_done(&k, work_close(&w, &k.err));
	kit_close(&k);
}

static enum outcome flush_fails(void *context, struct error *err)
{
	(void)context;
	return error_set(err, EX_TEMPFAIL, "the disk is away");
}

/* What came of a delivery is not forgotten because it cannot be written down now. */
Test(work, results_wait_for_the_disk)
{
	struct queue_kit k;
	struct work w;
	struct settle_item *item;
	struct names names;
	struct settle_hooks failing;

	open_world(&k, "x@a.example");
	kit_send(&k, "m@city.example.org", "y@b.example");
	kit_dispatch(&k);
	failing = (struct settle_hooks){k.hooks.ended, flush_fails, &k};
	k.process.hooks = &failing;
	kit_done(&k, work_open(&w, &k.process, "smtp", &k.err));
	item = take_one(&k, &w);
	settle_recipient(item, 0, ENTRY_RELAYED, "2.0.0", "250 Ok");
	kit_done(&k, work_done(&w, item, &k.err));
	for (int i = 0; i < 2; i++) {
		cr_expect_eq(work_settle(&w, &k.err), OUTCOME_LATER);
		cr_expect_eq(work_unsettled(&w), 1);
	}
	cr_assert_eq(ready(&k, &w, 10, &names), 1);
	cr_expect_eq(work_claim(&w, names.items[0], &k.err), OUTCOME_LATER, "nothing more is taken meanwhile");
	k.process.hooks = &k.hooks;
	kit_done(&k, work_settle(&w, &k.err));
	cr_expect_eq(work_unsettled(&w), 0);
	cr_expect_eq(kit_occurs(k.root, "spool/log", " relayed "), 3);
	cr_expect_eq(kit_occurs(k.root, "spool/log", "recovered=1"), 2, "said again, and said to be so");
	kit_done(&k, work_claim(&w, names.items[0], &k.err));
	names_release(&names);
	kit_done(&k, work_close(&w, &k.err));
	kit_expect_list(&k, "smtp: 0=y@b.example\n");
	kit_close(&k);
}

/* A committed record whose file cannot move leaves the slot, and is finished when its bucket is due. */
Test(work, one_that_sticks_is_put_off)
{
	struct queue_kit k;
	struct work w;
	struct settle_item *item;
	char *new;
	char *away;

	open_world(&k, "bad@a.example");
	kit_done(&k, work_open(&w, &k.process, "smtp", &k.err));
	item = take_one(&k, &w);
	settle_recipient(item, 0, ENTRY_FAILED, "5.1.1", "550 nobody");
	kit_done(&k, work_done(&w, item, &k.err));
	new = mem_format("%s/spool/queue/new", k.root);
	away = mem_format("%s/away", k.root);
	cr_assert_eq(rename(new, away), 0);
	kit_done(&k, work_settle(&w, &k.err));
	cr_assert_eq(rename(away, new), 0);
	kit_expect(k.root, "queue/smtp/work-1", 0);
	kit_expect(k.root, "queue/smtp", 1);
	k.age.now += 300 + HOP_BUCKET;
	cr_expect_null(take_one(&k, &w));
	kit_expect(k.root, "queue/smtp", 0);
	kit_expect(k.root, "queue/new", 1);
	kit_expect(k.root, "msg", 0);
	free(new);
	free(away);
	kit_done(&k, work_close(&w, &k.err));
	kit_close(&k);
}

/* A record that cannot be opened now, for a reason that is not its own, does not stay in the slot. */
Test(work, one_that_cannot_be_opened_leaves_the_slot)
{
	struct queue_kit k;
	struct work w;
	struct settle_item *item;
	struct names names;
	struct rlimit before;
	struct rlimit none;
	int spare;

	open_world(&k, "x@a.example");
	kit_done(&k, work_open(&w, &k.process, "smtp", &k.err));
	cr_assert_eq(ready(&k, &w, 10, &names), 1);
	kit_done(&k, work_claim(&w, names.items[0], &k.err));
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	spare = dup(0); /* the lowest that is free */
	none = (struct rlimit){(rlim_t)spare, before.rlim_max};
	close(spare);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	cr_expect_eq(work_item(&w, names.items[0], &item, &k.err), OUTCOME_LATER);
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	cr_expect_null(item);
	cr_expect_eq(w.held, 0);
	kit_expect(k.root, "queue/smtp/work-1", 0);
	kit_expect(k.root, "queue/smtp", 1);
	item = take_one(&k, &w);
	cr_assert_not_null(item, "and then it can");
	kit_done(&k, work_return(&w, item, &k.err));
	names_release(&names);
	kit_done(&k, work_close(&w, &k.err));
	kit_close(&k);
}
