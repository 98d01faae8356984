#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/arrivals_kit.h"
#include "tests/unit/fault.h"

/* ---- appending and draining ------------------------------------------------------------------------------ */

Test(arrivals, what_is_appended_is_drained)
{
	struct queue_kit k;
	struct arrivals a;

	kit_open(&k, KIT_PLAIN);
	kit_done(&k, arrivals_open(&a, &k.queue, &k.err));
	cr_expect_eq(arrivals_waiting(&k.queue), 0);
	kit_done(&k, arrivals_append(&a, NULL, 0, &k.err));
	kit_expect(k.root, "arrivals", 0);
	kit_done(&k, append(&a, 1, 3, &k.err));
	kit_done(&k, append(&a, 4, 1, &k.err));
	cr_expect_eq(arrivals_waiting(&k.queue), a.size);
	kit_expect(k.root, "arrivals", 1);
	cr_expect_eq(drain(&k), 0, "its writer still has it");
	kit_expect(k.root, "queue/new", 0);
	arrivals_seal(&a);
	cr_expect_eq(drain(&k), 4);
	expect_arrived(&k, 1, 4);
	kit_done(&k, append(&a, 5, 2, &k.err));
	arrivals_close(&a);
	cr_expect_eq(drain(&k), 2);
	cr_expect_eq(drain(&k), 0);
	expect_arrived(&k, 5, 6);
	kit_expect(k.root, "queue/new", 6);
	kit_expect(k.root, "corrupt", 0);
	cr_expect(dir_empty(&k.queue.arrivals));
	kit_close(&k);
}

/* What comes out is what was put in, and dispatching takes it like any other. */
Test(arrivals, the_image_is_the_message_file)
{
	struct queue_kit k;
	struct buf bytes;
	struct view image;
	char *name = sealed_log(&k, 1, &bytes);
	char id[LIMIT_ID];

	image = image_of(&k.queue, 1, "Subject: 1\r\n\r\nbody\r\n");
	drain(&k);
	buf_clear(&bytes);
	name_of(1, id);
	kit_done(&k, file_read(&k.queue.new, id, &bytes, &k.err));
	cr_expect(view_equal(view_buf(&bytes), image));
	image_free(image);
	kit_done(&k, kit_rounds(&k));
	kit_expect(k.root, "mail/joe/new", 1);
	free(name);
	buf_release(&bytes);
	kit_close(&k);
}

Test(arrivals, two_writers_have_a_log_each)
{
	struct queue_kit k;
	struct arrivals a;
	struct arrivals b;

	kit_open(&k, KIT_PLAIN);
	kit_done(&k, arrivals_open(&a, &k.queue, &k.err));
	kit_done(&k, arrivals_open(&b, &k.queue, &k.err));
	kit_done(&k, append(&a, 1, 2, &k.err));
	kit_done(&k, append(&b, 3, 2, &k.err));
	kit_expect(k.root, "arrivals", 2);
	arrivals_seal(&b);
	cr_expect_eq(drain(&k), 2);
	kit_done(&k, append(&a, 5, 1, &k.err));
	expect_arrived(&k, 3, 4);
	arrivals_close(&a);
	arrivals_close(&b);
	cr_expect_eq(drain(&k), 3);
	expect_arrived(&k, 1, 5);
	kit_close(&k);
}

Test(arrivals, a_large_log_is_sealed)
{
	struct queue_kit k;
	struct arrivals a;
	struct buf content;

	kit_open(&k, KIT_PLAIN);
	kit_done(&k, arrivals_open(&a, &k.queue, &k.err));
	buf_init(&content, 1 << 20);
	buf_text(&content, "Subject: large\r\n\r\n");
	while (content.length < 900000)
		buf_text(&content, "some line of some message of some size\r\n");
	for (uint64_t i = 1; i <= 10; i++) {
		struct view image = image_of(&k.queue, i, buf_string(&content));

		kit_done(&k, arrivals_append(&a, &image, 1, &k.err));
		image_free(image);
	}
	kit_expect(k.root, "arrivals", 2);
	cr_expect_leq(a.size, ARRIVALS_LOG_MAX);
	cr_expect_gt(arrivals_waiting(&k.queue), ARRIVALS_LOG_MAX);
	cr_expect_eq(drain(&k), 9, "those of the sealed one");
	arrivals_close(&a);
	cr_expect_eq(drain(&k), 1);
	expect_arrived(&k, 1, 10);
	buf_release(&content);
	kit_close(&k);
}

Test(arrivals, what_is_no_message_is_refused)
{
	struct queue_kit k;
	struct arrivals a;
	uint8_t *large = mem_alloc(ARRIVAL_IMAGE_MAX + 1);
	struct view bad[] = {view_of(large, ARRIVAL_IMAGE_MAX + 1), view_of(large, MESSAGE_FRAME - 1)};

	kit_open(&k, KIT_PLAIN);
	kit_done(&k, arrivals_open(&a, &k.queue, &k.err));
	for (size_t i = 0; i < 2; i++)
		cr_expect_neq(arrivals_append(&a, &bad[i], 1, &k.err), OUTCOME_DONE, "case %zu", i);
	kit_expect(k.root, "arrivals", 0);
	free(large);
	kit_close(&k);
}

Test(arrivals, a_full_disk_is_later)
{
	struct queue_kit k;
	struct arrivals a;

	kit_open(&k, KIT_PLAIN);
	kit_done(&k, arrivals_open(&a, &k.queue, &k.err));
	kit_done(&k, append(&a, 1, 1, &k.err));
	k.queue.min_free = UINT64_MAX / 2;
	cr_expect_eq(append(&a, 2, 1, &k.err), OUTCOME_LATER);
	arrivals_close(&a);
	cr_expect_eq(arrivals_drain(&k.queue, NULL, &k.err), OUTCOME_LATER);
	k.queue.min_free = 0;
	cr_expect_eq(drain(&k), 1);
	kit_close(&k);
}

/* ---- damage ---------------------------------------------------------------------------------------------- */

Test(arrivals, a_damaged_log_goes_aside_when_it_is_drained)
{
	struct queue_kit k;
	struct buf bytes;
	char *name = sealed_log(&k, 3, &bytes);
	char *why = mem_format("%s.why", name);

	bytes.bytes[ARRIVAL_MAGIC + record_size(&bytes, 3) + 40] ^= 1;
	put_log(&k, name, view_buf(&bytes));
	cr_expect_eq(drain(&k), 2);
	expect_arrived(&k, 1, 1);
	expect_arrived(&k, 3, 3);
	kit_expect(k.root, "queue/new", 2);
	cr_expect(dir_empty(&k.queue.arrivals));
	cr_expect(file_exists(&k.queue.corrupt, name, NULL));
	cr_expect(file_exists(&k.queue.corrupt, why, NULL));
	cr_expect_eq(kit_occurs(k.root, "spool/log", " corrupt "), 1);
	free(why);
	free(name);
	buf_release(&bytes);
	kit_close(&k);
}

Test(arrivals, two_messages_of_one_id_are_damage)
{
	struct queue_kit k;
	struct arrivals a;

	kit_open(&k, KIT_PLAIN);
	kit_done(&k, arrivals_open(&a, &k.queue, &k.err));
	kit_done(&k, append(&a, 1, 2, &k.err));
	kit_done(&k, append(&a, 2, 2, &k.err));
	arrivals_close(&a);
	cr_expect_eq(drain(&k), 3);
	expect_arrived(&k, 1, 3);
	kit_expect(k.root, "corrupt", 2);
	kit_close(&k);
}

/* A torn log of which nothing is whole goes away without a word, also when it is empty. */
Test(arrivals, a_log_without_a_message_goes_away)
{
	for (size_t length = 0; length < 60; length += 5) {
		struct queue_kit k;
		struct buf bytes;
		char *name = sealed_log(&k, 1, &bytes);

		put_log(&k, name, view_of(bytes.bytes, length));
		cr_expect_eq(drain(&k), 0);
		cr_expect(dir_empty(&k.queue.arrivals), "cut to %zu", length);
		kit_expect(k.root, "corrupt", 0);
		free(name);
		buf_release(&bytes);
		kit_close(&k);
	}
}

/* ---- what a crash leaves --------------------------------------------------------------------------------- */

static void put_message(struct queue_kit *k, const char *where, uint64_t number)
{
	struct view image = image_of(&k->queue, number, "Subject: it\r\n\r\nbody\r\n");
	struct dir d;
	char name[LIMIT_ID];

	name_of(number, name);
	kit_done(k, dir_make(&d, &k->queue.arrivals, where, 0700, &k->err));
	kit_done(k, file_replace(&k->queue.tmp, &d, name, image, &k->err));
	dir_close(&d);
	image_free(image);
}

static char *with_suffix(const char *log, const char *suffix)
{
	return mem_format("%.*s%s", (int)(strlen(log) - strlen(ARRIVAL_SUFFIX)), log, suffix);
}

Test(arrivals, a_part_is_made_anew)
{
	struct queue_kit k;
	struct buf bytes;
	char *name = sealed_log(&k, 2, &bytes);
	char *part = with_suffix(name, ".part");

	put_message(&k, part, 1);
	put_message(&k, part, 9);
	cr_expect_eq(drain(&k), 2);
	expect_arrived(&k, 1, 2);
	kit_expect(k.root, "queue/new", 2);
	cr_expect(dir_empty(&k.queue.arrivals));
	free(part);
	free(name);
	buf_release(&bytes);
	kit_close(&k);
}

/* Only what is in it counts: what is not was moved, and may have gone on since. */
Test(arrivals, a_take_makes_its_log_void)
{
	for (int log = 0; log < 2; log++) {
		struct queue_kit k;
		struct buf bytes;
		char *name = sealed_log(&k, 3, &bytes);
		char *take = with_suffix(name, ".take");

		put_message(&k, take, 2);
		if (!log)
			kit_done(&k, file_remove(&k.queue.arrivals, name, &k.err));
		cr_expect_eq(drain(&k), 1);
		expect_arrived(&k, 2, 2);
		kit_expect(k.root, "queue/new", 1);
		kit_expect(k.root, "corrupt", 0);
		cr_expect(dir_empty(&k.queue.arrivals));
		free(take);
		free(name);
		buf_release(&bytes);
		kit_close(&k);
	}
}

Test(arrivals, a_take_remembers_that_its_log_is_damaged)
{
	for (int log = 0; log < 2; log++) {
		struct queue_kit k;
		struct buf bytes;
		char *name = sealed_log(&k, 2, &bytes);
		char *take = with_suffix(name, ".take");
		struct dir d;

		put_message(&k, take, 2);
		kit_done(&k, dir_open(&d, &k.queue.arrivals, take, &k.err));
		kit_done(&k, file_replace(&k.queue.tmp, &d, "damaged", view_text("some reason"), &k.err));
		dir_close(&d);
		if (!log)
			kit_done(&k, file_remove(&k.queue.arrivals, name, &k.err));
		cr_expect_eq(drain(&k), 1);
		expect_arrived(&k, 2, 2);
		kit_expect(k.root, "corrupt", log ? 2 : 0);
		cr_expect_eq(kit_occurs(k.root, "spool/log", "some reason"), (size_t)log);
		cr_expect(dir_empty(&k.queue.arrivals));
		free(take);
		free(name);
		buf_release(&bytes);
		kit_close(&k);
	}
}

/* While the one is stuck the other stays what it is: void. */
Test(arrivals, a_log_is_not_drained_beside_its_take)
{
	struct queue_kit k;
	struct buf bytes;
	char *name = sealed_log(&k, 2, &bytes);
	char *take = with_suffix(name, ".take");
	struct dir d;

	put_message(&k, take, 2);
	kit_done(&k, dir_open(&d, &k.queue.arrivals, take, &k.err));
	buf_clear(&bytes);
	memset(buf_extend(&bytes, 5000), 'x', 5000);
	kit_done(&k, file_replace(&k.queue.tmp, &d, "damaged", view_buf(&bytes), &k.err));
	cr_expect_neq(arrivals_drain(&k.queue, NULL, &k.err), OUTCOME_DONE);
	kit_expect(k.root, "queue/new", 0);
	kit_done(&k, file_remove(&d, "damaged", &k.err));
	dir_close(&d);
	cr_expect_eq(drain(&k), 1);
	expect_arrived(&k, 2, 2);
	free(take);
	free(name);
	buf_release(&bytes);
	kit_close(&k);
}

Test(arrivals, what_stands_in_the_queue_is_not_touched)
{
	static const char *const marks[] = {"", "~", "+0"};

	for (size_t i = 0; i < 3; i++) {
		struct queue_kit k;
		struct buf bytes;
		char *name = sealed_log(&k, 2, &bytes);
		char id[LIMIT_ID];
		char *stands;
		char *text;

		name_of(1, id);
		stands = mem_format("%s%s", id, marks[i]);
		kit_done(&k, file_replace(&k.queue.tmp, i == 2 ? &k.queue.msg : &k.queue.new, stands,
				 view_text("what stands"), &k.err));
		cr_expect_eq(drain(&k), 1);
		expect_arrived(&k, 2, 2);
		cr_expect(file_exists(&k.queue.corrupt, id, NULL), "the other one is kept");
		free(stands);
		stands = mem_format("spool/%s/%s%s", i == 2 ? "msg" : "queue/new", id, marks[i]);
		text = kit_text(k.root, stands);
		cr_expect_str_eq(text == NULL ? "" : text, "what stands");
		free(text);
		free(stands);
		free(name);
		buf_release(&bytes);
		kit_close(&k);
	}
}

Test(arrivals, one_drains_at_a_time)
{
	struct queue_kit k;
	struct buf bytes;
	char *name = sealed_log(&k, 2, &bytes);
	struct lock lock;
	bool held;

	kit_done(&k, lock_try(&lock, &k.queue.lock, "arrivals", &held, &k.err));
	cr_expect_eq(drain(&k), 0);
	kit_expect(k.root, "arrivals", 1);
	lock_release(&lock);
	cr_expect_eq(drain(&k), 2);
	free(name);
	buf_release(&bytes);
	kit_close(&k);
}

Test(arrivals, a_lock_that_cannot_be_had_is_told)
{
	struct queue_kit k;
	struct buf bytes;
	char *name = sealed_log(&k, 1, &bytes);

	kit_spoil_lock(k.root, "spool/lock/arrivals");
	kit_spoilt_told(arrivals_drain(&k.queue, NULL, &k.err), &k.err);
	kit_expect(k.root, "arrivals", 1);
	free(name);
	buf_release(&bytes);
	kit_close(&k);
}

/* A log that cannot be drained stays, is told of, and keeps no other back. */
Test(arrivals, what_is_stuck_keeps_no_other_back)
{
	struct queue_kit k;
	struct buf bytes;
	char *name = sealed_log(&k, 1, &bytes);
	struct dir d;
	struct dir below;

	kit_done(&k, dir_make(&d, &k.queue.arrivals, "a.take", 0700, &k.err));
	dir_close(&d);
	kit_done(&k, dir_make(&d, &k.queue.arrivals, "a.log", 0700, &k.err));
	dir_close(&d);
	kit_done(&k, dir_make(&d, &k.queue.arrivals, "b.part", 0700, &k.err));
	kit_done(&k, dir_make(&below, &d, "below", 0700, &k.err));
	dir_close(&below);
	dir_close(&d);
	cr_expect_neq(arrivals_drain(&k.queue, NULL, &k.err), OUTCOME_DONE);
	cr_expect_not_null(strstr(k.err.text, "b.part"), "%s", k.err.text);
	expect_arrived(&k, 1, 1);
	free(name);
	buf_release(&bytes);
	kit_close(&k);
}

/* ---- faults ---------------------------------------------------------------------------------------------- */

static void note(const char *root, const char *file, const char *line)
{
	char *path = mem_format("%s/%s", root, file);
	FILE *out = fopen(path, "a");

	fprintf(out, "<%s>\n", line);
	fclose(out);
	free(path);
}

/* A daemon's life: three appends, a drain between them, and what is answered is noted outside. */
static int live(void *context)
{
	char *root = context;
	struct queue_kit k;
	struct arrivals a;
	bool good = kit_attach(&k, root) == OUTCOME_DONE;

	if (!good || arrivals_open(&a, &k.queue, &k.err) != OUTCOME_DONE)
		return 1;
	for (uint64_t group = 0; group < 3; group++) {
		bool taken = append(&a, 3 * group + 1, 3, &k.err) == OUTCOME_DONE;

		for (uint64_t i = 1; taken && i <= 3; i++) {
			char name[LIMIT_ID];

			name_of(3 * group + i, name);
			note(root, "answered", name);
		}
		good &= taken;
		if (group != 1)
			continue;
		arrivals_seal(&a);
		good &= arrivals_drain(&k.queue, NULL, &k.err) == OUTCOME_DONE;
	}
	arrivals_close(&a);
	good &= arrivals_drain(&k.queue, NULL, &k.err) == OUTCOME_DONE;
	kit_detach(&k);
	return good ? 0 : 1;
}

/* Takes what is in queue/new, as dispatching does, so that what comes once more is seen. */
static void consume(char *root)
{
	struct queue_kit k;
	struct names names;

	kit_look(&k, root);
	cr_assert_eq(dir_names(&k.queue.new, &names, &k.err), OUTCOME_DONE);
	for (size_t i = 0; i < names.count; i++) {
		note(root, "consumed", names.items[i]);
		unlinkat(k.queue.new.fd, names.items[i], 0);
	}
	names_release(&names);
	kit_detach(&k);
}

static int recover(void *context)
{
	struct queue_kit k;
	int failed = kit_attach(&k, context) != OUTCOME_DONE ||
		     arrivals_drain(&k.queue, NULL, &k.err) != OUTCOME_DONE || !dir_empty(&k.queue.arrivals);

	kit_detach(&k);
	return failed;
}

static void expect_each_once(const char *root, const char *kind, unsigned at)
{
	for (uint64_t i = 1; i <= 9; i++) {
		char name[LIMIT_ID];
		char *word;
		size_t answered;
		size_t consumed;

		name_of(i, name);
		word = mem_format("<%s>", name);
		answered = kit_occurs(root, "answered", word);
		consumed = kit_occurs(root, "consumed", word);
		cr_expect(consumed == 1 || (answered == 0 && consumed == 0), "%s at %u: %s answered %zu, there %zu",
		    kind, at, name, answered, consumed);
		free(word);
	}
	kit_expect(root, "corrupt", 0);
}

static int make_spool(void *context)
{
	struct queue_kit k;
	int failed = kit_attach(&k, context) != OUTCOME_DONE;

	kit_detach(&k);
	return failed;
}

static void sweep(const char *kind)
{
	enum fault_end end = FAULT_KILLED;

	for (unsigned n = 1; fault_goes_on(kind, end, n); n++) {
		char *root = kit_root(KIT_PLAIN);

		cr_assert_eq(fault_run(NULL, 0, make_spool, root), FAULT_RAN);
		end = fault_run(kind, n, live, root);
		consume(root);
		cr_assert_eq(fault_run(NULL, 0, recover, root), FAULT_RAN, "%s at %u", kind, n);
		consume(root);
		expect_each_once(root, kind, n);
		kit_remove(root);
	}
}

/* Every change that fails is told of: a sync that failed was no sync. */
Test(arrivals, no_failure_is_swallowed)
{
	enum fault_end killed = FAULT_KILLED;

	for (unsigned n = 1; killed == FAULT_KILLED; n++) {
		char *roots[] = {kit_root(KIT_PLAIN), kit_root(KIT_PLAIN)};

		for (size_t i = 0; i < 2; i++)
			cr_assert_eq(fault_run(NULL, 0, make_spool, roots[i]), FAULT_RAN);
		killed = fault_run("kill", n, live, roots[0]);
		cr_expect_eq(fault_run("fail", n, live, roots[1]), killed == FAULT_RAN ? FAULT_RAN : FAULT_COMPLAINS,
		    "change %u", n);
		kit_remove(roots[0]);
		kit_remove(roots[1]);
	}
}

Test(arrivals, killed_at_any_point)
{
	sweep("kill");
}

Test(arrivals, failing_at_any_point)
{
	sweep("fail");
}

/* The disk takes half of an append: that half is cut off, and the next append stands where it stood. */
static int half_append(void *context)
{
	struct queue_kit k;
	struct arrivals a;
	struct rlimit limit = {.rlim_max = RLIM_INFINITY};
	struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
	uint64_t size;

	signal(SIGXFSZ, SIG_IGN);
	if (kit_attach(&k, context) != OUTCOME_DONE || arrivals_open(&a, &k.queue, &k.err) != OUTCOME_DONE ||
	    append(&a, 1, 2, &k.err) != OUTCOME_DONE)
		return 1;
	size = a.size;
	limit.rlim_cur = size + size / 2;
	if (setrlimit(RLIMIT_FSIZE, &limit) != 0 || append(&a, 3, 2, &k.err) != OUTCOME_LATER ||
	    setrlimit(RLIMIT_FSIZE, &none) != 0 || arrivals_waiting(&k.queue) != size)
		return 2;
	if (append(&a, 5, 2, &k.err) != OUTCOME_DONE || kit_count(k.root, "arrivals") != 1)
		return 3;
	arrivals_close(&a);
	kit_detach(&k);
	return 0;
}

Test(arrivals, a_half_written_append_is_cut_off)
{
	struct queue_kit k;

	kit_open(&k, KIT_PLAIN);
	cr_assert_eq(fault_run(NULL, 0, half_append, k.root), FAULT_RAN);
	cr_expect_eq(drain(&k), 4);
	expect_arrived(&k, 1, 2);
	expect_arrived(&k, 5, 6);
	kit_expect(k.root, "corrupt", 0);
	kit_close(&k);
}

/* ---- threads --------------------------------------------------------------------------------------------- */

struct drainer {
	const char *root;
	_Atomic bool done;
	uint64_t moved;
};

static void *drain_on(void *context)
{
	struct drainer *d = context;
	struct error err = ERROR_NONE;
	char *spool = mem_format("%s/spool", d->root);
	struct queue q;
	bool last;

	cr_assert_eq(queue_open(&q, spool, "village", &err), OUTCOME_DONE, "%s", err.text);
	do {
		uint64_t count;

		last = d->done;
		cr_expect_eq(arrivals_drain(&q, &count, &err), OUTCOME_DONE, "%s", err.text);
		d->moved += count;
	} while (!last);
	queue_close(&q);
	free(spool);
	return NULL;
}

Test(arrivals, one_thread_appends_another_drains)
{
	struct queue_kit k;
	struct drainer d = {0};
	struct arrivals a;
	pthread_t thread;

	kit_open(&k, KIT_PLAIN);
	d.root = k.root;
	kit_done(&k, arrivals_open(&a, &k.queue, &k.err));
	cr_assert_eq(pthread_create(&thread, NULL, drain_on, &d), 0);
	for (uint64_t i = 0; i < 60; i++) {
		kit_done(&k, append(&a, 5 * i + 1, 5, &k.err));
		if (i % 4 == 0)
			arrivals_seal(&a);
	}
	arrivals_close(&a);
	d.done = true;
	cr_assert_eq(pthread_join(thread, NULL), 0);
	cr_expect_eq(d.moved, 300);
	expect_arrived(&k, 1, 300);
	kit_expect(k.root, "queue/new", 300);
	cr_expect(dir_empty(&k.queue.arrivals));
	kit_close(&k);
}
