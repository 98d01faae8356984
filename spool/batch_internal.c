#include "spool/batch_internal.h"

/* Key of the chunks: BLAKE2b-256 of domain, shared secret and both public keys. SECRET is the caller's half.
 */
static uint8_t *derive(const uint8_t *secret, const uint8_t *other, const uint8_t *ephemeral, const uint8_t *receiver)
{
	uint8_t *shared = sodium_malloc(crypto_scalarmult_BYTES);
	uint8_t *key = sodium_malloc(crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
	crypto_generichash_state hash;

	if (shared == NULL || key == NULL || crypto_scalarmult(shared, secret, other) != 0) {
		sodium_free(key);
		sodium_free(shared);
		return NULL;
	}
	crypto_generichash_init(&hash, NULL, 0, crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
	crypto_generichash_update(&hash, (const uint8_t *)BATCH_SEAL_DOMAIN, sizeof BATCH_SEAL_DOMAIN);
	crypto_generichash_update(&hash, shared, crypto_scalarmult_BYTES);
	crypto_generichash_update(&hash, ephemeral, crypto_box_PUBLICKEYBYTES);
	crypto_generichash_update(&hash, receiver, crypto_box_PUBLICKEYBYTES);
	crypto_generichash_final(&hash, key, crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
	sodium_memzero(&hash, sizeof hash);
	sodium_free(shared);
	return key;
}

uint8_t *batch_seal_for(const uint8_t peer[crypto_box_PUBLICKEYBYTES], uint8_t ephemeral[crypto_box_PUBLICKEYBYTES])
{
	uint8_t *secret = sodium_malloc(crypto_box_SECRETKEYBYTES);
	uint8_t *key = NULL;

	if (secret != NULL && crypto_box_keypair(ephemeral, secret) == 0)
		key = derive(secret, peer, ephemeral, peer);
	sodium_free(secret);
	return key;
}

uint8_t *batch_seal_from(const struct host_keys *keys, const uint8_t ephemeral[crypto_box_PUBLICKEYBYTES])
{
	return derive(keys->seal_secret, ephemeral, ephemeral, keys->public.seal);
}

void batch_seal_hash(struct view header, uint8_t hash[BATCH_SEAL_HASH])
{
	crypto_generichash(hash, BATCH_SEAL_HASH, header.bytes, header.length, NULL, 0);
}

/* The number of the chunk in the first 8 bytes, little end first; 1 in the last byte for the last chunk. */
static void chunk_nonce(const struct batch_chunk_id *id, uint8_t nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES])
{
	memset(nonce, 0, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
	for (unsigned i = 0; i < 8; i++)
		nonce[i] = (uint8_t)(id->number >> 8 * i);
	nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES - 1] = id->place == BATCH_CHUNK_LAST;
}

void batch_chunk_seal(const struct batch_chunk_id *id, uint8_t *bytes, size_t length)
{
	uint8_t nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];

	chunk_nonce(id, nonce);
	crypto_aead_xchacha20poly1305_ietf_encrypt_detached(
	    bytes, bytes + length, NULL, bytes, length, id->header_hash, BATCH_SEAL_HASH, NULL, nonce, id->key);
}

bool batch_chunk_open(const struct batch_chunk_id *id, uint8_t *bytes, size_t length)
{
	uint8_t nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];

	chunk_nonce(id, nonce);
	return crypto_aead_xchacha20poly1305_ietf_decrypt_detached(
		   bytes, NULL, bytes, length, bytes + length, id->header_hash, BATCH_SEAL_HASH, nonce, id->key) == 0;
}
