/*
 * The parts that settling is made of; nobody else includes this.
 *
 *	settle.c	  opens, decides, commits, finishes
 *	settle_reports.c  the delivery-status reports that ends call for
 */
#ifndef QUEUE_SETTLE_PARTS_H
#define QUEUE_SETTLE_PARTS_H

#include "queue/settle.h"

/* Makes the reports that are due and stages them; those made before a failure are not made again. */
enum outcome settle_reports_make(struct settle *s, struct settle_item *item, struct error *err);
/* Logs them, once the record that makes them true is durable. */
void settle_reports_log(struct settle *s, const struct settle_item *item);
/* Seconds that a record has waited; 0 when the age file was lost and it seems to come from the future. */
uint64_t settle_lived(const struct settle *s, const struct entry *e);

#endif
