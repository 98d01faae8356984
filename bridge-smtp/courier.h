/*
 * packetboat-smtp: the loop that delivers to live servers. The clerk (bridge-smtp/clerk.h) gives deliveries; each goes to the
 * target that its destination is, which finds the servers and keeps some links to them; a link is one connection, over
 * which messages go one after the other.
 *
 *	courier.c	the daemon: the clerk, the watch on the queue, signals
 *	target.c	one destination: whose servers, which addresses, how many links
 *	link.c		one connection
 */
#ifndef BRIDGE_SMTP_COURIER_H
#define BRIDGE_SMTP_COURIER_H

#include "bridge-smtp/clerk.h"
#include "lib/net_conn.h"
#include "lib/net_dns.h"

struct target;
struct link;

struct courier {
	struct event_base *base;
	struct config config;
	struct clerk *clerk;
	struct dns *dns;
	struct target *targets; /* a list */
	size_t deliveries;	/* given by the clerk and not yet given back */
	size_t links;
	struct tls *unchecked; /* contexts, made when first needed */
	struct tls *checked;
	bool once;	/* ends when nothing is left to do */
	bool stopping;	/* no more deliveries are begun */
	bool again;	/* begins anew after stopping: the configuration is to be read again */
	unsigned stuck; /* times in a row that the clerk could not go on */
	struct event *timers[4];
	struct event *signals[3];
	struct watch *watch;
};

enum courier_mode { COURIER_DAEMON, COURIER_ONCE };

struct courier_start {
	const char *config_path;
	enum courier_mode mode;
	bool verbose;
	bool detach;
};

/* Delivers until a signal ends it, or with COURIER_ONCE until nothing is left that can be done now. *AGAIN: the caller is to begin
 * anew, with the configuration of then. */
enum outcome courier_run(const struct courier_start *start, bool *again, struct error *err);

/* D is over: back to the clerk. */
void courier_give_back(struct courier *c, struct delivery *d, enum delivery_end end);
/* The context for a policy, to be dropped; null and ERR when it cannot be made. */
struct tls *courier_tls(struct courier *c, enum tls_policy policy, const char *authorities, struct error *err);
/* A link is gone: others may begin. */
void courier_link_over(struct courier *c);

/* ---- targets ---------------------------------------------------------------------------------------------- */

/* Addresses tried for one destination before it is given up for now (RFC 5321 5.1 asks for at least two). */
#define TARGET_CANDIDATES 16

struct candidate {
	struct sockaddr_storage address;
	socklen_t length;
	char host[256];
};

struct target {
	struct target *next;
	struct courier *courier;
	char *name;
	bool lmtp;
	enum tls_policy policy;			  /* never POLICY_DEFAULT */
	const struct config_destination *section; /* null: none */
	char *password;				  /* null: none */
	size_t link_limit;
	enum target_state { TARGET_NEW, TARGET_ASKING, TARGET_READY } state;
	struct dns_mx hosts[DNS_HOSTS_MAX];
	size_t host_count;
	size_t host_asked;
	uint16_t port;
	bool named; /* a server named in a route, not found by MX */
	struct candidate candidates[TARGET_CANDIDATES];
	size_t candidate_count;
	size_t candidate_first;	     /* the one to begin with: which was reached last */
	struct tls *tls;	     /* null: not needed yet */
	struct smtp_verdict trouble; /* of looking up */
	uint64_t found_at;	     /* monotonic seconds */
	bool proven;
	struct delivery *waiting; /* a list, oldest first */
	size_t waiting_count;
	struct link *links;
	size_t link_count;
};

/* The target called NAME, made when there is none. */
struct target *target_find(struct courier *c, const char *name, bool lmtp);
void target_add(struct target *t, struct delivery *d);
/* Gives waiting deliveries to idle links, and begins links as far as they are wanted and allowed. */
void target_work(struct target *t);
/* The next waiting delivery; null: none. */
struct delivery *target_take(struct target *t);
/* None of its addresses can be used now: everything that waits goes back. */
void target_block(struct target *t, const struct smtp_verdict *why);
/* The link that is TRIED candidates behind the first has got through. */
void target_proven(struct target *t, size_t tried);
/* The context for TLS with its servers, borrowed; null and ERR when it cannot be made. */
struct tls *target_tls(struct target *t, struct error *err);
void target_free(struct target *t);

/* ---- links ------------------------------------------------------------------------------------------------ */

/* Begins a link to the first address of T. */
void link_begin(struct target *t);
/* Is it connected and without work? Then it takes up the next delivery. */
bool link_take_up(struct link *l);
/* An idle link says goodbye. */
bool link_dismiss(struct link *l);
/* No more mail will come: an idle link says goodbye, one that is not ready yet goes at once. L may be gone afterwards. */
void link_stop(struct link *l);
/* At once, without a word; what it has under way ends as "later". */
void link_abort(struct link *l, const char *why);
struct link *link_next(const struct link *l);

#endif
