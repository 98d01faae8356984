/*
 * How a server's main begins and ends: the command line that all of them have, and what is said when one leaves.
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
/* Says ERR on standard error, if it has a text, and returns the exit status of packetboat-NAME, whatever program it is. */
int server_leave(const char *name, enum outcome outcome, const struct error *err);

#endif
