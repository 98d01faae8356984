#include "tests/unit/scratch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "lib/listen.h"

static void close_fds(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
}

static char *name_of(int fd)
{
	struct buf b;

	buf_init(&b, 300);
	listen_name(fd, &b);
	return buf_detach(&b);
}

Test(listen, tells_addresses_from_nonsense)
{
	static const char *const good[] = {"127.0.0.1:25", "[::1]:587", "*:25", "mail.example.org:2525",
	    "localhost:0", "/run/packetboat/lmtp", "[fe80::1%eth0]:25", "a_b-c:65535"};
	static const char *const bad[] = {"", ":25", "25", "localhost", "localhost:", "localhost:65536",
	    "localhost:x", "::1:25", "[]:25", "[::1]", "[::1:25", "*", "*:", "a b:25", "run/socket", "/", "/run/",
	    "localhost:25 ", "localhost:-1", "localhost:000025"};
	char *longest = mem_format("/%0*d", 106, 0);
	char *longer = mem_format("/%0*d", 107, 0);

	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		cr_assert(listen_address_valid(good[i]), "%s", good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_assert_not(listen_address_valid(bad[i]), "%s", bad[i]);
	cr_assert(listen_address_valid(longest));
	cr_assert_not(listen_address_valid(longer));
	free(longest);
	free(longer);
}

Test(listen, listens_at_an_address)
{
	struct error err = ERROR_NONE;
	int fds[4], more[4];
	size_t count, count2;
	char *name;
	int client = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in address;
	socklen_t length = sizeof address;

	cr_assert_eq(listen_open("127.0.0.1:0", 0, fds, 4, &count, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(count, 1);
	cr_assert(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
	cr_assert(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
	cr_assert_eq(accept(fds[0], NULL, NULL), -1);
	cr_assert_eq(errno, EAGAIN);
	cr_assert_eq(getsockname(fds[0], (struct sockaddr *)&address, &length), 0);
	cr_assert_eq(connect(client, (struct sockaddr *)&address, sizeof address), 0);
	name = name_of(fds[0]);
	cr_assert_eq(strncmp(name, "127.0.0.1:", 10), 0, "%s", name);
	cr_assert(listen_address_valid(name));
	/* Twice at the same place. */
	cr_assert_neq(listen_open(name, 0, more, 4, &count2, &err), OUTCOME_DONE);
	cr_assert_eq(count2, 0);
	cr_assert_eq(err.code, EX_TEMPFAIL);
	cr_assert_not_null(strstr(err.text, "another program"), "%s", err.text);
	cr_assert_not_null(strstr(err.text, name), "%s", err.text);
	/* Again at once, although a connection of before is dying. */
	close_fds(fds, count);
	close(client);
	cr_assert_eq(listen_open(name, 0, fds, 4, &count, &err), OUTCOME_DONE, "%s", err.text);
	close_fds(fds, count);
	free(name);
}

Test(listen, all_addresses_share_a_port)
{
	struct error err = ERROR_NONE;
	int fds[4];
	size_t count;
	uint16_t port = 0;

	cr_assert_eq(listen_open("*:0", 0, fds, 4, &count, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert(count == 1 || count == 2);
	for (size_t i = 0; i < count; i++) {
		struct sockaddr_storage address;
		socklen_t length = sizeof address;
		uint16_t mine;

		cr_assert_eq(getsockname(fds[i], (struct sockaddr *)&address, &length), 0);
		mine = ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
							  : ((struct sockaddr_in6 *)&address)->sin6_port);
		cr_assert_gt(mine, 0);
		cr_assert(port == 0 || port == mine);
		port = mine;
	}
	close_fds(fds, count);
}

Test(listen, says_why_it_cannot)
{
	static const char *const cases[][2] = {
	    {"nonsense", "no address to listen at"},
	    {"192.0.2.1:0", "Cannot assign requested address"},
	    {"/nowhere/at/all", "No such file or directory"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct error err = ERROR_NONE;
		int fds[4];
		size_t count = 9;

		cr_assert_neq(listen_open(cases[i][0], 0600, fds, 4, &count, &err), OUTCOME_DONE);
		cr_assert_eq(count, 0);
		cr_assert_not_null(strstr(err.text, cases[i][0]), "%s", err.text);
		cr_assert_not_null(strstr(err.text, cases[i][1]), "%s", err.text);
	}
}

Test(listen, no_more_than_there_is_room_for)
{
	struct dir d = scratch_open();
	char *path = mem_format("%s/socket", d.path);
	const char *const addresses[] = {"127.0.0.1:0", path};
	struct error err = ERROR_NONE;
	int fds[2] = {-1, -7};
	size_t count = 9;

	for (size_t i = 0; i < 2; i++) {
		cr_assert_eq(listen_open(addresses[i], 0600, fds, 0, &count, &err), OUTCOME_LATER);
		cr_assert_eq(count, 0);
		cr_assert_eq(err.code, EX_CONFIG);
		cr_assert_not_null(strstr(err.text, "too many places"), "%s", err.text);
		cr_assert_eq(fds[0], -1);
	}
	cr_assert_not(file_exists(&d, "socket", NULL));
	/* Of two families not one alone, where the machine has both. */
	cr_assert_eq(listen_open("*:0", 0, fds, 2, &count, &err), OUTCOME_DONE, "%s", err.text);
	if (count == 2) {
		close_fds(fds, count);
		cr_assert_eq(listen_open("*:0", 0, fds, 1, &count, &err), OUTCOME_LATER);
		cr_assert_eq(count, 0);
	}
	close_fds(fds, count);
	free(path);
	scratch_close(&d);
}

Test(listen, a_dead_socket_is_replaced_and_nothing_else)
{
	struct dir d = scratch_open();
	struct error err = ERROR_NONE;
	char *path = mem_format("%s/socket", d.path);
	char *file = mem_format("%s/file", d.path);
	int fds[2], more[2];
	size_t count, count2;
	struct stat st;
	char *name;

	cr_assert_eq(listen_open(path, 0620, fds, 2, &count, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(count, 1);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0620);
	name = name_of(fds[0]);
	cr_assert_str_eq(name, path);
	cr_assert_neq(listen_open(path, 0600, more, 2, &count2, &err), OUTCOME_DONE, "somebody listens");
	cr_assert_not_null(strstr(err.text, "another program"), "%s", err.text);
	close_fds(fds, count);
	cr_assert_eq(listen_open(path, 0666, fds, 2, &count, &err), OUTCOME_DONE, "%s", err.text);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0666);
	close_fds(fds, count);
	cr_assert_eq(file_commit(&d, &d, "file", view_text("mine"), &err), OUTCOME_DONE);
	cr_assert_neq(listen_open(file, 0600, fds, 2, &count, &err), OUTCOME_DONE);
	cr_assert_not_null(strstr(err.text, "no socket"), "%s", err.text);
	cr_assert(file_exists(&d, "file", NULL));
	free(name);
	free(path);
	free(file);
	scratch_close(&d);
}

struct visits {
	int fds[8];
	char names[8][20];
	size_t count;
};

static void visit(void *context, int fd, const char *name)
{
	struct visits *v = context;

	v->fds[v->count] = fd;
	snprintf(v->names[v->count++], sizeof v->names[0], "%s", name);
}

/* Descriptors 3 and 4 must be ours alone: in a child. */
static int inherited_child(const char *names, const char *pid, struct visits *v)
{
	char text[20];
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0 || dup2(ends[0], 3) != 3 || dup2(ends[1], 4) != 4)
		return 10;
	snprintf(text, sizeof text, "%d", (int)getpid());
	setenv("LISTEN_PID", pid != NULL ? pid : text, 1);
	setenv("LISTEN_FDS", "2", 1);
	if (names != NULL)
		setenv("LISTEN_FDNAMES", names, 1);
	listen_inherited(visit, v);
	if (getenv("LISTEN_PID") != NULL || getenv("LISTEN_FDS") != NULL || getenv("LISTEN_FDNAMES") != NULL)
		return 11;
	return 0;
}

Test(listen, takes_what_systemd_hands_over)
{
	static const struct {
		const char *names, *pid;
		size_t count;
		const char *first, *second;
	} cases[] = {
	    {"smtp:submission", NULL, 2, "smtp", "submission"},
	    {"smtp", NULL, 2, "smtp", ""},
	    {NULL, NULL, 2, "", ""},
	    {"smtp:submission", "1", 0, "", ""},
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		pid_t child = fork();
		int status;

		if (child == 0) {
			struct visits v = {0};
			int code = inherited_child(cases[i].names, cases[i].pid, &v);

			if (code != 0)
				_exit(code);
			if (v.count != cases[i].count || strcmp(v.names[0], cases[i].first) != 0 ||
			    strcmp(v.names[1], cases[i].second) != 0)
				_exit(1);
			if (v.count == 2 && (v.fds[0] != 3 || v.fds[1] != 4 || !(fcntl(4, F_GETFL) & O_NONBLOCK) ||
						!(fcntl(4, F_GETFD) & FD_CLOEXEC)))
				_exit(2);
			_exit(0);
		}
		cr_assert_eq(waitpid(child, &status, 0), child);
		cr_assert_eq(status, 0, "%zu: %d", i, WEXITSTATUS(status));
	}
}
