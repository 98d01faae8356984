#include "bridge-pop3/fetch.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "lib/alloc.h"
#include "lib/secret.h"
#include "lib/text.h"
#include "queue/served.h"

/* TLS from the first octet (RFC 8314 3.3). */
#define PORT_POP3S 995

/* ---- what is known beforehand ------------------------------------------------------------------------------- */

/* RFC 8314 3: in clear only where the operator says so, or within this machine. */
static void policy_choose(struct fetch_box *b)
{
	b->policy = b->section->tls;
	if (b->policy != POLICY_DEFAULT)
		return;
	if (b->server.port == PORT_POP3S)
		b->policy = POLICY_IMPLICIT;
	else
		b->policy = config_this_machine(b->server.host) ? POLICY_OFFERED : POLICY_VERIFIED;
}

struct fetch_box *fetch_box_new(struct fetch *f, const struct config_fetch *section)
{
	struct fetch_box *b = mem_alloc(sizeof *b);

	b->fetch = f;
	b->section = section;
	buf_init(&b->header, TEXT_HEAD_MAX);
	endpoint_parse(section->server, &b->server);
	policy_choose(b);
	return b;
}

void fetch_box_free(struct fetch_box *b)
{
	if (b == NULL)
		return;
	fetch_session_close(b);
	if (b->opened)
		fetched_close(&b->state);
	secret_free(b->password);
	tls_drop(b->tls);
	buf_release(&b->header);
	free(b->plan.messages);
	free(b->stumbled_uid);
	free(b);
}

/* ---- the end ------------------------------------------------------------------------------------------------- */

static char *log_name(const struct fetch_box *b)
{
	return mem_format("fetch-%s", b->section->name);
}

static void log_counts(const struct fetch_box *b)
{
	const struct fetch_counts *c = &b->counts;
	struct log_line line;
	char *name = log_name(b);

	if (c->taken + c->notices + c->deleted + c->again > 0) {
		log_begin(&line, &b->fetch->queue.log, name, "fetched");
		log_number(&line, "messages", c->taken);
		log_number(&line, "octets", c->octets);
		log_number(&line, "deleted", c->deleted);
		log_number(&line, "left", c->left);
		if (c->again > 0)
			log_number(&line, "again", c->again);
		if (c->notices > 0)
			log_number(&line, "notices", c->notices);
		log_end(&line);
	}
	free(name);
}

/* What goes on failing is told with how often and since when. */
static void tell(struct fetch_box *b, const struct error *why)
{
	struct log_line line;
	char *name = log_name(b);
	char since[DATE_TEXT];
	uint64_t times = b->opened ? b->state.failures : 1;

	log_begin(&line, &b->fetch->queue.log, name, "trouble");
	log_text(&line, "reason", why->text);
	if (times > 1) {
		date_rfc3339(b->state.failing_since, since);
		log_number(&line, "times", times);
		log_text(&line, "since", since);
	}
	log_end(&line);
	fprintf(stderr, "packetboat-fetch: %s: %s", b->section->name, why->text);
	if (times > 1)
		fprintf(stderr, " (%llu times in a row, since %s)", (unsigned long long)times, since);
	fputc('\n', stderr);
	free(name);
}

static void note_well(struct fetch_box *b)
{
	char *name = log_name(b);

	fetched_well(&b->state);
	served_note(&b->fetch->queue, name, b->fetch->age.now);
	free(name);
}

void fetch_box_end(struct fetch_box *b, const struct error *why)
{
	struct error err = ERROR_NONE;

	fetch_session_close(b);
	if (b->opened && fetched_keep(&b->state, &err) != OUTCOME_DONE && why == NULL)
		why = &err;
	if (b->opened && why == NULL && b->state.failures > 0) {
		char *name = log_name(b);

		log_event(&b->fetch->queue.log, name, "recovered", "after", b->state.failure);
		free(name);
	}
	if (b->opened && why != NULL)
		fetched_failed(&b->state, why->text);
	else if (b->opened)
		note_well(b);
	log_counts(b);
	if (why != NULL)
		tell(b, why);
	if (b->opened)
		fetched_close(&b->state);
	b->opened = false;
	fetch_box_over(b->fetch, why == NULL ? EX_OK : why->code == EX_OK ? EX_TEMPFAIL : why->code);
}

/* Nothing moves, or not enough: why another session of this run would be in vain. False: it would not. */
static bool is_stuck(const struct fetch_box *b, bool moved, struct error *why)
{
	if (!moved)
		error_set(why, EX_TEMPFAIL,
		    "%s lists a message with less than it has, it is too large, and nothing tells it from others: "
		    "there is no "
		    "way past it",
		    b->server.host);
	else if (b->broken && b->breaks >= FETCH_BREAKS)
		error_set(why, EX_TEMPFAIL,
		    "%s lists %zu messages with less than they have; the rest is for the next run", b->server.host,
		    b->breaks);
	return why->code != EX_OK;
}

/* A message that was passed by is tried once more, alone. */
static bool try_last(struct fetch_box *b)
{
	bool passed_by = b->postponed != FETCH_UNKNOWN && !b->last_try;

	b->last_try = b->last_try || passed_by;
	return passed_by;
}

/* Has a session that ended well, or for WHY, to be followed by another at this address? */
static bool go_on(struct fetch_box *b, const struct error *why, struct error *stuck)
{
	bool more = (b->round_full && b->next < b->plan.count) || b->broken;

	if (b->fetch->stopping)
		return false;
	if (why != NULL)
		return b->again;
	if (more)
		return !is_stuck(b, b->progress > b->progress_before, stuck);
	return try_last(b);
}

void fetch_box_session_over(struct fetch_box *b, const struct error *why)
{
	struct error stuck = ERROR_NONE;
	bool ready = b->planned;
	bool another = go_on(b, why, &stuck);

	if (stuck.code != EX_OK)
		why = &stuck;
	fetch_session_close(b);
	/* Another address of the server may do, as long as none has let us in. */
	if (!another && why != NULL && !ready && why->code == EX_UNAVAILABLE && b->tried + 1 < b->address_count &&
	    !b->fetch->stopping) {
		b->tried++;
		b->plain = false;
		another = true;
	}
	if (another)
		fetch_session_begin(b);
	else
		fetch_box_end(b, why);
}

void fetch_box_stop(struct fetch_box *b)
{
	struct error err = ERROR_NONE;

	if (!b->opened)
		return;
	error_set(&err, EX_TEMPFAIL, "this program was stopped");
	fetch_session_keep(b, NULL);
	fetch_box_end(b, &err);
}

/* ---- the beginning ------------------------------------------------------------------------------------------- */

static void on_addresses(
    void *context, enum dns_result result, const struct dns_address *addresses, size_t count, const char *why)
{
	struct fetch_box *b = context;
	struct error err = ERROR_NONE;

	if (!b->opened)
		return; /* stopped meanwhile */
	for (size_t i = 0; i < count && b->address_count < FETCH_ADDRESSES; i++) {
		struct dns_address *a = &b->addresses[b->address_count++];

		*a = addresses[i];
		if (a->address.ss_family == AF_INET6)
			((struct sockaddr_in6 *)&a->address)->sin6_port = htons(b->server.port);
		else
			((struct sockaddr_in *)&a->address)->sin_port = htons(b->server.port);
	}
	if (result == DNS_FOUND && b->address_count > 0) {
		fetch_session_begin(b);
		return;
	}
	error_set(&err, EX_TEMPFAIL, "%s", why);
	fetch_box_end(b, &err);
}

static enum outcome limits_find(struct fetch_box *b, struct error *err)
{
	const struct config_fetch *section = b->section;
	uint64_t way;
	enum outcome outcome = fetch_address_check(&b->fetch->config, section, &b->fetch->queue.mail, &way, err);

	b->max_size = b->fetch->config.max_size;
	if (section->max_size != 0 && section->max_size < b->max_size)
		b->max_size = section->max_size;
	/* Of a multidrop box every recipient has a way of his own. */
	if (section->multidrop == NULL && way < b->max_size)
		b->max_size = way;
	return outcome;
}

static enum outcome tls_need(struct fetch_box *b, struct error *err)
{
	bool check = b->policy == POLICY_VERIFIED || b->policy == POLICY_IMPLICIT;
	struct tls **kept = check ? &b->fetch->checked : &b->fetch->unchecked;
	enum tls_check kind = check ? TLS_CHECK_NAME : TLS_CHECK_NONE;

	if (b->policy == POLICY_NONE)
		return OUTCOME_DONE;
	if (check && b->section->authorities != NULL)
		return tls_client(&b->tls, kind, b->section->authorities, err);
	if (*kept == NULL && tls_client(kept, kind, NULL, err) != OUTCOME_DONE)
		return err->outcome;
	tls_hold(*kept);
	b->tls = *kept;
	return OUTCOME_DONE;
}

void fetch_box_begin(struct fetch_box *b)
{
	struct fetch *f = b->fetch;
	struct error err = ERROR_NONE;
	bool busy;
	enum outcome outcome = fetched_open(&b->state, &f->queue, b->section->name, f->age.now, &busy, &err);

	b->opened = outcome == OUTCOME_DONE;
	if (!b->opened)
		fetched_close(&b->state);
	if (busy) {
		/* No failure: the other run does what is to be done. */
		fprintf(stderr, "packetboat-fetch: %s: another run is working on it\n", b->section->name);
		fetch_box_over(f, EX_OK);
		return;
	}
	if (outcome == OUTCOME_DONE)
		outcome = limits_find(b, &err);
	if (outcome == OUTCOME_DONE)
		outcome = secret_read(b->section->password, &b->password, &err);
	if (outcome == OUTCOME_DONE)
		outcome = tls_need(b, &err);
	if (outcome != OUTCOME_DONE) {
		fetch_box_end(b, &err);
		return;
	}
	dns_addresses(f->dns, b->server.host, f->config.smtp.ipv6 ? DNS_ANY : DNS_IPV4_ONLY, on_addresses, b);
}
