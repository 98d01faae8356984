#include "tests/unit/arrivals_kit.h"

struct found {
	size_t messages;
	size_t damages;
	uint64_t first; /* numbers of the messages */
	uint64_t last;
};

static struct found read_log(const struct dir *d, const char *name)
{
	struct arrival_reader r;
	struct found found = {0};
	struct error err = ERROR_NONE;
	int fd;

	cr_assert_eq(file_open(d, name, &fd, &err), OUTCOME_DONE);
	cr_assert_eq(arrival_reader_open(&r, fd, name, &err), OUTCOME_DONE);
	for (;;) {
		struct view image;
		struct envelope e;
		enum outcome outcome = arrival_next(&r, &image, &e, &err);

		if (outcome != OUTCOME_DONE) {
			cr_assert_eq(err.code, EX_DATAERR, "%s", err.text);
			found.damages++;
		} else if (image.length > 0) {
			found.messages++;
			found.last = e.id.sequence;
			if (found.first == 0)
				found.first = e.id.sequence;
		}
		envelope_release(&e);
		if (outcome == OUTCOME_DONE && image.length == 0)
			break;
		cr_assert_leq(found.damages, 10);
	}
	arrival_reader_close(&r);
	file_close(&fd);
	return found;
}

Test(arrival_log, a_torn_tail_is_silent_at_every_octet)
{
	struct queue_kit k;
	struct buf bytes;
	char *name = sealed_log(&k, 3, &bytes);
	size_t record = record_size(&bytes, 3);

	for (size_t length = 0; length <= bytes.length; length++) {
		size_t whole = length < ARRIVAL_MAGIC ? 0 : (length - ARRIVAL_MAGIC) / record;
		struct found found;

		put_log(&k, name, view_of(bytes.bytes, length));
		found = read_log(&k.queue.arrivals, name);
		cr_assert_eq(found.messages, whole, "cut to %zu: %zu messages", length, found.messages);
		cr_assert_eq(found.damages, 0, "cut to %zu", length);
		cr_assert(whole == 0 || found.last == whole);
	}
	free(name);
	buf_release(&bytes);
	kit_close(&k);
}

Test(arrival_log, zeros_at_the_end_are_a_torn_tail)
{
	struct queue_kit k;
	struct buf bytes;
	char *name = sealed_log(&k, 2, &bytes);
	static const uint8_t zeros[5000];
	struct found found;

	for (size_t length = 1; length <= sizeof zeros; length += 1 + length / 2) {
		buf_append(&bytes, zeros, length);
		put_log(&k, name, view_buf(&bytes));
		found = read_log(&k.queue.arrivals, name);
		cr_expect_eq(found.messages, 2);
		cr_expect_eq(found.damages, 0, "%zu zeros", length);
		bytes.length -= length;
	}
	put_log(&k, name, view_of(zeros, sizeof zeros));
	cr_expect_eq(read_log(&k.queue.arrivals, name).damages, 0);
	free(name);
	buf_release(&bytes);
	kit_close(&k);
}

/* Damage of any octet costs the message it is in, says so, and hides no other. */
Test(arrival_log, damage_hides_no_other_message)
{
	struct queue_kit k;
	struct buf bytes;
	char *name = sealed_log(&k, 3, &bytes);
	size_t record = record_size(&bytes, 3);

	for (size_t at = 0; at < bytes.length; at++) {
		size_t hit = at < ARRIVAL_MAGIC ? 3 : (at - ARRIVAL_MAGIC) / record;
		struct found found;

		bytes.bytes[at] ^= 0x41;
		put_log(&k, name, view_buf(&bytes));
		found = read_log(&k.queue.arrivals, name);
		cr_assert_eq(found.messages, hit == 3 ? 3 : 2, "octet %zu: %zu messages", at, found.messages);
		cr_assert_eq(found.damages, 1, "octet %zu", at);
		cr_assert_eq(found.first, hit == 0 ? 2 : 1, "octet %zu", at);
		cr_assert_eq(found.last, hit == 2 ? 2 : 3, "octet %zu", at);
		bytes.bytes[at] ^= 0x41;
	}
	free(name);
	buf_release(&bytes);
	kit_close(&k);
}

/* Octets of a log are worth nothing in another, or at another place of the same: mail cannot pretend to be a record. */
Test(arrival_log, a_record_counts_at_its_place_only)
{
	struct queue_kit k;
	struct buf bytes;
	struct buf twice;
	char *name = sealed_log(&k, 1, &bytes);
	size_t record = record_size(&bytes, 1);

	buf_init(&twice, 1 << 20);
	buf_view(&twice, view_buf(&bytes));
	buf_append(&twice, bytes.bytes + ARRIVAL_MAGIC, record);
	put_log(&k, name, view_buf(&twice));
	cr_expect_eq(read_log(&k.queue.arrivals, name).messages, 1);
	cr_expect_eq(read_log(&k.queue.arrivals, name).damages, 1);
	put_log(&k, "other.log", view_buf(&bytes));
	cr_expect_eq(read_log(&k.queue.arrivals, "other.log").messages, 0);
	buf_release(&twice);
	free(name);
	buf_release(&bytes);
	kit_close(&k);
}
