/*
 * The messages of a Maildir, read from its directories without looking at any file. For maildrop.c alone.
 */
#ifndef BRIDGE_POP3_MAILDROP_LIST_H
#define BRIDGE_POP3_MAILDROP_LIST_H

#include "lib/file.h"

#define MAILDROP_UID  12  /* bytes of a UID before it is made text */
#define MAIL_PLACES   2	  /* new and cur */
#define MAIL_PLACE    4	  /* octets of "new/" and "cur/" */
#define MAIL_NAME_MAX 255 /* octets of a name: a file has no longer one */

enum {
	MAIL_OCTETS = 1, /* they are known */
	MAIL_INDEX = 2,	 /* from the index */
	MAIL_TWIN = 4,	 /* another file has the same unique part: what tells them apart is in `twins` */
	MAIL_GONE = 8,	 /* its file was looked for and not found */
};

struct mail {
	const char *path; /* "new/NAME" or "cur/NAME", in a block of the list */
	uint64_t octets;
	uint32_t added; /* MAIL_INDEX: octets that the file does not hold itself, for its line ends */
	uint32_t time;	/* seconds, from the front of the name; UINT32_MAX: that, or more */
	uint8_t unique; /* length of the unique part of the name */
	uint8_t flags;
};

struct mail_twin {
	size_t number;
	uint64_t inode;
	uint8_t uid[MAILDROP_UID];
};

struct mail_block;

struct mail_list {
	struct mail *items; /* sorted */
	size_t count;
	size_t capacity;
	struct mail_block *blocks; /* hold the paths */
	struct mail_twin *twins;   /* by number */
	size_t twin_count;
	size_t twin_capacity;
	/* Of new and cur, before they were read. Nothing was seen to happen in them meanwhile: CALM. */
	struct dir_stamp stamps[MAIL_PLACES];
	bool calm;
};

/* Reads new and cur below BOX. L is set in every case. */
enum outcome mail_list_read(struct mail_list *l, const struct dir *box, struct error *err);
/* Have new and cur the stamps that L has? */
bool mail_list_current(const struct mail_list *l, const struct dir *box);
/*
 * What OLD knows of M: the message with that unique part, if it is the only one in both, else the one with that path; null:
 * nothing. M of one call comes behind that of the call before; *AT, from 0, is for the way.
 */
const struct mail *mail_list_known(const struct mail_list *old, size_t *at, const struct mail *m);
/* Which of two comes first: below 0, A. 0: their unique parts are the same. */
int mail_list_order(const struct mail *a, const struct mail *b);
/* Room for a path that is released with L. */
char *mail_list_room(struct mail_list *l, size_t size);
void mail_list_release(struct mail_list *l);
/* Reads the directories once more: the messages of L get the paths that they have now, or MAIL_GONE. */
enum outcome mail_list_follow(struct mail_list *l, const struct dir *box, struct error *err);
/* What the UID of message NUMBER is made of. */
void mail_list_uid(const struct mail_list *l, size_t number, uint8_t uid[static MAILDROP_UID]);
struct view mail_unique(const struct mail *m);
/* Removes the messages with MAIL_GONE from L. */
void mail_list_forget_gone(struct mail_list *l);

/*
 * The length of the unique part of NAME (LENGTH octets), and the octets that ",W=" tells: 0 when it does not, or tells what
 * cannot be. With ",S=", the size of the file, it must be between that and twice that, since only line ends are added.
 */
size_t mail_name_parse(const char *name, size_t length, uint64_t *octets);

#endif
