#include "tests/unit/scratch.h"

#include <fcntl.h>

#include "lib/lock.h"
#include "lib/log.h"

static char *read_log(const struct dir *d)
{
	struct error err = ERROR_NONE;
	struct buf b;

	buf_init(&b, 1 << 20);
	cr_assert_eq(file_read(d, "log", &b, &err), OUTCOME_DONE, "%s", err.text);
	return buf_detach(&b);
}

Test(log, a_line)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct log_line line;
	struct log log = {.fd = -1};
	char *text;

	setenv("PACKETBOAT_CLOCK_OFFSET", "-100000000000", 1);
	cr_assert_eq(log_open(&log, &d, "log", &err), OUTCOME_DONE);
	log_begin(&line, &log, "village.aaaaaaa.12", "accepted");
	log_text(&line, "sender", "a@b");
	log_text(&line, "none", NULL);
	log_number(&line, "size", UINT64_MAX);
	log_end(&line);
	log_event(&log, "-", "start", "version", "1");
	log_event(&log, "-", "stop", "reason", NULL);
	text = read_log(&d);
	/* With the clock before our era the date is at its end of the scale, and the line is still a line. */
	cr_assert_str_eq(text,
	    "village.aaaaaaa.12 accepted at=0001-01-01T00:00:00Z sender=a@b size=18446744073709551615\n"
	    "- start at=0001-01-01T00:00:00Z version=1\n"
	    "- stop at=0001-01-01T00:00:00Z\n");
	free(text);
	log_close(&log);
	cr_assert_eq(log.fd, -1);
	log_close(&log);
	scratch_close(&d);
}

Test(log, quoting)
{
	static const struct {
		const char *value;
		const char *written;
	} rows[] = {
	    {"plain", "plain"},
	    {"a@b.example,<x>;'()", "a@b.example,<x>;'()"},
	    {"h\xc3\xa9", "h\xc3\xa9"},
	    {"", "\"\""},
	    {"two words", "\"two words\""},
	    {"a=b", "\"a=b\""},
	    {"say \"hi\"", "\"say \\\"hi\\\"\""},
	    {"back\\slash", "\"back\\\\slash\""},
	    {"line\nforged.aaaaaaa.1 delivered", "\"line\\x0aforged.aaaaaaa.1 delivered\""},
	    {"\r\t\x1b[1m\x7f\x01", "\"\\x0d\\x09\\x1b[1m\\x7f\\x01\""},
	};
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct log log = {.fd = -1};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char *text;
		char *expected = mem_format(" k=%s\n", rows[i].written);

		cr_assert_eq(log_open(&log, &d, "log", &err), OUTCOME_DONE);
		log_event(&log, "-", "e", "k", rows[i].value);
		log_close(&log);
		text = read_log(&d);
		cr_assert_not_null(strstr(text, " k="));
		cr_assert_str_eq(strstr(text, " k="), expected);
		cr_assert_eq(strchr(text, '\n'), text + strlen(text) - 1, "one line");
		free(text);
		free(expected);
		cr_assert_eq(file_remove(&d, "log", &err), OUTCOME_DONE);
	}
	scratch_close(&d);
}

Test(log, long_lines_are_cut_visibly)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	char large[9000];

	memset(large, 'x', sizeof large - 1);
	large[sizeof large - 1] = '\0';
	for (int spaced = 0; spaced < 2; spaced++) {
		struct log log = {.fd = -1};
		struct log_line line;
		char *text;

		large[0] = spaced ? ' ' : 'x';
		cr_assert_eq(log_open(&log, &d, "log", &err), OUTCOME_DONE);
		log_begin(&line, &log, "-", "e");
		log_text(&line, "k", large);
		log_number(&line, "after", 5);
		log_end(&line);
		log_close(&log);
		text = read_log(&d);
		cr_assert_lt(strlen(text), 4100);
		cr_assert_eq(strchr(text, '\n'), text + strlen(text) - 1);
		cr_assert_str_eq(text + strlen(text) - 7, " [...]\n");
		cr_assert_null(strstr(text, "after"));
		free(text);
		cr_assert_eq(file_remove(&d, "log", &err), OUTCOME_DONE);
	}
	scratch_close(&d);
}

/* Rotated under a daemon: by a rename, with or without a new file in its place. */
Test(log, goes_on_where_a_rotation_begins_anew)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct log log = {.fd = -1};
	char *text;
	int fd;

	cr_assert_eq(log_open(&log, &d, "log", &err), OUTCOME_DONE);
	log_event(&log, "-", "first", "k", "v");
	fd = log.fd;
	log_follow(&log, &d, "log");
	cr_assert_eq(log.fd, fd, "nothing happened, nothing is opened");
	cr_assert_eq(file_rename(&d, "log", &d, "log.1", &err), OUTCOME_DONE);
	log_follow(&log, &d, "log");
	log_event(&log, "-", "second", "k", "v");
	cr_assert_eq(file_rename(&d, "log", &d, "log.1", &err), OUTCOME_DONE);
	cr_assert_eq(file_commit(&d, &d, "log", view_text("new\n"), &err), OUTCOME_DONE);
	log_follow(&log, &d, "log");
	log_event(&log, "-", "third", "k", "v");
	log_close(&log);
	text = read_log(&d);
	cr_assert_eq(strncmp(text, "new\n- third ", 12), 0, "%s", text);
	free(text);
	scratch_close(&d);
}

/* A log that was closed, or that cannot be opened, is let alone. */
Test(log, follows_nothing_that_is_not_there)
{
	struct dir d = scratch_open();
	struct dir made = DIR_CLOSED;
	struct error err = ERROR_NONE;
	struct log log = {.fd = -1};
	int fd;

	log_follow(&log, &d, "log");
	cr_assert_eq(log.fd, -1);
	cr_assert_not(file_exists(&d, "log", NULL));
	cr_assert_eq(log_open(&log, &d, "log", &err), OUTCOME_DONE);
	fd = log.fd;
	cr_assert_eq(file_remove(&d, "log", &err), OUTCOME_DONE);
	cr_assert_eq(dir_make(&made, &d, "log", 0700, &err), OUTCOME_DONE);
	log_follow(&log, &d, "log");
	cr_assert_eq(log.fd, fd, "the old one is better than none");
	dir_close(&made);
	cr_assert_eq(dir_remove(&d, "log", &err), OUTCOME_DONE);
	log_close(&log);
	scratch_close(&d);
}

/* What is written to standard error while it stands elsewhere. */
static int errors_begin(const struct dir *d)
{
	int kept = dup(STDERR_FILENO);
	int fd = openat(d->fd, "errors", O_RDWR | O_CREAT | O_APPEND, 0600);

	cr_assert(kept >= 0 && fd >= 0 && dup2(fd, STDERR_FILENO) >= 0);
	close(fd);
	return kept;
}

static char *errors_end(const struct dir *d, int kept)
{
	struct buf text;
	struct error err = ERROR_NONE;

	cr_assert(dup2(kept, STDERR_FILENO) >= 0);
	close(kept);
	buf_init(&text, 10000);
	cr_assert_eq(file_read(d, "errors", &text, &err), OUTCOME_DONE);
	return buf_detach(&text);
}

static size_t lines_in(const char *text)
{
	size_t count = 0;

	for (; *text != '\0'; text++)
		count += *text == '\n';
	return count;
}

static void put_refused(const struct dir *d)
{
	struct error err = ERROR_NONE;
	int fd;

	cr_assert_eq(file_create(d, "log", &fd, &err), OUTCOME_DONE);
	cr_assert_eq(fchmod(fd, 0400), 0);
	cr_assert(geteuid() != 0 || fchown(fd, 0, 0) == 0);
	file_close(&fd);
}

/* Rotated, and the new one is another's: what goes on in the old one says so, once for each new file. */
Test(log, of_another_is_told_of_once_and_whose_it_must_be)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct log log = {.fd = -1};
	struct log second = {.fd = -1};
	struct log late = {.fd = -1};
	uid_t self = geteuid() == 0 ? 65534 : geteuid();
	char *errors;
	char *text;
	int kept;

	cr_assert(geteuid() != 0 || fchown(d.fd, self, (gid_t)-1) == 0);
	cr_assert_eq(log_open(&log, &d, "log", &err), OUTCOME_DONE);
	cr_assert_eq(log_open(&second, &d, "log", &err), OUTCOME_DONE);
	kept = errors_begin(&d);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(file_rename(&d, "log", &d, i == 0 ? "log.1" : "log.2", &err), OUTCOME_DONE);
		put_refused(&d);
		cr_assert(geteuid() != 0 || seteuid(self) == 0);
		log_follow(&log, &d, "log");
		log_follow(&second, &d, "log");
		log_follow(&log, &d, "log");
		cr_assert(getuid() != 0 || seteuid(0) == 0);
	}
	cr_assert(getuid() != 0 || seteuid(self) == 0);
	cr_expect_neq(log_open(&late, &d, "log", &err), OUTCOME_DONE);
	cr_assert(getuid() != 0 || seteuid(0) == 0);
	cr_expect_eq(err.code, EX_NOPERM);
	cr_expect_not_null(strstr(err.text, "must be able to write it"), "%s", err.text);
	errors = errors_end(&d, kept);
	log_event(&log, "-", "last", "k", "v");
	log_close(&log);
	log_close(&second);
	cr_assert_eq(file_remove(&d, "log", &err), OUTCOME_DONE);
	cr_assert_eq(file_rename(&d, "log.1", &d, "log", &err), OUTCOME_DONE);
	text = read_log(&d);
	cr_expect_eq(lines_in(text), 3, "%s", text);
	cr_expect_eq(lines_in(errors), 2, "%s", errors);
	cr_expect_eq(strncmp(text, "log trouble ", 12), 0, "%s", text);
	cr_expect_eq(strncmp(text, errors, strlen(errors)), 0, "%s", errors);
	cr_expect_not_null(strstr(text, "/log: Permission denied ("), "%s", text);
	cr_expect_not_null(strstr(text, ", to whom "), "%s", text);
	cr_expect_not_null(strstr(text, "the log that was renamed or removed is written to"), "%s", text);
	free(errors);
	free(text);
	scratch_close(&d);
}

/* A line as long as the limit, to the octet. */
Test(log, around_the_limit)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;

	for (size_t length = 3900; length < 4010; length++) {
		char *value = mem_alloc(length + 1);
		struct log log = {.fd = -1};
		char *text;

		memset(value, 'x', length);
		cr_assert_eq(log_open(&log, &d, "log", &err), OUTCOME_DONE);
		log_event(&log, "-", "e", "k", value);
		log_close(&log);
		text = read_log(&d);
		cr_assert_eq(text[strlen(text) - 1], '\n', "length %zu", length);
		cr_assert((strstr(text, value) != NULL) != (strstr(text, " [...]\n") != NULL), "length %zu", length);
		cr_assert_eq(file_remove(&d, "log", &err), OUTCOME_DONE);
		free(text);
		free(value);
	}
	scratch_close(&d);
}

Test(log, without_a_log_nothing_is_done)
{
	struct log log = {.fd = -1};
	struct log_line line;

	log_begin(&line, NULL, "-", "e");
	log_text(&line, "k", "v");
	log_number(&line, "n", 1);
	log_end(&line);
	log_event(NULL, "-", "e", "k", "v");
	log_event(&log, "-", "e", "k", "v");
}

Test(log, one_that_cannot_be_opened_is_told)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct log log = {.fd = 5};

	cr_assert_eq(mkdirat(d.fd, "log", 0700), 0);
	cr_assert_neq(log_open(&log, &d, "log", &err), OUTCOME_DONE);
	cr_assert_eq(log.fd, -1);
	cr_assert_neq(err.text[0], '\0');
	scratch_close(&d);
}

Test(log, lines_are_gathered_and_written_together)
{
	struct dir d = scratch_open();
	struct log log = {.fd = -1};
	struct buf text;
	struct error err = ERROR_NONE;
	struct view rest, line;
	size_t lines = 0;

	buf_init(&text, (size_t)1 << 20);
	cr_assert_eq(log_open(&log, &d, "log", &err), OUTCOME_DONE);
	log_gather(&log);
	log_event(&log, "a.1", "one", "key", "value");
	log_event(&log, "a.2", "two", "key", "value");
	cr_assert_eq(file_read(&d, "log", &text, &err), OUTCOME_DONE);
	cr_expect_eq(text.length, 0);
	log_write_out(&log);
	buf_clear(&text);
	cr_assert_eq(file_read(&d, "log", &text, &err), OUTCOME_DONE);
	cr_expect_not_null(strstr(buf_string(&text), "a.1 one at="));
	cr_expect_not_null(strstr(buf_string(&text), "a.2 two at="));
	log_event(&log, "a.3", "three", "key", "value");
	buf_clear(&text);
	cr_assert_eq(file_read(&d, "log", &text, &err), OUTCOME_DONE);
	cr_expect_not_null(strstr(buf_string(&text), "a.3 three at="), "at once again");
	/* More than is held back at a time, and what nobody wrote out before the end. */
	log_gather(&log);
	for (unsigned i = 0; i < 3000; i++)
		log_event(&log, "a.4", "four", "key", "value");
	log_close(&log);
	buf_clear(&text);
	cr_assert_eq(file_read(&d, "log", &text, &err), OUTCOME_DONE);
	for (rest = view_buf(&text); view_line(&rest, &line); lines++)
		cr_expect_eq(line.bytes[0], 'a');
	cr_expect_eq(lines, 3003);
	buf_release(&text);
	scratch_close(&d);
}
