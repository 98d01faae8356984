#include "tests/unit/scratch.h"

#include <errno.h>

#include "lib/limits.h"
#include "lib/stream.h"

/* Gives SIZE octets, at most STEP at a time, then fails or ends. */
struct test_source {
	struct source source;
	uint64_t left;
	size_t step;
	int errnum;
};

static enum outcome test_read(struct source *self, void *bytes, size_t size, size_t *got, struct error *err)
{
	struct test_source *s = (struct test_source *)self;

	cr_assert_gt(size, 0);
	*got = size < s->step ? size : s->step;
	if (*got > s->left)
		*got = (size_t)s->left;
	if (*got == 0 && s->errnum != 0)
		return error_errno(err, s->errnum, "test");
	memset(bytes, 'x', *got);
	s->left -= *got;
	return OUTCOME_DONE;
}

Test(stream, copy_at_all_sizes)
{
	static const uint64_t sizes[] = {0, 1, COPY_CHUNK - 1, COPY_CHUNK, COPY_CHUNK + 1, 5 * COPY_CHUNK + 7};
	static const size_t steps[] = {1000, COPY_CHUNK, SIZE_MAX};

	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++) {
			struct test_source from = {{test_read}, sizes[i], steps[k], 0};
			struct null_sink to;
			struct error err = ERROR_NONE;
			uint64_t copied = 99;

			null_sink_init(&to);
			cr_assert_eq(stream_copy(&from.source, &to.sink, &copied, &err), OUTCOME_DONE);
			cr_assert_eq(copied, sizes[i]);
			cr_assert_eq(to.count, sizes[i]);
			cr_assert_eq(
			    stream_copy(&from.source, &to.sink, NULL, &err), OUTCOME_DONE, "at the end it stays");
		}
	}
}

Test(stream, failures_come_through)
{
	struct test_source from = {{test_read}, 100000, 5000, EIO};
	struct error err = ERROR_NONE;
	struct null_sink swallow;
	struct buf_sink small;
	struct buf b;

	null_sink_init(&swallow);
	cr_assert_eq(stream_copy(&from.source, &swallow.sink, NULL, &err), OUTCOME_LATER);
	cr_assert_eq(err.code, EX_TEMPFAIL);
	cr_assert_eq(swallow.count, 100000, "what came before was passed on");
	from = (struct test_source){{test_read}, 100000, 5000, 0};
	buf_init(&b, 7000);
	buf_sink_init(&small, &b);
	cr_assert_eq(stream_copy(&from.source, &small.sink, NULL, &err), OUTCOME_NEVER);
	cr_assert_eq(err.code, EX_DATAERR);
	buf_release(&b);
}

Test(stream, views_and_buffers)
{
	struct view_source from;
	struct buf_sink to;
	struct error err = ERROR_NONE;
	struct buf b;
	char bytes[4];
	size_t got;

	view_source_init(&from, view_text("abcdefg"));
	cr_assert_eq(source_read(&from.source, bytes, 3, &got, &err), OUTCOME_DONE);
	cr_assert(view_is(view_of(bytes, got), "abc"));
	buf_init(&b, 6);
	buf_sink_init(&to, &b);
	cr_assert_eq(stream_copy(&from.source, &to.sink, NULL, &err), OUTCOME_DONE);
	cr_assert_str_eq(buf_string(&b), "defg");
	cr_assert_eq(source_read(&from.source, bytes, 3, &got, &err), OUTCOME_DONE);
	cr_assert_eq(got, 0);
	cr_assert_eq(sink_view(&to.sink, view_of(NULL, 0), &err), OUTCOME_DONE);
	cr_assert_eq(sink_view(&to.sink, view_text("hi"), &err), OUTCOME_DONE, "exactly the maximum");
	cr_assert_eq(sink_view(&to.sink, view_text("j"), &err), OUTCOME_NEVER);
	view_source_init(&from, view_of(NULL, 0));
	cr_assert_eq(source_read(&from.source, bytes, 3, &got, &err), OUTCOME_DONE);
	cr_assert_eq(got, 0);
	buf_release(&b);
}

Test(stream, descriptors)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	struct fd_source from;
	struct fd_sink to;
	char bytes[10];
	size_t got = 99;
	int fd;

	cr_assert_eq(file_create(&d, "x", &fd, &err), OUTCOME_DONE);
	fd_sink_init(&to, fd, "the file");
	cr_assert_eq(sink_view(&to.sink, view_text("abc"), &err), OUTCOME_DONE);
	cr_assert_eq(sink_view(&to.sink, view_text("de"), &err), OUTCOME_DONE);
	cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
	fd_source_init(&from, fd, "the file");
	cr_assert_eq(source_read(&from.source, bytes, sizeof bytes, &got, &err), OUTCOME_DONE);
	cr_assert(view_is(view_of(bytes, got), "abcde"));
	cr_assert_eq(source_read(&from.source, bytes, sizeof bytes, &got, &err), OUTCOME_DONE);
	cr_assert_eq(got, 0);
	fd_source_init(&from, -1, "the closed file");
	cr_assert_neq(source_read(&from.source, bytes, sizeof bytes, &got, &err), OUTCOME_DONE);
	cr_assert_not_null(strstr(err.text, "the closed file"));
	fd_sink_init(&to, -1, "the closed file");
	cr_assert_neq(sink_view(&to.sink, view_text("x"), &err), OUTCOME_DONE);
	cr_assert_not_null(strstr(err.text, "the closed file"));
	file_close(&fd);
	scratch_close(&d);
}

/* Counts the writes that reach it. */
struct test_sink {
	struct buf_sink below;
	unsigned writes;
	bool broken;
};

static enum outcome test_write(struct sink *self, const void *bytes, size_t size, struct error *err)
{
	struct test_sink *s = (struct test_sink *)self;

	if (s->broken)
		return error_errno(err, ENOSPC, "test");
	s->writes++;
	buf_append(s->below.buf, bytes, size);
	return OUTCOME_DONE;
}

Test(stream, gathering_small_writes)
{
	static const size_t sizes[] = {1, 7, 1000, COPY_CHUNK - 1, COPY_CHUNK, COPY_CHUNK + 1, 3 * COPY_CHUNK};
	uint8_t *bytes = mem_alloc(3 * COPY_CHUNK);
	struct error err = ERROR_NONE;

	for (size_t i = 0; i < 3 * COPY_CHUNK; i++)
		bytes[i] = (uint8_t)(i % 251);
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		struct buf got;
		struct test_sink below = {{{test_write}, &got}, 0, false};
		struct buffer_sink s;

		buf_init(&got, 3 * COPY_CHUNK);
		buffer_sink_init(&s, &below.below.sink);
		for (size_t at = 0; at < 3 * COPY_CHUNK; at += sizes[i]) {
			size_t left = 3 * COPY_CHUNK - at;

			cr_assert_eq(
			    sink_write(&s.sink, bytes + at, left < sizes[i] ? left : sizes[i], &err), OUTCOME_DONE);
		}
		cr_assert_eq(buffer_sink_flush(&s, &err), OUTCOME_DONE);
		cr_assert_eq(buffer_sink_flush(&s, &err), OUTCOME_DONE, "again, with nothing");
		cr_assert(view_equal(view_buf(&got), view_of(bytes, 3 * COPY_CHUNK)), "in pieces of %zu", sizes[i]);
		cr_assert_leq(below.writes, 6);
		below.broken = true;
		cr_assert_eq(sink_view(&s.sink, view_text("x"), &err), OUTCOME_DONE);
		cr_assert_eq(buffer_sink_flush(&s, &err), OUTCOME_LATER);
		buffer_sink_release(&s);
		buf_release(&got);
	}
	free(bytes);
}
