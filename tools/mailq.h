/*
 * The waiting mail in the layout that people and scripts know from `mailq`: one entry a record, with its
 * size, when it came, its sender, the reason why it still waits in parentheses before the recipients it is
 * about, and a sum or "Mail queue is empty" as the last line. A '*' behind the id: on its way in a batch;
 * '!': held.
 */
#ifndef TOOLS_MAILQ_H
#define TOOLS_MAILQ_H

#include "queue/queue.h"

enum outcome mailq_print(const struct queue *queue, FILE *out, struct error *err);

#endif
