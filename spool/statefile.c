#include "spool/statefile.h"

#include <sodium.h>

#include "lib/text.h"

#define STATEFILE_NAME 6
#define STATEFILE_HEAD 8

static const uint8_t version[2] = {0, 1};

void statefile_begin(struct buf *b, const char *magic)
{
	buf_append(b, magic, STATEFILE_NAME);
	buf_append(b, version, sizeof version);
}

static void statefile_digest(struct view bytes, uint8_t digest[static STATEFILE_DIGEST])
{
	crypto_generichash(digest, STATEFILE_DIGEST, bytes.bytes, bytes.length, NULL, 0);
}

void statefile_end(struct buf *b)
{
	uint8_t digest[STATEFILE_DIGEST];

	statefile_digest(view_buf(b), digest);
	buf_append(b, digest, sizeof digest);
}

bool statefile_check(struct view bytes, const char *magic, struct reader *body)
{
	uint8_t digest[STATEFILE_DIGEST];
	struct view told;

	if (bytes.length < STATEFILE_HEAD + STATEFILE_DIGEST || memcmp(bytes.bytes, magic, STATEFILE_NAME) != 0 ||
	    memcmp(bytes.bytes + STATEFILE_NAME, version, sizeof version) != 0)
		return false;
	told = view_from(bytes, bytes.length - STATEFILE_DIGEST);
	bytes.length -= STATEFILE_DIGEST;
	statefile_digest(bytes, digest);
	reader_init(body, view_from(bytes, STATEFILE_HEAD));
	return view_equal(told, view_of(digest, sizeof digest));
}

/* Names come from the configuration and from batches; only a host name may become a path. */
static enum outcome name_check(struct dir *d, const char *name, struct error *err)
{
	*d = DIR_CLOSED;
	if (!host_name_valid(name))
		return error_set(
		    err, EX_DATAERR, "\"%s\" is not a host name, so there is no state kept for it", name);
	return OUTCOME_DONE;
}

enum outcome statefile_dir(struct dir *d, const struct dir *state, const char *name, struct error *err)
{
	enum outcome outcome = name_check(d, name, err);

	return outcome == OUTCOME_DONE ? dir_open(d, state, name, err) : outcome;
}

enum outcome statefile_dir_make(struct dir *d, const struct dir *state, const char *name, struct error *err)
{
	enum outcome outcome = name_check(d, name, err);

	return outcome == OUTCOME_DONE ? dir_make(d, state, name, 0700, err) : outcome;
}

enum outcome statefile_commit(
    const struct buf *b, const struct dir *tmp, const struct dir *d, const char *file, struct error *err)
{
	if (b->failed)
		return error_set(
		    err, EX_DATAERR, "%s/%s would be larger than the limit of %zu bytes", d->path, file, b->maximum);
	return file_commit(tmp, d, file, view_buf(b), err);
}
