/*
 * packetboat.conf as the programs see it; packetboat.conf(5) is its manual. Loaded whole, read only.
 *
 * Every mistake is found in one run and named with file and line. Relative paths, wherever they are written, are
 * relative to the directory of packetboat.conf. After the main file and what it includes, every "*.conf" in the
 * directory conf.d beside it is read, in order of name: `packetboat neighbour add` puts its section there.
 */
#ifndef QUEUE_CONFIG_H
#define QUEUE_CONFIG_H

#include "lib/error.h"
#include "lib/limits.h"
#include "queue/envelope.h"

enum via { VIA_NEIGHBOUR, VIA_SMTP, VIA_MAILDIR, VIA_LMTP };

/* Where a list of strings is short and read once, an array with its count. */
struct strings {
	char **items;
	size_t count;
	size_t capacity;
};
void strings_add(struct strings *s, const char *text);
void strings_release(struct strings *s);
bool strings_contain(const struct strings *s, const char *text); /* exact */

struct config_neighbour {
	char *name;
	char *key;		/* key line, "pb1…" */
	struct strings call;	/* "dir:PATH", "tcp:HOST:PORT", "exec:PROGRAM ARG…", in the order to try */
	bool seal;		/* default true; false: sign only */
	bool relay;		/* may it send mail through us to others? default false */
	struct strings senders; /* sender domains it may claim, patterns as in routes; empty: any */
	uint64_t max_size;	/* largest message taken from it and sent to it, octets; 0: the general limit */
	uint64_t batch_size;	/* content octets after which a batch is closed; default 1M */
	uint64_t resend;	/* seconds before an unacknowledged batch is copied again; default 1d */
	uint64_t outstanding;	/* octets of unacknowledged batches after which nothing more is packed; default 1G */
	struct strings window;	/* "HH:MM-HH:MM", when it may be called; empty: always */
	char *where;		/* "file:line" */
};

struct config_route {
	char *pattern; /* "user@domain", "domain", "*.domain", "*" */
	enum via via;
	char *target;	 /* neighbour's name, "host:port" of a smarthost or null, LMTP path */
	uint64_t expire; /* seconds; default: the general one */
	uint64_t warn;	 /* seconds, 0: no delay warning */
	char *where;
};

struct config_alias {
	char *name; /* a local part of a local domain, lower case; or user@domain */
	struct strings targets;
	char *where;
};

struct config {
	char *path;	 /* of packetboat.conf */
	char *directory; /* that holds it */
	char *spool;	 /* default DIRECTORY/spool */
	char *keys;	 /* default DIRECTORY/keys */
	char *users;	 /* password file of the bridges; default DIRECTORY/users */
	char *host;
	struct strings domains;	     /* lower case */
	char *postmaster;	     /* address that gets what postmaster gets; null: the local box "postmaster" */
	uint64_t expire;	     /* default 30d */
	uint64_t warn;		     /* default 2d; 0: never */
	uint64_t retry_min;	     /* first back-off, default 5m; doubles up to */
	uint64_t retry_max;	     /* default 4h */
	uint64_t max_size;	     /* of one message, default 2G: octets of content */
	uint64_t min_free;	     /* bytes to leave free on the disk, default 16M */
	uint64_t reports;	     /* reports made in one pass at most, default 100 */
	uint64_t hops;		     /* default and maximum LIMIT_HOPS */
	struct strings smtpd_listen; /* where the SMTP and POP3 servers listen, as written */
	struct strings pop3d_listen;

	struct config_neighbour *neighbours;
	size_t neighbour_count;
	struct config_route *routes;
	size_t route_count;
	struct config_alias *aliases;
	size_t alias_count;
};

/* The path to use: GIVEN, else $PACKETBOAT_CONF, else /etc/packetboat/packetboat.conf. Not allocated. */
const char *config_path(const char *given);
/*
 * Reads PATH and its drop-ins. On failure EX_CONFIG and, in ERR, the first mistake; every mistake is also handed to
 * COMPLAIN (may be null) as "file:line: sentence". EX_NOINPUT when there is no such file, with advice.
 */
typedef void config_complain(void *context, const char *sentence);
enum outcome config_load(
    struct config *c, const char *path, config_complain *complain, void *context, struct error *err);
void config_release(struct config *c);
const struct config_neighbour *config_neighbour(const struct config *c, const char *name);
/* Is DOMAIN one of ours: a configured domain or the host's own name? Without regard to case. */
bool config_is_local(const struct config *c, struct view domain);

#endif
