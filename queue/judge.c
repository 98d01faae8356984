#include "queue/judge.h"

#include "lib/text.h"
#include "queue/address.h"

static void refuse(struct judgement *j, const char *status, const char *text)
{
	j->outcome = status[0] == '4' ? OUTCOME_LATER : OUTCOME_NEVER;
	snprintf(j->status, sizeof j->status, "%s", status);
	snprintf(j->text, sizeof j->text, "%s", text);
}

static void narrow(struct judgement *j, uint64_t limit, const char *neighbour)
{
	if (limit == 0 || limit >= j->max_size)
		return;
	j->max_size = limit;
	snprintf(j->neighbour, sizeof j->neighbour, "%s", neighbour);
}

void judge_way(struct judgement *j, const struct config *c, const struct route *r)
{
	/* The neighbour's link, and what the operator said of those behind it. */
	const struct config_neighbour *n =
	    text_starts(r->hop, "neighbour-") ? config_neighbour(c, r->hop + strlen("neighbour-")) : NULL;
	const char *name = n == NULL ? "" : n->name;

	if (n != NULL)
		narrow(j, n->max_size, name);
	if (r->rule != NULL)
		narrow(j, r->rule->max_size, name);
}

/* Does the address say where the far end is to send the message on to, "host!user@domain" or "user%host@domain"? That host
 * trusts us, and would do it for a stranger. */
static bool goes_on(const struct route *r)
{
	const char *at = strrchr(r->address, '@');

	return r->relayed && at != NULL && strcspn(r->address, "!%@") < (size_t)(at - r->address);
}

/* Is the way open to strangers? Aliases and users at home always are; else the route says it. */
static bool open_to_strangers(const struct route *r)
{
	if (r->rule != NULL)
		return config_route_public(r->rule) && !goes_on(r);
	return !r->relayed;
}

/* The targets of an alias: those that lead nowhere are for the relay pass to report, unless all do. */
static void judge_targets(
    struct judgement *j, const struct config *c, const struct dir *mail, const struct route *alias)
{
	struct judgement first = *j;
	size_t good = 0;

	for (size_t i = 0; i < alias->targets.count; i++) {
		struct route r;

		route_find(&r, c, mail, alias->targets.items[i]);
		if (r.kind == ROUTE_FAIL && good == 0 && first.outcome == OUTCOME_DONE)
			refuse(&first, r.status, r.reason);
		if (r.kind != ROUTE_FAIL) {
			judge_way(j, c, &r);
			good++;
		}
		route_release(&r);
	}
	if (good == 0)
		*j = first;
}

void judge_too_large(struct judgement *j, const struct config *c, uint64_t size)
{
	const struct config_neighbour *n = j->neighbour[0] == '\0' ? NULL : config_neighbour(c, j->neighbour);
	char limit[24];
	char has[24];
	char time[24];
	struct buf text;

	size_print_both(size, has, j->max_size, limit);
	buf_init(&text, sizeof j->text - 1);
	buf_format(&text, "this message has %s, and %s takes %s at most", has,
	    n == NULL ? "this host" : "the link on the way", limit);
	if (n != NULL && n->rate > 0) {
		duration_print(size / (n->rate / 8 > 0 ? n->rate / 8 : 1), time);
		buf_format(&text, "; at %llu bit/s it would have taken %s", (unsigned long long)n->rate, time);
	}
	refuse(j, "5.3.4", buf_string(&text));
	buf_release(&text);
}

void judge_recipient(struct judgement *j, const struct config *c, const struct dir *mail, const char *address,
    enum judge_trust trust, uint64_t size)
{
	struct route r;

	*j = (struct judgement){.outcome = OUTCOME_DONE, .status = "2.1.5", .max_size = c->max_size};
	/* In quotes and without a domain a name means the user past all aliases (queue/route.h), and is for us alone. */
	if (address[0] == '"' && strchr(address, '@') == NULL) {
		refuse(j, "5.1.3", "a name in quotes needs a domain");
		return;
	}
	route_find(&r, c, mail, address);
	if (r.kind == ROUTE_FAIL && strcmp(r.status, "5.1.2") == 0 && trust == JUDGE_STRANGER)
		refuse(j, "5.7.1", "relaying is not permitted here; log in, or use your own mail server");
	else if (r.kind == ROUTE_FAIL)
		refuse(j, r.status, r.reason);
	else if (r.kind == ROUTE_EXPAND)
		judge_targets(j, c, mail, &r);
	else if (trust == JUDGE_STRANGER && !open_to_strangers(&r))
		refuse(j, "5.7.1", "relaying is not permitted here; log in, or use your own mail server");
	else
		judge_way(j, c, &r);
	snprintf(j->hop, sizeof j->hop, "%s", r.hop);
	if (j->outcome == OUTCOME_DONE && size > j->max_size)
		judge_too_large(j, c, size);
	route_release(&r);
}
