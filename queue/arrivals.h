/*
 * The arrival log: many messages accepted with one sync. A daemon under load appends the messages that finish together to a
 * log of its own in spool/arrivals, waits for the disk once, answers all their senders, and lets the log be drained into
 * queue/new behind the answers. Message ids are given before a message is appended, so draining after a crash makes
 * the same names, and the steps below make none twice.
 *
 *	arrivals/NAME.log	being appended to (flock held by the writer), or sealed: to be drained
 *	arrivals/NAME.part/	its messages being written out; worth nothing
 *	arrivals/NAME.take/	its messages, whole and synced: the log is drained, and only these count
 *
 * queue/INTERNALS.md has the table of crashes, queue/arrival_log.h the form of a log.
 *
 *	arrivals_open(&a, &queue, &err);
 *	arrivals_append(&a, images, count, &err);     done: answer them all
 *	arrivals_seal(&a);                            now and then, so that nothing waits long in a log in hand
 *	arrivals_drain(&queue, NULL, &err);           in another thread, with a struct queue of its own
 *	arrivals_close(&a);
 */
#ifndef QUEUE_ARRIVALS_H
#define QUEUE_ARRIVALS_H

#include "queue/queue.h"

/* A log larger than this is sealed, and a new one begun. */
#define ARRIVALS_LOG_MAX ((uint64_t)8 << 20)
/* Octets in logs not yet drained (of all daemons on this spool) after which a daemon should let its senders wait for the
 * drain: arrivals_append itself never waits. */
#define ARRIVALS_MAX ((uint64_t)256 << 20)

struct arrivals {
	struct queue *queue; /* borrowed */
	char name[48];
	uint8_t key[16];
	int fd;	       /* -1: no log is open */
	uint64_t size; /* of what is accepted; 0: the log is not yet known to be on the disk at all */
};

enum outcome arrivals_open(struct arrivals *a, struct queue *q, struct error *err);
void arrivals_close(struct arrivals *a); /* seals */
/*
 * Appends COUNT whole message files as message_writer_finish makes them in memory (each at most 4 MB, see
 * queue/arrival_log.h), one sync for all; durable when it returns done. On failure none of them is accepted: the log is cut back, or
 * sealed if that fails too. Then they may be delivered all the same, should the machine crash or the cut have failed: so
 * what failed is answered with "try again later", and never appended a second time under its id.
 */
enum outcome arrivals_append(struct arrivals *a, const struct view *messages, size_t count, struct error *err);
/* Lets the log in hand be drained: nothing more is appended to it. */
void arrivals_seal(struct arrivals *a);
/* Octets that wait in logs, by their sizes: one look at a directory of some thirty names. */
uint64_t arrivals_waiting(const struct queue *q);

/*
 * Drains every log that no writer holds, and finishes what a crash left. If another process is at it, nothing is done.
 * *COUNT (may be null): messages moved to queue/new. A log whose end was torn by a crash yields what is whole before it; one with
 * damage before its end goes to corrupt/ after what could be read was taken out of it. A log that cannot be drained stays, and keeps
 * no other back; the first failure is returned.
 */
enum outcome arrivals_drain(struct queue *q, uint64_t *count, struct error *err);

#endif
