/*
 * packetboat-pop3d: what its sessions share. One loop serves all of them (lib/net_serve.h); what would hold it up goes to
 * threads: passwords (lib/net_login.h), and opening and emptying maildrops (bridge-pop3/maildrop_work.h).
 */
#ifndef BRIDGE_POP3_POP3D_H
#define BRIDGE_POP3_POP3D_H

#include "bridge-pop3/maildrop_work.h"
#include "bridge-pop3/pop3_server.h"
#include "lib/net_login.h"
#include "lib/net_start.h"
#include "queue/config.h"
#include "queue/queue.h"

/* Octets of a message that are read at once. */
#define POP3D_CHUNK ((size_t)32768)

/* What a session lives by: sessions keep what they began with when the configuration is read again. */
struct settings {
	unsigned holders;
	struct config config;
	struct tls *tls;
	char *name;
	struct pop3_server_options far_options;	 /* for clients elsewhere */
	struct pop3_server_options near_options; /* for those on this machine, which nobody can listen to */
};

struct pop3d {
	const char *config_path;
	struct server *server;
	struct settings *settings;
	struct queue queue; /* for its log and its Maildirs */
	bool queue_is_open;
	struct maildrop_workers *workers;
	struct logins *logins;
	uint8_t *chunk; /* POP3D_CHUNK octets, of whichever session is at work */
};

/* Serves until a signal, or the end of the one session, ends it. */
enum outcome pop3d_serve(const struct server_start *start, struct error *err);
extern const char *const pop3d_services[]; /* enum listen_pop3, then null */

/* ---- between the daemon and its sessions ------------------------------------------------------------------ */

struct settings *settings_hold(struct settings *s);
void settings_drop(struct settings *s); /* null-safe */
/* Reads the configuration. Mistakes are said to COMPLAIN, and when they were, ERR holds no text. */
enum outcome settings_load(
    struct settings **settings, const char *path, config_complain *complain, void *context, struct error *err);
/* Loads the certificate of the configuration, or the one that all our servers share, which is made when it is missing. */
enum outcome settings_tls(struct settings *s, struct error *err);

extern const struct server_calls session_calls; /* but for what is not about a session */
extern const struct login_calls session_login_calls;
extern const size_t session_size;

#endif
