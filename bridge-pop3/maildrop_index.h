/*
 * The index of a Maildir: the list of its messages in their order, with their octets, as long as that is what new and cur
 * hold; and behind that time at least the octets of the messages whose names do not tell them. One file in the Maildir,
 * replaced as a whole, and of no value of its own: one that is missing, damaged or wrong is thrown away, and made again from
 * the directories and the messages.
 *
 *	"PBDROP1\n"; for new, then cur: inode, and seconds and nanoseconds of its two times (of modification, of change), five
 *	numbers of 8 octets, all 0 when no list is kept; number of entries, then for each:
 *		1 octet		1: in cur, 2: its octets were counted
 *		1 octet		octets of its name that are those of the entry before
 *		1 octet		octets that follow of it
 *		octets		the rest of its name
 *		1 octet		length of the unique part
 *		varint		seconds, more than those of the entry before
 *		varint		octets as POP3 sends it
 *		varint		if counted: how many of them line ends add
 *	at the end a checksum (8 octets) of all before it
 *
 * Varints are those of lib/wire.h, numbers of 8 octets little-endian. Entries are in the order of the list; of a name as much
 * as can be is that of the entry before. So there is one form for each list.
 */
#ifndef BRIDGE_POP3_MAILDROP_INDEX_H
#define BRIDGE_POP3_MAILDROP_INDEX_H

#include "bridge-pop3/maildrop_list.h"

enum index_scope {
	INDEX_LIST,    /* all messages, which are what the directories hold that have the list's stamps */
	INDEX_COUNTED, /* those whose octets were counted, and no stamps */
};

/* False, and an empty list, when BYTES is no index. Reads into L what index_print wrote. */
bool index_parse(struct mail_list *l, struct view bytes);
/* Appends the index of L. All that is in it must have octets for INDEX_LIST. */
void index_print(const struct mail_list *l, enum index_scope scope, struct buf *out);

#endif
