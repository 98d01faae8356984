/*
 * Arrival logs. The input is a list of steps that build one, since nobody hits a check by chance:
 *
 *	'm' n     a record with a message of n octets of content
 *	'r' n …   a record around the next n octets, with a right head
 *	'b' n …   the next n octets as they are
 *	'z' n     n zeros
 *	'x' n     the octet n from the end is flipped
 *	'h'       the head of a log
 *	anything else is an octet of the log by itself
 *
 * Laws: what is read is a whole message that lies in the log, behind a head that is right there; a log cut short anywhere gives those of its
 * messages that lie before the cut, in the same order, and no other; a log built of good records only has no damage.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "lib/alloc.h"
#include "queue/arrival_log.h"

#define NAME	    "fuzz.log"
#define MESSAGE_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool law)
{
	if (!law)
		abort();
}

static const struct dir *nowhere(void)
{
	static const struct dir d = {.fd = -1, .path = NULL};

	return &d;
}

static void add_record(struct buf *log, struct view image)
{
	uint8_t key[crypto_shorthash_KEYBYTES];
	uint8_t head[ARRIVAL_HEAD];

	arrival_key(NAME, key);
	arrival_head(key, log->length, (uint32_t)image.length, head);
	buf_append(log, head, sizeof head);
	buf_view(log, image);
}

static void add_message(struct buf *log, size_t size)
{
	static const uint8_t content[256] = "Subject: x";
	struct message_writer w;
	struct envelope e;

	envelope_init(&e);
	e.sender = mem_string("a@b.example");
	e.id = (struct id){.host = "village", .incarnation = 7, .sequence = log->length};
	envelope_add_recipient(&e, "joe");
	message_writer_open_small(&w, nowhere(), sizeof content);
	require(sink_write(&w.sink, content, size, NULL) == OUTCOME_DONE);
	require(message_writer_finish(&w, &e, NULL) == OUTCOME_DONE);
	add_record(log, message_writer_image(&w));
	message_writer_abort(&w);
	envelope_release(&e);
}

/* Takes the steps; true when all that they made is good. */
static bool build(struct view steps, struct buf *log)
{
	uint8_t magic[ARRIVAL_MAGIC];
	bool good = true;

	arrival_magic(magic);
	while (steps.length > 0) {
		uint8_t step = steps.bytes[0];
		bool counted = memchr("mrbzx", step, 5) != NULL;
		uint8_t number = counted && steps.length > 1 ? steps.bytes[1] : 0;
		struct view some;

		steps = view_from(steps, counted ? 2 : 1);
		some = view_of(steps.bytes, number < steps.length ? number : steps.length);
		good &= step == 'm' || (step == 'h' && log->length == 0);
		if (step == 'm')
			add_message(log, number);
		else if (step == 'r')
			add_record(log, some);
		else if (step == 'b')
			buf_view(log, some);
		else if (step == 'z')
			memset(buf_extend(log, number), 0, number);
		else if (step == 'x' && number < log->length)
			log->bytes[log->length - 1 - number] ^= 1;
		else if (step == 'h')
			buf_append(log, magic, sizeof magic);
		else if (!counted)
			buf_byte(log, step);
		if (step == 'r' || step == 'b')
			steps = view_from(steps, some.length);
	}
	return good;
}

struct reading {
	uint64_t ends[MESSAGE_MAX]; /* of the messages, in the log */
	size_t count;
	size_t damages;
};

static struct reading read_all(int fd, struct view log)
{
	struct arrival_reader r;
	struct reading all = {.count = 0};
	bool more = true;

	require(arrival_reader_open(&r, fd, NAME, NULL) == OUTCOME_DONE);
	while (more && all.count < MESSAGE_MAX) {
		struct error err = ERROR_NONE;
		struct envelope e;
		struct view image;
		uint64_t before = r.at;
		enum outcome outcome = arrival_next(&r, &image, &e, &err);

		more = outcome != OUTCOME_DONE || image.length > 0;
		require(outcome == OUTCOME_DONE || (err.code == EX_DATAERR && r.at > before));
		require(r.at <= log.length && r.at >= before);
		all.damages += outcome != OUTCOME_DONE;
		if (image.length > 0) {
			struct view place = view_from(log, r.at - image.length);
			struct envelope again;
			uint8_t head[ARRIVAL_HEAD];

			place.length = image.length;
			require(view_equal(place, image) && e.recipient_count > 0);
			require(message_image_read(place, "it", &again, &err) == OUTCOME_DONE);
			require(id_equal(&again.id, &e.id));
			arrival_head(r.key, r.at - image.length - ARRIVAL_HEAD, (uint32_t)image.length, head);
			require(memcmp(place.bytes - ARRIVAL_HEAD, head, sizeof head) == 0);
			all.ends[all.count++] = r.at;
			envelope_release(&again);
		}
		envelope_release(&e);
	}
	arrival_reader_close(&r);
	return all;
}

static void check_cut(int fd, struct view log, const struct reading *whole, size_t length)
{
	struct reading cut;
	size_t expected = 0;

	require(ftruncate(fd, (off_t)length) == 0);
	cut = read_all(fd, view_of(log.bytes, length));
	while (expected < whole->count && whole->ends[expected] <= length)
		expected++;
	require(cut.count == expected);
	require(memcmp(cut.ends, whole->ends, expected * sizeof cut.ends[0]) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reading whole;
	struct buf log;
	bool good;
	int fd;

	if (size < 1 || size > 2000)
		return 0;
	fd = memfd_create("log", MFD_CLOEXEC);
	require(fd >= 0);
	buf_init(&log, (size_t)1 << 20);
	good = build(view_of(data + 1, size - 1), &log);
	require(write(fd, log.bytes, log.length) == (ssize_t)log.length);
	whole = read_all(fd, view_buf(&log));
	if (good && log.length > ARRIVAL_MAGIC && data[1] == 'h')
		require(whole.damages == 0 && whole.count > 0);
	if (whole.count < MESSAGE_MAX)
		check_cut(fd, view_buf(&log), &whole, log.length * data[0] / 256);
	close(fd);
	buf_release(&log);
	return 0;
}
