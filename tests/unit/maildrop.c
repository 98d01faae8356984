#include "bridge-pop3/maildrop.h"

#include <pthread.h>
#include <stdatomic.h>

#include "bridge-pop3/maildrop_index.h"
#include "bridge-pop3/maildrop_list.h"
#include "queue/maildir.h"
#include "tests/unit/scratch.h"

#define LOCK_FILE  "maria/packetboat-pop3.lock"
#define INDEX_FILE "maria/packetboat-pop3.octets"
#define OWN	   "1700000000.village.aaaaaby.12-0.city,S=12,W=14"

static struct dir mail;

static void setup(void)
{
	struct error err = ERROR_NONE;

	mail = scratch_open();
	cr_assert_eq(maildir_make(&mail, "maria", &err), OUTCOME_DONE, "%s", err.text);
}

static void teardown(void)
{
	scratch_close(&mail);
}

TestSuite(maildrop, .init = setup, .fini = teardown);

/* NAME: "new/..." or "cur/...". */
static void put(const char *name, const char *text)
{
	char *path = mem_format("maria/%s", name);
	struct error err = ERROR_NONE;
	int fd;

	cr_assert_eq(file_create(&mail, path, &fd, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(file_write(fd, text, strlen(text), path, &err), OUTCOME_DONE);
	file_close(&fd);
	free(path);
}

static void move(const char *name, const char *other)
{
	char *from = mem_format("maria/%s", name);
	char *to = mem_format("maria/%s", other);

	cr_assert_eq(file_rename(&mail, from, &mail, to, NULL), OUTCOME_DONE);
	free(from);
	free(to);
}

static void take_away(const char *name)
{
	char *path = mem_format("maria/%s", name);
	bool found = false;

	cr_assert_eq(file_remove_found(&mail, path, &found, NULL), OUTCOME_DONE);
	cr_assert(found, "%s", name);
	free(path);
}

static bool is_there(const char *name)
{
	char *path = mem_format("maria/%s", name);
	bool found = file_exists(&mail, path, NULL);

	free(path);
	return found;
}

static struct maildrop *opened(void)
{
	struct maildrop *d;
	struct error err = ERROR_NONE;
	bool in_use;

	cr_assert_eq(maildrop_open(&d, &mail, "maria", &in_use, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_not(in_use);
	return d;
}

/* The UID of message NUMBER, to be freed. */
static char *uid(const struct maildrop *d, size_t number)
{
	struct buf out;

	buf_init(&out, 100);
	maildrop_uid(d, number, &out);
	return buf_detach(&out);
}

/* The UID of the only message. */
static char *only_uid(void)
{
	struct maildrop *d = opened();
	char *text;

	cr_assert_eq(maildrop_count(d), 1);
	text = uid(d, 0);
	maildrop_close(d);
	return text;
}

static void expect_text(struct maildrop *d, size_t number, const char *text)
{
	struct error err = ERROR_NONE;
	char bytes[100] = "";
	uint64_t size;
	int fd;

	cr_assert_eq(maildrop_message(d, number, &fd, &size, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(size, strlen(text));
	cr_assert_eq(file_read_at(fd, bytes, (size_t)size, 0, "it", &err), OUTCOME_DONE);
	cr_expect_str_eq(bytes, text);
	file_close(&fd);
}

Test(maildrop, an_empty_one)
{
	struct maildrop *d = opened();
	size_t removed;
	struct error err;

	cr_expect_eq(maildrop_count(d), 0);
	cr_expect_null(maildrop_trouble(d));
	cr_expect_eq(maildrop_remove(d, NULL, 0, &removed, &err), OUTCOME_DONE);
	maildrop_close(d);
	cr_expect_not(is_there("packetboat-pop3.octets"), "nothing to remember");
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

Test(maildrop, names_of_our_own)
{
	static const struct {
		const char *unique;
		bool own;
	} cases[] = {
	    {"1700000000.village.aaaaaby.12-0.city", true},
	    {"0.a-b.aaaaaby.1-10.c-d", true},
	    {"1700000000.M12P34.host", false},
	    {"1700000000.village.aaaaaby.12.city", false},
	    {"1700000000.village.aaaaaby.12-.city", false},
	    {"1700000000.12-0.city", false},
	    {".village.aaaaaby.12-0.city", true},
	    {"x.village.aaaaaby.12-0.city", false},
	    {"1700000000", false},
	    {"1.", false},
	    {"", false},
	};
	struct buf name;
	struct envelope e = {.id = {.host = "village", .incarnation = 14, .sequence = 12}};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		cr_expect_eq(
		    mail_name_own(cases[i].unique, strlen(cases[i].unique)), cases[i].own, "%s", cases[i].unique);
	buf_init(&name, 1000);
	maildir_name(&e, 3, 1700000000, "city", 1, 2, &name);
	cr_expect(mail_name_own(buf_string(&name), strcspn(buf_string(&name), ",")));
	buf_release(&name);
}

Test(maildrop, own_names_tell_the_form_of_the_text)
{
	struct maildrop *d;

	put("new/" OWN, "a\n\nb\r\n.c\n\nd\n");
	put("new/1700000001.M1P2.city,S=2,W=3", "x\n");
	put("new/1700000002.village.aaaaaby.13-0.city", "x\n");
	d = opened();
	cr_assert_eq(maildrop_count(d), 3);
	cr_expect(maildrop_own(d, 0));
	cr_expect_eq(maildrop_octets(d, 0), 14);
	cr_expect_not(maildrop_own(d, 1));
	cr_expect_not(maildrop_own(d, 2), "counted as a file of another program is, and sent so");
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
		cr_expect(is_there("packetboat-pop3.octets"));
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

/* Keeps the size of the file: only who reads it would notice. */
static void change_silently(const char *name)
{
	char *path = mem_format("maria/%s", name);
	int fd;

	cr_assert_eq(file_append(&mail, path, &fd, NULL), OUTCOME_DONE);
	cr_assert_eq(file_truncate(fd, 0, path, NULL), OUTCOME_DONE);
	cr_assert_eq(file_write(fd, "\n\n", 2, path, NULL), OUTCOME_DONE);
	file_close(&fd);
	free(path);
}

static uint64_t octets_now(size_t count)
{
	struct maildrop *d = opened();
	uint64_t octets;

	cr_assert_eq(maildrop_count(d), count);
	octets = maildrop_octets(d, 0);
	maildrop_close(d);
	return octets;
}

Test(maildrop, what_the_index_knows_is_not_read_again)
{
	put("new/1.a", "x\n");
	cr_expect_eq(octets_now(1), 3);
	change_silently("new/1.a");
	cr_expect_eq(octets_now(1), 3, "it was read");
	/* New mail does not make what is known read again. */
	put("new/2.b", "x\n");
	cr_expect_eq(octets_now(2), 3);
	take_away("packetboat-pop3.octets");
	cr_expect_eq(octets_now(2), 4, "and now it had to be");
}

Test(maildrop, a_damaged_index_is_made_again)
{
	struct buf before;
	struct buf after;
	int fd;

	buf_init(&before, 1000);
	buf_init(&after, 1000);
	put("new/1.a", "x\n");
	put("new/2.b", "x\n");
	cr_expect_eq(octets_now(2), 3);
	cr_assert_eq(file_read(&mail, INDEX_FILE, &before, NULL), OUTCOME_DONE);
	for (size_t i = 0; i < before.length; i++) {
		cr_assert_eq(file_append(&mail, INDEX_FILE, &fd, NULL), OUTCOME_DONE);
		cr_assert_eq(file_truncate(fd, i, "index", NULL), OUTCOME_DONE);
		cr_assert_eq(file_write(fd, "\xff", 1, "index", NULL), OUTCOME_DONE);
		file_close(&fd);
		cr_expect_eq(octets_now(2), 3, "byte %zu", i);
		buf_clear(&after);
		cr_assert_eq(file_read(&mail, INDEX_FILE, &after, NULL), OUTCOME_DONE);
		cr_expect(view_equal(view_buf(&before), view_buf(&after)), "byte %zu", i);
	}
	buf_release(&before);
	buf_release(&after);
}

Test(maildrop, a_lying_index_is_found_out_and_made_again)
{
	struct maildrop *d;
	struct error err;
	uint64_t size;
	int fd;

	put("new/1.a", "x\n");
	cr_expect_eq(octets_now(1), 3);
	take_away("new/1.a");
	put("new/1.a", "longer\n");
	d = opened();
	cr_expect_eq(maildrop_octets(d, 0), 3, "nobody has looked yet");
	cr_assert_eq(maildrop_message(d, 0, &fd, &size, &err), OUTCOME_DONE);
	cr_expect_eq(size, 7);
	file_close(&fd);
	maildrop_close(d);
	cr_expect_eq(octets_now(1), 8);
}

Test(maildrop, the_index_forgets_what_is_gone)
{
	uint64_t size[2];

	put("new/1.a", "x\n");
	put("new/2.b", "x\n");
	octets_now(2);
	cr_assert(file_exists(&mail, INDEX_FILE, &size[0]));
	take_away("new/2.b");
	octets_now(1);
	cr_assert(file_exists(&mail, INDEX_FILE, &size[1]));
	cr_expect_lt(size[1], size[0]);
}

Test(maildrop, an_index_that_cannot_be_written_is_told_and_does_no_harm)
{
	struct maildrop *d;
	struct dir box;

	put("new/1.a", "x\n");
	cr_assert_eq(dir_open(&box, &mail, "maria", NULL), OUTCOME_DONE);
	cr_assert_eq(dir_remove(&box, "tmp", NULL), OUTCOME_DONE);
	dir_close(&box);
	d = opened();
	cr_expect_eq(maildrop_octets(d, 0), 3);
	cr_expect_not_null(maildrop_trouble(d));
	maildrop_close(d);
}

Test(maildrop, moved_by_another_program)
{
	struct maildrop *d;
	size_t removed;
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
	cr_expect_eq(maildrop_remove(d, (uint32_t[]){0, 2}, 2, &removed, &err), OUTCOME_DONE, "%s", err.text);
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
	size_t removed;
	struct error err;

	put("new/1.a", "one\n");
	put("cur/2.b:2,S", "two\n");
	put("new/3.c", "three\n");
	d = opened();
	cr_expect_eq(maildrop_remove(d, (uint32_t[]){1, 2}, 2, &removed, &err), OUTCOME_DONE);
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
	size_t removed;
	struct error err = ERROR_NONE;

	put("new/1.a", "one\n");
	put("new/2.b", "two\n");
	put("new/3.c", "three\n");
	d = opened();
	take_away("new/2.b");
	cr_assert_eq(dir_make(&made, &mail, "maria/new/2.b", 0700, NULL), OUTCOME_DONE);
	dir_close(&made);
	cr_expect_neq(maildrop_remove(d, (uint32_t[]){0, 1, 2}, 3, &removed, &err), OUTCOME_DONE);
	cr_expect_eq(removed, 2);
	cr_expect_not_null(strstr(err.text, "1 of 3 messages"), "%s", err.text);
	cr_expect_not(is_there("new/1.a"));
	cr_expect_not(is_there("new/3.c"));
	maildrop_close(d);
}

Test(maildrop, a_maildir_removed_meanwhile)
{
	struct maildrop *d;
	size_t removed;
	struct error err = ERROR_NONE;
	uint64_t size;
	int fd;

	put("new/1.a", "one\n");
	d = opened();
	take_away("new/1.a");
	nftw(mail.path, scratch_remove, 16, FTW_DEPTH | FTW_PHYS);
	cr_expect_neq(maildrop_message(d, 0, &fd, &size, &err), OUTCOME_DONE);
	cr_expect_eq(maildrop_remove(d, (uint32_t[]){0}, 1, &removed, &err), OUTCOME_DONE,
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

static void set_time(const char *name, time_t seconds)
{
	char *path = mem_format("maria/%s", name);
	const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};

	cr_assert_eq(utimensat(mail.fd, path, times, 0), 0);
	free(path);
}

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

/* ---- the index as a file --------------------------------------------------------------------------------- */

Test(maildrop, index_comes_back_as_it_was)
{
	struct size_index x = {0};
	struct size_index y;
	struct buf out;
	const struct index_entry *e;

	for (uint64_t i = 0; i < 1000; i++)
		index_add(&x, i * 0x9e3779b97f4a7c15U, i, (uint32_t)(i / 7));
	index_add(&x, 0, 77, 0);
	buf_init(&out, SIZE_MAX);
	index_print(&x, &out);
	cr_expect_eq(x.count, 1000, "the same key twice is one");
	cr_assert(index_parse(&y, view_buf(&out)));
	cr_assert_eq(y.count, 1000);
	for (uint64_t i = 1; i < 1000; i++) {
		e = index_find(&y, i * 0x9e3779b97f4a7c15U);
		cr_assert_not_null(e);
		cr_expect_eq(e->size, i);
		cr_expect_eq(e->added, i / 7);
	}
	cr_expect_null(index_find(&y, 5));
	index_release(&y);
	for (size_t i = 0; i < out.length; i++) {
		cr_expect_not(index_parse(&y, view_of(out.bytes, i)));
		out.bytes[i] ^= 0x20;
		cr_expect_not(index_parse(&y, view_buf(&out)));
		out.bytes[i] ^= 0x20;
	}
	buf_release(&out);
	index_release(&x);
}
