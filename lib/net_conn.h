/*
 * A connection over TCP or a Unix socket on libevent's loop, with or without TLS. The same calls for both ends.
 *
 *	conn = conn_served(base, fd, ..., &handlers, context);  or conn_connect(...), conn_pipes(...)
 *	in `input`: conn_input(conn, ...) shows what has arrived; conn_take(conn, n) takes it off
 *	conn_write(conn, view)
 *	conn_finish(conn): written out, then closed and freed; conn_free(conn): at once
 *
 * Buffers are bounded: no more than CONN_INPUT_MAX octets are read ahead, reading stops with conn_pause and goes on with
 * conn_resume; a writer looks at conn_unsent and waits for `drained`. Nagle's algorithm is off. No handler is called after
 * conn_free or conn_finish, and none from within a call of this module: always from the loop.
 */
#ifndef LIB_NET_CONN_H
#define LIB_NET_CONN_H

#include <event2/event.h>
#include <sys/socket.h>

#include "lib/buf.h"
#include "lib/error.h"
#include "lib/net_tls.h"

#define CONN_INPUT_MAX 16384

struct conn;

struct conn_handlers {
	void (*connected)(void *context); /* conn_connect reached the peer */
	void (*input)(void *context);	  /* there is input */
	void (*drained)(void *context);	  /* all output was given to the system */
	void (*secured)(void *context);	  /* TLS stands */
	/* The peer closed (code EX_OK, text ""), was silent for too long (EX_UNAVAILABLE), or the connection failed or was
	 * reset (EX_TEMPFAIL) or TLS failed (EX_PROTOCOL), each with a sentence. After the first two something may still
	 * be written. The conn is still the owner's to free. */
	void (*closed)(void *context, const struct error *why);
};

/* Takes over FD, a socket from accept4(2) that is non-blocking and close-on-exec already and, over TCP, has no Nagle from its listener.
 * ADDRESS: its peer's, of LENGTH octets, with the family at least: nothing about the socket is asked for.
 * HANDLERS is borrowed; any of them may be null. */
struct conn *conn_served(struct event_base *base, int fd, const struct sockaddr *address, socklen_t length,
    const struct conn_handlers *handlers, void *context);
/* Begins to connect; a failure comes by `closed`. SECONDS: for the connection to stand. */
struct conn *conn_connect(struct event_base *base, const struct sockaddr *address, socklen_t length, unsigned seconds,
    const struct conn_handlers *handlers, void *context);
/* Takes over two descriptors, or twice the same: sockets, pipes, files, which are made non-blocking. */
struct conn *conn_pipes(
    struct event_base *base, int in, int out, const struct conn_handlers *handlers, void *context);
void conn_free(struct conn *c);
/* Writes out what is unsent, for at most SECONDS, closes and frees; the owner forgets it. A peer that goes on sending is
 * listened to for a moment more, so that it gets our last words. */
void conn_finish(struct conn *c, unsigned seconds);
/* Runs BASE until all is over that conn_finish has in hand on it: for a program that is about to end. */
void conn_farewell(struct event_base *base);
/* Frees what conn_finish still has in hand on BASE, which is of this thread: before event_base_free. */
void conn_abandon(const struct event_base *base);

/* What has arrived and was not taken, in one piece. Valid until the next call on C. */
struct view conn_input(struct conn *c);
void conn_take(struct conn *c, size_t length);
void conn_write(struct conn *c, struct view bytes);
/* The same for the last words: conn_finish is the next call. They and the end of the stream leave together. */
void conn_write_last(struct conn *c, struct view bytes);
size_t conn_unsent(const struct conn *c);
/* Calls `input` from the loop soon, though nothing new may come: what was left in the input can be worked on now. */
void conn_again(struct conn *c);
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);
/* `closed` when nothing arrives, or nothing can be written while there is something unsent, for so long; 0: never. */
void conn_timeout(struct conn *c, unsigned seconds);
/* For who waits for answers, and pauses nothing, when one has come whole: the next has its time from here, and is then measured
 * (lib/pace.h). `closed` when it is too slow (EX_UNAVAILABLE). Nothing is measured before the first call. */
void conn_answered(struct conn *c);

/*
 * Begins TLS as server or client. Input that came in clear and was not taken stays unread for TLS: false is
 * returned when there is any, it is thrown away, and no TLS begins (RFC 3207 4.2; CVE-2011-0411). NAME: the server's, for SNI
 * and the check; null as server.
 */
bool conn_start_tls(struct conn *c, struct tls *tls, const char *name);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384", or null when there is none; valid as long as C. */
const char *conn_tls_text(struct conn *c);
/* "192.0.2.1", "2001:db8::1", "local" for pipes and Unix sockets, or "unknown" when the peer was gone before he could be asked
 * for; valid as long as C. */
const char *conn_peer(const struct conn *c);

#endif
