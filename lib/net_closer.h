/*
 * Threads that close files. The last close of a file whose names are gone frees its blocks, and some file systems tell the disk
 * of each at once and wait for it (ext4 without a journal, mounted with `discard`: some milliseconds a file on a busy disk, and
 * far less for several at once). Who removes many files keeps them open and lets them be closed here.
 *
 *	closer_start(&c, base, &err);
 *	closer_close(c, fd);	 from one thread
 *	closer_stop(c);		 when all of them are closed
 */
#ifndef LIB_NET_CLOSER_H
#define LIB_NET_CLOSER_H

#include <event2/event.h>

#include "lib/error.h"

#define CLOSER_THREADS 4
/* Files that wait to be closed; one more is closed by the caller, so that no more blocks and descriptors are kept. */
#define CLOSER_BACKLOG 256

struct closer;

/* *C is null on failure. */
enum outcome closer_start(struct closer **c, struct event_base *base, struct error *err);
/* Takes FD over. Nothing is told of what comes of it: it is for files in which nobody will look again. */
void closer_close(struct closer *c, int fd);
void closer_stop(struct closer *c); /* null-safe */

#endif
