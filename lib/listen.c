#include "lib/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/alloc.h"
#include "lib/endpoint.h"
#include "lib/file.h"
#include "lib/text.h"

/* sd_listen_fds(3): the first descriptor that is handed over. */
#define INHERITED_FIRST 3

/* ---- addresses ------------------------------------------------------------------------------------------- */

static bool host_valid(struct view host)
{
	for (size_t i = 0; i < host.length; i++) {
		uint8_t c = host.bytes[i];

		if (!text_is_alpha(c) && !text_is_digit(c) && c != '.' && c != '-' && c != '_')
			return false;
	}
	return true;
}

/* "*": all addresses. */
static bool place_parse(const char *address, struct endpoint *place)
{
	return endpoint_parse(address, place) &&
	       (place->bracketed || strcmp(place->host, "*") == 0 || host_valid(view_text(place->host)));
}

bool listen_address_valid(const char *address)
{
	struct sockaddr_un path;
	struct endpoint place;

	if (address[0] == '/')
		return strlen(address) < sizeof path.sun_path && address[strlen(address) - 1] != '/';
	return place_parse(address, &place);
}

/* ---- sockets --------------------------------------------------------------------------------------------- */

static void close_all(int *fds, size_t *count)
{
	while (*count > 0)
		close(fds[--*count]);
}

static enum outcome cannot_listen(const char *address, int errnum, struct error *err)
{
	if (errnum == EADDRINUSE)
		return error_set(err, EX_TEMPFAIL, "cannot listen at %s: another program does already", address);
	if (errnum == EACCES || errnum == EPERM)
		return error_set(err, EX_NOPERM, "cannot listen at %s: %s (ports below 1024 are root's)", address,
		    strerror(errnum));
	return error_set(err, EX_OSERR, "cannot listen at %s: %s", address, strerror(errnum));
}

static enum outcome too_many(const char *address, struct error *err)
{
	return error_set(err, EX_CONFIG, "cannot listen at %s: too many places to listen at", address);
}

static socklen_t own_address(int fd, struct sockaddr_storage *address)
{
	socklen_t length = sizeof *address;

	*address = (struct sockaddr_storage){0};
	return getsockname(fd, (struct sockaddr *)address, &length) == 0 ? length : 0;
}

/* The port at which FD listens, as the network writes it. */
static in_port_t own_port(int fd)
{
	struct sockaddr_storage address;

	if (own_address(fd, &address) == 0)
		return 0;
	return address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
					    : ((struct sockaddr_in6 *)&address)->sin6_port;
}

/* The socket, or -1 with errno. PORT, if not 0, takes the place of port 0. */
static int open_tcp(const struct addrinfo *found, in_port_t port)
{
	struct sockaddr_storage address = {0};
	in_port_t *place = found->ai_family == AF_INET ? &((struct sockaddr_in *)&address)->sin_port
						       : &((struct sockaddr_in6 *)&address)->sin6_port;
	int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;
	int errnum;

	if (fd < 0)
		return -1;
	memcpy(&address, found->ai_addr, found->ai_addrlen);
	if (*place == 0)
		*place = port;
	/* Connections of an earlier run that are still dying do not count. */
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	/* Each family has a socket of its own, whatever the system's habit. */
	if (found->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&address, found->ai_addrlen) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
		return fd;
	errnum = errno;
	close(fd);
	errno = errnum;
	return -1;
}

/* Is it a family that this machine does not have? */
static bool family_missing(int errnum)
{
	return errnum == EAFNOSUPPORT || errnum == EADDRNOTAVAIL || errnum == EPROTONOSUPPORT;
}

static enum outcome open_found(
    const struct addrinfo *found, const char *address, int *fds, size_t maximum, size_t *count, struct error *err)
{
	int missing = 0;

	for (; found != NULL; found = found->ai_next) {
		int fd = open_tcp(found, *count > 0 ? own_port(fds[0]) : 0);

		if (fd >= 0 && *count < maximum) {
			fds[(*count)++] = fd;
		} else if (fd < 0 && family_missing(errno)) {
			missing = errno;
		} else {
			enum outcome outcome = fd >= 0 ? too_many(address, err) : cannot_listen(address, errno, err);

			file_close(&fd);
			close_all(fds, count);
			return outcome;
		}
	}
	return *count > 0 ? OUTCOME_DONE : cannot_listen(address, missing, err);
}

static enum outcome open_place(const char *address, int *fds, size_t maximum, size_t *count, struct error *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *found = NULL;
	struct endpoint place;
	char port[6];
	bool every;
	int code;
	enum outcome outcome;

	if (!place_parse(address, &place))
		return error_set(err, EX_CONFIG, "%s is no address to listen at", address);
	every = strcmp(place.host, "*") == 0;
	snprintf(port, sizeof port, "%u", (unsigned)place.port);
	code = getaddrinfo(every ? NULL : place.host, port, &hints, &found);
	if (code != 0)
		return error_set(err, EX_CONFIG, "cannot listen at %s: %s", address, gai_strerror(code));
	outcome = open_found(found, address, fds, maximum, count, err);
	freeaddrinfo(found);
	return outcome;
}

/* ---- paths ----------------------------------------------------------------------------------------------- */

/* Removes a socket at which nobody listens any more. */
static enum outcome remove_stale(const struct sockaddr_un *address, struct error *err)
{
	const char *path = address->sun_path;
	const char *name = strrchr(path, '/') + 1;
	struct dir d;
	struct stat st;
	int fd;
	int errnum;
	char *above;
	enum outcome outcome;

	if (lstat(path, &st) != 0)
		return OUTCOME_DONE;
	if (!S_ISSOCK(st.st_mode))
		return error_set(err, EX_CONFIG, "cannot listen at %s: there is something that is no socket", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	errnum = fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 ? EADDRINUSE : errno;
	if (fd >= 0)
		close(fd);
	if (errnum != ECONNREFUSED)
		return cannot_listen(path, errnum == ENOENT ? EADDRINUSE : errnum, err);
	above = name - path > 1 ? mem_copy(path, (size_t)(name - path) - 1) : mem_string("/");
	outcome = dir_open(&d, NULL, above, err);
	if (outcome == OUTCOME_DONE)
		outcome = file_remove(&d, name, err);
	dir_close(&d);
	free(above);
	return outcome;
}

static enum outcome open_path(const char *path, unsigned mode, int *fd, struct error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mode_t mask;
	int bound;
	int errnum;
	enum outcome outcome;

	if (!listen_address_valid(path))
		return error_set(err, EX_CONFIG, "%s is no path for a socket: at most %zu octets", path,
		    sizeof address.sun_path - 1);
	memcpy(address.sun_path, path, strlen(path));
	outcome = remove_stale(&address, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (*fd < 0)
		return cannot_listen(path, errno, err);
	/* Not for a moment open to more than MODE says. */
	mask = umask((mode_t)(~mode & 0777));
	bound = bind(*fd, (struct sockaddr *)&address, sizeof address);
	errnum = errno;
	umask(mask);
	if (bound == 0 && listen(*fd, LISTEN_BACKLOG) == 0)
		return OUTCOME_DONE;
	if (bound == 0)
		errnum = errno;
	close(*fd);
	return cannot_listen(path, errnum, err);
}

/* ---- the calls ------------------------------------------------------------------------------------------- */

enum outcome listen_open(
    const char *address, unsigned mode, int *fds, size_t maximum, size_t *count, struct error *err)
{
	enum outcome outcome;

	*count = 0;
	if (maximum == 0)
		return too_many(address, err);
	if (address[0] != '/')
		return open_place(address, fds, maximum, count, err);
	outcome = open_path(address, mode, &fds[0], err);
	if (outcome == OUTCOME_DONE)
		*count = 1;
	return outcome;
}

void listen_name(int fd, struct buf *out)
{
	struct sockaddr_storage address;
	socklen_t length = own_address(fd, &address);
	char host[NI_MAXHOST];
	char port[NI_MAXSERV];

	if (address.ss_family == AF_UNIX) {
		const char *path = ((struct sockaddr_un *)&address)->sun_path;

		buf_text(out, path[0] == '\0' ? "a socket without a path" : path);
	} else if (length > 0 && getnameinfo((struct sockaddr *)&address, length, host, sizeof host, port,
				     sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
		buf_format(out, address.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
	} else {
		buf_text(out, "unknown");
	}
}

static uint64_t environment_number(const char *name, uint64_t maximum)
{
	const char *text = getenv(name);
	uint64_t number = 0;

	return text != NULL && number_parse(view_text(text), maximum, &number) ? number : 0;
}

void listen_inherited(void (*visit)(void *context, int fd, const char *name), void *context)
{
	bool ours = environment_number("LISTEN_PID", INT32_MAX) == (uint64_t)getpid();
	int count = ours ? (int)environment_number("LISTEN_FDS", 1024) : 0;
	char *names = mem_string(getenv("LISTEN_FDNAMES"));
	char *name = names;

	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	for (int i = 0; i < count; i++) {
		int fd = INHERITED_FIRST + i;
		char *end = name == NULL ? NULL : strchr(name, ':');
		int flags = fcntl(fd, F_GETFL);

		if (end != NULL)
			*end = '\0';
		if (flags >= 0) {
			(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
			(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
			visit(context, fd, name == NULL ? "" : name);
		}
		name = end == NULL ? NULL : end + 1;
	}
	free(names);
}
