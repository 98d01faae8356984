/*
 * A user's Maildir (mail/USER: new, cur) as a POP3 maildrop: locked while it is open, so that there is one session at a
 * time; its messages numbered from 0 in the order of the time in their names, of the same second the shorter name first;
 * removed at the end only.
 *
 *	maildrop_open(&d, &mail, "maria", &in_use, &err)
 *	maildrop_octets(d, n), maildrop_uid(d, n, &out)
 *	maildrop_message(d, n, &fd, &size, &err)           read it, file_close
 *	maildrop_remove(d, numbers, count, &removed, &err) UPDATE
 *	maildrop_close(d)
 *
 * Messages stay where they are, under the names that they have: opening changes nothing of them. What another program has
 * moved meanwhile (from new to cur, with other flags) is found again by the unique part of its name: what stands before
 * ':', ",S=" and ",W=". Mail that arrives later is seen by the next who opens. Dot files, directories and links are no
 * messages.
 *
 * UIDs. 16 characters: 96 bits of a hash of the unique part of the name, under a key that is the same everywhere. They
 * need no file, so none can be lost: they outlive restarts, flags, moves to another host, and come back with a restored
 * Maildir. They are never reused since names never are: one of our own holds the id of the message, whose incarnation is
 * made anew when a host's state is (lib/id.h); other programs put in time, process and a counter. A restore brings back
 * the messages themselves, and those have the UID that they had.
 *
 * Two files with the same unique part (somebody copied one by hand) are two messages. The one last modified earlier has
 * the UID of the name; the other's is of the name, its time of modification and its size, which copies of the whole
 * Maildir keep (cp -a). When the earlier one goes, the other is the only one of that name, and gets its UID. Two names of
 * one file, as a move leaves them for a moment, are one message.
 *
 * Octets. Names of our own and of some others tell them (",W="); what a file really holds is what is sent, whatever its
 * name says. For the rest there is the index (maildrop_index.h): each is read once, by whoever opens first.
 *
 * The list. Of a large Maildir at rest it is kept in the index, with inode, time of modification and of change of new and
 * cur. When those are still the same, opening is two looks at directories and one file to read. What comes, goes or gets
 * another name changes the times, unless that is within the same tick of the file system's clock as the change before: so the
 * list of a directory that has changed in the last seconds, as that clock counts them, is not kept. No program can set the
 * time of change back; where the clock itself is set back, only a change in the very tick of an earlier one could hide.
 *
 * Opening and removing may take long (a large Maildir, a slow disk) and belong in a thread. A maildrop is used by one
 * thread at a time, whichever. It holds two descriptors, and some 32 bytes and its name for each message.
 */
#ifndef BRIDGE_POP3_MAILDROP_H
#define BRIDGE_POP3_MAILDROP_H

#include "lib/file.h"
#include "lib/id.h"

struct maildrop;

/*
 * Opens the Maildir USER below MAIL; USER must be a valid name (user_name_valid). *D is null unless done. *IN_USE: somebody
 * else has it open, and that is the error. No such Maildir is "never"; where that may have another cause, as a disk that is
 * not mounted (maildir_find), it is "later".
 */
enum outcome maildrop_open(
    struct maildrop **d, const struct dir *mail, const char *user, bool *in_use, struct error *err);
void maildrop_close(struct maildrop *d); /* null-safe */
/* What went wrong without harm at opening, as an index that cannot be written; null: nothing. Valid as long as D. */
const char *maildrop_trouble(const struct maildrop *d);

size_t maildrop_count(const struct maildrop *d);
/* Octets of message NUMBER as POP3 sends it, before dots are doubled. */
uint64_t maildrop_octets(const struct maildrop *d, size_t number);
/* Appends the UID of message NUMBER. */
void maildrop_uid(const struct maildrop *d, size_t number, struct buf *out);
/*
 * Was the file written by us? Then every LF in it stands for CRLF, also one behind a CR, which is a part of the text
 * (queue/canonical.h); in those of others CRLF is CRLF.
 */
bool maildrop_own(const struct maildrop *d, size_t number);
/* The message whose recipient with that index packetboat delivered as message NUMBER; false: its name is of another program. */
bool maildrop_origin(const struct maildrop *d, size_t number, struct id *id, uint32_t *index);

/* Opens the file of message NUMBER for reading; *SIZE: octets in it. EX_NOINPUT when it is gone. */
enum outcome maildrop_message(struct maildrop *d, size_t number, int *fd, uint64_t *size, struct error *err);
/* The file of message NUMBER in the Maildir, as it was last seen, for sentences. */
const char *maildrop_name(const struct maildrop *d, size_t number);
/* Message NUMBER of D is no more. */
typedef void maildrop_removed(void *context, const struct maildrop *d, size_t number);
/*
 * Removes the messages NUMBERS, durably; one that is gone already is no error. All that can be removed are, also when some
 * cannot: then ERR has the first reason and how many stay. TELL (may be null) hears of each file that was removed, before the
 * next is.
 */
enum outcome maildrop_remove(struct maildrop *d, const uint32_t *numbers, size_t count, maildrop_removed *tell,
    void *context, struct error *err);

#endif
