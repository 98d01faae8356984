#include "relay/calls.h"

#include <sys/resource.h>

#include "tests/unit/relay_kit.h"

#define BAD_KEY "neighbour \"d\" { key = \"pb1.nonsense\"\ncall = { \"tcp:127.0.0.1:9\" }\n}\n"

/* Whoever calls hears why a neighbour cannot be worked on; of somebody else's work nothing is told that nobody asked for. */
Test(calls, a_neighbour_that_cannot_be_worked_on)
{
	static const struct {
		const char *name;
		int code;
		const char *says;
		bool trouble;
	} cases[] = {
	    {"b", EX_TEMPFAIL, "another process works on b", false},
	    {"c", EX_DATAERR, "cannot open the lock", true},
	    {"d", EX_CONFIG, "key", true},
	    {"nobody", EX_DATAERR, "no neighbour \"nobody\"", false},
	};
	struct net net = net_open();
	struct relay other;
	struct neighbour *n;
	char *lock;

	net_host(&net, "a", "b c", BAD_KEY);
	net_done(&net, net_relay(&net, "a", &other));
	net_done(&net, relay_neighbour(&other, "b", &n, &net.err));
	lock = net_path(&net, "a", "spool/lock/neighbour-c");
	cr_assert_eq(symlink(lock, lock), 0);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct relay r;

		net_done(&net, net_relay(&net, "a", &r));
		for (int again = 0; again < 2; again++) {
			struct error err = ERROR_NONE;

			cr_expect_neq(calls_make(&r, cases[i].name, CALL_DUE, &err), OUTCOME_DONE);
			cr_expect_eq(err.code, cases[i].code, "%s: %d", cases[i].name, err.code);
			cr_expect_not_null(strstr(err.text, cases[i].says), "%s: %s", cases[i].name, err.text);
			cr_expect_eq(r.trouble.outcome != OUTCOME_DONE, cases[i].trouble, "%s", cases[i].name);
		}
		relay_close(&r);
	}
	/* The bad key once; a lock is tried, and told of, again. */
	cr_expect_eq(net_log(&net, "a", " trouble "), 3);
	relay_close(&other);
	free(lock);
	net_close(&net);
}

/* Leaves with the code of calls that nobody can begin: the user has no process left. */
static _Noreturn void without_processes(const char *conf)
{
	const struct rlimit none = {0, 0};
	struct strings names = {0};

	strings_add(&names, "b");
	/* Root has as many as it wants. */
	if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
		_exit(EX_OK);
	if (setrlimit(RLIMIT_NPROC, &none) != 0)
		_exit(EX_OK);
	_exit(calls_run(conf, false, &names));
}

Test(calls, one_that_gets_no_process_is_told)
{
	struct net net = net_open();
	char *conf;
	pid_t child;
	int status = 0;

	net_host(&net, "a", "b", "");
	conf = net_path(&net, "a", "packetboat.conf");
	if (geteuid() == 0)
		net_run("chown -R 65534", net.root, conf);
	child = fork();
	cr_assert_geq(child, 0);
	if (child == 0)
		without_processes(conf);
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) != EX_OK);
	cr_expect_eq(net_log(&net, "a", "b trouble "), 1);
	free(conf);
	net_close(&net);
}
