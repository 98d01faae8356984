/*
 * packetboat-smtp: option parsing and wiring. packetboat-smtp(8) is its manual.
 */
#include <getopt.h>
#include <sodium.h>

#include "bridge-smtp/courier.h"
#include "lib/net_start.h"

static const char usage[] = "usage: packetboat-smtp [-v] [-c CONF] [--foreground]\n"
			    "       packetboat-smtp [-v] [-c CONF] --once\n";

enum { OPTION_FOREGROUND = 256, OPTION_ONCE };

static const struct option long_options[] = {
    {"foreground", no_argument, NULL, OPTION_FOREGROUND},
    {"once", no_argument, NULL, OPTION_ONCE},
    {NULL, 0, NULL, 0},
};

/* The exit status to leave with at once, or -1. */
static int options_read(struct courier_start *start, int argc, char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, "c:vV", long_options, NULL)) != -1) {
		switch (option) {
		case 'c':
			start->config_path = optarg;
			break;
		case 'v':
			start->verbose = true;
			break;
		case 'V':
			puts("packetboat-smtp " PACKETBOAT_VERSION);
			return EX_OK;
		case OPTION_FOREGROUND:
			start->detach = false;
			break;
		case OPTION_ONCE:
			start->mode = COURIER_ONCE;
			start->detach = false;
			break;
		default:
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
	struct courier_start start = {.detach = true};
	struct error err = ERROR_NONE;
	enum outcome outcome;
	bool again = true;
	int code = options_read(&start, argc, argv);

	if (code >= 0)
		return code;
	if (sodium_init() < 0) {
		fputs("packetboat-smtp: libsodium cannot be initialised\n", stderr);
		return EX_OSERR;
	}
	start.config_path = config_path(start.config_path);
	do {
		outcome = courier_run(&start, &again, &err);
		start.detach = false; /* it has left the terminal already */
	} while (again);
	return server_leave("smtp", outcome, &err);
}
