/*
 * How a server begins and ends: the command line that all of them have, the way from root to whoever serves, and what is said
 * when one leaves.
 *
 *	usage: packetboat-NAME [-v] [-c CONF] [--foreground]
 *	       packetboat-NAME [-v] [-c CONF] --stdio[=SERVICE]
 */
#ifndef LIB_NET_START_H
#define LIB_NET_START_H

#include "lib/net_serve.h"

struct server_start {
	const char *config_path; /* -c; null: not said */
	bool verbose;
	enum server_terminal terminal;
	bool alone;  /* one session, of SERVICE, on standard input and output */
	int service; /* its place among the services */
};

/* Reads the command line of packetboat-NAME, whose SERVICES end with null. The exit status to leave with at once, or -1. */
int server_options_read(
    struct server_start *start, const char *name, const char *const *services, int argc, char **argv);

/* Where a server listens, whom it becomes, and its own steps, with the context of the server's options. */
struct server_plan {
	char *const *listen;
	size_t listen_count;
	const char *user;  /* null: it stays who it is */
	const char *group; /* null: the user's */
	const char *spool; /* a directory: it does its work as the owner of that */
	bool own_key;	   /* the key of its certificate is of its own making, and lies with the spool's owner */
	enum outcome (*load_tls)(void *context, struct error *err);
	enum outcome (*load_rest)(void *context, bool verbose, struct error *err); /* with threads, on server_base */
};
/*
 * Begins as START says. The places come first, since low ports may need root, and a key of the operator's, which may be for root
 * alone to read; then it is root no longer; then comes what lies in the spool.
 */
enum outcome server_begin(
    struct server *s, const struct server_start *start, const struct server_plan *plan, struct error *err);
/* Says ERR on standard error, if it has a text, and returns the exit status of packetboat-NAME, whatever program it is. */
int server_leave(const char *name, enum outcome outcome, const struct error *err);

#endif
