/*
 * What a conn reads from and writes to: one socket or two descriptors, in clear or under TLS, never waiting. Knows
 * nothing of loops and buffers; net_conn.c alone uses it.
 *
 * SIGPIPE must be ignored (daemon_ignore_pipe) where pipes or TLS are used; plain sockets raise none.
 */
#ifndef LIB_NET_CHANNEL_H
#define LIB_NET_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "lib/origin.h"
#include "lib/error.h"
#include "lib/net_tls.h"

enum channel_result {
	CHANNEL_MOVED,
	CHANNEL_AGAIN, /* not now; `blocked` says what to wait for */
	CHANNEL_END,   /* the peer closed */
	CHANNEL_FAILED,
};

struct channel {
	int in, out;		 /* the same for a connection; -1: closed */
	int in_flags, out_flags; /* as they were; given back with standard descriptors, which others share */
	bool in_socket, out_socket;
	bool always_ready; /* `in` is a file: loops cannot wait for it */
	enum { BLOCKED_NOT, BLOCKED_READING, BLOCKED_WRITING } blocked;
	struct ssl_st *ssl; /* null in clear */
	bool secured;	    /* the handshake is done */
	bool broken;	    /* TLS failed: not another word of it */
	bool last; /* channel_end follows: what is written in clear may wait for it, to leave in one segment */
	struct tls *tls;
	char *tls_text;
	char peer[PEER_TEXT];
};

/* Takes over the descriptors and makes them non-blocking. */
void channel_init(struct channel *c, int in, int out);
/* The same of a stream socket of which all is known: non-blocking, close-on-exec, its peer ADDRESS, without Nagle. */
void channel_init_known(struct channel *c, int fd, const struct sockaddr *address, socklen_t length);
/* Sets `peer` from an address before a connection stands. */
void channel_name(struct channel *c, const struct sockaddr *address, socklen_t length);
/* Standard descriptors are not closed but made /dev/null. Safe at any point of the life. */
void channel_close(struct channel *c);
/* Reads up to SIZE octets. */
enum channel_result channel_read(struct channel *c, void *bytes, size_t size, size_t *got, struct error *err);
/* Are octets read that channel_read has not given yet? */
bool channel_holds(const struct channel *c);
/* Writes as many as the system takes now. */
enum channel_result channel_write(struct channel *c, const void *bytes, size_t size, size_t *sent, struct error *err);
/* The same past a TLS session that has not begun yet. */
enum channel_result channel_write_clear(
    struct channel *c, const void *bytes, size_t size, size_t *sent, struct error *err);
/* Reads and throws away, whatever it is. */
enum channel_result channel_discard(struct channel *c);
/* Nothing more will be written: TLS's good-bye, and the end of the stream. False when that closes it altogether. */
bool channel_end(struct channel *c);

enum outcome channel_start_tls(struct channel *c, struct tls *tls, const char *name, struct error *err);
/* The next step of the handshake: CHANNEL_MOVED when it is done. */
enum channel_result channel_handshake(struct channel *c, struct error *err);
const char *channel_tls_text(struct channel *c);

#endif
