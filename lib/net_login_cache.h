/*
 * Logins that were right, remembered as keyed hashes over all that made them right: file, user, password, and what stood in the
 * file for that user. A changed password or a user that was taken out is another hash, so nothing has to be forgotten for it. The key is random
 * and of this process; it and the hashes are in libsodium's memory, which is in no core file, and are wiped at the end.
 * What is remembered makes no wrong password faster or slower: all is looked through, whoever asks.
 */
#ifndef LIB_NET_LOGIN_CACHE_H
#define LIB_NET_LOGIN_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/buf.h"

/* Logins that are remembered; the one that was checked longest ago makes room. */
#define LOGIN_CACHE_MAX 1024
/* Seconds after which a password is hashed again, though it was right: four hours. */
#define LOGIN_CACHE_MEMORY 14400

struct login_cache;

#define LOGIN_DIGEST 32

struct login_digest {
	uint8_t bytes[LOGIN_DIGEST];
};

/* Null when libsodium has no memory: then nothing is remembered. */
struct login_cache *login_cache_make(void);
void login_cache_free(struct login_cache *c); /* null-safe */
/* What stands for a login. PATH, USER and PASSWORD as given, STANDS what the file says. */
void login_cache_digest(const struct login_cache *c, const char *path, const char *user, const char *password,
    struct view stands, struct login_digest *digest);
/* NOW: seconds of a clock that only goes forward. */
bool login_cache_has(const struct login_cache *c, const struct login_digest *digest, uint64_t now);
void login_cache_add(struct login_cache *c, const struct login_digest *digest, uint64_t now);

#endif
