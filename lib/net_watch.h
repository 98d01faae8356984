/*
 * Being told when names appear in directories (inotify on Linux; elsewhere nothing is told, and the owner's timer must do).
 */
#ifndef LIB_NET_WATCH_H
#define LIB_NET_WATCH_H

#include <event2/event.h>

#include "lib/file.h"

struct watch;

/* CHANGED is called from the loop, once for many names. *WATCH is null where the system has no such thing, which is no error. */
enum outcome watch_open(
    struct watch **watch, struct event_base *base, void (*changed)(void *context), void *context, struct error *err);
/* Names moved or made in D are told from now on; D may be closed afterwards. */
enum outcome watch_add(struct watch *watch, const struct dir *d, struct error *err);
void watch_close(struct watch *watch); /* null-safe */

#endif
