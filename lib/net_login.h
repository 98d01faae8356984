/*
 * Logging in to a server: passwords are checked beside the loop, one at a time, since each check is made to take tens of
 * milliseconds and megabytes. Who guesses waits: before he hears that he was wrong, and from then on before another guess
 * is looked at (lib/origin.h). That is judged again when an attempt's turn comes, so that guesses that came together are no
 * more than those that came one by one. Origins take turns: many attempts of one delay another's by two checks at most.
 * What was right is remembered for a while (lib/net_login_cache.h), so that a client that comes every minute costs next to
 * nothing.
 *
 *	struct session { struct login login; ... };           zero at the beginning
 *	wait = login_begin(logins, &s->login, &attempt, s)    0: `done` will be called
 *	login_forget(&s->login)                               the session is over
 */
#ifndef LIB_NET_LOGIN_H
#define LIB_NET_LOGIN_H

#include <event2/event.h>

#include "lib/buf.h"
#include "lib/error.h"
#include "lib/origin.h"

/* Seconds before a wrong password is answered. */
#define LOGIN_PAUSE 2
/* Wrong passwords of one session; the last of them ends it. */
#define LOGIN_TRIES 3
/* Octets that may stand for a user in a password file. */
#define LOGIN_STANDS_MAX 1024
/* Octets of login_wait_text. */
#define LOGIN_WAIT_TEXT 100

struct logins;

enum login_result {
	LOGIN_RIGHT,
	LOGIN_WRONG,
	LOGIN_WRONG_LAST, /* as often as a session may be */
	LOGIN_TROUBLE,	  /* it could not be checked */
	LOGIN_TOO_SOON,	  /* not looked at: others of its origin were wrong meanwhile, and `wait` is for how long */
};

struct login_calls {
	/* In the thread. What the password of USER is checked against, by the file at PATH. For a user that is not there OUT
	 * gets something of the same size that no password fits. */
	enum outcome (*stands)(const char *path, const char *user, struct buf *out, struct error *err);
	/* In the thread. Does PASSWORD fit? OUTCOME_NEVER when not. Takes its time, and the same for whatever STANDS. */
	enum outcome (*check)(struct view stands, const char *password, struct error *err);
	/* In the loop: OWNER was checked and not let in, for the reason in ERR; told before the pause, for the log. */
	void (*failed)(void *owner, const struct error *err);
	/* In the loop: the answer is due. Once for each login_begin that gave 0, unless it was forgotten. */
	void (*done)(void *owner, enum login_result result);
};

/* One session's. */
struct login {
	struct login_job *job; /* being checked, or waiting for that */
	struct event *pause;   /* before a wrong one is answered */
	unsigned failed;
	uint64_t wait; /* with LOGIN_TOO_SOON: seconds before this origin may try again */
	struct logins *logins;
	void *owner;
};

struct login_attempt {
	const char *path; /* of the password file */
	const char *user;
	const char *password;
	const char *origin; /* by origin_of */
};

/* CALLS is borrowed. */
enum outcome logins_start(
    struct logins **l, struct event_base *base, const struct login_calls *calls, struct error *err);
void logins_stop(struct logins *l); /* null-safe; nobody is called any more for what was not finished */
/* Begins to check an attempt (copied, wiped); LOGIN must not be busy with another. Instead of 0 seconds: those before this
 * origin may try again, and nothing has begun. */
uint64_t login_begin(struct logins *l, struct login *login, const struct login_attempt *attempt, void *owner);
/* What a client is told that has to wait so many seconds. */
void login_wait_text(uint64_t wait, char out[static LOGIN_WAIT_TEXT]);
/* The owner is gone, or wants to know no more: `failed` and `done` are not called. Safe at any point. What was not looked at
 * yet never is; a check that has begun counts, also when it turns out wrong. */
void login_forget(struct login *login);

#endif
