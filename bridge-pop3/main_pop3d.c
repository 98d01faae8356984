/*
 * packetboat-pop3d: option parsing and wiring. packetboat-pop3d(8) is its manual.
 */
#include <getopt.h>
#include <sodium.h>

#include "bridge-pop3/pop3d.h"

static const char usage[] = "usage: packetboat-pop3d [-v] [-c CONF] [--foreground]\n"
			    "       packetboat-pop3d [-v] [-c CONF] --stdio[=SERVICE]\n"
			    "SERVICE is pop3 or pop3s.\n";

enum { OPTION_FOREGROUND = 256, OPTION_STDIO };

static const struct option long_options[] = {
    {"foreground", no_argument, NULL, OPTION_FOREGROUND},
    {"stdio", optional_argument, NULL, OPTION_STDIO},
    {NULL, 0, NULL, 0},
};

struct invocation {
	struct pop3d_start start;
	enum listen_pop3 service;
	bool stdio;
};

static bool service_read(struct invocation *v, const char *name)
{
	char text[32];
	const char *rest;

	v->stdio = true;
	if (name == NULL || strcmp(name, "pop3") == 0)
		return true;
	snprintf(text, sizeof text, "%s:", name);
	v->service = listen_pop3(text, &rest);
	return v->service != LISTEN_POP3;
}

/* The exit status to leave with at once, or -1. */
static int options_read(struct invocation *v, int argc, char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, "c:vV", long_options, NULL)) != -1) {
		bool good = true;

		switch (option) {
		case 'c':
			v->start.config_path = optarg;
			break;
		case 'v':
			v->start.verbose = true;
			break;
		case 'V':
			puts("packetboat-pop3d " PACKETBOAT_VERSION);
			return EX_OK;
		case OPTION_FOREGROUND:
			v->start.terminal = SERVER_STAY;
			break;
		case OPTION_STDIO:
			good = service_read(v, optarg);
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
	struct invocation v = {.start.terminal = SERVER_DETACH};
	struct error err = ERROR_NONE;
	enum outcome outcome;
	int code = options_read(&v, argc, argv);

	if (code >= 0)
		return code;
	if (sodium_init() < 0) {
		fputs("packetboat-pop3d: libsodium cannot be initialised\n", stderr);
		return EX_OSERR;
	}
	v.start.config_path = config_path(v.start.config_path);
	outcome = v.stdio ? pop3d_serve_stdio(&v.start, v.service, &err) : pop3d_serve(&v.start, &err);
	if (outcome == OUTCOME_DONE)
		return EX_OK;
	if (err.text[0] != '\0')
		fprintf(stderr, "packetboat-pop3d: %s\n", err.text);
	return err.code != EX_OK ? err.code : EX_TEMPFAIL;
}
