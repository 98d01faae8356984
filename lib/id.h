/*
 * Identifiers of messages and batches: who made it, in which incarnation of that host's state, the how-manieth.
 * Printed as "village.abcdefg.12": lower case, safe as a file name on FAT.
 */
#ifndef LIB_ID_H
#define LIB_ID_H

#include "lib/buf.h"
#include "lib/limits.h"

struct id {
	char host[LIMIT_HOST_NAME + 1];
	uint32_t incarnation;
	uint64_t sequence;
};

void id_print(const struct id *id, char out[static LIMIT_ID]);
/* Parses exactly what id_print prints; a spelling of the same number with leading zeros is refused. */
bool id_parse(struct view text, struct id *id);
bool id_equal(const struct id *a, const struct id *b);
/* A name copied into an id's host field; false when it is not a valid host name. */
bool id_set_host(struct id *id, const char *host);
/* id_print of these: messages and batches are named alike. */
void id_label(const char *host, uint32_t incarnation, uint64_t sequence, char out[static LIMIT_ID]);

/* Seven characters of base32 for an incarnation. */
#define INCARNATION_TEXT 8
void incarnation_print(uint32_t incarnation, char out[static INCARNATION_TEXT]);
bool incarnation_parse(struct view text, uint32_t *incarnation);

#endif
