#include "queue/config_parts.h"

#include "lib/alloc.h"
#include "lib/text.h"

void strings_add(struct strings *s, const char *text)
{
	s->items = mem_grow(s->items, s->count, &s->capacity, sizeof s->items[0]);
	s->items[s->count++] = mem_string(text);
}

void strings_release(struct strings *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->items[i]);
	free(s->items);
	*s = (struct strings){0};
}

bool strings_contain(const struct strings *s, const char *text)
{
	for (size_t i = 0; i < s->count; i++)
		if (strcmp(s->items[i], text) == 0)
			return true;
	return false;
}

const char *config_path(const char *given)
{
	const char *path = given != NULL ? given : getenv("PACKETBOAT_CONF");

	return path != NULL && path[0] != '\0' ? path : "/etc/packetboat/packetboat.conf";
}

/* ---- building ------------------------------------------------------------------------------------- */

static char *where(const struct config_source *s, const struct config_section *section)
{
	return mem_format("%s:%u", s->files.items[section->file], section->line);
}

static struct config_server server_defaults(uint64_t idle, uint64_t session)
{
	return (struct config_server){
	    .connections = 1500, .connections_each = 50, .errors = 20, .idle = idle, .session = session};
}

static void build_top(struct config *c, struct config_source *s)
{
	c->path = mem_string(s->files.items[0]);
	c->directory = mem_string(s->directory);
	c->spool = path_below(s->directory, "spool");
	c->keys = path_below(s->directory, "keys");
	c->users = path_below(s->directory, "users");
	c->expire = 30 * 86400;
	c->warn = 2 * 86400;
	c->retry_min = 5 * 60;
	c->retry_max = 4 * 3600;
	c->max_size = (uint64_t)2 << 30;
	c->min_free = (uint64_t)16 << 20;
	c->reports = 100;
	c->hops = LIMIT_HOPS;
	c->smtpd = (struct config_smtpd){server_defaults(5 * 60, 2 * 3600), .recipients = 1000, .min_rate = 20};
	c->relay = (struct config_relay){.connections = 64, .connections_each = 8, .proof = 120};
	c->pop3d = (struct config_pop3d){server_defaults(10 * 60, 86400), .clear_passwords = false};
	c->smtp = (struct config_smtp){.connections = 50,
	    .connections_each = 5,
	    .connect = 30,
	    .timeout = 5 * 60,
	    .poll = 60,
	    .port = 25,
	    .ipv6 = true};
	section_apply(s, &s->sections[0], c);
}

static void build_neighbour(struct config *c, struct config_source *s, const struct config_section *section)
{
	struct config_neighbour *n = &c->neighbours[c->neighbour_count++];

	n->name = mem_string(section->title);
	n->seal = true;
	n->batch_size = (uint64_t)1 << 20;
	n->resend = 86400;
	n->outstanding = (uint64_t)1 << 30;
	n->connect = 60;
	n->timeout = 5 * 60;
	n->where = where(s, section);
	section_apply(s, section, n);
}

static void build_route(struct config *c, struct config_source *s, const struct config_section *section)
{
	struct config_route *r = &c->routes[c->route_count++];

	r->pattern = mem_string(section->title);
	r->expire = c->expire;
	r->warn = c->warn;
	r->where = where(s, section);
	section_apply(s, section, r);
}

static void build_alias(struct config *c, struct config_source *s, const struct config_section *section)
{
	struct config_alias *a = &c->aliases[c->alias_count++];

	a->name = mem_string(section->title);
	text_lower_all(a->name);
	a->where = where(s, section);
	section_apply(s, section, a);
}

static void build_destination(struct config *c, struct config_source *s, const struct config_section *section)
{
	struct config_destination *d = &c->destinations[c->destination_count++];

	d->pattern = mem_string(section->title);
	d->where = where(s, section);
	section_apply(s, section, d);
}

static void build_fetch(struct config *c, struct config_source *s, const struct config_section *section)
{
	struct config_fetch *f = &c->fetches[c->fetch_count++];

	f->name = mem_string(section->title);
	f->connect = 30;
	f->timeout = 5 * 60;
	f->where = where(s, section);
	section_apply(s, section, f);
}

static size_t sections_of(const struct config_source *s, enum config_scope scope)
{
	size_t count = 0;

	for (size_t i = 0; i < s->section_count; i++)
		count += s->sections[i].scope == scope;
	return count;
}

static void config_build(struct config *c, struct config_source *s)
{
	build_top(c, s); /* first: routes take its expiry where they have none */
	c->neighbours = mem_array(sections_of(s, SCOPE_NEIGHBOUR), sizeof c->neighbours[0]);
	c->routes = mem_array(sections_of(s, SCOPE_ROUTE), sizeof c->routes[0]);
	c->aliases = mem_array(sections_of(s, SCOPE_ALIAS), sizeof c->aliases[0]);
	c->destinations = mem_array(sections_of(s, SCOPE_DESTINATION), sizeof c->destinations[0]);
	c->fetches = mem_array(sections_of(s, SCOPE_FETCH), sizeof c->fetches[0]);
	for (size_t i = 1; i < s->section_count; i++) {
		const struct config_section *section = &s->sections[i];

		if (section->scope == SCOPE_NEIGHBOUR)
			build_neighbour(c, s, section);
		else if (section->scope == SCOPE_ROUTE)
			build_route(c, s, section);
		else if (section->scope == SCOPE_ALIAS)
			build_alias(c, s, section);
		else if (section->scope == SCOPE_DESTINATION)
			build_destination(c, s, section);
		else if (section->scope == SCOPE_FETCH)
			build_fetch(c, s, section);
		else
			section_apply(s, section, c);
	}
}

enum outcome config_load(
    struct config *c, const char *path, config_complain *complain, void *context, struct error *err)
{
	struct config_source s;
	enum outcome outcome = config_source_read(&s, path, err);

	*c = (struct config){0};
	if (outcome == OUTCOME_DONE) {
		config_build(c, &s);
		config_check(c, &s);
		outcome = config_source_verdict(&s, complain, context, err);
	}
	if (outcome != OUTCOME_DONE)
		config_release(c);
	config_source_release(&s);
	return outcome;
}

struct telling {
	config_complain *complain;
	void *context;
	bool told;
};

static void tell(void *context, const char *sentence)
{
	struct telling *t = context;

	t->told = true;
	t->complain(t->context, sentence);
}

enum outcome config_tell(
    struct config *c, const char *path, config_complain *complain, void *context, struct error *err)
{
	struct telling telling = {.complain = complain, .context = context};
	enum outcome outcome = config_load(c, path, tell, &telling, err);

	if (outcome != OUTCOME_DONE && telling.told)
		err->text[0] = '\0';
	return outcome;
}

/* ---- releasing ------------------------------------------------------------------------------------ */

static void neighbour_release(struct config_neighbour *n)
{
	free(n->name);
	free(n->key);
	strings_release(&n->call);
	strings_release(&n->senders);
	strings_release(&n->window);
	strings_release(&n->call_when);
	free(n->where);
}

static void route_release_config(struct config_route *r)
{
	free(r->pattern);
	free(r->target);
	free(r->where);
}

static void alias_release(struct config_alias *a)
{
	free(a->name);
	strings_release(&a->targets);
	free(a->where);
}

static void destination_release(struct config_destination *d)
{
	free(d->pattern);
	free(d->authorities);
	free(d->user);
	free(d->password);
	free(d->where);
}

static void fetch_release(struct config_fetch *f)
{
	free(f->name);
	free(f->server);
	free(f->authorities);
	free(f->user);
	free(f->password);
	free(f->to);
	free(f->multidrop);
	free(f->prefix);
	free(f->domain);
	free(f->where);
}

static void server_release(struct config_server *s)
{
	strings_release(&s->listen);
	free(s->name);
	free(s->certificate);
	free(s->certificate_key);
	free(s->user);
	free(s->group);
}

void config_release(struct config *c)
{
	free(c->path);
	free(c->directory);
	free(c->spool);
	free(c->keys);
	free(c->users);
	free(c->host);
	strings_release(&c->domains);
	free(c->postmaster);
	server_release(&c->smtpd.server);
	strings_release(&c->smtpd.networks);
	server_release(&c->pop3d.server);
	strings_release(&c->relay.listen);
	free(c->relay.user);
	free(c->relay.group);
	free(c->smtp.name);
	free(c->smtp.nameservers);
	for (size_t i = 0; i < c->neighbour_count; i++)
		neighbour_release(&c->neighbours[i]);
	free(c->neighbours);
	for (size_t i = 0; i < c->route_count; i++)
		route_release_config(&c->routes[i]);
	free(c->routes);
	for (size_t i = 0; i < c->alias_count; i++)
		alias_release(&c->aliases[i]);
	free(c->aliases);
	for (size_t i = 0; i < c->destination_count; i++)
		destination_release(&c->destinations[i]);
	free(c->destinations);
	for (size_t i = 0; i < c->fetch_count; i++)
		fetch_release(&c->fetches[i]);
	free(c->fetches);
	*c = (struct config){0};
}

/* ---- looking -------------------------------------------------------------------------------------- */

const struct config_neighbour *config_neighbour(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->neighbour_count; i++)
		if (strcmp(c->neighbours[i].name, name) == 0)
			return &c->neighbours[i];
	return NULL;
}

bool config_is_local(const struct config *c, struct view domain)
{
	if (c->host != NULL && view_same(domain, view_text(c->host)))
		return true;
	for (size_t i = 0; i < c->domains.count; i++)
		if (view_same(domain, view_text(c->domains.items[i])))
			return true;
	return false;
}
