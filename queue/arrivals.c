#include "queue/arrivals.h"

#include "lib/alloc.h"
#include "lib/text.h"
#include "queue/arrival_log.h"

enum outcome arrivals_open(struct arrivals *a, struct queue *q, struct error *err)
{
	(void)err;
	*a = (struct arrivals){.queue = q, .fd = -1};
	return OUTCOME_DONE;
}

void arrivals_seal(struct arrivals *a)
{
	/* With the descriptor goes its flock, by which a drain knows that the log has a writer. */
	file_close(&a->fd);
	a->size = 0;
}

void arrivals_close(struct arrivals *a)
{
	arrivals_seal(a);
}

/* A log in hand that takes SIZE octets more. */
static enum outcome log_ready(struct arrivals *a, uint64_t size, struct error *err)
{
	char stem[40];

	if (a->size > 0 && a->size + size > ARRIVALS_LOG_MAX)
		arrivals_seal(a);
	if (a->fd >= 0)
		return OUTCOME_DONE;
	tmp_name(stem);
	snprintf(a->name, sizeof a->name, "%s" ARRIVAL_SUFFIX, stem);
	arrival_key(a->name, a->key);
	return file_create(&a->queue->arrivals, a->name, &a->fd, err);
}

/*
 * Takes back what a failed append may have left, so that no record ever stands behind garbage. After a failed sync nobody
 * knows what the disk has of the block that the last good record shares with the lost ones: the log is drained from memory
 * soon, and another is begun.
 */
static void log_cut(struct arrivals *a, bool sync_failed)
{
	if (file_truncate(a->fd, a->size, a->name, NULL) != OUTCOME_DONE || sync_failed)
		arrivals_seal(a);
}

/* PARTS become the end of the log; ADDED octets. */
static enum outcome log_append(
    struct arrivals *a, const struct view *parts, size_t count, uint64_t added, struct error *err)
{
	bool sync_failed = false;
	enum outcome outcome = file_write_parts_at(a->fd, parts, count, a->size, a->name, err);

	if (outcome == OUTCOME_DONE) {
		outcome = file_sync_data(a->fd, a->name, err);
		if (outcome == OUTCOME_DONE && a->size == 0)
			outcome = dir_sync(&a->queue->arrivals, err);
		sync_failed = outcome != OUTCOME_DONE;
	}
	if (outcome == OUTCOME_DONE)
		a->size += added;
	else
		log_cut(a, sync_failed);
	return outcome;
}

/* The octets of all records, or 0 when a message is too large for a log. */
static uint64_t records_size(const struct view *messages, size_t count)
{
	uint64_t size = ARRIVAL_MAGIC;

	for (size_t i = 0; i < count; i++) {
		if (messages[i].length > ARRIVAL_IMAGE_MAX || messages[i].length < MESSAGE_FRAME)
			return 0;
		size += ARRIVAL_HEAD + messages[i].length;
	}
	return size;
}

enum outcome arrivals_append(struct arrivals *a, const struct view *messages, size_t count, struct error *err)
{
	uint8_t magic[ARRIVAL_MAGIC];
	uint64_t size = records_size(messages, count);
	uint64_t added = 0;
	uint8_t *heads;
	struct view *parts;
	size_t used = 0;
	enum outcome outcome;

	if (count == 0)
		return OUTCOME_DONE;
	if (size == 0)
		return error_set(err, EX_SOFTWARE, "a message of that size does not go into an arrival log");
	outcome = queue_space(a->queue, size, err);
	if (outcome == OUTCOME_DONE)
		outcome = log_ready(a, size, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	heads = mem_array(count, ARRIVAL_HEAD);
	parts = mem_array(2 * count + 1, sizeof parts[0]);
	if (a->size == 0) {
		arrival_magic(magic);
		parts[used++] = view_of(magic, sizeof magic);
		added = sizeof magic;
	}
	for (size_t i = 0; i < count; i++) {
		uint8_t *head = heads + i * ARRIVAL_HEAD;

		arrival_head(a->key, a->size + added, (uint32_t)messages[i].length, head);
		parts[used++] = view_of(head, ARRIVAL_HEAD);
		parts[used++] = messages[i];
		added += ARRIVAL_HEAD + messages[i].length;
	}
	outcome = log_append(a, parts, used, added, err);
	free(parts);
	free(heads);
	if (outcome == OUTCOME_DONE && a->size >= ARRIVALS_LOG_MAX)
		arrivals_seal(a);
	return outcome;
}

uint64_t arrivals_waiting(const struct queue *q)
{
	struct names names;
	uint64_t all = 0;

	if (dir_names(&q->arrivals, &names, NULL) != OUTCOME_DONE)
		return 0;
	for (size_t i = 0; i < names.count; i++) {
		uint64_t size;

		if (text_ends(names.items[i], ARRIVAL_SUFFIX) && file_exists(&q->arrivals, names.items[i], &size))
			all += size;
	}
	names_release(&names);
	return all;
}
