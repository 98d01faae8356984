#include "tests/unit/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "lib/daemon.h"

/* What the child of daemon_detach does. */
enum start { START_READY, START_FAILS, START_DIES };

static void start(enum start how, int report)
{
	char text[200];
	struct stat in, out, null;
	int length;

	if (daemon_detach(NULL) != OUTCOME_DONE)
		_exit(99);
	if (how == START_FAILS)
		_exit(EX_CONFIG);
	if (how == START_DIES)
		raise(SIGKILL);
	if (fstat(0, &in) != 0 || fstat(1, &out) != 0 || stat("/dev/null", &null) != 0)
		_exit(98);
	daemon_ready();
	daemon_ready();
	fstat(2, &out);
	length = snprintf(text, sizeof text, "%d %d %d", getsid(0) == getpid(), in.st_rdev == null.st_rdev,
	    out.st_rdev == null.st_rdev);
	(void)!write(report, text, (size_t)length);
	_exit(0);
}

Test(daemon, the_parent_tells_how_the_start_went)
{
	static const int codes[] = {[START_READY] = 0, [START_FAILS] = EX_CONFIG, [START_DIES] = EX_SOFTWARE};

	for (enum start how = START_READY; how <= START_DIES; how++) {
		int ends[2];
		int status;
		pid_t child;
		char got[20] = "";

		cr_assert_eq(pipe(ends), 0);
		child = fork();
		if (child == 0)
			start(how, ends[1]);
		close(ends[1]);
		cr_assert_eq(waitpid(child, &status, 0), child);
		cr_assert(WIFEXITED(status));
		cr_assert_eq(WEXITSTATUS(status), codes[how], "%d: %d", how, WEXITSTATUS(status));
		/* The end of the pipe is the end of the daemon. */
		cr_assert_geq(read(ends[0], got, sizeof got - 1), 0);
		cr_assert_str_eq(got, how == START_READY ? "1 1 1" : "", "session, input, standard error");
		close(ends[0]);
	}
}

Test(daemon, systemd_is_told)
{
	struct dir d = scratch_open();
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char *path = mem_format("%s/notify", d.path);
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	char got[100] = "";

	unsetenv("NOTIFY_SOCKET");
	daemon_notify("READY=1");
	memcpy(address.sun_path, path, strlen(path));
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	setenv("NOTIFY_SOCKET", path, 1);
	daemon_ready();
	cr_assert_eq(recv(fd, got, sizeof got, MSG_DONTWAIT), 7);
	cr_assert_eq(strncmp(got, "READY=1", 7), 0);
	daemon_notify("STOPPING=1");
	cr_assert_eq(recv(fd, got, sizeof got, MSG_DONTWAIT), 10);
	close(fd);
	/* A name of the abstract kind. */
	fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	address = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "packetboat-test-%d", (int)getpid());
	cr_assert_eq(bind(fd, (struct sockaddr *)&address,
			 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(address.sun_path + 1))),
	    0);
	address.sun_path[0] = '@';
	setenv("NOTIFY_SOCKET", address.sun_path, 1);
	daemon_notify("RELOADING=1");
	cr_assert_eq(recv(fd, got, sizeof got, MSG_DONTWAIT), 11);
	close(fd);
	setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
	daemon_notify("READY=1");
	unsetenv("NOTIFY_SOCKET");
	free(path);
	scratch_close(&d);
}

Test(daemon, becomes_who_there_is)
{
	struct error err = ERROR_NONE;
	const struct passwd *me = getpwuid(geteuid());
	char *name = me == NULL ? NULL : mem_string(me->pw_name);

	cr_assert_neq(daemon_become("nobody-of-this-name", NULL, &err), OUTCOME_DONE);
	cr_assert_eq(err.code, EX_CONFIG);
	cr_assert_str_eq(err.text, "cannot become nobody-of-this-name: there is no such user");
	if (name == NULL)
		return;
	cr_assert_neq(daemon_become(name, "no-such-group", &err), OUTCOME_DONE);
	cr_assert_eq(err.code, EX_CONFIG);
	cr_assert_not_null(strstr(err.text, "there is no group no-such-group"), "%s", err.text);
	cr_assert_eq(daemon_become(name, NULL, &err), OUTCOME_DONE, "%s", err.text);
	free(name);
}

Test(daemon, root_is_given_up_for_good)
{
	int status;
	pid_t child;

	if (geteuid() != 0 || getpwnam("nobody") == NULL)
		return;
	child = fork();
	if (child == 0) {
		uid_t real, effective, saved;

		if (daemon_become("nobody", NULL, NULL) != OUTCOME_DONE)
			_exit(1);
		if (getresuid(&real, &effective, &saved) != 0 || real == 0 || effective == 0 || saved == 0)
			_exit(2);
		if (setuid(0) == 0 || setgid(0) == 0)
			_exit(3);
		if (daemon_become("root", NULL, NULL) == OUTCOME_DONE)
			_exit(4);
		if (daemon_become("nobody", NULL, NULL) != OUTCOME_DONE)
			_exit(5);
		_exit(0);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert_eq(status, 0, "%d", WEXITSTATUS(status));
}

Test(daemon, files_are_raised_to_the_limit)
{
	struct rlimit limit;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 64;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	cr_assert_eq(daemon_raise_files(), limit.rlim_max);
	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	cr_assert_eq(limit.rlim_cur, limit.rlim_max);
}

Test(daemon, a_closed_pipe_does_not_kill)
{
	int ends[2];

	daemon_ignore_pipe();
	cr_assert_eq(pipe(ends), 0);
	close(ends[0]);
	cr_assert_eq(write(ends[1], "x", 1), -1);
	cr_assert_eq(errno, EPIPE);
	close(ends[1]);
}
