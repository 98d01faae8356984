/*
 * Arrival logs for a test: messages of numbered ids (queue_kit.h makes the host), appended, read back, looked for.
 */
#ifndef TESTS_ARRIVALS_KIT_H
#define TESTS_ARRIVALS_KIT_H

#include "queue/arrival_log.h"
#include "queue/arrivals.h"
#include "tests/unit/queue_kit.h"

/* A message file in memory, of the id with that SEQUENCE, with CONTENT; free() its bytes. */
static inline struct view image_of(struct queue *q, uint64_t sequence, const char *content)
{
	struct envelope e = kit_envelope("maria@village.example.org", "joe");
	struct message_writer w;
	struct error err = ERROR_NONE;
	struct view image;

	e.id = (struct id){.host = "village", .incarnation = 7, .sequence = sequence};
	message_writer_open_small(&w, &q->tmp, 1 << 20);
	cr_assert_eq(sink_view(&w.sink, view_text(content), &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(message_writer_finish(&w, &e, &err), OUTCOME_DONE, "%s", err.text);
	image = message_writer_image(&w);
	image.bytes = (uint8_t *)mem_copy(image.bytes, image.length);
	message_writer_abort(&w);
	envelope_release(&e);
	return image;
}

static inline void image_free(struct view image)
{
	free((void *)(uintptr_t)image.bytes);
}

static inline void name_of(uint64_t sequence, char out[static LIMIT_ID])
{
	id_print(&(struct id){.host = "village", .incarnation = 7, .sequence = sequence}, out);
}

/* COUNT messages from number FIRST with one sync; message N says "N" in as many lines. */
static inline enum outcome append(struct arrivals *a, uint64_t first, size_t count, struct error *err)
{
	struct view images[8];
	enum outcome outcome;

	cr_assert_leq(count, 8);
	for (size_t i = 0; i < count; i++) {
		char *content = mem_format("Subject: %llu\r\n\r\nbody\r\n", (unsigned long long)(first + i));

		images[i] = image_of(a->queue, first + i, content);
		free(content);
	}
	outcome = arrivals_append(a, images, count, err);
	for (size_t i = 0; i < count; i++)
		image_free(images[i]);
	return outcome;
}

/* Is message N in queue/new, whole and the right one? */
static inline bool arrived(struct queue_kit *k, uint64_t number)
{
	struct message m;
	char name[LIMIT_ID];
	bool right;

	name_of(number, name);
	if (!file_exists(&k->queue.new, name, NULL))
		return false;
	kit_done(k, message_open(&m, &k->queue.new, name, MESSAGE_VERIFY, &k->err));
	right = m.envelope.id.sequence == number && strcmp(m.envelope.recipients[0].address, "joe") == 0;
	message_close(&m);
	return right;
}

#define expect_arrived(k, from, to)                                                                                  \
	do {                                                                                                         \
		for (uint64_t n_ = (from); n_ <= (to); n_++)                                                         \
			cr_expect(arrived(k, n_), "message %llu", (unsigned long long)n_);                           \
	} while (0)

static inline uint64_t drain(struct queue_kit *k)
{
	uint64_t count = 99;

	kit_done(k, arrivals_drain(&k->queue, &count, &k->err));
	return count;
}

/* A kit whose spool/arrivals holds one sealed log with the messages 1 to COUNT; its name and its octets. */
static inline char *sealed_log(struct queue_kit *k, size_t count, struct buf *bytes)
{
	struct arrivals a;
	char *name;

	kit_open(k, KIT_PLAIN);
	kit_done(k, arrivals_open(&a, &k->queue, &k->err));
	kit_done(k, append(&a, 1, count, &k->err));
	name = mem_string(a.name);
	arrivals_close(&a);
	buf_init(bytes, 1 << 20);
	kit_done(k, file_read(&k->queue.arrivals, name, bytes, &k->err));
	return name;
}

static inline void put_log(struct queue_kit *k, const char *name, struct view bytes)
{
	kit_done(k, file_replace(&k->queue.tmp, &k->queue.arrivals, name, bytes, &k->err));
}

/* Octets of one record in a log of COUNT equal ones. */
static inline size_t record_size(const struct buf *bytes, size_t count)
{
	return (bytes->length - ARRIVAL_MAGIC) / count;
}

#endif
