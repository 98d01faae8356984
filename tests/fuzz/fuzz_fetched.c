/*
 * The state of an outside box. The check of every line is put right, so that what is behind it is reached. What is parsed is
 * printed as it stood, or in a form that parses as the same; and whatever a file holds, its good part reads as before.
 */
#include <sodium.h>

#include "lib/text.h"
#include "queue/fetched_file.h"

#define CHECK 6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool law)
{
	if (!law)
		abort();
}

static void add_line(struct view line, struct buf *out)
{
	uint8_t digest[16];

	crypto_generichash(digest, sizeof digest, line.bytes, line.length, NULL, 0);
	buf_view(out, line);
	buf_byte(out, ' ');
	hex_encode(digest, CHECK, out);
	buf_byte(out, '\n');
}

static void reprint(
    enum fetched_line kind, struct fetched_item *item, struct fetched_failure *failure, struct buf *out)
{
	if (kind == FETCHED_LINE_ITEM)
		fetched_print_item(item, out);
	else
		fetched_print_failure(failure, out);
	free(item->uid);
	free(failure->reason);
}

/* One line: parse, print, parse, print. */
static void check_line(struct view line)
{
	struct fetched_item item = {0};
	struct fetched_failure failure = {0};
	enum fetched_line kind = fetched_parse(line, &item, &failure);
	struct buf first;
	struct buf second;

	if (kind == FETCHED_LINE_BAD)
		return;
	buf_init(&first, SIZE_MAX);
	buf_init(&second, SIZE_MAX);
	reprint(kind, &item, &failure, &first);
	item = (struct fetched_item){0};
	failure = (struct fetched_failure){0};
	require(fetched_parse(view_of(first.bytes, first.length - 1), &item, &failure) == kind);
	reprint(kind, &item, &failure, &second);
	require(view_equal(view_buf(&first), view_buf(&second)));
	buf_release(&first);
	buf_release(&second);
}

static void count(void *context, enum fetched_line kind, struct fetched_item *item, struct fetched_failure *failure)
{
	require(kind != FETCHED_LINE_BAD);
	++*(size_t *)context;
	free(item->uid);
	free(failure->reason);
}

static void check_file(struct view file)
{
	size_t good;
	size_t damaged;
	size_t lines = 0;
	size_t good_again;
	size_t damaged_again;
	size_t lines_again = 0;

	fetched_walk(file, count, &lines, &good, &damaged);
	require(good <= file.length);
	fetched_walk(view_of(file.bytes, good), count, &lines_again, &good_again, &damaged_again);
	require(lines == lines_again && good == good_again && damaged == damaged_again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view rest = view_of(data, size);
	struct view line;
	struct buf file;

	check_file(rest);
	buf_init(&file, SIZE_MAX);
	buf_text(&file, FETCHED_HEAD);
	while (view_line(&rest, &line)) {
		size_t from = file.length;

		add_line(line, &file);
		check_line(view_of(file.bytes + from, file.length - from - 1));
	}
	check_file(view_buf(&file));
	buf_release(&file);
	return 0;
}
