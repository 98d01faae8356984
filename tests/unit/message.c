#include "queue/message.h"

#include "lib/text.h"
#include "tests/unit/message_kit.h"

#define COUNT(table) (sizeof(table) / sizeof(table)[0])
#define OCTETS(text)                                                                                                 \
	{                                                                                                            \
		(const uint8_t *)(text), sizeof(text) - 1                                                            \
	}
#define BYTES(text) view_of(text, sizeof(text) - 1)

static struct view lines(struct buf *b, size_t length, const char *end)
{
	buf_init(b, length + 16);
	memset(buf_extend(b, length), 'x', length);
	buf_text(b, end);
	return view_buf(b);
}

static enum body_type body_of(struct view content, size_t step)
{
	struct message_kit k = message_kit_open();
	struct message_writer w;
	struct error err = ERROR_NONE;
	enum body_type body;

	envelope_add_recipient(&k.envelope, "otto@city.example.org");
	cr_assert_eq(message_writer_open(&w, &k.dir, &err), OUTCOME_DONE);
	while (content.length > 0) {
		size_t now = content.length < step ? content.length : step;

		cr_assert_eq(sink_write(&w.sink, content.bytes, now, &err), OUTCOME_DONE, "%s", err.text);
		content = view_from(content, now);
	}
	cr_assert_eq(message_writer_finish(&w, &k.envelope, &err), OUTCOME_DONE, "%s", err.text);
	body = k.envelope.body;
	message_writer_abort(&w);
	message_kit_close(&k);
	return body;
}

Test(message, body_type)
{
	static const struct {
		struct view content;
		enum body_type body;
	} cases[] = {
	    {OCTETS(""), BODY_7BIT},
	    {OCTETS("A: b\r\n\r\nc\r\n"), BODY_7BIT},
	    {OCTETS("no end"), BODY_7BIT},
	    {OCTETS("\xc3\xbc\r\n"), BODY_8BIT},
	    {OCTETS("a\0b\r\n"), BODY_BINARY},
	    {OCTETS("a\rb\r\n"), BODY_BINARY},
	    {OCTETS("a\r"), BODY_BINARY},
	    {OCTETS("a\r\r\n"), BODY_BINARY},
	    {OCTETS("\xff\0"), BODY_BINARY},
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		for (size_t step = 1; step < 4; step++)
			cr_expect_eq(body_of(cases[i].content, step), cases[i].body, "case %zu step %zu", i, step);
}

Test(message, line_of_998_octets_is_the_longest_text)
{
	static const struct {
		size_t length;
		const char *end;
		enum body_type body;
	} cases[] = {
	    {998, "\r\n", BODY_7BIT}, {999, "\r\n", BODY_BINARY}, {998, "", BODY_7BIT}, {999, "", BODY_BINARY}};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf b;

		cr_expect_eq(body_of(lines(&b, cases[i].length, cases[i].end), 100), cases[i].body, "case %zu", i);
		buf_release(&b);
	}
}

Test(message, bare_lf_is_refused)
{
	static const struct view contents[] = {OCTETS("\n"), OCTETS("a\n"), OCTETS("a\r\nb\nc"), OCTETS("a\r\n\n")};

	for (size_t i = 0; i < COUNT(contents); i++) {
		struct dir d = scratch_open();
		struct message_writer w;
		struct error err = ERROR_NONE;
		struct names names;

		cr_assert_eq(message_writer_open(&w, &d, &err), OUTCOME_DONE);
		cr_expect_eq(sink_view(&w.sink, contents[i], &err), OUTCOME_NEVER, "case %zu", i);
		cr_expect_eq(err.code, EX_DATAERR);
		message_writer_abort(&w);
		cr_assert_eq(dir_names(&d, &names, &err), OUTCOME_DONE);
		cr_expect_eq(names.count, 0, "abort leaves nothing");
		names_release(&names);
		scratch_close(&d);
	}
}

static struct buf content_of(struct message *m, size_t step)
{
	struct buf out;
	struct error err = ERROR_NONE;
	uint8_t chunk[4096];
	size_t got = 1;

	buf_init(&out, 1 << 24);
	while (got > 0) {
		cr_assert_eq(source_read(&m->content.source, chunk, step, &got, &err), OUTCOME_DONE, "%s", err.text);
		buf_append(&out, chunk, got);
	}
	return out;
}

Test(message, content_comes_back_byte_for_byte)
{
	static const size_t sizes[] = {0, 1, COPY_CHUNK - 17, COPY_CHUNK, COPY_CHUNK + 1, 3 * COPY_CHUNK + 5};

	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct message_kit k = message_kit_open();
		struct buf b;
		struct buf back;

		envelope_add_recipient(&k.envelope, "otto@city.example.org");
		message_kit_make(&k, lines(&b, sizes[i], "\r\n"));
		cr_expect_eq(k.message.envelope.size, sizes[i] + 2);
		back = content_of(&k.message, 4096);
		cr_expect(view_equal(view_buf(&back), view_buf(&b)));
		buf_release(&back);
		message_rewind(&k.message);
		back = content_of(&k.message, 777);
		cr_expect(view_equal(view_buf(&back), view_buf(&b)), "again from the beginning");
		buf_release(&back);
		buf_release(&b);
		message_kit_close(&k);
	}
}

/* A whole message file as octets, with LINES lines in its body. */
static struct buf file_bytes(size_t lines)
{
	struct message_kit k = message_kit_open();
	struct message_writer w;
	struct error err = ERROR_NONE;
	struct buf bytes;

	envelope_add_recipient(&k.envelope, "otto@city.example.org");
	cr_assert_eq(message_writer_open(&w, &k.dir, &err), OUTCOME_DONE);
	cr_assert_eq(sink_view(&w.sink, BYTES("Subject: x\r\n\r\n"), &err), OUTCOME_DONE);
	for (size_t i = 0; i < lines; i++)
		cr_assert_eq(sink_view(&w.sink, BYTES("body\r\n"), &err), OUTCOME_DONE);
	cr_assert_eq(message_writer_finish(&w, &k.envelope, &err), OUTCOME_DONE);
	buf_init(&bytes, 1 << 20);
	cr_assert_eq(file_read(&k.dir, w.name, &bytes, &err), OUTCOME_DONE);
	message_writer_close(&w);
	cr_expect(file_exists(&k.dir, w.name, NULL), "close keeps the file");
	message_writer_abort(&w);
	cr_expect(file_exists(&k.dir, w.name, NULL), "and abort after it does nothing");
	message_kit_close(&k);
	return bytes;
}

static enum outcome open_bytes(const struct dir *d, struct view bytes, enum message_check check, struct error *err)
{
	struct message m;
	enum outcome outcome;

	cr_assert_eq(file_replace(d, d, "m", bytes, err), OUTCOME_DONE);
	outcome = message_open(&m, d, "m", check, err);
	if (outcome == OUTCOME_DONE)
		message_close(&m);
	else
		cr_expect(m.fd == -1 && m.name == NULL && m.envelope.sender == NULL, "nothing is left open");
	return outcome;
}

/* What is read in one piece is verified in another way than what is not. */
Test(message, damage_to_a_large_one_is_found)
{
	struct dir d = scratch_open();
	struct buf bytes = file_bytes(5000);
	struct error err = ERROR_NONE;

	cr_assert_gt(bytes.length, MESSAGE_SMALL);
	cr_assert_eq(open_bytes(&d, view_buf(&bytes), MESSAGE_VERIFY, &err), OUTCOME_DONE, "%s", err.text);
	for (size_t i = 0; i < bytes.length; i += 997) {
		bytes.bytes[i] ^= 0x20;
		cr_expect_eq(open_bytes(&d, view_buf(&bytes), MESSAGE_VERIFY, &err), OUTCOME_NEVER, "octet %zu", i);
		cr_expect_eq(err.code, EX_DATAERR, "octet %zu: %s", i, err.text);
		bytes.bytes[i] ^= 0x20;
	}
	buf_release(&bytes);
	scratch_close(&d);
}

Test(message, every_damage_is_found)
{
	struct dir d = scratch_open();
	struct buf bytes = file_bytes(1);
	struct error err = ERROR_NONE;

	cr_assert_eq(open_bytes(&d, view_buf(&bytes), MESSAGE_VERIFY, &err), OUTCOME_DONE, "%s", err.text);
	for (size_t i = 0; i < bytes.length; i++) {
		bytes.bytes[i] ^= 0x20;
		cr_expect_eq(open_bytes(&d, view_buf(&bytes), MESSAGE_VERIFY, &err), OUTCOME_NEVER, "octet %zu", i);
		cr_expect_eq(err.code, EX_DATAERR, "octet %zu: %s", i, err.text);
		bytes.bytes[i] ^= 0x20;
	}
	for (size_t length = 0; length < bytes.length; length++) {
		cr_expect_eq(open_bytes(&d, view_of(bytes.bytes, length), MESSAGE_TRUST, &err), OUTCOME_NEVER,
		    "cut to %zu", length);
		cr_expect_eq(err.code, EX_DATAERR, "cut to %zu: %s", length, err.text);
	}
	buf_byte(&bytes, 0);
	cr_expect_eq(
	    open_bytes(&d, view_buf(&bytes), MESSAGE_TRUST, &err), OUTCOME_NEVER, "something behind the end");
	buf_release(&bytes);
	scratch_close(&d);
}

Test(message, unfinished_is_no_message)
{
	struct dir d = scratch_open();
	struct message_writer w;
	struct message m;
	struct error err = ERROR_NONE;
	struct buf b;

	cr_assert_eq(message_writer_open(&w, &d, &err), OUTCOME_DONE);
	cr_assert_eq(sink_view(&w.sink, lines(&b, 200000, "\r\n"), &err), OUTCOME_DONE);
	cr_expect_eq(message_open(&m, &d, w.name, MESSAGE_TRUST, &err), OUTCOME_NEVER);
	cr_expect_eq(err.code, EX_DATAERR);
	message_writer_abort(&w);
	cr_expect_eq(message_open(&m, &d, "missing", MESSAGE_TRUST, &err), OUTCOME_NEVER);
	cr_expect_eq(err.code, EX_NOINPUT);
	buf_release(&b);
	scratch_close(&d);
}

/* What is written can be read: more than can be read is refused before it is accepted. */
Test(message, recipients_up_to_the_limit)
{
	for (size_t extra = 0; extra < 2; extra++) {
		struct message_kit k = message_kit_open();
		struct message_writer w;
		struct message m;
		struct error err = ERROR_NONE;
		enum outcome outcome;

		for (size_t i = 0; i < LIMIT_RECIPIENTS + extra; i++)
			envelope_add_recipient(&k.envelope, "otto@city.example.org");
		cr_assert_eq(message_writer_open(&w, &k.dir, &err), OUTCOME_DONE);
		outcome = message_writer_finish(&w, &k.envelope, &err);
		cr_expect_eq(outcome, extra == 0 ? OUTCOME_DONE : OUTCOME_NEVER, "%zu more: %s", extra, err.text);
		if (outcome == OUTCOME_DONE) {
			outcome = message_open(&m, &k.dir, w.name, MESSAGE_VERIFY, &err);
			cr_expect_eq(outcome, OUTCOME_DONE, "%s", err.text);
			if (outcome == OUTCOME_DONE) {
				cr_expect_eq(m.envelope.recipient_count, LIMIT_RECIPIENTS);
				message_close(&m);
			}
		}
		message_writer_abort(&w);
		message_kit_close(&k);
	}
}

/* ---- in memory ------------------------------------------------------------------------------------------- */

static enum outcome file_read_whole(struct message *m, struct buf *out)
{
	struct stat st;

	cr_assert_eq(fstat(m->fd, &st), 0);
	return file_read_at(m->fd, buf_extend(out, (size_t)st.st_size), (size_t)st.st_size, 0, m->name, NULL);
}

static struct view repeated(struct buf *b, size_t size)
{
	buf_init(b, size + 100);
	while (b->length < size)
		buf_text(b, "a line of text as it is in mail\r\n");
	b->length = size;
	return view_buf(b);
}

/* Content up to KEEP octets makes no file, and the image is what a file would hold; one more makes one. */
Test(message, what_is_small_stays_in_memory)
{
	static const size_t keeps[] = {0, 1, 1000, COPY_CHUNK, 3 * COPY_CHUNK};

	for (size_t i = 0; i < COUNT(keeps); i++)
		for (size_t extra = 0; extra < 2; extra++)
			for (size_t step = 7; step < 1000000; step *= 101) {
				struct message_kit k = message_kit_open();
				struct error err = ERROR_NONE;
				struct message_writer w;
				struct buf b;
				struct buf in_file;
				struct view all = repeated(&b, keeps[i] + extra);
				struct view rest = all;

				envelope_add_recipient(&k.envelope, "otto@city.example.org");
				message_kit_make(&k, all);
				message_writer_open_small(&w, &k.dir, keeps[i]);
				for (; rest.length > 0; rest = view_from(rest, step))
					cr_assert_eq(sink_write(&w.sink, rest.bytes,
							 rest.length < step ? rest.length : step, &err),
					    OUTCOME_DONE, "%s", err.text);
				cr_expect_eq(message_writer_image(&w).length, 0, "it is not finished");
				cr_assert_eq(message_writer_finish(&w, &k.envelope, &err), OUTCOME_DONE);
				cr_expect_eq(w.fd >= 0, extra == 1, "keep %zu, %zu more", keeps[i], extra);
				cr_expect_eq(message_writer_image(&w).length > 0, extra == 0);
				cr_expect_eq(dir_empty(&k.dir), extra == 0);
				buf_init(&in_file, 1 << 20);
				if (extra == 0)
					buf_view(&in_file, message_writer_image(&w));
				else
					cr_assert_eq(file_read(&k.dir, w.name, &in_file, &err), OUTCOME_DONE);
				buf_release(&b);
				buf_init(&b, 1 << 20);
				cr_assert_eq(file_read_whole(&k.message, &b), OUTCOME_DONE);
				cr_expect(view_equal(view_buf(&b), view_buf(&in_file)), "keep %zu", keeps[i]);
				message_writer_abort(&w);
				cr_expect(dir_empty(&k.dir), "abort leaves nothing");
				buf_release(&in_file);
				buf_release(&b);
				message_kit_close(&k);
			}
}

Test(message, an_image_proves_itself_as_a_file_does)
{
	struct dir d = scratch_open();
	struct buf bytes = file_bytes(1);
	struct error err = ERROR_NONE;
	struct envelope e;

	cr_assert_eq(message_image_read(view_buf(&bytes), "it", &e, &err), OUTCOME_DONE, "%s", err.text);
	cr_expect_eq(e.id.sequence, 12);
	cr_expect_eq(e.size, strlen("Subject: x\r\n\r\nbody\r\n"));
	cr_expect_str_eq(e.recipients[0].address, "otto@city.example.org");
	envelope_release(&e);
	for (size_t i = 0; i < bytes.length; i++) {
		bytes.bytes[i] ^= 0x20;
		cr_expect_eq(message_image_read(view_buf(&bytes), "it", &e, &err), OUTCOME_NEVER, "octet %zu", i);
		cr_expect_eq(err.code, EX_DATAERR);
		envelope_release(&e);
		bytes.bytes[i] ^= 0x20;
		cr_expect_eq(message_image_read(view_of(bytes.bytes, i), "it", &e, &err), OUTCOME_NEVER);
		envelope_release(&e);
	}
	buf_release(&bytes);
	scratch_close(&d);
}

/* ---- every octet looked at, many at a time ------------------------------------------------------------------ */

/* What the content needs of a transport, octet by octet; false: it has a bare LF. */
static bool plainly(struct view content, enum body_type *body)
{
	bool high = false;
	bool binary = false;
	size_t line = 0;

	for (size_t i = 0; i < content.length; i++) {
		uint8_t c = content.bytes[i];
		bool after_cr = i > 0 && content.bytes[i - 1] == '\r';

		if (c == '\n' && !after_cr)
			return false;
		line = c == '\n' ? 0 : line + (c != '\r');
		binary |= c == '\0' || line > 998 || (after_cr && c != '\n');
		high |= c > 127;
	}
	binary |= content.length > 0 && content.bytes[content.length - 1] == '\r';
	*body = binary ? BODY_BINARY : high ? BODY_8BIT : BODY_7BIT;
	return true;
}

static bool by_writer(struct view content, size_t step, enum body_type *body)
{
	struct dir nowhere = DIR_CLOSED;
	struct message_writer w;
	struct envelope e;
	struct error err = ERROR_NONE;
	enum outcome outcome = OUTCOME_DONE;

	envelope_init(&e);
	e.sender = mem_string("");
	envelope_add_recipient(&e, "joe");
	message_writer_open_small(&w, &nowhere, 1 << 20);
	for (; content.length > 0 && outcome == OUTCOME_DONE; content = view_from(content, step))
		outcome = sink_write(&w.sink, content.bytes, content.length < step ? content.length : step, &err);
	if (outcome == OUTCOME_DONE)
		cr_assert_eq(message_writer_finish(&w, &e, &err), OUTCOME_DONE);
	*body = e.body;
	message_writer_abort(&w);
	envelope_release(&e);
	return outcome == OUTCOME_DONE;
}

Test(message, looking_fast_decides_as_looking_slowly)
{
	static const char *const pieces[] = {"a", "abcdefg", "\r\n", "\r\n", "\r\n", "\r", "\n", "\xc3\xbc", "x\x80"};
	struct buf b;
	uint32_t random = 1;

	buf_init(&b, 1 << 20);
	for (size_t round = 0; round < 20000; round++) {
		enum body_type right;
		enum body_type found;
		bool good;

		buf_clear(&b);
		for (size_t left = round % 40; left > 0; left--) {
			random = random * 1664525 + 1013904223;
			/* Most rounds without what makes all else indifferent. */
			if (random >> 24 == 0)
				buf_byte(&b, 0);
			else if (random >> 24 == 1)
				memset(buf_extend(&b, 990 + (random >> 8) % 16), 'l', 990 + (random >> 8) % 16);
			else
				buf_text(&b, pieces[(random >> 10) % (round % 3 == 0 ? 9 : 5)]);
		}
		good = plainly(view_buf(&b), &right);
		for (size_t step = 1; step < 3000; step = step * 3 + 2) {
			cr_assert_eq(by_writer(view_buf(&b), step, &found), good, "round %zu step %zu", round, step);
			cr_assert(!good || found == right, "round %zu step %zu: %d, not %d", round, step, (int)found,
			    (int)right);
		}
	}
	buf_release(&b);
}
