/*
 * How the two ends of a call prove their keys to one another, and get two keys for this call alone. In the manner of the
 * pattern KK of the Noise protocol: both know the other's X25519 key beforehand, each makes one more for the call, and
 * whoever can compute all four secrets of the two pairs is who he says. No signatures: 60 octets there, 48 back, without
 * what they carry.
 *
 *	hello    "PBC" 1, hint (8), ephemeral (32), length (1), payload, tag (16)
 *	answer   ephemeral (32), length (1), payload, tag (16)
 *
 * The payloads are in the clear and authenticated: they say how to go on, and nothing of hosts or mail.
 */
#ifndef RELAY_SESSION_KEYS_H
#define RELAY_SESSION_KEYS_H

#include "relay/session.h"

#define SESSION_MAGIC	    "PBC"
#define SESSION_VERSION	    1
#define SESSION_KEY	    32
#define SESSION_TAG	    16
#define SESSION_PAYLOAD	    64
#define SESSION_HELLO_HEAD  (4 + SESSION_HINT + SESSION_KEY + 1)
#define SESSION_ANSWER_HEAD (SESSION_KEY + 1)

struct session_keys {
	uint8_t secret[SESSION_KEY]; /* of this call's own pair */
	uint8_t public[SESSION_KEY];
	uint8_t chain[SESSION_KEY]; /* all that was agreed so far */
	uint8_t key[SESSION_KEY];   /* for the next tag */
	uint8_t send[SESSION_KEY];
	uint8_t receive[SESSION_KEY];
};

void session_keys_wipe(struct session_keys *k);

/* Caller: appends the hello to OUT. False: the neighbour's key is none that anything can be agreed with. */
bool session_hello(struct session_keys *k, const struct host_keys *ours, const struct public_keys *peer,
    struct view payload, struct buf *out);
/* Answerer: HELLO is whole. True: only the neighbour PEER can have made it, now or in an earlier call. */
bool session_hello_good(
    struct session_keys *k, const struct host_keys *ours, const struct public_keys *peer, struct view hello);
/* Answerer: appends the answer; SEND and RECEIVE are then known. */
bool session_answer(struct session_keys *k, const struct public_keys *peer, struct view payload, struct buf *out);
/* Caller: ANSWER is whole. True: it is from whom was called, for this call; SEND and RECEIVE are then known. */
bool session_answer_good(struct session_keys *k, const struct host_keys *ours, struct view answer);

#endif
