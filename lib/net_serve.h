/*
 * What every server is: sockets to listen at, sessions, signals, limits, and an end that lets each session say its last
 * word. Of protocols, configuration and mail it knows nothing: the program hands over numbers, texts and a table of calls.
 *
 *	struct session { struct served served; ... };         the program's session; `served` is its first member
 *	server_make(&server, &options)
 *	server_listen(server, texts, count, &err)             low ports may need root
 *	server_become(server, user, group, detach, &err)      no longer root; in the background; the loop is made
 *	... the program's threads, on server_base(server)
 *	server_run(server, &log)                              until a signal or a session at standard input ends it
 *	... the program's threads are stopped
 *	server_free(server)
 *
 * A session begins in `begin`, with its connection at hand, and is over when the program calls served_over, after which
 * it is gone. All calls come from the loop.
 */
#ifndef LIB_NET_SERVE_H
#define LIB_NET_SERVE_H

#include "lib/log.h"
#include "lib/net_conn.h"
#include "lib/origin.h"

/* Seconds between two looks at the clock (`tick`, `swept`). */
#define SERVER_SWEEP 5
/* After so many seconds a stopping server no longer waits for its sessions. */
#define SERVER_GRACE 15
/* The mode of Unix sockets. */
#define SERVER_SOCKET_MODE 0660

struct server;

/* What the server knows of a session. The memory behind it, up to the session's whole size, is zero at the beginning. */
struct served {
	struct served *next;
	struct served **self; /* what points to this one */
	struct server *server;
	struct conn *conn;
	int service;
	bool last;	      /* of the descriptors that connections may have */
	uint64_t begun;	      /* monotonic seconds */
	char peer[PEER_TEXT]; /* "192.0.2.1", "2001:db8::1", "local", "unknown" */
	char origin[ORIGIN_TEXT];
};

struct server_calls {
	const struct conn_handlers *handlers; /* of the connections; their context is the session */
	/* A connection has come. TLS from the first octet, limits and the greeting are the program's. */
	void (*begin)(struct served *s);
	/* The session is to end as soon as no answer is owed; WHY is for the client. */
	void (*end)(struct served *s, const char *why);
	/* The session is to call served_over at once. */
	void (*drop)(struct served *s);
	/* Looks at the clock: NOW is monotonic, seconds. May end S, and no other. */
	void (*tick)(struct served *s, uint64_t now);
	/* Reads the configuration again, and calls server_listen with what it says. What cannot be used must change nothing; an ERR
	 * without a text has been told already. */
	enum outcome (*reload)(void *context, struct error *err);
	void (*swept)(void *context); /* every SERVER_SWEEP seconds, before the ticks */
	void (*child)(void *context); /* a child process has ended; null: there are none */
};

/* All is borrowed for the life of the server. */
struct server_options {
	const char *name; /* in the log, and of the section of the configuration: "smtpd" */
	const char *config_path;
	const char *example;	     /* of an address to listen at */
	const char *const *services; /* by their numbers, for the log */
	/* The service that TEXT names before its address ("lmtp:/run/lmtp"); *ADDRESS points into TEXT. */
	int (*service)(const char *text, const char **address);
	size_t session_size; /* octets of the program's session */
	/* Descriptors that connections leave to the program: of these many, or of a quarter of what there is when that is less. */
	unsigned files_kept;
	const struct server_calls *calls;
	void *context; /* of those calls that are about no session */
};

/* Ignores SIGPIPE. */
void server_make(struct server **server, const struct server_options *options);
/*
 * Listens at the places of TEXTS (the first time it raises the limit of open files), and no longer at others; sockets that systemd handed over stay, their names are their
 * services. A place that is open already stays as it is. When one cannot be opened, or when there is none at all
 * (EX_CONFIG), nothing has changed.
 */
enum outcome server_listen(struct server *s, char *const *texts, size_t count, struct error *err);
/* Becomes USER (null: stays), to whom Unix sockets are given; leaves the terminal when DETACH says so; then makes the loop. */
enum server_terminal { SERVER_STAY, SERVER_DETACH };
enum outcome server_become(
    struct server *s, const char *user, const char *group, enum server_terminal terminal, struct error *err);
/* Instead of both: for one session at standard input and output. */
enum outcome server_alone(struct server *s, struct error *err);
struct event_base *server_base(const struct server *s);
/* That of the options. */
void *server_context(const struct server *s);
/* Serves until a signal ends it. Tells where it listens, and at last which signal that was. */
void server_run(struct server *s, struct log *log);
/* Begins the one session, of SERVICE, and serves until it is over. */
void server_run_alone(struct server *s, int service, struct log *log);
/* Drops the sessions that are left. To be called before the threads that they use are stopped; nothing is served after it. */
void server_drop(struct server *s); /* null-safe */
void server_free(struct server *s); /* null-safe */

/* ---- for sessions ------------------------------------------------------------------------------------------ */

struct server_limits {
	uint64_t connections; /* in all */
	uint64_t each;	      /* from one origin */
};

/* Why S is one session too many, a sentence for the client; null: it is not. */
const char *served_crowds(const struct served *s, const struct server_limits *limits);
/* Closes the connection, after what is unsent has left or FAREWELL seconds have passed (0: at once), and frees S. */
void served_over(struct served *s, unsigned farewell);

#endif
