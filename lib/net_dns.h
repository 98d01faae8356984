/*
 * Looking up mail servers and addresses (c-ares) on libevent's loop. International names are asked for in their ASCII form
 * (libidn2, RFC 5891).
 */
#ifndef LIB_NET_DNS_H
#define LIB_NET_DNS_H

#include <event2/event.h>
#include <sys/socket.h>

#include "lib/error.h"

struct dns;

enum dns_result {
	DNS_FOUND,
	DNS_NONE,    /* the name does not exist, or has no such record: an answer */
	DNS_TROUBLE, /* no answer, a failing server: later */
};

#define DNS_HOSTS_MAX	  32
#define DNS_ADDRESSES_MAX 32

struct dns_mx {
	char name[256]; /* lower case, no dot at the end; "" alone is the null MX (RFC 7505) */
	uint16_t preference;
};
struct dns_address {
	struct sockaddr_storage address; /* port 0 */
	socklen_t length;
};

/* SERVERS: "127.0.0.1:5353,…", null: those of the system. SECONDS for one question in all. */
enum outcome dns_open(
    struct dns **dns, struct event_base *base, const char *servers, unsigned seconds, struct error *err);
/* Open questions are answered with DNS_TROUBLE no more: nobody is called. */
void dns_close(struct dns *dns);

/* In order of preference, equal ones shuffled (RFC 5321 5.1). WHY is a sentence when not found. */
typedef void dns_mx_found(
    void *context, enum dns_result result, const struct dns_mx *hosts, size_t count, const char *why);
void dns_mx(struct dns *dns, const char *domain, dns_mx_found *found, void *context);

enum dns_families { DNS_ANY, DNS_IPV4_ONLY };
/* IPv6 first, then IPv4. NAME may be an address literal with or without brackets: then it is that one. */
typedef void dns_addresses_found(
    void *context, enum dns_result result, const struct dns_address *addresses, size_t count, const char *why);
void dns_addresses(
    struct dns *dns, const char *name, enum dns_families families, dns_addresses_found *found, void *context);

#endif
