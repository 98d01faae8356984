/* Work slots as relay passes and operators see them, and the sign of life. */
#include "tests/unit/work_kit.h"

#include "queue/served.h"

/* ---- is anybody there? ------------------------------------------------------------------------------------------- */

Test(work_others, mail_waits_for_a_program_that_comes_now_and_then)
{
	struct queue_kit k;
	struct work w;
	uint64_t when;

	open_world(&k, "x@a.example");
	cr_expect_not(served_look(&k.queue, "smtp", &k.age, &when));
	kit_done(&k, work_unserved(&k.process, "smtp", &k.err));
	kit_expect_list(&k, "smtp: 0=x@a.example\n");
	kit_done(&k, work_open(&w, &k.process, "smtp", &k.err));
	kit_done(&k, work_close(&w, &k.err));
	cr_expect(served_look(&k.queue, "smtp", &k.age, &when));
	cr_expect_eq(when, k.age.now);
	cr_expect_not(served_look(&k.queue, "lmtp", &k.age, &when), "each hop for itself");
	k.age.now += WORK_UNSERVED - 1;
	kit_done(&k, work_unserved(&k.process, "smtp", &k.err));
	kit_expect_list(&k, "smtp: 0=x@a.example\n");
	k.age.now += 1;
	kit_send(&k, "m@city.example.org", "young@a.example");
	kit_dispatch(&k);
	kit_done(&k, work_unserved(&k.process, "smtp", &k.err));
	cr_expect_eq(kit_occurs(k.root, "spool/log", "is running on this host (packetboat-smtp)"), 1);
	cr_expect_eq(kit_occurs(k.root, "spool/log", "status=4.3.5"), 1);
	kit_expect(k.root, "queue/smtp", 2);
	/* Somebody comes: what was put off because nobody was there is ready at once. */
	kit_done(&k, work_open(&w, &k.process, "smtp", &k.err));
	kit_expect_list(&k, "smtp: 0=x@a.example(4.3.5)\nsmtp: 0=young@a.example\n");
	kit_done(&k, work_close(&w, &k.err));
	kit_close(&k);
}

/* Only a program that had been away wakes everything. */
Test(work_others, back_off_holds_for_a_program_that_is_there)
{
	struct queue_kit k;
	struct work w;
	struct names names;
	struct settle_item *item;

	open_world(&k, "x@a.example");
	for (int i = 0; i < 2; i++) {
		kit_done(&k, work_open(&w, &k.process, "smtp", &k.err));
		if (i == 0) {
			item = take_one(&k, &w);
			settle_recipient(item, 0, ENTRY_WAITS, "4.4.1", "no answer");
			kit_done(&k, work_done(&w, item, &k.err));
		} else {
			cr_expect_eq(ready(&k, &w, 10, &names), 0);
			names_release(&names);
		}
		kit_done(&k, work_close(&w, &k.err));
	}
	kit_close(&k);
}

Test(work_others, the_sign_of_life_is_written_once_a_minute)
{
	struct queue_kit k;
	struct work w;
	struct names names;
	uint64_t first;
	uint64_t when;

	open_world(&k, "x@a.example");
	kit_done(&k, work_open(&w, &k.process, "smtp", &k.err));
	first = k.age.now;
	k.age.now += 59;
	ready(&k, &w, 10, &names);
	names_release(&names);
	cr_expect(served_look(&k.queue, "smtp", &k.age, &when));
	cr_expect_eq(when, first);
	k.age.now += 1;
	ready(&k, &w, 10, &names);
	names_release(&names);
	cr_expect(served_look(&k.queue, "smtp", &k.age, &when));
	cr_expect_eq(when, first + 60);
	/* The age was lost: a sign from the future is none. One from a moment ahead is another process's. */
	k.age.now = first - 100;
	cr_expect(served_look(&k.queue, "smtp", &k.age, &when));
	cr_expect_eq(when, k.age.now);
	kit_put(k.root, "spool/state/served-smtp", "99999999");
	cr_expect_not(served_look(&k.queue, "smtp", &k.age, &when));
	kit_put(k.root, "spool/state/served-smtp", "x");
	cr_expect_not(served_look(&k.queue, "smtp", &k.age, &when));
	kit_done(&k, work_close(&w, &k.err));
	kit_close(&k);
}

/* A record that was committed before a crash is finished by a pass, however young it is, when nobody else does. */
Test(work_others, a_pass_finishes_what_was_committed)
{
	struct queue_kit k;
	struct names names;
	struct dir hop;
	struct entry e;
	struct buf text;

	open_world(&k, "x@a.example");
	kit_done(&k, hop_open(&k.queue, "smtp", &hop, &k.err));
	kit_done(&k, dir_names(&hop, &names, &k.err));
	kit_done(&k, hop_read(&hop, names.items[0], &e, &k.err));
	e.recipients[0].end = ENTRY_RELAYED;
	e.recipients[0].fresh = true;
	e.ended = true;
	buf_init(&text, LIMIT_ENTRY);
	entry_write(&e, &text);
	kit_done(&k, file_replace(&k.queue.tmp, &hop, names.items[0], view_buf(&text), &k.err));
	kit_done(&k, work_unserved(&k.process, "smtp", &k.err));
	kit_expect(k.root, "queue/smtp", 0);
	kit_expect(k.root, "msg", 0);
	cr_expect_eq(kit_occurs(k.root, "told", "relayed"), 1);
	buf_release(&text);
	entry_release(&e);
	names_release(&names);
	dir_close(&hop);
	kit_close(&k);
}

/* ---- the operator ------------------------------------------------------------------------------------------------ */

Test(work_others, the_operator_waits_for_what_is_being_delivered)
{
	struct queue_kit k;
	struct work w;
	struct id id;
	size_t count;
	struct settle_item *item;

	kit_open(&k, SMTP);
	id = kit_send(&k, "m@city.example.org", "x@a.example");
	kit_dispatch(&k);
	kit_done(&k, work_open(&w, &k.process, "smtp", &k.err));
	item = take_one(&k, &w);
	cr_expect_eq(queue_act(&k.queue, QUEUE_HOLD, &id, &count, &k.err), OUTCOME_LATER);
	cr_expect_eq(k.err.code, EX_TEMPFAIL);
	cr_expect_not_null(strstr(k.err.text, "is being delivered at this moment"), "%s", k.err.text);
	kit_done(&k, work_return(&w, item, &k.err));
	kit_done(&k, queue_act(&k.queue, QUEUE_HOLD, &id, &count, &k.err));
	cr_expect_eq(count, 1);
	kit_expect_list(&k, "hold: 0=x@a.example\n");
	kit_done(&k, work_close(&w, &k.err));
	kit_close(&k);
}

/* One of two records is taken into a slot that is newer than what this process knows of the queue. */
/* Else nothing is delivered any more, and nothing said. */
Test(work_others, locks_that_cannot_be_had_are_told)
{
	struct queue_kit k;
	struct work w;
	struct names names;

	open_world(&k, "x@a.example");
	kit_spoil_lock(k.root, "spool/lock/smtp");
	kit_spoilt_told(work_open(&w, &k.process, "smtp", &k.err), &k.err); /* waking everything */
	kit_close(&k);

	open_world(&k, "x@a.example");
	kit_done(&k, work_open(&w, &k.process, "smtp", &k.err));
	cr_assert_eq(ready(&k, &w, 10, &names), 1);
	kit_spoil_lock(k.root, "spool/lock/smtp");
	kit_spoilt_told(work_claim(&w, names.items[0], &k.err), &k.err);
	names_release(&names);
	kit_spoilt_told(work_ready(&w, 10, &names, &k.err), &k.err);
	names_release(&names);
	kit_done(&k, work_close(&w, &k.err));
	kit_close(&k);
}

Test(work_others, locks_of_slots_that_cannot_be_had_are_told)
{
	struct queue_kit k;
	struct work w;
	struct id id;
	size_t count;
	bool busy;

	kit_open(&k, SMTP);
	id = kit_send(&k, "m@city.example.org", "x@a.example");
	kit_dispatch(&k);
	die_with_one(&k);
	kit_spoil_lock(k.root, "spool/lock/smtp-work-1");
	kit_spoilt_told(work_open(&w, &k.process, "smtp", &k.err), &k.err);
	kit_spoilt_told(work_recover(&k.queue, "smtp", &busy, &k.err), &k.err);
	kit_spoilt_told(work_unserved(&k.process, "smtp", &k.err), &k.err);
	kit_spoilt_told(queue_act(&k.queue, QUEUE_HOLD, &id, &count, &k.err), &k.err);
	kit_expect_list(&k, "smtp/work-1: 0=x@a.example\n");
	kit_close(&k);
}

Test(work_others, a_record_in_a_new_slot_is_found)
{
	struct queue_kit k;
	struct id id;
	size_t count;

	kit_open(&k, SMTP);
	id = kit_send(&k, "m@city.example.org", "x@a.example y@b.example");
	kit_dispatch(&k);
	kit_done(&k, queue_act(&k.queue, QUEUE_RETRY, &id, &count, &k.err));
	cr_expect_eq(count, 2);
	die_with_one(&k);
	kit_done(&k, queue_act(&k.queue, QUEUE_HOLD, &id, &count, &k.err));
	cr_expect_eq(count, 2);
	kit_expect_list(&k, "hold: 0=x@a.example\nhold: 1=y@b.example\n");
	kit_close(&k);
}

/* The record is given back while the operator waits. */
Test(work_others, the_operator_need_not_come_again)
{
	struct queue_kit k;
	struct id id;
	size_t count;
	int held[2];
	char byte;
	int status;
	pid_t child;

	kit_open(&k, SMTP);
	id = kit_send(&k, "m@city.example.org", "x@a.example");
	kit_dispatch(&k);
	cr_assert_eq(pipe(held), 0);
	child = fork();
	if (child == 0) {
		const struct timespec pause = {.tv_nsec = 300000000};
		struct work w;
		struct names names;

		if (work_open(&w, &k.process, "smtp", NULL) != OUTCOME_DONE ||
		    work_ready(&w, 10, &names, NULL) != OUTCOME_DONE || names.count != 1 ||
		    work_claim(&w, names.items[0], NULL) != OUTCOME_DONE || write(held[1], "x", 1) != 1)
			_exit(1);
		nanosleep(&pause, NULL);
		_exit(work_close(&w, NULL) != OUTCOME_DONE);
	}
	cr_assert_eq(read(held[0], &byte, 1), 1);
	kit_done(&k, queue_act(&k.queue, QUEUE_REMOVE, &id, &count, &k.err));
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_expect_eq(status, 0);
	kit_expect(k.root, "queue", 0);
	kit_expect(k.root, "msg", 0);
	close(held[0]);
	close(held[1]);
	kit_close(&k);
}

Test(work_others, the_operator_gets_what_a_crash_left)
{
	for (int action = QUEUE_HOLD; action <= QUEUE_REMOVE; action++) {
		struct queue_kit k;
		struct id id;
		size_t count;

		if (action == QUEUE_RELEASE)
			continue;
		kit_open(&k, SMTP);
		id = kit_send(&k, "m@city.example.org", "x@a.example");
		kit_dispatch(&k);
		die_with_one(&k);
		kit_expect_list(&k, "smtp/work-1: 0=x@a.example\n");
		kit_done(&k, queue_act(&k.queue, (enum queue_action)action, &id, &count, &k.err));
		cr_expect_eq(count, 1, "action %d", action);
		kit_expect_list(&k, action == QUEUE_HOLD      ? "hold: 0=x@a.example\n"
				    : action == QUEUE_RETRY   ? "smtp: 0=x@a.example\n"
				    : action == QUEUE_REROUTE ? "new: 0=x@a.example\n"
							      : "");
		kit_close(&k);
	}
}
