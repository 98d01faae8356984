/* `packetboat key` and `packetboat neighbour`: who this host is, and whom it knows. */
#include "lib/alloc.h"
#include "lib/text.h"
#include "spool/keys.h"
#include "tools/command.h"
#include "tools/dropin.h"

enum outcome command_key(struct tool *t, struct error *err)
{
	bool fingerprint = false;
	const struct tool_option options[] = {{"fingerprint", OPTION_FLAG, &fingerprint}};
	struct host_keys keys = {0};
	struct dir d = DIR_CLOSED;
	char text[KEY_LINE_TEXT];
	enum outcome outcome = tool_options(t, options, 1, 0, 0, "", err);

	if (outcome == OUTCOME_DONE)
		outcome = tool_config(t, err);
	if (outcome == OUTCOME_DONE)
		outcome = dir_open(&d, NULL, t->config.keys, err);
	if (outcome == OUTCOME_DONE)
		outcome = keys_load(&keys, &d, t->config.host, err);
	if (outcome == OUTCOME_DONE) {
		if (fingerprint)
			key_fingerprint(&keys.public, text);
		else
			key_line_print(&keys.public, text);
		puts(text);
	}
	keys_release(&keys);
	dir_close(&d);
	return outcome;
}

/* ---- add ------------------------------------------------------------------------------------------------- */

/* A relative directory means the one seen from here, not one beside the configuration. */
static char *address_absolute(const char *address)
{
	const char *path = address + strlen("dir:");
	char *here;
	char *absolute;

	if (!text_starts(address, "dir:") || path[0] == '/' || path[0] == '\0')
		return mem_string(address);
	here = realpath(".", NULL);
	absolute = here == NULL ? mem_string(address) : mem_format("dir:%s/%s", here, path);
	free(here);
	return absolute;
}

static void section_text(
    const char *name, const char *key, const struct strings *calls, bool sign_only, bool relay, struct buf *out)
{
	buf_format(out, "neighbour \"%s\" {\n\tkey = \"%s\"\n", name, key);
	if (calls->count > 0)
		buf_text(out, "\tcall = {");
	for (size_t i = 0; i < calls->count; i++) {
		char *address = address_absolute(calls->items[i]);

		buf_text(out, i > 0 ? ", " : " ");
		dropin_quote(out, address);
		free(address);
	}
	if (calls->count > 0)
		buf_text(out, " }\n");
	if (sign_only)
		buf_text(out, "\tseal = false\n");
	if (relay)
		buf_text(out, "\trelay = true\n");
	buf_text(out, "}\n");
}

/* The key must be whole, of that host, and not our own. */
static enum outcome key_check(
    const struct tool *t, const char *name, const char *line, struct public_keys *keys, struct error *err)
{
	enum outcome outcome;

	if (!host_name_valid(name))
		return error_set(err, EX_USAGE,
		    "\"%s\" is not a host name: 1 to %d of a-z, 0-9 and \"-\", a letter first", name,
		    LIMIT_HOST_NAME);
	outcome = key_line_parse(line, keys, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	if (strcmp(keys->host, name) != 0)
		return error_set(err, EX_DATAERR,
		    "this is the key of \"%s\", not of \"%s\"; a neighbour goes by its own name", keys->host, name);
	if (strcmp(name, t->config.host) == 0)
		return error_set(err, EX_DATAERR, "\"%s\" is this host itself", name);
	return OUTCOME_DONE;
}

enum outcome command_neighbour_add(struct tool *t, struct error *err)
{
	struct strings calls = {0};
	bool called = false;
	bool sign_only = false;
	bool relay = false;
	const struct tool_option options[] = {{"call", OPTION_TEXTS, &calls}, {"called", OPTION_FLAG, &called},
	    {"sign-only", OPTION_FLAG, &sign_only}, {"relay", OPTION_FLAG, &relay}};
	const struct config_neighbour *old;
	struct public_keys keys;
	char line[KEY_LINE_TEXT];
	struct buf file;
	struct buf text;
	enum outcome outcome = tool_options(t, options, 4, 2, 2, "a name and a key line", err);

	buf_init(&file, 1024);
	buf_init(&text, COPY_CHUNK);
	if (outcome == OUTCOME_DONE && (calls.count == 0) != called)
		outcome = tool_usage(t, err,
		    "either --call, where to meet it (dir:PATH for a stick or a shared directory, tcp:HOST:PORT), or "
		    "--called: "
		    "it calls this host");
	if (outcome == OUTCOME_DONE)
		outcome = tool_config(t, err);
	if (outcome == OUTCOME_DONE)
		outcome = key_check(t, t->words[0], t->words[1], &keys, err);
	if (outcome == OUTCOME_DONE && (old = config_neighbour(&t->config, t->words[0])) != NULL)
		outcome =
		    error_set(err, EX_CANTCREAT, "the neighbour \"%s\" exists already, at %s", old->name, old->where);
	if (outcome == OUTCOME_DONE) {
		key_line_print(&keys, line);
		section_text(t->words[0], line, &calls, sign_only, relay, &text);
		dropin_name("neighbour", t->words[0], &file);
		outcome = dropin_add(t, buf_string(&file), view_buf(&text), err);
	}
	buf_release(&file);
	buf_release(&text);
	strings_release(&calls);
	return outcome;
}

/* ---- list, remove ---------------------------------------------------------------------------------------- */

static void neighbour_print(const struct tool *t, const struct config_neighbour *n)
{
	struct public_keys keys;
	char fingerprint[KEY_FINGERPRINT_TEXT] = "-";
	json_t *object;
	json_t *calls;

	if (key_line_parse(n->key, &keys, NULL) == OUTCOME_DONE)
		key_fingerprint(&keys, fingerprint);
	if (!t->json) {
		printf("%-16s %s  %-9s ", n->name, fingerprint, n->seal ? "seal" : "sign-only");
		for (size_t i = 0; i < n->call.count; i++) {
			putchar(' ');
			print_visible(n->call.items[i]);
		}
		putchar('\n');
		return;
	}
	object = json_object();
	calls = json_array();
	json_text(object, "name", n->name);
	json_text(object, "fingerprint", fingerprint);
	json_text(object, "key", n->key);
	for (size_t i = 0; i < n->call.count; i++)
		json_array_append_new(calls, json_string(n->call.items[i]));
	json_object_set_new(object, "call", calls);
	json_object_set_new(object, "seal", json_boolean(n->seal));
	json_object_set_new(object, "relay", json_boolean(n->relay));
	json_text(object, "where", n->where);
	print_json(object);
}

enum outcome command_neighbour_list(struct tool *t, struct error *err)
{
	const struct tool_option options[] = {{"json", OPTION_FLAG, &t->json}};
	enum outcome outcome = tool_options(t, options, 1, 0, 0, "", err);

	if (outcome == OUTCOME_DONE)
		outcome = tool_config(t, err);
	for (size_t i = 0; outcome == OUTCOME_DONE && i < t->config.neighbour_count; i++)
		neighbour_print(t, &t->config.neighbours[i]);
	return outcome;
}

enum outcome command_neighbour_remove(struct tool *t, struct error *err)
{
	const struct config_neighbour *n;
	struct buf file;
	enum outcome outcome = tool_options(t, NULL, 0, 1, 1, "a name", err);

	if (outcome == OUTCOME_DONE)
		outcome = tool_config(t, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	n = config_neighbour(&t->config, t->words[0]);
	if (n == NULL)
		return error_set(err, EX_DATAERR, "there is no neighbour \"%s\" in the configuration", t->words[0]);
	buf_init(&file, 1024);
	dropin_name("neighbour", n->name, &file);
	if (dropin_is(t, n->where, buf_string(&file)))
		outcome = dropin_remove(t, buf_string(&file), err);
	else
		outcome = error_set(
		    err, EX_CONFIG, "the neighbour \"%s\" is written at %s; take it out there", n->name, n->where);
	buf_release(&file);
	return outcome;
}
