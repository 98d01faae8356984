/*
 * Checking passwords beside the loop, one at a time: each takes tens of milliseconds and 19 MB.
 */
#ifndef BRIDGE_SMTP_LOGIN_H
#define BRIDGE_SMTP_LOGIN_H

#include "lib/net_worker.h"

struct login;
struct logins;

typedef void login_done(void *owner, enum outcome outcome, const struct error *err);

enum outcome logins_start(struct logins **l, struct event_base *base, struct error *err);
void logins_stop(struct logins *l); /* null-safe; nobody is called any more for what was not finished */
/* Begins to check USER and PASSWORD (copied, wiped) against the file at PATH. DONE is called from the loop. */
struct login *login_begin(
    struct logins *l, const char *path, const char *user, const char *password, login_done *done, void *owner);
/* The owner is gone: DONE is not called. */
void login_forget(struct login *login);

#endif
