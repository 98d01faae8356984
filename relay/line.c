#include "relay/line.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/endpoint.h"
#include "lib/file.h"
#include "lib/text.h"

/* Words of an exec: address. */
#define LINE_WORDS 64
/* Octets of a line of standard error. */
#define LINE_SAID 400
/* Milliseconds that a program has to end when it is told to. */
#define LINE_GRACE 2000

static void line_init(struct line *l, const char *name)
{
	*l = LINE_CLOSED;
	l->name = mem_string(name);
	buf_init(&l->said, LINE_SAID);
}

static void make_ready(int fd)
{
	int one = 1;

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	/* Whole records are written at once; waiting for more of them costs 40 ms with those who delay acknowledgements. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

void line_adopt(struct line *l, int in, int out, const char *name)
{
	line_init(l, name);
	l->in = in;
	l->out = out;
	make_ready(in);
	make_ready(out);
}

/* ---- tcp -------------------------------------------------------------------------------------------------- */

static int connect_one(const struct addrinfo *a, int64_t until)
{
	int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	socklen_t length = sizeof(int);
	int failed = 0;

	if (fd < 0)
		return -1;
	if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
		return fd;
	if (errno == EINPROGRESS) {
		int64_t left = until - (int64_t)clock_steady_ms();
		int ready = poll(&p, 1, left > 0 ? (int)left : 0);

		failed = ready == 0 ? ETIMEDOUT : errno;
		if (ready > 0)
			getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &length);
	} else {
		failed = errno;
	}
	if (failed == 0)
		return fd;
	close(fd);
	errno = failed;
	return -1;
}

static enum outcome open_tcp(struct line *l, const char *endpoint, unsigned seconds, struct error *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *list = NULL;
	int64_t until = (int64_t)clock_steady_ms() + (int64_t)seconds * 1000;
	struct endpoint place;
	char port[6];
	int found;
	int fd = -1;

	if (!endpoint_parse(endpoint, &place))
		return error_set(err, EX_CONFIG, "%s is no \"HOST:PORT\"", endpoint);
	snprintf(port, sizeof port, "%u", (unsigned)place.port);
	found = getaddrinfo(place.host, port, &hints, &list);
	/* A signal that comes meanwhile is to end the call. */
	errno = 0;
	for (const struct addrinfo *a = list; a != NULL && fd < 0 && errno != EINTR; a = a->ai_next)
		fd = connect_one(a, until);
	if (found != 0)
		error_set(err, EX_TEMPFAIL, "cannot find %s: %s", place.host, gai_strerror(found));
	else if (fd < 0)
		error_errno(err, errno, "cannot connect to %s", endpoint);
	if (list != NULL)
		freeaddrinfo(list);
	if (fd < 0) {
		err->code = EX_TEMPFAIL;
		return err->outcome = OUTCOME_LATER;
	}
	l->in = l->out = fd;
	make_ready(fd);
	return OUTCOME_DONE;
}

/* ---- exec ------------------------------------------------------------------------------------------------- */

/* Splits at spaces; a part in double quotes is one word. No shell: nothing else has a meaning. */
static size_t words_of(char *text, char *words[static LINE_WORDS])
{
	size_t count = 0;

	while (count < LINE_WORDS - 1) {
		char end = ' ';

		text += strspn(text, " ");
		if (*text == '\0')
			break;
		if (*text == '"') {
			end = '"';
			text++;
		}
		words[count++] = text;
		text += strcspn(text, (char[]){end, '\0'});
		if (*text != '\0')
			*text++ = '\0';
	}
	words[count] = NULL;
	return count;
}

/* The descriptors of the child: line[1] for both directions, errors[1]. */
static int spawn(pid_t *pid, char *const words[], const int line[2], const int errors[2])
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t defaults;
	int failed;

	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	sigaddset(&defaults, SIGINT);
	sigaddset(&defaults, SIGTERM);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, line[1], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&files, line[1], STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&files, errors[1], STDERR_FILENO);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	failed = posix_spawnp(pid, words[0], &files, &attributes, words, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	return failed;
}

static enum outcome open_exec(struct line *l, const char *command, struct error *err)
{
	char *text = mem_string(command);
	char *words[LINE_WORDS];
	int line[2] = {-1, -1};
	int errors[2] = {-1, -1};
	int failed = 0;

	if (words_of(text, words) == 0)
		failed = ENOENT;
	else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, line) != 0 || pipe2(errors, O_CLOEXEC) != 0)
		failed = errno;
	else
		failed = spawn(&l->program, words, line, errors);
	file_close(&line[1]);
	file_close(&errors[1]);
	if (failed == 0) {
		l->in = l->out = line[0];
		l->errors = errors[0];
		make_ready(l->in);
		make_ready(l->errors);
	} else {
		file_close(&line[0]);
		file_close(&errors[0]);
		l->program = 0;
		error_set(err, EX_TEMPFAIL, "cannot start \"%s\": %s", command, strerror(failed));
	}
	free(text);
	return failed == 0 ? OUTCOME_DONE : OUTCOME_LATER;
}

enum outcome line_open(struct line *l, const char *address, unsigned seconds, struct error *err)
{
	enum outcome outcome;

	line_init(l, address);
	outcome = text_starts(address, "tcp:") ? open_tcp(l, address + strlen("tcp:"), seconds, err)
					       : open_exec(l, address + strlen("exec:"), err);
	if (outcome != OUTCOME_DONE)
		line_close(l);
	return outcome;
}

/* ---- closing ---------------------------------------------------------------------------------------------- */

static bool ended(pid_t pid, int64_t until)
{
	while (waitpid(pid, NULL, WNOHANG) == 0) {
		if ((int64_t)clock_steady_ms() >= until)
			return false;
		poll(NULL, 0, 20);
	}
	return true;
}

void line_close(struct line *l)
{
	if (l->out != l->in)
		file_close(&l->out);
	file_close(&l->in);
	file_close(&l->errors);
	if (l->program > 0) {
		/* Most programs end when their line closes. */
		if (!ended(l->program, (int64_t)clock_steady_ms() + LINE_GRACE / 4)) {
			kill(-l->program, SIGHUP);
			ended(l->program, (int64_t)clock_steady_ms() + LINE_GRACE);
		}
		/* Those of its group that outlived it, too. */
		kill(-l->program, SIGKILL);
		waitpid(l->program, NULL, 0);
	}
	free(l->name);
	buf_release(&l->said);
	*l = LINE_CLOSED;
}

static void say(struct line *l, struct log *log, const char *about)
{
	struct log_line line;

	if (l->said.length == 0)
		return;
	log_begin(&line, log, about, "said");
	log_text(&line, "program", l->name);
	log_text(&line, "text", buf_string(&l->said));
	log_end(&line);
	buf_clear(&l->said);
}

void line_listen(struct line *l, struct log *log, const char *about)
{
	char bytes[1000];
	ssize_t count = read(l->errors, bytes, sizeof bytes);

	if (count < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	for (ssize_t i = 0; i < count; i++) {
		if (bytes[i] == '\n' || l->said.length == LINE_SAID - 1)
			say(l, log, about);
		if (bytes[i] != '\n' && bytes[i] != '\r')
			buf_byte(&l->said, (uint8_t)bytes[i]);
	}
	if (count <= 0) {
		say(l, log, about);
		file_close(&l->errors);
	}
}
