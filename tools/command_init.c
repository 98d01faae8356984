/*
 * `packetboat init`: a directory becomes a host. The configuration file comes last, so an instance that has one is
 * whole; a run that was cut short is taken up by the next.
 */
#include "lib/alloc.h"
#include "lib/text.h"
#include "queue/address.h"
#include "spool/keys.h"
#include "tools/command.h"

#define CONFIG_FILE "packetboat.conf"

struct making {
	const char *path;
	const char *host;
	struct strings domains;
	struct dir top;
};

static enum outcome names_check(const struct tool *t, const struct making *m, struct error *err)
{
	if (m->host == NULL)
		return tool_usage(t, err, "--host is missing: the name of this host among its neighbours");
	if (!host_name_valid(m->host))
		return error_set(err, EX_USAGE,
		    "\"%s\" is not a host name: 1 to %d of a-z, 0-9 and \"-\", a letter first", m->host,
		    LIMIT_HOST_NAME);
	if (m->domains.count == 0)
		return tool_usage(t, err, "--domain is missing: what stands behind the @ in addresses of this host");
	for (size_t i = 0; i < m->domains.count; i++) {
		char *address = mem_format("postmaster@%s", m->domains.items[i]);
		struct address a;
		bool good = address_parse(&a, view_text(address), NULL) == OUTCOME_DONE && !a.literal;

		free(address);
		if (!good)
			return error_set(err, EX_USAGE, "\"%s\" is not a mail domain", m->domains.items[i]);
	}
	return OUTCOME_DONE;
}

static void config_text(const struct making *m, struct buf *out)
{
	buf_format(out,
	    "# packetboat.conf(5) describes all options. Files in conf.d/*.conf beside this one are read too;\n"
	    "# `packetboat neighbour add` and `packetboat route add` write there. `packetboat check` says how\n"
	    "# all of it was understood.\n\n"
	    "# The name of this host among its neighbours. Keys and message ids carry it: keep it for ever.\n"
	    "host = \"%s\"\n\n# Mail for these domains is at home here.\ndomains = {",
	    m->host);
	for (size_t i = 0; i < m->domains.count; i++)
		buf_format(out, "%s \"%s\"", i > 0 ? "," : "", m->domains.items[i]);
	buf_text(out, " }\n\n# Everything else goes to a neighbour, when there is one:\n"
		      "#route \"*\" { via = \"neighbour:NAME\" }\n");
}

/* Keys; those that a run left which was cut short are kept. */
static enum outcome make_keys(const struct making *m, struct host_keys *keys, struct error *err)
{
	struct dir d;
	enum outcome outcome = dir_make(&d, &m->top, "keys", 0700, err);

	*keys = (struct host_keys){0};
	if (outcome == OUTCOME_DONE && !file_exists(&d, "secret", NULL))
		outcome = keys_create(&d, m->host, err);
	if (outcome == OUTCOME_DONE)
		outcome = keys_load(keys, &d, m->host, err);
	dir_close(&d);
	return outcome;
}

static enum outcome make_spool(const struct making *m, struct error *err)
{
	char *path = mem_format("%s/spool", m->path);
	enum outcome outcome = queue_make(path, err);

	free(path);
	return outcome;
}

static enum outcome write_config(const struct making *m, struct error *err)
{
	struct dir tmp;
	struct buf text;
	enum outcome outcome = dir_open(&tmp, &m->top, "spool/tmp", err);

	buf_init(&text, COPY_CHUNK);
	config_text(m, &text);
	if (outcome == OUTCOME_DONE)
		outcome = file_commit(&tmp, &m->top, CONFIG_FILE, view_buf(&text), err);
	buf_release(&text);
	dir_close(&tmp);
	return outcome;
}

static void advise(const struct making *m)
{
	char *absolute = realpath(m->path, NULL);

	fflush(stdout);
	fprintf(stderr,
	    "\nThis host is \"%s\". Next:\n"
	    "  export PACKETBOAT_CONF=%s/" CONFIG_FILE "\n"
	    "  give the line above to a neighbour, and take in his:\n"
	    "  packetboat neighbour add NAME KEYLINE --call dir:/path/to/a/stick\n"
	    "  packetboat route add '*' neighbour:NAME\n"
	    "  packetboat user add YOU\n"
	    "  packetboat check\n"
	    "and have cron start `packetboat run`.\n",
	    m->host, absolute != NULL ? absolute : m->path);
	free(absolute);
}

static enum outcome make_instance(const struct making *m, struct error *err)
{
	struct dir parts = DIR_CLOSED;
	struct host_keys keys = {0};
	char line[KEY_LINE_TEXT];
	enum outcome outcome = dir_make(&parts, &m->top, "conf.d", 0700, err);

	dir_close(&parts);
	if (outcome == OUTCOME_DONE)
		outcome = make_keys(m, &keys, err);
	if (outcome == OUTCOME_DONE)
		outcome = make_spool(m, err);
	if (outcome == OUTCOME_DONE)
		outcome = write_config(m, err);
	if (outcome == OUTCOME_DONE) {
		key_line_print(&keys.public, line);
		puts(line);
		if (isatty(STDERR_FILENO))
			advise(m);
	}
	keys_release(&keys);
	return outcome;
}

enum outcome command_init(struct tool *t, struct error *err)
{
	struct making m = {.top = DIR_CLOSED};
	const struct tool_option options[] = {{"host", OPTION_TEXT, &m.host}, {"domain", OPTION_TEXTS, &m.domains}};
	enum outcome outcome = tool_options(t, options, 2, 1, 1, "a directory", err);
	struct error none = ERROR_NONE;

	if (outcome == OUTCOME_DONE)
		outcome = names_check(t, &m, err);
	if (outcome == OUTCOME_DONE) {
		m.path = t->words[0];
		if (dir_open(&m.top, NULL, m.path, &none) != OUTCOME_DONE && none.code == EX_NOINPUT && !t->dry_run)
			outcome = dir_make(&m.top, NULL, m.path, 0700, err);
		else if (m.top.fd >= 0 && file_exists(&m.top, CONFIG_FILE, NULL))
			outcome = error_set(
			    err, EX_CANTCREAT, "%s/" CONFIG_FILE " exists already; it is not touched", m.path);
		else if (m.top.fd < 0 && none.code != EX_NOINPUT)
			outcome = error_set(err, EX_CANTCREAT, "%s", none.text);
	}
	if (outcome == OUTCOME_DONE && t->dry_run)
		printf("would make the host \"%s\" in %s\n", m.host, m.path);
	else if (outcome == OUTCOME_DONE)
		outcome = make_instance(&m, err);
	dir_close(&m.top);
	strings_release(&m.domains);
	return outcome;
}
