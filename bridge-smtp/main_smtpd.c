/*
 * packetboat-smtpd: option parsing and wiring. packetboat-smtpd(8) is its manual.
 */
#include <sodium.h>

#include "bridge-smtp/smtpd.h"

int main(int argc, char **argv)
{
	struct server_start start = {.terminal = SERVER_DETACH};
	struct error err = ERROR_NONE;
	int code = server_options_read(&start, "smtpd", smtpd_services, argc, argv);

	if (code >= 0)
		return code;
	if (sodium_init() < 0) {
		fputs("packetboat-smtpd: libsodium cannot be initialised\n", stderr);
		return EX_OSERR;
	}
	start.config_path = config_path(start.config_path);
	return server_leave("smtpd", smtpd_serve(&start, &err), &err);
}
