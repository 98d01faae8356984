#include "relay/damaged.h"

#include <sodium.h>

#include "lib/text.h"

/* A name by what is in the file: the same damage again is kept once. */
static enum outcome damaged_name(int fd, const char *name, struct buf *out, struct error *err)
{
	uint8_t chunk[COPY_CHUNK];
	uint8_t digest[crypto_generichash_BYTES_MIN];
	crypto_generichash_state hash;
	struct fd_source source;
	size_t got = 1;
	enum outcome outcome = OUTCOME_DONE;

	crypto_generichash_init(&hash, NULL, 0, sizeof digest);
	fd_source_init(&source, fd, name);
	lseek(fd, 0, SEEK_SET);
	while (outcome == OUTCOME_DONE && got > 0) {
		outcome = source_read(&source.source, chunk, sizeof chunk, &got, err);
		if (outcome == OUTCOME_DONE)
			crypto_generichash_update(&hash, chunk, got);
	}
	crypto_generichash_final(&hash, digest, sizeof digest);
	buf_format(out, "%s.", name);
	hex_encode(digest, 4, out);
	return outcome;
}

enum outcome damaged_keep(struct relay *r, const struct dir *d, const char *path, int fd, const char *name,
    const char *why, struct error *err)
{
	struct buf text;
	struct stat st;
	char *kept;
	enum outcome outcome;

	buf_init(&text, 1024);
	outcome = damaged_name(fd, name, &text, err);
	kept = buf_detach(&text);
	if (outcome == OUTCOME_DONE && fstat(fd, &st) == 0 && (uint64_t)st.st_size > DAMAGED_KEEP)
		outcome = file_truncate(fd, DAMAGED_KEEP, path, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_rename(d, path, &r->queue.tmp, kept, err);
	if (outcome == OUTCOME_DONE)
		outcome = queue_set_aside(&r->queue, &r->queue.tmp, kept, why, err);
	free(kept);
	return outcome;
}
