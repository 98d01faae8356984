#include "queue/age.h"

#include "tests/unit/scratch.h"

#include <fcntl.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])
#define YEAR	     (INT64_C(31556952))

static void shift_clock(int64_t seconds)
{
	char *text = mem_format("%lld", (long long)seconds);

	cr_assert_eq(setenv("PACKETBOAT_CLOCK_OFFSET", text, 1), 0);
	free(text);
}

static struct age look(const struct dir *d)
{
	struct age age;
	struct error err = ERROR_NONE;

	cr_assert_eq(age_look(d, &age, &err), OUTCOME_DONE, "%s", err.text);
	return age;
}

static struct age look_and_keep(const struct dir *d)
{
	struct age age = look(d);
	struct error err = ERROR_NONE;

	cr_assert_eq(age_keep(d, d, NULL, &age, &err), OUTCOME_DONE, "%s", err.text);
	return age;
}

/* A second or two may pass while the test runs. */
#define NEAR(a, b) ((a) >= (b) && (a) <= (b) + 60)

Test(age, follows_the_wall_clock_by_a_day_at_most)
{
	static const struct {
		int64_t offset; /* absolute */
		uint64_t gain;
		bool jump;
	} cases[] = {
	    {0, 0, false}, {3600, 3600, false}, {3600 + 2 * 86400, AGE_STEP, false}, /* switched off for two days */
	    {3600 + 2 * 86400 + 12 * YEAR, AGE_STEP, true},			     /* 2038 */
	    {-46 * YEAR, 0, true},						     /* 1980 */
	    {-46 * YEAR + 600, 600, false}, {0, AGE_STEP, true},		     /* set right */
	    {-30, 0, false},							     /* drift */
	};
	struct dir d = scratch_open();
	uint64_t expected = AGE_STEP;

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct age age;
		int64_t before = look(&d).jumped_at;

		shift_clock(cases[i].offset);
		age = look_and_keep(&d);
		expected += cases[i].gain;
		cr_expect(NEAR(age.now, expected), "case %zu: %llu, not %llu", i, (unsigned long long)age.now,
		    (unsigned long long)expected);
		cr_expect_eq(age.jumped_at != before, cases[i].jump, "case %zu", i);
	}
	scratch_close(&d);
}

Test(age, never_goes_back)
{
	struct dir d = scratch_open();
	uint64_t last = 0;

	for (int64_t i = 0; i < 40; i++) {
		struct age age;

		shift_clock((i * 7919 % 13 - 6) * 40000);
		age = look_and_keep(&d);
		cr_expect_geq(age.now, last);
		last = age.now;
	}
	scratch_close(&d);
}

static void tick(const struct dir *d, struct age *age)
{
	struct error err = ERROR_NONE;

	cr_assert_eq(age_tick(d, d, NULL, age, &err), OUTCOME_DONE, "%s", err.text);
}

/* One that has looked long ago sees what others kept meanwhile, and keeps nothing older. */
Test(age, of_two_at_work_goes_on_from_the_newer)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct age call = {.now = 0};
	struct age old;

	shift_clock(0);
	tick(&d, &call);
	cr_expect(NEAR(call.now, AGE_STEP));
	old = call;
	for (int64_t day = 1; day <= 3; day++) {
		struct age other = {.now = 0};

		shift_clock(day * AGE_STEP);
		tick(&d, &other);
	}
	cr_expect(NEAR(look(&d).now, 4 * AGE_STEP));
	cr_assert_eq(age_keep(&d, &d, NULL, &old, &err), OUTCOME_DONE);
	cr_expect(NEAR(look(&d).now, 4 * AGE_STEP), "what is kept is newer");
	tick(&d, &call);
	cr_expect(NEAR(call.now, 4 * AGE_STEP), "%llu", (unsigned long long)call.now);
	scratch_close(&d);
}

Test(age, goes_on_when_what_was_kept_is_lost)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct age age = {.now = 0};

	for (int64_t day = 0; day < 3; day++) {
		shift_clock(day * AGE_STEP);
		tick(&d, &age);
	}
	cr_assert_eq(file_remove(&d, "age", &err), OUTCOME_DONE);
	shift_clock(2 * AGE_STEP + 600);
	tick(&d, &age);
	cr_expect(NEAR(age.now, 3 * AGE_STEP + 600), "%llu", (unsigned long long)age.now);
	cr_expect(NEAR(look(&d).now, 3 * AGE_STEP + 600), "and it is kept again");
	scratch_close(&d);
}

static void expect_told(const struct dir *d, const char *const *wanted, size_t count)
{
	struct buf text;
	struct error err = ERROR_NONE;
	const char *line;
	size_t lines = 0;

	buf_init(&text, 10000);
	cr_assert_eq(file_read(d, "log", &text, &err), OUTCOME_DONE);
	line = buf_string(&text);
	for (const char *end; (end = strchr(line, '\n')) != NULL; line = end + 1, lines++)
		if (lines < count)
			cr_expect(memmem(line, (size_t)(end - line), wanted[lines], strlen(wanted[lines])) != NULL,
			    "%s is not in: %s", wanted[lines], line);
	cr_expect_eq(lines, count, "%s", buf_string(&text));
	buf_release(&text);
}

/* Two that work side by side, one of them for long, and one that looks before it begins; there and back again. */
Test(age, a_jump_is_in_the_log_once)
{
	static const char *const wanted[] = {" jumped=forward by=52w", " jumped=back by=52w"};
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct log log = {.fd = -1};
	struct age stays = {.now = 0};

	cr_assert_eq(log_open(&log, &d, "log", &err), OUTCOME_DONE);
	shift_clock(0);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(age_tick(&d, &d, &log, &stays, &err), OUTCOME_DONE);
	for (int i = 0; i < 2; i++) {
		/* Too little to be kept. */
		shift_clock(i == 0 ? 30 : YEAR + 30);
		cr_assert_eq(age_tick(&d, &d, &log, &stays, &err), OUTCOME_DONE);
		shift_clock(i == 0 ? YEAR : 0);
		for (int passes = 0; passes < 2; passes++) {
			struct age comes = look(&d);

			cr_assert_eq(age_tick(&d, &d, &log, &comes, &err), OUTCOME_DONE);
		}
		/* Later by the length of a pass. */
		shift_clock(i == 0 ? YEAR + 5 : 5);
		for (int ticks = 0; ticks < 2; ticks++)
			cr_assert_eq(age_tick(&d, &d, &log, &stays, &err), OUTCOME_DONE);
	}
	shift_clock(600);
	cr_assert_eq(age_tick(&d, &d, &log, &stays, &err), OUTCOME_DONE);
	log_close(&log);
	expect_told(&d, wanted, 2);
	scratch_close(&d);
}

Test(age, is_kept_when_it_moved_a_minute)
{
	struct dir d = scratch_open();
	struct stat first;
	struct stat second;

	look_and_keep(&d);
	cr_assert_eq(fstatat(d.fd, "age", &first, 0), 0);
	look_and_keep(&d);
	cr_assert_eq(fstatat(d.fd, "age", &second, 0), 0);
	cr_expect_eq(first.st_ino, second.st_ino, "not written anew");
	shift_clock(61);
	look_and_keep(&d);
	cr_assert_eq(fstatat(d.fd, "age", &second, 0), 0);
	cr_expect_neq(first.st_ino, second.st_ino);
	scratch_close(&d);
}

Test(age, a_damaged_file_is_as_good_as_none)
{
	struct dir d = scratch_open();
	struct buf text;
	struct error err = ERROR_NONE;

	shift_clock(0);
	look_and_keep(&d);
	shift_clock(80000);
	look_and_keep(&d);
	buf_init(&text, 4096);
	cr_assert_eq(file_read(&d, "age", &text, &err), OUTCOME_DONE);
	for (size_t i = 0; i < text.length; i++) {
		text.bytes[i] ^= 0x80;
		cr_assert_eq(file_replace(&d, &d, "age", view_buf(&text), &err), OUTCOME_DONE);
		cr_expect(NEAR(look(&d).now, AGE_STEP), "octet %zu: nothing grows old by damage", i);
		text.bytes[i] ^= 0x80;
		cr_assert_eq(file_replace(&d, &d, "age", view_of(text.bytes, i), &err), OUTCOME_DONE);
		cr_expect(NEAR(look(&d).now, AGE_STEP), "cut to %zu", i);
	}
	while (text.length < 2000)
		buf_byte(&text, 'x');
	cr_assert_eq(file_replace(&d, &d, "age", view_buf(&text), &err), OUTCOME_DONE);
	cr_expect(NEAR(look(&d).now, AGE_STEP), "too long");
	buf_release(&text);
	scratch_close(&d);
}
