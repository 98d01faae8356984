#include "queue/config_parts.h"

#include <confuse.h>
#include <stddef.h>

#include "lib/alloc.h"
#include "lib/endpoint.h"
#include "lib/listen.h"
#include "lib/text.h"
#include "queue/address.h"

/* Longer waits than a century and sizes near 2^63 are typing errors, and would overflow sums. */
#define DURATION_MAX ((uint64_t)36500 * 86400)
#define SIZE_MOST    ((uint64_t)1 << 62)

/* One value to be read. */
struct job {
	const struct config_option *option;
	const char *directory;
	const char *text;
	void *place;	      /* where it is kept */
	struct buf *sentence; /* gets what is wrong with it */
};
/* Stores the value, or says what is wrong and returns false. For a list it is called once for each value. */
typedef bool value_read(const struct job *job);

struct config_option {
	enum config_scope scope;
	const char *name;
	value_read *read;
	size_t offset; /* in the struct of the scope */
	uint64_t minimum;
	uint64_t maximum;
};

static bool wrong(const struct job *job, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool wrong(const struct job *job, const char *format, ...)
{
	va_list arguments;
	char text[400];

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	buf_format(job->sentence, "\"%.300s\" %s", job->text, text);
	return false;
}

static bool store(const struct job *job, const char *text)
{
	char **place = job->place;

	free(*place);
	*place = mem_string(text);
	return true;
}

static bool add(const struct job *job, const char *text)
{
	strings_add(job->place, text);
	return true;
}

/* ---- single values -------------------------------------------------------------------------------- */

static bool read_host(const struct job *job)
{
	if (!host_name_valid(job->text))
		return wrong(
		    job, "is not a host name: 1 to %d of a-z, 0-9 and \"-\", a letter first", LIMIT_HOST_NAME);
	return store(job, job->text);
}

static bool read_plain(const struct job *job)
{
	return store(job, job->text);
}

static bool read_path(const struct job *job)
{
	char *path = path_below(job->directory, job->text);

	store(job, path);
	free(path);
	return true;
}

static bool address_good(const struct job *job)
{
	struct address a;
	struct error err = ERROR_NONE;

	if (address_parse(&a, view_text(job->text), &err) == OUTCOME_DONE)
		return true;
	buf_text(job->sentence, err.text);
	return false;
}

static bool read_address(const struct job *job)
{
	return address_good(job) && store(job, job->text);
}

static bool store_number(const struct job *job, uint64_t number, void (*print)(uint64_t, char[static 24]))
{
	char limit[24];

	if (number < job->option->minimum) {
		print(job->option->minimum, limit);
		return wrong(job, "is too small: at least %s", limit);
	}
	if (number > job->option->maximum) {
		print(job->option->maximum, limit);
		return wrong(job, "is too large: at most %s", limit);
	}
	*(uint64_t *)job->place = number;
	return true;
}

static void number_print(uint64_t number, char out[static 24])
{
	snprintf(out, 24, "%llu", (unsigned long long)number);
}

static bool read_number(const struct job *job)
{
	uint64_t number;

	if (!number_parse(view_text(job->text), UINT64_MAX, &number))
		return wrong(job, "is not a number");
	return store_number(job, number, number_print);
}

static bool read_duration(const struct job *job)
{
	uint64_t seconds;

	if (!duration_parse(job->text, &seconds))
		return wrong(job, "is not a duration like 90s, 15m, 4h, 3d or 2w");
	return store_number(job, seconds, duration_print_exact);
}

static bool read_size(const struct job *job)
{
	uint64_t bytes;

	if (!size_parse(job->text, &bytes))
		return wrong(job, "is not a size like 512, 64k, 10M or 1G");
	return store_number(job, bytes, size_print);
}

static bool read_boolean(const struct job *job)
{
	int value = cfg_parse_boolean(job->text);

	if (value < 0)
		return wrong(job, "is neither true nor false");
	*(bool *)job->place = value > 0;
	return true;
}

/* What can be connected to. */
static bool endpoint_valid(const char *text)
{
	struct endpoint e;

	return endpoint_parse(text, &e) && e.port > 0;
}

static bool read_via(const struct job *job)
{
	struct config_route *route = job->place;
	const char *text = job->text;
	const char *after = strchr(text, ':');

	after = after == NULL ? "" : after + 1;
	if (text_starts(text, "neighbour:") || text_starts(text, "neighbor:")) {
		route->via = VIA_NEIGHBOUR;
		if (!host_name_valid(after))
			return wrong(job, "names no neighbour: \"neighbour:NAME\"");
	} else if (strcmp(text, "maildir") == 0) {
		route->via = VIA_MAILDIR;
	} else if (strcmp(text, "smtp") == 0 || text_starts(text, "smtp:")) {
		route->via = VIA_SMTP;
		if (strlen(text) > 4 && !endpoint_valid(after))
			return wrong(job, "names no server: \"smtp:HOST:PORT\"");
	} else if (text_starts(text, "lmtp:")) {
		route->via = VIA_LMTP;
		if (after[0] == '\0')
			return wrong(job, "names no socket: \"lmtp:PATH\"");
	} else {
		return wrong(job, "is not a way: \"neighbour:NAME\", \"smtp\", \"smtp:HOST:PORT\", \"maildir\" or "
				  "\"lmtp:PATH\"");
	}
	free(route->target);
	route->target = after[0] == '\0'	 ? NULL
			: route->via == VIA_LMTP ? path_below(job->directory, after)
						 : mem_string(after);
	return true;
}

/* ---- values of lists ------------------------------------------------------------------------------ */

bool pattern_valid(const char *text, enum config_pattern form)
{
	struct address a;
	char *address;
	bool valid;

	if (form != PATTERN_DOMAIN && strcmp(text, "*") == 0)
		return true;
	if (form != PATTERN_DOMAIN && text_starts(text, "*."))
		text += 2;
	else if (form == PATTERN_ROUTE && strchr(text, '@') != NULL)
		return address_parse(&a, view_text(text), NULL) == OUTCOME_DONE && a.kind == ADDRESS_MAILBOX;
	/* A domain is what may stand behind "x@". */
	address = mem_format("x@%s", text);
	valid = address_parse(&a, view_text(address), NULL) == OUTCOME_DONE;
	free(address);
	return valid;
}

static bool read_domain(const struct job *job)
{
	char *lower;

	if (!pattern_valid(job->text, PATTERN_DOMAIN))
		return wrong(job, "is not a domain");
	lower = mem_string(job->text);
	text_lower_all(lower);
	add(job, lower);
	free(lower);
	return true;
}

static bool read_pattern(const struct job *job)
{
	if (!pattern_valid(job->text, PATTERN_DOMAINS))
		return wrong(job, "is not a pattern of domains: \"domain\", \"*.domain\" or \"*\"");
	return add(job, job->text);
}

static bool read_target(const struct job *job)
{
	return address_good(job) && add(job, job->text);
}

static bool read_call(const struct job *job)
{
	const char *after = strchr(job->text, ':');

	if (text_starts(job->text, "dir:") && after[1] != '\0') {
		char *path = path_below(job->directory, after + 1);
		char *call = mem_format("dir:%s", path);

		add(job, call);
		free(call);
		free(path);
		return true;
	}
	if (text_starts(job->text, "tcp:") && endpoint_valid(after + 1))
		return add(job, job->text);
	if (text_starts(job->text, "exec:") && after[1] != '\0' && after[1] != ' ')
		return add(job, job->text);
	return wrong(job, "cannot be called: \"dir:PATH\", \"tcp:HOST:PORT\" or \"exec:PROGRAM ARGUMENT ...\"");
}

static bool time_valid(struct view v)
{
	uint64_t hour;
	uint64_t minute;

	return v.length == 5 && v.bytes[2] == ':' && number_parse(view_of(v.bytes, 2), 23, &hour) &&
	       number_parse(view_from(v, 3), 59, &minute);
}

static bool read_window(const struct job *job)
{
	struct view v = view_text(job->text);

	if (v.length != 11 || v.bytes[5] != '-' || !time_valid(view_of(v.bytes, 5)) || !time_valid(view_from(v, 6)))
		return wrong(job, "is not a window of time like 22:00-06:00");
	return add(job, job->text);
}

static bool read_condition(const struct job *job)
{
	uint64_t number;

	if (strcmp(job->text, "urgent") != 0 && !duration_parse(job->text, &number) &&
	    !size_parse(job->text, &number))
		return wrong(job, "is none of \"urgent\", a size like 64k and an age like 2h");
	return add(job, job->text);
}

/* "ADDRESS" or "SERVICE:ADDRESS". */
static bool read_listen(const struct job *job)
{
	const char *address;

	listen_service(job->text, &address);
	if (!listen_address_valid(address))
		return wrong(job, "is no place to listen at: \"HOST:PORT\", \"*:PORT\" or \"/PATH\", or "
				  "\"submission:HOST:PORT\", \"submissions:HOST:PORT\", \"lmtp:/PATH\"");
	return add(job, job->text);
}

static bool read_place(const struct job *job)
{
	if (!listen_address_valid(job->text))
		return wrong(job, "is no place to listen at: \"HOST:PORT\", \"*:PORT\" or \"/PATH\"");
	return add(job, job->text);
}

static bool read_pop3_listen(const struct job *job)
{
	const char *address;

	listen_pop3(job->text, &address);
	if (!listen_address_valid(address))
		return wrong(
		    job, "is no place to listen at: \"HOST:PORT\", \"*:PORT\" or \"/PATH\", or \"pop3s:HOST:PORT\"");
	return add(job, job->text);
}

static bool read_network(const struct job *job)
{
	if (!config_network_valid(job->text))
		return wrong(job,
		    "is no network: \"192.0.2.0/24\", \"2001:db8::/32\" or one address; and the whole Internet is "
		    "no network");
	return add(job, job->text);
}

/* ---- values of the SMTP programs ------------------------------------------------------------------- */

static bool read_mail_name(const struct job *job)
{
	if (!pattern_valid(job->text, PATTERN_DOMAIN))
		return wrong(job, "is not a domain name");
	return store(job, job->text);
}

static bool read_tls(const struct job *job)
{
	static const char *const names[] = {
	    [POLICY_NONE] = "none",
	    [POLICY_OFFERED] = "offered",
	    [POLICY_REQUIRED] = "required",
	    [POLICY_VERIFIED] = "verified",
	    [POLICY_IMPLICIT] = "implicit",
	};

	for (size_t i = POLICY_NONE; i <= POLICY_IMPLICIT; i++)
		if (strcmp(job->text, names[i]) == 0) {
			*(enum tls_policy *)job->place = (enum tls_policy)i;
			return true;
		}
	return wrong(job, "is none of \"none\", \"offered\", \"required\", \"verified\" and \"implicit\"");
}

static bool read_server(const struct job *job)
{
	if (!endpoint_valid(job->text))
		return wrong(job, "is no server: \"HOST:PORT\"");
	return store(job, job->text);
}

/* The name of a header field: RFC 5322 2.2. */
static bool read_field(const struct job *job)
{
	for (const char *c = job->text; *c != '\0'; c++)
		if (*c <= ' ' || *c > '~' || *c == ':')
			return wrong(job, "is no name of a header field, like \"Delivered-To\"");
	return store(job, job->text);
}

static bool read_public(const struct job *job)
{
	int value = cfg_parse_boolean(job->text);

	if (value < 0)
		return wrong(job, "is neither true nor false");
	*(enum public_route *)job->place = value > 0 ? PUBLIC_YES : PUBLIC_NO;
	return true;
}

/* ---- the options ---------------------------------------------------------------------------------- */

#define TOP(field)	 offsetof(struct config, field)
#define NEIGHBOUR(field) offsetof(struct config_neighbour, field)
#define ROUTE(field)	 offsetof(struct config_route, field)
#define TO(field)	 offsetof(struct config_destination, field)
#define FETCH(field)	 offsetof(struct config_fetch, field)
/* What the sections of all servers have. */
#define SERVER(scope, member, reads)                                                                                 \
	{scope, "listen", reads, TOP(member.server.listen), 0, 0},                                                   \
	    {scope, "name", read_mail_name, TOP(member.server.name), 0, 0},                                          \
	    {scope, "certificate", read_path, TOP(member.server.certificate), 0, 0},                                 \
	    {scope, "certificate-key", read_path, TOP(member.server.certificate_key), 0, 0},                         \
	    {scope, "connections", read_number, TOP(member.server.connections), 1, 100000},                          \
	    {scope, "connections-each", read_number, TOP(member.server.connections_each), 1, 100000},                \
	    {scope, "errors", read_number, TOP(member.server.errors), 1, 10000},                                     \
	    {scope, "idle", read_duration, TOP(member.server.idle), 1, 86400},                                       \
	    {scope, "session", read_duration, TOP(member.server.session), 1, 30 * 86400},                            \
	    {scope, "user", read_plain, TOP(member.server.user), 0, 0},                                              \
	{                                                                                                            \
		scope, "group", read_plain, TOP(member.server.group), 0, 0                                           \
	}

static const struct config_option options[] = {
    {SCOPE_TOP, "host", read_host, TOP(host), 0, 0},
    {SCOPE_TOP, "domains", read_domain, TOP(domains), 0, 0},
    {SCOPE_TOP, "postmaster", read_address, TOP(postmaster), 0, 0},
    {SCOPE_TOP, "spool", read_path, TOP(spool), 0, 0},
    {SCOPE_TOP, "keys", read_path, TOP(keys), 0, 0},
    {SCOPE_TOP, "users", read_path, TOP(users), 0, 0},
    {SCOPE_TOP, "expire", read_duration, TOP(expire), 1, DURATION_MAX},
    {SCOPE_TOP, "warn", read_duration, TOP(warn), 0, DURATION_MAX},
    {SCOPE_TOP, "retry-min", read_duration, TOP(retry_min), 1, DURATION_MAX},
    {SCOPE_TOP, "retry-max", read_duration, TOP(retry_max), 1, LIMIT_RETRY},
    {SCOPE_TOP, "max-size", read_size, TOP(max_size), 1, SIZE_MOST},
    {SCOPE_TOP, "min-free", read_size, TOP(min_free), 0, SIZE_MOST},
    {SCOPE_TOP, "reports", read_number, TOP(reports), 1, UINT32_MAX},
    {SCOPE_TOP, "hops", read_number, TOP(hops), 1, LIMIT_HOPS},

    {SCOPE_NEIGHBOUR, "key", read_plain, NEIGHBOUR(key), 0, 0},
    {SCOPE_NEIGHBOUR, "call", read_call, NEIGHBOUR(call), 0, 0},
    {SCOPE_NEIGHBOUR, "seal", read_boolean, NEIGHBOUR(seal), 0, 0},
    {SCOPE_NEIGHBOUR, "relay", read_boolean, NEIGHBOUR(relay), 0, 0},
    {SCOPE_NEIGHBOUR, "senders", read_pattern, NEIGHBOUR(senders), 0, 0},
    {SCOPE_NEIGHBOUR, "max-size", read_size, NEIGHBOUR(max_size), 0, SIZE_MOST},
    {SCOPE_NEIGHBOUR, "batch-size", read_size, NEIGHBOUR(batch_size), 1, SIZE_MOST},
    {SCOPE_NEIGHBOUR, "resend", read_duration, NEIGHBOUR(resend), 1, DURATION_MAX},
    {SCOPE_NEIGHBOUR, "outstanding", read_size, NEIGHBOUR(outstanding), 1, SIZE_MOST},
    {SCOPE_NEIGHBOUR, "call-when", read_condition, NEIGHBOUR(call_when), 0, 0},
    {SCOPE_NEIGHBOUR, "call-every", read_duration, NEIGHBOUR(call_every), 0, DURATION_MAX},
    {SCOPE_NEIGHBOUR, "cap-call", read_size, NEIGHBOUR(cap_call), 0, SIZE_MOST},
    {SCOPE_NEIGHBOUR, "cap-day", read_size, NEIGHBOUR(cap_day), 0, SIZE_MOST},
    {SCOPE_NEIGHBOUR, "cap-month", read_size, NEIGHBOUR(cap_month), 0, SIZE_MOST},
    {SCOPE_NEIGHBOUR, "reserve", read_size, NEIGHBOUR(reserve), 0, SIZE_MOST},
    {SCOPE_NEIGHBOUR, "time-call", read_duration, NEIGHBOUR(time_call), 0, DURATION_MAX},
    {SCOPE_NEIGHBOUR, "time-day", read_duration, NEIGHBOUR(time_day), 0, DURATION_MAX},
    {SCOPE_NEIGHBOUR, "time-month", read_duration, NEIGHBOUR(time_month), 0, DURATION_MAX},
    {SCOPE_NEIGHBOUR, "turn", read_duration, NEIGHBOUR(turn), 0, 3600},
    {SCOPE_NEIGHBOUR, "connect", read_duration, NEIGHBOUR(connect), 1, 3600},
    {SCOPE_NEIGHBOUR, "timeout", read_duration, NEIGHBOUR(timeout), 1, 86400},
    {SCOPE_NEIGHBOUR, "rate", read_number, NEIGHBOUR(rate), 1, UINT32_MAX},
    {SCOPE_NEIGHBOUR, "window", read_window, NEIGHBOUR(window), 0, 0},

    {SCOPE_ROUTE, "via", read_via, 0, 0, 0},
    {SCOPE_ROUTE, "expire", read_duration, ROUTE(expire), 1, DURATION_MAX},
    {SCOPE_ROUTE, "warn", read_duration, ROUTE(warn), 0, DURATION_MAX},
    {SCOPE_ROUTE, "max-size", read_size, ROUTE(max_size), 0, SIZE_MOST},
    {SCOPE_ROUTE, "public", read_public, ROUTE(public), 0, 0},

    {SCOPE_ALIAS, "to", read_target, offsetof(struct config_alias, targets), 0, 0},

    {SCOPE_DESTINATION, "tls", read_tls, TO(tls), 0, 0},
    {SCOPE_DESTINATION, "authorities", read_path, TO(authorities), 0, 0},
    {SCOPE_DESTINATION, "user", read_plain, TO(user), 0, 0},
    {SCOPE_DESTINATION, "password", read_path, TO(password), 0, 0},
    {SCOPE_DESTINATION, "connections", read_number, TO(connections), 1, 1000},

    SERVER(SCOPE_SMTPD, smtpd, read_listen),
    {SCOPE_SMTPD, "networks", read_network, TOP(smtpd.networks), 0, 0},
    {SCOPE_SMTPD, "recipients", read_number, TOP(smtpd.recipients), 100, LIMIT_RECIPIENTS},
    {SCOPE_SMTPD, "messages", read_number, TOP(smtpd.messages), 0, UINT32_MAX},
    {SCOPE_SMTPD, "min-rate", read_number, TOP(smtpd.min_rate), 0, UINT32_MAX},
    {SCOPE_SMTPD, "normalise", read_boolean, TOP(smtpd.normalise), 0, 0},

    {SCOPE_SMTP, "name", read_mail_name, TOP(smtp.name), 0, 0},
    {SCOPE_SMTP, "connections", read_number, TOP(smtp.connections), 1, 1000},
    {SCOPE_SMTP, "connections-each", read_number, TOP(smtp.connections_each), 1, 1000},
    {SCOPE_SMTP, "connect", read_duration, TOP(smtp.connect), 1, 3600},
    {SCOPE_SMTP, "timeout", read_duration, TOP(smtp.timeout), 1, 86400},
    {SCOPE_SMTP, "poll", read_duration, TOP(smtp.poll), 1, 86400},
    {SCOPE_SMTP, "nameservers", read_plain, TOP(smtp.nameservers), 0, 0},
    {SCOPE_SMTP, "port", read_number, TOP(smtp.port), 1, 65535},
    {SCOPE_SMTP, "ipv6", read_boolean, TOP(smtp.ipv6), 0, 0},

    SERVER(SCOPE_POP3D, pop3d, read_pop3_listen),
    {SCOPE_POP3D, "clear-passwords", read_boolean, TOP(pop3d.clear_passwords), 0, 0},

    {SCOPE_RELAY, "listen", read_place, TOP(relay.listen), 0, 0},
    {SCOPE_RELAY, "connections", read_number, TOP(relay.connections), 1, 10000},
    {SCOPE_RELAY, "connections-each", read_number, TOP(relay.connections_each), 1, 10000},
    {SCOPE_RELAY, "proof", read_duration, TOP(relay.proof), 1, 3600},
    {SCOPE_RELAY, "user", read_plain, TOP(relay.user), 0, 0},
    {SCOPE_RELAY, "group", read_plain, TOP(relay.group), 0, 0},

    {SCOPE_FETCH, "server", read_server, FETCH(server), 0, 0},
    {SCOPE_FETCH, "tls", read_tls, FETCH(tls), 0, 0},
    {SCOPE_FETCH, "authorities", read_path, FETCH(authorities), 0, 0},
    {SCOPE_FETCH, "user", read_plain, FETCH(user), 0, 0},
    {SCOPE_FETCH, "password", read_path, FETCH(password), 0, 0},
    {SCOPE_FETCH, "to", read_address, FETCH(to), 0, 0},
    {SCOPE_FETCH, "multidrop", read_field, FETCH(multidrop), 0, 0},
    {SCOPE_FETCH, "prefix", read_plain, FETCH(prefix), 0, 0},
    {SCOPE_FETCH, "domain", read_mail_name, FETCH(domain), 0, 0},
    {SCOPE_FETCH, "leave-on-server", read_duration, FETCH(leave), 0, DURATION_MAX},
    {SCOPE_FETCH, "max-size", read_size, FETCH(max_size), 0, SIZE_MOST},
    {SCOPE_FETCH, "connect", read_duration, FETCH(connect), 1, 3600},
    {SCOPE_FETCH, "timeout", read_duration, FETCH(timeout), 1, 86400},
};

static bool option_is_list(const struct config_option *option)
{
	return option->read == read_domain || option->read == read_pattern || option->read == read_target ||
	       option->read == read_call || option->read == read_window || option->read == read_condition ||
	       option->read == read_place || option->read == read_listen || option->read == read_pop3_listen ||
	       option->read == read_network;
}

const struct config_option *option_at(enum config_scope scope, size_t i)
{
	for (size_t k = 0; k < sizeof options / sizeof options[0]; k++)
		if (options[k].scope == scope && i-- == 0)
			return &options[k];
	return NULL;
}

const struct config_option *option_find(enum config_scope scope, const char *name)
{
	for (size_t k = 0; k < sizeof options / sizeof options[0]; k++)
		if (options[k].scope == scope && strcmp(options[k].name, name) == 0)
			return &options[k];
	return NULL;
}

const char *option_name(const struct config_option *option)
{
	return option->name;
}

static const char *const scopes[] = {
    "the file", "neighbour", "route", "alias", "destination", "smtpd", "smtp", "pop3d", "relay", "fetch", "section"};

const char *scope_name(enum config_scope scope)
{
	return scopes[scope];
}

enum config_scope scope_find(const char *name)
{
	for (enum config_scope scope = SCOPE_NEIGHBOUR; scope < SCOPE_UNKNOWN; scope++)
		if (strcmp(scopes[scope], name) == 0)
			return scope;
	return strcmp(name, "neighbor") == 0 ? SCOPE_NEIGHBOUR : SCOPE_UNKNOWN;
}

const struct config_setting *section_setting(const struct config_section *section, const char *name)
{
	for (size_t i = 0; i < section->count; i++)
		if (strcmp(section->settings[i].option->name, name) == 0)
			return &section->settings[i];
	return NULL;
}

static void value_apply(
    struct config_source *s, const struct config_setting *setting, const struct config_value *value, void *place)
{
	struct buf sentence;
	struct job job = {setting->option, s->directory, value->text, place, &sentence};

	buf_init(&sentence, 2000);
	if (value->text[0] == '\0')
		buf_text(&sentence, "an empty text says nothing");
	else if (text_has_control(view_text(value->text)) || !utf8_valid(view_text(value->text)))
		buf_text(&sentence, "the text holds a control character or is not UTF-8");
	else
		setting->option->read(&job);
	if (sentence.length > 0)
		mistake_add(s, setting->file, value->line, "%s: %s", setting->option->name, buf_string(&sentence));
	buf_release(&sentence);
}

void section_apply(struct config_source *s, const struct config_section *section, void *base)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct config_setting *setting = &section->settings[i];

		if (setting->count > 1 && !option_is_list(setting->option)) {
			mistake_add(s, setting->file, setting->line, "%s takes one value, not %zu",
			    setting->option->name, setting->count);
			continue;
		}
		for (size_t k = 0; k < setting->count; k++)
			value_apply(s, setting, &setting->values[k], (char *)base + setting->option->offset);
	}
}
