#include "bridge-pop3/maildrop_index.h"

#include "tests/unit/maildrop_kit.h"

#define INDEX_FILE "maria/packetboat-pop3.index"
/* As many as are worth an index, whatever their names tell. */
#define MANY 250

TestSuite(maildrop_index, .init = kit_setup, .fini = kit_teardown);

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

Test(maildrop_index, what_the_index_knows_is_not_read_again)
{
	put("new/1.a", "x\n");
	cr_expect_eq(octets_now(1), 3);
	change_silently("new/1.a");
	cr_expect_eq(octets_now(1), 3, "it was read");
	/* New mail does not make what is known read again. */
	put("new/2.b", "x\n");
	cr_expect_eq(octets_now(2), 3);
	take_away("packetboat-pop3.index");
	cr_expect_eq(octets_now(2), 4, "and now it had to be");
}

Test(maildrop_index, a_damaged_index_is_made_again)
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

Test(maildrop_index, a_lying_index_is_found_out_and_made_again)
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

Test(maildrop_index, the_index_forgets_what_is_gone)
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

Test(maildrop_index, an_index_that_cannot_be_written_is_told_and_does_no_harm)
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

Test(maildrop_index, copies_by_hand_are_counted_once)
{
	put("new/1.a", "x\n");
	put("cur/1.a:2,S", "x\n");
	set_time("new/1.a", 1000);
	set_time("cur/1.a:2,S", 1000);
	cr_expect_eq(octets_now(2), 3);
	change_silently("new/1.a");
	change_silently("cur/1.a:2,S");
	set_time("new/1.a", 1000);
	set_time("cur/1.a:2,S", 1000);
	cr_expect_eq(octets_now(2), 3, "they were read again");
	/* Whose octets they were is not known any more when one of them has moved. */
	move("cur/1.a:2,S", "cur/1.a:2,RS");
	take_away("new/1.a");
	cr_expect_eq(octets_now(1), 4);
}

/* ---- the list in it -------------------------------------------------------------------------------------- */

static void put_many(void)
{
	for (size_t i = 0; i < MANY; i++) {
		char *name = mem_format("new/%zu.a,S=2,W=3", 1000 + i);

		put(name, "x\n");
		free(name);
	}
}

static struct mail_list list_now(void)
{
	struct mail_list list;
	struct dir box;

	cr_assert_eq(dir_open(&box, &mail, "maria", NULL), OUTCOME_DONE);
	cr_assert_eq(mail_list_read(&list, &box, NULL), OUTCOME_DONE);
	cr_assert(list.calm);
	dir_close(&box);
	return list;
}

/* Puts LIST there as an index that is believed. */
static void plant(const struct mail_list *list)
{
	struct dir box;
	struct buf file;

	buf_init(&file, SIZE_MAX);
	index_print(list, INDEX_LIST, &file);
	cr_assert_eq(dir_open(&box, &mail, "maria", NULL), OUTCOME_DONE);
	cr_assert_eq(file_replace(&box, &box, "packetboat-pop3.index", view_buf(&file), NULL), OUTCOME_DONE);
	dir_close(&box);
	buf_release(&file);
}

/* A change within the same tick of the clock could not be seen, so what has just changed is not kept; what rests is. */
Test(maildrop_index, a_large_maildir_that_rests_is_listed_once)
{
	struct mail_list list;
	struct buf file;
	struct maildrop *d;

	put_many();
	cr_expect_eq(octets_now(MANY), 3);
	cr_expect_not(is_there("packetboat-pop3.index"), "it has changed a moment ago");
	sleep(5);
	cr_expect_eq(octets_now(MANY), 3);
	cr_assert(is_there("packetboat-pop3.index"));
	buf_init(&file, SIZE_MAX);
	cr_assert_eq(file_read(&mail, INDEX_FILE, &file, NULL), OUTCOME_DONE);
	cr_assert(index_parse(&list, view_buf(&file)));
	cr_expect_eq(list.count, MANY);
	mail_list_release(&list);
	buf_release(&file);
	d = opened();
	expect_text(d, 0, "x\n");
	expect_text(d, MANY - 1, "x\n");
	maildrop_close(d);
	/* Whatever happens, it is seen. */
	put("cur/0.early,S=2,W=3:2,S", "x\n");
	cr_expect_eq(octets_now(MANY + 1), 3);
	move("cur/0.early,S=2,W=3:2,S", "new/0.early,S=2,W=3");
	take_away("new/1001.a,S=2,W=3");
	d = opened();
	cr_assert_eq(maildrop_count(d), MANY);
	expect_text(d, 0, "x\n");
	maildrop_close(d);
}

/* The index holds one message, the directory two: what is told shows which was asked. */
Test(maildrop_index, is_believed_as_long_as_the_directories_are_as_they_were)
{
	struct mail_list list;
	char *before;
	char *after;

	put("new/1.a,S=2,W=3", "x\n");
	before = only_uid();
	put("new/2.b,S=2,W=3", "x\n");
	list = list_now();
	list.count = 1;
	plant(&list);
	after = only_uid();
	cr_expect_str_eq(after, before);
	cr_expect_eq(octets_now(1), 3, "and it is not written again");
	usleep(20000);
	/* As whoever restores a backup sets it. */
	set_time("new", 1000);
	cr_expect_eq(octets_now(2), 3);
	plant(&list);
	cr_expect_eq(octets_now(2), 3, "those were other times");
	mail_list_release(&list);
	list = list_now();
	list.count = 1;
	list.stamps[1].inode++;
	plant(&list);
	cr_expect_eq(octets_now(2), 3, "a directory of that name is not the same directory");
	mail_list_release(&list);
	free(before);
	free(after);
}

Test(maildrop_index, one_that_names_what_is_not_there_is_thrown_away)
{
	struct mail_list list;
	struct maildrop *d;
	struct error err = ERROR_NONE;
	uint64_t size;
	int fd;

	put("cur/1.a,S=2,W=3:2,S", "x\n");
	put("new/2.b,S=2,W=3", "x\n");
	list = list_now();
	list.items[0].path = "new/1.a,S=2,W=3";
	list.items[1].path = "new/2.c,S=2,W=3";
	plant(&list);
	d = opened();
	cr_expect_eq(maildrop_message(d, 1, &fd, &size, &err), OUTCOME_NEVER);
	cr_expect_eq(err.code, EX_NOINPUT);
	cr_expect_not(is_there("packetboat-pop3.index"));
	expect_text(d, 0, "x\n");
	maildrop_close(d);
	d = opened();
	expect_text(d, 1, "x\n");
	maildrop_close(d);
	mail_list_release(&list);
}

Test(maildrop_index, what_was_large_and_is_small_keeps_no_large_index)
{
	struct mail_list list;
	uint64_t size;

	put_many();
	list = list_now();
	plant(&list);
	mail_list_release(&list);
	cr_expect_eq(octets_now(MANY), 3);
	for (size_t i = 1; i < MANY; i++) {
		char *name = mem_format("new/%zu.a,S=2,W=3", 1000 + i);

		take_away(name);
		free(name);
	}
	cr_expect_eq(octets_now(1), 3);
	cr_assert(file_exists(&mail, INDEX_FILE, &size));
	cr_expect_lt(size, 150);
}

/* ---- the file -------------------------------------------------------------------------------------------- */

static void expect_same(const struct mail_list *a, const struct mail_list *b)
{
	cr_assert_eq(a->count, b->count);
	for (size_t i = 0; i < MAIL_PLACES; i++)
		cr_expect(dir_stamp_same(&a->stamps[i], &b->stamps[i]));
	for (size_t i = 0; i < a->count; i++) {
		const struct mail *x = &a->items[i];
		const struct mail *y = &b->items[i];

		cr_expect_str_eq(x->path, y->path);
		cr_expect(x->octets == y->octets && x->added == y->added && x->time == y->time &&
			      x->unique == y->unique && x->flags == y->flags,
		    "%s", x->path);
	}
}

Test(maildrop_index, comes_back_as_it_was)
{
	static const char *const names[] = {"new/1", "cur/1", "new/1.a,S=2,W=3", "cur/2.ab:2,S", "new/2.ac", "new/x",
	    "new/99999999999.z", "cur/\xff\n x"};
	struct mail_list list;
	struct mail_list back;
	struct buf out;

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		put(names[i], "");
	list = list_now();
	for (size_t i = 0; i < list.count; i++) {
		struct mail *m = &list.items[i];

		/* "new/1" and "cur/1" are copies: not for an index that is a list. */
		m->flags = m->octets > 0 ? MAIL_OCTETS : MAIL_OCTETS | MAIL_INDEX;
		m->added = (uint32_t)i;
		m->octets = m->octets > 0 ? m->octets : (uint64_t)i << (4 * i);
		if ((m->flags & MAIL_INDEX) == 0)
			m->added = 0;
	}
	buf_init(&out, SIZE_MAX);
	index_print(&list, INDEX_LIST, &out);
	cr_assert(index_parse(&back, view_buf(&out)));
	expect_same(&list, &back);
	mail_list_release(&back);
	for (size_t i = 0; i < out.length; i++) {
		cr_expect_not(index_parse(&back, view_of(out.bytes, i)));
		out.bytes[i] ^= 0x20;
		cr_expect_not(index_parse(&back, view_buf(&out)));
		out.bytes[i] ^= 0x20;
	}
	buf_clear(&out);
	index_print(&list, INDEX_COUNTED, &out);
	cr_assert(index_parse(&back, view_buf(&out)));
	cr_expect_eq(back.count, list.count - 1);
	cr_expect_eq(back.stamps[0].inode, 0, "that is no list");
	mail_list_release(&back);
	mail_list_release(&list);
	buf_release(&out);
}
