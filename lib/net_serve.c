#include "lib/net_serve.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "lib/alloc.h"
#include "lib/clock.h"
#include "lib/daemon.h"
#include "lib/listen.h"

/* Connections taken at one turn of the loop: so many more wait until the sessions had theirs. */
#define ACCEPT_AT_ONCE 16
/* Sockets that one text may stand for: a name has several addresses. */
#define SOCKETS_MAX 16

struct listener {
	struct server *server;
	char *text; /* as in the configuration; null: handed over by systemd */
	int service;
	int fd;
	struct event *event;
	bool wanted; /* also by the configuration just read */
	bool fresh;  /* opened for it */
	bool told;   /* in the log */
};

struct server {
	const struct server_options *options;
	const struct server_calls *calls;
	struct event_base *base;
	struct log *log; /* null before it serves */
	struct listener *listeners;
	size_t listener_count;
	size_t listener_capacity;
	struct served *sessions; /* a list */
	size_t session_count;
	bool begun;	     /* server_listen was called */
	bool alone;	     /* one session on standard input: the loop ends with it */
	bool stopping;	     /* no more connections; the loop ends with the last session */
	int ended_by;	     /* the signal that said so; 0: none did */
	unsigned long files; /* descriptors that connections may have: those below; 0: any */
	struct event *sweep;
	struct event *signals[4];
	struct event *grace;
};

static void trouble(const struct server *s, const char *reason)
{
	log_event(s->log, s->options->name, "trouble", "reason", reason);
}

/* ---- sessions -------------------------------------------------------------------------------------------- */

/* A session without a connection yet. */
static struct served *served_make(struct server *s, int service)
{
	struct served *new = mem_alloc(s->options->session_size);

	new->server = s;
	new->service = service;
	new->begun = clock_steady();
	new->next = s->sessions;
	new->self = &s->sessions;
	if (new->next != NULL)
		new->next->self = &new->next;
	s->sessions = new;
	s->session_count++;
	return new;
}

static void served_begin(struct served *new, const char *peer)
{
	snprintf(new->peer, sizeof new->peer, "%s", peer);
	origin_of(new->peer, new->origin);
	new->server->calls->begin(new);
}

void served_over(struct served *s, unsigned farewell)
{
	struct server *server = s->server;

	if (farewell > 0)
		conn_finish(s->conn, farewell);
	else
		conn_free(s->conn);
	*s->self = s->next;
	if (s->next != NULL)
		s->next->self = s->self;
	free(s);
	server->session_count--;
	if (server->session_count == 0 && (server->stopping || server->alone))
		event_base_loopbreak(server->base);
}

static size_t count_from(const struct server *s, const char *origin)
{
	size_t count = 0;

	for (const struct served *other = s->sessions; other != NULL; other = other->next)
		count += strcmp(other->origin, origin) == 0;
	return count;
}

const char *served_crowds(const struct served *s, const struct server_limits *limits)
{
	const struct server *server = s->server;

	if (server->stopping)
		return "this server is about to stop";
	if (s->last || server->session_count > limits->connections)
		return "too many connections";
	/* Looked through only when there are so many in all. */
	if (server->session_count > limits->each && count_from(server, s->origin) > limits->each)
		return "too many connections from your address";
	return NULL;
}

/* Takes over FD. False: it is one of the last; whoever has it is turned away, and no more should come now. */
static bool connection_begin(struct server *s, int fd, const struct sockaddr *address, socklen_t length, int service)
{
	struct served *new = served_make(s, service);
	bool last = s->files > 0 && (unsigned long)fd >= s->files;

	new->last = last;
	new->conn = conn_served(s->base, fd, address, length, s->calls->handlers, new);
	served_begin(new, conn_peer(new->conn));
	return !last;
}

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
	trouble(l->server, why);
	event_del(l->event);
}

static void on_connection(evutil_socket_t fd, short what, void *context)
{
	struct listener *l = context;
	struct error err;

	(void)what;
	for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
		struct sockaddr_storage address = {0};
		socklen_t length = sizeof address;
		int client = accept4(fd, (struct sockaddr *)&address, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (client >= 0) {
			if (connection_begin(l->server, client, (struct sockaddr *)&address, length, l->service))
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

static void listener_add(struct server *s, int fd, int service, const char *text)
{
	struct listener *l;
	int on = 1;

	/* Whom it takes has it from here. Refused by what is not TCP. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	s->listeners = mem_grow(s->listeners, s->listener_count, &s->listener_capacity, sizeof *l);
	l = &s->listeners[s->listener_count++];
	*l = (struct listener){.server = s, .text = mem_string(text), .service = service, .fd = fd};
	l->wanted = l->fresh = true;
}

/* The array may have moved. */
static void listeners_watch(struct server *s)
{
	for (size_t i = 0; i < s->listener_count; i++) {
		struct listener *l = &s->listeners[i];

		if (l->event != NULL)
			event_free(l->event);
		l->event = event_new(s->base, l->fd, EV_READ | EV_PERSIST, on_connection, l);
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

static void listeners_close(struct server *s)
{
	for (size_t i = 0; i < s->listener_count; i++)
		listener_close(&s->listeners[i]);
	s->listener_count = 0;
}

static void on_inherited(void *context, int fd, const char *name)
{
	struct server *s = context;
	char *kind = mem_format("%s:", name);
	const char *rest;

	listener_add(s, fd, s->options->service(kind, &rest), NULL);
	free(kind);
}

/* Opens the sockets of TEXT unless they are open. */
static enum outcome place_open(struct server *s, const char *text, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;
	const char *address;
	int service = s->options->service(text, &address);
	int fds[SOCKETS_MAX];
	size_t count = 0;
	bool open = false;

	for (size_t i = 0; i < s->listener_count; i++)
		if (s->listeners[i].text != NULL && strcmp(s->listeners[i].text, text) == 0)
			s->listeners[i].wanted = open = true;
	if (!open)
		outcome = listen_open(address, SERVER_SOCKET_MODE, fds, SOCKETS_MAX, &count, err);
	for (size_t i = 0; i < count; i++)
		listener_add(s, fds[i], service, text);
	return outcome;
}

static enum outcome somewhere(const struct server *s, struct error *err)
{
	const struct server_options *o = s->options;

	for (size_t i = 0; i < s->listener_count; i++)
		if (s->listeners[i].wanted)
			return OUTCOME_DONE;
	return error_set(err, EX_CONFIG, "%s says nowhere to listen: %s { listen = { \"%s\" } }", o->config_path,
	    o->name, o->example);
}

/* The places just opened are in use: what is not among them is closed; or they are not: what was opened for them is. */
static void listeners_keep(struct server *s, enum outcome outcome)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->listener_count; i++) {
		struct listener *l = &s->listeners[i];

		if (outcome == OUTCOME_DONE ? l->wanted : !l->fresh) {
			l->fresh = false;
			s->listeners[kept++] = *l;
		} else {
			listener_close(l);
		}
	}
	s->listener_count = kept;
}

/* Tells of the listeners that are new. */
static void log_listening(struct server *s)
{
	for (size_t i = 0; i < s->listener_count; i++) {
		struct listener *l = &s->listeners[i];
		struct log_line line;
		struct buf name;

		if (l->told)
			continue;
		l->told = true;
		buf_init(&name, 1000);
		listen_name(l->fd, &name);
		log_begin(&line, s->log, s->options->name, "listening");
		log_text(&line, "address", buf_string(&name));
		log_text(&line, "service", s->options->services[l->service]);
		log_end(&line);
		buf_release(&name);
	}
}

static void first_listen(struct server *s)
{
	unsigned long files = daemon_raise_files();
	unsigned long kept = files / 4 < s->options->files_kept ? files / 4 : s->options->files_kept;

	s->begun = true;
	s->files = files - kept;
	listen_inherited(on_inherited, s);
}

enum outcome server_listen(struct server *s, char *const *texts, size_t count, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	if (!s->begun)
		first_listen(s);
	for (size_t i = 0; i < s->listener_count; i++)
		s->listeners[i].wanted = s->listeners[i].text == NULL;
	for (size_t i = 0; i < count && outcome == OUTCOME_DONE; i++)
		outcome = place_open(s, texts[i], err);
	if (outcome == OUTCOME_DONE)
		outcome = somewhere(s, err);
	listeners_keep(s, outcome);
	if (s->log != NULL) {
		log_listening(s);
		listeners_watch(s);
	}
	return outcome;
}

/* ---- signals and the clock ------------------------------------------------------------------------------- */

static void on_grace(evutil_socket_t fd, short what, void *context)
{
	struct server *s = context;

	(void)fd;
	(void)what;
	event_base_loopbreak(s->base);
}

static void stop(struct server *s)
{
	struct timeval grace = {.tv_sec = SERVER_GRACE};
	struct served *next;

	if (s->stopping)
		return;
	s->stopping = true;
	daemon_notify("STOPPING=1");
	listeners_close(s);
	s->grace = evtimer_new(s->base, on_grace, s);
	evtimer_add(s->grace, &grace);
	for (struct served *one = s->sessions; one != NULL; one = next) {
		next = one->next;
		s->calls->end(one, "this server stops; please try again");
	}
	if (s->session_count == 0)
		event_base_loopbreak(s->base);
}

/* A configuration that cannot be used changes nothing. */
static void reload(struct server *s)
{
	struct error err = ERROR_NONE;

	daemon_notify("RELOADING=1");
	if (s->calls->reload(s->options->context, &err) == OUTCOME_DONE) {
		log_event(s->log, s->options->name, "reloaded", "configuration", s->options->config_path);
	} else {
		if (err.text[0] != '\0')
			trouble(s, err.text);
		trouble(s, "the configuration in use stays the one of before");
	}
	daemon_notify("READY=1");
}

static void reap(struct server *s)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		if (s->calls->child != NULL)
			s->calls->child(s->options->context);
}

static void on_signal(evutil_socket_t number, short what, void *context)
{
	struct server *s = context;

	(void)what;
	if (number == SIGHUP) {
		/* A session on standard input has no places, and who is about to stop opens none. */
		if (!s->alone && !s->stopping)
			reload(s);
	} else if (number == SIGCHLD) {
		reap(s);
	} else {
		if (s->ended_by == 0)
			s->ended_by = (int)number;
		stop(s);
	}
}

static void on_sweep(evutil_socket_t fd, short what, void *context)
{
	struct server *s = context;
	uint64_t now = clock_steady();
	struct served *next;

	(void)fd;
	(void)what;
	if (s->calls->swept != NULL)
		s->calls->swept(s->options->context);
	for (struct served *one = s->sessions; one != NULL; one = next) {
		next = one->next;
		s->calls->tick(one, now);
	}
	for (size_t i = 0; i < s->listener_count; i++)
		event_add(s->listeners[i].event, NULL);
}

/* ---- the life of a server -------------------------------------------------------------------------------- */

void server_make(struct server **server, const struct server_options *options)
{
	struct server *s = mem_alloc(sizeof *s);

	*s = (struct server){.options = options, .calls = options->calls};
	daemon_ignore_pipe();
	*server = s;
}

static enum outcome base_make(struct server *s, struct error *err)
{
	s->base = event_base_new();
	return s->base != NULL ? OUTCOME_DONE : error_set(err, EX_OSERR, "the event loop cannot be made");
}

static enum outcome paths_give(const struct server *s, const char *user, const char *group, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	for (size_t i = 0; i < s->listener_count && outcome == OUTCOME_DONE; i++) {
		const char *address;

		if (s->listeners[i].text == NULL)
			continue;
		s->options->service(s->listeners[i].text, &address);
		if (address[0] == '/')
			outcome = daemon_own(address, user, group, err);
	}
	return outcome;
}

enum outcome server_become(
    struct server *s, const char *user, const char *group, enum server_terminal terminal, struct error *err)
{
	enum outcome outcome = OUTCOME_DONE;

	if (user != NULL)
		outcome = paths_give(s, user, group, err);
	if (outcome == OUTCOME_DONE && user != NULL)
		outcome = daemon_become(user, group, err);
	if (outcome == OUTCOME_DONE && terminal == SERVER_DETACH)
		outcome = daemon_detach(err);
	/* After leaving the parent: neither threads nor the loop's descriptors survive a fork. */
	return outcome == OUTCOME_DONE ? base_make(s, err) : outcome;
}

enum outcome server_alone(struct server *s, struct error *err)
{
	s->alone = true;
	return base_make(s, err);
}

struct event_base *server_base(const struct server *s)
{
	return s->base;
}

void *server_context(const struct server *s)
{
	return s->options->context;
}

static void serve_begin(struct server *s, struct log *log)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
	struct timeval sweep = {.tv_sec = SERVER_SWEEP};

	s->log = log;
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		s->signals[i] = evsignal_new(s->base, numbers[i], on_signal, s);
		event_add(s->signals[i], NULL);
	}
	s->sweep = event_new(s->base, -1, EV_PERSIST, on_sweep, s);
	event_add(s->sweep, &sweep);
}

static void notice_root(const struct server *s)
{
	char *text;

	if (geteuid() != 0)
		return;
	text =
	    mem_format("the server runs as root; the option user in the section %s names another", s->options->name);
	log_event(s->log, s->options->name, "notice", "reason", text);
	free(text);
}

void server_run(struct server *s, struct log *log)
{
	serve_begin(s, log);
	notice_root(s);
	log_listening(s);
	listeners_watch(s);
	daemon_ready();
	event_base_dispatch(s->base);
	conn_farewell(s->base);
	log_event(s->log, s->options->name, "ended", "reason", daemon_end_reason(s->ended_by));
}

void server_run_alone(struct server *s, int service, struct log *log)
{
	struct served *new;
	char peer[PEER_TEXT];

	serve_begin(s, log);
	new = served_make(s, service);
	new->conn = conn_pipes(s->base, STDIN_FILENO, STDOUT_FILENO, s->calls->handlers, new);
	peer_of_stdin(peer);
	served_begin(new, peer);
	if (s->session_count > 0)
		event_base_dispatch(s->base);
	conn_farewell(s->base);
}

void server_drop(struct server *s)
{
	while (s != NULL && s->sessions != NULL)
		s->calls->drop(s->sessions);
}

void server_free(struct server *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < sizeof s->signals / sizeof s->signals[0]; i++)
		if (s->signals[i] != NULL)
			event_free(s->signals[i]);
	if (s->sweep != NULL)
		event_free(s->sweep);
	if (s->grace != NULL)
		event_free(s->grace);
	listeners_close(s);
	free(s->listeners);
	if (s->base != NULL) {
		conn_abandon(s->base);
		event_base_free(s->base);
	}
	free(s);
}
