/*
 * Where clients come from, as far as one can be told from another: an IPv4 address, or the first 64 bits of an IPv6 one, of
 * which whoever has one has as many as he likes. And what is remembered of those that guess passwords.
 */
#ifndef LIB_ORIGIN_H
#define LIB_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/buf.h"

/* "192.0.2.1", "2001:db8::1". */
#define PEER_TEXT   64
#define ORIGIN_TEXT 32

/* The address in words, an IPv4 one at a socket for both families as what it is; OUT stays as it is for what is no address of
 * the Internet, and is "unknown" for what cannot be said. */
void peer_name(const struct sockaddr *address, socklen_t length, char out[static PEER_TEXT]);
/*
 * Who is at the other end of FD: an address; "local" where FD is a Unix socket, a pipe or a file. Of a socket whose peer cannot
 * be asked for, because he is gone already, nothing is known: "unknown", not that he is of this machine.
 */
void peer_of(int fd, char out[static PEER_TEXT]);
/*
 * The same of standard input, for programs that others start. A pipe or a Unix socket there is no proof that the client is of this
 * machine: sslserver, socat and stunnel stand between the network and a program, and say in the environment for whom
 * (TCPREMOTEIP, SOCAT_PEERADDR, REMOTE_HOST; the last is CGI's too, whose programs may send mail).
 */
void peer_of_stdin(char out[static PEER_TEXT]);

/* RFC 5321 4.1.3: "[192.0.2.1]", "[IPv6:2001:db8::1]"; what is no address as it is. */
void peer_literal(const char *peer, struct buf *out);

/* "192.0.2.1", "2001:db8:0:1::/64"; what is no address stays as it is, cut. */
void origin_of(const char *peer, char out[static ORIGIN_TEXT]);

/* Wrong passwords of one origin that are free, within STRIKES_MEMORY seconds of one another; from there on it has to wait
 * longer and longer before another is looked at, up to STRIKES_PAUSE seconds. */
#define STRIKES_FREE   5
#define STRIKES_PAUSE  60
#define STRIKES_MEMORY 600
/* Origins that are remembered; the one that was quiet for longest is forgotten first. */
#define STRIKES_MAX 256

struct strikes {
	struct strike {
		char origin[ORIGIN_TEXT];
		unsigned count;
		uint64_t last;
	} items[STRIKES_MAX];
};

/* NOW: seconds of a clock that only goes forward. */
void strikes_add(struct strikes *s, const char *origin, uint64_t now);
/* Seconds before ORIGIN may try another password; 0: now. */
uint64_t strikes_wait(const struct strikes *s, const char *origin, uint64_t now);

#endif
