/*
 * Message files. The first octet says whether the digest is put right (so that what is behind it is reached) and
 * the content is looked at with or without proof. What opens gives as much content as it says.
 */
#include <fcntl.h>

#include "lib/alloc.h"
#include "queue/message.h"

#define DIGEST ((size_t)crypto_generichash_BYTES)
#define HEAD   ((size_t)16)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool law)
{
	if (!law)
		abort();
}

/* A directory in memory, made once. */
static const struct dir *place(void)
{
	static struct dir d = {.fd = -1};

	if (d.fd < 0) {
		char path[] = "/dev/shm/packetboat-fuzz-XXXXXX";

		require(mkdtemp(path) != NULL && dir_open(&d, NULL, path, NULL) == OUTCOME_DONE);
	}
	return &d;
}

static void leave(void)
{
	const struct dir *d = place();

	unlinkat(d->fd, "m", 0);
	rmdir(d->path);
}

static void put(const uint8_t *bytes, size_t size)
{
	int fd = openat(place()->fd, "m", O_WRONLY | O_CREAT | O_TRUNC, 0600);

	require(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
	close(fd);
}

static void correct_digest(uint8_t *bytes, size_t size)
{
	crypto_generichash_state hash;

	if (size < HEAD + DIGEST)
		return;
	crypto_generichash_init(&hash, NULL, 0, DIGEST);
	crypto_generichash_update(&hash, bytes + HEAD, size - HEAD - DIGEST);
	crypto_generichash_update(&hash, bytes, HEAD);
	crypto_generichash_final(&hash, bytes + size - DIGEST, DIGEST);
}

static uint64_t content_length(struct message *m, struct error *err)
{
	uint8_t chunk[1000];
	uint64_t all = 0;
	size_t got = 1;

	message_rewind(m);
	while (got > 0) {
		require(source_read(&m->content.source, chunk, sizeof chunk, &got, err) == OUTCOME_DONE);
		all += got;
	}
	return all;
}

/* What it says can be written again, and comes back the same. */
static void check_copy(struct message *m, struct error *err)
{
	struct message_writer w;
	struct message copy;

	message_rewind(m);
	require(message_writer_open(&w, place(), err) == OUTCOME_DONE);
	if (stream_copy(&m->content.source, &w.sink, NULL, err) == OUTCOME_DONE) {
		require(message_writer_finish(&w, &m->envelope, err) == OUTCOME_DONE);
		require(message_open(&copy, place(), w.name, MESSAGE_VERIFY, err) == OUTCOME_DONE);
		require(copy.envelope.size == m->envelope.size && copy.envelope.body == m->envelope.body);
		require(copy.envelope.recipient_count == m->envelope.recipient_count);
		message_close(&copy);
	} else {
		require(err->code == EX_DATAERR); /* a bare LF */
	}
	message_writer_abort(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool registered;
	struct message m;
	struct error err = ERROR_NONE;
	uint8_t *bytes;

	if (size == 0)
		return 0;
	if (!registered) {
		registered = true;
		atexit(leave);
	}
	bytes = (uint8_t *)mem_copy(data + 1, size - 1);
	if (data[0] & 1)
		correct_digest(bytes, size - 1);
	put(bytes, size - 1);
	free(bytes);
	if (message_open(&m, place(), "m", data[0] & 2 ? MESSAGE_TRUST : MESSAGE_VERIFY, &err) != OUTCOME_DONE) {
		require(err.code == EX_DATAERR && m.fd == -1);
		return 0;
	}
	require(content_length(&m, &err) == m.envelope.size);
	check_copy(&m, &err);
	message_close(&m);
	return 0;
}
