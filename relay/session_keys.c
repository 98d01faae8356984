#include "relay/session_keys.h"

#include <string.h>

static const char context[] = "packetboat call 1";

void session_hint(
    const struct public_keys *caller, const struct public_keys *answerer, uint8_t hint[static SESSION_HINT])
{
	crypto_generichash_state state;
	uint8_t whole[crypto_generichash_BYTES_MIN];

	crypto_generichash_init(&state, (const uint8_t *)context, sizeof context - 1, sizeof whole);
	crypto_generichash_update(&state, caller->seal, sizeof caller->seal);
	crypto_generichash_update(&state, answerer->seal, sizeof answerer->seal);
	crypto_generichash_final(&state, whole, sizeof whole);
	memcpy(hint, whole, SESSION_HINT);
}

void session_keys_wipe(struct session_keys *k)
{
	sodium_memzero(k, sizeof *k);
}

/* CHAIN and a key for one purpose come from CHAIN and what is new. */
static void mix(struct session_keys *k, const uint8_t *new, size_t length, const char *purpose)
{
	uint8_t next[2 * SESSION_KEY];
	crypto_generichash_state state;

	crypto_generichash_init(&state, k->chain, sizeof k->chain, sizeof next);
	crypto_generichash_update(&state, (const uint8_t *)purpose, strlen(purpose));
	crypto_generichash_update(&state, new, length);
	crypto_generichash_final(&state, next, sizeof next);
	memcpy(k->chain, next, SESSION_KEY);
	memcpy(k->key, next + SESSION_KEY, SESSION_KEY);
	sodium_memzero(next, sizeof next);
	sodium_memzero(&state, sizeof state);
}

/* Mixes in the secret of our SECRET and their PUBLIC. False: a key that gives the same secret with everybody. */
static bool agree(struct session_keys *k, const uint8_t *secret, const uint8_t *public)
{
	uint8_t shared[crypto_scalarmult_BYTES];
	bool good = crypto_scalarmult(shared, secret, public) == 0;

	if (good)
		mix(k, shared, sizeof shared, "secret");
	sodium_memzero(shared, sizeof shared);
	return good;
}

/* What both know before a word is said. */
static void begin(struct session_keys *k, const struct public_keys *caller, const struct public_keys *answerer)
{
	memset(k->chain, 0, sizeof k->chain);
	mix(k, (const uint8_t *)context, sizeof context - 1, "context");
	mix(k, caller->seal, sizeof caller->seal, "caller");
	mix(k, answerer->seal, sizeof answerer->seal, "answerer");
}

static void make_pair(struct session_keys *k)
{
	randombytes_buf(k->secret, sizeof k->secret);
	crypto_scalarmult_base(k->public, k->secret);
}

/* The tag over the clear octets of HEAD, which is the first message under its key. */
static void tag_make(const struct session_keys *k, struct view head, uint8_t tag[static SESSION_TAG])
{
	static const uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

	crypto_aead_chacha20poly1305_ietf_encrypt_detached(
	    tag, tag, NULL, NULL, 0, head.bytes, head.length, NULL, nonce, k->key);
}

static bool tag_good(const struct session_keys *k, struct view message)
{
	struct view head = view_of(message.bytes, message.length - SESSION_TAG);
	uint8_t tag[SESSION_TAG];

	tag_make(k, head, tag);
	return sodium_memcmp(tag, message.bytes + head.length, sizeof tag) == 0;
}

static void finish_message(struct session_keys *k, size_t begin_at, struct view payload, struct buf *out)
{
	uint8_t tag[SESSION_TAG];

	buf_byte(out, (uint8_t)payload.length);
	buf_view(out, payload);
	tag_make(k, view_from(view_buf(out), begin_at), tag);
	buf_append(out, tag, sizeof tag);
	mix(k, out->bytes + begin_at, out->length - begin_at, "message");
}

bool session_hello(struct session_keys *k, const struct host_keys *ours, const struct public_keys *peer,
    struct view payload, struct buf *out)
{
	uint8_t hint[SESSION_HINT];
	size_t begin_at = out->length;

	begin(k, &ours->public, peer);
	make_pair(k);
	if (!agree(k, k->secret, peer->seal) || !agree(k, ours->seal_secret, peer->seal))
		return false;
	session_hint(&ours->public, peer, hint);
	buf_text(out, SESSION_MAGIC);
	buf_byte(out, SESSION_VERSION);
	buf_append(out, hint, sizeof hint);
	buf_append(out, k->public, sizeof k->public);
	finish_message(k, begin_at, payload, out);
	return true;
}

bool session_hello_good(
    struct session_keys *k, const struct host_keys *ours, const struct public_keys *peer, struct view hello)
{
	const uint8_t *ephemeral = hello.bytes + 4 + SESSION_HINT;

	begin(k, peer, &ours->public);
	if (!agree(k, ours->seal_secret, ephemeral) || !agree(k, ours->seal_secret, peer->seal) ||
	    !tag_good(k, hello))
		return false;
	memcpy(k->public, ephemeral, sizeof k->public); /* theirs, until the answer is made */
	mix(k, hello.bytes, hello.length, "message");
	return true;
}

/* The keys of the two directions; the caller's comes first. */
static void split(struct session_keys *k, uint8_t *caller, uint8_t *answerer)
{
	mix(k, NULL, 0, "from the caller");
	memcpy(caller, k->key, SESSION_KEY);
	mix(k, NULL, 0, "from the answerer");
	memcpy(answerer, k->key, SESSION_KEY);
	sodium_memzero(k->secret, sizeof k->secret);
	sodium_memzero(k->key, sizeof k->key);
	sodium_memzero(k->chain, sizeof k->chain);
}

bool session_answer(struct session_keys *k, const struct public_keys *peer, struct view payload, struct buf *out)
{
	uint8_t theirs[SESSION_KEY];
	size_t begin_at = out->length;

	memcpy(theirs, k->public, sizeof theirs);
	make_pair(k);
	if (!agree(k, k->secret, theirs) || !agree(k, k->secret, peer->seal))
		return false;
	buf_append(out, k->public, sizeof k->public);
	finish_message(k, begin_at, payload, out);
	split(k, k->receive, k->send);
	return true;
}

bool session_answer_good(struct session_keys *k, const struct host_keys *ours, struct view answer)
{
	if (!agree(k, k->secret, answer.bytes) || !agree(k, ours->seal_secret, answer.bytes) || !tag_good(k, answer))
		return false;
	mix(k, answer.bytes, answer.length, "message");
	split(k, k->send, k->receive);
	return true;
}
