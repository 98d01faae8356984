#include "bridge-smtp/smtpd.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/net_daemon.h"
#include "lib/net_listen.h"
#include "lib/text.h"

/* Connections taken at one turn of the loop: so many more wait until the sessions had theirs. */
#define ACCEPT_AT_ONCE 16
#define SWEEP_SECONDS  5
/* After so many seconds a stopping daemon no longer waits for its sessions. */
#define STOP_SECONDS 15
#define SOCKETS_MAX  16
#define LMTP_MODE    0660

struct listener {
	struct smtpd *daemon;
	char *text; /* as in the configuration; null: handed over by systemd */
	enum listen_service service;
	int fd;
	struct event *event;
	bool wanted; /* also by the configuration just read */
	bool fresh;  /* opened for it */
};

/* ---- listening ------------------------------------------------------------------------------------------- */

/* Is it one connection that failed before it was taken? accept(2) has them; the next may be good. */
static bool passes(int errnum)
{
	static const int list[] = {EINTR, ECONNABORTED, EPERM, EPROTO, ENOPROTOOPT, ENETDOWN, ENETUNREACH, EHOSTDOWN,
	    EHOSTUNREACH, ETIMEDOUT};

	for (size_t i = 0; i < sizeof list / sizeof list[0]; i++)
		if (list[i] == errnum)
			return true;
	return false;
}

/* Nothing is taken until the next look at the clock; those who wait stay in the backlog. */
static void listener_rest(struct listener *l, const char *why)
{
	log_event(&committer_queue(l->daemon->committer)->log, "smtpd", "trouble", "reason", why);
	event_del(l->event);
}

static void on_connection(evutil_socket_t fd, short what, void *context)
{
	struct listener *l = context;
	struct error err;

	(void)what;
	for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
		int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (client >= 0) {
			if (session_begin(l->daemon, client, l->service))
				continue;
			listener_rest(l, "so many connections that the descriptors run out (limit of open files)");
			return;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
		if (!passes(errno)) {
			error_errno(&err, errno, "cannot take a connection");
			listener_rest(l, err.text);
			return;
		}
	}
}

static void listener_add(struct smtpd *d, int fd, enum listen_service service, const char *text)
{
	struct listener *l;

	d->listeners = mem_grow(d->listeners, d->listener_count, &d->listener_capacity, sizeof *l);
	l = &d->listeners[d->listener_count++];
	*l = (struct listener){d, mem_string(text), service, fd, NULL, true, true};
}

/* The array may have moved. */
static void listeners_watch(struct smtpd *d)
{
	for (size_t i = 0; i < d->listener_count; i++) {
		struct listener *l = &d->listeners[i];

		if (l->event != NULL)
			event_free(l->event);
		l->event = event_new(d->base, l->fd, EV_READ | EV_PERSIST, on_connection, l);
		event_add(l->event, NULL);
	}
}

static void listener_close(struct listener *l)
{
	if (l->event != NULL)
		event_free(l->event);
	close(l->fd);
	free(l->text);
}

static void on_inherited(void *context, int fd, const char *name)
{
	char *kind = mem_format("%s:", name);
	const char *rest;

	listener_add(context, fd, listen_service(kind, &rest), NULL);
	free(kind);
}

static enum outcome somewhere(const struct smtpd *d, const struct settings *s, struct error *err)
{
	for (size_t i = 0; i < d->listener_count; i++)
		if (d->listeners[i].wanted)
			return OUTCOME_DONE;
	return error_set(
	    err, EX_CONFIG, "%s says nowhere to listen: smtpd { listen = { \"127.0.0.1:2525\" } }", s->config.path);
}

/* Opens the sockets that the configuration names and that are not open yet; it is a mistake when there are none. */
static enum outcome listeners_open(struct smtpd *d, const struct settings *s, struct error *err)
{
	const struct strings *listen = &s->config.smtpd.server.listen;
	enum outcome outcome = OUTCOME_DONE;

	for (size_t i = 0; i < d->listener_count; i++)
		d->listeners[i].wanted = d->listeners[i].text == NULL;
	for (size_t i = 0; i < listen->count && outcome == OUTCOME_DONE; i++) {
		const char *text = listen->items[i];
		const char *address;
		enum listen_service service = listen_service(text, &address);
		int fds[SOCKETS_MAX];
		size_t count = 0;
		bool open = false;

		for (size_t k = 0; k < d->listener_count; k++)
			if (d->listeners[k].text != NULL && strcmp(d->listeners[k].text, text) == 0)
				d->listeners[k].wanted = open = true;
		if (!open)
			outcome = listen_open(address, LMTP_MODE, fds, SOCKETS_MAX, &count, err);
		for (size_t k = 0; k < count; k++)
			listener_add(d, fds[k], service, text);
	}
	return outcome == OUTCOME_DONE ? somewhere(d, s, err) : outcome;
}

/* The configuration just read is in use: what it does not name is closed; or it is not: what was opened for it is. */
static void listeners_keep(struct smtpd *d, enum outcome outcome)
{
	size_t kept = 0;

	for (size_t i = 0; i < d->listener_count; i++) {
		struct listener *l = &d->listeners[i];

		if (outcome == OUTCOME_DONE ? l->wanted : !l->fresh) {
			l->fresh = false;
			d->listeners[kept++] = *l;
		} else {
			listener_close(l);
		}
	}
	d->listener_count = kept;
}

/* Tells of the listeners that are new. */
static void log_listening(struct smtpd *d)
{
	for (size_t i = 0; i < d->listener_count; i++) {
		struct log_line line;
		struct buf name;

		if (!d->listeners[i].fresh)
			continue;
		buf_init(&name, 1000);
		listen_name(d->listeners[i].fd, &name);
		log_begin(&line, &committer_queue(d->committer)->log, "smtpd", "listening");
		log_text(&line, "address", buf_string(&name));
		log_text(&line, "service",
		    (const char *[]){"smtp", "submission", "submissions", "lmtp"}[d->listeners[i].service]);
		log_end(&line);
		buf_release(&name);
	}
}

/* ---- stopping, reading again ----------------------------------------------------------------------------- */

static void end_sessions(struct smtpd *d, const char *why)
{
	struct session *next;

	for (struct session *s = d->sessions; s != NULL; s = next) {
		next = session_next(s);
		session_end(s, "4.3.2", why);
	}
}

static void on_grace(evutil_socket_t fd, short what, void *context)
{
	struct smtpd *d = context;

	(void)fd;
	(void)what;
	event_base_loopbreak(d->base);
}

static void stop(struct smtpd *d)
{
	struct timeval grace = {.tv_sec = STOP_SECONDS};

	if (d->stopping)
		return;
	d->stopping = true;
	daemon_notify("STOPPING=1");
	for (size_t i = 0; i < d->listener_count; i++)
		listener_close(&d->listeners[i]);
	d->listener_count = 0;
	d->grace = evtimer_new(d->base, on_grace, d);
	evtimer_add(d->grace, &grace);
	end_sessions(d, "this server stops; please try again");
	if (d->session_count == 0)
		event_base_loopbreak(d->base);
}

static void complain(void *context, const char *sentence)
{
	(void)context;
	fprintf(stderr, "packetboat-smtpd: %s\n", sentence);
}

static void log_complaint(void *context, const char *sentence)
{
	log_event(context, "smtpd", "trouble", "reason", sentence);
}

/* A configuration that cannot be used changes nothing. */
static void reload(struct smtpd *d)
{
	struct queue *queue = committer_queue(d->committer);
	struct settings *settings = NULL;
	struct error err = ERROR_NONE;
	enum outcome outcome;
	bool read;

	daemon_notify("RELOADING=1");
	outcome = settings_load(&settings, d->config_path, log_complaint, &queue->log, &err);
	read = outcome == OUTCOME_DONE;
	if (read)
		outcome = settings_tls(settings, &err);
	if (outcome == OUTCOME_DONE && !d->alone) {
		outcome = listeners_open(d, settings, &err);
		if (outcome == OUTCOME_DONE)
			log_listening(d);
		listeners_keep(d, outcome);
		listeners_watch(d);
	}
	if (outcome == OUTCOME_DONE) {
		settings_drop(d->settings);
		d->settings = settings;
		queue->min_free = settings->config.min_free;
		log_event(&queue->log, "smtpd", "reloaded", "configuration", d->config_path);
	} else {
		if (read)
			settings_drop(settings);
		if (err.text[0] != '\0')
			log_event(&queue->log, "smtpd", "trouble", "reason", err.text);
		log_event(
		    &queue->log, "smtpd", "trouble", "reason", "the configuration in use stays the one of before");
	}
	daemon_notify("READY=1");
}

static void on_signal(evutil_socket_t number, short what, void *context)
{
	struct smtpd *d = context;

	(void)what;
	if (number == SIGHUP) {
		/* A session on standard input has no places, and who is about to stop opens none. */
		if (!d->alone && !d->stopping)
			reload(d);
	} else if (number == SIGCHLD) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			d->relays -= d->relays > 0;
	} else {
		stop(d);
	}
}

static void on_sweep(evutil_socket_t fd, short what, void *context)
{
	struct smtpd *d = context;
	uint64_t now = clock_steady();
	struct session *next;

	(void)fd;
	(void)what;
	queue_follow_log(committer_queue(d->committer));
	for (struct session *s = d->sessions; s != NULL; s = next) {
		next = session_next(s);
		session_tick(s, now);
	}
	for (size_t i = 0; i < d->listener_count; i++)
		event_add(d->listeners[i].event, NULL);
}

void smtpd_session_over(struct smtpd *d)
{
	d->session_count--;
	if (d->session_count == 0 && (d->stopping || d->alone))
		event_base_loopbreak(d->base);
}

/* ---- serving --------------------------------------------------------------------------------------------- */

static void on_commit(void *context, struct commit *commit)
{
	(void)context;
	session_committed(commit);
}

static enum outcome parts_start(struct smtpd *d, bool verbose, struct error *err)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
	struct timeval sweep = {.tv_sec = SWEEP_SECONDS};
	enum outcome outcome = committer_start(&d->committer, d->base, &d->settings->config, on_commit, d, err);

	if (outcome == OUTCOME_DONE)
		outcome = logins_start(&d->logins, d->base, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	if (verbose)
		committer_echo(d->committer);
	if (geteuid() == 0 && !d->alone)
		log_event(&committer_queue(d->committer)->log, "smtpd", "notice", "reason",
		    "the server runs as root; the option user in the section smtpd names another");
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		d->signals[i] = evsignal_new(d->base, numbers[i], on_signal, d);
		event_add(d->signals[i], NULL);
	}
	d->sweep = event_new(d->base, -1, EV_PERSIST, on_sweep, d);
	event_add(d->sweep, &sweep);
	return OUTCOME_DONE;
}

static void parts_stop(struct smtpd *d)
{
	while (d->sessions != NULL)
		session_drop(d->sessions);
	logins_stop(d->logins);
	committer_stop(d->committer);
	for (size_t i = 0; i < sizeof d->signals / sizeof d->signals[0]; i++)
		if (d->signals[i] != NULL)
			event_free(d->signals[i]);
	if (d->sweep != NULL)
		event_free(d->sweep);
	if (d->grace != NULL)
		event_free(d->grace);
	for (size_t i = 0; i < d->listener_count; i++)
		listener_close(&d->listeners[i]);
	free(d->listeners);
	settings_drop(d->settings);
	if (d->base != NULL) {
		conn_abandon(d->base);
		event_base_free(d->base);
	}
}

/* The sockets first, since low ports may need root; then no longer root; then the spool. */
static enum outcome daemon_begin(struct smtpd *d, const struct smtpd_start *start, struct error *err)
{
	const struct config_smtpd *c;
	enum outcome outcome = settings_load(&d->settings, start->config_path, complain, NULL, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	c = &d->settings->config.smtpd;
	listen_inherited(on_inherited, d);
	outcome = listeners_open(d, d->settings, err);
	/* A key of the operator's may be for root alone to read; one of our own belongs to whom we become. */
	if (outcome == OUTCOME_DONE && c->server.certificate != NULL)
		outcome = settings_tls(d->settings, err);
	for (size_t i = 0; i < c->server.listen.count && outcome == OUTCOME_DONE && c->server.user != NULL; i++) {
		const char *address;

		listen_service(c->server.listen.items[i], &address);
		if (address[0] == '/')
			outcome = daemon_own(address, c->server.user, c->server.group, err);
	}
	if (outcome == OUTCOME_DONE && c->server.user != NULL)
		outcome = daemon_become(c->server.user, c->server.group, err);
	if (outcome == OUTCOME_DONE && c->server.certificate == NULL)
		outcome = settings_tls(d->settings, err);
	if (outcome == OUTCOME_DONE && start->detach)
		outcome = daemon_detach(err);
	/* After leaving the parent: neither threads nor the loop's descriptors survive a fork. */
	d->base = event_base_new();
	if (outcome == OUTCOME_DONE && d->base == NULL)
		outcome = error_set(err, EX_OSERR, "the event loop cannot be made");
	if (outcome == OUTCOME_DONE)
		outcome = parts_start(d, start->verbose, err);
	return outcome;
}

enum outcome smtpd_serve(const struct smtpd_start *start, struct error *err)
{
	struct smtpd d = {.config_path = start->config_path};
	enum outcome outcome;

	d.files = daemon_raise_files();
	d.files -= d.files / 4 < SMTPD_FILES_KEPT ? d.files / 4 : SMTPD_FILES_KEPT;
	daemon_ignore_pipe();
	outcome = daemon_begin(&d, start, err);
	if (outcome == OUTCOME_DONE) {
		log_listening(&d);
		listeners_keep(&d, OUTCOME_DONE);
		listeners_watch(&d);
		daemon_ready();
		event_base_dispatch(d.base);
		conn_farewell(d.base);
	}
	parts_stop(&d);
	return outcome;
}

enum outcome smtpd_serve_stdio(const struct smtpd_start *start, enum listen_service service, struct error *err)
{
	struct smtpd d = {.config_path = start->config_path, .alone = true};
	enum outcome outcome = settings_load(&d.settings, start->config_path, complain, NULL, err);

	daemon_ignore_pipe();
	if (outcome == OUTCOME_DONE)
		outcome = settings_tls(d.settings, err);
	d.base = event_base_new();
	if (outcome == OUTCOME_DONE && d.base == NULL)
		outcome = error_set(err, EX_OSERR, "the event loop cannot be made");
	if (outcome == OUTCOME_DONE)
		outcome = parts_start(&d, start->verbose, err);
	if (outcome == OUTCOME_DONE) {
		session_begin_stdio(&d, service);
		if (d.session_count > 0)
			event_base_dispatch(d.base);
		conn_farewell(d.base);
	}
	parts_stop(&d);
	return outcome;
}
