#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "bridge-smtp/courier.h"
#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/endpoint.h"
#include "lib/secret.h"
#include "lib/text.h"

/* Seconds for which the addresses of a destination are taken as they were found. */
#define TARGET_FRESH 300

/* ---- what is known beforehand ---------------------------------------------------------------------------- */

/* "host:port" as its parts; a domain has no port. */
static void name_split(struct target *t, char host[static 256])
{
	struct endpoint server;

	t->named = endpoint_parse(t->name, &server);
	t->port = t->named ? server.port : (uint16_t)t->courier->config.smtp.port;
	snprintf(host, 256, "%s", t->named ? server.host : t->name);
}

/*
 * The place where policies are decided. What a domain publishes of itself (MTA-STS, RFC 8461; DANE, RFC 7672) would be asked here
 * and could only make the policy stricter.
 */
static enum tls_policy policy_of(const struct target *t, const char *host)
{
	if (t->lmtp)
		return POLICY_NONE;
	if (t->section != NULL && t->section->tls != POLICY_DEFAULT)
		return t->section->tls;
	if (!t->named)
		return POLICY_OFFERED;
	if (t->port == 465)
		return POLICY_IMPLICIT;
	return config_this_machine(host) && (t->section == NULL || t->section->user == NULL) ? POLICY_OFFERED
											     : POLICY_VERIFIED;
}

struct target *target_find(struct courier *c, const char *name, bool lmtp)
{
	struct target *t;
	char host[256];

	for (t = c->targets; t != NULL; t = t->next)
		if (t->lmtp == lmtp && strcmp(t->name, name) == 0)
			return t;
	t = mem_alloc(sizeof *t);
	t->courier = c;
	t->name = mem_string(name);
	t->lmtp = lmtp;
	t->section = config_destination(&c->config, name);
	name_split(t, host);
	t->policy = policy_of(t, host);
	t->link_limit = (size_t)(t->section != NULL && t->section->connections > 0 ? t->section->connections
										   : c->config.smtp.connections_each);
	t->next = c->targets;
	c->targets = t;
	return t;
}

void target_free(struct target *t)
{
	tls_drop(t->tls);
	secret_free(t->password);
	free(t->name);
	free(t);
}

/* ---- whose servers, which addresses ---------------------------------------------------------------------- */

static void ready(struct target *t)
{
	t->state = TARGET_READY;
	t->found_at = clock_steady();
	if (t->candidate_count == 0)
		target_block(t, &t->trouble);
	else
		target_work(t);
}

static void candidate_add(struct target *t, const struct dns_address *a, const struct dns_mx *host)
{
	struct candidate *c;

	if (t->candidate_count == TARGET_CANDIDATES)
		return;
	c = &t->candidates[t->candidate_count++];
	c->address = a->address;
	c->length = a->length;
	if (a->address.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&c->address)->sin6_port = htons(t->port);
	else
		((struct sockaddr_in *)&c->address)->sin_port = htons(t->port);
	memcpy(c->host, host->name, sizeof c->host);
}

static void ask_next_host(struct target *t);

static void on_addresses(
    void *context, enum dns_result result, const struct dns_address *addresses, size_t count, const char *why)
{
	struct target *t = context;
	const struct dns_mx *asked = &t->hosts[t->host_asked - 1];

	for (size_t i = 0; i < count; i++)
		candidate_add(t, &addresses[i], asked);
	/* Of several hosts one that is only out of reach now speaks for "later". A wrong name in our own configuration is for the
	 * operator to put right, not for the sender to hear of. */
	if (result == DNS_TROUBLE || (result == DNS_NONE && t->named))
		verdict_later(&t->trouble, "4.4.3", "%s", why);
	else if (result == DNS_NONE && t->trouble.outcome == OUTCOME_DONE)
		verdict_never(&t->trouble, "5.4.4", "%s", why);
	ask_next_host(t);
}

static void ask_next_host(struct target *t)
{
	enum dns_families families = t->courier->config.smtp.ipv6 ? DNS_ANY : DNS_IPV4_ONLY;

	if (t->host_asked == t->host_count || t->candidate_count == TARGET_CANDIDATES) {
		ready(t);
		return;
	}
	t->host_asked++;
	dns_addresses(t->courier->dns, t->hosts[t->host_asked - 1].name, families, on_addresses, t);
}

static bool is_us(const struct courier *c, const char *host)
{
	return text_same(host, config_mail_name(&c->config, c->config.smtp.name)) ||
	       text_same(host, config_mail_name(&c->config, c->config.smtpd.server.name)) ||
	       text_same(host, c->config.host);
}

/* RFC 5321 5.1: we are not to send to ourselves, nor to those that are less preferred than we are. */
static void drop_from_us_on(struct target *t)
{
	for (size_t i = 0; i < t->host_count; i++) {
		if (!is_us(t->courier, t->hosts[i].name))
			continue;
		while (i > 0 && t->hosts[i - 1].preference == t->hosts[i].preference)
			i--;
		t->host_count = i;
		if (i == 0)
			verdict_never(&t->trouble, "5.4.6",
			    "the mail exchanger of %s is this host, which does not take its mail: a loop", t->name);
		return;
	}
}

static void on_mx(void *context, enum dns_result result, const struct dns_mx *hosts, size_t count, const char *why)
{
	struct target *t = context;

	if (result == DNS_TROUBLE) {
		verdict_later(&t->trouble, "4.4.3", "%s", why);
	} else if (result == DNS_FOUND && count == 1 && hosts[0].name[0] == '\0') {
		verdict_never(&t->trouble, "5.1.10", "%s takes no mail (null MX)", t->name);
	} else if (result == DNS_FOUND) {
		memcpy(t->hosts, hosts, count * sizeof hosts[0]);
		t->host_count = count;
		drop_from_us_on(t);
	} else {
		/* RFC 5321 5.1: without MX the domain is its own mail exchanger. */
		snprintf(t->hosts[0].name, sizeof t->hosts[0].name, "%s", t->name);
		t->host_count = 1;
	}
	ask_next_host(t);
}

static void local_socket(struct target *t)
{
	struct candidate *c = &t->candidates[0];
	struct sockaddr_un *un = (struct sockaddr_un *)&c->address;

	if (strlen(t->name) >= sizeof un->sun_path) {
		verdict_later(&t->trouble, "4.3.5", "the path %s is too long for a socket", t->name);
	} else {
		un->sun_family = AF_UNIX;
		memcpy(un->sun_path, t->name, strlen(t->name) + 1);
		c->length = sizeof *un;
		snprintf(c->host, sizeof c->host, "localhost");
		t->candidate_count = 1;
	}
	ready(t);
}

static void ask(struct target *t)
{
	struct error err = ERROR_NONE;
	char host[256];

	t->state = TARGET_ASKING;
	t->candidate_count = t->candidate_first = t->host_count = t->host_asked = 0;
	t->trouble = (struct smtp_verdict){.outcome = OUTCOME_DONE};
	if (t->section != NULL && t->section->password != NULL && t->password == NULL &&
	    secret_read(t->section->password, &t->password, &err) != OUTCOME_DONE) {
		verdict_later(&t->trouble, "4.3.5", "%s", err.text);
		ready(t);
	} else if (t->lmtp) {
		local_socket(t);
	} else if (t->named || t->name[0] == '[') {
		name_split(t, host);
		snprintf(t->hosts[0].name, sizeof t->hosts[0].name, "%s", host);
		t->host_count = 1;
		ask_next_host(t);
	} else {
		dns_mx(t->courier->dns, t->name, on_mx, t);
	}
}

/* ---- deliveries ------------------------------------------------------------------------------------------ */

void target_add(struct target *t, struct delivery *d)
{
	struct delivery **last = &t->waiting;

	while (*last != NULL)
		last = &(*last)->next;
	d->next = NULL;
	*last = d;
	t->waiting_count++;
}

struct delivery *target_take(struct target *t)
{
	struct delivery *d = t->waiting;

	if (d == NULL)
		return NULL;
	t->waiting = d->next;
	d->next = NULL;
	t->waiting_count--;
	return d;
}

void target_block(struct target *t, const struct smtp_verdict *why)
{
	struct delivery *d;

	t->proven = false;
	t->state = TARGET_NEW;
	while ((d = target_take(t)) != NULL) {
		d->why = *why;
		courier_give_back(t->courier, d, DELIVERY_BLOCKED);
	}
}

void target_proven(struct target *t, size_t tried)
{
	if (tried > 0 && t->candidate_count > 0)
		t->candidate_first = (t->candidate_first + tried) % t->candidate_count;
	if (t->proven)
		return;
	t->proven = true;
	target_work(t);
}

struct tls *target_tls(struct target *t, struct error *err)
{
	if (t->tls == NULL)
		t->tls = courier_tls(t->courier, t->policy, t->section == NULL ? NULL : t->section->authorities, err);
	return t->tls;
}

void target_work(struct target *t)
{
	size_t busy;

	if (t->waiting == NULL)
		return;
	for (struct link *l = t->links; l != NULL && t->waiting != NULL; l = link_next(l))
		link_take_up(l);
	if (t->waiting == NULL || t->state == TARGET_ASKING)
		return;
	/* Addresses that links are using have proven good, whatever has become of them meanwhile. */
	if (t->state == TARGET_NEW || (t->link_count == 0 && clock_steady() - t->found_at > TARGET_FRESH)) {
		ask(t);
		return;
	}
	/* Until one has got through, more would only knock at the same closed door. */
	busy = t->proven ? t->link_limit : 1;
	for (size_t wanted = t->waiting_count;
	     wanted > 0 && t->link_count < busy && t->courier->links < t->courier->config.smtp.connections; wanted--)
		link_begin(t);
}
