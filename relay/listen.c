#include "relay/listen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "lib/alloc.h"
#include "lib/daemon.h"
#include "lib/listen.h"
#include "lib/origin.h"
#include "lib/text.h"
#include "queue/queue.h"
#include "relay/calls.h"

#define SOCKETS_MAX 32
#define SOCKET_MODE 0660
/* Milliseconds for which nothing is taken when the system is short of something. */
#define REST_TIME 1000
/* Seconds between two looks whether the log was rotated. */
#define LOOK_TIME 5

struct answering {
	pid_t pid;
	char origin[ORIGIN_TEXT];
};

struct listener {
	const struct listen_start *start;
	struct config config;
	struct log log;
	struct dir spool;
	sigset_t unblocked; /* the signals that the loop lets in while it waits, and a call always */
	int fds[SOCKETS_MAX];
	size_t count;
	size_t surplus; /* sockets handed over for which there was no room */
	struct answering *calls;
	size_t call_count;
	size_t call_capacity;
};

static volatile sig_atomic_t stopping;
static volatile sig_atomic_t reloading;
static volatile sig_atomic_t ended_by; /* the signal that stopped it first */

static void on_signal(int number)
{
	if (number == SIGHUP) {
		reloading = 1;
	} else if (number != SIGCHLD) {
		if (ended_by == 0)
			ended_by = number;
		stopping = 1;
	}
}

/* ---- places ------------------------------------------------------------------------------------------------- */

static void on_inherited(void *context, int fd, const char *name)
{
	struct listener *l = context;

	(void)name;
	if (l->count < SOCKETS_MAX) {
		l->fds[l->count++] = fd;
	} else {
		close(fd);
		l->surplus++;
	}
}

static enum outcome open_places(struct listener *l, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	listen_inherited(on_inherited, l);
	if (l->surplus > 0)
		return error_set(err, EX_CONFIG, "systemd hands over %zu sockets; at most %d can be listened at",
		    l->count + l->surplus, SOCKETS_MAX);
	for (size_t i = 0; i < l->config.relay.listen.count && outcome == OUTCOME_DONE; i++) {
		const char *address = l->config.relay.listen.items[i];
		size_t count = 0;

		outcome = listen_open(address, SOCKET_MODE, l->fds + l->count, SOCKETS_MAX - l->count, &count, err);
		l->count += count;
		if (outcome == OUTCOME_DONE && address[0] == '/' && l->config.relay.user != NULL)
			outcome = daemon_own(address, l->config.relay.user, l->config.relay.group, err);
	}
	if (outcome == OUTCOME_DONE && l->count == 0)
		outcome = error_set(
		    err, EX_CONFIG, "%s says nowhere to listen: relay { listen = { \"*:5400\" } }", l->config.path);
	return outcome;
}

static void log_places(struct listener *l)
{
	for (size_t i = 0; i < l->count; i++) {
		struct log_line line;
		struct buf name;

		buf_init(&name, 1000);
		listen_name(l->fds[i], &name);
		log_begin(&line, &l->log, "relay", "listening");
		log_text(&line, "address", buf_string(&name));
		log_end(&line);
		buf_release(&name);
	}
}

/* ---- calls -------------------------------------------------------------------------------------------------- */

/* What ends a call ends this one, though the loop has it blocked. A key of the terminal is for the listener, which passes it on. */
static void hear_signals(const struct listener *l)
{
	(void)setpgid(0, 0);
	signal(SIGHUP, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	call_prepare();
	sigprocmask(SIG_SETMASK, &l->unblocked, NULL);
}

/* In the process of the call. It opens everything anew: nothing is shared but the log's file. */
static _Noreturn void answer(struct listener *l, int fd, const char *peer)
{
	struct error err = ERROR_NONE;
	struct relay r;
	enum outcome outcome;

	for (size_t i = 0; i < l->count; i++)
		close(l->fds[i]);
	hear_signals(l);
	outcome = relay_open(&r, l->start->config_path, l->start->verbose, &err);
	if (outcome == OUTCOME_DONE) {
		outcome = calls_answer(&r, fd, fd, peer, &err);
		relay_close(&r);
	} else {
		log_event(&l->log, "relay", "trouble", "reason",
		    err.text[0] != '\0' ? err.text : "the configuration has mistakes");
	}
	_exit(outcome == OUTCOME_DONE ? EX_OK : EX_TEMPFAIL);
}

static void refuse(struct listener *l, const char *peer, const char *why)
{
	struct log_line line;

	log_begin(&line, &l->log, "relay", "refused");
	log_text(&line, "client", peer);
	log_text(&line, "reason", why);
	log_end(&line);
}

static size_t calls_from(const struct listener *l, const char *origin)
{
	size_t count = 0;

	for (size_t i = 0; i < l->call_count; i++)
		count += strcmp(l->calls[i].origin, origin) == 0;
	return count;
}

/* Whoever is one too many hears nothing: his relay tries again later. */
static void take_call(struct listener *l, int fd)
{
	struct answering call;
	char peer[PEER_TEXT];
	pid_t pid;

	peer_of(fd, peer);
	origin_of(peer, call.origin);
	if (l->call_count >= l->config.relay.connections) {
		refuse(l, peer, "too many connections");
	} else if (calls_from(l, call.origin) >= l->config.relay.connections_each) {
		refuse(l, peer, "too many connections from this address");
	} else if ((pid = fork()) == 0) {
		answer(l, fd, peer);
	} else if (pid < 0) {
		refuse(l, peer, strerror(errno));
	} else {
		call.pid = pid;
		l->calls = mem_grow(l->calls, l->call_count, &l->call_capacity, sizeof l->calls[0]);
		l->calls[l->call_count++] = call;
	}
	close(fd);
}

static void reap(struct listener *l)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		for (size_t i = 0; i < l->call_count; i++)
			if (l->calls[i].pid == pid) {
				l->calls[i] = l->calls[--l->call_count];
				break;
			}
}

/* ---- the loop ------------------------------------------------------------------------------------------------ */

/* A configuration that cannot be used changes nothing. Places stay as they are until the next start. */
static void reload(struct listener *l)
{
	struct config config;
	struct error err = ERROR_NONE;

	reloading = 0;
	daemon_notify("RELOADING=1");
	if (config_load(&config, l->start->config_path, NULL, NULL, &err) == OUTCOME_DONE) {
		config_release(&l->config);
		l->config = config;
		log_event(&l->log, "relay", "reloaded", "configuration", l->start->config_path);
	} else {
		log_event(&l->log, "relay", "trouble", "reason", err.text);
	}
	daemon_notify("READY=1");
}

static void take_calls(struct listener *l)
{
	struct pollfd p[SOCKETS_MAX];
	const struct timespec look = {.tv_sec = LOOK_TIME};
	const struct timespec rest = {.tv_nsec = REST_TIME * 1000000L % 1000000000L, .tv_sec = REST_TIME / 1000};

	for (size_t i = 0; i < l->count; i++)
		p[i] = (struct pollfd){.fd = l->fds[i], .events = POLLIN};
	if (ppoll(p, l->count, &look, &l->unblocked) <= 0)
		return;
	for (size_t i = 0; i < l->count; i++) {
		int fd = p[i].revents == 0 ? -1 : accept4(l->fds[i], NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0) {
			take_call(l, fd);
		} else if (p[i].revents != 0 &&
			   (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
			refuse(l, "-", strerror(errno));
			ppoll(NULL, 0, &rest, &l->unblocked);
		}
	}
}

/* Each ends between two chunks; when there is a second signal, at once. */
static void end_calls(struct listener *l)
{
	stopping = 1;
	sigprocmask(SIG_SETMASK, &l->unblocked, NULL);
	while (l->call_count > 0) {
		for (size_t i = 0; i < l->call_count && stopping; i++)
			kill(l->calls[i].pid, SIGTERM);
		stopping = 0;
		if (waitpid(l->calls[l->call_count - 1].pid, NULL, 0) > 0 || errno != EINTR)
			l->call_count--;
	}
}

static void serve(struct listener *l)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t blocked;

	sigemptyset(&blocked);
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		sigaddset(&blocked, numbers[i]);
		sigaction(numbers[i], &action, NULL);
	}
	/* They come only while the loop waits. */
	sigprocmask(SIG_BLOCK, &blocked, &l->unblocked);
	while (!stopping) {
		take_calls(l);
		reap(l);
		log_follow(&l->log, &l->spool, "log");
		if (reloading)
			reload(l);
	}
	daemon_notify("STOPPING=1");
	end_calls(l);
	log_event(&l->log, "relay", "ended", "reason", daemon_end_reason(ended_by));
}

static enum outcome begin(struct listener *l, struct error *err)
{
	enum outcome outcome = config_tell(&l->config, l->start->config_path, relay_complain, NULL, err);

	if (outcome == OUTCOME_DONE)
		outcome = open_places(l, err);
	if (outcome == OUTCOME_DONE && l->config.relay.user != NULL)
		outcome = daemon_become(l->config.relay.user, l->config.relay.group, err);
	if (outcome == OUTCOME_DONE)
		outcome = daemon_become_owner(l->config.spool, err);
	if (outcome == OUTCOME_DONE) {
		outcome = dir_open(&l->spool, NULL, l->config.spool, err);
		if (outcome != OUTCOME_DONE && err->code == EX_NOINPUT)
			outcome = queue_missing(l->config.spool, err);
	}
	if (outcome == OUTCOME_DONE)
		outcome = log_open(&l->log, &l->spool, "log", err);
	if (outcome == OUTCOME_DONE && l->start->detach)
		outcome = daemon_detach(err);
	return outcome;
}

enum outcome listen_serve(const struct listen_start *start, struct error *err)
{
	struct listener l = {.start = start, .log = {.fd = -1, .echo = start->verbose}, .spool = DIR_CLOSED};
	enum outcome outcome;

	signal(SIGPIPE, SIG_IGN);
	outcome = begin(&l, err);
	if (outcome == OUTCOME_DONE) {
		log_places(&l);
		daemon_ready();
		serve(&l);
	}
	for (size_t i = 0; i < l.count; i++)
		close(l.fds[i]);
	free(l.calls);
	log_close(&l.log);
	dir_close(&l.spool);
	config_release(&l.config);
	return outcome;
}
