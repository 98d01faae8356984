/*
 * packetboat-pop3d: option parsing and wiring. packetboat-pop3d(8) is its manual.
 */
#include <sodium.h>

#include "bridge-pop3/pop3d.h"

int main(int argc, char **argv)
{
	struct server_start start = {.terminal = SERVER_DETACH};
	struct error err = ERROR_NONE;
	int code = server_options_read(&start, "pop3d", pop3d_services, argc, argv);

	if (code >= 0)
		return code;
	if (sodium_init() < 0) {
		fputs("packetboat-pop3d: libsodium cannot be initialised\n", stderr);
		return EX_OSERR;
	}
	start.config_path = config_path(start.config_path);
	return server_leave("pop3d", pop3d_serve(&start, &err), &err);
}
