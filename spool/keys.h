/*
 * Host keys: Ed25519 for signing, X25519 for sealing, and the line by which one host's public keys are given to its
 * neighbours.
 *
 *	pb1.village.BASE32      one word: name, then base32 of 32 + 32 bytes of keys and 5 bytes of checksum
 *
 * The checksum is BLAKE2b over name and keys, so a typing error is found. The fingerprint is for reading out over a
 * voice radio: 8 groups of 4 letters or digits, of BLAKE2b over the same, joined by '-'.
 */
#ifndef SPOOL_KEYS_H
#define SPOOL_KEYS_H

#include <sodium.h>

#include "lib/file.h"
#include "lib/limits.h"

#define KEY_LINE_TEXT	     200
#define KEY_FINGERPRINT_TEXT 48

struct public_keys {
	char host[LIMIT_HOST_NAME + 1];
	uint8_t sign[crypto_sign_PUBLICKEYBYTES];
	uint8_t seal[crypto_box_PUBLICKEYBYTES];
};

/* Secret halves live in libsodium's guarded memory. */
struct host_keys {
	struct public_keys public;
	uint8_t *sign_secret; /* crypto_sign_SECRETKEYBYTES */
	uint8_t *seal_secret; /* crypto_box_SECRETKEYBYTES */
};

/* Makes new keys for HOST in directory DIR: "secret" (0600) and "public" (the key line). EX_CANTCREAT if either
 * exists; of two makers at once one wins. */
enum outcome keys_create(const struct dir *dir, const char *host, struct error *err);
/* Loads them; a missing, damaged or foreign (other host name) file is EX_CONFIG with advice. Only "secret" is needed:
 * "public" is for people and may be missing, but not say something else. */
enum outcome keys_load(struct host_keys *keys, const struct dir *dir, const char *host, struct error *err);
void keys_release(struct host_keys *keys);
/* Complains (EX_NOPERM) when the directory or the secret file is readable by others. */
enum outcome keys_check_mode(const struct dir *dir, struct error *err);

void key_line_print(const struct public_keys *keys, char out[static KEY_LINE_TEXT]);
/* Upper case and surrounding space do no harm. EX_DATAERR with a sentence: not a key line, wrong length, bad name,
 * checksum does not match ("a typing error?"). */
enum outcome key_line_parse(const char *line, struct public_keys *keys, struct error *err);
void key_fingerprint(const struct public_keys *keys, char out[static KEY_FINGERPRINT_TEXT]);

#endif
