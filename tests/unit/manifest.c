#include "tests/unit/scratch.h"

#include "lib/limits.h"
#include "spool/peer.h"

static struct manifest_line line(
    const char *host, uint64_t sequence, uint32_t index, const char *neighbour, uint32_t ordinal)
{
	struct manifest_line l = {.id = {.incarnation = 7, .sequence = sequence}, .index = index};

	memcpy(l.id.host, host, strlen(host));
	memcpy(l.neighbour, neighbour, strlen(neighbour));
	if (neighbour[0] != '\0') {
		l.batch_incarnation = 0xfedcba98u;
		l.batch_sequence = UINT64_MAX;
		l.ordinal = ordinal;
	}
	return l;
}

static bool line_equal(const struct manifest_line *a, const struct manifest_line *b)
{
	return id_equal(&a->id, &b->id) && a->index == b->index && strcmp(a->neighbour, b->neighbour) == 0 &&
	       a->batch_incarnation == b->batch_incarnation && a->batch_sequence == b->batch_sequence &&
	       a->ordinal == b->ordinal && a->final == b->final;
}

static void fill(struct manifest *m)
{
	const char *longest = "abcdefghijklmnopqrstuvwxyz123456";
	struct manifest_line l;

	l = line("village", 12, 0, "", 0);
	manifest_add(m, &l);
	l.index = UINT32_MAX;
	l.final = true;
	manifest_add(m, &l);
	l = line("city", 12, 3, "ship", 4);
	manifest_add(m, &l);
	l.ordinal = UINT32_MAX;
	manifest_add(m, &l);
	l.batch_sequence = 1; /* the same message by another batch */
	manifest_add(m, &l);
	l.batch_incarnation = 0;
	manifest_add(m, &l);
	l = line(longest, UINT64_MAX, 0, longest, 0);
	manifest_add(m, &l);
	l.id.incarnation = 8;
	manifest_add(m, &l);
	l = line("village", 12, 0, "", 0);
	manifest_add(m, &l);
}

Test(manifest, print_and_parse_are_inverse)
{
	struct manifest m = {0};
	struct manifest back;
	struct buf one;
	struct buf two;

	fill(&m);
	buf_init(&one, 10000);
	buf_init(&two, 10000);
	manifest_print(&m, &one);
	cr_assert(manifest_parse(view_buf(&one), &back));
	cr_assert_eq(back.count, m.count);
	for (size_t i = 0; i < m.count; i++)
		cr_assert(line_equal(&m.lines[i], &back.lines[i]), "line %zu", i);
	manifest_print(&back, &two);
	cr_assert(view_equal(view_buf(&one), view_buf(&two)));
	for (size_t i = 0; i < one.length; i++) {
		struct manifest none;

		one.bytes[i] ^= 4;
		cr_assert_not(manifest_parse(view_buf(&one), &none), "octet %zu", i);
		cr_assert_null(none.lines);
		one.bytes[i] ^= 4;
		cr_assert_not(manifest_parse(view_of(one.bytes, i), &none), "length %zu", i);
	}
	buf_release(&one);
	buf_release(&two);
	manifest_release(&m);
	manifest_release(&back);
}

Test(manifest, without_a_neighbour_there_is_no_batch)
{
	struct manifest m = {0};
	struct manifest_line l = line("village", 1, 2, "", 0);

	l.batch_incarnation = 1;
	l.batch_sequence = 2;
	l.ordinal = 3;
	manifest_add(&m, &l);
	cr_assert_eq(m.lines[0].batch_incarnation + m.lines[0].batch_sequence + m.lines[0].ordinal, 0);
	manifest_release(&m);
}

/* A hundred thousand recipients of one message cost a few octets each. */
Test(manifest, many_recipients_are_small)
{
	struct manifest m = {0};
	struct manifest back;
	struct buf b;

	for (uint32_t i = 0; i < 100000; i++) {
		struct manifest_line l = line("village", 5, i, "ship", i);

		manifest_add(&m, &l);
	}
	buf_init(&b, LIMIT_SMALL_FILE);
	manifest_print(&m, &b);
	cr_assert_not(b.failed);
	cr_assert_lt(b.length, 8 * 100000);
	cr_assert(manifest_parse(view_buf(&b), &back));
	cr_assert_eq(back.count, 100000);
	cr_assert(line_equal(&back.lines[99999], &m.lines[99999]));
	buf_release(&b);
	manifest_release(&m);
	manifest_release(&back);
}

Test(manifest, write_read_remove)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct manifest m = {0};
	struct manifest back;
	struct dir city;

	cr_assert_neq(manifest_read(&back, &d, "city", 3, &err), OUTCOME_DONE);
	cr_assert_eq(err.code, EX_NOINPUT, "no directory");
	cr_assert_eq(manifest_remove(&d, "city", 3, &err), OUTCOME_DONE);
	fill(&m);
	cr_assert_eq(manifest_write(&m, &d, &d, "city", 3, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(manifest_write(&(struct manifest){0}, &d, &d, "city", UINT64_MAX, &err), OUTCOME_DONE);
	cr_assert_eq(manifest_read(&back, &d, "city", 3, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(back.count, m.count);
	manifest_release(&back);
	cr_assert_eq(manifest_read(&back, &d, "city", UINT64_MAX, &err), OUTCOME_DONE);
	cr_assert_eq(back.count, 0);
	cr_assert_neq(manifest_read(&back, &d, "city", 4, &err), OUTCOME_DONE);
	cr_assert_eq(err.code, EX_NOINPUT, "no file");
	/* Replaced as a whole. */
	m.lines[0].final = true;
	cr_assert_eq(manifest_write(&m, &d, &d, "city", 3, &err), OUTCOME_DONE);
	cr_assert_eq(manifest_read(&back, &d, "city", 3, &err), OUTCOME_DONE);
	cr_assert(back.lines[0].final);
	manifest_release(&back);
	cr_assert_eq(manifest_remove(&d, "city", 3, &err), OUTCOME_DONE);
	cr_assert_eq(manifest_remove(&d, "city", 3, &err), OUTCOME_DONE, "a missing one is no error");
	cr_assert_neq(manifest_read(&back, &d, "city", 3, &err), OUTCOME_DONE);
	cr_assert_eq(err.code, EX_NOINPUT);

	cr_assert_eq(dir_open(&city, &d, "city", &err), OUTCOME_DONE);
	cr_assert_eq(file_commit(&d, &city, "sent-3", view_text("pbsent\1"), &err), OUTCOME_DONE);
	cr_assert_neq(manifest_read(&back, &d, "city", 3, &err), OUTCOME_DONE);
	cr_assert_eq(err.code, EX_DATAERR);
	cr_assert_neq(manifest_write(&m, &d, &d, "a/b", 3, &err), OUTCOME_DONE);
	cr_assert_eq(err.code, EX_DATAERR);
	cr_assert_neq(manifest_remove(&d, "..", 3, &err), OUTCOME_DONE);
	dir_close(&city);
	manifest_release(&m);
	scratch_close(&d);
}
