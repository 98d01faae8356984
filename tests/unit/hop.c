#include "queue/hop.h"

#include "tests/unit/fault.h"
#include "tests/unit/queue_kit.h"

static void put_record(struct queue_kit *k, const struct dir *d, const char *name)
{
	kit_done(k, file_replace(&k->queue.tmp, d, name, view_text("x"), &k->err));
}

Test(hop, buckets_round_up)
{
	static const struct {
		uint64_t due;
		const char *name;
	} cases[] = {{0, "due-0"}, {1, "due-1"}, {1024, "due-1"}, {1025, "due-2"}, {86400, "due-85"}};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char name[32];

		hop_bucket(cases[i].due, name);
		cr_expect_str_eq(name, cases[i].name);
	}
}

Test(hop, never_due_is_a_bucket_too)
{
	char name[32];
	uint64_t number;

	hop_bucket(UINT64_MAX, name);
	cr_expect(number_parse(view_text(name + strlen("due-")), UINT64_MAX, &number));
	cr_expect_gt(number, (uint64_t)1 << 50, "far away, not in the past: %s", name);
}

Test(hop, wakes_what_is_due_and_only_that)
{
	static const struct {
		uint64_t due;
		uint64_t age;
		bool awake;
	} cases[] = {
	    {5000, 4999, false},
	    {5000, 5000, false}, /* the bucket's end decides */
	    {5000, 5120, true},
	    {5000, 100000, true},
	    {5000 + HOP_HORIZON - 2048, 5000, false},
	    {5000 + HOP_HORIZON + 2048, 5000, true}, /* cannot have been meant */
	    {UINT64_MAX - 2048, 5000, true},
	};
	struct queue_kit k;

	kit_open(&k, KIT_PLAIN);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct dir hop;

		kit_done(&k, hop_open(&k.queue, "smtp", &hop, &k.err));
		put_record(&k, &hop, "a.b.1+0");
		kit_done(&k, hop_defer(&hop, &hop, "a.b.1+0", cases[i].due, &k.err));
		cr_expect_not(file_exists(&hop, "a.b.1+0", NULL));
		kit_done(&k, hop_wake(&hop, cases[i].age, &k.err));
		cr_expect_eq(file_exists(&hop, "a.b.1+0", NULL), cases[i].awake, "case %zu", i);
		kit_done(&k, hop_wake(&hop, UINT64_MAX - HOP_HORIZON, &k.err));
		kit_expect(k.root, "queue/smtp", 1);
		dir_close(&hop);
	}
	kit_close(&k);
}

Test(hop, empty_buckets_go)
{
	struct queue_kit k;
	struct dir hop;
	struct names parts;

	kit_open(&k, KIT_PLAIN);
	kit_done(&k, hop_open(&k.queue, "smtp", &hop, &k.err));
	put_record(&k, &hop, "a.b.1+0");
	put_record(&k, &hop, "a.b.2+0");
	kit_done(&k, hop_defer(&hop, &hop, "a.b.1+0", 5000, &k.err));
	kit_done(&k, hop_defer(&hop, &hop, "a.b.2+0", 9000, &k.err));
	kit_done(&k, hop_wake(&hop, 6000, &k.err));
	kit_done(&k, hop_parts(&hop, &parts, &k.err));
	cr_expect_eq(parts.count, 1);
	cr_expect_str_eq(parts.items[0], "due-9");
	names_release(&parts);
	dir_close(&hop);
	kit_close(&k);
}

Test(hop, parts_and_records_are_told_apart)
{
	struct queue_kit k;
	struct dir hop;
	struct dir part;
	struct names parts;

	kit_open(&k, KIT_PLAIN);
	kit_done(&k, hop_open_within(&k.queue, "neighbour-city", "batch-aaaaaby-4", &part, &k.err));
	put_record(&k, &part, "recall");
	kit_done(&k, hop_open(&k.queue, "neighbour-city", &hop, &k.err));
	put_record(&k, &hop, "a.b.1+0");
	put_record(&k, &hop, "recall");
	kit_done(&k, hop_parts(&hop, &parts, &k.err));
	cr_expect_eq(parts.count, 1);
	cr_expect_str_eq(parts.items[0], "batch-aaaaaby-4");
	cr_expect(hop_is_record("a.b.1+0"));
	cr_expect_not(hop_is_record("recall"));
	cr_expect_not(hop_is_record("due-4"));
	names_release(&parts);
	dir_close(&part);
	dir_close(&hop);
	kit_close(&k);
}

Test(hop, one_works_on_it)
{
	struct queue_kit k;
	struct lock mine;
	struct lock other;
	bool held = true;

	kit_open(&k, KIT_PLAIN);
	kit_done(&k, hop_lock_try(&k.queue, "smtp", &mine, &held, &k.err));
	cr_expect_not(held);
	cr_expect_eq(hop_lock_try(&k.queue, "smtp", &other, &held, &k.err), OUTCOME_LATER);
	cr_expect_eq(k.err.code, EX_TEMPFAIL);
	cr_expect(held);
	kit_done(&k, hop_lock_try(&k.queue, "local", &other, &held, &k.err));
	lock_release(&other);
	lock_release(&mine);
	kit_done(&k, hop_lock(&k.queue, "smtp", &mine, &k.err));
	lock_release(&mine);
	held = true;
	kit_spoil_lock(k.root, "spool/lock/lmtp");
	kit_spoilt_told(hop_lock_try(&k.queue, "lmtp", &other, &held, &k.err), &k.err);
	cr_expect_not(held);
	kit_close(&k);
}

Test(hop, set_aside_with_its_reason)
{
	struct queue_kit k;
	struct dir hop;

	kit_open(&k, KIT_PLAIN);
	kit_done(&k, hop_open(&k.queue, "smtp", &hop, &k.err));
	put_record(&k, &hop, "a.b.1+0");
	kit_done(&k, queue_set_aside(&k.queue, &hop, "a.b.1+0", "it smells", &k.err));
	kit_expect(k.root, "queue/smtp", 0);
	kit_expect(k.root, "corrupt", 2);
	cr_expect_eq(kit_occurs(k.root, "spool/corrupt/a.b.1+0.why", "it smells"), 1);
	cr_expect_eq(kit_occurs(k.root, "spool/log", " corrupt "), 1);
	dir_close(&hop);
	kit_close(&k);
}

/* A slot puts records into a bucket while somebody else wakes the hop and takes the bucket away. */
Test(hop, buckets_that_come_and_go)
{
	struct queue_kit k;
	struct dir hop;
	struct dir slot;
	pid_t parent = getpid();
	pid_t child;
	size_t put = 0;

	kit_open(&k, KIT_PLAIN);
	kit_done(&k, hop_open(&k.queue, "smtp", &hop, &k.err));
	kit_done(&k, hop_open_within(&k.queue, "smtp", "work-1", &slot, &k.err));
	kit_put(k.root, "spool/queue/smtp/work-1/a.b.1+0", "x");
	child = fork();
	if (child == 0) {
		const struct timespec pause = {.tv_nsec = 500000};

		while (getppid() == parent && hop_wake(&hop, UINT64_MAX, NULL) == OUTCOME_DONE)
			nanosleep(&pause, NULL);
		_exit(0);
	}
	while (put < 300) {
		if (file_exists(&hop, "a.b.1+0", NULL))
			kit_done(&k, file_rename(&hop, "a.b.1+0", &slot, "a.b.1+0", &k.err));
		if (!file_exists(&slot, "a.b.1+0", NULL))
			continue; /* in a bucket still */
		kit_done(&k, hop_defer(&slot, &hop, "a.b.1+0", 5000, &k.err));
		put++;
	}
	cr_assert_eq(kill(child, SIGKILL), 0);
	cr_assert_eq(waitpid(child, NULL, 0), child);
	kit_expect(k.root, "queue/smtp", 1);
	dir_close(&slot);
	dir_close(&hop);
	kit_close(&k);
}
