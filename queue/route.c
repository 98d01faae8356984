#include "queue/route.h"

#include "lib/alloc.h"
#include "lib/text.h"
#include "queue/address.h"
#include "queue/maildir.h"

/* Room for the story of how an alias was followed. */
#define WHY_MAXIMUM 1000

/* Room for a local part without its quotes. */
#define LOCAL_TEXT (LIMIT_LOCAL_PART + 1)

/*
 * What looks for the way of one address. Pending holds the address and, when it is an alias, all that came
 * out of it; followed has a mark for each alias of the configuration and, at alias_count, one for the
 * configured postmaster. An alias is followed once, so whatever the configuration says there is an end.
 */
struct search {
	const struct config *config;
	const struct dir *mail;
	struct strings pending;
	size_t *origin; /* of each pending: the alias it came out of, as an index into followed */
	size_t origin_capacity;
	bool *followed;
	struct strings finals; /* what is no alias, each once */
	struct strings keys;   /* hop and address of each final, to know the same one in another spelling */
	struct route first;    /* of the first final */
	struct buf why;
	bool aliased;
	bool postmaster;       /* one of the aliases was the postmaster */
	struct error *trouble; /* mailboxes that could not be looked at: the last failure */
};

#define ORIGIN_NONE SIZE_MAX

/* An address at home that is another name for others. */
struct alias {
	size_t index;
	const char *name;
	const char *where;
	char *const *targets;
	size_t target_count;
};

bool route_pattern_matches(const char *pattern, struct view domain)
{
	struct view p = view_text(pattern);

	if (view_is(p, "*"))
		return true;
	if (!text_starts(pattern, "*."))
		return view_same(p, domain);
	p = view_from(p, 1);
	return domain.length > p.length && view_same(view_from(domain, domain.length - p.length), p);
}

bool user_name_valid(const char *name)
{
	struct view v = view_text(name);

	if (v.length == 0 || v.length > LIMIT_LOCAL_PART || name[0] == '.' || name[0] == '-')
		return false;
	for (size_t i = 0; i < v.length; i++) {
		uint8_t c = v.bytes[i];

		if (!text_is_alpha(c) && !text_is_digit(c) && c < 128 && strchr("._-+", c) == NULL)
			return false;
	}
	return utf8_valid(v) && !text_has_control(v);
}

void route_release(struct route *r)
{
	free(r->address);
	free(r->target);
	free(r->reason);
	free(r->why);
	strings_release(&r->targets);
	*r = (struct route){.kind = ROUTE_FAIL};
}

char *route_destination(const struct route *r)
{
	struct address a;
	char *domain;

	if (r->kind != ROUTE_HOP || (strcmp(r->hop, "smtp") != 0 && strcmp(r->hop, "lmtp") != 0))
		return NULL;
	if (r->target != NULL)
		return mem_string(r->target);
	if (address_parse(&a, view_text(r->address), NULL) != OUTCOME_DONE)
		return mem_string(""); /* it has been parsed before: nothing that a configuration can bring about */
	domain = mem_copy(a.domain.bytes, a.domain.length);
	text_lower_all(domain);
	return domain;
}

/* ---- what is said of a route -----------------------------------------------------------------------------
 */

static void route_begin(struct route *r, const struct config *c, const char *address)
{
	*r = (struct route){
	    .kind = ROUTE_FAIL,
	    .address = mem_string(address),
	    .expire = c->expire,
	    .warn = c->warn,
	};
}

/* Takes over WHY and REASON. */
static void route_fail(struct route *r, const char *status, char *why, char *reason)
{
	free(r->why);
	free(r->reason);
	r->kind = ROUTE_FAIL;
	r->hop[0] = '\0';
	r->relayed = false;
	snprintf(r->status, sizeof r->status, "%s", status);
	r->why = why;
	r->reason = reason;
}

static void route_local(struct route *r, const char *user, char *why)
{
	r->kind = ROUTE_HOP;
	snprintf(r->hop, sizeof r->hop, "local");
	free(r->address);
	r->address = mem_string(user);
	r->why = why;
}

static void route_neighbour(struct route *r, const char *name, char *why)
{
	r->kind = ROUTE_HOP;
	r->relayed = true;
	snprintf(r->hop, sizeof r->hop, "neighbour-%.*s", LIMIT_HOST_NAME, name);
	r->why = why;
}

static void route_via(struct route *r, const struct config_route *rule)
{
	char *why = mem_format("route \"%s\" at %s", rule->pattern, rule->where);

	if (rule->via == VIA_NEIGHBOUR) {
		route_neighbour(r, rule->target, why);
		return;
	}
	r->kind = ROUTE_HOP;
	r->relayed = rule->via == VIA_SMTP;
	snprintf(r->hop, sizeof r->hop, rule->via == VIA_SMTP ? "smtp" : "lmtp");
	r->target = mem_string(rule->target);
	r->why = why;
}

/* ---- at home ---------------------------------------------------------------------------------------------
 */

static bool is_postmaster(const char *local)
{
	return text_same(local, "postmaster") || text_same(local, "MAILER-DAEMON");
}

/* Is the alias NAME, with or without a domain, one of postmaster's? */
static bool names_postmaster(const char *name)
{
	char *local = mem_copy(name, strcspn(name, "@"));
	bool is = is_postmaster(local);

	free(local);
	return is;
}

static bool alias_matches(const char *name, const char *local, struct view domain)
{
	const char *at = strrchr(name, '@');

	if (at == NULL)
		return text_same(name, local);
	return view_same(view_of(name, (size_t)(at - name)), view_text(local)) &&
	       view_same(view_text(at + 1), domain);
}

/* An alias "user@domain" is more exact than "user", wherever it stands in the file. */
static bool alias_search(const struct config *c, const char *local, struct view domain, struct alias *found)
{
	const struct config_alias *best = NULL;

	for (size_t i = 0; i < c->alias_count; i++) {
		const struct config_alias *a = &c->aliases[i];

		if (alias_matches(a->name, local, domain) &&
		    (best == NULL || (strchr(best->name, '@') == NULL && strchr(a->name, '@') != NULL)))
			best = a;
	}
	if (best == NULL)
		return false;
	*found = (struct alias){
	    .index = (size_t)(best - c->aliases),
	    .name = best->name,
	    .where = best->where,
	    .targets = best->targets.items,
	    .target_count = best->targets.count,
	};
	return true;
}

/* What LOCAL stands for at home. The postmaster is reached by either name, and the configuration may say who
 * he is. */
static bool alias_find(const struct config *c, const char *local, struct view domain, struct alias *found)
{
	if (alias_search(c, local, domain, found))
		return true;
	if (!is_postmaster(local))
		return false;
	if (alias_search(c, "postmaster", domain, found))
		return true;
	if (c->postmaster == NULL)
		return false;
	*found = (struct alias){c->alias_count, "postmaster", c->path, &c->postmaster, 1};
	return true;
}

static bool user_exists(const struct search *s, const char *name)
{
	bool found = false;

	if (user_name_valid(name))
		maildir_find(s->mail, name, &found, s->trouble);
	return found;
}

/* The Maildir of LOCAL; LOCAL becomes its name. */
static bool user_find(const struct search *s, char local[static LOCAL_TEXT])
{
	char lower[LOCAL_TEXT];

	if (user_exists(s, local))
		return true;
	if (is_postmaster(local)) {
		/* Made at init, and again by whoever delivers into it. */
		snprintf(local, LOCAL_TEXT, "postmaster");
		return true;
	}
	snprintf(lower, sizeof lower, "%s", local);
	text_lower_all(lower);
	if (!user_exists(s, lower))
		return false;
	snprintf(local, LOCAL_TEXT, "%s", lower);
	return true;
}

/* Cuts the tag off "user+tag"; false when there is none. */
static bool tag_cut(char local[static LOCAL_TEXT])
{
	char *plus = strchr(local, '+');

	if (plus == NULL || plus == local)
		return false;
	*plus = '\0';
	return true;
}

enum aliases { ALIASES_FOLLOWED, ALIASES_PASSED };

/*
 * Where mail for A goes at home: true when FOUND is the alias; else R is decided. RULE is the route that led
 * here, or null when the domain is ours.
 */
static bool at_home(struct route *r, const struct search *s, const struct address *a, enum aliases aliases,
    const struct config_route *rule, struct alias *found)
{
	char local[LOCAL_TEXT];
	char whole[LOCAL_TEXT];
	struct buf plain;

	buf_init(&plain, LOCAL_TEXT - 1);
	address_local_plain(a, &plain);
	snprintf(whole, sizeof whole, "%s", buf_string(&plain));
	buf_release(&plain);
	snprintf(local, sizeof local, "%s", whole);
	do {
		if (aliases == ALIASES_FOLLOWED && alias_find(s->config, local, a->domain, found))
			return true;
		if (user_find(s, local)) {
			route_local(r, local,
			    rule == NULL
				? mem_format("user \"%s\"", local)
				: mem_format("route \"%s\" at %s, user \"%s\"", rule->pattern, rule->where, local));
			return false;
		}
	} while (tag_cut(local));
	if (s->trouble->outcome != OUTCOME_DONE) {
		route_fail(r, "4.3.0", mem_format("looking for the user \"%s\" in %s", whole, s->mail->path),
		    mem_string(s->trouble->text));
		return false;
	}
	route_fail(r, "5.1.1", mem_format("no alias and no user \"%s\" in %s", whole, s->mail->path),
	    mem_format("there is no user \"%s\" on this host (%s)", whole, s->config->host));
	return false;
}

/* ---- elsewhere -------------------------------------------------------------------------------------------
 */

/* 3: "domain" itself, 2: "*.domain", 1: "*"; 0: no match. "user@domain" is looked up before, by itself. */
static int pattern_rank(const char *pattern, struct view domain)
{
	if (!route_pattern_matches(pattern, domain))
		return 0;
	return strcmp(pattern, "*") == 0 ? 1 : text_starts(pattern, "*.") ? 2 : 3;
}

static const struct config_route *route_for_user(const struct config *c, const struct address *a)
{
	const struct config_route *found = NULL;
	struct buf plain;

	buf_init(&plain, LIMIT_BANG_PATH);
	address_local_plain(a, &plain);
	for (size_t i = 0; i < c->route_count && found == NULL; i++) {
		const char *pattern = c->routes[i].pattern;
		const char *at = strrchr(pattern, '@');

		if (at != NULL && view_same(view_of(pattern, (size_t)(at - pattern)), view_buf(&plain)) &&
		    view_same(view_text(at + 1), a->domain))
			found = &c->routes[i];
	}
	buf_release(&plain);
	return found;
}

/* The most specific route for DOMAIN; of equals the first. */
static const struct config_route *route_for_domain(const struct config *c, struct view domain)
{
	const struct config_route *best = NULL;
	int best_rank = 0;

	for (size_t i = 0; i < c->route_count; i++) {
		const struct config_route *rule = &c->routes[i];
		int rank = pattern_rank(rule->pattern, domain);

		if (rank > best_rank ||
		    (rank == 2 && best_rank == 2 && strlen(rule->pattern) > strlen(best->pattern))) {
			best = rule;
			best_rank = rank;
		}
	}
	return best;
}

static const struct config_neighbour *neighbour_named(const struct config *c, struct view name)
{
	char lower[LIMIT_HOST_NAME + 1];

	if (name.length == 0 || name.length > LIMIT_HOST_NAME)
		return NULL;
	memcpy(lower, name.bytes, name.length);
	lower[name.length] = '\0';
	text_lower_all(lower);
	return config_neighbour(c, lower);
}

static void route_explicit(struct route *r, const struct config *c, const struct address *a)
{
	const struct config_neighbour *n = neighbour_named(c, a->first);
	int length = (int)a->first.length;

	if (n == NULL) {
		route_fail(r, "5.1.2",
		    mem_format("bang path by way of \"%.*s\"", length, (const char *)a->first.bytes),
		    mem_format("\"%.*s\", where the bang path begins, is no neighbour of this host (%s)", length,
			(const char *)a->first.bytes, c->host));
		return;
	}
	free(r->address);
	r->address = mem_copy(a->rest.bytes, a->rest.length);
	route_neighbour(r, n->name, mem_format("bang path by way of neighbour \"%s\" at %s", n->name, n->where));
}

/* The rule for A's domain, which is not empty, or null; R is decided when a neighbour has that name. */
static const struct config_route *rule_find(struct route *r, const struct config *c, const struct address *a)
{
	const struct config_route *rule = route_for_user(c, a);
	const struct config_neighbour *n;

	if (rule != NULL)
		return rule;
	rule = route_for_domain(c, a->domain);
	if (rule != NULL && pattern_rank(rule->pattern, a->domain) == 3)
		return rule;
	if (config_is_local(c, a->domain))
		return NULL;
	n = neighbour_named(c, a->domain);
	if (n == NULL)
		return rule;
	route_neighbour(r, n->name, mem_format("neighbour \"%s\" at %s", n->name, n->where));
	return NULL;
}

/* ---- one address -----------------------------------------------------------------------------------------
 */

/* Takes our own name off the front of explicit routes: "ourname!b!user" is "b!user" here. */
static enum outcome parse_here(const struct config *c, const char *text, struct address *a, struct error *err)
{
	enum outcome outcome = address_parse(a, view_text(text), err);

	while (outcome == OUTCOME_DONE && a->kind == ADDRESS_BANG &&
	       (a->domain.length == 0 || config_is_local(c, a->domain)) && config_is_local(c, a->first))
		outcome = address_parse(a, a->rest, err);
	return outcome;
}

/* Decides R for TEXT alone, or finds the ALIAS that it is and returns true. */
static bool step(struct route *r, const struct search *s, const char *text, enum aliases aliases, struct alias *found)
{
	const struct config *c = s->config;
	const struct config_route *rule = NULL;
	struct address a;
	struct error err = ERROR_NONE;
	bool home;

	route_begin(r, c, text);
	if (parse_here(c, text, &a, &err) != OUTCOME_DONE || a.kind == ADDRESS_NULL) {
		route_fail(r, "5.1.3", mem_string("the syntax of the address"),
		    mem_string(a.kind == ADDRESS_NULL && err.code == 0 ? "the address is empty" : err.text));
		return false;
	}
	home = a.domain.length == 0 || config_is_local(c, a.domain);
	if (home && a.kind == ADDRESS_BANG) {
		route_explicit(r, c, &a);
		return false;
	}
	if (a.domain.length > 0)
		rule = rule_find(r, c, &a);
	if (r->kind == ROUTE_HOP)
		return false;
	if (rule != NULL) {
		r->expire = rule->expire;
		r->warn = rule->warn;
		r->rule = rule;
	}
	if (a.domain.length == 0 && a.local.bytes[0] == '"')
		aliases = ALIASES_PASSED;
	if (rule != NULL ? rule->via == VIA_MAILDIR : home)
		return at_home(r, s, &a, aliases, rule, found);
	if (rule != NULL)
		route_via(r, rule);
	else
		route_fail(r, "5.1.2",
		    mem_format("no route for \"%.*s\"", (int)a.domain.length, (const char *)a.domain.bytes),
		    mem_format("there is no route for the domain \"%.*s\" on this host (%s)", (int)a.domain.length,
			(const char *)a.domain.bytes, c->host));
	return false;
}

/* ---- following aliases -----------------------------------------------------------------------------------
 */

static void pending_add(struct search *s, const char *text, size_t origin)
{
	s->origin = mem_grow(s->origin, s->pending.count, &s->origin_capacity, sizeof *s->origin);
	s->origin[s->pending.count] = origin;
	strings_add(&s->pending, text);
}

/* Takes over R. */
static void final_add(struct search *s, const char *text, struct route *r)
{
	char *key = mem_format("%s %s", r->hop, r->address);
	char *domain = strrchr(key, '@');

	if (domain != NULL)
		text_lower_all(domain);
	if (strings_contain(&s->keys, key)) {
		route_release(r);
	} else {
		strings_add(&s->keys, key);
		strings_add(&s->finals, text);
		if (s->finals.count == 1)
			s->first = *r;
		else
			route_release(r);
	}
	free(key);
}

/*
 * An alias that names itself keeps a copy for the user of that name ("joe" is "joe" and "bob@elsewhere").
 * Among the targets he is `"joe"`: with quotes and without a domain the aliases are passed by, so that what
 * is made of the targets does not come here again. No address from outside has that form.
 */
static void final_add_user(struct search *s, const char *text)
{
	struct route r;
	struct alias found;
	char *quoted;

	step(&r, s, text, ALIASES_PASSED, &found);
	if (r.kind == ROUTE_FAIL) {
		route_release(&r);
		return;
	}
	quoted = mem_format("\"%s\"", r.address);
	final_add(s, quoted, &r);
	free(quoted);
}

static void follow(struct search *s, const char *text, size_t origin)
{
	struct route r;
	struct alias found;

	if (!step(&r, s, text, ALIASES_FOLLOWED, &found)) {
		final_add(s, text, &r);
		return;
	}
	route_release(&r);
	if (!s->followed[found.index]) {
		s->followed[found.index] = true;
		buf_format(&s->why, "%salias \"%s\" at %s", s->aliased ? ", " : "", found.name, found.where);
		s->aliased = true;
		s->postmaster = s->postmaster || names_postmaster(found.name);
		for (size_t i = 0; i < found.target_count; i++)
			pending_add(s, found.targets[i], found.index);
	} else if (found.index == origin) {
		final_add_user(s, text);
	}
}

/* R from what the search found. */
static void conclude(struct route *r, struct search *s, const char *address)
{
	/* What an alias sends elsewhere goes as a new message, or a host that had it before would drop it as a duplicate. */
	bool away = s->finals.count == 1 && s->aliased && s->first.kind == ROUTE_HOP && s->first.relayed;

	if (s->finals.count == 1 && !away) {
		*r = s->first;
		s->first = (struct route){.kind = ROUTE_FAIL};
		/* Whoever wrote the alias permits what it does. */
		r->relayed = r->relayed && !s->aliased;
		r->rule = s->aliased ? NULL : r->rule;
	} else {
		route_begin(r, s->config, address);
	}
	if (s->finals.count > 1 || away) {
		r->kind = ROUTE_EXPAND;
		r->targets = s->finals;
		s->finals = (struct strings){.count = 0};
		r->why = mem_string("");
	} else if (s->finals.count == 0) {
		route_fail(r, "5.4.6", mem_string("a loop"),
		    mem_format("the alias \"%s\" leads only back to itself (%s)", address, buf_string(&s->why)));
	}
	if (s->aliased) {
		char *end = r->why;

		r->why = mem_format("%s%s%s", buf_string(&s->why), *end == '\0' ? "" : ", ", end);
		free(end);
	}
}

/* Postmaster always exists: what his alias or the configuration spoils goes to the local box. */
static void rescue_postmaster(struct route *r, const struct search *s, const char *address)
{
	char *why;

	if (r->kind != ROUTE_FAIL || !s->postmaster)
		return;
	why = mem_format("%s: %s; so the user \"postmaster\"", r->why, r->reason);
	route_release(r);
	route_begin(r, s->config, address);
	route_local(r, "postmaster", why);
}

void route_find(struct route *r, const struct config *c, const struct dir *mail, const char *address)
{
	struct error trouble = ERROR_NONE;
	struct search s = {.config = c, .mail = mail, .trouble = &trouble};

	s.followed = mem_array(c->alias_count + 1, sizeof *s.followed);
	buf_init(&s.why, WHY_MAXIMUM);
	pending_add(&s, address, ORIGIN_NONE);
	for (size_t i = 0; i < s.pending.count; i++) {
		/* The list moves as it grows; the text does not. */
		follow(&s, s.pending.items[i], s.origin[i]);
	}
	conclude(r, &s, address);
	rescue_postmaster(r, &s, address);
	route_release(&s.first);
	strings_release(&s.pending);
	strings_release(&s.finals);
	strings_release(&s.keys);
	free(s.origin);
	free(s.followed);
	buf_release(&s.why);
}
