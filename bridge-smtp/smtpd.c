#include "bridge-smtp/smtpd.h"

/* Descriptors that connections leave to the spool. */
#define FILES_KEPT 64

static struct queue *spool(const struct smtpd *d)
{
	return committer_queue(d->committer);
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

/* ---- what the server calls ------------------------------------------------------------------------------- */

static enum outcome places_open(struct smtpd *d, const struct settings *s, struct error *err)
{
	const struct strings *listen = &s->config.smtpd.server.listen;

	return server_listen(d->server, listen->items, listen->count, err);
}

static enum outcome reload(void *context, struct error *err)
{
	struct smtpd *d = context;
	struct settings *settings;
	enum outcome outcome = settings_load(&settings, d->config_path, log_complaint, &spool(d)->log, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	outcome = settings_tls(settings, err);
	if (outcome == OUTCOME_DONE)
		outcome = places_open(d, settings, err);
	if (outcome == OUTCOME_DONE) {
		settings_drop(d->settings);
		d->settings = settings_hold(settings);
		spool(d)->min_free = settings->config.min_free;
	}
	settings_drop(settings);
	return outcome;
}

static void on_swept(void *context)
{
	queue_follow_log(spool(context));
}

static void on_child(void *context)
{
	struct smtpd *d = context;

	d->relays -= d->relays > 0;
}

static int service_of(const char *text, const char **address)
{
	return (int)listen_service(text, address);
}

static const struct server_calls calls = {
    .handlers = &session_handlers,
    .begin = session_begin,
    .end = session_end,
    .drop = session_drop,
    .tick = session_tick,
    .reload = reload,
    .swept = on_swept,
    .child = on_child,
};

/* ---- serving --------------------------------------------------------------------------------------------- */

static void on_commit(void *context, struct commit *commit)
{
	(void)context;
	session_committed(commit);
}

static enum outcome load_tls(void *context, struct error *err)
{
	return settings_tls(((struct smtpd *)context)->settings, err);
}

static enum outcome threads_start(void *context, bool verbose, struct error *err)
{
	struct smtpd *d = context;
	struct event_base *base = server_base(d->server);
	enum outcome outcome = committer_start(&d->committer, base, &d->settings->config, on_commit, d, err);

	if (outcome == OUTCOME_DONE && verbose)
		committer_echo(d->committer);
	return outcome == OUTCOME_DONE ? logins_start(&d->logins, base, &session_logins, err) : outcome;
}

static enum outcome begin(struct smtpd *d, const struct server_start *start, struct error *err)
{
	const struct config_server *c = &d->settings->config.smtpd.server;
	const struct server_plan plan = {
	    .listen = c->listen.items,
	    .listen_count = c->listen.count,
	    .user = c->user,
	    .group = c->group,
	    .spool = d->settings->config.spool,
	    .own_key = c->certificate == NULL,
	    .load_tls = load_tls,
	    .load_rest = threads_start,
	};

	return server_begin(d->server, start, &plan, err);
}

static void end(struct smtpd *d)
{
	server_drop(d->server);
	logins_stop(d->logins);
	committer_stop(d->committer);
	settings_drop(d->settings);
	server_free(d->server);
}

const char *const smtpd_services[] = {"smtp", "submission", "submissions", "lmtp", NULL};

enum outcome smtpd_serve(const struct server_start *start, struct error *err)
{
	struct smtpd d = {.config_path = start->config_path};
	const struct server_options options = {
	    .name = "smtpd",
	    .config_path = start->config_path,
	    .example = "127.0.0.1:2525",
	    .services = smtpd_services,
	    .service = service_of,
	    .session_size = session_size,
	    .files_kept = FILES_KEPT,
	    .calls = &calls,
	    .context = &d,
	};
	enum outcome outcome = settings_load(&d.settings, start->config_path, complain, NULL, err);

	if (outcome != OUTCOME_DONE)
		return outcome;
	server_make(&d.server, &options);
	outcome = begin(&d, start, err);
	if (outcome == OUTCOME_DONE && start->alone)
		server_run_alone(d.server, start->service, &spool(&d)->log);
	else if (outcome == OUTCOME_DONE)
		server_run(d.server, &spool(&d)->log);
	end(&d);
	return outcome;
}
