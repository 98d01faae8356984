/*
 * What the log says last of the names in the queue that a relay pass could not move, its lines "trouble". Whatever keeps mail
 * back is said again by every pass, so only the end of the present log is read, and only when something is asked for.
 *
 *	struct troubles t = {.spool = &queue.spool};
 *	trouble_reason(&t, place, entry, &out); ...
 *	troubles_release(&t);
 */
#ifndef TOOLS_TROUBLE_H
#define TOOLS_TROUBLE_H

#include "queue/queue.h"

struct trouble {
	char *name; /* of a file in the queue, without the mark of a claim */
	char *at;   /* as the log has it */
	char *reason;
	size_t order;
};

struct troubles {
	const struct dir *spool; /* borrowed */
	bool read;
	struct trouble *items;
	size_t count;
	size_t capacity;
};

/* entry_reason, and behind it when a pass failed to move what lies at PLACE last, and why, as far as the log tells. */
void trouble_reason(struct troubles *t, const struct queue_place *place, const struct entry *e, struct buf *out);
void troubles_release(struct troubles *t);

#endif
