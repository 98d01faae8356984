/*
 * The users of the bridges: who has a password, and which sender addresses he may use. A user exists when mail/USER is
 * a Maildir; the password file has a line for each who may log in:
 *
 *	USER:HASH[:SENDER,SENDER...]
 *
 * HASH as crypto_pwhash_str makes it. The file is replaced as a whole under the lock "users".
 */
#ifndef QUEUE_USERS_H
#define QUEUE_USERS_H

#include "queue/config.h"
#include "queue/queue.h"

/*
 * Argon2id with as much memory as this, twice over it: what OWASP asks for at least. No more, because the bridges do it
 * at every login and may use 32 MB; so they do one at a time.
 */
#define USERS_HASH_MEMORY ((size_t)19 << 20)
#define USERS_HASH_PASSES 2
/* Longer ones are refused before they are hashed. */
#define USERS_PASSWORD_MAX 1024

/* The password file, read whole. */
struct users {
	struct dir dir; /* that holds the file */
	char *name;	/* of the file within it */
	struct buf text;
	struct lock lock;
};

enum users_purpose { USERS_READ, USERS_CHANGE };

/* Reads the file at PATH (config.users); a missing one has no users. USERS_CHANGE holds the lock "users" of Q until
 * users_close; Q may be null for USERS_READ. */
enum outcome users_open(
    struct users *u, const struct queue *q, const char *path, enum users_purpose purpose, struct error *err);
void users_close(struct users *u);
/* Has USER a line? HASH (crypto_pwhash_STRBYTES octets) and SENDERS (either may be null) get what it says; SENDERS must be empty. */
bool users_find(const struct users *u, const char *user, char *hash, struct strings *senders);
/* Replaces the line of USER, durably; a null HASH takes it out. */
enum outcome users_set(
    struct users *u, const char *user, const char *hash, const struct strings *senders, struct error *err);

/* Which user SAID names at a login; free() it. Mail programs are fond of giving the whole address: behind the name a domain that is
 * at home here says nothing. */
char *users_said(const struct config *c, const char *said);
/*
 * Logging in, in two steps (lib/net_login.h). What stands for USER in the file at PATH: his hash, or, when there is no such
 * user, one of the same length that no password fits. Cheap: the file is read.
 */
enum outcome users_stands(const char *path, const char *user, struct buf *out, struct error *err);
/*
 * Does PASSWORD fit? EX_NOUSER ("never") when not, with the same sentence and after the same work whether there is such a
 * user or not. Takes tens of milliseconds and USERS_HASH_MEMORY.
 */
enum outcome users_check(struct view stands, const char *password, struct error *err);

/*
 * May USER send with the address SENDER? Any address that leads to his box alone (his name at a domain of ours, with a
 * tag, by an alias of one), those on his list ("user@domain", "*@domain", "*"), and the null sender.
 */
bool users_may_send(
    const struct users *u, const struct config *c, const struct dir *mail, const char *user, const char *sender);

#endif
