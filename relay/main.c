/*
 * packetboat-relay: option parsing and wiring. packetboat-relay(8) is its manual.
 */
#include <getopt.h>
#include <sodium.h>

#include "lib/daemon.h"
#include "lib/origin.h"
#include "relay/calls.h"
#include "relay/listen.h"
#include "relay/pass.h"

static const char usage[] = "usage: packetboat-relay [-v] [-c CONF] run\n"
			    "       packetboat-relay [-v] [-c CONF] call [--over-caps] NEIGHBOUR\n"
			    "       packetboat-relay [-v] [-c CONF] listen [--foreground]\n"
			    "       packetboat-relay [-v] [-c CONF] answer\n"
			    "       packetboat-relay [-v] [-c CONF] import DIR\n"
			    "       packetboat-relay [-v] [-c CONF] export NEIGHBOUR DIR\n";

struct invocation {
	const char *config_path;
	bool verbose;
	char **words; /* the command and its arguments */
	int count;
};

/* Whoever is at standard input: an address, where it can be told. */
static enum outcome answer(struct relay *r, struct error *err)
{
	const char *ssh = getenv("SSH_CONNECTION"); /* ssh(1): address and port of the client, of the server */
	char peer[PEER_TEXT];

	peer_of_stdin(peer);
	if (strcmp(peer, "local") == 0 && ssh != NULL)
		snprintf(peer, sizeof peer, "%.*s", (int)strcspn(ssh, " "), ssh);
	return calls_answer(
	    r, STDIN_FILENO, STDOUT_FILENO, strcmp(peer, "local") == 0 ? "standard input" : peer, err);
}

static bool is_command(const struct invocation *v, const char *name, int count)
{
	return v->count == count && strcmp(v->words[0], name) == 0;
}

static enum outcome run_command(struct relay *r, const struct invocation *v, struct strings *due, struct error *err)
{
	if (is_command(v, "run", 1))
		return pass_run(r, due, err);
	if (is_command(v, "import", 2))
		return pass_import(r, v->words[1], err);
	if (is_command(v, "export", 3))
		return pass_export(r, v->words[1], v->words[2], err);
	if (is_command(v, "call", 2))
		return calls_make(r, v->words[1], CALL_BY_HAND, err);
	if (is_command(v, "call", 3) && strcmp(v->words[1], "--over-caps") == 0)
		return calls_make(r, v->words[2], CALL_OVER_CAPS, err);
	if (is_command(v, "answer", 1))
		return answer(r, err);
	return error_set(err, EX_USAGE, "\"%s\" is no command, or not with that many words\n%s", v->words[0], usage);
}

/* Whatever works on the spool once and ends. */
static int run_once(const struct invocation *v)
{
	struct error err = ERROR_NONE;
	struct strings due = {0};
	struct relay r;
	int code = EX_OK;

	if (relay_open(&r, v->config_path, v->verbose, &err) != OUTCOME_DONE)
		return relay_leave(&err);
	if (run_command(&r, v, &due, &err) != OUTCOME_DONE)
		code = relay_leave(&err);
	else if (r.trouble.outcome != OUTCOME_DONE)
		code = relay_leave(&r.trouble);
	relay_close(&r);
	/* Calls may last: no lock is held meanwhile but of those that are called. */
	if (due.count > 0) {
		int worst = calls_run(v->config_path, v->verbose, &due);

		code = code == EX_OK ? worst : code;
	}
	strings_release(&due);
	return code;
}

static int run_listen(const struct invocation *v)
{
	struct listen_start start = {v->config_path, v->verbose, true};
	struct error err = ERROR_NONE;

	if (v->count == 2 && strcmp(v->words[1], "--foreground") == 0) {
		start.detach = false;
	} else if (v->count != 1) {
		fputs(usage, stderr);
		return EX_USAGE;
	}
	return listen_serve(&start, &err) == OUTCOME_DONE ? EX_OK : relay_leave(&err);
}

int main(int argc, char **argv)
{
	struct invocation v = {.config_path = NULL};
	int option;

	while ((option = getopt(argc, argv, "+c:vV")) != -1) {
		switch (option) {
		case 'c':
			v.config_path = optarg;
			break;
		case 'v':
			v.verbose = true;
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
	/* A pass holds four for each neighbour. */
	daemon_raise_files();
	v.words = argv + optind;
	v.count = argc - optind;
	v.config_path = config_path(v.config_path);
	return strcmp(v.words[0], "listen") == 0 ? run_listen(&v) : run_once(&v);
}
