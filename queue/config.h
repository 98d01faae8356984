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

/* Who may hand in mail for a route by SMTP without being known here; by default what the pattern and the way say. */
enum public_route { PUBLIC_BY_PATTERN, PUBLIC_YES, PUBLIC_NO };

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
	uint64_t rate;		/* bits a second of the link, to tell people what a message costs; 0: not said */
	struct strings window;	/* "HH:MM-HH:MM", when it may be called; empty: always */
	struct strings call_when; /* "urgent", a size, an age: what waiting mail is worth a call; empty: any */
	uint64_t call_every;	  /* seconds after which it is called though nothing waits; 0: never */
	uint64_t cap_call;	  /* octets on the line of one call; 0: any number */
	uint64_t cap_day;
	uint64_t cap_month;
	uint64_t reserve;   /* of these, only for urgent mail */
	uint64_t time_call; /* seconds of one call; 0: any time */
	uint64_t time_day;
	uint64_t time_month;
	uint64_t turn;	  /* seconds that one side may send at a time on a half-duplex link; 0: full duplex */
	uint64_t connect; /* seconds for a connection to stand; default 60 */
	uint64_t timeout; /* seconds without anything moving after which a call is over; default 5m */
	char *where;	  /* "file:line" */
};

struct config_route {
	char *pattern; /* "user@domain", "domain", "*.domain", "*" */
	enum via via;
	char *target;	   /* neighbour's name, "host:port" of a smarthost or null, LMTP path */
	uint64_t expire;   /* seconds; default: the general one */
	uint64_t warn;	   /* seconds, 0: no delay warning */
	uint64_t max_size; /* largest message that the narrowest link further on takes; 0: not said */
	enum public_route public;
	char *where;
};

struct config_alias {
	char *name; /* a local part of a local domain, lower case; or user@domain */
	struct strings targets;
	char *where;
};

/* What the servers have in common; see packetboat.conf(5) for each option. */
struct config_server {
	struct strings listen;	   /* "ADDRESS" or "SERVICE:ADDRESS", as written */
	char *name;		   /* in the greeting; default: the first domain, else the host's name */
	char *certificate;	   /* PEM; default KEYS/tls-certificate.pem, made when missing */
	char *certificate_key;	   /* default KEYS/tls-key.pem */
	uint64_t connections;	   /* in all; default 1500 */
	uint64_t connections_each; /* from one address; default 50 */
	uint64_t errors;	   /* of one session; default 20 */
	uint64_t idle;		   /* seconds without a command or a piece of text */
	uint64_t session;	   /* seconds in all */
	char *user;		   /* to become after the sockets are open; null: stay */
	char *group;
};

/* packetboat-smtpd. Idle 5m, a session 2h by default; connections_each counts outside `networks`. */
struct config_smtpd {
	struct config_server server;
	struct strings networks; /* "ADDRESS/BITS", that may relay */
	uint64_t recipients;	 /* of one message; default 1000 */
	uint64_t messages;	 /* of one session; default 0: any number */
	/* octets a second that a text must come with, after a grace (packetboat.conf(5)); default 20 */
	uint64_t min_rate;
	bool normalise; /* a bare LF is taken for CRLF; default false: refused */
};

/* packetboat-pop3d. Idle 10m (RFC 1939 3), a session 1d by default; connections_each counts outside this machine. */
struct config_pop3d {
	struct config_server server;
	bool clear_passwords; /* also without TLS and from elsewhere than this machine; default false */
};

enum tls_policy {
	POLICY_DEFAULT,	 /* offered for mail exchangers, verified for servers named in a route, but on this machine */
	POLICY_NONE,	 /* never */
	POLICY_OFFERED,	 /* when the server offers it, whatever its certificate (RFC 7435) */
	POLICY_REQUIRED, /* always, whatever its certificate */
	POLICY_VERIFIED, /* always, with a certificate for its name */
	POLICY_IMPLICIT, /* verified, and TLS from the first octet (RFC 8314) */
};

/* How packetboat-smtp treats one destination: section "destination". */
struct config_destination {
	char *pattern; /* a domain, "*.domain", "*", "host:port" of a smarthost, or the path of an LMTP socket */
	enum tls_policy tls;
	char *authorities;    /* PEM file of certificate authorities; null: the system's */
	char *user;	      /* for AUTH */
	char *password;	      /* path of a file of mode 0600 that holds the password */
	uint64_t connections; /* at once; 0: the general limit */
	char *where;
};

/* packetboat-relay listen. */
struct config_relay {
	struct strings listen;	   /* "HOST:PORT", "*:PORT" or "/PATH" */
	uint64_t connections;	   /* in all; default 64 */
	uint64_t connections_each; /* from one address; default 8 */
	uint64_t proof;		   /* seconds for the other end of a call to prove who it is; default 120 */
	char *user;		   /* to become after the sockets are open; null: stay */
	char *group;
};

/* A box at a provider that packetboat-fetch empties: section "fetch". */
struct config_fetch {
	char *name;
	char *server; /* "HOST:PORT" */
	enum tls_policy
	    tls;	   /* default: implicit at port 995, else verified; at an address of this machine: offered */
	char *authorities; /* PEM file of certificate authorities; null: the system's */
	char *user;	   /* at the server */
	char *password;	   /* path of a file of mode 0600 that holds the password */
	char *to;	   /* the address that the mail is for; of a multidrop box, what cannot be told */
	char *multidrop;   /* the header field that names the recipient, as "Delivered-To"; null: all is for `to` */
	char *prefix;	   /* what the provider puts before its addresses, taken off; null: nothing */
	char *domain;	   /* taken instead of the domain in that field; null: as it stands there */
	uint64_t leave;	   /* seconds that fetched mail is left on the server; default 0: none */
	uint64_t max_size; /* larger mail stays there, and its owner gets a notice; 0: the general limit */
	uint64_t connect;  /* seconds for a connection to stand; default 30 */
	uint64_t timeout;  /* seconds without progress; default 5m */
	char *where;
};

/* packetboat-smtp. */
struct config_smtp {
	char *name;		   /* for EHLO; default as smtpd's */
	uint64_t connections;	   /* in all; default 50 */
	uint64_t connections_each; /* to one destination; default 5 */
	uint64_t connect;	   /* seconds for a connection to stand; default 30 */
	uint64_t timeout;	   /* seconds without progress; default 5m */
	uint64_t poll;		   /* seconds between looks at the queue when nothing tells of mail; default 60 */
	char *nameservers;	   /* "ADDRESS:PORT,…"; null: the system's */
	uint64_t port;		   /* of mail exchangers; default 25 */
	bool ipv6;		   /* default true */
};

struct config {
	char *path;	 /* of packetboat.conf */
	char *directory; /* that holds it */
	char *spool;	 /* default DIRECTORY/spool */
	char *keys;	 /* default DIRECTORY/keys */
	char *users;	 /* password file of the bridges; default DIRECTORY/users */
	char *host;
	struct strings domains; /* lower case */
	char *postmaster;	/* address that gets what postmaster gets; null: the local box "postmaster" */
	uint64_t expire;	/* default 30d */
	uint64_t warn;		/* default 2d; 0: never */
	uint64_t retry_min;	/* first back-off, default 5m; doubles up to */
	uint64_t retry_max;	/* default 4h */
	uint64_t max_size;	/* of one message, default 2G: octets of content */
	uint64_t min_free;	/* bytes to leave free on the disk, default 16M */
	uint64_t reports;	/* reports made in one pass at most, default 100 */
	uint64_t hops;		/* default and maximum LIMIT_HOPS */
	struct config_smtpd smtpd;
	struct config_smtp smtp;
	struct config_pop3d pop3d;
	struct config_relay relay;

	struct config_neighbour *neighbours;
	size_t neighbour_count;
	struct config_route *routes;
	size_t route_count;
	struct config_alias *aliases;
	size_t alias_count;
	struct config_destination *destinations;
	size_t destination_count;
	struct config_fetch *fetches;
	size_t fetch_count;
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
/* The same for a program that has somebody to tell: when mistakes were said to COMPLAIN, ERR holds no text. */
enum outcome config_tell(
    struct config *c, const char *path, config_complain *complain, void *context, struct error *err);
void config_release(struct config *c);
const struct config_neighbour *config_neighbour(const struct config *c, const char *name);
/*
 * What a route's recipients may be handed in by anyone? Yes for ways into our own network: "maildir", "lmtp", and a
 * neighbour for a pattern that names domains; no for "*", for a top-level domain as "*.org", and for SMTP, which would make
 * an open relay; or as `public` says.
 */
bool config_route_public(const struct config_route *r);
/* Has N an address for calls (tcp:, exec:), beside those of directories? */
bool config_calls(const struct config_neighbour *n);
/* The section for what is delivered to NAME: a domain, or "host:port" or a path that must match whole. Null: none. */
const struct config_destination *config_destination(const struct config *c, const char *name);
/* Does HOST, a name or an address with or without brackets, mean this machine itself: localhost, or an address of loopback? */
bool config_this_machine(const char *host);
/* The section fetch NAME; null: there is none. */
const struct config_fetch *config_fetch(const struct config *c, const char *name);
/* The name by which this host is known in mail: NAME if given, else the first domain, else the host's name. */
const char *config_mail_name(const struct config *c, const char *name);
/* "SERVICE:ADDRESS" of smtpd's listen option: smtp, submission, submissions, lmtp; without a service it is smtp. */
enum listen_service { LISTEN_SMTP, LISTEN_SUBMISSION, LISTEN_SUBMISSIONS, LISTEN_LMTP };
/* *ADDRESS points into TEXT. */
enum listen_service listen_service(const char *text, const char **address);
/* The same of pop3d's: pop3, pop3s; without a service it is pop3. */
enum listen_pop3 { LISTEN_POP3, LISTEN_POP3S };
enum listen_pop3 listen_pop3(const char *text, const char **address);
/* Is the address in one of NETWORKS ("192.0.2.0/24", "2001:db8::/32", "127.0.0.1")? False for what is no address. */
bool config_network_has(const struct strings *networks, const char *address);
bool config_network_valid(const char *text);
/* Is DOMAIN one of ours: a configured domain or the host's own name? Without regard to case. */
bool config_is_local(const struct config *c, struct view domain);

#endif
