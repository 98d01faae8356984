#include "tools/logread.h"
#include "tools/trouble.h"

#include <fcntl.h>
#include <zlib.h>

#include "lib/log.h"
#include "tests/unit/scratch.h"

Test(command_log, reads_what_the_log_writes)
{
	static const char *const values[] = {
	    "plain", "", "two words", "a=b", "quote\"and\\slash", "tab\tand\nline", "\xc3\xa4\xff", "\\x41", "\x7f"};
	struct dir d = scratch_open();
	struct log log = {.fd = -1};
	struct log_line line;
	struct log_fields f = {0};
	struct buf text;
	struct view rest;
	struct view one;
	struct error err = ERROR_NONE;

	cr_assert_eq(log_open(&log, &d, "log", &err), OUTCOME_DONE);
	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
		log_begin(&line, &log, "village.abcdefa.1", "deferred");
		log_text(&line, "reason", values[i]);
		log_number(&line, "size", 12345);
		log_end(&line);
	}
	log_close(&log);
	buf_init(&text, 100000);
	cr_assert_eq(file_read(&d, "log", &text, &err), OUTCOME_DONE);
	rest = view_buf(&text);
	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
		uint64_t size = 0;

		cr_assert(view_line(&rest, &one));
		cr_assert(log_fields_parse(&f, one), "%s", values[i]);
		cr_expect_str_eq(f.id, "village.abcdefa.1");
		cr_expect_str_eq(f.event, "deferred");
		cr_assert_not_null(log_field(&f, "reason"));
		cr_expect_str_eq(log_field(&f, "reason"), values[i]);
		cr_expect(log_field_number(&f, "size", &size) && size == 12345);
		cr_expect_not_null(log_field(&f, "at"));
		cr_expect_null(log_field(&f, "siz"));
		cr_expect_not(log_field_number(&f, "reason", &size));
	}
	log_fields_release(&f);
	buf_release(&text);
	scratch_close(&d);
}

Test(command_log, lines_that_are_none)
{
	static const char *const bad[] = {"", " ", "one", "one ", " two three", "id key=value"};
	static const char *const odd[] = {"id event", "id event =", "id event k=\"open", "id event k=\"\\",
	    "id event [...]", "id event k=v [...]", "id event k=\"\\x4"};
	struct log_fields f = {0};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_expect_not(log_fields_parse(&f, view_text(bad[i])), "%s", bad[i]);
	for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
		cr_expect(log_fields_parse(&f, view_text(odd[i])), "%s", odd[i]);
	log_fields_release(&f);
}

Test(command_log, lines_about_an_id)
{
	static const struct {
		const char *line;
		bool about;
	} table[] = {
	    {"a.bbbbbbb.1 accepted at=T", true},
	    {"a.bbbbbbb.1", true},
	    {"a.bbbbbbb.12 accepted at=T", false},
	    {"xa.bbbbbbb.1 accepted at=T", false},
	    {"c.ddddddd.9 reported at=T report=a.bbbbbbb.1 to=x", true},
	    {"c.ddddddd.9 expanded at=T reason=a.bbbbbbb.1", true},
	    {"c.ddddddd.9 reported at=T report=a.bbbbbbb.12", false},
	    {"c.ddddddd.9 deferred at=T reason=\"see a.bbbbbbb.1\"", false},
	    {"", false},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		cr_expect_eq(
		    log_line_about(view_text(table[i].line), "a.bbbbbbb.1"), table[i].about, "%s", table[i].line);
}

static bool gather(void *context, struct view line)
{
	struct buf *all = context;

	buf_view(all, line);
	buf_byte(all, '|');
	return true;
}

static void put(const struct dir *d, const char *name, const char *text)
{
	struct error err = ERROR_NONE;

	cr_assert_eq(file_commit(d, d, name, view_text(text), &err), OUTCOME_DONE, "%s", err.text);
}

Test(command_log, files_in_the_order_of_writing_also_compressed)
{
	static const char *const wanted[] = {
	    "log-20261101", "log-20261102.gz", "log.10.gz", "log.2.gz", "log.1", "log"};
	struct dir d = scratch_open();
	struct names files;
	struct buf all;
	struct error err = ERROR_NONE;
	int fd;
	gzFile zipped;

	for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
		put(&d, wanted[i], wanted[i]); /* one line each, without its end */
	put(&d, "logbook", "no");
	put(&d, "queue", "no");
	cr_assert_eq(file_remove(&d, "log.2.gz", &err), OUTCOME_DONE);
	cr_assert_eq(file_append(&d, "log.2.gz", &fd, &err), OUTCOME_DONE);
	zipped = gzdopen(fd, "wb");
	cr_assert_not_null(zipped);
	cr_assert(gzputs(zipped, "zipped one\nzipped two\n") > 0);
	gzclose(zipped);
	cr_assert_eq(log_files(&d, &files, &err), OUTCOME_DONE);
	cr_assert_eq(files.count, sizeof wanted / sizeof wanted[0]);
	buf_init(&all, 1000);
	for (size_t i = 0; i < files.count; i++) {
		cr_expect_str_eq(files.items[i], wanted[i]);
		cr_expect_eq(log_read(&d, files.items[i], gather, &all, &err), OUTCOME_DONE, "%s", err.text);
	}
	cr_expect_str_eq(buf_string(&all), "log-20261101|log-20261102.gz|log.10.gz|zipped one|zipped two|log.1|log|");
	buf_release(&all);
	names_release(&files);
	scratch_close(&d);
}

Test(command_log, long_lines_are_whole)
{
	struct dir d = scratch_open();
	struct buf text;
	struct buf all;
	struct error err = ERROR_NONE;

	buf_init(&text, 100000);
	buf_init(&all, 100000);
	for (size_t i = 0; i < 20000; i++)
		buf_byte(&text, (uint8_t)('a' + i % 26));
	buf_byte(&text, '\n');
	cr_assert_eq(file_commit(&d, &d, "log", view_buf(&text), &err), OUTCOME_DONE);
	cr_assert_eq(log_read(&d, "log", gather, &all, &err), OUTCOME_DONE);
	cr_expect_eq(all.length, 20001);
	cr_expect_eq(memcmp(all.bytes, text.bytes, 20000), 0);
	buf_release(&text);
	buf_release(&all);
	scratch_close(&d);
}

Test(command_log, the_end_is_of_whole_lines)
{
	static const struct {
		size_t octets;
		const char *lines;
	} table[] = {
	    {100, "one|two|three|"}, {14, "one|two|three|"}, {13, "two|three|"}, {7, "three|"}, {6, ""}, {0, ""}};
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;

	cr_assert_eq(file_commit(&d, &d, "log", view_text("one\ntwo\nthree\n"), &err), OUTCOME_DONE);
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct buf all;

		buf_init(&all, 1000);
		cr_expect_eq(log_read_end(&d, table[i].octets, gather, &all, &err), OUTCOME_DONE, "%s", err.text);
		cr_expect_str_eq(buf_string(&all), table[i].lines, "%zu", table[i].octets);
		buf_release(&all);
	}
	scratch_close(&d);
}

/* What was said last of a name counts, with or without the mark of a claim; other events and other names do not. */
Test(command_log, the_last_trouble_is_the_reason)
{
	static const struct {
		const char *hop;
		const char *within;
		const char *name;
		const char *text;
	} table[] = {
	    {"new", "", "a.aaaaaaa.1~",
		"its routing was begun by a relay pass and is not finished; the last failure, at T2: second one"},
	    {"new", "", "a.aaaaaaa.1=3~", "its routing was begun by a relay pass and is not finished"},
	    {"new", "", "a.aaaaaaa.1", "to be routed"},
	    {"local", "", "a.aaaaaaa.2+0", "waits for the next relay pass; the last failure, at T3: third"},
	    {"local", "", "a.aaaaaaa.2+1", "waits for the next relay pass"},
	    {"smtp", "", "a.aaaaaaa.2+0", "waits for the next relay pass"},
	};
	struct dir d = scratch_open();
	struct troubles t = {.spool = &d};
	struct error err = ERROR_NONE;
	struct entry e;

	entry_init(&e);
	cr_assert_eq(file_commit(&d, &d, "log",
			 view_text("a.aaaaaaa.1 trouble at=T1 reason=first\n"
				   "a.aaaaaaa.1 trouble at=T2 reason=\"second one\"\n"
				   "a.aaaaaaa.2+0 trouble at=T3 reason=third\n"
				   "a.aaaaaaa.1 accepted at=T4 reason=fourth\n"
				   "fetch-a trouble at=T5 reason=fifth\n\nnothing\n"),
			 &err),
	    OUTCOME_DONE);
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct queue_place place = {.name = ""};
		struct buf out;

		snprintf(place.hop, sizeof place.hop, "%s", table[i].hop);
		snprintf(place.within, sizeof place.within, "%s", table[i].within);
		snprintf(place.name, sizeof place.name, "%s", table[i].name);
		buf_init(&out, 1000);
		trouble_reason(&t, &place, &e, &out);
		cr_expect_str_eq(buf_string(&out), table[i].text, "%s", table[i].name);
		buf_release(&out);
	}
	troubles_release(&t);
	entry_release(&e);
	scratch_close(&d);
}
