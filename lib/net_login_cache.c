#include "lib/net_login_cache.h"

#include <sodium.h>

struct known {
	struct login_digest digest;
	uint64_t until; /* 0: nothing */
};

struct login_cache {
	uint8_t key[crypto_generichash_KEYBYTES];
	struct known known[LOGIN_CACHE_MAX];
};

struct login_cache *login_cache_make(void)
{
	struct login_cache *c = sodium_malloc(sizeof *c);

	if (c == NULL)
		return NULL;
	sodium_memzero(c, sizeof *c);
	crypto_generichash_keygen(c->key);
	return c;
}

void login_cache_free(struct login_cache *c)
{
	sodium_free(c);
}

/* With its length in front, so that no two lists of parts hash the same octets. */
static void part_add(crypto_generichash_state *state, const void *bytes, size_t length)
{
	uint64_t size = length;

	crypto_generichash_update(state, (const uint8_t *)&size, sizeof size);
	crypto_generichash_update(state, bytes, length);
}

void login_cache_digest(const struct login_cache *c, const char *path, const char *user, const char *password,
    struct view stands, struct login_digest *digest)
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, c->key, sizeof c->key, sizeof digest->bytes);
	part_add(&state, path, strlen(path));
	part_add(&state, user, strlen(user));
	part_add(&state, password, strlen(password));
	part_add(&state, stands.bytes, stands.length);
	crypto_generichash_final(&state, digest->bytes, sizeof digest->bytes);
	sodium_memzero(&state, sizeof state);
}

bool login_cache_has(const struct login_cache *c, const struct login_digest *digest, uint64_t now)
{
	unsigned found = 0;

	for (size_t i = 0; i < LOGIN_CACHE_MAX; i++) {
		const struct known *k = &c->known[i];

		found |= (unsigned)(sodium_memcmp(k->digest.bytes, digest->bytes, LOGIN_DIGEST) == 0) &
			 (unsigned)(now < k->until);
	}
	return found != 0;
}

void login_cache_add(struct login_cache *c, const struct login_digest *digest, uint64_t now)
{
	size_t place = 0;

	/* What is over, or over first, makes room; the same login takes its own place. */
	for (size_t i = 0; i < LOGIN_CACHE_MAX; i++) {
		if (memcmp(c->known[i].digest.bytes, digest->bytes, LOGIN_DIGEST) == 0) {
			place = i;
			break;
		}
		if (c->known[i].until < c->known[place].until)
			place = i;
	}
	c->known[place] = (struct known){.digest = *digest, .until = now + LOGIN_CACHE_MEMORY};
}
