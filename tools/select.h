/*
 * Which records `packetboat list` shows, and what it says of each: pure, so that it can be held to tests.
 */
#ifndef TOOLS_SELECT_H
#define TOOLS_SELECT_H

#include "queue/queue.h"

struct selection {
	const char *sender;    /* address, "domain" or "@domain", "<>"; null: any */
	const char *recipient; /* the same */
	bool by_class;
	enum message_class class;
	uint64_t older; /* seconds; 0: any age */
};

/* Is ADDRESS what PATTERN says? Domains without regard to case. */
bool select_address(const char *pattern, const char *address);
/* Seconds that a record waits: by the age clock, or by the wall clock while it is not routed. */
uint64_t entry_age(const struct entry *e, const struct age *age);
bool select_entry(const struct selection *s, const struct entry *e, const struct age *age);
/* Why it still waits, in a few words; appended to OUT. */
void entry_reason(const struct queue_place *place, const struct entry *e, struct buf *out);

#endif
