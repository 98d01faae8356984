/*
 * What the parts of a connection share. For lib/net_conn*.c only.
 */
#ifndef LIB_NET_CONN_OWN_H
#define LIB_NET_CONN_OWN_H

#include <event2/event_struct.h>
#include <sys/queue.h>

#include "lib/net_channel.h"
#include "lib/net_conn.h"
#include "lib/net_fifo.h"
#include "lib/pace.h"

/* What the loop is to do soon. */
enum {
	SOON_HANDSHAKE = 1,
	SOON_READ = 2,
	SOON_INPUT = 4,
	SOON_DRAINED = 8,
	SOON_CLOSED = 16,
};

enum phase {
	PHASE_CONNECTING,
	PHASE_OPEN,
	PHASE_CLOSED,	 /* `closed` was called */
	PHASE_FINISHING, /* the owner is gone; the rest is being written */
	PHASE_LINGERING, /* it is written */
};

enum tls_state {
	TLS_NONE,
	TLS_WAITS, /* for output in clear to leave */
	TLS_SHAKES,
	TLS_STANDS,
};

struct conn {
	const struct conn_handlers *handlers;
	void *context;
	struct channel channel;
	struct event reading, writing, timer, soon;
	bool reads, writes; /* the events are added */
	unsigned tasks;	    /* SOON_... */
	struct fifo input, output;
	size_t clear; /* of the output, before TLS begins */
	enum phase phase;
	enum tls_state tls;
	bool paused;
	bool more;    /* TLS may hold input that no event tells of */
	bool ended;   /* the peer closed; `closed` waits for the end of a pause */
	char *broken; /* why nothing can be written any more; `closed` is due */
	int broken_code;
	bool in_input;	 /* the owner's handler is at work */
	unsigned nested; /* handlers at work: memory stays */
	bool dead;
	unsigned timeout; /* seconds */
	uint64_t moved;	  /* when something last got on, milliseconds */
	struct pace pace;
	uint64_t due; /* when the timer rings; 0: not set */
	uint64_t deadline;
	LIST_ENTRY(conn) link; /* in the list of those that finish, from conn_finish on */
};

/* ---- net_conn.c ------------------------------------------------------------------------------------------ */

/* Lets the timer ring at WHEN at the latest. It may ring too early: progress does not touch it, ringing looks. */
void conn_ring_at(struct conn *c, uint64_t when);
/* Starts waiting for input when it is wanted. It stops of itself at the next that comes while it is not: most pauses end
 * before, and cost no system call. */
void conn_watch_input(struct conn *c);
void conn_ignore_output(struct conn *c);
/* TLS was begun and does not stand. */
bool conn_shaking(const struct conn *c);

/* ---- net_conn_end.c -------------------------------------------------------------------------------------- */

/* Around what calls handlers: memory stays meanwhile. */
void conn_enter(struct conn *c);
void conn_leave(struct conn *c);
/* All is written out, and nobody owns it: the peer is listened to for a moment more. */
void conn_linger(struct conn *c);

#endif
