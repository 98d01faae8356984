#include "lib/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "lib/file.h"

/* Room for what is known of a user: a few short texts. */
#define USER_ENTRY 4096

/* The end of the pipe at which the waiting parent listens; -1: nobody waits. */
static int waiting_parent = -1;

/* Stays until the child says that it is ready, or dies; leaves with its status. */
static _Noreturn void wait_for_start(pid_t child, int from_child)
{
	char byte;
	int status;
	ssize_t count;

	while ((count = read(from_child, &byte, 1)) < 0 && errno == EINTR)
		;
	if (count == 1)
		_exit(EX_OK);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			_exit(EX_OSERR);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE);
}

/* Standard input and output are closed to the terminal at once; standard error tells of a failing start until
 * daemon_ready. */
static enum outcome leave_input_and_output(struct error *err)
{
	int null;
	enum outcome outcome = file_open_null(&null, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	(void)dup2(null, STDIN_FILENO);
	(void)dup2(null, STDOUT_FILENO);
	if (null > STDERR_FILENO)
		close(null);
	return OUTCOME_DONE;
}

enum outcome daemon_detach(struct error *err)
{
	int ends[2];
	pid_t child;

	fflush(NULL);
	if (pipe2(ends, O_CLOEXEC) != 0)
		return error_errno(err, errno, "cannot leave the terminal");
	child = fork();
	if (child < 0) {
		enum outcome outcome = error_errno(err, errno, "cannot leave the terminal");

		close(ends[0]);
		close(ends[1]);
		return outcome;
	}
	if (child > 0) {
		close(ends[1]);
		wait_for_start(child, ends[0]);
	}
	close(ends[0]);
	setsid();
	waiting_parent = ends[1];
	return leave_input_and_output(err);
}

void daemon_ready(void)
{
	daemon_notify("READY=1");
	if (waiting_parent < 0)
		return;
	(void)dup2(STDOUT_FILENO, STDERR_FILENO);
	(void)!write(waiting_parent, "", 1);
	close(waiting_parent);
	waiting_parent = -1;
}

void daemon_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = path == NULL ? 0 : strlen(path);
	int fd;

	if (length < 2 || length >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(address.sun_path, path, length);
	/* A name of the abstract kind begins with a NUL and has no end but its length. */
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
	close(fd);
}

/* ---- users ----------------------------------------------------------------------------------------------- */

static enum outcome find_user(const char *user, const char *group, uid_t *uid, gid_t *gid, struct error *err)
{
	const struct passwd *entry;
	const struct group *other;

	errno = 0;
	entry = getpwnam(user);
	if (entry == NULL)
		return error_set(err, EX_CONFIG, "cannot become %s: there is no such user%s%s", user,
		    errno == 0 ? "" : ": ", errno == 0 ? "" : strerror(errno));
	*uid = entry->pw_uid;
	*gid = entry->pw_gid;
	if (group == NULL)
		return OUTCOME_DONE;
	errno = 0;
	other = getgrnam(group);
	if (other == NULL)
		return error_set(err, EX_CONFIG, "cannot become %s: there is no group %s%s%s", user, group,
		    errno == 0 ? "" : ": ", errno == 0 ? "" : strerror(errno));
	*gid = other->gr_gid;
	return OUTCOME_DONE;
}

enum outcome daemon_known(const char *user, const char *group, uid_t *uid, struct error *err)
{
	gid_t gid;

	return find_user(user, group, uid, &gid, err);
}

bool daemon_user_name(uid_t uid, char out[static DAEMON_USER])
{
	char text[USER_ENTRY];
	struct passwd entry;
	struct passwd *user = NULL;

	(void)getpwuid_r(uid, &entry, text, sizeof text, &user);
	if (user != NULL)
		snprintf(out, DAEMON_USER, "%s", user->pw_name);
	else
		snprintf(out, DAEMON_USER, "%lu", (unsigned long)uid);
	return user != NULL;
}

/* Groups first: without root they cannot be changed any more. USER null: one without a name, who is in no other group. */
static enum outcome become(const char *user, uid_t uid, gid_t gid, struct error *err)
{
	int grouped = user != NULL ? initgroups(user, gid) : setgroups(1, &gid);

	if (user == NULL)
		user = "the owner";
	if (grouped != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
		return error_errno(err, errno, "cannot become %s", user);
	if (uid != 0 && setuid(0) == 0)
		return error_set(err, EX_OSERR, "cannot become %s for good: root can be had back", user);
	return OUTCOME_DONE;
}

enum outcome daemon_become_owner(const char *path, struct error *err)
{
	const struct passwd *owner;
	struct stat st;

	if (geteuid() != 0 || stat(path, &st) != 0 || st.st_uid == 0)
		return OUTCOME_DONE;
	owner = getpwuid(st.st_uid);
	return become(
	    owner == NULL ? NULL : owner->pw_name, st.st_uid, owner == NULL ? st.st_gid : owner->pw_gid, err);
}

enum outcome daemon_become(const char *user, const char *group, struct error *err)
{
	uid_t uid = 0;
	gid_t gid = 0;
	enum outcome outcome = find_user(user, group, &uid, &gid, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	if (geteuid() != 0) {
		if (geteuid() == uid)
			return OUTCOME_DONE;
		return error_set(
		    err, EX_NOPERM, "cannot become %s: only root can; start it as root or as %s", user, user);
	}
	return become(user, uid, gid, err);
}

enum outcome daemon_own(const char *path, const char *user, const char *group, struct error *err)
{
	uid_t uid = 0;
	gid_t gid = 0;
	enum outcome outcome = find_user(user, group, &uid, &gid, err);

	if (outcome != OUTCOME_DONE || geteuid() != 0)
		return outcome;
	return lchown(path, uid, gid) == 0 ? OUTCOME_DONE
					   : error_errno(err, errno, "cannot give %s to %s", path, user);
}

/* ---- limits ---------------------------------------------------------------------------------------------- */

unsigned long daemon_raise_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 0;
	if (limit.rlim_cur < limit.rlim_max) {
		rlim_t before = limit.rlim_cur;

		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
			return before;
	}
	return limit.rlim_cur;
}

const char *daemon_end_reason(int number)
{
	switch (number) {
	case SIGTERM:
		return "signal SIGTERM";
	case SIGINT:
		return "signal SIGINT";
	default:
		return number == 0 ? "nothing is left to wait for" : "a signal";
	}
}

void daemon_ignore_pipe(void)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	sigaction(SIGPIPE, &ignore, NULL);
}
