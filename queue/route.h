/*
 * Which way an address goes. Asked each time a message is about to move, never frozen into the queue.
 *
 *  1. a bang path without a domain or at one of ours: the first hop must be a neighbour (our own name in front is
 *     taken off); the rest goes along
 *  2. the most specific of: user@domain route, exact domain route, our own domain, a neighbour's name as domain,
 *     the longest "*.domain" route, "*"
 *  3. at home (our own domain, no domain, or a route via maildir): alias, then user, then the same without "+tag",
 *     else "5.1.1 no such user"
 * Aliases are found at home only. Their targets are followed until none is an alias, each alias once; one that names
 * itself keeps a copy for the user of that name. Postmaster always exists: alias, else the configured postmaster,
 * else (and when these lead nowhere) the local box "postmaster". MAILER-DAEMON is another name for him.
 */
#ifndef QUEUE_ROUTE_H
#define QUEUE_ROUTE_H

#include "lib/file.h"
#include "queue/config.h"
#include "queue/entry.h"

enum route_kind {
	ROUTE_HOP,    /* to `hop`, as `address` */
	ROUTE_EXPAND, /* an alias of several, or of one elsewhere: to each of `targets`, each once; none is an alias */
	ROUTE_FAIL,   /* nowhere: `status` and `reason` */
};

struct route {
	enum route_kind kind;
	char hop[LIMIT_HOST_NAME + 16]; /* "neighbour-city", "local", "smtp", "lmtp": directory name in queue/ */
	char *address; /* as the next hop is to see it; for local: the user's name, which is a Maildir below mail/ */
	char *target;  /* smarthost "host:port" or LMTP path, else null */
	struct strings targets;
	char status[STATUS_TEXT];
	char *reason;
	uint64_t expire; /* seconds */
	uint64_t warn;
	char *why; /* for `route test`: the rule that decided, with its place: "route \"*\" at packetboat.conf:12" */
	bool relayed; /* leaves this host other than by an alias: needs permission when it came from elsewhere */
	const struct config_route *rule; /* that decided, in the configuration; null: none did */
};

/*
 * Targets are new recipients and are routed for themselves; those that cannot be routed are among them. A target in
 * needless quotes and without a domain, `"joe"`, means the user joe past all aliases, so that an alias which names
 * itself does not expand again and again.
 *
 * Decides for ADDRESS. MAIL is the directory of Maildirs: a user is somebody who has one. Never fails: what cannot be
 * routed has the kind ROUTE_FAIL, 4.3.0 when that is so only now (mailboxes cannot be looked at), 5.1.1 unknown user, 5.1.2 no route for the domain, 5.1.3 bad address syntax,
 * 5.4.6 alias loop.
 */
void route_find(struct route *r, const struct config *c, const struct dir *mail, const char *address);
void route_release(struct route *r);
/*
 * The server at the end of the way, for hops that end at one: the domain (lower case) whose servers are to be asked for,
 * "host:port" of a smarthost, the path of an LMTP socket. Null for all other ways. The caller frees it. One record has
 * one destination.
 */
char *route_destination(const struct route *r);
/* May DOMAIN PATTERN ("domain", "*.domain", "*", without case) match DOMAIN? "*.d" matches below d, not d itself. */
bool route_pattern_matches(const char *pattern, struct view domain);
/* A user name that is safe as a directory: letters, digits, '.', '_', '-', '+', or UTF-8; not beginning with '.' or
 * '-'; at most LIMIT_LOCAL_PART octets. */
bool user_name_valid(const char *name);

#endif
