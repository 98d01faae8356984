/*
 * The index of a Maildir: octets of messages whose names do not tell them. One file in the Maildir, replaced as a whole,
 * and of no value of its own: one that is missing, damaged or wrong is thrown away, and made again from the messages.
 *
 *	"PBOCTET1", number of entries, then for each: key (8 octets), size of the file, octets added on the wire;
 *	at the end a checksum (8 octets) of all before it
 *
 * Numbers are varints (lib/wire.h), key and checksum little-endian; entries in the order of their keys, each key once.
 */
#ifndef BRIDGE_POP3_MAILDROP_INDEX_H
#define BRIDGE_POP3_MAILDROP_INDEX_H

#include "lib/buf.h"

struct index_entry {
	uint64_t key;	/* front of the UID */
	uint64_t size;	/* of the file */
	uint32_t added; /* octets that line ends add */
};

struct size_index {
	struct index_entry *items;
	size_t count;
	size_t capacity;
};

/* False, and an empty index, when BYTES is no index. Reads into X what index_print wrote. */
bool index_parse(struct size_index *x, struct view bytes);
/* Sorts X and appends it as a file. Entries of the same key are cut down to one. */
void index_print(struct size_index *x, struct buf *out);
void index_add(struct size_index *x, uint64_t key, uint64_t size, uint32_t added);
/* X must be as index_parse made it. Null when it does not know KEY. */
const struct index_entry *index_find(const struct size_index *x, uint64_t key);
void index_release(struct size_index *x);

#endif
