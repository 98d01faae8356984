#include "queue/records.h"

#include "queue/hop.h"
#include "tests/unit/queue_kit.h"

/* What is made, and of which of it was heard that it could not be. */
struct making {
	struct queue_kit kit;
	struct sync_set sync;
	struct records records;
	bool lost[200];
	size_t lost_count;
};

static void note_lost(void *context, void *whose, const struct error *err)
{
	struct making *m = context;

	cr_expect_neq(err->text[0], '\0');
	*(bool *)whose = true;
	m->lost_count++;
}

static void open_making(struct making *m)
{
	*m = (struct making){.lost_count = 0};
	kit_open(&m->kit, KIT_PLAIN);
	sync_init(&m->sync, &m->kit.queue.spool);
	records_init(&m->records, &m->kit.queue, &m->sync, note_lost, m);
}

static void close_making(struct making *m)
{
	records_release(&m->records);
	kit_done(&m->kit, sync_wait(&m->sync, &m->kit.err));
	kit_close(&m->kit);
}

static struct entry entry_of(size_t number, const char *reason)
{
	struct entry e;

	entry_init(&e);
	e.id = (struct id){.host = "village", .incarnation = 7, .sequence = number};
	e.sender = mem_string("maria@village.example.org");
	e.size = number;
	entry_recipient_result(entry_add_recipient(&e, 0, "a@x"), "4.4.1", reason);
	return e;
}

static void add(struct making *m, const char *hop, size_t number, const char *reason)
{
	struct entry e = entry_of(number, reason);

	kit_done(&m->kit, records_add(&m->records, hop, &e, &m->lost[number], &m->kit.err));
	entry_release(&e);
}

/* Is record NUMBER in HOP, whole and itself? */
static bool stands(struct making *m, const char *hop, size_t number, struct stat *st)
{
	struct entry e = entry_of(number, NULL);
	char name[ENTRY_NAME];
	struct dir d;
	bool good;

	entry_name(&e, name);
	entry_release(&e);
	kit_done(&m->kit, hop_open(&m->kit.queue, hop, &d, &m->kit.err));
	good = hop_read(&d, name, &e, &m->kit.err) == OUTCOME_DONE && e.id.sequence == number && e.size == number;
	cr_assert(!good || fstatat(d.fd, name, st, 0) == 0);
	entry_release(&e);
	dir_close(&d);
	return good;
}

Test(records, share_files_of_a_bounded_size)
{
	struct making m;
	struct stat st;
	size_t files = 0;
	ino_t last = 0;

	open_making(&m);
	for (size_t i = 0; i < 100; i++)
		add(&m, i % 2 == 0 ? "smtp" : "local", i, "waits");
	records_finish(&m.records);
	for (size_t i = 0; i < 100; i++)
		cr_expect(stands(&m, i % 2 == 0 ? "smtp" : "local", i, &st), "%zu", i);
	for (size_t i = 0; i < 100; i += 2) {
		cr_expect(stands(&m, "smtp", i, &st));
		cr_expect_leq(st.st_size, (off_t)RECORDS_OCTETS);
		cr_expect_leq(st.st_nlink, (nlink_t)RECORDS_FILE);
		files += st.st_ino != last;
		last = st.st_ino;
	}
	cr_expect(files > 1 && files <= 5, "50 records in %zu files", files);
	kit_expect(m.kit.root, "tmp", 0);
	cr_expect_eq(m.lost_count, 0);
	close_making(&m);
}

/* One of many changes, or goes; the others stay what they are. */
Test(records, are_replaced_one_by_one)
{
	struct making m;
	struct entry e = entry_of(4, "again");
	struct buf text;
	struct dir d;
	struct stat st;

	open_making(&m);
	for (size_t i = 0; i < 10; i++)
		add(&m, "smtp", i, "waits");
	records_finish(&m.records);
	buf_init(&text, LIMIT_ENTRY);
	entry_write(&e, &text);
	kit_done(&m.kit, hop_open(&m.kit.queue, "smtp", &d, &m.kit.err));
	kit_done(&m.kit, file_replace(&m.kit.queue.tmp, &d, "village.aaaaaby.4+0", view_buf(&text), &m.kit.err));
	kit_done(&m.kit, file_remove(&d, "village.aaaaaby.0+0", &m.kit.err));
	for (size_t i = 0; i < 10; i++)
		cr_expect_eq(stands(&m, "smtp", i, &st), i != 0, "%zu", i);
	cr_expect_eq(kit_occurs(m.kit.root, "spool/queue/smtp/village.aaaaaby.4+0", "again"), 1);
	cr_expect_eq(kit_occurs(m.kit.root, "spool/queue/smtp/village.aaaaaby.5+0", "again"), 0);
	buf_release(&text);
	entry_release(&e);
	dir_close(&d);
	close_making(&m);
}

/* What stands under a name gives way, as it does to a rename; the file then has one name less. */
Test(records, a_name_that_stands)
{
	struct making m;
	struct stat st;

	open_making(&m);
	add(&m, "smtp", 1, "of old");
	add(&m, "smtp", 2, "of old");
	records_finish(&m.records);
	for (size_t i = 0; i < 4; i++)
		add(&m, "smtp", i, "new");
	records_finish(&m.records);
	for (size_t i = 0; i < 4; i++) {
		char *name = mem_format("spool/queue/smtp/village.aaaaaby.%zu+0", i);

		cr_expect(stands(&m, "smtp", i, &st), "%zu", i);
		cr_expect_eq(kit_occurs(m.kit.root, name, "of old"), 0, "%zu", i);
		cr_expect_eq(st.st_nlink, i == 1 || i == 2 ? 1U : 2U, "%zu", i);
		free(name);
	}
	cr_expect_eq(m.lost_count, 0);
	close_making(&m);
}

Test(records, a_large_one_has_its_own_file)
{
	struct making m;
	struct entry e = entry_of(1, "waits");
	struct stat st;

	open_making(&m);
	for (uint32_t i = 1; i < 400; i++)
		entry_add_recipient(&e, i, "somebody@somewhere.example.org");
	add(&m, "smtp", 0, "waits");
	kit_done(&m.kit, records_add(&m.records, "smtp", &e, &m.lost[1], &m.kit.err));
	add(&m, "smtp", 2, "waits");
	records_finish(&m.records);
	cr_expect(stands(&m, "smtp", 1, &st) && st.st_nlink == 1 && st.st_size > (off_t)RECORDS_OCTETS);
	cr_expect(stands(&m, "smtp", 0, &st) && st.st_nlink == 2);
	cr_expect(stands(&m, "smtp", 2, &st));
	entry_release(&e);
	close_making(&m);
}

Test(records, more_hops_than_are_kept_open)
{
	struct making m;
	struct stat st;

	open_making(&m);
	for (size_t i = 0; i < 3 * RECORDS_HOPS; i++) {
		char *hop = mem_format("neighbour-n%zu", i % (RECORDS_HOPS + 1));

		add(&m, hop, i, "waits");
		free(hop);
	}
	records_finish(&m.records);
	for (size_t i = 0; i < 3 * RECORDS_HOPS; i++) {
		char *hop = mem_format("neighbour-n%zu", i % (RECORDS_HOPS + 1));

		cr_expect(stands(&m, hop, i, &st), "%zu", i);
		free(hop);
	}
	close_making(&m);
}

/* Nothing can be made in tmp/ any more: everybody concerned hears of it. */
Test(records, lost_ones_are_told)
{
	struct making m;
	struct stat st;

	open_making(&m);
	for (size_t i = 0; i < 3; i++)
		add(&m, "smtp", i, "waits");
	records_finish(&m.records);
	for (size_t i = 3; i < 50; i++)
		add(&m, "smtp", i, "waits");
	cr_assert_eq(unlinkat(m.kit.queue.spool.fd, "tmp", AT_REMOVEDIR), 0);
	m.lost_count = 0;
	records_finish(&m.records);
	cr_expect_gt(m.lost_count, 0);
	for (size_t i = 0; i < 50; i++)
		cr_expect_eq(stands(&m, "smtp", i, &st), !m.lost[i], "%zu", i);
	close_making(&m);
}

/* ---- reading one after the other ---------------------------------------------------------------------------- */

static uint64_t read_size(struct making *m, struct hop_reader *r, const struct dir *d, size_t number)
{
	struct entry e = entry_of(number, NULL);
	char name[ENTRY_NAME];
	uint64_t size;

	entry_name(&e, name);
	entry_release(&e);
	kit_done(&m->kit, hop_reader_read(r, d, name, &e, &m->kit.err));
	cr_expect_eq(e.id.sequence, number);
	size = e.size;
	entry_release(&e);
	return size;
}

Test(records, a_reader_takes_no_file_for_another)
{
	struct making m;
	struct hop_reader r = HOP_READER_NONE;
	struct entry e = entry_of(2, "again");
	struct entry gone;
	struct buf text;
	struct dir d;
	int first;

	open_making(&m);
	for (size_t i = 0; i < 6; i++)
		add(&m, "smtp", i, "waits");
	records_finish(&m.records);
	kit_done(&m.kit, hop_open(&m.kit.queue, "smtp", &d, &m.kit.err));
	cr_expect_eq(read_size(&m, &r, &d, 0), 0);
	first = r.fd;
	cr_expect_eq(read_size(&m, &r, &d, 1), 1);
	cr_expect(r.fd == first && first >= 0 && file_is(&d, "village.aaaaaby.5+0", first), "read once");
	/* Replaced meanwhile; the next one is in the first file still. */
	e.size = 4711;
	buf_init(&text, LIMIT_ENTRY);
	entry_write(&e, &text);
	kit_done(&m.kit, file_replace(&m.kit.queue.tmp, &d, "village.aaaaaby.2+0", view_buf(&text), &m.kit.err));
	cr_expect_eq(read_size(&m, &r, &d, 2), 4711);
	cr_expect_eq(read_size(&m, &r, &d, 3), 3);
	/* Gone, and its place taken by a file that the system gives the same number, if it can. */
	for (size_t i = 0; i < 6; i++) {
		char *name = mem_format("village.aaaaaby.%zu+0", i);

		kit_done(&m.kit, file_remove(&d, name, &m.kit.err));
		free(name);
	}
	cr_expect_neq(hop_reader_read(&r, &d, "village.aaaaaby.3+0", &gone, &m.kit.err), OUTCOME_DONE);
	cr_expect_eq(m.kit.err.code, EX_NOINPUT);
	kit_done(&m.kit, file_replace(&m.kit.queue.tmp, &d, "village.aaaaaby.2+0", view_buf(&text), &m.kit.err));
	cr_expect_eq(read_size(&m, &r, &d, 2), 4711);
	hop_reader_close(&r);
	buf_release(&text);
	entry_release(&e);
	dir_close(&d);
	close_making(&m);
}

Test(records, a_reader_keeps_nothing_large)
{
	struct making m;
	struct hop_reader r = HOP_READER_NONE;
	struct entry e = entry_of(1, "waits");
	struct dir d;

	open_making(&m);
	for (uint32_t i = 1; i < 400; i++)
		entry_add_recipient(&e, i, "somebody@somewhere.example.org");
	kit_done(&m.kit, records_add(&m.records, "smtp", &e, &m.lost[1], &m.kit.err));
	add(&m, "smtp", 2, "waits");
	records_finish(&m.records);
	kit_done(&m.kit, hop_open(&m.kit.queue, "smtp", &d, &m.kit.err));
	cr_expect_eq(read_size(&m, &r, &d, 1), 1);
	cr_expect(r.fd < 0 && r.text.bytes == NULL);
	cr_expect_eq(read_size(&m, &r, &d, 2), 2);
	cr_expect(r.fd >= 0);
	hop_reader_close(&r);
	entry_release(&e);
	dir_close(&d);
	close_making(&m);
}
