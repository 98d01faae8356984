#include "queue/config_parts.h"

#include "lib/alloc.h"
#include "lib/text.h"
#include "queue/address.h"

/* Title in lower case and its section, to find the second of a name. */
struct named {
	char *name;
	const struct config_section *section;
	size_t number; /* among the sections of its scope */
};

struct named_list {
	struct named *items;
	size_t count;
	size_t capacity;
};

static int compare_named(const void *a, const void *b)
{
	const struct named *x = a;
	const struct named *y = b;
	int order = strcmp(x->name, y->name);

	return order != 0 ? order : x->number < y->number ? -1 : x->number > y->number;
}

/* The sections of SCOPE by title; without a title they all have the same. */
static struct named_list named_collect(const struct config_source *s, enum config_scope scope)
{
	struct named_list list = {0};

	for (size_t i = 1; i < s->section_count; i++) {
		const struct config_section *section = &s->sections[i];
		struct named *item;

		if (section->scope != scope)
			continue;
		list.items = mem_grow(list.items, list.count, &list.capacity, sizeof list.items[0]);
		item = &list.items[list.count];
		*item = (struct named){mem_string(section->title == NULL ? "" : section->title), section, list.count};
		text_lower_all(item->name);
		list.count++;
	}
	if (list.count > 1)
		qsort(list.items, list.count, sizeof list.items[0], compare_named);
	return list;
}

static void named_release(struct named_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i].name);
	free(list->items);
	*list = (struct named_list){0};
}

/* The first section of the name, null when there is none. */
static const struct named *named_find(const struct named_list *list, const char *name)
{
	size_t low = 0;
	size_t high = list->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(list->items[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < list->count && strcmp(list->items[low].name, name) == 0 ? &list->items[low] : NULL;
}

static void check_second(struct config_source *s, const struct named_list *list)
{
	for (size_t i = 1; i < list->count; i++) {
		const struct config_section *section = list->items[i].section;
		const struct config_section *first = named_find(list, list->items[i].name)->section;

		if (first == section)
			continue;
		mistake_add(s, section->file, section->line, "%s%s%s%s was already defined at %s:%u",
		    scope_name(section->scope), section->title == NULL ? "" : " \"",
		    section->title == NULL ? "" : section->title, section->title == NULL ? "" : "\"",
		    s->files.items[first->file], first->line);
	}
}

static void check_unique(struct config_source *s, enum config_scope scope)
{
	struct named_list list = named_collect(s, scope);

	check_second(s, &list);
	named_release(&list);
}

/* ---- top level ------------------------------------------------------------------------------------ */

static void check_top(const struct config *c, struct config_source *s)
{
	const struct config_setting *retry = section_setting(&s->sections[0], "retry-max");

	if (section_setting(&s->sections[0], "host") == NULL && !s->incomplete)
		mistake_add(s, 0, 1, "host is missing: the name of this host, like host = \"village\"");
	if (retry == NULL)
		retry = section_setting(&s->sections[0], "retry-min");
	if (retry != NULL && c->retry_min > c->retry_max)
		mistake_add(s, retry->file, retry->line, "retry-max is shorter than retry-min");
}

/* ---- neighbours and routes ------------------------------------------------------------------------ */

static void check_neighbour(const struct config *c, struct config_source *s, const struct config_section *section)
{
	static const char *const reserved[] = {"age", "fetch", "incarnation", "seen", "sequence"};
	bool is_reserved;

	if (!host_name_valid(section->title))
		mistake_add(s, section->file, section->line,
		    "neighbour \"%s\" is not a host name: 1 to %d of a-z, 0-9 and \"-\", a letter first",
		    section->title, LIMIT_HOST_NAME);
	else if (c->host != NULL && strcmp(c->host, section->title) == 0)
		mistake_add(s, section->file, section->line, "neighbour \"%s\" is this host itself", section->title);
	/* Files of their own names beside the neighbours' in spool/state. */
	is_reserved = text_starts(section->title, "served-");
	for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
		is_reserved |= strcmp(section->title, reserved[i]) == 0;
	if (is_reserved)
		mistake_add(s, section->file, section->line, "the name \"%s\" is reserved", section->title);
	if (section_setting(section, "key") == NULL)
		mistake_add(s, section->file, section->line,
		    "neighbour \"%s\" has no key: it is what \"packetboat key\" prints there", section->title);
}

static bool route_opens(const struct config_route *route)
{
	return route->public == PUBLIC_YES && strcmp(route->pattern, "*") == 0 && route->via != VIA_MAILDIR;
}

static void check_public(
    struct config_source *s, const struct config_section *section, const struct config_route *route)
{
	const struct config_setting *public = section_setting(section, "public");

	if (public != NULL && route_opens(route))
		mistake_add(s, public->file, public->line,
		    "public: strangers could send mail through this host to anybody; name the domains instead of "
		    "\"*\"");
}

static void check_route(const struct config *c, struct config_source *s, const struct config_section *section,
    const struct config_route *route)
{
	const struct config_setting *via = section_setting(section, "via");

	if (!pattern_valid(section->title, PATTERN_ROUTE))
		mistake_add(s, section->file, section->line,
		    "route \"%s\" is not a pattern: \"user@domain\", \"domain\", \"*.domain\" or \"*\"",
		    section->title);
	if (via == NULL)
		mistake_add(s, section->file, section->line, "route \"%s\" does not say via what", section->title);
	else if (route->via == VIA_NEIGHBOUR && route->target != NULL && !s->incomplete &&
		 config_neighbour(c, route->target) == NULL)
		mistake_add(s, via->file, via->values[0].line, "via: neighbour \"%s\" is not defined", route->target);
	check_public(s, section, route);
}

static void check_destination(
    struct config_source *s, const struct config_section *section, const struct config_destination *destination)
{
	if ((destination->user == NULL) != (destination->password == NULL))
		mistake_add(s, section->file, section->line, "destination \"%s\" has %s: give both, or neither",
		    section->title, destination->user == NULL ? "a password and no user" : "a user and no password");
	if (destination->user != NULL && destination->tls == POLICY_NONE)
		mistake_add(s, section->file, section->line,
		    "destination \"%s\": a password is not sent without TLS (tls = \"none\")", section->title);
}

static void check_fetch(
    struct config_source *s, const struct config_section *section, const struct config_fetch *fetch)
{
	static const char *const needed[] = {"server", "user", "password", "to"};

	/* It names files. */
	if (!host_name_valid(section->title))
		mistake_add(s, section->file, section->line,
		    "fetch \"%s\": the name may hold a-z, 0-9 and \"-\", and begins with a letter", section->title);
	for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
		if (section_setting(section, needed[i]) == NULL)
			mistake_add(
			    s, section->file, section->line, "fetch \"%s\" has no %s", section->title, needed[i]);
	if (fetch->multidrop == NULL && (fetch->prefix != NULL || fetch->domain != NULL))
		mistake_add(s, section->file, section->line,
		    "fetch \"%s\": prefix and domain belong to multidrop, which is missing", section->title);
}

/* ---- aliases -------------------------------------------------------------------------------------- */

static void check_alias(struct config_source *s, const struct config_section *section)
{
	struct address a;
	struct error err = ERROR_NONE;

	if (address_parse(&a, view_text(section->title), &err) != OUTCOME_DONE)
		mistake_add(s, section->file, section->line, "alias: %s", err.text);
	else if (a.kind != ADDRESS_LOCAL && a.kind != ADDRESS_MAILBOX)
		mistake_add(s, section->file, section->line,
		    "alias \"%s\" is neither a user of ours nor \"user@domain\"", section->title);
	if (section_setting(section, "to") == NULL)
		mistake_add(s, section->file, section->line, "alias \"%s\" has no targets", section->title);
}

/* The alias that TARGET leads to, by number among the aliases; SIZE_MAX when it is none. */
static size_t alias_of(const struct config *c, const struct named_list *list, const char *target)
{
	const struct named *found;
	struct address a;
	char *name;

	if (address_parse(&a, view_text(target), NULL) != OUTCOME_DONE || a.kind == ADDRESS_BANG)
		return SIZE_MAX;
	name = mem_string(target);
	text_lower_all(name);
	found = named_find(list, name);
	if (found == NULL && a.kind == ADDRESS_MAILBOX && config_is_local(c, a.domain)) {
		name[a.local.length] = '\0'; /* "user@domain": the name of the alias may be "user" */
		found = named_find(list, name);
	}
	free(name);
	return found == NULL ? SIZE_MAX : found->number;
}

/* A walk along aliases, without recursion: the file says how deep it goes. */
struct step {
	size_t alias;
	size_t target; /* the next to look at */
};

struct walk {
	const struct config *config;
	struct config_source *source;
	const struct named_list *list;
	const struct config_section **sections; /* of the aliases, by number */
	enum { UNSEEN, ON_PATH, SEEN } * state;
	struct step *path;
	size_t depth;
};

static void complain_loop(const struct walk *w, size_t alias)
{
	const struct config_section *section = w->sections[alias];
	struct buf text;
	size_t from = w->depth;

	while (w->path[from - 1].alias != alias)
		from--;
	buf_init(&text, 600);
	for (size_t i = from - 1; i < w->depth; i++)
		buf_format(&text, "%s -> ", w->config->aliases[w->path[i].alias].name);
	mistake_add(w->source, section->file, section->line, "alias \"%s\" leads back to itself: %s%s",
	    section->title, buf_string(&text), text.failed ? "..." : w->config->aliases[alias].name);
	buf_release(&text);
}

static void walk_from(struct walk *w, size_t start)
{
	w->path[0] = (struct step){.alias = start};
	w->depth = 1;
	w->state[start] = ON_PATH;
	while (w->depth > 0) {
		struct step *at = &w->path[w->depth - 1];
		const struct strings *targets = &w->config->aliases[at->alias].targets;
		size_t next;

		if (at->target == targets->count) {
			w->state[at->alias] = SEEN;
			w->depth--;
			continue;
		}
		next = alias_of(w->config, w->list, targets->items[at->target++]);
		if (next == SIZE_MAX || next == at->alias) /* one that names itself keeps a copy: see queue/route.h */
			continue;
		if (w->state[next] == ON_PATH)
			complain_loop(w, next);
		if (w->state[next] != UNSEEN)
			continue;
		w->state[next] = ON_PATH;
		w->path[w->depth++] = (struct step){.alias = next};
	}
}

static void check_loops(const struct config *c, struct config_source *s, const struct named_list *list)
{
	struct walk w = {.config = c, .source = s, .list = list};

	w.sections = mem_array(c->alias_count, sizeof w.sections[0]);
	w.state = mem_array(c->alias_count, sizeof w.state[0]);
	w.path = mem_array(c->alias_count, sizeof w.path[0]);
	for (size_t i = 0; i < list->count; i++)
		w.sections[list->items[i].number] = list->items[i].section;
	for (size_t i = 0; i < c->alias_count; i++)
		if (w.state[i] == UNSEEN)
			walk_from(&w, i);
	free(w.sections);
	free(w.state);
	free(w.path);
}

/* ---- all of it ------------------------------------------------------------------------------------ */

static void check_sections(const struct config *c, struct config_source *s)
{
	size_t routes = 0;
	size_t destinations = 0;
	size_t fetches = 0;

	for (size_t i = 1; i < s->section_count; i++) {
		const struct config_section *section = &s->sections[i];

		if (section->scope == SCOPE_NEIGHBOUR)
			check_neighbour(c, s, section);
		else if (section->scope == SCOPE_ROUTE)
			check_route(c, s, section, &c->routes[routes++]);
		else if (section->scope == SCOPE_DESTINATION)
			check_destination(s, section, &c->destinations[destinations++]);
		else if (section->scope == SCOPE_FETCH)
			check_fetch(s, section, &c->fetches[fetches++]);
		else if (section->scope == SCOPE_ALIAS)
			check_alias(s, section);
	}
}

void config_check(const struct config *c, struct config_source *s)
{
	struct named_list aliases = named_collect(s, SCOPE_ALIAS);

	check_top(c, s);
	check_sections(c, s);
	check_unique(s, SCOPE_NEIGHBOUR);
	check_unique(s, SCOPE_ROUTE);
	check_unique(s, SCOPE_DESTINATION);
	check_unique(s, SCOPE_SMTPD);
	check_unique(s, SCOPE_SMTP);
	check_unique(s, SCOPE_POP3D);
	check_unique(s, SCOPE_RELAY);
	check_unique(s, SCOPE_FETCH);
	check_second(s, &aliases);
	check_loops(c, s, &aliases);
	named_release(&aliases);
}
