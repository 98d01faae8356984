#include "lib/net_start.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "lib/daemon.h"

enum { OPTION_FOREGROUND = 256, OPTION_STDIO };

static const struct option long_options[] = {
    {"foreground", no_argument, NULL, OPTION_FOREGROUND},
    {"stdio", optional_argument, NULL, OPTION_STDIO},
    {NULL, 0, NULL, 0},
};

static int usage(const char *name, const char *const *services)
{
	fprintf(stderr,
	    "usage: packetboat-%s [-v] [-c CONF] [--foreground]\n"
	    "       packetboat-%s [-v] [-c CONF] --stdio[=SERVICE]\n"
	    "SERVICE is %s",
	    name, name, services[0]);
	for (size_t i = 1; services[i] != NULL; i++)
		fprintf(stderr, "%s%s", services[i + 1] == NULL ? " or " : ", ", services[i]);
	fputs(".\n", stderr);
	return EX_USAGE;
}

static bool service_read(struct server_start *start, const char *const *services, const char *text)
{
	start->alone = true;
	for (start->service = 0; services[start->service] != NULL; start->service++)
		if (text == NULL || strcmp(text, services[start->service]) == 0)
			return true;
	return false;
}

int server_options_read(
    struct server_start *start, const char *name, const char *const *services, int argc, char **argv)
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
			printf("packetboat-%s %s\n", name, PACKETBOAT_VERSION);
			return EX_OK;
		case OPTION_FOREGROUND:
			start->terminal = SERVER_STAY;
			break;
		case OPTION_STDIO:
			if (!service_read(start, services, optarg))
				return usage(name, services);
			break;
		default:
			return usage(name, services);
		}
	}
	return optind == argc ? -1 : usage(name, services);
}

enum outcome server_begin(
    struct server *s, const struct server_start *start, const struct server_plan *plan, struct error *err)
{
	void *context = server_context(s);
	enum outcome outcome = OUTCOME_DONE;

	if (!start->alone)
		outcome = server_listen(s, plan->listen, plan->listen_count, err);
	if (outcome == OUTCOME_DONE && !plan->own_key)
		outcome = plan->load_tls(context, err);
	if (outcome == OUTCOME_DONE && !start->alone)
		outcome = server_become(s, plan->user, plan->group, start->terminal, err);
	if (outcome == OUTCOME_DONE)
		outcome = daemon_become_owner(plan->spool, err);
	if (outcome == OUTCOME_DONE && plan->own_key)
		outcome = plan->load_tls(context, err);
	if (outcome == OUTCOME_DONE && start->alone)
		outcome = server_alone(s, err);
	return outcome == OUTCOME_DONE ? plan->load_rest(context, start->verbose, err) : outcome;
}

int server_leave(const char *name, enum outcome outcome, const struct error *err)
{
	if (outcome == OUTCOME_DONE)
		return EX_OK;
	if (err->text[0] != '\0')
		fprintf(stderr, "packetboat-%s: %s\n", name, err->text);
	return err->code != EX_OK ? err->code : EX_TEMPFAIL;
}
