/*
 * packetboat-smtpd: a server (lib/net_serve.h) whose sessions speak SMTP and hand over what they take. One loop serves all
 * sessions; what would hold it up goes to threads (bridge-smtp/commit.h, lib/net_login.h).
 */
#ifndef BRIDGE_SMTP_SMTPD_H
#define BRIDGE_SMTP_SMTPD_H

#include "bridge-smtp/commit.h"
#include "bridge-smtp/smtp_server.h"
#include "lib/net_login.h"
#include "lib/net_start.h"

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

struct smtpd {
	const char *config_path;
	struct server *server;
	struct settings *settings;
	struct committer *committer;
	struct logins *logins;
	unsigned relays; /* that ETRN began and that have not ended */
};

/* Serves until a signal, or the end of the one session, ends it. */
enum outcome smtpd_serve(const struct server_start *start, struct error *err);
extern const char *const smtpd_services[]; /* enum listen_service, then null */

/* ---- between the daemon and its sessions ------------------------------------------------------------------ */

struct settings *settings_hold(struct settings *s);
void settings_drop(struct settings *s); /* null-safe */
/* Reads the configuration. Mistakes are said to COMPLAIN, and when they were, ERR holds no text. */
enum outcome settings_load(
    struct settings **settings, const char *path, config_complain *complain, void *context, struct error *err);
/* Loads the certificate of the configuration, or one of our own making, which stays the same from start to start. */
enum outcome settings_tls(struct settings *s, struct error *err);

extern const size_t session_size;
extern const struct conn_handlers session_handlers;
extern const struct login_calls session_logins;

/* As struct server_calls has them. */
void session_begin(struct served *s);
/* Ends it with 421; sessions whose message is being stored are answered first. */
void session_end(struct served *s, const char *why);
/* A message that is being stored is stored, but its sender does not hear of it. */
void session_drop(struct served *s);
/* Sessions that last too long, texts that come too slowly. */
void session_tick(struct served *s, uint64_t now);
/* The message of COMMIT is durable, or could not be made so. */
void session_committed(struct commit *commit);

#endif
