/*
 * packetboat-fetch: option parsing and wiring. packetboat-fetch(8) is its manual.
 */
#include <getopt.h>
#include <sodium.h>

#include "bridge-pop3/fetch.h"
#include "lib/net_start.h"

static const char usage[] = "usage: packetboat-fetch [-v] [-c CONF] [NAME ...]\n";

int main(int argc, char **argv)
{
	struct fetch_start start = {0};
	struct error err = ERROR_NONE;
	int option;

	while ((option = getopt(argc, argv, "c:vV")) != -1) {
		switch (option) {
		case 'c':
			start.config_path = optarg;
			break;
		case 'v':
			start.verbose = true;
			break;
		case 'V':
			puts("packetboat-fetch " PACKETBOAT_VERSION);
			return EX_OK;
		default:
			fputs(usage, stderr);
			return EX_USAGE;
		}
	}
	start.names = argv + optind;
	start.name_count = (size_t)(argc - optind);
	if (sodium_init() < 0) {
		fputs("packetboat-fetch: libsodium cannot be initialised\n", stderr);
		return EX_OSERR;
	}
	start.config_path = config_path(start.config_path);
	return server_leave("fetch", fetch_run(&start, &err), &err);
}
