/*
 * `packetboat check`: what a person should know before he relies on this host. First what is wrong, then how the
 * configuration was understood. Nothing is changed but for an empty lock file.
 */
#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/daemon.h"
#include "lib/net_tls.h"
#include "lib/text.h"
#include "queue/judge.h"
#include "queue/maildir.h"
#include "queue/served.h"
#include "queue/work.h"
#include "tools/command.h"
#include "tools/command_route.h"
#include "tools/health.h"

/* A neighbour's clock may be this far behind by the time that its mail took; beyond it is wrong. */
#define BEHIND_BY_TRANSPORT 2592000
/* Octets of a PEM file that are looked at, and how each part of it begins (RFC 7468). */
#define PEM_MOST  65536
#define PEM_BEGIN "-----BEGIN "

struct checking {
	struct tool *tool;
	enum health_level worst;
};

static void tell(void *context, enum health_level level, const char *sentence)
{
	static const char *const names[] = {
	    [HEALTH_NOTE] = "note", [HEALTH_WARNING] = "warning", [HEALTH_ERROR] = "error"};
	struct checking *c = context;
	json_t *object;

	if (level > c->worst)
		c->worst = level;
	if (!c->tool->json) {
		printf("%s: ", names[level]);
		print_visible(sentence);
		putchar('\n');
		return;
	}
	object = json_object();
	json_text(object, "level", names[level]);
	json_text(object, "text", sentence);
	print_json(object);
}

static void say(struct checking *c, enum health_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void say(struct checking *c, enum health_level level, const char *format, ...)
{
	char text[1200];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	tell(c, level, text);
}

static void mistake(void *context, const char *sentence)
{
	tell(context, HEALTH_ERROR, sentence);
}

/* ---- files ----------------------------------------------------------------------------------------------- */

/* Warns when PATH lets others do what MASK says. A missing file lets nobody do anything. */
static void check_mode(struct checking *c, const char *path, mode_t mask, const char *what)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return;
	if (st.st_mode & mask)
		say(c, HEALTH_WARNING, "%s can be %s by other users (mode %04o); chmod go-%s %s", path, what,
		    (unsigned)(st.st_mode & 07777), mask & 0044 ? "rwx" : "w", path);
	if (st.st_uid != geteuid() && geteuid() != 0)
		say(c, HEALTH_WARNING, "%s belongs to another user (uid %u)", path, (unsigned)st.st_uid);
}

static void check_modes(struct checking *c)
{
	const struct config *config = &c->tool->config;
	char *parts = mem_format("%s/conf.d", config->directory);

	check_mode(c, config->path, 0022, "changed");
	check_mode(c, parts, 0022, "changed");
	check_mode(c, config->spool, 0077, "entered");
	check_mode(c, config->users, 0077, "read");
	free(parts);
}

static void check_keys(struct checking *c, char fingerprint[static KEY_FINGERPRINT_TEXT])
{
	struct host_keys keys = {0};
	struct dir d;
	struct error err = ERROR_NONE;

	snprintf(fingerprint, KEY_FINGERPRINT_TEXT, "-");
	if (dir_open(&d, NULL, c->tool->config.keys, &err) != OUTCOME_DONE) {
		tell(c, HEALTH_ERROR, err.text);
		return;
	}
	if (keys_check_mode(&d, &err) != OUTCOME_DONE)
		tell(c, err.code == EX_NOPERM ? HEALTH_WARNING : HEALTH_ERROR, err.text);
	if (keys_load(&keys, &d, c->tool->config.host, &err) != OUTCOME_DONE)
		tell(c, HEALTH_ERROR, err.text);
	else
		key_fingerprint(&keys.public, fingerprint);
	keys_release(&keys);
	dir_close(&d);
}

/* Files are moved between these by rename, which works within one file system only. */
static void check_one_file_system(struct checking *c)
{
	static const char *const parts[] = {
	    "tmp", "stage", "arrivals", "msg", "queue", "queue/new", "out", "in", "corrupt", "state", "mail"};
	const struct dir *spool = &c->tool->queue.spool;
	struct stat top;

	if (fstat(spool->fd, &top) != 0)
		return;
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		struct error err = ERROR_NONE;
		struct stat st;
		struct dir d;

		if (dir_open(&d, spool, parts[i], &err) != OUTCOME_DONE)
			tell(c, HEALTH_ERROR, err.text);
		else if (fstat(d.fd, &st) != 0 || st.st_dev == top.st_dev)
			; /* as it should be */
		else if (strcmp(parts[i], "mail") == 0)
			say(c, HEALTH_WARNING,
			    "%s lies on another file system than %s: every mail is copied, which costs time", d.path,
			    spool->path);
		else
			say(c, HEALTH_ERROR, "%s lies on another file system than %s; nothing can be moved there",
			    d.path, spool->path);
		dir_close(&d);
	}
}

/* A lock that is taken must not be had twice: some network file systems only pretend. */
static void check_locks(struct checking *c)
{
	struct lock first;
	struct lock second;
	struct error err = ERROR_NONE;
	bool held;

	if (lock_try(&first, &c->tool->queue.lock, "check", &held, &err) != OUTCOME_DONE) {
		if (!held)
			tell(c, HEALTH_ERROR, err.text);
		return;
	}
	if (lock_try(&second, &c->tool->queue.lock, "check", &held, &err) == OUTCOME_DONE) {
		say(c, HEALTH_ERROR,
		    "locks do not hold in %s: two relays at once could do harm (is it a network file system?)",
		    c->tool->queue.lock.path);
		lock_release(&second);
	} else if (!held) {
		tell(c, HEALTH_ERROR, err.text);
	}
	lock_release(&first);
}

static void check_writable(struct checking *c)
{
	char name[40];
	struct error err = ERROR_NONE;
	int fd;

	tmp_name(name);
	if (file_create(&c->tool->queue.tmp, name, &fd, &err) != OUTCOME_DONE)
		tell(c, HEALTH_ERROR, err.text);
	else
		file_remove(&c->tool->queue.tmp, name, NULL);
	file_close(&fd);
}

/* ---- neighbours, routes, aliases ------------------------------------------------------------------------- */

static void check_address(struct checking *c, const struct config_neighbour *n, const char *address)
{
	const char *path = address + strlen("dir:");
	struct error err = ERROR_NONE;
	struct dir d;

	if (!text_starts(address, "dir:"))
		return;
	if (dir_open(&d, NULL, path, &err) != OUTCOME_DONE)
		say(c, HEALTH_WARNING, "neighbour %s cannot be reached now: %s", n->name, err.text);
	else if (access(path, W_OK | X_OK) != 0)
		say(c, HEALTH_WARNING, "neighbour %s cannot be reached: %s is not writable", n->name, path);
	dir_close(&d);
}

static void check_neighbour(struct checking *c, const struct config_neighbour *n)
{
	struct public_keys keys;
	struct error err = ERROR_NONE;
	struct peer peer;
	char *apart;

	if (key_line_parse(n->key, &keys, &err) != OUTCOME_DONE)
		say(c, HEALTH_ERROR, "%s: the key of neighbour %s: %s", n->where, n->name, err.text);
	else if (strcmp(keys.host, n->name) != 0)
		say(c, HEALTH_ERROR, "%s: the key of neighbour %s is that of \"%s\"", n->where, n->name, keys.host);
	for (size_t i = 0; i < n->call.count; i++)
		check_address(c, n, n->call.items[i]);
	if (n->call.count == 0 && c->tool->config.relay.listen.count == 0)
		say(c, HEALTH_WARNING,
		    "neighbour %s has no address (call = \"tcp:...\"), and this host does not listen for its calls "
		    "(relay "
		    "{ listen = ... }): its mail goes only when something else starts `packetboat-relay answer`",
		    n->name);
	if (!c->tool->opened)
		return;
	if (peer_look(&c->tool->queue, n->name, &peer, &err) != OUTCOME_DONE) {
		tell(c, HEALTH_ERROR, err.text);
	} else if (peer.clock_apart > 0 || peer.clock_apart < -BEHIND_BY_TRANSPORT) {
		apart = clock_apart_text(peer.clock_apart);
		if (apart != NULL)
			say(c, HEALTH_WARNING, "the clock of neighbour %s is %s", n->name, apart);
		free(apart);
	}
	peer_release(&peer);
}

/* Does the file PATH hold WHAT in PEM form? */
static bool holds_pem(const char *path, const char *what)
{
	struct buf text;
	struct view rest;
	struct view line;
	bool found = false;

	buf_init(&text, PEM_MOST);
	(void)file_peek(path, &text);
	for (rest = view_buf(&text); !found && view_line(&rest, &line);)
		found = line.length >= strlen(PEM_BEGIN) && memcmp(line.bytes, PEM_BEGIN, strlen(PEM_BEGIN)) == 0 &&
			memmem(line.bytes, line.length, what, strlen(what)) != NULL;
	buf_release(&text);
	return found;
}

/* A file that programs need: any, one in which a certificate must stand, a secret, and a key, which is one. */
enum check_file { FILE_OPEN, FILE_CERTIFICATE, FILE_SECRET, FILE_KEY };
static void check_file(struct checking *c, const char *path, enum check_file kind, const char *what)
{
	struct stat st;

	if (stat(path, &st) != 0)
		say(c, HEALTH_ERROR, "%s, %s, is not there", what, path);
	else if (access(path, R_OK) != 0)
		say(c, HEALTH_WARNING, "%s, %s, cannot be read by this user", what, path);
	else if ((kind == FILE_CERTIFICATE && !holds_pem(path, "CERTIFICATE")) ||
		 (kind == FILE_KEY && !holds_pem(path, "PRIVATE KEY")))
		say(c, HEALTH_ERROR, "%s, %s, holds none in PEM form", what, path);
	else if ((kind == FILE_SECRET || kind == FILE_KEY) && (st.st_mode & 0077) != 0)
		say(c, HEALTH_ERROR, "%s, %s, can be read by others (mode %04o); chmod 600 %s", what, path,
		    (unsigned)(st.st_mode & 07777), path);
}

/* Whose files are needed at another server. WHAT: the section. */
static void check_account(struct checking *c, const char *what, const char *password, const char *authorities)
{
	char *secret = mem_format("%s: the password file", what);
	char *trusted = mem_format("%s: the file of authorities", what);

	if (password != NULL)
		check_file(c, password, FILE_SECRET, secret);
	if (authorities != NULL)
		check_file(c, authorities, FILE_CERTIFICATE, trusted);
	free(secret);
	free(trusted);
}

/* Whom the server NAME becomes: it works on the spool, so that must be his. */
static void check_server_user(struct checking *c, const char *name, const struct config_server *s)
{
	struct error err = ERROR_NONE;
	const char *spool = c->tool->config.spool;
	struct stat st;
	uid_t uid;

	if (s->user == NULL)
		return;
	if (daemon_known(s->user, s->group, &uid, &err) != OUTCOME_DONE)
		say(c, HEALTH_ERROR, "%s: %s", name, err.text);
	else if (stat(spool, &st) == 0 && st.st_uid != uid)
		say(c, HEALTH_ERROR, "%s becomes %s, whose the spool is not; chown -R %s %s %s", name, s->user,
		    s->user, spool, c->tool->config.keys);
}

/* A server that the section NAME describes. */
static void check_server(struct checking *c, const char *name, const struct config_server *s)
{
	char *certificate = mem_format("the certificate of %s", name);
	char *key = mem_format("the key of %s", name);

	if (s->certificate != NULL)
		check_file(c, s->certificate, FILE_CERTIFICATE, certificate);
	if (s->certificate != NULL || s->certificate_key != NULL)
		check_file(c, s->certificate_key != NULL ? s->certificate_key : s->certificate, FILE_KEY, key);
	check_server_user(c, name, s);
	free(certificate);
	free(key);
}

/* What the servers made for themselves, or will: both or none. */
static void check_own_certificate(struct checking *c)
{
	char *certificate = mem_format("%s/" TLS_OWN_CERTIFICATE, c->tool->config.keys);
	char *key = mem_format("%s/" TLS_OWN_KEY, c->tool->config.keys);
	struct stat st;

	if (lstat(certificate, &st) == 0) {
		check_file(c, certificate, FILE_CERTIFICATE, "the certificate of our own making");
		check_file(c, key, FILE_KEY, "the key of our own making");
	}
	free(certificate);
	free(key);
}

static void check_bridges(struct checking *c)
{
	const struct config *config = &c->tool->config;

	check_server(c, "smtpd", &config->smtpd.server);
	check_server(c, "pop3d", &config->pop3d.server);
	if (config->smtpd.server.certificate == NULL || config->pop3d.server.certificate == NULL)
		check_own_certificate(c);
	for (size_t i = 0; i < config->destination_count; i++) {
		const struct config_destination *d = &config->destinations[i];
		char *what = mem_format("%s: destination \"%s\"", d->where, d->pattern);

		check_account(c, what, d->password, d->authorities);
		free(what);
	}
}

static void check_boxes(struct checking *c)
{
	const struct config *config = &c->tool->config;

	for (size_t i = 0; i < config->fetch_count; i++) {
		const struct config_fetch *box = &config->fetches[i];
		char *what = mem_format("%s: fetch \"%s\"", box->where, box->name);

		check_account(c, what, box->password, box->authorities);
		free(what);
		/* Each keeps its own account of what was fetched. */
		for (size_t k = 0; k < i; k++)
			if (text_same(box->server, config->fetches[k].server) &&
			    strcmp(box->user, config->fetches[k].user) == 0)
				say(c, HEALTH_WARNING,
				    "%s: fetch \"%s\" is the same box as \"%s\": its mail may come twice", box->where,
				    box->name, config->fetches[k].name);
	}
}

/* Whom the mail of outside boxes is for. */
static void check_owners(struct checking *c)
{
	const struct config *config = &c->tool->config;

	for (size_t i = 0; i < config->fetch_count; i++) {
		struct judgement j;

		judge_recipient(&j, config, &c->tool->queue.mail, config->fetches[i].to, JUDGE_KNOWN, 0);
		if (j.outcome != OUTCOME_DONE)
			say(c, HEALTH_ERROR, "%s: fetch \"%s\": to = \"%s\": %s; nothing is fetched",
			    config->fetches[i].where, config->fetches[i].name, config->fetches[i].to, j.text);
	}
}

static void check_aliases(struct checking *c)
{
	const struct config *config = &c->tool->config;
	bool postmaster = false;

	for (size_t i = 0; i < config->alias_count; i++)
		for (size_t k = 0; k < config->aliases[i].targets.count; k++) {
			struct route r;

			route_find(&r, config, &c->tool->queue.mail, config->aliases[i].targets.items[k]);
			if (r.kind == ROUTE_FAIL)
				say(c, HEALTH_WARNING, "%s: alias \"%s\": %s", config->aliases[i].where,
				    config->aliases[i].name, r.reason);
			route_release(&r);
		}
	if (maildir_look(&c->tool->queue.mail, "postmaster", &postmaster, NULL) == OUTCOME_DONE && !postmaster)
		say(c, HEALTH_ERROR, "the box of postmaster is missing in %s", c->tool->queue.mail.path);
}

/* A way that a program of its own must serve, and nobody does. */
static void check_served(struct checking *c, enum via via, const char *hop)
{
	const struct config *config = &c->tool->config;
	const struct config_route *route = NULL;
	uint64_t when;
	char span[24];

	for (size_t i = 0; i < config->route_count && route == NULL; i++)
		if (config->routes[i].via == via)
			route = &config->routes[i];
	if (route == NULL)
		return;
	if (!served_look(&c->tool->queue, hop, &c->tool->age, &when)) {
		say(c, HEALTH_WARNING,
		    "route \"%s\" at %s goes via %s, and no program that delivers so has run here yet "
		    "(packetboat-smtp): such mail waits",
		    route->pattern, route->where, hop);
	} else if (c->tool->age.now - when >= WORK_UNSERVED) {
		duration_print(c->tool->age.now - when, span);
		say(c, HEALTH_WARNING,
		    "route \"%s\" at %s goes via %s, and no program that delivers so has run here for %s "
		    "(packetboat-smtp): such mail waits",
		    route->pattern, route->where, hop, span);
	}
}

/* ---- how it was understood ------------------------------------------------------------------------------- */

static void understood(const struct checking *c, const char *what, const char *text)
{
	json_t *object;

	if (!c->tool->json) {
		printf("%-10s ", what);
		print_visible(text);
		putchar('\n');
		return;
	}
	object = json_object();
	json_text(object, "level", "understood");
	json_text(object, "what", what);
	json_text(object, "text", text);
	print_json(object);
}

static void strings_text(const struct strings *s, struct buf *out)
{
	for (size_t i = 0; i < s->count; i++)
		buf_format(out, "%s%s", i > 0 ? ", " : "", s->items[i]);
}

static void understood_neighbours(const struct checking *c, struct buf *text)
{
	for (size_t i = 0; i < c->tool->config.neighbour_count; i++) {
		const struct config_neighbour *n = &c->tool->config.neighbours[i];
		struct public_keys keys;
		char fingerprint[KEY_FINGERPRINT_TEXT] = "-";

		if (key_line_parse(n->key, &keys, NULL) == OUTCOME_DONE)
			key_fingerprint(&keys, fingerprint);
		buf_clear(text);
		buf_format(text, "%s, fingerprint %s, %s%s%s", n->name, fingerprint, n->seal ? "sealed" : "sign-only",
		    n->relay ? ", may relay through this host" : "", n->call.count > 0 ? ", at " : "");
		strings_text(&n->call, text);
		understood(c, "neighbour", buf_string(text));
	}
}

static void understood_routes(const struct checking *c, struct buf *text)
{
	struct route_lines lines;

	route_lines_make(&c->tool->config, &lines);
	for (size_t i = 0; i < lines.count; i++) {
		const struct route_line *line = &lines.items[i];
		char expire[24];

		duration_print_exact(line->route != NULL ? line->route->expire : c->tool->config.expire, expire);
		buf_clear(text);
		buf_format(text, "%s via %s", line->pattern, line->via);
		if (line->rank != 2)
			buf_format(text, ", expires after %s", expire);
		buf_format(text, " (%s)", line->where);
		understood(c, "route", buf_string(text));
	}
	route_lines_release(&lines);
}

static void understood_boxes(const struct checking *c, struct buf *text)
{
	for (size_t i = 0; i < c->tool->config.fetch_count; i++) {
		const struct config_fetch *box = &c->tool->config.fetches[i];

		buf_clear(text);
		buf_format(text, "%s, %s at %s, for %s%s%s", box->name, box->user, box->server, box->to,
		    box->multidrop != NULL ? " and whom the header names in " : "",
		    box->multidrop != NULL ? box->multidrop : "");
		understood(c, "box", buf_string(text));
	}
}

static void understood_users(const struct checking *c, struct buf *text)
{
	struct names names = {0};
	bool found;

	if (!c->tool->opened || mailbox_names(&c->tool->queue, &names, NULL) != OUTCOME_DONE)
		return;
	buf_clear(text);
	for (size_t i = 0; i < names.count; i++)
		if (maildir_look(&c->tool->queue.mail, names.items[i], &found, NULL) != OUTCOME_DONE || found)
			buf_format(text, "%s%s", text->length > 0 ? ", " : "", names.items[i]);
	understood(c, "users", buf_string(text));
	names_release(&names);
}

static void show_understood(const struct checking *c, const char *fingerprint)
{
	const struct config *config = &c->tool->config;
	struct buf text;

	buf_init(&text, LIMIT_SMALL_FILE);
	buf_format(&text, "%s, fingerprint %s", config->host, fingerprint);
	understood(c, "host", buf_string(&text));
	buf_clear(&text);
	strings_text(&config->domains, &text);
	understood(c, "domains", buf_string(&text));
	understood(c, "spool", config->spool);
	understood_neighbours(c, &text);
	understood_routes(c, &text);
	for (size_t i = 0; i < config->alias_count; i++) {
		buf_clear(&text);
		buf_format(&text, "%s is ", config->aliases[i].name);
		strings_text(&config->aliases[i].targets, &text);
		understood(c, "alias", buf_string(&text));
	}
	understood_boxes(c, &text);
	understood_users(c, &text);
	buf_release(&text);
}

/* ---- all of it ------------------------------------------------------------------------------------------- */

static void check_spool(struct checking *c)
{
	struct error err = ERROR_NONE;

	if (tool_queue(c->tool, &err) != OUTCOME_DONE)
		tell(c, HEALTH_ERROR, err.text);
	if (!c->tool->opened)
		return;
	check_one_file_system(c);
	check_locks(c);
	check_writable(c);
	health_space(&c->tool->queue, tell, c);
	health_clock(&c->tool->age, tell, c);
	health_corrupt(&c->tool->queue, tell, c);
	health_boxes(&c->tool->config, &c->tool->queue, &c->tool->age, tell, c);
	health_mailboxes(&c->tool->config, &c->tool->queue, tell, c);
	check_owners(c);
	check_aliases(c);
	check_served(c, VIA_SMTP, "smtp");
	check_served(c, VIA_LMTP, "lmtp");
}

enum outcome command_check(struct tool *t, struct error *err)
{
	const struct tool_option options[] = {{"json", OPTION_FLAG, &t->json}};
	struct checking c = {.tool = t};
	char fingerprint[KEY_FINGERPRINT_TEXT];
	enum outcome outcome = tool_options(t, options, 1, 0, 0, "", err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = config_load(&t->config, tool_config_path(t), mistake, &c, err);
	t->configured = outcome == OUTCOME_DONE;
	if (outcome == OUTCOME_DONE) {
		check_modes(&c);
		check_keys(&c, fingerprint);
		check_bridges(&c);
		check_boxes(&c);
		check_spool(&c);
		for (size_t i = 0; i < t->config.neighbour_count; i++)
			check_neighbour(&c, &t->config.neighbours[i]);
		show_understood(&c, fingerprint);
	} else if (c.worst == HEALTH_NOTE) {
		tell(&c, HEALTH_ERROR, err->text); /* there was no file to find mistakes in */
	}
	t->code = c.worst == HEALTH_ERROR ? 2 : c.worst == HEALTH_WARNING ? 1 : EX_OK;
	return OUTCOME_DONE;
}
