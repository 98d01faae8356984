/*
 * The ends of link.c's connections: sockets, pipes and programs, none of which blocks, and whose kernel buffers are as small as
 * the line is slow.
 */
#ifndef TESTS_SUPPORT_LINK_ENDS_H
#define TESTS_SUPPORT_LINK_ENDS_H

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/support/link_settings.h"

/* Ends and ways share their numbers: a way leads from the end of its own number to the other. */
enum { NEAR, FAR, ENDS };

#define SMALL_SEGMENT 256
#define SMALL_KERNEL  16384 /* below this a small segment size keeps the writer's buffer down */
#define DRAIN_ROUNDS  64

struct end {
	int in, out; /* the same for a socket; -1: closed */
	bool is_socket;
	uint64_t kernel;
};

/* Octets that the kernel may hold of what comes to END, whose line is way I; 0: leave it as it is. */
static int kernel_share(int i)
{
	double share = settings_real_rate(&settings, i) / KERNEL_SHARE;

	if (settings.rates[i] == 0 || share > MOST_BUFFER)
		return 0;
	return share < 1 ? 1 : (int)share;
}

/* Before the connection is there, so that the other side learns of it. */
static void limit_socket(int fd, int i)
{
	int receive = kernel_share(i);
	int send = kernel_share(BACK - i);
	int segment = SMALL_SEGMENT;

	if (send > 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send, sizeof send);
	if (receive > 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive, sizeof receive);
	if (receive > 0 && receive < SMALL_KERNEL)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
}

/* The smallest pipe is a page. */
static void limit_pipe(int fd, int i)
{
	int share = kernel_share(i);

	if (share > 0)
		(void)fcntl(fd, F_SETPIPE_SZ, share);
}

static void set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		err(EX_OSERR, "descriptor %d", fd);
}

static uint64_t kernel_holds(int fd)
{
	int size = fcntl(fd, F_GETPIPE_SZ);
	int family = 0;
	socklen_t length = sizeof family;

	if (size >= 0)
		return (uint64_t)size;
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length) != 0 || family == AF_UNIX ||
	    getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, &length) != 0)
		return 0;
	return (uint64_t)size;
}

static void end_init(struct end *e, int in, int out)
{
	struct linger any;
	socklen_t length = sizeof any;
	int on = 1;

	e->in = in;
	e->out = out;
	e->is_socket = getsockopt(out, SOL_SOCKET, SO_LINGER, &any, &length) == 0;
	if (e->is_socket)
		(void)setsockopt(out, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	e->kernel = kernel_holds(in);
}

/* Tells the receiver that nothing more comes. */
static void end_pass(struct end *e)
{
	if (e->is_socket) {
		(void)shutdown(e->out, SHUT_WR);
		return;
	}
	close(e->out);
	e->out = -1;
}

/* Reads what is there, so that closing a TCP socket does not reset it. */
static void end_drain(int fd)
{
	char octets[4096];

	for (int i = 0; i < DRAIN_ROUNDS && read(fd, octets, sizeof octets) > 0; i++)
		continue;
}

enum closing { CLOSE_RESET, CLOSE_QUIETLY };

static void end_close(struct end *e, enum closing how)
{
	struct linger at_once = {.l_onoff = 1, .l_linger = 0};

	if (e->is_socket && how == CLOSE_RESET) {
		(void)setsockopt(e->out, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	} else if (e->is_socket) {
		(void)shutdown(e->out, SHUT_WR);
		end_drain(e->in);
	}
	if (e->out >= 0 && e->out != e->in)
		close(e->out);
	if (e->in >= 0)
		close(e->in);
	e->in = e->out = -1;
}

/* ---- the far end ----------------------------------------------------------------------------------------- */

static int connect_path(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (strlen(path) >= sizeof address.sun_path)
		errx(EX_USAGE, "%s is too long for a socket", path);
	memcpy(address.sun_path, path, strlen(path));
	if (fd < 0)
		err(EX_OSERR, "socket");
	limit_socket(fd, BACK);
	if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	close(fd);
	return -1;
}

/* A connection that is not there yet cannot be read or written, and one that failed says so then. */
static int connect_tcp(const char *address)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *found = NULL;
	const char *colon = strrchr(address, ':');
	char *host = colon == NULL ? NULL : mem_copy(address, (size_t)(colon - address));
	int fd;

	if (colon == NULL || getaddrinfo(host, colon + 1, &hints, &found) != 0)
		errx(EX_USAGE, "%s is no address", address);
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		err(EX_OSERR, "socket");
	limit_socket(fd, BACK);
	if (connect(fd, found->ai_addr, found->ai_addrlen) != 0 && errno != EINPROGRESS) {
		close(fd);
		fd = -1;
	}
	freeaddrinfo(found);
	free(host);
	return fd;
}

static void run_program(int in, int out)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
		err(EX_OSERR, "dup2");
	execvp(settings.program[0], settings.program);
	warn("cannot run %s", settings.program[0]);
	_exit(EX_UNAVAILABLE);
}

/* Starts the program of the settings; its process. */
static pid_t start_program(struct end *far)
{
	int to[2];
	int from[2];
	pid_t child;

	if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
		err(EX_OSERR, "pipe");
	limit_pipe(to[1], FORTH);
	limit_pipe(from[0], BACK);
	child = fork();
	if (child < 0)
		err(EX_OSERR, "fork");
	if (child == 0)
		run_program(to[0], from[1]);
	close(to[0]);
	close(from[1]);
	set_nonblocking(to[1]);
	set_nonblocking(from[0]);
	end_init(far, from[0], to[1]);
	return child;
}

#endif
