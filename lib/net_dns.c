#include "lib/net_dns.h"

#include <ares.h>
#include <idn2.h>
#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sodium.h>

#include "lib/alloc.h"
#include "lib/limits.h"
#include "lib/text.h"

/* Each name server is asked so often, with twice the patience each time: 1 + 2 + 4 parts of all the time. */
#define TRIES	   3
#define PARTS	   7
#define COPIES_MAX 255 /* octets of a sentence */

/* A descriptor of c-ares and our event for it. */
struct dns_socket {
	struct dns *dns;
	ares_socket_t fd;
	struct event *event;
	struct dns_socket *next;
};

/* What was asked. Answered from the loop, once, when all parts are there or the time is over; it lives until c-ares has let
 * go of it, too. */
struct question {
	struct dns *dns; /* null: answered, or nobody wants to know any more */
	char *name;
	dns_mx_found *mx_found;
	dns_addresses_found *addresses_found;
	void *context;
	struct event *event; /* the deadline; and the turn of the loop in which the answer is given */
	unsigned open;	     /* parts that c-ares still works on */
	bool trouble;	     /* a part failed in a way that may pass */
	const char *why;     /* the last failure in c-ares' words */
	struct dns_mx *hosts;
	struct dns_address *addresses;
	size_t count;
	struct question *next, **place;
};

struct dns {
	struct event_base *base;
	ares_channel channel;
	struct event *timer;
	struct dns_socket *sockets;
	struct question *questions;
	unsigned seconds;
};

/* ---- c-ares on the loop ---------------------------------------------------------------------------------- */

/* Lets the loop wake c-ares when it next has something to give up on. */
static void set_timer(struct dns *dns)
{
	struct timeval wait;

	if (ares_timeout(dns->channel, NULL, &wait) != NULL)
		event_add(dns->timer, &wait);
	else
		event_del(dns->timer);
}

static void on_socket(evutil_socket_t fd, short what, void *context)
{
	struct dns *dns = ((struct dns_socket *)context)->dns;

	ares_process_fd(dns->channel, (what & EV_READ) != 0 ? fd : ARES_SOCKET_BAD,
	    (what & EV_WRITE) != 0 ? fd : ARES_SOCKET_BAD);
	set_timer(dns);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct dns *dns = context;

	(void)fd;
	(void)what;
	ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	set_timer(dns);
}

static void forget_socket(struct dns_socket **place)
{
	struct dns_socket *old = *place;

	*place = old->next;
	event_free(old->event);
	free(old);
}

/* c-ares tells which of its descriptors it waits for. */
static void on_state(void *context, ares_socket_t fd, int readable, int writable)
{
	struct dns *dns = context;
	struct dns_socket **place = &dns->sockets;
	struct dns_socket *s;
	short what = (short)(EV_PERSIST | (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));

	while (*place != NULL && (*place)->fd != fd)
		place = &(*place)->next;
	if (*place != NULL)
		forget_socket(place);
	if (!readable && !writable)
		return;
	s = mem_alloc(sizeof *s);
	s->dns = dns;
	s->fd = fd;
	s->next = dns->sockets;
	dns->sockets = s;
	s->event = event_new(dns->base, fd, what, on_socket, s);
	event_add(s->event, NULL);
}

enum outcome dns_open(
    struct dns **dns, struct event_base *base, const char *servers, unsigned seconds, struct error *err)
{
	static bool library;
	struct ares_options options = {0};
	int code = library ? ARES_SUCCESS : ares_library_init(ARES_LIB_INIT_ALL);

	library = true;
	*dns = mem_alloc(sizeof **dns);
	(*dns)->base = base;
	(*dns)->seconds = seconds > 0 ? seconds : 1;
	options.timeout = (int)((*dns)->seconds * 1000 / PARTS);
	options.tries = TRIES;
	options.sock_state_cb = on_state;
	options.sock_state_cb_data = *dns;
	/* No search list: mail names are whole names. */
	if (code == ARES_SUCCESS)
		code = ares_init_options(&(*dns)->channel, &options,
		    ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_DOMAINS);
	if (code != ARES_SUCCESS) {
		free(*dns);
		*dns = NULL;
		return error_set(err, EX_OSERR, "cannot look up names: %s", ares_strerror(code));
	}
	(*dns)->timer = event_new(base, -1, 0, on_timer, *dns);
	if (servers != NULL)
		code = ares_set_servers_ports_csv((*dns)->channel, servers);
	if (code == ARES_SUCCESS)
		return OUTCOME_DONE;
	dns_close(*dns);
	*dns = NULL;
	return error_set(err, EX_CONFIG, "\"%s\" are no name servers: %s", servers, ares_strerror(code));
}

/* ---- questions ------------------------------------------------------------------------------------------- */

static void detach(struct question *q)
{
	*q->place = q->next;
	if (q->next != NULL)
		q->next->place = q->place;
	q->dns = NULL;
	event_free(q->event);
	q->event = NULL;
}

static void free_question(struct question *q)
{
	free(q->name);
	free(q->hosts);
	free(q->addresses);
	free(q);
}

void dns_close(struct dns *dns)
{
	if (dns == NULL)
		return;
	while (dns->questions != NULL) {
		struct question *q = dns->questions;

		detach(q);
		if (q->open == 0)
			free_question(q);
	}
	/* Calls back for what is open, which frees it. */
	ares_destroy(dns->channel);
	while (dns->sockets != NULL)
		forget_socket(&dns->sockets);
	event_free(dns->timer);
	free(dns);
}

/* The sentence, and what it amounts to. */
static enum dns_result judge(const struct question *q, char *why, size_t size)
{
	const char *wanted = q->mx_found != NULL ? "mail server" : "address";

	why[0] = '\0';
	if (q->count > 0)
		return DNS_FOUND;
	if (q->open > 0)
		snprintf(why, size, "no answer from the name servers about %.*s", COPIES_MAX, q->name);
	else if (q->trouble)
		snprintf(why, size, "the %s of %.*s could not be looked up: %s", wanted, COPIES_MAX, q->name, q->why);
	else
		snprintf(why, size, "there is no %s of %.*s: %s", wanted, COPIES_MAX, q->name,
		    q->why == NULL ? "no such record" : q->why);
	return q->open > 0 || q->trouble ? DNS_TROUBLE : DNS_NONE;
}

/* By preference; equal ones in any order, drawn by shuffling first and sorting so that the order of equals stays. */
static void order_hosts(struct dns_mx *hosts, size_t count)
{
	for (size_t i = count; i > 1; i--) {
		size_t other = randombytes_uniform((uint32_t)i);
		struct dns_mx copy = hosts[i - 1];

		hosts[i - 1] = hosts[other];
		hosts[other] = copy;
	}
	for (size_t i = 1; i < count; i++) {
		struct dns_mx moved = hosts[i];
		size_t at = i;

		for (; at > 0 && hosts[at - 1].preference > moved.preference; at--)
			hosts[at] = hosts[at - 1];
		hosts[at] = moved;
	}
}

static int compare_families(const struct dns_address *a, const struct dns_address *b)
{
	return (a->address.ss_family == AF_INET) - (b->address.ss_family == AF_INET);
}

/* IPv6 first; otherwise as the answers had them. */
static void order_addresses(struct dns_address *addresses, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct dns_address moved = addresses[i];
		size_t at = i;

		for (; at > 0 && compare_families(&addresses[at - 1], &moved) > 0; at--)
			addresses[at] = addresses[at - 1];
		addresses[at] = moved;
	}
}

static void on_answer(evutil_socket_t fd, short what, void *context)
{
	struct question *q = context;
	char why[2 * COPIES_MAX + 100];
	enum dns_result result = judge(q, why, sizeof why);
	size_t hosts = q->count < DNS_HOSTS_MAX ? q->count : DNS_HOSTS_MAX;

	(void)fd;
	(void)what;
	detach(q);
	/* The handler may close the resolver: c-ares lets go of Q then, which must live until it returns. */
	q->open++;
	if (q->mx_found != NULL) {
		order_hosts(q->hosts, q->count);
		q->mx_found(q->context, result, q->hosts, hosts, why);
	} else {
		order_addresses(q->addresses, q->count);
		q->addresses_found(q->context, result, q->addresses, q->count, why);
	}
	if (--q->open == 0)
		free_question(q);
}

/* NAME without its last dot, and as DNS has it when it is an international one (RFC 5891); what cannot be written so
 * stays, and is judged as it stands. */
static char *dns_form(const char *name)
{
	size_t length = strlen(name);
	char *plain = mem_copy(name, length > 1 && name[length - 1] == '.' ? length - 1 : length);
	uint8_t *ascii = NULL;

	if (view_has_8bit(view_text(plain)) &&
	    idn2_lookup_u8((const uint8_t *)plain, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK) {
		free(plain);
		plain = mem_string((const char *)ascii);
		idn2_free(ascii);
	}
	return plain;
}

static struct question *ask(struct dns *dns, const char *name, void *context)
{
	struct question *q = mem_alloc(sizeof *q);
	struct timeval wait = {.tv_sec = dns->seconds};

	q->dns = dns;
	q->name = dns_form(name);
	q->context = context;
	q->event = event_new(dns->base, -1, 0, on_answer, q);
	event_add(q->event, &wait);
	q->next = dns->questions;
	q->place = &dns->questions;
	if (q->next != NULL)
		q->next->place = &q->next;
	dns->questions = q;
	return q;
}

/* One part has come; when it was the last, the answer is given in the next turn of the loop. */
static void part_done(struct question *q)
{
	q->open--;
	if (q->open > 0)
		return;
	if (q->dns == NULL)
		free_question(q);
	else
		event_active(q->event, EV_TIMEOUT, 0);
}

/* Notes how a part ended that found nothing. */
static void part_failed(struct question *q, int status)
{
	bool answer = status == ARES_ENOTFOUND || status == ARES_ENODATA || status == ARES_EBADNAME;

	q->trouble = q->trouble || !answer;
	if (q->trouble && answer)
		return;
	/* c-ares does not tell a server that fails from one that cannot be reached. */
	q->why = status == ARES_ENOTFOUND      ? "the name does not exist"
		 : status == ARES_ENODATA      ? "the name has no such record"
		 : status == ARES_EBADNAME     ? "that is no domain name"
		 : status == ARES_ETIMEOUT     ? "no name server answers"
		 : status == ARES_ESERVFAIL    ? "the name servers fail"
		 : status == ARES_ECONNREFUSED ? "the name servers fail, refuse or cannot be reached"
					       : ares_strerror(status);
}

/* What DNS can be asked about (RFC 1035 2.3.4). */
static bool can_exist(const char *name)
{
	size_t length = strlen(name);
	size_t label = 0;

	if (length == 0 || length > 253)
		return false;
	for (size_t i = 0; i < length; i++) {
		uint8_t c = (uint8_t)name[i];

		if (c == '.' && label == 0)
			return false;
		label = c == '.' ? 0 : label + 1;
		if (label > 63 || c <= ' ' || c > '~' || c == '\\')
			return false;
	}
	return label > 0;
}

/* ---- mail servers ---------------------------------------------------------------------------------------- */

static bool add_host(struct question *q, const char *name, uint16_t preference)
{
	struct dns_mx *host = &q->hosts[q->count];
	size_t length = strlen(name);

	if (length > 0 && name[length - 1] == '.')
		length--;
	if (length >= sizeof host->name)
		return false;
	memcpy(host->name, name, length);
	host->name[length] = '\0';
	text_lower_all(host->name);
	host->preference = preference;
	if (length > 0 && !can_exist(host->name))
		return false;
	q->count++;
	return true;
}

/* RFC 7505 3: the null MX stands alone, or it means nothing. */
static void drop_null_beside_others(struct question *q)
{
	size_t kept = 0;

	if (q->count < 2)
		return;
	for (size_t i = 0; i < q->count; i++)
		if (q->hosts[i].name[0] != '\0')
			q->hosts[kept++] = q->hosts[i];
	/* Nothing but null ones is a null one. */
	q->count = kept > 0 ? kept : 1;
}

static void take_hosts(struct question *q, const struct ares_mx_reply *reply)
{
	size_t count = 0;

	for (const struct ares_mx_reply *mx = reply; mx != NULL; mx = mx->next)
		count++;
	if (count == 0) {
		part_failed(q, ARES_ENODATA);
		return;
	}
	q->hosts = mem_array(count, sizeof q->hosts[0]);
	for (const struct ares_mx_reply *mx = reply; mx != NULL; mx = mx->next)
		(void)add_host(q, mx->host, mx->priority);
	drop_null_beside_others(q);
	if (q->count > 0)
		return;
	/* Not "none": the domain's own address must not be taken instead. */
	q->trouble = true;
	q->why = "its mail servers have names that cannot exist";
}

static void on_mx(void *context, int status, int timeouts, unsigned char *bytes, int length)
{
	struct question *q = context;
	struct ares_mx_reply *reply = NULL;

	(void)timeouts;
	if (q->dns != NULL) {
		if (status == ARES_SUCCESS)
			status = ares_parse_mx_reply(bytes, length, &reply);
		if (status == ARES_SUCCESS)
			take_hosts(q, reply);
		else
			part_failed(q, status);
		if (reply != NULL)
			ares_free_data(reply);
	}
	part_done(q);
}

void dns_mx(struct dns *dns, const char *domain, dns_mx_found *found, void *context)
{
	struct question *q = ask(dns, domain, context);

	q->mx_found = found;
	q->open = 1;
	if (!can_exist(q->name)) {
		part_failed(q, ARES_EBADNAME);
		part_done(q);
		return;
	}
	ares_query(dns->channel, q->name, ns_c_in, ns_t_mx, on_mx, q);
	set_timer(dns);
}

/* ---- addresses ------------------------------------------------------------------------------------------- */

static void add_address(struct question *q, const struct sockaddr *address, socklen_t length)
{
	struct dns_address *place;

	if (q->count == DNS_ADDRESSES_MAX || length > sizeof place->address)
		return;
	if (q->addresses == NULL)
		q->addresses = mem_array(DNS_ADDRESSES_MAX, sizeof q->addresses[0]);
	place = &q->addresses[q->count++];
	memcpy(&place->address, address, length);
	place->length = length;
}

static void on_addresses(void *context, int status, int timeouts, struct ares_addrinfo *found)
{
	struct question *q = context;
	size_t share = 0;

	(void)timeouts;
	if (q->dns != NULL && status == ARES_SUCCESS) {
		for (const struct ares_addrinfo_node *node = found->nodes; node != NULL; node = node->ai_next)
			/* Half for each family, so that one cannot crowd out the other. */
			if (share++ < DNS_ADDRESSES_MAX / 2)
				add_address(q, node->ai_addr, node->ai_addrlen);
	} else if (q->dns != NULL) {
		part_failed(q, status);
	}
	if (found != NULL)
		ares_freeaddrinfo(found);
	part_done(q);
}

/* "192.0.2.1", "2001:db8::1", and with brackets as RFC 5321 4.1.3 has them: "[192.0.2.1]", "[IPv6:2001:db8::1]". */
static bool add_literal(struct question *q)
{
	struct sockaddr_in four = {.sin_family = AF_INET};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};
	size_t length = strlen(q->name);
	bool brackets = length > 2 && q->name[0] == '[' && q->name[length - 1] == ']';
	char *text = brackets ? mem_copy(q->name + 1, length - 2) : mem_string(q->name);
	bool tagged = brackets && strncasecmp(text, "IPv6:", 5) == 0;
	bool good = true;

	if (!tagged && inet_pton(AF_INET, text, &four.sin_addr) == 1)
		add_address(q, (struct sockaddr *)&four, sizeof four);
	else if (inet_pton(AF_INET6, tagged ? text + 5 : text, &six.sin6_addr) == 1)
		add_address(q, (struct sockaddr *)&six, sizeof six);
	else
		good = false;
	free(text);
	return good;
}

static void ask_family(struct question *q, int family)
{
	struct ares_addrinfo_hints hints = {
	    .ai_family = family, .ai_flags = ARES_AI_NOSORT, .ai_socktype = SOCK_STREAM};

	ares_getaddrinfo(q->dns->channel, q->name, NULL, &hints, on_addresses, q);
}

void dns_addresses(
    struct dns *dns, const char *name, enum dns_families families, dns_addresses_found *found, void *context)
{
	struct question *q = ask(dns, name, context);

	q->addresses_found = found;
	/* One part is this function's own: no answer before all was asked. */
	q->open = 1;
	if (!add_literal(q)) {
		if (!can_exist(q->name)) {
			part_failed(q, ARES_EBADNAME);
		} else {
			q->open += families == DNS_ANY ? 2 : 1;
			if (families == DNS_ANY)
				ask_family(q, AF_INET6);
			ask_family(q, AF_INET);
			set_timer(dns);
		}
	}
	part_done(q);
}
