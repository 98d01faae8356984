/*
 * packetboat: the operator's command. Only its general options, the table of commands and the wiring are here;
 * packetboat(1) is the manual.
 */
#include <getopt.h>
#include <sodium.h>

#include "lib/text.h"
#include "tools/command.h"

static tool_run command_help;

static const struct command commands[] = {
    {"init", NULL, command_init, "DIR --host NAME --domain DOMAIN [--domain DOMAIN]...", "makes a host",
	"Makes DIR with packetboat.conf, the directory conf.d, keys and a spool, and prints the key line that\n"
	"neighbours need. An instance that stands already is not touched."},
    {"key", NULL, command_key, "[--fingerprint]", "this host's key line for its neighbours",
	"With --fingerprint the short form, to be compared over a voice radio or a telephone."},
    {"neighbour", "add", command_neighbour_add,
	"NAME KEYLINE --call ADDR [--call ADDR]... | --called [--sign-only] [--relay]",
	"a host to exchange batches with",
	"KEYLINE is what `packetboat key` prints there. ADDR is dir:PATH, tcp:HOST:PORT or exec:PROGRAM ARG...; "
	"several\n"
	"are tried in their order. --called: it has none, and calls this host. --sign-only: batches can be read by "
	"anyone, for amateur radio. --relay: it may "
	"send\n"
	"mail through this host to others."},
    {"neighbour", "list", command_neighbour_list, "[--json]", "neighbours with their fingerprints and addresses",
	"Columns: name, fingerprint, seal or sign-only, addresses."},
    {"neighbour", "remove", command_neighbour_remove, "NAME", "takes a neighbour out of the configuration",
	"Mail that waits for it is routed again by the next relay pass."},
    {"user", "add", command_user_add, "NAME", "a user with a mailbox; the password comes on standard input",
	"Makes the Maildir and keeps a hash of the password for the bridges."},
    {"user", "list", command_user_list, "[--json]", "users",
	"Columns: name, \"password\" or \"-\", messages not yet read; or \"-\", and why the mailbox cannot be looked "
	"at."},
    {"user", "password", command_user_password, "NAME", "a new password, from standard input",
	"Asks for it twice when standard input is a terminal."},
    {"user", "senders", command_user_senders, "NAME [ADDRESS... | --none]",
	"sender addresses a user may use beside his own",
	"ADDRESS is user@domain, *@domain or * for any; they replace those that were set. Without any, prints them."},
    {"user", "remove", command_user_remove, "NAME [--with-mail]", "ends a user",
	"The mail is kept aside in a hidden directory beside the mailboxes, unless --with-mail is given."},
    {"route", "add", command_route_add, "PATTERN VIA [--expire TIME] [--warn TIME]", "a way for addresses",
	"PATTERN is user@domain, domain, *.domain or *. VIA is neighbour:NAME, smtp, smtp:HOST:PORT, maildir or\n"
	"lmtp:PATH."},
    {"route", "list", command_route_list, "[--json]", "routes, the one that is asked first on top",
	"Columns: pattern, way, expiry, delay warning, where it is written."},
    {"route", "remove", command_route_remove, "PATTERN", "takes away a route made with `route add`",
	"Mail that waits is routed again by the next relay pass."},
    {"route", "test", command_route_test, "ADDRESS [--json]", "which way an address goes, and why",
	"Status 67: no such user; 68: no route for the domain; 65: no mail address."},
    {"alias", "list", command_alias_list, "[--json]", "aliases and their targets",
	"Columns: alias, targets, where it is written."},
    {"run", NULL, command_run, "", "one relay pass", "The same as `packetboat-relay run`."},
    {"call", NULL, command_call, "NAME [--over-caps]", "an exchange with a neighbour, now",
	"The same as `packetboat-relay call NAME`: whatever its windows and pauses are, but within its caps, unless\n"
	"--over-caps is given."},
    {"export", NULL, command_export, "NAME DIR", "batches for a neighbour into a directory, by hand",
	"For a stick that is not in the configuration."},
    {"import", NULL, command_import, "DIR", "batches for this host out of a directory, by hand",
	"Takes what neighbours left there for this host."},
    {"list", NULL, command_list,
	"[--json] [--hop HOP] [--sender ADDR] [--recipient ADDR] [--older TIME] [--class CLASS]",
	"the mail that waits",
	"Columns: id, hop, class, octets, age, sender, recipients, reason. HOP may be a neighbour's name; ADDR an "
	"address,\n"
	"a domain, or <> for the null sender."},
    {"show", NULL, command_show, "ID [--content | --headers] [--json]", "one waiting message",
	"Its envelope, the hosts it passed, and what is known of every recipient; or its content."},
    {"trace", NULL, command_trace, "ID [--json]", "the life of a message, from the log and the queue",
	"Tells what other hosts reported back too, and how old that knowledge is."},
    {"hold", NULL, command_hold, "ID... | - | ALL", "stops messages until they are released",
	"\"-\" reads ids from standard input, one a line."},
    {"release", NULL, command_release, "ID... | - | ALL", "lets held messages go",
	"They are routed by the next relay pass."},
    {"retry", NULL, command_retry, "ID... | - | ALL", "makes deferred messages due now",
	"They are tried by the next relay pass."},
    {"reroute", NULL, command_reroute, "ID... | - | ALL", "routes messages again",
	"Also out of batches that are not acknowledged; the next relay pass does it."},
    {"remove", NULL, command_remove, "ID... | - | ALL", "takes messages out of the queue for good",
	"It is recorded in the log; the sender is not told."},
    {"status", NULL, command_status, "[--json]", "what waits for whom, and when neighbours were heard",
	"One line for each neighbour, then what is worth telling of the spool and the clock."},
    {"check", NULL, command_check, "[--json]", "configuration, keys, permissions, disk, clock",
	"Says every mistake, what is wrong with mailboxes, and how the configuration was understood. Status 0: in "
	"order, 1: warnings, 2: errors."},
    {"fsck", NULL, command_fsck, "[--repair] [--json]", "holds the spool against its rules",
	"Status 0: content, 1: something was found. --repair does what is safe: it sets aside what has lost its "
	"other\n"
	"half, and removes what was staged for messages that are gone."},
    {"log", NULL, command_log, "[ID] [-f] [-n LINES]", "the log, or the lines about one message or batch",
	"-f goes on as lines come. For ID the rotated files are read too."},
    {"help", NULL, command_help, "[COMMAND]", "this list, or more about one command", ""},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

/* ---- help ------------------------------------------------------------------------------------------------ */

static bool spelt(const char *word, const char *name)
{
	return strcmp(word, name) == 0 || (strcmp(word, "neighbor") == 0 && strcmp(name, "neighbour") == 0);
}

static void help_one(const struct command *c)
{
	const char *verb = c->verb == NULL ? "" : c->verb;

	printf("packetboat %s%s%s%s%s\n    %s\n", c->name, verb[0] == '\0' ? "" : " ", verb,
	    c->operands[0] == '\0' ? "" : " ", c->operands, c->summary);
	for (const char *line = c->details; *line != '\0';) {
		size_t length = strcspn(line, "\n");

		printf("    %.*s\n", (int)length, line);
		line += length + (line[length] == '\n');
	}
}

static void help_all(void)
{
	puts("usage: packetboat [-c CONF] [-v] [-n] COMMAND ...\n\n"
	     "    -c CONF  the configuration; else $PACKETBOAT_CONF, else /etc/packetboat/packetboat.conf\n"
	     "    -v       says more\n"
	     "    -n       dry run: says what would be done\n");
	for (size_t i = 0; i < COMMANDS; i++) {
		const struct command *c = &commands[i];
		const char *verb = c->verb == NULL ? "" : c->verb;

		printf("    %s %-*s %s\n", c->name, (int)(18 - strlen(c->name)), verb, c->summary);
	}
	puts("\n`packetboat help COMMAND` says more about one.");
}

static enum outcome unknown(const char *word, struct error *err)
{
	const char *names[COMMANDS];
	const char *near;

	for (size_t i = 0; i < COMMANDS; i++)
		names[i] = commands[i].name;
	near = tool_nearest(word, names, COMMANDS);
	if (near != NULL)
		return error_set(err, EX_USAGE, "there is no command \"%s\"; is it \"%s\"?", word, near);
	return error_set(err, EX_USAGE, "there is no command \"%s\" (see `packetboat help`)", word);
}

static enum outcome command_help(struct tool *t, struct error *err)
{
	enum outcome outcome = tool_options(t, NULL, 0, 0, 2, "", err);
	bool found = false;

	if (outcome != OUTCOME_DONE)
		return outcome;
	if (t->count == 0) {
		help_all();
		return OUTCOME_DONE;
	}
	for (size_t i = 0; i < COMMANDS; i++) {
		if (!spelt(t->words[0], commands[i].name) ||
		    (t->count > 1 && (commands[i].verb == NULL || strcmp(t->words[1], commands[i].verb) != 0)))
			continue;
		help_one(&commands[i]);
		found = true;
	}
	return found ? OUTCOME_DONE : unknown(t->words[0], err);
}

/* ---- wiring ---------------------------------------------------------------------------------------------- */

/* The verb of a command that has verbs is missing or unknown. */
static enum outcome verb_fault(const char *name, const char *verb, struct error *err)
{
	const char *verbs[COMMANDS];
	size_t count = 0;
	const char *near;
	char list[100] = "";

	for (size_t i = 0; i < COMMANDS; i++) {
		size_t used = strlen(list);

		if (strcmp(commands[i].name, name) != 0)
			continue;
		snprintf(list + used, sizeof list - used, "%s%s", count > 0 ? ", " : "", commands[i].verb);
		verbs[count++] = commands[i].verb;
	}
	if (verb == NULL)
		return error_set(err, EX_USAGE, "`packetboat %s` needs one of: %s", name, list);
	near = tool_nearest(verb, verbs, count);
	if (near != NULL)
		return error_set(err, EX_USAGE, "there is no \"%s %s\"; is it \"%s %s\"?", name, verb, name, near);
	return error_set(err, EX_USAGE, "there is no \"%s %s\", only: %s", name, verb, list);
}

/* Finds the command that the words begin with; the words are then those from its last one on. */
static enum outcome command_find(struct tool *t, struct error *err)
{
	const struct command *group = NULL;

	for (size_t i = 0; i < COMMANDS; i++) {
		const struct command *c = &commands[i];

		if (!spelt(t->words[0], c->name))
			continue;
		group = c;
		if (c->verb == NULL || (t->count > 1 && strcmp(t->words[1], c->verb) == 0)) {
			t->command = c;
			t->words += c->verb != NULL;
			t->count -= c->verb != NULL;
			return OUTCOME_DONE;
		}
	}
	if (group == NULL)
		return unknown(t->words[0], err);
	return verb_fault(group->name, t->count > 1 ? t->words[1] : NULL, err);
}

static enum outcome general_options(struct tool *t, int argc, char **argv, bool *version, struct error *err)
{
	static const struct option longs[] = {
	    {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "+:c:vnVh", longs, NULL)) != -1) {
		switch (option) {
		case 'c':
			t->given = optarg;
			break;
		case 'v':
			t->verbose = true;
			break;
		case 'n':
			t->dry_run = true;
			break;
		case 'V':
			*version = true;
			break;
		case 'h':
			t->help = true;
			break;
		case ':':
			return error_set(err, EX_USAGE, "the option -%c needs a value", optopt);
		default:
			return error_set(err, EX_USAGE,
			    "there is no option %s before the command (see `packetboat help`)", argv[optind - 1]);
		}
	}
	t->words = argv + optind;
	t->count = argc - optind;
	return OUTCOME_DONE;
}

static enum outcome perform(struct tool *t, int argc, char **argv, struct error *err)
{
	bool version = false;
	enum outcome outcome = general_options(t, argc, argv, &version, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	if (version) {
		puts("packetboat " PACKETBOAT_VERSION);
		return OUTCOME_DONE;
	}
	if (t->count == 0 && t->help) {
		help_all();
		return OUTCOME_DONE;
	}
	if (t->count == 0)
		return error_set(
		    err, EX_USAGE, "say what to do: packetboat [-c CONF] COMMAND ... (see `packetboat help`)");
	if (sodium_init() < 0)
		return error_set(err, EX_OSERR, "libsodium cannot be initialised");
	outcome = command_find(t, err);
	if (outcome == OUTCOME_DONE)
		outcome = t->command->run(t, err);
	return outcome;
}

int main(int argc, char **argv)
{
	struct tool t = {.code = EX_OK};
	struct error err = ERROR_NONE;
	enum outcome outcome = perform(&t, argc, argv, &err);

	if (outcome != OUTCOME_DONE && err.outcome == OUTCOME_DONE && t.help)
		help_one(t.command);
	else if (outcome != OUTCOME_DONE)
		tool_say_error(&t, &err);
	tool_release(&t);
	if ((fflush(stdout) != 0 || ferror(stdout)) && t.code == EX_OK) {
		tool_say("cannot write to standard output");
		t.code = EX_IOERR;
	}
	return t.code;
}
