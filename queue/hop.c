#include "queue/hop.h"

#include "lib/alloc.h"
#include "lib/text.h"

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
	return strchr(name, '.') != NULL;
}

enum outcome hop_parts(const struct dir *hop, struct names *parts, struct error *err)
{
	struct names all;
	enum outcome outcome = dir_names(hop, &all, err);

	*parts = (struct names){0};
	if (outcome != OUTCOME_DONE)
		return outcome;
	for (size_t i = 0; i < all.count; i++)
		if (text_starts(all.items[i], "due-") || text_starts(all.items[i], "batch-"))
			names_add(parts, all.items[i]);
	names_release(&all);
	return OUTCOME_DONE;
}

enum outcome hop_lock(const struct queue *q, const char *hop, struct lock *lock, struct error *err)
{
	return lock_take(lock, &q->lock, hop, err);
}

enum outcome hop_lock_try(const struct queue *q, const char *hop, struct lock *lock, struct error *err)
{
	return lock_try(lock, &q->lock, hop, err);
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

enum outcome hop_wake(const struct dir *hop, uint64_t age, struct error *err)
{
	struct names names;
	enum outcome outcome = dir_names(hop, &names, err);

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

enum outcome hop_defer(const struct dir *hop, const char *name, uint64_t due, struct error *err)
{
	char bucket[32];
	struct dir d;
	enum outcome outcome;

	hop_bucket(due, bucket);
	outcome = dir_make(&d, hop, bucket, 0700, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_rename(hop, name, &d, name, err);
	dir_close(&d);
	return outcome;
}

enum outcome hop_read(const struct dir *d, const char *name, struct entry *e, struct error *err)
{
	struct buf text;
	enum outcome outcome;

	entry_init(e);
	buf_init(&text, LIMIT_ENTRY);
	outcome = file_read(d, name, &text, err);
	if (outcome == OUTCOME_DONE) {
		outcome = entry_parse(e, view_buf(&text), err);
		if (outcome != OUTCOME_DONE)
			error_context(err, "%s/%s", d->path, name);
	}
	buf_release(&text);
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
