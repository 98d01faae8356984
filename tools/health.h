/*
 * What is worth telling of the machine and the spool as a whole: shared by `status` and `check`.
 */
#ifndef TOOLS_HEALTH_H
#define TOOLS_HEALTH_H

#include "queue/config.h"
#include "queue/queue.h"
#include "spool/peer.h"

enum health_level { HEALTH_NOTE, HEALTH_WARNING, HEALTH_ERROR };
typedef void health_tell(void *context, enum health_level level, const char *sentence);

/* Is the clock believable, and did it jump in the last days? */
void health_clock(const struct age *age, health_tell *tell, void *context);
/* Is there room on the disk of the spool, above min-free? */
void health_space(const struct queue *q, health_tell *tell, void *context);
/* How many files were set aside as damaged? */
void health_corrupt(const struct queue *q, health_tell *tell, void *context);
/* Outside boxes that cannot be emptied, or that nobody empties, what stays in them, and what is kept of boxes that no section names any
 * more. */
void health_boxes(
    const struct config *config, const struct queue *q, const struct age *age, health_tell *tell, void *context);
/*
 * Mailboxes that whoever owns the spool may not use, the first thing that is wrong with each, and what to do about it. Judged by owner
 * and mode, whoever asks.
 */
void health_mailboxes(const struct config *config, const struct queue *q, health_tell *tell, void *context);
/* The names in mail/ that users may have; free with names_release. */
enum outcome mailbox_names(const struct queue *q, struct names *names, struct error *err);
/* peer_load without a lock, to look only; a damaged file is EX_DATAERR with a sentence that says who sees to it. */
enum outcome peer_look(const struct queue *q, const char *name, struct peer *p, struct error *err);
/* "3h ahead", "2d behind, or its mail takes that long", for a neighbour's clock; null when it is near ours. */
char *clock_apart_text(int64_t seconds);

#endif
