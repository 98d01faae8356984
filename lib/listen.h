/*
 * Listening sockets: by address, at a path, or handed over by systemd (sd_listen_fds(3), by its protocol).
 */
#ifndef LIB_LISTEN_H
#define LIB_LISTEN_H

#include "lib/buf.h"
#include "lib/error.h"

#define LISTEN_BACKLOG 1024

/* "HOST:PORT", "[ADDRESS]:PORT", "*:PORT" (all addresses, IPv6 and IPv4), or an absolute PATH of a Unix socket. HOST may be a name. */
bool listen_address_valid(const char *address);
/*
 * Opens what ADDRESS says: *COUNT descriptors, non-blocking; more than MAXIMUM are an error, and none of them is open then. A
 * Unix socket that nobody listens at is replaced; its mode is MODE. Port 0 lets the system choose.
 */
enum outcome listen_open(
    const char *address, unsigned mode, int *fds, size_t maximum, size_t *count, struct error *err);
/* "127.0.0.1:2525" or the path: where FD listens. */
void listen_name(int fd, struct buf *out);
/*
 * Descriptors that systemd handed over: calls VISIT with each and its name (FileDescriptorName=, else ""). The
 * environment variables are removed, so that children do not see them.
 */
void listen_inherited(void (*visit)(void *context, int fd, const char *name), void *context);

#endif
