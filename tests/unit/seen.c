#include "queue/seen.h"

#include <sys/wait.h>

#include "tests/unit/scratch.h"

struct fixture {
	struct dir root;
	struct dir tmp;
	struct seen seen;
};

static struct fixture fixture_open(void)
{
	struct fixture f = {.root = scratch_open()};
	struct error err = ERROR_NONE;

	cr_assert_eq(dir_make(&f.tmp, &f.root, "tmp", 0700, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(seen_open(&f.seen, &f.root, &err), OUTCOME_DONE, "%s", err.text);
	return f;
}

static void fixture_close(struct fixture *f)
{
	seen_close(&f->seen);
	dir_close(&f->tmp);
	scratch_close(&f->root);
}

static void fixture_reopen(struct fixture *f)
{
	struct error err = ERROR_NONE;

	seen_close(&f->seen);
	cr_assert_eq(seen_open(&f->seen, &f->root, &err), OUTCOME_DONE, "%s", err.text);
}

static struct id id_of(const char *host, uint32_t incarnation, uint64_t sequence)
{
	struct id id = {.incarnation = incarnation, .sequence = sequence};

	cr_assert(id_set_host(&id, host));
	return id;
}

static bool knows(struct fixture *f, struct id id, uint32_t index)
{
	struct error err = ERROR_NONE;
	bool known = false;

	cr_assert_eq(seen_known(&f->seen, &id, index, &known, &err), OUTCOME_DONE, "%s", err.text);
	return known;
}

static void add(struct fixture *f, struct id id, uint32_t index)
{
	struct error err = ERROR_NONE;

	cr_assert_eq(seen_add(&f->seen, &id, index, &err), OUTCOME_DONE, "%s", err.text);
}

static void commit(struct fixture *f)
{
	struct error err = ERROR_NONE;

	cr_assert_eq(seen_commit(&f->seen, &f->tmp, &err), OUTCOME_DONE, "%s", err.text);
}

static struct names files_of(struct fixture *f)
{
	struct names names;
	struct error err = ERROR_NONE;

	cr_assert_eq(dir_names(&f->seen.dir, &names, &err), OUTCOME_DONE, "%s", err.text);
	return names;
}

static uint64_t size_of(struct fixture *f, const char *name)
{
	uint64_t size = 0;

	cr_assert(file_exists(&f->seen.dir, name, &size), "%s", name);
	return size;
}

Test(seen, remembers_exactly_what_was_added)
{
	static const struct {
		const char *host;
		uint32_t incarnation;
		uint64_t sequence;
		uint32_t index;
		bool added;
	} cases[] = {
	    {"village", 1, 1, 0, true},
	    {"village", 1, 1, 1, false},
	    {"village", 1, 0, 0, false},
	    {"village", 1, 2, 0, false},
	    {"village", 2, 1, 0, false},
	    {"village", 2, 1, 7, true},
	    {"city", 1, 1, 0, false},
	    {"village", 1, 65535, 0, true},
	    {"village", 1, 65536, 0, false},
	    {"village", 1, 65537, 99999, true},
	    {"village", 1, 1 + 65536, 0, false},
	    {"village", 1, UINT64_MAX, UINT32_MAX, true},
	    {"village", 1, UINT64_MAX, 0, false},
	    {"village", 1, UINT64_MAX - 65536, UINT32_MAX, false},
	};
	struct fixture f = fixture_open();

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		if (cases[i].added)
			add(&f, id_of(cases[i].host, cases[i].incarnation, cases[i].sequence), cases[i].index);
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
			cr_assert_eq(
			    knows(&f, id_of(cases[i].host, cases[i].incarnation, cases[i].sequence), cases[i].index),
			    cases[i].added, "case %zu, pass %d", i, pass);
		commit(&f);
		fixture_reopen(&f);
	}
	fixture_close(&f);
}

Test(seen, dense_sequences_stay_tiny)
{
	struct fixture f = fixture_open();
	struct names names;

	for (uint64_t i = 0; i < 10000; i++)
		add(&f, id_of("village", 7, i), 0);
	commit(&f);
	names = files_of(&f);
	cr_assert_eq(names.count, 1);
	cr_assert_lt(size_of(&f, names.items[0]), 60, "%llu bytes", (unsigned long long)size_of(&f, names.items[0]));
	names_release(&names);
	fixture_reopen(&f);
	cr_assert(knows(&f, id_of("village", 7, 9999), 0));
	cr_assert_not(knows(&f, id_of("village", 7, 10000), 0));
	fixture_close(&f);
}

Test(seen, many_sequences_span_segments)
{
	struct fixture f = fixture_open();
	struct names names;

	for (uint64_t i = 0; i < 70000; i++)
		add(&f, id_of("village", 7, i), 0);
	commit(&f);
	names = files_of(&f);
	cr_assert_eq(names.count, 2);
	for (size_t i = 0; i < names.count; i++)
		cr_assert_lt(size_of(&f, names.items[i]), 60);
	names_release(&names);
	fixture_reopen(&f);
	for (uint64_t i = 0; i < 70000; i += 100)
		cr_assert(knows(&f, id_of("village", 7, i), 0));
	cr_assert_not(knows(&f, id_of("village", 7, 70000), 0));
	cr_assert_not(knows(&f, id_of("village", 7, 140000), 0));
	fixture_close(&f);
}

/* The second half of a split message has other recipients: they must not count as delivered. */
Test(seen, split_messages_keep_their_indices_apart)
{
	struct fixture f = fixture_open();

	for (uint64_t i = 10; i <= 20; i++)
		add(&f, id_of("village", 7, i), 0);
	add(&f, id_of("village", 7, 15), 3); /* was plain, in the midst of a range */
	add(&f, id_of("village", 7, 30), 5); /* never had recipient 0 */
	add(&f, id_of("village", 7, 25), 1);
	add(&f, id_of("village", 7, 25), 0);
	for (uint32_t k = 100; k < 200; k++)
		add(&f, id_of("village", 7, 27), k);
	for (int pass = 0; pass < 2; pass++) {
		for (uint64_t i = 10; i <= 20; i++) {
			cr_assert(knows(&f, id_of("village", 7, i), 0));
			cr_assert_eq(knows(&f, id_of("village", 7, i), 3), i == 15);
			cr_assert_not(knows(&f, id_of("village", 7, i), 1));
		}
		cr_assert_not(knows(&f, id_of("village", 7, 30), 0));
		cr_assert(knows(&f, id_of("village", 7, 30), 5));
		cr_assert(knows(&f, id_of("village", 7, 25), 0));
		cr_assert(knows(&f, id_of("village", 7, 25), 1));
		cr_assert_not(knows(&f, id_of("village", 7, 25), 2));
		cr_assert(knows(&f, id_of("village", 7, 27), 150));
		cr_assert_not(knows(&f, id_of("village", 7, 27), 200));
		commit(&f);
		fixture_reopen(&f);
	}
	fixture_close(&f);
}

Test(seen, what_is_not_committed_is_not_there)
{
	struct fixture f = fixture_open();
	struct names names;

	add(&f, id_of("village", 7, 1), 0);
	fixture_reopen(&f);
	cr_assert_not(knows(&f, id_of("village", 7, 1), 0));
	commit(&f); /* nothing to write: only looked */
	names = files_of(&f);
	cr_assert_eq(names.count, 0);
	names_release(&names);
	fixture_close(&f);
}

Test(seen, adding_again_writes_nothing)
{
	struct fixture f = fixture_open();
	struct names names;
	struct error err = ERROR_NONE;

	add(&f, id_of("village", 7, 1), 0);
	add(&f, id_of("village", 7, 2), 4);
	commit(&f);
	names = files_of(&f);
	cr_assert_eq(names.count, 1);
	cr_assert_eq(file_remove(&f.seen.dir, names.items[0], &err), OUTCOME_DONE);
	names_release(&names);
	add(&f, id_of("village", 7, 1), 0);
	add(&f, id_of("village", 7, 2), 4);
	commit(&f);
	names = files_of(&f);
	cr_assert_eq(names.count, 0, "an unchanged segment was written");
	names_release(&names);
	fixture_close(&f);
}

static void put(struct fixture *f, const char *name, struct view bytes)
{
	struct error err = ERROR_NONE;

	cr_assert_eq(file_commit(&f->tmp, &f->seen.dir, name, bytes, &err), OUTCOME_DONE, "%s", err.text);
}

static void assert_damaged(struct fixture *f, const char *what, size_t where)
{
	struct error err = ERROR_NONE;
	struct id id = id_of("village", 7, 1);
	bool known = true;

	fixture_reopen(f);
	cr_assert_eq(seen_known(&f->seen, &id, 0, &known, &err), OUTCOME_NEVER, "%s at %zu", what, where);
	cr_assert_eq(err.code, EX_DATAERR, "%s at %zu", what, where);
	cr_assert_not(known);
	cr_assert_not_null(strstr(err.text, "fsck"), "%s", err.text);
	/* It is out of the way then: damage stops nothing for ever. */
	cr_assert_eq(seen_known(&f->seen, &id, 0, &known, &err), OUTCOME_DONE, "%s at %zu", what, where);
	cr_assert_not(known);
}

Test(seen, every_damaged_octet_and_every_cut_is_found)
{
	struct fixture f = fixture_open();
	struct error err = ERROR_NONE;
	struct names names;
	struct buf good;

	for (uint32_t i = 0; i < 5; i++)
		add(&f, id_of("village", 7, i * i), i % 3);
	commit(&f);
	names = files_of(&f);
	buf_init(&good, 10000);
	cr_assert_eq(file_read(&f.seen.dir, names.items[0], &good, &err), OUTCOME_DONE);
	for (size_t i = 0; i < good.length; i++) {
		good.bytes[i] ^= 0x10;
		put(&f, names.items[0], view_buf(&good));
		assert_damaged(&f, "change", i);
		good.bytes[i] ^= 0x10;
	}
	for (size_t i = 0; i < good.length; i++) {
		put(&f, names.items[0], view_of(good.bytes, i));
		assert_damaged(&f, "cut", i);
	}
	put(&f, names.items[0], view_buf(&good));
	fixture_reopen(&f);
	cr_assert(knows(&f, id_of("village", 7, 0), 0));
	buf_release(&good);
	names_release(&names);
	fixture_close(&f);
}

/* ---- faults: each step in a process of its own, since a fault plan holds for a process ------------ */

enum { SAW_FIRST = 1, SAW_SECOND = 2, STEP_FAILED = 64 };

typedef int fault_step(const struct dir *root, const struct dir *tmp, struct seen *s);

static int step_first(const struct dir *root, const struct dir *tmp, struct seen *s)
{
	struct id id = id_of("village", 7, 1);

	(void)root;
	return seen_add(s, &id, 0, NULL) == OUTCOME_DONE && seen_commit(s, tmp, NULL) == OUTCOME_DONE ? 0
												      : STEP_FAILED;
}

static int step_second(const struct dir *root, const struct dir *tmp, struct seen *s)
{
	struct id id = id_of("village", 7, 2);

	(void)root;
	return seen_add(s, &id, 0, NULL) == OUTCOME_DONE && seen_commit(s, tmp, NULL) == OUTCOME_DONE ? 0
												      : STEP_FAILED;
}

static int step_look(const struct dir *root, const struct dir *tmp, struct seen *s)
{
	struct id first = id_of("village", 7, 1);
	struct id second = id_of("village", 7, 2);
	bool known[2];

	(void)root;
	(void)tmp;
	if (seen_known(s, &first, 0, &known[0], NULL) != OUTCOME_DONE ||
	    seen_known(s, &second, 0, &known[1], NULL) != OUTCOME_DONE)
		return STEP_FAILED;
	return (known[0] ? SAW_FIRST : 0) | (known[1] ? SAW_SECOND : 0);
}

/* The exit code of STEP in a child with the fault PLAN; -1 when it was killed. */
static int in_child(const char *path, const char *plan, fault_step *step)
{
	pid_t child = fork();
	int status;

	cr_assert_geq(child, 0);
	if (child == 0) {
		struct dir root;
		struct dir tmp;
		struct seen s;
		int code = STEP_FAILED;

		setenv("PACKETBOAT_FAULT", plan, 1);
		if (dir_open(&root, NULL, path, NULL) == OUTCOME_DONE &&
		    dir_open(&tmp, &root, "tmp", NULL) == OUTCOME_DONE && seen_open(&s, &root, NULL) == OUTCOME_DONE)
			code = step(&root, &tmp, &s);
		_exit(code);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void leaves_old_or_new(const char *kind)
{
	int code = -1;

	for (int n = 1; code != 0; n++) {
		struct dir root = scratch_open();
		char *tmp = mem_format("%s/tmp", root.path);
		char plan[40];
		int saw;

		cr_assert_lt(n, 50);
		cr_assert_eq(mkdir(tmp, 0700), 0);
		cr_assert_eq(in_child(root.path, "", step_first), 0);
		snprintf(plan, sizeof plan, strcmp(kind, "kill") == 0 ? "kill:%d" : "fail:%d:28", n);
		code = in_child(root.path, plan, step_second);
		saw = in_child(root.path, "", step_look);
		cr_assert(saw == SAW_FIRST || saw == (SAW_FIRST | SAW_SECOND), "%s: saw %d", plan, saw);
		if (code == 0)
			cr_assert_eq(saw, SAW_FIRST | SAW_SECOND, "%s: committed and not there", plan);
		if (strcmp(kind, "fail") == 0)
			cr_assert_eq(rmdir(tmp), 0, "%s: something was left in tmp", plan);
		free(tmp);
		scratch_close(&root);
		cr_assert(n > 5 || code != 0, "%s was to strike", plan);
	}
}

Test(seen, a_kill_at_any_step_leaves_the_old_or_the_new)
{
	leaves_old_or_new("kill");
}

Test(seen, a_failure_at_any_step_leaves_the_old_or_the_new)
{
	leaves_old_or_new("fail");
}
