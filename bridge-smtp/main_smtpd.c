/*
 * packetboat-smtpd: option parsing and wiring. packetboat-smtpd(8) is its manual.
 */
#include <getopt.h>
#include <sodium.h>

#include "bridge-smtp/smtpd.h"

static const char usage[] = "usage: packetboat-smtpd [-v] [-c CONF] [--foreground]\n"
			    "       packetboat-smtpd [-v] [-c CONF] --stdio[=SERVICE]\n"
			    "SERVICE is smtp, submission, submissions or lmtp.\n";

enum { OPTION_FOREGROUND = 256, OPTION_STDIO };

static const struct option long_options[] = {
    {"foreground", no_argument, NULL, OPTION_FOREGROUND},
    {"stdio", optional_argument, NULL, OPTION_STDIO},
    {NULL, 0, NULL, 0},
};

static bool service_read(struct smtpd_start *start, const char *name)
{
	char text[32];
	const char *rest;

	start->alone = true;
	if (name == NULL || strcmp(name, "smtp") == 0)
		return true;
	snprintf(text, sizeof text, "%s:", name);
	start->service = listen_service(text, &rest);
	return start->service != LISTEN_SMTP;
}

/* The exit status to leave with at once, or -1. */
static int options_read(struct smtpd_start *start, int argc, char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, "c:vV", long_options, NULL)) != -1) {
		bool good = true;

		switch (option) {
		case 'c':
			start->config_path = optarg;
			break;
		case 'v':
			start->verbose = true;
			break;
		case 'V':
			puts("packetboat-smtpd " PACKETBOAT_VERSION);
			return EX_OK;
		case OPTION_FOREGROUND:
			start->terminal = SERVER_STAY;
			break;
		case OPTION_STDIO:
			good = service_read(start, optarg);
			break;
		default:
			good = false;
		}
		if (!good) {
			fputs(usage, stderr);
			return EX_USAGE;
		}
	}
	if (optind == argc)
		return -1;
	fputs(usage, stderr);
	return EX_USAGE;
}

int main(int argc, char **argv)
{
	struct smtpd_start start = {.terminal = SERVER_DETACH};
	struct error err = ERROR_NONE;
	enum outcome outcome;
	int code = options_read(&start, argc, argv);

	if (code >= 0)
		return code;
	if (sodium_init() < 0) {
		fputs("packetboat-smtpd: libsodium cannot be initialised\n", stderr);
		return EX_OSERR;
	}
	start.config_path = config_path(start.config_path);
	outcome = smtpd_serve(&start, &err);
	if (outcome == OUTCOME_DONE)
		return EX_OK;
	if (err.text[0] != '\0')
		fprintf(stderr, "packetboat-smtpd: %s\n", err.text);
	return err.code != EX_OK ? err.code : EX_TEMPFAIL;
}
