/*
 * packetboat-relay: option parsing and wiring. packetboat-relay(8) is its manual.
 */
#include <getopt.h>
#include <sodium.h>

#include "relay/pass.h"

static const char usage[] = "usage: packetboat-relay [-v] [-c CONF] run\n"
			    "       packetboat-relay [-v] [-c CONF] import DIR\n"
			    "       packetboat-relay [-v] [-c CONF] export NEIGHBOUR DIR\n";

static enum outcome run_command(struct relay *r, int count, char **words, struct error *err)
{
	if (count == 1 && strcmp(words[0], "run") == 0)
		return pass_run(r, err);
	if (count == 2 && strcmp(words[0], "import") == 0)
		return pass_import(r, words[1], err);
	if (count == 3 && strcmp(words[0], "export") == 0)
		return pass_export(r, words[1], words[2], err);
	return error_set(err, EX_USAGE, "\"%s\" is no command, or not with that many words\n%s", words[0], usage);
}

static int leave(const struct error *err)
{
	if (err->text[0] != '\0')
		fprintf(stderr, "packetboat-relay: %s\n", err->text);
	return err->code != EX_OK ? err->code : EX_TEMPFAIL;
}

int main(int argc, char **argv)
{
	const char *config = NULL;
	struct error err = ERROR_NONE;
	struct relay r;
	bool verbose = false;
	int code = EX_OK;
	int option;

	while ((option = getopt(argc, argv, "+c:vV")) != -1) {
		switch (option) {
		case 'c':
			config = optarg;
			break;
		case 'v':
			verbose = true;
			break;
		case 'V':
			puts("packetboat-relay " PACKETBOAT_VERSION);
			return EX_OK;
		default:
			fputs(usage, stderr);
			return EX_USAGE;
		}
	}
	if (optind == argc) {
		fputs(usage, stderr);
		return EX_USAGE;
	}
	if (sodium_init() < 0) {
		fputs("packetboat-relay: libsodium cannot be initialised\n", stderr);
		return EX_OSERR;
	}
	if (relay_open(&r, config_path(config), verbose, &err) != OUTCOME_DONE)
		return leave(&err);
	if (run_command(&r, argc - optind, argv + optind, &err) != OUTCOME_DONE)
		code = leave(&err);
	else if (r.trouble.outcome != OUTCOME_DONE)
		code = leave(&r.trouble);
	relay_close(&r);
	return code;
}
