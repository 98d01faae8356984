/*
 * The lines of a box's state, for queue/fetched.c alone; queue/INTERNALS.md shows some.
 *
 * The first line says what it is. Each other line ends with a check over what stands before it, so that it counts or does not
 * count by itself.
 */
#ifndef QUEUE_FETCHED_FILE_H
#define QUEUE_FETCHED_FILE_H

#include "queue/fetched.h"

#define FETCHED_HEAD "packetboat-fetched 1\n"
/* The longest line: a UID, a reason, numbers and digests. */
#define FETCHED_LINE (FETCHED_UID_MAX + LIMIT_REASON + LIMIT_ID + 200)

enum fetched_line {
	FETCHED_LINE_BAD,
	FETCHED_LINE_ITEM,
	FETCHED_LINE_FAILURE, /* how often in a row, since when, and why; no times: it went well */
};

struct fetched_failure {
	uint64_t times;
	int64_t since;
	char *reason; /* owned; null: none */
};

void fetched_print_item(const struct fetched_item *item, struct buf *out);
void fetched_print_failure(const struct fetched_failure *failure, struct buf *out);
/* Reads LINE, without its LF; ITEM or FAILURE is set, and owned by the caller, as the kind says. */
enum fetched_line fetched_parse(struct view line, struct fetched_item *item, struct fetched_failure *failure);

/*
 * Walks over the lines of a whole file. *GOOD: octets up to behind the last good line; *DAMAGED: bad lines before that one (what stands
 * behind it is what a crash leaves of an append). VISIT takes over what is owned.
 */
typedef void fetched_visit(
    void *context, enum fetched_line kind, struct fetched_item *item, struct fetched_failure *failure);
void fetched_walk(struct view file, fetched_visit *visit, void *context, size_t *good, size_t *damaged);

#endif
