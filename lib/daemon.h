/*
 * What every long-running program needs of the system.
 */
#ifndef LIB_DAEMON_H
#define LIB_DAEMON_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/error.h"

/* Leaves the terminal: fork, setsid, standard input and output to /dev/null; standard error stays until daemon_ready, so
 * that a failing start can be told. The parent stays until daemon_ready or the death of the child: its exit status says
 * whether the start went well. To be called before threads and event bases are made. */
enum outcome daemon_detach(struct error *err);
/* The start is over: tells the waiting parent, and systemd (sd_notify(3)'s READY=1, by its protocol, when NOTIFY_SOCKET is set). */
void daemon_ready(void);
/* "RELOADING=1", "STOPPING=1", … to systemd; nothing without it. */
void daemon_notify(const char *state);
/* Becomes USER (and GROUP, null: the user's) for good, with the user's supplementary groups; EX_CONFIG for an unknown name. Not root
 * already: an error unless that user is who runs. */
enum outcome daemon_become(const char *user, const char *group, struct error *err);
/*
 * Root becomes the owner of PATH for good, with his groups: what root made there its owner could not use. Nothing where root is the
 * owner, PATH is not there, or somebody else runs.
 */
enum outcome daemon_become_owner(const char *path, struct error *err);
/* Are there such a user, whose number is *UID, and group? EX_CONFIG when not. */
enum outcome daemon_known(const char *user, const char *group, uid_t *uid, struct error *err);
/* How users are named in a sentence: by their names, or by the number UID where it has none; then false. */
#define DAEMON_USER 64
bool daemon_user_name(uid_t uid, char out[static DAEMON_USER]);
/* Gives PATH, made as root, to whom daemon_become will be. */
enum outcome daemon_own(const char *path, const char *user, const char *group, struct error *err);
/* As many descriptors as the system lets this process have; the number. */
unsigned long daemon_raise_files(void);
/* For the log: why it ended, by the NUMBER of the signal that told it to; 0: none did. */
const char *daemon_end_reason(int number);
/* SIGPIPE ignored. */
void daemon_ignore_pipe(void);

#endif
