/*
 * packetboat-smtpd: the sockets it listens at, the sessions, and what they share. One loop serves all sessions; what would
 * hold it up goes to threads (bridge-smtp/commit.h, bridge-smtp/login.h).
 */
#ifndef BRIDGE_SMTP_SMTPD_H
#define BRIDGE_SMTP_SMTPD_H

#include "bridge-smtp/commit.h"
#include "bridge-smtp/login.h"
#include "bridge-smtp/origin.h"
#include "bridge-smtp/smtp_server.h"
#include "lib/net_conn.h"

#define SMTPD_SERVICES 4 /* enum listen_service */
/* Relay passes begun by ETRN that may run at once: each serves all neighbours. */
#define SMTPD_RELAYS 4

/* What a session lives by: sessions keep what they began with when the configuration is read again. */
struct settings {
	unsigned holders;
	struct config config;
	struct tls *tls; /* null: TLS is not offered */
	char *name;
	struct smtp_server_options options[SMTPD_SERVICES];
};

struct session;

struct smtpd {
	struct event_base *base;
	const char *config_path;
	struct settings *settings;
	struct committer *committer;
	struct logins *logins;
	struct strikes strikes;
	struct listener *listeners;
	size_t listener_count;
	size_t listener_capacity;
	struct session *sessions; /* a list */
	size_t session_count;
	bool alone;	     /* one session on standard input: the loop ends with it */
	bool stopping;	     /* no more connections; the loop ends with the last session */
	unsigned long files; /* descriptors that connections may have: those below; 0: any */
	unsigned relays;     /* that ETRN began and that have not ended */
	struct event *sweep;
	struct event *signals[4];
	struct event *grace;
};

/* Descriptors that connections leave to the spool: of these many, or of a quarter of what there is when that is less. */
#define SMTPD_FILES_KEPT 64

struct smtpd_start {
	const char *config_path;
	bool verbose;
	bool detach; /* leave the terminal */
};

/* Serves until a signal ends it; the exit status. */
enum outcome smtpd_serve(const struct smtpd_start *start, struct error *err);
/* One session on standard input and output. */
enum outcome smtpd_serve_stdio(const struct smtpd_start *start, enum listen_service service, struct error *err);

/* ---- between the daemon and its sessions ------------------------------------------------------------------ */

struct settings *settings_hold(struct settings *s);
void settings_drop(struct settings *s);
/* Reads the configuration. Mistakes are said to COMPLAIN, and when they were, ERR holds no text. */
enum outcome settings_load(
    struct settings **settings, const char *path, config_complain *complain, void *context, struct error *err);
/* Loads the certificate of the configuration, or one of our own making, which stays the same from start to start. */
enum outcome settings_tls(struct settings *s, struct error *err);

/* Takes over the descriptor FD. False: it is one of the last; whoever has it is turned away, and no more should come now. */
bool session_begin(struct smtpd *d, int fd, enum listen_service service);
void session_begin_stdio(struct smtpd *d, enum listen_service service);
/* Ends it with 421 as soon as no answer is owed; sessions whose message is being stored are answered first. */
void session_end(struct session *s, const char *status, const char *why);
/* Ends it at once; a message that is being stored is stored, but its sender does not hear of it. */
void session_drop(struct session *s);
struct session *session_next(const struct session *s);
/* Looks at the clock: sessions that last too long, texts that come too slowly. NOW by the monotonic clock, seconds. */
void session_tick(struct session *s, uint64_t now);
/* Called by a session that is over. */
void smtpd_session_over(struct smtpd *d);
/* The message of COMMIT is durable, or could not be made so. */
void session_committed(struct commit *commit);

#endif
