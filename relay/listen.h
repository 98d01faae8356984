/*
 * Answering calls that come over the network: a process for each, so that no stranger's octets touch another call.
 */
#ifndef RELAY_LISTEN_H
#define RELAY_LISTEN_H

#include <stdbool.h>

#include "lib/error.h"

struct listen_start {
	const char *config_path;
	bool verbose;
	bool detach; /* leave the terminal */
};

/* Listens where the section relay of the configuration says, and at what systemd handed over, until a signal ends it. */
enum outcome listen_serve(const struct listen_start *start, struct error *err);

#endif
