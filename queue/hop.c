#include "queue/hop.h"

#include "lib/alloc.h"
#include "lib/text.h"
#include "queue/records.h"

enum outcome hop_open(const struct queue *q, const char *hop, struct dir *d, struct error *err)
{
	enum outcome outcome = dir_open(d, &q->queue, hop, err);

	if (outcome != OUTCOME_DONE && err->code == EX_NOINPUT)
		outcome = dir_make(d, &q->queue, hop, 0700, err);
	return outcome;
}

enum outcome hop_open_within(
    const struct queue *q, const char *hop, const char *within, struct dir *d, struct error *err)
{
	struct dir top;
	enum outcome outcome = hop_open(q, hop, &top, err);

	if (outcome != OUTCOME_DONE || within[0] == '\0') {
		*d = outcome == OUTCOME_DONE ? top : DIR_CLOSED;
		return outcome;
	}
	outcome = dir_make(d, &top, within, 0700, err);
	dir_close(&top);
	return outcome;
}

enum outcome hop_list(const struct queue *q, struct names *hops, struct error *err)
{
	return dir_names(&q->queue, hops, err);
}

bool hop_is_record(const char *name)
{
	/* Every id has dots; directories and markers have none. */
	return strchr(name, '.') != NULL && !hop_is_ended(name);
}

bool hop_is_ended(const char *name)
{
	return text_ends(name, "~");
}

bool hop_is_claim(const char *hop, const char *name)
{
	return strcmp(hop, "new") == 0 && text_ends(name, "~");
}

bool hop_shows(const char *hop, const char *name)
{
	return hop_is_record(name) || (hop_is_claim(hop, name) && strchr(name, '.') != NULL);
}

enum outcome hop_claims(const struct queue *q, struct names *claims, struct error *err)
{
	struct names all;
	enum outcome outcome = dir_names(&q->new, &all, err);

	*claims = (struct names){0};
	for (size_t i = 0; i < all.count && outcome == OUTCOME_DONE; i++)
		if (hop_is_claim("new", all.items[i]))
			names_add(claims, all.items[i]);
	names_release(&all);
	return outcome;
}

bool hop_half_made(const struct queue *q, const struct names *claims, const struct entry *e)
{
	/* The claim may be gone since, and then it counts. */
	return e->parent != NULL && (claims == NULL || names_contain(claims, e->parent)) &&
	       file_exists(&q->new, e->parent, NULL);
}

void hop_ended_name(const char *name, char out[static ENTRY_NAME + 1])
{
	snprintf(out, ENTRY_NAME + 1, "%s~", name);
}

enum outcome hop_end(const struct queue *q, const struct dir *d, const char *ended, struct error *err)
{
	char *name = mem_copy(ended, strlen(ended) - 1);
	enum outcome outcome = file_remove(&q->msg, name, err);

	free(name);
	return outcome == OUTCOME_DONE ? file_remove(d, ended, err) : outcome;
}

bool hop_is_part(const char *name)
{
	return text_starts(name, "due-") || text_starts(name, "batch-") || text_starts(name, "work-");
}

enum outcome hop_parts(const struct dir *hop, struct names *parts, struct error *err)
{
	struct names all;
	enum outcome outcome = dir_names(hop, &all, err);

	*parts = (struct names){0};
	if (outcome != OUTCOME_DONE)
		return outcome;
	for (size_t i = 0; i < all.count; i++)
		if (hop_is_part(all.items[i]))
			names_add(parts, all.items[i]);
	names_release(&all);
	return OUTCOME_DONE;
}

enum outcome hop_lock(const struct queue *q, const char *hop, struct lock *lock, struct error *err)
{
	return lock_take(lock, &q->lock, hop, err);
}

enum outcome hop_lock_try(const struct queue *q, const char *hop, struct lock *lock, bool *held, struct error *err)
{
	return lock_try(lock, &q->lock, hop, held, err);
}

void hop_bucket(uint64_t due, char out[static 32])
{
	/* Rounded up: what lies in a bucket is due when the bucket is. */
	snprintf(out, 32, "due-%llu", (unsigned long long)(due / HOP_BUCKET + (due % HOP_BUCKET != 0)));
}

static enum outcome bucket_empty_into(const struct dir *hop, const char *bucket, struct error *err)
{
	struct dir d;
	struct names names = {0};
	enum outcome outcome = dir_open(&d, hop, bucket, err);

	if (outcome == OUTCOME_DONE)
		outcome = dir_names(&d, &names, err);
	for (size_t i = 0; i < names.count && outcome == OUTCOME_DONE; i++)
		outcome = file_rename(&d, names.items[i], hop, names.items[i], err);
	names_release(&names);
	dir_close(&d);
	return outcome == OUTCOME_DONE ? dir_remove(hop, bucket, err) : outcome;
}

/* Buckets that one call looks at: more than lie between now and the horizon. Names of records are not gathered. */
#define WAKE_BUCKETS 2048

enum outcome hop_wake(const struct dir *hop, uint64_t age, struct error *err)
{
	struct names names;
	enum outcome outcome = dir_names_after(hop, "due-", WAKE_BUCKETS, &names, err);

	for (size_t i = 0; i < names.count && outcome == OUTCOME_DONE; i++) {
		uint64_t number;

		if (!text_starts(names.items[i], "due-") ||
		    !number_parse(view_text(names.items[i] + 4), UINT64_MAX / HOP_BUCKET, &number))
			continue;
		if (number * HOP_BUCKET <= age || number * HOP_BUCKET > age + HOP_HORIZON)
			outcome = bucket_empty_into(hop, names.items[i], err);
	}
	names_release(&names);
	return outcome;
}

/* Tries to move into a bucket that whoever wakes the hop may take away meanwhile: then it is due, and so is the record. */
#define DEFER_TRIES 8

enum outcome hop_defer(
    const struct dir *from, const struct dir *hop, const char *name, uint64_t due, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;
	char bucket[32];

	hop_bucket(due, bucket);
	for (int i = 0; i < DEFER_TRIES; i++) {
		struct error why = ERROR_NONE;
		struct dir d;

		outcome = dir_make(&d, hop, bucket, 0700, &why);
		if (outcome == OUTCOME_DONE)
			outcome = file_rename(from, name, &d, name, &why);
		dir_close(&d);
		if (outcome == OUTCOME_DONE)
			break;
		if (err != NULL)
			*err = why;
		if (why.code != EX_NOINPUT || !file_exists(from, name, NULL))
			return outcome;
	}
	return outcome == OUTCOME_DONE ? OUTCOME_DONE : file_rename(from, name, hop, name, err);
}

void hop_reader_close(struct hop_reader *r)
{
	file_close(&r->fd);
	buf_release(&r->text);
}

/* Reads the file NAME, unless it is the one that was read last. */
static enum outcome reader_fetch(struct hop_reader *r, const struct dir *d, const char *name, struct error *err)
{
	if (r->fd >= 0 && file_is(d, name, r->fd))
		return OUTCOME_DONE;
	hop_reader_close(r);
	buf_init(&r->text, LIMIT_ENTRY);
	return file_read_open(d, name, &r->text, &r->fd, err);
}

enum outcome hop_reader_read(
    struct hop_reader *r, const struct dir *d, const char *name, struct entry *e, struct error *err)
{
	enum outcome outcome = reader_fetch(r, d, name, err);

	entry_init(e);
	if (outcome == OUTCOME_DONE) {
		outcome = entry_parse_named(e, view_buf(&r->text), name, err);
		if (outcome != OUTCOME_DONE)
			error_context(err, "%s/%s", d->path, name);
	}
	if (r->text.length > RECORDS_OCTETS)
		hop_reader_close(r);
	return outcome;
}

enum outcome hop_read(const struct dir *d, const char *name, struct entry *e, struct error *err)
{
	struct hop_reader r = HOP_READER_NONE;
	enum outcome outcome = hop_reader_read(&r, d, name, e, err);

	hop_reader_close(&r);
	return outcome;
}

enum outcome queue_set_aside(
    struct queue *q, const struct dir *d, const char *name, const char *why, struct error *err)
{
	char *note = mem_format("%s.why", name);
	char *text = mem_format("%s/%s: %s\n", d->path, name, why);
	enum outcome outcome = file_commit(&q->tmp, &q->corrupt, note, view_text(text), err);

	if (outcome == OUTCOME_DONE)
		outcome = file_rename(d, name, &q->corrupt, name, err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_sync(&q->corrupt, err);
	if (outcome == OUTCOME_DONE)
		log_event(&q->log, name, "corrupt", "reason", why);
	free(text);
	free(note);
	return outcome;
}
