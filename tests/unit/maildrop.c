#include "bridge-pop3/maildrop.h"

#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/maildrop_kit.h"

#define LOCK_FILE "maria/packetboat-pop3.lock"
#define OWN	  "1700000000.village.aaaaaby.12-0.city,S=12,W=14"

static void count_removed(void *context, const struct maildrop *d, size_t number)
{
	size_t *count = context;

	cr_expect_lt(number, maildrop_count(d));
	(*count)++;
}

TestSuite(maildrop, .init = kit_setup, .fini = kit_teardown);

Test(maildrop, an_empty_one)
{
	struct maildrop *d = opened();
	struct error err;

	cr_expect_eq(maildrop_count(d), 0);
	cr_expect_null(maildrop_trouble(d));
	cr_expect_eq(maildrop_remove(d, NULL, 0, NULL, NULL, &err), OUTCOME_DONE);
	maildrop_close(d);
	cr_expect_not(is_there("packetboat-pop3.index"), "nothing to remember");
}

Test(maildrop, no_maildir_is_for_good_unless_the_disk_may_be_missing)
{
	struct maildrop *d;
	struct error err = ERROR_NONE;
	bool in_use;

	cr_expect_eq(maildrop_open(&d, &mail, "otto", &in_use, &err), OUTCOME_LATER);
	cr_expect_null(d);
	cr_assert_eq(maildir_make(&mail, "postmaster", &err), OUTCOME_DONE);
	cr_expect_eq(maildrop_open(&d, &mail, "otto", &in_use, &err), OUTCOME_NEVER, "%s", err.text);
	cr_expect_not(in_use);
}

Test(maildrop, one_session_at_a_time)
{
	struct maildrop *first = opened();
	struct maildrop *d;
	struct error err = ERROR_NONE;
	bool in_use = false;
	struct dir made;

	cr_expect_eq(maildrop_open(&d, &mail, "maria", &in_use, &err), OUTCOME_LATER);
	cr_expect(in_use);
	cr_expect_null(d);
	maildrop_close(first);
	maildrop_close(opened());
	/* Anything else that is wrong with the lock is not somebody's session. */
	take_away("packetboat-pop3.lock");
	cr_assert_eq(dir_make(&made, &mail, LOCK_FILE, 0700, &err), OUTCOME_DONE);
	dir_close(&made);
	cr_expect_neq(maildrop_open(&d, &mail, "maria", &in_use, &err), OUTCOME_DONE);
	cr_expect_not(in_use);
}

Test(maildrop, what_is_no_message)
{
	struct dir made;
	struct maildrop *d;

	put("new/.hidden", "x\n");
	cr_assert_eq(dir_make(&made, &mail, "maria/cur/1.sub", 0700, NULL), OUTCOME_DONE);
	dir_close(&made);
	cr_assert_eq(dir_make(&made, &mail, "maria/.Sent", 0700, NULL), OUTCOME_DONE);
	cr_assert_eq(symlinkat("/etc/passwd", made.fd, "../new/1.link"), 0);
	dir_close(&made);
	put("tmp/1.unfinished", "x\n");
	put("new/1.real", "x\n");
	d = opened();
	cr_assert_eq(maildrop_count(d), 1);
	expect_text(d, 0, "x\n");
	maildrop_close(d);
}

Test(maildrop, order_by_time_then_length_then_name)
{
	/* In the order of the numbers. */
	static const char *const names[] = {
	    "cur/no-number",
	    "new/60.early",
	    "new/0999999999.b.c",
	    "cur/1000000000.x9:2,S",
	    "new/1000000000.x10",
	    "cur/1000000000.x11:2,",
	    "new/1000000001.a",
	};
	struct maildrop *d;

	for (size_t i = sizeof names / sizeof names[0]; i-- > 0;)
		put(names[i], names[i]);
	d = opened();
	cr_assert_eq(maildrop_count(d), sizeof names / sizeof names[0]);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		expect_text(d, i, names[i]);
	maildrop_close(d);
}

Test(maildrop, uids_are_of_the_name_without_what_changes)
{
	char *first;
	char *now;

	put("new/1700000000.abc.host", "x\n");
	first = only_uid();
	cr_expect_str_eq(first, "cSQmvAr-xebWAAfj", "the same on every host, for ever");
	move("new/1700000000.abc.host", "cur/1700000000.abc.host:2,FS");
	now = only_uid();
	cr_expect_str_eq(now, first);
	free(now);
	move("cur/1700000000.abc.host:2,FS", "cur/1700000000.abc.host,S=2,W=3:2,S");
	now = only_uid();
	cr_expect_str_eq(now, first);
	free(now);
	move("cur/1700000000.abc.host,S=2,W=3:2,S", "cur/1700000000.abd.host");
	now = only_uid();
	cr_expect_str_neq(now, first);
	free(now);
	free(first);
}

Test(maildrop, names_tell_octets_as_far_as_that_can_be)
{
	static const struct {
		const char *name;
		size_t unique;
		uint64_t octets;
	} cases[] = {
	    {"1.a,S=12,W=14", 3, 14},
	    {"1.a,S=12,W=14:2,S", 3, 14},
	    {"1.a,W=14,S=12", 3, 14},
	    {"1.a,W=14", 3, 14},
	    {"1.a,S=12", 3, 0},
	    {"1.a,S=12,W=11", 3, 0},		  /* less than the file */
	    {"1.a,S=12,W=26", 3, 26},		  /* all LF, but for the last */
	    {"1.a,S=12,W=27", 3, 0},		  /* more than line ends can add */
	    {"1.a,W=99999999999999999999", 3, 0}, /* no number of 64 bits */
	    {"1.a,W=9999999999999999999", 3, 0},  /* no message either */
	    {"1.a,W=", 3, 0},
	    {"1.a,W=x", 3, 0},
	    {"1.a,b,W=5", 5, 5},
	    {"1.a:2,W=5", 3, 0}, /* that is a flag */
	    {"1.a,", 4, 0},
	    {"", 0, 0},
	    {":2,S", 0, 0},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		uint64_t octets;

		cr_expect_eq(mail_name_parse(cases[i].name, strlen(cases[i].name), &octets), cases[i].unique, "%s",
		    cases[i].name);
		cr_expect_eq(octets, cases[i].octets, "%s", cases[i].name);
	}
}

Test(maildrop, own_names_tell_the_form_of_the_text)
{
	struct maildrop *d;
	uint32_t index;
	struct id id;

	put("new/" OWN, "a\n\nb\r\n.c\n\nd\n");
	put("new/1700000001.M1P2.city,S=2,W=3", "x\n");
	put("new/1700000002.village.aaaaaby.13-0.city", "x\n");
	d = opened();
	cr_assert_eq(maildrop_count(d), 3);
	cr_expect(maildrop_own(d, 0));
	cr_expect(maildrop_origin(d, 0, &id, &index));
	cr_expect_str_eq(id.host, "village");
	cr_expect_eq(id.sequence, 12);
	cr_expect_eq(index, 0);
	cr_expect_eq(maildrop_octets(d, 0), 14);
	cr_expect_not(maildrop_own(d, 1));
	cr_expect_not(maildrop_origin(d, 1, &id, &index));
	cr_expect_not(maildrop_own(d, 2), "counted as a file of another program is, and sent so");
	cr_expect(maildrop_origin(d, 2, &id, &index), "but it was ours");
	maildrop_close(d);
}

Test(maildrop, octets_of_files_that_do_not_tell)
{
	static const struct {
		const char *text;
		uint64_t octets;
	} cases[] = {
	    {"", 0},
	    {"\n", 2},
	    {"a\n", 3},
	    {"a", 3},
	    {"a\r\n", 3},
	    {"a\r\nb\n", 6},
	    {"\r", 3},
	    {"a\n\n\r\n", 7},
	    {"\r\r\n", 3},
	};

	for (int round = 0; round < 2; round++) {
		struct maildrop *d;

		for (size_t i = 0; i < sizeof cases / sizeof cases[0] && round == 0; i++) {
			char *name = mem_format("new/%zu.x", 100 + i);

			put(name, cases[i].text);
			free(name);
		}
		d = opened();
		cr_assert_eq(maildrop_count(d), sizeof cases / sizeof cases[0]);
		for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
			cr_expect_eq(maildrop_octets(d, i), cases[i].octets, "case %zu, round %d", i, round);
		maildrop_close(d);
		cr_expect(is_there("packetboat-pop3.index"));
	}
}

/* A file that is longer than what is counted at a time, with a CRLF on the edge. */
Test(maildrop, octets_across_chunks)
{
	char *text = mem_alloc(65536 + 3);
	struct maildrop *d;

	memset(text, 'a', 65536 + 2);
	text[65535] = '\r';
	text[65536] = '\n';
	text[65537] = '\n';
	put("new/1.x", text);
	d = opened();
	cr_expect_eq(maildrop_octets(d, 0), 65536 + 3);
	maildrop_close(d);
	free(text);
}

Test(maildrop, moved_by_another_program)
{
	struct maildrop *d;
	size_t removed = 0;
	struct error err = ERROR_NONE;
	uint64_t size;
	int fd;
	char *before;
	char *after;

	put("new/1.a", "one\n");
	put("new/2.b", "two\n");
	put("new/3.c", "three\n");
	d = opened();
	before = uid(d, 2);
	move("new/1.a", "cur/1.a:2,S");
	put("new/0.late", "late\n");
	expect_text(d, 0, "one\n");
	move("cur/1.a:2,S", "cur/1.a:2,RS");
	move("new/2.b", "cur/2.b:2,");
	expect_text(d, 0, "one\n");
	expect_text(d, 1, "two\n");
	take_away("new/3.c");
	for (int i = 0; i < 2; i++) {
		cr_expect_eq(maildrop_message(d, 2, &fd, &size, &err), OUTCOME_NEVER);
		cr_expect_eq(err.code, EX_NOINPUT);
		cr_expect_eq(fd, -1);
	}
	after = uid(d, 2);
	cr_expect_str_eq(before, after, "it is listed as before");
	cr_expect_eq(maildrop_count(d), 3, "what came meanwhile waits");
	/* And what moves again before UPDATE goes. */
	move("cur/1.a:2,RS", "cur/1.a:2,T");
	cr_expect_eq(
	    maildrop_remove(d, (uint32_t[]){0, 2}, 2, count_removed, &removed, &err), OUTCOME_DONE, "%s", err.text);
	cr_expect_eq(removed, 1);
	cr_expect_not(is_there("cur/1.a:2,T"));
	cr_expect(is_there("cur/2.b:2,"));
	cr_expect(is_there("new/0.late"));
	maildrop_close(d);
	free(before);
	free(after);
}

Test(maildrop, nothing_is_removed_but_what_is_marked)
{
	struct maildrop *d;
	size_t removed = 0;
	struct error err;

	put("new/1.a", "one\n");
	put("cur/2.b:2,S", "two\n");
	put("new/3.c", "three\n");
	d = opened();
	cr_expect_eq(maildrop_remove(d, (uint32_t[]){1, 2}, 2, count_removed, &removed, &err), OUTCOME_DONE);
	cr_expect_eq(removed, 2);
	maildrop_close(d);
	d = opened();
	cr_assert_eq(maildrop_count(d), 1);
	expect_text(d, 0, "one\n");
	maildrop_close(d);
}

/* A directory under the name of a message cannot be unlinked, also by root. */
Test(maildrop, what_cannot_be_removed_is_told_and_the_rest_goes)
{
	struct maildrop *d;
	struct dir made;
	size_t removed = 0;
	struct error err = ERROR_NONE;

	put("new/1.a", "one\n");
	put("new/2.b", "two\n");
	put("new/3.c", "three\n");
	d = opened();
	take_away("new/2.b");
	cr_assert_eq(dir_make(&made, &mail, "maria/new/2.b", 0700, NULL), OUTCOME_DONE);
	dir_close(&made);
	cr_expect_neq(maildrop_remove(d, (uint32_t[]){0, 1, 2}, 3, count_removed, &removed, &err), OUTCOME_DONE);
	cr_expect_eq(removed, 2);
	cr_expect_not_null(strstr(err.text, "1 of 3 messages"), "%s", err.text);
	cr_expect_not(is_there("new/1.a"));
	cr_expect_not(is_there("new/3.c"));
	maildrop_close(d);
}

Test(maildrop, a_maildir_removed_meanwhile)
{
	struct maildrop *d;
	size_t removed = 0;
	struct error err = ERROR_NONE;
	uint64_t size;
	int fd;

	put("new/1.a", "one\n");
	d = opened();
	take_away("new/1.a");
	nftw(mail.path, scratch_remove, 16, FTW_DEPTH | FTW_PHYS);
	cr_expect_neq(maildrop_message(d, 0, &fd, &size, &err), OUTCOME_DONE);
	cr_expect_eq(maildrop_remove(d, (uint32_t[]){0}, 1, count_removed, &removed, &err), OUTCOME_DONE,
	    "it is gone, and that is what was asked for: %s", err.text);
	cr_expect_eq(removed, 0);
	maildrop_close(d);
}

/* ---- others at work -------------------------------------------------------------------------------------- */

#define MANY 2000

static _Atomic bool enough;

/* Marks one message after the other as answered, and as not. */
static void *mark_and_unmark(void *context)
{
	const struct timespec pause = {.tv_nsec = 200000};

	(void)context;
	for (size_t i = 0; !enough; i += 37) {
		static bool marked[MANY];
		size_t n = i % MANY;
		char from[40];
		char to[40];

		snprintf(from, sizeof from, "cur/%zu.x:2,%s", n, marked[n] ? "RS" : "S");
		marked[n] = !marked[n];
		snprintf(to, sizeof to, "cur/%zu.x:2,%s", n, marked[n] ? "RS" : "S");
		move(from, to);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

/* A directory tells names that change meanwhile twice, or not at all. */
Test(maildrop, nothing_is_missed_while_another_program_works)
{
	pthread_t other;

	for (size_t i = 0; i < MANY; i++) {
		char name[40];

		snprintf(name, sizeof name, "cur/%zu.x:2,S", i);
		put(name, "");
	}
	maildrop_close(opened());
	cr_assert_eq(pthread_create(&other, NULL, mark_and_unmark, NULL), 0);
	for (int i = 0; i < 100; i++) {
		struct mail_list list;
		struct dir box;

		cr_assert_eq(dir_open(&box, &mail, "maria", NULL), OUTCOME_DONE);
		cr_assert_eq(mail_list_read(&list, &box, NULL), OUTCOME_DONE);
		cr_expect_eq(list.count, MANY, "%zu, at look %d", list.count, i);
		mail_list_release(&list);
		dir_close(&box);
	}
	enough = true;
	pthread_join(other, NULL);
}

/* ---- the same unique part twice -------------------------------------------------------------------------- */

Test(maildrop, copies_by_hand_have_uids_of_their_own)
{
	struct maildrop *d;
	char *alone;
	char *first[2];
	char *now;

	put("cur/1.a:2,S", "original\n");
	set_time("cur/1.a:2,S", 1000);
	alone = only_uid();
	put("new/1.a", "copied and changed\n");
	set_time("new/1.a", 2000);
	d = opened();
	cr_assert_eq(maildrop_count(d), 2);
	for (size_t i = 0; i < 2; i++)
		first[i] = uid(d, i);
	expect_text(d, 0, "original\n");
	expect_text(d, 1, "copied and changed\n");
	cr_expect_str_eq(first[0], alone, "the original keeps its own");
	cr_expect_str_neq(first[1], alone);
	/* They move, and each stays itself. */
	move("cur/1.a:2,S", "new/1.a:2,");
	move("new/1.a", "cur/1.a:2,FRS");
	expect_text(d, 0, "original\n");
	expect_text(d, 1, "copied and changed\n");
	/* Not even when the other has gone is one taken for it. */
	move("cur/1.a:2,FRS", "cur/1.a:2,S");
	take_away("new/1.a:2,");
	expect_text(d, 1, "copied and changed\n");
	put("new/1.a:2,", "original\n");
	set_time("new/1.a:2,", 1000);
	maildrop_close(d);
	d = opened();
	for (size_t i = 0; i < 2; i++) {
		now = uid(d, i);
		cr_expect_str_eq(now, first[i], "%zu", i);
		free(now);
		free(first[i]);
	}
	maildrop_close(d);
	free(alone);
}

/* What is found gone while the others are counted leaves no number behind. */
Test(maildrop, forgetting_moves_the_numbers_of_copies_too)
{
	static const char *const names[] = {"new/1.a", "new/2.b", "cur/2.b:2,", "new/3.c", "new/4.d", "cur/4.d:2,"};
	struct mail_list list;
	struct dir box;
	uint8_t before[6][MAILDROP_UID];
	uint8_t after[MAILDROP_UID];

	for (size_t i = 0; i < 6; i++) {
		put(names[i], "x\n");
		set_time(names[i], (time_t)(1000 + i));
	}
	cr_assert_eq(dir_open(&box, &mail, "maria", NULL), OUTCOME_DONE);
	cr_assert_eq(mail_list_read(&list, &box, NULL), OUTCOME_DONE);
	cr_assert_eq(list.count, 6);
	for (size_t i = 0; i < 6; i++)
		mail_list_uid(&list, i, before[i]);
	list.items[0].flags |= MAIL_GONE;
	list.items[2].flags |= MAIL_GONE;
	mail_list_forget_gone(&list);
	cr_assert_eq(list.count, 4);
	for (size_t i = 0; i < 4; i++) {
		static const size_t was[] = {1, 3, 4, 5};

		mail_list_uid(&list, i, after);
		cr_expect_arr_eq(after, before[was[i]], MAILDROP_UID, "%zu", i);
	}
	mail_list_release(&list);
	dir_close(&box);
}

Test(maildrop, two_names_of_one_file_are_one_message)
{
	struct maildrop *d;

	put("new/1.a", "x\n");
	cr_assert_eq(file_link(&mail, "maria/new/1.a", &mail, "maria/cur/1.a:2,S", NULL), OUTCOME_DONE);
	d = opened();
	cr_expect_eq(maildrop_count(d), 1);
	expect_text(d, 0, "x\n");
	maildrop_close(d);
}

Test(maildrop, many_that_are_alike_all_have_uids)
{
	struct maildrop *d;
	char *uids[3];

	put("new/1.a", "x\n");
	put("cur/1.a:2,", "x\n");
	put("cur/1.a:2,S", "x\n");
	set_time("new/1.a", 5);
	set_time("cur/1.a:2,", 5);
	set_time("cur/1.a:2,S", 5);
	d = opened();
	cr_assert_eq(maildrop_count(d), 3);
	for (size_t i = 0; i < 3; i++)
		uids[i] = uid(d, i);
	cr_expect_str_neq(uids[0], uids[1]);
	cr_expect_str_neq(uids[1], uids[2]);
	cr_expect_str_neq(uids[0], uids[2]);
	for (size_t i = 0; i < 3; i++)
		free(uids[i]);
	maildrop_close(d);
}
